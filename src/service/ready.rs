//! How long start waits, and for what: until the service is up, or is seen to fail.

#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use super::answers::Asking;
use super::notify::Socket;
use super::record::Record;
use super::run::last_line;
use super::{Command, Readiness, Service, listed, monitor, pidfile};
use crate::agent::Cx;
use crate::error::{Error, Result};
use crate::host::process::{Identity, Process};
use crate::host::reaper::{End, Reaper};

/// How often it is looked.
const PAUSE: Duration = Duration::from_millis(10);

/// Most messages that are heard before it is looked at the process and the clock again: anybody may send some.
const MESSAGES: usize = 16;

/// A daemon's first process ends at the latest so long after its last one answers.
pub(super) const HANDOVER: Duration = Duration::from_millis(200);

/// A service that was launched and is not known to be up.
pub(super) struct Waiting<'a> {
    pub(super) service: &'a Service,
    pub(super) command: &'a Command,
    /// How long the main process has to live.
    pub(super) settle: Duration,
    pub(super) record: &'a Record,
    pub(super) reaper: &'a Reaper,
    pub(super) socket: Option<&'a Socket>,
    pub(super) cx: &'a Cx<'a>,
    /// How long the file of its errors was before.
    pub(super) logged: u64,
}

impl Waiting<'_> {
    /// The main process of the service that is up.
    ///
    /// # Errors
    /// It died, or is not up in time.
    pub(super) fn until_up(&self, launched: Identity) -> Result<Identity> {
        let mut main = launched;
        let mut since = Instant::now();
        let mut ready = self.command.readiness != Readiness::Notify;
        let mut named = self.service.pidfile.as_ref().is_none_or(|file| file.written);
        let mut asking = Asking::begin(self.service);
        let mut answered = None;
        loop {
            // Before the dead are counted: whoever is seen dead here and is ours is among them then.
            let gone = Process::find(main)?.is_none_or(|process| process.is_dead());
            let ended = self.reaper.reap();
            if let Some((_, end)) = ended.iter().find(|(pid, _)| *pid == main.pid) {
                main = self.successor(main, *end)?;
                since = Instant::now();
            } else if gone {
                // Somebody else's child, which MAINPID or the PID file named.
                return Err(self.died(main, None));
            }
            let heard = std::iter::from_fn(|| self.socket.and_then(Socket::hear));
            for message in heard.take(MESSAGES) {
                main = self.told(&message, main, &mut ready)?;
            }
            if !named && let Some(found) = self.named()? {
                (main, named) = (found, true);
            }
            let settled = since.elapsed() >= self.settle;
            if ready && named && settled && asking.is_over(self.service, self.cx) {
                match answered {
                    Some((who, until)) if who == main && Instant::now() >= until => {
                        return Ok(main);
                    }
                    Some((who, _)) if who == main => {}
                    // An answer counts only if the process that was there before it is there after it.
                    _ => {
                        answered = Some((main, Instant::now() + self.handover(main, launched)?));
                        continue;
                    }
                }
            }
            if self.cx.deadline.left().is_zero() {
                let given_up = asking.given_up().filter(|_| ready && named);
                let missed = || self.cx.deadline.missed(&self.awaited(ready, named));
                return Err(given_up.unwrap_or_else(missed));
            }
            std::thread::sleep(PAUSE.min(self.cx.deadline.left()));
        }
    }

    /// How long `main` may still turn out to be a first process that only waits for its last one to be up.
    fn handover(&self, main: Identity, launched: Identity) -> Result<Duration> {
        if self.service.probes.is_empty() || main != launched {
            return Ok(Duration::ZERO);
        }
        let members = self.service.members(self.cx, Some(self.record))?.found;
        Ok(if members.len() > 1 { HANDOVER } else { Duration::ZERO })
    }

    fn awaited(&self, ready: bool, named: bool) -> String {
        match &self.service.pidfile {
            _ if !ready => "READY=1 on the notify socket".to_owned(),
            Some(file) if !named => format!("a process of it in {}", file.path.display()),
            _ => format!("it to stay alive for {} s", self.settle.as_secs_f64()),
        }
    }

    /// A daemon's first process ends when the daemon runs; then what it left is the service.
    fn successor(&self, gone: Identity, end: End) -> Result<Identity> {
        let members = self.service.members(self.cx, Some(self.record))?.found;
        match monitor::main_of(&members).or_else(|| members.first()) {
            Some(main) if end == End::Code(0) => Ok(main.identity),
            Some(_) => Err(Error::Failed(format!(
                "cannot start {}: it ended with {end} and left {}{}",
                self.program(),
                listed(&members),
                self.last_words()
            ))),
            None => Err(self.died(gone, Some(end))),
        }
    }

    fn died(&self, gone: Identity, end: Option<End>) -> Error {
        let end = match end {
            Some(end) => format!("it ended with {end}"),
            None => format!("its process {} ended", gone.pid),
        };
        Error::Failed(format!(
            "cannot start {}: {end} at once{}",
            self.program(),
            self.last_words()
        ))
    }

    fn program(&self) -> String {
        let name = self
            .command
            .words
            .first()
            .map_or(String::new(), |word| word.to_string_lossy().into_owned());
        crate::error::one_line(&name, 60)
    }

    fn told(
        &self,
        message: &super::notify::Message,
        main: Identity,
        ready: &mut bool,
    ) -> Result<Identity> {
        let counts = message.ready || message.main.is_some();
        if message.sender == main.pid && !counts {
            return Ok(main);
        }
        let members = self.service.members(self.cx, Some(self.record))?.found;
        let member = |pid: i32| members.iter().find(|process| process.identity.pid == pid);
        if member(message.sender).is_none() {
            self.cx.log.warn(&format!(
                "process {} is not of this service; what it says on the notify socket counts for nothing",
                message.sender
            ));
            return Ok(main);
        }
        if let Some(status) = &message.status {
            crate::trace_note!("the service says {status:?}");
        }
        *ready |= message.ready && self.command.readiness == Readiness::Notify;
        Ok(message.main.and_then(member).map_or(main, |process| process.identity))
    }

    /// The process that the service's own PID file names, if it is one of the service.
    fn named(&self) -> Result<Option<Identity>> {
        let Some(file) = &self.service.pidfile else { return Ok(None) };
        let Some(pid) = pidfile::number_in(&file.path) else { return Ok(None) };
        // A stale one names nobody, or one who was here before; that is seen without looking at all.
        let since = self.record.since;
        if Process::look(pid)?.is_none_or(|process| process.identity.start < since) {
            return Ok(None);
        }
        let members = self.service.members(self.cx, Some(self.record))?.found;
        let found = members.iter().find(|process| process.identity.pid == pid);
        Ok(found.map(|process| process.identity))
    }

    /// What it wrote last, and into the log all of it that is short enough.
    fn last_words(&self) -> String {
        let errors = self.command.errors.as_ref().unwrap_or(&self.command.output);
        if errors.starts_with("/dev/") {
            return "; logfile= would keep its last words".to_owned();
        }
        let written = tail(errors, self.logged);
        let text = String::from_utf8_lossy(&written);
        let lines: Vec<&str> = text.lines().collect();
        for line in &lines[lines.len().saturating_sub(10)..] {
            self.cx.log.warn(&format!("it wrote: {}", crate::error::one_line(line, 200)));
        }
        last_line(&written).map_or(String::new(), |line| format!(": {line}"))
    }
}

/// The last bytes of a file, none of those before `since`.
fn tail(path: &std::path::Path, since: u64) -> Vec<u8> {
    use std::io::{Read, Seek, SeekFrom};
    const MOST: u64 = 2048;
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(since.max(length.saturating_sub(MOST))))?;
        let mut bytes = Vec::new();
        file.take(MOST).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().unwrap_or_default()
}
