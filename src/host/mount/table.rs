//! The kernel's table of mounts, decoded (`proc_pid_mountinfo(5)`).
//!
//! The file shows the mounts that its reader's root directory reaches, as paths from there, in an order in which parents come
//! before their children unless somebody moved one.

#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::error::{Doing, Result};

/// The number of a block device, or the one that the kernel made up for a file system without any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Device {
    /// Which driver; 0 for a file system without a device.
    pub major: u64,
    /// Which of its devices.
    pub minor: u64,
}

impl Device {
    /// From what the C library calls a device.
    #[must_use]
    pub fn of(number: u64) -> Self {
        Self { major: nix::sys::stat::major(number), minor: nix::sys::stat::minor(number) }
    }

    /// From `8:17`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.trim().split_once(':')?;
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }

    /// Whether it is a block device, and not a number that the kernel made up.
    #[must_use]
    pub const fn is_block(self) -> bool {
        self.major != 0
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Its number, which is used again after it is gone.
    pub id: u32,
    /// The number of the mount that it is on.
    pub parent: u32,
    /// The number of its file system, which all mounts of that have in common.
    pub device: Device,
    /// Which directory of the file system it shows.
    pub root: PathBuf,
    /// Where.
    pub point: PathBuf,
    /// Options of this mount.
    pub options: OsString,
    /// Its group of mounts that share what is mounted below them.
    pub shared: Option<u32>,
    /// The group from which it receives what is mounted below them.
    pub master: Option<u32>,
    /// Type of the file system, with the part after the dot (`fuse.sshfs`).
    pub kind: OsString,
    /// What whoever mounted it called its device. It may be anything.
    pub source: OsString,
    /// Options of the file system.
    pub super_options: OsString,
}

impl Mount {
    /// From one line without its end.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.split(|byte| *byte == b' ');
        let id = number(fields.next()?)?;
        let parent = number(fields.next()?)?;
        let device = Device::parse(std::str::from_utf8(fields.next()?).ok()?)?;
        let root = decoded(fields.next()?).into_vec();
        // What a bind mount shows stays it when somebody removes it. No name has two slashes.
        let root = root.strip_suffix(b"//deleted").map(<[u8]>::to_vec).unwrap_or(root);
        let root = OsString::from_vec(root).into();
        let point = decoded(fields.next()?).into();
        let options = decoded(fields.next()?);
        let (mut shared, mut master) = (None, None);
        // Zero or more fields of which later kernels may have more, ended by one hyphen.
        loop {
            let field = fields.next()?;
            if field == b"-" {
                break;
            }
            if let Some(group) = field.strip_prefix(b"shared:") {
                shared = number(group);
            } else if let Some(group) = field.strip_prefix(b"master:") {
                master = number(group);
            }
        }
        let kind = decoded(fields.next()?);
        let source = decoded(fields.next()?);
        let super_options = decoded(fields.next().unwrap_or_default());
        Some(Self {
            id,
            parent,
            device,
            root,
            point,
            options,
            shared,
            master,
            kind,
            source,
            super_options,
        })
    }

    /// Whether a word is among the options of the mount.
    #[must_use]
    pub fn has_option(&self, word: &str) -> bool {
        has_word(&self.options, word)
    }

    /// Whether a word is among the options of the file system.
    #[must_use]
    pub fn has_super_option(&self, word: &str) -> bool {
        has_word(&self.super_options, word)
    }

    /// The value of an option of the file system.
    #[must_use]
    pub fn super_option(&self, name: &str) -> Option<&OsStr> {
        let mut words = self.super_options.as_bytes().split(|byte| *byte == b',');
        words
            .find_map(|word| word.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
            .map(OsStr::from_bytes)
    }

    /// Whether its type is this, or one of its subtypes.
    #[must_use]
    pub fn is_kind(&self, kind: &str) -> bool {
        let found = self.kind.as_bytes();
        found.strip_prefix(kind.as_bytes()).is_some_and(|rest| rest.is_empty() || rest[0] == b'.')
    }

    /// Whether both show a part of one file system, and this one all that the other one shows.
    #[must_use]
    pub fn shows_all_of(&self, other: &Self) -> bool {
        self.device == other.device && other.root.starts_with(&self.root)
    }
}

/// All mounts that a process sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    mounts: Vec<Mount>,
}

impl Table {
    /// That of this thread.
    ///
    /// # Errors
    /// /proc does not answer.
    pub fn own() -> Result<Self> {
        let path = "/proc/thread-self/mountinfo";
        Self::read(&mut File::open(path).doing(|| format!("open {path}"))?)
            .doing(|| format!("read {path}"))
    }

    /// That of a process; none if it is gone, or already has no mounts any more.
    #[must_use]
    pub fn of_process(pid: i32) -> Option<Self> {
        Self::read(&mut File::open(format!("/proc/{pid}/mountinfo")).ok()?).ok()
    }

    /// From an open file of such lines.
    ///
    /// # Errors
    /// It cannot be read, or has another form.
    pub fn read(file: &mut impl Read) -> io::Result<Self> {
        let mut text = Vec::with_capacity(1 << 16);
        file.read_to_end(&mut text)?;
        Self::parse(&text).ok_or_else(|| io::Error::other("it has another form"))
    }

