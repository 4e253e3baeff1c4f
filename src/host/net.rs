//! What agents want of the network, for one action with its deadline.

#![forbid(unsafe_code)]

use std::net::IpAddr;
use std::time::Duration;

use nix::errno::Errno;
use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::{LinkAttribute, LinkExtentMask, LinkFlags, LinkMessage};
use rtnetlink::packet_route::route::RouteMessage;

use super::address::{Address, family};
use super::exact::Exact;
use super::link::Link;
use super::netlink::{Netlink, News};
use super::refusal::Refusal;
use super::route::{MAIN_TABLE, Route};
use crate::deadline::Deadline;
use crate::error::{Doing, Error, Result};
use crate::param::values::LONGEST_NAME;
use crate::trace_answer;

/// How long a link that was set up just now may take to find its carrier.
const CARRIER: Duration = Duration::from_secs(5);

/// The network of the namespace in which it was opened.
#[derive(Debug)]
pub struct Net {
    netlink: Netlink,
    deadline: Deadline,
}

impl Net {
    /// Opens a socket to the kernel.
    ///
    /// # Errors
    /// There is none to be had.
    pub fn open(deadline: Deadline) -> Result<Self> {
        let netlink = Netlink::open().doing(|| "open a netlink socket")?;
        Ok(Self { netlink, deadline })
    }

    /// The interface of that name or alternative name.
    ///
    /// # Errors
    /// The kernel could not tell.
    pub fn link_named(&self, name: &str) -> Result<Option<Link>> {
        if name.len() > LONGEST_NAME {
            // The kernel wants a long name in an attribute that rtnetlink does not write by itself.
            return Ok(self.links()?.into_iter().find(|link| link.is_named(name)));
        }
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        self.one_link(message, &format!("get interface {name}"))
    }

