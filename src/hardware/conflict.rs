//! Whether another host has the hardware address.
//!
//! A switch does not tell. So whoever has it is asked, by everything that a host answers without being told who asks, and
//! by everything that is known of it; and whatever frame then comes from the address gives it away.

#![forbid(unsafe_code)]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Wanted, substitute};
use crate::agent::Cx;
use crate::error::{Error, Result};
use crate::host::announce::ethernet;
use crate::host::arp::{self, Mac};
use crate::host::inquiry::{self, PATIENCE};
use crate::host::link::Link;
use crate::host::ndisc;
use crate::host::net::Net;
use crate::host::packet::PacketSocket;
use crate::{trace_answer, trace_ask};

/// How many addresses are asked for that only the neighbour tables have at the suspect.
const MOST: usize = 16;

/// Who has what is about to be taken.
enum Owner {
    /// A frame came from the hardware address.
    OfHardware,
    /// A host with another hardware address has one of its IP addresses.
    OfIp(Ipv4Addr, Mac),
}

/// Asks on the cable of `card`, which does not have the address yet, for it and for its IPv4 addresses. Not to be able to
/// ask is no conflict.
///
/// The socket goes to the caller, for whom it is cheaper to give it away than to close it; none if nobody was asked.
///
/// # Errors
/// Another host has one of them.
pub(super) fn refuse(
    wanted: &Wanted,
    card: &Link,
    net: &Net,
    cx: &Cx<'_>,
) -> Result<Option<PacketSocket>> {
    if !wanted.conflict_check || !card.carrier {
        return Ok(None);
    }
    let on = &card.name;
    let questions = questions(ethernet(card)?, wanted.mac.octets(), &addresses(wanted, net));
    let asked = PacketSocket::watch(card.index, wanted.mac.octets()).and_then(|socket| {
        let owner = owner(wanted, net, &socket, &questions)?;
        socket.watch_no_longer(card.index)?;
        Ok((socket, owner))
    });
    match asked {
        Ok((socket, None)) => Ok(Some(socket)),
        Ok((_, Some(Owner::OfHardware))) => Err(Error::Failed(format!(
            "another host has {}: frames come from it on {on}; end it there, or set conflict_check=false",
            wanted.mac
        ))),
        Ok((_, Some(Owner::OfIp(ip, other)))) => Err(Error::Failed(format!(
            "another host has {ip}: {} answers for it on {on}; end it there, or set conflict_check=false",
            arp::text(&other)
        ))),
        Err(error) => {
            let mac = wanted.mac;
            cx.log.warn(&format!("cannot ask on {on} whether another host has {mac}: {error}"));
            Ok(None)
        }
    }
}

/// The IP addresses that whoever has the hardware address may answer for.
fn addresses(wanted: &Wanted, net: &Net) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = wanted.addresses.iter().map(|address| address.ip).collect();
    found.push(IpAddr::V6(ndisc::link_local(wanted.mac.octets())));
    let mut known = net.known_at(wanted.mac.octets()).unwrap_or_default();
    known.retain(|ip| !found.contains(ip));
    found.extend(known.into_iter().take(MOST));
    found
}

fn questions(own: Mac, suspect: Mac, addresses: &[IpAddr]) -> Vec<Vec<u8>> {
    let mut frames = vec![ndisc::echo(own, stranger(own), suspect)];
    for address in addresses {
        match address {
            IpAddr::V4(ip) => frames.extend(arp::probes(own, *ip, suspect)),
            IpAddr::V6(ip) => frames.push(ndisc::solicitation(own, *ip, suspect)),
        }
    }
    frames
}

/// A link-local address that nobody has asked for. Whoever asked for the card's own a moment ago, and got no answer since
/// it was tentative, would not ask again at once. The end is the card's, so that the question for it gets to the card:
/// it chooses the multicast group (RFC 4291, 2.7.1).
pub(super) fn stranger(own: Mac) -> Ipv6Addr {
    let random = substitute(own);
    ndisc::link_local([random[0], random[1], random[2], own[3], own[4], own[5]])
}

/// Who gives himself away after the questions.
fn owner(
    wanted: &Wanted,
    net: &Net,
    socket: &PacketSocket,
    questions: &[Vec<u8>],
) -> io::Result<Option<Owner>> {
    trace_ask!("{} questions for {} and its addresses", questions.len(), wanted.mac);
    let owner =
        inquiry::ask(socket, questions, &PATIENCE, &mut |frame| judged(frame, wanted, net))?;
    if owner.is_none() {
        trace_answer!("nobody has {} or its addresses", wanted.mac);
    }
    Ok(owner)
}

/// What a frame of somebody else says. This host's other cards on the same network speak too.
fn judged(frame: &[u8], wanted: &Wanted, net: &Net) -> Option<Owner> {
    if frame.get(6..12)? == wanted.mac.octets() {
        trace_answer!("a frame comes from {}", wanted.mac);
        return Some(Owner::OfHardware);
    }
    let claims = wanted.addresses.iter().find_map(|address| match address.ip {
        IpAddr::V4(ip) => Some((ip, arp::contradicted(frame, ip)?)),
        IpAddr::V6(_) => None,
    });
    let (ip, other) = claims?;
    trace_answer!("{} has {ip}", arp::text(&other));
    let ours = net.links().is_ok_and(|links| links.iter().any(|link| link.hardware == other));
    (!ours).then_some(Owner::OfIp(ip, other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_is_heard_of_by_the_group_of_the_cards_own_address() {
        let own = [2, 0, 0, 0xaa, 0xbb, 0xcc];
        let stranger = stranger(own);
        assert!(stranger.is_unicast_link_local());
        assert_eq!(stranger.octets()[13..], own[3..]);
        assert_ne!(stranger, ndisc::link_local(own));
    }

    #[test]
    fn every_question_leaves_from_our_own_address() {
        let (own, suspect) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 9]);
        let local = "::1".parse().unwrap();
        let frames = questions(own, suspect, &["192.0.2.10".parse().unwrap(), local]);
        assert_eq!(frames.len(), 4, "an echo, two ARP probes, a solicitation");
        for frame in frames {
            assert_eq!(frame[6..12], own);
            assert!(frame[..6] == suspect || frame[..6] == [0xff; 6]);
        }
    }
}
