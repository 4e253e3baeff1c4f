//! The end of a service: asked first, then without being asked, until nothing of it is left.

#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::record::Record;
use super::{Kind, Members, Service, adopt, health, listed, monitor, pidfile};
use crate::agent::Cx;
use crate::error::{Error, Result};
use crate::host::cgroup::Leaf;
use crate::host::pidfd::{Handle, wait_for_all};
use crate::host::process::{Identity, Process};

/// How long it is waited for an end before all processes are looked at again: new ones may have come.
const ROUND: Duration = Duration::from_millis(200);

/// How long parts of a gently ended service may take when its main process is dead. It is the main process that tells
/// them to end; of a signal they may not know what to make: workers of Apache ignore SIGTERM.
const ORPHANS: Duration = Duration::from_secs(2);

/// Ends all of the service.
///
/// # Errors
/// Something of it is left.
pub(super) fn stop(service: &Service, cx: &Cx<'_>) -> Result<()> {
    let _one_at_a_time = service.lock(cx)?;
    let record = service.record(cx)?;
    let until = Instant::now() + service.stop_timeout.unwrap_or(cx.deadline.left() * 2 / 3);
    if let Some(Kind::Script(script)) = &service.kind {
        script.stop(service, record.as_ref(), until, cx)?;
    }
    end(service, record, until, cx)
}

/// Ends all processes of the service and forgets it. Until then they may end by themselves.
///
/// # Errors
/// Some are left.
pub(super) fn end(
    service: &Service,
    record: Option<Record>,
    until: Instant,
    cx: &Cx<'_>,
) -> Result<()> {
    let record = adopted_for_stop(service, record, cx)?;
    // What was learned on the way, so that the PID file is known for ours after the processes are gone.
    let mut numbers: Vec<i32> = record.iter().filter_map(|record| Some(record.main?.pid)).collect();
    if !ask(service, record.as_ref(), until, &mut numbers, cx)? {
        kill(service, record.as_ref(), &mut numbers, cx)?;
    }
    forget(service, record.as_ref(), &numbers, cx)
}

/// A daemon that runs although nobody recorded it is recorded now: from here on it is known by its identity.
fn adopted_for_stop(
    service: &Service,
    record: Option<Record>,
    cx: &Cx<'_>,
) -> Result<Option<Record>> {
    let members = service.members(cx, record.as_ref())?;
    if !members.found.is_empty() {
        return Ok(record);
    }
    let Some(found) = adopt::find(service, &members.census) else { return Ok(record) };
    cx.log.info(&format!("{found} is the one that is configured; ending it"));
    let mut adopted = Record { adopted: true, since: found.identity.start, ..Record::default() };
    adopted.know(Some(&found), &[], false);
    Ok(Some(adopted))
}

/// Asks the main process, which knows best how to end its parts; and when it is gone, them. Whether nobody is left.
fn ask(
    service: &Service,
    record: Option<&Record>,
    mut until: Instant,
    numbers: &mut Vec<i32>,
    cx: &Cx<'_>,
) -> Result<bool> {
    let recorded = record.and_then(|record| record.main);
    let is_main = |process: &Process| Some(process.identity) == recorded;
    let (mut asked, mut awake, mut orphaned) = (Vec::new(), Vec::new(), None);
    let gentle = service.gently.map(|gently| {
        let half = cx.deadline.timeout() / 2;
        (gently.signal, (Instant::now() + gently.timeout.unwrap_or(half).min(half)).min(until))
    });
    loop {
        let Members { found, silent, .. } = service.members(cx, record)?;
        if found.is_empty() {
            return Ok(silent.is_empty());
        }
        numbers.extend(found.iter().map(|process| process.identity.pid));
        let main = found.iter().find(|process| is_main(process));
        if gentle.is_some() && main.is_none() {
            until = until.min(*orphaned.get_or_insert_with(Instant::now) + ORPHANS);
        }
        let main = main.or_else(|| monitor::main_of(&found));
        let meant: Vec<&Process> = main.map_or_else(|| found.iter().collect(), |main| vec![main]);
        let mut handles = Vec::new();
        for process in meant {
            let Some(handle) = Handle::open(process.identity)? else { continue };
            let signal = match gentle {
                // Its parts would not know what to make of it.
                Some((signal, end)) if Instant::now() < end && is_main(process) => signal,
                _ => service.stop_signal,
            };
            if !asked.contains(&(process.identity, signal)) {
                asked.push((process.identity, signal));
                handle.signal(signal)?;
            }
            handles.push(handle);
        }
        wake(&found, &mut awake)?;
        let left = until.saturating_duration_since(Instant::now()).min(cx.deadline.left());
        if left.is_zero() {
            cx.log.warn(&format!("killing what did not end in time: {}", listed(&found)));
            return Ok(false);
        }
        wait(&handles, left.min(ROUND));
    }
}

