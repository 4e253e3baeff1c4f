//! Removing an address without taking others with it.

#![forbid(unsafe_code)]

use crate::agent::Cx;
use crate::error::Result;
use crate::host::address::Address;
use crate::host::net::Net;
use crate::host::sysctl;

/// Removes `address` from the interface named `from`.
///
/// The first IPv4 address of a subnet takes the others with it when it goes, unless `promote_secondaries` is set on
/// the interface: where it would, it is set for the moment of the removal.
///
/// # Errors
/// The kernel refused.
pub(super) fn remove(address: &Address, from: &str, cx: &Cx<'_>, net: &Net) -> Result<()> {
    if !has_secondaries(address, net)? || sysctl::promotes_secondaries(from) {
        return net.remove(address, from);
    }
    let key = ["ipv4", "conf", from, "promote_secondaries"];
    // Kept in a file, so that whoever comes after a kill in the middle can restore it.
    let memory = cx.state.file(&format!("promote_secondaries-{from}"));
    let _ = memory.write("0");
    if let Err(error) = sysctl::write(&key, "1") {
        cx.log.warn(&format!("{error}; the other addresses of {address} on {from} go with it"));
    }
    let removed = net.remove(address, from);
    if sysctl::write(&key, "0").is_ok() {
        let _ = memory.remove();
    }
    removed
}

/// Restores `promote_secondaries` of an interface where a removal was cut short.
pub(super) fn restore_promotion(interface: &str, cx: &Cx<'_>) {
    let memory = cx.state.file(&format!("promote_secondaries-{interface}"));
    if memory.path().exists() {
        let _ = sysctl::write(&["ipv4", "conf", interface, "promote_secondaries"], "0");
        let _ = memory.remove();
    }
}

/// Whether other addresses live by the grace of this one.
fn has_secondaries(address: &Address, net: &Net) -> Result<bool> {
    if !address.ip.is_ipv4() || address.is_secondary() {
        return Ok(false);
    }
    let others = net.addresses(address.ip, Some(address.index))?;
    Ok(others.iter().any(|other| {
        other.is_secondary() && other.prefix == address.prefix && address.subnet_contains(other.ip)
    }))
}
