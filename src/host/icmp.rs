//! Echo requests and their replies (RFC 792; RFC 4443, 4).

#![forbid(unsafe_code)]

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    MsgFlags, SockProtocol, SockType, SockaddrStorage, connect, getsockname, recv, send,
};

use super::source::{Source, socket_towards};

const HEADER: usize = 8;
/// Length of the random part that begins the payload.
const COOKIE: usize = 16;
/// Largest payload of a request that an IPv4 packet can carry.
pub const LARGEST: usize = 65507;
/// More than any packet.
const DATAGRAM: usize = 65536;

/// Which of the two protocols, as far as the bytes differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V4,
    V6,
}

impl Version {
    const fn request(self) -> u8 {
        match self {
            Self::V4 => 8,
            Self::V6 => 128,
        }
    }

    const fn reply(self) -> u8 {
        match self {
            Self::V4 => 0,
            Self::V6 => 129,
        }
    }
}

/// A socket that asks one host, and knows which answers are to its questions.
///
/// The kernel passes on only what comes from that host; and of this, only what has the identifier, the number of a
/// question, and the random payload of this socket is an answer. So neither the reply to somebody else's ping nor a forged
/// one counts.
#[derive(Debug)]
pub struct EchoSocket {
    descriptor: OwnedFd,
    version: Version,
    /// A raw socket chooses its identifier itself, and its IPv4 replies come with their header.
    raw: bool,
    identifier: u16,
    payload: Vec<u8>,
}

impl EchoSocket {
    /// A socket for requests with `size` bytes of payload to hosts of the family of `to`.
    ///
    /// # Errors
    /// There is none to be had: nothing can be said about any host.
    pub fn open(to: IpAddr, size: usize) -> io::Result<Self> {
        let (version, protocol) = match to {
            IpAddr::V4(_) => (Version::V4, SockProtocol::Icmp),
            IpAddr::V6(_) => (Version::V6, SockProtocol::IcmpV6),
        };
        let random = [random(), random(), random()];
        // Without CAP_NET_RAW, where net.ipv4.ping_group_range allows it (icmp(7)).
        let (descriptor, raw) = match socket_towards(to, SockType::Raw, Some(protocol)) {
            Ok(descriptor) => (descriptor, true),
            Err(refused) => match socket_towards(to, SockType::Datagram, Some(protocol)) {
                Ok(descriptor) => (descriptor, false),
                Err(_) => return Err(refused),
            },
        };
        let identifier = u16::from_be_bytes([random[0][0], random[0][1]]);
        let mut payload = [random[1], random[2]].concat();
        payload.resize(size.max(COOKIE), 0x5a);
        Ok(Self { descriptor, version, raw, identifier, payload })
    }

    /// Points it at the host.
    ///
    /// # Errors
    /// No route leads there, or not from `source`.
    pub fn connect(&mut self, to: SocketAddr, source: Option<&Source>) -> io::Result<()> {
        if let Some(source) = source {
            source.hold(&self.descriptor)?;
        }
        // The port of a raw IPv6 socket would be the protocol number.
        let to = with_port(to, 0);
        connect(self.descriptor.as_raw_fd(), &SockaddrStorage::from(to))?;
        if !self.raw {
            self.identifier = port(&getsockname(self.descriptor.as_raw_fd())?);
        }
        Ok(())
    }

    /// Sends question number `sequence`.
    ///
    /// # Errors
    /// It cannot leave this host.
    pub fn ask(&self, sequence: u16) -> io::Result<()> {
        let packet = request(self.version, self.identifier, sequence, &self.payload);
        send(self.descriptor.as_raw_fd(), &packet, MsgFlags::empty())?;
        Ok(())
    }

    /// The number of a question that was answered meanwhile; none if there is no further answer.
    #[must_use]
    pub fn answered(&self) -> Option<u16> {
        let mut buffer = vec![0; DATAGRAM.min(self.payload.len() + 128)];
        loop {
            match recv(self.descriptor.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(length) => {
                    if let Some(sequence) = self.sequence_of(&buffer[..length]) {
                        return Some(sequence);
                    }
                }
                // What a router or the host said against an earlier request is no answer; the next packet may be.
                Err(
                    Errno::EINTR | Errno::EHOSTUNREACH | Errno::ENETUNREACH | Errno::ECONNREFUSED,
                ) => {}
                Err(_) => return None,
            }
        }
    }

