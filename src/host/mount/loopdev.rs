//! Loop devices: files as block devices (`loop(4)`).
//!
//! They are made so that they end with their last user, which is the mount: nothing has to be released, not even after the
//! agent was killed.

#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::Duration;

use super::ioctl;
use super::{Device, Options};
use crate::deadline::Deadline;
use crate::error::{Doing, Error, Result};
use crate::{trace_answer, trace_ask};

/// So long the driver has to tell which file a device is of.
const TELLS: Duration = Duration::from_secs(1);

/// A loop device of ours. It ends when this is dropped, unless something was mounted from it.
#[derive(Debug)]
pub struct Loop {
    /// Where it is.
    pub path: PathBuf,
    _open: File,
}

/// Makes one for a file.
///
/// # Errors
/// There is no such file, or the driver refused.
pub fn make(file: &Path, options: &Options, deadline: &Deadline) -> Result<Loop> {
    let what = || format!("make a loop device of {}", file.display());
    trace_ask!("{}", what());
    let open = |path: &Path| OpenOptions::new().read(true).write(!options.read_only).open(path);
    let backing = open(file).doing(|| format!("open {}", file.display()))?;
    let about = backing.metadata().doing(|| format!("look at {}", file.display()))?;
    if !about.is_file() {
        return Err(Error::Local(format!(
            "cannot {}: it is no file; option loop is for files",
            what()
        )));
    }
    let control = Path::new("/dev/loop-control");
    let control = OpenOptions::new().read(true).write(true).open(control).map_err(|error| {
        Error::NotInstalled(format!(
            "cannot {}: /dev/loop-control: {error}; load the module loop",
            what()
        ))
    })?;
    loop {
        let number = ioctl::free(&control).doing(what)?;
        let path = PathBuf::from(format!("/dev/loop{number}"));
        let device = open(&path).doing(|| format!("open {}", path.display()))?;
        let name = file.as_os_str().as_bytes();
        let (offset, limit) = (options.offset, options.size_limit);
        match ioctl::configure(&device, &backing, options.read_only, offset, limit, name) {
            Ok(()) => {
                trace_answer!("{}", path.display());
                return Ok(Loop { path, _open: device });
            }
            // Somebody else took it between the two questions.
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                let _ = deadline.to_wait_for("a free loop device")?;
            }
            Err(error) => return Err(error).doing(what),
        }
    }
}

/// A loop device that is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    /// Its number.
    pub device: Device,
    /// Its name.
    pub name: OsString,
    /// Its file, as it was called when the device was made.
    pub file: PathBuf,
    /// Where in the file it begins.
    pub offset: u64,
}

/// All loop devices that have a file.
#[must_use]
pub fn used() -> Vec<Used> {
    let entries = std::fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let loops = entries.filter(|entry| entry.file_name().as_bytes().starts_with(b"loop"));
    loops.filter_map(|entry| look(&entry.path(), entry.file_name())).collect()
}

/// The loop devices of a file, beginning at that offset: of the file itself, wherever it was found by whoever made them.
///
/// The driver asks the file system that the file is on, which may hang for another file. So those of which the name tells
/// that they are of another one are left alone: unless a file has several names, the last part of its path is the same for
/// everybody.
#[must_use]
pub fn of_file(file: &Path, offset: u64) -> Vec<Device> {
    // The driver knows it by its own name, not by that of a link to it.
    let file = &std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let Ok(about) = file.metadata() else { return Vec::new() };
    let is_it = |used: &Used| {
        if about.nlink() == 1 && used.file.file_name() != file.file_name() {
            return false;
        }
        match backing(Path::new("/dev").join(&used.name)) {
            Some(backing) => backing == (about.dev(), about.ino()),
            // It has gone meanwhile, its node is not here, or its storage hangs.
            None => used.file == *file,
        }
    };
    let used = used().into_iter().filter(|used| used.offset == offset);
    used.filter(is_it).map(|used| used.device).collect()
}

fn backing(device: PathBuf) -> Option<(u64, u64)> {
    let (sender, receiver) = channel();
    // Not waited for: it ends with the process at the latest.
    std::thread::spawn(move || {
        sender.send(File::open(device).and_then(|device| ioctl::backing(&device)))
    });
    receiver.recv_timeout(TELLS).ok()?.ok()
}

/// The loop device of that number.
#[must_use]
pub fn of_device(device: Device) -> Option<Used> {
    let path = PathBuf::from(format!("/sys/dev/block/{device}"));
    let name = std::fs::canonicalize(&path).ok()?.file_name()?.to_owned();
    look(&path, name)
}

fn look(path: &Path, name: OsString) -> Option<Used> {
    let file = std::fs::read(path.join("loop/backing_file")).ok()?;
    let file = file.strip_suffix(b"\n").unwrap_or(&file);
    let text = |name: &str| std::fs::read_to_string(path.join(name)).ok();
    Some(Used {
        device: Device::parse(&text("dev")?)?,
        name,
        file: PathBuf::from(OsStr::from_bytes(file)),
        offset: text("loop/offset")?.trim().parse().ok()?,
    })
}

/// Whether two paths name one file. This asks the file system that the file is on.
#[must_use]
pub fn is_same_file(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| path.metadata().map(|about| (about.dev(), about.ino())).ok();
    one == other || identity(one).is_some_and(|one| Some(one) == identity(other))
}
