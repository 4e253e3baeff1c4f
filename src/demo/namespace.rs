//! Namespaces that have no name and end with their processes.

#![forbid(unsafe_code)]

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Child, Command};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::{getegid, geteuid};

use super::PRIVATE;
use crate::error::{Doing, Error, Result};

/// Makes the next child of this process PID 1 of a PID namespace: with it, all that it started ends.
///
/// An ordinary user becomes root of a user namespace first.
///
/// # Errors
/// The kernel, or its administrator, does not allow it.
pub(super) fn next_child_is_init() -> Result<()> {
    let alone =
        if geteuid().is_root() { unshare(CloneFlags::CLONE_NEWPID) } else { Err(Errno::EPERM) };
    match alone {
        // Root of a container may have to be root of a user namespace instead.
        Err(Errno::EPERM) => become_root().map_err(|error| refused(&error)),
        other => other.map_err(|error| refused(&error.into())),
    }
}

fn become_root() -> io::Result<()> {
    let (user, group) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWPID)?;
    // Who may not set groups cannot drop one that forbids him something (user_namespaces(7)).
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {user} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {group} 1"))
}

/// A network, mount and host name of this process's own; what it mounts, nobody else sees.
///
/// # Errors
/// The kernel, or its administrator, does not allow it.
pub(super) fn leave_host() -> Result<()> {
    let flags = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS;
    unshare(flags).map_err(|error| refused(&error.into()))
}

/// Hides the directory of the host's run-time files, sockets and logs behind an empty one.
///
/// # Errors
/// The kernel refused.
pub(super) fn hide_run_directory() -> Result<()> {
    const NONE: Option<&str> = None;
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)
        .doing(|| "keep mounts private")?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), PRIVATE, Some("tmpfs"), flags, Some("mode=755"))
        .doing(|| format!("mount a tmpfs on {PRIVATE}"))
}

/// Starts `command` as PID 1 of a PID namespace below this one.
///
/// # Errors
/// The namespace or the process could not be made.
pub(super) fn spawn_init(command: &mut Command) -> Result<Child> {
    let own = File::open("/proc/self/ns/pid").doing(|| "open this PID namespace")?;
    unshare(CloneFlags::CLONE_NEWPID).map_err(|error| refused(&error.into()))?;
    let spawned = command.spawn();
    // No thread can be made while children belong elsewhere.
    setns(own, CloneFlags::CLONE_NEWPID).doing(|| "return to this PID namespace")?;
    spawned.doing(|| "start a part of the demonstration")
}

/// The error of a refused namespace, with what would allow it.
fn refused(error: &io::Error) -> Error {
    let errno = Errno::from_raw(error.raw_os_error().unwrap_or_default());
    let advice = advice(Path::new("/proc/sys"), errno);
    Error::NotPermitted(format!("cannot make throw-away namespaces: {}; {advice}", errno.desc()))
}

/// What the administrator would have to change, as far as kernel parameters below `sysctls` tell.
fn advice(sysctls: &Path, errno: Errno) -> String {
    const FORBIDDING: [(&str, &str, i64); 8] = [
        ("kernel/unprivileged_userns_clone", "0", 1),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", 0),
        ("user/max_user_namespaces", "0", 1000),
        ("user/max_pid_namespaces", "0", 1000),
        ("user/max_net_namespaces", "0", 1000),
        ("user/max_mnt_namespaces", "0", 1000),
        ("user/max_uts_namespaces", "0", 1000),
        ("kernel/grsecurity/chroot_deny_unshare", "1", 0),
    ];
    let commands: Vec<String> = FORBIDDING
        .iter()
        .filter(|(key, bad, _)| {
            fs::read_to_string(sysctls.join(key)).is_ok_and(|value| value.trim() == *bad)
        })
        .map(|(key, _, good)| format!("sysctl -w {}={good}", key.replace('/', ".")))
        .collect();
    if !commands.is_empty() {
        return format!("`{}` as root allows it", commands.join(" "));
    }
    match errno {
        Errno::ENOSPC | Errno::EUSERS => {
            "too many are in use, or too deep: see the limits in /proc/sys/user".to_owned()
        }
        Errno::EINVAL | Errno::ENOSYS => {
            "this kernel was built without them (CONFIG_USER_NS, CONFIG_PID_NS, CONFIG_NET_NS)"
                .to_owned()
        }
        _ => "run it as root, and in a container with CAP_SYS_ADMIN (docker run --privileged)"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameter_that_forbids_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let general = advice(directory.path(), Errno::EPERM);
        assert!(general.contains("run it as root"), "{general}");
        for folder in ["kernel", "user"] {
            fs::create_dir(directory.path().join(folder)).unwrap();
        }
        fs::write(directory.path().join("kernel/unprivileged_userns_clone"), "0\n").unwrap();
        fs::write(directory.path().join("user/max_user_namespaces"), "12345\n").unwrap();
        assert_eq!(
            advice(directory.path(), Errno::EPERM),
            "`sysctl -w kernel.unprivileged_userns_clone=1` as root allows it"
        );
    }
}
