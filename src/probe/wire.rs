//! A conversation with a server: one deadline for all of it, and no more memory than a bound.

#![forbid(unsafe_code)]

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::line::{Line, Socket};
use super::location::Host;
use super::outcome::{Marks, Phase, Trouble, short};
use super::protocol::Carrier;
use super::tls::Session;
use super::url::Url;
use crate::error::{cause, one_line};
use crate::host::names::Lookup;
use crate::host::stream::{self, Ready};

/// No probe keeps more than this of what a server sends.
pub const MOST: usize = 256 * 1024;

/// How long a server may take to say goodbye, when it has shown that it lives.
const FAREWELL: Duration = Duration::from_millis(100);

/// Longest line of any protocol here (HTTP servers allow 8 KiB by default).
const LONGEST_LINE: usize = 16 * 1024;

type Result<T, E = Trouble> = std::result::Result<T, E>;

/// The conversation.
#[derive(Debug)]
pub struct Wire {
    line: Line,
    /// What came and was not taken yet.
    buffer: Vec<u8>,
    /// All that came, taken or not.
    heard: usize,
    /// How much of it was looked at after the deadline.
    late: usize,
    begin: Instant,
    end: Instant,
    marks: Marks,
}

impl Wire {
    pub(super) fn new(begin: Instant, end: Instant) -> Self {
        let (line, buffer, marks) = (Line::Unopened, Vec::new(), Marks::new());
        Self { line, buffer, heard: 0, late: 0, begin, end, marks }
    }

    pub(super) fn into_marks(self) -> Marks {
        self.marks
    }

    /// When all has to be over.
    #[must_use]
    pub fn end(&self) -> Instant {
        self.end
    }

