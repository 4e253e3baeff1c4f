//! Files in a directory that other nodes write to as well, perhaps on storage that does not answer.

#![forbid(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;

/// Largest list that is read, in bytes: some hundred thousand connections.
const LARGEST: u64 = 32 * 1024 * 1024;

/// The content; none if there is no such file.
///
/// # Errors
/// It is no plain file, or too large, or cannot be read.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path);
    let file = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let about = file.metadata()?;
    if !about.is_file() || about.len() > LARGEST {
        return Err(io::Error::other("it is not a small plain file; remove it"));
    }
    let mut content = Vec::new();
    file.take(LARGEST).read_to_end(&mut content)?;
    Ok(Some(content))
}

/// Replaces the content, so that whoever reads sees the old or the new one, even after a crash; unless `still_wanted`
/// says no just before the last step.
///
/// # Errors
/// The directory is missing, full or read-only; or something else than a plain file has the name.
pub(super) fn write(
    path: &Path,
    content: &[u8],
    still_wanted: &dyn Fn() -> io::Result<()>,
) -> io::Result<()> {
    if path.symlink_metadata().is_ok_and(|about| !about.is_file()) {
        return Err(io::Error::other("something that is no plain file has its name; remove it"));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Two nodes may write at once; and what is left of one that died is replaced.
    let node = nix::unistd::gethostname().unwrap_or_default();
    let temporary =
        path.with_file_name(format!(".{name}.{}.new", node.to_string_lossy().replace('/', "_")));
    let write = || {
        let _ = std::fs::remove_file(&temporary);
        let mut file: File = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        still_wanted()?;
        std::fs::rename(&temporary, path)
    };
    let written = write();
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("192.0.2.10");
        assert_eq!(read(&path).unwrap(), None);
        write(&path, b"one", &|| Ok(())).unwrap();
        write(&path, b"two", &|| Ok(())).unwrap();
        assert_eq!(read(&path).unwrap().as_deref(), Some(&b"two"[..]));
        write(&path, b"late", &|| Err(io::Error::other("too late"))).unwrap_err();
        assert_eq!(read(&path).unwrap().as_deref(), Some(&b"two"[..]));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "no leftovers");
    }

    #[test]
    fn links_directories_and_pipes_are_refused_and_stay() {
        let directory = tempfile::tempdir().unwrap();
        let victim = directory.path().join("victim");
        std::fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, directory.path().join("link")).unwrap();
        std::fs::create_dir(directory.path().join("directory")).unwrap();
        nix::unistd::mkfifo(&directory.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        for name in ["link", "directory", "pipe"] {
            let path = directory.path().join(name);
            read(&path).unwrap_err();
            write(&path, b"x", &|| Ok(())).unwrap_err();
            assert!(path.symlink_metadata().is_ok(), "{name} stays");
        }
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
    }
}