    /// From the text of the file.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        Some(Self { mounts: lines.map(Mount::parse).collect::<Option<_>>()? })
    }

    /// All of them, in the kernel's order.
    #[must_use]
    pub fn mounts(&self) -> &[Mount] {
        &self.mounts
    }

    /// The mount of that number.
    #[must_use]
    pub fn with_id(&self, id: u32) -> Option<&Mount> {
        self.mounts.iter().find(|mount| mount.id == id)
    }

    /// Those at a path, each on the one before it, hidden ones included.
    #[must_use]
    pub fn at(&self, point: &Path) -> Vec<&Mount> {
        let mut found: Vec<&Mount> =
            self.mounts.iter().filter(|mount| mount.point == point).collect();
        found.sort_by_cached_key(|mount| self.depth(mount));
        found
    }

    /// The one that a look at the path would show.
    #[must_use]
    pub fn on_top(&self, point: &Path) -> Option<&Mount> {
        let mut at = self.at(point);
        at.retain(|mount| self.hidden_by(mount).is_none());
        at.pop()
    }

    /// Those mounted on it, directly or not, the deepest first.
    #[must_use]
    pub fn below(&self, mount: &Mount) -> Vec<&Mount> {
        let mut found: Vec<&Mount> =
            self.mounts.iter().filter(|other| self.is_ancestor(mount.id, other)).collect();
        found.sort_by_cached_key(|other| std::cmp::Reverse(self.depth(other)));
        found
    }

    /// The mount in which a path lies that has no symbolic links.
    #[must_use]
    pub fn covering(&self, path: &Path) -> Option<&Mount> {
        path.ancestors().find_map(|ancestor| self.on_top(ancestor))
    }

    /// What was mounted over it, so that its path leads elsewhere.
    #[must_use]
    pub fn hidden_by(&self, mount: &Mount) -> Option<&Mount> {
        let is_child = |child: &Mount, of: &Mount| child.parent == of.id && child.id != of.id;
        let over = |child: &&Mount| is_child(child, mount) && child.point == mount.point;
        if let Some(child) = self.mounts.iter().find(over) {
            return Some(child);
        }
        let mut current = mount;
        for _ in 0..=self.mounts.len() {
            let parent = self.with_id(current.parent)?;
            if parent.id == current.id {
                return None;
            }
            let hides = |child: &&Mount| {
                is_child(child, parent)
                    && child.id != current.id
                    && current.point.starts_with(&child.point)
                    // Of two on one directory of one mount, which propagation can make, the later one is seen.
                    && (child.point != current.point
                        || self.position(child) > self.position(current))
            };
            if let Some(child) = self.mounts.iter().find(hides) {
                return Some(child);
            }
            current = parent;
        }
        None
    }

    fn position(&self, mount: &Mount) -> usize {
        self.mounts.iter().position(|other| other.id == mount.id).unwrap_or(0)
    }

    fn is_ancestor(&self, id: u32, mount: &Mount) -> bool {
        let mut current = mount;
        for _ in 0..=self.mounts.len() {
            if current.parent == id && current.id != id {
                return true;
            }
            match self.with_id(current.parent) {
                Some(parent) if parent.id != current.id => current = parent,
                _ => return false,
            }
        }
        false
    }

    fn depth(&self, mount: &Mount) -> usize {
        let mut current = mount;
        for depth in 0..=self.mounts.len() {
            match self.with_id(current.parent) {
                Some(parent) if parent.id != current.id => current = parent,
                _ => return depth,
            }
        }
        0
    }
}

fn has_word(options: &OsStr, word: &str) -> bool {
    options.as_bytes().split(|byte| *byte == b',').any(|option| option == word.as_bytes())
}

fn number(field: &[u8]) -> Option<u32> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

/// Blank, tab, newline, backslash and, on some kernels, `#` are shown as a backslash and three octal digits. A backslash
/// before anything else is not the kernel's, and stands for itself.
#[must_use]
pub fn decoded(field: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = (first == b'\\').then(|| tail.get(..3)).flatten().and_then(octal);
        bytes.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { &tail[3..] } else { tail };
    }
    OsString::from_vec(bytes)
}

