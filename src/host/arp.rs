//! ARP: announcements (RFC 5227, 3) and the question whether somebody has an address (RFC 5227, 2.1.1).

#![forbid(unsafe_code)]

use std::io;
use std::net::Ipv4Addr;

use super::inquiry::{self, Patience};
use super::packet::PacketSocket;
use crate::{trace_answer, trace_ask};

/// Ethernet type of ARP (RFC 826).
pub const ETHERTYPE: u16 = 0x0806;

/// An Ethernet hardware address.
pub type Mac = [u8; 6];

const BROADCAST: Mac = [0xff; 6];
const REQUEST: u16 = 1;
const REPLY: u16 = 2;
/// Length of the Ethernet header and the ARP packet behind it.
const FRAME: usize = 42;

/// An ARP packet over Ethernet for IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Packet {
    operation: u16,
    sender_mac: Mac,
    sender_ip: Ipv4Addr,
    target_mac: Mac,
    target_ip: Ipv4Addr,
}

impl Packet {
    fn broadcast_frame(&self) -> [u8; FRAME] {
        self.frame_to(BROADCAST)
    }

    fn frame_to(&self, destination: Mac) -> [u8; FRAME] {
        let mut frame = [0; FRAME];
        frame[0..6].copy_from_slice(&destination);
        frame[6..12].copy_from_slice(&self.sender_mac);
        frame[12..14].copy_from_slice(&ETHERTYPE.to_be_bytes());
        // Hardware type Ethernet, protocol IPv4, address lengths 6 and 4.
        frame[14..20].copy_from_slice(&[0, 1, 8, 0, 6, 4]);
        frame[20..22].copy_from_slice(&self.operation.to_be_bytes());
        frame[22..28].copy_from_slice(&self.sender_mac);
        frame[28..32].copy_from_slice(&self.sender_ip.octets());
        frame[32..38].copy_from_slice(&self.target_mac);
        frame[38..42].copy_from_slice(&self.target_ip.octets());
        frame
    }

    fn read(frame: &[u8]) -> Option<Self> {
        let frame: &[u8; FRAME] = frame.get(..FRAME)?.try_into().ok()?;
        let right = frame[12..14] == ETHERTYPE.to_be_bytes() && frame[14..20] == [0, 1, 8, 0, 6, 4];
        let mac = |at: usize| frame[at..at + 6].try_into().ok();
        let ip = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(&frame[at..at + 4]).ok()?));
        right.then_some(Self {
            operation: u16::from_be_bytes([frame[20], frame[21]]),
            sender_mac: mac(22)?,
            sender_ip: ip(28)?,
            target_mac: mac(32)?,
            target_ip: ip(38)?,
        })
    }
}

/// The frames that tell a network where `ip` is now: a request and a reply, since some devices believe only one of
/// the two.
#[must_use]
pub fn announcement(mac: Mac, ip: Ipv4Addr) -> [Vec<u8>; 2] {
    let request = Packet {
        operation: REQUEST,
        sender_mac: mac,
        sender_ip: ip,
        target_mac: [0; 6],
        target_ip: ip,
    };
    let reply = Packet { operation: REPLY, target_mac: mac, ..request };
    [request.broadcast_frame().to_vec(), reply.broadcast_frame().to_vec()]
}

/// The hardware address at which `frame` announces `ip`; none if it is no announcement of it (RFC 5227, 3).
#[must_use]
pub fn announced(frame: &[u8], ip: Ipv4Addr) -> Option<Mac> {
    let packet = Packet::read(frame)?;
    (packet.sender_ip == ip && packet.target_ip == ip).then_some(packet.sender_mac)
}

/// The hardware address of the host that has `ip`, as `frame` says, or that is about to take it (RFC 5227, 2.1.1).
#[must_use]
pub fn contradicted(frame: &[u8], ip: Ipv4Addr) -> Option<Mac> {
    Packet::read(frame).filter(|packet| contradicts(packet, ip)).map(|packet| packet.sender_mac)
}

/// The hardware address of the host that says in `frame` that it has `ip` (RFC 5227, 2.4).
#[must_use]
pub fn claimed(frame: &[u8], ip: Ipv4Addr) -> Option<Mac> {
    Packet::read(frame).filter(|packet| packet.sender_ip == ip).map(|packet| packet.sender_mac)
}

/// The frames that ask for `ip` without claiming it (RFC 5227, 2.1.1): to everybody, and to `suspect` alone.
#[must_use]
pub fn probes(mac: Mac, ip: Ipv4Addr, suspect: Mac) -> [Vec<u8>; 2] {
    let probe = Packet {
        operation: REQUEST,
        sender_mac: mac,
        sender_ip: Ipv4Addr::UNSPECIFIED,
        target_mac: [0; 6],
        target_ip: ip,
    };
    [BROADCAST, suspect].map(|destination| probe.frame_to(destination).to_vec())
}

/// Asks the network whether another host has `ip`: its hardware address, or none if nobody answered.
///
/// A host that asks the same at the same time is about to take the address, so that it counts as well. Frames of a
/// hardware address that `is_ours` are not another host's.
///
/// # Errors
/// The question could not be asked, which says nothing about a conflict.
pub fn who_has(
    socket: &PacketSocket,
    mac: Mac,
    ip: Ipv4Addr,
    is_ours: &mut dyn FnMut(&Mac) -> bool,
    patience: &Patience<'_>,
) -> io::Result<Option<Mac>> {
    let [frame, _] = probes(mac, ip, BROADCAST);
    trace_ask!("ARP probe for {ip}");
    let other = inquiry::ask(socket, &[frame], patience, &mut |received| {
        contradicted(received, ip).filter(|other| *other != mac && !is_ours(other))
    })?;
    match &other {
        Some(other) => trace_answer!("{} has {ip}", text(other)),
        None => trace_answer!("nobody answers for {ip}"),
    }
    Ok(other)
}

