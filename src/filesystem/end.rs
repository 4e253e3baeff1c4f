//! The way to an unmounted file system: unmount, and only if it is busy ask its users to leave, then make them.

#![forbid(unsafe_code)]

use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::Filesystem;
use super::attempt::{Attempts, Outcome, server_of, unanswered};
use crate::agent::Cx;
use crate::error::{Doing, Error, Result};
use crate::host::mount::holders::{Holder, Holders, Sought, of_kernel, stacked, still_hold};
use crate::host::mount::seize::stop_users;
use crate::host::mount::unmount::{Answer, Doomed, Manner};
use crate::host::mount::{Device, Mount, Table, attach, elsewhere, health};
use crate::host::pidfd::{Handle, wait_for_all};
use crate::param::values::Holders as Policy;
use crate::state::Lock;

/// With `fast_stop` there are so many seconds.
const FAST: Duration = Duration::from_secs(6);

/// Who is not signalled has so long to leave by himself: a look of udev or of a backup passes.
const PATIENCE: Duration = Duration::from_secs(2);

/// Between two attempts for which nobody was signalled.
const PAUSE: Duration = Duration::from_millis(50);

/// So many of those that are signalled at once are named in the log.
const MOST_TOLD: usize = 20;
/// No attempt has less time, not even one that undoes what was done until the last moment.
const SHORTEST: Duration = Duration::from_millis(500);

/// What has to go.
#[derive(Clone, Debug)]
pub(super) struct Meant {
    /// The type of its file system.
    pub kind: String,
    /// The number of its file system.
    pub device: Device,
    /// Which directory of that.
    pub root: PathBuf,
    /// Where it is mounted.
    pub point: PathBuf,
    /// Whether all mounts of the device have to go, so that the device is free.
    pub everywhere: bool,
    /// The same for those in other namespaces, where it may be at another place.
    pub everywhere_abroad: bool,
    /// Whether other namespaces count: not for a bind mount, whose device is somebody else's matter.
    pub in_all_namespaces: bool,
}

impl Meant {
    /// Whether the kernel has its file system, if that is known.
    pub(super) fn is_alive(&self) -> Option<bool> {
        health::is_alive(&self.kind, self.device)
    }

    fn includes(&self, mount: &Mount) -> bool {
        let here = mount.point == self.point || mount.point == refuge(&self.point);
        self.shows(mount) && (self.everywhere || (here && mount.root == self.root))
    }

    fn includes_abroad(&self, mount: &Mount) -> bool {
        self.includes(mount) || (self.everywhere_abroad && self.shows(mount))
    }

    fn shows(&self, mount: &Mount) -> bool {
        mount.device == self.device && mount.root.starts_with(&self.root)
    }
}

/// Where a mount is moved to out of the way of new users: a hidden neighbour of the mount point.
pub(super) fn refuge(point: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(point.file_name().unwrap_or_default());
    point.with_file_name(name)
}

