//! Whom a watcher tells of a failure, and how.

#![forbid(unsafe_code)]

use std::time::Duration;

use super::WATCHER;
use crate::deadline::Deadline;
use crate::environment::Environment;
use crate::error::Result;
use crate::host::program;

/// The variable in which an action that Heartbeat calls says so to the watcher that it leaves.
pub const CALLER: &str = "OCFBOX_CALLER";

/// The value of [`CALLER`] for Heartbeat's ResourceManager.
pub const HARESOURCES: &str = "haresources";

/// How long a manager may take to hear of a failure.
pub(super) const LONGEST_REPORT: Duration = Duration::from_secs(10);

/// What came of telling a manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// It knows.
    Yes,
    /// A monitor, which saw the same, tells it.
    Monitor,
    /// There is none that could be told, and there will be none for this failure: why, and what mends it.
    Nobody(String),
}

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

/// Has Heartbeat give everything that this node has to the other one.
///
/// # Errors
/// It is not there, or did not take it.
pub fn stand_by(environment: &Environment) -> Result<()> {
    let deadline = Deadline::after(LONGEST_REPORT);
    let places = ["/usr/share/heartbeat/hb_standby", "/usr/lib/heartbeat/hb_standby"];
    let place = places.into_iter().find(|place| std::path::Path::new(place).exists());
    program::run_with_stdin(environment, place.unwrap_or("hb_standby"), &["all"], &deadline)
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
}
