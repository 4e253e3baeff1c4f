//! The client role: asks a server for its name every few milliseconds, and reports each answer with its time.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc::linger;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, connect, setsockopt, socket,
    sockopt::Linger,
};
use nix::sys::time::TimeSpec;

use crate::{Outcome, clock, says};

/// The private first argument for this role.
pub const ROLE: &str = "role:client";

/// A new request begins this often, whether or not the ones before it were answered.
const INTERVAL: Duration = Duration::from_millis(3);

/// A request that got no answer is given up before its SYN would be repeated, which is after a second.
const PATIENCE: Duration = Duration::from_millis(250);

/// One request under way.
struct Request {
    begun: Instant,
    connection: TcpStream,
    asked: bool,
}

/// Asks until it is killed. A line on standard output is the time of an answer and the server's name.
pub fn ask(server: &str) -> Outcome<()> {
    let server: SocketAddr =
        server.parse().map_err(says(format!("{server} is not an address with a port")))?;
    let mut requests: Vec<Request> = Vec::new();
    let mut next = Instant::now();
    loop {
        if next <= Instant::now() {
            next = Instant::now() + INTERVAL;
            // No route or no neighbour is an unanswered request like any other.
            requests.extend(begin(server).ok());
        }
        requests.retain(|request| request.begun.elapsed() < PATIENCE);
        let ready = wait_for_any(&requests, next);
        requests = requests
            .into_iter()
            .zip(ready)
            .filter_map(|(request, ready)| if ready { go_on(request) } else { Some(request) })
            .collect();
    }
}

fn begin(server: SocketAddr) -> Result<Request, Errno> {
    let family = if server.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(family, SockType::Stream, flags, None)?;
    // Closing by reset leaves no TIME_WAIT behind; a few hundred a second would use up the ports.
    setsockopt(&socket, Linger, &linger { l_onoff: 1, l_linger: 0 })?;
    match connect(socket.as_raw_fd(), &SockaddrStorage::from(server)) {
        Ok(()) | Err(Errno::EINPROGRESS) => {
            Ok(Request { begun: Instant::now(), connection: socket.into(), asked: false })
        }
        Err(error) => Err(error),
    }
}

/// Which of the requests can go on; none of them, when `until` has come.
fn wait_for_any(requests: &[Request], until: Instant) -> Vec<bool> {
    let mut waiting: Vec<PollFd<'_>> = requests
        .iter()
        .map(|request| {
            let event = if request.asked { PollFlags::POLLIN } else { PollFlags::POLLOUT };
            PollFd::new(request.connection.as_fd(), event)
        })
        .collect();
    let pause = TimeSpec::from_duration(until.saturating_duration_since(Instant::now()));
    // An interrupted wait is only a shorter one.
    let _number = ppoll(&mut waiting, Some(pause), None);
    waiting.iter().map(|file| file.any().unwrap_or(false)).collect()
}

/// Sends or receives if it can be done now; `None` when the request is over.
fn go_on(mut request: Request) -> Option<Request> {
    let result = if request.asked {
        receive(&mut request.connection)
    } else {
        send(&mut request.connection)
    };
    match result {
        Ok(false) => Some(Request { asked: true, ..request }),
        Err(error) if is_early(&error) => Some(request),
        Ok(true) | Err(_) => None,
    }
}

/// A connection that is still being made answers `ENOTCONN` to a read and `EAGAIN` to a write.
fn is_early(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected)
}

fn send(connection: &mut TcpStream) -> io::Result<bool> {
    connection.write_all(b"who?")?;
    Ok(false)
}

fn receive(connection: &mut TcpStream) -> io::Result<bool> {
    let mut name = [0_u8; 32];
    let length = connection.read(&mut name)?;
    if length > 0 {
        let name = String::from_utf8_lossy(&name[..length]);
        let mut output = io::stdout().lock();
        writeln!(output, "{} {name}", clock::now().as_micros())?;
        output.flush()?;
    }
    Ok(true)
}
