//! Which process watches a resource: how start leaves one behind, monitor puts one back, and stop ends it first.
//!
//! A lock is the proof. Whoever starts a watcher takes the lock and gives it to the new process as its stdin, so that
//! the lock is held exactly as long as a watcher, or what it runs, is alive; no number in a file can be wrong about that.
//! The file beside it says which process to end. Stop keeps the lock while it works, so that nobody can put a watcher
//! back whose resource is about to go.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::getppid;

use super::turn::Turn;
use super::{WATCHER, pacemaker};
use crate::agent::Cx;
use crate::error::{Doing, Result};
use crate::host::detached;
use crate::host::pidfd::{Handle, wait_for_all};
use crate::host::process::{self, Identity, Process};
use crate::state::{Lock, StateFile, TryLock};

/// How long a process that was killed may take to be gone.
const LONGEST_END: Duration = Duration::from_secs(2);

/// How long a process that was started may take to write itself down, for who waits to learn whether it lives.
const LONGEST_BEGINNING: Duration = Duration::from_millis(500);

/// Between two attempts to take a lock.
const PAUSE: Duration = Duration::from_millis(2);

/// The watcher of one resource, or the place where it would be.
#[derive(Debug)]
pub struct Keeper<'a> {
    agent: &'static str,
    key: String,
    cx: &'a Cx<'a>,
}

/// What came of the wish for a watcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// There is one now.
    Now,
    /// There was one.
    Already,
    /// There was one of another version of this program, and now there is one of this.
    Renewed,
    /// The resource does not run any more.
    NotNeeded,
    /// There can be none: where it is written down cannot be written.
    Impossible,
}

/// Whether there is room for a watcher.
#[derive(Debug)]
enum Vacant {
    /// There is, and this is its lock.
    Yes(Lock, Begun),
    /// There is not, and that is what came of the wish.
    No(Begun),
}

impl<'a> Keeper<'a> {
    /// The watcher of the resource that `key` tells from all others.
    #[must_use]
    pub fn of(agent: &'static str, key: &str, cx: &'a Cx<'a>) -> Self {
        Self { agent, key: format!("watch-{key}"), cx }
    }

    /// The file that says which process it is.
    #[must_use]
    pub fn record(&self) -> StateFile {
        self.cx.state.file(&format!("{}.process", self.key))
    }

    /// Where the failures are that were counted otherwise than they are.
    #[must_use]
    pub fn count(&self) -> StateFile {
        self.cx.state.file(&format!("{}.count", self.key))
    }