fn octal(digits: &[u8]) -> Option<u8> {
    digits.iter().try_fold(0_u8, |value, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 8)?;
        value.checked_mul(8)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table(lines: &[&str]) -> Table {
        Table::parse(lines.join("\n").as_bytes()).unwrap()
    }

    #[test]
    fn a_line_with_all_optional_fields_and_one_with_none() {
        let line = b"36 35 98:0 /mnt1 /mnt\\0402 rw,noatime shared:2 master:1 propagate_from:3 future - ext3 /dev/root rw,errors=continue";
        let mount = Mount::parse(line).unwrap();
        assert_eq!((mount.id, mount.parent), (36, 35));
        assert_eq!(mount.device, Device { major: 98, minor: 0 });
        assert_eq!(mount.point, Path::new("/mnt 2"));
        assert_eq!((mount.shared, mount.master), (Some(2), Some(1)));
        assert!(mount.has_option("noatime") && !mount.has_option("no") && mount.is_kind("ext3"));
        assert_eq!(mount.super_option("errors"), Some(OsStr::new("continue")));
        let mount = Mount::parse(b"1 1 0:2 / / rw - fuse.x  rw").unwrap();
        assert_eq!((mount.shared, mount.source.as_os_str()), (None, OsStr::new("")));
        assert!(mount.is_kind("fuse") && mount.is_kind("fuse.x") && !mount.is_kind("fus"));
    }

    #[test]
    fn what_was_removed_is_still_shown() {
        let root = |line: &[u8]| Mount::parse(line).unwrap().root;
        assert_eq!(root(b"1 1 0:2 /a//deleted /b rw - x x rw"), Path::new("/a"));
        assert_eq!(root(b"1 1 0:2 /a/deleted /b rw - x x rw"), Path::new("/a/deleted"));
    }

    #[test]
    fn bytes_that_are_no_text_are_kept() {
        assert_eq!(decoded(b"/\xff\\012\\134a\\9\\1").as_bytes(), b"/\xff\n\\a\\9\\1");
        assert_eq!(decoded(b"\\777").as_bytes(), b"\\777", "no byte is so large");
    }

    #[test]
    fn of_mounts_on_one_another_the_last_is_seen() {
        let table = table(&[
            "1 1 8:1 / / rw - ext4 /dev/a rw",
            "2 1 8:2 / /srv rw - ext4 /dev/b rw",
            "3 2 8:3 / /srv rw - ext4 /dev/c rw",
            "4 3 8:4 / /srv/x rw - ext4 /dev/d rw",
        ]);
        let at: Vec<u32> = table.at(Path::new("/srv")).iter().map(|mount| mount.id).collect();
        assert_eq!(at, [2, 3]);
        assert_eq!(table.on_top(Path::new("/srv")).unwrap().id, 3);
        assert_eq!(table.hidden_by(table.with_id(2).unwrap()).unwrap().id, 3);
        assert_eq!(table.hidden_by(table.with_id(3).unwrap()), None);
        let below: Vec<u32> =
            table.below(table.with_id(2).unwrap()).iter().map(|mount| mount.id).collect();
        assert_eq!(below, [4, 3]);
        assert_eq!(table.covering(Path::new("/srv/x/y")).unwrap().id, 4);
        assert_eq!(table.covering(Path::new("/srvx")).unwrap().id, 1);
    }

    #[test]
    fn a_mount_over_a_directory_above_hides_too() {
        let table = table(&[
            "1 1 8:1 / / rw - ext4 /dev/a rw",
            "2 1 8:2 / /srv/deep rw - ext4 /dev/b rw",
            "3 1 8:3 / /srv rw - ext4 /dev/c rw",
        ]);
        assert_eq!(table.hidden_by(table.with_id(2).unwrap()).unwrap().id, 3);
        assert_eq!(table.on_top(Path::new("/srv/deep")), None);
    }

    /// As the kernel escapes (`mangle`, "` \t\n\\`").
    fn encoded(bytes: &[u8]) -> Vec<u8> {
        let escape = |byte: &u8| match byte {
            b' ' | b'\t' | b'\n' | b'\\' | b'#' => format!("\\{byte:03o}").into_bytes(),
            byte => vec![*byte],
        };
        bytes.iter().flat_map(escape).collect()
    }

    proptest! {
        #[test]
        fn what_the_kernel_escapes_is_what_comes_out(bytes in proptest::collection::vec(1_u8.., 0..60)) {
            let encoded = encoded(&bytes);
            let found = decoded(&encoded);
            prop_assert_eq!(found.as_bytes(), bytes.as_slice());
        }

        #[test]
        fn any_path_is_told_from_the_other_fields(bytes in proptest::collection::vec(1_u8.., 1..60)) {
            let mut line = b"7 1 8:1 / ".to_vec();
            line.extend(encoded(&bytes));
            line.extend(b" rw shared:1 - ext4 /dev/x ro");
            let mount = Mount::parse(&line).unwrap();
            prop_assert_eq!(mount.point.as_os_str().as_bytes(), bytes.as_slice());
            prop_assert!(mount.is_kind("ext4") && mount.has_super_option("ro"));
        }

        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Table::parse(&bytes);
        }

        /// Also not numbers that make a circle, as a torn read could.
        #[test]
        fn no_family_makes_it_turn_for_ever(parents in proptest::collection::vec((0_u32..6, 0_usize..4), 1..6)) {
            let points = ["/", "/a", "/a/b", "/c"];
            let lines: Vec<String> = (0_u32..).zip(&parents)
                .map(|(id, (parent, point))| format!("{id} {parent} 8:1 / {} rw - x y rw", points[*point]))
                .collect();
            let table = Table::parse(lines.join("\n").as_bytes()).unwrap();
            for mount in table.mounts() {
                let _ = (table.hidden_by(mount), table.below(mount), table.on_top(&mount.point));
            }
        }
    }
}
