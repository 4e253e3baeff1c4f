//! What is known of the types of file systems.

#![forbid(unsafe_code)]

use std::ffi::OsStr;

use crate::host::mount::Mount;

/// Those that one mounts without a block device.
const WITHOUT_DEVICE: &[&str] = &[
    "nfs4",
    "nfs",
    "aznfs",
    "efs",
    "smbfs",
    "cifs",
    "smb3",
    "none",
    "glusterfs",
    "ceph",
    "tmpfs",
    "ramfs",
    "overlay",
    "overlayfs",
    "rozofs",
    "zfs",
    "cvfs",
    "lustre",
    "9p",
    "virtiofs",
    "proc",
    "sysfs",
    "hugetlbfs",
    "bind",
];

/// Those that several nodes may mount at once.
const SHARED: &[&str] = &[
    "nfs4",
    "nfs",
    "aznfs",
    "efs",
    "smbfs",
    "cifs",
    "smb3",
    "none",
    "gfs2",
    "glusterfs",
    "ceph",
    "ocfs2",
    "cvfs",
    "lustre",
    "overlay",
    "overlayfs",
    "tmpfs",
    "ramfs",
    "9p",
    "virtiofs",
];

/// Those that even a read-only mount writes to, when it replays the journal.
const JOURNALLED: &[&str] = &["ext4", "ext4dev", "ext3", "reiserfs", "reiser4", "xfs", "jfs"];

/// Those that need no check before a mount, or have no fsck.
const UNCHECKED: &[&str] = &[
    "ext4",
    "ext4dev",
    "ext3",
    "reiserfs",
    "reiser4",
    "nss",
    "xfs",
    "jfs",
    "vfat",
    "fat",
    "nfs4",
    "nfs",
    "aznfs",
    "efs",
    "cifs",
    "smbfs",
    "ocfs2",
    "gfs2",
    "none",
    "lustre",
    "glusterfs",
    "ceph",
    "tmpfs",
    "overlay",
    "overlayfs",
    "rozofs",
    "zfs",
    "cvfs",
    "iso9660",
    "squashfs",
    "erofs",
    "romfs",
    "cramfs",
];

/// Those of the kernel that are in no other table.
const WITH_DEVICE: &[&str] =
    &["ext2", "btrfs", "bcachefs", "f2fs", "exfat", "ntfs3", "udf", "minix"];

/// Those whose mount shows as its device what it was mounted from, word for word.
const NAMED_BY_SOURCE: &[&str] = &["nfs", "nfs4", "cifs", "smbfs", "smb3"];

/// Those of the kernel that wait for a server or for another process, in a way that a signal ends, and that give up waiting when
/// they are forced (`umount_begin` of their drivers).
const REMOTE: &[&str] = &["nfs", "nfs4", "cifs", "smb3", "ceph", "9p", "fuse"];

pub(super) fn has_no_device(kind: &str) -> bool {
    WITHOUT_DEVICE.contains(&kind) || kind.starts_with("fuse.") || kind == "fuse"
}

pub(super) fn is_shared(kind: &str) -> bool {
    SHARED.contains(&kind)
}

pub(super) fn is_journalled(kind: &str) -> bool {
    JOURNALLED.contains(&kind)
}

pub(super) fn needs_no_check(kind: &str) -> bool {
    UNCHECKED.contains(&kind) || has_no_device(kind)
}

/// Whether its file system is elsewhere, and may not answer.
pub(super) fn is_remote(mount: &Mount) -> bool {
    REMOTE.iter().any(|kind| mount.is_kind(kind))
}

/// What the kernel calls a type that is known by another name to people or to a helper.
pub(super) fn in_kernel(kind: &str) -> &str {
    match kind {
        "aznfs" | "efs" => "nfs4",
        "overlayfs" => "overlay",
        "ext4dev" => "ext4",
        "smbfs" => "cifs",
        "glusterfs" => "fuse.glusterfs",
        "rozofs" => "fuse.rozofs",
        other => other,
    }
}

/// Whether a mount may be what was asked for by that type.
pub(super) fn is_same(kind: &str, mount: &Mount) -> bool {
    let kind = in_kernel(kind);
    let family = |members: &[&str]| {
        members.contains(&kind) && members.iter().any(|member| mount.is_kind(member))
    };
    // The driver of ext4 mounts its elders too, and a helper of nfs agrees with the server about the version.
    mount.is_kind(kind)
        || family(&["ext2", "ext3", "ext4"])
        || family(&["nfs", "nfs4"])
        || family(&["cifs", "smb3"])
        || is_same_fuse(kind, mount)
}

