//! A failure told to systemd: the unit that has the resource ends with failure.
//!
//! `INVOCATION_ID` alone proves nothing. It is in the environment of whatever a unit's processes start: cron's jobs, a user's
//! session, a script that starts a resource in passing. To kill the main process of such a unit would be to kill a stranger. A
//! unit has the resource if its main process began with the resource's name and parameters in its environment, as `Environment=`
//! sets them: so the units of drbd-reactor, and so a unit that somebody wrote for the resource. What a daemon or a shell sets
//! later for a child is not in there (`proc_pid_environ(5)`).

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::manager::{LONGEST_REPORT, Told};
use crate::deadline::Deadline;
use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::host::pidfd::Handle;
use crate::host::process::{self, Process};
use crate::host::survey;
use crate::host::systemd::{Systemd, Trouble};

/// How long a process may take to show its environment: one that hangs in a page fault does not at all.
const LONGEST_QUESTION: Duration = Duration::from_secs(2);

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
    let (unit, main) = match ask() {
        Ok(found) => found,
        Err(Trouble::Refused(..)) => {
            return Ok(nobody("the unit that started it is there no more"));
        }
        Err(trouble) => return Err(failed(&trouble)),
    };
    let Some((handle, process)) = Handle::of_number(main)? else {
        return Ok(nobody(&format!("unit {unit} has no main process that could fail")));
    };
    if let Some(without) = lacks(environment, &process)? {
        return Ok(nobody(&format!(
            "unit {unit} is left alone, since its main process {main} ({}) began without {without} and may be anybody's",
            process.name
        )));
    }
    // The number may have been another one's by the time that the process was looked at.
    if ask().is_ok_and(|now| now == (unit, main)) {
        handle.signal(Signal::SIGKILL)?;
        return Ok(Told::Yes);
    }
    Err(Error::Failed("cannot end the unit of the resource: it changed meanwhile".to_owned()))
}

fn nobody(why: &str) -> Told {
    const MENDS: &str = "to be restarted by systemd the resource needs a unit of its own, with OCF_RESOURCE_INSTANCE \
                         and its parameters in Environment=, or with `ocfbox watch` as its ExecStart";
    Told::Nobody(format!("{why}; {MENDS}"))
}

/// The first variable of the resource that a process began without, or with another value.
fn lacks(environment: &Environment, process: &Process) -> Result<Option<String>> {
    let expected = of_resource(environment);
    let identity = process.identity;
    let until = Instant::now() + LONGEST_QUESTION;
    let asked = survey::ask(vec![identity.pid], until, move |_| {
        let is_there = |(name, value): &&(String, OsString)| {
            process::variable(identity, name).is_some_and(|found| found == *value)
        };
        Some(expected.iter().find(|variable| !is_there(variable)).map(|(name, _)| name.clone()))
    });
    let answer = asked.answers.into_iter().next().map(|(_, lacking)| lacking);
    answer.ok_or_else(|| {
        Error::Failed(format!(
            "cannot end the unit of the resource: {process} does not show its environment"
        ))
    })
}

/// What tells the resource from all others: its name and its parameters, but not how it is watched. What the manager adds to one
/// action and not to another one is left out. Never nothing at all, which any process would have.
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
    use std::process::{Child, Command};

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

    /// What a process lacks that began with these variables.
    fn lacking(variables: &[(&str, &str)], environment: &Environment) -> Option<String> {
        let mut child: Child = Command::new("sleep")
            .arg("60")
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .envs(variables.iter().copied())
            .spawn()
            .unwrap();
        let process = Process::look(child.id().cast_signed()).unwrap().unwrap();
        let lacking = lacks(environment, &process);
        child.kill().unwrap();
        child.wait().unwrap();
        lacking.unwrap()
    }

    #[test]
    fn a_process_of_the_resource_began_with_its_name_and_parameters() {
        let (instance, ip) = (("OCF_RESOURCE_INSTANCE", "vip"), ("OCF_RESKEY_ip", "192.0.2.10"));
        let all = environment();
        assert_eq!(lacking(&[instance, ip], &all), None);
        assert_eq!(lacking(&[ip], &all).as_deref(), Some(instance.0));
        assert_eq!(lacking(&[instance], &all).as_deref(), Some(ip.0));
        let other = ("OCF_RESKEY_ip", "192.0.2.1");
        assert_eq!(lacking(&[instance, other], &all).as_deref(), Some(ip.0));
        let another = ("OCF_RESOURCE_INSTANCE", "vip2");
        assert_eq!(lacking(&[another, ip], &all).as_deref(), Some(instance.0));
    }

    #[test]
    fn without_name_and_parameters_nobody_is_of_the_resource() {
        let none = Environment::default();
        assert!(lacking(&[("INVOCATION_ID", "0123")], &none).is_some());
    }
}
