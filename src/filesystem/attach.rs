//! What start does in a process of its own: opens the device, looks at what is on it, checks it and mounts it.

#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::record::hash;
use super::{Check, Filesystem, conflict, kind};
use crate::agent::Cx;
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::host::mount::attach::{self, Wanted};
use crate::host::mount::device::{self, Source};
use crate::host::mount::{Device, Table, loopdev, superblock};
use crate::host::program;
use crate::state::Lock;

/// How long a device may take to appear that is not there yet.
const APPEARS: Duration = Duration::from_secs(5);

/// How long a server may take that refuses at once.
const LAST_TRY: Duration = Duration::from_secs(4);

/// What is mounted, when it is found and made ready.
struct Ready {
    source: OsString,
    kind: String,
    /// Kept until it is mounted.
    _loop: Option<loopdev::Loop>,
}

impl Filesystem<'_> {
    /// Mounts it at a path without symbolic links. This may wait for the device for ever, and is for a helper whose stdin is
    /// the lock of whoever started it.
    ///
    /// # Errors
    /// It is not mounted.
    pub fn attach(&self, point: &Path, cx: &Cx<'_>) -> Result<()> {
        let lock = Lock::of_stdin().ok();
        // Until it is mounted, so that who looks at the loop devices of the file next sees this one in use.
        let _only_one = self.lock_file(cx)?;
        let ready = self.ready(point, &Table::own()?, lock.as_ref(), cx)?;
        self.mount(&ready, point, lock.as_ref(), cx)
    }

    /// Two resources with one file are told apart by their mount points, and have no other lock in common.
    fn lock_file(&self, cx: &Cx<'_>) -> Result<Option<Lock>> {
        let file = self.named().metadata().ok().filter(|_| self.options.loop_device);
        let Some(about) = file else { return Ok(None) };
        let name = format!("{}-file-{:016x}", self.agent, hash((about.dev(), about.ino())));
        cx.state.lock(&name, &cx.deadline)
    }

    /// Finds the device, and makes it fit to be mounted.
    fn ready(
        &self,
        point: &Path,
        table: &Table,
        lock: Option<&Lock>,
        cx: &Cx<'_>,
    ) -> Result<Ready> {
        if !self.is_on_device() {
            let kind = self.kind.unwrap_or_default().to_owned();
            return Ok(Ready { source: self.named().into(), kind, _loop: None });
        }
        let (path, held) = if self.options.loop_device {
            self.refuse_used_file(table, cx)?;
            let made = loopdev::make(self.named(), self.options, &cx.deadline)?;
            (made.path.clone(), Some(made))
        } else {
            let path = self.appeared(cx)?;
            let disk = device::required(&path)?;
            if !self.shared_device {
                conflict::nobody_has(disk, table, self.options.read_only, &cx.deadline)?;
                conflict::nobody_mounts_elsewhere(disk, point)?;
            }
            (path, None)
        };
        device::forget_cached(&path);
        let kind = self.kind_on(&path)?;
        self.checked(&path, &kind, lock, cx)?;
        Ok(Ready { source: path.into(), kind, _loop: held })
    }

    /// A file in two loop devices would be two caches of one disk.
    fn refuse_used_file(&self, table: &Table, cx: &Cx<'_>) -> Result<()> {
        if self.shared_device {
            return Ok(());
        }
        loopdev::of_file(self.named(), self.options.offset).into_iter().try_for_each(|disk| {
            conflict::nobody_has(disk, table, self.options.read_only, &cx.deadline)
        })
    }

    fn appeared(&self, cx: &Cx<'_>) -> Result<PathBuf> {
        let limit = cx.deadline.at_most(APPEARS.min(cx.deadline.left() / 4));
        loop {
            let linked = self.source.linked().filter(|path| device::number(path).is_some());
            if let Some(path) = linked {
                return Ok(path);
            }
            if let (Some(path), Source::Tagged(..)) = (self.source.found(), self.source) {
                return Ok(path);
            }
            let exists = matches!(self.source, Source::Named(name) if Path::new(name).exists());
            if exists || limit.left().is_zero() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        match self.source {
            Source::Named(name) => device::required(Path::new(name)).map(|_: Device| name.into()),
            Source::Tagged(..) => Err(Error::NotInstalled(format!(
                "no device here has {}; check the parameter device, and whether the disk is connected",
                self.source.described()
            ))),
        }
    }

    fn kind_on(&self, path: &Path) -> Result<String> {
        if let Some(kind) = self.kind {
            return Ok(kind.to_owned());
        }
        superblock::kind(path).map(ToOwned::to_owned).ok_or_else(|| {
            Error::Failed(format!(
                "cannot tell which file system is on {}; set the parameter fstype",
                path.display()
            ))
        })
    }

    /// `fsck(8)`: below 4 nothing is wrong any more.
    fn checked(&self, path: &Path, kind: &str, lock: Option<&Lock>, cx: &Cx<'_>) -> Result<()> {
        let wanted = match self.check {
            Check::Always => true,
            Check::Never => false,
            Check::Auto => !kind::needs_no_check(kind),
        };
        if !wanted {
            return Ok(());
        }
        let words = [OsStr::new("-t"), OsStr::new(kind), OsStr::new("-p"), path.as_os_str()];
        match program::run_told(cx.environment, "fsck", &words, lock, &cx.deadline) {
            Ok(()) => Ok(()),
            Err(failed) => match failed.code {
                Some(code @ 1..4) => {
                    let path = path.display();
                    cx.log.warn(&format!("fsck mended {path} (exit code {code})"));
                    Ok(())
                }
                Some(code) => {
                    cx.log.warn(&failed.error.to_string());
                    Err(unmended(path, code))
                }
                None => Err(failed.error),
            },
        }
    }

    fn mount(&self, ready: &Ready, point: &Path, lock: Option<&Lock>, cx: &Cx<'_>) -> Result<()> {
        if let Some(which) = self.bind() {
            attach::bind(self.named(), self.options, which, point)?;
        } else if let Some(helper) = helper(&ready.kind, cx)? {
            self.mount_by(&helper, ready, point, lock, cx)?;
        } else {
            load(&ready.kind, lock, cx)?;
            let kind = kind::in_kernel(&ready.kind);
            let wanted = Wanted { kind, source: &ready.source, options: self.options };
            attach::attach(&wanted, point)?;
        }
        attach::set_propagation(point, &self.options.propagation)
    }

    /// By its program. That of NFS tries for two minutes, and tells why it did not succeed at its end: so in the last seconds
    /// it is asked to try once more only.
    fn mount_by(
        &self,
        helper: &str,
        ready: &Ready,
        point: &Path,
        lock: Option<&Lock>,
        cx: &Cx<'_>,
    ) -> Result<()> {
        let run = |options: &OsStr, limit: &Deadline| {
            let mut words = vec![ready.source.as_os_str(), point.as_os_str()];
            if !options.is_empty() {
                words.extend([OsStr::new("-o"), options]);
            }
            if ready.kind.contains('.') && !helper.ends_with(&ready.kind) {
                words.extend([OsStr::new("-t"), OsStr::new(&ready.kind)]);
            }
            program::run_told(cx.environment, helper, &words, lock, limit)
                .map_err(|failed| failed.error)
        };
        let options = self.options.for_helper();
        if helper != "mount.nfs" {
            return run(&options, &cx.deadline);
        }
        let left = cx.deadline.left();
        let patient = cx.deadline.at_most(left.saturating_sub(LAST_TRY.min(left / 4)));
        match run(&options, &patient) {
            Err(_) if patient.left().is_zero() => {
                let mut once = options;
                once.push(if once.is_empty() { "retry=0" } else { ",retry=0" });
                run(&once, &cx.deadline)
            }
            other => other,
        }
    }
}

