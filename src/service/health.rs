//! Whether a process that lives also works, as far as /proc tells.

#![forbid(unsafe_code)]

use std::time::Duration;

use super::record::{Executable, Record};
use super::{Service, pidfile};
use crate::agent::Cx;
use crate::error::{Error, Result};
use crate::host::process::{Identity, Process};

/// Looks at a stopped process before it counts as stopped: a debugger stops for moments.
const LOOKS: u32 = 3;
const BETWEEN: Duration = Duration::from_millis(50);

/// Judges the main process.
///
/// # Errors
/// What is wrong with it.
pub(super) fn judge(
    service: &Service,
    main: &Process,
    record: Option<&Record>,
    cx: &Cx<'_>,
) -> Result<()> {
    if main.is_stopped() {
        refuse_stopped(main)?;
    }
    if main.is_uninterruptible() {
        refuse_hung(service, main, cx)?;
    }
    let Some(expected) = record.and_then(|record| record.executable.as_ref()) else {
        return Ok(());
    };
    // Only the name of the file, which the kernel knows, as long as that is enough: the file itself may be on a server
    // that does not answer.
    if main.executable().as_ref() == Some(&expected.path) {
        return Ok(());
    }
    match Executable::of(main) {
        Some(found) if !found.is_same(expected) => Err(Error::Failed(format!(
            "process {} executes {} and not {} any more; stop and start the resource",
            main.identity.pid,
            found.path.display(),
            expected.path.display()
        ))),
        _ => Ok(()),
    }
}

/// Judges the processes of a service of which none is known to be the main one.
///
/// # Errors
/// None of them runs.
pub(super) fn refuse_all_stopped(members: &[Process]) -> Result<()> {
    match members.first() {
        Some(first) if members.iter().all(Process::is_stopped) => refuse_stopped(first),
        _ => Ok(()),
    }
}

/// Judges a process that is stopped.
///
/// # Errors
/// It stays so.
pub(crate) fn refuse_stopped(main: &Process) -> Result<()> {
    for _ in 1..LOOKS {
        std::thread::sleep(BETWEEN);
        if !Process::find(main.identity)?.is_some_and(|now| now.is_stopped()) {
            return Ok(());
        }
    }
    Err(Error::Failed(format!(
        "{main} does not run; `kill -CONT {}` lets it go on",
        main.identity.pid
    )))
}

/// A process that sleeps uninterruptibly is hung if it was seen so long ago, and did not run in between: its count of
/// context switches is the same.
fn refuse_hung(service: &Service, main: &Process, cx: &Cx<'_>) -> Result<()> {
    let (Some(switches), Some(now)) = (main.switches(), pidfile::seconds_since_boot()) else {
        return Ok(());
    };
    let memory = cx.state.file(&format!("{}.uninterruptible", service.name(cx)));
    let Identity { pid, start } = main.identity;
    let seen = format!("{pid} {start} {switches} ");
    let since = memory.read().ok().flatten();
    let since =
        since.as_deref().and_then(|text| text.strip_prefix(&seen)?.trim().parse::<f64>().ok());
    let Some(since) = since else {
        // Without the memory every monitor is the first to see it, which is no reason to fail.
        let _ = memory.write(&format!("{seen}{now}\n"));
        return Ok(());
    };
    if now - since < service.hung_after.as_secs_f64() {
        return Ok(());
    }
    Err(Error::Failed(format!(
        "{main} has not run for {:.0} s; what it waits for, a disk or a server, does not answer",
        now - since
    )))
}

/// Forgets what was seen.
pub(super) fn forget(service: &Service, cx: &Cx<'_>) {
    let _ = cx.state.file(&format!("{}.uninterruptible", service.name(cx))).remove();
}
