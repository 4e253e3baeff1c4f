//! Whether a queue manager works.

#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::time::{Duration, Instant};

use super::exchange::exchange;
use super::family::Family;
use super::product::{Product, how, silent};
use super::status::State;
use super::{QueueManager, exchange, family};
use crate::agent::{Cx, Status};
use crate::error::{Error, Result};
use crate::service::health::refuse_stopped;
use crate::service::listed;

/// How long the processes of a queue manager that has ended may take to be gone.
const LEAVING: Duration = Duration::from_secs(2);

/// The level from which on the queue manager is asked, and that from which on it has to carry a message.
const ASKED: u32 = 10;
const CARRIES: u32 = 20;

/// What both witnesses say together.
#[derive(Debug)]
pub(super) enum Finding {
    /// It runs, by these processes; whether it works is another question.
    Runs(Family),
    /// It is about to.
    Starting,
    /// Nothing of it is here, and so said `dspmq`.
    Gone(State),
}

/// See [`crate::agent::Agent::monitor`].
///
/// # Errors
/// It does not work, although something of it is here.
pub(super) fn monitor(manager: &QueueManager, cx: &Cx<'_>) -> Result<Status> {
    let product = Product::leniently(manager, cx).and_then(|product| {
        product.require("dspmq")?;
        Ok(product)
    });
    let product = match product {
        Ok(product) => product,
        Err(why) => return without(manager, &why, cx),
    };
    let state = match product.state(&cx.deadline) {
        Ok(state) => state,
        Err(why) => return without(manager, &why, cx),
    };
    let found = match find(manager, state.clone(), cx) {
        // It may have ended between the two questions.
        Err(_) if state == State::Running => find(manager, product.state(&cx.deadline)?, cx),
        other => other,
    };
    match found? {
        Finding::Runs(family) => works(manager, &product, &family, cx).map(|()| Status::Running),
        // Reading a long log takes minutes, and whoever is killed for that has to begin anew.
        Finding::Starting => Ok(Status::Running),
        Finding::Gone(state) => {
            tell(manager, &state, cx);
            Ok(Status::NotRunning)
        }
    }
}

/// Without the product only the processes can be looked at.
fn without(manager: &QueueManager, why: &Error, cx: &Cx<'_>) -> Result<Status> {
    let family = Family::look_patiently(manager, LEAVING, cx)?;
    if family.members.is_empty() {
        if !cx.is_probe() {
            cx.log.warn(&format!("{why}; but no process of {} lives", manager.name));
        }
        return Ok(Status::NotRunning);
    }
    let first: Vec<_> = family.members.into_iter().take(1).collect();
    Err(Error::Failed(format!(
        "cannot ask about {}, of which {} lives: {why}",
        manager.name,
        listed(&first)
    )))
}

/// Puts both witnesses together.
///
/// # Errors
/// Something of it is here, and it neither runs nor is it about to.
pub(super) fn find(manager: &QueueManager, state: State, cx: &Cx<'_>) -> Result<Finding> {
    let name = &manager.name;
    let family = match state {
        State::Running => Family::of_running(manager, cx)?,
        State::Starting => Family::look_twice(manager, cx)?,
        _ => Family::look_patiently(manager, LEAVING, cx)?,
    };
    let failed = |why: String| Err(Error::Failed(why));
    match state {
        State::Running if family.controllers().is_empty() => failed(format!(
            "dspmq says that {name} is RUNNING, but no amqzxma0 of it lives here; stop and start the resource"
        )),
        State::Running => Ok(Finding::Runs(family)),
        State::Starting if !family.members.is_empty() || family.is_being_started() => {
            Ok(Finding::Starting)
        }
        state if family.members.is_empty() => Ok(Finding::Gone(state)),
        State::Standby => failed(format!(
            "{name} is RUNNING AS STANDBY, started outside of the cluster; end it by endmqm -x {name}"
        )),
        State::Ending(words) => {
            failed(format!("{name} is {words}, and nobody asked the cluster for that"))
        }
        state => failed(format!(
            "dspmq says that {name} is {state}, but there is {}; stop the resource",
            listed(&family.members)
        )),
    }
}

