//! Small files below `/run/resource-agents`: what start changed besides the resource, so that stop can undo it.
//!
//! The kernel is the truth. State that is missing, stale, corrupt or somebody else's is passed over, with the
//! reason for the log.

#![forbid(unsafe_code)]

mod lock;

use std::fmt::Display;
use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::deadline::Deadline;
use crate::error::{Doing, Result};

pub use lock::{Lock, TryLock};

/// Largest state file that is read, in bytes. Ours have a line or two.
const LARGEST: u64 = 64 * 1024;

/// The directory of state files.
#[derive(Clone, Debug)]
pub struct StateDirectory {
    path: PathBuf,
}

impl StateDirectory {
    /// `path`, which need not exist yet.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file `name` in it.
    #[must_use]
    pub fn file(&self, name: &str) -> StateFile {
        StateFile { path: self.path.join(file_name(name)) }
    }

    /// The files whose names begin with `prefix`.
    #[must_use]
    pub fn files(&self, prefix: &str) -> Vec<StateFile> {
        let entries = std::fs::read_dir(&self.path).into_iter().flatten().flatten();
        let ours = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
        ours.map(|entry| StateFile { path: entry.path() }).collect()
    }

    /// Takes the lock `name` if nobody has it.
    #[must_use]
    pub fn try_lock(&self, name: &str) -> TryLock {
        let Ok(file) = self.lock_file(name) else { return TryLock::Impossible };
        match Lock::at_once(file) {
            Ok(lock) => TryLock::Taken(lock),
            Err((_, rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR)) => TryLock::Held,
            Err(_) => TryLock::Impossible,
        }
    }

    /// Whether somebody ever took the lock `name`.
    #[must_use]
    pub fn has_lock(&self, name: &str) -> bool {
        self.lock_path(name).exists()
    }

    fn lock_path(&self, name: &str) -> PathBuf {
        self.path.join(format!(".{}.lock", file_name(name)))
    }

    fn lock_file(&self, name: &str) -> io::Result<File> {
        let path = self.lock_path(name);
        open_private(&path, OpenOptions::new().read(true).write(true).create(true))
    }

    /// Waits for the lock `name`, which ends with its holder. No lock at all where the directory cannot be
    /// written: exclusion is then lost, and the kernel's own atomicity has to do.
    ///
    /// # Errors
    /// Somebody else had it until the deadline.
    pub fn lock(&self, name: &str, deadline: &Deadline) -> Result<Option<Lock>> {
        let path = self.lock_path(name);
        let Ok(mut file) = self.lock_file(name) else {
            crate::trace_note!("no lock {}", path.display());
            return Ok(None);
        };
        loop {
            match Lock::at_once(file) {
                Ok(lock) => return Ok(Some(lock)),
                Err((back, rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR)) => {
                    file = back;
                    let left = deadline.to_wait_for(&format!(
                        "another action on the same resource (lock {})",
                        path.display()
                    ))?;
                    std::thread::sleep(left.min(Duration::from_millis(5)));
                }
                Err(_) => return Ok(None),
            }
        }
    }

    /// What the last process with a share in the lock `name` wrote into it (see [`Lock::of_stdin`]). It says nothing of
    /// whether somebody has the lock.
    #[must_use]
    pub fn note_in_lock(&self, name: &str) -> Option<String> {
        StateFile { path: self.lock_path(name) }.read().ok()?.filter(|note| !note.is_empty())
    }
}

/// `name` as the name of a file: no slashes, not hidden; and where it is too long, cut and told apart by a hash.
fn file_name(name: &str) -> String {
    const LONGEST: usize = 120;
    let mut safe = name.replace(['/', '\0'], "_");
    if safe.starts_with('.') {
        safe.insert(0, '_');
    }
    if safe.len() > LONGEST {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        safe.truncate(safe.floor_char_boundary(LONGEST - 17));
        safe = format!("{safe}-{:016x}", hasher.finish());
    }
    safe
}

/// One state file.
#[derive(Clone, Debug)]
pub struct StateFile {
    path: PathBuf,
}

impl StateFile {
    /// A state file outside the directory, where a parameter names one.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The content; none if there is no such file.
    ///
    /// # Errors
    /// There is something of that name that is not to be trusted: a symbolic link, a directory, another user's
    /// file, too large, or not text.
    pub fn read(&self) -> Result<Option<String>> {
        let read = || -> io::Result<Option<String>> {
            let mut options = OpenOptions::new();
            let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
            let file = match options.read(true).custom_flags(flags.bits()).open(&self.path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                other => other?,
            };
            let about = file.metadata()?;
            if !about.is_file() || !is_ours(&about) || about.len() > LARGEST {
                return Err(io::Error::other("it is not a small file of ours; remove it"));
            }
            let mut content = String::new();
            file.take(LARGEST).read_to_string(&mut content)?;
            Ok(Some(content))
        };
        read().doing(|| format!("read the state file {}", self.path.display()))
    }

    /// Replaces the content; whoever reads sees the old or the new one.
    ///
    /// # Errors
    /// The directory cannot be made or written, or is full.
    pub fn write(&self, content: &str) -> Result<()> {
        let directory = self.directory();
        let temporary = directory.join(self.temporary(std::process::id()));
        // Whatever is there and is no state of ours, be it a device or somebody's file, stays.
        self.read()?;
        let write = || -> io::Result<()> {
            make_directory(directory)?;
            self.remove_abandoned();
            let mut file =
                open_private(&temporary, OpenOptions::new().write(true).create_new(true))?;
            file.write_all(content.as_bytes())?;
            std::fs::rename(&temporary, &self.path)
        };
        let written = write();
        if written.is_err() {
            let _ = std::fs::remove_file(&temporary);
        }
        written.doing(|| format!("write the state file {}", self.path.display()))
    }

