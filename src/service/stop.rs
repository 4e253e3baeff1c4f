//! The end of a service: asked first, then without being asked, until nothing of it is left.

#![forbid(unsafe_code)]

use std::collections::HashSet;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::record::Record;
use super::{Kind, Members, Service, adopt, health, listed, monitor, pidfile};
use crate::agent::Cx;
use crate::error::{Error, Result};
use crate::host::cgroup::Leaf;
use crate::host::pidfd::{Handle, MOST_WAITED, freeze, kill_all, wait_for_all};
use crate::host::process::{Identity, Process};

/// How long it is waited for an end before all processes are looked at again: new ones may have come.
const ROUND: Duration = Duration::from_millis(200);

/// With thousands of processes a look is work; so a daemon that takes long is looked at less and less often.
const LONGEST_ROUND: Duration = Duration::from_secs(2);

/// How long the parts of a dead main process may take to end, if nothing else is said: nobody leads them any more.
const LEADERLESS: Duration = Duration::from_secs(10);

/// The same for a service whose main process has a way of its own to tell its parts: workers of Apache ignore SIGTERM.
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
    let mut round = Round { service, cx, seen: HashSet::new(), numbers: Vec::new() };
    // What was learned on the way, so that the PID file is known for ours after the processes are gone.
    round.numbers.extend(record.iter().filter_map(|record| Some(record.main?.pid)));
    let mut members = round.members(record.as_ref())?;
    let mut record =
        if members.found.is_empty() { adopted_for_stop(service, record, cx)? } else { record };
    if let Some(record) = &mut record
        && let Some(next) = monitor::successor(service, record, &members.found)
    {
        record.main = Some(next.identity);
    }
    if record.as_ref().is_some_and(|record| record.adopted) && members.found.is_empty() {
        members = round.members(record.as_ref())?;
    }
    if !ask(&mut round, record.as_ref(), members, until)? {
        kill(&mut round, record.as_ref())?;
    }
    forget(service, record.as_ref(), &round.numbers, cx)
}

/// Looks that know what the earlier ones saw.
struct Round<'a> {
    service: &'a Service,
    cx: &'a Cx<'a>,
    seen: HashSet<Identity>,
    /// Numbers that members have or had.
    numbers: Vec<i32>,
}

impl Round<'_> {
    fn members(&mut self, record: Option<&Record>) -> Result<Members> {
        let members = self.service.members_besides(self.cx, record, &self.seen)?;
        for process in &members.found {
            if self.seen.insert(process.identity) {
                self.numbers.push(process.identity.pid);
            }
        }
        Ok(members)
    }
}

/// A daemon that runs although nobody recorded it is recorded now: from here on it is known by its identity.
fn adopted_for_stop(
    service: &Service,
    record: Option<Record>,
    cx: &Cx<'_>,
) -> Result<Option<Record>> {
    let Some(found) = adopt::find(service, cx)? else { return Ok(record) };
    cx.log.info(&format!("{found} is the one that is configured; ending it"));
    let mut adopted = Record { adopted: true, since: found.identity.start, ..Record::default() };
    adopted.know(Some(&found), &[], false);
    Ok(Some(adopted))
}

/// Asks the main process, which knows best how to end its parts; and when it is gone, them. Whether nobody is left.
fn ask(
    round: &mut Round<'_>,
    record: Option<&Record>,
    mut members: Members,
    mut until: Instant,
) -> Result<bool> {
    let (service, cx) = (round.service, round.cx);
    let recorded = record.and_then(|record| record.main);
    let is_main = |process: &Process| Some(process.identity) == recorded;
    let (mut asked, mut awake, mut orphaned) = (Vec::new(), Vec::new(), None);
    let mut pause = ROUND;
    let orphans = match (service.gently, service.stop_timeout) {
        (Some(_), _) => ORPHANS,
        (None, given) => given.unwrap_or(LEADERLESS),
    };
    // Where all of them were stopped by a signal nobody is served, and no request waits for its end.
    let serving = !members.found.iter().all(Process::is_stopped);
    let gentle = service.gently.filter(|_| serving).map(|gently| {
        let half = cx.deadline.timeout() / 2;
        (gently.signal, (Instant::now() + gently.timeout.unwrap_or(half).min(half)).min(until))
    });
    loop {
        let Members { found, silent } = members;
        if found.is_empty() {
            return Ok(silent.is_empty());
        }
        let main = found.iter().find(|process| is_main(process));
        if recorded.is_some() && main.is_none() {
            let since = *orphaned.get_or_insert_with(Instant::now);
            until = until.min(since + orphans);
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
            if handles.len() < MOST_WAITED {
                handles.push(handle);
            }
        }
        wake(&found, &mut awake)?;
        let left = until.saturating_duration_since(Instant::now()).min(cx.deadline.left());
        if left.is_zero() {
            cx.log.warn(&format!("killing what did not end in time: {}", listed(&found)));
            return Ok(false);
        }
        let gentle_left = gentle.map(|(_, end)| end.saturating_duration_since(Instant::now()));
        let gentle_left = gentle_left.filter(|left| !left.is_zero()).unwrap_or(left);
        wait(&handles, left.min(pause).min(gentle_left));
        pause = (pause * 2).min(LONGEST_ROUND);
        members = round.members(record)?;
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
fn kill(round: &mut Round<'_>, record: Option<&Record>) -> Result<()> {
    let (service, cx) = (round.service, round.cx);
    loop {
        // Before all are looked at, which takes longer the more there are.
        if let Some(leaf) = own_leaf(service, record, cx)? {
            leaf.kill();
        }
        let members = round.members(record)?;
        if members.found.is_empty() {
            return monitor::refuse_silent(&members);
        }
        let until = Instant::now() + cx.deadline.left_with_reserve();
        let frozen = freeze(members.found, until, || Ok(round.members(record)?.found))?;
        let handles = kill_all(&frozen)?;
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
