//! Which mounts have to go.

#![forbid(unsafe_code)]

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::host::mount::{Device, Mount, Table, elsewhere, health};

/// What has to go.
#[derive(Clone, Debug)]
pub(super) struct Meant {
    /// The type of its file system.
    pub kind: String,
    /// The number of its file system.
    pub device: Device,
    /// Which directory of that.
    pub root: PathBuf,
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
        health::is_alive(&self.kind, self.device)
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
        mount.device == self.device && mount.root.starts_with(&self.root)
    }

    /// All mounts that have to go, those on others first.
    ///
    /// # Errors
    /// Something that is not meant is mounted over one of them.
    pub(super) fn targets(&self, deadline: &Deadline) -> Result<Vec<Target>> {
        let table = Arc::new(Table::own()?);
        let mut targets: Vec<Target> = Vec::new();
        for mount in table.mounts().iter().filter(|mount| self.includes(mount)) {
            let on_it = table.below(mount);
            let over =
                on_it.iter().find(|over| over.point == mount.point && over.device != mount.device);
            if let Some(over) = over {
                return Err(Error::Failed(format!(
                    "cannot unmount {}: {} is mounted over it; unmount that first",
                    mount.point.display(),
                    over.source.display()
                )));
            }
            for mount in on_it.into_iter().chain([mount]) {
                let known = targets.iter().any(|target| target.mount.id == mount.id);
                if !known {
                    let (mount, table) = (mount.clone(), table.clone());
                    targets.push(Target { mount, table, namespace_of: None });
                }
            }
        }
        // A mount that is left behind alone, after it is gone here, is seen in the next round. To look through the namespaces of
        // all processes takes as long as to look for holders, so the kernel is asked first.
        let elsewhere = self.in_all_namespaces && self.is_alive() != Some(false);
        if targets.is_empty() && elsewhere {
            targets = self.foreign(deadline);
        }
        Ok(targets)
    }

    fn foreign(&self, deadline: &Deadline) -> Vec<Target> {
        let copies = elsewhere::copies(|mount| self.includes_abroad(mount), deadline);
        let target = |copy: elsewhere::Copy| {
            let mount = copy.mount()?.clone();
            Some(Target { mount, table: copy.table.into(), namespace_of: Some(copy.pid) })
        };
        copies.into_iter().filter_map(target).collect()
    }
}

/// Where a mount is moved to out of the way of new users: a hidden neighbour of the mount point.
pub(super) fn refuge(point: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
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
}

impl Target {
    /// Where it is, for a reason.
    pub(super) fn place(&self) -> String {
        let point = self.mount.point.display();
        match self.namespace_of {
            Some(pid) => format!("{point} in the mount namespace of process {pid}"),
            None => point.to_string(),
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
            root: "/sub".into(),
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
