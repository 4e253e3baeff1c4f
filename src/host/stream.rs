//! Connections that never wait longer than until a given moment.

#![forbid(unsafe_code)]

use std::io;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, UnixAddr, connect, getsockopt, setsockopt,
    socket, sockopt,
};

use super::source::{Source, socket_towards};

/// Pause before a second try at a local socket whose queue is full: there is nothing to wait on (unix(7), `EAGAIN`).
const PAUSE: Duration = Duration::from_millis(5);

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// Something came, or the other side closed.
    ToRead,
    /// There is room to send, or a begun connection is decided.
    ToWrite,
}

/// Waits until `socket` is ready; whether it was before `end`.
///
/// # Errors
/// The kernel cannot tell.
pub fn wait(socket: &impl AsFd, ready: Ready, end: Instant) -> io::Result<bool> {
    let flag = match ready {
        Ready::ToRead => PollFlags::POLLIN,
        Ready::ToWrite => PollFlags::POLLOUT,
    };
    loop {
        let left = end.saturating_duration_since(Instant::now());
        // Rounded up: to wake a little late costs less than to turn around before it is time.
        let milliseconds = u16::try_from(left.as_micros().div_ceil(1000)).unwrap_or(u16::MAX);
        let mut waited = [PollFd::new(socket.as_fd(), flag)];
        match poll(&mut waited, PollTimeout::from(milliseconds)) {
            Ok(0) if left.is_zero() => return Ok(false),
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
}

/// A connection over TCP that never blocks.
///
/// # Errors
/// It was refused, nobody answered before `end` ([`io::ErrorKind::TimedOut`]), or it cannot leave from `source`.
pub fn tcp(to: SocketAddr, source: Option<&Source>, end: Instant) -> io::Result<TcpStream> {
    let descriptor = socket_towards(to.ip(), SockType::Stream, None)?;
    if let Some(source) = source {
        source.hold(&descriptor)?;
    }
    // Questions are short, and nobody is to wait for the rest of a packet.
    setsockopt(&descriptor, sockopt::TcpNoDelay, &true)?;
    begin(&descriptor, &SockaddrStorage::from(to), end)?;
    Ok(descriptor.into())
}

/// A socket for datagrams to `to` that never blocks: what nobody takes there is told by the network.
///
/// # Errors
/// No route leads there, or it cannot leave from `source`.
pub fn udp(to: SocketAddr, source: Option<&Source>) -> io::Result<UdpSocket> {
    let descriptor = socket_towards(to.ip(), SockType::Datagram, None)?;
    if let Some(source) = source {
        source.hold(&descriptor)?;
    }
    connect(descriptor.as_raw_fd(), &SockaddrStorage::from(to))?;
    Ok(descriptor.into())
}

/// A connection to a socket in the file system that never blocks.
///
/// # Errors
/// Nobody listens, or its queue was full until `end` ([`io::ErrorKind::TimedOut`]).
pub fn local(path: &Path, end: Instant) -> io::Result<UnixStream> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let address = UnixAddr::new(path)?;
    let descriptor = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    loop {
        match connect(descriptor.as_raw_fd(), &address) {
            Ok(()) => return Ok(descriptor.into()),
            Err(Errno::EAGAIN | Errno::EINTR) if Instant::now() < end => std::thread::sleep(PAUSE),
            Err(Errno::EAGAIN | Errno::EINTR) => return Err(io::ErrorKind::TimedOut.into()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Connects, and waits for the outcome (connect(2), `EINPROGRESS`).
fn begin(descriptor: &OwnedFd, to: &SockaddrStorage, end: Instant) -> io::Result<()> {
    match connect(descriptor.as_raw_fd(), to) {
        Ok(()) => return Ok(()),
        Err(Errno::EINPROGRESS | Errno::EINTR) => {}
        Err(error) => return Err(error.into()),
    }
    if !wait(descriptor, Ready::ToWrite, end)? {
        return Err(io::ErrorKind::TimedOut.into());
    }
    match getsockopt(descriptor, sockopt::SocketError)? {
        0 => Ok(()),
        number => Err(io::Error::from_raw_os_error(number)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(100)
    }

    #[test]
    fn a_connection_never_waits_beyond_its_end() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut stream = tcp(listener.local_addr().unwrap(), None, soon()).unwrap();
        let end = soon();
        assert!(!wait(&stream, Ready::ToRead, end).unwrap());
        assert!(Instant::now() >= end);
        assert!(wait(&stream, Ready::ToWrite, end).unwrap());
        assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_local_socket_with_a_full_queue_times_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        local(&path, soon()).unwrap_err();
        let _listener = UnixListener::bind(&path).unwrap();
        // As many as its queue holds are accepted by the kernel alone.
        let mut held = Vec::new();
        let refused = loop {
            match local(&path, soon()) {
                Ok(stream) => held.push(stream),
                Err(error) => break error,
            }
            assert!(held.len() < 10_000);
        };
        assert_eq!(refused.kind(), io::ErrorKind::TimedOut);
        assert!(local(&directory.path().join("x".repeat(200)), soon()).is_err());
    }
}
