//! Which mounts have to go.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::host::mount::{Device, Mount, Table, elsewhere, health, path};

/// What has to go.
#[derive(Clone, Debug)]
pub(super) struct Meant {
    /// The type of its file system.
    pub kind: String,
    /// The number of its file system.
    pub device: Device,
    /// The number of its device, which for a btrfs is another one.
    pub disk: Option<Device>,
    /// Which directory of that.
    pub root: PathBuf,
    /// Which subvolume of a btrfs, each of which is a resource of its own.
    pub subvolume: Option<OsString>,
    /// Where it is mounted.
    pub point: PathBuf,
    /// Whether all mounts of the device have to go, so that the device is free.
    pub everywhere: bool,
    /// The same for those in other namespaces, where it may be at another place.
    pub everywhere_abroad: bool,
    /// Whether other namespaces count: not for a bind mount, whose device is somebody else's matter.
    pub in_all_namespaces: bool,
}

impl Meant {
    /// Whether the kernel has its file system, if that is known.
    pub(super) fn is_alive(&self) -> Option<bool> {
        match self.disk {
            Some(disk) if self.kind == "btrfs" => health::is_alive_btrfs(disk),
            _ => health::is_alive(&self.kind, self.device),
        }
    }

    /// Whether a mount in this namespace has to go.
    pub(super) fn includes(&self, mount: &Mount) -> bool {
        let here = mount.point == self.point || mount.point == refuge(&self.point);
        self.shows(mount) && (self.everywhere || (here && mount.root == self.root))
    }

    fn includes_abroad(&self, mount: &Mount) -> bool {
        self.includes(mount) || (self.everywhere_abroad && self.shows(mount))
    }

    fn shows(&self, mount: &Mount) -> bool {
        let subvolume = self.subvolume.as_deref();
        mount.device == self.device
            && mount.root.starts_with(&self.root)
            && subvolume.is_none_or(|number| mount.super_option("subvolid") == Some(number))
    }

    /// All mounts that have to go, those on others first.
    ///
    /// # Errors
    /// Something that is not meant is mounted over one of them.
    pub(super) fn targets(&self, deadline: &Deadline) -> Result<Vec<Target>> {
        let mut table = Table::own()?;
        // Before Linux 5.8 a line is missing from what is read while another mount goes.
        if !table.mounts().iter().any(|mount| self.includes(mount)) {
            table = Table::own()?;
        }
        let table = Arc::new(table);
        let mut targets: Vec<Target> = Vec::new();
        for mount in table.mounts().iter().filter(|mount| self.includes(mount)) {
            self.add(mount, &table, None, &mut targets)?;
        }
        // A mount that is left behind alone, after it is gone here, is seen in the next round. To look through the namespaces of
        // all processes takes as long as to look for holders, so the kernel is asked first.
        let elsewhere = self.in_all_namespaces && self.is_alive() != Some(false);
        if targets.is_empty() && elsewhere {
            for copy in elsewhere::copies(|mount| self.includes_abroad(mount), deadline) {
                let table = Arc::new(copy.table);
                if let Some(mount) = table.with_id(copy.id) {
                    self.add(mount, &table, Some(copy.pid), &mut targets)?;
                }
            }
        }
        Ok(targets)
    }

    /// Adds a mount with all that is mounted on it.
    fn add(
        &self,
        mount: &Mount,
        table: &Arc<Table>,
        namespace_of: Option<i32>,
        targets: &mut Vec<Target>,
    ) -> Result<()> {
        // What a bind mount shows has it too, if both share; and that is somebody else's.
        let shares = |one: &Mount| {
            let parent = table.with_id(one.parent);
            !self.in_all_namespaces && parent.is_some_and(|parent| parent.shared.is_some())
        };
        let target = |one: &Mount| Target {
            mount: one.clone(),
            table: table.clone(),
            namespace_of,
            apart: (one.id != mount.id && shares(one)).then(|| mount.point.clone()),
        };
        if let Some(over) = table.hidden_by(mount).filter(|over| !self.shows(over)) {
            return Err(Error::Failed(format!(
                "cannot unmount {}: {} is mounted over it at {}; unmount that first",
                target(mount).place(),
                over.source.display(),
                over.point.display()
            )));
        }
        for one in table.below(mount).into_iter().chain([mount]) {
            let is_it =
                |known: &Target| known.mount.id == one.id && known.namespace_of == namespace_of;
            if !targets.iter().any(is_it) {
                targets.push(target(one));
            }
        }
        Ok(())
    }
}

/// Where a mount is moved to out of the way of new users: a hidden neighbour of the mount point.
pub(super) fn refuge(point: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(point.file_name().unwrap_or_default());
    point.with_file_name(name)
}

/// One mount that is there still.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// The mount.
    pub mount: Mount,
    /// The table in which it stands.
    pub table: Arc<Table>,
    /// A process in whose namespace it is, unless that is ours.
    pub namespace_of: Option<i32>,
    /// The mount that is cut off from those with which it shares, before this one on it is unmounted.
    pub apart: Option<PathBuf>,
}

impl Target {
    /// Where it is, for a reason.
    pub(super) fn place(&self) -> String {
        let point = path::shortened(&self.mount.point);
        match self.namespace_of {
            Some(pid) => format!("{point} in the mount namespace of process {pid}"),
            None => point,
        }
    }
}

/// Removes the refuge of a mount that is gone.
pub(super) fn remove_refuge(refuge: &Path) {
    // Somebody else's directory of that name is not for root alone, or has something in it.
    let ours = refuge.symlink_metadata().is_ok_and(|about| {
        about.is_dir() && about.uid() == 0 && about.permissions().mode() & 0o7777 == 0o700
    });
    if ours {
        let _ = std::fs::remove_dir(refuge);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refuge_is_a_hidden_neighbour() {
        assert_eq!(refuge(Path::new("/srv/data")), Path::new("/srv/.data"));
    }

    #[test]
    fn of_a_bind_mount_only_itself_is_meant_and_of_a_device_all_that_shows_it() {
        let parse = |line: &str| Mount::parse(line.as_bytes()).unwrap();
        let itself = parse("1 0 8:1 /sub /srv rw - ext4 /dev/a rw");
        let elsewhere = parse("2 0 8:1 /sub/x /other rw - ext4 /dev/a rw");
        let above = parse("3 0 8:1 / /all rw - ext4 /dev/a rw");
        let mut meant = Meant {
            kind: "ext4".to_owned(),
            device: Device { major: 8, minor: 1 },
            disk: None,
            root: "/sub".into(),
            subvolume: None,
            point: "/srv".into(),
            everywhere: false,
            everywhere_abroad: false,
            in_all_namespaces: false,
        };
        let included = |meant: &Meant| [&itself, &elsewhere, &above].map(|m| meant.includes(m));
        assert_eq!(included(&meant), [true, false, false]);
        assert!(!meant.includes_abroad(&elsewhere));
        meant.everywhere_abroad = true;
        assert!(meant.includes_abroad(&elsewhere) && !meant.includes_abroad(&above));
        meant.everywhere = true;
        assert_eq!(included(&meant), [true, true, false]);
    }
}
