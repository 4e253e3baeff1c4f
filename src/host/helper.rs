//! Work that the kernel may never come back from, in a process of our own: the agent waits as long as it can, and tells.
//!
//! A sleep that even SIGKILL does not end is the storage's answer to a disk or server that does not answer. Whoever sleeps
//! so keeps his lock and says in it who he is and since when, so that the next action tells instead of sleeping too.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::io::{self, Read};
use std::process::{ChildStdout, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::Signal;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{Pid, getppid};

use super::detached::{self, Worker};
use super::pidfd::{Handle, wait_for_all};
use super::process::{Identity, Process};
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::log::Log;
use crate::state::{Lock, StateDirectory};

/// How long the kernel may take to end what was killed, if it does not hang.
const DIES: Duration = Duration::from_millis(500);

/// How long it may take from the lock to the words in it.
const INTRODUCES: Duration = Duration::from_secs(2);

/// What the work came to.
#[derive(Debug)]
pub enum Outcome {
    /// It ended.
    Ended {
        /// With which exit code; none if somebody killed it.
        code: Option<i32>,
        /// What it wrote onto its stdout.
        said: String,
    },
    /// It did not end in time, and was killed.
    Hung {
        /// How long it was waited for.
        lasted: Duration,
        /// The process, if that sleeps so deeply that it is there still.
        stuck: Option<Process>,
    },
}

/// Runs this binary with other `words`, but not longer than `limit`, which ends before `deadline`. It has a share in `lock`, and keeps it if it does not end.
///
/// What it runs has to begin with [`begin`].
///
/// # Errors
/// There can be no new process.
pub fn run(
    words: &[OsString],
    log: &Log<'_>,
    lock: Option<&Lock>,
    limit: Duration,
    deadline: &Deadline,
) -> io::Result<Outcome> {
    let stdin = match lock {
        Some(lock) => lock.share()?.into(),
        None => Stdio::null(),
    };
    let begin = Instant::now();
    let (mut worker, stdout) = detached::start_told(words, log, stdin)?;
    if let Some(code) = worker.code_within(limit) {
        return Ok(Outcome::Ended { code, said: stdout.map(said).unwrap_or_default() });
    }
    let lasted = begin.elapsed();
    Ok(Outcome::Hung { lasted, stuck: killed(&mut worker, lock, dies(deadline)) })
}

/// How long it is waited for the end of what was killed: of the time that is left, some is for what follows.
pub(super) fn dies(deadline: &Deadline) -> Duration {
    DIES.min(deadline.left_with_reserve() / 2)
}

fn killed(worker: &mut Worker, lock: Option<&Lock>, dies: Duration) -> Option<Process> {
    worker.kill();
    if worker.ended_within(dies) {
        return None;
    }
    if let Some(lock) = lock {
        lock.leave();
    }
    Process::look(worker.pid().cast_signed()).ok().flatten()
}

/// What there is to read, without waiting for more.
fn said(mut stdout: ChildStdout) -> String {
    let mut words = [0; 2000];
    let set = fcntl(&stdout, FcntlArg::F_SETFL(OFlag::O_NONBLOCK));
    let length = set.ok().and_then(|_| stdout.read(&mut words).ok()).unwrap_or(0);
    String::from_utf8_lossy(&words[..length]).trim().to_owned()
}

/// Who called, and how long it will wait.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The caller's number.
    pub starter: i32,
    /// How long it waits.
    pub limit: Duration,
}

impl Terms {
    /// Those of this process for a helper of its own.
    #[must_use]
    pub fn of_this(limit: Duration) -> Self {
        Self { starter: std::process::id().cast_signed(), limit }
    }

    /// As words of a command line.
    #[must_use]
    pub fn words(self) -> [OsString; 4] {
        let limit = self.limit.as_millis().to_string();
        ["--starter".into(), self.starter.to_string().into(), "--limit".into(), limit.into()]
    }
}

/// Settles in the helper, which ends with its starter: what nobody waits for need not be done.
pub fn begin(what: &str, terms: Terms) {
    detached::settle();
    let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
    if getppid() != Pid::from_raw(terms.starter) {
        std::process::exit(1);
    }
    introduce(what, terms.limit);
}

/// Writes into the lock on stdin who has it.
pub fn introduce(what: &str, limit: Duration) {
    if let (Ok(lock), Ok(own)) = (Lock::of_stdin(), Process::own()) {
        let Identity { pid, start } = own.identity;
        let (now, limit) = (now().as_millis(), limit.as_millis());
        lock.note(&format!("{pid} {start} {now} {limit} {what}\n"));
    }
}

/// Since the machine was started, also while it slept.
fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
}

/// Who has a lock, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keeper {
    /// The process.
    pub identity: Identity,
    since: Duration,
    limit: Duration,
    /// What it does.
    pub what: String,
}

impl Keeper {
    /// Whoever introduced himself in the lock and lives.
    #[must_use]
    pub fn of(state: &StateDirectory, lock: &str) -> Option<Self> {
        let keeper = Self::parse(&state.note_in_lock(lock)?)?;
        keeper.process().map(|_| keeper)
    }

