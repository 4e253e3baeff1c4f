//! Hosts on the same link, as far as the kernel knows any, and whether one of them answers.

#![forbid(unsafe_code)]

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use super::arp::{self, ETHERTYPE, Mac, Patience};
use super::link::Link;
use super::net::Net;
use super::packet::PacketSocket;
use crate::error::{Doing, Result};

impl Net {
    /// IPv4 addresses of hosts on the interface's link, those first from which something was heard last.
    ///
    /// # Errors
    /// The kernel could not tell.
    pub fn neighbours(&self, index: u32) -> Result<Vec<Ipv4Addr>> {
        let mut message = NeighbourMessage::default();
        message.header.family = AddressFamily::Inet;
        // In the attribute and not in the header, where strict checking wants none.
        message.attributes.push(NeighbourAttribute::IfIndex(index));
        let found = self.dump("list neighbours", RouteNetlinkMessage::GetNeighbour(message))?;
        let mut known: Vec<(bool, u32, Ipv4Addr)> = found
            .iter()
            .filter_map(|object| match object {
                RouteNetlinkMessage::NewNeighbour(message) => heard(message, index),
                _ => None,
            })
            .collect();
        known.sort();
        Ok(known.into_iter().map(|(_, _, ip)| ip).collect())
    }

    /// The IP addresses that the neighbour tables have at `mac`, on whichever interface.
    ///
    /// # Errors
    /// The kernel could not tell.
    pub fn known_at(&self, mac: Mac) -> Result<Vec<IpAddr>> {
        let question = RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default());
        let mut found = Vec::new();
        for object in self.dump("list neighbours", question)? {
            if let RouteNetlinkMessage::NewNeighbour(message) = object {
                found.extend(address_at(&message, mac));
            }
        }
        Ok(found)
    }
}

/// Whether the neighbour failed to answer, and how long ago it was heard.
fn heard(message: &NeighbourMessage, index: u32) -> Option<(bool, u32, Ipv4Addr)> {
    // A kernel without strict checking sends those of all interfaces.
    if message.header.ifindex != index || message.header.state == NeighbourState::Noarp {
        return None;
    }
    let failed =
        matches!(message.header.state, NeighbourState::Failed | NeighbourState::Incomplete);
    let mut ip = None;
    let mut ago = u32::MAX;
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => ip = Some(*address),
            NeighbourAttribute::CacheInfo(about) => ago = about.confirmed,
            _ => {}
        }
    }
    Some((failed, ago, ip?))
}

/// How a link's neighbours are asked.
#[derive(Clone, Copy, Debug)]
pub struct Asking {
    /// Questions to each.
    pub times: u32,
    /// Time for all of them.
    pub within: Duration,
}

/// Asks all of `neighbours` at once; the first that answers.
///
/// # Errors
/// Nobody can be asked through this interface.
pub fn first_to_answer(
    link: &Link,
    neighbours: &[Ipv4Addr],
    asking: Asking,
) -> Result<Option<Ipv4Addr>> {
    let Ok(mac) = Mac::try_from(link.hardware.as_slice()) else { return Ok(None) };
    let ask = || -> io::Result<Option<Ipv4Addr>> {
        let socket = PacketSocket::bind(link.index, ETHERTYPE)?;
        let pause = asking.within / asking.times.max(1);
        let questions: Vec<Duration> = (0..asking.times).map(|number| pause * number).collect();
        let patience = Patience { questions: &questions, end: asking.within };
        arp::first_to_answer(&socket, mac, neighbours, &patience)
    };
    ask().doing(|| format!("ask the neighbours on {}", link.name))
}

fn address_at(message: &NeighbourMessage, mac: Mac) -> Option<IpAddr> {
    let attributes = &message.attributes;
    let there = attributes.iter().any(
        |attribute| matches!(attribute, NeighbourAttribute::LinkLayerAddress(at) if *at == mac),
    );
    let ip = attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => Some(IpAddr::V4(*ip)),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(ip)) => Some(IpAddr::V6(*ip)),
        _ => None,
    });
    ip.filter(|_| there)
}
