//! What the processes do that touch the shared directory.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::{PATIENCE, file, table};
use crate::deadline::Deadline;
use crate::environment::Environment;
use crate::error::{Doing, Error, Result};
use crate::host::tickle::Tickler;
use crate::host::{detached, program};
use crate::log::Log;
use crate::state::{Lock, StateDirectory};

/// A list that took longer than this to be written is out of date, and another node may have written its own.
const STALE: Duration = Duration::from_secs(10);

/// Clients that had no answer for so long have given up, or found out by themselves.
const TOO_LATE: Duration = Duration::from_mins(1);

/// When segments go out: the first ones may be lost, or answered to where the address was before. A host answers such
/// segments twice a second at most (`tcp_invalid_ratelimit`), so that the last ones keep a distance.
const TIMES: [Duration; 3] =
    [Duration::ZERO, Duration::from_millis(200), Duration::from_millis(800)];

/// How long the program that copies a list may run.
const COPYING: Duration = Duration::from_mins(1);

/// The list to work on, and for whom.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// The environment of this process.
    pub environment: &'a Environment,
    /// The log of the agent.
    pub log: &'a Log<'a>,
    /// The file.
    pub path: &'a Path,
    /// The address.
    pub ip: IpAddr,
}

impl Job<'_> {
    /// The lock that lets only one process at a time do something with the list.
    fn lock(&self, what: &str, state: &Path, within: Duration) -> Result<Option<Lock>> {
        let name = format!("connections-{what}-{}", self.path.display());
        StateDirectory::new(state.to_owned()).lock(&name, &Deadline::after(within))
    }

    fn does_not_answer(&self) {
        self.log.warn(&format!(
            "{} has not answered for {} s; the connections of {} have to wait for it",
            self.path.display(),
            PATIENCE.as_secs(),
            self.ip
        ));
    }
}

/// Replaces the list by what stands on standard input, and lets it be copied by the process that `next` says.
///
/// # Errors
/// The list could not be written, or not in time.
pub fn save(job: &Job<'_>, state: &Path, next: Option<&[OsString]>) -> Result<()> {
    let begin = Instant::now();
    let what = || format!("save the connections of {} in {}", job.ip, job.path.display());
    let mut text = Vec::new();
    io::stdin().read_to_end(&mut text).doing(what)?;
    let _one_at_a_time = job.lock("save", state, Duration::ZERO).map_err(|_| {
        Error::Failed(format!(
            "did not save the connections of {}: an earlier process still waits for {}; does its storage answer?",
            job.ip,
            job.path.display()
        ))
    })?;
    let path = job.path.to_owned();
    let in_time = move || {
        let late = begin.elapsed() > STALE;
        if late { Err(io::Error::other("the storage answered too late")) } else { Ok(()) }
    };
    let answer = elsewhere(move || file::write(&path, &text, &in_time));
    let written = answer.recv_timeout(PATIENCE).or_else(|_| {
        job.does_not_answer();
        answer.recv()
    });
    written.unwrap_or_else(|_| Err(io::Error::other("the thread ended"))).doing(what)?;
    if let Some(next) = next {
        detached::leave_behind_with_log(next, job.log, Stdio::null())
            .doing(|| format!("start the process that copies {}", job.path.display()))?;
    }
    Ok(())
}

/// Runs the program that copies the list, with the list's file as its last argument. Where it still runs, once more
/// after that: the list of a stop is the one that counts.
///
/// # Errors
/// It is missing, failed, or did not end in time.
pub fn copy(job: &Job<'_>, state: &Path, words: &[String]) -> Result<()> {
    // One that waits for its turn copies what is there by then, so that no other has to wait as well.
    let Ok(next) = job.lock("copy-next", state, Duration::ZERO) else { return Ok(()) };
    let _one_at_a_time = job.lock("copy", state, 2 * COPYING)?;
    drop(next);
    let Some((name, arguments)) = words.split_first() else { return Ok(()) };
    let path = job.path.to_string_lossy();
    let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    arguments.push(&path);
    program::run(job.environment, name, &arguments, &Deadline::after(COPYING))
}

/// Tickles the connections on the list, as long as this node has the address.
///
/// # Errors
/// The list cannot be read, or packets cannot be sent.
pub fn tickle(job: &Job<'_>, index: u32) -> Result<()> {
    let path = job.path.to_owned();
    let answer = elsewhere(move || file::read(&path));
    let read = answer.recv_timeout(PATIENCE).or_else(|_| {
        job.does_not_answer();
        answer.recv_timeout(TOO_LATE)
    });
    let what = || format!("read the connections of {} in {}", job.ip, job.path.display());
    let read = read.unwrap_or_else(|_| Err(io::Error::other("its storage does not answer")));
    let Some(text) = read.doing(what)? else { return Ok(()) };
    let connections = table::read(&text, job.ip);
    if connections.is_empty() {
        return Ok(());
    }
    let begin = Instant::now();
    for (round, time) in TIMES.into_iter().enumerate() {
        std::thread::sleep(time.saturating_sub(begin.elapsed()));
        let tickler = match Tickler::of(job.ip, index) {
            // The address has gone again, and so has the reason.
            Err(error) if error.raw_os_error() == Some(libc::EADDRNOTAVAIL) => return Ok(()),
            other => other.doing(|| format!("tickle the clients of {}", job.ip))?,
        };
        let sent = tickler.tickle(&connections);
        if round == 0 {
            let all = connections.len();
            job.log.info(&format!("tickled {sent} of {all} connections of {}", job.ip));
        }
    }
    Ok(())
}

/// Does something on a thread that may never come back.
fn elsewhere<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> mpsc::Receiver<io::Result<T>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        // Nobody listens any more if it took too long.
        let _ = sender.send(work());
    });
    receiver
}
