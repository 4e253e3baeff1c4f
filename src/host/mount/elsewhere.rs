//! A mount that lives on in other mount namespaces, such as those of containers and of services with a private view.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use super::{Mount, Table, scan};

/// A mount of the same file system in another namespace.
#[derive(Clone, Debug)]
pub struct Copy {
    /// A process that sees it.
    pub pid: i32,
    /// The whole table there.
    pub table: Table,
    /// Which one it is.
    pub id: u32,
}

impl Copy {
    /// The mount.
    #[must_use]
    pub fn mount(&self) -> Option<&Mount> {
        self.table.with_id(self.id)
    }
}

/// All mounts in other namespaces that show what `meant` says, the deepest first. A namespace without a process, kept by a file
/// or a descriptor alone, is not seen.
#[must_use]
pub fn copies(meant: impl Fn(&Mount) -> bool) -> Vec<Copy> {
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
    let mut known: Vec<OsString> = namespace("thread-self").map(Into::into).into_iter().collect();
    let mut found = Vec::new();
    for pid in scan::numbers(Path::new("/proc")) {
        let Some(space) = namespace(&pid.to_string()).map(OsString::from) else { continue };
        if known.contains(&space) || !sees_all(pid) {
            continue;
        }
        let Some(table) = Table::of_process(pid) else { continue };
        known.push(space);
        let mut ids: Vec<u32> = table.mounts().iter().filter(|m| meant(m)).map(|m| m.id).collect();
        ids.reverse();
        found.extend(ids.into_iter().map(|id| Copy { pid, table: table.clone(), id }));
    }
    found
}

/// Whether the process's root is that of its namespace, so that its table is the whole one.
fn sees_all(pid: i32) -> bool {
    fs::read_link(format!("/proc/{pid}/root")).is_ok_and(|root| root == Path::new("/"))
}
