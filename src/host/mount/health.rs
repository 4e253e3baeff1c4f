//! Whether a mounted file system is well, by what the kernel knows already: nothing here reads or writes the file system.

#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

use super::{Device, Mount, device};

/// File systems that nobody can write to.
const READ_ONLY_KINDS: &[&str] = &["iso9660", "squashfs", "erofs", "cramfs", "romfs"];

/// What is expected of a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Whether it was asked for read-write.
    pub writable: bool,
    /// Whether it only shows a directory of another mount, whose file system somebody else cares for.
    pub bind: bool,
    /// How many errors the file system had counted when it was mounted; none if nobody knows.
    pub errors: Option<u64>,
}

/// What is wrong with it, and what mends it; none if nothing is known to be.
#[must_use]
pub fn fault(mount: &Mount, expected: Expected) -> Option<String> {
    if expected.bind {
        return read_only(mount, expected);
    }
    // The cause comes before its effect: a device that is gone makes errors, and these make it read-only.
    disk_of(mount)
        .and_then(gone)
        .or_else(|| of_kind(mount, expected))
        .or_else(|| read_only(mount, expected))
}

fn of_kind(mount: &Mount, expected: Expected) -> Option<String> {
    match mount.kind.to_str()? {
        "ext2" | "ext3" | "ext4" => counted(mount, expected.errors),
        "xfs" => shut_down(mount),
        "btrfs" => lacking(mount),
        _ => None,
    }
}

fn read_only(mount: &Mount, expected: Expected) -> Option<String> {
    if !expected.writable || is_read_only_by_nature(mount) {
        return None;
    }
    if !expected.bind && (mount.has_super_option("ro") || mount.has_super_option("emergency_ro")) {
        return Some(
            "the file system is read-only, though not asked to be; the kernel's log has the cause, a fsck may mend it"
                .to_owned(),
        );
    }
    mount.has_option("ro").then(|| {
        "it is mounted read-only, though not asked to be; somebody remounted it, or put `ro` among the options"
            .to_owned()
    })
}

/// Nobody can write to it: an overlay without a directory for what is written is as read-only as an image.
fn is_read_only_by_nature(mount: &Mount) -> bool {
    READ_ONLY_KINDS.iter().any(|kind| mount.is_kind(kind))
        || (mount.is_kind("overlay") && mount.super_option("upperdir").is_none())
}

/// The block device of a mount. A btrfs has a number of its own, but its source is one of its devices.
#[must_use]
pub fn disk_of(mount: &Mount) -> Option<Device> {
    if mount.device.is_block() {
        return Some(mount.device);
    }
    let path = Path::new(&mount.source);
    if mount.is_kind("btrfs") && path.starts_with("/dev") { device::number(path) } else { None }
}

fn gone(disk: Device) -> Option<String> {
    let path = PathBuf::from(format!("/sys/dev/block/{disk}"));
    let Ok(place) = fs::canonicalize(&path) else {
        // A container without /sys tells of no device.
        path.parent().filter(|all| all.exists())?;
        return Some(format!(
            "its device {disk} is gone; the disk was removed or lost its connection"
        ));
    };
    state(&place, 0).map(|state| {
        format!("its disk is {state}; look at {} and at its cable or path", device::name(disk))
    })
}

