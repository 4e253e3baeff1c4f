//! The start of a queue manager.

#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::time::{Duration, Instant};

use super::examine::{Finding, find, works};
use super::family::{Family, kill};
use super::product::{Product, how};
use super::status::State;
use super::{QueueManager, examine, refusal, stop};
use crate::agent::Cx;
use crate::error::{Error, Result};
use crate::host::reaper::End;
use crate::service::listed;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// Starts it and waits until it works, or leaves nothing of it behind.
///
/// # Errors
/// It does not work.
pub(super) fn start(manager: &QueueManager, cx: &Cx<'_>) -> Result<()> {
    let _one_at_a_time = manager.lock(cx)?;
    let cx = &Cx { level: 0, ..cx.clone() };
    let product = Product::strictly(manager, cx)?;
    product.require("dspmq")?;
    product.require("strmqm")?;
    if runs_already(manager, &product, cx)? {
        cx.log.info(&format!("queue manager {} runs already", manager.name));
        return until_it_works(manager, &product, most_of(cx), cx);
    }
    // No execution controller lives: what else does is left of a crash, and would keep the new one from starting.
    let left = Family::look(manager, cx)?;
    if !left.is_empty() {
        let all: Vec<_> = left.commands.into_iter().chain(left.members).collect();
        cx.log.warn(&format!(
            "ending what an earlier life of {} left: {}",
            manager.name,
            listed(&all)
        ));
        kill(manager, cx)?;
    }
    let begun = begin(manager, &product, cx)?;
    let up = match begun {
        Begun::Ours => until_it_works(manager, &product, most_of(cx), cx),
        Begun::SomebodyElses => return until_it_works(manager, &product, most_of(cx), cx),
        Begun::Failed(error) => Err(error),
    };
    up.map_err(|error| {
        let undone = stop::end(manager, cx).and_then(|()| examine::forget(manager, cx));
        error.and(undone.err().into_iter().collect())
    })
}

/// What is left after it is for taking back.
fn most_of(cx: &Cx<'_>) -> Instant {
    Instant::now() + cx.deadline.left() * 3 / 4
}

/// Whether it runs; waits for one that is on its way up or down.
///
/// # Errors
/// It can neither be said to run nor be started.
fn runs_already(manager: &QueueManager, product: &Product, cx: &Cx<'_>) -> Result<bool> {
    let name = &manager.name;
    loop {
        let begin = Instant::now();
        let state = product.state(&cx.deadline)?;
        let lasted = begin.elapsed();
        let mut others = String::new();
        match &state {
            // Also if its execution controller is not to be seen yet: the wait until it works is patient.
            State::Running => return Ok(true),
            State::Starting | State::Ending(_) => {}
            State::Ended(_) | State::Crashed => {
                let family = Family::look_twice(manager, cx)?;
                // Somebody's strmqm, or that of an earlier start that was killed, is as good as ours.
                if family.controllers().is_empty() && !family.is_being_started() {
                    if state == State::Crashed {
                        cx.log.warn(&format!("queue manager {name} had ended unexpectedly"));
                    }
                    return Ok(false);
                }
                let there: Vec<_> = family.commands.into_iter().chain(family.members).collect();
                others = format!(", while there is {}", listed(&there));
            }
            State::Unknown(how) => {
                return Err(Error::NotInstalled(format!(
                    "queue manager {name} is not defined here; make it by crtmqm or addmqinf (dspmq: {how})"
                )));
            }
            State::Standby => {
                return Err(Error::Failed(format!(
                    "a standby of {name} runs here, started outside of the cluster; end it by endmqm -x {name}"
                )));
            }
            State::Elsewhere => {
                return Err(Error::Failed(format!(
                    "{name} is RUNNING ELSEWHERE: another host has it; end it there"
                )));
            }
            State::Other(words) => {
                return Err(Error::Failed(format!("cannot start {name}, which is {words}")));
            }
        }
        // There must be time for another answer.
        if cx.deadline.left() < PAUSE + lasted * 3 {
            return Err(cx.deadline.missed(&format!("{name}, which is {state}{others}")));
        }
        std::thread::sleep(PAUSE);
    }
}

/// What came of `strmqm`.
enum Begun {
    /// It is started.
    Ours,
    /// Another one was faster.
    SomebodyElses,
    /// It is not, and what there is of it is of this start.
    Failed(Error),
}

fn begin(manager: &QueueManager, product: &Product, cx: &Cx<'_>) -> Result<Begun> {
    let options = manager.start_options.iter().map(OsString::as_os_str);
    let words: Vec<&OsStr> = options.chain([manager.name.as_ref()]).collect();
    let within = cx.deadline.at_most(most_of(cx).saturating_duration_since(Instant::now()));
    let ran = product.run("strmqm", &words, b"", &within)?;
    let code = match ran.end {
        Some(End::Code(0)) => return Ok(Begun::Ours),
        Some(End::Code(refusal::RUNS_ALREADY)) => return Ok(Begun::SomebodyElses),
        Some(End::Code(code)) => Some(code),
        Some(End::Signal(_)) => None,
        None => {
            let why = format!("strmqm of queue manager {} did not end in time", manager.name);
            return Ok(Begun::Failed(Error::Failed(why)));
        }
    };
    let error = refusal::error(&manager.name, code, &how(&ran));
    if code.is_some_and(|code| refusal::SOMEBODY_ELSES.contains(&code)) {
        return Err(error);
    }
    Ok(Begun::Failed(error))
}

/// Waits until it runs and works.
///
/// # Errors
/// It has ended again, or something of it does not work until then.
fn until_it_works(
    manager: &QueueManager,
    product: &Product,
    until: Instant,
    cx: &Cx<'_>,
) -> Result<()> {
    let name = &manager.name;
    loop {
        let state = product.state(&cx.deadline)?;
        let why = match state {
            State::Ended(_) | State::Crashed | State::Unknown(_) | State::Elsewhere => {
                return Err(Error::Failed(format!(
                    "queue manager {name} did not stay: {state} right after its start; see its AMQERR01.LOG"
                )));
            }
            State::Standby => {
                return Err(refusal::error(name, Some(refusal::STANDBY), "exit code 0"));
            }
            state => match find(manager, state.clone(), cx) {
                Ok(Finding::Runs(family)) => match works(manager, product, &family, cx) {
                    Ok(()) => return Ok(()),
                    Err(error) => error,
                },
                Ok(_) => Error::Failed(format!("queue manager {name} is still {state}")),
                Err(error) => error,
            },
        };
        if Instant::now() >= until {
            return Err(why);
        }
        std::thread::sleep(PAUSE);
    }
}
