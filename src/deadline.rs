//! When an action has to be over.

#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use crate::environment::Environment;
use crate::error::{Error, Result};

/// The moment until which an action may wait for something.
///
/// It lies a reserve before the caller's timeout, in which the action cleans up and says what it waited for.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    at: Instant,
    end: Instant,
    timeout: Duration,
}

impl Deadline {
    /// From `CRM_meta_timeout` (milliseconds), or the advertised timeout in seconds.
    #[must_use]
    pub fn of(environment: &Environment, advertised: u32) -> Self {
        let given = environment
            .meta("timeout")
            .and_then(|text| text.parse().ok())
            .filter(|ms: &u64| *ms > 0);
        // A timeout of more than a year is a mistake, and more than the clock can add.
        let longest = Duration::from_hours(24 * 365);
        let timeout = given
            .map_or(Duration::from_secs(u64::from(advertised)), Duration::from_millis)
            .min(longest);
        Self::after(timeout)
    }

    /// `timeout` from now, less the reserve: a tenth, at most two seconds.
    #[must_use]
    pub fn after(timeout: Duration) -> Self {
        let reserve = (timeout / 10).min(Duration::from_secs(2));
        let now = Instant::now();
        let before = |part: Duration| now + timeout.saturating_sub(part);
        Self { at: before(reserve), end: before(reserve / 4), timeout }
    }

    /// What is left, zero when it is over.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// What is left for a question that the kernel answers at once, most of the reserve included: so that what was
    /// begun can be undone when waiting is over.
    #[must_use]
    pub fn left_with_reserve(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    /// The caller's timeout, reserve included.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The earlier of this and `wait` from now.
    #[must_use]
    pub fn at_most(&self, wait: Duration) -> Self {
        // More than the clock can add is no limit.
        let at = Instant::now().checked_add(wait).map_or(self.at, |at| self.at.min(at));
        Self { at, ..*self }
    }

    /// What is left to wait for `what`.
    ///
    /// # Errors
    /// Nothing is left.
    pub fn to_wait_for(&self, what: &str) -> Result<Duration> {
        let left = self.left();
        if left.is_zero() { Err(self.missed(what)) } else { Ok(left) }
    }

    /// The error of an action that waited for `what` until now.
    #[must_use]
    pub fn missed(&self, what: &str) -> Error {
        Error::Failed(format!(
            "gave up waiting for {what}: the action's timeout of {} s is nearly over",
            self.timeout.as_secs_f64()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_callers_timeout_wins_over_the_advertised_one() {
        let mut environment = Environment::default();
        assert_eq!(Deadline::of(&environment, 20).timeout(), Duration::from_secs(20));
        environment.set("OCF_RESKEY_CRM_meta_timeout", "500");
        let deadline = Deadline::of(&environment, 20);
        assert!(deadline.left() <= Duration::from_millis(450));
        for nonsense in ["", "x", "-1", "0", "99999999999999999999"] {
            environment.set("OCF_RESKEY_CRM_meta_timeout", nonsense);
            assert_eq!(
                Deadline::of(&environment, 20).timeout(),
                Duration::from_secs(20),
                "{nonsense}"
            );
        }
        environment.set("OCF_RESKEY_CRM_meta_timeout", u64::MAX.to_string());
        assert!(Deadline::of(&environment, 20).left() > Duration::from_hours(24));
    }

    #[test]
    fn a_missed_deadline_says_for_what() {
        let deadline = Deadline::after(Duration::ZERO);
        let error = deadline.to_wait_for("the link").unwrap_err();
        assert!(error.reason().contains("waiting for the link"), "{error}");
    }
}
