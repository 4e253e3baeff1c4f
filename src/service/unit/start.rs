//! The start of a unit.

#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use super::manager::{End, Manager};
use super::memory::Memory;
use super::{
    PAUSE, State, Unit, advice, dropin, how_it_ended, refuse_unloaded, refuse_without_systemd,
    state, stop,
};
use crate::agent::{Cx, Status};
use crate::error::{Error, Result};
use crate::host::process::Process;
use crate::host::systemd::{Facts, Look, Properties, Trouble};
use crate::service::{Service, answers, health, monitor};

/// How often a start is asked for: somebody else's command may take its place in the queue.
const TRIES: u32 = 2;

/// Types that systemd calls active before they said anything.
const UNHEARD: [&str; 4] = ["simple", "exec", "idle", "forking"];

/// Starts it, or finds it running; and leaves nothing of it behind if that does not work.
///
/// # Errors
/// It is not up.
pub(super) fn start(unit: &Unit, service: &Service, cx: &Cx<'_>) -> Result<()> {
    refuse_without_systemd()?;
    let _one_at_a_time = service.lock(cx)?;
    let mut manager = Manager::new(&unit.name, cx);
    let spare = dropin::spare(cx.deadline.timeout()) / 2;
    manager.deadline = cx.deadline.at_most(cx.deadline.left().saturating_sub(spare));
    let look = manager.look()?;
    if state(&look) == State::Down {
        refuse_unloaded(&look)?;
    }
    let known = manager.describe(&look)?;
    dropin::put(&mut manager, &look, &known)?;
    let known = manager.describe(&look)?;
    advice::of_restart(&look, &known, cx);
    advice::give(&mut manager, &look, cx)?;
    let started = bring_up(unit, service, &mut manager, &known, cx);
    started.map_err(|error| {
        // What is left of the deadline is for this, and the reserve too.
        manager.deadline = cx.deadline;
        manager.with_reserve = true;
        let undone = stop::undo(service, &mut manager, cx);
        error.and(undone.err().into_iter().collect())
    })
}

fn bring_up(
    unit: &Unit,
    service: &Service,
    manager: &mut Manager<'_>,
    known: &Properties,
    cx: &Cx<'_>,
) -> Result<()> {
    let shallow = Cx { level: 0, ..cx.clone() };
    let look = manager.look()?;
    let works =
        state(&look) == State::Up && matches!(unit.monitor(service, &shallow), Ok(Status::Running));
    if works {
        cx.log.info(&format!("{} runs already", look.id));
    } else {
        clear(service, manager, &look, cx)?;
        run(manager, &look)?;
        settle(unit, manager, known)?;
    }
    let (look, facts) = manager.look_closely()?;
    health::forget(service, cx);
    Memory::of(&look, &facts)?.save(service, cx);
    if works {
        return Ok(());
    }
    answers::wait(service, Process::look(facts.main)?.map(|main| main.identity), cx)?;
    monitor::deeper(service, &shallow).map(drop)
}

/// Ends what an earlier life of it left, so that this one does not meet it; and forgets that it failed, so that it may
/// be started as often as the cluster wants.
fn clear(service: &Service, manager: &mut Manager<'_>, look: &Look, cx: &Cx<'_>) -> Result<()> {
    let (_, facts) = manager.look_closely()?;
    if state(look) == State::Up || !stop::left(look, &facts, service, cx).is_empty() {
        let third = manager.left() / 3;
        stop::down(service, manager, Instant::now() + third, cx)?;
    }
    if look.active == "failed" {
        manager.ask("reset", |systemd, within| systemd.reset(&look.id, within))?;
    }
    Ok(())
}

