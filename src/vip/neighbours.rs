//! The other hosts on the link: asking whether they have the address, and telling them that we do.

#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Wanted;
use crate::agent::Cx;
use crate::error::{Doing, Error, Result};
use crate::host::announce::{self, Announcement, Subject, ethernet};
use crate::host::arp::{self, Mac};
use crate::host::inquiry::{self, PATIENCE};
use crate::host::link::Link;
use crate::host::ndisc;
use crate::host::net::Net;
use crate::host::packet::PacketSocket;
use crate::param::Value;
use crate::param::values::UnicastMac;
use crate::state::StateFile;
use crate::watch::ClaimSigns;

/// Whether the address can be announced on the interface at all.
///
/// # Errors
/// Its hardware addresses are none of Ethernet.
pub(super) fn announceable(link: &Link) -> Result<()> {
    if link.no_neighbours { Ok(()) } else { ethernet(link).map(drop) }
}

/// The way to the neighbours on one interface; closed only when there is nothing more to say.
#[derive(Debug)]
pub(super) struct Neighbours {
    socket: Option<PacketSocket>,
}

impl Neighbours {
    /// No way where the interface has no neighbours, or where a privilege is missing.
    pub fn on(link: &Link, wanted: &Wanted, cx: &Cx<'_>) -> Self {
        if link.no_neighbours {
            return Self { socket: None };
        }
        let opened = announce::socket(link.index, Subject::Ip(wanted.ip));
        if let Err(error) = &opened {
            cx.log.warn(&error.to_string());
        }
        Self { socket: opened.ok() }
    }

    /// Asks whether another host has the address. Not to be able to ask is no conflict.
    ///
    /// # Errors
    /// Another host has it.
    pub fn refuse_conflict(
        &self,
        wanted: &Wanted,
        cx: &Cx<'_>,
        net: &Net,
        link: &Link,
    ) -> Result<()> {
        let (IpAddr::V4(ip), Some(socket)) = (wanted.ip, &self.socket) else { return Ok(()) };
        if !wanted.conflict_check || wanted.asked || !link.carrier {
            return Ok(());
        }
        let on = &link.name;
        match owner(ip, socket, net, link) {
            Ok(None) => Ok(()),
            Ok(Some(other)) => Err(Error::Failed(format!(
                "another host has {ip}: {} answers for it on {on}; end it there, or set conflict_check=false",
                arp::text(&other),
            ))),
            Err(error) => {
                cx.log.warn(&format!("cannot ask on {on} whether another host has {ip}: {error}"));
                Ok(())
            }
        }
    }

    /// Announces the address once; the rest is for when nobody waits any longer.
    ///
    /// A failure is told and no more: the address works, and neighbours find it when they ask.
    pub fn announce(self, wanted: &Wanted, cx: &Cx<'_>, net: &Net, link: &Link) -> Option<Rest> {
        let socket = self.socket?;
        let mut announcement = announcement(wanted, link.index, wanted.announce.count);
        announcement.record = record(wanted, cx).filter(|_| wanted.ip.is_ipv4());
        if let Err(error) = announcement.once(net, &socket) {
            tell(&error, cx);
            return None;
        }
        let background = wanted.announce.background;
        Some(Rest { announcement, socket, background })
    }
}

/// The hardware address of another host that has `ip`.
fn owner(ip: Ipv4Addr, socket: &PacketSocket, net: &Net, link: &Link) -> Result<Option<Mac>> {
    // Another interface of this host on the same network answers too.
    let mut own = None;
    let mut is_ours = |mac: &Mac| {
        let links = own.get_or_insert_with(|| net.links().unwrap_or_default());
        links.iter().any(|link| link.hardware == mac)
    };
    arp::who_has(socket, ethernet(link)?, ip, &mut is_ours, &PATIENCE)
        .doing(|| format!("ask for {ip}"))
}

/// The hardware address of `suspect` if it still has `ip`. It is asked alone, and in no other's name: an answer to all would
/// lead them to it.
fn still_has(ip: Ipv6Addr, suspect: Mac, net: &Net, link: &Link) -> Result<Option<Mac>> {
    if net.links()?.iter().any(|link| link.hardware == suspect) {
        return Ok(None);
    }
    let question = ndisc::solicitation(ethernet(link)?, ip, suspect);
    let asked = PacketSocket::watch(link.index, suspect).and_then(|socket| {
        let mut judge = |frame: &[u8]| ndisc::advertised_by(frame, ip);
        inquiry::ask(&socket, &[question], &PATIENCE, &mut judge)
    });
    asked.doing(|| format!("ask {} for {ip}", arp::text(&suspect)))
}

