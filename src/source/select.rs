//! Which routes are meant. Two that could be are refused: to guess would give all connections of a host a wrong source.

#![forbid(unsafe_code)]

use crate::agent::Cx;
use crate::error::{Error, Result};
use crate::host::address::bits;
use crate::host::net::Net;
use crate::host::routing::{ExactRoute, Kind, lies_in};
use crate::host::table::LOCAL_TABLE;
use crate::param::values::Network;

use super::Wanted;

/// The routes whose source is to be set, in the order in which they can be put back: that to the subnet of the address first,
/// through which the gateway of others is reached; that to the destination last.
///
/// # Errors
/// There is no route to the destination, there are several, or it is none that can be changed.
pub(super) fn routes(
    wanted: &Wanted,
    table: u32,
    cx: &Cx<'_>,
    net: &Net,
) -> Result<Vec<ExactRoute>> {
    let index = interface(wanted, net)?;
    let main = to_destination(wanted, table, index, net)?;
    let mut chosen = Vec::new();
    if let (0, Some(index)) = (wanted.destination.prefix, index) {
        chosen.extend(to_subnet(wanted, table, index, cx, net)?);
    }
    if wanted.local_route && wanted.ip.is_ipv4() {
        chosen.extend(to_itself(wanted, net)?);
    }
    chosen.retain(|route| route.identity() != main.identity());
    chosen.push(main);
    Ok(chosen)
}

/// The interface through which the route leads; none where any will do, since the address is on the loopback interface.
fn interface(wanted: &Wanted, net: &Net) -> Result<Option<u32>> {
    if let Some(nic) = &wanted.nic {
        let link = net.link_named(nic.as_str())?;
        return link.map(|link| Some(link.index)).ok_or_else(|| {
            Error::Local(format!(
                "there is no interface {nic} here; give nic one that `ip link` lists"
            ))
        });
    }
    let mut links = Vec::new();
    for place in net.places_of(wanted.ip, None)? {
        links.extend(net.link(place.index)?.filter(|link| !link.loopback));
    }
    match links.as_slice() {
        [] => Ok(None),
        [link] => Ok(Some(link.index)),
        _ => {
            let names: Vec<&str> = links.iter().map(|link| link.name.as_str()).collect();
            Err(Error::Failed(format!(
                "{} is on {}; give nic one of them",
                wanted.ip,
                names.join(" and ")
            )))
        }
    }
}

/// Those for which `holds`, or all of them if it holds for none.
fn narrowed(routes: Vec<ExactRoute>, holds: impl Fn(&ExactRoute) -> bool) -> Vec<ExactRoute> {
    if routes.iter().any(&holds) { routes.into_iter().filter(holds).collect() } else { routes }
}

fn to_destination(
    wanted: &Wanted,
    table: u32,
    index: Option<u32>,
    net: &Net,
) -> Result<ExactRoute> {
    let Network { prefix, .. } = wanted.destination;
    let kind = if table == LOCAL_TABLE { Kind::Local } else { Kind::Unicast };
    let all = net.exact_routes(wanted.ip, table, &[prefix], |route| {
        route.network() == wanted.destination && route.is(kind)
    })?;
    let fits = |route: &&ExactRoute| {
        wanted.metric.is_none_or(|metric| route.identity().metric == metric)
            && index.is_none_or(|index| route.links().any(|link| link == index))
    };
    let mut fitting: Vec<ExactRoute> = all.iter().filter(fits).cloned().collect();
    fitting = narrowed(fitting, |route| route.identity().service == 0);
    if let Some(protocol) = wanted.protocol {
        fitting = narrowed(fitting, |route| route.protocol() == protocol);
    }
    let route = match fitting.as_slice() {
        [] => return Err(none(wanted, &all, index, net)),
        [route] => route.clone(),
        several => return Err(ambiguous(wanted, several, net)),
    };
    let first = all.iter().find(|other| other.identity() == route.identity());
    if let Some(first) = first.filter(|first| **first != route) {
        return Err(Error::Failed(format!(
            "cannot change {}: {} comes before it with the same metric; give them different metrics",
            net.describe(&route),
            net.describe(first)
        )));
    }
    if wanted.by_rules.is_none() {
        changeable(wanted, &route, net)?;
    }
    Ok(route)
}

/// The candidates, as far as a reason has room for them.
fn listed(routes: &[ExactRoute], net: &Net) -> String {
    let words: Vec<String> = routes.iter().map(|route| net.describe(route)).collect();
    words.join(", ")
}