/// One mount that is there still.
#[derive(Clone, Debug)]
struct Target {
    mount: Mount,
    table: Arc<Table>,
    /// A process in whose namespace it is, unless that is ours.
    namespace_of: Option<i32>,
}

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
    remove_refuge(&refuge(&meant.point));
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
            let targets = self.targets()?;
            if targets.is_empty() {
                let left = self.left();
                return self.attempts.settled(left);
            }
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
                if self.is_over() && !self.targets()?.is_empty() {
                    let server = server_of(&target.mount, &target.table);
                    return Err(unanswered(&place(target), server.unwrap_or(&target.mount)));
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

    /// All mounts that have to go, those on others first.
    fn targets(&self) -> Result<Vec<Target>> {
        let table = Arc::new(Table::own()?);
        let mut targets: Vec<Target> = Vec::new();
        for mount in table.mounts().iter().filter(|mount| self.meant.includes(mount)) {
            let on_it = table.below(mount);
            let over =
                on_it.iter().find(|over| over.point == mount.point && over.device != mount.device);
            if let Some(over) = over {
                return Err(Error::Failed(format!(
                    "cannot unmount {}: {} is mounted over it; unmount that first",
                    mount.point.display(),
                    over.source.display()
                )));
            }
            for mount in on_it.into_iter().chain([mount]) {
                let known = targets.iter().any(|target| target.mount.id == mount.id);
                if !known {
                    let (mount, table) = (mount.clone(), table.clone());
                    targets.push(Target { mount, table, namespace_of: None });
                }
            }
        }
        // A mount that is left behind alone, after it is gone here, is seen in the next round. To look through the namespaces of
        // all processes takes as long as to look for holders, so the kernel is asked first.
        let elsewhere = self.meant.in_all_namespaces && self.meant.is_alive() != Some(false);
        if targets.is_empty() && elsewhere {
            targets = self.foreign();
        }
        Ok(targets)
    }

    fn foreign(&self) -> Vec<Target> {
        let copies =
            elsewhere::copies(|mount| self.meant.includes_abroad(mount), &self.cx.deadline);
        let target = |copy: elsewhere::Copy| {
            let mount = copy.mount()?.clone();
            Some(Target { mount, table: copy.table.into(), namespace_of: Some(copy.pid) })
        };
        copies.into_iter().filter_map(target).collect()
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
        let doomed = Doomed { mount: &target.mount, namespace_of: target.namespace_of };
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
            sought.add(&target.mount, &target.table);
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

fn remove_refuge(refuge: &Path) {
    // Somebody else's directory of that name is not for root alone, or has something in it.
    let ours = refuge.symlink_metadata().is_ok_and(|about| {
        about.is_dir() && about.uid() == 0 && about.permissions().mode() & 0o7777 == 0o700
    });
    if ours {
        let _ = std::fs::remove_dir(refuge);
    }
}

fn named(signals: &[Signal]) -> String {
    signals.iter().map(|signal| signal.as_str()).collect::<Vec<_>>().join(" ")
}

fn place(target: &Target) -> String {
    let point = target.mount.point.display();
    match target.namespace_of {
        Some(pid) => format!("{point} in the mount namespace of process {pid}"),
        None => point.to_string(),
    }
}

fn refused(targets: &[Target]) -> Error {
    let places: Vec<String> = targets.iter().take(2).map(place).collect();
    Error::Failed(format!(
        "cannot unmount {}: the kernel does not let go of it; end the container that has it",
        places.join(", ")
    ))
}

/// Who holds what could not be unmounted, and what mends it.
fn held(busy: &[Target], holders: &Holders, policy: Policy) -> Error {
    let mut who = Vec::new();
    let listed = holders.listed();
    if !listed.is_empty() {
        who.push(listed);
    }
    for target in busy {
        who.extend(of_kernel(&target.table, &target.mount));
        who.extend(stacked(&target.mount));
    }
    if who.is_empty() {
        who.push("it is busy, but no process or device that uses it is to be seen".to_owned());
    }
    let waits = holders.found.iter().any(|holder| holder.process.is_uninterruptible());
    let hint = match policy {
        Policy::Signalled if waits => {
            "; no signal wakes who waits for a device or server that does not answer"
        }
        Policy::Signalled if holders.found.iter().any(|holder| holder.protected.is_some()) => {
            "; who is protected is not signalled: end it"
        }
        Policy::Signalled => "",
        Policy::Named | Policy::Left => "; end them, or set force_unmount=true",
    };
    let place = busy.first().map(place).unwrap_or_default();
    Error::Failed(format!("cannot unmount {place}: {}{hint}", who.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refuge_is_a_hidden_neighbour() {
        assert_eq!(refuge(Path::new("/srv/data")), Path::new("/srv/.data"));
    }

    #[test]
    fn of_a_bind_mount_only_itself_is_meant_and_of_a_device_all_that_shows_it() {
        let parse = |line: &str| Mount::parse(line.as_bytes()).unwrap();
        let itself = parse("1 0 8:1 /sub /srv rw - ext4 /dev/a rw");
        let elsewhere = parse("2 0 8:1 /sub/x /other rw - ext4 /dev/a rw");
        let above = parse("3 0 8:1 / /all rw - ext4 /dev/a rw");
        let mut meant = Meant {
            kind: "ext4".to_owned(),
            device: Device { major: 8, minor: 1 },
            root: "/sub".into(),
            point: "/srv".into(),
            everywhere: false,
            everywhere_abroad: false,
            in_all_namespaces: false,
        };
        let included = |meant: &Meant| [&itself, &elsewhere, &above].map(|m| meant.includes(m));
        assert_eq!(included(&meant), [true, false, false]);
        assert!(!meant.includes_abroad(&elsewhere));
        meant.everywhere_abroad = true;
        assert!(meant.includes_abroad(&elsewhere) && !meant.includes_abroad(&above));
        meant.everywhere = true;
        assert_eq!(included(&meant), [true, true, false]);
    }
}
