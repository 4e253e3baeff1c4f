//! Through which interface, or from which address, packets leave.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, setsockopt, socket,
    sockopt,
};

use crate::param::values::InterfaceName;

/// Where packets leave from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Through this interface, whatever the routes say.
    Interface(InterfaceName),
    /// With this address of the host as their source.
    Address(IpAddr),
}

impl Source {
    /// Whether a packet to `to` can leave from here: an IPv4 packet has no IPv6 source.
    #[must_use]
    pub fn suits(&self, to: IpAddr) -> bool {
        match self {
            Self::Interface(_) => true,
            Self::Address(from) => from.is_ipv4() == to.is_ipv4(),
        }
    }

    /// Makes `bound` send from here.
    ///
    /// # Errors
    /// The interface or the address is not on this host.
    pub(super) fn hold(&self, bound: &OwnedFd) -> io::Result<()> {
        match self {
            Self::Interface(name) => {
                let name = OsString::from(name.as_str());
                setsockopt(&bound.as_fd(), sockopt::BindToDevice, &name)?;
            }
            Self::Address(address) => {
                let address = SockaddrStorage::from(SocketAddr::new(*address, 0));
                bind(bound.as_raw_fd(), &address)?;
            }
        }
        Ok(())
    }
}

/// A socket that never waits, of the family of `to`.
pub(super) fn socket_towards(
    to: IpAddr,
    kind: SockType,
    protocol: Option<SockProtocol>,
) -> io::Result<OwnedFd> {
    let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok(socket(family, kind, flags, protocol)?)
}
