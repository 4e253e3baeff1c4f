//! Who has a device that nobody in this mount namespace has: a container, or the kernel for itself.

#![forbid(unsafe_code)]

use std::fs;
use std::time::{Duration, Instant};

use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::host::mount::{Device, Mount, Table, device, elsewhere, health};
use crate::host::process::Process;

/// So long the kernel may take to let go of what a process had that was just killed: it does that in its own time.
const SETTLE: Duration = Duration::from_secs(1);

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(20);

/// Nobody out of sight has the device. Whoever mounts it a second time shares the file system with the first, so that it
/// cannot leave this node; or, if he has made another loop device of the same file, destroys it.
///
/// # Errors
/// Somebody has it; the error says who, if that can be found out.
pub(super) fn nobody_has(
    disk: Device,
    table: &Table,
    read_only: bool,
    deadline: &Deadline,
) -> Result<()> {
    let has = |mount: &Mount| health::disk_of(mount).is_some_and(|own| is_one(own, disk));
    // What is to be seen was judged already.
    if table.mounts().iter().any(has) {
        return Ok(());
    }
    let begin = Instant::now();
    while device::is_claimed(disk) {
        if begin.elapsed() >= SETTLE {
            return refusal(disk, &elsewhere::copies(has, deadline), read_only).map_or(Ok(()), Err);
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

fn is_one(one: Device, other: Device) -> bool {
    one == other || health::is_one_btrfs(one, other)
}

fn refusal(disk: Device, copies: &[elsewhere::Copy], read_only: bool) -> Option<Error> {
    let name = device::name(disk);
    let found = copies.iter().filter_map(|copy| Some((copy.pid, copy.mount()?)));
    let mut found = found.peekable();
    if found.peek().is_some() {
        // The subvolumes of a btrfs are mounted one by one, and what nobody can write to may be read by two.
        let harmless =
            |mount: &Mount| mount.is_kind("btrfs") || (read_only && mount.has_super_option("ro"));
        let (pid, mount) = found.find(|(_, mount)| !harmless(mount))?;
        return Some(Error::Local(format!(
            "{name} is mounted at {} in the mount namespace of process {pid} ({}); unmount it there, or set shared_device=true",
            mount.point.display(),
            Process::look(pid).ok().flatten().map_or_else(String::new, |process| process.name)
        )));
    }
    let users = fs::read_dir(format!("/sys/dev/block/{disk}/holders")).into_iter().flatten();
    let users: Vec<String> =
        users.flatten().map(|user| user.file_name().to_string_lossy().into_owned()).collect();
    Some(Error::Local(match users.first() {
        Some(user) => format!("{name} is in use by /dev/{user}; mount that, or stop it"),
        None => format!(
            "{name} is in use, though not mounted in sight: as swap, lazily unmounted, or in a namespace without a process; free it, or set shared_device=true"
        ),
    }))
}
