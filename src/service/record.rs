//! What start remembers of a service, so that monitor and stop know its processes again.

#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::host::process::{self, Identity, Process};
use crate::state::StateFile;

/// Most processes that are remembered besides the main one.
const MOST: usize = 64;

/// The file of a process, by what it is and how it was called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Executable {
    device: u64,
    inode: u64,
    pub(super) path: PathBuf,
}

impl Executable {
    /// What that process executes; none if nobody may know.
    pub(super) fn of(process: &Process) -> Option<Self> {
        let path = process.executable()?;
        let about = std::fs::metadata(format!("/proc/{}/exe", process.identity.pid)).ok()?;
        Some(Self { device: about.dev(), inode: about.ino(), path })
    }

    /// Whether both are one file, be it renamed; or one place, be the file replaced.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode) || self.path == other.path
    }
}

/// The record of one service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// Nothing that began earlier (ticks since boot) is of this service.
    pub(super) since: u64,
    /// Whether start came to its end.
    pub(super) complete: bool,
    /// Whether it was found running instead of started.
    pub(super) adopted: bool,
    /// The process that is the service.
    pub(super) main: Option<Identity>,
    /// What the main process executes, where that has to stay so.
    pub(super) executable: Option<Executable>,
    /// The session that was made for it.
    pub(super) session: Option<i32>,
    /// Its further processes when start ended.
    pub(super) parts: Vec<Identity>,
    /// Its control group.
    pub(super) group: Option<PathBuf>,
}

impl Record {
    /// One that knows nothing yet.
    pub(super) fn begin(group: Option<&Path>) -> Result<Self> {
        let since = Process::own()?.identity.start;
        Ok(Self { since, group: group.map(Path::to_owned), ..Self::default() })
    }

    /// What the file says; none if it says nothing of this boot. What is damaged in it is left out.
    pub(super) fn load(file: &StateFile, boot: &str) -> Result<Option<Self>> {
        let Some(text) = file.read()? else { return Ok(None) };
        Ok(Self::parse(&text, boot))
    }

    /// Writes it, over what was there.
    pub(super) fn save(&self, file: &StateFile) -> Result<()> {
        file.write(&self.text(&process::boot()?))
    }

    /// Remembers the main process and the others.
    pub(super) fn know(&mut self, main: Option<&Process>, all: &[Process], checked: bool) {
        self.main = main.map(|process| process.identity);
        self.executable = main.filter(|_| checked).and_then(Executable::of);
        let others = all.iter().map(|process| process.identity);
        self.parts = others.filter(|identity| Some(*identity) != self.main).take(MOST).collect();
    }

    /// Remembers further processes.
    pub(super) fn remember(&mut self, further: impl Iterator<Item = Identity>) {
        for identity in further {
            if !self.parts.contains(&identity) && self.parts.len() < MOST {
                self.parts.push(identity);
            }
        }
    }

    fn text(&self, boot: &str) -> String {
        let mut text = format!("boot {boot}\nsince {}\n", self.since);
        for (word, is_set) in [("complete", self.complete), ("adopted", self.adopted)] {
            if is_set {
                let _ = writeln!(text, "{word}");
            }
        }
        if let Some(main) = self.main {
            let _ = writeln!(text, "main {} {}", main.pid, main.start);
        }
        if let Some(Executable { device, inode, path }) = &self.executable {
            let _ = writeln!(text, "executable {device} {inode} {}", escaped(path));
        }
        if let Some(session) = self.session {
            let _ = writeln!(text, "session {session}");
        }
        for part in &self.parts {
            let _ = writeln!(text, "part {} {}", part.pid, part.start);
        }
        if let Some(group) = &self.group {
            let _ = writeln!(text, "group {}", escaped(group));
        }
        text
    }

    fn parse(text: &str, boot: &str) -> Option<Self> {
        let mut record = Self::default();
        let mut lines = text.lines();
        if lines.next()?.strip_prefix("boot ")? != boot {
            return None;
        }
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["since", ticks] => record.since = ticks.parse().unwrap_or(0),
                ["complete"] => record.complete = true,
                ["adopted"] => record.adopted = true,
                ["main", pid, start] => record.main = identity(pid, start),
                ["executable", device, inode, path] => {
                    record.executable = executable(device, inode, path);
                }
                ["session", session] => record.session = session.parse().ok(),
                ["part", pid, start] => record.parts.extend(identity(pid, start)),
                ["group", path] => record.group = unescaped(path),
                _ => {}
            }
        }
        Some(record)
    }
}

fn identity(pid: &str, start: &str) -> Option<Identity> {
    Some(Identity { pid: pid.parse().ok()?, start: start.parse().ok()? })
}

fn executable(device: &str, inode: &str, path: &str) -> Option<Executable> {
    let path = unescaped(path)?;
    Some(Executable { device: device.parse().ok()?, inode: inode.parse().ok()?, path })
}

/// A path as one word of plain characters.
pub(crate) fn escaped(path: &Path) -> String {
    let mut text = String::new();
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_graphic() && *byte != b'%' {
            text.push(char::from(*byte));
        } else {
            let _ = write!(text, "%{byte:02x}");
        }
    }
    text
}

/// The path that such a word is.
pub(crate) fn unescaped(text: &str) -> Option<PathBuf> {
    let mut bytes = Vec::new();
    let mut given = text.bytes();
    while let Some(byte) = given.next() {
        if byte == b'%' {
            let digits = [given.next()?, given.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    Some(PathBuf::from(std::ffi::OsString::from_vec(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Record {
        Record {
            since: 7,
            complete: true,
            adopted: true,
            main: Some(Identity { pid: 12, start: 8 }),
            executable: Some(Executable { device: 1, inode: 2, path: "/a b/%\n".into() }),
            session: Some(12),
            parts: vec![Identity { pid: 13, start: 9 }],
            group: Some("/sys/fs/cgroup/x".into()),
        }
    }

    #[test]
    fn what_is_written_is_read_in_the_same_boot_only() {
        let text = sample().text("one");
        assert_eq!(Record::parse(&text, "one"), Some(sample()));
        assert_eq!(Record::parse(&text, "two"), None);
        assert_eq!(Record::parse("", "one"), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "(boot one\n)?([a-z]{0,10} [0-9 %]{0,10}\n){0,5}.{0,50}") {
            let _ = Record::parse(&text, "one");
        }

        #[test]
        fn any_path_is_one_word(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let path = PathBuf::from(std::ffi::OsString::from_vec(bytes));
            prop_assert!(!escaped(&path).contains([' ', '\n']));
            prop_assert_eq!(unescaped(&escaped(&path)), Some(path));
        }
    }
}
