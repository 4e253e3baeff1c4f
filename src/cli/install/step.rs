//! The single steps that change something, each complete or undone at any instant.

#![forbid(unsafe_code)]

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::Path;

use super::dpkg::Dpkg;
use super::record::{DIRECTORY, RECORD, Record, remove_if_there};
use super::root::Root;
use super::{attempt, kept, temporary};
use crate::error::Result;

/// One change. Paths are those inside the root.
#[derive(Debug)]
pub(super) enum Step<'a> {
    MakeDirectory(String),
    /// Writes down all that will be ours, before any of it is there.
    Record(Record),
    Write {
        path: &'a str,
        bytes: &'a [u8],
        mode: u32,
        replaces: bool,
    },
    Link {
        path: &'a str,
        target: &'a str,
    },
    Divert(String),
    Undivert(String),
    /// Gives what is at the path a second name. It stays where it is until a link takes the place.
    Keep(String),
    /// Puts what is kept back in its place.
    Restore(String),
    Remove(String),
    RemoveDirectory(String),
    /// Forgets the record, and what a kill may have left of the next one.
    Forget,
}

impl Step<'_> {
    /// What it does, for a person.
    pub(super) fn line(&self, root: &Root) -> String {
        let shown = |path: &str| root.shown(path);
        match self {
            Self::MakeDirectory(path) => format!("make directory {}", shown(path)),
            Self::Record(_) => format!("record in {} what is put where", shown(RECORD)),
            Self::Write { path, replaces: false, .. } => format!("write {}", shown(path)),
            Self::Write { path, replaces: true, .. } => format!("replace {}", shown(path)),
            Self::Link { path, target } => format!("link {} -> {target}", shown(path)),
            Self::Divert(path) => {
                format!("divert {} to {} (dpkg-divert)", shown(path), shown(&kept(path)))
            }
            Self::Undivert(path) => {
                format!("take back the diversion of {} (dpkg-divert)", shown(path))
            }
            Self::Keep(path) => format!("keep {} as {}", shown(path), shown(&kept(path))),
            Self::Restore(path) => format!("restore {} from {}", shown(path), shown(&kept(path))),
            Self::Remove(path) => format!("remove {}", shown(path)),
            Self::RemoveDirectory(path) => format!("remove directory {}", shown(path)),
            Self::Forget => format!("remove {}", shown(RECORD)),
        }
    }

    /// Does it.
    pub(super) fn perform(&self, root: &Root, dpkg: Option<&Dpkg>) -> Result<()> {
        match (self, dpkg) {
            (Self::Record(record), _) => record.save(root),
            (Self::Divert(path), Some(dpkg)) => dpkg.divert(path),
            (Self::Undivert(path), Some(dpkg)) => dpkg.undivert(path),
            _ => attempt(self.change(root)?, || self.line(root)),
        }
    }

    fn change(&self, root: &Root) -> Result<io::Result<()>> {
        let real = |path: &str| root.place(path).map(|place| place.real);
        Ok(match self {
            Self::MakeDirectory(path) => make_directory(&real(path)?),
            Self::Write { path, bytes, mode, .. } => {
                write(&real(path)?, &real(&temporary(path))?, bytes, *mode)
            }
            Self::Link { path, target } => link(&real(path)?, &real(&temporary(path))?, target),
            Self::Keep(path) => keep(&real(path)?, &real(&kept(path))?),
            Self::Restore(path) => fs::rename(real(&kept(path))?, real(path)?),
            Self::Remove(path) => remove_if_there(&real(path)?),
            Self::RemoveDirectory(path) => remove_directory(&real(path)?),
            Self::Forget => {
                let new = remove_if_there(&real(&temporary(RECORD))?);
                new.and(remove_if_there(&real(RECORD)?))
            }
            Self::Record(_) | Self::Divert(_) | Self::Undivert(_) => Ok(()),
        })
    }
}

/// The umask does not decide who may run an agent.
fn make_directory(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o755).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(0o755)),
    }
}

fn write(path: &Path, new: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    remove_if_there(new)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(new)?;
    let written = file
        .write_all(bytes)
        .and_then(|()| file.set_permissions(Permissions::from_mode(mode)))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(new, path));
    if written.is_err() {
        // The reason that is reported is the first one.
        let _ = fs::remove_file(new);
    }
    written
}

/// Makes the link, or lets it take the place of what is there without a moment in which nothing is.
fn link(path: &Path, new: &Path, target: &str) -> io::Result<()> {
    remove_if_there(new)?;
    symlink(target, new)?;
    fs::rename(new, path)
}

/// A second name for the same inode keeps everything about it. A file system without hard links moves it, and the
/// path is empty until the link is made.
fn keep(path: &Path, kept: &Path) -> io::Result<()> {
    match fs::hard_link(path, kept) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EPERM | libc::EOPNOTSUPP)) => {
            fs::rename(path, kept)
        }
        done => done,
    }
}

/// What somebody put there in the meantime stays.
fn remove_directory(path: &Path) -> io::Result<()> {
    match fs::remove_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        done => done,
    }
}

/// The directory of the record, as a step.
pub(super) fn is_around_record(directory: &str) -> bool {
    DIRECTORY == directory || DIRECTORY.starts_with(&format!("{directory}/"))
}
