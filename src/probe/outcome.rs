//! What came of a probe.

#![forbid(unsafe_code)]

use std::fmt;
use std::time::Duration;

use super::url::Url;
use crate::error::{Error, one_line};

/// How far a probe came, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Its name was looked up.
    Name,
    /// The connection was made, or the program started.
    Connect,
    /// TLS was agreed upon.
    Handshake,
    /// The server said something.
    FirstByte,
    /// The server said all that was waited for.
    Answer,
    /// It is what was expected.
    Expectation,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Name => "name",
            Self::Connect => "connect",
            Self::Handshake => "handshake",
            Self::FirstByte => "first byte",
            Self::Answer => "answer",
            Self::Expectation => "expectation",
        })
    }
}

/// Why a probe did not succeed, and in which phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Where.
    pub phase: Phase,
    /// What went wrong, and what mends it.
    pub why: String,
}

impl Trouble {
    /// The server answered, and not with what was expected.
    #[must_use]
    pub fn unexpected(why: impl Into<String>) -> Self {
        Self { phase: Phase::Expectation, why: why.into() }
    }
}

/// The phases that were completed, and when, counted from the probe's beginning.
pub type Marks = Vec<(Phase, Duration)>;

/// A server that is alive.
#[derive(Clone, Debug)]
pub struct Report {
    /// What it said, in short.
    pub said: String,
    /// How long it took in all.
    pub took: Duration,
    /// When each phase was over.
    pub marks: Marks,
}

/// A probe that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The probe, without its options.
    pub probe: String,
    /// Where.
    pub phase: Phase,
    /// When.
    pub took: Duration,
    /// What went wrong, and what mends it.
    pub why: String,
    /// When each phase was over.
    pub marks: Marks,
}

impl Failure {
    pub(super) fn new(url: &Url, trouble: Trouble, took: Duration, marks: Marks) -> Self {
        let Trouble { phase, why } = trouble;
        // What a server says must not drive a terminal, nor leave no room for the rest.
        Self { probe: url.to_string(), phase, took, why: one_line(&why, 300), marks }
    }

    pub(super) fn internal(url: &Url) -> Self {
        let why = "the probe itself ended unexpectedly; please report it".to_owned();
        let trouble = Trouble { phase: Phase::Connect, why };
        Self::new(url, trouble, Duration::ZERO, Marks::new())
    }

    /// The same as the failure of an action.
    #[must_use]
    pub fn into_error(self) -> Error {
        Error::Failed(self.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { probe, phase, took, why, .. } = self;
        write!(f, "probe {} failed at {phase} after {}: {why}", one_line(probe, 70), short(*took))
    }
}

/// A time for people: `0.8 ms`, `12 ms`, `2.0 s`.
#[must_use]
pub fn short(time: Duration) -> String {
    let milliseconds = time.as_secs_f64() * 1e3;
    if milliseconds < 10.0 {
        format!("{milliseconds:.1} ms")
    } else if milliseconds < 1000.0 {
        format!("{milliseconds:.0} ms")
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        for (micros, text) in
            [(80, "0.1 ms"), (9_940, "9.9 ms"), (12_300, "12 ms"), (2_004_000, "2.0 s")]
        {
            assert_eq!(short(Duration::from_micros(micros)), text);
        }
    }

    #[test]
    fn a_failure_fits_an_exit_reason_whatever_the_server_says() {
        let url: Url = format!("http://{}/{}", "a".repeat(60), "b".repeat(200)).parse().unwrap();
        let trouble = Trouble::unexpected(format!("\x1b[2J\n{}", "x".repeat(1000)));
        let failure = Failure::new(&url, trouble, Duration::from_millis(2), Marks::new());
        let reason = failure.into_error().reason();
        assert!(reason.starts_with("probe http://aaa"), "{reason}");
        assert!(reason.contains("… failed at expectation after 2.0 ms:  [2J x"), "{reason}");
        assert!(reason.chars().count() < 200 && !reason.contains(['\x1b', '\n']));
    }
}
