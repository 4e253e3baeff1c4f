//! The sockets of this host's processes, as the kernel lists and destroys them (`sock_diag(7)`, `linux/inet_diag.h`).

#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::errno::Errno;
use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST};
use rtnetlink::sys::protocols::NETLINK_SOCK_DIAG;

use super::address::contains;
use super::raw::{Attributes, Channel, message};
use super::refusal::Refusal;
use crate::deadline::Deadline;
use crate::error::{Doing, Result};
use crate::{trace_answer, trace_ask};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;
const INET_DIAG_REQ_BYTECODE: u16 = 1;
/// Compares the local address (`INET_DIAG_BC_S_COND`).
const LOCAL: u8 = 7;

const ESTABLISHED: u8 = 1;
const TIME_WAIT: u8 = 6;
const LISTEN: u8 = 10;

/// How often what is still there is destroyed again: of listeners that share a port, the kernel finds one at a time.
const ROUNDS: u32 = 64;

/// A protocol that has ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
}

impl Transport {
    /// Its number in the header of IP.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }
}

/// A TCP connection, seen from this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Connection {
    /// Our end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
}

/// Which sockets are meant.
#[derive(Clone, Copy)]
pub struct Selection<'a> {
    /// Their local address is in this network,
    pub network: IpAddr,
    /// of which so many bits count: all of them, for one address.
    pub prefix: u8,
    /// They are bound to this interface: for link-local addresses, which are others on each link (RFC 4007, 6).
    pub interface: Option<u32>,
    /// Their local port is one of these.
    pub port: &'a dyn Fn(u16) -> bool,
    /// Besides TCP connections, TCP listeners and UDP sockets.
    pub all_kinds: bool,
}

impl Selection<'_> {
    /// In the tables of which families they are: an IPv6 socket may have an IPv4 address (RFC 4291, 2.5.5.2).
    fn families(&self) -> &'static [i32] {
        if self.network.is_ipv4() { &[libc::AF_INET, libc::AF_INET6] } else { &[libc::AF_INET6] }
    }

    fn has(&self, socket: &Found) -> bool {
        let local = socket.local();
        contains(self.network, self.prefix, local.ip())
            && self.interface.is_none_or(|index| index == socket.interface())
            && (self.port)(local.port())
    }
}

/// What became of sockets that were to be destroyed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Destroyed {
    /// How many are no more.
    pub count: usize,
    /// Why others are still there.
    pub refusal: Option<String>,
}

/// The established TCP connections of `ip`.
///
/// # Errors
/// The kernel could not tell.
pub fn established(ip: IpAddr, deadline: &Deadline) -> Result<Vec<Connection>> {
    let selection = Selection {
        network: ip,
        prefix: super::address::bits(ip),
        interface: None,
        port: &|_| true,
        all_kinds: false,
    };
    let what = format!("list the connections of {ip}");
    trace_ask!("{what}");
    let channel = Channel::open(NETLINK_SOCK_DIAG, *deadline).doing(|| what.clone())?;
    let found = list(&channel, libc::IPPROTO_TCP, 1 << ESTABLISHED, &selection)
        .map_err(|refusal| refusal.doing(&what))?;
    trace_answer!("{what}: {}", found.len());
    Ok(found.iter().map(|it| Connection { local: it.local(), remote: it.remote() }).collect())
}

