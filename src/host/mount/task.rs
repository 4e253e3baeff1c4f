//! What one process uses of mounts, by its directory in /proc.
//!
//! The kernel's text of a path only tells whom to look at; the number of the mount is the proof. It stands in
//! `/proc/<pid>/fdinfo` for open files, and for the rest in that of a descriptor opened with `O_PATH`, which asks the file
//! system for nothing. NFS and 9p ask their server even then (`d_weak_revalidate`), so that for them the text has to
//! do: it is the kernel's own, made from the same mounts.
//!
//! A busy host has some 100,000 descriptors, and each costs a few microseconds of the kernel's: so all names are looked up
//! from directories that are open, nothing is asked twice, and threads that share what they have are looked at once.

#![forbid(unsafe_code)]

use std::ffi::{CStr, OsString};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RawDir, fstat, openat, readlinkat_raw, statat};
use rustix::io::Errno;
use rustix::path::{Arg, DecInt};

use super::attach::{id_in, mount_id};
use super::ioctl::{Common, have_in_common};
use super::scan::{Sought, Use};
use super::table::decoded;

/// No text of a path is longer (`proc_pid_readlink` has one page for it).
const PAGE: usize = 4096;

/// In the place of a path that the kernel does not tell.
pub(super) const TOO_LONG: &[u8] = b"/(a path that is too long)";

/// As much is read of what tells the mappings of a process, which may have 65,530 by default.
const MOST_OF_MAPS: u64 = 64 << 20;

type Found = (Use, PathBuf);

/// The first use that is found of a process and all its threads. What may hang comes last: the kernel waits for a lock of the
/// process's memory before it tells of its mappings.
pub(super) fn first_use(pid: i32, sought: &Sought) -> Option<Found> {
    // Once it is open, this directory is that of one process, and empty when that is gone.
    let process = open(CWD, format!("/proc/{pid}").as_str(), OFlags::PATH | OFlags::DIRECTORY)?;
    // Of those that live the first; whoever shares with it has nothing of its own.
    let mut first = None;
    for tid in threads(&process, pid) {
        let own = (tid != pid).then(|| of_thread(&process, tid));
        let Some(directory) = own.as_ref().map_or(Some(&process), Option::as_ref) else { continue };
        let task = Task { directory, sought };
        let Ok(works) = task.working_directory() else { continue };
        let shares = |what| first.is_some_and(|first| have_in_common(first, tid, what));
        let found = (first.is_none().then(|| task.program()).flatten())
            .or(works)
            .or_else(|| (!shares(Common::Directories)).then(|| task.root()).flatten())
            .or_else(|| (!shares(Common::Files)).then(|| task.open_file()).flatten());
        if found.is_some() {
            return found;
        }
        first = first.or(Some(tid));
    }
    match first {
        Some(tid) if tid == pid => Task { directory: &process, sought }.mapping(),
        // Only the directory of a process has links to its mappings; each thread has one too, in no list.
        Some(tid) => {
            let path = format!("/proc/{tid}");
            let directory = open(CWD, path.as_str(), OFlags::PATH | OFlags::DIRECTORY)?;
            // It is there as well, so that the number was not used again.
            of_thread(&process, tid)?;
            Task { directory: &directory, sought }.mapping()
        }
        None => None,
    }
}

fn open(place: impl AsFd, name: impl Arg, flags: OFlags) -> Option<OwnedFd> {
    openat(place, name, flags | OFlags::CLOEXEC, Mode::empty()).ok()
}

fn of_thread(process: &OwnedFd, tid: i32) -> Option<OwnedFd> {
    open(process, format!("task/{tid}").as_str(), OFlags::PATH | OFlags::DIRECTORY)
}

