//! The true path of a mount point, without a look into what is mounted there: that may not answer.

#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::{Mount, Table};
use crate::error::{Doing, Result};

/// As many symbolic links as the kernel follows (`path_resolution(7)`).
const MOST_LINKS: u32 = 40;

/// So many letters of a path are for a reason.
const LONGEST: usize = 50;

/// `path` without symbolic links, dots and double slashes. What is a mount point is no link, so that it is not asked; and
/// what does not exist is taken as it is written.
///
/// # Errors
/// Too many links, or a directory above cannot be read.
pub fn resolve(path: &Path, table: &Table) -> Result<PathBuf> {
    resolved(path, table, |_| true).doing(|| format!("follow the path {}", path.display()))
}

/// The same, if it leads through file systems of this node only: whoever is asked answers.
#[must_use]
pub fn resolve_here(path: &Path, table: &Table) -> Option<PathBuf> {
    resolved(path, table, |part| table.covering(part).is_none_or(is_here)).ok()
}

/// The path for a reason, which has to have room for more: of a long one the end, which tells more than its beginning.
#[must_use]
pub fn shortened(path: &Path) -> String {
    let text = path.to_string_lossy();
    match text.chars().count().saturating_sub(LONGEST) {
        0 => text.into_owned(),
        more => format!("…{}", text.chars().skip(more).collect::<String>()),
    }
}

/// Whether it needs no other node, and no process, to answer.
fn is_here(mount: &Mount) -> bool {
    const HERE: [&str; 6] = ["tmpfs", "ramfs", "rootfs", "overlay", "btrfs", "zfs"];
    let on_device = mount.device.is_block() && !mount.is_kind("fuseblk");
    on_device || HERE.iter().any(|kind| mount.is_kind(kind))
}

fn resolved(path: &Path, table: &Table, may_ask: impl Fn(&Path) -> bool) -> io::Result<PathBuf> {
    let mut left: VecDeque<OsString> = parts(path).collect();
    let mut done = PathBuf::from("/");
    let mut links = 0;
    while let Some(part) = left.pop_front() {
        if part == ".." {
            done.pop();
            continue;
        }
        done.push(&part);
        if table.on_top(&done).is_some() {
            continue;
        }
        if !may_ask(&done) {
            return Err(io::Error::from_raw_os_error(libc::EREMOTE));
        }
        match std::fs::read_link(&done) {
            Ok(target) => {
                links += 1;
                if links > MOST_LINKS {
                    return Err(io::Error::from_raw_os_error(libc::ELOOP));
                }
                done.pop();
                if target.is_absolute() {
                    done = PathBuf::from("/");
                }
                for part in parts(&target).collect::<Vec<_>>().into_iter().rev() {
                    left.push_front(part);
                }
            }
            // No link, or nothing at all.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::EINVAL | libc::ENOENT | libc::ENOTDIR)
                ) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

fn parts(path: &Path) -> impl Iterator<Item = OsString> + '_ {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn of_a_long_path_the_end_is_told() {
        assert_eq!(shortened(Path::new("/srv/ä")), "/srv/ä");
        let short = shortened(&PathBuf::from("/ä".repeat(400)).join("end"));
        assert!(short.starts_with('…') && short.ends_with("/end"));
        assert_eq!(short.chars().count(), LONGEST + 1);
    }

    #[test]
    fn links_are_followed_and_what_is_missing_is_taken_as_written() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().canonicalize().unwrap();
        std::fs::create_dir_all(base.join("a/b")).unwrap();
        symlink("a", base.join("relative")).unwrap();
        symlink(base.join("relative/b"), base.join("absolute")).unwrap();
        symlink("circle", base.join("circle")).unwrap();
        let table = Table::default();
        let resolve = |name: &str| resolve(&base.join(name), &table);
        assert_eq!(resolve("absolute").unwrap(), base.join("a/b"));
        assert_eq!(resolve("absolute/../x//./y/").unwrap(), base.join("a/x/y"));
        assert!(resolve("circle").unwrap_err().reason().contains("Too many levels"));
    }

    #[test]
    fn what_another_node_has_to_answer_is_not_asked() {
        let lines = "1 1 8:1 / / rw - ext4 /dev/a rw\n2 1 0:9 / /far rw - nfs4 s:/x rw\n3 1 0:8 / /my rw - fuse.x y rw";
        let table = Table::parse(lines.as_bytes()).unwrap();
        let resolve = |name: &str| resolve_here(Path::new(name), &table);
        assert_eq!(resolve("/no-such/x"), Some("/no-such/x".into()));
        assert_eq!((resolve("/far"), resolve("/far/x")), (Some("/far".into()), None));
        assert_eq!(resolve("/my/x/../.."), None);
    }

    #[test]
    fn a_mount_point_is_not_looked_at() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().canonicalize().unwrap();
        symlink("/elsewhere", base.join("link")).unwrap();
        let line = format!("1 1 8:1 / {} rw - ext4 /dev/a rw", base.join("link").display());
        let table = Table::parse(line.as_bytes()).unwrap();
        assert_eq!(resolve(&base.join("link/x"), &table).unwrap(), base.join("link/x"));
    }
}
