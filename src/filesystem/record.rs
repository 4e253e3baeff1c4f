//! What start remembers of a mount: which one it is, so that it is known even if its device is not any more.

#![forbid(unsafe_code)]

use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::agent::Cx;
use crate::error::Result;
use crate::host::mount::{Device, Mount};
use crate::state::StateFile;

/// A mount of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// The number of the mount.
    pub id: u32,
    /// The number of its file system.
    pub device: Device,
    /// Which directory of that, hashed: a path may be any bytes.
    root: u64,
    /// Type of the file system, as the kernel calls it.
    pub kind: String,
    /// How many errors it had counted by then.
    pub errors: Option<u64>,
    /// What was asked for, hashed: another resource may have the same mount point.
    asked: u64,
}

impl Record {
    /// What there is to remember of a mount.
    pub(crate) fn of(mount: &Mount, errors: Option<u64>, asked: u64) -> Self {
        let kind = mount.kind.to_string_lossy().into_owned();
        Self { id: mount.id, device: mount.device, root: hash(&mount.root), kind, errors, asked }
    }

    /// Whether this is what was asked for.
    pub(crate) fn is_for(&self, asked: u64) -> bool {
        self.asked == asked
    }

    /// Whether that is the mount. The number alone is used again for the next one.
    pub(crate) fn is_of(&self, mount: &Mount) -> bool {
        self.id == mount.id && self.is_like(mount)
    }

    /// Whether a mount shows the same as that one, wherever.
    pub(crate) fn is_like(&self, mount: &Mount) -> bool {
        self.device == mount.device && self.root == hash(&mount.root) && mount.kind == *self.kind
    }

    fn text(&self) -> String {
        let errors = self.errors.map_or("-".to_owned(), |errors| errors.to_string());
        let Self { id, device, root, kind, asked, .. } = self;
        format!("{id} {device} {root:016x} {kind} {errors} {asked:016x}\n")
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        Some(Self {
            id: words.next()?.parse().ok()?,
            device: Device::parse(words.next()?)?,
            root: u64::from_str_radix(words.next()?, 16).ok()?,
            kind: words.next()?.to_owned(),
            errors: match words.next()? {
                "-" => None,
                number => Some(number.parse().ok()?),
            },
            asked: u64::from_str_radix(words.next()?, 16).ok()?,
        })
    }
}

/// The name of the file: of the mount point, whatever the resource is called, in this namespace.
pub(super) fn name(agent: &str, point: &Path) -> String {
    let namespace = std::fs::metadata("/proc/thread-self/ns/mnt").map_or(0, |about| about.ino());
    let last = point.file_name().unwrap_or_default().to_string_lossy();
    let last: String = last.chars().filter(char::is_ascii_alphanumeric).take(40).collect();
    format!("{agent}-{namespace}-{:016x}-{last}", hash(point))
}

pub(super) fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn file(agent: &str, point: &Path, cx: &Cx<'_>) -> StateFile {
    cx.state.file(&name(agent, point))
}

pub(super) fn read(agent: &str, point: &Path, cx: &Cx<'_>) -> Option<Record> {
    match file(agent, point, cx).read() {
        Ok(text) => Record::parse(&text?),
        Err(error) => {
            cx.log.debug(&error.to_string());
            None
        }
    }
}

pub(super) fn write(agent: &str, point: &Path, record: &Record, cx: &Cx<'_>) -> Result<()> {
    file(agent, point, cx).write(&record.text())
}

pub(super) fn remove(agent: &str, point: &Path, cx: &Cx<'_>) -> Result<()> {
    file(agent, point, cx).remove()
}

/// The directories that start made, so that a failed one takes them back.
#[derive(Debug, Default)]
pub(super) struct Made(Vec<PathBuf>);

impl Made {
    /// Makes a directory and all above it.
    pub(super) fn directory(&mut self, path: &Path) -> std::io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            self.directory(parent)?;
        }
        match std::fs::create_dir(path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                return Err(std::io::Error::other("it exists and is no directory"));
            }
            other => other?,
        }
        self.0.push(path.to_owned());
        Ok(())
    }

    /// Removes what it made, as far as it is empty.
    pub(super) fn take_back(&self) {
        for path in self.0.iter().rev() {
            let _ = std::fs::remove_dir(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn two_mount_points_have_two_names() {
        assert_ne!(name("A", Path::new("/a/b")), name("A", Path::new("/a_b")));
    }

    #[test]
    fn what_was_made_is_taken_back_unless_it_is_used() {
        let directory = tempfile::tempdir().unwrap();
        let mut made = Made::default();
        made.directory(&directory.path().join("a/b/c")).unwrap();
        std::fs::write(directory.path().join("a/file"), "").unwrap();
        made.take_back();
        assert!(directory.path().join("a").exists() && !directory.path().join("a/b").exists());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(id: u32, major: u64, minor: u64, root: u64, errors: Option<u64>, asked: u64) {
            let record = Record { id, device: Device { major, minor }, root, kind: "ext4".into(), errors, asked };
            prop_assert_eq!(Record::parse(&record.text()), Some(record));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text: String) {
            let _ = Record::parse(&text);
        }
    }
}
