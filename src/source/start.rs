//! Giving connections their source.

#![forbid(unsafe_code)]

use super::memory::Memory;
use super::standing::{self, Standing};
use super::{Wanted, lock, monitor, rules, select, undo};
use crate::agent::Cx;
use crate::error::{Error, Result};
use crate::host::net::Net;
use crate::host::routing::ExactRoute;

/// Sets the source of the routes, or makes rules that lead to copies of them; or leaves all as it was.
///
/// # Errors
/// The address is not here, it is not clear which routes are meant, or the kernel refused.
pub fn start(wanted: &Wanted, cx: &Cx<'_>) -> Result<()> {
    let table = wanted.required_table()?;
    let net = Net::open(cx.deadline)?;
    // Before the lock, for which others may wait whose addresses are there.
    await_address(wanted, cx, &net)?;
    let _lock = lock(cx)?;
    let memory = Memory::read(wanted, cx);
    if monitor::runs(wanted, table, memory.as_ref(), cx, &net)? {
        return Ok(());
    }
    // What an earlier start, or a kill in the middle of one, left.
    if memory.is_some() || wanted.by_rules.is_some() {
        undo(wanted, table, memory.as_ref(), cx, &net)?;
        // Somebody else made a route with the source meanwhile, which is no original to put back.
        if monitor::runs(wanted, table, None, cx, &net)? {
            return Ok(());
        }
    }
    let originals = select::routes(wanted, table, cx, &net)?;
    let memory = Memory::of(wanted, &originals, &net)?;
    refuse_owned(wanted, &originals, cx, &net)?;
    if let Some(by_rules) = wanted.by_rules {
        rules::Own::of(wanted, by_rules, table).refuse_others(&memory, &net)?;
    } else {
        rules::refuse_rules_of_others(wanted, table, &net)?;
    }
    memory.write(wanted, cx)?;
    let changed = match wanted.by_rules {
        Some(by_rules) => rules::Own::of(wanted, by_rules, table).make(&memory, &net),
        None => change(wanted, &originals, &net),
    };
    if let Err(error) = changed.and_then(|()| confirm(wanted, table, &memory, cx, &net)) {
        let undone = undo(wanted, table, Some(&memory), cx, &net);
        return Err(error.and(undone.err().into_iter().collect()));
    }
    let words: Vec<String> = originals.iter().map(|route| net.describe(route)).collect();
    cx.log.info(&format!("{} is the source of {}", wanted.ip, words.join(", ")));
    Ok(())
}

/// Looks whether start could do it here; changes nothing.
///
/// # Errors
/// It could not, and why.
pub fn validate(wanted: &Wanted, cx: &Cx<'_>) -> Result<()> {
    let table = wanted.required_table()?;
    let net = Net::open(cx.deadline)?;
    // Without the address, which may be started later, nothing can be said of routes.
    if net.places_of(wanted.ip, None)?.is_empty() {
        return Ok(());
    }
    if Memory::read(wanted, cx).is_none() {
        select::routes(wanted, table, cx, &net)?;
    }
    Ok(())
}

/// The kernel accepts only an address of this host as a source, and an IPv6 one only after duplicate address detection.
fn await_address(wanted: &Wanted, cx: &Cx<'_>, net: &Net) -> Result<()> {
    let ip = wanted.ip;
    let mut places = net.places_of(ip, None)?;
    if places.iter().any(|place| place.is_tentative() && !place.is_duplicate()) {
        net.wait_until(cx.deadline.left(), |net| {
            places = net.places_of(ip, None)?;
            Ok(places.iter().all(|place| place.is_duplicate() || !place.is_tentative()))
        })?;
    }
    if places.is_empty() {
        return Err(Error::Failed(format!(
            "{ip} is on no interface of this host, so it cannot be a source; start the address first, and order this resource behind it"
        )));
    }
    if places.iter().all(|place| place.is_duplicate() || place.is_tentative()) {
        return Err(Error::Failed(format!(
            "{ip} cannot be used: duplicate address detection failed or has not ended; look who else has it"
        )));
    }
    Ok(())
}

/// Two resources that change one route would undo each other's work, and forget what it was; and rules would take the
/// connections from the one that changed it.
fn refuse_owned(wanted: &Wanted, originals: &[ExactRoute], cx: &Cx<'_>, net: &Net) -> Result<()> {
    for route in originals {
        let other = Memory::of_others(route, wanted, cx);
        if let Some(other) = other.filter(|ip| wanted.by_rules.is_none() || *ip != wanted.ip) {
            return Err(Error::Failed(format!(
                "another resource has set the source to {other}; stop that one, or give another destination or table: {}",
                net.describe(&route.with_source(None))
            )));
        }
    }
    Ok(())
}

fn change(wanted: &Wanted, originals: &[ExactRoute], net: &Net) -> Result<()> {
    for original in originals {
        let mut route = original.with_source(Some(wanted.ip));
        // The preference is that of the route to the destination, which is the last one.
        if let (Some(preference), true) = (wanted.preference, Some(original) == originals.last()) {
            route = route.with_preference(preference);
        }
        net.replace_route(&route).map_err(|refusal| {
            refusal.doing(&format!("set the source of {} to {}", net.describe(original), wanted.ip))
        })?;
    }
    Ok(())
}

/// Asks the kernel whether all is as wanted.
fn confirm(wanted: &Wanted, table: u32, memory: &Memory, cx: &Cx<'_>, net: &Net) -> Result<()> {
    if monitor::runs(wanted, table, Some(memory), cx, net)? {
        return Ok(());
    }
    let standings =
        if wanted.by_rules.is_none() { standing::all(memory, net)? } else { Vec::new() };
    let other = standings.iter().zip(&memory.originals).find(|(standing, _)| !standing.is_ours());
    let words = match other {
        Some((Standing::Other(route) | Standing::Behind { first: route, .. }, _)) => {
            format!("the kernel uses {}", net.describe(route))
        }
        Some((_, (_, original))) => format!("{} did not keep it", net.describe(original)),
        None => "its rules or their table did not stay".to_owned(),
    };
    Err(Error::Failed(format!(
        "set the source {}, and {words}; something on this host changes routes",
        wanted.ip
    )))
}
