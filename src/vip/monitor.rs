//! Whether a virtual address works.

#![forbid(unsafe_code)]

use super::examine::{self, Place};
use super::{Wanted, connections, neighbours};
use crate::agent::{Cx, Status};
use crate::error::{Error, Result};
use crate::host::net::Net;

/// Looks for the address itself. Only if it is nowhere, "not running".
///
/// # Errors
/// It is there, but not as configured, or on an interface without a link.
pub fn monitor(wanted: &Wanted, cx: &Cx<'_>) -> Result<Status> {
    let Some(net) = wanted.network(cx)? else { return Ok(Status::NotRunning) };
    let places = look(wanted, cx, &net)?;
    let Some(first) = places.first() else { return Ok(Status::NotRunning) };
    if let Some(words) = examine::faults(wanted, &places) {
        return Err(Error::Failed(words));
    }
    if let (true, Some(fault)) = (wanted.check_link, first.link.fault()) {
        return Err(Error::Failed(format!("{} is configured, but {fault}", wanted.ip)));
    }
    neighbours::refuse_rival(wanted, cx, &net, &first.link)?;
    neighbours::refresh(wanted, cx, &net, &first.link);
    if cx.interval_ms > 0 {
        connections::save(wanted, cx);
    }
    Ok(Status::Running)
}

/// Asks for the one interface first where it is known; for all of them if the answer is not simply "there", and at a
/// second look.
fn look(wanted: &Wanted, cx: &Cx<'_>, net: &Net) -> Result<Vec<Place>> {
    if let (Some(nic), false) = (&wanted.nic, cx.second_look)
        && let Some(link) = net.link_named(nic.as_str())?
    {
        let places = examine::places(wanted, net, Some(&link))?;
        if !places.is_empty() && examine::faults(wanted, &places).is_none() {
            return Ok(places);
        }
    }
    examine::places(wanted, net, None)
}
