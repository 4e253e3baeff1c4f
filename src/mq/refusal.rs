//! What `strmqm` means by its exit codes, and what mends it.

#![forbid(unsafe_code)]

use crate::error::Error;

/// The queue manager runs already: somebody was faster.
pub(super) const RUNS_ALREADY: i32 = 5;
/// A standby was started, because another host has the queue manager.
pub(super) const STANDBY: i32 = 30;

/// Codes with which `strmqm` has started nothing and somebody else has or is about to have the queue manager: what
/// lives of it then is not of this start.
pub(super) const SOMEBODY_ELSES: [i32; 6] = [3, RUNS_ALREADY, 31, 43, 47, 49];

/// The error of a start that was refused with that code; `how` is that code and the last words.
pub(super) fn error(manager: &str, code: Option<i32>, how: &str) -> Error {
    let (of, mends): (fn(String) -> Error, &str) = match code {
        Some(3) => (Error::Failed, "it is being created"),
        Some(16) => (
            Error::NotInstalled,
            "it does not exist here; make it by crtmqm or addmqinf, or mount its data",
        ),
        Some(23) => (Error::Failed, "its log is not available; mount the log's file system"),
        Some(24) => (
            Error::Failed,
            "a process still uses its previous instance; end the applications that were connected to it",
        ),
        Some(STANDBY) => {
            (Error::Failed, "another host has it, so that only a standby started; end it there")
        }
        Some(31 | 43) => (Error::Failed, "it has an active instance already; end that one first"),
        Some(47) => (Error::Failed, "it has as many standby instances as it may; end one"),
        Some(49) => (Error::Failed, "it is stopping; wait until it has stopped"),
        Some(58 | 62) => (
            Error::Local,
            "it is of another installation; set mq_installation_path to that, or run setmqm",
        ),
        Some(69) => (Error::Failed, "there is no storage; look at the disks of its data and log"),
        Some(72) => (Error::Failed, "its name is not valid"),
        Some(91 | 92) => (Error::Local, "its data are of another release; start it with that one"),
        Some(100) => (Error::Failed, "the place of its log is not valid"),
        Some(119) => (
            Error::NotPermitted,
            "mquser may not start it; take the owner of the installation or put mquser into group mqm",
        ),
        _ => (Error::Failed, "see its AMQERR01.LOG"),
    };
    of(format!("cannot start queue manager {manager}: {mends} (strmqm: {how})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_reason_and_a_code_of_ours() {
        let cases = [
            (Some(16), "crtmqm", 5),
            (Some(24), "previous instance", 1),
            (Some(30), "standby", 1),
            (Some(58), "installation", 2),
            (Some(119), "group mqm", 4),
            (Some(71), "AMQERR01.LOG", 1),
            (None, "AMQERR01.LOG", 1),
        ];
        for (code, words, expected) in cases {
            let error = error("QM1", code, "exit code x");
            assert_eq!(error.code().number(), expected, "{error}");
            assert!(error.reason().contains(words) && error.reason().contains("QM1"), "{error}");
        }
    }
}
