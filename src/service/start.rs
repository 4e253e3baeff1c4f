//! The start of a service.

#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use super::notify::Socket;
use super::ready::Waiting;
use super::record::Record;
use super::{
    Command, Kind, Readiness, Service, adopt, answers, environment, health, monitor,
    nothing_to_run, pidfile, stop,
};
use crate::agent::{Cx, Status};
use crate::error::Result;
use crate::host::cgroup::Leaf;
use crate::host::process::{Identity, Process};
use crate::host::reaper::Reaper;

/// Starts it, or takes over what runs; and leaves nothing of it behind if that does not work.
///
/// # Errors
/// It is not up.
pub(super) fn start(service: &Service, cx: &Cx<'_>) -> Result<()> {
    let kind = service.kind.as_ref().ok_or_else(nothing_to_run)?;
    let _one_at_a_time = service.lock(cx)?;
    let record = service.record(cx)?;
    let before = monitor::monitor(service, &Cx { level: 0, ..cx.clone() });
    match before {
        Ok(Status::Running) if is_known(service, record.as_ref(), cx)? => return Ok(()),
        // Everybody was looked at just now, and there is nothing to forget.
        Ok(Status::NotRunning) if record.is_none() => {}
        _ => clear(service, record, cx)?,
    }
    let group = service.group_path(cx).and_then(|path| Leaf::make(&path));
    let mut record = Record::begin(group.as_ref().map(Leaf::path))?;
    // Before there is anything to find.
    record.save(&service.record_file(cx))?;
    let reaper = Reaper::begin()?;
    let started = match kind {
        Kind::Command(command) => launch(service, command, &mut record, &reaper, cx),
        Kind::Script(script) => script
            .start(service, &mut record, &reaper, cx)
            .and_then(|main| script.until_up(service, &record, main, &reaper, cx)),
        Kind::Unit(_) => return Err(nothing_to_run()),
    };
    let finished = started.and_then(|main| finish(service, kind, &mut record, main, cx));
    finished.map_err(|error| {
        // What is left of the deadline is for this, and the reserve too.
        let undone = stop::end(service, Some(record), Instant::now(), cx);
        error.and(undone.err().into_iter().collect())
    })
}

/// Whether the one that runs is recorded: it was, or is now.
fn is_known(service: &Service, record: Option<&Record>, cx: &Cx<'_>) -> Result<bool> {
    if record.is_some_and(|record| record.complete) {
        let main = record.and_then(|record| record.main);
        if main.is_none()
            || main.map(Process::find).transpose()?.flatten().is_some_and(|p| !p.is_dead())
        {
            return Ok(true);
        }
    }
    let members = service.members(cx, record)?;
    let found = match monitor::main_of(&members.found) {
        Some(main) => Some(main.clone()),
        None => adopt::find(service, cx)?,
    };
    // That a script says so is no proof; its start does no harm to one that runs.
    if found.is_none() && members.found.is_empty() {
        return Ok(false);
    }
    let mut adopted = Record { adopted: true, complete: true, ..Record::default() };
    adopted.know(found.as_ref(), &members.found, false);
    adopted.since = found.as_ref().map_or(0, |process| process.identity.start);
    adopted.save(&service.record_file(cx))?;
    if let Some(found) = &found {
        write_pidfile(service, found.identity, cx);
        cx.log.info(&format!("{found} is the one that is configured, and runs; taking it over"));
    }
    Ok(true)
}

/// Ends what is left of an earlier life of the service, so that this one does not meet it.
fn clear(service: &Service, record: Option<Record>, cx: &Cx<'_>) -> Result<()> {
    let members = service.members(cx, record.as_ref())?;
    if record.is_none() && members.found.is_empty() && adopt::find(service, cx)?.is_none() {
        return monitor::refuse_silent(&members);
    }
    let half = cx.deadline.left() / 3;
    stop::end(service, record, Instant::now() + half, cx)
}

fn launch(
    service: &Service,
    command: &Command,
    record: &mut Record,
    reaper: &Reaper,
    cx: &Cx<'_>,
) -> Result<Option<Identity>> {
    let mut launch = environment::launch(command, &service.mark(cx)?, record.group.clone())?;
    let socket = match command.readiness {
        Readiness::Notify => Some(Socket::listen(service, cx)?),
        Readiness::Alive | Readiness::Answer => None,
    };
    if let Some(socket) = &socket {
        launch.environment.push(("NOTIFY_SOCKET".into(), socket.path.clone().into()));
    }
    let errors = command.errors.as_ref().unwrap_or(&command.output);
    let logged = std::fs::metadata(errors).map_or(0, |about| about.len());
    let settle = settle(service, command, cx);
    if command.configured.is_some()
        && let Some(file) = &service.pidfile
        && let Some(program) = environment::find(command)
    {
        pidfile::disown(&file.path, &program);
    }
    let launched = launch.start(&cx.deadline)?;
    record.session = Some(launched.pid);
    record.main = Some(launched);
    record.save(&service.record_file(cx))?;
    let record = &*record;
    let socket = socket.as_ref();
    Waiting { service, command, settle, record, reaper, socket, cx, logged }
        .until_up(launched)
        .map(Some)
}

/// How long a process has to be the main one before it counts as that.
fn settle(service: &Service, command: &Command, cx: &Cx<'_>) -> Duration {
    match command.readiness {
        Readiness::Alive => command.settle,
        Readiness::Notify => Duration::ZERO,
        Readiness::Answer => match answers::already(service, cx) {
            None => Duration::ZERO,
            Some(probe) => {
                cx.log.warn(&format!(
                    "{probe} is answered before the service is started; its answers do not tell when that is up"
                ));
                command.settle
            }
        },
    }
}

/// It is up: remembers who is who.
fn finish(
    service: &Service,
    kind: &Kind,
    record: &mut Record,
    main: Option<Identity>,
    cx: &Cx<'_>,
) -> Result<()> {
    let checked = match kind {
        Kind::Command(command) => environment::keeps_its_program(command),
        Kind::Script(_) | Kind::Unit(_) => true,
    };
    let main = main.map(Process::find).transpose()?.flatten();
    let members = service.members(cx, Some(record))?.found;
    record.know(main.as_ref(), &members, checked);
    record.complete = true;
    health::forget(service, cx);
    record.save(&service.record_file(cx))?;
    if let Some(main) = main {
        write_pidfile(service, main.identity, cx);
    }
    if let Some(check) = service.check.as_ref().filter(|check| check.level == 0) {
        monitor::passes(service, check, cx)?;
    }
    Ok(())
}

/// Others read it; this agent does not need it.
fn write_pidfile(service: &Service, main: Identity, cx: &Cx<'_>) {
    if let Some(file) = service.pidfile.as_ref().filter(|file| file.written)
        && let Err(error) = pidfile::write(&file.path, main.pid)
    {
        cx.log.warn(&error.to_string());
    }
}
