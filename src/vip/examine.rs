//! What the kernel has of an address, compared with what is wanted, field by field.

#![forbid(unsafe_code)]

use std::fmt;
use std::net::IpAddr;

use rtnetlink::packet_route::address::AddressFlags;

use crate::error::Result;
use crate::host::address::{Address, is_link_local};
use crate::host::link::Link;
use crate::host::net::Net;
use crate::param::values::Lifetime;

use super::Wanted;

/// One place where the address is, and what is not as wanted there.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The address as the kernel has it.
    pub address: Address,
    /// Its interface.
    pub link: Link,
    /// Each difference in words; empty if it is right.
    pub differences: Vec<String>,
}

impl Place {
    pub fn is_right(&self) -> bool {
        self.differences.is_empty()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.address, self.link.name)
    }
}

/// Where the address is, on the one interface that is given or on all.
///
/// # Errors
/// The kernel could not tell.
pub(super) fn places(wanted: &Wanted, net: &Net, on: Option<&Link>) -> Result<Vec<Place>> {
    let mut places = Vec::new();
    for address in net.places_of(wanted.ip, on.map(|link| link.index))? {
        let link = match on {
            Some(link) => Some(link.clone()),
            None => net.link(address.index)?,
        };
        // An interface that vanished between the two questions took its addresses along.
        let Some(link) = link else { continue };
        if wanted.gives_way(&link) {
            continue;
        }
        let differences = differences(wanted, &address, &link);
        places.push(Place { address, link, differences });
    }
    leave_other_worlds(wanted, net, &mut places)?;
    Ok(places)
}

/// Leaves out places where the same bits are another address: a link-local one of another interface (RFC 4007, 6), one
/// in another VRF than the interface that is given, and one in any VRF if none is given.
fn leave_other_worlds(wanted: &Wanted, net: &Net, places: &mut Vec<Place>) -> Result<()> {
    let on_nic = |link: &Link| wanted.nic.as_ref().is_some_and(|nic| link.is_named(nic.as_str()));
    if places.iter().all(|place| on_nic(&place.link)) {
        return Ok(());
    }
    if is_link_local(wanted.ip) {
        places.retain(|place| on_nic(&place.link));
        return Ok(());
    }
    let vrf = match &wanted.nic {
        None => None,
        Some(nic) => match net.link_named(nic.as_str())? {
            Some(link) => link.vrf(),
            // Nobody knows where it was. It may have another name by now.
            None => return Ok(()),
        },
    };
    places.retain(|place| place.link.vrf() == vrf);
    Ok(())
}

fn differences(wanted: &Wanted, address: &Address, link: &Link) -> Vec<String> {
    let mut found = Vec::new();
    match &wanted.nic {
        Some(nic) if !link.is_named(nic.as_str()) => {
            found.push(format!("it is on {} instead of {nic}", link.name));
        }
        None if link.loopback && !wanted.ip.is_loopback() => {
            found.push(format!("it is on {} instead of a network interface", link.name));
        }
        _ => {}
    }
    if link.port_of.takes_all() {
        found.push(format!(
            "{} is a port of a bond, bridge or team, which gets what arrives there",
            link.name
        ));
    }
    if let Some(prefix) = wanted.prefix
        && prefix != address.prefix
    {
        found.push(format!("its prefix length is {} instead of {prefix}", address.prefix));
    }
    if let Ok(Some(label)) = wanted.label_on(&link.name)
        && address.label.as_deref() != Some(&label)
    {
        let actual = address.label.as_deref().unwrap_or("none");
        found.push(format!("its label is {actual} instead of {label}"));
    }
    found.extend(other_differences(wanted, address));
    if address.is_duplicate() {
        found.push(
            "another host on the network has it (duplicate address detection failed)".to_owned(),
        );
    } else if address.is_tentative() {
        found.push("it cannot be used yet (duplicate address detection has not ended)".to_owned());
    }
    found
}

/// What was asked for besides place, prefix and label. What was not is left as it is.
fn other_differences(wanted: &Wanted, address: &Address) -> Vec<String> {
    let mut found = Vec::new();
    if let (IpAddr::V4(ip), Some(broadcast)) = (address.ip, wanted.broadcast) {
        let asked = broadcast.of(ip, address.prefix);
        if address.broadcast != Some(asked) {
            let actual = address.broadcast.map_or("none".to_owned(), |actual| actual.to_string());
            found.push(format!("its broadcast address is {actual} instead of {asked}"));
        }
    }
    if wanted.noprefixroute && !address.flags.contains(AddressFlags::Noprefixroute) {
        found.push("it made a route to its subnet, which noprefixroute forbids".to_owned());
    }
    let deprecated = address.flags.contains(AddressFlags::Deprecated);
    match wanted.preferred.filter(|_| address.ip.is_ipv6()).map(Lifetime::seconds) {
        Some(0) if !deprecated => {
            found.push("it is preferred as a source, and preferred_lft is 0".to_owned());
        }
        Some(u32::MAX) if deprecated => {
            let words = "it is no longer preferred as a source, and preferred_lft is forever";
            found.push(words.to_owned());
        }
        _ => {}
    }
    found
}

/// All that is wrong with `places`, of which there is at least one: in words, or nothing.
pub(super) fn faults(wanted: &Wanted, places: &[Place]) -> Option<String> {
    let right = places.iter().filter(|place| place.is_right()).count();
    if right == 1 && places.len() == 1 {
        return None;
    }
    let wrong = places.iter().filter(|place| !place.is_right());
    let mut words: Vec<String> =
        wrong.map(|place| format!("{place}: {}", place.differences.join(", "))).collect();
    if right > 1 {
        let all: Vec<String> = places.iter().map(ToString::to_string).collect();
        words.push(format!("it is there {right} times ({})", all.join(", ")));
    }
    Some(format!("{} is not as configured: {}", wanted.ip, words.join("; ")))
}
