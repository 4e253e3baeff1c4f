//! A systemd unit as a resource.
//!
//! systemd knows best which processes are the unit's, and is asked; but it says "active" of a daemon that is stopped by a
//! signal, "inactive" of one whose parts live on, and nothing at all while it executes itself anew. So the main process
//! is looked at as that of any other service, the control group has to agree, and no answer is never an answer.

#![forbid(unsafe_code)]

mod advice;
mod dropin;
mod group;
mod manager;
mod memory;
mod start;
mod stop;

use std::path::Path;
use std::time::Duration;

use super::{Service, health, listed, monitor};
use crate::agent::{Cx, Status};
use crate::error::{Error, Result};
use crate::host::process::Process;
use crate::host::systemd::{self, Facts, Look};

use manager::Manager;
use memory::Memory;

/// A systemd unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Its name, with its type.
    pub name: String,
    /// How long it has to stay active where systemd calls it so before it said anything.
    pub settle: Duration,
}

/// What systemd's words come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Up,
    Down,
    /// Will be another one soon.
    Moving,
    /// Failed, and systemd is about to start it again.
    Restarting,
    /// A word of a later systemd.
    Unknown,
}

fn state(look: &Look) -> State {
    match look.active.as_str() {
        "active" | "reloading" | "refreshing" => State::Up,
        "inactive" | "failed" => State::Down,
        "activating" if look.sub.starts_with("auto-restart") => State::Restarting,
        "activating" | "deactivating" | "maintenance" => State::Moving,
        _ => State::Unknown,
    }
}

/// Between two looks at a unit that is about to change.
const PAUSE: Duration = Duration::from_millis(100);

/// For how long systemd may call a unit active whose main process has ended: it hears of it a little later.
const NEWS: Duration = Duration::from_secs(2);

/// Where units are that packages and administrators bring, by `systemd.unit(5)`.
const FILES: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// Where `systemd-sysv-generator(8)` writes those that it makes of init scripts.
const GENERATED: &str = "/run/systemd/generator.late";

/// What a script reads that hands itself over to systemd: the functions of LSB on Debian, those of Red Hat.
const HAND_OVER: [&str; 2] = ["/lsb/init-functions", "/init.d/functions"];

impl Unit {
    /// The unit that an init script is to systemd, be it made of it or be it what the script hands itself over to.
    pub(super) fn behind(script: &Path) -> Option<Self> {
        if !systemd::is_here() || script.parent() != Some(Path::new("/etc/init.d")) {
            return None;
        }
        let name = script.file_name()?.to_str()?;
        let name = format!("{}.service", name.strip_suffix(".sh").unwrap_or(name));
        let generated = Path::new(GENERATED).join(&name).exists();
        let hands_over = || {
            let text = std::fs::read(script).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            FILES.iter().any(|place| Path::new(place).join(&name).is_file())
                && HAND_OVER.iter().any(|functions| text.contains(functions))
        };
        (generated || hands_over()).then(|| Self { name, settle: Duration::from_secs(1) })
    }

    /// Whether it works.
    ///
    /// # Errors
    /// It does not, although something of it is there; or systemd does not say.
    pub(super) fn monitor(&self, service: &Service, cx: &Cx<'_>) -> Result<Status> {
        if !systemd::is_here() {
            return Ok(Status::NotRunning);
        }
        let memory = Memory::load(service, cx);
        let alive = memory.as_ref().and_then(Memory::living_main);
        let mut manager = Manager::new(&self.name, cx);
        if alive.is_some() {
            // The process speaks for the unit if nobody else does.
            manager.deadline = cx.deadline.at_most(cx.deadline.left() / 2);
        }
        let status = match asked(service, &mut manager, memory, cx) {
            Err(error) if manager.is_lost() => {
                let Some(main) = alive else { return Err(error) };
                health::judge(service, &main, None, cx)?;
                cx.log.warn(&format!("{error}; but its main process {} lives", main.identity.pid));
                Status::Running
            }
            other => other?,
        };
        if status == Status::Running { monitor::deeper(service, cx) } else { Ok(status) }
    }

    /// Looks whether it could be started here, and says what would start it behind the cluster's back.
    ///
    /// # Errors
    /// It could not.
    pub(super) fn validate(&self, cx: &Cx<'_>) -> Result<()> {
        refuse_without_systemd()?;
        let mut manager = Manager::new(&self.name, cx);
        let look = manager.look()?;
        refuse_unloaded(&look)?;
        advice::give(&mut manager, &look, cx)
    }

    /// Starts it and waits until it is up.
    ///
    /// # Errors
    /// It is not up.
    pub(super) fn start(&self, service: &Service, cx: &Cx<'_>) -> Result<()> {
        start::start(self, service, cx)
    }

    /// Ends it with all its processes.
    ///
    /// # Errors
    /// Something of it is left.
    pub(super) fn stop(&self, service: &Service, cx: &Cx<'_>) -> Result<()> {
        stop::stop(self, service, cx)
    }
}

