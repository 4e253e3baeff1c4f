//! Processes that came after the start: children, where no control group knows them, and another main process.
//!
//! A server replaces its workers when it reads its configuration again, and some write over the environment by which
//! they could be known. So as long as the main process lives, which proves whose they are, they are remembered.

#![forbid(unsafe_code)]

use std::time::Duration;

use super::Service;
use super::record::Record;
use crate::agent::Cx;
use crate::deadline::Deadline;
use crate::host::process::{Identity, Process, children};

/// Adds the children of the main process to the record, if there are new ones. A monitor is right without it.
pub(super) fn remember(service: &Service, record: &Record, cx: &Cx<'_>) {
    let Some(main) = record.main.filter(|_| record.group.is_none()) else { return };
    let found = children(main.pid);
    let is_known = |pid: &i32| record.parts.iter().any(|part| part.pid == *pid);
    if found.iter().all(is_known) {
        return;
    }
    // Whoever changes the service now comes first.
    let at_once = Deadline::after(Duration::ZERO);
    let Ok(Some(_one_at_a_time)) = cx.state.lock(&service.name(cx), &at_once) else { return };
    let Ok(Some(mut now)) = service.record(cx) else { return };
    if now.main != Some(main) || !now.complete {
        return;
    }
    let lives = |identity: &Identity| Process::find(*identity).is_ok_and(|found| found.is_some());
    now.parts.retain(lives);
    let of_main = |process: &Process| process.parent == main.pid;
    let looked = found.into_iter().filter_map(|pid| Process::look(pid).ok()?).filter(of_main);
    now.remember(looked.map(|process| process.identity));
    // Only if it lived until now, they are its children and not those of another one with its number.
    if lives(&main) {
        let _ = now.save(&service.record_file(cx));
    }
}

/// Remembers that another process is the main one now. A monitor is right without it, and a stop is gentler with it.
pub(super) fn hand_over(
    service: &Service,
    from: Identity,
    to: &Process,
    members: &[Process],
    cx: &Cx<'_>,
) {
    let at_once = Deadline::after(Duration::ZERO);
    let Ok(Some(_one_at_a_time)) = cx.state.lock(&service.name(cx), &at_once) else { return };
    let Ok(Some(mut now)) = service.record(cx) else { return };
    if now.main == Some(from) && now.complete {
        let checked = now.executable.is_some();
        now.know(Some(to), members, checked);
        let _ = now.save(&service.record_file(cx));
    }
}
