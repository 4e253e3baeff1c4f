//! Programs that an action runs to their end: init scripts, hooks, checks.

#![forbid(unsafe_code)]

use std::collections::HashSet;
use std::ffi::OsString;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::family::Census;
use crate::deadline::Deadline;
use crate::error::{Doing, Result};
use crate::host::launch::{Launch, Output};
use crate::host::pidfd::Handle;
use crate::host::process::Identity;
use crate::host::reaper::End;
use crate::trace_answer;

/// What became of a program.
#[derive(Debug)]
pub(super) struct Ran {
    /// Its session, which is its number too.
    pub(super) session: i32,
    /// How it ended; none if time was over.
    pub(super) end: Option<End>,
    /// The last lines that it wrote.
    pub(super) output: Vec<u8>,
}

/// How much of the output is kept, in bytes.
const KEPT: usize = 4096;

impl Ran {
    /// Whether it ended with that exit code.
    pub(super) fn ended_with(&self, code: i32) -> bool {
        self.end == Some(End::Code(code))
    }

    /// How it ended and its last words, for a reason.
    pub(super) fn how(&self) -> String {
        let end = self.end.map_or("no end".to_owned(), |end| end.to_string());
        match last_line(&self.output) {
            Some(line) => format!("{end}: {line}"),
            None => end,
        }
    }
}

/// The last line that is not empty.
pub(super) fn last_line(output: &[u8]) -> Option<String> {
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
    let name = words.first().map_or(String::new(), |word| word.to_string_lossy().into_owned());
    let (mut reader, writer) = std::io::pipe().doing(|| format!("run {name}"))?;
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).doing(|| format!("run {name}"))?;
    let launch = Launch {
        words,
        environment,
        account: None,
        directory: "/".into(),
        umask: None,
        limits: Vec::new(),
        output: Output::Pipe(writer),
        group,
    };
    let identity = launch.start(deadline)?;
    let mut output = Vec::new();
    let mut pause = Duration::from_millis(1);
    // Its end is what is waited for, not that of its output: a daemon that it started may keep the pipe.
    let end = loop {
        drain(&mut reader, &mut output, kept);
        if let Some(end) = ended(identity.pid) {
            break Some(end);
        }
        if deadline.left().is_zero() {
            end_all(identity)?;
            break None;
        }
        std::thread::sleep(pause.min(deadline.left()));
        pause = (pause * 2).min(Duration::from_millis(20));
    };
    drain(&mut reader, &mut output, kept);
    trace_answer!("{name}: {end:?}, {:?}", last_line(&output));
    Ok(Ran { session: identity.pid, end, output })
}

fn drain(reader: &mut std::io::PipeReader, output: &mut Vec<u8>, kept: usize) {
    let mut buffer = [0; KEPT];
    while let Ok(length @ 1..) = reader.read(&mut buffer) {
        output.extend_from_slice(&buffer[..length]);
        output.drain(..output.len().saturating_sub(kept));
    }
}

fn ended(pid: i32) -> Option<End> {
    match waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG)) {
        Ok(WaitStatus::Exited(_, code)) => Some(End::Code(code)),
        Ok(WaitStatus::Signaled(_, signal, _)) => Some(End::Signal(signal.as_str())),
        Err(Errno::ECHILD) => Some(End::Code(0)),
        _ => None,
    }
}

/// Ends a program that takes too long, and all that it started and did not let go.
fn end_all(identity: Identity) -> Result<()> {
    let family = Census::take()?.family(&HashSet::from([identity]), &[identity.pid]);
    for member in family {
        if let Some(handle) = Handle::open(member.identity)? {
            handle.signal(Signal::SIGKILL)?;
        }
    }
    // Its number stays its own until then.
    for _ in 0..100 {
        if ended(identity.pid).is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}
