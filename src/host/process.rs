//! Processes, as /proc shows them (`proc_pid_stat(5)`).
//!
//! A process number is no identity: it is used again. Number and start time together are one until the next boot,
//! since the kernel never starts two processes of one number within one tick of its clock.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::ffi::{CStr, OsStr, OsString};
use std::fmt;
use std::io::{self, ErrorKind, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::PathBuf;
use std::sync::OnceLock;

use crate::error::{Doing, Result};

/// One process, whatever its number is used for later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Its number.
    pub pid: i32,
    /// When it began, in ticks since boot.
    pub start: u64,
}

/// What a look at a process showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Which one it is.
    pub identity: Identity,
    /// The number of its parent.
    pub parent: i32,
    /// Its session.
    pub session: i32,
    /// Its controlling terminal; 0 for none.
    pub terminal: i32,
    /// The kernel's letter for what it is doing.
    pub state: char,
    /// How many threads it has.
    pub threads: u32,
    /// Whether it is a part of the kernel.
    pub is_kernel: bool,
    /// The first 15 bytes of its program's name, made printable.
    pub name: String,
}

/// `PF_KTHREAD` of the kernel's `sched.h`.
const KERNEL_THREAD: u64 = 0x0020_0000;

impl Process {
    /// The process of that number; none if there is none.
    ///
    /// # Errors
    /// /proc does not answer.
    pub fn look(pid: i32) -> Result<Option<Self>> {
        let path = format!("/proc/{pid}/stat");
        let text = match read(&path) {
            Err(error) if is_gone(&error) => return Ok(None),
            other => other.doing(|| format!("read {path}"))?,
        };
        let parsed = Self::parse(&text).ok_or_else(|| io::Error::other("it has another form"));
        parsed.doing(|| format!("understand {path}")).map(Some)
    }

    /// The process with that identity; none if it is gone, even if another one has its number.
    ///
    /// # Errors
    /// /proc does not answer.
    pub fn find(identity: Identity) -> Result<Option<Self>> {
        Ok(Self::look(identity.pid)?.filter(|process| process.identity == identity))
    }

    /// This process.
    ///
    /// # Errors
    /// /proc is not mounted, or is that of another process namespace.
    pub fn own() -> Result<Self> {
        let pid = std::process::id();
        // In a /proc of another namespace numbers mean other processes.
        let shown = std::fs::read_link("/proc/self").doing(|| "read /proc/self")?;
        let own = if shown.as_os_str() == pid.to_string().as_str() {
            Self::look(pid.cast_signed())?
        } else {
            None
        };
        own.ok_or_else(|| {
            io::Error::other("it is that of other processes; mount that of this namespace")
        })
        .doing(|| format!("find process {pid} in /proc"))
    }