fn none(wanted: &Wanted, all: &[ExactRoute], index: Option<u32>, net: &Net) -> Error {
    let name = index
        .and_then(|index| net.link(index).ok().flatten())
        .map_or(String::new(), |link| format!(" through {}", link.name));
    let metric = wanted.metric.map_or(String::new(), |metric| format!(" with metric {metric}"));
    let others = if all.is_empty() {
        "make one, or give another destination or table".to_owned()
    } else {
        format!("give nic or metric of {}", listed(all, net))
    };
    Error::Failed(format!(
        "no route to {}{name}{metric} in table {} that could get a source; {others}",
        wanted.destination,
        wanted.table_name()
    ))
}

fn ambiguous(wanted: &Wanted, several: &[ExactRoute], net: &Net) -> Error {
    let metrics =
        several.windows(2).all(|pair| pair[0].identity().metric != pair[1].identity().metric);
    let cure = if metrics { "give metric" } else { "give nic, proto or metric, or delete one" };
    Error::Failed(format!(
        "{cure}: several routes lead to {}: {}",
        wanted.destination,
        listed(several, net)
    ))
}

/// Whether the source of a route can be changed without somebody undoing it.
fn changeable(wanted: &Wanted, route: &ExactRoute, net: &Net) -> Result<()> {
    let words = net.describe(route);
    if route.is_renewed() {
        return Err(Error::Failed(format!(
            "cannot change {words}: router advertisements renew it; set mode=rule, which leaves it alone"
        )));
    }
    // The kernel takes a metric of 0 for none, and makes 1024 of it.
    if wanted.ip.is_ipv6() && route.identity().metric == 0 {
        return Err(Error::Failed(format!(
            "cannot change {words}: IPv6 connections to an address of this host have that address as source already"
        )));
    }
    let mut links: Vec<u32> = route.links().collect();
    links.sort_unstable();
    links.dedup();
    if links.len() > 1 && wanted.nic.is_none() {
        return Err(Error::Failed(format!(
            "{words} leads through several interfaces and can have one source only; give nic if {} is right for all, or set mode=rule with destination",
            wanted.ip
        )));
    }
    Ok(())
}

/// The route to the subnet of the address. None is no failure: the address may be from another network.
fn to_subnet(
    wanted: &Wanted,
    table: u32,
    index: u32,
    cx: &Cx<'_>,
    net: &Net,
) -> Result<Option<ExactRoute>> {
    let mut found = net.exact_routes(wanted.ip, table, &[], |route| {
        route.is(Kind::Unicast)
            // The kernel makes a route to an IPv6 address of /128 itself, by which no packet leaves.
            && (1..bits(wanted.ip)).contains(&route.network().prefix)
            && lies_in(route.network(), wanted.ip)
            && route.is_on_link()
            && route.links().all(|link| link == index)
            && route.identity().service == 0
    })?;
    if let Some(prefix) = wanted.prefix {
        found = narrowed(found, |route| route.network().prefix == prefix);
    }
    if let Some(protocol) = wanted.protocol {
        found = narrowed(found, |route| route.protocol() == protocol);
    }
    found.sort_by_key(|route| (u8::MAX - route.network().prefix, route.identity().metric));
    let Some(route) = found.into_iter().next() else { return Ok(None) };
    if route.source() == Some(wanted.ip) && wanted.by_rules.is_none() {
        // The kernel made it so, when the address was the first of its subnet.
        return Ok(None);
    }
    let identity = route.identity();
    let like = net.exact_routes(wanted.ip, table, &[identity.network.prefix], |other| {
        other.network() == identity.network && other.identity().service == identity.service
    })?;
    let before = |other: &&ExactRoute| match wanted.by_rules {
        // A rule would lead connections to this one.
        Some(_) => other.identity().metric <= identity.metric,
        None => other.identity() == identity,
    };
    let first = like.iter().filter(before).min_by_key(|other| other.identity().metric);
    let why = if first != Some(&route) {
        "another one comes before it"
    } else if wanted.by_rules.is_none() && route.is_renewed() {
        "router advertisements renew it"
    } else {
        return Ok(Some(route));
    };
    cx.log.warn(&format!("the route {} keeps its source: {why}", net.describe(&route)));
    Ok(None)
}

/// The route by which this host reaches the address itself.
fn to_itself(wanted: &Wanted, net: &Net) -> Result<Option<ExactRoute>> {
    let network = Network { ip: wanted.ip, prefix: 32 };
    let found = net.exact_routes(wanted.ip, LOCAL_TABLE, &[network.prefix], |route| {
        route.network() == network && route.is(Kind::Local)
    })?;
    Ok(found.into_iter().next().filter(|route| route.source() != Some(wanted.ip)))
}
