//! Values that say what is mounted, where, and how it is unmounted.

#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

use nix::sys::signal::Signal;

use super::{accepted, text};
use crate::host::mount::Options;
use crate::host::mount::device::Source;
use crate::param::{Kind, Value, quoted};

/// A device to mount, or what a file system takes for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountSource(Source);

impl MountSource {
    /// What it names.
    #[must_use]
    pub fn get(&self) -> &Source {
        &self.0
    }
}

impl Value for MountSource {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        if has_outer_blanks(raw) {
            return Err(format!("{} begins or ends with a blank; remove it", quoted(raw)));
        }
        Ok(Self(Source::parse(raw)))
    }
}

/// A directory to mount at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountPoint(PathBuf);

impl MountPoint {
    /// The path.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        &self.0
    }
}

impl Value for MountPoint {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        if has_outer_blanks(raw) {
            return Err(format!("{} begins or ends with a blank; remove it", quoted(raw)));
        }
        let path = PathBuf::from(raw);
        let valid = path.is_absolute() && path.components().count() > 1;
        accepted(
            raw,
            valid.then_some(Self(path)),
            "a mount point",
            "an absolute path of a directory other than /",
        )
    }
}

/// Where below a mount point the status file is, and how its name begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusPrefix(OsString);

impl StatusPrefix {
    /// What the rest of the name follows.
    #[must_use]
    pub fn as_os_str(&self) -> &OsStr {
        &self.0
    }
}

impl Value for StatusPrefix {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        // As for the shell agents, nothing means the default.
        if raw.is_empty() {
            return Ok(Self(".Filesystem_status/".into()));
        }
        let parts = || Path::new(raw).components();
        let valid = !parts().any(|part| part == Component::ParentDir);
        accepted(
            raw,
            valid.then(|| Self(raw.to_owned())),
            "a prefix of a file",
            "a path below the mount point, such as .Filesystem_status/",
        )
    }
}

/// Type of a file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilesystemType(String);

impl FilesystemType {
    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for FilesystemType {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        let word = text(raw)?;
        // The name becomes that of a program (`mount.<type>`), which must not be one elsewhere.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte);
        let valid = word.bytes().all(plain) && !word.starts_with(['-', '.']);
        accepted(
            raw,
            valid.then(|| Self(word.to_owned())),
            "a type of file system",
            "a word such as ext4, xfs, btrfs, nfs, tmpfs, overlay, or none for a bind mount",
        )
    }
}

/// Mount options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountOptions(Options);

impl MountOptions {
    /// The options, told apart.
    #[must_use]
    pub fn get(&self) -> &Options {
        &self.0
    }
}

impl Value for MountOptions {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        Options::parse(raw).map(Self)
    }
}

/// What stop may do to processes that keep a mount busy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ForceUnmount {
    /// To whom.
    pub holders: Holders,
    /// Whether the mount may be moved out of reach, so that nobody new comes.
    pub relocate: bool,
}

/// What happens to processes that keep a mount busy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Holders {
    /// They are signalled.
    Signalled,
    /// They are named and left alone.
    Named,
    /// Nobody looks for them but to tell why stop failed.
    #[default]
    Left,
}

impl Value for ForceUnmount {
    const KIND: Kind = Kind::String;

    /// Words separated by commas, of which the last one of a kind wins.
    fn parse(raw: &OsStr) -> Result<Self, String> {
        let mut parsed = Self { holders: Holders::Signalled, relocate: false };
        let words = text(raw)?;
        if words.trim().is_empty() {
            return Ok(Self { holders: Holders::Left, ..parsed });
        }
        for word in words.split(',').map(str::trim) {
            match word {
                "yes" | "true" | "1" | "YES" | "TRUE" | "True" | "ja" | "on" | "ON" => {
                    parsed.holders = Holders::Signalled;
                }
                "safe" => parsed.holders = Holders::Named,
                "false" | "no" | "0" | "off" => parsed.holders = Holders::Left,
                "move" => parsed.relocate = true,
                "nomove" => parsed.relocate = false,
                // How the shell agent prints and sends signals, which changes nothing here.
                "ps" | "nops" | "xargs" | "noxargs" => {}
                _ => {
                    return Err(format!(
                        "{} is none of true, safe, false, move, nomove",
                        quoted(OsStr::new(word))
                    ));
                }
            }
        }
        Ok(parsed)
    }
}

/// Signals, in the order in which they are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signals(Vec<Signal>);

impl Signals {
    /// The signals.
    #[must_use]
    pub fn as_slice(&self) -> &[Signal] {
        &self.0
    }
}

impl Value for Signals {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        let words = text(raw)?.split([' ', ',', '\t']).filter(|word| !word.is_empty());
        let signals: Option<Vec<Signal>> = words.map(signal).collect();
        let signals = signals.filter(|signals| !signals.is_empty());
        accepted(raw, signals.map(Self), "a list of signals", "names such as TERM or INT,HUP")
    }
}

fn signal(word: &str) -> Option<Signal> {
    if let Ok(number) = word.parse::<i32>() {
        return Signal::try_from(number).ok();
    }
    let name = word.to_ascii_uppercase();
    let name = if name.starts_with("SIG") { name } else { format!("SIG{name}") };
    name.parse().ok()
}

fn has_outer_blanks(raw: &OsStr) -> bool {
    let bytes = raw.as_encoded_bytes();
    bytes.trim_ascii() != bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse<T: Value>(raw: &str) -> Option<T> {
        T::parse(OsStr::new(raw)).ok()
    }

    #[test]
    fn a_mount_point_is_absolute_and_not_the_root() {
        for good in ["/srv", "/srv/", "/a b/[1]", "/a\nb"] {
            assert!(parse::<MountPoint>(good).is_some(), "{good:?}");
        }
        for bad in ["", "/", "///", "/.", "srv", " /srv", "/srv "] {
            assert!(parse::<MountPoint>(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn a_status_file_is_below_the_mount_point() {
        let prefix = |raw| parse::<StatusPrefix>(raw).map(|prefix| prefix.0);
        assert_eq!(prefix(""), Some(".Filesystem_status/".into()));
        for good in [".x/", "x", "/a/b_", "..x/"] {
            assert_eq!(prefix(good), Some(good.into()));
        }
        for bad in ["..", "../x", "a/../../b"] {
            assert_eq!(prefix(bad), None);
        }
    }

    #[test]
    fn the_words_of_force_unmount() {
        use Holders::{Left, Named, Signalled};
        let cases = [
            ("true", Signalled, false),
            ("safe", Named, false),
            ("no", Left, false),
            ("", Left, false),
            ("move", Signalled, true),
            ("false,move,yes,xargs", Signalled, true),
            ("move,nomove", Signalled, false),
        ];
        for (text, holders, relocate) in cases {
            assert_eq!(parse(text), Some(ForceUnmount { holders, relocate }), "{text}");
        }
        assert_eq!(parse::<ForceUnmount>("Yes"), None);
    }

    #[test]
    fn signals_by_name_and_number() {
        let parsed: Signals = parse("TERM, sigint 9").unwrap();
        assert_eq!(parsed.as_slice(), [Signal::SIGTERM, Signal::SIGINT, Signal::SIGKILL]);
        for bad in ["", "TERMINATE", "0", "-9", "999"] {
            assert_eq!(parse::<Signals>(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_type_is_no_path_to_a_program() {
        assert!(parse::<FilesystemType>("fuse.sshfs").is_some());
        for bad in ["../x", "-t", "a b", ".x"] {
            assert!(parse::<FilesystemType>(bad).is_none(), "{bad}");
        }
    }
}
