//! What the kernel announces about addresses, links and routes (rtnetlink(7)), and whether it matters to somebody.
//!
//! A watcher lives for months, and beside hundreds of others: what is about somebody else's address is told apart in the
//! bytes, without a question to the kernel.

#![forbid(unsafe_code)]

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::socket::MsgFlags;
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::bpf::{
    Instruction, Size, accept, compare, index_loaded, index_number, load, load_behind_index,
    load_number, refuse,
};
use super::packet::attach_filter;
use super::raw::attributes;

/// Message types and groups of `linux/rtnetlink.h`.
const NEW_LINK: u16 = 16;
const DELETED_LINK: u16 = 17;
const NEW_ADDRESS: u16 = 20;
const DELETED_ADDRESS: u16 = 21;
const NEW_ROUTE: u16 = 24;
const DELETED_ROUTE: u16 = 25;
const NEW_RULE: u16 = 32;
const DELETED_RULE: u16 = 33;
const LINKS: u32 = 1;
const IPV4_ADDRESSES: u32 = 5;
const IPV4_ROUTES: u32 = 7;
const IPV4_RULES: u32 = 8;
const IPV6_ADDRESSES: u32 = 9;
const IPV6_ROUTES: u32 = 11;
const IPV6_RULES: u32 = 19;

/// Lengths of the headers of a message, and of one about an address.
const HEADER: usize = 16;
const ADDRESS_HEADER: usize = 8;

/// Where the family stands in a message about an address, and where its attributes begin.
const FAMILY: u32 = 16;
const ATTRIBUTES: u32 = 24;

/// Where the number of the interface stands in a message about one, and where its attributes begin.
const INDEX: u32 = 20;
const LINK_ATTRIBUTES: u32 = 32;

/// `IFLA_MASTER` of `linux/if_link.h`.
const CONTROLLER: u32 = 10;

/// More than that many interfaces are not told apart.
const MOST_LINKS: usize = 32;

/// `IFA_ADDRESS` and `IFA_LOCAL` of `linux/if_addr.h`.
const IFA: [u16; 2] = [1, 2];

/// What is left of one that announces more at once than this is not read, and taken for news.
const DATAGRAM: usize = 16 * 1024;

/// A socket that hears of changes.
#[derive(Debug)]
pub struct RouteNews {
    socket: Socket,
    addresses: Vec<IpAddr>,
}

