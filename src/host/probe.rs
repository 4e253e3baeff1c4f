//! Asks many hosts at once whether they are there, and measures whether it was in time to hear them.

#![forbid(unsafe_code)]

use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::icmp::EchoSocket;
use super::source::Source;
use super::tcp::Connection;
use crate::{trace_answer, trace_ask};

/// Connections to one address that wait at the same time.
const MOST_WAITING: usize = 3;

/// How a host is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// An ICMP echo request.
    Echo,
    /// A TCP connection that is accepted. A refused one is no answer: a firewall in between refuses too.
    Connect,
}

/// One address of a host.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// Which host it is of: of several addresses, one that answers is enough.
    pub host: usize,
    /// The address, with the port for [`Means::Connect`].
    pub to: SocketAddr,
    /// How it is asked.
    pub means: Means,
}

/// How often, and until when.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Attempts, spread over the time, but at most a second apart.
    pub attempts: u16,
    /// Of these have to be answered.
    pub needed: u16,
    /// All of it.
    pub time: Duration,
    /// Bytes in an echo request.
    pub size: usize,
    /// Where the packets leave from.
    pub source: Option<Source>,
}

impl Plan {
    fn pause(&self) -> Duration {
        (self.time / u32::from(self.attempts.max(1))).min(Duration::from_secs(1))
    }

    fn due(&self, attempt: u16) -> Duration {
        self.pause() * u32::from(attempt)
    }
}

/// What came of the questions.
#[derive(Debug)]
pub struct Round {
    /// For each question, the time to its first answer; or why it does not count as answered.
    pub answers: Vec<Result<Duration, String>>,
    /// For how long this process should have run and did not: it was starved of CPU, or stopped.
    pub late: Duration,
}

/// Asks all questions at once. It ends when each host has answered by one of its addresses or cannot any more, at
/// latest when the time of the plan is over.
///
/// # Errors
/// There are no sockets for it, so that nothing can be said about any host.
pub fn ask(questions: &[Question], plan: &Plan) -> io::Result<Round> {
    let mut probes: Vec<Probe<'_>> =
        questions.iter().map(|question| Probe::new(question, plan)).collect();
    let begin = Instant::now();
    let mut late = Duration::ZERO;
    loop {
        let woken = begin.elapsed();
        for probe in &mut probes {
            // What came while we were late came in time.
            probe.listen(woken);
            if woken < plan.time {
                probe.ask(woken)?;
            }
        }
        let busy = begin.elapsed();
        late += busy.saturating_sub(woken);
        if woken >= plan.time || is_decided(&probes) {
            break;
        }
        let wake = probes.iter().filter_map(Probe::wake).min().unwrap_or(plan.time).min(plan.time);
        wait(&probes, wake.saturating_sub(busy))?;
        late += begin.elapsed().saturating_sub(wake.max(busy));
    }
    let answers = probes.into_iter().map(Probe::result).collect();
    Ok(Round { answers, late })
}