    /// From the content of `/proc/<pid>/stat`. The name may hold blanks and brackets; the last bracket ends it.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let open = text.iter().position(|byte| *byte == b'(')?;
        let close = text.iter().rposition(|byte| *byte == b')')?;
        let pid = std::str::from_utf8(text.get(..open)?).ok()?.trim().parse().ok()?;
        let name = String::from_utf8_lossy(text.get(open + 1..close)?);
        let rest = std::str::from_utf8(text.get(close + 1..)?).ok()?;
        // The manual page counts from 1, and the state is its field 3.
        let fields: Vec<&str> = rest.split_ascii_whitespace().take(20).collect();
        let field = |number: usize| fields.get(number - 3);
        Some(Self {
            identity: Identity { pid, start: field(22)?.parse().ok()? },
            state: field(3)?.chars().next()?,
            parent: field(4)?.parse().ok()?,
            session: field(6)?.parse().ok()?,
            terminal: field(7)?.parse().ok()?,
            is_kernel: field(9)?.parse::<u64>().ok()? & KERNEL_THREAD != 0,
            threads: field(20)?.parse().ok()?,
            name: name.chars().map(|c| if c.is_control() { '?' } else { c }).collect(),
        })
    }

    /// Whether nothing of it runs any more: it ended, and its parent did not take notice yet. A process whose first
    /// thread ended while others go on looks the same but for their number.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        matches!(self.state, 'X' | 'x') || (self.state == 'Z' && self.threads <= 1)
    }

    /// Whether a signal or a debugger stopped it.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        matches!(self.state, 'T' | 't')
    }

    /// Whether it sleeps and even SIGKILL does not wake it.
    #[must_use]
    pub fn is_uninterruptible(&self) -> bool {
        self.state == 'D'
    }

    /// The file that it executes, as it was called when that began; none for the kernel's and others' processes.
    #[must_use]
    pub fn executable(&self) -> Option<PathBuf> {
        executable(self.identity.pid)
    }

    /// Its words, as far as it did not write over them; see [`words`].
    #[must_use]
    pub fn words(&self) -> Vec<OsString> {
        words(self.identity.pid)
    }

    /// The effective user that it runs as.
    #[must_use]
    pub fn user(&self) -> Option<u32> {
        // The directory is root's for a process that may not be traced; its status never is.
        let status = read(&self.path("status")).ok()?;
        let status = String::from_utf8_lossy(&status);
        status_field(&status, "Uid:")?.split_ascii_whitespace().nth(1)?.parse().ok()
    }

    /// How often its first thread gave up or lost the processor: while this does not change, it did not run.
    #[must_use]
    pub fn switches(&self) -> Option<u64> {
        let status = read(&self.path("status")).ok()?;
        let status = String::from_utf8_lossy(&status);
        let number = |name| status_field(&status, name)?.trim().parse::<u64>().ok();
        Some(number("voluntary_ctxt_switches:")? + number("nonvoluntary_ctxt_switches:")?)
    }

    /// Where in the kernel it waits, for people.
    #[must_use]
    pub fn waits_in(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.path("wchan")).ok()?;
        Some(text.trim().to_owned()).filter(|place| !place.is_empty() && place != "0")
    }

    /// Whether it is in this process's namespace of process numbers, and no container's.
    #[must_use]
    pub fn is_in_our_namespace(&self) -> bool {
        let namespace = |path: &str| std::fs::metadata(path).map(|about| about.ino()).ok();
        let own = namespace("/proc/self/ns/pid");
        own.is_some() && own == namespace(&self.path("ns/pid"))
    }

    /// Whether it has this process's network.
    #[must_use]
    pub fn is_in_our_network(&self) -> bool {
        let namespace = |path: &str| std::fs::metadata(path).map(|about| about.ino()).ok();
        let own = namespace("/proc/self/ns/net");
        own.is_some() && own == namespace(&self.path("ns/net"))
    }

    fn path(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.identity.pid)
    }
}

impl fmt::Display for Process {
    /// For an exit reason: number, program and state.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            'Z' if self.is_dead() => "ended",
            'Z' => "its first thread ended",
            'X' | 'x' => "ended",
            'T' => "stopped by a signal",
            't' => "stopped by a debugger",
            'D' => "uninterruptible",
            'R' => "running",
            _ => "sleeping",
        };
        write!(f, "process {} ({}, {state}", self.identity.pid, self.name)?;
        match self.waits_in().filter(|_| self.is_uninterruptible()) {
            Some(place) => write!(f, " in {place})"),
            None => write!(f, ")"),
        }
    }
}

/// What the environment that a process began with says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Began {
    /// This process began with the entry.
    With(Identity),
    /// It began without, or wrote over it.
    Without,
    /// It has none: it is the kernel's, has ended, cleared it, or executes another program at this moment.
    WithNothing,
}

/// Whether the environment that a process began with has this entry.
///
/// The kernel takes a lock of the process's memory for the answer, for which it waits if the process hangs in a page
/// fault; so ask in a [`super::survey`].
#[must_use]
pub fn began_with(pid: i32, entry: &[u8]) -> Began {
    let has_entry = || Some(has(&environment(pid)?, entry));
    match has_entry() {
        Some(true) => {}
        Some(false) => return Began::Without,
        None => return Began::WithNothing,
    }
    // The number may have been used again meanwhile. One identity before and after an answer is one process.
    let before = Process::look(pid).ok().flatten();
    let again = has_entry() == Some(true);
    let after = Process::look(pid).ok().flatten();
    match (before, after) {
        (Some(before), Some(after)) if again && before.identity == after.identity => {
            Began::With(before.identity)
        }
        _ => Began::WithNothing,
    }
}