impl RouteNews {
    /// Hears from now on of these links and their ports, or of all links if none are given, of these addresses, and of routes and
    /// their rules if they matter, in the network namespace of the calling thread.
    ///
    /// # Errors
    /// The kernel has no socket to give.
    pub fn of(addresses: Vec<IpAddr>, links: Option<&[u32]>, routes: bool) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        let links = links.filter(|links| links.len() <= MOST_LINKS);
        let mut program = links.map_or_else(Vec::new, of_links);
        program.extend(of_addresses(&addresses));
        attach_filter(socket.as_fd(), &mut program)?;
        socket.bind(&SocketAddr::new(0, 0))?;
        socket.add_membership(LINKS)?;
        let families = [
            (addresses.iter().any(IpAddr::is_ipv4), IPV4_ADDRESSES),
            (addresses.iter().any(IpAddr::is_ipv6), IPV6_ADDRESSES),
            (routes, IPV4_ROUTES),
            (routes, IPV4_RULES),
            (routes, IPV6_ROUTES),
            (routes, IPV6_RULES),
        ];
        for (_, group) in families.into_iter().filter(|(wanted, _)| *wanted) {
            socket.add_membership(group)?;
        }
        Ok(Self { socket, addresses })
    }

    /// Reads what was announced; in words if something of it matters.
    pub fn take(&mut self) -> Option<String> {
        let mut datagram = Vec::with_capacity(DATAGRAM);
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
        match self.socket.recv(&mut datagram, flags.bits()) {
            Ok(length) if length > datagram.len() => Some("much changed in the network".to_owned()),
            Ok(_) => self.matters(&datagram),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            // The kernel had more to tell than the socket could hold.
            Err(_) => Some("much changed in the network".to_owned()),
        }
    }

    /// The first message of a datagram that matters, in words.
    fn matters(&self, datagram: &[u8]) -> Option<String> {
        let mut rest = datagram;
        while let Some(header) = rest.get(..HEADER) {
            let length = u32::from_ne_bytes(header.get(..4)?.try_into().ok()?);
            let kind = u16::from_ne_bytes(header.get(4..6)?.try_into().ok()?);
            let length = usize::try_from(length).ok().filter(|length| *length >= HEADER)?;
            let body = rest.get(HEADER..length)?;
            if let Some(words) = self.words(kind, body) {
                return Some(words);
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        None
    }

    fn words(&self, kind: u16, body: &[u8]) -> Option<String> {
        let index = || Some(u32::from_ne_bytes(body.get(4..8)?.try_into().ok()?));
        match kind {
            NEW_ADDRESS | DELETED_ADDRESS => {
                let ip = self.address_in(body)?;
                let what = if kind == NEW_ADDRESS { "was added or changed" } else { "was removed" };
                Some(format!("{ip} {what} on interface {}", index()?))
            }
            NEW_LINK => Some(format!("interface {} changed", index()?)),
            DELETED_LINK => Some(format!("interface {} is gone", index()?)),
            NEW_ROUTE | DELETED_ROUTE => Some("a route changed".to_owned()),
            NEW_RULE | DELETED_RULE => Some("a routing rule changed".to_owned()),
            _ => None,
        }
    }

    /// The one of the addresses that a message is about.
    fn address_in(&self, body: &[u8]) -> Option<IpAddr> {
        let named = attributes(body.get(ADDRESS_HEADER..)?).filter(|(kind, _)| IFA.contains(kind));
        let mut found = named.filter_map(|(_, value)| ip(value));
        found.find(|ip| self.addresses.contains(ip))
    }
}

/// What is loaded comes in network order, and the kernel's numbers are in the host's.
fn kind(kind: u16) -> u32 {
    u32::from(u16::from_be_bytes(kind.to_ne_bytes()))
}

/// The beginning of a program that leaves out what the kernel announces of other interfaces: the cable of one would wake the
/// watchers of all. What is about a port of one that matters passes too: of a bridge that lost its last one the kernel
/// announces up to a second later that it has no carrier (`linkwatch_urgent_event`). Whatever is about no link goes on.
fn of_links(links: &[u32]) -> Vec<Instruction> {
    let checks = |links: &[u32]| -> Vec<Instruction> {
        let number = |index: &u32| u32::from_be_bytes(index.to_ne_bytes());
        links.iter().flat_map(|index| [compare(0, 1, number(index)), accept()]).collect()
    };
    let mut about = vec![load(Size::Word, INDEX)];
    about.extend(checks(links));
    about.extend([
        load_number(LINK_ATTRIBUTES),
        index_number(CONTROLLER),
        // Where the attribute is, or 0 (`SKF_AD_NLATTR`).
        load(Size::Word, (libc::SKF_AD_OFF + libc::SKF_AD_NLATTR).cast_unsigned()),
        compare(0, 1, 0),
        refuse(),
        index_loaded(),
        load_behind_index(Size::Word, 4),
    ]);
    about.extend(checks(links));
    about.push(refuse());
    let length = u8::try_from(about.len()).unwrap_or_default();
    let mut program = vec![
        load(Size::Half, 4),
        compare(1, 0, kind(NEW_LINK)),
        compare(0, length, kind(DELETED_LINK)),
    ];
    program.extend(about);
    program
}

/// A program that leaves out what the kernel announces of other addresses: an address of one resource that comes or goes
/// would wake the watchers of all others. The kernel announces one change in a message.
fn of_addresses(addresses: &[IpAddr]) -> Vec<Instruction> {
    let mut program = vec![
        load(Size::Half, 4),
        compare(2, 0, kind(NEW_ADDRESS)),
        compare(1, 0, kind(DELETED_ADDRESS)),
        accept(),
    ];
    for (address, attribute) in addresses.iter().flat_map(|address| IFA.map(|ifa| (address, ifa))) {
        let (family, bytes) = match address {
            IpAddr::V4(ip) => (libc::AF_INET, ip.octets().to_vec()),
            IpAddr::V6(ip) => (libc::AF_INET6, ip.octets().to_vec()),
        };
        let words =
            bytes.chunks_exact(4).map(|word| word.iter().fold(0, |a, b| a << 8 | u32::from(*b)));
        let mut left = u8::try_from(words.len()).unwrap_or_default() * 2 + 1;
        program.extend([
            load(Size::Byte, FAMILY),
            compare(0, left + 5, family.cast_unsigned()),
            load_number(ATTRIBUTES),
            index_number(u32::from(attribute)),
            // Where the attribute is, or 0 (`SKF_AD_NLATTR`).
            load(Size::Word, (libc::SKF_AD_OFF + libc::SKF_AD_NLATTR).cast_unsigned()),
            compare(left + 1, 0, 0),
            index_loaded(),
        ]);
        for (at, word) in (4..).step_by(4).zip(words) {
            left -= 2;
            program.extend([load_behind_index(Size::Word, at), compare(0, left, word)]);
        }
        program.push(accept());
    }
    program.push(refuse());
    program
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => None,
    }
}

impl AsFd for RouteNews {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(HEADER + body.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(body);
        bytes
    }

    fn about(ip: [u8; 4]) -> Vec<u8> {
        let mut body = vec![2, 24, 0, 0];
        body.extend(7_u32.to_ne_bytes());
        body.extend(8_u16.to_ne_bytes());
        body.extend(2_u16.to_ne_bytes());
        body.extend(ip);
        body
    }

    #[test]
    fn only_news_of_the_address_matter() {
        let news = RouteNews::of(vec!["192.0.2.1".parse().unwrap()], None, false).unwrap();
        let (other, ours) = (about([192, 0, 2, 2]), about([192, 0, 2, 1]));
        assert_eq!(news.matters(&message(DELETED_ADDRESS, &other)), None);
        let both = [message(NEW_ADDRESS, &other), message(DELETED_ADDRESS, &ours)].concat();
        assert_eq!(news.matters(&both).as_deref(), Some("192.0.2.1 was removed on interface 7"));
        let link = message(NEW_LINK, &[[0; 4], 3_u32.to_ne_bytes()].concat());
        assert_eq!(news.matters(&link).as_deref(), Some("interface 3 changed"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let news = RouteNews::of(vec!["192.0.2.1".parse().unwrap()], None, false).unwrap();
            let _ = news.matters(&bytes);
        }
    }
}
