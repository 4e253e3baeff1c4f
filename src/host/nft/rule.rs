//! One rule of the packet filter as `nf_tables` takes it: expressions that load, compare and judge
//! (`linux/netfilter/nf_tables.h`).

#![forbid(unsafe_code)]

use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::{Answer, Block, Side};
use crate::host::address::bits;
use crate::host::raw::Attributes;
use crate::host::sockets::Transport;

/// `NFTA_LIST_ELEM`.
const ELEMENT: u16 = 1;
/// `NFTA_EXPR_NAME` and `NFTA_EXPR_DATA`.
const NAME: u16 = 1;
const DATA: u16 = 2;
/// `NFT_REG_1`: where every value is loaded and compared.
const REGISTER: u32 = 1;
/// Keys of the expression `meta`.
const FAMILY: u32 = 15;
const PROTOCOL: u32 = 16;
/// Bases of the expression `payload`.
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
/// Where the flags are in the header of TCP, and which is the reset (RFC 9293, 3.1).
const FLAGS: u32 = 13;
const RST: u8 = 4;
/// Operators of the expression `cmp`.
const EQUAL: u32 = 0;
const AT_MOST: u32 = 3;
const AT_LEAST: u32 = 5;

/// The expressions of a rule for one range of ports.
pub(super) fn expressions(
    block: &Block<'_>,
    side: Side,
    ports: &RangeInclusive<u16>,
) -> Attributes {
    let all = [
        of_network(block, side),
        of_ports(block.transport, side, ports),
        no_resets(block, side),
        judged(block),
    ];
    let list = Attributes::new();
    all.iter().flatten().fold(list, |list, expression| list.nested(ELEMENT, expression))
}

fn expression(name: &str, data: &Attributes) -> Attributes {
    Attributes::new().with_text(NAME, name).nested(DATA, data)
}

fn meta(key: u32) -> Attributes {
    expression("meta", &Attributes::new().with_number(2, key).with_number(1, REGISTER))
}

fn payload(base: u32, offset: u32, length: u32) -> Attributes {
    let place = Attributes::new().with_number(1, REGISTER).with_number(2, base);
    expression("payload", &place.with_number(3, offset).with_number(4, length))
}

fn compare(operator: u32, value: &[u8]) -> Attributes {
    let data = Attributes::new().with(1, value);
    let test = Attributes::new().with_number(1, REGISTER).with_number(2, operator);
    expression("cmp", &test.nested(3, &data))
}

/// The packet is of the network's family, and comes from it or goes to it.
fn of_network(block: &Block<'_>, side: Side) -> Vec<Attributes> {
    let (network, prefix) = (block.network.address, block.network.prefix);
    // Offsets of the source and the destination address (RFC 791, 3.1; RFC 8200, 3).
    let (family, octets, source, destination) = match network {
        IpAddr::V4(ip) => (libc::NFPROTO_IPV4, ip.octets().to_vec(), 12, 16),
        IpAddr::V6(ip) => (libc::NFPROTO_IPV6, ip.octets().to_vec(), 8, 24),
    };
    let family = u8::try_from(family).unwrap_or(0);
    let mut list = vec![meta(FAMILY), compare(EQUAL, &[family])];
    if prefix == 0 {
        return list;
    }
    let length = u32::from(bits(network) / 8);
    let offset = if side == Side::In { destination } else { source };
    list.push(payload(NETWORK_HEADER, offset, length));
    if prefix < bits(network) {
        list.push(keep(&ones(length, prefix)));
    }
    list.push(compare(EQUAL, &octets));
    list
}

/// As many octets, of which the first `prefix` bits are one.
fn ones(length: u32, prefix: u8) -> Vec<u8> {
    let octet = |index: u32| {
        let ones = u32::from(prefix).saturating_sub(index * 8).min(8);
        !u8::MAX.checked_shr(ones).unwrap_or(0)
    };
    (0..length).map(octet).collect()
}

/// Leaves the bits that are one in `mask`, and clears the others.
fn keep(mask: &[u8]) -> Attributes {
    let length = u32::try_from(mask.len()).unwrap_or(0);
    let registers = Attributes::new().with_number(1, REGISTER).with_number(2, REGISTER);
    let masks = registers
        .with_number(3, length)
        .nested(4, &Attributes::new().with(1, mask))
        .nested(5, &Attributes::new().with(1, &vec![0; mask.len()]));
    expression("bitwise", &masks)
}

/// A reset has to get out where it is the answer to what came in.
fn no_resets(block: &Block<'_>, side: Side) -> Vec<Attributes> {
    if (block.answer, block.transport, side) != (Answer::Reject, Transport::Tcp, Side::Out) {
        return Vec::new();
    }
    vec![payload(TRANSPORT_HEADER, FLAGS, 1), keep(&[RST]), compare(EQUAL, &[0])]
}

/// What comes in is told by the port it goes to, and what goes out by the port it comes from.
fn of_ports(transport: Transport, side: Side, ports: &RangeInclusive<u16>) -> Vec<Attributes> {
    let offset = if side == Side::In { 2 } else { 0 };
    let mut list = vec![
        meta(PROTOCOL),
        compare(EQUAL, &[transport.number()]),
        payload(TRANSPORT_HEADER, offset, 2),
    ];
    let (low, high) = (ports.start().to_be_bytes(), ports.end().to_be_bytes());
    if low == high {
        list.push(compare(EQUAL, &low));
    } else {
        list.extend([compare(AT_LEAST, &low), compare(AT_MOST, &high)]);
    }
    list
}

/// Counts, so that one can see whether something is stopped, and stops it.
fn judged(block: &Block<'_>) -> Vec<Attributes> {
    let reject = |kind: u32, code: u8| {
        expression("reject", &Attributes::new().with_number(1, kind).with(2, &[code]))
    };
    let verdict = match (block.answer, block.transport) {
        (Answer::Drop, _) => {
            // NF_DROP is 0, as is the register of the verdict.
            let verdict = Attributes::new().nested(2, &Attributes::new().with_number(1, 0));
            expression("immediate", &Attributes::new().with_number(1, 0).nested(2, &verdict))
        }
        // NFT_REJECT_TCP_RST.
        (Answer::Reject, Transport::Tcp) => reject(1, 0),
        // There is no reset of UDP; its refusal is "port unreachable" of ICMP or ICMPv6 (NFT_REJECT_ICMPX_UNREACH).
        (Answer::Reject, Transport::Udp) => reject(2, 1),
    };
    vec![expression("counter", &Attributes::new()), verdict]
}
