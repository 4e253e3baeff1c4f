//! Whether the storage answers: the levels of monitor above the one that asks nobody but the kernel.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::{Filesystem, record};
use crate::agent::{Cx, Status};
use crate::error::{Doing, Error, Result};
use crate::host::helper::{self, Keeper, Outcome, Terms};
use crate::host::mount::touch::{self, Place, Work};
use crate::host::mount::{Mount, health};
use crate::host::process::Process;
use crate::state::Lock;
use crate::{trace_answer, trace_ask};

/// The level that reads.
const READS: u32 = 10;

/// The level that writes.
const WRITES: u32 = 20;

/// How long stop waits for the removal of the status file.
const REMOVES: Duration = Duration::from_secs(5);

impl Filesystem<'_> {
    /// Asks the storage what the level of this monitor asks; nothing at level 0, but for FUSE: there the server is a process,
    /// of whose end the kernel tells only those who ask for something.
    pub(super) fn touched(&self, mount: &Mount, point: &Path, cx: &Cx<'_>) -> Result<Status> {
        let Some(work) = self.work(mount, cx)? else { return Ok(Status::Running) };
        let lock = self.probe_alone(mount, point, cx)?;
        // Whoever had the lock may have taken most of the time.
        let limit = cx.deadline.to_wait_for("the storage")?;
        let outcome = perform(&work, lock.as_ref(), limit, cx)?;
        match outcome {
            Outcome::Ended { code: None, .. } => Err(Error::Failed(format!(
                "somebody killed the process that was {} for {}; run monitor again",
                work.doing(),
                point.display()
            ))),
            Outcome::Ended { code, said } => match helper::heard(code, said) {
                Ok(()) => Ok(Status::Running),
                Err(error) => Err(failed(mount, &error)),
            },
            Outcome::Hung { lasted, stuck } => {
                Err(hung(mount, lasted, &work.doing(), stuck.as_ref()))
            }
        }
    }

    fn work(&self, mount: &Mount, cx: &Cx<'_>) -> Result<Option<Work>> {
        let place = || Place { id: mount.id, point: mount.point.clone() };
        if cx.level >= WRITES {
            return Ok(Some(Work::WriteFile(place(), self.status_file(cx)?)));
        }
        if cx.level < READS {
            let is_fuse = mount.is_kind("fuse") || mount.is_kind("fuseblk");
            return Ok(is_fuse.then(|| Work::AskServer(place())));
        }
        // The device of a bind mount is somebody else's matter.
        let disk = health::disk_of(mount).filter(|_| self.is_on_device());
        let Some(disk) = disk else { return Ok(Some(Work::ReadRoot(place()))) };
        // A file may be on a server that does not answer: it is not looked at.
        let linked = || self.source.linked().filter(|_| !self.options.loop_device);
        let known: Vec<PathBuf> = linked().into_iter().collect();
        let path = touch::path_of(disk, &known).ok_or_else(|| {
            Error::Failed(format!("cannot read device {disk}: nothing below /dev leads to it"))
        })?;
        Ok(Some(Work::ReadDevice(disk, path)))
    }

    /// The file of this resource on this node, below the mount point.
    fn status_file(&self, cx: &Cx<'_>) -> Result<PathBuf> {
        let node = nix::unistd::gethostname().doing(|| "read the host name")?;
        let mut name = OsString::from(self.status_prefix);
        name.push(cx.instance.replace('/', "_"));
        if let Some(clone) = cx.environment.meta("clone") {
            name.push(format!("_{clone}"));
        }
        name.push("_");
        name.push(node);
        let parts = Path::new(&name).components();
        Ok(parts.filter(|part| !matches!(part, Component::RootDir | Component::CurDir)).collect())
    }

    fn probe(&self, point: &Path) -> String {
        format!("{}-probe", record::name(self.agent, point))
    }

    /// One helper at a time: a second one would only hang too.
    fn probe_alone(&self, mount: &Mount, point: &Path, cx: &Cx<'_>) -> Result<Option<Lock>> {
        helper::alone(&cx.state, &self.probe(point), &cx.deadline).map_err(|keeper| match keeper {
            Some(keeper) => hung(mount, keeper.lasted(), &keeper.what, keeper.process().as_ref()),
            None => cx.deadline.missed("another look at the storage"),
        })
    }

    /// Ends a helper of monitor that hangs, as far as the kernel lets it end: it may have a file of the mount open.
    pub(super) fn end_probe(&self, point: &Path, cx: &Cx<'_>) {
        let Some(keeper) = Keeper::of(&cx.state, &self.probe(point)) else { return };
        match keeper.end(&cx.deadline) {
            Ok(true) => {}
            Ok(false) => cx.log.warn(&format!(
                "process {} has been {} for {:.0} s, and hangs in the kernel",
                keeper.identity.pid,
                keeper.what,
                keeper.lasted().as_secs_f64()
            )),
            Err(error) => cx.log.warn(&error.to_string()),
        }
    }

    /// What stop does at the level that wrote: failing only warns, since the file does no harm.
    pub(super) fn remove_status_file(&self, mount: &Mount, gate: Option<&Lock>, cx: &Cx<'_>) {
        if cx.level < WRITES {
            return;
        }
        let removed = || -> Result<()> {
            let place = Place { id: mount.id, point: mount.point.clone() };
            let work = Work::RemoveFile(place, self.status_file(cx)?);
            let limit = REMOVES.min(cx.deadline.left() / 4);
            match perform(&work, gate, limit, cx)? {
                Outcome::Ended { code, said } => helper::heard(code, said),
                Outcome::Hung { lasted, stuck } => {
                    Err(hung(mount, lasted, &work.doing(), stuck.as_ref()))
                }
            }
        };
        if let Err(error) = removed() {
            cx.log.warn(&error.to_string());
        }
    }
}

fn perform(work: &Work, lock: Option<&Lock>, limit: Duration, cx: &Cx<'_>) -> Result<Outcome> {
    trace_ask!("{work:?}");
    let mut words = vec![OsString::from("touch")];
    words.extend(Terms::of_this(limit).words());
    words.extend(work.words());
    let outcome =
        helper::run(&words, cx.log, lock, limit, &cx.deadline).doing(|| "start a helper")?;
    trace_answer!("{outcome:?}");
    Ok(outcome)
}

fn failed(mount: &Mount, error: &Error) -> Error {
    let hint = if mount.is_kind("fuse") || mount.is_kind("fuseblk") {
        "; its server may have ended, look at its log"
    } else {
        ""
    };
    Error::Failed(format!(
        "{} at {} is not well: {error}{hint}",
        mount.source.display(),
        mount.point.display()
    ))
}

fn hung(mount: &Mount, lasted: Duration, what: &str, process: Option<&Process>) -> Error {
    let who = process.map_or_else(String::new, |process| format!("; {process} waits for it"));
    Error::Failed(format!(
        "I/O hung for {:.1} s: {} at {}, {what}{who}; look at its disk or server",
        lasted.as_secs_f64(),
        mount.source.display(),
        mount.point.display()
    ))
}
