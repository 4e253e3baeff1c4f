//! Attributes of this node in the cluster, which location rules ask for: those of pacemaker-attrd, through its own
//! program `attrd_updater`.
//!
//! Only the options that every Pacemaker since 1.1 has are used (`-n`, `-v`, `-B`, `-d`, `-D`): `-q` was removed, and agents
//! that gave it broke with the upgrade. The environment is passed on, since the program finds in it for which node an agent
//! in a bundle or on a remote node speaks.

#![forbid(unsafe_code)]

use super::program;
use crate::deadline::Deadline;
use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::state::Lock;

const PROGRAM: &str = "attrd_updater";

/// Sets the attribute; with `dampen`, also how long the cluster waits for further changes before it believes one. If this
/// process is killed, `lock` lasts until the cluster has been told, so that a later word comes later.
///
/// # Errors
/// Pacemaker is not installed, does not run, or did not answer in time.
pub fn publish(
    environment: &Environment,
    name: &str,
    value: u64,
    dampen: Option<&str>,
    lock: Option<&Lock>,
    deadline: &Deadline,
) -> Result<()> {
    let value = value.to_string();
    let arguments = match dampen {
        Some(dampen) => vec!["-n", name, "-B", &value, "-d", dampen],
        None => vec!["-n", name, "-v", &value],
    };
    program::run_under(environment, PROGRAM, &arguments, lock, deadline)
        .map_err(|error| explained(error, &format!("set the node attribute {name}")))
}

/// Removes the attribute.
///
/// # Errors
/// As for [`publish`].
pub fn withdraw(environment: &Environment, name: &str, deadline: &Deadline) -> Result<()> {
    program::run(environment, PROGRAM, &["-D", "-n", name], deadline)
        .map_err(|error| explained(error, &format!("remove the node attribute {name}")))
}

/// Whether attributes can be set here at all.
///
/// # Errors
/// The program is missing.
pub fn available(environment: &Environment) -> Result<()> {
    program::require(environment, PROGRAM).map_err(|error| explained(error, "set node attributes"))
}

fn explained(error: Error, what: &str) -> Error {
    match error {
        Error::Failed(why) => {
            Error::Failed(format!("cannot {what}: {why}; is Pacemaker running on this node?"))
        }
        Error::NotInstalled(why) => {
            Error::NotInstalled(format!("cannot {what}: {why}; it comes with Pacemaker"))
        }
        other => other,
    }
}