/// Whether each host has answered by one of its addresses, or by none can any more.
fn is_decided(probes: &[Probe<'_>]) -> bool {
    let answered =
        |host| probes.iter().any(|probe| probe.question.host == host && probe.is_answered());
    probes.iter().all(|probe| probe.is_over() || answered(probe.question.host))
}

/// Waits until something comes, or until it is time.
fn wait(probes: &[Probe<'_>], at_most: Duration) -> io::Result<()> {
    let mut waited: Vec<PollFd<'_>> = probes.iter().flat_map(Probe::descriptors).collect();
    // Rounded up: to wake a little late costs less than to turn around and around before it is time.
    let milliseconds = at_most.as_micros().div_ceil(1000);
    let milliseconds = u16::try_from(milliseconds).unwrap_or(u16::MAX);
    match poll(&mut waited, PollTimeout::from(milliseconds)) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// One question with its attempts.
struct Probe<'a> {
    question: &'a Question,
    plan: &'a Plan,
    /// When each attempt was made.
    sent: Vec<Duration>,
    /// Which of them were answered.
    answered: Vec<bool>,
    first: Option<Duration>,
    echo: Option<EchoSocket>,
    connections: Vec<(usize, Connection)>,
    trouble: Option<String>,
}

impl<'a> Probe<'a> {
    fn new(question: &'a Question, plan: &'a Plan) -> Self {
        Self {
            question,
            plan,
            sent: Vec::new(),
            answered: vec![false; usize::from(plan.attempts)],
            first: None,
            echo: None,
            connections: Vec::new(),
            trouble: None,
        }
    }

    fn attempts(&self) -> u16 {
        u16::try_from(self.sent.len()).unwrap_or(u16::MAX)
    }

    fn is_answered(&self) -> bool {
        let count = self.answered.iter().filter(|answered| **answered).count();
        count >= usize::from(self.plan.needed)
    }

    /// Nothing more can come.
    fn is_over(&self) -> bool {
        let asked = self.attempts() >= self.plan.attempts;
        self.is_answered() || (asked && self.echo.is_none() && self.connections.is_empty())
    }

    /// When the next attempt is to be made.
    fn wake(&self) -> Option<Duration> {
        let attempt = self.attempts();
        (attempt < self.plan.attempts && !self.is_answered()).then(|| self.plan.due(attempt))
    }

    /// Makes the next attempt if it is time. A failure that lies in the way to the host is kept as the reason.
    fn ask(&mut self, now: Duration) -> io::Result<()> {
        if self.wake().is_none_or(|due| now < due) {
            return Ok(());
        }
        let attempt = self.attempts();
        self.sent.push(now);
        trace_ask!("{:?} {} attempt {attempt}", self.question.means, self.question.to);
        let made = match self.question.means {
            Means::Echo => self.send_echo(attempt)?,
            Means::Connect => self.connect(attempt)?,
        };
        if let Err(error) = made {
            self.fail(&error);
        }
        Ok(())
    }

    fn send_echo(&mut self, attempt: u16) -> io::Result<io::Result<()>> {
        let to = self.question.to;
        if self.echo.is_none() {
            let mut socket = match possible(EchoSocket::open(to.ip(), self.plan.size))? {
                Ok(socket) => socket,
                Err(error) => return Ok(Err(error)),
            };
            if let Err(error) = socket.connect(to, self.plan.source.as_ref()) {
                return Ok(Err(error));
            }
            self.echo = Some(socket);
        }
        Ok(self.echo.as_ref().map_or(Ok(()), |socket| socket.ask(attempt)))
    }

    fn connect(&mut self, attempt: u16) -> io::Result<io::Result<()>> {
        // The kernel repeats what those that wait ask (tcp(7), tcp_syn_retries). More of them would use up the descriptors of
        // this process, just when nobody answers.
        if self.connections.len() >= MOST_WAITING.max(self.plan.needed.into()) {
            return Ok(Ok(()));
        }
        let connection = match possible(Connection::open(self.question.to))? {
            Ok(connection) => connection,
            Err(error) => return Ok(Err(error)),
        };
        let begun = connection.begin(self.question.to, self.plan.source.as_ref());
        if begun.is_ok() {
            self.connections.push((usize::from(attempt), connection));
        }
        Ok(begun)
    }

    fn fail(&mut self, error: &io::Error) {
        let cause = crate::error::cause(error);
        trace_answer!("{}: {cause}", self.question.to);
        self.trouble = Some(cause);
    }

    /// Takes what has come.
    fn listen(&mut self, now: Duration) {
        while let Some(sequence) = self.echo.as_ref().and_then(EchoSocket::answered) {
            self.count(usize::from(sequence), now);
        }
        for (attempt, outcome) in ended(&mut self.connections) {
            match outcome {
                Ok(()) => self.count(attempt, now),
                Err(error) => self.fail(&error),
            }
        }
    }

    /// Counts an answer, once for each attempt that was made.
    fn count(&mut self, attempt: usize, now: Duration) {
        if let (Some(sent), Some(answered)) =
            (self.sent.get(attempt), self.answered.get_mut(attempt))
        {
            let after = now.saturating_sub(*sent);
            trace_answer!("{} answers attempt {attempt} after {after:?}", self.question.to);
            *answered = true;
            self.first.get_or_insert(after);
        }
    }

    fn descriptors(&self) -> Vec<PollFd<'_>> {
        if self.is_answered() {
            return Vec::new();
        }
        let echo = self.echo.iter().map(|socket| readable(std::os::fd::AsFd::as_fd(socket)));
        let connections = self.connections.iter().map(|(_, connection)| writable(connection));
        echo.chain(connections).collect()
    }

    fn result(self) -> Result<Duration, String> {
        if let (true, Some(first)) = (self.is_answered(), self.first) {
            return Ok(first);
        }
        let count = self.answered.iter().filter(|answered| **answered).count();
        let asked = self.sent.len();
        Err(match self.trouble {
            Some(trouble) if count == 0 => trouble,
            _ if count > 0 => {
                format!("{count} of {asked} attempts answered, {} needed", self.plan.needed)
            }
            _ => format!("no answer to {asked} attempt(s) in {} s", self.plan.time.as_secs_f64()),
        })
    }
}

/// A kernel without IPv6 has no socket for an IPv6 address. That says as much about the address as a missing route, and
/// nothing about the others.
fn possible<T>(socket: io::Result<T>) -> io::Result<io::Result<T>> {
    match socket {
        Err(error) if error.raw_os_error() == Some(Errno::EAFNOSUPPORT as i32) => Ok(Err(error)),
        other => other.map(Ok),
    }
}

fn readable(descriptor: BorrowedFd<'_>) -> PollFd<'_> {
    PollFd::new(descriptor, PollFlags::POLLIN)
}

fn writable(connection: &Connection) -> PollFd<'_> {
    PollFd::new(std::os::fd::AsFd::as_fd(connection), PollFlags::POLLOUT)
}

/// Takes out the connections that were accepted or have failed.
fn ended(connections: &mut Vec<(usize, Connection)>) -> Vec<(usize, io::Result<()>)> {
    let mut waited: Vec<PollFd<'_>> =
        connections.iter().map(|(_, connection)| writable(connection)).collect();
    if waited.is_empty() || poll(&mut waited, PollTimeout::ZERO).is_err() {
        return Vec::new();
    }
    let over: Vec<bool> = waited.iter().map(|fd| fd.any().unwrap_or(true)).collect();
    let mut outcomes = Vec::new();
    let mut over = over.into_iter();
    connections.retain(|(attempt, connection)| {
        let is_over = over.next().unwrap_or(false);
        if is_over {
            outcomes.push((*attempt, connection.outcome()));
        }
        !is_over
    });
    outcomes
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn plan(attempts: u16, milliseconds: u64) -> Plan {
        let time = Duration::from_millis(milliseconds);
        Plan { attempts, needed: 1, time, size: 56, source: None }
    }

    #[test]
    fn attempts_are_spread_and_at_most_a_second_apart() {
        assert_eq!(plan(3, 1500).due(2), Duration::from_secs(1));
        assert_eq!(plan(3, 30_000).due(2), Duration::from_secs(2));
    }

    #[test]
    fn an_accepted_connection_is_an_answer_and_a_refused_one_is_none() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let open = listener.local_addr().unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let question = |host, to| Question { host, to, means: Means::Connect };
        let round = ask(&[question(0, open), question(1, closed)], &plan(2, 5000)).unwrap();
        assert!(round.answers[0].is_ok(), "{:?}", round.answers);
        let why = round.answers[1].as_ref().unwrap_err();
        assert!(why.contains("refused"), "{why}");
    }

    #[test]
    fn one_address_of_a_host_that_answers_is_enough() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let open = listener.local_addr().unwrap();
        // Documentation addresses lead nowhere (RFC 5737), be it at once or at the end of the time.
        let silent = "192.0.2.1:9".parse().unwrap();
        let question = |to| Question { host: 0, to, means: Means::Connect };
        let begin = Instant::now();
        let round = ask(&[question(silent), question(open)], &plan(1, 30_000)).unwrap();
        assert!(round.answers[1].is_ok() && begin.elapsed() < Duration::from_secs(20));
    }
}
