//! Which exit code an action may return: the one place that decides.
//!
//! | code | who may return it |
//! |---|---|
//! | 0, 7, 1, 8, 9, 190, 191 | monitor and status |
//! | 0, 1 | stop and demote |
//! | 0, 1, 2, 4, 5, 6 | everything else |
//! | 3 | an action that the agent does not declare |
//! | 2 | any action, to a caller that speaks OCF and does not name the resource |
//!
//! A 2 to 6 from monitor would ban the resource from this node or from all; a stop that fails for a parameter which
//! it does not need would fence the node.

#![forbid(unsafe_code)]

use crate::action::Action;
use crate::agent::{Outcome, Status};
use crate::error::{Error, OcfCode};

/// The answer to a caller that speaks OCF and does not name the resource (OCF API 1.1, "Parameter Passing"): it is
/// broken, and nothing that it would conclude from another code can be trusted.
pub const UNNAMED: OcfCode = OcfCode::Arguments;

/// The exit code of an action that came to `outcome`.
#[must_use]
pub fn code(action: Action, outcome: &Result<Outcome, Error>) -> OcfCode {
    match outcome {
        Ok(Outcome::Done) => OcfCode::Success,
        Ok(Outcome::Is(status)) => match status {
            Status::Running => OcfCode::Success,
            Status::NotRunning => OcfCode::NotRunning,
            Status::Degraded => OcfCode::Degraded,
            Status::RunningPromoted => OcfCode::RunningPromoted,
            Status::DegradedPromoted => OcfCode::DegradedPromoted,
            Status::FailedPromoted => OcfCode::FailedPromoted,
        },
        Err(error) => match action {
            Action::Monitor | Action::Status | Action::Stop | Action::Demote => OcfCode::Failed,
            _ => error.code(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors() -> [Error; 6] {
        [
            Error::Configured { name: "x", why: String::new() },
            Error::Local(String::new()),
            Error::NotPermitted(String::new()),
            Error::NotInstalled(String::new()),
            Error::Failed(String::new()),
            Error::Several(vec![]),
        ]
    }

    #[test]
    fn monitor_and_status_answer_an_error_with_1() {
        for action in [Action::Monitor, Action::Status] {
            for error in errors() {
                assert_eq!(code(action, &Err(error)), OcfCode::Failed);
            }
        }
    }

    #[test]
    fn stop_and_demote_answer_an_error_with_1() {
        for action in [Action::Stop, Action::Demote] {
            for error in errors() {
                assert_eq!(code(action, &Err(error)), OcfCode::Failed);
            }
        }
    }

    #[test]
    fn start_and_validate_all_say_where_a_retry_could_help() {
        for action in [Action::Start, Action::ValidateAll, Action::Promote] {
            let codes = errors().map(|error| code(action, &Err(error)).number());
            assert_eq!(codes, [6, 2, 4, 5, 1, 1]);
        }
    }

    #[test]
    fn a_status_has_its_own_code() {
        let statuses = [
            (Status::Running, 0),
            (Status::NotRunning, 7),
            (Status::RunningPromoted, 8),
            (Status::FailedPromoted, 9),
            (Status::Degraded, 190),
            (Status::DegradedPromoted, 191),
        ];
        for (status, number) in statuses {
            assert_eq!(code(Action::Monitor, &Ok(Outcome::Is(status))).number(), number);
        }
        assert_eq!(code(Action::Stop, &Ok(Outcome::Done)).number(), 0);
    }
}