/// Says what is worth to be known of a queue manager that is not here, once in two looks.
fn tell(manager: &QueueManager, state: &State, cx: &Cx<'_>) {
    if cx.is_probe() || !cx.second_look {
        return;
    }
    let name = &manager.name;
    match state {
        State::Crashed => cx.log.warn(&format!(
            "queue manager {name} ended unexpectedly: it crashed or was killed; AMQERR01.LOG and *.FDC in its errors \
             directory say more"
        )),
        State::Ended(words) => {
            cx.log.warn(&format!("queue manager {name} {words}: somebody ended it outside of the cluster"));
        }
        State::Unknown(how) => {
            cx.log.warn(&format!("queue manager {name} is not defined here (dspmq: {how})"));
        }
        other => cx.log.warn(&format!("queue manager {name} is {other}, and nothing of it is here")),
    }
}

/// Looks whether a queue manager that runs does its work, as deeply as the level says.
///
/// # Errors
/// What does not work.
pub(super) fn works(
    manager: &QueueManager,
    product: &Product,
    family: &Family,
    cx: &Cx<'_>,
) -> Result<()> {
    for process in family.members.iter().filter(|process| process.is_stopped()) {
        refuse_stopped(process)?;
    }
    let name = &manager.name;
    if manager.checks.command_server && !family.has_command_server() {
        return Err(Error::Failed(format!(
            "the command server of {name} does not run; `strmqcsv {name}` starts it"
        )));
    }
    if manager.checks.listener && !family.has_listener() {
        return Err(Error::Failed(format!(
            "no listener of {name} runs; `START LISTENER` starts one, and CONTROL(QMGR) has it started with {name}"
        )));
    }
    if cx.level >= ASKED {
        ping(manager, product, cx)?;
    }
    if cx.level >= CARRIES {
        let queue = manager.checks.queue.as_deref().ok_or_else(|| {
            Error::Failed(
                "level 20 needs a queue; set test_queue to a local one for this test alone"
                    .to_owned(),
            )
        })?;
        exchange(manager, product, queue, cx)?;
    }
    passes(manager, product, cx)
}

fn ping(manager: &QueueManager, product: &Product, cx: &Cx<'_>) -> Result<()> {
    let name = &manager.name;
    let words: [&OsStr; 1] = [name.as_ref()];
    let begin = Instant::now();
    let within = cx.deadline.at_most(cx.deadline.left() / 2);
    let ran = product.run("runmqsc", &words, b"ping qmgr\nend\n", &within)?;
    if ran.end.is_none() {
        return Err(silent("ping qmgr", name, begin.elapsed()));
    }
    if ran.ended_with(0) {
        return Ok(());
    }
    Err(Error::Failed(format!(
        "{name} does not answer ping qmgr: runmqsc ended with {}",
        how(&ran)
    )))
}

/// The administrator's own program has the last word.
fn passes(manager: &QueueManager, product: &Product, cx: &Cx<'_>) -> Result<()> {
    if manager.checks.program.is_empty() {
        return Ok(());
    }
    let within = cx.deadline.at_most(cx.deadline.left() * 9 / 10);
    let begin = Instant::now();
    let ran =
        product.begin_program(manager.checks.program.clone(), b"", &within)?.finish(&within)?;
    if ran.end.is_none() {
        return Err(silent("monitor_program", &manager.name, begin.elapsed()));
    }
    if ran.ended_with(0) {
        return Ok(());
    }
    Err(Error::Failed(format!("monitor_program of {} ended with {}", manager.name, ran.how())))
}

/// Forgets what monitors remembered, and what killed ones left.
///
/// # Errors
/// A file cannot be removed.
pub(super) fn forget(manager: &QueueManager, cx: &Cx<'_>) -> Result<()> {
    exchange::sweep(manager, cx);
    family::forget(manager, cx)
}
