//! The end of a unit: systemd ends it, and the kernel has to confirm that nothing is left in its control group.

#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::manager::Manager;
use super::memory::Memory;
use super::{PAUSE, State, Unit, dropin, group, state};
use crate::agent::Cx;
use crate::error::{Error, Result};
use crate::host::pidfd::Handle;
use crate::host::process::Process;
use crate::host::systemd::{self, Facts, Look, Trouble};
use crate::service::{Service, health, listed};

/// Between two signals to what does not die.
const AGAIN: Duration = Duration::from_millis(500);

/// Ends it.
///
/// # Errors
/// Something of it is left, or systemd does not answer.
pub(super) fn stop(unit: &Unit, service: &Service, cx: &Cx<'_>) -> Result<()> {
    if !systemd::is_here() {
        return Ok(());
    }
    let _one_at_a_time = service.lock(cx)?;
    let until = Instant::now() + service.stop_timeout.unwrap_or(cx.deadline.left() * 2 / 3);
    let mut manager = Manager::new(&unit.name, cx);
    // Before the stop: see there.
    restore(&mut manager, cx)?;
    down(service, &mut manager, until, cx)?;
    forget(service, cx)
}

/// Ends one that did not come up, in what little time there is: the processes first.
///
/// # Errors
/// Something of it is left.
pub(super) fn undo(service: &Service, manager: &mut Manager<'_>, cx: &Cx<'_>) -> Result<()> {
    let ended = down(service, manager, Instant::now(), cx);
    let restored = restore(manager, cx);
    ended.and(restored).and_then(|()| forget(service, cx))
}

/// Takes away what start gave it. Without that it can be stopped all the same.
fn restore(manager: &mut Manager<'_>, cx: &Cx<'_>) -> Result<()> {
    let look = manager.look()?;
    if let Err(error) = dropin::remove(manager, &look) {
        cx.log.warn(&error.to_string());
    }
    Ok(())
}

fn forget(service: &Service, cx: &Cx<'_>) -> Result<()> {
    health::forget(service, cx);
    Memory::forget(service, cx)
}

/// Who lives of it, by its control group now and the one that start remembered.
pub(super) fn left(look: &Look, facts: &Facts, service: &Service, cx: &Cx<'_>) -> Vec<Process> {
    group::processes(&[&facts.group, &remembered(look, service, cx)])
}

/// The control group that start remembered; empty for none.
fn remembered(look: &Look, service: &Service, cx: &Cx<'_>) -> String {
    let memory = Memory::load(service, cx).filter(|memory| memory.is_of(&look.id));
    memory.map_or_else(String::new, |memory| memory.group)
}

/// Ends it.
///
/// # Errors
/// Something of it is left.
pub(super) fn down(
    service: &Service,
    manager: &mut Manager<'_>,
    until: Instant,
    cx: &Cx<'_>,
) -> Result<()> {
    let (look, facts) = manager.look_closely()?;
    let remembered = remembered(&look, service, cx);
    let groups = [facts.group.as_str(), &remembered];
    refuse_suicide(&groups)?;
    manager.listen(&look.id)?;
    let mut killed: Option<Instant> = None;
    loop {
        let look = manager.look()?;
        if state(&look) == State::Down && look.job.is_none() {
            break;
        }
        if Instant::now() < until {
            ask(manager, &look.id, until)?;
            continue;
        }
        if killed.is_none() {
            cx.log.warn(&format!(
                "killing what did not end in time of {}: {}",
                look.id,
                listed(&group::processes(&groups))
            ));
        }
        manager.with_reserve = true;
        if manager.left().is_zero() {
            return Err(Error::Failed(format!(
                "{} is still {} ({}): {}; restarting this node ends it",
                look.id,
                look.active,
                look.sub,
                listed(&group::processes(&groups))
            )));
        }
        if killed.is_none_or(|at| at.elapsed() > AGAIN) {
            // systemd has to know that it is to end, so that it does not take the deaths for a failure to mend.
            let _ = manager.once(|systemd, within| systemd.stop(&look.id, within));
            let _ = manager
                .once(|systemd, within| systemd.kill(&look.id, Signal::SIGKILL as i32, within));
            killed = Some(Instant::now());
        }
        std::thread::sleep(PAUSE.min(manager.left()));
    }
    sweep(manager, &groups, until, cx)
}

/// Has it stopped, and waits for that.
fn ask(manager: &mut Manager<'_>, id: &str, until: Instant) -> Result<()> {
    match manager.once(|systemd, within| systemd.stop(id, within)) {
        Ok(job) => manager.wait_for(&job, until).map(drop),
        // Whoever cannot be loaded may run all the same; the next look tells.
        Err(Trouble::Refused(name, _)) if ["NoSuchUnit", "LoadFailed"].contains(&name.as_str()) => {
            std::thread::sleep(PAUSE);
            Ok(())
        }
        Err(Trouble::Lost(_) | Trouble::Absent) => {
            std::thread::sleep(PAUSE);
            Ok(())
        }
        Err(refused) => Err(refused.error(&format!("stop {id}"))),
    }
}

/// Ends what systemd left in the control group, as with `KillMode=process`: asked first.
fn sweep(manager: &mut Manager<'_>, groups: &[&str], until: Instant, cx: &Cx<'_>) -> Result<()> {
    let mut asked = Vec::new();
    let mut killing = false;
    loop {
        let found = group::processes(groups);
        if found.is_empty() {
            return Ok(());
        }
        if asked.is_empty() {
            cx.log.warn(&format!("ending what systemd left: {}", listed(&found)));
        }
        if !killing && Instant::now() >= until {
            killing = true;
            manager.with_reserve = true;
        }
        if killing {
            for leaf in group::leaves(groups) {
                leaf.kill();
            }
        }
        for process in &found {
            let is_new = !asked.contains(&process.identity);
            if !is_new && !killing {
                continue;
            }
            asked.push(process.identity);
            let Some(handle) = Handle::open(process.identity)? else { continue };
            handle.signal(if killing { Signal::SIGKILL } else { Signal::SIGTERM })?;
            // A stopped process acts upon no signal but this one and SIGKILL.
            handle.signal(Signal::SIGCONT)?;
        }
        if manager.left().is_zero() {
            return Err(Error::Failed(format!(
                "cannot stop it: {} does not die of SIGKILL; restarting this node ends it",
                listed(&found)
            )));
        }
        std::thread::sleep(PAUSE / 4);
    }
}

/// An administrator may be logged in through the very service that is to end.
fn refuse_suicide(groups: &[&str]) -> Result<()> {
    let inside = group::processes(groups);
    let mut next = Some(Process::own()?);
    while let Some(process) = next {
        if inside.contains(&process) {
            return Err(Error::Failed(format!(
                "cannot stop it: {process}, which runs this, is a part of it; run it from elsewhere"
            )));
        }
        next = Process::look(process.parent)?;
    }
    Ok(())
}
