//! Mount options, as `mount(8)` takes them, told apart by who understands them.

#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use nix::mount::MsFlags;

use crate::param::quoted;

/// How what is mounted below a mount spreads to others of its kind (`mount_namespaces(7)`).
pub const PROPAGATIONS: &[(&str, MsFlags)] = &[
    ("private", MsFlags::MS_PRIVATE),
    ("slave", MsFlags::MS_SLAVE),
    ("shared", MsFlags::MS_SHARED),
    ("unbindable", MsFlags::MS_UNBINDABLE),
    ("rprivate", MsFlags::MS_PRIVATE.union(MsFlags::MS_REC)),
    ("rslave", MsFlags::MS_SLAVE.union(MsFlags::MS_REC)),
    ("rshared", MsFlags::MS_SHARED.union(MsFlags::MS_REC)),
    ("runbindable", MsFlags::MS_UNBINDABLE.union(MsFlags::MS_REC)),
];

/// Words that set or clear a flag of the mount.
const MOUNT_FLAGS: &[(&str, MsFlags, bool)] = &[
    ("suid", MsFlags::MS_NOSUID, false),
    ("nosuid", MsFlags::MS_NOSUID, true),
    ("dev", MsFlags::MS_NODEV, false),
    ("nodev", MsFlags::MS_NODEV, true),
    ("exec", MsFlags::MS_NOEXEC, false),
    ("noexec", MsFlags::MS_NOEXEC, true),
    ("atime", MsFlags::MS_NOATIME, false),
    ("noatime", MsFlags::MS_NOATIME, true),
    ("diratime", MsFlags::MS_NODIRATIME, false),
    ("nodiratime", MsFlags::MS_NODIRATIME, true),
    ("relatime", MsFlags::MS_RELATIME, true),
    ("norelatime", MsFlags::MS_RELATIME, false),
    ("strictatime", MsFlags::MS_STRICTATIME, true),
    ("nostrictatime", MsFlags::MS_STRICTATIME, false),
    ("symfollow", NO_SYMFOLLOW, false),
    ("nosymfollow", NO_SYMFOLLOW, true),
];

/// Symbolic links in it are not followed (Linux 5.10, `mount(2)`).
pub const NO_SYMFOLLOW: MsFlags = MsFlags::from_bits_retain(256);

/// Words that let others than root mount it by fstab, with what they forbid besides (`mount(8)`).
const IMPLYING: &[(&str, MsFlags)] = &[
    ("user", SECURE.union(MsFlags::MS_NOEXEC)),
    ("users", SECURE.union(MsFlags::MS_NOEXEC)),
    ("owner", SECURE),
    ("group", SECURE),
];

const SECURE: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV);

/// Words that set or clear a flag of the file system.
const SUPER_FLAGS: &[(&str, MsFlags, bool)] = &[
    ("async", MsFlags::MS_SYNCHRONOUS, false),
    ("sync", MsFlags::MS_SYNCHRONOUS, true),
    ("dirsync", MsFlags::MS_DIRSYNC, true),
    ("lazytime", MsFlags::MS_LAZYTIME, true),
    ("nolazytime", MsFlags::MS_LAZYTIME, false),
    ("iversion", MsFlags::MS_I_VERSION, true),
    ("noiversion", MsFlags::MS_I_VERSION, false),
    ("silent", MsFlags::MS_SILENT, true),
    ("loud", MsFlags::MS_SILENT, false),
];

/// Words that are for fstab, `mount(8)` or systemd, and change nothing here.
const PASSED_OVER: &[&str] = &[
    "defaults", "auto", "noauto", "user", "nouser", "users", "nousers", "owner", "noowner",
    "group", "nogroup", "nofail", "_netdev", "mand", "nomand",
];

/// The options of a mount.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    words: Vec<OsString>,
    /// Whether nothing may be written.
    pub read_only: bool,
    /// Flags of the mount.
    pub mount_flags: Flags,
    /// Flags of the file system.
    pub super_flags: Flags,
    /// Whether to mount a directory of another mount, and whether with all below it.
    pub bind: Option<Bind>,
    /// Whether the device is a file that needs a loop device.
    pub loop_device: bool,
    /// Where in the file it begins.
    pub offset: u64,
    /// How much of the file it is, 0 for all.
    pub size_limit: u64,
    /// How what is mounted below spreads.
    pub propagation: Vec<&'static str>,
    /// What is left for the file system.
    pub data: Vec<OsString>,
}