/// Lets those go on that are stopped: they act upon no signal but this one and SIGKILL, and a main process waits for its
/// parts. Each once, in case somebody insists.
fn wake(found: &[Process], awake: &mut Vec<Identity>) -> Result<()> {
    for process in found.iter().filter(|process| process.is_stopped()) {
        if !awake.contains(&process.identity) {
            awake.push(process.identity);
            if let Some(handle) = Handle::open(process.identity)? {
                handle.signal(Signal::SIGCONT)?;
            }
        }
    }
    Ok(())
}

/// Waits for an end; also without a process to wait for some time passes.
fn wait(handles: &[Handle], at_most: Duration) {
    if handles.is_empty() {
        std::thread::sleep(at_most.min(Duration::from_millis(5)));
    } else {
        let _ = wait_for_all(handles, at_most);
    }
}

/// Kills all of it, again until nothing is left.
///
/// # Errors
/// Some do not die, which the kernel alone can prevent.
fn kill(
    service: &Service,
    record: Option<&Record>,
    numbers: &mut Vec<i32>,
    cx: &Cx<'_>,
) -> Result<()> {
    loop {
        // Before all are looked at, which takes longer the more there are.
        if let Some(leaf) = own_leaf(service, record, cx)? {
            leaf.kill();
        }
        let members = service.members(cx, record)?;
        if members.found.is_empty() {
            return monitor::refuse_silent(&members);
        }
        numbers.extend(members.found.iter().map(|process| process.identity.pid));
        let frozen = freeze(service, record, members.found, cx)?;
        let mut handles = Vec::new();
        for process in &frozen {
            if let Some(handle) = Handle::open(process.identity)? {
                handle.signal(Signal::SIGKILL)?;
                handles.push(handle);
            }
        }
        let left = cx.deadline.left_with_reserve();
        if left.is_zero() {
            return Err(Error::Failed(format!(
                "cannot stop it: {} does not die of SIGKILL; restarting this node ends it",
                listed(&frozen)
            )));
        }
        wait(&handles, left.min(ROUND));
    }
}

/// Stops whoever could make new processes faster than they are killed: a stopped process forks no more. Comes back
/// with all that there are then.
fn freeze(
    service: &Service,
    record: Option<&Record>,
    mut found: Vec<Process>,
    cx: &Cx<'_>,
) -> Result<Vec<Process>> {
    const ROUNDS: usize = 50;
    for _ in 0..ROUNDS {
        let running: Vec<&Process> = found.iter().filter(|process| !process.is_stopped()).collect();
        if running.is_empty() || cx.deadline.left_with_reserve().is_zero() {
            break;
        }
        for process in &running {
            if let Some(handle) = Handle::open(process.identity)? {
                handle.signal(Signal::SIGSTOP)?;
            }
        }
        let before: Vec<_> = found.iter().map(|process| process.identity).collect();
        found = service.members(cx, record)?.found;
        if found.iter().all(|process| before.contains(&process.identity)) {
            break;
        }
    }
    Ok(found)
}

/// The control group of the service, if there is anybody in it; unless this process or one of its ancestors is.
fn own_leaf(service: &Service, record: Option<&Record>, cx: &Cx<'_>) -> Result<Option<Leaf>> {
    let recorded =
        record.and_then(|record| record.group.clone()).or_else(|| service.group_path(cx));
    let Some(leaf) = recorded.and_then(|path| Leaf::at(&path)) else { return Ok(None) };
    let inside = leaf.processes();
    let mut next = Some(Process::own()?);
    while let Some(process) = next {
        if inside.contains(&process.identity.pid) {
            return Ok(None);
        }
        next = Process::look(process.parent)?;
    }
    Ok((!inside.is_empty()).then_some(leaf))
}

/// Nothing is left of it: nothing has to be known of it.
fn forget(service: &Service, record: Option<&Record>, numbers: &[i32], cx: &Cx<'_>) -> Result<()> {
    if let Some(file) = &service.pidfile {
        pidfile::remove(&file.path, numbers);
    }
    let groups = record.and_then(|record| record.group.clone()).into_iter();
    for path in groups.chain(service.group_path(cx)) {
        if let Some(leaf) = Leaf::at(&path) {
            leaf.remove();
        }
    }
    health::forget(service, cx);
    super::notify::remove(service, cx);
    service.record_file(cx).remove()
}
