//! Locks that end with their holders.

#![forbid(unsafe_code)]

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use rustix::fs::{FlockOperation, flock};

/// What came of an attempt to take a lock.
#[derive(Debug)]
pub enum TryLock {
    /// It is ours.
    Taken(Lock),
    /// Somebody else has it.
    Held,
    /// There is no lock at all: the directory cannot be written.
    Impossible,
}

/// A held lock; released when dropped, and by the kernel when the process ends.
#[derive(Debug)]
pub struct Lock {
    file: File,
    /// Whether it ends with this, whoever has a share.
    is_ours: Cell<bool>,
}

impl Lock {
    /// Takes it, if nobody has it.
    pub(super) fn at_once(file: File) -> std::result::Result<Self, (File, rustix::io::Errno)> {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { file, is_ours: Cell::new(true) }),
            Err(error) => Err((file, error)),
        }
    }

    /// A share in it for a program that is started: if its starter is killed, the lock lasts until the program ends too.
    ///
    /// # Errors
    /// There are no more descriptors.
    pub fn share(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Leaves it to those who have a share: it lasts until the last of them ends.
    pub fn leave(&self) {
        self.is_ours.set(false);
    }

    /// The share that this process got as its stdin. What is written there is for others to read while the lock lasts.
    ///
    /// # Errors
    /// There are no more descriptors.
    pub fn of_stdin() -> io::Result<Self> {
        let file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        Ok(Self { file, is_ours: Cell::new(false) })
    }

    /// Writes down who has it.
    pub fn note(&self, text: &str) {
        // Only to tell others more: without it they know that somebody has the lock.
        let _ = self.file.set_len(0).and_then(|()| self.file.write_all_at(text.as_bytes(), 0));
    }

    /// Gives it to a program that is started, which has it for as long as it runs, whatever becomes of this process.
    ///
    /// # Errors
    /// There are no more descriptors.
    pub fn give(self) -> io::Result<File> {
        let share = self.share()?;
        // To unlock here would be to unlock there: it is one open file.
        self.leave();
        Ok(share)
    }
}

impl Drop for Lock {
    /// Children that are being started, and daemons that a program leaves behind, may have the descriptor too.
    fn drop(&mut self) {
        if self.is_ours.get() {
            let _ = flock(&self.file, FlockOperation::Unlock);
        }
    }
}
