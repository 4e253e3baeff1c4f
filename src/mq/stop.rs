//! The end of a queue manager: asked ever more firmly, and killed if it does not listen.

#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::family::{Family, kill};
use super::product::{Product, how};
use super::status::State;
use super::{QueueManager, examine};
use crate::agent::Cx;
use crate::error::Result;
use crate::host::pidfd::{Handle, wait_for_all};
use crate::host::reaper::End;
use crate::service::listed;
use crate::service::run::Running;

/// What is kept of the action's time for killing and looking.
const KILLING: Duration = Duration::from_secs(4);

/// How long the other processes may take to follow their execution controller.
const FOLLOWING: Duration = Duration::from_secs(2);

/// How long it is waited before all is looked at again.
const ROUND: Duration = Duration::from_millis(200);

/// Exit codes of `endmqm` that mean that the queue manager ends: done, and already on its way.
const ENDS: [i32; 3] = [0, 5, 49];

/// One way to ask.
#[derive(Clone, Copy, Debug)]
struct Way {
    option: &'static str,
    name: &'static str,
    patience: Duration,
}

/// Ends all of it.
///
/// # Errors
/// Something of it is left.
pub(super) fn stop(manager: &QueueManager, cx: &Cx<'_>) -> Result<()> {
    let _one_at_a_time = manager.lock(cx)?;
    end(manager, cx)?;
    examine::forget(manager, cx)
}

/// The same for whoever has the lock.
///
/// # Errors
/// Something of it is left.
pub(super) fn end(manager: &QueueManager, cx: &Cx<'_>) -> Result<()> {
    let family = Family::look_twice(manager, cx)?;
    if family.is_empty() {
        return Ok(());
    }
    let mut asked = Vec::new();
    if !family.controllers().is_empty() {
        match Product::leniently(manager, cx) {
            Ok(product) if product.find("endmqm").is_some() => {
                asked = ask(manager, &product, &family, cx)?;
            }
            Ok(_) => cx.log.warn(&format!(
                "there is no endmqm here to end {} with; killing its processes",
                manager.name
            )),
            Err(error) => cx.log.warn(&format!("{error}; killing its processes")),
        }
    }
    follow(manager, &mut asked, cx)?;
    kill(manager, cx)
}

/// Gives those that are left without an execution controller the time to end by themselves, and the commands that
/// asked for it too.
fn follow(manager: &QueueManager, asked: &mut [Running], cx: &Cx<'_>) -> Result<()> {
    let end = Instant::now() + FOLLOWING.min(cx.deadline.left());
    let left = loop {
        let family = Family::look_twice(manager, cx)?;
        let at_work = asked.iter_mut().any(|command| command.end().is_none());
        if family.is_empty() && !at_work {
            return Ok(());
        }
        if !family.controllers().is_empty() || Instant::now() >= end {
            break family;
        }
        std::thread::sleep(ROUND / 4);
    };
    for command in asked {
        command.give_up()?;
    }
    if !left.members.is_empty() {
        cx.log.warn(&format!(
            "killing what is left of {}: {}",
            manager.name,
            listed(&left.members)
        ));
    }
    Ok(())
}

/// Asks in one way after the other until the execution controller is gone. The commands that may still be under way.
fn ask(
    manager: &QueueManager,
    product: &Product,
    family: &Family,
    cx: &Cx<'_>,
) -> Result<Vec<Running>> {
    // One that is stopped hears nothing.
    for process in family.members.iter().filter(|process| process.is_stopped()) {
        cx.log.warn(&format!("{process} does not run; letting it go on, so that it can end"));
        if let Some(handle) = Handle::open(process.identity)? {
            handle.signal(Signal::SIGCONT)?;
        }
    }
    let brief = cx.deadline.at_most(cx.deadline.left() / 8);
    let standby = matches!(product.state(&brief), Ok(State::Standby));
    let mut commands = Vec::new();
    for way in ways(manager, standby, cx) {
        cx.log.info(&format!("endmqm {} {}: {} end", way.option, manager.name, way.name));
        let words: [&OsStr; 2] = [way.option.as_ref(), manager.name.as_ref()];
        let within = cx.deadline.at_most(way.patience.max(ROUND));
        match product.begin("endmqm", &words, b"", &within) {
            Ok(mut command) => {
                let gone = wait(manager, &mut command, way, cx)?;
                commands.push(command);
                if gone {
                    break;
                }
            }
            Err(error) => cx.log.warn(&error.to_string()),
        }
    }
    Ok(commands)
}

/// The ways to ask, each with its time: less than it was given if all of them would not fit into the action's.
fn ways(manager: &QueueManager, standby: bool, cx: &Cx<'_>) -> Vec<Way> {
    let patience = manager.patience;
    let mut ways = if standby {
        vec![Way { option: "-x", name: "standby's", patience: patience.immediate }]
    } else {
        vec![
            Way { option: "-c", name: "controlled", patience: patience.controlled },
            Way { option: "-i", name: "immediate", patience: patience.immediate },
            Way { option: "-p", name: "preemptive", patience: patience.preemptive },
        ]
    };
    // The shell agent asks in both other ways even if it waits for neither.
    ways.retain(|way| way.option != "-c" || !way.patience.is_zero());
    let wanted: Duration = ways.iter().map(|way| way.patience).sum();
    let left = cx.deadline.left();
    let available = left.saturating_sub(KILLING.min(left / 4));
    if wanted > available {
        cx.log.warn(&format!(
            "waiting {:.0} s for {} does not fit into the action's timeout of {:.0} s; waiting {:.0} s",
            wanted.as_secs_f64(),
            manager.name,
            cx.deadline.timeout().as_secs_f64(),
            available.as_secs_f64()
        ));
        let share = available.as_secs_f64() / wanted.as_secs_f64();
        for way in &mut ways {
            way.patience = way.patience.mul_f64(share.clamp(0.0, 1.0));
        }
    }
    ways
}

/// Waits for what one way comes to; whether the execution controller is gone.
fn wait(manager: &QueueManager, command: &mut Running, way: Way, cx: &Cx<'_>) -> Result<bool> {
    let end = Instant::now() + way.patience;
    let mut heard = false;
    loop {
        let family = Family::look_twice(manager, cx)?;
        let controllers = family.controllers();
        if controllers.is_empty() {
            return Ok(true);
        }
        if !heard && command.end().is_some() {
            heard = true;
            let ran = command.ran();
            if !matches!(ran.end, Some(End::Code(code)) if ENDS.contains(&code)) {
                cx.log.warn(&format!(
                    "endmqm {} {} ended with {}",
                    way.option,
                    manager.name,
                    how(&ran)
                ));
                // Nothing comes of waiting for what was refused.
                return Ok(false);
            }
        }
        let left = end.saturating_duration_since(Instant::now()).min(cx.deadline.left());
        if left.is_zero() {
            cx.log.warn(&format!(
                "{} did not end within {:.1} s of endmqm {}",
                manager.name,
                way.patience.as_secs_f64(),
                way.option
            ));
            return Ok(false);
        }
        let mut handles = Vec::new();
        for process in controllers {
            handles.extend(Handle::open(process.identity)?);
        }
        let _ = wait_for_all(&handles, left.min(ROUND));
    }
}
