//! What is printed: what happened when, where.

#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::time::Duration;

use super::event::Moment;
use crate::cli::print;
use crate::error::Result;

/// How a line is set off from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// Like any other.
    Plain,
    /// Something broke.
    Bad,
    /// It works, or works again.
    Good,
    /// What it all was about.
    Result,
}

impl Tone {
    /// The terminal's code for it (ECMA-48, SGR).
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Bad => Some("\x1b[31m"),
            Self::Good => Some("\x1b[32m"),
            Self::Result => Some("\x1b[1m"),
        }
    }
}

/// The lines that are not printed yet, and the beginning of time.
#[derive(Debug)]
pub(super) struct Timeline {
    begin: Moment,
    colour: bool,
    lines: Vec<(Moment, String)>,
}

impl Timeline {
    /// Begins now.
    pub(super) fn begin(colour: bool) -> Self {
        Self { begin: Moment::now(), colour, lines: Vec::new() }
    }

    /// Notes what happened at `moment` to `who`.
    pub(super) fn note(&mut self, moment: Moment, who: &str, tone: Tone, what: &str) {
        let at = milliseconds(moment.since(self.begin));
        let line = format!("{at:>9} ms  {who:<7}  {}\n", self.painted(tone, what));
        self.lines.push((moment, line));
    }

    /// Prints what was noted, in the order in which it happened.
    ///
    /// # Errors
    /// Nobody can read it.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.lines.sort_by_key(|(moment, _)| *moment);
        let text: String = self.lines.drain(..).map(|(_, line)| line).collect();
        print(&text)
    }

    /// Prints lines that belong to no moment.
    ///
    /// # Errors
    /// Nobody can read it.
    pub(super) fn say(&self, tone: Tone, lines: &[String]) -> Result<()> {
        let mut text = String::new();
        for line in lines {
            let _ = writeln!(text, "{}", self.painted(tone, line));
        }
        print(&text)
    }

    fn painted(&self, tone: Tone, text: &str) -> String {
        match tone.code() {
            Some(code) if self.colour => format!("{code}{text}\x1b[0m"),
            _ => text.to_owned(),
        }
    }
}

/// With one decimal place, as far as a measurement on a busy machine goes.
pub(super) fn milliseconds(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1000.0)
}
