//! Who else would mount something there, or has the device already.

#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;

use super::{fstab, units, unseen};
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::host::mount::device::{self, Source};
use crate::host::mount::{Device, Mount, Table, health};

/// Nobody else mounts something at that point at boot or whenever the device appears, by its true path or as it is `called`.
///
/// # Errors
/// Somebody does; the error says which line to change.
pub(super) fn nobody_else_mounts(point: &Path, called: &Path) -> Result<()> {
    let text = fs::read("/etc/fstab").unwrap_or_default();
    let is_it = |line: &fstab::Line| {
        [point, called].iter().any(|path| line.point.components().eq(path.components()))
    };
    if let Some(line) = fstab::lines(&text).find(is_it) {
        return Err(Error::Local(format!(
            "line {} of /etc/fstab mounts {} by itself too; {}",
            line.number,
            point.display(),
            line.remedy()
        )));
    }
    match units::wanted(Path::new("/"), point) {
        Some(unit) => Err(Error::Local(format!(
            "systemd mounts {} by itself too ({}); {}",
            point.display(),
            unit.name,
            unit.remedy()
        ))),
        None => Ok(()),
    }
}

/// No line mounts the device elsewhere at boot: on this node it would then be mounted while another one has it.
///
/// # Errors
/// One does; the error says which line to change.
pub(super) fn nobody_mounts_elsewhere(disk: Device, point: &Path) -> Result<()> {
    let text = fs::read("/etc/fstab").unwrap_or_default();
    let is_it = |line: &fstab::Line| {
        let binds = line.has("bind") || line.has("rbind");
        // A name that is no device is not looked at: it may be a directory of a server.
        let source = Source::parse(&line.source);
        let device = source.linked().filter(|path| path.starts_with("/dev"));
        // The subvolumes of a btrfs are mounted one by one.
        !binds && line.kind != "btrfs" && device.as_deref().and_then(device::number) == Some(disk)
    };
    match fstab::lines(&text).find(is_it) {
        Some(line) if !line.point.components().eq(point.components()) => {
            Err(Error::Local(format!(
                "line {} of /etc/fstab mounts {} at {} by itself; {}, or allow both by shared_device=true",
                line.number,
                line.source.display(),
                line.point.display(),
                line.remedy()
            )))
        }
        _ => Ok(()),
    }
}

/// Where else on this node the device is mounted, so that two would write to it.
///
/// # Errors
/// It is; the error says where.
pub(super) fn nobody_has(
    disk: Device,
    table: &Table,
    read_only: bool,
    deadline: &Deadline,
) -> Result<()> {
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
        None => unseen::nobody_has(disk, table, read_only, deadline),
    }
}
