//! A mount that lives on in other mount namespaces, such as those of containers and of services with a private view.

#![forbid(unsafe_code)]

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::{Mount, Table, scan};
use crate::deadline::Deadline;
use crate::host::survey;

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
pub fn copies(meant: impl Fn(&Mount) -> bool, deadline: &Deadline) -> Vec<Copy> {
    let own = namespace("thread-self");
    let until = Instant::now() + deadline.left_with_reserve();
    let survey = survey::ask(scan::numbers(Path::new("/proc")), until, move |pid| {
        let other = namespace(&pid.to_string()).filter(|space| Some(space) != own.as_ref())?;
        sees_all(pid).then_some(other)
    });
    let mut known: HashSet<PathBuf> = HashSet::new();
    let mut found = Vec::new();
    for (pid, space) in survey.answers {
        if known.contains(&space) {
            continue;
        }
        let Some(table) = Table::of_process(pid) else { continue };
        known.insert(space);
        let mut ids: Vec<u32> = table.mounts().iter().filter(|m| meant(m)).map(|m| m.id).collect();
        ids.reverse();
        found.extend(ids.into_iter().map(|id| Copy { pid, table: table.clone(), id }));
    }
    found
}

pub(super) fn namespace(process: &str) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{process}/ns/mnt")).ok()
}

/// Whether the process's root is that of its namespace, so that its table is the whole one.
fn sees_all(pid: i32) -> bool {
    fs::read_link(format!("/proc/{pid}/root")).is_ok_and(|root| root == Path::new("/"))
}