/// The threads of a process. Most have one: what counts the links of a directory counts them (`proc_task_getattr`).
fn threads(process: &OwnedFd, pid: i32) -> Vec<i32> {
    if statat(process, c"task", AtFlags::empty()).is_ok_and(|about| about.st_nlink == 3) {
        return vec![pid];
    }
    let mut found = Vec::new();
    if let Some(directory) = open(process, c"task", OFlags::RDONLY | OFlags::DIRECTORY) {
        let _ = each_name(&directory, |name| {
            found.extend(name.to_str().ok().and_then(|name| name.parse::<i32>().ok()));
            None::<()>
        });
    }
    // The first one lives, or none of what it had is its own any more.
    found.sort_by_key(|tid| *tid != pid);
    found
}

/// Does something for each name in a directory of /proc, until that comes to something.
fn each_name<T>(directory: &OwnedFd, mut look: impl FnMut(&CStr) -> Option<T>) -> Option<T> {
    let mut buffer = [MaybeUninit::uninit(); 2 * PAGE];
    let mut entries = RawDir::new(directory, &mut buffer);
    while let Some(Ok(entry)) = entries.next() {
        let name = entry.file_name();
        let found = if name.to_bytes().starts_with(b".") { None } else { look(name) };
        if found.is_some() {
            return found;
        }
    }
    None
}

/// A thread, by its directory in /proc.
struct Task<'a> {
    directory: &'a OwnedFd,
    sought: &'a Sought,
}

impl Task<'_> {
    /// Where it works, if that is in one of the mounts. One that has ended has no directory to work in.
    fn working_directory(&self) -> Result<Option<Found>, Errno> {
        let mut buffer = [MaybeUninit::uninit(); PAGE];
        let text = match target(self.directory, c"cwd", &mut buffer) {
            Ok(text) => text,
            Err(ended @ (Errno::NOENT | Errno::SRCH)) => return Err(ended),
            Err(_) => return Ok(None),
        };
        Ok(self.is_in(text, c"cwd").then(|| (Use::WorkingDirectory, path(text))))
    }

    fn program(&self) -> Option<Found> {
        self.link(c"exe").map(|file| (Use::Program, file))
    }

    fn root(&self) -> Option<Found> {
        self.link(c"root").map(|file| (Use::Root, file))
    }

    /// Where a link leads, if that is in one of the mounts.
    fn link(&self, name: &CStr) -> Option<PathBuf> {
        let mut buffer = [MaybeUninit::uninit(); PAGE];
        let text = target(self.directory, name, &mut buffer).ok()?;
        self.is_in(text, name).then(|| path(text))
    }

    fn is_in(&self, text: &[u8], link: impl Arg) -> bool {
        let (by_text, by_number): (Vec<_>, Vec<_>) =
            self.sought.candidates(text).partition(Option::is_some);
        // In another namespace, such as that of a container, the same text is another place.
        if !by_text.is_empty() && by_text.contains(&self.namespace().as_deref()) {
            return true;
        }
        if by_number.is_empty() {
            return false;
        }
        let opened = open(self.directory, link, OFlags::PATH);
        opened.is_some_and(|opened| self.sought.has(mount_id(&opened)))
    }

    fn namespace(&self) -> Option<PathBuf> {
        let mut buffer = [MaybeUninit::uninit(); PAGE];
        target(self.directory, c"ns/mnt", &mut buffer).ok().map(path)
    }

    /// Numbers are given out from the lowest, and there are few gaps: so they are tried one by one, as many as there are (which
    /// Linux tells since 6.2). To list them makes the kernel prepare each of them, which costs as much as to ask it.
    fn open_file(&self) -> Option<Found> {
        let descriptors = open(self.directory, c"fd", OFlags::RDONLY | OFlags::DIRECTORY)?;
        let count = fstat(&descriptors).map_or(0, |about| about.st_size);
        let (mut seen, mut gaps) = (0, 0);
        while seen < count && gaps <= 8 + count / 4 {
            let number = DecInt::new(seen + gaps);
            let mut buffer = [MaybeUninit::uninit(); PAGE];
            match target(&descriptors, number.as_c_str(), &mut buffer) {
                Ok(text) => {
                    seen += 1;
                    let found = self.descriptor(number.as_c_str(), text);
                    if found.is_some() {
                        return found;
                    }
                }
                Err(_) => gaps += 1,
            }
        }
        if count > 0 && seen == count {
            return None;
        }
        each_name(&descriptors, |number| {
            let mut buffer = [MaybeUninit::uninit(); PAGE];
            self.descriptor(number, target(&descriptors, number, &mut buffer).ok()?)
        })
    }

    fn descriptor(&self, number: &CStr, text: &[u8]) -> Option<Found> {
        if text.first() != Some(&b'/') {
            return self.socket(text);
        }
        self.sought.candidates(text).next()?;
        let info = self.information(number)?;
        self.sought.has(id_in(&info)).then(|| (Use::OpenFile, path(text)))
    }

    fn socket(&self, text: &[u8]) -> Option<Found> {
        let number = text.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
        let number = std::str::from_utf8(number).ok()?.parse().ok()?;
        self.sought.socket(number).map(|name| (Use::Socket, name.to_owned()))
    }

    fn information(&self, number: &CStr) -> Option<String> {
        let number = number.to_str().ok()?.parse::<i32>().ok()?;
        let place = open(self.directory, c"fdinfo", OFlags::PATH | OFlags::DIRECTORY)?;
        let mut text = String::new();
        let mut file = File::from(open(place, DecInt::new(number), OFlags::RDONLY)?);
        file.read_to_string(&mut text).ok()?;
        Some(text)
    }

    fn mapping(&self) -> Option<Found> {
        let maps = File::from(open(self.directory, c"maps", OFlags::RDONLY)?);
        let mut maps = BufReader::new(maps).take(MOST_OF_MAPS);
        let mut line = Vec::new();
        while maps.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            if let Some((range, text)) = mapped(&line) {
                let file =
                    if text.contains(&b'\\') { decoded(text).into_vec() } else { text.to_vec() };
                let name = format!("map_files/{}", trimmed(range));
                if self.is_in(&file, name.as_str()) {
                    return Some((Use::Mapping, path(&file)));
                }
            }
            line.clear();
        }
        None
    }
}

