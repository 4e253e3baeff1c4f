//! The end of a mount (`umount(2)`).
//!
//! The kernel writes out what is not written yet, and waits for the device in a sleep that no signal ends. So the agent
//! lets a process of its own wait, and tells if that does not come back.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns};
use nix::sys::stat::Mode;

use super::{Mount, Table};

use crate::error::{Doing, Error, Result};
use crate::host::detached::{self, Worker};
use crate::host::helper;
use crate::host::process::Process;
use crate::state::Lock;
use crate::{trace_answer, trace_ask};

/// How to unmount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// Whether a network file system gives up what its server does not answer (`MNT_FORCE`).
    pub force: bool,
}

/// What the kernel said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is gone.
    Done,
    /// Somebody uses it.
    Busy,
    /// Nothing is mounted there.
    NotMounted,
}

/// Unmounts what is on top at a path, in this process and in this thread's namespace.
///
/// # Errors
/// The kernel's number.
pub fn here(point: &Path, manner: Manner) -> Result<Answer, Errno> {
    // Symbolic links are not followed, and the mount point itself is not looked into.
    let mut flags = MntFlags::UMOUNT_NOFOLLOW;
    flags.set(MntFlags::MNT_FORCE, manner.force);
    loop {
        match umount2(point, flags) {
            Ok(()) => return Ok(Answer::Done),
            Err(Errno::EBUSY) => return Ok(Answer::Busy),
            Err(Errno::EINVAL | Errno::ENOENT) => return Ok(Answer::NotMounted),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// One mount that is to go.
#[derive(Clone, Copy, Debug)]
pub struct Doomed<'a> {
    /// Which one it is.
    pub mount: &'a Mount,
    /// A process in whose namespace it is, unless that is ours.
    pub namespace_of: Option<i32>,
    /// The mount point above it whose likenesses elsewhere keep what is mounted on them.
    pub apart: Option<&'a Path>,
}

/// What became of a process that unmounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It ended with the kernel's answer.
    Answered(Answer),
    /// It is in the kernel.
    Hangs,
}

/// A process that unmounts one mount and no other.
#[derive(Debug)]
pub struct Attempt {
    what: String,
    worker: Worker,
    begin: Instant,
}

impl Attempt {
    /// Starts it. It has a share in `lock`: while it hangs nobody else tries the same. With `at_most` it ends by itself soon
    /// after that time, even if this process is gone by then, unless no signal ends the kernel's wait.
    ///
    /// # Errors
    /// There can be no new process.
    pub fn begin(
        doomed: Doomed<'_>,
        manner: Manner,
        lock: Option<&Lock>,
        at_most: Option<Duration>,
    ) -> Result<Self> {
        let what = format!("unmount {}", doomed.mount.point.display());
        trace_ask!("{what}");
        let stdin = match lock {
            Some(lock) => lock.share().doing(|| &what)?.into(),
            None => std::process::Stdio::null(),
        };
        let worker = detached::start(&words(doomed, manner, at_most), stdin).doing(|| &what)?;
        Ok(Self { what, worker, begin: Instant::now() })
    }

    /// Waits for its end, but not longer than `at_most`.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn wait(&mut self, at_most: Duration) -> Result<Fate> {
        let Some(code) = self.worker.code_within(at_most) else { return Ok(Fate::Hangs) };
        trace_answer!("{}: {code:?}", self.what);
        match code {
            Some(0) => Ok(Fate::Answered(Answer::Done)),
            Some(libc::EBUSY) => Ok(Fate::Answered(Answer::Busy)),
            // How far one came that was killed is in the table.
            Some(libc::EINVAL) | None => Ok(Fate::Answered(Answer::NotMounted)),
            Some(code) => Err(Errno::from_raw(code)).doing(|| &self.what),
        }
    }

    /// Ends it, if the kernel waits in a way that a signal ends.
    pub fn kill(&mut self) {
        self.worker.kill();
    }

    /// The error of one that hangs.
    #[must_use]
    pub fn unanswered(&self) -> Error {
        let pid = self.worker.pid().cast_signed();
        let who = Process::look(pid).ok().flatten();
        let who = who.map_or_else(|| format!("process {pid}"), |process| process.to_string());
        Error::Failed(format!(
            "cannot {}: the kernel has not finished it for {:.1} s, {who} waits for it; the device or server does not answer",
            self.what,
            self.begin.elapsed().as_secs_f64()
        ))
    }
}

fn words(doomed: Doomed<'_>, manner: Manner, at_most: Option<Duration>) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec!["unmount".into()];
    if manner.force {
        words.push("--force".into());
    }
    if let Some(at_most) = at_most {
        words.extend(["--at-most".into(), at_most.as_secs().to_string().into()]);
    }
    if let Some(pid) = doomed.namespace_of {
        words.extend(["--namespace-of".into(), pid.to_string().into()]);
    }
    if let Some(above) = doomed.apart {
        words.extend(["--apart".into(), above.into()]);
    }
    words.extend(["--id".into(), doomed.mount.id.to_string().into()]);
    words.extend(["--".into(), doomed.mount.point.clone().into()]);
    words
}

/// What the helper does: its exit code is the kernel's answer.
#[must_use]
pub fn as_helper(
    point: &Path,
    id: u32,
    namespace_of: Option<i32>,
    apart: Option<&Path>,
    manner: Manner,
) -> u8 {
    detached::settle();
    helper::introduce("unmount", Duration::ZERO);
    let code = match checked(point, id, namespace_of, apart, manner) {
        Ok(Answer::Done) => 0,
        Ok(Answer::Busy) => libc::EBUSY,
        Ok(Answer::NotMounted) => libc::EINVAL,
        Err(error) => error as i32,
    };
    u8::try_from(code).unwrap_or(u8::MAX)
}

/// Only if that mount is the one that the path leads to now.
fn checked(
    point: &Path,
    id: u32,
    namespace_of: Option<i32>,
    apart: Option<&Path>,
    manner: Manner,
) -> Result<Answer, Errno> {
    // In another namespace /proc may be elsewhere, or nowhere.
    let own = open("/proc/self", OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    if let Some(pid) = namespace_of {
        let path = format!("/proc/{pid}/ns/mnt");
        let namespace = open(path.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
        setns(&namespace, CloneFlags::CLONE_NEWNS)?;
    }
    let file = openat(&own, "mountinfo", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    let table = Table::read(&mut File::from(file)).map_err(|_| Errno::EIO)?;
    if table.with_id(id).is_none() {
        return Ok(Answer::NotMounted);
    }
    // Something was mounted over it meanwhile, which is not ours to unmount.
    if table.on_top(point).is_none_or(|mount| mount.id != id) {
        return Ok(Answer::Busy);
    }
    // What is unmounted on a mount that shares is unmounted on all that share with it (`mount_namespaces(7)`).
    if let Some(above) = apart {
        let flags = MsFlags::MS_SLAVE | MsFlags::MS_REC;
        mount(None::<&str>, above, None::<&str>, flags, None::<&str>)?;
    }
    here(point, manner)
}
