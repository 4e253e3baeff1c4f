//! What a client saw of an address: who answered it, and for how long nobody did.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::machine::Machine;
use crate::{Outcome, client, clock, says, wait};

/// One answer: when it came and which node gave it.
#[derive(Clone, Debug)]
struct Answer {
    at: Duration,
    node: String,
}

/// A time without an answer.
#[derive(Clone, Debug)]
pub struct Outage {
    /// The node that ended it.
    pub by: String,
    /// The first answer after it.
    pub end: Duration,
    /// Between the last answer before and the first one after.
    pub length: Duration,
}

impl fmt::Display for Outage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "outage {} ms", self.length.as_millis())
    }
}

/// A client at work; it ends with this value.
pub struct Watch {
    address: String,
    process: Child,
    answers: Arc<Mutex<Vec<Answer>>>,
}

impl Watch {
    /// Lets the client ask `address` from now on, with one of the questions that it knows.
    pub fn begin(client: &Machine, address: &str, port: u16, question: &str) -> Outcome<Self> {
        let ip: IpAddr = address.parse().map_err(says(format!("{address} is not an address")))?;
        let program = std::env::current_exe().map_err(says("cannot find this program"))?;
        let mut process = client
            .network_command(&program.to_string_lossy())
            .args([client::ROLE, &SocketAddr::new(ip, port).to_string(), question])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(says("cannot start the client"))?;
        let output = process.stdout.take().ok_or("the client has no output")?;
        let answers = Arc::default();
        let sink = Arc::clone(&answers);
        thread::spawn(move || collect(output, &sink));
        Ok(Self { address: address.to_owned(), process, answers })
    }

    /// The address that the client asks.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Waits until the client gets an answer from `node` that is younger than this call.
    pub fn await_answer_from(&self, node: &str, patience: Duration) -> Outcome<()> {
        let since = clock::now();
        let what = format!("{node} answers the client at {}", self.address);
        wait::until(&what, patience, || {
            let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(answers.last().is_some_and(|answer| answer.at > since && answer.node == node))
        })
    }

    /// Waits until another node than `old` answers, after `since`, and measures the gap before that.
    pub fn await_takeover_from(
        &self,
        old: &str,
        since: Duration,
        patience: Duration,
    ) -> Outcome<Outage> {
        let what = format!("another node than {old} answers the client at {}", self.address);
        let outage = wait::for_some(&what, patience, || Ok(takeover(old, since, &self.answers())))?;
        self.await_answer_from(&outage.by, patience)?;
        Ok(outage)
    }

    /// The longest time without an answer since `since`, whoever answered.
    pub fn longest_gap(&self, since: Duration) -> Option<Outage> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let first = answers.partition_point(|answer| answer.at <= since);
        let gaps = answers[first.saturating_sub(1)..].windows(2);
        gaps.map(|pair| between(&pair[0], &pair[1])).max_by_key(|outage| outage.length)
    }

    /// Whether anybody answered since then.
    pub fn is_answered(&self, since: Duration) -> bool {
        self.answers().last().is_some_and(|answer| answer.at > since)
    }

    /// How often another node answered than before. A move makes one change; two owners make many.
    pub fn changes(&self, since: Duration) -> usize {
        let answers = self.answers();
        answers.windows(2).filter(|pair| pair[1].at > since && pair[0].node != pair[1].node).count()
    }

    fn answers(&self) -> Vec<Answer> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // It may have ended with its machine.
        let _gone = self.process.kill();
        let _status = self.process.wait();
    }
}

fn collect(output: ChildStdout, sink: &Mutex<Vec<Answer>>) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        if let Some(answer) = parse(&line) {
            sink.lock().unwrap_or_else(PoisonError::into_inner).push(answer);
        }
    }
}

fn parse(line: &str) -> Option<Answer> {
    let (microseconds, node) = line.split_once(' ')?;
    Some(Answer { at: Duration::from_micros(microseconds.parse().ok()?), node: node.to_owned() })
}

fn takeover(old: &str, since: Duration, answers: &[Answer]) -> Option<Outage> {
    let changes =
        |pair: &&[Answer]| pair[1].at > since && pair[1].node != old && pair[0].node == old;
    answers.windows(2).find(changes).map(|pair| between(&pair[0], &pair[1]))
}

fn between(before: &Answer, after: &Answer) -> Outage {
    Outage { by: after.node.clone(), end: after.at, length: after.at.saturating_sub(before.at) }
}
