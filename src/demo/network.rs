//! The demonstration's network: a switch here, three hosts with a cable each.

#![forbid(unsafe_code)]

use std::net::IpAddr;
use std::time::Duration;

use super::{CARD, Host, LONGEST, PATIENCE, PREFIX};
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::host::address::Address;
use crate::host::lab::Cable;
use crate::host::link::Link;
use crate::host::net::Net;

/// The switch, with the network namespace of this process.
#[derive(Debug)]
pub(super) struct Switch {
    net: Net,
    bridge: Link,
}

impl Switch {
    /// Makes it, with no cables.
    ///
    /// # Errors
    /// The kernel refused.
    pub(super) fn make() -> Result<Self> {
        let net = open(LONGEST)?;
        let bridge = net.make_switch("switch")?;
        net.set_up(&bridge)?;
        Ok(Self { net, bridge })
    }

    /// Lays a cable to `host`, of which `process` is one.
    ///
    /// # Errors
    /// The kernel refused.
    pub(super) fn plug(&self, host: Host, process: u32) -> Result<()> {
        let cable = Cable { port: host.name, card: CARD, mac: host.mac, process };
        let port = self.net.make_cable(&cable, &self.bridge)?;
        self.net.set_up(&port)
    }

    /// Waits until packets pass through it between all its cables.
    ///
    /// # Errors
    /// One of them has no link at its other end.
    pub(super) fn wait_for_links(&self) -> Result<()> {
        let linked = self.net.wait_until(PATIENCE, |net| {
            let links = net.links()?;
            Ok(links.iter().filter(|link| !link.loopback).all(|link| link.fault().is_none()))
        })?;
        if linked {
            Ok(())
        } else {
            Err(Error::Failed("the switch has a port without a link".to_owned()))
        }
    }

    /// Cuts the cable to `host`.
    ///
    /// # Errors
    /// The kernel refused.
    pub(super) fn cut(&self, host: Host) -> Result<()> {
        match self.net.link_named(host.name)? {
            Some(port) => self.net.set_down(&port),
            None => Ok(()),
        }
    }
}

/// Sets up the card at the other end of the cable, in the network namespace of this process; its number.
///
/// # Errors
/// There is no cable, or it has no link.
pub(super) fn set_up_card(host: Host) -> Result<u32> {
    let net = open(PATIENCE)?;
    for name in ["lo", CARD] {
        let link = net.link_named(name)?.ok_or_else(|| missing(host))?;
        net.set_up(&link)?;
    }
    let card = net.link_named(CARD)?.ok_or_else(|| missing(host))?;
    net.add(&Address::new(card.index, IpAddr::V4(host.ip), PREFIX), CARD)?;
    let linked = net.wait_until(PATIENCE, |net| {
        Ok(net.link(card.index)?.is_some_and(|link| link.fault().is_none()))
    })?;
    if linked { Ok(card.index) } else { Err(missing(host)) }
}

fn missing(host: Host) -> Error {
    Error::Failed(format!("{} has no link to the switch", host.name))
}

fn open(at_most: Duration) -> Result<Net> {
    Net::open(Deadline::after(at_most))
}
