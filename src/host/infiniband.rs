//! Ports of `InfiniBand` devices, as /sys shows them (Documentation/ABI/stable/sysfs-class-infiniband).

#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;

use crate::trace_answer;

/// Why a port carries nothing; none if it is active.
#[must_use]
pub fn fault(device: &str, port: u32) -> Option<String> {
    let path = Path::new("/sys/class/infiniband").join(device).join(format!("ports/{port}/state"));
    let state = fs::read_to_string(&path).ok().map(|state| state.trim_end().to_owned());
    trace_answer!("{} is {state:?}", path.display());
    match state {
        // `IB_PORT_ACTIVE`, with its name after it.
        Some(state) if state.split(':').next() == Some("4") => None,
        Some(state) => Some(format!("port {port} of {device} is not active (state {state})")),
        None => Some(format!("there is no InfiniBand port {port} of {device} on this host")),
    }
}
