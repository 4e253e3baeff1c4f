//! The way to an unmounted file system: unmount, and only if it is busy ask its users to leave, then make them.

#![forbid(unsafe_code)]

use std::os::unix::fs::DirBuilderExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::Filesystem;
use super::attempt::{Attempts, Outcome, server_of, unanswered};
use super::reason::{held, refused};
use super::target::{Meant, Target, refuge, remove_refuge};
use crate::agent::Cx;
use crate::error::{Doing, Result};
use crate::host::mount::attach;
use crate::host::mount::holders::{Holder, Holders, Sought, still_hold};
use crate::host::mount::seize::stop_users;
use crate::host::mount::unmount::{Answer, Doomed, Manner};
use crate::host::pidfd::{Handle, wait_for_all};
use crate::param::values::Holders as Policy;
use crate::state::Lock;

/// With `fast_stop` there are so many seconds.
pub(super) const FAST: Duration = Duration::from_secs(6);

/// Who is not signalled has so long to leave by himself: a look of udev or of a backup passes.
const PATIENCE: Duration = Duration::from_secs(2);

/// Between two attempts for which nobody was signalled.
const PAUSE: Duration = Duration::from_millis(50);

/// So many of those that are signalled at once are named in the log.
const MOST_TOLD: usize = 20;

/// No attempt has less time, not even one that undoes what was done until the last moment.
const SHORTEST: Duration = Duration::from_millis(500);

/// Unmounts what is meant, with all that is mounted on it.
///
/// # Errors
/// Something of it is left, and the error says who holds it.
pub(super) fn end(
    filesystem: &Filesystem<'_>,
    meant: &Meant,
    gate: Option<Lock>,
    cx: &Cx<'_>,
) -> Result<()> {
    let mut ladder = Ladder::new(filesystem, meant, gate, cx);
    let ended = ladder.climb();
    // A directory of that name is somebody else's where nothing is moved.
    if ladder.relocated || filesystem.ending.force.relocate {
        remove_refuge(&refuge(&meant.point));
    }
    ended
}

/// Where on the way we are.
struct Ladder<'a> {
    filesystem: &'a Filesystem<'a>,
    meant: &'a Meant,
    attempts: Attempts<'a>,
    cx: &'a Cx<'a>,
    begin: Instant,
    budget: Duration,
    relocated: bool,
    told: bool,
    /// Whether all who could be found were killed once.
    killed: bool,
    /// Whether all that signals can do was done, or there was nobody to be told.
    pressed: bool,
}

impl<'a> Ladder<'a> {
    fn new(
        filesystem: &'a Filesystem<'a>,
        meant: &'a Meant,
        gate: Option<Lock>,
        cx: &'a Cx<'a>,
    ) -> Self {
        // The last attempt, and the words about it, need time too.
        let left = cx.deadline.left().mul_f32(0.9);
        let budget = if filesystem.ending.fast { left.min(FAST) } else { left };
        let begin = Instant::now();
        let attempts = Attempts::new(gate, &cx.deadline);
        let (relocated, told, killed, pressed) = (false, false, false, false);
        Self { filesystem, meant, attempts, cx, begin, budget, relocated, told, killed, pressed }
    }

    fn climb(&mut self) -> Result<()> {
        loop {
            let targets = self.meant.targets(&self.cx.deadline)?;
            if targets.is_empty() {
                let left = self.left();
                return self.attempts.settled(left);
            }
            let hidden = refuge(&self.meant.point);
            self.relocated |= targets.iter().any(|target| target.mount.point == hidden);
            let (mut busy, mut gone, mut silent) = (Vec::new(), 0_usize, None);
            for target in &targets {
                match self.unmount(target)? {
                    Outcome::Answered(Answer::Done) => gone += 1,
                    Outcome::Answered(Answer::Busy) => busy.push(target.clone()),
                    Outcome::Answered(Answer::NotMounted) => {}
                    Outcome::Silent => silent = Some(target),
                }
            }
            if let Some(target) = silent {
                self.pressed |= self.may_press();
                if self.is_over() && !self.meant.targets(&self.cx.deadline)?.is_empty() {
                    let server = server_of(&target.mount, &target.table);
                    return Err(unanswered(&target.place(), server.unwrap_or(&target.mount)));
                }
                continue;
            }
            match (busy.is_empty(), gone) {
                // What is left, if anything, is of a mount that came meanwhile, or that the kernel refuses to unmount.
                (true, 1..) => {}
                (true, 0) if self.is_over() => return Err(refused(&targets)),
                (true, 0) => std::thread::sleep(PAUSE),
                (false, _) => self.clear(&busy)?,
            }
        }
    }

    /// A file system whose server does not answer is forced when nothing else has helped, because that takes from others what they
    /// have not written yet. A plain attempt has half of the time, and a forced one half of what is left: the kernel gives up what
    /// it waits for then, and not what it waits for next.
    fn unmount(&mut self, target: &Target) -> Result<Outcome> {
        let remote = server_of(&target.mount, &target.table).is_some();
        let manner = Manner { force: remote && self.pressed };
        let half = self.budget / 2;
        let early = half.saturating_sub(self.begin.elapsed());
        let patience = if early.is_zero() { (self.left() / 2).max(SHORTEST) } else { early };
        let doomed = Doomed {
            mount: &target.mount,
            namespace_of: target.namespace_of,
            apart: target.apart.as_deref(),
        };
        self.attempts.make(doomed, manner, remote.then_some(patience))
    }

    /// Whether those who use it may come to harm.
    fn may_press(&self) -> bool {
        self.filesystem.ending.force.holders == Policy::Signalled
    }

