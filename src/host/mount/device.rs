//! Which block device is meant.

#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::Device;
use super::superblock;
use crate::error::{Doing, Error, Result};

/// By what a block device is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// The identity of its file system.
    Uuid,
    /// The name of its file system.
    Label,
    /// The identity of the partition.
    PartUuid,
    /// The name of the partition.
    PartLabel,
}

impl Tag {
    const ALL: [(Self, &'static str, &'static str); 4] = [
        (Self::Uuid, "UUID", "by-uuid"),
        (Self::Label, "LABEL", "by-label"),
        (Self::PartUuid, "PARTUUID", "by-partuuid"),
        (Self::PartLabel, "PARTLABEL", "by-partlabel"),
    ];

    fn directory(self) -> &'static str {
        Self::ALL.iter().find(|(tag, ..)| *tag == self).map_or("", |(.., directory)| directory)
    }

    /// Its name in fstab.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(tag, ..)| *tag == self).map_or("", |(_, name, _)| name)
    }
}

/// What is mounted, as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A path, or what a file system without a device takes for one.
    Named(OsString),
    /// A block device by what stands on it.
    Tagged(Tag, OsString),
}

impl Source {
    /// From `UUID=…`, or the words of `mount(8)`: `-U …`, `--uuid=…`, `-L …`, `--label …`.
    #[must_use]
    pub fn parse(text: &OsStr) -> Self {
        let bytes = text.as_bytes();
        for (tag, name, _) in Tag::ALL {
            let value =
                bytes.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
            if let Some(value) = value {
                return Self::Tagged(tag, unquoted(value));
            }
        }
        let switches =
            [(Tag::Uuid, "-U"), (Tag::Uuid, "--uuid"), (Tag::Label, "-L"), (Tag::Label, "--label")];
        for (tag, switch) in switches {
            let Some(rest) = bytes.strip_prefix(switch.as_bytes()) else { continue };
            let long = switch.starts_with("--");
            let value = match rest.first() {
                Some(b'=') if long => &rest[1..],
                Some(b' ' | b'\t') => rest.trim_ascii_start(),
                Some(_) if !long => rest,
                _ => continue,
            };
            return Self::Tagged(tag, unquoted(value));
        }
        Self::Named(text.to_owned())
    }

    /// The text from which [`Source::parse`] makes the same.
    #[must_use]
    pub fn text(&self) -> OsString {
        match self {
            Self::Named(name) => name.clone(),
            Self::Tagged(tag, value) => {
                let mut text = OsString::from(tag.name());
                text.push("=\"");
                text.push(value);
                text.push("\"");
                text
            }
        }
    }

    /// As a reason names it.
    #[must_use]
    pub fn described(&self) -> String {
        match self {
            Self::Named(name) => name.to_string_lossy().into_owned(),
            Self::Tagged(tag, value) => format!("{}={}", tag.name(), value.display()),
        }
    }

    /// Where the block device is, by the links that udev makes, without any look at what stands on a device.
    #[must_use]
    pub fn linked(&self) -> Option<PathBuf> {
        match self {
            Self::Named(name) => Some(PathBuf::from(name)),
            Self::Tagged(tag, value) => {
                let name = link_name(value);
                let directory = Path::new("/dev/disk").join(tag.directory());
                Some(directory.join(name)).filter(|link| number(link).is_some())
            }
        }
    }

    /// Whether that is known to be another device: by a link of udev that has another value.
    #[must_use]
    pub fn is_another(&self, device: Device) -> bool {
        let Self::Tagged(tag, value) = self else { return false };
        let place = Path::new("/dev/disk").join(tag.directory());
        let own = link_name(value);
        // Identities are written in either case.
        let is_own = |name: &OsStr| match tag {
            Tag::Uuid | Tag::PartUuid => name.eq_ignore_ascii_case(&own),
            Tag::Label | Tag::PartLabel => name == own,
        };
        let links = std::fs::read_dir(place).into_iter().flatten().flatten();
        let mut its = links.filter(|link| number(&link.path()) == Some(device)).peekable();
        its.peek().is_some() && !its.any(|link| is_own(&link.file_name()))
    }

    /// Where the block device is; where udev has no link, by reading what stands on the devices that there are.
    #[must_use]
    pub fn found(&self) -> Option<PathBuf> {
        match (self.linked(), self) {
            (Some(path), _) => Some(path),
            (None, Self::Tagged(tag, value)) => superblock::search(*tag, value),
            (None, Self::Named(_)) => None,
        }
    }
}

