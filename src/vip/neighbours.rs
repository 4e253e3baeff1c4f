//! The other hosts on the link: asking whether they have the address, and telling them that we do.

#![forbid(unsafe_code)]

use std::net::IpAddr;

use super::Wanted;
use crate::agent::Cx;
use crate::error::{Error, Result};
use crate::host::announce::{self, Announcement, Subject, ethernet};
use crate::host::arp::{self, Mac, PATIENCE};
use crate::host::link::Link;
use crate::host::net::Net;
use crate::host::packet::PacketSocket;

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
        if !wanted.conflict_check || !link.carrier {
            return Ok(());
        }
        // Another interface of this host on the same network answers too.
        let mut own = None;
        let mut is_ours = |mac: &Mac| {
            let links = own.get_or_insert_with(|| net.links().unwrap_or_default());
            links.iter().any(|link| link.hardware == mac)
        };
        match arp::who_has(socket, ethernet(link)?, ip, &mut is_ours, &PATIENCE) {
            Ok(None) => Ok(()),
            Ok(Some(other)) => Err(Error::Failed(format!(
                "another host has {ip}: {} answers for it on {}; end it there, or set conflict_check=false",
                arp::text(&other),
                link.name
            ))),
            Err(error) => {
                let on = &link.name;
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
        let announcement = announcement(wanted, link.index, wanted.announce.count);
        if let Err(error) = announcement.once(net, &socket) {
            tell(&error, cx);
            return None;
        }
        Some(Rest { announcement, socket, background: wanted.announce.background })
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
        let sent = if self.background {
            self.announcement.rest_detached(self.socket)
        } else {
            self.announcement.rest_until(&cx.deadline, self.socket)
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
    Announcement {
        subject: Subject::Ip(wanted.ip),
        index,
        count,
        interval: wanted.announce.interval,
    }
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
