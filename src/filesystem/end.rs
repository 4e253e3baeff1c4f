//! The way to an unmounted file system: unmount, and only if it is busy ask its users to leave, then make them.

#![forbid(unsafe_code)]

use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{Filesystem, kind};
use crate::agent::Cx;
use crate::error::{Doing, Error, Result};
use crate::host::mount::holders::{Holders, Sought, hanging, of_kernel, stacked, still_holds};
use crate::host::mount::unmount::{Answer, Doomed, Manner, in_helper};
use crate::host::mount::{Device, Mount, Table, attach, elsewhere};
use crate::host::pidfd::{Handle, wait_for_all};
use crate::param::values::Holders as Policy;
use crate::state::Lock;

/// With `fast_stop` there are so many seconds.
pub(super) const FAST: Duration = Duration::from_secs(6);

/// Who is not signalled has so long to leave by himself: a look of udev or of a backup passes.
const PATIENCE: Duration = Duration::from_secs(2);

/// Between two attempts for which nobody was signalled.
const PAUSE: Duration = Duration::from_millis(50);

/// What has to go.
#[derive(Clone, Debug)]
pub(super) struct Meant {
    /// The number of its file system.
    pub device: Device,
    /// Which directory of that.
    pub root: PathBuf,
    /// Where it is mounted.
    pub point: PathBuf,
    /// Whether all mounts of the device have to go, so that the device is free.
    pub everywhere: bool,
    /// Whether other namespaces count: not for a bind mount, whose device is somebody else's matter.
    pub in_all_namespaces: bool,
}

impl Meant {
    fn includes(&self, mount: &Mount) -> bool {
        let here = mount.point == self.point || mount.point == refuge(&self.point);
        mount.device == self.device
            && mount.root.starts_with(&self.root)
            && (self.everywhere || (here && mount.root == self.root))
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
    table: std::sync::Arc<Table>,
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
    gate: Option<&Lock>,
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
    gate: Option<&'a Lock>,
    cx: &'a Cx<'a>,
    begin: Instant,
    budget: Duration,
    relocated: bool,
    told: bool,
}

impl<'a> Ladder<'a> {
    fn new(
        filesystem: &'a Filesystem<'a>,
        meant: &'a Meant,
        gate: Option<&'a Lock>,
        cx: &'a Cx<'a>,
    ) -> Self {
        // The last attempt, and the words about it, need time too.
        let left = cx.deadline.left().mul_f32(0.9);
        let budget = if filesystem.ending.fast { left.min(FAST) } else { left };
        let begin = Instant::now();
        Self { filesystem, meant, gate, cx, begin, budget, relocated: false, told: false }
    }

    fn climb(&mut self) -> Result<()> {
        loop {
            let targets = self.targets()?;
            if targets.is_empty() {
                return Ok(());
            }
            let (mut busy, mut gone) = (Vec::new(), 0_usize);
            for target in &targets {
                match self.unmount(target)? {
                    Answer::Done => gone += 1,
                    Answer::Busy => busy.push(target.clone()),
                    Answer::NotMounted => {}
                }
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
        let table = std::sync::Arc::new(Table::own()?);
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
        // A mount that is left behind alone, after it is gone here, is seen in the next round.
        if targets.is_empty() && self.meant.in_all_namespaces {
            targets = self.foreign();
        }
        Ok(targets)
    }

    fn foreign(&self) -> Vec<Target> {
        let copies = elsewhere::copies(|mount| self.meant.includes(mount));
        let target = |copy: elsewhere::Copy| {
            let mount = copy.mount()?.clone();
            Some(Target { mount, table: copy.table.into(), namespace_of: Some(copy.pid) })
        };
        copies.into_iter().filter_map(target).collect()
    }

    fn unmount(&self, target: &Target) -> Result<Answer> {
        let remote = self.filesystem.kind.is_some_and(kind::is_remote) || is_fuse(&target.mount);
        let manner = Manner { force: remote && self.is_late() };
        let doomed = Doomed { mount: &target.mount, namespace_of: target.namespace_of };
        in_helper(doomed, manner, self.gate, &self.cx.deadline)
    }

    /// Looks who uses them, and does about it what is allowed.
    fn clear(&mut self, busy: &[Target]) -> Result<()> {
        let signalled = self.filesystem.ending.force.holders == Policy::Signalled;
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
        let at_most = self.left().max(Duration::from_millis(500));
        let holders = Holders::look(&sought, &self.cx.deadline, at_most)?;
        if is_over {
            return Err(held(busy, &holders, self.filesystem.ending.force.holders));
        }
        if self.is_late() {
            self.relocate();
        }
        self.signal(&holders, &sought)
    }

    /// Tells those who may be told, and waits for their end.
    fn signal(&mut self, holders: &Holders, sought: &Sought) -> Result<()> {
        let ending = &self.filesystem.ending;
        let signals = if self.is_late() { &ending.kill } else { &ending.ask };
        let mut handles = Vec::new();
        for holder in holders.found.iter().filter(|holder| holder.protected.is_none()) {
            let identity = holder.process.identity;
            let Some(handle) = Handle::open(identity)? else { continue };
            // The descriptor cannot mean another process any more, so that what is seen now is proven of this one.
            if !still_holds(identity, sought) {
                continue;
            }
            if !self.told {
                self.cx.log.info(&format!("sending {}: {holder}", named(signals)));
            }
            for signal in signals {
                handle.signal(*signal)?;
            }
            // A stopped process acts upon no signal but this one and SIGKILL.
            if holder.process.is_stopped() && !signals.contains(&Signal::SIGSTOP) {
                handle.signal(Signal::SIGCONT)?;
            }
            handles.push(handle);
        }
        self.told = self.is_late();
        if handles.is_empty() {
            std::thread::sleep(PAUSE.min(self.left()));
        } else {
            let _ = wait_for_all(&handles, ending.delay.min(self.left()));
        }
        Ok(())
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

/// Its server is a process: what that does not answer fails when the unmount is forced, and whoever waits for it goes on.
fn is_fuse(mount: &Mount) -> bool {
    mount.is_kind("fuse") || mount.is_kind("fuseblk")
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
        who.push(unseen());
    }
    let hint = match policy {
        Policy::Signalled if holders.found.iter().any(|holder| holder.protected.is_some()) => {
            "; who is protected is not signalled: end it"
        }
        Policy::Signalled => "",
        Policy::Named | Policy::Left => "; end them, or set force_unmount=true",
    };
    let place = busy.first().map(place).unwrap_or_default();
    Error::Failed(format!("cannot unmount {place}: {}{hint}", who.join("; ")))
}

/// It is busy, and nothing shows who uses it.
fn unseen() -> String {
    let hanging = hanging();
    let words = hanging.iter().take(2).map(|process| {
        let how = if process.is_uninterruptible() { "hangs in state D" } else { "waits for it" };
        format!("{} ({}) {how}", process.identity.pid, process.name)
    });
    match words.collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => {
            "it is busy, but no process or device that uses it is to be seen".to_owned()
        }
        some => format!("it is busy, perhaps because {some}"),
    }
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
            device: Device { major: 8, minor: 1 },
            root: "/sub".into(),
            point: "/srv".into(),
            everywhere: false,
            in_all_namespaces: false,
        };
        let included = |meant: &Meant| [&itself, &elsewhere, &above].map(|m| meant.includes(m));
        assert_eq!(included(&meant), [true, false, false]);
        meant.everywhere = true;
        assert_eq!(included(&meant), [true, true, false]);
    }
}
