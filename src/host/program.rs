//! Other programs, with a deadline and without a shell.

#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::io;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::{AccessFlags, Pid, access};

use crate::deadline::Deadline;
use crate::environment::Environment;
use crate::error::{Doing, Error, Result};
use crate::state::Lock;
use crate::{trace_answer, trace_ask};

/// Runs a program to its end, or to the deadline: then it and what it started are killed.
///
/// # Errors
/// It is not installed, did not end in time, or did not succeed.
pub fn run(
    environment: &Environment,
    name: &str,
    arguments: &[&str],
    deadline: &Deadline,
) -> Result<()> {
    run_under(environment, name, arguments, None, deadline)
}

/// The same for a program that must not outlast `lock`: if this process is killed, the lock lasts until the program
/// ends, so that whoever has it next comes after the program too.
///
/// # Errors
/// As for [`run`].
pub fn run_under(
    environment: &Environment,
    name: &str,
    arguments: &[&str],
    lock: Option<&Lock>,
    deadline: &Deadline,
) -> Result<()> {
    let what = format!("{name} {}", arguments.join(" "));
    if is_hidden(environment) {
        return Err(missing(name));
    }
    trace_ask!("run {what}");
    let left = deadline.to_wait_for(&what)?;
    // A descriptor that a program gets without being told of it: an empty file to whoever reads it.
    let stdin = match lock {
        Some(lock) => lock.share().map(Stdio::from).doing(|| "share a lock")?,
        None => Stdio::null(),
    };
    let spawned = Command::new(name)
        .args(arguments.iter().map(OsStr::new))
        .stdin(stdin)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir("/")
        .env("PATH", search_path())
        .spawn_in_group();
    let mut child = match spawned {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing(name)),
        other => other.doing(|| format!("run {what}"))?,
    };
    let status = wait(&mut child, left).doing(|| format!("wait for {what}"))?;
    match status {
        Some(status) if status.success() => {
            trace_answer!("{what}: done");
            Ok(())
        }
        Some(status) => Err(Error::Failed(format!("{what} failed: {status}"))),
        None => Err(deadline.missed(&what)),
    }
}

/// Looks whether a program is on the path, without running it.
///
/// # Errors
/// It is not installed.
pub fn require(environment: &Environment, name: &str) -> Result<()> {
    let path = search_path();
    let mut places = std::env::split_paths(&path).map(|directory| directory.join(name));
    let found = !is_hidden(environment)
        && places.any(|file| file.is_file() && access(&file, AccessFlags::X_OK).is_ok());
    if found { Ok(()) } else { Err(missing(name)) }
}

/// ocf-tester plays a host without any program (`have_binary` of the shell agents).
fn is_hidden(environment: &Environment) -> bool {
    environment.is_true("OCF_TESTER_FAIL_HAVE_BINARY")
}

trait InGroup {
    fn spawn_in_group(&mut self) -> io::Result<std::process::Child>;
}

impl InGroup for Command {
    /// A group of its own, so that all of it can be ended.
    fn spawn_in_group(&mut self) -> io::Result<std::process::Child> {
        use std::os::unix::process::CommandExt;
        self.process_group(0).spawn()
    }
}

fn missing(name: &str) -> Error {
    Error::NotInstalled(format!("the program {name} is not installed, or not on the path"))
}

/// The caller's path first, then where system programs are, as the shell agents have it.
fn search_path() -> std::ffi::OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(if path.is_empty() { "" } else { ":" });
    path.push("/usr/sbin:/usr/bin:/sbin:/bin");
    path
}

/// The child's end; none when time was over, and then it is dead too.
fn wait(child: &mut std::process::Child, left: Duration) -> io::Result<Option<ExitStatus>> {
    let begin = std::time::Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if begin.elapsed() >= left {
            // Not reaped yet, so the number is still that of our child and of its group.
            if let Ok(pid) = i32::try_from(child.id()) {
                let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
            }
            let _ = child.wait();
            return Ok(None);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_hangs_is_ended_and_named() {
        let deadline = Deadline::after(Duration::from_millis(100));
        let reason =
            run(&Environment::default(), "sleep", &["60"], &deadline).unwrap_err().reason();
        assert!(reason.contains("sleep 60"), "{reason}");
    }

    #[test]
    fn a_program_that_is_missing_or_fails_is_named() {
        let deadline = Deadline::after(Duration::from_secs(5));
        let environment = Environment::default();
        let missing = run(&environment, "no-such-program", &[], &deadline).unwrap_err();
        assert_eq!(missing.code().number(), 5);
        let failed = run(&environment, "false", &[], &deadline).unwrap_err();
        assert_eq!(failed.code().number(), 1);
        run(&environment, "true", &[], &deadline).unwrap();
    }

    #[test]
    fn a_lock_lasts_as_long_as_a_program_that_shares_it() {
        let directory = tempfile::tempdir().unwrap();
        let state = crate::state::StateDirectory::new(directory.path().to_owned());
        let long = Deadline::after(Duration::from_secs(30));
        let soon = Deadline::after(Duration::from_millis(50));
        let lock = state.lock("x", &long).unwrap().unwrap();
        // Its starter is gone, as after a kill: nobody unlocks, the kernel only closes descriptors.
        let mut orphan =
            Command::new("sleep").arg("60").stdin(lock.share().unwrap()).spawn().unwrap();
        std::mem::forget(lock);
        state.lock("x", &soon).unwrap_err();
        orphan.kill().unwrap();
        orphan.wait().unwrap();
    }

    #[test]
    fn ocf_tester_can_hide_all_programs() {
        let mut environment = Environment::default();
        environment.set("OCF_TESTER_FAIL_HAVE_BINARY", "1");
        let error =
            run(&environment, "true", &[], &Deadline::after(Duration::from_secs(5))).unwrap_err();
        assert_eq!(error.code().number(), 5);
        assert_eq!(require(&environment, "true").unwrap_err().code().number(), 5);
    }

    #[test]
    fn a_program_is_found_without_running_it() {
        let environment = Environment::default();
        require(&environment, "false").unwrap();
        require(&environment, "no-such-program").unwrap_err();
        require(&environment, "../../etc/passwd").unwrap_err();
    }
}
