//! A service: processes that an agent starts, knows again and ends.
//!
//! The kernel is the truth here too. A service runs if its main process does, which is known by number and start time
//! and never by a number alone (`record`); nothing of it is left if none of its processes is (`family`). What a
//! PID file, an init script or the service itself says is a hint that has to agree with that.

#![forbid(unsafe_code)]

mod adopt;
mod answers;
mod declared;
pub(crate) mod environment;
pub(crate) mod family;
pub(crate) mod health;
mod monitor;
mod notify;
mod parts;
mod pidfile;
mod ready;
mod record;
pub(crate) mod run;
mod script;
mod start;
mod stop;
mod unit;

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::agent::Cx;
use crate::error::{Error, Result};
use crate::host::cgroup::Leaf;
use crate::host::pidfd::Handle;
use crate::host::process::{self, Identity, Process};
use crate::host::reaper::Reaper;
use crate::probe::Url;
use crate::state::{Lock, StateFile};

use family::Proof;
use record::Record;
pub(crate) use record::{escaped, unescaped};
pub use unit::Unit;

/// The variable that marks every process of a service.
pub const MARK: &str = "OCFBOX_INSTANCE";

/// What a service is asked to end by, if nothing else is said.
pub const STOP_SIGNAL: Signal = Signal::SIGTERM;

/// A service and how it is to be.
#[derive(Clone, Debug)]
pub struct Service {
    /// The agent whose resource it is.
    pub agent: &'static str,
    /// What is run; none for a stop or a monitor that was given nothing usable, and then does what it can without.
    pub kind: Option<Kind>,
    /// The file with the number of the main process.
    pub pidfile: Option<PidFile>,
    /// Sent to the main process first.
    pub stop_signal: Signal,
    /// What asks it to end without cutting off anybody, before `stop_signal` does.
    pub gently: Option<Gently>,
    /// How long it may take to end by itself; without it, two thirds of the action's time.
    pub stop_timeout: Option<Duration>,
    /// Probes that it has to answer.
    pub probes: Vec<Url>,
    /// A program that says whether the service works.
    pub check: Option<Check>,
    /// For how long the main process may sleep uninterruptibly.
    pub hung_after: Duration,
}

/// A first, gentle word to a service that is to end.
#[derive(Clone, Copy, Debug)]
pub struct Gently {
    /// Sent to the main process.
    pub signal: Signal,
    /// How long it may take then; without it, half of the action's time.
    pub timeout: Option<Duration>,
}

/// What is run.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A program.
    Command(Box<Command>),
    /// An LSB init script.
    Script(Script),
    /// A systemd unit.
    Unit(Unit),
}

/// A program that is the service, or starts it.
#[derive(Clone, Debug)]
pub struct Command {
    /// The program and its arguments.
    pub words: Vec<OsString>,
    /// Whom it runs as.
    pub user: String,
    /// Its group, if it is not that of the user.
    pub group: Option<String>,
    /// Variables besides those that a login sets.
    pub environment: Vec<(OsString, OsString)>,
    /// Where it runs.
    pub directory: Place,
    /// Its file mode creation mask.
    pub umask: Option<u32>,
    /// Its limits: name, soft, hard.
    pub limits: Vec<(String, u64, u64)>,
    /// Where its output goes.
    pub output: PathBuf,
    /// Where its errors go, if not there too.
    pub errors: Option<PathBuf>,
    /// How it says that it is up.
    pub readiness: Readiness,
    /// How long it has to stay alive before it counts as started, if nothing better tells.
    pub settle: Duration,
    /// Whether one that runs already is taken over without a PID file that names it.
    pub adopt: bool,
    /// For a program that is known by the file that configures it, however it was called.
    pub configured: Option<Configured>,
}

/// How the process of a program says which file configures it.
#[derive(Clone, Debug)]
pub struct Configured {
    /// The option before the file's name, `-f`.
    pub option: &'static str,
    /// The file.
    pub file: PathBuf,
    /// The one that it takes if it is called without that option.
    pub default: Option<PathBuf>,
    /// What it writes before the words that it was called with, if it writes over them.
    pub title: Option<&'static str>,
}

/// A directory.
#[derive(Clone, Debug)]
pub enum Place {
    /// The user's home.
    Home,
    /// This one.
    At(PathBuf),
}

