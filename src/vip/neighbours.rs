//! The other hosts on the link: asking whether they have the address, and telling them that we do.

#![forbid(unsafe_code)]

use std::net::IpAddr;
use std::time::Duration;

use super::Wanted;
use crate::agent::Cx;
use crate::error::{Error, Result};
use crate::host::announce::{Announcement, ethernet};
use crate::host::arp::{self, Patience};
use crate::host::link::Link;
use crate::host::net::Net;

/// A host that has the address answers within a millisecond or two. RFC 5227 waits for seconds, which is more than a
/// takeover may cost; the second question is for the one frame that a busy switch drops.
const PATIENCE: Patience = Patience {
    questions: &[Duration::ZERO, Duration::from_millis(15)],
    end: Duration::from_millis(40),
};

/// Whether the address can be announced on the interface at all.
///
/// # Errors
/// Its hardware addresses are none of Ethernet.
pub(super) fn announceable(link: &Link) -> Result<()> {
    if link.no_neighbours { Ok(()) } else { ethernet(link).map(drop) }
}

/// Asks the network whether another host has the address. Not to be able to ask is no conflict.
///
/// # Errors
/// Another host has it.
pub(super) fn refuse_conflict(wanted: &Wanted, cx: &Cx<'_>, net: &Net, link: &Link) -> Result<()> {
    let IpAddr::V4(ip) = wanted.ip else { return Ok(()) };
    if !wanted.conflict_check || link.no_neighbours || !link.carrier {
        return Ok(());
    }
    let mac = ethernet(link)?;
    let other = match arp::who_has(link.index, mac, ip, &[], &PATIENCE) {
        Ok(other) => other,
        Err(error) => {
            cx.log.warn(&format!(
                "cannot ask on {} whether another host has {ip}: {error}",
                link.name
            ));
            return Ok(());
        }
    };
    let Some(other) = other else { return Ok(()) };
    // Another interface of this host on the same network answers too.
    if net.links()?.iter().any(|own| own.hardware == other) {
        return Ok(());
    }
    Err(Error::Failed(format!(
        "another host has {ip}: {} answers for it on {}; end it there, or set conflict_check=false",
        arp::text(&other),
        link.name
    )))
}

/// Announces the address once before anything else happens, then as often as wanted.
///
/// A failure is told and no more: the address works, and neighbours find it when they ask.
pub(super) fn announce(wanted: &Wanted, cx: &Cx<'_>, net: &Net, link: &Link) {
    if link.no_neighbours {
        return;
    }
    let announcement = Announcement {
        ip: wanted.ip,
        index: link.index,
        count: wanted.announce.count,
        interval: wanted.announce.interval,
    };
    let rest =
        if wanted.announce.background { Announcement::rest_detached } else { Announcement::rest };
    if let Err(error) = announcement.once(net).and_then(|()| rest(&announcement)) {
        cx.log.warn(&format!(
            "{error}; neighbours may send to the old owner until their caches expire"
        ));
    }
}

/// Announces from a monitor, which mends what a lost announcement or a short split left.
pub(super) fn refresh(wanted: &Wanted, cx: &Cx<'_>, net: &Net, index: u32) {
    if wanted.announce.refresh == 0 {
        return;
    }
    let announcement = Announcement {
        ip: wanted.ip,
        index,
        count: wanted.announce.refresh,
        interval: wanted.announce.interval,
    };
    if let Err(error) = announcement.once(net).and_then(|()| announcement.rest_detached()) {
        cx.log.debug(&error.to_string());
    }
}