    /// What the probe has been given.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.end.saturating_duration_since(self.begin)
    }

    /// Notes that `phase` is over.
    pub fn mark(&mut self, phase: Phase) {
        if self.marks.last().is_none_or(|(last, _)| *last != phase) {
            self.marks.push((phase, self.begin.elapsed()));
        }
    }

    /// Connects, and agrees upon TLS where the protocol is under it.
    pub(super) fn open(&mut self, url: &Url) -> Result<()> {
        // A redirection leads elsewhere: nothing of what was heard counts there.
        self.line = Line::Unopened;
        self.buffer.clear();
        self.heard = 0;
        if let Some(path) = url.socket() {
            let connected = stream::local(&path, self.end);
            let socket = connected.map(Socket::Local).map_err(|error| self.unconnected(&error))?;
            self.mark(Phase::Connect);
            return self.converse(url, socket);
        }
        let addresses = self.addresses(url)?;
        if url.protocol.carrier == Carrier::Udp {
            let source = url.options.bind.as_ref();
            let opened = stream::udp(addresses[0], source);
            self.line = Line::Datagrams(opened.map_err(|error| self.unconnected(&error))?);
            return Ok(());
        }
        let socket = self.connect(url, &addresses)?;
        self.mark(Phase::Connect);
        self.converse(url, Socket::Tcp(socket))
    }

    fn converse(&mut self, url: &Url, socket: Socket) -> Result<()> {
        if url.protocol.carrier != Carrier::Tls {
            self.line = Line::Plain(socket);
            return Ok(());
        }
        let session = Session::agree(url, socket, self.end);
        let session = session.map_err(|why| Trouble { phase: Phase::Handshake, why })?;
        self.line = Line::Secure(Box::new(session));
        self.mark(Phase::Handshake);
        Ok(())
    }

    /// The addresses of the server, those first that the host prefers. Never empty.
    fn addresses(&mut self, url: &Url) -> Result<Vec<SocketAddr>> {
        let name = match &url.host {
            Host::Address(ip) => return Ok(vec![SocketAddr::new(*ip, url.port)]),
            Host::Name(name) => name,
        };
        let unknown = |why: String| Trouble { phase: Phase::Name, why };
        let lookup = Lookup::begin(name, url.port).map_err(|error| unknown(cause(&error)))?;
        let left = self.end.saturating_duration_since(Instant::now());
        let mut addresses = lookup.finish(left).map_err(unknown)?;
        if let Some(source) = &url.options.bind {
            addresses.retain(|address| source.suits(address.ip()));
        }
        if addresses.is_empty() {
            return Err(unknown("its name has no address of the family of bind".to_owned()));
        }
        self.mark(Phase::Name);
        Ok(addresses)
    }

    /// Connects to the first address that accepts; each gets its share of the time.
    fn connect(&self, url: &Url, addresses: &[SocketAddr]) -> Result<TcpStream> {
        let mut failed = None;
        for (at, address) in addresses.iter().enumerate() {
            let others = u32::try_from(addresses.len() - at).unwrap_or(u32::MAX);
            let now = Instant::now();
            let end = now + self.end.saturating_duration_since(now) / others;
            match stream::tcp(*address, url.options.bind.as_ref(), end) {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = Some(self.unconnected(&error)),
            }
        }
        Err(failed.unwrap_or_else(|| Trouble::unexpected("it has no address")))
    }

    fn unconnected(&self, error: &io::Error) -> Trouble {
        let why = match (error.kind(), error.raw_os_error()) {
            (ErrorKind::TimedOut, None) => {
                format!("nobody answered within {}", short(self.patience()))
            }
            (ErrorKind::ConnectionRefused, _) => {
                "Connection refused: nobody listens there".to_owned()
            }
            (ErrorKind::AddrNotAvailable, _) => {
                "the address in bind is not on this host".to_owned()
            }
            (_, Some(libc::ENODEV)) => "the interface in bind is not on this host".to_owned(),
            _ => cause(error),
        };
        Trouble { phase: Phase::Connect, why }
    }

    /// Says something. A server that hung up before may have said why: listening tells.
    ///
    /// # Errors
    /// It did not take it in time.
    pub fn say(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            match self.line.write(bytes) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock => self.await_ready(Ready::ToWrite)?,
                    ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => return Ok(()),
                    _ => return Err(self.broken(&error)),
                },
            }
        }
        Ok(())
    }

    /// Takes its leave, and waits a moment for the server to do so too: one that is hung up on in the middle of its
    /// farewell writes that to its log. What comes of it matters to nobody.
    pub fn part(&mut self, words: &[u8]) {
        let end = self.end;
        self.end = end.min(Instant::now() + FAREWELL);
        if self.say(words).is_ok() {
            while self.listen().is_ok_and(|goes_on| goes_on) {}
        }
        self.end = end;
    }

    /// Listens for more; whether the server has not hung up.
    ///
    /// # Errors
    /// It says nothing, or more than anybody wants to hear.
    pub fn listen(&mut self) -> Result<bool> {
        let mut chunk = [0; 4096];
        loop {
            if self.buffer.len() >= MOST {
                let why = format!("it sent {} KiB without an end", MOST / 1024);
                return Err(Trouble { phase: Phase::Answer, why });
            }
            match self.line.read(&mut chunk) {
                Ok(0) if !matches!(self.line, Line::Datagrams(_)) => return Ok(false),
                Ok(length) => {
                    self.heard += length;
                    self.mark_first();
                    self.buffer.extend_from_slice(&chunk[..length]);
                    // What is here by the deadline came in time, even if this process is late to look; but a server
                    // that never stops talking is not listened to for ever.
                    if Instant::now() >= self.end {
                        self.late += length;
                    }
                    return if self.late <= MOST { Ok(true) } else { Err(self.silent()) };
                }
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock => self.await_ready(Ready::ToRead)?,
                    // It does not say goodbye, as TLS has it: many do not.
                    ErrorKind::UnexpectedEof => return Ok(false),
                    ErrorKind::ConnectionReset if self.heard > 0 => return Ok(false),
                    _ => return Err(self.broken(&error)),
                },
            }
        }
    }

    fn mark_first(&mut self) {
        if self.marks.iter().all(|(phase, _)| *phase != Phase::FirstByte) {
            self.mark(Phase::FirstByte);
        }
    }

    fn await_ready(&self, ready: Ready) -> Result<()> {
        match self.line.wait(ready, self.end) {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.silent()),
            Err(error) => Err(self.broken(&error)),
        }
    }

    /// Where a conversation is of which nothing more comes.
    fn phase(&self) -> Phase {
        if self.heard == 0 { Phase::FirstByte } else { Phase::Answer }
    }

    fn silent(&self) -> Trouble {
        let within = short(self.patience());
        let why = match (self.heard, &self.line) {
            (0, Line::Datagrams(_)) => format!("it did not answer within {within}"),
            (0, _) => format!(
                "it took the connection and said nothing within {within}: it hangs or is overloaded"
            ),
            _ => format!("it began to answer and did not end within {within}"),
        };
        Trouble { phase: self.phase(), why }
    }

    fn broken(&self, error: &io::Error) -> Trouble {
        let why = match error.kind() {
            ErrorKind::ConnectionRefused => "Connection refused: nobody listens there".to_owned(),
            ErrorKind::ConnectionReset => "it took the connection and reset it".to_owned(),
            _ => cause(error),
        };
        Trouble { phase: self.phase(), why }
    }

    /// The trouble of a server that hung up too early.
    #[must_use]
    pub fn hung_up(&self) -> Trouble {
        let why = match (self.heard, self.buffer.is_empty()) {
            (0, _) => "it took the connection and closed it without a word".to_owned(),
            (_, true) => "it closed the connection in the middle".to_owned(),
            _ => format!("it closed the connection after {}", quoted(&self.buffer)),
        };
        Trouble { phase: self.phase(), why }
    }

    /// One line, without its end. `of` completes "it is no …" for a server that sends no lines.
    ///
    /// # Errors
    /// It does not come, or is no line.
    pub fn line(&mut self, of: &str) -> Result<String> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.buffer[searched..].iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.buffer.drain(..=searched + at).collect();
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            searched = self.buffer.len();
            if searched > LONGEST_LINE {
                return Err(no(of, &self.buffer));
            }
            if !self.listen()? {
                return Err(self.hung_up());
            }
        }
    }

    /// Exactly so many bytes.
    ///
    /// # Errors
    /// They do not come.
    pub fn take(&mut self, length: usize) -> Result<Vec<u8>> {
        while self.buffer.len() < length {
            if !self.listen()? {
                return Err(self.hung_up());
            }
        }
        Ok(self.buffer.drain(..length).collect())
    }

    /// One datagram, whole.
    ///
    /// # Errors
    /// None comes.
    pub fn datagram(&mut self) -> Result<Vec<u8>> {
        self.buffer.clear();
        self.listen()?;
        Ok(std::mem::take(&mut self.buffer))
    }

    /// The answer to a question, which is asked again when none comes: some get lost. The pauses double (RFC 3261,
    /// 17.1.1.2).
    ///
    /// # Errors
    /// None comes in time.
    pub fn answer_to(
        &mut self,
        question: &[u8],
        is_answer: impl Fn(&[u8]) -> bool,
    ) -> Result<Vec<u8>> {
        let mut pause = Duration::from_millis(500);
        loop {
            self.say(question)?;
            let until = self.end.min(Instant::now() + pause);
            while self.line.wait(Ready::ToRead, until).map_err(|error| self.broken(&error))? {
                let datagram = self.datagram()?;
                // Others are somebody else's.
                if is_answer(&datagram) {
                    return Ok(datagram);
                }
            }
            if Instant::now() >= self.end {
                return Err(self.silent());
            }
            pause *= 2;
        }
    }

    /// What came so far and was not taken.
    #[must_use]
    pub fn pending(&self) -> &[u8] {
        &self.buffer
    }
}

/// The trouble of a server that is something else.
#[must_use]
pub fn no(what: &str, said: &[u8]) -> Trouble {
    let said = if said.is_empty() { "an empty line".to_owned() } else { quoted(said) };
    Trouble::unexpected(format!("it is no {what}: it said {said}"))
}

/// The beginning of what a server said, fit to print.
#[must_use]
pub fn quoted(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(&said[..said.len().min(200)]);
    format!("{:?}", one_line(text.trim_end(), 60))
}
