//! One pass over /proc for the processes that keep mounts busy.
//!
//! The kernel's text of a path only tells whom to look at; the number of the mount is the proof. It stands in
//! `/proc/<pid>/fdinfo` for open files, and for the rest in that of a descriptor opened with `O_PATH`, which asks the file
//! system for nothing. NFS and 9p ask their server even then (`d_weak_revalidate`), so that for them the text has to
//! do: it is the kernel's own, made from the same mounts.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use rustix::fs::readlinkat;

use super::attach::mount_id;
use super::table::decoded;
use super::{Mount, Table};
use crate::deadline::Deadline;

/// As many threads look at once; more only fight for the kernel's locks.
const MOST_WORKERS: usize = 4;

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
}

#[derive(Clone, Debug)]
struct One {
    id: u32,
    point: PathBuf,
    by_text: bool,
}

impl Sought {
    /// Adds a mount. `table` is the one in which it stands.
    pub fn add(&mut self, mount: &Mount, table: &Table) {
        // Where another one is at the same place the text does not tell which one is meant.
        let alone = table.at(&mount.point).len() == 1 && table.hidden_by(mount).is_none();
        let asks = ["nfs", "nfs4", "9p"].iter().any(|kind| mount.is_kind(kind));
        let one = One { id: mount.id, point: mount.point.clone(), by_text: asks && alone };
        self.mounts.push(one);
    }

    fn candidates<'a>(&'a self, file: &'a Path) -> impl Iterator<Item = &'a One> {
        self.mounts.iter().filter(move |one| file.starts_with(&one.point))
    }

    fn has(&self, id: Option<u32>) -> bool {
        id.is_some_and(|id| self.mounts.iter().any(|one| one.id == id))
    }
}

/// Looks at all processes.
#[must_use]
pub fn all(sought: &Sought, deadline: &Deadline, at_most: Duration) -> Seen {
    let pids = numbers(Path::new("/proc"));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = workers.min(MOST_WORKERS).min(pids.len().div_ceil(64)).max(1);
    let (sought, pids) = (Arc::new(sought.clone()), Arc::new(pids));
    let (sender, receiver) = channel();
    let current: Vec<Arc<AtomicI32>> = (0..workers).map(|_| Arc::default()).collect();
    for (first, current) in current.iter().enumerate() {
        let (sought, pids, current) = (sought.clone(), pids.clone(), current.clone());
        let sender = sender.clone();
        // Not waited for: one that hangs in the kernel must not hang the agent, and ends with it.
        std::thread::spawn(move || {
            for pid in pids.iter().skip(first).step_by(workers) {
                current.store(*pid, Ordering::Relaxed);
                if !report(&sender, of_process(*pid, &sought)) {
                    return;
                }
            }
            current.store(0, Ordering::Relaxed);
        });
    }
    drop(sender);
    let deadline = deadline.at_most(at_most);
    let (findings, in_time) = collected(&receiver, &deadline);
    let unfinished = || current.iter().map(|pid| pid.load(Ordering::Relaxed));
    let silent = if in_time { Vec::new() } else { unfinished().filter(|pid| *pid != 0).collect() };
    Seen { findings, silent }
}

fn report(sender: &Sender<Finding>, found: Option<Finding>) -> bool {
    found.is_none_or(|found| sender.send(found).is_ok())
}

fn collected(receiver: &Receiver<Finding>, deadline: &Deadline) -> (Vec<Finding>, bool) {
    let mut findings = Vec::new();
    loop {
        match receiver.recv_timeout(deadline.left()) {
            Ok(found) => findings.push(found),
            Err(RecvTimeoutError::Disconnected) => {
                findings.sort_by_key(|found| found.pid);
                return (findings, true);
            }
            Err(RecvTimeoutError::Timeout) => return (findings, false),
        }
    }
}

/// The first use that is found of a process and all its threads.
#[must_use]
pub fn of_process(pid: i32, sought: &Sought) -> Option<Finding> {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let found = |(how, file)| Finding { pid, how, file };
    // The program and the memory are the process's; the rest may be a thread's own (`unshare(2)`).
    let own = || link(&process.join("exe"), sought).map(|file| (Use::Program, file));
    let of_threads = || {
        let tasks = process.join("task");
        let path = |tid: i32| {
            if tid == pid { process.clone() } else { tasks.join(tid.to_string()) }
        };
        numbers(&tasks).into_iter().find_map(|tid| of_thread(&path(tid), sought))
    };
    own().or_else(of_threads).or_else(|| mapping(&process, sought)).map(found)
}