    /// The interface with that number.
    ///
    /// # Errors
    /// The kernel could not tell.
    pub fn link(&self, index: u32) -> Result<Option<Link>> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        self.one_link(message, &format!("get interface number {index}"))
    }

    /// How many packets an interface has received; none if it is gone.
    ///
    /// # Errors
    /// The kernel could not tell.
    pub fn received_packets(&self, index: u32) -> Result<Option<u64>> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        let what = format!("get the counters of interface number {index}");
        match self.netlink.get(&what, RouteNetlinkMessage::GetLink(message), &self.deadline) {
            Ok(Some(RouteNetlinkMessage::NewLink(found))) => {
                Ok(found.attributes.iter().find_map(|attribute| match attribute {
                    LinkAttribute::Stats64(counters) => Some(counters.rx_packets),
                    _ => None,
                }))
            }
            Ok(_) => {
                Err(Error::Failed(format!("cannot {what}: the kernel's answer cannot be read")))
            }
            Err(refusal) if refusal.errno() == Some(Errno::ENODEV) => Ok(None),
            Err(refusal) => Err(refusal.doing(&what)),
        }
    }

    fn one_link(&self, mut message: LinkMessage, what: &str) -> Result<Option<Link>> {
        message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
        match self.netlink.get(what, RouteNetlinkMessage::GetLink(message), &self.deadline) {
            Ok(Some(RouteNetlinkMessage::NewLink(found))) => {
                let link = Link::of(&found);
                trace_answer!("{link:?}");
                Ok(Some(link))
            }
            Ok(_) => {
                Err(Error::Failed(format!("cannot {what}: the kernel's answer cannot be read")))
            }
            Err(refusal) if refusal.errno() == Some(Errno::ENODEV) => Ok(None),
            Err(refusal) => Err(refusal.doing(what)),
        }
    }

    /// All interfaces.
    ///
    /// # Errors
    /// The kernel could not tell.
    pub fn links(&self) -> Result<Vec<Link>> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
        let found = self.dump("list interfaces", RouteNetlinkMessage::GetLink(message))?;
        Ok(found
            .iter()
            .filter_map(|object| match object {
                RouteNetlinkMessage::NewLink(message) => Some(Link::of(message)),
                _ => None,
            })
            .collect())
    }

    /// All addresses of the family of `like` on an interface, or on all.
    ///
    /// # Errors
    /// The kernel could not tell.
    pub fn addresses(&self, like: IpAddr, index: Option<u32>) -> Result<Vec<Address>> {
        self.addresses_in(like, index, &|_| true)
    }

    /// Those addresses in whose message `wanted` finds what it looks for.
    fn addresses_in(
        &self,
        like: IpAddr,
        index: Option<u32>,
        wanted: &dyn Fn(&[u8]) -> bool,
    ) -> Result<Vec<Address>> {
        let mut message = AddressMessage::default();
        message.header.family = family(like);
        message.header.index = index.unwrap_or(0);
        let what = match index {
            Some(index) => format!("list addresses of interface number {index}"),
            None => "list addresses".to_owned(),
        };
        let found = match self.netlink.dump(
            &what,
            RouteNetlinkMessage::GetAddress(message),
            wanted,
            &self.deadline,
        ) {
            // The interface went away between look and look.
            Err(refusal) if index.is_some() && refusal.errno() == Some(Errno::ENODEV) => Vec::new(),
            other => other.map_err(|refusal| refusal.doing(&what))?,
        };
        let addresses = found.iter().filter_map(|object| match object {
            RouteNetlinkMessage::NewAddress(message) => Address::of(message),
            _ => None,
        });
        // A kernel without strict checking sends all of them.
        Ok(addresses.filter(|address| index.is_none_or(|index| address.index == index)).collect())
    }

    /// Every place where `ip` is: on which interfaces, with which prefixes.
    ///
    /// # Errors
    /// The kernel could not tell.
    pub fn places_of(&self, ip: IpAddr, index: Option<u32>) -> Result<Vec<Address>> {
        let mut addresses = match (ip, index) {
            (IpAddr::V6(_), Some(index)) => self.ipv6_address(ip, index)?.into_iter().collect(),
            _ => self.addresses_in(ip, index, &|message| mentions(message, ip))?,
        };
        addresses.retain(|address| address.ip == ip);
        trace_answer!("{ip} is in {} place(s): {addresses:?}", addresses.len());
        Ok(addresses)
    }

    /// That one address of an interface. The kernel finds it without a dump, which it can not do for IPv4.
    fn ipv6_address(&self, ip: IpAddr, index: u32) -> Result<Option<Address>> {
        let mut message = AddressMessage::default();
        message.header.family = family(ip);
        message.header.index = index;
        message.attributes.push(AddressAttribute::Address(ip));
        let what = format!("get address {ip} of interface number {index}");
        match self.netlink.get(&what, RouteNetlinkMessage::GetAddress(message), &self.deadline) {
            Ok(Some(RouteNetlinkMessage::NewAddress(found))) => Ok(Address::of(&found)),
            Ok(_) => {
                Err(Error::Failed(format!("cannot {what}: the kernel's answer cannot be read")))
            }
            Err(refusal) => match refusal.errno() {
                Some(Errno::EADDRNOTAVAIL | Errno::ENODEV) => Ok(None),
                _ => Err(refusal.doing(&what)),
            },
        }
    }

    /// The unicast routes of the main table, of the family of `like`.
    ///
    /// # Errors
    /// The kernel could not tell.
    pub fn routes(&self, like: IpAddr) -> Result<Vec<Route>> {
        let mut message = RouteMessage::default();
        message.header.address_family = family(like);
        message.header.table = u8::try_from(MAIN_TABLE).unwrap_or_default();
        let found = self.dump("list routes", RouteNetlinkMessage::GetRoute(message))?;
        Ok(found
            .iter()
            .filter_map(|object| match object {
                RouteNetlinkMessage::NewRoute(message) => Route::of(message),
                _ => None,
            })
            .collect())
    }

    /// Asks for a change, within the action's deadline.
    pub(super) fn change(
        &self,
        what: &str,
        question: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<(), Refusal> {
        self.netlink.change(what, question, flags, &self.deadline)
    }

    /// The same with a message that is kept whole.
    pub(super) fn change_exactly(
        &self,
        what: &str,
        question: Exact,
        flags: u16,
    ) -> Result<(), Refusal> {
        self.netlink.change_exactly(what, question, flags, &self.deadline)
    }

    /// All objects that match a message that is kept whole, and in whose bytes `wanted` finds what it looks for.
    pub(super) fn dump_exactly(
        &self,
        what: &str,
        question: Exact,
        wanted: &dyn Fn(&[u8]) -> bool,
    ) -> Result<Vec<Exact>, Refusal> {
        self.netlink.dump(what, question, wanted, &self.deadline)
    }

    pub(super) fn dump(
        &self,
        what: &str,
        question: RouteNetlinkMessage,
    ) -> Result<Vec<RouteNetlinkMessage>> {
        self.netlink
            .dump(what, question, &|_| true, &self.deadline)
            .map_err(|refusal| refusal.doing(what))
    }

    /// Adds `address`. `on` is the interface's name, for the text of an error.
    ///
    /// # Errors
    /// The kernel refused; an address that is there already is no error.
    pub fn add(&self, address: &Address, on: &str) -> Result<()> {
        let what = format!("add {address} to {on}");
        let message = RouteNetlinkMessage::NewAddress(address.message());
        match self.change(&what, message, NLM_F_CREATE | NLM_F_EXCL) {
            Err(refusal) if refusal.errno() != Some(Errno::EEXIST) => Err(refusal.doing(&what)),
            _ => Ok(()),
        }
    }

    /// Removes `address` in exactly this form.
    ///
    /// # Errors
    /// The kernel refused; an address that is gone already is no error.
    pub fn remove(&self, address: &Address, from: &str) -> Result<()> {
        let what = format!("remove {address} from {from}");
        let mut named = Address::new(address.index, address.ip, address.prefix);
        named.label.clone_from(&address.label);
        named.peer = address.peer;
        let message = RouteNetlinkMessage::DelAddress(named.message());
        match self.change(&what, message, 0) {
            Err(refusal)
                if !matches!(refusal.errno(), Some(Errno::EADDRNOTAVAIL | Errno::ENODEV)) =>
            {
                Err(refusal.doing(&what))
            }
            _ => Ok(()),
        }
    }

    /// Sets an interface administratively up.
    ///
    /// # Errors
    /// The kernel or the driver refused.
    pub fn set_up(&self, link: &Link) -> Result<()> {
        let Err(refused) = self.set_state(link, LinkFlags::Up) else { return Ok(()) };
        let name = &link.name;
        // A VLAN or a macvlan cannot be up without the device below it.
        let parent = link.parent.filter(|_| refused.errno() == Some(Errno::ENETDOWN));
        let parent = parent.map(|index| self.link(index)).transpose()?.flatten();
        match parent.filter(|parent| !parent.up) {
            Some(Link { name: parent, .. }) => Err(Error::Failed(format!(
                "cannot set {name} up: its lower device {parent} is down; `ip link set {parent} up` mends it"
            ))),
            None => Err(refused.doing(&format!("set {name} up"))),
        }
    }

    /// Sets an interface administratively down.
    ///
    /// # Errors
    /// The kernel or the driver refused.
    pub fn set_down(&self, link: &Link) -> Result<()> {
        let refused = self.set_state(link, LinkFlags::empty());
        refused.map_err(|refusal| refusal.doing(&format!("set {} down", link.name)))
    }

    fn set_state(&self, link: &Link, flags: LinkFlags) -> Result<(), Refusal> {
        let word = if flags.contains(LinkFlags::Up) { "up" } else { "down" };
        let mut message = LinkMessage::default();
        message.header.index = link.index;
        message.header.flags = flags;
        message.header.change_mask = LinkFlags::Up;
        let what = format!("set {} {word}", link.name);
        self.change(&what, RouteNetlinkMessage::SetLink(message), 0)
    }

    /// Waits until an interface that was set up just now works, but not longer than it may take to find its carrier; how
    /// it is then stands in `link`.
    ///
    /// # Errors
    /// The kernel could not tell.
    pub fn await_carrier(&self, link: &mut Link) -> Result<()> {
        let index = link.index;
        let works = self.wait_until(CARRIER, |net| {
            if let Some(now) = net.link(index)? {
                *link = now;
            }
            Ok(link.fault().is_none())
        });
        works.map(drop)
    }

    /// Waits until `done` says so, waking up whenever the kernel has news; whether it did within `at_most` and the
    /// action's deadline.
    ///
    /// # Errors
    /// What `done` failed with.
    pub fn wait_until(
        &self,
        at_most: Duration,
        mut done: impl FnMut(&Self) -> Result<bool>,
    ) -> Result<bool> {
        // Listen before the first look, so that no change falls between.
        let mut news = News::of_links_and_addresses().doing(|| "listen to the kernel's news")?;
        let deadline = self.deadline.at_most(at_most);
        loop {
            if done(self)? {
                return Ok(true);
            }
            let left = deadline.left();
            if left.is_zero() {
                return Ok(false);
            }
            // News can be lost when they are many, so a look now and then as well.
            news.wait(left.min(Duration::from_secs(1)));
        }
    }
}

/// Whether `ip` stands anywhere in a message. Attributes begin and their values follow at multiples of four bytes.
fn mentions(message: &[u8], ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => message.chunks_exact(4).any(|bytes| bytes == ip.octets()),
        IpAddr::V6(ip) => message.windows(16).step_by(4).any(|bytes| bytes == ip.octets()),
    }
}

#[cfg(test)]
mod tests {
    use rtnetlink::packet_core::Emitable;

    use super::*;

    #[test]
    fn a_message_mentions_the_address_that_it_is_about() {
        for ip in ["192.0.2.10", "2001:db8::10"] {
            let ip: IpAddr = ip.parse().unwrap();
            let mut address = Address::new(7, ip, 24);
            for label in [None, Some("eth0"), Some("eth0:longer")] {
                address.label = label.map(str::to_owned);
                let message = address.message();
                let mut bytes = vec![0; message.buffer_len()];
                message.emit(&mut bytes);
                assert!(mentions(&bytes, ip), "{ip} {label:?}");
            }
        }
        assert!(!mentions(&[192, 0, 2, 1, 10, 0, 0, 0], "192.0.2.10".parse().unwrap()));
    }
}