fn asked(
    service: &Service,
    manager: &mut Manager<'_>,
    memory: Option<Memory>,
    cx: &Cx<'_>,
) -> Result<Status> {
    let (look, facts) = settled(manager)?;
    let memory = memory.filter(|memory| memory.is_of(&look.id));
    if cx.is_probe() && look.load == "loaded" {
        advice::give(manager, &look, cx)?;
    }
    if state(&look) == State::Up {
        judge(service, manager, look, facts, memory, cx)?;
        return Ok(Status::Running);
    }
    let remembered = memory.as_ref().map_or("", |memory| memory.group.as_str());
    let left = group::processes(&[&facts.group, remembered]);
    let ended = how_it_ended(&look, &facts);
    if !left.is_empty() {
        return Err(Error::Failed(format!(
            "{} is {ended}, but of its processes live: {}",
            look.id,
            listed(&left)
        )));
    }
    // The first of two looks says nothing yet.
    if look.active == "failed" && (cx.second_look || cx.is_probe()) {
        cx.log.warn(&format!("{} is {ended}; `journalctl -u {0}` says more", look.id));
    }
    Ok(Status::NotRunning)
}

/// Judges a unit that systemd calls active.
///
/// # Errors
/// What is wrong with it.
fn judge(
    service: &Service,
    manager: &mut Manager<'_>,
    mut look: Look,
    mut facts: Facts,
    memory: Option<Memory>,
    cx: &Cx<'_>,
) -> Result<()> {
    let begin = std::time::Instant::now();
    let main = loop {
        // Where systemd names no main process, it is one of those inside.
        let (main, dead) = if facts.main == 0 {
            let inside = group::processes(&[&facts.group]);
            let runs_in_a_group = look.sub == "running" && facts.group.len() > 1;
            let deserted = runs_in_a_group && inside.is_empty();
            let dead = deserted.then(|| "all its processes are dead".to_owned());
            (monitor::main_of(&inside).cloned(), dead)
        } else {
            let main = Process::look(facts.main)?.filter(|process| !process.is_dead());
            let dead = main.is_none().then(|| format!("its main process {} is dead", facts.main));
            (main, dead)
        };
        // The kernel knows of an end before systemd does.
        let Some(dead) = dead else { break main };
        if begin.elapsed() > NEWS || manager.left() < PAUSE {
            return Err(Error::Failed(format!(
                "systemd calls {} {}, but {dead}",
                look.id, look.active
            )));
        }
        std::thread::sleep(PAUSE);
        (look, facts) = settled(manager)?;
        if state(&look) != State::Up {
            return Err(Error::Failed(format!("{} just {}", look.id, how_it_ended(&look, &facts))));
        }
    };
    if let Some(main) = &main {
        health::judge(service, main, None, cx)?;
    }
    let Some(memory) = memory else { return Ok(()) };
    if memory.sub == "running" && look.sub == "exited" {
        return Err(Error::Failed(format!(
            "systemd calls {} active, but all its processes have ended; stop and start the resource",
            look.id
        )));
    }
    if memory.invocation != facts.invocation {
        cx.log.warn(&format!(
            "{} was restarted, and not by the cluster; `journalctl -u {0}` may say why",
            look.id
        ));
        Memory::of(&look, &facts)?.save(service, cx);
    }
    Ok(())
}

/// The unit when it is up or down, or as it is at the deadline.
fn settled(manager: &mut Manager<'_>) -> Result<(Look, Facts)> {
    loop {
        let (look, facts) = manager.look_closely()?;
        let why = match state(&look) {
            State::Up | State::Down => return Ok((look, facts)),
            State::Moving if manager.left() > PAUSE => {
                std::thread::sleep(PAUSE);
                continue;
            }
            State::Moving => "and was so until the action's time was over",
            State::Restarting => "since it failed, and systemd starts it again",
            State::Unknown => "which this agent does not know",
        };
        return Err(Error::Failed(format!(
            "{} is {} ({}, {}), {why}",
            look.id, look.active, look.sub, facts.result
        )));
    }
}

/// How a unit that is down came to be so.
fn how_it_ended(look: &Look, facts: &Facts) -> String {
    match facts.result.as_str() {
        "" | "success" => look.active.clone(),
        result => format!("{} ({result})", look.active),
    }
}

fn refuse_without_systemd() -> Result<()> {
    if systemd::is_here() {
        return Ok(());
    }
    Err(Error::NotInstalled(
        "this node was not booted with systemd; use script or command instead of unit".to_owned(),
    ))
}

/// A unit that systemd cannot start.
fn refuse_unloaded(look: &Look) -> Result<()> {
    let id = &look.id;
    let why = match look.load.as_str() {
        "loaded" => return Ok(()),
        "masked" => format!("{id} is masked; `systemctl unmask {id}` mends it"),
        "not-found" => format!("there is no unit {id} here; install the service's package"),
        other => {
            format!("systemd cannot read {id} ({other}); `systemd-analyze verify {id}` says why")
        }
    };
    Err(Error::NotInstalled(why))
}
