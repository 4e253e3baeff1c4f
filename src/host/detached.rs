//! Processes that an action leaves behind, for work that nobody has to wait for.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::environment::Environment;
use crate::log::Log;

/// Starts this binary with other `words`, and does not wait for it. It has nothing of the caller's but `stdin`.
///
/// What it runs has to begin with [`settle`].
///
/// # Errors
/// There can be no new process.
pub fn leave_behind(words: &[String], stdin: Stdio) -> io::Result<()> {
    command(stdin).args(words).spawn().map(drop)
}

/// The same for work that may have to tell of its fate: it logs where the caller does and in its name, and finds programs
/// where the caller does.
///
/// # Errors
/// There can be no new process.
pub fn leave_behind_with_log(
    words: &[OsString],
    environment: &Environment,
    log: &Log<'_>,
    stdin: Stdio,
) -> io::Result<Worker> {
    let kept = environment.variables().iter().filter(|(name, _)| {
        let name = name.as_encoded_bytes();
        name.starts_with(b"HA_") || [b"PATH".as_slice(), b"TZ"].contains(&name)
    });
    let variables = kept.map(|(name, value)| (name, value));
    command(stdin).args(words).envs(variables).env("HA_LOGTAG", log.tag()).spawn().map(Worker)
}

fn command(stdin: Stdio) -> Command {
    // The inode that runs now, even if the file was replaced by an upgrade meanwhile.
    let mut command = Command::new("/proc/self/exe");
    command.arg0("ocfbox").env_clear().current_dir("/");
    command.stdin(stdin).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// A process that was left behind.
#[derive(Debug)]
pub struct Worker(Child);

impl Worker {
    /// Waits for its end, but not longer than `at_most`; whether it ended. It goes on otherwise.
    pub fn ended_within(&mut self, at_most: Duration) -> bool {
        let begin = Instant::now();
        let mut pause = Duration::from_micros(500);
        loop {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return true;
            }
            if begin.elapsed() >= at_most {
                return false;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(10));
        }
    }
}

/// Leaves the caller's process group, and closes what a caller left open by mistake, for whom it would stay open as
/// long as this process runs.
pub fn settle() {
    // Whoever ends the process group of the action that started us does not mean us; a leader of its own group
    // already is out of it.
    let _ = nix::unistd::setsid();
    let numbers: Vec<i32> = std::fs::read_dir("/proc/self/fd")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    for number in numbers.into_iter().filter(|number| *number > 2) {
        let _ = nix::unistd::close(number);
    }
}
