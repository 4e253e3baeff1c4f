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

use super::ioctl;
use super::{Device, Options};
use crate::deadline::Deadline;
use crate::error::{Doing, Error, Result};
use crate::{trace_answer, trace_ask};

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

/// The loop devices of a file, beginning at that offset: of the file itself, whatever it is called by whoever made them.
#[must_use]
pub fn of_file(file: &Path, offset: u64) -> Vec<Device> {
    let identity = file.metadata().map(|about| (about.dev(), about.ino())).ok();
    let is_it = |used: &Used| {
        let device = File::open(Path::new("/dev").join(&used.name));
        match device.and_then(|device| ioctl::backing(&device)) {
            Ok(backing) => identity == Some(backing),
            // It has gone meanwhile, or its node is not here.
            Err(_) => used.file == file,
        }
    };
    let used = used().into_iter().filter(|used| used.offset == offset);
    used.filter(is_it).map(|used| used.device).collect()
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
