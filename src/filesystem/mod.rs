//! A file system that is mounted here and nowhere else: what is ours in the kernel's table, and what is well.

#![forbid(unsafe_code)]

mod attach;
mod attempt;
mod conflict;
mod end;
mod fstab;
mod io;
mod kind;
mod monitor;
mod reason;
mod record;
mod start;
mod stop;
mod target;
mod units;
mod unseen;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::agent::Cx;
use crate::error::{Error, Result};
use crate::host::helper::Keeper;
use crate::host::mount::device::{self, Source};
use crate::host::mount::options::Bind;
use crate::host::mount::{Device, Mount, Options, Table, health, loopdev, news, path};
use crate::param::values::ForceUnmount;
use crate::state::Lock;
use crate::watch::{MountSigns, Signs};
use record::Record;

/// Whether a file system is checked before it is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Unless it has a journal or is none that fsck knows.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Check {
    const WORDS: [(Self, &'static str); 3] =
        [(Self::Auto, "auto"), (Self::Always, "always"), (Self::Never, "never")];

    /// Its word, which can be parsed.
    fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(check, _)| *check == self).map_or("auto", |(_, word)| word)
    }
}

impl FromStr for Check {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let found = Self::WORDS.iter().find(|(_, known)| *known == word);
        found.map(|(check, _)| *check).ok_or_else(|| format!("{word} is none of the words"))
    }
}

/// What stop does about processes that keep the mount busy.
#[derive(Clone, Debug, Default)]
pub struct Ending {
    /// To whom it does anything.
    pub force: ForceUnmount,
    /// Whether it takes six seconds at most.
    pub fast: bool,
    /// Sent at first.
    pub ask: Vec<Signal>,
    /// Sent when half of the time is over.
    pub kill: Vec<Signal>,
    /// How long it is waited between two looks.
    pub delay: Duration,
}

/// A file system, as it is configured.
#[derive(Debug)]
pub struct Filesystem<'a> {
    /// The agent, for names of state files.
    pub agent: &'static str,
    /// What is mounted.
    pub source: &'a Source,
    /// Where, as it is configured.
    pub directory: &'a Path,
    /// Its type; none to find out. Of a bind mount it means nothing.
    pub kind: Option<&'a str>,
    /// How.
    pub options: &'a Options,
    /// How the path of the status file begins, below the mount point.
    pub status_prefix: &'a OsStr,
    /// Whether it is checked before.
    pub check: Check,
    /// Whether clones of a file system that is made for one node are meant.
    pub force_clones: bool,
    /// Whether the device may be mounted elsewhere on this node.
    pub shared_device: bool,
    /// How it is unmounted.
    pub ending: Ending,
}

/// What is at the mount point.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    table: Table,
    /// The true path of the mount point.
    point: PathBuf,
    /// Those mounts there that are ours, each on the one before it.
    ours: Vec<Mount>,
    /// What else is on top there.
    stranger: Option<Mount>,
    record: Option<Record>,
}

