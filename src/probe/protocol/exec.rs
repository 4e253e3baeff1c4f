//! A program that looks itself.

#![forbid(unsafe_code)]

use std::io::{self, ErrorKind, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::smtp::expect_in;
use super::{Carrier, Protocol, Talked};
use crate::error::cause;
use crate::host::reaper::bury;
use crate::host::stream::{self, Ready};
use crate::probe::location::decoded;
use crate::probe::outcome::{Phase, Trouble, short};
use crate::probe::url::Url;
use crate::probe::wire::{MOST, Wire, quoted};

/// How long a look at a program takes that has closed its output and not ended.
const PAUSE: Duration = Duration::from_millis(5);

/// The program in the path, with the words of the query, separated by `&`, as its arguments: `exec:///usr/bin/test?-e&/run/x`.
/// There is no shell.
///
/// It and what it started are killed when its time is over.
pub const EXEC: Protocol = Protocol {
    scheme: "exec",
    port: None,
    carrier: Carrier::Program,
    options: &["match"],
    takes_user: false,
    asks: "runs the program, without a shell",
    alive: "exit code 0",
    failed: "any other exit code, a signal; match= is not in what it prints",
    check: |url| arguments(url).map(drop),
    talk,
};

fn arguments(url: &Url) -> Result<Vec<String>, String> {
    let words = url.query.as_deref().map(|query| query.split('&').map(decoded).collect());
    let words: Vec<String> = words.transpose()?.unwrap_or_default();
    if words.iter().any(|word| word.contains('\0')) {
        return Err("no argument of a program has a zero in it".to_owned());
    }
    Ok(words)
}

fn talk(url: &Url, wire: &mut Wire) -> Talked {
    let unstarted = |error: &io::Error| Trouble {
        phase: Phase::Connect,
        why: format!("it cannot be run: {}", cause(error)),
    };
    let (output, child) = spawn(url).map_err(|error| unstarted(&error))?;
    wire.mark(Phase::Connect);
    let mut running = Running { child, output, said: Vec::new() };
    let ended = running.finish(wire.end()).map_err(|error| unstarted(&error))?;
    let Some(status) = ended else {
        let why = format!("it did not end within {} and was killed", short(wire.patience()));
        return Err(Trouble { phase: Phase::Answer, why });
    };
    if !status.success() {
        let said = if running.said.is_empty() {
            String::new()
        } else {
            format!(": {}", quoted(&running.said))
        };
        return Err(Trouble::unexpected(format!("it ended with {status}{said}")));
    }
    let said = String::from_utf8_lossy(&running.said).into_owned();
    expect_in(url, &said)?;
    Ok(if said.is_empty() { "exit code 0".to_owned() } else { quoted(said.as_bytes()) })
}

/// Both its outputs go into one pipe.
fn spawn(url: &Url) -> io::Result<(io::PipeReader, Child)> {
    let (reader, writer) = io::pipe()?;
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let wrong = |why: String| io::Error::other(why);
    let program = decoded(&url.path).map_err(wrong)?;
    let child = Command::new(program)
        .args(arguments(url).map_err(wrong)?)
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .current_dir("/")
        .process_group(0)
        .spawn()?;
    Ok((reader, child))
}

struct Running {
    child: Child,
    output: io::PipeReader,
    said: Vec<u8>,
}

impl Running {
    /// Its end; none if it was too late. What it left behind is not waited for.
    fn finish(&mut self, end: Instant) -> io::Result<Option<ExitStatus>> {
        let mut closed = false;
        loop {
            if !closed {
                closed = self.read()?;
            }
            if let Some(status) = self.child.try_wait()? {
                self.read()?;
                return Ok(Some(status));
            }
            if Instant::now() >= end {
                return Ok(None);
            }
            let soon = end.min(Instant::now() + PAUSE);
            if closed {
                std::thread::sleep(soon.saturating_duration_since(Instant::now()));
            } else {
                stream::wait(&self.output, Ready::ToRead, soon)?;
            }
        }
    }

    /// Reads what there is, and keeps the beginning; whether that was all.
    fn read(&mut self) -> io::Result<bool> {
        let mut chunk = [0; 4096];
        // A program that prints without an end does not keep us here.
        for _ in 0..64 {
            match self.output.read(&mut chunk) {
                Ok(0) => return Ok(true),
                Ok(length) => {
                    let room = MOST.saturating_sub(self.said.len());
                    self.said.extend_from_slice(&chunk[..length.min(room)]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // While it is not reaped, the number is that of our child and of its group.
        if let (Ok(None), Ok(pid)) = (self.child.try_wait(), i32::try_from(self.child.id())) {
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
            bury(pid);
        }
    }
}
