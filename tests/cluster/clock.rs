//! The clock that every process of a run shares.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// The time since the machine was switched on.
pub fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).expect("the monotonic clock can be read").into()
}
