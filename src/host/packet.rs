//! A raw packet socket: the only file with `unsafe`.

use std::io;
use std::mem;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::process::Stdio;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, SockaddrLike, bind, getsockname, recv,
    send, socket,
};

use super::bpf::{Instruction, Size, accept, compare, load, load_packet_type, refuse};

/// Sends and receives whole frames of one Ethernet type on one interface (packet(7)).
#[derive(Debug)]
pub struct PacketSocket {
    descriptor: OwnedFd,
}

impl PacketSocket {
    /// A socket for frames of `ethertype` on the interface with that number; with type 0 it only sends.
    ///
    /// # Errors
    /// `CAP_NET_RAW` is missing, or there is no such interface.
    pub fn bind(index: u32, ethertype: u16) -> io::Result<Self> {
        let socket = Self::unbound()?;
        socket.bind_to(index, ethertype)?;
        Ok(socket)
    }

    /// The packet socket that the caller left as standard input; none if that is something else.
    #[must_use]
    pub fn inherited() -> Option<Self> {
        let descriptor = io::stdin().as_fd().try_clone_to_owned().ok()?;
        getsockname::<LinkAddr>(descriptor.as_raw_fd()).ok()?;
        Some(Self { descriptor })
    }

    /// A socket that receives what others send from the hardware address `source`, whatever its type and for whomever it
    /// is meant, and all ARP of others. The interface is in promiscuous mode until [`Self::watch_no_longer`], or until the
    /// socket is closed.
    ///
    /// # Errors
    /// `CAP_NET_RAW` is missing, or there is no such interface.
    pub fn watch(index: u32, source: [u8; 6]) -> io::Result<Self> {
        let socket = Self::unbound()?;
        attach_filter(socket.as_fd(), &mut from_source_or_arp(source))?;
        socket.set_promiscuous(index, libc::PACKET_ADD_MEMBERSHIP)?;
        socket.bind_to(index, u16::try_from(libc::ETH_P_ALL).map_err(io::Error::other)?)?;
        Ok(socket)
    }

    /// A socket that receives the ARP that others send in the name of `ip` on the interface with that number, whose hardware
    /// address is `own`.
    ///
    /// # Errors
    /// `CAP_NET_RAW` is missing, or there is no such interface.
    pub fn hear_claims(index: u32, ip: Ipv4Addr, own: [u8; 6]) -> io::Result<Self> {
        Self::hear_arp(index, &mut in_the_name_of(ip, own))
    }

    /// A socket that receives the ARP that others send from the hardware address `source`.
    ///
    /// # Errors
    /// `CAP_NET_RAW` is missing, or there is no such interface.
    pub fn hear_arp_from(index: u32, source: [u8; 6]) -> io::Result<Self> {
        Self::hear_arp(index, &mut from_source(source))
    }

    fn hear_arp(index: u32, program: &mut [Instruction]) -> io::Result<Self> {
        let socket = Self::unbound()?;
        attach_filter(socket.as_fd(), program)?;
        socket.bind_to(index, u16::try_from(libc::ETH_P_ARP).map_err(io::Error::other)?)?;
        Ok(socket)
    }