/// Has it started until it is up.
fn run(manager: &mut Manager<'_>, look: &Look) -> Result<()> {
    manager.listen(&look.id)?;
    let mut tries = 0;
    loop {
        let job = match manager.once(|systemd, within| systemd.start(&look.id, within)) {
            Ok(job) => Some(job),
            // It may have been asked for all the same: whoever is up need not be started again.
            Err(Trouble::Lost(_) | Trouble::Absent) => manager.look()?.job.map(|job| job.path),
            Err(refused) => return Err(refusal(&look.id, &refused)),
        };
        let end = match &job {
            Some(job) => {
                tries += 1;
                manager.wait_for(job, Instant::now() + manager.left())?
            }
            None if manager.left().is_zero() => End::Late,
            None => End::Gone,
        };
        if end == End::Late {
            return Err(manager.deadline.missed(&format!("{} to become active", look.id)));
        }
        let (now, facts) = settled(manager)?;
        let is_anothers = matches!(&end, End::Said(how) if how == "canceled") || end == End::Gone;
        match state(&now) {
            State::Up => return Ok(()),
            State::Down if is_anothers && now.active != "failed" && tries < TRIES => {}
            _ => return Err(why_not(manager, &now, &facts, &end)),
        }
    }
}

/// The unit when it is not about to change.
fn settled(manager: &mut Manager<'_>) -> Result<(Look, Facts)> {
    loop {
        let (look, facts) = manager.look_closely()?;
        if state(&look) != State::Moving {
            return Ok((look, facts));
        }
        let left = manager.deadline.to_wait_for(&format!("{} to become active", look.id))?;
        std::thread::sleep(left.min(PAUSE));
    }
}

fn refusal(id: &str, trouble: &Trouble) -> Error {
    match trouble {
        Trouble::Refused(name, text)
            if ["NoSuchUnit", "LoadFailed", "UnitMasked", "BadUnitSetting"]
                .contains(&name.as_str()) =>
        {
            Error::NotInstalled(format!("systemd cannot start {id}: {text}"))
        }
        other => other.error(&format!("start {id}")),
    }
}

/// Why it is not up, as far as systemd knows.
fn why_not(manager: &mut Manager<'_>, look: &Look, facts: &Facts, end: &End) -> Error {
    let id = &look.id;
    let known = manager.describe(look).unwrap_or_default();
    let mut unmet = known.unmet("Conditions");
    unmet.extend(known.unmet("Asserts"));
    if let Some(unmet) = unmet.first().filter(|_| look.active == "inactive" || unmet.len() > 1) {
        return Error::Failed(format!("systemd does not start {id}: its {unmet} is not met"));
    }
    let how = match end {
        End::Said(how) if how == "dependency" => {
            return Error::Failed(format!(
                "systemd does not start {id}, since a unit that it needs did not start; \
                 `systemctl list-dependencies {id}` shows which"
            ));
        }
        End::Said(how) if how != "done" && how != "failed" => format!(", the job {how}"),
        _ => String::new(),
    };
    let status = match known.number("ExecMainStatus").filter(|status| *status != 0) {
        // CLD_EXITED of waitid(2).
        Some(status) if known.number("ExecMainCode") == Some(1) => format!(", exit code {status}"),
        Some(status) => format!(", signal {status}"),
        None => String::new(),
    };
    Error::Failed(format!(
        "{id} is {}{status}{how} after its start; `journalctl -u {id}` says why",
        how_it_ended(look, facts)
    ))
}

/// Watches one that systemd called active before it said anything: many a daemon dies of its configuration a moment
/// later.
fn settle(unit: &Unit, manager: &mut Manager<'_>, known: &Properties) -> Result<()> {
    let kind = known.text("Type");
    let unheard = UNHEARD.contains(&kind.as_str());
    let end =
        Instant::now() + if unheard { unit.settle.min(manager.left()) } else { Duration::ZERO };
    loop {
        let (look, facts) = settled(manager)?;
        let has_run = look.sub == "exited" && ["simple", "exec", "idle"].contains(&kind.as_str());
        if state(&look) != State::Up || has_run {
            return Err(why_not(manager, &look, &facts, &End::Gone));
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(PAUSE));
    }
}
