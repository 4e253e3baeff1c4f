//! Whether this process was given the time that it wanted (Documentation/scheduler/sched-stats.rst).

#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

/// A time that is looked at from its beginning.
#[derive(Debug)]
pub struct Starvation {
    begin: Instant,
    waited: Option<Duration>,
}

impl Starvation {
    /// From now on.
    #[must_use]
    pub fn begin() -> Self {
        Self { begin: Instant::now(), waited: waited() }
    }

    /// Whether this process was ready to run and did not for more than a quarter of the time since then. Never where the
    /// kernel does not tell.
    #[must_use]
    pub fn is_felt(&self) -> bool {
        let (Some(before), Some(now)) = (self.waited, waited()) else { return false };
        now.saturating_sub(before) > self.begin.elapsed() / 4
    }
}

/// For how long this process has waited on a run queue: the second number of `/proc/<pid>/schedstat`.
fn waited() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/self/schedstat").ok()?;
    text.split_ascii_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleep_is_no_starvation() {
        let starvation = Starvation { begin: Instant::now(), waited: waited() };
        let Some(before) = starvation.waited else { return };
        std::thread::sleep(Duration::from_millis(20));
        assert!(waited().unwrap() >= before);
        let starved = Starvation { begin: Instant::now(), waited: Some(Duration::ZERO) };
        let since_boot = before > Duration::from_millis(1);
        assert_eq!(starved.is_felt(), since_boot || starved.is_felt());
    }
}
