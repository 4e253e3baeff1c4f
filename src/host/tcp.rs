//! Connections that are only begun, to see whether they are accepted.

#![forbid(unsafe_code)]

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{SockType, SockaddrStorage, connect, getsockopt, sockopt};

use super::source::{Source, socket_towards};

/// A connection that is being made. It ends, without a byte sent over it, when it is dropped.
#[derive(Debug)]
pub struct Connection {
    descriptor: OwnedFd,
}

impl Connection {
    /// A socket for a connection to hosts of the family of `to`.
    ///
    /// # Errors
    /// There is none to be had: nothing can be said about any host.
    pub fn open(to: SocketAddr) -> io::Result<Self> {
        Ok(Self { descriptor: socket_towards(to.ip(), SockType::Stream, None)? })
    }

    /// Begins to connect.
    ///
    /// # Errors
    /// The connection was refused at once, or no route leads there.
    pub fn begin(&self, to: SocketAddr, source: Option<&Source>) -> io::Result<()> {
        if let Some(source) = source {
            source.hold(&self.descriptor)?;
        }
        match connect(self.descriptor.as_raw_fd(), &SockaddrStorage::from(to)) {
            Ok(()) | Err(Errno::EINPROGRESS | Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// How a connection ended that is writable now (connect(2), `EINPROGRESS`).
    ///
    /// # Errors
    /// It was refused, or nobody answered.
    pub fn outcome(&self) -> io::Result<()> {
        match getsockopt(&self.descriptor, sockopt::SocketError)? {
            0 => Ok(()),
            number => Err(io::Error::from_raw_os_error(number)),
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