/// Where whoever listens writes who claims the address too.
fn record(wanted: &Wanted, cx: &Cx<'_>) -> Option<StateFile> {
    wanted.conflict_check.then(|| cx.state.file(&rival(wanted)))
}

/// By which claims of others to the address there are to be heard on an interface; none where it has no neighbours.
pub(super) fn claims(wanted: &Wanted, link: &Link, cx: &Cx<'_>) -> Option<ClaimSigns> {
    let record = record(wanted, cx).filter(|_| !link.no_neighbours)?.path().to_owned();
    let (subject, own) = (Subject::Ip(wanted.ip), ethernet(link).ok()?);
    Some(ClaimSigns { subject, index: link.index, own, record })
}

/// Forgets what was heard in an earlier life of the address.
///
/// # Errors
/// The file cannot be removed.
pub(super) fn forget_rival(wanted: &Wanted, cx: &Cx<'_>) -> Result<()> {
    cx.state.file(&rival(wanted)).remove()
}

fn rival(wanted: &Wanted) -> String {
    format!("{}-rival", wanted.key())
}

/// Fails if another host was heard to claim the address after start, and still does.
///
/// # Errors
/// It does.
pub(super) fn refuse_rival(wanted: &Wanted, cx: &Cx<'_>, net: &Net, link: &Link) -> Result<()> {
    let ip = wanted.ip;
    let Some(record) = record(wanted, cx) else { return Ok(()) };
    let Ok(Some(heard)) = record.read() else { return Ok(()) };
    let asked = match ip {
        IpAddr::V4(ip) => announce::socket(link.index, Subject::Ip(wanted.ip))
            .and_then(|socket| owner(ip, &socket, net, link)),
        IpAddr::V6(ip) => match UnicastMac::parse(heard.trim().as_ref()) {
            Ok(suspect) => still_has(ip, suspect.octets(), net, link),
            Err(_) => Ok(None),
        },
    };
    match asked {
        Ok(Some(other)) => Err(Error::Failed(format!(
            "another host has {ip} too: {} answers for it on {}; end it on one of them",
            arp::text(&other),
            link.name
        ))),
        Ok(None) => {
            let _ = record.remove();
            Ok(())
        }
        // Not to be able to ask is no conflict; the record stays for the next monitor.
        Err(error) => {
            cx.log.debug(&error.to_string());
            Ok(())
        }
    }
}

/// The announcements after the first.
#[derive(Debug)]
pub(super) struct Rest {
    announcement: Announcement,
    socket: PacketSocket,
    background: bool,
}

impl Rest {
    /// Sends them, or lets a process of their own do it.
    pub fn send(self, cx: &Cx<'_>) {
        let ip = self.announcement.subject;
        let mut rival = |mac: Mac| {
            cx.log.warn(&format!("another host has {ip} too: {} claims it", arp::text(&mac)));
        };
        let sent = if self.background {
            self.announcement.rest_detached(self.socket)
        } else {
            self.announcement.rest_until(&cx.deadline, self.socket, &mut rival)
        };
        if let Err(error) = sent {
            tell(&error, cx);
        }
    }
}

fn tell(error: &Error, cx: &Cx<'_>) {
    cx.log
        .warn(&format!("{error}; neighbours may send to the old owner until their caches expire"));
}

fn announcement(wanted: &Wanted, index: u32, count: u32) -> Announcement {
    Announcement::new(Subject::Ip(wanted.ip), index, count, wanted.announce.interval)
}

/// Announces from a monitor, which mends what a lost announcement or a short split left.
pub(super) fn refresh(wanted: &Wanted, cx: &Cx<'_>, net: &Net, link: &Link) {
    if wanted.announce.refresh == 0 || link.no_neighbours {
        return;
    }
    let announcement = announcement(wanted, link.index, wanted.announce.refresh);
    let said = announce::socket(link.index, Subject::Ip(wanted.ip))
        .and_then(|socket| announcement.once(net, &socket).map(|()| socket))
        .and_then(|socket| announcement.rest_detached(socket));
    if let Err(error) = said {
        cx.log.debug(&error.to_string());
    }
}