/// A program in user space tells the kernel its own name, or none.
fn is_same_fuse(kind: &str, mount: &Mount) -> bool {
    let name = |kind: &str| {
        let (family, name) = kind.split_once('.').unwrap_or((kind, ""));
        ["fuse", "fuseblk"].contains(&family).then(|| name.to_owned())
    };
    match (name(kind), name(&mount.kind.to_string_lossy())) {
        (Some(asked), Some(found)) => asked.is_empty() || found.is_empty() || asked == found,
        // The helper of a type that the kernel does not have (`ntfs-3g`, `davfs`) is such a program.
        (None, Some(found)) => !is_of_kernel(kind) && (found.is_empty() || found == kind),
        _ => false,
    }
}

/// Whether the kernel mounts it by itself, as far as these tables know.
pub(super) fn is_of_kernel(kind: &str) -> bool {
    let lists = [WITHOUT_DEVICE, SHARED, JOURNALLED, UNCHECKED];
    WITH_DEVICE.contains(&kind) || lists.iter().any(|list| list.contains(&kind))
}

/// Whether a mount of that type may come from there. Of most types without a device nobody can tell.
///
/// A server may have several names, and what is mounted from it twice the kernel calls as it was called first
/// (`nfs_show_devname`, `cifs_show_devname`): so only the name of the export or share counts.
pub(super) fn is_from(kind: &str, mount: &Mount, source: &OsStr) -> bool {
    if !NAMED_BY_SOURCE.contains(&kind) {
        return true;
    }
    let shared = |text: &OsStr| {
        let text = text.to_string_lossy();
        if kind.starts_with("nfs") {
            // An address of IPv6 has colons, and stands in brackets.
            let start = text.find("]:").map_or(0, |at| at + 1);
            let path = text[start..].split_once(':').map_or(&text[start..], |(_, path)| path);
            return path.trim_end_matches('/').to_owned();
        }
        let text = text.replace('\\', "/").to_ascii_lowercase();
        let text = text.trim_start_matches('/').trim_end_matches('/');
        text.split_once('/').map_or("", |(_, share)| share).to_owned()
    };
    shared(&mount.source) == shared(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(kind: &str) -> Mount {
        Mount::parse(format!("1 1 0:9 / /x rw - {kind} s rw").as_bytes()).unwrap()
    }

    #[test]
    fn a_type_has_several_names() {
        for (asked, found) in [
            ("ext4", "ext4"),
            ("ext3", "ext4"),
            ("nfs", "nfs4"),
            ("efs", "nfs4"),
            ("overlayfs", "overlay"),
            ("fuse.sshfs", "fuse.sshfs"),
            ("glusterfs", "fuse.glusterfs"),
            ("smbfs", "cifs"),
        ] {
            assert!(is_same(asked, &mount(found)), "{asked} {found}");
        }
        for (asked, found) in [
            ("fuse.a", "fuse"),
            ("fuse", "fuse.a"),
            ("fuse.a", "fuseblk.a"),
            ("ntfs-3g", "fuseblk"),
        ] {
            assert!(is_same(asked, &mount(found)), "{asked} {found}");
        }
        for (asked, found) in [
            ("ext4", "xfs"),
            ("tmpfs", "nfs"),
            ("nfs", "ext4"),
            ("fuse.a", "fuse.b"),
            ("ext4", "fuse"),
        ] {
            assert!(!is_same(asked, &mount(found)), "{asked} {found}");
        }
    }

    #[test]
    fn another_export_is_another_file_system() {
        let from = |kind: &str, source: &str, found: &str| {
            let mut mount = mount(kind);
            mount.source = found.into();
            is_from(kind, &mount, source.as_ref())
        };
        assert!(from("nfs", "s:/a", "s:/a/") && !from("nfs", "s:/a", "s:/A"));
        assert!(from("cifs", r"\\s\A", "//s/a") && !from("cifs", "//s/a", "//s/b"));
        // The same server by another name, as which somebody else mounted it first.
        assert!(from("nfs4", "10.0.0.1:/a", "nas:/a") && from("nfs", "[fe80::1%x]:/a/", "nas:/a"));
        assert!(!from("nfs", "[fe80::1]:/a", "[fe80::1]:/b") && from("nfs", "s:/", "[::1]:/"));
        assert!(
            from("cifs", "//nas/a/b", "//nas.example.com/a/b") && !from("cifs", "//s/a", "//s")
        );
        assert!(from("tmpfs", "x", "y"));
    }

    #[test]
    fn what_is_remote_is_said_by_the_kernels_type() {
        for found in ["nfs4", "cifs", "ceph", "fuse.sshfs", "fuse.glusterfs"] {
            assert!(is_remote(&mount(found)), "{found}");
        }
        for found in ["ext4", "tmpfs", "fuseblk", "nfsd", "overlay"] {
            assert!(!is_remote(&mount(found)), "{found}");
        }
    }
}