    /// One of protocol 0, which receives nothing until [`Self::bind_to`] names another, so that no frame of another interface gets
    /// in, and none before there is a filter.
    fn unbound() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let descriptor = socket(AddressFamily::Packet, SockType::Raw, flags, None)?;
        Ok(Self { descriptor })
    }

    fn bind_to(&self, index: u32, ethertype: u16) -> io::Result<()> {
        Ok(bind(self.descriptor.as_raw_fd(), &link_address(index, ethertype)?)?)
    }

    /// Ends the promiscuous mode of a socket that watched; it can still send.
    ///
    /// # Errors
    /// It did not watch, or the interface is gone.
    pub fn watch_no_longer(&self, index: u32) -> io::Result<()> {
        self.set_promiscuous(index, libc::PACKET_DROP_MEMBERSHIP)
    }

    fn set_promiscuous(&self, index: u32, change: libc::c_int) -> io::Result<()> {
        let promiscuous = libc::packet_mreq {
            mr_ifindex: i32::try_from(index).map_err(io::Error::other)?,
            mr_type: u16::try_from(libc::PACKET_MR_PROMISC).map_err(io::Error::other)?,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        // SAFETY: a `packet_mreq`, without pointers, is what these options take.
        unsafe { set_option(self.descriptor.as_fd(), libc::SOL_PACKET, change, &promiscuous) }
    }

    /// Sends one frame.
    ///
    /// # Errors
    /// The interface is down or its queue full.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        let sent = send(self.descriptor.as_raw_fd(), frame, MsgFlags::empty())?;
        if sent == frame.len() {
            Ok(())
        } else {
            Err(io::Error::other("only a part of the frame was sent"))
        }
    }

    /// Waits for one frame; its length in `buffer`, or none when time is over. With no time at all it takes one that is there.
    ///
    /// # Errors
    /// The interface went down.
    pub fn receive(&self, buffer: &mut [u8], at_most: Duration) -> io::Result<Option<usize>> {
        let least = u16::from(!at_most.is_zero());
        let milliseconds = u16::try_from(at_most.as_millis()).unwrap_or(u16::MAX).max(least);
        let mut waited = [PollFd::new(self.descriptor.as_fd(), PollFlags::POLLIN)];
        match poll(&mut waited, PollTimeout::from(milliseconds)) {
            Ok(0) | Err(Errno::EINTR) => return Ok(None),
            other => other?,
        };
        match recv(self.descriptor.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(length) => Ok(Some(length)),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl From<PacketSocket> for Stdio {
    fn from(socket: PacketSocket) -> Self {
        socket.descriptor.into()
    }
}

/// A classic BPF program (Documentation/networking/filter.rst) that lets pass what others send from `source`, and all ARP
/// of others.
fn from_source_or_arp(source: [u8; 6]) -> [Instruction; 10] {
    let (head, tail) = parts(source);
    [
        load_packet_type(),
        compare(7, 0, u32::from(libc::PACKET_OUTGOING)),
        load(Size::Half, 12),
        compare(4, 0, libc::ETH_P_ARP.cast_unsigned()),
        load(Size::Word, 6),
        compare(0, 3, head),
        load(Size::Half, 10),
        compare(0, 1, tail),
        accept(),
        refuse(),
    ]
}

/// One that lets pass what others send from `source`.
fn from_source(source: [u8; 6]) -> [Instruction; 8] {
    let (head, tail) = parts(source);
    [
        load_packet_type(),
        compare(5, 0, u32::from(libc::PACKET_OUTGOING)),
        load(Size::Word, 6),
        compare(0, 3, head),
        load(Size::Half, 10),
        compare(0, 1, tail),
        accept(),
        refuse(),
    ]
}

/// One that lets pass what others send whose sender is `ip`, given that it is ARP over Ethernet. What a network gives back of
/// our own, such as a wireless one, is from `own`.
fn in_the_name_of(ip: Ipv4Addr, own: [u8; 6]) -> [Instruction; 10] {
    let (head, tail) = parts(own);
    [
        load_packet_type(),
        compare(7, 0, u32::from(libc::PACKET_OUTGOING)),
        load(Size::Word, 28),
        compare(0, 5, ip.to_bits()),
        load(Size::Word, 22),
        compare(0, 2, head),
        load(Size::Half, 26),
        compare(1, 0, tail),
        accept(),
        refuse(),
    ]
}

/// A hardware address as two numbers that can be compared.
fn parts(mac: [u8; 6]) -> (u32, u32) {
    let number = |octets: &[u8]| octets.iter().fold(0, |sum, octet| sum << 8 | u32::from(*octet));
    (number(&mac[..4]), number(&mac[4..]))
}

/// Has a socket hear only what a program lets pass.
///
/// # Errors
/// The kernel refused the program.
pub(super) fn attach_filter(socket: BorrowedFd<'_>, program: &mut [Instruction]) -> io::Result<()> {
    let filter = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(io::Error::other)?,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: a `sock_fprog` is what this option takes; the kernel copies the program before `program` goes.
    unsafe { set_option(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &filter) }
}

/// Sets an option of a socket.
///
/// # Safety
/// `T` is the type of this option's value, and what it points to is valid for as long as the kernel looks at it.
unsafe fn set_option<T>(
    socket: BorrowedFd<'_>,
    level: i32,
    name: i32,
    value: &T,
) -> io::Result<()> {
    let length = libc::socklen_t::try_from(mem::size_of::<T>()).map_err(io::Error::other)?;
    let pointer = std::ptr::from_ref(value).cast();
    // SAFETY: `pointer` and `length` are those of a live `T`; the rest is the caller's promise.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, pointer, length) };
    Errno::result(result).map(drop).map_err(io::Error::from)
}

/// The address of packet(7) that names an interface and a type of frames.
fn link_address(index: u32, ethertype: u16) -> io::Result<LinkAddr> {
    let raw = libc::sockaddr_ll {
        sll_family: libc::sa_family_t::try_from(libc::AF_PACKET).map_err(io::Error::other)?,
        sll_protocol: ethertype.to_be(),
        sll_ifindex: i32::try_from(index).map_err(io::Error::other)?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let length = libc::socklen_t::try_from(mem::size_of_val(&raw)).map_err(io::Error::other)?;
    // SAFETY: `raw` is a whole and initialised `sockaddr_ll` whose family says so, `length` is its size, and
    // `from_raw` copies it before it returns.
    let address = unsafe { LinkAddr::from_raw((&raw const raw).cast(), Some(length)) };
    address.ok_or_else(|| io::Error::other("the interface number makes no link address"))
}
