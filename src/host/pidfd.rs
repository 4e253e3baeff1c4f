//! Signals to one process and to no other (`pidfd_open(2)`).
//!
//! nix has no such calls; rustix has them without `unsafe`.

#![forbid(unsafe_code)]

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};

use super::process::{Identity, Process};
use crate::error::{Doing, Error, Result};
use crate::trace_ask;

/// A process that cannot become another one.
#[derive(Debug)]
pub struct Handle {
    descriptor: OwnedFd,
    /// Which one it is.
    pub identity: Identity,
}

impl Handle {
    /// The process of that identity; none if it is gone.
    ///
    /// The number may have been used again before it was opened. So the start time is looked at afterwards: what the
    /// descriptor means cannot change any more, and while it lives its number is its own.
    ///
    /// # Errors
    /// The kernel refused. Linux knows these descriptors since 5.3.
    pub fn open(identity: Identity) -> Result<Option<Self>> {
        if identity.pid <= 1 || identity.pid == std::process::id().cast_signed() {
            return Err(Error::Failed(format!("process {} is never signalled", identity.pid)));
        }
        let Some(pid) = Pid::from_raw(identity.pid) else { return Ok(None) };
        let descriptor = match pidfd_open(pid, PidfdFlags::empty()) {
            // The number belongs to nobody, or to a thread.
            Err(rustix::io::Errno::SRCH | rustix::io::Errno::INVAL) => return Ok(None),
            other => other.doing(|| format!("open process {}", identity.pid))?,
        };
        let same = Process::find(identity)?.is_some_and(|process| !process.is_kernel);
        Ok(same.then_some(Self { descriptor, identity }))
    }

    /// Whoever has that number now, and what it is; none if nobody has. What is seen of the number from here on is proven of that process
    /// if a signal reaches it: until then it had the number all the time.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub fn of_number(pid: i32) -> Result<Option<(Self, Process)>> {
        let Some(raw) = Pid::from_raw(pid).filter(|_| pid > 1) else { return Ok(None) };
        let descriptor = match pidfd_open(raw, PidfdFlags::empty()) {
            Err(rustix::io::Errno::SRCH | rustix::io::Errno::INVAL) => return Ok(None),
            other => other.doing(|| format!("open process {pid}"))?,
        };
        let process = Process::look(pid)?.filter(|process| !process.is_kernel);
        Ok(process.map(|process| (Self { descriptor, identity: process.identity }, process)))
    }

    /// Sends a signal. A process that ended meanwhile does not mind.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        trace_ask!("send {signal} to process {}", self.identity.pid);
        let Some(raw) = rustix::process::Signal::from_named_raw(signal as i32) else {
            return Err(Error::Failed(format!("{signal} is no signal here")));
        };
        match pidfd_send_signal(&self.descriptor, raw) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => {
                Err(error).doing(|| format!("send {signal} to process {}", self.identity.pid))
            }
        }
    }

    /// Whether it has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        wait_for_all(std::slice::from_ref(self), Duration::ZERO)
    }
}

impl AsFd for Handle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Most that are waited for at once: a service may have more processes than we may have descriptors.
pub const MOST_WAITED: usize = 64;

/// Stops whoever could make new processes faster than they are killed: a stopped process forks no more. `look` says who
/// is there; comes back with all that are there in the end, or at `until`.
///
/// # Errors
/// The kernel refused, or `look` failed.
pub fn freeze(
    mut found: Vec<Process>,
    until: Instant,
    mut look: impl FnMut() -> Result<Vec<Process>>,
) -> Result<Vec<Process>> {
    const ROUNDS: usize = 50;
    for _ in 0..ROUNDS {
        let running: Vec<&Process> = found.iter().filter(|process| !process.is_stopped()).collect();
        if running.is_empty() || Instant::now() >= until {
            break;
        }
        for process in &running {
            if let Some(handle) = Handle::open(process.identity)? {
                handle.signal(Signal::SIGSTOP)?;
            }
        }
        let before: Vec<_> = found.iter().map(|process| process.identity).collect();
        found = look()?;
        if found.iter().all(|process| before.contains(&process.identity)) {
            break;
        }
    }
    Ok(found)
}

/// Sends SIGKILL to each of them; some of them, to wait for.
///
/// # Errors
/// The kernel refused.
pub fn kill_all(processes: &[Process]) -> Result<Vec<Handle>> {
    let mut handles = Vec::new();
    for process in processes {
        let Some(handle) = Handle::open(process.identity)? else { continue };
        handle.signal(Signal::SIGKILL)?;
        if handles.len() < MOST_WAITED {
            handles.push(handle);
        }
    }
    Ok(handles)
}

/// Waits until all of them have ended; whether they did.
#[must_use]
pub fn wait_for_all(handles: &[Handle], at_most: Duration) -> bool {
    let end = Instant::now() + at_most;
    handles.iter().all(|handle| wait_until(&handle.descriptor, end))
}

/// A descriptor of a child, which nobody but this process takes notice of, so that its number is its own until then. None where the
/// kernel has no such descriptors.
pub(super) fn of_child(child: &std::process::Child) -> Option<OwnedFd> {
    pidfd_open(Pid::from_child(child), PidfdFlags::empty()).ok()
}

/// A descriptor of a process becomes readable when it ends, also before its parent takes notice.
pub(super) fn wait_until(process: &OwnedFd, end: Instant) -> bool {
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let milliseconds = u16::try_from(left.as_micros().div_ceil(1000)).unwrap_or(u16::MAX);
        let mut waited = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
        match poll(&mut waited, PollTimeout::from(milliseconds)) {
            Ok(0) if left.is_zero() => return false,
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return true,
            Err(_) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_signal_reaches_the_one_and_its_end_is_seen() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process::look(child.id().cast_signed()).unwrap().unwrap();
        let handle = Handle::open(process.identity).unwrap().unwrap();
        assert!(!handle.has_ended());
        handle.signal(Signal::SIGTERM).unwrap();
        assert!(wait_for_all(std::slice::from_ref(&handle), Duration::from_secs(10)));
        child.wait().unwrap();
        handle.signal(Signal::SIGTERM).unwrap();
        assert!(Handle::open(process.identity).unwrap().is_none());
    }

    #[test]
    fn whoever_has_the_number_later_is_somebody_else() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let mut identity = Process::look(child.id().cast_signed()).unwrap().unwrap().identity;
        identity.start -= 1;
        assert!(Handle::open(identity).unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn the_first_process_and_this_one_are_never_signalled() {
        let own = Process::own().unwrap().identity;
        let first = Process::look(1).unwrap().unwrap().identity;
        for identity in [own, first] {
            Handle::open(identity).unwrap_err();
        }
    }
}
