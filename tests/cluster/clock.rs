//! The clock that every process of a run shares.

use std::time::{Duration, SystemTime};

use nix::time::{ClockId, clock_gettime};

/// The time since the machine was switched on.
pub fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).expect("the monotonic clock can be read").into()
}

/// When a line was logged that begins like `Nov 21 13:45:07.123`, in UTC, less than a day ago.
pub fn of_log_line(line: &str) -> Option<Duration> {
    const DAY: u64 = 24 * 60 * 60 * 1000;
    let mut parts = line.split_whitespace().nth(2)?.split([':', '.']).map(str::parse::<u64>);
    let mut next = || parts.next()?.ok();
    let logged = ((next()? * 60 + next()?) * 60 + next()?) * 1000 + next()?;
    let (today, now) = (SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?, now());
    let ago = (u64::try_from(today.as_millis()).ok()? % DAY + DAY - logged) % DAY;
    Some(now.saturating_sub(Duration::from_millis(ago)))
}
