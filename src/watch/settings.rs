//! The parameters of every agent whose resource can be watched.

#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::time::Duration;

use crate::agent::Cx;
use crate::environment::Environment;
use crate::error::Result;
use crate::param::values::{Count, Flag, Seconds};
use crate::param::{Kind, Params, Source, Value, quoted};
use crate::params;

params! {
    /// What is the same for every agent that declares it can be watched.
    #[derive(Clone, Copy, Debug)]
    pub struct Settings {
        /// Whether to be told of a failure at once
        ///
        /// A successful start then leaves a small process behind, which sleeps until the kernel announces something about
        /// this resource: the end of a process, an address that goes, a link without a carrier. It makes the look that
        /// monitor makes, makes it again, and tells the cluster manager of the failure, milliseconds after it happened:
        /// Pacemaker by `crm_resource --fail`, so that migration-threshold and on-fail decide as they do after a failed
        /// monitor. It never stops or moves anything by itself. Stop ends the process before all else, and a recurring
        /// monitor puts it back if somebody killed it. Recurring monitors stay useful: for what no event tells. In
        /// Heartbeat's haresources, where nobody monitors, it is on unless this is false: a resource that failed is
        /// restarted `watch_restarts` times within `watch_window`, then the node's resources go to the other node.
        watch: Option<Flag> { reloadable: true },

        /// Seconds between looks of the watching process
        ///
        /// For what no event tells: a server that does not answer, a process that is stopped by a signal. Without it, a
        /// resource that has probes (`check`) is looked at every second and any other one only on events, so that an idle
        /// one costs nothing.
        watch_interval: Option<Interval> { reloadable: true },

        /// Restarts in place, under haresources
        ///
        /// How often within `watch_window` a failed resource is stopped and started here before the node gives all of its
        /// resources to the other one.
        watch_restarts: Count = "2" { reloadable: true },

        /// Seconds in which restarts are counted, under haresources
        ///
        /// A restart that is longer ago than this counts no more, so that a resource which fails once a week stays where it
        /// is.
        watch_window: Seconds = "600" { reloadable: true },
    }
}

impl Settings {
    /// Those of this invocation, each judged.
    ///
    /// # Errors
    /// One of them is wrong.
    pub fn strictly(cx: &Cx<'_>) -> Result<Self> {
        Self::parse(Source::strict(cx.environment.variables()))
    }

    /// Those of this invocation; a wrong one is as none.
    ///
    /// # Errors
    /// Never, as long as all have defaults.
    pub fn leniently(environment: &Environment) -> Result<Self> {
        Self::parse(Source::lenient(environment.variables()))
    }

    /// Whether a watcher is wanted; `by_default` where nobody said.
    #[must_use]
    pub fn is_wanted(&self, by_default: bool) -> bool {
        self.watch.map_or(by_default, Flag::is_set)
    }

    /// How long to sleep between two looks, if there are to be any that nothing has caused.
    #[must_use]
    pub fn interval(&self, silent: bool) -> Option<Duration> {
        const USUAL: Duration = Duration::from_secs(1);
        self.watch_interval.map(Interval::get).or_else(|| silent.then_some(USUAL))
    }

    /// How many restarts within what time a manager without a policy of its own gets.
    #[must_use]
    pub fn restarts(&self) -> (u32, Duration) {
        (self.watch_restarts.get(), self.watch_window.get())
    }
}

/// A time between two looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval(Duration);

impl Interval {
    /// The time.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl Value for Interval {
    const KIND: Kind = Kind::Integer;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        const SHORTEST: Duration = Duration::from_millis(100);
        const LONGEST: Duration = Duration::from_hours(24);
        let interval = Seconds::parse(raw)?.get();
        if (SHORTEST..=LONGEST).contains(&interval) {
            return Ok(Self(interval));
        }
        Err(format!("{} is not between 0.1 and 86400 seconds", quoted(raw)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_neither_a_busy_loop_nor_for_ever() {
        for word in ["0.1", "1", "86400"] {
            Interval::parse(word.as_ref()).unwrap();
        }
        for word in ["0", "0.05", "86401", "-1", "x", "", "1e3", "NaN"] {
            Interval::parse(word.as_ref()).unwrap_err();
        }
    }

    #[test]
    fn only_what_no_event_tells_is_looked_at_unasked() {
        let none = Settings::parse(Source::strict(&[])).unwrap();
        assert_eq!(none.interval(false), None);
        assert_eq!(none.interval(true), Some(Duration::from_secs(1)));
        assert!(none.is_wanted(true) && !none.is_wanted(false));
        let variables = [
            ("OCF_RESKEY_watch_interval".into(), "5".into()),
            ("OCF_RESKEY_watch".into(), "no".into()),
        ];
        let given = Settings::parse(Source::strict(&variables)).unwrap();
        assert_eq!(given.interval(false), Some(Duration::from_secs(5)));
        assert!(!given.is_wanted(true));
    }
}