/// Asks for all of `ips` at once: the first one that somebody has, or none if nobody answered.
///
/// The questions name no sender, as probes do, so that they change nobody's cache.
///
/// # Errors
/// The questions could not be asked.
pub fn first_to_answer(
    socket: &PacketSocket,
    mac: Mac,
    ips: &[Ipv4Addr],
    patience: &Patience<'_>,
) -> io::Result<Option<Ipv4Addr>> {
    trace_ask!("ARP probes for {ips:?}");
    let questions: Vec<_> =
        ips.iter().map(|ip| probe(mac, *ip).broadcast_frame().to_vec()).collect();
    let answered = inquiry::ask(socket, &questions, patience, &mut |received| {
        let packet = Packet::read(received).filter(|packet| packet.sender_mac != mac)?;
        ips.contains(&packet.sender_ip).then_some(packet.sender_ip)
    })?;
    match &answered {
        Some(ip) => trace_answer!("{ip} answers"),
        None => trace_answer!("nobody answers"),
    }
    Ok(answered)
}

/// The question who has `ip`, from nobody (RFC 5227, 1.1, "ARP Probe").
fn probe(mac: Mac, ip: Ipv4Addr) -> Packet {
    Packet {
        operation: REQUEST,
        sender_mac: mac,
        sender_ip: Ipv4Addr::UNSPECIFIED,
        target_mac: [0; 6],
        target_ip: ip,
    }
}

/// RFC 5227, 2.1.1: a packet from the address, or somebody else's probe for it.
fn contradicts(packet: &Packet, ip: Ipv4Addr) -> bool {
    let claims = packet.sender_ip == ip;
    let probes =
        packet.operation == REQUEST && packet.sender_ip.is_unspecified() && packet.target_ip == ip;
    claims || probes
}

/// A hardware address as people write it.
#[must_use]
pub fn text(mac: &[u8]) -> String {
    mac.iter().map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAC: Mac = [2, 0, 0, 0, 0, 1];

    #[test]
    fn an_announcement_is_a_broadcast_request_and_a_broadcast_reply() {
        let [request, reply] = announcement(MAC, "192.0.2.10".parse().unwrap());
        let expected_request = [
            255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0,
            0, 0, 1, 192, 0, 2, 10, 0, 0, 0, 0, 0, 0, 192, 0, 2, 10,
        ];
        let expected_reply = [
            255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 2, 2, 0, 0,
            0, 0, 1, 192, 0, 2, 10, 2, 0, 0, 0, 0, 1, 192, 0, 2, 10,
        ];
        assert_eq!(request, expected_request);
        assert_eq!(reply, expected_reply);
    }

    #[test]
    fn an_announcement_is_known_for_one() {
        let (ip, other) = ("192.0.2.10".parse().unwrap(), "192.0.2.11".parse().unwrap());
        for frame in announcement(MAC, ip) {
            assert_eq!(announced(&frame, ip), Some(MAC));
            assert_eq!(announced(&frame, other), None);
        }
    }

    #[test]
    fn a_probe_claims_nothing() {
        let [all, one] = probes(MAC, "192.0.2.10".parse().unwrap(), [2, 0, 0, 0, 0, 9]);
        assert_eq!((&all[..6], &one[..6]), (&[0xff; 6][..], &[2, 0, 0, 0, 0, 9][..]));
        assert_eq!(all[6..], one[6..]);
        assert_eq!(all[6..12], MAC);
        assert_eq!(all[28..32], [0; 4]);
        assert_eq!(all[38..42], [192, 0, 2, 10]);
    }

    #[test]
    fn a_conflict_is_a_claim_or_a_rival_probe() {
        let ip: Ipv4Addr = "192.0.2.10".parse().unwrap();
        let other: Ipv4Addr = "192.0.2.11".parse().unwrap();
        let base = Packet {
            operation: REPLY,
            sender_mac: MAC,
            sender_ip: ip,
            target_mac: [0; 6],
            target_ip: other,
        };
        assert!(contradicts(&base, ip));
        assert!(
            !contradicts(&Packet { sender_ip: other, target_ip: ip, ..base }, ip),
            "an answer to our neighbour"
        );
        let probe =
            Packet { operation: REQUEST, sender_ip: Ipv4Addr::UNSPECIFIED, target_ip: ip, ..base };
        assert!(contradicts(&probe, ip));
        assert!(!contradicts(&Packet { sender_ip: other, ..probe }, ip), "an ordinary request");
    }

    proptest! {
        #[test]
        fn any_frame_can_be_read_or_refused(frame in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Packet::read(&frame);
        }

        #[test]
        fn what_is_written_is_read(mac in any::<Mac>(), target in any::<Mac>(), ip in any::<u32>(), op in any::<u16>()) {
            let packet = Packet {
                operation: op, sender_mac: mac, sender_ip: ip.into(), target_mac: target, target_ip: (!ip).into(),
            };
            prop_assert_eq!(Packet::read(&packet.broadcast_frame()), Some(packet));
        }
    }
}
