//! Taking a virtual address down.

#![forbid(unsafe_code)]

use super::{Wanted, connections, examine, loopback, neighbours, remove};
use crate::agent::Cx;
use crate::error::{Error, Result};
use crate::host::net::Net;
use crate::host::sysctl;

/// How often an address that comes back is removed again.
const TRIES: u32 = 5;

/// Removes the address in every form, and looks that it is gone.
///
/// # Errors
/// The kernel still has it, or something that start changed could not be restored.
pub fn stop(wanted: &Wanted, cx: &Cx<'_>) -> Result<()> {
    let Some(net) = wanted.network(cx)? else { return Ok(()) };
    let _lock = cx.state.lock(&wanted.key(), &cx.deadline)?;
    // Not without the address: the list that is kept is still the last one that was true.
    if wanted.connections.tickle_dir.is_some() && is_here(wanted, &net) {
        connections::save(wanted, cx);
    }
    let undone = Error::all(undo(wanted, cx, &net));
    connections::destroy(wanted, cx, &net);
    undone
}

fn is_here(wanted: &Wanted, net: &Net) -> bool {
    examine::places(wanted, net, None).is_ok_and(|places| !places.is_empty())
}

/// All that stop does; what it could not do.
pub(super) fn undo(wanted: &Wanted, cx: &Cx<'_>, net: &Net) -> Vec<Error> {
    let steps = [
        remove::restore_promotion(cx),
        remove_everywhere(wanted, cx, net),
        loopback::come_back(wanted, cx, net),
        neighbours::forget_rival(wanted, cx),
    ];
    // Without its address a label does nothing, so that it is no reason to fail; nor is a kernel without IPv6.
    if let Some(label) = wanted.source_label.filter(|_| wanted.ip.is_ipv6())
        && let Err(error) = net.remove_source_label(wanted.ip, label)
    {
        cx.log.warn(&error.to_string());
    }
    if wanted.flush_routes {
        let family = if wanted.ip.is_ipv4() { "ipv4" } else { "ipv6" };
        if let Err(error) = sysctl::write(&[family, "route", "flush"], "1") {
            cx.log.warn(&error.to_string());
        }
    }
    steps.into_iter().filter_map(Result::err).collect()
}

fn remove_everywhere(wanted: &Wanted, cx: &Cx<'_>, net: &Net) -> Result<()> {
    let mut removed = String::new();
    for _ in 0..TRIES {
        let places = examine::places(wanted, net, None)?;
        if places.is_empty() {
            return Ok(());
        }
        let mut refused = Vec::new();
        for place in places {
            let name = &place.link.name;
            match remove::remove(&place.address, name, cx, net) {
                Ok(()) => cx.log.info(&format!("removed {} from {name}", place.address)),
                Err(error) => refused.push(error),
            }
            removed = place.to_string();
        }
        Error::all(refused)?;
    }
    if examine::places(wanted, net, None)?.is_empty() {
        return Ok(());
    }
    Err(Error::Failed(format!(
        "{removed} was removed {TRIES} times and is there again; something on this host re-adds it \
         (NetworkManager, systemd-networkd, a DHCP client?)"
    )))
}
