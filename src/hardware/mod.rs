//! A hardware address that moves between hosts, with the IP addresses that belong to it.
//!
//! A spare card takes it (`device`), or a macvlan device has it beside the address of its card (`virtual_card`). The
//! order is the same: look whether somebody else has it (`conflict`), take it, tell the switches, keep the other cards of
//! this host from answering for its IP addresses (`quiet`), and bring these up ([`crate::vip`]).

#![forbid(unsafe_code)]

mod conflict;
mod device;
mod ledger;
mod quiet;
mod rival;
mod virtual_card;

use crate::agent::{Cx, Status};
use crate::error::{Error, Result};
use crate::host::announce::{self, Announcement, Subject, ethernet};
use crate::host::arp::Mac;
use crate::host::link::Link;
use crate::host::namespace;
use crate::host::net::Net;
use crate::host::packet::PacketSocket;
use crate::macvlan::{Macvlan, refuse_ports};
use crate::param::values::{InterfaceName, UnicastMac};
use crate::state::Lock;
use crate::vip::{self, Announce};
use crate::watch::{NetworkSigns, Signs};

pub use ledger::{release, set_up};

/// A hardware address and how it is to be.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The address.
    pub mac: UnicastMac,
    /// The card, by name or alternative name.
    pub nic: InterfaceName,
    /// The macvlan device that has the address; without one the card itself has it.
    pub macvlan: Option<Macvlan>,
    /// The IP addresses that belong to it; all are on the interface that has the address.
    pub addresses: Vec<vip::Wanted>,
    /// How it is made known. The IP addresses are, too, by its monitor, so that theirs need not.
    pub announce: Announce,
    /// Ask whether another host has it before it is taken.
    pub conflict_check: bool,
    /// An interface without a link is a failure.
    pub check_link: bool,
}

impl Wanted {
    /// What announces that the address may not be here any more: links, and its IP addresses.
    ///
    /// # Errors
    /// The kernel did not tell.
    pub fn signs(&self, cx: &Cx<'_>) -> Result<Signs> {
        let addresses = self.addresses.iter().map(|address| address.ip).collect();
        let net = Net::open(cx.deadline)?;
        let mut network = NetworkSigns { addresses, ..NetworkSigns::default() };
        // One that is not as it should be is monitor's to tell of.
        if let Ok(Some(link)) = self.holder_now(&net, cx) {
            network.links = Some(net.stack_of(&link)?);
            network.claims.extend(rival::claims(self, &link, cx));
            network.claims.extend(self.addresses.iter().filter_map(|one| one.claims(&link, cx)));
        }
        Ok(Signs { network: Some(network), ..Signs::default() })
    }

    /// The interface that has the address.
    ///
    /// # Errors
    /// It is not as it should be.
    fn holder_now(&self, net: &Net, cx: &Cx<'_>) -> Result<Option<Link>> {
        match &self.macvlan {
            Some(macvlan) => virtual_card::look(macvlan, net, cx),
            None => device::look(self, net, cx),
        }
    }

    /// What tells the address from all others, whatever the resource is called.
    #[must_use]
    pub fn identity(&self) -> String {
        format!("mac-{}-{}", self.mac, namespace::identity())
    }

    /// The name by which the ledger knows who needs a setting.
    fn holder(&self) -> String {
        self.mac.to_string()
    }

    /// The card, as the kernel has it.
    ///
    /// # Errors
    /// It is not here, or cannot have the address.
    fn card(&self, net: &Net) -> Result<Link> {
        let link = net.link_named(self.nic.as_str())?.ok_or_else(|| {
            Error::Local(format!("there is no interface {:?} here (nic)", self.nic.as_str()))
        })?;
        refuse_ports(&link, "nic", net)?;
        ethernet(&link)?;
        Ok(link)
    }

