//! One pass over /proc for the processes that keep mounts busy.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::task;
use super::{Device, Mount, Table, bound, elsewhere};
use crate::deadline::Deadline;
use crate::host::survey;

/// How a process uses a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It works in a directory there.
    WorkingDirectory,
    /// Its root directory is there.
    Root,
    /// The program that it executes is there.
    Program,
    /// It has a file open.
    OpenFile,
    /// It has a file mapped into its memory.
    Mapping,
    /// It has a socket that is bound to a name there.
    Socket,
}

/// A use of a mount by a process of that number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The number of the process.
    pub pid: i32,
    /// How it uses it.
    pub how: Use,
    /// Which file.
    pub file: PathBuf,
}

/// What a pass came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// One use of each process that has any.
    pub findings: Vec<Finding>,
    /// Processes of which the kernel did not tell in time.
    pub silent: Vec<i32>,
}

/// The mounts that are looked for.
#[derive(Clone, Debug, Default)]
pub struct Sought {
    mounts: Vec<One>,
    /// Sockets bound to names in them, by their numbers.
    sockets: HashMap<u64, PathBuf>,
}

#[derive(Clone, Debug)]
struct One {
    id: u32,
    point: PathBuf,
    /// Where the text of a path has to do, the mount namespace in which it means this mount.
    by_text: Option<PathBuf>,
    /// The number of its file system, if that is mounted nowhere else.
    only: Option<Device>,
}

impl Sought {
    /// Adds a mount. `table` is the one in which it stands, that of a process in another namespace unless it is ours.
    pub fn add(&mut self, mount: &Mount, table: &Table, namespace_of: Option<i32>) {
        // Where another one is at the same place the text does not tell which one is meant.
        let alone = table.at(&mount.point).len() == 1 && table.hidden_by(mount).is_none();
        let asks = ["nfs", "nfs4", "9p"].iter().any(|kind| mount.is_kind(kind));
        let mut of_device = table.mounts().iter().filter(|other| other.device == mount.device);
        let only = of_device.nth(1).is_none().then_some(mount.device);
        let point = mount.point.clone();
        let process = namespace_of.map_or_else(|| "thread-self".to_owned(), |pid| pid.to_string());
        let by_text = (asks && alone).then(|| elsewhere::namespace(&process)).flatten();
        self.mounts.push(One { id: mount.id, point, by_text, only });
    }

    /// Asks the kernel which sockets are bound to names in the mounts. It tells the file system of such a name and not the mount,
    /// so that nothing is known of a file system that is mounted twice.
    pub fn ask_for_sockets(&mut self, deadline: &Deadline) {
        let devices: Vec<Device> = self.mounts.iter().filter_map(|one| one.only).collect();
        if !devices.is_empty() {
            self.sockets = bound::sockets(&devices, deadline).into_iter().collect();
        }
    }

    /// The mounts in which a file may be that the kernel calls so, each with the namespace in which its text is proof.
    pub(super) fn candidates(&self, file: &[u8]) -> impl Iterator<Item = Option<&Path>> {
        self.mounts.iter().filter(move |one| one.may_have(file)).map(|one| one.by_text.as_deref())
    }

    /// For tests, which cannot make one.
    #[cfg(test)]
    pub(super) fn mean_another_namespace(&mut self) {
        for one in &mut self.mounts {
            one.by_text = one.by_text.take().map(|_| "mnt:[1]".into());
        }
    }

    /// Whether that is one of the mounts.
    pub(super) fn has(&self, id: Option<u32>) -> bool {
        id.is_some_and(|id| self.mounts.iter().any(|one| one.id == id))
    }

    /// The name of a socket of that number, if it is in one of the mounts.
    pub(super) fn socket(&self, number: u64) -> Option<&Path> {
        self.sockets.get(&number).map(PathBuf::as_path)
    }
}

impl One {
    fn may_have(&self, file: &[u8]) -> bool {
        if file == task::TOO_LONG {
            return self.by_text.is_none();
        }
        let point = self.point.as_os_str().as_bytes();
        let Some(rest) = file.strip_prefix(point.strip_suffix(b"/").unwrap_or(point)) else {
            return false;
        };
        // What a bind mount shows may have been removed, and is called so.
        let removed = rest == b" (deleted)" && self.by_text.is_none();
        rest.is_empty() || rest[0] == b'/' || removed
    }
}

/// Looks at all processes.
#[must_use]
pub fn all(sought: &Arc<Sought>, deadline: &Deadline, at_most: Duration) -> Seen {
    these(numbers(Path::new("/proc")), sought, deadline, at_most)
}

/// Looks at some processes.
#[must_use]
pub fn these(pids: Vec<i32>, sought: &Arc<Sought>, deadline: &Deadline, at_most: Duration) -> Seen {
    let until = Instant::now() + deadline.left_with_reserve().min(at_most);
    let sought = Arc::clone(sought);
    let survey = survey::ask(pids, until, move |pid| task::first_use(pid, &sought));
    let found = survey.answers.into_iter();
    let mut findings: Vec<Finding> =
        found.map(|(pid, (how, file))| Finding { pid, how, file }).collect();
    findings.sort_by_key(|finding| finding.pid);
    Seen { findings, silent: survey.silent }
}

/// The entries of a directory whose names are numbers.
pub(super) fn numbers(directory: &Path) -> Vec<i32> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name());
    names.filter_map(|name| std::str::from_utf8(name.as_bytes()).ok()?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sought(lines: &[u8]) -> Sought {
        let table = Table::parse(lines).unwrap();
        let mut sought = Sought::default();
        sought.add(&table.mounts()[0], &table, None);
        sought
    }

    #[test]
    fn a_longer_name_with_the_same_beginning_is_no_candidate() {
        let sought = sought(b"5 1 8:1 / /u rw - ext4 /dev/a rw");
        let counts = |file: &[u8]| sought.candidates(file).count();
        assert_eq!([&b"/usr/bin/x"[..], b"/", b"u", b"/uu"].map(counts), [0; 4]);
        assert_eq!([&b"/u"[..], b"/u/x (deleted)", b"/u (deleted)"].map(counts), [1; 3]);
        assert!(sought.has(Some(5)) && !sought.has(Some(1)) && !sought.has(None));
    }

    #[test]
    fn where_the_text_is_all_there_is_it_is_taken_as_it_is() {
        let sought = sought(b"5 1 0:9 / /u rw - nfs4 host:/ rw");
        let own = elsewhere::namespace("thread-self");
        assert_eq!(sought.candidates(b"/u/x").collect::<Vec<_>>(), [own.as_deref()]);
        assert_eq!(sought.candidates(b"/u (deleted)").count(), 0);
        assert_eq!(sought.candidates(task::TOO_LONG).count(), 0);
    }

    #[test]
    fn below_the_root_is_everything() {
        let sought = sought(b"5 1 8:1 / / rw - ext4 /dev/a rw");
        assert!([&b"/"[..], b"/x"].iter().all(|file| sought.candidates(file).count() == 1));
        assert_eq!(sought.candidates(b"pipe:[1]").count(), 0);
    }

    #[test]
    fn a_file_system_that_is_mounted_twice_tells_nothing_of_sockets() {
        let twice = sought(b"5 1 8:1 / /u rw - ext4 /dev/a rw\n6 1 8:1 / /v rw - ext4 /dev/a rw");
        assert_eq!(twice.mounts[0].only, None);
        let once = sought(b"5 1 8:1 / /u rw - ext4 /dev/a rw\n6 1 8:2 / /v rw - ext4 /dev/b rw");
        assert_eq!(once.mounts[0].only, Some(Device { major: 8, minor: 1 }));
    }
}
