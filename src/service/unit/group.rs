//! Who is in a unit's control group, asked of the kernel and not of systemd.

#![forbid(unsafe_code)]

use crate::host::cgroup::Leaf;
use crate::host::process::Process;

/// The groups of these names that exist. systemd names them from the root of the hierarchy; an empty name is none.
pub(super) fn leaves(names: &[&str]) -> Vec<Leaf> {
    let mut names: Vec<&str> = names.iter().copied().filter(|name| name.len() > 1).collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().filter_map(Leaf::of_hierarchy).collect()
}

/// All living processes in them, the oldest first.
pub(super) fn processes(names: &[&str]) -> Vec<Process> {
    let mut found: Vec<Process> = leaves(names)
        .iter()
        .flat_map(Leaf::processes)
        .filter_map(|pid| Process::look(pid).ok().flatten())
        .filter(|process| !process.is_dead())
        .collect();
    found.sort_by_key(|process| (process.identity.start, process.identity.pid));
    found.dedup_by_key(|process| process.identity);
    found
}
