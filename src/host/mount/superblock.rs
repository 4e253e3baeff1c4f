//! What stands on a block device: type, identity and name of its file system, for hosts whose udev has no links.
//!
//! The places are those of the kernel's own headers: `fs/ext4/ext4.h`, `fs/xfs/libxfs/xfs_format.h`,
//! `include/uapi/linux/{btrfs_tree,f2fs,gfs2_ondisk,iso_fs,msdos_fs}.h`, `fs/squashfs/squashfs_fs.h`, `fs/erofs/erofs_fs.h`.

#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::device::Tag;

/// A file system on a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its type.
    pub kind: &'static str,
    /// Its identity in the usual form.
    pub uuid: String,
    /// Its name.
    pub label: OsString,
}

/// Where a file system says what it is.
struct Form {
    kind: &'static str,
    magic: (u64, &'static [u8]),
    uuid: Identity,
    /// Where its name is, and how long; nowhere if that is 0.
    label: (u64, usize),
}

/// In which form it says which one it is.
#[derive(Clone, Copy)]
enum Identity {
    /// Sixteen bytes.
    Uuid(u64),
    /// Four bytes, the last one first.
    Serial(u64),
    /// It does not.
    None,
}

use Identity::{Serial, Uuid};

const FORMS: &[Form] = &[
    Form { kind: "ext4", magic: (0x438, b"\x53\xEF"), uuid: Uuid(0x468), label: (0x478, 16) },
    Form { kind: "xfs", magic: (0, b"XFSB"), uuid: Uuid(32), label: (108, 12) },
    Form {
        kind: "btrfs",
        magic: (0x10040, b"_BHRfS_M"),
        uuid: Uuid(0x10020),
        label: (0x1012B, 256),
    },
    Form { kind: "f2fs", magic: (0x400, b"\x10\x20\xF5\xF2"), uuid: Uuid(0x46C), label: (0, 0) },
    Form {
        kind: "gfs2",
        magic: (0x10000, b"\x01\x16\x19\x70"),
        uuid: Uuid(0x10100),
        label: (0, 0),
    },
    Form { kind: "vfat", magic: (0x52, b"FAT32   "), uuid: Serial(0x43), label: (0x47, 11) },
    Form { kind: "vfat", magic: (0x36, b"FAT16   "), uuid: Serial(0x27), label: (0x2B, 11) },
    Form { kind: "vfat", magic: (0x36, b"FAT12   "), uuid: Serial(0x27), label: (0x2B, 11) },
    Form { kind: "exfat", magic: (3, b"EXFAT   "), uuid: Serial(0x64), label: (0, 0) },
    Form { kind: "iso9660", magic: (0x8001, b"CD001"), uuid: Identity::None, label: (0x8028, 32) },
    Form { kind: "squashfs", magic: (0, b"hsqs"), uuid: Identity::None, label: (0, 0) },
    Form {
        kind: "erofs",
        magic: (0x400, b"\xE2\xE1\xF5\xE0"),
        uuid: Uuid(0x430),
        label: (0x440, 16),
    },
];

/// What is on an open device. This waits for the device.
#[must_use]
pub fn look(device: &File) -> Option<Found> {
    FORMS.iter().find_map(|form| {
        let read = |at: u64, length: usize| {
            let mut bytes = vec![0; length];
            device.read_exact_at(&mut bytes, at).ok().map(|()| bytes)
        };
        let (at, magic) = form.magic;
        if read(at, magic.len())? != magic {
            return None;
        }
        let mut label = read(form.label.0, form.label.1)?;
        label.truncate(label.iter().position(|byte| *byte == 0).unwrap_or(label.len()));
        let label = OsStr::from_bytes(label.trim_ascii_end()).to_owned();
        let kind = if form.kind == "ext4" { extended(&read(0x45C, 12)?) } else { form.kind };
        let uuid = match form.uuid {
            Identity::Uuid(at) => uuid(&read(at, 16)?),
            Identity::Serial(at) => serial(&read(at, 4)?),
            Identity::None => String::new(),
        };
        Some(Found { kind, uuid, label })
    })
}

fn serial(bytes: &[u8]) -> String {
    let [a, b, c, d] = [3, 2, 1, 0].map(|at| bytes[at]);
    format!("{a:02X}{b:02X}-{c:02X}{d:02X}")
}

/// Which of its family by its features: a journal makes ext3, what that does not know makes ext4.
fn extended(features: &[u8]) -> &'static str {
    let word = |at: usize| {
        features[at..at + 4].iter().rev().fold(0_u32, |word, byte| word << 8 | u32::from(*byte))
    };
    let (compatible, incompatible, read_only) = (word(0), word(4), word(8));
    let has_journal = compatible & 0x4 != 0;
    match (incompatible & !0x16 != 0 || read_only & !0x7 != 0, has_journal) {
        (true, _) => "ext4",
        (false, true) => "ext3",
        (false, false) => "ext2",
    }
}

