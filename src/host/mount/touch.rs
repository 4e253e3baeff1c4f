//! Whether storage answers: a read from the device, a question to the server, or a file that is written and read back.
//!
//! Each of these may wait for ever, so all of them are for a helper (see [`crate::host::helper`]).

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Advice, AtFlags, Mode, OFlags, fadvise, fstatfs, mkdirat, openat, unlinkat};
use rustix::io::Errno;

use super::Device;
use super::attach::mount_id;
use super::device;
use crate::error::{Doing, Error, Result};

/// One block, and where in memory it has to be for direct I/O: what all but exotic devices take.
const BLOCK: usize = 4096;

/// What all devices take that the kernel can mount from (`BLK_MAX_BLOCK_SIZE`).
const LARGEST: usize = 65536;

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Read the beginning of a block device, past the cache.
    ReadDevice(Device, PathBuf),
    /// Ask a file system how full it is.
    AskServer(Place),
    /// The same, and read its topmost directory.
    ReadRoot(Place),
    /// Write a file and read it back, past the cache.
    WriteFile(Place, PathBuf),
    /// Remove that file.
    RemoveFile(Place, PathBuf),
}

/// A mount and no other at its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its number.
    pub id: u32,
    /// Where it is.
    pub point: PathBuf,
}

impl Work {
    /// For people: what the helper is at.
    #[must_use]
    pub fn doing(&self) -> String {
        match self {
            Self::ReadDevice(_, path) => format!("reading {}", path.display()),
            Self::AskServer(_) => "asking its server".to_owned(),
            Self::ReadRoot(_) => "reading its topmost directory".to_owned(),
            Self::WriteFile(..) => "writing the status file".to_owned(),
            Self::RemoveFile(..) => "removing the status file".to_owned(),
        }
    }

    /// As words of a command line.
    #[must_use]
    pub fn words(&self) -> Vec<OsString> {
        let of_place = |verb: &str, place: &Place| {
            let id = place.id.to_string();
            vec![verb.into(), "--id".into(), id.into(), "--".into(), place.point.clone().into()]
        };
        let with = |mut words: Vec<OsString>, file: &Path| {
            words.push(file.into());
            words
        };
        match self {
            Self::ReadDevice(number, path) => {
                let number = number.to_string();
                vec!["device".into(), "--number".into(), number.into(), "--".into(), path.into()]
            }
            Self::AskServer(place) => of_place("server", place),
            Self::ReadRoot(place) => of_place("root", place),
            Self::WriteFile(place, file) => with(of_place("write", place), file),
            Self::RemoveFile(place, file) => with(of_place("remove", place), file),
        }
    }

    /// Does it.
    ///
    /// # Errors
    /// The storage failed.
    pub fn perform(&self) -> Result<()> {
        match self {
            Self::ReadDevice(number, path) => read_device(*number, path),
            Self::AskServer(place) => {
                let asked = |root: &OwnedFd| fstatfs(root).map(drop).map_err(io::Error::from);
                place.open(OFlags::PATH).and_then(|root| asked(&root)).doing(|| "ask its server")
            }
            Self::ReadRoot(place) => read_root(place),
            Self::WriteFile(place, file) => write_file(place, file),
            Self::RemoveFile(place, file) => remove_file(place, file),
        }
    }
}

impl Place {
    fn open(&self, flags: OFlags) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOCTTY;
        let root = openat(rustix::fs::CWD, &self.point, flags, Mode::empty())?;
        if mount_id(&root) == Some(self.id) {
            Ok(root)
        } else {
            Err(io::Error::other("something else is mounted there by now"))
        }
    }
}

/// Memory that direct I/O can use.
struct Aligned {
    memory: Vec<u8>,
    at: usize,
}

impl Aligned {
    fn new(size: usize) -> Self {
        let memory = vec![0; size * 2];
        let at = memory.as_ptr().align_offset(size);
        Self { memory, at }
    }

    fn bytes(&mut self, size: usize) -> &mut [u8] {
        &mut self.memory[self.at..self.at + size]
    }
}

fn read_device(number: Device, path: &Path) -> Result<()> {
    let what = || format!("read {}", path.display());
    let open = |flags: OFlags| {
        let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY;
        OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
    };
    let (file, direct) = match open(OFlags::DIRECT) {
        Err(error) if is_unfit(&error) => (open(OFlags::empty()).doing(what)?, false),
        other => (other.doing(what)?, true),
    };
    let found = Device::of(file.metadata().doing(what)?.rdev());
    if found != number {
        let why = format!("cannot {}: it is device {found} and not {number}", what());
        return Err(Error::Failed(why));
    }
    if !direct {
        let _ = fadvise(&file, 0, None, Advice::DontNeed);
    }
    let mut memory = Aligned::new(LARGEST);
    match file.read_at(memory.bytes(BLOCK), 0) {
        Err(error) if is_unfit(&error) => file.read_at(memory.bytes(LARGEST), 0),
        other => other,
    }
    .doing(what)
    .map(drop)
}

/// The driver or the file system takes no direct I/O, or not of that size.
fn is_unfit(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EINVAL)
}

fn read_root(place: &Place) -> Result<()> {
    let what = || "read its topmost directory";
    let root = match place.open(OFlags::RDONLY) {
        // It was the server that refused (`root_squash`), and so it lives.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
        other => other.doing(what)?,
    };
    fstatfs(&root).doing(what)?;
    let mut directory = nix::dir::Dir::from_fd(root).doing(what)?;
    match directory.iter().next() {
        Some(Err(error)) => Err(error).doing(what),
        _ => Ok(()),
    }
}

