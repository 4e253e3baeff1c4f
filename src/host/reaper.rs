//! Orphans: processes whose parent ended, while an action is on.
//!
//! A daemon that forks and lets its parent end would be adopted by process 1, and with it would go the proof of where it
//! comes from. A subreaper (`PR_SET_CHILD_SUBREAPER(2const)`) adopts it instead, for as long as the action lasts.

#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::error::{Doing, Result};

/// While this lives, this process adopts the orphans of what it started.
#[derive(Debug)]
pub struct Reaper(());

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With an exit code.
    Code(i32),
    /// By a signal.
    Signal(&'static str),
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(name) => write!(f, "{name}"),
        }
    }
}

/// How long a child may take to die of SIGKILL before it is left to itself.
const DYING: Duration = Duration::from_millis(100);

/// How a child ended, if it did.
#[must_use]
pub fn ended(pid: i32) -> Option<End> {
    match waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG)) {
        Ok(WaitStatus::Exited(_, code)) => Some(End::Code(code)),
        Ok(WaitStatus::Signaled(_, signal, _)) => Some(End::Signal(signal.as_str())),
        // Somebody else took notice.
        Err(Errno::ECHILD) => Some(End::Code(0)),
        _ => None,
    }
}

/// Takes notice of the end of a child that was killed. One that hangs in the kernel, as on a server of files that does not
/// answer, dies when the kernel lets it go, and process 1 takes notice: nobody waits for that.
pub fn bury(pid: i32) {
    let end = Instant::now() + DYING;
    while ended(pid).is_none() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(1));
    }
}

impl Reaper {
    /// Begins to adopt.
    ///
    /// # Errors
    /// The kernel refused, as before Linux 3.4.
    pub fn begin() -> Result<Self> {
        set_child_subreaper(true).doing(|| "adopt orphans")?;
        Ok(Self(()))
    }

    /// Whether this process adopts now, so that its children are what it started and what that left.
    #[must_use]
    pub fn is_at_work() -> bool {
        nix::sys::prctl::get_child_subreaper().unwrap_or(false)
    }

    /// Takes notice of every child that has ended; their numbers are free from then on.
    #[must_use]
    pub fn reap(&self) -> Vec<(i32, End)> {
        let mut ended = Vec::new();
        loop {
            match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => ended.push((pid.as_raw(), End::Code(code))),
                Ok(WaitStatus::Signaled(pid, signal, _)) => {
                    ended.push((pid.as_raw(), End::Signal(signal.as_str())));
                }
                Ok(WaitStatus::StillAlive) => return ended,
                Ok(_) | Err(Errno::EINTR) => {}
                // There is no child.
                Err(_) => return ended,
            }
        }
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        let _ = set_child_subreaper(false);
    }
}
