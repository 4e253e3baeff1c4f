//! The client role: asks a server for its name again and again, and reports each answer with its time.

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

use crate::{Outcome, broker, clock, says};

/// The private first argument for this role.
pub const ROLE: &str = "role:client";

/// The service of every node, which says its name to whoever asks anything.
pub const NAME: &str = "name";

/// A web server, which has a page that is the node's name.
pub const PAGE: &str = "page";

/// A message queue, whose greeting has the node's name.
pub const BROKER: &str = "broker";

/// How a server is asked.
struct Question {
    /// A new request begins this often, whether or not the ones before it were answered.
    interval: Duration,
    /// A request that got no answer is given up before its SYN would be repeated, which is after a second.
    patience: Duration,
    words: &'static [u8],
    /// The name in what came, when all has come; the second argument says that nothing more does.
    answer: fn(&[u8], bool) -> Option<String>,
}

const QUESTIONS: [(&str, Question); 3] = [
    (
        NAME,
        Question {
            interval: Duration::from_millis(3),
            patience: Duration::from_millis(250),
            words: b"who?",
            answer: |received, _| text(received),
        },
    ),
    (
        PAGE,
        Question {
            interval: Duration::from_millis(20),
            patience: Duration::from_millis(200),
            words: b"GET /node HTTP/1.0\r\n\r\n",
            answer: |received, over| if over { page(received) } else { None },
        },
    ),
    (
        BROKER,
        Question {
            interval: Duration::from_millis(50),
            patience: Duration::from_millis(500),
            words: broker::GREETING,
            answer: |received, _| broker::name_in(received),
        },
    ),
];

/// What a page says, if the server says that it is the one.
fn page(received: &[u8]) -> Option<String> {
    let answer = String::from_utf8_lossy(received);
    let (head, page) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?;
    if status == "200" { text(page.trim().as_bytes()) } else { None }
}

fn text(received: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(received).into_owned();
    (!text.is_empty()).then_some(text)
}

/// One request under way.
struct Request {
    begun: Instant,
    connection: TcpStream,
    asked: bool,
    received: Vec<u8>,
}

/// Asks until it is killed. A line on standard output is the time of an answer and the server's name.
pub fn ask(server: &str, question: &str) -> Outcome<()> {
    let question = QUESTIONS.iter().find(|(name, _)| *name == question);
    let (_, question) = question.ok_or("the client does not know what to ask")?;
    let server: SocketAddr =
        server.parse().map_err(says(format!("{server} is not an address with a port")))?;
    let mut requests: Vec<Request> = Vec::new();
    let mut next = Instant::now();
    loop {
        if next <= Instant::now() {
            next = Instant::now() + question.interval;
            // No route or no neighbour is an unanswered request like any other.
            requests.extend(begin(server).ok());
        }
        requests.retain(|request| request.begun.elapsed() < question.patience);
        let ready = wait_for_any(&requests, next);
        requests = requests
            .into_iter()
            .zip(ready)
            .filter_map(
                |(request, ready)| {
                    if ready { go_on(request, question) } else { Some(request) }
                },
            )
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
            let connection = socket.into();
            Ok(Request { begun: Instant::now(), connection, asked: false, received: Vec::new() })
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
fn go_on(mut request: Request, question: &Question) -> Option<Request> {
    let result = if request.asked {
        receive(&mut request, question)
    } else {
        request.connection.write_all(question.words).map(|()| {
            request.asked = true;
            false
        })
    };
    match result {
        Ok(false) => Some(request),
        Err(error) if is_early(&error) => Some(request),
        Ok(true) | Err(_) => None,
    }
}

/// A connection that is still being made answers `ENOTCONN` to a read and `EAGAIN` to a write.
fn is_early(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected)
}

/// Whether the request is over.
fn receive(request: &mut Request, question: &Question) -> io::Result<bool> {
    let mut part = [0_u8; 512];
    let length = request.connection.read(&mut part)?;
    request.received.extend_from_slice(&part[..length]);
    let answer = (question.answer)(&request.received, length == 0);
    if let Some(name) = &answer {
        let mut output = io::stdout().lock();
        writeln!(output, "{} {name}", clock::now().as_micros())?;
        output.flush()?;
    }
    Ok(length == 0 || answer.is_some())
}
