//! Processes that an action leaves behind, for work that nobody has to wait for.

#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// Starts this binary with other `words`, and does not wait for it. It has nothing of the caller's but `stdin`
/// and where messages go.
///
/// What it runs has to begin with [`settle`].
///
/// # Errors
/// There can be no new process.
pub fn leave_behind(words: &[OsString], stdin: Stdio) -> io::Result<()> {
    // The inode that runs now, even if the file was replaced by an upgrade meanwhile.
    Command::new("/proc/self/exe")
        .arg0("ocfbox")
        .args(words)
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| says_where_to_log(name)))
        .current_dir("/")
        .stdin(stdin)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map(drop)
}

/// Leaves the caller's process group, and closes what a caller left open by mistake, for whom it would stay open as
/// long as this process runs.
pub fn settle() {
    settle_but(-1);
}

/// The same, but keeps one descriptor.
pub fn settle_but(kept: i32) {
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

fn says_where_to_log(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b"HA_") || name == "TZ"
}