fn uuid(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (at, byte) in bytes.iter().enumerate() {
        if [4, 6, 8, 10].contains(&at) {
            text.push('-');
        }
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The type of the file system on a device.
#[must_use]
pub fn kind(path: &Path) -> Option<&'static str> {
    Some(look(&File::open(path).ok()?)?.kind)
}

/// The block device that has that tag. This reads from all devices, and waits for them.
#[must_use]
pub fn search(tag: Tag, value: &OsStr) -> Option<PathBuf> {
    let entries = std::fs::read_dir("/sys/class/block").into_iter().flatten().flatten();
    let mut names: Vec<OsString> = entries.map(|entry| entry.file_name()).collect();
    names.sort();
    names.into_iter().find_map(|name| {
        let path = Path::new("/dev").join(name.to_string_lossy().replace('!', "/"));
        has_tag(&name, &path, tag, value).then_some(path)
    })
}

fn has_tag(name: &OsStr, path: &Path, tag: Tag, value: &OsStr) -> bool {
    let of_partition = |key: &str| {
        let uevent = std::fs::read(Path::new("/sys/class/block").join(name).join("uevent"));
        let uevent = uevent.unwrap_or_default();
        let mut lines = uevent.split(|byte| *byte == b'\n');
        lines
            .find_map(|line| line.strip_prefix(key.as_bytes())?.strip_prefix(b"="))
            .map(|found| OsStr::from_bytes(found).to_owned())
    };
    let same = |found: &OsStr| found.eq_ignore_ascii_case(value);
    match tag {
        // The kernel tells these of partitions since 6.10.
        Tag::PartUuid => of_partition("PARTUUID").is_some_and(|found| same(&found)),
        Tag::PartLabel => of_partition("PARTNAME").is_some_and(|found| found == value),
        Tag::Uuid | Tag::Label => {
            let found = File::open(path).ok().and_then(|device| look(&device));
            // What has no name is not meant by an empty one.
            found.filter(|_| !value.is_empty()).is_some_and(|found| match tag {
                Tag::Uuid => same(OsStr::new(&found.uuid)),
                _ => found.label == value,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_says_what_it_is() {
        let mut image = vec![0; 0x11000];
        image[0x10040..0x10048].copy_from_slice(b"_BHRfS_M");
        image[0x10020..0x10030].copy_from_slice(&[0xAB; 16]);
        image[0x1012B..0x1012F].copy_from_slice(b"data");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &image).unwrap();
        let found = look(file.as_file()).unwrap();
        assert_eq!((found.kind, found.label.as_os_str()), ("btrfs", OsStr::new("data")));
        assert_eq!(found.uuid, "abababab-abab-abab-abab-abababababab");
        let mut image = vec![0; 0x200];
        image[0x52..0x5A].copy_from_slice(b"FAT32   ");
        image[0x43..0x47].copy_from_slice(&[0x78, 0x56, 0x34, 0x12]);
        image[0x47..0x52].copy_from_slice(b"MY DISK    ");
        std::fs::write(file.path(), &image).unwrap();
        let found = look(file.as_file()).unwrap();
        assert_eq!((found.kind, found.label.as_os_str()), ("vfat", OsStr::new("MY DISK")));
        assert_eq!(found.uuid, "1234-5678");
        std::fs::write(file.path(), b"XFS").unwrap();
        assert_eq!(look(file.as_file()), None, "too short for anything");
    }

    #[test]
    fn the_family_of_ext_is_told_apart() {
        let features = |words: [u32; 3]| words.map(u32::to_le_bytes).concat();
        assert_eq!(extended(&features([0x38, 0x2, 0x3])), "ext2");
        assert_eq!(extended(&features([0x3C, 0x2, 0x3])), "ext3");
        assert_eq!(extended(&features([0x3C, 0x2C2, 0x46B])), "ext4");
    }
}
