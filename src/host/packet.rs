//! A raw packet socket: the only file with `unsafe`.

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::Stdio;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, SockaddrLike, bind, getsockname, recv,
    send, socket,
};

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
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        // Protocol 0 receives nothing until bind names one, so no frame of another interface gets in.
        let descriptor = socket(AddressFamily::Packet, SockType::Raw, flags, None)?;
        bind(descriptor.as_raw_fd(), &link_address(index, ethertype)?)?;
        Ok(Self { descriptor })
    }

    /// The packet socket that the caller left as standard input; none if that is something else.
    #[must_use]
    pub fn inherited() -> Option<Self> {
        let descriptor = io::stdin().as_fd().try_clone_to_owned().ok()?;
        getsockname::<LinkAddr>(descriptor.as_raw_fd()).ok()?;
        Some(Self { descriptor })
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

    /// Waits for one frame; its length in `buffer`, or none when time is over.
    ///
    /// # Errors
    /// The interface went down.
    pub fn receive(&self, buffer: &mut [u8], at_most: Duration) -> io::Result<Option<usize>> {
        let milliseconds = u16::try_from(at_most.as_millis()).unwrap_or(u16::MAX).max(1);
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

impl From<PacketSocket> for Stdio {
    fn from(socket: PacketSocket) -> Self {
        socket.descriptor.into()
    }
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
