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

    /// Whether this process did not run for more than a quarter of the time since then, although it wanted to: as the kernel
    /// counts, which knows of waiting for a processor only, or as was seen otherwise (`lost`).
    #[must_use]
    pub fn is_felt(&self, lost: Duration) -> bool {
        let all = self.begin.elapsed();
        let counted = self.waited.zip(waited()).map(|(before, now)| now.saturating_sub(before));
        is_much(counted.unwrap_or_default().max(lost), all)
    }
}

fn is_much(waited: Duration, of: Duration) -> bool {
    waited > of / 4
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
    fn a_quarter_of_the_time_is_too_much() {
        let time = |milliseconds| Duration::from_millis(milliseconds);
        assert!(!is_much(time(5), time(20)));
        assert!(is_much(time(6), time(20)));
        assert!(!is_much(time(0), time(0)));
    }

    #[test]
    fn the_kernel_counts_upwards() {
        let before = waited().expect("a kernel with CONFIG_SCHED_INFO");
        std::thread::yield_now();
        assert!(waited().is_some_and(|now| now >= before));
    }
}
