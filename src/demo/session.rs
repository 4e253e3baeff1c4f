//! What the user called: starts the manager, waits for it, and ends it when somebody wants it ended.

#![forbid(unsafe_code)]

use std::io::Write;
use std::os::fd::AsFd;
use std::process::{Child, ExitCode, ExitStatus, Stdio};
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::part::Part;
use super::{LONGEST, namespace};
use crate::error::{Doing, Error, Result};

/// Shows a takeover, and leaves nothing behind.
///
/// # Errors
/// This kernel does not allow it, or it did not end.
pub fn run(colour: bool) -> Result<ExitCode> {
    namespace::next_child_is_init()?;
    let signals: SigSet = [Signal::SIGCHLD, Signal::SIGINT, Signal::SIGTERM].into_iter().collect();
    signals.thread_block().doing(|| "block signals")?;
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    let arrived = SignalFd::with_flags(&signals, flags).doing(|| "wait for signals")?;
    // The pipe tells the manager that we are there: it closes when this process ends, however that happens.
    let mut manager = Part::Manager(colour)
        .command()
        .stdin(Stdio::piped())
        .spawn()
        .doing(|| "start the manager of the demonstration")?;
    let ended = wait(&mut manager, &arrived);
    // Waits for the whole PID namespace: the kernel reports its PID 1 as dead when no other process is left.
    let _ = manager.kill();
    let _ = manager.wait();
    match ended? {
        End::Status(status) if status.success() => Ok(ExitCode::SUCCESS),
        // The manager has said why, unless it could not.
        End::Status(status) if status.code().is_some() => Ok(ExitCode::FAILURE),
        End::Status(status) => Err(Error::Failed(format!("the demonstration ended by {status}"))),
        End::Signal(signal) => die_of(signal),
        End::Never => Err(Error::Failed(format!(
            "the demonstration did not end within {} s; is the machine overloaded?",
            LONGEST.as_secs()
        ))),
    }
}

enum End {
    Status(ExitStatus),
    Signal(Signal),
    Never,
}

fn wait(manager: &mut Child, arrived: &SignalFd) -> Result<End> {
    let end = Instant::now() + LONGEST;
    loop {
        if let Some(status) = manager.try_wait().doing(|| "wait for the demonstration")? {
            return Ok(End::Status(status));
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(End::Never);
        }
        let mut waited = [PollFd::new(arrived.as_fd(), PollFlags::POLLIN)];
        match poll(&mut waited, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).doing(|| "wait for signals"),
        }
        while let Some(info) = arrived.read_signal().doing(|| "read signals")? {
            let number = i32::try_from(info.ssi_signo).unwrap_or_default();
            if let Ok(signal @ (Signal::SIGINT | Signal::SIGTERM)) = Signal::try_from(number) {
                return Ok(End::Signal(signal));
            }
        }
    }
}

/// Ends as if the signal had never been caught, so that a shell knows; after everything else has ended.
fn die_of(signal: Signal) -> Result<ExitCode> {
    // Nobody can be told if stderr is gone.
    let _ = writeln!(std::io::stderr(), "\nocfbox: interrupted; nothing is left behind");
    SigSet::from(signal).thread_unblock().doing(|| "unblock signals")?;
    raise(signal).doing(|| "end")?;
    Ok(ExitCode::FAILURE)
}
