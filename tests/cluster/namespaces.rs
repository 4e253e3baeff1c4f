//! Programs started in namespaces of their own: all that a test changes is gone when its first process ends.

use std::env;
use std::ffi::OsStr;
use std::process::{Child, Command, Stdio};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal};

use crate::{Outcome, says};

/// Starts this program again, in `role`, as process 1 of new namespaces of every kind but user and cgroup.
///
/// The caller itself moves into the new namespaces (except the one of processes), so it must be a
/// process that does nothing else.
pub fn become_parent_of(role: &str, arguments: &[String]) -> Outcome<Child> {
    let all = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC;
    unshare(all)
        .map_err(says("cannot make namespaces (a container needs --privileged for this)"))?;
    itself(role).args(arguments).spawn().map_err(says("cannot start this program again"))
}

/// This program in another role.
pub fn itself(role: &str) -> Command {
    let mut command = Command::new(env::current_exe().expect("/proc/self/exe can be read"));
    command.arg(role).stdin(Stdio::null());
    command
}

/// What process 1 of a namespace does first: it dies with its parent, takes signals again, and keeps mounts private.
pub fn settle_in() -> Outcome<()> {
    set_pdeathsig(Signal::SIGKILL).map_err(says("prctl"))?;
    SigSet::all().thread_unblock().map_err(says("sigprocmask"))?;
    let nothing: Option<&str> = None;
    mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing)
        .map_err(says("make mounts private"))?;
    mount_new("proc", "/proc")?;
    mount_new("sysfs", "/sys")
}

/// An empty file system of that type at `target`.
pub fn mount_new(kind: &str, target: &str) -> Outcome<()> {
    let nothing: Option<&str> = None;
    mount(Some(kind), target, Some(kind), MsFlags::empty(), nothing)
        .map_err(says(format!("mount {kind} at {target}")))
}

/// Runs a command to its end; its standard output, or what it complained of.
pub fn run(command: &mut Command) -> Outcome<String> {
    let output =
        command.stdin(Stdio::null()).output().map_err(says(format!("cannot start {command:?}")))?;
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(words);
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let said = [words.trim(), complaint.trim()].join(" ");
    Err(format!("`{}` ended with {}: {}", wording(command), output.status, said.trim()))
}

/// The command as a reader knows it, without the way into a machine.
fn wording(command: &Command) -> String {
    let program = command.get_program();
    let words: Vec<_> =
        [program].into_iter().chain(command.get_args()).map(OsStr::to_string_lossy).collect();
    let own = words.iter().position(|word| word == "--").map_or(0, |position| position + 1);
    words[own..].join(" ")
}