    /// Who tells of a failure.
    #[must_use]
    pub fn turn(&self) -> Turn<'_> {
        Turn::of(&self.cx.state, &self.key)
    }

    /// Whether this action is one that the watcher runs, or is the watcher's own look.
    #[must_use]
    pub fn is_called_by_watcher(&self) -> bool {
        let named: Option<i32> =
            self.cx.environment.text(WATCHER).and_then(|word| word.parse().ok());
        named
            .is_some_and(|pid| pid == std::process::id().cast_signed() || pid == getppid().as_raw())
    }

    /// Sees to it that there is a watcher. `is_running` is asked under the lock: a stop that came in between has ended by then.
    ///
    /// # Errors
    /// There can be no new process, or it cannot be written down.
    pub fn begin(&self, is_running: &dyn Fn() -> bool) -> Result<Begun> {
        let (lock, begun) = match self.vacant()? {
            Vacant::Yes(lock, begun) => (lock, begun),
            Vacant::No(begun) => return Ok(begun),
        };
        if !is_running() {
            return Ok(Begun::NotNeeded);
        }
        let words = ["watch", "--behind", self.agent, &self.cx.instance].map(OsString::from);
        let variables = self.cx.environment.variables();
        // Who it is it writes down itself, as its first thing: who has the lock and nobody else writes there.
        lock.give()
            .and_then(|lock| detached::leave_watching(&words, variables, lock.into()))
            .doing(|| "start the process that watches the resource")?;
        Ok(begun)
    }

    /// The lock, if nobody watches, or only another version of this program. Who was just killed may need a moment to let go of it.
    fn vacant(&self) -> Result<Vacant> {
        let patience = self.cx.deadline.at_most(LONGEST_END.min(self.cx.deadline.left() / 4));
        let beginning = self.cx.deadline.at_most(LONGEST_BEGINNING.min(patience.left()));
        loop {
            match self.cx.state.try_lock(&self.key) {
                TryLock::Taken(lock) => return Ok(Vacant::Yes(lock, Begun::Now)),
                TryLock::Impossible => return Ok(Vacant::No(Begun::Impossible)),
                TryLock::Held => {}
            }
            let Some(watcher) = self.recorded() else {
                // It has only begun, or was killed before it was written down.
                if beginning.left().is_zero() {
                    return Ok(Vacant::No(Begun::Already));
                }
                std::thread::sleep(PAUSE);
                continue;
            };
            if !is_dying(watcher)? || patience.left().is_zero() {
                let replaced = Self::is_outdated(watcher).then(|| self.replaced(watcher));
                let lock = replaced.transpose()?.flatten();
                return Ok(lock
                    .map_or(Vacant::No(Begun::Already), |lock| Vacant::Yes(lock, Begun::Renewed)));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Whether a watcher executes another file than this process, as after an upgrade, and is not just telling of a failure.
    fn is_outdated(watcher: Identity) -> bool {
        let file = |path: &str| std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
        let (own, other) = (file("/proc/self/exe"), file(&format!("/proc/{}/exe", watcher.pid)));
        let is_busy = || !process::children_of_all_threads(watcher.pid).is_empty();
        own.is_some() && other.is_some() && own != other && !is_busy()
    }

    /// Ends a watcher for another one to follow; its lock, unless somebody else was faster.
    fn replaced(&self, watcher: Identity) -> Result<Option<Lock>> {
        end_with_children(watcher, self.cx.deadline.left() / 4)?;
        match self.cx.state.try_lock(&self.key) {
            TryLock::Taken(lock) => Ok(Some(lock)),
            TryLock::Held | TryLock::Impossible => Ok(None),
        }
    }

    /// Remembers this process as the watcher.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn remember_this_process(&self) -> Result<()> {
        let Identity { pid, start } = process::own()?;
        let place = place().unwrap_or_default();
        self.record().write(&format!("{place}{pid} {start}\n"))
    }

    /// Whether somebody took this process's task away, or gave it to another one. Not if nobody can tell.
    #[must_use]
    pub fn is_dismissed(&self) -> bool {
        let (Ok(own), Ok(text)) = (process::own(), self.record().read()) else { return false };
        text.and_then(|text| identity(&text)) != Some(own)
    }

    /// Ends the watcher, if there is one, with whatever it is just running: nothing is reported after this. As long as
    /// the answer is kept there will be no other one.
    ///
    /// # Errors
    /// It did not end in time.
    pub fn end(&self) -> Result<Option<Lock>> {
        if self.is_called_by_watcher() {
            return Ok(None);
        }
        let patience = self.cx.deadline.at_most(self.cx.deadline.left() / 4);
        let mut ended = None;
        loop {
            match self.cx.state.try_lock(&self.key) {
                TryLock::Taken(lock) => {
                    self.record().remove()?;
                    pacemaker::settle(self.cx.environment, &self.count());
                    self.turn().forget();
                    return Ok(Some(lock));
                }
                TryLock::Impossible => return Ok(None),
                TryLock::Held => {}
            }
            let recorded = self.recorded().filter(|_| ended.is_none());
            if let Some(watcher) = recorded {
                end_with_children(watcher, patience.left())?;
                ended = Some(watcher);
                continue;
            }
            let left = patience.to_wait_for("the end of the process that watches the resource")?;
            std::thread::sleep(left.min(PAUSE));
        }
    }

    /// Whether there may be one to end, which a look at a name tells.
    #[must_use]
    pub fn may_exist(&self) -> bool {
        self.cx.state.has_lock(&self.key)
    }

    /// The process that is written down, in this boot and this process namespace.
    #[must_use]
    pub fn recorded(&self) -> Option<Identity> {
        identity(&self.record().read().ok()??)
    }
}

/// Who is meant by what is written down, if it was written here.
fn identity(text: &str) -> Option<Identity> {
    let (pid, start) = text.strip_prefix(&place()?)?.trim_end().split_once(' ')?;
    Some(Identity { pid: pid.parse().ok()?, start: start.parse().ok()? })
}

/// Where a process number means what it means here.
fn place() -> Option<String> {
    Some(format!("{} {} ", process::boot().ok()?, process::namespace()))
}

/// Whether a process has ended, or has no memory any more and is about to.
fn is_dying(identity: Identity) -> Result<bool> {
    let process = Process::find(identity)?;
    Ok(process.is_none_or(|process| process.is_dead() || process.executable().is_none()))
}

/// Kills a watcher and what it runs at this moment: a report, or an action. One that sleeps so deeply that it does not end now
/// ends when it wakes up, and does nothing any more.
fn end_with_children(watcher: Identity, at_most: Duration) -> Result<()> {
    let Some(handle) = Handle::open(watcher)? else { return Ok(()) };
    let mut all = Vec::new();
    for child in process::children_of_all_threads(watcher.pid) {
        if let Some(child) = Process::look(child)?.filter(|child| child.parent == watcher.pid) {
            all.extend(Handle::open(child.identity)?);
        }
    }
    // The parent first, so that it has no further ones.
    all.insert(0, handle);
    for handle in &all {
        handle.signal(Signal::SIGKILL)?;
    }
    // Whether they ended is what the lock tells.
    let _ = wait_for_all(&all, LONGEST_END.min(at_most));
    Ok(())
}
