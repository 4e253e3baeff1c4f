//! Kernel parameters below /proc/sys/net, which shows those of the reader's network namespace.

#![forbid(unsafe_code)]

use std::fs;
use std::path::PathBuf;

use crate::error::{Doing, Result};
use crate::{trace_answer, trace_ask};

fn path(key: &[&str]) -> PathBuf {
    // An interface's name may contain dots, but no slashes.
    key.iter().fold(PathBuf::from("/proc/sys/net"), |path, part| path.join(part))
}

/// The value, without the newline; none where the kernel has no such parameter.
#[must_use]
pub fn read(key: &[&str]) -> Option<String> {
    let value = fs::read_to_string(path(key)).ok().map(|value| value.trim_end().to_owned());
    trace_answer!("sysctl net.{} is {value:?}", key.join("."));
    value
}

/// Sets it.
///
/// # Errors
/// The kernel, or a read-only /proc, refused.
pub fn write(key: &[&str], value: &str) -> Result<()> {
    trace_ask!("set sysctl net.{} to {value}", key.join("."));
    fs::write(path(key), value)
        .doing(|| format!("set the kernel parameter net.{} to {value}", key.join(".")))
}

/// Whether the removal of a primary IPv4 address of `interface` makes a secondary one primary; else it takes all
/// of them with it (Documentation/networking/ip-sysctl.rst, `promote_secondaries`).
#[must_use]
pub fn promotes_secondaries(interface: &str) -> bool {
    // The kernel ORs the two (`IN_DEV_PROMOTE_SECONDARIES`).
    ["all", interface]
        .iter()
        .any(|scope| read(&["ipv4", "conf", scope, "promote_secondaries"]).as_deref() == Some("1"))
}
