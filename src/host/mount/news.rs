//! What the kernel announces of one mount: that it goes, is remounted or hidden, and errors of its file system.

#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use super::{Mount, Table};

/// The table of mounts and the counters of a file system, each of which the kernel notifies of (`POLLPRI`).
#[derive(Debug)]
pub struct MountNews {
    point: PathBuf,
    table: File,
    known: Vec<Mount>,
    counters: Vec<File>,
}

impl MountNews {
    /// Hears from now on of the mount at `point`, and of `counters`: attributes in sysfs that notify, such as ext4's
    /// `errors_count`.
    ///
    /// # Errors
    /// There is no table.
    pub fn of(point: PathBuf, counters: &[PathBuf]) -> io::Result<Self> {
        let counters = counters.iter().filter_map(|path| File::open(path).ok()).collect();
        let table = File::open("/proc/thread-self/mountinfo")?;
        let mut news = Self { point, table, known: Vec::new(), counters };
        news.known = news.look()?;
        for at in 0..news.counters.len() {
            news.read_counter(at)?;
        }
        Ok(news)
    }

    /// What is to be waited for.
    pub fn sources(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [&self.table].into_iter().chain(&self.counters).map(AsFd::as_fd)
    }

    /// What a source says that is ready, in words; none if it is about other mounts.
    pub fn take(&mut self, at: usize) -> Option<String> {
        let Some(counter) = at.checked_sub(1) else {
            let now = self.look().ok()?;
            let same = now == self.known;
            self.known = now;
            return (!same).then(|| format!("the mount at {} changed", self.point.display()));
        };
        if self.read_counter(counter).is_err() {
            // The file system is gone, and would be ready for ever.
            self.counters.remove(counter);
        }
        Some(format!("the file system at {} counted an error", self.point.display()))
    }

    /// The mounts at the point and at the directories above it, which could hide it.
    fn look(&mut self) -> io::Result<Vec<Mount>> {
        self.table.rewind()?;
        let table = Table::read(&mut self.table)?;
        let concerns = |mount: &&Mount| self.point.starts_with(&mount.point);
        Ok(table.mounts().iter().filter(concerns).cloned().collect())
    }

    fn read_counter(&mut self, at: usize) -> io::Result<()> {
        let counter = &mut self.counters[at];
        counter.rewind()?;
        counter.read_to_end(&mut Vec::new()).map(drop)
    }
}

/// The counters of errors of a mount's file system that notify: those of ext4 (`ext4_notify_error_sysfs`).
#[must_use]
pub fn counters(mount: &Mount) -> Vec<PathBuf> {
    let of_ext4 = super::health::sysfs(mount).map(|directory| directory.join("errors_count"));
    of_ext4.filter(|path| Path::exists(path)).into_iter().collect()
}