fn write_file(place: &Place, name: &Path) -> Result<()> {
    let what = || format!("write and read back the status file {}", name.display());
    let done = match written(place, name, true) {
        Err(error) if is_unfit(&error) => written(place, name, false),
        other => other,
    };
    match done {
        Err(error) if error.raw_os_error() == Some(libc::EROFS) => Err(Error::Failed(format!(
            "cannot {}: it is mounted read-only; watch it at level 10",
            what()
        ))),
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => Err(Error::Failed(format!(
            "cannot {}: a symbolic link is in the way; remove it",
            what()
        ))),
        other => other.doing(what),
    }
}

fn written(place: &Place, name: &Path, direct: bool) -> io::Result<()> {
    let direct = if direct { OFlags::DIRECT } else { OFlags::empty() };
    let (directory, leaf) = directory_of(place, name, true)?;
    let open = |flags: OFlags| -> io::Result<File> {
        let flags = flags | direct | NO_STRANGER;
        Ok(openat(&directory, &leaf, flags, Mode::from_raw_mode(0o600))?.into())
    };
    let file = open(OFlags::WRONLY | OFlags::CREATE)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("something that is no file has its name; remove it"));
    }
    // Who reads it back must not be content with what an earlier one wrote.
    let now = jiff::Timestamp::now();
    let text = format!("written by process {} at {now}\n", std::process::id());
    let (mut meant, mut found) = (Aligned::new(BLOCK), Aligned::new(BLOCK));
    meant.bytes(BLOCK)[..text.len()].copy_from_slice(text.as_bytes());
    file.write_all_at(meant.bytes(BLOCK), 0)?;
    file.sync_all()?;
    drop(file);
    let file = open(OFlags::RDONLY)?;
    let _ = fadvise(&file, 0, None, Advice::DontNeed);
    file.read_exact_at(found.bytes(BLOCK), 0)?;
    if found.bytes(BLOCK) == meant.bytes(BLOCK) {
        Ok(())
    } else {
        Err(io::Error::other("what comes back is not what was written"))
    }
}

/// Nothing but a plain file, in none but the directory that is meant.
const NO_STRANGER: OFlags =
    OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// The directory of a file on the mount, step by step, so that no symbolic link leads out of it.
fn directory_of(place: &Place, name: &Path, make: bool) -> io::Result<(OwnedFd, OsString)> {
    let mut directory = place.open(OFlags::PATH)?;
    for part in name.parent().into_iter().flat_map(Path::components) {
        let Component::Normal(part) = part else {
            return Err(io::Error::other("its path leads out of the mount"));
        };
        if make {
            match mkdirat(&directory, part, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        directory = openat(&directory, part, flags, Mode::empty())?;
    }
    if mount_id(&directory) != Some(place.id) {
        return Err(io::Error::other("its directory is another mount"));
    }
    let leaf = name.file_name().ok_or_else(|| io::Error::other("it has no name"))?;
    Ok((directory, leaf.to_owned()))
}

fn remove_file(place: &Place, name: &Path) -> Result<()> {
    let what = || format!("remove the status file {}", name.display());
    let removed = directory_of(place, name, false).and_then(|(directory, leaf)| {
        let about = rustix::fs::statat(&directory, &leaf, AtFlags::SYMLINK_NOFOLLOW)?;
        if rustix::fs::FileType::from_raw_mode(about.st_mode).is_file() {
            unlinkat(&directory, &leaf, AtFlags::empty())?;
        }
        Ok(())
    });
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.doing(what),
    }
}

/// By which path a device can be opened: one that is `known` for it, or the kernel's own name.
#[must_use]
pub fn path_of(device: Device, known: &[PathBuf]) -> Option<PathBuf> {
    let own = PathBuf::from(device::name(device));
    let mut paths = known.iter().chain(std::iter::once(&own));
    paths.find(|path| device::number(path) == Some(device)).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(directory: &Path) -> Place {
        let root = File::open(directory).unwrap();
        Place { id: mount_id(&root).unwrap(), point: directory.to_owned() }
    }

    #[test]
    fn a_file_is_written_read_back_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let (place, name) = (place(directory.path()), PathBuf::from(".a/b/file"));
        for _ in 0..2 {
            Work::WriteFile(place.clone(), name.clone()).perform().unwrap();
            assert_eq!(directory.path().join(&name).metadata().unwrap().len(), 4096);
        }
        Work::ReadRoot(place.clone()).perform().unwrap();
        Work::AskServer(place.clone()).perform().unwrap();
        for _ in 0..2 {
            Work::RemoveFile(place.clone(), name.clone()).perform().unwrap();
            assert!(!directory.path().join(&name).exists());
        }
        assert!(directory.path().join(".a/b").exists());
    }

    #[test]
    fn neither_a_link_nor_another_mount_is_written_to() {
        let directory = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let place = place(directory.path());
        std::os::unix::fs::symlink(outside.path(), directory.path().join("link")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("x"), directory.path().join("y")).unwrap();
        for name in ["link/file", "y", "../x"] {
            Work::WriteFile(place.clone(), name.into()).perform().unwrap_err();
        }
        assert_eq!(outside.path().read_dir().unwrap().count(), 0);
        let other = Place { id: place.id + 1_000_000, ..place };
        for work in [Work::AskServer(other.clone()), Work::WriteFile(other, "z".into())] {
            assert!(work.perform().unwrap_err().reason().contains("something else"));
        }
        assert!(!directory.path().join("z").exists());
    }

    #[test]
    fn memory_for_direct_io_begins_where_it_has_to() {
        let mut memory = Aligned::new(LARGEST);
        assert_eq!(memory.bytes(BLOCK).as_ptr().addr() % LARGEST, 0);
        assert_eq!(memory.bytes(LARGEST).len(), LARGEST);
    }
}
