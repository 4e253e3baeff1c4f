//! Processes that an action leaves behind, for work that nobody has to wait for.

#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use super::pidfd;
use crate::log::Log;

/// Starts this binary with other `words`, and does not wait for it. It has nothing of the caller's but `stdin`
/// and the variables that say where messages go and where programs are.
///
/// What it runs has to begin with [`settle`].
///
/// # Errors
/// There can be no new process.
pub fn leave_behind(words: &[OsString], stdin: Stdio) -> io::Result<()> {
    command(words, stdin).spawn().map(drop)
}

/// The same for work that tells of its fate in the caller's name, and for which the caller may wait a little.
///
/// # Errors
/// There can be no new process.
pub fn leave_behind_with_log(
    words: &[OsString],
    log: &Log<'_>,
    stdin: Stdio,
) -> io::Result<Worker> {
    command(words, stdin).env("HA_LOGTAG", log.tag()).spawn().map(Worker)
}

/// Starts this binary as the watcher of a resource, with the variables of the resource: its parameters, and what those
/// programs need that it tells of a failure.
///
/// # Errors
/// There can be no new process.
pub fn leave_watching(
    words: &[OsString],
    variables: &[(OsString, OsString)],
    stdin: Stdio,
) -> io::Result<()> {
    let mut command = command(words, stdin);
    let of_resource = |name: &OsStr| {
        let prefixes: [&[u8]; 4] = [b"OCF_", b"OCFBOX_", b"PCMK_", b"INVOCATION_ID"];
        prefixes.iter().any(|prefix| name.as_encoded_bytes().starts_with(prefix)) || is_kept(name)
    };
    command.env_clear();
    let given = variables.iter().filter(|(name, _)| of_resource(name));
    command.envs(given.map(|(name, value)| (name, value)));
    command.spawn().map(drop)
}

/// Has this binary perform an action of an agent; whether it succeeded. The action has its own deadline.
#[must_use]
pub fn run_agent(agent: &str, action: &str, variables: &[(OsString, OsString)]) -> bool {
    let mut command = Command::new("/proc/self/exe");
    command.arg0(agent).arg(action).current_dir("/").env_clear();
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::inherit()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Starts this binary with other `words` for work that this action waits for, but perhaps not to its end.
///
/// # Errors
/// There can be no new process.
pub fn start(words: &[OsString], stdin: Stdio) -> io::Result<Worker> {
    command(words, stdin).spawn().map(Worker)
}

/// The same, for work that writes what it came to onto its stdout, and its messages in the caller's name.
///
/// # Errors
/// There can be no new process.
pub fn start_told(
    words: &[OsString],
    log: &Log<'_>,
    stdin: Stdio,
) -> io::Result<(Worker, Option<ChildStdout>)> {
    let mut command = command(words, stdin);
    let mut child = command.env("HA_LOGTAG", log.tag()).stdout(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take();
    Ok((Worker(child), stdout))
}

fn command(words: &[OsString], stdin: Stdio) -> Command {
    // The inode that runs now, even if the file was replaced by an upgrade meanwhile.
    let mut command = Command::new("/proc/self/exe");
    command.arg0("ocfbox").args(words).current_dir("/");
    command.env_clear().envs(std::env::vars_os().filter(|(name, _)| is_kept(name)));
    command.stdin(stdin).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// A process that was left behind.
#[derive(Debug)]
pub struct Worker(Child);

impl Worker {
    /// Its number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Ends it, unless it hangs in the kernel: then it ends as soon as that is over.
    pub fn kill(&mut self) {
        // It was not waited for, so that the number is its own still.
        let _ = self.0.kill();
    }

    /// Waits for its end, but not longer than `at_most`; whether it ended. It goes on otherwise.
    pub fn ended_within(&mut self, at_most: Duration) -> bool {
        self.code_within(at_most).is_some()
    }

    /// The same; how it ended: its exit code, or nothing of that if it was killed.
    pub fn code_within(&mut self, at_most: Duration) -> Option<Option<i32>> {
        let end = Instant::now() + at_most;
        let told = pidfd::of_child(&self.0);
        let mut pause = Duration::from_micros(500);
        loop {
            match self.0.try_wait() {
                Ok(None) => {}
                Ok(Some(status)) => return Some(status.code()),
                Err(_) => return Some(None),
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            if let Some(told) = &told {
                let _ = pidfd::wait_until(told, end);
                continue;
            }
            std::thread::sleep(pause.min(left));
            pause = (pause * 2).min(Duration::from_millis(10));
        }
    }
}

/// Leaves the caller's process group, and closes what a caller left open by mistake, for whom it would stay open as
/// long as this process runs.
pub fn settle() {
    settle_but(-1);
}

/// The same, but keeps one descriptor.
pub fn settle_but(kept: i32) {
    // It is called by the file that it executes else, which is `exe`.
    let _ = nix::sys::prctl::set_name(c"ocfbox");
    // Whoever ends the process group of the action that started us does not mean us; a leader of its own group
    // already is out of it.
    let _ = nix::unistd::setsid();
    let numbers: Vec<i32> = std::fs::read_dir("/proc/self/fd")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    for number in numbers.into_iter().filter(|number| *number > 2 && *number != kept) {
        let _ = nix::unistd::close(number);
    }
}

/// The last line of defence against a process that never ends: the kernel ends this one after that time.
pub fn end_after(longest: Duration) {
    let seconds = u32::try_from(longest.as_secs()).unwrap_or(u32::MAX);
    nix::unistd::alarm::set(seconds.saturating_add(1));
}

/// What says where messages go, and where programs are.
fn is_kept(name: &OsStr) -> bool {
    let kept = ["PATH", "TZ", "OCF_TESTER_FAIL_HAVE_BINARY"];
    name.as_encoded_bytes().starts_with(b"HA_") || kept.iter().any(|kept| name == *kept)
}
