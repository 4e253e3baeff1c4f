//! New mounts: by the calls that explain a refusal (`fsopen(2)`, Linux 5.2), or by `mount(2)` where the kernel lacks them.

#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, move_mount,
};

use super::Options;
use super::options::{Bind, NO_SYMFOLLOW, PROPAGATIONS};
use crate::error::{Doing, Error, Result, one_line};
use crate::{trace_answer, trace_ask};

/// Longest value that `fsconfig(2)` takes (`strndup_user(_value, 256)`); `mount(2)` takes a page.
const LONGEST: usize = 255;

/// What is to be mounted.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Type of the file system.
    pub kind: &'a str,
    /// Device, or what the file system takes for one.
    pub source: &'a OsStr,
    /// The rest.
    pub options: &'a Options,
}

impl Wanted<'_> {
    fn what(&self, point: &Path) -> String {
        format!("mount {} at {}", self.source.display(), point.display())
    }
}

/// Mounts a file system at a path without symbolic links. Its number, if the kernel told it.
///
/// # Errors
/// The kernel refused; its own words are in the error. Nothing is mounted then.
pub fn attach(wanted: &Wanted<'_>, point: &Path) -> Result<Option<u32>> {
    trace_ask!("{} as {}", wanted.what(point), wanted.kind);
    let fits = wanted.options.data.iter().all(|word| word.len() <= LONGEST);
    let context =
        if fits { fsopen(wanted.kind, FsOpenFlags::FSOPEN_CLOEXEC) } else { Err(Errno::NOSYS) };
    match context {
        // Not this kernel, a filter of system calls that does not know them, or an option too long for them.
        Err(Errno::NOSYS | Errno::PERM) => by_one_call(wanted, point).map(|()| None),
        Err(Errno::NODEV) => Err(Error::NotInstalled(format!(
            "cannot {}: the kernel has no file system {}",
            wanted.what(point),
            wanted.kind
        ))),
        Err(error) => Err(error).doing(|| wanted.what(point)),
        Ok(context) => match by_steps(wanted, point, &context) {
            Ok(id) => {
                trace_answer!("mount {id:?}");
                Ok(id)
            }
            Err(error) => Err(explained(wanted, point, error, context)),
        },
    }
}

fn by_steps(wanted: &Wanted<'_>, point: &Path, context: &OwnedFd) -> Result<Option<u32>, Errno> {
    if !wanted.source.is_empty() {
        fsconfig_set_string(context.as_fd(), "source", wanted.source)?;
    }
    for flag in super_flags(wanted.options) {
        fsconfig_set_flag(context.as_fd(), flag)?;
    }
    for word in &wanted.options.data {
        let bytes = word.as_bytes();
        match bytes.iter().position(|byte| *byte == b'=') {
            Some(at) => fsconfig_set_string(context.as_fd(), &bytes[..at], &bytes[at + 1..])?,
            None => fsconfig_set_flag(context.as_fd(), bytes)?,
        }
    }
    fsconfig_create(context.as_fd())?;
    let made = fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes(wanted.options))?;
    // It is nowhere yet, and goes with its descriptor if this process is killed here.
    let id = mount_id(&made);
    move_mount(made.as_fd(), "", CWD, point, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    Ok(id)
}

/// The kernel's words are read from the context: one message a read, with a letter for its weight.
fn explained(wanted: &Wanted<'_>, point: &Path, error: Errno, context: OwnedFd) -> Error {
    let mut log = File::from(context);
    let mut words = Vec::new();
    let mut message = [0; 1024];
    while let Ok(length @ 1..) = log.read(&mut message) {
        let text = String::from_utf8_lossy(&message[..length]);
        words.extend(text.strip_prefix("e ").map(|text| text.trim().to_owned()));
        if words.len() > 8 {
            break;
        }
    }
    let what = wanted.what(point);
    refused(&what, io::Error::from(error), &words.join("; "))
}

fn refused(what: &str, error: io::Error, words: &str) -> Error {
    let words = one_line(words, 120);
    let mut told = if words.is_empty() { String::new() } else { format!(" ({words})") };
    // Multiple mount protection tells no more than that, after it has looked on for some seconds.
    if error.raw_os_error() == Some(libc::EBUSY) {
        told.push_str("; another node has it mounted (the kernel's log then says so), or a device stands on it");
    }
    match Err::<(), _>(error).doing(|| what) {
        Err(Error::Failed(text)) => Error::Failed(text + &told),
        Err(Error::NotPermitted(text)) => Error::NotPermitted(text + &told),
        Err(other) => other,
        Ok(()) => Error::Failed(what.to_owned()),
    }
}

fn by_one_call(wanted: &Wanted<'_>, point: &Path) -> Result<()> {
    let data = wanted.options.data_text();
    let data = (!data.is_empty()).then_some(data.as_os_str());
    mount(Some(wanted.source), point, Some(wanted.kind), wanted.options.flags(), data)
        .doing(|| wanted.what(point))
}

/// Shows a directory at another path.
///
/// # Errors
/// The kernel refused. Nothing is mounted then.
pub fn bind(source: &Path, options: &Options, which: Bind, point: &Path) -> Result<()> {
    let what = || format!("mount {} at {}", source.display(), point.display());
    trace_ask!("{}", what());
    let deep = match which {
        Bind::One => MsFlags::empty(),
        Bind::WithAllBelow => MsFlags::MS_REC,
    };
    let none = None::<&str>;
    mount(Some(source), point, none, MsFlags::MS_BIND | deep, none).doing(what)?;
    // The first call passes all other flags over.
    let flags = options.flags();
    if flags.is_empty() {
        return Ok(());
    }
    let again = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | flags;
    let set = mount(none, point, none, again, none)
        .doing(|| format!("set the options of {}", point.display()));
    if set.is_err() {
        let _ = super::unmount::here(point, super::unmount::Manner::default());
    }
    set
}