/// Where a link of /proc leads. The kernel does not tell a path that is longer than a page, so that it may be anywhere.
fn target<'t>(
    place: &OwnedFd,
    name: &CStr,
    buffer: &'t mut [MaybeUninit<u8>; PAGE],
) -> Result<&'t [u8], Errno> {
    match readlinkat_raw(place, name, &mut buffer[..]) {
        Ok((text, _)) => Ok(text),
        Err(Errno::NAMETOOLONG) => Ok(TOO_LONG),
        Err(error) => Err(error),
    }
}

fn path(text: &[u8]) -> PathBuf {
    OsString::from_vec(text.to_vec()).into()
}

/// Range and file of a line; none for what is no file. In the name only a newline is escaped (`seq_file_path(m, file, "\n")`), and names of
/// anonymous memory may have any other letter.
fn mapped(line: &[u8]) -> Option<(&str, &[u8])> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let mut fields = line.splitn(6, |byte| *byte == b' ');
    let range = std::str::from_utf8(fields.next()?).ok()?;
    let name = fields.nth(4)?.trim_ascii_start();
    name.starts_with(b"/").then_some((range, name))
}

/// `maps` fills its numbers with zeros to eight digits, and the names in `map_files` have none.
fn trimmed(range: &str) -> String {
    let part = |number: &str| {
        let short = number.trim_start_matches('0');
        if short.is_empty() { "0".to_owned() } else { short.to_owned() }
    };
    range.split('-').map(part).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::mount::Table;

    #[test]
    fn a_range_is_called_as_in_map_files() {
        assert_eq!(trimmed("00400000-0040b000"), "400000-40b000");
        assert_eq!(trimmed("7f00-7fff"), "7f00-7fff");
        assert_eq!(trimmed("00000000-00001000"), "0-1000");
    }

    #[test]
    fn only_files_are_mapped_files() {
        let file = b"7f0-7f1 r--p 00000000 08:01 12                 /srv/a b\\012\n";
        assert_eq!(mapped(file), Some(("7f0-7f1", &b"/srv/a b\\012"[..])));
        for other in [
            &b"7f0-7f1 rw-p 00000000 00:00 0 \n"[..],
            b"7f0-7f1 rw-p 00000000 00:00 0          [heap]\n",
            b"7f0-7f1 rw-p 00000000 00:00 0          [anon:a /srv/x]\n",
            b"",
        ] {
            assert_eq!(mapped(other), None);
        }
    }

    #[test]
    fn this_process_uses_the_mount_of_its_program_and_no_other() {
        let table = Table::own().unwrap();
        let exe = std::env::current_exe().unwrap();
        let mount = table.covering(&exe).unwrap();
        let mut sought = Sought::default();
        sought.add(mount, &table, None);
        let pid = std::process::id().cast_signed();
        assert_eq!(first_use(pid, &sought), Some((Use::Program, exe)));
        let mut stranger = Sought::default();
        let line = b"4294967295 1 0:0 / / rw - x x rw";
        let table = Table::parse(line).unwrap();
        stranger.add(&table.mounts()[0], &table, None);
        assert_eq!(first_use(pid, &stranger), None, "the text alone proves nothing");
    }

    /// NFS is proven by text alone, which in a container means another place.
    #[test]
    fn the_same_text_in_another_namespace_proves_nothing() {
        let table = Table::parse(b"4294967295 1 0:0 / / rw - nfs4 s:/x rw").unwrap();
        let own = open(CWD, c"/proc/thread-self", OFlags::PATH).unwrap();
        let mut nobody = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let uses = |namespace_of| {
            let mut sought = Sought::default();
            sought.add(&table.mounts()[0], &table, namespace_of);
            Task { directory: &own, sought: &sought }
                .working_directory()
                .unwrap()
                .map(|(how, _)| how)
        };
        assert_eq!(uses(None), Some(Use::WorkingDirectory));
        assert_eq!(uses(Some(nobody.id().cast_signed())), Some(Use::WorkingDirectory), "its own");
        nobody.kill().unwrap();
        nobody.wait().unwrap();
        let mut sought = Sought::default();
        sought.add(&table.mounts()[0], &table, None);
        sought.mean_another_namespace();
        assert_eq!(Task { directory: &own, sought: &sought }.working_directory(), Ok(None));
    }

    #[test]
    fn an_open_file_is_found_behind_any_gap() {
        let directory = tempfile::tempdir().unwrap();
        let file = File::create(directory.path().join("file")).unwrap();
        let table = Table::own().unwrap();
        let mut sought = Sought::default();
        let mount = table.covering(&directory.path().canonicalize().unwrap()).unwrap();
        sought.add(mount, &table, None);
        let own = open(CWD, c"/proc/thread-self", OFlags::PATH).unwrap();
        let task = Task { directory: &own, sought: &sought };
        for least in [3, 60, 900] {
            let moved = rustix::io::fcntl_dupfd_cloexec(&file, least).unwrap();
            let name = DecInt::from_fd(&moved);
            let text = task.information(name.as_c_str()).unwrap();
            assert!(sought.has(id_in(&text)));
            assert!(matches!(task.open_file(), Some((Use::OpenFile, _))));
        }
    }

    #[test]
    fn all_threads_are_found_the_first_one_first() {
        let pid = std::process::id().cast_signed();
        let process = open(CWD, format!("/proc/{pid}").as_str(), OFlags::PATH).unwrap();
        std::thread::scope(|scope| {
            let (send, wait) = std::sync::mpsc::channel::<()>();
            scope.spawn(move || wait.recv());
            let found = threads(&process, pid);
            assert!(found.len() > 1 && found[0] == pid, "{found:?}");
            drop(send);
        });
    }
}
