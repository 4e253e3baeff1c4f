//! Hosts on the same link, as far as the kernel knows any, and whether one of them answers.

#![forbid(unsafe_code)]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV6};
use std::time::Duration;

use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use super::arp::{self, ETHERTYPE, Mac};
use super::inquiry::Patience;
use super::link::Link;
use super::net::Net;
use super::packet::PacketSocket;
use super::probe::{self, Means, Plan, Question};
use crate::error::{Doing, Result};

impl Net {
    /// Addresses of hosts on the interface's link, those first from which something was heard last.
    ///
    /// # Errors
    /// The kernel could not tell.
    pub fn neighbours(&self, index: u32, family: Family) -> Result<Vec<IpAddr>> {
        let mut message = NeighbourMessage::default();
        message.header.family = match family {
            Family::V4 => AddressFamily::Inet,
            Family::V6 => AddressFamily::Inet6,
        };
        // In the attribute and not in the header, where strict checking wants none.
        message.attributes.push(NeighbourAttribute::IfIndex(index));
        let found = self.dump("list neighbours", RouteNetlinkMessage::GetNeighbour(message))?;
        let mut known: Vec<(bool, u32, IpAddr)> = found
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

/// Which neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Those known by ARP.
    V4,
    /// Those known by neighbour discovery.
    V6,
}

/// Whether the neighbour failed to answer, and how long ago it was heard.
fn heard(message: &NeighbourMessage, index: u32) -> Option<(bool, u32, IpAddr)> {
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
            NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => {
                ip = Some(IpAddr::V4(*address));
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => {
                ip = Some(IpAddr::V6(*address));
            }
            NeighbourAttribute::CacheInfo(about) => ago = about.confirmed,
            _ => {}
        }
    }
    Some((failed, ago, ip.filter(|ip| !ip.is_multicast())?))
}

/// How a link's neighbours are asked.
#[derive(Clone, Copy, Debug)]
pub struct Asking {
    /// Questions to each.
    pub times: u32,
    /// Time for all of them.
    pub within: Duration,
}

/// Asks all of `neighbours` at once, of one family: by ARP, or by an echo request that leaves through the interface.
/// Whether one answers.
///
/// # Errors
/// Nobody can be asked through this interface.
pub fn any_answers(link: &Link, neighbours: &[IpAddr], asking: Asking) -> Result<bool> {
    let mut v4 = Vec::new();
    let mut v6 = Vec::new();
    for neighbour in neighbours {
        match neighbour {
            IpAddr::V4(ip) => v4.push(*ip),
            IpAddr::V6(ip) => v6.push(*ip),
        }
    }
    let answered = if v4.is_empty() { echo(link, &v6, asking) } else { arp(link, &v4, asking) };
    answered.doing(|| format!("ask the neighbours on {}", link.name))
}

fn arp(link: &Link, neighbours: &[Ipv4Addr], asking: Asking) -> io::Result<bool> {
    let Ok(mac) = Mac::try_from(link.hardware.as_slice()) else { return Ok(false) };

    let socket = PacketSocket::bind(link.index, ETHERTYPE)?;
    let pause = asking.within / asking.times.max(1);
    let questions: Vec<Duration> = (0..asking.times).map(|number| pause * number).collect();
    let patience = Patience { questions: &questions, end: asking.within };
    Ok(arp::first_to_answer(&socket, mac, neighbours, &patience)?.is_some())
}

fn echo(link: &Link, neighbours: &[Ipv6Addr], asking: Asking) -> io::Result<bool> {
    let question = |ip: &Ipv6Addr| Question {
        // All together are one host: the first answer is enough.
        host: 0,
        to: SocketAddrV6::new(*ip, 0, 0, link.index).into(),
        means: Means::Echo,
    };
    let questions: Vec<Question> = neighbours.iter().map(question).collect();
    let attempts = u16::try_from(asking.times).unwrap_or(u16::MAX);
    let plan = Plan { attempts, needed: 1, time: asking.within, size: 56, source: None };
    Ok(probe::ask(&questions, &plan)?.answers.iter().any(Result::is_ok))
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
