//! Symbolic links, and names that change places.
//!
//! No verb here follows the link that it is about: what it leads to may not answer.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::error::{Doing, Error, Result};
use crate::host::mount::{Table, path};
use crate::{trace_answer, trace_ask};

/// What has a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Nothing.
    Nothing,
    /// A symbolic link, and its text.
    Link(OsString),
    /// Something else, in words.
    Other(&'static str),
}

/// What is at a path.
///
/// # Errors
/// The directory above cannot be read.
pub fn look(path: &Path) -> Result<Entry> {
    trace_ask!("what is {}", path.display());
    let entry = match std::fs::read_link(path) {
        Ok(text) => Ok(Entry::Link(text.into_os_string())),
        Err(error) => match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) => Ok(Entry::Nothing),
            Some(libc::EINVAL) => kind(path).map(Entry::Other),
            _ => Err(error),
        },
    };
    let entry = entry.doing(|| format!("look at {}", path.display()))?;
    trace_answer!("{entry:?}");
    Ok(entry)
}

fn kind(path: &Path) -> io::Result<&'static str> {
    let kind = path.symlink_metadata()?.file_type();
    Ok(match kind {
        kind if kind.is_file() => "a file",
        kind if kind.is_dir() => "a directory",
        kind if kind.is_block_device() || kind.is_char_device() => "a device",
        kind if kind.is_socket() => "a socket",
        _ => "a pipe",
    })
}

/// Makes a link that has to lead to `target`; whether there was nothing of that name before.
///
/// # Errors
/// The file system refused.
pub fn make(target: &OsString, link: &Path) -> Result<bool> {
    trace_ask!("link {} to {}", link.display(), target.display());
    match std::os::unix::fs::symlink(target, link) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::Failed(format!(
            "cannot make the link {}: there is no such directory; make it, or start first what mounts it",
            link.display()
        ))),
        other => other
            .map(|()| true)
            .doing(|| format!("make the link {} to {}", link.display(), target.display())),
    }
}

/// Removes a name that is no directory's. It need not be there.
///
/// # Errors
/// The file system refused.
pub fn remove(path: &Path) -> Result<()> {
    trace_ask!("remove {}", path.display());
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.doing(|| format!("remove {}", path.display())),
    }
}

/// Two names change places at once (`RENAME_EXCHANGE`, `renameat2(2)`); false if the file system cannot do that.
///
/// # Errors
/// It refused for another reason.
pub fn exchange(one: &Path, other: &Path) -> Result<bool> {
    trace_ask!("exchange {} and {}", one.display(), other.display());
    match renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(true),
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(false),
        Err(error) => {
            Err(error).doing(|| format!("exchange {} and {}", one.display(), other.display()))
        }
    }
}

/// Gives something another name, which nobody has.
///
/// # Errors
/// Something has it, or the file system refused.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    trace_ask!("rename {} to {}", from.display(), to.display());
    let what = || format!("rename {} to {}", from.display(), to.display());
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Not with this file system: then the look has to do.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => match look(to)? {
            Entry::Nothing => std::fs::rename(from, to).doing(what),
            _ => Err(Error::Failed(format!("cannot {}: that exists", what()))),
        },
        other => other.doing(what),
    }
}

/// Whether two texts of a link in that directory lead to one place. Only file systems of this node are asked.
#[must_use]
pub fn lead_to_one_place(directory: &Path, one: &OsString, other: &OsString) -> bool {
    if one == other {
        return true;
    }
    let Ok(table) = Table::own() else { return false };
    let place = |text: &OsString| path::resolve_here(&directory.join(text), &table);
    place(one).is_some_and(|one| place(other) == Some(one))
}

/// Whether there is anything where a link in that directory leads; none if another node would have to be asked.
#[must_use]
pub fn leads_somewhere(directory: &Path, text: &OsString) -> Option<bool> {
    if text.as_bytes().contains(&0) {
        return Some(false);
    }
    let table = Table::own().ok()?;
    let place = path::resolve_here(&directory.join(text), &table)?;
    Some(place.symlink_metadata().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_has_a_name() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("file"), "").unwrap();
        symlink("nowhere", at("link")).unwrap();
        assert_eq!(look(&at("none")).unwrap(), Entry::Nothing);
        assert_eq!(look(&at("file/below")).unwrap(), Entry::Nothing);
        assert_eq!(look(&at("file")).unwrap(), Entry::Other("a file"));
        assert_eq!(look(directory.path()).unwrap(), Entry::Other("a directory"));
        assert_eq!(look(&at("link")).unwrap(), Entry::Link("nowhere".into()));
        remove(&at("link")).unwrap();
        remove(&at("link")).unwrap();
        assert!(remove(directory.path()).is_err(), "a directory stays");
    }

    #[test]
    fn nothing_is_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("one"), "1").unwrap();
        fs::write(at("two"), "2").unwrap();
        assert!(!make(&"x".into(), &at("one")).unwrap());
        rename(&at("one"), &at("two")).unwrap_err();
        assert_eq!(fs::read_to_string(at("two")).unwrap(), "2");
        if exchange(&at("one"), &at("two")).unwrap() {
            assert_eq!(fs::read_to_string(at("one")).unwrap(), "2");
        }
        rename(&at("one"), &at("three")).unwrap();
    }

    #[test]
    fn one_place_has_many_names() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().canonicalize().unwrap();
        fs::create_dir(base.join("real")).unwrap();
        symlink("real", base.join("other")).unwrap();
        let same = |one: &str, other: &str| lead_to_one_place(&base, &one.into(), &other.into());
        assert!(same("real", "real") && same("real", "./real/"));
        assert!(same("other", "real") && same("other/x", "real/../real/x"));
        assert!(!same("real", "reals") && !same("real", "real/x"));
        assert_eq!(leads_somewhere(&base, &"other".into()), Some(true));
        assert_eq!(leads_somewhere(&base, &"other/none".into()), Some(false));
    }
}
