//! Tickle ACKs: segments that make the other end of a connection speak up.
//!
//! A client whose server has gone waits until it has something to send, or for ever. A segment that fits nothing makes it
//! answer with what it believes to be the state of the connection (RFC 9293, 3.10.7.4); the host that has the address
//! now knows no such connection and answers with a reset, and the client connects anew.

#![forbid(unsafe_code)]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrIn6, bind,
    sendto, socket,
};

use super::sockets::Connection;

const TCP: u8 = 6;
const TCP_HEADER: usize = 20;
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
const ACK: u8 = 0x10;
/// As the shell agents' helper sends it; any would do.
const WINDOW: u16 = 1234;
/// So many segments go out without a pause, which a queue of a network card holds.
const BURST: usize = 200;

/// Sends tickle ACKs from one address.
#[derive(Debug)]
pub struct Tickler {
    descriptor: OwnedFd,
    ip: IpAddr,
    interface: u32,
}

impl Tickler {
    /// One for `ip`, which this host has to have: on that interface if it is link-local.
    ///
    /// # Errors
    /// This host does not have it, or `CAP_NET_RAW` is missing.
    pub fn of(ip: IpAddr, interface: u32) -> io::Result<Self> {
        let family = if ip.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        // With this protocol the socket only sends, and packets bring their own header (raw(7)).
        let descriptor = socket(family, SockType::Raw, flags, SockProtocol::Raw)?;
        // Binding looks whether the address is here, and makes rules for its traffic count.
        match ip {
            IpAddr::V4(ip) => {
                bind(descriptor.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(ip, 0)))?;
            }
            IpAddr::V6(ip) => {
                let scope = if ip.is_unicast_link_local() { interface } else { 0 };
                let address = SocketAddrV6::new(ip, 0, 0, scope);
                bind(descriptor.as_raw_fd(), &SockaddrIn6::from(address))?;
            }
        }
        Ok(Self { descriptor, ip, interface })
    }

    /// Sends one segment for each connection; how many went out. One that cannot be sent is no reason to leave the
    /// others out.
    #[must_use]
    pub fn tickle(&self, connections: &[Connection]) -> usize {
        let mut sent = 0;
        for (index, connection) in connections.iter().enumerate() {
            if index % BURST == BURST - 1 {
                std::thread::sleep(Duration::from_millis(1));
            }
            sent += usize::from(self.send(connection).is_ok());
        }
        sent
    }

    fn send(&self, connection: &Connection) -> io::Result<()> {
        if connection.local.ip() != self.ip {
            return Err(io::Error::other("it is a connection of another address"));
        }
        let packet = packet(connection).ok_or_else(|| io::Error::other("two families"))?;
        let descriptor = self.descriptor.as_raw_fd();
        let to = |packet: &[u8]| match connection.remote {
            // The port of the destination means nothing to a raw socket.
            SocketAddr::V4(remote) => {
                let to = SockaddrIn::from(SocketAddrV4::new(*remote.ip(), 0));
                sendto(descriptor, packet, &to, MsgFlags::MSG_DONTWAIT)
            }
            SocketAddr::V6(remote) => {
                let link_local = remote.ip().is_unicast_link_local();
                let scope = if link_local { self.interface } else { 0 };
                let to = SockaddrIn6::from(SocketAddrV6::new(*remote.ip(), 0, 0, scope));
                sendto(descriptor, packet, &to, MsgFlags::MSG_DONTWAIT)
            }
        };
        match to(&packet) {
            Err(Errno::EAGAIN | Errno::ENOBUFS) => {
                std::thread::sleep(Duration::from_millis(1));
                to(&packet)?;
            }
            other => {
                other?;
            }
        }
        Ok(())
    }
}

/// The whole packet; none if the two ends are of two families.
fn packet(connection: &Connection) -> Option<Vec<u8>> {
    let ports = (connection.local.port(), connection.remote.port());
    match (connection.local.ip(), connection.remote.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => Some(ipv4(from, to, ports)),
        (IpAddr::V6(from), IpAddr::V6(to)) => Some(ipv6(from, to, ports)),
        _ => None,
    }
}

