//! Network namespaces by name, as `ip netns` keeps them.

#![forbid(unsafe_code)]

use std::fs::File;
use std::io;
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
        Err(error) => Err(error).doing(|| format!("enter network namespace {}", name.as_str())),
    }
}

/// The error of a start in a namespace that is not here.
#[must_use]
pub fn missing(name: &NamespaceName) -> Error {
    let name = name.as_str();
    Error::Local(format!(
        "there is no network namespace {name} here; `ip netns add {name}` makes one"
    ))
}