    /// Another interface of this host that has the address.
    ///
    /// # Errors
    /// There is one.
    fn refuse_twins(&self, card: &Link, links: &[Link], cx: &Cx<'_>) -> Result<()> {
        let mac = self.mac.octets();
        let is_own = |link: &Link| match &self.macvlan {
            Some(macvlan) => macvlan.is_ours(link, cx),
            None => link.index == card.index,
        };
        let own: Vec<u32> =
            links.iter().filter(|link| is_own(link)).map(|link| link.index).collect();
        // What is on it, or is a port of it, has its address by nature.
        let is_of_own =
            |link: &Link| own.iter().any(|own| link.index == *own || rests_on(link, *own, links));
        let twin = links.iter().find(|link| link.hardware == mac && !is_of_own(link));
        match twin {
            Some(twin) => Err(Error::Failed(format!(
                "{} of this host has {} already; two cards with one address confuse every switch, so give another mac",
                twin.name, self.mac
            ))),
            None => Ok(()),
        }
    }
}

/// Whether an interface is on another one or a port of it, over however many between them.
fn rests_on(link: &Link, index: u32, links: &[Link]) -> bool {
    [link.parent, link.controller].into_iter().flatten().any(|next| {
        let between = || links.iter().find(|link| link.index == next);
        next == index || between().is_some_and(|link| rests_on(link, index, links))
    })
}

/// Takes the address, makes it known, and brings its IP addresses up; or leaves nothing of it behind.
///
/// # Errors
/// The card cannot have it, another host has it, or the kernel refused.
pub fn start(wanted: &Wanted, cx: &Cx<'_>) -> Result<()> {
    let net = Net::open(cx.deadline)?;
    let _locks = locks(wanted, &net, cx)?;
    let card = wanted.card(&net)?;
    refuse_before_anything(wanted, &card, &net, cx)?;
    rival::forget(wanted, cx)?;
    match take(wanted, card, &net, cx) {
        Ok(Some(rest)) => rest.send(cx),
        Ok(None) => {}
        Err(error) => return Err(error.and(undo(wanted, &net, cx))),
    }
    Ok(())
}

/// What is found before anything is changed needs no undoing, and what belongs to others must not be undone.
fn refuse_before_anything(wanted: &Wanted, card: &Link, net: &Net, cx: &Cx<'_>) -> Result<()> {
    let links = net.links()?;
    wanted.refuse_twins(card, &links, cx)?;
    if let Some(macvlan) = &wanted.macvlan {
        return macvlan.refuse_foreign(net, cx);
    }
    device::refuse_individual_ports(card, &links)?;
    device::refuse_others(wanted, card, cx)
}

/// An interface that has the address.
struct Taken {
    link: Link,
    /// It did not have it before.
    fresh: bool,
    /// The socket with which the card's network was asked for the address and its IP addresses, if it was.
    asked_with: Option<PacketSocket>,
}

fn take(wanted: &Wanted, card: Link, net: &Net, cx: &Cx<'_>) -> Result<Option<Rest>> {
    let Taken { link, fresh, asked_with } = match &wanted.macvlan {
        Some(macvlan) => virtual_card::take(wanted, macvlan, &card, net, cx)?,
        None => device::take(wanted, card, net, cx)?,
    };
    let asked = asked_with.is_some();
    // Of the card itself it can announce, too. Of a card below a macvlan device it is closed when all else is done: the
    // kernel takes some milliseconds for that.
    let (socket, _later) =
        if wanted.macvlan.is_none() { (asked_with, None) } else { (None, asked_with) };
    let rest = if fresh { announce(wanted, &link, socket, net, cx) } else { None };
    quiet::keep(wanted, &link, net, cx)?;
    for address in &wanted.addresses {
        vip::start(&vip::Wanted { asked, ..address.clone() }, cx)?;
    }
    if fresh {
        cx.log.info(&format!("{} is on {}", wanted.mac, link.name));
    }
    Ok(rest)
}