/// Flags, which have no default of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(pub MsFlags);

impl Default for Flags {
    fn default() -> Self {
        Self(MsFlags::empty())
    }
}

/// What a bind mount shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bind {
    /// The directory.
    One,
    /// The directory and all that is mounted below it.
    WithAllBelow,
}

impl Options {
    /// From the text behind `-o`. Commas in double quotes are part of a value, and the quotes are not.
    ///
    /// # Errors
    /// A word that cannot be meant, completing "parameter options: …".
    pub fn parse(text: &OsStr) -> Result<Self, String> {
        Self::of(split(text.as_bytes())?)
    }

    /// From the words themselves.
    ///
    /// # Errors
    /// As for [`Options::parse`].
    pub fn of(words: Vec<OsString>) -> Result<Self, String> {
        let mut options = Self::default();
        for word in words {
            options.take(&word)?;
            options.words.push(word);
        }
        Ok(options)
    }

    /// The words, from which [`Options::of`] makes the same.
    #[must_use]
    pub fn words(&self) -> &[OsString] {
        &self.words
    }

    /// Whether a word stands among them.
    #[must_use]
    pub fn has(&self, word: &str) -> bool {
        self.words.iter().any(|found| found == word)
    }

    /// The value of a word that the file system understands, such as `subvol`; of several the last.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&OsStr> {
        let mut words = self.data.iter().rev().map(|word| word.as_bytes());
        words
            .find_map(|word| word.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
            .map(OsStr::from_bytes)
    }

    /// All of them for a program that mounts, but those that only fstab and systemd read.
    #[must_use]
    pub fn for_helper(&self) -> OsString {
        let kept = |word: &&OsString| !word.to_str().is_some_and(is_passed_over);
        let words: Vec<&OsStr> = self.words.iter().filter(kept).map(OsString::as_os_str).collect();
        words.join(OsStr::new(","))
    }

    /// All flags for `mount(2)`.
    #[must_use]
    pub fn flags(&self) -> MsFlags {
        let read_only = if self.read_only { MsFlags::MS_RDONLY } else { MsFlags::empty() };
        self.mount_flags.0 | self.super_flags.0 | read_only
    }

    /// What is for the file system, as `mount(2)` takes it.
    #[must_use]
    pub fn data_text(&self) -> OsString {
        self.data.join(OsStr::new(","))
    }

    fn take(&mut self, word: &OsStr) -> Result<(), String> {
        let Some(name) = word.to_str() else {
            self.data.push(word.to_owned());
            return Ok(());
        };
        if let Some((_, flag, set)) = find(MOUNT_FLAGS, name) {
            self.mount_flags.0.set(flag, set);
        } else if let Some((_, flag, set)) = find(SUPER_FLAGS, name) {
            self.super_flags.0.set(flag, set);
        } else if let Some((known, _)) = PROPAGATIONS.iter().find(|(known, _)| *known == name) {
            self.propagation.push(known);
        } else if let Some((_, flags)) = IMPLYING.iter().find(|(known, _)| *known == name) {
            self.mount_flags.0 |= *flags;
        } else if !self.take_special(name)? && !is_passed_over(name) {
            self.data.push(word.to_owned());
        }
        Ok(())
    }

