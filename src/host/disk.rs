//! Room on file systems.

#![forbid(unsafe_code)]

use std::path::Path;

use nix::sys::statvfs::statvfs;

/// Whether not even root can write another block, or make another file, where `path` is. False where nobody can tell.
///
/// File systems that count nothing say 0 of 0 (`statvfs(3)`; tmpfs without limits, btrfs for its files): they are not full.
#[must_use]
pub fn is_full(path: &Path) -> bool {
    statvfs(path).is_ok_and(|room| {
        (room.blocks() > 0 && room.blocks_free() == 0)
            || (room.files() > 0 && room.files_free() == 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_nothing_is_not_full() {
        assert!(!is_full(Path::new("/proc")));
        assert!(!is_full(tempfile::tempdir().unwrap().path()));
        assert!(!is_full(Path::new("/nonexistent")));
    }
}
