//! Bringing a virtual address up.

#![forbid(unsafe_code)]

use std::net::IpAddr;

use super::examine::{self, Place};
use super::neighbours::{self, Neighbours, Rest};
use super::select::{self, Choice};
use super::{Wanted, compose, connections, loopback, remove};
use crate::agent::Cx;
use crate::error::{Error, Result};
use crate::host::address::Address;
use crate::host::link::Link;
use crate::host::net::Net;
use crate::host::sysctl;

/// Brings the address up and announces it, or leaves nothing of it behind.
///
/// # Errors
/// It is not up: the interface is missing or has no link, another host has the address, or the kernel refused.
pub fn start(wanted: &Wanted, cx: &Cx<'_>) -> Result<()> {
    let net = wanted.required_network(cx)?;
    let rest = {
        let _lock = cx.state.lock(&wanted.key(), &cx.deadline)?;
        bring_up(wanted, cx, &net)?
    };
    connections::tickle(wanted, cx, &net);
    // Nobody has to wait for these.
    if let Some(rest) = rest {
        rest.send(cx);
    }
    Ok(())
}

/// Brings the address up and announces it once; the other announcements, unless it was up already.
fn bring_up(wanted: &Wanted, cx: &Cx<'_>, net: &Net) -> Result<Option<Rest>> {
    remove::restore_promotion(cx)?;
    let places = examine::places(wanted, net, None)?;
    if let [place] = places.as_slice()
        && place.is_right()
        && !(wanted.check_link && place.link.fault().is_some())
    {
        return Ok(None);
    }
    let mut choice = select::in_kernel(wanted, net)?;
    if let Some(rival) = &choice.rival {
        cx.log.warn(&format!(
            "{} could be on {rival} as well as on {}; give nic",
            wanted.ip, choice.link.name
        ));
    }
    wanted.label_on(&choice.link.name)?;
    neighbours::announceable(&choice.link)?;
    bring_link_up(wanted, cx, net, &mut choice.link)?;
    remove_wrong_forms(cx, net, &choice, &places)?;
    neighbours::forget_rival(wanted, cx)?;
    let neighbours = Neighbours::on(&choice.link, wanted, cx);
    neighbours.refuse_conflict(wanted, cx, net, &choice.link)?;
    let added = loopback::give_way(wanted, cx, net).and_then(|()| add(wanted, cx, net, &choice));
    if let Err(error) = added {
        return Err(error.and(super::stop::undo(wanted, cx, net)));
    }
    let rest = neighbours.announce(wanted, cx, net, &choice.link);
    let Choice { link, prefix, because, .. } = choice;
    cx.log.info(&format!("{}/{prefix} is up on {} ({because})", wanted.ip, link.name));
    Ok(rest)
}

/// Sets the interface up and waits for its carrier. It stays up, even if start fails after all: somebody else may have
/// begun to use it meanwhile.
fn bring_link_up(wanted: &Wanted, cx: &Cx<'_>, net: &Net, link: &mut Link) -> Result<()> {
    if !link.up {
        net.set_up(link)?;
        cx.log.info(&format!("set {} up, where it stays", link.name));
        net.await_carrier(link)?;
    }
    match link.fault() {
        Some(fault) if wanted.check_link => {
            Err(Error::Failed(format!("cannot bring {} up: {fault}", wanted.ip)))
        }
        _ => Ok(()),
    }
}

fn remove_wrong_forms(cx: &Cx<'_>, net: &Net, choice: &Choice, places: &[Place]) -> Result<()> {
    for place in places.iter().filter(|place| !is_kept(place, choice)) {
        let words = if place.is_right() {
            "it is there twice".to_owned()
        } else {
            place.differences.join(", ")
        };
        cx.log.info(&format!("removing {} from {}: {words}", place.address, place.link.name));
        remove::remove(&place.address, &place.link.name, cx, net)?;
    }
    Ok(())
}

/// A place that is right and where the address belongs stays: it may have connections.
fn is_kept(place: &Place, choice: &Choice) -> bool {
    place.is_right()
        && place.link.index == choice.link.index
        && place.address.prefix == choice.prefix
}

fn add(wanted: &Wanted, cx: &Cx<'_>, net: &Net, choice: &Choice) -> Result<()> {
    if let Some(label) = wanted.source_label.filter(|_| wanted.ip.is_ipv6())
        && let Err(error) = net.add_source_label(wanted.ip, label)
    {
        cx.log.warn(&error.to_string());
    }
    let neighbours = match wanted.ip {
        IpAddr::V4(_) => net.addresses(wanted.ip, Some(choice.link.index))?,
        IpAddr::V6(_) => Vec::new(),
    };
    let address = compose::address(wanted, choice, &neighbours)?;
    tell_of_secondaries(&address, &neighbours, cx, &choice.link);
    net.add(&address, &choice.link.name)?;
    if wanted.ip.is_ipv6() {
        wait_for_detection(wanted, cx, net, choice)?;
    }
    confirm(wanted, net)
}

/// The kernel removes secondary addresses together with the primary one, unless it is told not to.
fn tell_of_secondaries(address: &Address, neighbours: &[Address], cx: &Cx<'_>, link: &Link) {
    let first = |other: &&Address| {
        !other.is_secondary() && other.prefix == address.prefix && other.subnet_contains(address.ip)
    };
    let primary = neighbours.iter().find(first);
    let primary = primary.filter(|_| !sysctl::promotes_secondaries(&link.name));
    if let Some(primary) = primary {
        cx.log.warn(&format!(
            "{} goes when {primary} is removed from {name}; `sysctl -w net.ipv4.conf.{name}.promote_secondaries=1` mends it",
            address.ip,
            name = link.name
        ));
    }
}

/// Waits until the address is no longer tentative (RFC 4862, 5.4).
fn wait_for_detection(wanted: &Wanted, cx: &Cx<'_>, net: &Net, choice: &Choice) -> Result<()> {
    let over = net.wait_until(cx.deadline.left(), |net| {
        let places = net.places_of(wanted.ip, Some(choice.link.index))?;
        Ok(places.iter().all(|place| place.is_duplicate() || !place.is_tentative()))
    })?;
    if !over {
        return Err(Error::Failed(format!(
            "duplicate address detection of {} on {} did not end within the action's timeout; is the link up?",
            wanted.ip, choice.link.name
        )));
    }
    Ok(())
}

/// Asks the kernel whether all is as wanted.
fn confirm(wanted: &Wanted, net: &Net) -> Result<()> {
    let places = examine::places(wanted, net, None)?;
    if places.is_empty() {
        return Err(Error::Failed(format!(
            "{} was added and is gone again; something on this host removes it",
            wanted.ip
        )));
    }
    examine::faults(wanted, &places).map_or(Ok(()), |words| Err(Error::Failed(words)))
}