/// An init script.
#[derive(Clone, Debug)]
pub struct Script {
    /// Where it is.
    pub path: PathBuf,
    /// Variables besides those that every script may expect.
    pub environment: Vec<(OsString, OsString)>,
}

/// How a service says that it is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// By staying alive.
    Alive,
    /// By answering all probes.
    Answer,
    /// By `READY=1` on the socket in `NOTIFY_SOCKET` (`sd_notify(3)`).
    Notify,
}

/// A PID file.
#[derive(Clone, Debug)]
pub struct PidFile {
    /// Where it is.
    pub path: PathBuf,
    /// Whether start writes it; otherwise the service does.
    pub written: bool,
}

/// A program that a monitor runs.
#[derive(Clone, Debug)]
pub struct Check {
    /// The program and its arguments.
    pub words: Vec<OsString>,
    /// The lowest monitor level at which it is run.
    pub level: u32,
    /// The parameter that it comes from.
    pub parameter: &'static str,
}

impl Service {
    /// Whether it works; see [`crate::agent::Agent::monitor`].
    ///
    /// # Errors
    /// It does not, although something of it is there.
    pub fn monitor(&self, cx: &Cx<'_>) -> Result<crate::agent::Status> {
        match self.as_unit() {
            Some((unit, service)) => unit.monitor(&service, cx),
            None => monitor::monitor(self, cx),
        }
    }

    /// Starts it and waits until it is up, or leaves nothing of it behind.
    ///
    /// # Errors
    /// It is not up.
    pub fn start(&self, cx: &Cx<'_>) -> Result<()> {
        match self.as_unit() {
            Some((unit, service)) => unit.start(&service, cx),
            None => start::start(self, cx),
        }
    }

    /// Ends it with all its processes.
    ///
    /// # Errors
    /// Something of it is left.
    pub fn stop(&self, cx: &Cx<'_>) -> Result<()> {
        match self.as_unit() {
            Some((unit, service)) => unit.stop(&service, cx),
            None => stop::stop(self, cx),
        }
    }

    /// Sends a signal to its main process; whether there is one.
    ///
    /// # Errors
    /// Nobody can tell, or the kernel refused.
    pub fn tell(&self, signal: Signal, cx: &Cx<'_>) -> Result<bool> {
        let _one_at_a_time = self.lock(cx)?;
        let record = self.record(cx)?;
        let members = self.members(cx, record.as_ref())?;
        let recorded = record.and_then(|record| record.main);
        let found = members.found.iter().find(|process| Some(process.identity) == recorded);
        let main = found.or_else(|| monitor::main_of(&members.found)).cloned();
        let main = match main {
            Some(main) => Some(main),
            None => adopt::find(self, cx)?,
        };
        let handle = main.map(|main| Handle::open(main.identity)).transpose()?.flatten();
        handle.as_ref().map(|handle| handle.signal(signal)).transpose()?;
        Ok(handle.is_some())
    }

    /// Looks whether it could be started here.
    ///
    /// # Errors
    /// It could not.
    pub fn validate(&self, cx: &Cx<'_>) -> Result<()> {
        match &self.kind {
            Some(Kind::Unit(unit)) => unit.validate(cx),
            Some(Kind::Command(command)) => environment::validate(command),
            Some(Kind::Script(script)) => script.validate(),
            None => Ok(()),
        }
    }

    /// The unit, and the service as that of the unit. An init script may be one as well: systemd makes a unit of it, or
    /// has it run another one, and then knows its processes.
    fn as_unit(&self) -> Option<(Unit, Self)> {
        let unit = match self.kind.as_ref()? {
            Kind::Unit(unit) => unit.clone(),
            Kind::Script(script) => Unit::behind(&script.path)?,
            Kind::Command(_) => return None,
        };
        Some((unit.clone(), Self { kind: Some(Kind::Unit(unit)), ..self.clone() }))
    }

    fn name(&self, cx: &Cx<'_>) -> String {
        format!("{}-{}", self.agent, cx.instance)
    }

    fn lock(&self, cx: &Cx<'_>) -> Result<Option<Lock>> {
        cx.state.lock(&self.name(cx), &cx.deadline)
    }

    fn record_file(&self, cx: &Cx<'_>) -> StateFile {
        cx.state.file(&format!("{}.processes", self.name(cx)))
    }