/// What the exit code of `fsck(8)` says, whose bits are added.
fn unmended(path: &Path, code: i32) -> Error {
    let why = match code {
        code if code & 4 != 0 => "left errors on it",
        code if code & 8 != 0 => "could not look at it",
        code if code & 16 != 0 => "does not know its own words",
        code if code & 32 != 0 => "was cancelled",
        _ => "failed",
    };
    let path = path.display();
    Error::Failed(format!(
        "cannot mount {path}: fsck {why} (exit code {code}); its words are in the log; run `fsck {path}` by hand"
    ))
}

/// The programs without which a type cannot be mounted.
pub(super) fn required_helper(kind: &str) -> Option<&'static str> {
    match kind {
        "efs" => Some("mount.efs"),
        "aznfs" => Some("mount.aznfs"),
        "nfs" | "nfs4" => Some("mount.nfs"),
        "cifs" | "smbfs" => Some("mount.cifs"),
        "glusterfs" => Some("mount.glusterfs"),
        _ => None,
    }
}

/// The program that mounts a type, if there is one.
fn helper(kind: &str, cx: &Cx<'_>) -> Result<Option<String>> {
    if let Some(name) = required_helper(kind) {
        return program::find(cx.environment, name).map(|_| Some(name.to_owned()));
    }
    let family = kind.split('.').next().unwrap_or(kind);
    let mut names = vec![format!("mount.{kind}"), format!("mount.{family}")];
    if family == "fuse" {
        // Where only its third version is installed.
        names.push("mount.fuse3".to_owned());
    }
    let found = names.into_iter().find(|name| program::find(cx.environment, name).is_ok());
    if found.is_none() && kind.starts_with("fuse") {
        return Err(Error::NotInstalled(format!(
            "the program mount.{family} is not installed, without which {kind} cannot be mounted"
        )));
    }
    Ok(found)
}

/// Loads the kernel's module if it lacks the type.
fn load(kind: &str, lock: Option<&Lock>, cx: &Cx<'_>) -> Result<()> {
    let kind = kind::in_kernel(kind);
    if attach::is_known(kind)? {
        return Ok(());
    }
    let words = [OsStr::new("-q"), OsStr::new("--"), OsStr::new(kind)];
    let loaded = program::run_told(cx.environment, "modprobe", &words, lock, &cx.deadline);
    if attach::is_known(kind)? {
        return Ok(());
    }
    let why = loaded.err().map_or(String::new(), |failed| format!(": {}", failed.error));
    Err(Error::NotInstalled(format!("the kernel has no file system {kind}{why}")))
}