/// Destroys sockets: whoever uses one gets an error from the call in which it waits, or from the next (`SOCK_DESTROY`,
/// Linux 4.5).
///
/// # Errors
/// The kernel could not be asked.
pub fn destroy(selection: &Selection<'_>, deadline: &Deadline) -> Result<Destroyed> {
    let what = format!("destroy the sockets of {}", selection.network);
    trace_ask!("{what}");
    let channel = Channel::open(NETLINK_SOCK_DIAG, *deadline).doing(|| what.clone())?;
    let mut destroyed = Destroyed::default();
    // Nobody holds a socket in the state TIME-WAIT, and one without a state is bound to no connection.
    let mut states = 0xfff & !(1 << TIME_WAIT);
    if !selection.all_kinds {
        states &= !(1 << LISTEN);
    }
    for _ in 0..ROUNDS {
        let found = list(&channel, libc::IPPROTO_TCP, states, selection)
            .map_err(|refusal| refusal.doing(&what))?;
        let now = end_all(&channel, libc::IPPROTO_TCP, &found, deadline);
        destroyed.count += now.count;
        destroyed.refusal = now.refusal;
        if now.count == 0 {
            break;
        }
    }
    if selection.all_kinds {
        // Once, since a UDP socket stays in the table, closed for its user or not.
        match list(&channel, libc::IPPROTO_UDP, u32::MAX, selection) {
            Ok(found) => {
                let now = end_all(&channel, libc::IPPROTO_UDP, &found, deadline);
                destroyed.count += now.count;
                destroyed.refusal = destroyed.refusal.or(now.refusal);
            }
            // A kernel that cannot list UDP sockets.
            Err(refusal) if refusal.errno() == Some(Errno::ENOENT) => {}
            Err(refusal) => return Err(refusal.doing(&what)),
        }
    }
    trace_answer!("{what}: {destroyed:?}");
    Ok(destroyed)
}

fn end_all(channel: &Channel, protocol: i32, found: &[Found], deadline: &Deadline) -> Destroyed {
    let mut ended = Destroyed::default();
    for socket in found {
        if deadline.left().is_zero() {
            ended.refusal = Some("the action's timeout is nearly over".to_owned());
            break;
        }
        let flags = NLM_F_REQUEST | NLM_F_ACK;
        let request = request(socket.family(), protocol, u32::MAX, &socket.identity());
        let question = message(SOCK_DESTROY, flags, &request, &Attributes::new());
        match channel.ask("destroy a socket", &question, &mut |_| {}) {
            Ok(()) => ended.count += 1,
            // It ended by itself meanwhile, or another one has its name now.
            Err(refusal) if matches!(refusal.errno(), Some(Errno::ENOENT | Errno::ESTALE)) => {}
            // None of the others either (`CONFIG_INET_DIAG_DESTROY`).
            Err(refusal) if refusal.errno() == Some(Errno::EOPNOTSUPP) => {
                let why = "this kernel cannot destroy sockets (CONFIG_INET_DIAG_DESTROY is off)";
                ended.refusal = Some(why.to_owned());
                break;
            }
            Err(refusal) => ended.refusal = Some(refusal.to_string()),
        }
    }
    ended
}

fn list(
    channel: &Channel,
    protocol: i32,
    states: u32,
    selection: &Selection<'_>,
) -> Result<Vec<Found>, Refusal> {
    let mut found = Vec::new();
    for family in selection.families() {
        let flags = NLM_F_REQUEST | NLM_F_DUMP;
        let request = request(octet(*family), protocol, states, &[0; IDENTITY]);
        let filter = program(selection.network, selection.prefix);
        let filter = Attributes::new().with(INET_DIAG_REQ_BYTECODE, &filter);
        let question = message(SOCK_DIAG_BY_FAMILY, flags, &request, &filter);
        channel.ask("list sockets", &question, &mut |payload| {
            found.extend(Found::read(payload).filter(|socket| selection.has(socket)));
        })?;
    }
    Ok(found)
}

fn octet(number: i32) -> u8 {
    u8::try_from(number).unwrap_or(0)
}

/// The kernel's program that lets only sockets with that local network pass: one operation, which goes on behind
/// itself, where the program ends well, or four bytes further, where it does not.
fn program(network: IpAddr, prefix: u8) -> Vec<u8> {
    let (family, address) = match network {
        IpAddr::V4(ip) => (libc::AF_INET, ip.octets().to_vec()),
        IpAddr::V6(ip) => (libc::AF_INET6, ip.octets().to_vec()),
    };
    let length = octet(12 + i32::try_from(address.len()).unwrap_or(0));
    let mut bytes = vec![LOCAL, length];
    bytes.extend(u16::from(length + 4).to_ne_bytes());
    bytes.extend([octet(family), prefix, 0, 0]);
    // Any port.
    bytes.extend((-1_i32).to_ne_bytes());
    bytes.extend(address);
    bytes
}

