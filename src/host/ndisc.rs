//! Unsolicited neighbour advertisements (RFC 4861, 4.4 and 7.2.6), and questions that a live host answers.

#![forbid(unsafe_code)]

use std::net::Ipv6Addr;

use super::arp::Mac;

/// Ethernet type of IPv6 (RFC 2464).
const ETHERTYPE: u16 = 0x86dd;

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Where a frame for all nodes of a link goes (RFC 2464, 7).
pub const ALL_NODES_MAC: Mac = [0x33, 0x33, 0, 0, 0, 1];
const ICMPV6: u8 = 58;
const ECHO_REQUEST: u8 = 128;
const NEIGHBOUR_SOLICITATION: u8 = 135;
/// The type of neighbour advertisements.
pub(super) const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const ROUTER: u8 = 0x80;
const OVERRIDE: u8 = 0x20;

/// The frame that tells all nodes of a link where `ip` is now. `router`: this host forwards IPv6; the flag must be
/// right, since hosts drop a default router whose advertisement lacks it (RFC 4861, 7.2.5).
#[must_use]
pub fn announcement(mac: Mac, ip: Ipv6Addr, router: bool) -> Vec<u8> {
    let mut message =
        vec![NEIGHBOUR_ADVERTISEMENT, 0, 0, 0, OVERRIDE | if router { ROUTER } else { 0 }, 0, 0, 0];
    message.extend(ip.octets());
    // Option: target link-layer address, length in units of eight octets.
    message.extend([2, 1]);
    message.extend(mac);
    frame(ALL_NODES_MAC, mac, ip, ALL_NODES, message)
}

/// The link-local address that a host makes of its hardware address if nobody tells it otherwise (RFC 2464, 5).
#[must_use]
pub fn link_local(mac: Mac) -> Ipv6Addr {
    let mut octets = [0; 16];
    octets[..2].copy_from_slice(&[0xfe, 0x80]);
    octets[8..11].copy_from_slice(&[mac[0] ^ 2, mac[1], mac[2]]);
    octets[11..13].copy_from_slice(&[0xff, 0xfe]);
    octets[13..].copy_from_slice(&mac[3..]);
    Ipv6Addr::from(octets)
}

