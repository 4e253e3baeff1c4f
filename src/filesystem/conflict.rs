//! Who else would mount something there, or has the device already.

#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};

use super::unseen;
use crate::error::{Error, Result};
use crate::host::mount::table::decoded;
use crate::host::mount::{Device, Mount, Table, health};

/// Where links say that a unit is wanted.
const UNITS: &str = "/etc/systemd/system";

/// Nobody else mounts something at that point at boot or whenever the device appears.
///
/// # Errors
/// Somebody does; the error says which line to change.
pub(super) fn nobody_else_mounts(point: &Path) -> Result<()> {
    let text = fs::read("/etc/fstab").unwrap_or_default();
    if let Some(line) = in_fstab(&text, point) {
        return Err(Error::Local(format!(
            "line {line} of /etc/fstab mounts {} at boot too; add `noauto` to its options, or remove it",
            point.display()
        )));
    }
    match wanted_unit(Path::new(UNITS), point) {
        Some(unit) => Err(Error::Local(format!(
            "systemd mounts {} too; run `systemctl disable '{unit}'`",
            point.display()
        ))),
        None => Ok(()),
    }
}

/// The number of the line that mounts something there by itself.
fn in_fstab(text: &[u8], point: &Path) -> Option<usize> {
    let is_it = |line: &[u8]| {
        let mut fields = line.split(u8::is_ascii_whitespace).filter(|f| !f.is_empty());
        let first = fields.next()?;
        let second = PathBuf::from(decoded(fields.next()?));
        let options = fields.nth(1).unwrap_or_default();
        let mut words = options.split(|byte| *byte == b',');
        let same = second.components().eq(point.components());
        (!first.starts_with(b"#") && same && !words.any(|word| word == b"noauto")).then_some(())
    };
    text.split(|byte| *byte == b'\n').position(|line| is_it(line).is_some()).map(|at| at + 1)
}

fn wanted_unit(units: &Path, point: &Path) -> Option<String> {
    let names = ["mount", "automount"].map(|kind| format!("{}.{kind}", escaped(point)));
    let directories = fs::read_dir(units).ok()?.flatten().map(|entry| entry.path());
    let wanting = directories
        .filter(|path| path.extension().is_some_and(|kind| kind == "wants" || kind == "requires"));
    let mut wanted = wanting.flat_map(|path| names.iter().map(move |name| (path.join(name), name)));
    wanted.find(|(link, _)| link.symlink_metadata().is_ok()).map(|(_, name)| name.clone())
}

/// A path as the name of a unit (`systemd-escape(1)`).
fn escaped(path: &Path) -> String {
    use std::fmt::Write;
    use std::os::unix::ffi::OsStrExt;
    let bytes = path.as_os_str().as_bytes();
    let mut name = String::new();
    for byte in bytes.trim_ascii_start().strip_prefix(b"/").unwrap_or(bytes) {
        match byte {
            b'/' => name.push('-'),
            b'.' if name.is_empty() => name.push_str("\\x2e"),
            byte if byte.is_ascii_alphanumeric() || b":_.".contains(byte) => {
                name.push(char::from(*byte));
            }
            byte => {
                let _ = write!(name, "\\x{byte:02x}");
            }
        }
    }
    name
}

/// Where else on this node the device is mounted, so that two would write to it.
///
/// # Errors
/// It is; the error says where.
pub(super) fn nobody_has(disk: Device, table: &Table, read_only: bool) -> Result<()> {
    let has = |mount: &&Mount| {
        // The subvolumes of a btrfs are mounted one by one, which is what they are for.
        !mount.is_kind("btrfs") && health::disk_of(mount) == Some(disk)
    };
    let writable = |mount: &&Mount| !(read_only && mount.has_super_option("ro"));
    match table.mounts().iter().filter(has).find(writable) {
        Some(mount) => Err(Error::Local(format!(
            "{} is mounted at {} already; unmount it there, or allow both by shared_device=true",
            mount.source.display(),
            mount.point.display()
        ))),
        None => unseen::nobody_has(disk, table, read_only),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_fstab_fights_unless_it_waits_to_be_called() {
        let text = b"# comment\n/dev/a /srv ext4 defaults 0 0\n/dev/b /my\\040disk/ xfs noauto,ro 0 0\n/dev/c /my\\040data xfs\n#/dev/d /old ext4";
        assert_eq!(in_fstab(text, Path::new("/srv")), Some(2));
        assert_eq!(in_fstab(text, Path::new("/my disk")), None);
        assert_eq!(in_fstab(text, Path::new("/my data")), Some(4));
        assert_eq!(in_fstab(text, Path::new("/old")), None);
        assert_eq!(in_fstab(text, Path::new("/sr")), None);
    }

    #[test]
    fn a_unit_fights_if_somebody_wants_it() {
        assert_eq!(escaped(Path::new("/srv/my-data x")), "srv-my\\x2ddata\\x20x");
        assert_eq!(escaped(Path::new("/.a/.b")), "\\x2ea-.b");
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("local-fs.target.wants")).unwrap();
        assert_eq!(wanted_unit(directory.path(), Path::new("/srv")), None);
        let link = directory.path().join("local-fs.target.wants/srv.mount");
        std::os::unix::fs::symlink("../srv.mount", link).unwrap();
        assert_eq!(wanted_unit(directory.path(), Path::new("/srv")).as_deref(), Some("srv.mount"));
    }
}