/// RFC 791, 3.1. Identification and checksum are left to the kernel (raw(7)).
fn ipv4(from: Ipv4Addr, to: Ipv4Addr, ports: (u16, u16)) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 40, 0, 0, 0, 0, 255, TCP, 0, 0];
    packet.extend(from.octets());
    packet.extend(to.octets());
    let pseudo = [&from.octets()[..], &to.octets()].concat();
    packet.extend(segment(ports, &pseudo));
    debug_assert_eq!(packet.len(), IPV4_HEADER + TCP_HEADER);
    packet
}

/// RFC 8200, 3.
fn ipv6(from: Ipv6Addr, to: Ipv6Addr, ports: (u16, u16)) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 20, TCP, 64];
    packet.extend(from.octets());
    packet.extend(to.octets());
    let pseudo = [&from.octets()[..], &to.octets()].concat();
    packet.extend(segment(ports, &pseudo));
    debug_assert_eq!(packet.len(), IPV6_HEADER + TCP_HEADER);
    packet
}

/// RFC 9293, 3.1: an ACK without data, whose sequence numbers are zero.
fn segment((from, to): (u16, u16), addresses: &[u8]) -> [u8; TCP_HEADER] {
    let mut segment = [0; TCP_HEADER];
    segment[0..2].copy_from_slice(&from.to_be_bytes());
    segment[2..4].copy_from_slice(&to.to_be_bytes());
    // The length of the header, in words of 32 bits.
    segment[12] = 5 << 4;
    segment[13] = ACK;
    segment[14..16].copy_from_slice(&WINDOW.to_be_bytes());
    // Both pseudo headers have the same sum: the addresses, the protocol, and the length of the segment.
    let sum = sum(addresses) + sum(&segment) + u32::from(TCP) + 20;
    segment[16..18].copy_from_slice(&(!folded(sum)).to_be_bytes());
    segment
}

/// The sum of 16-bit words in network order (RFC 1071).
fn sum(bytes: &[u8]) -> u32 {
    bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low)))
        .sum()
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "what is above the lower 16 bits is added to them"
)]
fn folded(sum: u32) -> u16 {
    let once = (sum >> 16) + (sum & 0xffff);
    ((once >> 16) + (once & 0xffff)) as u16
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn connection(local: &str, remote: &str) -> Connection {
        Connection { local: local.parse().unwrap(), remote: remote.parse().unwrap() }
    }

    /// Checksum by hand: c000 020a c000 0202 + 0006 0014 + 0050 3039 5010 04d2.
    #[test]
    fn a_tickle_is_an_ack_without_anything() {
        let packet = packet(&connection("192.0.2.10:80", "192.0.2.2:12345")).unwrap();
        assert_eq!(packet[..12], [0x45, 0, 0, 40, 0, 0, 0, 0, 255, 6, 0, 0]);
        assert_eq!(packet[12..20], [192, 0, 2, 10, 192, 0, 2, 2]);
        assert_eq!(
            packet[20..36],
            [0, 80, 0x30, 0x39, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x10, 4, 0xd2]
        );
        assert_eq!(packet[36..], [0xf6, 0x6c, 0, 0]);
    }

    #[test]
    fn two_families_make_no_packet() {
        assert_eq!(packet(&connection("192.0.2.10:80", "[2001:db8::2]:1")), None);
    }

    proptest! {
        /// Whoever receives it adds all up, the checksum included, and gets only ones (RFC 1071, 1).
        #[test]
        fn every_checksum_is_right(
            v6 in any::<bool>(), from in any::<u128>(), to in any::<u128>(), a in any::<u16>(), b in any::<u16>(),
        ) {
            let (from, to): (IpAddr, IpAddr) = if v6 {
                (Ipv6Addr::from(from).into(), Ipv6Addr::from(to).into())
            } else {
                let v4 = |bits: u128| Ipv4Addr::from(u32::try_from(bits >> 96).unwrap());
                (v4(from).into(), v4(to).into())
            };
            let connection =
                Connection { local: SocketAddr::new(from, a), remote: SocketAddr::new(to, b) };
            let packet = packet(&connection).unwrap();
            let header = if v6 { IPV6_HEADER } else { IPV4_HEADER };
            let addresses = &packet[if v6 { 8 } else { 12 }..header];
            let total = sum(addresses) + sum(&packet[header..]) + 6 + 20;
            prop_assert_eq!(folded(total), 0xffff);
            prop_assert_eq!(&packet[header..header + 4], [a.to_be_bytes(), b.to_be_bytes()].concat());
        }
    }
}
