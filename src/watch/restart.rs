//! What a watcher does in the place of a manager that has no policy: Heartbeat with haresources.

#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::manager::{of_own_action, stand_by};
use crate::action::Action;
use crate::environment::Environment;
use crate::error::Result;
use crate::host::detached;
use crate::log::Log;

/// Restarts in place, as long as there are not too many of them.
#[derive(Debug)]
pub struct Restarts {
    most: u32,
    window: Duration,
    made: VecDeque<Instant>,
}

impl Restarts {
    /// At most that many within that time.
    #[must_use]
    pub fn new((most, window): (u32, Duration)) -> Self {
        Self { most, window, made: VecDeque::new() }
    }

    /// Whether one more is allowed now; it is counted then.
    pub fn is_allowed(&mut self, now: Instant) -> bool {
        while self.made.front().is_some_and(|first| now.duration_since(*first) > self.window) {
            self.made.pop_front();
        }
        let allowed = u32::try_from(self.made.len()).is_ok_and(|made| made < self.most);
        if allowed {
            self.made.push_back(now);
        }
        allowed
    }

    /// Stops and starts the resource; where that was done too often or does not work, the other node takes over. Whether
    /// it was restarted.
    ///
    /// # Errors
    /// Heartbeat could not be told.
    pub fn act(&mut self, agent: &str, environment: &Environment, log: &Log<'_>) -> Result<bool> {
        if self.is_allowed(Instant::now()) {
            let count = self.made.len();
            let own = of_own_action(environment);
            let restarted = detached::run_agent(agent, Action::Stop.name(), own.variables())
                && detached::run_agent(agent, Action::Start.name(), own.variables());
            if restarted {
                let most = self.most;
                log.warn(&format!("restarted ({count} of {most} within watch_window)"));
                return Ok(true);
            }
            log.warn("cannot be restarted here; giving all resources to the other node");
        } else {
            let most = self.most;
            log.warn(&format!(
                "failed again after {most} restarts within watch_window; giving all resources to the other node"
            ));
        }
        stand_by(environment).map(|()| false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_are_counted_within_the_window() {
        let (begin, minute) = (Instant::now(), Duration::from_mins(1));
        let mut restarts = Restarts::new((2, minute));
        assert!(restarts.is_allowed(begin));
        assert!(restarts.is_allowed(begin + minute / 2));
        assert!(!restarts.is_allowed(begin + minute));
        assert!(restarts.is_allowed(begin + minute + Duration::from_secs(1)));
        assert!(!Restarts::new((0, minute)).is_allowed(begin));
    }
}
