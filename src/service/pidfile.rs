//! PID files: written for others, believed by nobody.

#![forbid(unsafe_code)]

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;

use crate::error::{Doing, Result};
use crate::host::process::Process;

/// The process that the file names, if the file may be believed so far: it is root's or ours, or of the process's own
/// user, who could do to it himself whatever we do; nobody else can write it, and it is younger than the process, so that the number is not one that was used again.
pub(super) fn named(path: &Path) -> Option<Process> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits());
    let file = options.open(path).ok()?;
    let about = file.metadata().ok()?;
    let written_by_others = about.mode() & 0o022 != 0;
    if !about.is_file() || written_by_others {
        return None;
    }
    let process = Process::look(number(file)?).ok()??;
    let trusted = [0, nix::unistd::geteuid().as_raw()].contains(&about.uid());
    if !trusted && process.user() != Some(about.uid()) {
        return None;
    }
    let age = seconds_since_boot()? - ticks_to_seconds(process.identity.start)?;
    // The file system's clock is up to a tick behind; a second is what a step of the clock may be.
    (!process.is_dead()
        && !process.is_kernel
        && age + 1.5 >= age_of(about.mtime(), about.mtime_nsec())?)
    .then_some(process)
}

/// The number in the file, whoever's it is.
pub(super) fn number_in(path: &Path) -> Option<i32> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits());
    number(options.open(path).ok()?)
}

fn number(file: fs::File) -> Option<i32> {
    let mut text = String::new();
    file.take(64).read_to_string(&mut text).ok()?;
    text.split_ascii_whitespace().next()?.parse().ok().filter(|pid| *pid > 1)
}

#[allow(clippy::cast_precision_loss, reason = "seconds")]
fn age_of(seconds: i64, nanoseconds: i64) -> Option<f64> {
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?.as_secs_f64();
    Some(now - (seconds as f64 + nanoseconds as f64 / 1e9))
}

/// Seconds since boot, with those of suspension, as start times count them.
#[allow(clippy::cast_precision_loss, reason = "seconds")]
pub(super) fn seconds_since_boot() -> Option<f64> {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).ok()?;
    Some(time.tv_sec() as f64 + time.tv_nsec() as f64 / 1e9)
}

#[allow(clippy::cast_precision_loss, reason = "seconds")]
fn ticks_to_seconds(ticks: u64) -> Option<f64> {
    let a_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok()??;
    Some(ticks as f64 / a_second as f64)
}

/// Writes the number, in place of whatever was there, for everybody to read.
pub(super) fn write(path: &Path, pid: i32) -> Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = directory.join(format!(".{name}.{}.new", std::process::id()));
    let write = || -> io::Result<()> {
        fs::create_dir_all(directory)?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o644);
        let mut file = options.custom_flags(OFlag::O_NOFOLLOW.bits()).open(&temporary)?;
        writeln!(file, "{pid}")?;
        fs::rename(&temporary, path)
    };
    let written = write();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.doing(|| format!("write the PID file {}", path.display()))
}

/// Removes the file if it names a process that executes another program than `program`: some servers believe it, and do not
/// start.
pub(super) fn disown(path: &Path, program: &Path) {
    let named = number_in(path).and_then(|pid| Process::look(pid).ok()?);
    let other = named.and_then(|process| process.executable());
    if other.is_some_and(|other| Some(other) != program.canonicalize().ok()) {
        let _ = fs::remove_file(path);
    }
}

/// Removes the file if it has one of these numbers; another one is somebody else's.
pub(super) fn remove(path: &Path, numbers: &[i32]) {
    if number_in(path).is_some_and(|found| numbers.contains(&found)) {
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_older_than_the_process_names_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        let own = std::process::id().cast_signed();
        write(&path, own).unwrap();
        assert_eq!(named(&path).unwrap().identity.pid, own);
        let past = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        OpenOptions::new().write(true).open(&path).unwrap().set_modified(past).unwrap();
        assert_eq!(named(&path), None);
    }

    #[test]
    fn links_garbage_and_files_that_others_write_name_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let own = std::process::id().cast_signed();
        write(&path("good"), own).unwrap();
        std::os::unix::fs::symlink(path("good"), path("link")).unwrap();
        write(&path("shared"), own).unwrap();
        let shared = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        fs::set_permissions(path("shared"), shared).unwrap();
        for (name, text) in [("garbage", "x"), ("empty", ""), ("first", "1"), ("negative", "-5")] {
            fs::write(path(name), text).unwrap();
        }
        for name in ["link", "shared", "garbage", "empty", "first", "negative", "missing"] {
            assert_eq!(named(&path(name)), None, "{name}");
        }
    }

    #[test]
    fn only_a_file_with_our_number_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        write(&path, 4711).unwrap();
        remove(&path, &[4712]);
        assert!(path.exists());
        remove(&path, &[4712, 4711]);
        assert!(!path.exists());
    }
}