/// A neighbour solicitation for `ip` that goes to `suspect` alone (RFC 4861, 7.3.3).
#[must_use]
pub fn solicitation(mac: Mac, ip: Ipv6Addr, suspect: Mac) -> Vec<u8> {
    let mut message = vec![NEIGHBOUR_SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
    message.extend(ip.octets());
    // Option: source link-layer address.
    message.extend([1, 1]);
    message.extend(mac);
    frame(suspect, mac, link_local(mac), ip, message)
}

/// An echo request for all nodes that goes to `suspect` alone, which has to ask for `source` before it can answer.
#[must_use]
pub fn echo(mac: Mac, source: Ipv6Addr, suspect: Mac) -> Vec<u8> {
    let message = vec![ECHO_REQUEST, 0, 0, 0, 0, 0, 0, 0];
    frame(suspect, mac, source, ALL_NODES, message)
}

/// At which hardware address `message`, from its header of `ICMPv6` on, advertises `ip`; none if it does not, or does not say where.
#[must_use]
pub fn advertised(message: &[u8], ip: Ipv6Addr) -> Option<Mac> {
    let (fixed, mut options) = message.split_at_checked(24)?;
    if fixed[..2] != [NEIGHBOUR_ADVERTISEMENT, 0] || fixed[8..] != ip.octets() {
        return None;
    }
    // Option: target link-layer address, length in units of eight octets.
    while let [kind, units, ..] = *options {
        let option = options.get(..usize::from(units) * 8).filter(|option| !option.is_empty())?;
        if (kind, units) == (2, 1) {
            return option[2..].try_into().ok();
        }
        options = &options[option.len()..];
    }
    None
}

/// The same of a whole frame, from which host it came.
#[must_use]
pub fn advertised_by(frame: &[u8], ip: Ipv6Addr) -> Option<Mac> {
    let is_icmp = frame.get(12..14)? == ETHERTYPE.to_be_bytes() && *frame.get(20)? == ICMPV6;
    let message = frame.get(54..).filter(|_| is_icmp)?;
    let named =
        message.get(..2)? == [NEIGHBOUR_ADVERTISEMENT, 0] && message.get(8..24)? == ip.octets();
    frame.get(6..12).filter(|_| named)?.try_into().ok()
}

/// A frame with a message of `ICMPv6`, whose checksum is filled in.
fn frame(
    to: Mac,
    mac: Mac,
    source: Ipv6Addr,
    destination: Ipv6Addr,
    mut message: Vec<u8>,
) -> Vec<u8> {
    let checksum = checksum(source, destination, &message);
    message[2..4].copy_from_slice(&checksum.to_be_bytes());

    let length = u16::try_from(message.len()).unwrap_or_default();
    let mut frame = Vec::with_capacity(14 + 40 + message.len());
    frame.extend(to);
    frame.extend(mac);
    frame.extend(ETHERTYPE.to_be_bytes());
    // Version 6, no class, no flow.
    frame.extend([0x60, 0, 0, 0]);
    frame.extend(length.to_be_bytes());
    // Receivers drop it with any other hop limit (RFC 4861, 7.1.1 and 7.1.2).
    frame.extend([ICMPV6, 255]);
    frame.extend(source.octets());
    frame.extend(destination.octets());
    frame.extend(message);
    frame
}

/// The Internet checksum over the pseudo-header and the message (RFC 8200, 8.1).
fn checksum(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> u16 {
    let length = u32::try_from(message.len()).unwrap_or_default();
    let mut covered = Vec::with_capacity(40 + message.len());
    covered.extend(source.octets());
    covered.extend(destination.octets());
    covered.extend(length.to_be_bytes());
    covered.extend([0, 0, 0, ICMPV6]);
    covered.extend(message);
    let mut sum: u32 = covered
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_advertisement_is_unsolicited_overrides_and_names_the_target() {
        let ip: Ipv6Addr = "2001:db8::10".parse().unwrap();
        let frame = announcement([2, 0, 0, 0, 0, 1], ip, false);
        assert_eq!(frame.len(), 86);
        assert_eq!(frame[..14], [0x33, 0x33, 0, 0, 0, 1, 2, 0, 0, 0, 0, 1, 0x86, 0xdd]);
        assert_eq!(frame[18..22], [0, 32, 58, 255]);
        assert_eq!(frame[22..38], ip.octets());
        assert_eq!(frame[54..56], [136, 0]);
        assert_eq!(frame[58], 0x20, "override; neither router nor solicited");
        assert_eq!(frame[62..78], ip.octets());
        assert_eq!(frame[78..], [2, 1, 2, 0, 0, 0, 0, 1]);
        assert_eq!(announcement([2, 0, 0, 0, 0, 1], ip, true)[58], 0xa0);
    }

    #[test]
    fn questions_go_to_the_suspect_alone() {
        let (own, suspect) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 9]);
        let target = link_local(suspect);
        assert_eq!(target.to_string(), "fe80::ff:fe00:9");
        let asked = solicitation(own, target, suspect);
        assert_eq!(asked.len(), 86);
        assert_eq!(asked[..14], [2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1, 0x86, 0xdd]);
        assert_eq!(asked[38..54], target.octets(), "to the target itself");
        assert_eq!((asked[54], &asked[62..78]), (135, &target.octets()[..]));
        assert_eq!(asked[78..], [1, 1, 2, 0, 0, 0, 0, 1]);
        let pinged = echo(own, link_local(own), suspect);
        assert_eq!(pinged[..6], suspect);
        assert_eq!((&pinged[38..54], pinged[54]), (&ALL_NODES.octets()[..], 128));
        assert_eq!(checksum(link_local(own), ALL_NODES, &pinged[54..]), 0);
    }

    #[test]
    fn an_advertisement_is_known_with_its_place() {
        let (ip, other) = ("2001:db8::10".parse().unwrap(), "2001:db8::11".parse().unwrap());
        let mac = [2, 0, 0, 0, 0, 1];
        let frame = announcement(mac, ip, false);
        assert_eq!(advertised(&frame[54..], ip), Some(mac));
        assert_eq!(advertised_by(&frame, ip), Some(mac));
        assert_eq!((advertised(&frame[54..], other), advertised_by(&frame, other)), (None, None));
        // Without the option nobody knows where.
        assert_eq!(advertised(&frame[54..78], ip), None);
        assert_eq!(advertised_by(&solicitation(mac, ip, mac), ip), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..128)) {
            let ip = Ipv6Addr::UNSPECIFIED;
            let message = [&[NEIGHBOUR_ADVERTISEMENT, 0][..], &[0; 22], &bytes].concat();
            let _ = (advertised(&message, ip), advertised(&bytes, ip), advertised_by(&bytes, ip));
        }

        /// RFC 1071: over data with its checksum in place, the sum is zero.
        #[test]
        fn a_receiver_finds_the_checksum_right(bits in any::<u128>(), mac in any::<Mac>()) {
            let ip = Ipv6Addr::from(bits);
            let frame = announcement(mac, ip, false);
            prop_assert_eq!(checksum(ip, ALL_NODES, &frame[54..]), 0);
        }
    }
}
