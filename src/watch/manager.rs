//! Whom a watcher tells of a failure, and how.

#![forbid(unsafe_code)]

use std::time::Duration;

use nix::sys::signal::Signal;

use super::WATCHER;
use crate::deadline::Deadline;
use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::host::pidfd::Handle;
use crate::host::process::Process;
use crate::host::program;
use crate::host::systemd::{Systemd, Trouble};

/// The variable in which an action that Heartbeat calls says so to the watcher that it leaves.
pub const CALLER: &str = "OCFBOX_CALLER";

/// The value of [`CALLER`] for Heartbeat's ResourceManager.
pub const HARESOURCES: &str = "haresources";

/// How long a manager may take to hear of a failure.
const LONGEST_REPORT: Duration = Duration::from_secs(10);

/// Who decides what becomes of a failed resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manager {
    /// Pacemaker: it is told of a failure, and its policy decides.
    Pacemaker {
        /// The resource by its name there.
        resource: String,
        /// This node by its name there.
        node: Option<String>,
    },
    /// Heartbeat with haresources, which has no monitors and no policy: restarts, then standby.
    Haresources,
    /// A systemd unit, also one of drbd-reactor, which ends with failure and so does what is written in it.
    Unit {
        /// The number of its start.
        invocation: String,
    },
    /// A person.
    Nobody,
}

impl Manager {
    /// The one that called the action which left the watcher behind, by what it set in the environment.
    #[must_use]
    pub fn of(environment: &Environment, instance: &str) -> Self {
        // What Pacemaker adds to the parameters of every action. It is a unit itself, and Heartbeat may be one.
        if environment.get("OCF_RESKEY_crm_feature_set").is_some() {
            let node = environment.meta("on_node").map(str::to_owned);
            return Self::Pacemaker { resource: name_in_history(environment, instance), node };
        }
        if is_haresources(environment) {
            return Self::Haresources;
        }
        // systemd.exec(5): set for all processes of a unit.
        if let Some(invocation) = environment.text("INVOCATION_ID") {
            return Self::Unit { invocation: invocation.to_owned() };
        }
        Self::Nobody
    }

    /// In the words of a log.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pacemaker { .. } => "Pacemaker",
            Self::Haresources => "Heartbeat",
            Self::Unit { .. } => "systemd",
            Self::Nobody => "nobody but this log",
        }
    }
}

/// Whether Heartbeat's ResourceManager called, and so nobody looks at the resource by himself.
#[must_use]
pub fn is_haresources(environment: &Environment) -> bool {
    environment.text(CALLER) == Some(HARESOURCES)
}

/// Tells Pacemaker that the resource has failed here (`crm_resource(8)`, `--fail`), and sees to it that one failure is
/// counted once.
///
/// # Errors
/// It is not there, or did not take it.
pub fn fail_in_pacemaker(
    environment: &Environment,
    resource: &str,
    node: Option<&str>,
) -> Result<()> {
    let deadline = Deadline::after(LONGEST_REPORT);
    let at = node.map_or_else(Vec::new, |node| vec!["--node", node]);
    let run = |program: &str, arguments: &[&str]| {
        let arguments = [arguments, at.as_slice()].concat();
        program::run_with_stdin(environment, program, &arguments, &deadline)
    };
    let count = format!("fail-count-{resource}#asyncmon_0");
    let count = |change: &str| run("attrd_updater", &["--name", &count, "--update", change]);
    // Before and not afterwards: no moment may show more failures than there were, and reach a migration-threshold.
    let lent = counts_twice(environment) && count("value+=-1").is_ok();
    let told = run("crm_resource", &["--fail", "--resource", resource]);
    if told.is_err() && lent {
        let _ = count("value+=1");
    }
    told
}

/// Whether Pacemaker counts a failure twice that it is told of.
///
/// It writes such a failure into two places of its history, as the last action and as the last failure, and up to 2.1.5
/// counts both: only for actions of its own transitions it takes the second one for what it is. 3.16 is what 2.1.5 speaks;
/// later ones know better, and of earlier ones nobody has shown it.
fn counts_twice(environment: &Environment) -> bool {
    environment.text("OCF_RESKEY_crm_feature_set").is_some_and(|set| set.starts_with("3.16."))
}

