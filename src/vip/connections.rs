//! What becomes of connections when a virtual address moves. Nothing here fails a start, a stop or a monitor.

#![forbid(unsafe_code)]

use super::Wanted;
use crate::agent::Cx;
use crate::connections::List;
use crate::error::Result;
use crate::host::address::{bits, is_link_local};
use crate::host::net::Net;
use crate::host::sockets::{self, Selection};
use crate::param::values::InterfaceName;

fn list(wanted: &Wanted) -> Option<List<'_>> {
    let directory = wanted.connections.tickle_dir.as_deref()?;
    Some(List { directory, ip: wanted.ip, copy: &[] })
}

/// Writes down the connections that the address has now.
pub(super) fn save(wanted: &Wanted, cx: &Cx<'_>) {
    if let Some(list) = list(wanted) {
        list.save(cx);
    }
}

/// Tickles the clients of the node that had the address before.
pub(super) fn tickle(wanted: &Wanted, cx: &Cx<'_>, net: &Net) {
    if let Some(list) = list(wanted) {
        list.tickle(own_interface(wanted, net).ok().flatten().unwrap_or(0), cx);
    }
}

/// Destroys the sockets that are bound to the address, unless this node still has it.
pub(super) fn destroy(wanted: &Wanted, cx: &Cx<'_>, net: &Net) {
    if wanted.connections.destroy
        && let Err(error) = try_to_destroy(wanted, cx, net)
    {
        cx.log.warn(&error.to_string());
    }
}

fn try_to_destroy(wanted: &Wanted, cx: &Cx<'_>, net: &Net) -> Result<()> {
    let ip = wanted.ip;
    let interface = if is_link_local(ip) {
        let Some(index) = own_interface(wanted, net)? else { return Ok(()) };
        Some(index)
    } else {
        // On the loopback interface of a real server, or as the address of another VRF.
        if let Some(place) = net.places_of(ip, None)?.first() {
            cx.log.info(&format!("left the sockets of {ip} alone: this host still has {place}"));
            return Ok(());
        }
        None
    };
    let selection =
        Selection { network: ip, prefix: bits(ip), interface, port: &|_| true, all_kinds: true };
    let destroyed = sockets::destroy(&selection, &cx.deadline)?;
    if destroyed.count > 0 {
        cx.log.info(&format!("destroyed {} sockets of {ip}", destroyed.count));
    }
    if let Some(refusal) = destroyed.refusal {
        cx.log.warn(&format!("cannot destroy all sockets of {ip}: {refusal}"));
    }
    Ok(())
}

/// The interface of an address that is another one elsewhere.
fn own_interface(wanted: &Wanted, net: &Net) -> Result<Option<u32>> {
    let name = wanted.nic.as_ref().map(InterfaceName::as_str);
    let link = name.map(|name| net.link_named(name)).transpose()?.flatten();
    Ok(link.map(|link| link.index))
}
