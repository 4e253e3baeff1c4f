//! Who keeps a mount busy: processes, which can be signalled, and what of the kernel stands on it, which cannot.

#![forbid(unsafe_code)]

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::scan::{self, Finding, Use};
use super::table::decoded;
use super::{Mount, Table, device, health, loopdev, path};
use crate::deadline::Deadline;
use crate::error::Result;
use crate::host::process::{Identity, Process};

pub use super::scan::Sought;

/// What a host is lost without. That none of these is signalled is not for want of proof that it uses the mount.
const PROTECTED: &[&str] = &[
    "pacemakerd",
    "pacemaker-based",
    "pacemaker-fenced",
    "pacemaker-execd",
    "pacemaker-attrd",
    "pacemaker-schedulerd",
    "pacemaker-controld",
    "pacemaker-remoted",
    "pacemaker_remoted",
    "stonithd",
    "lrmd",
    "attrd",
    "pengine",
    "crmd",
    "cib",
    "ccm",
    "corosync",
    "corosync-qdevice",
    "corosync-qnetd",
    "sbd",
    "heartbeat",
    "ha_logd",
    "dlm_controld",
    "pcsd",
    "booth",
    "boothd",
    "drbd-reactor",
    "systemd",
];

/// As many bytes of a reason are for the processes.
const MOST_LISTED: usize = 70;

/// A process that uses the mount.
#[derive(Clone, Debug)]
pub struct Holder {
    /// The process.
    pub process: Process,
    /// How.
    pub finding: Finding,
    /// Why it must not be signalled, if so.
    pub protected: Option<&'static str>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told(&self.finding.file.to_string_lossy()))
    }
}

impl Holder {
    fn told(&self, file: &str) -> String {
        let how = match self.finding.how {
            Use::WorkingDirectory => "works in",
            Use::Root => "has its root at",
            Use::Program => "executes",
            Use::OpenFile => "has open",
            Use::Mapping => "has mapped",
            Use::Socket => "has a socket at",
        };
        let Process { identity, name, .. } = &self.process;
        // Whoever sleeps so deeply ends for no signal, and what he waits for is the cause.
        let state = if self.process.is_uninterruptible() { ", hangs in state D" } else { "" };
        format!("{} ({name}{state}) {how} {file}", identity.pid)
    }
}

/// What a look at all processes showed.
#[derive(Clone, Debug, Default)]
pub struct Holders {
    /// Those that use the mount.
    pub found: Vec<Holder>,
    /// Those of which the kernel did not tell in time.
    pub silent: Vec<i32>,
}

impl Holders {
    /// Looks at all processes.
    ///
    /// # Errors
    /// /proc does not answer.
    pub fn look(sought: &Arc<Sought>, deadline: &Deadline, at_most: Duration) -> Result<Self> {
        let seen = scan::all(sought, deadline, at_most);
        let ancestors = ancestors()?;
        let mut found = Vec::new();
        for finding in seen.findings {
            // One that ended meanwhile holds nothing any more.
            let Some(process) = Process::look(finding.pid)? else { continue };
            let protected = protection(&process, &ancestors);
            found.push(Holder { process, finding, protected });
        }
        Ok(Self { found, silent: seen.silent })
    }

    /// Some of them in words, for an exit reason.
    #[must_use]
    pub fn listed(&self) -> String {
        let mut words: Vec<String> = Vec::new();
        for holder in &self.found {
            let next = holder.told(&path::shortened(&holder.finding.file));
            let length: usize = words.iter().map(String::len).sum();
            // The reason has to have room for what mends it.
            if !words.is_empty() && length + next.len() > MOST_LISTED {
                break;
            }
            words.push(next);
        }
        if words.len() < self.found.len() {
            words.push(format!("{} more", self.found.len() - words.len()));
        }
        if let Some(pid) = self.silent.first() {
            words.push(format!("process {pid} could not be looked at in time"));
        }
        words.join(", ")
    }
}

/// Those of the processes that still use one of the mounts. Ask when none can become another one any more.
#[must_use]
pub fn still_hold(
    identities: &[Identity],
    sought: &Arc<Sought>,
    deadline: &Deadline,
    at_most: Duration,
) -> Vec<i32> {
    let pids = identities.iter().map(|identity| identity.pid).collect();
    let seen = scan::these(pids, sought, deadline, at_most);
    seen.findings.iter().map(|finding| finding.pid).collect()
}