/// The environment that a process began with, unless it is empty.
fn environment(pid: i32) -> Option<Vec<u8>> {
    let filled = |path: &str| read(path).ok().filter(|environment| !environment.is_empty());
    filled(&format!("/proc/{pid}/environ")).or_else(|| {
        // A first thread that ended has no memory any more, and the other threads have.
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten();
        let names = tasks.map(|task| task.file_name()).filter(|name| **name != *pid.to_string());
        let mut paths = names.map(|name| format!("/proc/{pid}/task/{}/environ", name.display()));
        paths.find_map(|path| filled(&path))
    })
}

/// Whether one of the strings, each of which ends with a zero byte, is that one.
fn has(strings: &[u8], wanted: &[u8]) -> bool {
    let mut rest = strings;
    // This way of searching goes by words of the processor: environments are long, and many.
    while let Ok(entry) = CStr::from_bytes_until_nul(rest) {
        if entry.to_bytes() == wanted {
            return true;
        }
        rest = &rest[entry.to_bytes_with_nul().len()..];
    }
    rest == wanted
}

/// The words of the process of that number, as far as it did not write over them. As for [`began_with`], the kernel
/// may wait.
#[must_use]
pub fn words(pid: i32) -> Vec<OsString> {
    let mut text = read(&format!("/proc/{pid}/cmdline")).unwrap_or_default();
    text.pop_if(|last| *last == 0);
    text.split(|byte| *byte == 0).map(|word| OsStr::from_bytes(word).to_owned()).collect()
}

/// The file that the process of that number executes, as it was called when that began.
#[must_use]
pub fn executable(pid: i32) -> Option<PathBuf> {
    let target = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?.into_os_string().into_vec();
    // An upgrade replaced the file, which changes nothing of what runs.
    let kept = target.strip_suffix(b" (deleted)").unwrap_or(&target).to_vec();
    Some(PathBuf::from(OsString::from_vec(kept)))
}

/// The entry of that name in the environment that a process began with. As for [`began_with`], the kernel may wait.
#[must_use]
pub fn variable(identity: Identity, name: &str) -> Option<OsString> {
    let environment = read(&format!("/proc/{}/environ", identity.pid)).ok()?;
    let found = environment
        .split(|byte| *byte == 0)
        .find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    Some(OsStr::from_bytes(found).to_owned())
}

/// The numbers of all processes, each with the number of its directory's inode.
///
/// The kernel goes through the numbers in their order: whoever was there all the time is listed. It makes a new inode
/// when a number is used again, so that one number with one inode in two lists is one process.
///
/// # Errors
/// /proc does not answer.
pub fn numbers() -> Result<HashMap<i32, u64>> {
    let mut found = HashMap::new();
    for entry in std::fs::read_dir("/proc").doing(|| "list /proc")? {
        let entry = entry.doing(|| "list /proc")?;
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
        found.extend(pid.map(|pid: i32| (pid, entry.ino())));
    }
    Ok(found)
}

/// Who this process is. It is asked once: it does not change.
///
/// # Errors
/// There is no /proc of this process's namespace.
pub fn own() -> Result<Identity> {
    static OWN: OnceLock<Identity> = OnceLock::new();
    if let Some(own) = OWN.get() {
        return Ok(*own);
    }
    let own = Process::own()?.identity;
    Ok(*OWN.get_or_init(|| own))
}

/// The numbers of the children of a process's first thread; none where the kernel does not list them
/// (`proc_pid_task_children`(5) needs `CONFIG_PROC_CHILDREN`).
#[must_use]
pub fn children(pid: i32) -> Vec<i32> {
    children_of_thread(pid, &pid.to_string())
}

/// The same for all threads, of which there should not be many.
#[must_use]
pub fn children_of_all_threads(pid: i32) -> Vec<i32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks.flat_map(|task| children_of_thread(pid, &task.file_name().to_string_lossy())).collect()
}

fn children_of_thread(pid: i32, thread: &str) -> Vec<i32> {
    let text = read(&format!("/proc/{pid}/task/{thread}/children")).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    text.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// What changes with every boot.
///
/// # Errors
/// /proc does not answer.
pub fn boot() -> Result<String> {
    static BOOT: OnceLock<String> = OnceLock::new();
    if let Some(known) = BOOT.get() {
        return Ok(known.clone());
    }
    let path = "/proc/sys/kernel/random/boot_id";
    let text = std::fs::read_to_string(path).doing(|| format!("read {path}"))?;
    Ok(BOOT.get_or_init(|| text.trim().to_owned()).clone())
}

/// The number of this namespace of process numbers.
#[must_use]
pub fn namespace() -> u64 {
    std::fs::metadata("/proc/self/ns/pid").map_or(0, |about| about.ino())
}

fn status_field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name))
}

