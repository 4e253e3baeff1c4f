//! Who tells of a failure that a recurring monitor and the watcher see in the same moment: one of them, so that it is counted once.
//!
//! Whoever sees it writes that down before he tells. The watcher then keeps silent if a monitor was first. A monitor that comes
//! second cannot say that all is well; but it can wait a little: a manager that was told stops the resource, and for that cancels the
//! monitor (Pacemaker ends one that is under way), whose answer nobody hears any more. If it does not, the answer is as true as
//! before.

#![forbid(unsafe_code)]

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::deadline::Deadline;
use crate::state::{StateDirectory, StateFile};

/// How long a monitor lets the manager act on what the watcher has told.
pub const COURTESY: Duration = Duration::from_secs(2);

/// For how long what a monitor told is the same failure to the watcher.
const SAME: Duration = Duration::from_secs(10);

/// Who tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Teller {
    /// The process that watches.
    Watcher,
    /// A recurring monitor.
    Monitor,
}

impl Teller {
    const fn word(self) -> &'static str {
        match self {
            Self::Watcher => "watcher",
            Self::Monitor => "monitor",
        }
    }

    /// How long its word stands.
    const fn validity(self) -> Duration {
        match self {
            Self::Watcher => COURTESY,
            Self::Monitor => SAME,
        }
    }

    const fn other(self) -> Self {
        match self {
            Self::Watcher => Self::Monitor,
            Self::Monitor => Self::Watcher,
        }
    }
}

/// The place where it is written down.
#[derive(Clone, Debug)]
pub struct Turn<'a> {
    state: &'a StateDirectory,
    name: String,
}

impl<'a> Turn<'a> {
    /// That of the resource with that name of a watcher.
    #[must_use]
    pub fn of(state: &'a StateDirectory, name: &str) -> Self {
        Self { state, name: format!("{name}.told") }
    }

    /// Takes the turn. If the other one has it: for how long still.
    #[must_use]
    pub fn take(&self, teller: Teller) -> Option<Duration> {
        const LONGEST: Duration = Duration::from_millis(500);
        // Without the lock there may be one report too many, which is better than none.
        let _one_at_a_time = self.state.lock(&self.name, &Deadline::after(LONGEST)).ok();
        let now = now();
        let left = self.taken_at(teller.other()).and_then(|at| {
            // A time that is still to come is no time.
            let age = now.checked_sub(at)?;
            teller.other().validity().checked_sub(age).filter(|left| !left.is_zero())
        });
        if left.is_none() {
            let _ = self.file().write(&format!("{} {}\n", teller.word(), now.as_millis()));
        }
        left
    }

    /// Nobody has told anything.
    pub fn forget(&self) {
        let file = self.file();
        if file.path().exists() {
            let _ = file.remove();
        }
    }

    fn taken_at(&self, teller: Teller) -> Option<Duration> {
        let text = self.file().read().ok()??;
        let (word, at) = text.trim_end().split_once(' ')?;
        let at = at.parse().ok().filter(|_| word == teller.word())?;
        Some(Duration::from_millis(at))
    }

    fn file(&self) -> StateFile {
        self.state.file(&self.name)
    }
}

/// Since the machine was started.
fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_two_tells() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(directory.path().to_owned());
        let turn = Turn::of(&state, "watch-x");
        for (first, second) in
            [(Teller::Watcher, Teller::Monitor), (Teller::Monitor, Teller::Watcher)]
        {
            assert_eq!(turn.take(first), None);
            let left = turn.take(second).unwrap();
            assert!(left <= first.validity());
            assert_eq!(turn.take(first), None, "the first one may go on");
            turn.forget();
        }
        assert_eq!(turn.take(Teller::Monitor), None);
    }

    #[test]
    fn a_word_does_not_stand_for_ever() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(directory.path().to_owned());
        let turn = Turn::of(&state, "watch-x");
        let old = now().saturating_sub(COURTESY).as_millis();
        for words in [format!("watcher {old}"), "watcher".to_owned(), "watcher x".to_owned()] {
            turn.file().write(&words).unwrap();
            assert_eq!(turn.take(Teller::Monitor), None, "{words}");
        }
        let later = (now() + SAME).as_millis();
        turn.file().write(&format!("monitor {later}")).unwrap();
        assert_eq!(turn.take(Teller::Watcher), None);
    }
}