    fn parse(note: &str) -> Option<Self> {
        let mut words = note.trim().splitn(5, ' ');
        let mut number = || words.next()?.parse::<u64>().ok();
        let pid = i32::try_from(number()?).ok()?;
        let identity = Identity { pid, start: number()? };
        let (since, limit) = (Duration::from_millis(number()?), Duration::from_millis(number()?));
        Some(Self { identity, since, limit, what: words.next()?.to_owned() })
    }

    /// It, unless it has ended.
    #[must_use]
    pub fn process(&self) -> Option<Process> {
        Process::find(self.identity).ok().flatten().filter(|process| !process.is_dead())
    }

    /// How long it has been at it.
    #[must_use]
    pub fn lasted(&self) -> Duration {
        now().saturating_sub(self.since)
    }

    /// How long its starter still waits for it.
    fn left(&self) -> Duration {
        self.limit.saturating_sub(self.lasted())
    }

    fn is_overdue(&self) -> bool {
        self.left().is_zero() && self.process().is_some()
    }

    /// Kills it; whether it ended.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn end(&self, deadline: &Deadline) -> Result<bool> {
        let Some(handle) = Handle::open(self.identity)? else { return Ok(true) };
        handle.signal(Signal::SIGKILL)?;
        Ok(wait_for_all(std::slice::from_ref(&handle), dies(deadline)))
    }
}

/// Takes the lock of work that one process at a time does. Whoever does it is waited for as long as it may take.
///
/// # Errors
/// The time is over, or whoever has it is overdue: then it is told who that is.
pub fn alone(
    state: &StateDirectory,
    lock: &str,
    deadline: &Deadline,
) -> Result<Option<Lock>, Option<Keeper>> {
    loop {
        let keeper = Keeper::of(state, lock);
        let wait = keeper.as_ref().map_or(INTRODUCES, Keeper::left);
        match state.lock(lock, &deadline.at_most(wait)) {
            Ok(lock) => return Ok(lock),
            Err(_) if deadline.left().is_zero() => return Err(keeper),
            // Not one who ended meanwhile, and whose place somebody else took.
            Err(_) if keeper.as_ref().is_some_and(Keeper::is_overdue) => return Err(keeper),
            Err(_) => {}
        }
    }
}

/// Tells the starter what it came to: the exit code, and the reason on stdout.
#[must_use]
pub fn told(done: Result<()>) -> u8 {
    use std::io::Write;
    match done {
        Ok(()) => 0,
        Err(error) => {
            // A starter that went away wants to hear nothing.
            let _ = std::io::stdout().write_all(error.to_string().as_bytes());
            error.code().number()
        }
    }
}

/// What a helper that ended has told.
///
/// # Errors
/// It did not succeed.
pub fn heard(code: Option<i32>, said: String) -> Result<()> {
    match code {
        Some(0) => Ok(()),
        Some(2) => Err(Error::Local(said)),
        Some(4) => Err(Error::NotPermitted(said)),
        Some(5) => Err(Error::NotInstalled(said)),
        Some(_) if !said.is_empty() => Err(Error::Failed(said)),
        Some(code) => {
            Err(Error::Failed(format!("a helper ended with code {code}, and said nothing")))
        }
        None => Err(Error::Failed("somebody killed the helper; do it again".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn whoever_has_a_lock_is_known_while_he_lives() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(directory.path().to_owned());
        let lock = state.lock("x", &Deadline::after(Duration::from_secs(5))).unwrap().unwrap();
        let own = Process::own().unwrap().identity;
        lock.note(&format!("{} {} {} 100 reads\n", own.pid, own.start, now().as_millis()));
        let keeper = Keeper::of(&state, "x").unwrap();
        assert_eq!((keeper.what.as_str(), keeper.identity), ("reads", own));
        let soon = Deadline::after(Duration::from_secs(20));
        let begin = Instant::now();
        let found = alone(&state, "x", &soon).unwrap_err().unwrap();
        assert_eq!(found, keeper);
        assert!(begin.elapsed() >= Duration::from_millis(50), "it had time left");
        assert!(begin.elapsed() < Duration::from_secs(10), "and is overdue then");
        lock.note(&format!("{} {} 5 100 reads\n", own.pid, own.start + 1));
        assert_eq!(Keeper::of(&state, "x"), None, "another process has that number");
        drop(lock);
        alone(&state, "x", &soon).unwrap().unwrap();
    }

    #[test]
    fn what_a_helper_says_is_what_its_starter_hears() {
        for error in [
            Error::Local("a".into()),
            Error::NotPermitted("b".into()),
            Error::NotInstalled("c".into()),
            Error::Failed("d".into()),
        ] {
            let code = error.code().number();
            assert_eq!(heard(Some(i32::from(code)), error.to_string()), Err(error));
        }
        assert_eq!(heard(Some(0), String::new()), Ok(()));
        heard(None, String::new()).unwrap_err();
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text: String) {
            let _ = Keeper::parse(&text);
        }
    }
}
