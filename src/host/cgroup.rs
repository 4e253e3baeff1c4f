//! A control group of version 2 for one service (`cgroups(7)`): membership that no process can leave by itself.
//!
//! The group is made below that of the caller, so that whatever limits and accounts the caller limits the service
//! too. Where there is no hierarchy of version 2, or it cannot be written, there is none.

#![forbid(unsafe_code)]

use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A control group of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf(PathBuf);

impl Leaf {
    /// The group that was made before, at `path`.
    #[must_use]
    pub fn at(path: &Path) -> Option<Self> {
        let sound = path.is_absolute() && path.join("cgroup.procs").exists();
        sound.then(|| Self(path.to_owned()))
    }

    /// The group of that name below the caller's, which need not exist.
    #[must_use]
    pub fn path_of(name: &str) -> Option<PathBuf> {
        Some(callers()?.join(name))
    }

    /// The group of that name, from the root of the hierarchy that systemd uses: that of version 2, or where a host has
    /// both the one of version 1 that is systemd's own. None if it is not there, which it is not once it is empty.
    #[must_use]
    pub fn of_hierarchy(name: &str) -> Option<Self> {
        let below = Path::new(name);
        let plain = below.components().all(|part| part.as_os_str() != "..");
        if !below.is_absolute() || !plain {
            return None;
        }
        let mounts = fs::read("/proc/self/mountinfo").ok()?;
        let lines = || mounts.split(|byte| *byte == b'\n');
        let all = lines().filter_map(mounted).chain(lines().filter_map(mounted_for_systemd));
        all.filter_map(|(root, place)| Some(place.join(below.strip_prefix(&root).ok()?)))
            .find_map(|path| Self::at(&path))
    }

    /// Makes the group at `path`; none where that is not possible.
    #[must_use]
    pub fn make(path: &Path) -> Option<Self> {
        match fs::create_dir(path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => None,
            _ => Self::at(path),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The numbers of the processes in it and below it.
    #[must_use]
    pub fn processes(&self) -> Vec<i32> {
        let mut found = Vec::new();
        let mut waiting = vec![self.0.clone()];
        while let Some(directory) = waiting.pop() {
            let list = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
            // A process of an outer namespace is shown as 0.
            found.extend(
                list.lines().filter_map(|line| line.parse().ok()).filter(|pid: &i32| *pid > 0),
            );
            for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    waiting.push(entry.path());
                }
            }
        }
        found
    }

    /// Kills all in it at once, however fast they multiply (Linux 5.14). Without that file nothing happens.
    pub fn kill(&self) {
        crate::trace_ask!("kill the control group {}", self.0.display());
        let _ = fs::write(self.0.join("cgroup.kill"), "1");
    }

    /// Removes it and what the service made below it. The kernel refuses while there is a process.
    pub fn remove(&self) {
        for entry in fs::read_dir(&self.0).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                Self(entry.path()).remove();
            }
        }
        let _ = fs::remove_dir(&self.0);
    }
}

/// Moves this process into the group at `path`.
///
/// # Errors
/// The kernel refused.
pub fn join(path: &Path) -> std::io::Result<()> {
    fs::write(path.join("cgroup.procs"), "0")
}

/// The directory of this process's group of version 2. The table of mounts may be long, so it is read once.
fn callers() -> Option<PathBuf> {
    static DIRECTORY: OnceLock<Option<PathBuf>> = OnceLock::new();
    DIRECTORY.get_or_init(look_for_callers).clone()
}

fn look_for_callers() -> Option<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let mounts = fs::read("/proc/self/mountinfo").ok()?;
    let (root, place) = mounts.split(|byte| *byte == b'\n').find_map(mounted)?;
    let below = Path::new("/").join(own);
    let below = below.strip_prefix(&root).ok()?;
    let directory = place.join(below);
    // A group outside of our namespace is shown with "..".
    let inside = !own.split('/').any(|part| part == "..");
    (inside && directory.join("cgroup.procs").exists()).then_some(directory)
}

/// The root and the place of a mount of version 2 (`proc_pid_mountinfo(5)`).
fn mounted(line: &[u8]) -> Option<(PathBuf, PathBuf)> {
    mounted_as(line, |kind, _| kind == b"cgroup2")
}

/// The same of systemd's own hierarchy of version 1, which has no controllers.
fn mounted_for_systemd(line: &[u8]) -> Option<(PathBuf, PathBuf)> {
    mounted_as(line, |kind, options| {
        kind == b"cgroup" && options.split(|byte| *byte == b',').any(|word| word == b"name=systemd")
    })
}

fn mounted_as(line: &[u8], is_meant: impl Fn(&[u8], &[u8]) -> bool) -> Option<(PathBuf, PathBuf)> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let separator = fields.iter().position(|field| *field == b"-")?;
    if !is_meant(fields.get(separator + 1)?, fields.get(separator + 3).unwrap_or(&&b""[..])) {
        return None;
    }
    let path = |number: usize| {
        let field = fields.get(number)?;
        // A place with a blank in it is written with escapes; no system mounts it there.
        (!field.contains(&b'\\')).then(|| PathBuf::from(std::ffi::OsStr::from_bytes(field)))
    };
    Some((path(3)?, path(4)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mounts_of_version_2_are_found() {
        let line =
            b"30 24 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate";
        assert_eq!(mounted(line), Some(("/".into(), "/sys/fs/cgroup".into())));
        let bound = b"31 24 0:27 /a/b /mnt rw - cgroup2 none rw";
        assert_eq!(mounted(bound), Some(("/a/b".into(), "/mnt".into())));
        assert_eq!(mounted(b"30 24 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu"), None);
        assert_eq!(mounted(b""), None);
        let own = b"31 24 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd";
        assert_eq!(mounted(own), None);
        assert_eq!(mounted_for_systemd(own), Some(("/".into(), "/sys/fs/cgroup/systemd".into())));
        assert_eq!(mounted_for_systemd(line), None);
    }

    #[test]
    fn what_is_no_group_is_none() {
        assert_eq!(Leaf::at(Path::new("/tmp")), None);
        assert_eq!(Leaf::make(Path::new("/proc/nowhere/x")), None);
        for name in ["", "x", "/../..", "/nowhere.slice/nothing.service"] {
            assert_eq!(Leaf::of_hierarchy(name), None, "{name}");
        }
    }
}
