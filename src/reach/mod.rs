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
