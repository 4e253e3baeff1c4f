//! Why a file system is mounted still, and what mends it.

#![forbid(unsafe_code)]

use super::target::Target;
use crate::error::Error;
use crate::host::mount::holders::{Holders, hanging, of_kernel, stacked};
use crate::param::values::Holders as Policy;

/// The error of mounts that nobody uses, and that stay.
pub(super) fn refused(targets: &[Target]) -> Error {
    let places: Vec<String> = targets.iter().take(2).map(Target::place).collect();
    Error::Failed(format!(
        "cannot unmount {}: the kernel does not let go of it; end the container that has it",
        places.join(", ")
    ))
}

/// Who holds what could not be unmounted, and what mends it.
pub(super) fn held(busy: &[Target], holders: &Holders, policy: Policy) -> Error {
    let mut who = Vec::new();
    let listed = holders.listed();
    if !listed.is_empty() {
        who.push(listed);
    }
    for target in busy {
        who.extend(of_kernel(&target.table, &target.mount));
        who.extend(stacked(&target.mount));
    }
    if who.is_empty() {
        who.push(unseen());
    }
    let waits = holders.found.iter().any(|holder| holder.process.is_uninterruptible());
    let hint = match policy {
        Policy::Signalled if waits => {
            "; no signal wakes who waits for a device or server that does not answer"
        }
        Policy::Signalled if holders.found.iter().any(|holder| holder.protected.is_some()) => {
            "; who is protected is not signalled: end it"
        }
        Policy::Signalled => "",
        Policy::Named | Policy::Left => "; end them, or set force_unmount=true",
    };
    let place = busy.first().map(Target::place).unwrap_or_default();
    Error::Failed(format!("cannot unmount {place}: {}{hint}", who.join("; ")))
}

/// It is busy, and nothing shows who uses it.
fn unseen() -> String {
    let hanging = hanging();
    let words = hanging.iter().take(2).map(|process| {
        let how = if process.is_uninterruptible() { "hangs in state D" } else { "waits for it" };
        format!("{} ({}) {how}", process.identity.pid, process.name)
    });
    match words.collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => {
            "it is busy, but no process or device that uses it is to be seen".to_owned()
        }
        some => format!("it is busy, perhaps because {some}"),
    }
}