/// Sets how what is mounted below spreads.
///
/// # Errors
/// The kernel refused.
pub fn set_propagation(point: &Path, names: &[&str]) -> Result<()> {
    for (name, flag) in PROPAGATIONS.iter().filter(|(name, _)| names.contains(name)) {
        mount(None::<&str>, point, None::<&str>, *flag, None::<&str>)
            .doing(|| format!("make {} {name}", point.display()))?;
    }
    Ok(())
}

/// Moves a mount with all below it.
///
/// # Errors
/// The kernel refused, as it does below a mount that shares.
pub fn relocate(from: &Path, to: &Path) -> Result<()> {
    trace_ask!("move the mount {} to {}", from.display(), to.display());
    mount(Some(from), to, None::<&str>, MsFlags::MS_MOVE, None::<&str>)
        .doing(|| format!("move the mount {} to {}", from.display(), to.display()))
}

/// Whether the kernel has a file system of that type; `fuse.x` is `fuse` to it.
///
/// # Errors
/// /proc does not answer.
pub fn is_known(kind: &str) -> Result<bool> {
    let path = "/proc/filesystems";
    let text = std::fs::read_to_string(path).doing(|| format!("read {path}"))?;
    let name = kind.split('.').next().unwrap_or(kind);
    Ok(text.lines().any(|line| line.split_ascii_whitespace().last() == Some(name)))
}

/// The number of the mount that a descriptor belongs to.
#[must_use]
pub fn mount_id(descriptor: &impl AsRawFd) -> Option<u32> {
    let path = format!("/proc/thread-self/fdinfo/{}", descriptor.as_raw_fd());
    id_in(&std::fs::read_to_string(path).ok()?)
}

/// The number of the mount in what the kernel tells of an open file (`proc_pid_fdinfo(5)`).
pub(super) fn id_in(information: &str) -> Option<u32> {
    information.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim().parse().ok()
}

fn super_flags(options: &Options) -> Vec<&'static str> {
    let flags = options.super_flags.0;
    let mut names = vec![if options.read_only { "ro" } else { "rw" }];
    let known = [
        (MsFlags::MS_SYNCHRONOUS, "sync"),
        (MsFlags::MS_DIRSYNC, "dirsync"),
        (MsFlags::MS_LAZYTIME, "lazytime"),
        (MsFlags::MS_I_VERSION, "iversion"),
    ];
    names.extend(known.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, name)| *name));
    names
}

fn attributes(options: &Options) -> MountAttrFlags {
    let flags = options.flags();
    let known = [
        (MsFlags::MS_RDONLY, MountAttrFlags::MOUNT_ATTR_RDONLY),
        (MsFlags::MS_NOSUID, MountAttrFlags::MOUNT_ATTR_NOSUID),
        (MsFlags::MS_NODEV, MountAttrFlags::MOUNT_ATTR_NODEV),
        (MsFlags::MS_NOEXEC, MountAttrFlags::MOUNT_ATTR_NOEXEC),
        (MsFlags::MS_NODIRATIME, MountAttrFlags::MOUNT_ATTR_NODIRATIME),
        (NO_SYMFOLLOW, MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW),
    ];
    let mut attributes = MountAttrFlags::empty();
    for (_, attribute) in known.iter().filter(|(flag, _)| flags.contains(*flag)) {
        attributes |= *attribute;
    }
    // One value and no flags: of the three the strongest word wins, as in `mount(2)`.
    if flags.contains(MsFlags::MS_STRICTATIME) {
        attributes |= MountAttrFlags::MOUNT_ATTR_STRICTATIME;
    } else if flags.contains(MsFlags::MS_NOATIME) {
        attributes |= MountAttrFlags::MOUNT_ATTR_NOATIME;
    }
    attributes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_the_attributes_of_the_kernel() {
        let parse = |text: &str| Options::parse(text.as_ref()).unwrap();
        let options = parse("ro,nosuid,noatime,nodiratime,sync");
        let expected = MountAttrFlags::MOUNT_ATTR_RDONLY
            | MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NOATIME
            | MountAttrFlags::MOUNT_ATTR_NODIRATIME;
        assert_eq!(attributes(&options), expected);
        assert_eq!(super_flags(&options), ["ro", "sync"]);
        assert_eq!(
            attributes(&parse("noatime,strictatime")),
            MountAttrFlags::MOUNT_ATTR_STRICTATIME
        );
        assert_eq!(super_flags(&parse("")), ["rw"]);
    }

    #[test]
    fn the_kernel_is_asked_what_it_knows() {
        assert!(is_known("proc").unwrap() && !is_known("nosuchthing").unwrap());
    }

    #[test]
    fn a_busy_device_may_be_another_nodes() {
        let error = refused("mount a at b", io::Error::from_raw_os_error(libc::EBUSY), "");
        assert!(
            error.reason().starts_with("cannot mount a at b: Device or resource busy; another")
        );
    }

    #[test]
    fn a_refusal_has_the_kernels_words() {
        let error = refused(
            "mount a at b",
            io::Error::from_raw_os_error(libc::EINVAL),
            "loop0: Unknown parameter 'x'",
        );
        assert_eq!(
            error.reason(),
            "cannot mount a at b: Invalid argument (loop0: Unknown parameter 'x')"
        );
    }
}