    /// Looks who uses them, and does about it what is allowed.
    fn clear(&mut self, busy: &[Target]) -> Result<()> {
        let signalled = self.may_press();
        let patience = if signalled { self.budget } else { PATIENCE.min(self.budget / 4) };
        let is_over = self.begin.elapsed() >= patience;
        if !signalled && !is_over {
            std::thread::sleep(PAUSE);
            return Ok(());
        }
        let mut sought = Sought::default();
        for target in busy {
            sought.add(&target.mount, &target.table, target.namespace_of);
        }
        sought.ask_for_sockets(&self.cx.deadline.at_most(self.for_a_look()));
        let sought = Arc::new(sought);
        let holders = Holders::look(&sought, &self.cx.deadline, self.for_a_look())?;
        if is_over {
            return Err(held(busy, &holders, self.filesystem.ending.force.holders));
        }
        if self.is_late() {
            self.relocate();
        }
        if self.killed {
            self.seize(&sought)?;
        } else {
            self.signal(&holders, &sought)?;
        }
        self.pressed |= self.is_late();
        Ok(())
    }

    fn for_a_look(&self) -> Duration {
        self.left().max(Duration::from_millis(500))
    }

    /// Tells those who may be told, and waits for their end.
    fn signal(&mut self, holders: &Holders, sought: &Arc<Sought>) -> Result<()> {
        let ending = &self.filesystem.ending;
        let is_late = self.is_late();
        let signals = if is_late { &ending.kill } else { &ending.ask };
        let handles = self.proven(&holders.found, sought)?;
        for (at, (handle, holder)) in handles.iter().enumerate() {
            if !self.told && at < MOST_TOLD {
                self.cx.log.info(&format!("sending {}: {holder}", named(signals)));
            }
            for signal in signals {
                handle.signal(*signal)?;
            }
            // A stopped process acts upon no signal but this one and SIGKILL.
            if holder.process.is_stopped() && !signals.contains(&Signal::SIGSTOP) {
                handle.signal(Signal::SIGCONT)?;
            }
        }
        if handles.len() > MOST_TOLD {
            let more = handles.len() - MOST_TOLD;
            self.cx.log.info(&format!("sending {}: {more} more", named(signals)));
        }
        self.told = is_late;
        self.killed = is_late && signals.contains(&Signal::SIGKILL);
        if handles.is_empty() {
            std::thread::sleep(PAUSE.min(self.left()));
        } else {
            let handles: Vec<Handle> = handles.into_iter().map(|(handle, _)| handle).collect();
            self.wait_for(&handles);
        }
        Ok(())
    }

    /// Those who may be signalled. A descriptor cannot come to mean another process, so that what is seen after it was opened
    /// is proven of that one.
    fn proven<'h>(
        &self,
        found: &'h [Holder],
        sought: &Arc<Sought>,
    ) -> Result<Vec<(Handle, &'h Holder)>> {
        let mut handles = Vec::new();
        for holder in found.iter().filter(|holder| holder.protected.is_none()) {
            handles.extend(Handle::open(holder.process.identity)?.map(|handle| (handle, holder)));
        }
        let identities: Vec<_> = handles.iter().map(|(handle, _)| handle.identity).collect();
        let proven = still_hold(&identities, sought, &self.cx.deadline, self.for_a_look());
        handles.retain(|(handle, _)| proven.contains(&handle.identity.pid));
        Ok(handles)
    }

    fn wait_for(&self, handles: &[Handle]) {
        let _ = wait_for_all(handles, self.filesystem.ending.delay.min(self.left()));
    }

    /// Against those who multiply faster than they are killed. Whoever is stopped begins no other, and keeps his place among those
    /// whom the system allows; so all are stopped, until a look finds nobody who is not, and are killed then.
    fn seize(&self, sought: &Arc<Sought>) -> Result<()> {
        let mut stopped: Vec<Handle> = Vec::new();
        let mut before = usize::MAX;
        let mut seized = Ok(());
        while seized.is_ok() && before != stopped.len() && !self.is_over() {
            before = stopped.len();
            seized = stop_users(sought, &self.cx.deadline, self.for_a_look(), &mut stopped);
        }
        for handle in &stopped {
            handle.signal(Signal::SIGKILL)?;
        }
        if !stopped.is_empty() {
            self.cx.log.info(&format!("killed {} processes, stopped first", stopped.len()));
        }
        self.wait_for(&stopped);
        seized
    }

    /// Moves the mount to where nobody finds it. Whoever is in it already stays, and nobody new comes.
    fn relocate(&mut self) {
        if !self.filesystem.ending.force.relocate || self.relocated {
            return;
        }
        self.relocated = true;
        let (from, to) = (&self.meant.point, refuge(&self.meant.point));
        let moved = std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&to)
            .doing(|| format!("make the directory {}", to.display()))
            .and_then(|()| attach::relocate(from, &to));
        match moved {
            Ok(()) => self.cx.log.info(&format!("moved {} to {}", from.display(), to.display())),
            Err(error) => self.cx.log.warn(&format!("{error}; going on without")),
        }
    }

    fn left(&self) -> Duration {
        self.budget.saturating_sub(self.begin.elapsed())
    }

    fn is_over(&self) -> bool {
        self.left().is_zero()
    }

    fn is_late(&self) -> bool {
        self.begin.elapsed() >= self.budget / 2
    }
}

fn named(signals: &[Signal]) -> String {
    signals.iter().map(|signal| signal.as_str()).collect::<Vec<_>>().join(" ")
}
