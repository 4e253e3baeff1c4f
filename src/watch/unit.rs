//! A failure told to systemd: the unit that has the resource ends with failure.
//!
//! `INVOCATION_ID` alone proves nothing. It is in the environment of whatever a unit's processes start: cron's jobs, a user's
//! session, a script that starts a resource in passing. To kill the main process of such a unit would be to kill a stranger. A
//! unit has the resource if the resource's name and parameters are written in it as `Environment=`: so the units of drbd-reactor, and so
//! a unit that somebody wrote for the resource. What a daemon or a shell sets for what it starts is not in there.

#![forbid(unsafe_code)]

use std::ffi::OsString;

use nix::sys::signal::Signal;

use super::manager::{LONGEST_REPORT, Told};
use crate::deadline::Deadline;
use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::host::pidfd::Handle;
use crate::host::systemd::{Systemd, Trouble};

/// Ends the unit that called the action which left the watcher behind, so that it has failed: by SIGKILL for its main
/// process, since a wrapper that is asked to end does so with success. `Restart=` and `OnFailure=` decide, and
/// `ExecStopPost=` stops the resource. A unit that is not the resource's own is left alone.
///
/// # Errors
/// systemd does not answer.
pub fn fail(invocation: &str, environment: &Environment) -> Result<Told> {
    let deadline = Deadline::after(LONGEST_REPORT);
    let failed = |trouble: &Trouble| trouble.error("end the unit of the resource");
    let systemd = Systemd::connect(deadline.left()).map_err(|trouble| failed(&trouble))?;
    let ask = || systemd.invoked(invocation, deadline.left());
    let unit = match ask() {
        Ok(found) => found,
        Err(Trouble::Refused(..)) => {
            return Ok(nobody("the unit that started it has ended, or is a session or a user's"));
        }
        Err(trouble) => return Err(failed(&trouble)),
    };
    let id = &unit.id;
    if let Some(lacking) = lacks(&unit.environment, environment) {
        return Ok(nobody(&format!(
            "unit {id}, which started it, may be there for something else, since there is no {lacking} of this resource in it"
        )));
    }
    let Some((handle, _)) = Handle::of_number(unit.main)? else {
        return Ok(nobody(&format!("unit {id} has no main process that could fail")));
    };
    // The number may have been another one's by the time that the process was looked at.
    if ask().is_ok_and(|now| now == unit) {
        handle.signal(Signal::SIGKILL)?;
        return Ok(Told::Yes);
    }
    Err(Error::Failed(format!("cannot end unit {id}: it changed meanwhile")))
}

fn nobody(why: &str) -> Told {
    const MENDS: &str = "to be restarted by systemd the resource needs a unit of its own, with OCF_RESOURCE_INSTANCE \
                         and its parameters in Environment=, or with `ocfbox watch` as its ExecStart";
    Told::Nobody(format!("{why}; {MENDS}"))
}

/// The first variable of the resource that is not written in a unit, or has another value there.
fn lacks(unit: &[String], environment: &Environment) -> Option<String> {
    let is_there = |(name, value): &(String, OsString)| {
        let found = unit.iter().rev().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        found.is_some_and(|found| value == found)
    };
    of_resource(environment).into_iter().find(|variable| !is_there(variable)).map(|(name, _)| name)
}

/// What tells the resource from all others: its name and its parameters, but not how it is watched. What the manager adds to one
/// action and not to another one is left out. Never nothing at all, which any unit would have.
fn of_resource(environment: &Environment) -> Vec<(String, OsString)> {
    let parameters = environment.parameters().filter(|name| !name.starts_with("watch"));
    let mut names: Vec<String> = parameters.map(|name| format!("OCF_RESKEY_{name}")).collect();
    names.insert(0, "OCF_RESOURCE_INSTANCE".to_owned());
    let given = |name: String| Some((environment.get(&name)?.to_owned(), name));
    let mut found: Vec<_> =
        names.into_iter().filter_map(given).map(|(value, name)| (name, value)).collect();
    if found.is_empty() {
        found.push(("OCF_RESOURCE_INSTANCE".to_owned(), OsString::from("default")));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        let mut environment = Environment::default();
        for (name, value) in [
            ("OCF_RESOURCE_INSTANCE", "vip"),
            ("OCF_RESKEY_ip", "192.0.2.10"),
            ("OCF_RESKEY_nic", ""),
            ("OCF_RESKEY_watch", "yes"),
            ("OCF_RESKEY_CRM_meta_timeout", "20000"),
            ("INVOCATION_ID", "0123"),
        ] {
            environment.set(name, value);
        }
        environment
    }

    fn lacking(lines: &[&str], environment: &Environment) -> Option<String> {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        lacks(&lines, environment)
    }

    #[test]
    fn a_unit_of_the_resource_has_its_name_and_parameters() {
        let (instance, ip) = ("OCF_RESOURCE_INSTANCE=vip", "OCF_RESKEY_ip=192.0.2.10");
        let all = environment();
        assert_eq!(lacking(&["OCF_ROOT=/usr/lib/ocf", instance, ip], &all), None);
        assert_eq!(lacking(&[ip], &all).as_deref(), Some("OCF_RESOURCE_INSTANCE"));
        for other in [
            "",
            "OCF_RESKEY_ip=192.0.2.1",
            "OCF_RESKEY_ip=192.0.2.100",
            "OCF_RESKEY_ip6=192.0.2.10",
        ] {
            assert_eq!(lacking(&[instance, other], &all).as_deref(), Some("OCF_RESKEY_ip"));
        }
        let another = ["OCF_RESOURCE_INSTANCE=vip2", ip];
        assert_eq!(lacking(&another, &all).as_deref(), Some("OCF_RESOURCE_INSTANCE"));
        // The last one is what systemd sets.
        let twice = [instance, ip, "OCF_RESKEY_ip=192.0.2.1"];
        assert_eq!(lacking(&twice, &all).as_deref(), Some("OCF_RESKEY_ip"));
    }

    #[test]
    fn without_name_and_parameters_no_unit_is_of_the_resource() {
        let none = Environment::default();
        assert!(lacking(&["PATH=/usr/bin", "INVOCATION_ID=0123"], &none).is_some());
    }
}