pub(super) fn protection(process: &Process, ancestors: &[i32]) -> Option<&'static str> {
    let pid = process.identity.pid;
    if pid == 1 {
        return Some("it is process 1");
    }
    if pid == std::process::id().cast_signed() || ancestors.contains(&pid) {
        return Some("it called this agent");
    }
    if process.is_kernel {
        return Some("it is the kernel's");
    }
    let executable = process.executable();
    let name = executable.as_ref().and_then(|path| path.file_name()).and_then(|name| name.to_str());
    let is_cluster = |name: &str| PROTECTED.contains(&name);
    (name.is_some_and(is_cluster) || is_cluster(&process.name)).then_some("it is the cluster's")
}

pub(super) fn ancestors() -> Result<Vec<i32>> {
    let mut found = Vec::new();
    let mut current = Process::own()?;
    while current.parent > 0 && !found.contains(&current.parent) {
        found.push(current.parent);
        match Process::look(current.parent)? {
            Some(parent) => current = parent,
            None => break,
        }
    }
    Ok(found)
}

/// Processes that wait in the kernel for storage, as far as they show it: whoever still looks for a path holds a mount and
/// has nothing that would show that.
#[must_use]
pub fn hanging() -> Vec<Process> {
    let looked = scan::numbers(Path::new("/proc")).into_iter().map(Process::look);
    let processes = looked.filter_map(|process| process.ok().flatten());
    processes.filter(|process| !process.is_kernel && waits_for_storage(process)).collect()
}

/// No signal ends who waits for a disk. Who waits for a FUSE server sleeps like others, until one is sent.
fn waits_for_storage(process: &Process) -> bool {
    process.is_uninterruptible()
        || process.waits_in().is_some_and(|place| place == "request_wait_answer")
}

/// What of the kernel stands on a mount, each with what ends it.
#[must_use]
pub fn of_kernel(table: &Table, mount: &Mount) -> Vec<String> {
    let inside = |path: &Path| table.covering(path).is_some_and(|found| found.id == mount.id);
    let mut found = Vec::new();
    for used in loopdev::used().iter().filter(|used| inside(&used.file)) {
        let (name, file) = (used.name.display(), used.file.display());
        found.push(format!(
            "loop device /dev/{name} has {file}; `losetup -d /dev/{name}` releases it"
        ));
    }
    for path in first_fields("/proc/swaps").iter().filter(|path| inside(path)) {
        found.push(format!("{0} is swap space; `swapoff {0}` ends that", path.display()));
    }
    for path in first_fields("/proc/fs/nfsd/exports").iter().filter(|path| inside(path)) {
        found.push(format!("{} is exported by NFS; unexport it", path.display()));
    }
    for overlay in table.mounts().iter().filter(|other| other.is_kind("overlay")) {
        if layers(overlay).iter().any(|layer| inside(layer)) {
            found.push(format!("the overlay at {} is made of it", overlay.point.display()));
        }
    }
    found
}

/// Devices that stand on that of a mount, such as `dm-0`.
#[must_use]
pub fn stacked(mount: &Mount) -> Vec<String> {
    let Some(disk) = health::disk_of(mount) else { return Vec::new() };
    let entries = fs::read_dir(format!("/sys/dev/block/{disk}/holders")).into_iter().flatten();
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.map(|name| format!("{name} stands on {}", device::name(disk))).collect()
}

fn first_fields(path: &str) -> Vec<PathBuf> {
    let text = fs::read(path).unwrap_or_default();
    let lines = text.split(|byte| *byte == b'\n').filter(|line| line.first() == Some(&b'/'));
    let first = lines.filter_map(|line| line.split(u8::is_ascii_whitespace).next());
    first.map(|field| decoded(field).into()).collect()
}

fn layers(overlay: &Mount) -> Vec<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    let values =
        ["lowerdir", "upperdir", "workdir"].iter().filter_map(|name| overlay.super_option(name));
    let parts = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b':'));
    parts.map(|part| PathBuf::from(std::ffi::OsStr::from_bytes(part))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_process_the_caller_and_the_cluster_are_protected() {
        let mut process = Process::own().unwrap();
        assert!(protection(&process, &[]).is_some());
        process.identity.pid = 1;
        assert_eq!(protection(&process, &[]), Some("it is process 1"));
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let mut other = Process::look(child.id().cast_signed()).unwrap().unwrap();
        assert_eq!(protection(&other, &[other.identity.pid]), Some("it called this agent"));
        other.name = "corosync".to_owned();
        assert_eq!(protection(&other, &[]), Some("it is the cluster's"));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn an_overlay_is_known_by_its_layers() {
        let line =
            b"9 1 0:50 / /o rw - overlay overlay rw,lowerdir=/a:/b,upperdir=/u/up,workdir=/u/work";
        let overlay = Mount::parse(line).unwrap();
        assert_eq!(layers(&overlay), ["/a", "/b", "/u/up", "/u/work"].map(PathBuf::from));
    }
}
