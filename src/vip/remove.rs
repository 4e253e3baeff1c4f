//! Removing an address without taking others with it.
//!
//! The first IPv4 address of a subnet takes the others of the subnet along when it goes, unless `promote_secondaries` is
//! set on the interface. Where it would, it is set for the moment of the removal; and whatever went all the same, where
//! the parameter cannot be set, is put back.

#![forbid(unsafe_code)]

use rtnetlink::packet_route::address::AddressFlags;

use crate::agent::Cx;
use crate::error::Result;
use crate::host::address::Address;
use crate::host::namespace;
use crate::host::net::Net;
use crate::host::sysctl;
use crate::state::{Lock, StateFile};

/// Removes `address` from the interface named `from`.
///
/// # Errors
/// The kernel refused, or another removal did not end in time.
pub(super) fn remove(address: &Address, from: &str, cx: &Cx<'_>, net: &Net) -> Result<()> {
    if !address.ip.is_ipv4() {
        return net.remove(address, from);
    }
    // One at a time: what another one removes in between must not be put back.
    let _one_at_a_time = lock(cx)?;
    let others = dependents(address, net)?;
    if others.is_empty() {
        return net.remove(address, from);
    }
    let promotion = Promotion::force(from, cx);
    let removed = net.remove(address, from);
    if let Some(promotion) = promotion {
        promotion.restore();
    }
    removed?;
    put_back(others, from, cx, net)
}

/// Restores `promote_secondaries` where a removal was cut short by a kill.
///
/// # Errors
/// Another removal did not end in time.
pub(super) fn restore_promotion(cx: &Cx<'_>) -> Result<()> {
    if memory(cx).path().exists() {
        let _one_at_a_time = lock(cx)?;
        if let Some(interrupted) = Promotion::interrupted(cx) {
            interrupted.restore();
        }
    }
    Ok(())
}

fn lock(cx: &Cx<'_>) -> Result<Option<Lock>> {
    cx.state.lock(&format!("removal-{}", namespace::identity()), &cx.deadline)
}

fn memory(cx: &Cx<'_>) -> StateFile {
    cx.state.file(&format!("promote_secondaries-{}", namespace::identity()))
}

/// The addresses that live by the grace of this one.
fn dependents(address: &Address, net: &Net) -> Result<Vec<Address>> {
    let mut others = net.addresses(address.ip, Some(address.index))?;
    // It may have become the first one since it was looked at.
    let same = |now: &&Address| now.ip == address.ip && now.prefix == address.prefix;
    if others.iter().find(same).is_some_and(Address::is_secondary) {
        return Ok(Vec::new());
    }
    others.retain(|other| {
        other.is_secondary() && other.prefix == address.prefix && address.subnet_contains(other.ip)
    });
    Ok(others)
}

fn put_back(others: Vec<Address>, on: &str, cx: &Cx<'_>, net: &Net) -> Result<()> {
    for mut other in others {
        if net.places_of(other.ip, Some(other.index))?.is_empty() {
            // Which of them comes first is for the kernel to say.
            other.flags.remove(AddressFlags::Secondary | AddressFlags::Permanent);
            net.add(&other, on)?;
            cx.log.info(&format!("put {other} back on {on}, which had gone with another address"));
        }
    }
    Ok(())
}

/// `promote_secondaries` of an interface, set for a moment. Its value is kept in a file, so that whoever comes after a
/// kill in that moment can restore it.
struct Promotion {
    interface: String,
    before: String,
    memory: StateFile,
}

impl Promotion {
    /// Sets it, unless it is set already or cannot be.
    fn force(interface: &str, cx: &Cx<'_>) -> Option<Self> {
        if sysctl::promotes_secondaries(interface) {
            return None;
        }
        let before = sysctl::read(&key(interface))?;
        let forced = Self { interface: interface.to_owned(), before, memory: memory(cx) };
        let _ = forced.memory.write(&format!("{} {}\n", forced.interface, forced.before));
        match sysctl::write(&key(interface), "1") {
            Ok(()) => Some(forced),
            Err(error) => {
                cx.log.debug(&error.to_string());
                let _ = forced.memory.remove();
                None
            }
        }
    }

    /// One that was not restored. A file that says nothing of the kind is removed.
    fn interrupted(cx: &Cx<'_>) -> Option<Self> {
        let memory = memory(cx);
        let text = memory.read().ok().flatten().unwrap_or_default();
        let words = text.trim().split_once(' ');
        let sound = |(interface, before): &(&str, &str)| {
            !interface.contains('/')
                && ![".", ".."].contains(interface)
                && before.bytes().all(|byte| byte.is_ascii_digit())
        };
        let Some((interface, before)) = words.filter(sound) else {
            let _ = memory.remove();
            return None;
        };
        Some(Self { interface: interface.to_owned(), before: before.to_owned(), memory })
    }

    fn restore(self) {
        if sysctl::write(&key(&self.interface), &self.before).is_ok() {
            let _ = self.memory.remove();
        }
    }
}

fn key(interface: &str) -> [&str; 4] {
    ["ipv4", "conf", interface, "promote_secondaries"]
}