impl Filesystem<'_> {
    /// What a bind mount shows; none for a file system.
    fn bind(&self) -> Option<Bind> {
        // The kernel passes the type over, and people write many.
        self.options.bind.filter(|_| matches!(self.source, Source::Named(_)))
    }

    /// Whether the source is a block device, or a file that becomes one.
    fn is_on_device(&self) -> bool {
        self.bind().is_none()
            && match self.source {
                Source::Tagged(..) => true,
                Source::Named(name) => !self.kind.is_some_and(|kind| {
                    // What is no path is for the helper of a type that only it knows.
                    let is_path = Path::new(name).is_absolute();
                    kind::has_no_device(kind) || (!is_path && !kind::is_of_kernel(kind))
                }),
            }
    }

    fn named(&self) -> &Path {
        match self.source {
            Source::Named(name) | Source::Tagged(_, name) => Path::new(name),
        }
    }

    fn lock(&self, look: &Path, cx: &Cx<'_>) -> Result<Option<Lock>> {
        cx.state.lock(&record::name(self.agent, look), &cx.deadline)
    }

    /// The lock that a process has which mounts or unmounts: it is free unless one hangs. What it unmounts is out of the table by
    /// then, and may not be written yet.
    fn gate(&self, point: &Path, cx: &Cx<'_>) -> Result<Option<Lock>> {
        let name = format!("{}-gate", record::name(self.agent, point));
        // One that only takes long may come to its end. What follows needs time too.
        let longest = cx.deadline.left().mul_f32(0.75);
        let longest = if self.ending.fast { longest.min(end::FAST) } else { longest };
        cx.state.lock(&name, &cx.deadline.at_most(longest)).map_err(|_| {
            let keeper = Keeper::of(&cx.state, &name);
            let how_long = keeper.as_ref().map_or_else(String::new, |keeper| {
                format!(" for {:.0} s", keeper.lasted().as_secs_f64())
            });
            let what = keeper.as_ref().map_or("mount or unmount", |keeper| &keeper.what);
            let who = keeper.as_ref().and_then(Keeper::process);
            let who = who.map_or_else(String::new, |process| format!(" in {process}"));
            Error::Failed(format!(
                "an earlier {what} of {} has hung{how_long}{who}; its device or server does not answer",
                point.display()
            ))
        })
    }

    fn point(&self) -> Result<PathBuf> {
        self.point_in(&Table::own()?)
    }

    fn point_in(&self, table: &Table) -> Result<PathBuf> {
        // The table has true paths only, so that no server on the way has to be asked.
        let point = match table.on_top(self.directory) {
            Some(mount) => mount.point.clone(),
            None => path::resolve(self.directory, table)?,
        };
        if point == Path::new("/") {
            let why = format!("{} leads to /, which is no resource", self.directory.display());
            return Err(Error::Configured { name: "directory", why });
        }
        Ok(point)
    }

    /// What announces that it may not be there or not be well any more.
    ///
    /// # Errors
    /// There is no table of mounts.
    pub fn signs(&self, cx: &Cx<'_>) -> Result<Signs> {
        let look = self.look(cx)?;
        let counters = look.top().map_or_else(Vec::new, news::counters);
        Ok(Signs { mount: Some(MountSigns { point: look.point, counters }), ..Signs::default() })
    }

    /// Looks at the table; and again, before it is said that nothing is there.
    fn look(&self, cx: &Cx<'_>) -> Result<Look> {
        let first = self.look_once(cx)?;
        if !first.ours.is_empty() {
            return Ok(first);
        }
        self.look_once(cx)
    }

    fn look_once(&self, cx: &Cx<'_>) -> Result<Look> {
        let table = Table::own()?;
        let point = self.point_in(&table)?;
        let read = |path: &Path| {
            let record = record::read(self.agent, path, cx);
            record.filter(|record| record.is_for(self.asked()))
        };
        let record = self.names(&point).find_map(read);
        let mut places = table.at(&point);
        let hidden = target::refuge(&point);
        places.extend(table.at(&hidden));
        let is_ours = |mount: &&Mount| {
            // What has no device looks like others of its type, which have a right to be in the neighbourhood.
            let known = record.as_ref().is_some_and(|record| record.is_of(mount));
            let is_there = mount.point == point || self.is_on_device();
            known || (is_there && self.is_ours(mount, &table, record.as_ref()))
        };
        let (ours, others): (Vec<&Mount>, Vec<&Mount>) = places.into_iter().partition(is_ours);
        let others: Vec<&Mount> = others.into_iter().filter(|mount| mount.point == point).collect();
        let ours = ours.into_iter().cloned().collect();
        let stranger = others.last().map(|mount| (*mount).clone());
        Ok(Look { table, point, ours, stranger, record })
    }

    /// Whether this is the mount that is configured, by the number of its device and never by a text alone where there
    /// is a device.
    fn is_ours(&self, mount: &Mount, table: &Table, record: Option<&Record>) -> bool {
        if record.is_some_and(|record| record.is_of(mount)) {
            return true;
        }
        if self.bind().is_some() {
            return self.shown(table).is_none_or(|(device, root)| {
                mount.device == device && root.is_none_or(|root| mount.root == root)
            });
        }
        if !self.is_on_device() {
            return self.kind.is_none_or(|kind| {
                kind::is_same(kind, mount) && kind::is_from(kind, mount, self.named().as_os_str())
            });
        }
        if !self.kind.is_none_or(|kind| kind::is_same(kind, mount))
            || (mount.is_kind("btrfs") && !self.is_right_subvolume(mount))
        {
            return false;
        }
        let Some(disk) = health::disk_of(mount) else {
            // The number of a btrfs whose device is gone, or no file system with a device at all.
            return mount.source == self.named().as_os_str();
        };
        if self.options.loop_device {
            // The file may be on a server that does not answer: it is not looked at if its name will do.
            return loopdev::of_device(disk).is_some_and(|used| {
                used.offset == self.options.offset && is_file(self.named(), &used.file, table)
            });
        }
        match self.source.linked().as_deref().map(|path| (path, device::number(path))) {
            Some((_, Some(number))) => number == disk || health::is_one_btrfs(number, disk),
            Some((path, None)) => mount.source == path.as_os_str(),
            // Without udev nobody can tell which device it is.
            None => !self.source.is_another(disk),
        }
    }

    /// Which file system and which directory of it a bind mount has to show. The directory of a file system that is elsewhere is
    /// not known, because its server would have to be asked; and NFS calls all of its directories `/` (`nfs_show_path`).
    fn shown(&self, table: &Table) -> Option<(Device, Option<PathBuf>)> {
        let Some(source) = path::resolve_here(self.named(), table) else {
            return table.covering(self.named()).map(|covering| (covering.device, None));
        };
        let covering = table.covering(&source)?;
        let rest = source.strip_prefix(&covering.point).ok()?;
        let root = if rest.as_os_str().is_empty() {
            covering.root.clone()
        } else {
            covering.root.join(rest)
        };
        Some((covering.device, Some(root)))
    }

    /// By which paths a mount is remembered: its true one, and as it is configured. A link on the way may lead elsewhere by the
    /// time of the stop.
    fn names<'a>(&'a self, point: &'a Path) -> impl Iterator<Item = &'a Path> {
        // Only a device is looked for at other places.
        let is_another = self.directory != point && self.is_on_device();
        let called = is_another.then_some(self.directory);
        std::iter::once(point).chain(called)
    }

    /// What a record has to be for.
    fn asked(&self) -> u64 {
        record::hash((self.source.described(), self.kind, self.options.offset))
    }

    /// Of a btrfs only the subvolume that is asked for; the kernel shows its path as the root, and its number.
    fn is_right_subvolume(&self, mount: &Mount) -> bool {
        let asked = |name: &str| self.options.value(name);
        let path = asked("subvol").is_none_or(|path| {
            let path = Path::new("/").join(path);
            mount.root.components().eq(path.components())
        });
        let number = asked("subvolid").is_none_or(|number| {
            mount.super_option("subvolid").is_none_or(|found| found == number)
        });
        path && number
    }

    fn expected(&self, mount: &Mount, look: &Look) -> health::Expected {
        health::Expected {
            writable: !self.options.read_only && !self.shows_read_only(mount, &look.table),
            bind: self.bind().is_some(),
            errors: look.record.as_ref().and_then(|record| record.errors),
        }
    }

    /// A bind mount is read-only from the beginning if the mount is that it shows a directory of.
    fn shows_read_only(&self, mount: &Mount, table: &Table) -> bool {
        if self.bind().is_none() || !mount.has_option("ro") {
            return false;
        }
        let resolved = path::resolve_here(self.named(), table);
        let source = resolved.as_deref().unwrap_or(self.named());
        table.covering(source).is_some_and(|shown| shown.has_option("ro"))
    }
}

/// Whether a file that is configured is the one that a loop device has.
fn is_file(configured: &Path, used: &Path, table: &Table) -> bool {
    configured == used || path::resolve(configured, table).is_ok_and(|path| path == used)
}

impl Look {
    /// The one of ours that is mounted last.
    fn top(&self) -> Option<&Mount> {
        self.ours.last()
    }
}
