//! When a watcher speaks: a failure is seen twice, reported once, and a resource that flaps is called so.

#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What one look came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The resource works.
    Works,
    /// It does not, and why.
    Failed(String),
}

/// What to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing that the manager does not know.
    Nothing,
    /// Tell the manager.
    Report(String),
    /// It failed again so soon that it is not told yet; look again after that time.
    Hold(Duration),
    /// It works again, although nobody stopped and started it.
    Recovered,
}

/// The least time between two reports of one watcher.
const BETWEEN_REPORTS: Duration = Duration::from_secs(10);

/// Failures within this time are counted together.
const WINDOW: Duration = Duration::from_mins(10);

/// What a watcher remembers of the resource.
#[derive(Debug, Default)]
pub struct Memory {
    failed: bool,
    told: bool,
    reported: Option<Instant>,
    failures: VecDeque<Instant>,
}

impl Memory {
    /// Takes a confirmed look into account.
    ///
    /// A manager that was told acts by stop, which ends the watcher, and start, which makes a new one. As long as it does
    /// not, there is nothing to add.
    pub fn take(&mut self, verdict: &Verdict, now: Instant) -> Step {
        let Verdict::Failed(why) = verdict else {
            let recovered = self.failed;
            (self.failed, self.told) = (false, false);
            return if recovered { Step::Recovered } else { Step::Nothing };
        };
        if !self.failed {
            self.failed = true;
            self.failures.push_back(now);
        }
        while self.failures.front().is_some_and(|first| now.duration_since(*first) > WINDOW) {
            self.failures.pop_front();
        }
        if self.told {
            return Step::Nothing;
        }
        let wait = self.reported.map_or(Duration::ZERO, |reported| {
            BETWEEN_REPORTS.saturating_sub(now.duration_since(reported))
        });
        if !wait.is_zero() {
            return Step::Hold(wait);
        }
        self.told = true;
        self.reported = Some(now);
        Step::Report(match self.failures.len() {
            0 | 1 => why.clone(),
            count => {
                format!("{why} (flapping: failed {count} times in {} min)", WINDOW.as_secs() / 60)
            }
        })
    }

    /// The report did not reach the manager: the failure is to be told once more.
    pub fn not_told(&mut self) {
        self.told = false;
    }

    /// It was stopped and started, as if by a manager: the next failure is a new one, to be told at once.
    pub fn restarted(&mut self) {
        (self.failed, self.told, self.reported) = (false, false, None);
    }

    /// Whether there is nothing to add to what the manager knows.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.told
    }

    /// Whether the resource is down, by all that is known.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        self.failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn failed() -> Verdict {
        Verdict::Failed("x".to_owned())
    }

    #[test]
    fn a_failure_is_told_once() {
        let (mut memory, begin) = (Memory::default(), Instant::now());
        assert_eq!(memory.take(&Verdict::Works, begin), Step::Nothing);
        assert_eq!(memory.take(&failed(), begin), Step::Report("x".to_owned()));
        for second in 1..100 {
            let now = begin + Duration::from_secs(second);
            assert_eq!(memory.take(&failed(), now), Step::Nothing);
        }
        assert!(memory.is_failed());
        let later = begin + Duration::from_secs(100);
        assert_eq!(memory.take(&Verdict::Works, later), Step::Recovered);
        assert_eq!(memory.take(&Verdict::Works, later), Step::Nothing);
    }

    #[test]
    fn a_report_that_was_lost_is_repeated_later() {
        let (mut memory, begin) = (Memory::default(), Instant::now());
        assert_eq!(memory.take(&failed(), begin), Step::Report("x".to_owned()));
        memory.not_told();
        assert_eq!(memory.take(&failed(), begin), Step::Hold(BETWEEN_REPORTS));
        let later = begin + BETWEEN_REPORTS;
        assert_eq!(memory.take(&failed(), later), Step::Report("x".to_owned()));
    }

    #[test]
    fn flapping_is_called_so() {
        let (mut memory, begin) = (Memory::default(), Instant::now());
        memory.take(&failed(), begin);
        let soon = begin + Duration::from_secs(1);
        assert_eq!(memory.take(&Verdict::Works, soon), Step::Recovered);
        let Step::Hold(wait) = memory.take(&failed(), soon) else { panic!("told too soon") };
        let Step::Report(words) = memory.take(&failed(), soon + wait) else { panic!("not told") };
        assert!(words.contains("flapping: failed 2 times"), "{words}");
    }

    #[test]
    fn after_a_restart_a_failure_is_told_at_once() {
        let (mut memory, begin) = (Memory::default(), Instant::now());
        memory.take(&failed(), begin);
        memory.restarted();
        assert!(
            matches!(memory.take(&failed(), begin), Step::Report(words) if words.contains("2 times"))
        );
    }

    proptest! {
        #[test]
        fn reports_are_never_closer_than_that(looks in proptest::collection::vec((any::<bool>(), 0_u64..20), 0..200)) {
            let (mut memory, mut now) = (Memory::default(), Instant::now());
            let mut last: Option<Instant> = None;
            for (works, seconds) in looks {
                now += Duration::from_secs(seconds);
                let verdict = if works { Verdict::Works } else { failed() };
                if let Step::Report(_) = memory.take(&verdict, now) {
                    prop_assert!(!works);
                    prop_assert!(last.is_none_or(|last| now.duration_since(last) >= BETWEEN_REPORTS));
                    last = Some(now);
                }
                prop_assert_eq!(memory.is_failed(), !works);
            }
        }
    }
}
