//! Whether connections have the source that they are to have.

#![forbid(unsafe_code)]

use super::memory::Memory;
use super::standing::{self, Standing};
use super::{Wanted, restore, rules};
use crate::agent::{Cx, Status};
use crate::error::{Error, Result};
use crate::host::net::Net;
use crate::host::route::{MAIN_TABLE, protocol_name};
use crate::host::routing::ExactRoute;

/// Looks at the routes that start changed, or at its rules and copies. Nothing of them, and nothing to put back: "not running".
///
/// # Errors
/// A part of it is there, or something has to be put back.
pub fn monitor(wanted: &Wanted, cx: &Cx<'_>) -> Result<Status> {
    let memory = Memory::read(wanted, cx);
    let Some(table) = wanted.table_or(memory.as_ref()) else { return Ok(Status::NotRunning) };
    let net = Net::open(cx.deadline)?;
    if let Some(by_rules) = wanted.by_rules {
        let status = rules::Own::of(wanted, by_rules, table).status(memory.as_ref(), &net)?;
        if status == Status::Running {
            refuse_orphans(wanted, &net)?;
        }
        return Ok(status);
    }
    let Some(memory) = memory else {
        let runs = !with_source(wanted, table, cx, &net)?.is_empty();
        return Ok(if runs { Status::Running } else { Status::NotRunning });
    };
    let standings = standing::all(&memory, &net)?;
    if standings.iter().all(Standing::is_ours) {
        if table != MAIN_TABLE || wanted.local_route {
            refuse_orphans(wanted, &net)?;
        }
        return Ok(Status::Running);
    }
    if cx.is_probe() && nothing_is_left(&memory, &standings, &net)? {
        return Ok(Status::NotRunning);
    }
    Err(Error::Failed(words(wanted, &memory, &standings, &net)?))
}

/// Whether everything is as start leaves it.
pub(super) fn runs(
    wanted: &Wanted,
    table: u32,
    memory: Option<&Memory>,
    cx: &Cx<'_>,
    net: &Net,
) -> Result<bool> {
    if let Some(by_rules) = wanted.by_rules {
        let status = rules::Own::of(wanted, by_rules, table).status(memory, net);
        return Ok(matches!(status, Ok(Status::Running)));
    }
    match memory {
        Some(memory) => Ok(standing::all(memory, net)?.iter().all(Standing::is_ours)),
        None => Ok(!with_source(wanted, table, cx, net)?.is_empty()),
    }
}

/// Routes to the destination that have the source, whoever gave it to them, but for another resource and the kernel.
pub(super) fn with_source(
    wanted: &Wanted,
    table: u32,
    cx: &Cx<'_>,
    net: &Net,
) -> Result<Vec<ExactRoute>> {
    let mut index = None;
    if let Some(nic) = &wanted.nic {
        let Some(link) = net.link_named(nic.as_str())? else { return Ok(Vec::new()) };
        index = Some(link.index);
    }
    let found = net.exact_routes(wanted.ip, table, &[wanted.destination.prefix], |route| {
        route.source() == Some(wanted.ip)
            && route.network() == wanted.destination
            && wanted.metric.is_none_or(|metric| route.identity().metric == metric)
            && index.is_none_or(|index| route.links().any(|link| link == index))
            && Memory::of_others(route, wanted, cx).is_none()
    })?;
    let mut given = Vec::new();
    for route in found {
        if !restore::is_the_kernels(&route, wanted.ip, net)? {
            given.push(route);
        }
    }
    Ok(given)
}

/// Only in the main table does the kernel delete IPv4 routes with the source that they have; and a changed route to the
/// address itself it no longer knows for its own. Where they are left, packets leave with a source to which no answer comes.
fn refuse_orphans(wanted: &Wanted, net: &Net) -> Result<()> {
    if wanted.ip.is_ipv4() && net.places_of(wanted.ip, None)?.is_empty() {
        return Err(Error::Failed(format!(
            "{} is on no interface any more, and routes still have it as source; start the address again, then this resource",
            wanted.ip
        )));
    }
    Ok(())
}

/// Whether a stop would find nothing to put back.
fn nothing_is_left(memory: &Memory, standings: &[Standing], net: &Net) -> Result<bool> {
    if standings.iter().any(Standing::has_ours) {
        return Ok(false);
    }
    let mut pairs = standings.iter().zip(&memory.originals);
    let lost = pairs.any(|(standing, (_, original))| standing.went_with_source(original));
    Ok(!lost || net.birth_of(memory.ip)? == Some(memory.birth))
}

/// What is not as start left it.
fn words(wanted: &Wanted, memory: &Memory, standings: &[Standing], net: &Net) -> Result<String> {
    let ip = wanted.ip;
    if net.places_of(ip, None)?.is_empty() {
        return Ok(format!(
            "{ip} is on no interface any more, and its routes went with it or lost their source; stop puts back what they were"
        ));
    }
    let pairs = standings.iter().zip(&memory.originals);
    // The route to the destination, which matters most, is the last one.
    let wrong = pairs.rev().find(|(standing, _)| !standing.is_ours());
    Ok(match wrong {
        Some((Standing::Behind { first, .. }, _)) => format!(
            "{} was added by {} and comes before the one with the source {ip}; mode=rule would leave both alone",
            net.describe(first),
            protocol_name(first.protocol())
        ),
        Some((Standing::Other(route), _)) => format!(
            "somebody ({}) replaced the route: it is now {} without the source {ip}; mode=rule would be left alone",
            protocol_name(route.protocol()),
            net.describe(route)
        ),
        Some((Standing::Vanished, (_, original))) => {
            format!(
                "the route {} with the source {ip} is gone; somebody deleted it, or its link was down",
                net.describe(original)
            )
        }
        Some((_, (_, original))) => format!(
            "somebody ({}) put {} back without the source {ip}; mode=rule would be left alone",
            protocol_name(original.protocol()),
            net.describe(original)
        ),
        None => format!("the routes with the source {ip} are not as start left them"),
    })
}