fn of_thread(task: &Path, sought: &Sought) -> Option<(Use, PathBuf)> {
    if let Some(file) = link(&task.join("cwd"), sought) {
        return Some((Use::WorkingDirectory, file));
    }
    if let Some(file) = link(&task.join("root"), sought) {
        return Some((Use::Root, file));
    }
    open_file(task, sought).map(|file| (Use::OpenFile, file))
}

fn open_file(task: &Path, sought: &Sought) -> Option<PathBuf> {
    let place = task.join("fd");
    // Names are looked up from here: the way through /proc costs more than the answer.
    let directory = File::open(&place).ok()?;
    let mut buffer = Vec::with_capacity(256);
    numbers(&place).into_iter().find_map(|number| {
        let name = number.to_string();
        let target = readlinkat(&directory, name.as_str(), std::mem::take(&mut buffer)).ok()?;
        let target = target.into_bytes();
        // No file at all, such as a socket.
        if target.first() != Some(&b'/') {
            buffer = target;
            return None;
        }
        let file = PathBuf::from(OsString::from_vec(target));
        sought.candidates(&file).next()?;
        let info = fs::read_to_string(task.join(format!("fdinfo/{number}"))).ok()?;
        let id = info.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim().parse().ok();
        sought.has(id).then_some(file)
    })
}

/// Where a link of /proc leads, if that is in one of the mounts.
fn link(path: &Path, sought: &Sought) -> Option<PathBuf> {
    let file = fs::read_link(path).ok()?;
    is_in(&file, path, sought).then_some(file)
}

fn is_in(file: &Path, link: &Path, sought: &Sought) -> bool {
    let mut candidates = sought.candidates(file).peekable();
    if candidates.peek().is_none() {
        return false;
    }
    if candidates.any(|one| one.by_text) {
        return true;
    }
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(link);
    opened.is_ok_and(|opened| sought.has(mount_id(&opened)))
}

fn mapping(process: &Path, sought: &Sought) -> Option<(Use, PathBuf)> {
    let mut maps = Vec::new();
    File::open(process.join("maps")).ok()?.take(64 << 20).read_to_end(&mut maps).ok()?;
    maps.split(|byte| *byte == b'\n').find_map(|line| {
        let at = line.iter().position(|byte| *byte == b'/')?;
        let file = PathBuf::from(unescaped(&line[at..]));
        sought.candidates(&file).next()?;
        let range = String::from_utf8_lossy(line.split(|byte| *byte == b' ').next()?);
        let link = process.join("map_files").join(trimmed(&range));
        is_in(&file, &link, sought).then_some((Use::Mapping, file))
    })
}

/// In maps only a newline is escaped (`seq_file_path(m, file, "\n")`).
fn unescaped(path: &[u8]) -> OsString {
    if path.contains(&b'\\') { decoded(path) } else { OsString::from_vec(path.to_vec()) }
}

/// `maps` fills its numbers with zeros to eight digits, and the names in `map_files` have none.
fn trimmed(range: &str) -> String {
    let part = |number: &str| {
        let short = number.trim_start_matches('0');
        if short.is_empty() { "0".to_owned() } else { short.to_owned() }
    };
    range.split('-').map(part).collect::<Vec<_>>().join("-")
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

    #[test]
    fn a_range_is_called_as_in_map_files() {
        assert_eq!(trimmed("00400000-0040b000"), "400000-40b000");
        assert_eq!(trimmed("7f00-7fff"), "7f00-7fff");
        assert_eq!(trimmed("00000000-00001000"), "0-1000");
    }

    #[test]
    fn a_longer_name_with_the_same_beginning_is_no_candidate() {
        let table = Table::parse(b"5 1 8:1 / /u rw - ext4 /dev/a rw").unwrap();
        let mut sought = Sought::default();
        sought.add(&table.mounts()[0], &table);
        assert_eq!(sought.candidates(Path::new("/usr/bin/x")).count(), 0);
        assert_eq!(sought.candidates(Path::new("/u/x (deleted)")).count(), 1);
        assert!(sought.has(Some(5)) && !sought.has(Some(1)) && !sought.has(None));
    }

    #[test]
    fn this_process_uses_the_mount_of_its_program_and_no_other() {
        let table = Table::own().unwrap();
        let exe = std::env::current_exe().unwrap();
        let mount = table.covering(&exe).unwrap();
        let mut sought = Sought::default();
        sought.add(mount, &table);
        let pid = std::process::id().cast_signed();
        let found = of_process(pid, &sought).unwrap();
        assert_eq!((found.how, found.file), (Use::Program, exe));
        let strangers =
            Sought { mounts: vec![One { id: u32::MAX, point: "/".into(), by_text: false }] };
        assert_eq!(of_process(pid, &strangers), None, "the text alone proves nothing");
    }
}
