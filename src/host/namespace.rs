//! Network namespaces by name, as `ip netns` keeps them.

#![forbid(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sched::{CloneFlags, setns};

use crate::error::{Doing, Error, Result};
use crate::param::values::NamespaceName;
use crate::trace_ask;

/// Moves this thread into the network namespace `name`; whether there is one of that name.
///
/// # Errors
/// It is there and cannot be entered.
pub fn enter(name: &NamespaceName) -> Result<bool> {
    let path = Path::new("/run/netns").join(name.as_str());
    trace_ask!("enter network namespace {}", path.display());
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other.doing(|| format!("open network namespace {}", name.as_str()))?,
    };
    // A name whose namespace is gone is an empty file (EINVAL): nothing can be in it.
    match setns(&file, CloneFlags::CLONE_NEWNET) {
        Ok(()) => Ok(true),
        Err(nix::errno::Errno::EINVAL) => Ok(false),
        Err(nix::errno::Errno::EPERM) => Err(Error::NotPermitted(format!(
            "cannot enter network namespace {}: Operation not permitted; run it as root, with CAP_SYS_ADMIN",
            name.as_str()
        ))),
        Err(error) => Err(error).doing(|| format!("enter network namespace {}", name.as_str())),
    }
}

/// The error of a start in a namespace that is not here.
#[must_use]
pub fn missing(name: &str) -> Error {
    Error::Local(format!(
        "there is no network namespace {name} here; `ip netns add {name}` makes one"
    ))
}

/// A number that no other network namespace has while this thread's one lives.
#[must_use]
pub fn identity() -> u64 {
    std::fs::metadata("/proc/thread-self/ns/net").map_or(0, |about| about.ino())
}