/// A file of /proc, in one read if it is short. The kernel fills a buffer as far as there is something, so that less
/// than was asked for is all.
fn read(path: &str) -> io::Result<Vec<u8>> {
    // More than the words and the environment of a process may have together (6 MiB, `execve(2)`).
    const MOST: usize = 8 << 20;
    let mut file = std::fs::File::open(path)?;
    let mut first = [0; 8192];
    let length = file.read(&mut first)?;
    let mut content = first[..length].to_vec();
    if length == first.len() {
        file.take((MOST - length) as u64).read_to_end(&mut content)?;
    }
    Ok(content)
}

/// A process that ends while it is looked at answers with the one or the other.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LINE: &[u8] =
        b"42 (a ) R (b) T 1 42 40 34817 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 98765 1000 2 \
        18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0\n";

    #[test]
    fn a_name_with_blanks_and_brackets_is_a_name() {
        let process = Process::parse(LINE).unwrap();
        assert_eq!(process.identity, Identity { pid: 42, start: 98765 });
        assert_eq!((process.name.as_str(), process.state, process.parent), ("a ) R (b", 'T', 1));
        assert_eq!((process.session, process.terminal, process.threads), (40, 34817, 3));
        assert!(process.is_stopped() && !process.is_dead() && !process.is_kernel);
    }

    #[test]
    fn this_process_is_found_and_its_parts_are_its_own() {
        let own = Process::own().unwrap();
        assert_eq!(own.executable().unwrap(), std::env::current_exe().unwrap());
        assert_eq!(own.words(), std::env::args_os().collect::<Vec<_>>());
        assert_eq!(own.user(), Some(nix::unistd::geteuid().as_raw()));
        assert!(own.is_in_our_namespace() && !own.is_dead() && own.switches().is_some());
        assert!(numbers().unwrap().contains_key(&own.identity.pid));
        let earlier = Identity { start: own.identity.start - 1, ..own.identity };
        assert_eq!(Process::find(earlier).unwrap(), None, "another one of the same number");
    }

    #[test]
    fn an_environment_is_searched_whatever_its_length() {
        for length in [0, 10, 8191, 8192, 8193, 100_000] {
            let mut command = std::process::Command::new("sleep");
            command.arg("60").env_clear().env("A", "x".repeat(length)).env("Z_MARK", "a b");
            let mut child = command.spawn().unwrap();
            let pid = child.id().cast_signed();
            let identity = Process::look(pid).unwrap().unwrap().identity;
            assert_eq!(began_with(pid, b"Z_MARK=a b"), Began::With(identity), "{length}");
            for other in [&b"Z_MARK=a"[..], b"MARK=a b", b"Z_MARK=a bc"] {
                assert_eq!(began_with(pid, other), Began::Without, "{length}");
            }
            assert_eq!(variable(identity, "Z_MARK"), Some("a b".into()));
            child.kill().unwrap();
            child.wait().unwrap();
            assert_eq!(began_with(pid, b"Z_MARK=a b"), Began::WithNothing);
        }
    }

    #[test]
    fn a_string_without_an_end_is_one_too() {
        assert!(has(b"a=b\0c=d", b"c=d") && has(b"a=b\0", b"a=b") && !has(b"a=b\0c=d", b"d"));
    }

    #[test]
    fn the_kernel_is_told_from_programs_and_the_ended_from_the_living() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id().cast_signed();
        while !Process::look(pid).unwrap().unwrap().is_dead() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        child.wait().unwrap();
        assert_eq!(Process::look(pid).unwrap(), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Process::parse(&bytes);
        }

        #[test]
        fn any_name_is_told_from_the_rest(name in "[ -~]{0,15}") {
            let text = String::from_utf8_lossy(LINE).replace("a ) R (b", &name);
            let process = Process::parse(text.as_bytes()).unwrap();
            prop_assert_eq!(process.name, name);
            prop_assert_eq!(process.identity.start, 98765);
        }
    }
}