    /// The record, if there is one of this boot. One that cannot be read is none: the processes themselves know too.
    fn record(&self, cx: &Cx<'_>) -> Result<Option<Record>> {
        Record::load(&self.record_file(cx), &process::boot()?).or_else(|error| {
            cx.log.warn(&error.to_string());
            Ok(None)
        })
    }

    /// The value of [`MARK`]: the same for every action on this resource, here and until the next boot. A container has
    /// another namespace, and so another mark.
    fn mark(&self, cx: &Cx<'_>) -> Result<String> {
        let (boot, namespace) = (process::boot()?, process::namespace());
        Ok(format!("{}:{}:{boot}:{namespace}", self.agent, cx.instance))
    }

    /// Where its control group is or would be.
    fn group_path(&self, cx: &Cx<'_>) -> Option<PathBuf> {
        let safe = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
        let name: String = self.name(cx).chars().map(safe).take(100).collect();
        // The instance may have lost something in its name, and another namespace may have one of the same.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for byte in self.mark(cx).ok()?.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Leaf::path_of(&format!("ocfbox-{name}-{hash:016x}"))
    }

    /// All processes of the service that live, the oldest first; and those that did not say whether they are.
    fn members(&self, cx: &Cx<'_>, record: Option<&Record>) -> Result<Members> {
        self.members_besides(cx, record, &HashSet::new())
    }

    /// The same for a caller that has seen members: a member's child that hides where it comes from is one even when
    /// its parent has ended meanwhile.
    fn members_besides(
        &self,
        cx: &Cx<'_>,
        record: Option<&Record>,
        seen: &HashSet<Identity>,
    ) -> Result<Members> {
        let mut proof = Proof {
            entry: format!("{MARK}={}", self.mark(cx)?).into_bytes(),
            since: record.map_or(0, |record| record.since),
            known: seen.clone(),
            sessions: Vec::new(),
            groups: self.group_path(cx).into_iter().collect(),
            adopts: Reaper::is_at_work(),
            until: patience(cx),
        };
        if let Some(record) = record {
            proof.known.extend(record.main.into_iter().chain(record.parts.iter().copied()));
            proof.sessions.extend(record.session);
            proof.groups.extend(record.group.clone());
        }
        proof.members()
    }
}

/// Until when /proc may be looked at: a moment of it is left even when an action's time is over.
fn patience(cx: &Cx<'_>) -> Instant {
    const LEAST: Duration = Duration::from_millis(300);
    Instant::now() + cx.deadline.left_with_reserve().max(LEAST)
}

/// What a program printed that was run to its end.
#[derive(Debug)]
pub struct Captured {
    /// All that it printed, or the end of it.
    pub output: Vec<u8>,
    /// Whether it ended with exit code 0; none if it did not end in time, and was killed.
    pub succeeded: Option<bool>,
}

/// Runs a program, in a session of its own and with a plain environment and what is added to it, and keeps the last `most`
/// bytes that it prints.
///
/// # Errors
/// It could not be run.
pub fn capture(
    words: Vec<OsString>,
    further: &[(OsString, OsString)],
    most: usize,
    deadline: &crate::deadline::Deadline,
) -> Result<Captured> {
    let variables = environment::with(environment::plain("none"), further);
    let ran = run::run_keeping(most, words, variables, None, deadline)?;
    let succeeded = ran.end.is_some().then(|| ran.ended_with(0));
    Ok(Captured { output: ran.output, succeeded })
}

/// Who lives of a service.
#[derive(Debug)]
struct Members {
    found: Vec<Process>,
    silent: Vec<Process>,
}

/// Some processes in words.
pub(crate) fn listed(processes: &[Process]) -> String {
    const SHOWN: usize = 3;
    let mut words: Vec<String> = processes.iter().take(SHOWN).map(ToString::to_string).collect();
    if processes.len() > SHOWN {
        words.push(format!("{} more", processes.len() - SHOWN));
    }
    words.join(", ")
}

/// Whether a program is a script, whose interpreter may become any other program.
fn is_script(path: &Path) -> bool {
    use std::io::Read;
    let mut magic = [0; 2];
    std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok()
        && &magic == b"#!"
}

/// The error of a service with nothing to run.
fn nothing_to_run() -> Error {
    Error::Failed("cannot start: there is nothing to run".to_owned())
}
