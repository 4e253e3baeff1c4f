//! The laboratory: one set of namespaces around everything that a run starts, so that nothing outlives it.

use std::path::PathBuf;
use std::process::{Child, ExitCode};

use nix::sys::signal::{SigSet, Signal};

use crate::{Outcome, namespaces, network, says};

/// Private first argument of the process that runs the scenarios.
pub const ROLE: &str = "role:laboratory";

/// Where disks of machines are, in a file system in memory that only the laboratory sees.
pub const DISKS: &str = "/run/machines";

/// The outer process: starts the laboratory and sees to its end.
///
/// Everything inside hangs on the laboratory's process 1: whether it ends by itself, panics or is
/// killed here on a signal, the kernel ends every process in it, with their mounts and networks.
pub fn supervise(arguments: &[String]) -> Outcome<ExitCode> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGCHLD] {
        signals.add(signal);
    }
    signals.thread_block().map_err(says("sigprocmask"))?;
    let mut laboratory = namespaces::become_parent_of(ROLE, arguments)?;
    loop {
        if let Some(code) = exit_code(&mut laboratory)? {
            return Ok(code);
        }
        let signal = signals.wait().map_err(says("sigwait"))?;
        if signal != Signal::SIGCHLD {
            laboratory.kill().map_err(says("kill"))?;
            laboratory.wait().map_err(says("wait"))?;
            return Ok(ExitCode::from(128 + u8::try_from(signal as i32).unwrap_or(0)));
        }
    }
}

fn exit_code(laboratory: &mut Child) -> Outcome<Option<ExitCode>> {
    let status = laboratory.try_wait().map_err(says("wait"))?;
    Ok(status
        .map(|status| status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(101).into()))
}

/// The first thing in the laboratory.
pub fn furnish() -> Outcome<()> {
    namespaces::settle_in()?;
    namespaces::mount_new("tmpfs", "/run")?;
    std::fs::create_dir_all(DISKS).map_err(says("cannot make a directory for disks"))?;
    network::install_switches()
}

/// The disk of a machine of that name.
pub fn disk(name: &str) -> PathBuf {
    PathBuf::from(DISKS).join(name)
}
