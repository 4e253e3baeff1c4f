//! Errors whose kind decides the exit code, and whose text is for the person at the console.

#![forbid(unsafe_code)]

use std::fmt;
use std::io;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Exit codes of the OCF resource agent API 1.1, section "Exit Status Codes".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum OcfCode {
    /// It worked; for monitor: the resource runs.
    Success = 0,
    /// Any failure for which no other code is better.
    Failed = 1,
    /// Wrong on this node; another node may do better.
    Arguments = 2,
    /// The agent does not declare the action.
    Unimplemented = 3,
    /// The caller lacks a privilege.
    NotPermitted = 4,
    /// A program or driver is missing here.
    NotInstalled = 5,
    /// Wrong on every node.
    NotConfigured = 6,
    /// Cleanly stopped. For monitor only.
    NotRunning = 7,
    /// Runs, and is the promoted instance. For monitor only.
    RunningPromoted = 8,
    /// Is the promoted instance and has failed. For monitor only.
    FailedPromoted = 9,
    /// Runs, but is likely to fail soon. For monitor only.
    Degraded = 190,
    /// Promoted, runs, but is likely to fail soon. For monitor only.
    DegradedPromoted = 191,
}

impl OcfCode {
    /// The number, as a process returns it.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }
}

/// Why something could not be done. The variant decides the exit code, never the text.
///
/// Texts are lower case, without a full stop, and say what was being done, to what, why it did not work and what
/// mends it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A parameter is wrong on every node: exit code 6.
    #[error("parameter {name}: {why}")]
    Configured {
        /// The parameter's name as the cluster spells it.
        name: &'static str,
        /// Completes the sentence "parameter x: …".
        why: String,
    },
    /// Wrong on this node only, whatever is retried here: exit code 2.
    #[error("{0}")]
    Local(String),
    /// A privilege is missing: exit code 4.
    #[error("{0}")]
    NotPermitted(String),
    /// A program or driver is missing here: exit code 5.
    #[error("{0}")]
    NotInstalled(String),
    /// The agent does not have the action: exit code 3.
    #[error("{0}")]
    Unimplemented(String),
    /// Anything else: exit code 1.
    #[error("{0}")]
    Failed(String),
    /// All that went wrong in a teardown that went on after the first error; the first one's code.
    #[error("{}", joined(.0))]
    Several(Vec<Error>),
}

fn joined(errors: &[Error]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl Error {
    /// The exit code of start and validate-all; monitor and stop have fewer (see `contract`).
    #[must_use]
    pub fn code(&self) -> OcfCode {
        match self {
            Self::Configured { .. } => OcfCode::NotConfigured,
            Self::Local(_) => OcfCode::Arguments,
            Self::NotPermitted(_) => OcfCode::NotPermitted,
            Self::NotInstalled(_) => OcfCode::NotInstalled,
            Self::Unimplemented(_) => OcfCode::Unimplemented,
            Self::Failed(_) => OcfCode::Failed,
            Self::Several(errors) => errors.first().map_or(OcfCode::Failed, Self::code),
        }
    }

    /// The text on one line of at most 199 characters, as an exit reason has it.
    #[must_use]
    pub fn reason(&self) -> String {
        one_line(&self.to_string(), 199)
    }

    /// This error, and after it what else went wrong.
    #[must_use]
    pub fn and(self, others: Vec<Self>) -> Self {
        if others.is_empty() {
            return self;
        }
        Self::Several(std::iter::once(self).chain(others).collect())
    }

    /// Nothing if `errors` is empty, else all of them as one error.
    ///
    /// # Errors
    /// The single error, or [`Error::Several`].
    pub fn all(mut errors: Vec<Self>) -> Result<()> {
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            _ => Err(Self::Several(errors)),
        }
    }
}

/// `text` without control characters, cut after `limit` characters.
///
/// An exit reason ends at the first newline for Pacemaker; and a value that a stranger chose must not drive the
/// administrator's terminal.
#[must_use]
pub fn one_line(text: &str, limit: usize) -> String {
    let mut line: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(limit + 1).collect();
    if line.chars().count() > limit {
        line = line.chars().take(limit - 1).collect();
        line.push('…');
    }
    line
}

/// Adds what was being done to an error of the operating system.
pub trait Doing<T> {
    /// `cannot <what>: <cause>`; what is refused to others than root becomes [`Error::NotPermitted`].
    ///
    /// # Errors
    /// The same error with its context.
    fn doing<S: fmt::Display>(self, what: impl FnOnce() -> S) -> Result<T>;
}

impl<T, E: Into<io::Error>> Doing<T> for std::result::Result<T, E> {
    fn doing<S: fmt::Display>(self, what: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|error| {
            let error: io::Error = error.into();
            let what = what();
            let refused = matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES));
            // To tell root to be root helps nobody.
            if refused && !nix::unistd::geteuid().is_root() {
                Error::NotPermitted(format!("cannot {what}: {}; run it as root", cause(&error)))
            } else {
                Error::Failed(format!("cannot {what}: {}", cause(&error)))
            }
        })
    }
}

/// The operating system's text for an error, without the number that Rust appends.
pub(crate) fn cause(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_short_line() {
        let error = Error::Failed(format!("first\nsecond\x1b[31m{}", "x".repeat(300)));
        assert!(error.reason().chars().count() < 200);
        assert!(!error.reason().contains(['\n', '\x1b']));
    }

    #[test]
    fn several_errors_have_the_code_of_the_first_and_all_texts() {
        let error =
            Error::all(vec![Error::Local("a".into()), Error::Failed("b".into())]).unwrap_err();
        assert_eq!(error.code(), OcfCode::Arguments);
        assert_eq!(error.reason(), "a; b");
    }

    #[test]
    fn a_cause_has_no_error_number() {
        let failed: io::Result<()> = Err(io::Error::from_raw_os_error(libc::EBUSY));
        assert_eq!(failed.doing(|| "x").unwrap_err().reason(), "cannot x: Device or resource busy");
    }
}