    fn take_special(&mut self, word: &str) -> Result<bool, String> {
        let (name, value) = word.split_once('=').map_or((word, None), |(n, v)| (n, Some(v)));
        match (name, value) {
            ("ro", None) => self.read_only = true,
            ("rw", None) => self.read_only = false,
            ("bind", None) => self.bind = Some(Bind::One),
            ("rbind", None) => self.bind = Some(Bind::WithAllBelow),
            ("loop", None) => self.loop_device = true,
            ("loop", Some(device)) => {
                return Err(format!(
                    "loop={} names a device that others may have by then; plain loop takes a free one",
                    quoted(OsStr::new(device))
                ));
            }
            ("offset", Some(value)) => self.offset = bytes(value)?,
            ("sizelimit", Some(value)) => self.size_limit = bytes(value)?,
            ("remount" | "move", None) => {
                return Err(format!("{word:?} changes a mount that is there, and start makes one"));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn find(
    table: &[(&'static str, MsFlags, bool)],
    name: &str,
) -> Option<(&'static str, MsFlags, bool)> {
    table.iter().find(|(known, ..)| *known == name).copied()
}

fn is_passed_over(word: &str) -> bool {
    PASSED_OVER.contains(&word)
        || word.starts_with("x-")
        || word.starts_with("X-")
        || word.starts_with("comment=")
}

fn split(text: &[u8]) -> Result<Vec<OsString>, String> {
    let (mut words, mut word, mut inside) = (Vec::new(), Vec::new(), false);
    for byte in text {
        match byte {
            b'"' => inside = !inside,
            b',' if !inside => words.push(std::mem::take(&mut word)),
            byte => word.push(*byte),
        }
    }
    if inside {
        return Err(format!(
            "{} has a double quote that is not closed",
            quoted(OsStr::from_bytes(text))
        ));
    }
    words.push(word);
    Ok(words.into_iter().filter(|word| !word.is_empty()).map(OsString::from_vec).collect())
}

/// A number of bytes with a unit, as `losetup(8)` takes it.
fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || {
        format!(
            "{} is no number of bytes; give one such as 4096, 4K or 1M",
            quoted(OsStr::new(text))
        )
    };
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let unit: u64 = match &text[digits.len()..] {
        "" => 1,
        "K" | "KiB" => 1 << 10,
        "M" | "MiB" => 1 << 20,
        "G" | "GiB" => 1 << 30,
        "T" | "TiB" => 1 << 40,
        _ => return Err(wrong()),
    };
    number.checked_mul(unit).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Options {
        Options::parse(OsStr::new(text)).unwrap()
    }

    #[test]
    fn every_word_goes_to_who_understands_it() {
        let options = parse(
            "ro,rw,nosuid,noatime,sync,_netdev,x-systemd.after=a,data=journal,shared,noauto,,acl",
        );
        assert!(!options.read_only);
        assert_eq!(
            options.flags(),
            MsFlags::MS_NOSUID | MsFlags::MS_NOATIME | MsFlags::MS_SYNCHRONOUS
        );
        assert_eq!(options.data_text(), "data=journal,acl");
        assert_eq!(options.propagation, ["shared"]);
        assert!(options.has("_netdev") && !options.has("data"));
        assert_eq!(options.value("data"), Some(OsStr::new("journal")));
        assert_eq!((options.value("acl"), options.value("dat")), (None, None));
        assert_eq!(Options::of(options.words().to_vec()), Ok(options.clone()));
        assert_eq!(options.for_helper(), "ro,rw,nosuid,noatime,sync,data=journal,shared,acl");
    }

    #[test]
    fn who_lets_others_mount_it_forbids_programs_and_devices() {
        let secure = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        assert_eq!(parse("user").flags(), secure | MsFlags::MS_NOEXEC);
        assert_eq!(parse("users,exec,dev").flags(), MsFlags::MS_NOSUID);
        assert_eq!(parse("nosymfollow,owner").flags(), secure | NO_SYMFOLLOW);
        assert_eq!(parse("user,group,noowner").data_text(), "");
        assert_eq!(parse("users,uid=5").for_helper(), "uid=5");
    }

    #[test]
    fn a_loop_device_and_its_part_of_the_file() {
        let options = parse("loop,offset=1M,sizelimit=2097152");
        assert!(options.loop_device);
        assert_eq!((options.offset, options.size_limit), (1 << 20, 2 << 20));
        assert_eq!(parse("rbind").bind, Some(Bind::WithAllBelow));
    }

    #[test]
    fn commas_in_quotes_belong_to_the_value() {
        let options = parse("context=\"system_u:object_r:tmp_t:s0:c1,c2\",ro");
        assert_eq!(options.data, ["context=system_u:object_r:tmp_t:s0:c1,c2"]);
        assert!(options.read_only);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for text in ["remount", "move", "offset=x", "offset=9999999999T", "\"a", "loop=/dev/loop1"]
        {
            Options::parse(OsStr::new(text)).unwrap_err();
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Options::parse(OsStr::from_bytes(&bytes));
        }
    }
}