/// `struct inet_diag_req_v2`.
fn request(family: u8, protocol: i32, states: u32, identity: &[u8; IDENTITY]) -> Vec<u8> {
    let mut bytes = vec![family, octet(protocol), 0, 0];
    bytes.extend(states.to_ne_bytes());
    bytes.extend(identity);
    bytes
}

/// Length of `struct inet_diag_sockid`.
const IDENTITY: usize = 48;

/// The beginning of `struct inet_diag_msg`, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found([u8; 4 + IDENTITY]);

impl Found {
    fn read(payload: &[u8]) -> Option<Self> {
        payload.first_chunk().copied().map(Self)
    }

    fn family(&self) -> u8 {
        self.0[0]
    }

    fn identity(&self) -> [u8; IDENTITY] {
        self.0.last_chunk().copied().unwrap_or([0; IDENTITY])
    }

    fn local(&self) -> SocketAddr {
        SocketAddr::new(self.ip(8), self.port(4))
    }

    fn remote(&self) -> SocketAddr {
        SocketAddr::new(self.ip(24), self.port(6))
    }

    fn interface(&self) -> u32 {
        u32::from_ne_bytes([self.0[40], self.0[41], self.0[42], self.0[43]])
    }

    fn port(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.0[at], self.0[at + 1]])
    }

    /// An IPv4 address stays one in an IPv6 socket.
    fn ip(&self, at: usize) -> IpAddr {
        let mut octets = [0; 16];
        octets.copy_from_slice(&self.0[at..at + 16]);
        if i32::from(self.family()) == libc::AF_INET6 {
            return Ipv6Addr::from(octets).to_canonical();
        }
        Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]).into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What `ss -tn src 192.0.2.10` sends, apart from the port, which it leaves out of an address.
    #[test]
    fn the_kernel_is_asked_for_one_local_address() {
        let expected =
            [&[7, 16][..], &20_u16.to_ne_bytes(), &[2, 32, 0, 0], &[0xff; 4], &[192, 0, 2, 10]];
        assert_eq!(program("192.0.2.10".parse().unwrap(), 32), expected.concat());
        assert_eq!(program("2001:db8::1".parse().unwrap(), 128).len(), 28);
        let asked = request(2, libc::IPPROTO_TCP, 2, &[0; IDENTITY]);
        assert_eq!(asked.len(), 56);
        assert_eq!(asked[..8], [&[2, 6, 0, 0][..], &2_u32.to_ne_bytes()].concat());
    }

    #[test]
    fn both_ends_of_a_socket_are_read_and_ipv4_in_ipv6_is_ipv4() {
        let mut bytes = [0; 72];
        bytes[..4].copy_from_slice(&[10, ESTABLISHED, 0, 0]);
        bytes[4..8].copy_from_slice(&[0, 80, 0x30, 0x39]);
        bytes[18..24].copy_from_slice(&[0xff, 0xff, 192, 0, 2, 10]);
        bytes[24..40].copy_from_slice(&"2001:db8::2".parse::<Ipv6Addr>().unwrap().octets());
        bytes[40..44].copy_from_slice(&7_u32.to_ne_bytes());
        let found = Found::read(&bytes).unwrap();
        assert_eq!(found.local(), "192.0.2.10:80".parse().unwrap());
        assert_eq!(found.remote(), "[2001:db8::2]:12345".parse().unwrap());
        assert_eq!((found.interface(), found.identity().as_slice()), (7, &bytes[4..52]));
        let any = |_: u16| true;
        let own = Selection {
            network: "192.0.2.10".parse().unwrap(),
            prefix: 32,
            interface: None,
            port: &any,
            all_kinds: true,
        };
        assert!(own.has(&found));
        assert!(Selection { interface: Some(7), ..own }.has(&found));
        assert!(!Selection { interface: Some(8), ..own }.has(&found));
        assert!(!Selection { network: "192.0.2.11".parse().unwrap(), ..own }.has(&found));
        assert!(!Selection { port: &|port| port != 80, ..own }.has(&found));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_socket_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Some(found) = Found::read(&bytes) {
                let _ = (found.local(), found.remote(), found.interface());
            }
        }
    }
}
