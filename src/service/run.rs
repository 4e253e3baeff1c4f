//! Programs that an action runs to their end: init scripts, hooks, checks.

#![forbid(unsafe_code)]

use std::collections::HashSet;
use std::ffi::OsString;
use std::io::Read;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::family::{Census, protected};
use crate::deadline::Deadline;
use crate::error::{Doing, Result};
use crate::host::launch::{Launch, Output};
use crate::host::pidfd::{freeze, kill_all, wait_for_all};
use crate::host::process::{Identity, Process};
use crate::host::reaper::{End, bury, ended};
use crate::trace_answer;

/// What became of a program.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Its session, which is its number too.
    pub(super) session: i32,
    /// How it ended; none if time was over.
    pub(crate) end: Option<End>,
    /// The last lines that it wrote.
    pub(crate) output: Vec<u8>,
}

/// How much of the output is kept, in bytes.
const KEPT: usize = 4096;

impl Ran {
    /// Whether it ended with that exit code.
    pub(crate) fn ended_with(&self, code: i32) -> bool {
        self.end == Some(End::Code(code))
    }

    /// How it ended and its last words, for a reason.
    pub(crate) fn how(&self) -> String {
        let end = self.end.map_or("no end".to_owned(), |end| end.to_string());
        match last_line(&self.output) {
            Some(line) => format!("{end}: {line}"),
            None => end,
        }
    }
}

/// The last line that is not empty.
pub(crate) fn last_line(output: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(output);
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty())?;
    Some(crate::error::one_line(line, 80))
}

/// Runs a program as root or as the caller, in a session of its own.
pub(super) fn run(
    words: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    group: Option<PathBuf>,
    deadline: &Deadline,
) -> Result<Ran> {
    run_keeping(KEPT, words, environment, group, deadline)
}

/// The same, with so many bytes kept of what it writes.
pub(super) fn run_keeping(
    kept: usize,
    words: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    group: Option<PathBuf>,
    deadline: &Deadline,
) -> Result<Ran> {
    let launch = Launch {
        words,
        environment,
        account: None,
        directory: "/".into(),
        umask: None,
        limits: Vec::new(),
        input: Vec::new(),
        output: Output::Files("/dev/null".into(), None),
        group,
    };
    let running = Running { kept, ..Running::begin(launch, deadline)? };
    running.finish(deadline)
}

/// A program that is on its way.
#[derive(Debug)]
pub(crate) struct Running {
    name: String,
    identity: Identity,
    reader: std::io::PipeReader,
    output: Vec<u8>,
    /// How many bytes are kept of that.
    kept: usize,
    end: Option<End>,
}

impl Running {
    /// Starts it; its output is kept here, wherever the launch would have it.
    pub(crate) fn begin(mut launch: Launch, deadline: &Deadline) -> Result<Self> {
        let name = launch.words.first().map_or(String::new(), |word| word.display().to_string());
        let (reader, writer) = std::io::pipe().doing(|| format!("run {name}"))?;
        fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).doing(|| format!("run {name}"))?;
        launch.output = Output::Pipe(writer);
        let identity = launch.start(deadline)?;
        Ok(Self { name, identity, reader, output: Vec::new(), kept: KEPT, end: None })
    }

    /// How it ended, if it did.
    pub(crate) fn end(&mut self) -> Option<End> {
        drain(&mut self.reader, &mut self.output, self.kept);
        self.end = self.end.or_else(|| ended(self.identity.pid));
        self.end
    }

    /// What became of it so far.
    pub(crate) fn ran(&mut self) -> Ran {
        let end = self.end();
        drain(&mut self.reader, &mut self.output, self.kept);
        trace_answer!("{}: {end:?}, {:?}", self.name, last_line(&self.output));
        Ran { session: self.identity.pid, end, output: self.output.clone() }
    }

    /// Ends it with all that it started and did not let go, if it still runs.
    pub(crate) fn give_up(&mut self) -> Result<()> {
        if self.end().is_none() { end_all(self.identity) } else { Ok(()) }
    }

    /// Waits for its end, or ends it when time is over.
    pub(crate) fn finish(mut self, deadline: &Deadline) -> Result<Ran> {
        let mut pause = Duration::from_millis(1);
        // Its end is what is waited for, not that of its output: a daemon that it started may keep the pipe.
        while self.end().is_none() {
            if deadline.left().is_zero() {
                end_all(self.identity)?;
                let ran = Ran { end: None, ..self.ran() };
                return Ok(ran);
            }
            std::thread::sleep(pause.min(deadline.left()));
            pause = (pause * 2).min(Duration::from_millis(20));
        }
        Ok(self.ran())
    }
}

/// Reads what there is, but not for longer than a program can write without a pause.
fn drain(reader: &mut std::io::PipeReader, output: &mut Vec<u8>, kept: usize) {
    const MOST_READS: usize = 64;
    let mut buffer = [0; KEPT];
    for _ in 0..MOST_READS {
        let Ok(length @ 1..) = reader.read(&mut buffer) else { return };
        output.extend_from_slice(&buffer[..length]);
        output.drain(..output.len().saturating_sub(kept));
    }
}

/// Ends a program that takes too long, and all that it started and did not let go. They are stopped before they are
/// killed: a script may start somebody between the look at it and its end.
fn end_all(identity: Identity) -> Result<()> {
    let until = Instant::now() + Duration::from_millis(500);
    let first = HashSet::from([identity]);
    let mut seen: Vec<Process> = Process::find(identity)?.into_iter().collect();
    let frozen = protected().and_then(|protected| {
        freeze(seen.clone(), until, || {
            let family = Census::take(&protected, until)?.family(&first, &[identity.pid]);
            seen.extend_from_slice(&family);
            Ok(family)
        })
    });
    // Whoever was stopped, also if there was no time to look at all.
    let killed = kill_all(&seen)?;
    // Its number stays its own until then.
    bury(identity.pid);
    let _ = wait_for_all(&killed, until.saturating_duration_since(Instant::now()));
    frozen.map(drop)
}