    /// Removes it. It need not be there; and what is there and is no state file of ours stays, since nothing that was
    /// started can have made it.
    ///
    /// # Errors
    /// It is there and cannot be removed.
    pub fn remove(&self) -> Result<()> {
        self.remove_abandoned();
        if !is_file_of_ours(&self.path) {
            return Ok(());
        }
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).doing(|| format!("remove the state file {}", self.path.display()))
            }
            _ => Ok(()),
        }
    }

    fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// The name of the file that the process `writer` renames when it has written it.
    fn temporary(&self, writer: impl Display) -> String {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        format!(".{name}.{writer}.new")
    }

    /// Removes what writers left that were killed before they could rename it. This process is about to write, so that
    /// what has its number is of an earlier one.
    fn remove_abandoned(&self) {
        let own = i32::try_from(std::process::id()).unwrap_or_default();
        for entry in std::fs::read_dir(self.directory()).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let writer =
                name.to_str().and_then(|name| name.rsplit('.').nth(1)?.parse::<i32>().ok());
            let abandoned = writer.is_some_and(|writer| {
                writer > 0
                    && name == *self.temporary(writer)
                    && (writer == own || !is_alive(writer))
            });
            if abandoned && is_file_of_ours(&entry.path()) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

fn is_file_of_ours(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|about| about.is_file() && is_ours(&about))
}

/// A process of another user counts.
fn is_alive(pid: i32) -> bool {
    !matches!(kill(Pid::from_raw(pid), None), Err(Errno::ESRCH))
}

fn is_ours(about: &Metadata) -> bool {
    about.uid() == nix::unistd::geteuid().as_raw()
}

/// Opens a file that nobody else may read and that must not be a link to another.
fn open_private(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    if let Some(directory) = path.parent() {
        make_directory(directory)?;
    }
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = options.mode(0o600).custom_flags(flags.bits()).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a file")) }
}

/// Makes the directory as the shell agents do, mode 1755.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o755).create(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o1755))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(directory.path().join("new"));
        let file = state.file("a/b");
        assert_eq!(file.read().unwrap(), None);
        file.write("one").unwrap();
        file.write("two").unwrap();
        assert_eq!(file.read().unwrap().as_deref(), Some("two"));
        let found = |prefix| {
            state.files(prefix).iter().map(|file| file.path().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!((found("a_"), found("b")), (vec![file.path().to_owned()], vec![]));
        file.remove().unwrap();
        file.remove().unwrap();
        assert_eq!(file.read().unwrap(), None);
    }

    #[test]
    fn what_a_killed_writer_left_is_removed_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(directory.path().to_owned());
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let (dead, own, alive) =
            (child.id(), std::process::id(), std::os::unix::process::parent_id());
        let put = |name: String| std::fs::write(directory.path().join(name), "half").unwrap();
        let names = || {
            let entries = std::fs::read_dir(directory.path()).unwrap().flatten();
            let mut names: Vec<String> =
                entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        let others = [
            ".x.y.new".to_owned(),
            format!(".x.{alive}.new"),
            format!(".xy.{dead}.new"),
            format!("x.{dead}.new"),
        ];
        for name in &others {
            put(name.clone());
        }
        let kept = names();
        for pid in [dead, own] {
            put(format!(".x.{pid}.new"));
            state.file("x").remove().unwrap();
            assert_eq!(names(), kept, "stop");
            put(format!(".x.{pid}.new"));
            state.file("x").write("whole").unwrap();
            assert_eq!(names().len(), kept.len() + 1, "start: {:?}", names());
            assert_eq!(state.file("x").read().unwrap().as_deref(), Some("whole"));
            state.file("x").remove().unwrap();
        }
    }

    #[test]
    fn links_directories_pipes_and_garbage_are_refused_with_a_reason() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(directory.path().to_owned());
        std::os::unix::fs::symlink("/etc/hostname", directory.path().join("link")).unwrap();
        std::fs::create_dir(directory.path().join("directory")).unwrap();
        std::fs::write(directory.path().join("garbage"), [0xff, 0xfe]).unwrap();
        nix::unistd::mkfifo(&directory.path().join("pipe"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        for name in ["link", "directory", "garbage", "pipe"] {
            let reason = state.file(name).read().unwrap_err().reason();
            assert!(reason.contains("read the state file"), "{name}: {reason}");
        }
        for name in ["link", "directory", "pipe"] {
            state.file(name).write("x").unwrap_err();
            state.file(name).remove().unwrap();
            assert!(directory.path().join(name).symlink_metadata().is_ok(), "{name} stays");
        }
    }

    #[test]
    fn long_names_stay_different() {
        let long = "ä".repeat(300);
        let names = [file_name(&long), file_name(&format!("{long}1")), file_name("short")];
        assert!(names.iter().all(|name| name.len() <= 120));
        assert_ne!(names[0], names[1]);
        assert_eq!(names[2], "short");
    }

    #[test]
    fn a_lock_excludes_and_its_wait_ends() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(directory.path().to_owned());
        let soon = Deadline::after(Duration::from_millis(50));
        let held = state.lock("x", &soon).unwrap();
        assert!(held.is_some());
        let reason = state.lock("x", &soon).unwrap_err().reason();
        assert!(reason.contains("another action on the same resource"), "{reason}");
        drop(held);
        assert!(state.lock("x", &Deadline::after(Duration::from_secs(5))).unwrap().is_some());
    }

    #[test]
    fn where_nothing_can_be_written_there_is_no_lock_and_no_wait() {
        let state = StateDirectory::new(PathBuf::from("/proc/nowhere"));
        assert!(state.lock("x", &Deadline::after(Duration::from_secs(5))).unwrap().is_none());
        state.file("x").write("y").unwrap_err();
    }
}