/// In which bad state a disk is: of a device on several others, if all of them are.
fn state(place: &Path, depth: u32) -> Option<String> {
    // A partition is a directory of its disk.
    let disk = if place.join("partition").exists() { place.parent()? } else { place };
    let below: Vec<PathBuf> = entries(&disk.join("slaves"))
        .iter()
        .filter_map(|slave| fs::canonicalize(slave).ok())
        .collect();
    if !below.is_empty() && depth < 8 {
        let states: Option<Vec<String>> =
            below.iter().map(|slave| state(slave, depth + 1)).collect();
        return states?.into_iter().next();
    }
    let found = fs::read_to_string(disk.join("device/state")).ok()?;
    let found = found.trim();
    // SCSI (`sdev_states`), and NVMe (`nvme_ctrl_state`) which says others while it comes up.
    let bad = ["offline", "transport-offline", "deleted", "cancel", "dead", "deleting"];
    bad.contains(&found).then(|| found.to_owned())
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// The directory of a mounted file system of one device below /sys/fs; it goes with the last mount.
pub(super) fn sysfs(mount: &Mount) -> Option<PathBuf> {
    sysfs_of(mount.kind.to_str()?, mount.device)
}

fn sysfs_of(kind: &str, device: Device) -> Option<PathBuf> {
    let kind = match kind {
        "ext2" | "ext3" | "ext4" => "ext4",
        "xfs" => "xfs",
        "f2fs" => "f2fs",
        _ => return None,
    };
    let link = fs::canonicalize(format!("/sys/dev/block/{device}")).ok()?;
    Some(Path::new("/sys/fs").join(kind).join(link.file_name()?))
}

/// Whether the file system of that type and number is mounted anywhere at all, in whatever namespace, or kept alive by an open
/// file; none if its type does not tell.
#[must_use]
pub fn is_alive(kind: &str, device: Device) -> Option<bool> {
    sysfs_of(kind, device).map(|path| path.exists())
}

fn number_in(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// How many errors an ext4 has counted since the last fsck.
#[must_use]
pub fn errors(mount: &Mount) -> Option<u64> {
    number_in(&sysfs(mount)?.join("errors_count"))
}

/// The counter stands in the file system and outlives a mount: only what came since is a fault of this one.
fn counted(mount: &Mount, before: Option<u64>) -> Option<String> {
    let now = errors(mount)?;
    let new = match before {
        // fsck sets it back to 0.
        Some(before) if before <= now => now - before,
        Some(_) => now,
        None if happened_since_boot(mount) => now,
        None => 0,
    };
    (new > 0).then(|| {
        let place =
            last_error(mount).map_or(String::new(), |place| format!(", the last one in {place}"));
        format!("the kernel found {new} errors in it{place}; stop it and run `e2fsck -f`")
    })
}

fn last_error(mount: &Mount) -> Option<String> {
    let text = fs::read_to_string(sysfs(mount)?.join("last_error_func")).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn happened_since_boot(mount: &Mount) -> bool {
    let last = sysfs(mount).and_then(|path| number_in(&path.join("last_error_time")));
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let boot = stat.lines().find_map(|line| line.strip_prefix("btime "));
    let boot = boot.and_then(|text| text.trim().parse().ok());
    last.zip(boot).is_none_or(|(last, boot): (u64, u64)| last >= boot)
}

/// An XFS that was shut down answers EIO to everything, and to this first (`xfs_vn_getattr`). The attributes of the
/// topmost directory are in memory as long as it is mounted.
fn shut_down(mount: &Mount) -> Option<String> {
    let flags = AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    match statx(CWD, &mount.point, flags, StatxFlags::INO) {
        Err(rustix::io::Errno::IO) => Some(
            "the XFS was shut down after an error; the kernel's log has the cause, stop it and mount it again"
                .to_owned(),
        ),
        _ => None,
    }
}

/// Whether the kernel has a btrfs with that device.
#[must_use]
pub fn is_alive_btrfs(disk: Device) -> Option<bool> {
    let place = fs::canonicalize(format!("/sys/dev/block/{disk}")).ok()?;
    let name = place.file_name()?;
    let all = entries(Path::new("/sys/fs/btrfs"));
    Some(all.iter().any(|place| place.join("devices").join(name).exists()))
}

/// Whether two devices belong to one mounted btrfs.
#[must_use]
pub fn is_one_btrfs(one: Device, other: Device) -> bool {
    let name = |disk: Device| {
        let place = fs::canonicalize(format!("/sys/dev/block/{disk}")).ok()?;
        place.file_name().map(ToOwned::to_owned)
    };
    let (Some(one), Some(other)) = (name(one), name(other)) else { return false };
    let has = |place: &PathBuf, name| place.join("devices").join(name).exists();
    entries(Path::new("/sys/fs/btrfs")).iter().any(|place| has(place, &one) && has(place, &other))
}

/// A btrfs without one of its devices is one failure from being lost; who wants that says `degraded`.
fn lacking(mount: &Mount) -> Option<String> {
    if mount.has_super_option("degraded") {
        return None;
    }
    let name = fs::canonicalize(format!("/sys/dev/block/{}", disk_of(mount)?)).ok()?;
    let name = name.file_name()?;
    let ours = |path: &PathBuf| path.join("devices").join(name).exists();
    let place = entries(Path::new("/sys/fs/btrfs")).into_iter().find(ours)?;
    let missing = |path: &PathBuf| number_in(&path.join("missing")) == Some(1);
    entries(&place.join("devinfo")).iter().any(missing).then(|| {
        "one of the devices of the btrfs is missing; replace it, or put `degraded` among the options".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(line: &str) -> Mount {
        Mount::parse(line.as_bytes()).unwrap()
    }

    const WRITABLE: Expected = Expected { writable: true, bind: false, errors: None };

    #[test]
    fn read_only_is_a_fault_only_where_it_was_not_asked_for() {
        let forced = mount("1 1 0:99 / /x rw - tmpfs t ro");
        let remounted = mount("1 1 0:99 / /x ro - tmpfs t rw");
        let emergency = mount("1 1 0:99 / /x rw - tmpfs t rw,emergency_ro");
        for bad in [&forced, &remounted, &emergency] {
            assert!(fault(bad, WRITABLE).unwrap().contains("read-only"));
            assert_eq!(fault(bad, Expected { writable: false, ..WRITABLE }), None);
        }
        assert_eq!(fault(&forced, Expected { bind: true, ..WRITABLE }), None);
        assert!(fault(&remounted, Expected { bind: true, ..WRITABLE }).is_some());
        assert_eq!(fault(&mount("1 1 0:99 / /x ro - squashfs t ro"), WRITABLE), None);
        assert_eq!(fault(&mount("1 1 0:99 / /x rw - tmpfs t rw"), WRITABLE), None);
    }

    #[test]
    fn a_device_that_is_gone_is_the_cause() {
        let gone = mount("1 1 4095:77 / /x rw - ext4 /dev/gone ro");
        assert!(fault(&gone, WRITABLE).unwrap().contains("4095:77 is gone"));
    }

    #[test]
    fn a_disk_is_bad_by_its_own_word_and_a_group_of_disks_if_all_are() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().canonicalize().unwrap();
        let disk = |name: &str, state: &str| {
            fs::create_dir_all(base.join(name).join("device")).unwrap();
            fs::write(base.join(name).join("device/state"), state).unwrap();
        };
        disk("good", "running\n");
        disk("bad", "offline\n");
        fs::create_dir_all(base.join("bad/part")).unwrap();
        fs::write(base.join("bad/part/partition"), "1\n").unwrap();
        assert_eq!(state(&base.join("good"), 0), None);
        assert_eq!(state(&base.join("bad/part"), 0).as_deref(), Some("offline"));
        fs::create_dir_all(base.join("many/slaves")).unwrap();
        std::os::unix::fs::symlink(base.join("bad"), base.join("many/slaves/bad")).unwrap();
        assert_eq!(state(&base.join("many"), 0).as_deref(), Some("offline"));
        std::os::unix::fs::symlink(base.join("good"), base.join("many/slaves/good")).unwrap();
        assert_eq!(state(&base.join("many"), 0), None, "one path of several is enough");
    }
}
