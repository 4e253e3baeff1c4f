//! Processes that an action leaves behind, for work that nobody has to wait for.

#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Starts this binary with other `words`, and does not wait for it. It has nothing of the caller's but `stdin`
/// and the variables that say where messages go and where programs are.
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
        .envs(std::env::vars_os().filter(|(name, _)| is_kept(name)))
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