/// Gives the address back, and restores what start changed.
///
/// # Errors
/// Something of it is left.
pub fn stop(wanted: &Wanted, cx: &Cx<'_>) -> Result<()> {
    let net = Net::open(cx.deadline)?;
    let _locks = locks(wanted, &net, cx)?;
    Error::all(undo(wanted, &net, cx))
}

fn undo(wanted: &Wanted, net: &Net, cx: &Cx<'_>) -> Vec<Error> {
    let addresses = wanted.addresses.iter().map(|address| vip::stop(address, cx));
    let mut errors: Vec<Error> = addresses.filter_map(Result::err).collect();
    let given_back = match &wanted.macvlan {
        Some(macvlan) => macvlan.remove(net, cx),
        None => device::give_back(wanted, net, cx),
    };
    errors.extend(given_back.err());
    errors.extend(ledger::release(&wanted.holder(), net, cx).err());
    errors.extend(rival::forget(wanted, cx).err());
    errors
}

/// Whether the address and what belongs to it work. "Not running" only if nothing of it is here.
///
/// # Errors
/// Something of it is missing or wrong.
pub fn monitor(wanted: &Wanted, cx: &Cx<'_>) -> Result<Status> {
    let net = Net::open(cx.deadline)?;
    let found = wanted.holder_now(&net, cx)?;
    let mut missing = Vec::new();
    let mut there = Vec::new();
    for address in &wanted.addresses {
        match vip::monitor(address, cx)? {
            Status::NotRunning => missing.push(address.ip.to_string()),
            _ => there.push(address.ip.to_string()),
        }
    }
    let Some(link) = found else {
        return match there.first() {
            Some(ip) => Err(Error::Failed(format!(
                "{ip} is here without its hardware address {}",
                wanted.mac
            ))),
            None => Ok(Status::NotRunning),
        };
    };
    if !missing.is_empty() {
        let missing = missing.join(", ");
        return Err(Error::Failed(format!("{} has {} without {missing}", link.name, wanted.mac)));
    }
    // start sets it up, whoever cares about its cable.
    if let Some(fault) = link.fault().filter(|_| wanted.check_link || !link.up) {
        return Err(Error::Failed(format!("{} has {}, but {fault}", link.name, wanted.mac)));
    }
    rival::refuse(wanted, &link, &net, cx)?;
    refresh(wanted, &link, &net, cx);
    Ok(Status::Running)
}

/// Looks whether start could take the address here; changes nothing.
///
/// # Errors
/// It could not, and why.
pub fn validate(wanted: &Wanted, cx: &Cx<'_>) -> Result<()> {
    let net = Net::open(cx.deadline)?;
    let card = wanted.card(&net)?;
    refuse_before_anything(wanted, &card, &net, cx)
}

/// One action at a time on an address, and on each card that it may change.
fn locks(wanted: &Wanted, net: &Net, cx: &Cx<'_>) -> Result<Vec<Option<Lock>>> {
    let mut locks = vec![cx.state.lock(&format!("hardware-{}", wanted.mac), &cx.deadline)?];
    if wanted.macvlan.is_none() {
        locks.extend(device::lock_cards(wanted, net, cx)?);
    }
    Ok(locks)
}

/// Waits for the carrier of an interface that may have been set up just now.
fn await_carrier(wanted: &Wanted, link: &mut Link, net: &Net) -> Result<()> {
    if !(link.up && link.carrier) {
        net.await_carrier(link)?;
    }
    match link.fault() {
        Some(fault) if wanted.check_link => {
            Err(Error::Failed(format!("cannot take {}: {fault}", wanted.mac)))
        }
        _ => Ok(()),
    }
}

/// The announcements after the first.
struct Rest {
    announcement: Announcement,
    socket: PacketSocket,
    background: bool,
}

impl Rest {
    fn send(self, cx: &Cx<'_>) {
        let sent = if self.background {
            self.announcement.rest_detached(self.socket)
        } else {
            self.announcement.rest_until(&cx.deadline, self.socket, &mut |_| {})
        };
        if let Err(error) = sent {
            tell(&error, cx);
        }
    }
}