fn unquoted(value: &[u8]) -> OsString {
    let inner = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    OsStr::from_bytes(inner.unwrap_or(value)).to_owned()
}

/// As udev writes a value into the name of a link: what is not plain is `\x` and two digits (`encode_devnode_name`).
fn link_name(value: &OsStr) -> OsString {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || b"#+-.:=@_".contains(&byte) || byte >= 0x80;
    let encode = |byte: &u8| {
        if plain(*byte) { vec![*byte] } else { format!("\\x{byte:02x}").into_bytes() }
    };
    let bytes: Vec<u8> = value.as_bytes().iter().flat_map(encode).collect();
    OsStr::from_bytes(&bytes).to_owned()
}

/// The number of a block device; none if there is no such device at that path.
#[must_use]
pub fn number(path: &Path) -> Option<Device> {
    let about = path.metadata().ok()?;
    about.file_type().is_block_device().then(|| Device::of(about.rdev()))
}

/// The same, with what to do about it.
///
/// # Errors
/// It is none.
pub fn required(path: &Path) -> Result<Device> {
    let about = match path.metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::NotInstalled(format!(
                "there is no device {}; check the parameter device, and whether the disk is connected",
                path.display()
            )));
        }
        other => other.doing(|| format!("look at the device {}", path.display()))?,
    };
    if about.file_type().is_block_device() {
        return Ok(Device::of(about.rdev()));
    }
    let hint = match about.file_type() {
        kind if kind.is_file() => "; with `loop` among the options a file will do",
        kind if kind.is_dir() => "; with `bind` among the options a directory will do",
        _ => "",
    };
    Err(Error::NotInstalled(format!("{} is no block device{hint}", path.display())))
}

/// Forgets what is cached of a device, since another node may have written to it meanwhile.
pub fn forget_cached(path: &Path) {
    // Best effort: the kernel does the same when the last who has it open closes it.
    let _ = std::fs::File::open(path).and_then(|device| super::ioctl::flush(&device));
}

/// Whether somebody has the device for himself: a file system that is mounted wherever, swap, or a device on top of it
/// (`open(2)`, `O_EXCL` for block devices). One that cannot be opened at all is nobody's, as far as can be told.
#[must_use]
pub fn is_claimed(device: Device) -> bool {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = libc::O_EXCL | libc::O_NONBLOCK;
    let opened = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(name(device));
    opened.is_err_and(|error| error.raw_os_error() == Some(libc::EBUSY))
}

/// A name below /dev for a device, for people.
#[must_use]
pub fn name(device: Device) -> String {
    let link = format!("/sys/dev/block/{device}");
    let name = std::fs::canonicalize(link).ok().and_then(|path| Some(path.file_name()?.to_owned()));
    match name {
        Some(name) => format!("/dev/{}", name.to_string_lossy().replace('!', "/")),
        None => format!("device {device}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ways_to_name_a_device() {
        let tagged = |tag, value: &str| Source::Tagged(tag, value.into());
        let cases = [
            ("UUID=12-ab", tagged(Tag::Uuid, "12-ab")),
            ("LABEL=\"my disk\"", tagged(Tag::Label, "my disk")),
            ("PARTUUID=x", tagged(Tag::PartUuid, "x")),
            ("PARTLABEL=x", tagged(Tag::PartLabel, "x")),
            ("-U x", tagged(Tag::Uuid, "x")),
            ("-Ux", tagged(Tag::Uuid, "x")),
            ("--uuid=x", tagged(Tag::Uuid, "x")),
            ("--label  x y", tagged(Tag::Label, "x y")),
            ("-Lx", tagged(Tag::Label, "x")),
            ("/dev/sda1", Source::Named("/dev/sda1".into())),
            ("server:/export", Source::Named("server:/export".into())),
            ("--unknown", Source::Named("--unknown".into())),
        ];
        for (text, expected) in cases {
            assert_eq!(Source::parse(text.as_ref()), expected, "{text}");
            assert_eq!(Source::parse(&expected.text()), expected, "{text}");
        }
    }

    #[test]
    fn a_link_of_udev_has_no_blanks_and_slashes() {
        assert_eq!(link_name("my disk/ä".as_ref()), "my\\x20disk\\x2fä");
    }

    #[test]
    fn what_is_no_block_device_has_no_number() {
        assert_eq!(number(Path::new("/dev/null")), None);
        assert_eq!(required(Path::new("/dev/none")).unwrap_err().code().number(), 5);
        assert_eq!(required(Path::new("/dev/null")).unwrap_err().code().number(), 5);
        assert!(required(Path::new("/proc")).unwrap_err().reason().contains("`bind`"));
    }
}
