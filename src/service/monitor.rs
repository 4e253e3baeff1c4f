//! Whether a service works.

#![forbid(unsafe_code)]

use super::record::Record;
use super::{
    Check, Kind, Members, Service, adopt, answers, environment, health, listed, parts, pidfile, run,
};
use crate::action::Action;
use crate::agent::{Cx, Status};
use crate::error::{Error, Result};
use crate::host::process::Process;

/// A service whose recorded main process lives is judged by that process alone: a handful of files, however many
/// processes there are. Only without one are all processes looked at.
///
/// # Errors
/// It does not work, although something of it is there.
pub(super) fn monitor(service: &Service, cx: &Cx<'_>) -> Result<Status> {
    let record = service.record(cx)?;
    let main = record.as_ref().filter(|record| record.complete).and_then(|record| record.main);
    if let Some(main) = main
        && let Some(process) = Process::find(main)?
        && !process.is_dead()
    {
        health::judge(service, &process, record.as_ref(), cx)?;
        if let Some(record) = &record {
            parts::remember(service, record, cx);
        }
        return deeper(service, cx);
    }
    let members = service.members(cx, record.as_ref())?;
    refuse_silent(&members)?;
    match (members.found.is_empty(), &record) {
        (true, _) => without_processes(service, record.as_ref(), cx),
        // The record was lost, and the processes know whose they are.
        (false, None) => match main_of(&members.found) {
            Some(main) => {
                health::judge(service, main, None, cx)?;
                deeper(service, cx)
            }
            None => Err(parts(&members.found)),
        },
        (false, Some(record)) if !record.complete => Err(Error::Failed(format!(
            "a start was cut short and left {}; stop the resource",
            listed(&members.found)
        ))),
        (false, Some(record @ Record { main: Some(main), .. })) => {
            let Some(next) = successor(service, record, &members.found) else {
                return Err(Error::Failed(format!(
                    "the main process {} is dead, but parts live: {}",
                    main.pid,
                    listed(&members.found)
                )));
            };
            health::judge(service, next, Some(record), cx)?;
            parts::hand_over(service, *main, next, &members.found, cx);
            deeper(service, cx)
        }
        // What an init script started, and did not say which process is the main one.
        (false, Some(_)) => {
            health::refuse_all_stopped(&members.found)?;
            deeper(service, cx)
        }
    }
}

/// The one that is the service: the only one whose parent is no member.
pub(super) fn main_of(members: &[Process]) -> Option<&Process> {
    let mut roots = members
        .iter()
        .filter(|process| !members.iter().any(|other| other.identity.pid == process.parent));
    let first = roots.next()?;
    roots.next().is_none().then_some(first)
}

/// The member to which a main process that has ended handed over, as nginx does when it is upgraded while it runs: the
/// service's own PID file names it, written after it began.
pub(super) fn successor<'a>(
    service: &Service,
    record: &Record,
    members: &'a [Process],
) -> Option<&'a Process> {
    let before = record.main.filter(|_| record.complete)?;
    if members.iter().any(|process| process.identity == before) {
        return None;
    }
    let file = service.pidfile.as_ref().filter(|file| !file.written)?;
    let named = pidfile::named(&file.path)?;
    members.iter().find(|process| process.identity == named.identity)
}

fn parts(members: &[Process]) -> Error {
    Error::Failed(format!(
        "its main process is dead or unknown, but parts live: {}",
        listed(members)
    ))
}

/// Nobody can say of these whether they are of the service, and so not that it is stopped.
pub(super) fn refuse_silent(members: &Members) -> Result<()> {
    if members.silent.is_empty() { Ok(()) } else { Err(adopt::unknown(&members.silent)) }
}

/// None of its processes is here, by all that is known; but it may run without our knowing.
fn without_processes(service: &Service, record: Option<&Record>, cx: &Cx<'_>) -> Result<Status> {
    // Nobody of its own is left. Whether another one runs is looked at in the look that decides.
    let is_first_of_two =
        matches!(cx.action, Action::Monitor | Action::Status) && !cx.is_probe() && !cx.second_look;
    let is_known = match &service.kind {
        Some(Kind::Command(_)) => true,
        // Its status may take seconds, and is asked in that look too.
        Some(Kind::Script(_)) => record.is_some_and(|record| record.main.is_some()),
        _ => false,
    };
    if is_first_of_two && is_known {
        return Ok(Status::NotRunning);
    }
    if let Some(found) = adopt::find(service, cx)? {
        health::judge(service, &found, None, cx)?;
        return deeper(service, cx);
    }
    match &service.kind {
        Some(Kind::Script(script)) => script.second_opinion(service, record, cx),
        _ => Ok(Status::NotRunning),
    }
}

/// What is asked besides the process.
pub(super) fn deeper(service: &Service, cx: &Cx<'_>) -> Result<Status> {
    // First, because a script may ask the service too, and wait longer for its answer.
    answers::judge(service, cx)?;
    if let Some(Kind::Script(script)) = &service.kind {
        let unsure = service.probes.is_empty()
            && service.record(cx)?.is_none_or(|record| record.main.is_none());
        if cx.level >= 10 || unsure {
            script.confirm(service, cx)?;
        }
    }
    if let Some(check) = service.check.as_ref().filter(|check| cx.level >= check.level) {
        passes(service, check, cx)?;
    }
    Ok(Status::Running)
}

/// Runs the check. It is not marked as a part of the service, for it is none.
pub(super) fn passes(service: &Service, check: &Check, cx: &Cx<'_>) -> Result<()> {
    let parameter = check.parameter;
    let mark = format!("{}/check", service.mark(cx)?);
    let ran = run::run(check.words.clone(), environment::plain(&mark), None, &cx.deadline)?;
    match ran.end {
        None => Err(cx.deadline.missed(&format!("the program in {parameter}"))),
        Some(_) if ran.ended_with(0) => Ok(()),
        Some(_) => Err(Error::Failed(format!("the program in {parameter} says no: {}", ran.how()))),
    }
}