/// Sends the frame by which switches learn the port. A failure is told and no more: they learn from any other frame too.
fn announce(
    wanted: &Wanted,
    link: &Link,
    socket: Option<PacketSocket>,
    net: &Net,
    cx: &Cx<'_>,
) -> Option<Rest> {
    let subject = Subject::Hardware(wanted.mac);
    let announcement = announcement(subject, wanted, link, wanted.announce.count);
    let try_on = |socket: PacketSocket| announcement.once(net, &socket).map(|()| socket);
    // Where the card had to be down for its new address, a socket from before has that error waiting.
    let sent = socket.map(try_on).and_then(Result::ok);
    match sent.map_or_else(|| announce::socket(link.index, subject).and_then(try_on), Ok) {
        Ok(socket) => Some(Rest { announcement, socket, background: wanted.announce.background }),
        Err(error) => {
            tell(&error, cx);
            None
        }
    }
}

fn tell(error: &Error, cx: &Cx<'_>) {
    cx.log.warn(&format!(
        "{error}; switches may send to the old port until they hear from the address"
    ));
}

fn announcement(subject: Subject, wanted: &Wanted, link: &Link, count: u32) -> Announcement {
    Announcement::new(subject, link.index, count, wanted.announce.interval)
}

/// Keeps the switches' tables from forgetting the port, and mends the neighbours' caches. An IP address that is announced
/// does both.
fn refresh(wanted: &Wanted, link: &Link, net: &Net, cx: &Cx<'_>) {
    let mut subjects: Vec<Subject> =
        wanted.addresses.iter().map(|address| Subject::Ip(address.ip)).collect();
    if subjects.is_empty() {
        subjects.push(Subject::Hardware(wanted.mac));
    }
    if wanted.announce.refresh > 0
        && let Err(error) = announce_all(&subjects, wanted, link, net)
    {
        cx.log.debug(&error.to_string());
    }
}

/// One socket for all, since to close one takes the kernel ten milliseconds.
fn announce_all(subjects: &[Subject], wanted: &Wanted, link: &Link, net: &Net) -> Result<()> {
    let socket = announce::socket(link.index, Subject::Hardware(wanted.mac))?;
    for subject in subjects {
        let announcement = announcement(*subject, wanted, link, wanted.announce.refresh);
        announcement.once(net, &socket)?;
        if announcement.count > 1 {
            announcement.rest_detached(announce::socket(link.index, *subject)?)?;
        }
    }
    Ok(())
}

/// An address that no maker gave to any card, made of one that is not to be used any longer.
fn substitute(mac: Mac) -> Mac {
    use std::hash::{BuildHasher, Hasher};
    // The standard library's way to the kernel's random numbers.
    let mut hasher = std::hash::RandomState::new().build_hasher();
    hasher.write(&mac);
    let random = hasher.finish().to_be_bytes();
    let mut other = [random[0] & 0xfc | 2, random[1], random[2], random[3], random[4], 0];
    other[5] = !mac[5];
    other
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn links_rest_on_others_over_however_many() {
        let link =
            |index, parent, controller| Link { index, parent, controller, ..Link::default() };
        // A bond, its port, a VLAN of the bond, a VLAN of that, and a card.
        let links = [
            link(1, None, None),
            link(2, None, Some(1)),
            link(3, Some(1), None),
            link(4, Some(3), None),
            link(5, None, None),
        ];
        let on_the_bond: Vec<u32> =
            links.iter().filter(|link| rests_on(link, 1, &links)).map(|link| link.index).collect();
        assert_eq!(on_the_bond, [2, 3, 4]);
        assert!(!rests_on(&links[0], 3, &links));
    }

    proptest! {
        #[test]
        fn a_substitute_is_another_and_locally_administered(mac in any::<Mac>()) {
            let other = substitute(mac);
            prop_assert_ne!(other, mac);
            prop_assert_eq!(other[0] & 3, 2);
        }
    }
}