    /// Which question a packet answers.
    fn sequence_of(&self, packet: &[u8]) -> Option<u16> {
        let message =
            if self.raw && self.version == Version::V4 { after_header(packet)? } else { packet };
        reply_to(self.version, self.identifier, &self.payload, message)
    }
}

impl AsFd for EchoSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Where the kernel keeps the identifier of a socket that is not raw.
fn port(name: &SockaddrStorage) -> u16 {
    match (name.as_sockaddr_in(), name.as_sockaddr_in6()) {
        (Some(name), _) => name.port(),
        (_, Some(name)) => name.port(),
        _ => 0,
    }
}

fn with_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}

/// Bytes that nobody can foresee: hashes whose key the standard library takes from the kernel.
fn random() -> [u8; 8] {
    RandomState::new().build_hasher().finish().to_ne_bytes()
}

fn request(version: Version, identifier: u16, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![version.request(), 0, 0, 0];
    packet.extend(identifier.to_be_bytes());
    packet.extend(sequence.to_be_bytes());
    packet.extend(payload);
    // That of ICMPv6 covers the addresses too, and is the kernel's to compute (RFC 3542, 3.1).
    if version == Version::V4 {
        let sum = !checksum(&packet);
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    packet
}

fn reply_to(version: Version, identifier: u16, payload: &[u8], message: &[u8]) -> Option<u16> {
    let (header, rest) = message.split_at_checked(HEADER)?;
    let sound = version == Version::V6 || checksum(message) == 0xffff;
    let ours = header[0] == version.reply()
        && header[1] == 0
        && header[4..6] == identifier.to_be_bytes()
        && rest == payload;
    (sound && ours).then(|| u16::from_be_bytes([header[6], header[7]]))
}

/// What follows the IPv4 header.
fn after_header(packet: &[u8]) -> Option<&[u8]> {
    let length = usize::from(packet.first()? & 0x0f) * 4;
    packet.get(length..)
}

/// The sum of RFC 1071, not inverted: all ones over a message that is whole.
fn checksum(message: &[u8]) -> u16 {
    let words = message.chunks(2).map(|pair| {
        u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or_default()]))
    });
    let mut sum = words.fold(0u32, |sum, word| {
        let sum = sum + word;
        (sum & 0xffff) + (sum >> 16)
    });
    sum = (sum & 0xffff) + (sum >> 16);
    u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What an honest host makes of a request.
    fn reply(version: Version, request: &[u8]) -> Vec<u8> {
        let mut reply = request.to_vec();
        reply[0] = version.reply();
        reply[2..4].fill(0);
        let sum = !checksum(&reply);
        reply[2..4].copy_from_slice(&sum.to_be_bytes());
        reply
    }

    #[test]
    fn a_request_is_what_the_rfc_says() {
        let packet = request(Version::V4, 0x1234, 1, b"abcd");
        assert_eq!(packet, [8, 0, 0x21, 0x04, 0x12, 0x34, 0, 1, b'a', b'b', b'c', b'd']);
        assert_eq!(request(Version::V6, 0x1234, 1, b"")[..2], [128, 0]);
    }

    #[test]
    fn every_bit_of_a_reply_counts() {
        for version in [Version::V4, Version::V6] {
            let payload = [7; COOKIE];
            let genuine = reply(version, &request(version, 0xbeef, 3, &payload));
            let judge = |message: &[u8]| reply_to(version, 0xbeef, &payload, message);
            assert_eq!(judge(&genuine), Some(3));
            for (at, changed) in (0..genuine.len()).map(|at| (at, genuine[at] ^ 0x40)) {
                let mut forged = genuine.clone();
                forged[at] = changed;
                // The kernel checks the sum of ICMPv6 itself; the number says which question it was.
                let of_number = (6..8).contains(&at);
                if version == Version::V6 && ((2..4).contains(&at) || of_number) {
                    continue;
                }
                assert_eq!(judge(&forged), None, "byte {at}");
            }
            for length in 0..genuine.len() {
                assert_eq!(judge(&genuine[..length]), None, "cut to {length}");
            }
        }
    }

    #[test]
    fn no_two_sockets_have_the_same_cookie() {
        assert_ne!(random(), random());
    }

    proptest! {
        #[test]
        fn any_packet_can_be_read_or_refused(packet in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(message) = after_header(&packet) {
                let _ = reply_to(Version::V4, 1, &[0; COOKIE], message);
            }
        }

        #[test]
        fn a_request_with_its_sum_adds_up(payload in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(checksum(&request(Version::V4, 1, 2, &payload)), 0xffff);
        }
    }
}