/// The resource as Pacemaker's history calls it: an instance of a clone by the clone's name, unless instances differ.
fn name_in_history(environment: &Environment, instance: &str) -> String {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match instance.rsplit_once(':') {
        Some((name, number))
            if is_number(number) && environment.meta("globally_unique") != Some("true") =>
        {
            name.to_owned()
        }
        _ => instance.to_owned(),
    }
}

/// Ends the systemd unit that called the action which left the watcher behind, so that it has failed: by SIGKILL for its main
/// process, since a wrapper that is asked to end does so with success. `Restart=` and `OnFailure=` decide, and
/// `ExecStopPost=` stops the resource.
///
/// # Errors
/// systemd does not answer, or the unit has no main process that could fail.
pub fn fail_unit(invocation: &str) -> Result<()> {
    let deadline = Deadline::after(LONGEST_REPORT);
    let failed = |trouble: Trouble| trouble.error("end the unit of the resource");
    let systemd = Systemd::connect(deadline.left()).map_err(failed)?;
    let ask = || systemd.invoked(invocation, deadline.left()).map_err(failed);
    let (unit, main) = ask()?;
    let process = Process::look(main)?.filter(|_| main > 0);
    let handle = process.map_or(Ok(None), |process| Handle::open(process.identity))?;
    // The number may have been another one's by the time that the process was looked at.
    if let Some(handle) = handle.filter(|_| ask().is_ok_and(|now| now == (unit.clone(), main))) {
        return handle.signal(Signal::SIGKILL);
    }
    Err(Error::Failed(format!(
        "unit {unit} has no main process that could fail; let `ocfbox watch` be its ExecStart"
    )))
}

/// The environment of an action that a watcher runs on its own resource.
#[must_use]
pub fn of_own_action(environment: &Environment) -> Environment {
    let mut own = environment.clone();
    own.set(WATCHER, std::process::id().to_string());
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager(variables: &[(&str, &str)]) -> Manager {
        let mut environment = Environment::default();
        for (name, value) in variables {
            environment.set(*name, *value);
        }
        Manager::of(&environment, "vip")
    }

    #[test]
    fn a_manager_is_known_by_what_it_sets() {
        let pacemaker = ("OCF_RESKEY_crm_feature_set", "3.16.2");
        let unit = ("INVOCATION_ID", "0123");
        let node = ("OCF_RESKEY_CRM_meta_on_node", "node1");
        let known = |node: Option<&str>| Manager::Pacemaker {
            resource: "vip".to_owned(),
            node: node.map(str::to_owned),
        };
        assert_eq!(manager(&[]), Manager::Nobody);
        assert_eq!(manager(&[unit]), Manager::Unit { invocation: "0123".to_owned() });
        assert_eq!(manager(&[(CALLER, HARESOURCES), unit]), Manager::Haresources);
        assert_eq!(manager(&[pacemaker, unit]), known(None));
        assert_eq!(manager(&[pacemaker, node]), known(Some("node1")));
    }

    #[test]
    fn an_instance_of_a_clone_has_the_name_of_the_clone() {
        let mut environment = Environment::default();
        for (instance, name) in [("a", "a"), ("a:0", "a"), ("a:b", "a:b"), ("a:", "a:")] {
            assert_eq!(name_in_history(&environment, instance), name);
        }
        environment.set("OCF_RESKEY_CRM_meta_globally_unique", "true");
        assert_eq!(name_in_history(&environment, "a:0"), "a:0");
    }

    #[test]
    fn only_the_versions_that_are_known_to_count_twice_are_corrected() {
        let mut environment = Environment::default();
        for (set, twice) in
            [("3.16.2", true), ("3.16.1", true), ("3.17.4", false), ("3.2.0", false)]
        {
            environment.set("OCF_RESKEY_crm_feature_set", set);
            assert_eq!(counts_twice(&environment), twice, "{set}");
        }
    }
}
