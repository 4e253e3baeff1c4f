//! What this node reaches: other hosts ([`measure`]), and the network behind an interface ([`interface`]).
//!
//! The outcome is no failure of a resource but an attribute of the node, by which the cluster decides what else runs here.
//! What was found last is kept in the state file, so that each change is told once.

#![forbid(unsafe_code)]

pub mod hysteresis;
pub mod interface;
pub mod measure;
pub mod target;

use std::time::Duration;

use crate::agent::Cx;
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::host::attribute;
use crate::state::Lock;

/// What an action keeps of its time, to tell the cluster what it found.
#[must_use]
pub fn to_tell(deadline: &Deadline) -> Duration {
    (deadline.timeout() / 5).min(Duration::from_secs(2))
}

/// Removes the attribute. That is no reason to fail a stop and fence a node: an attribute of a cluster that does not run
/// counts for nothing, and ends with it.
pub fn withdraw(name: &str, cx: &Cx<'_>) {
    if let Err(error) = attribute::withdraw(cx.environment, name, &cx.deadline) {
        cx.log.warn(&error.to_string());
    }
}

/// The lock for a stop. One that is held for half of the stop's time is held by a program that hangs, such as an
/// `attrd_updater` whose cluster does not answer: that is no reason to fail.
#[must_use]
pub fn lock_to_stop(name: &str, cx: &Cx<'_>) -> Option<Lock> {
    let patience = cx.deadline.at_most(cx.deadline.left() / 2);
    match cx.state.lock(name, &patience) {
        Ok(lock) => lock,
        Err(error) => {
            cx.log.warn(&format!("{error}; stopping all the same"));
            None
        }
    }
}

/// `number` of something, times the multiplier; more than fits is a mistake in the configuration.
///
/// # Errors
/// It does not fit.
pub fn multiplied(number: u64, multiplier: u32) -> Result<u64> {
    number.checked_mul(u64::from(multiplier)).ok_or_else(|| Error::Configured {
        name: "multiplier",
        why: format!("{multiplier} times {number} is too large; take a smaller one"),
    })
}
