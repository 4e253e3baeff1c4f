//! Putting routes back as they were.

#![forbid(unsafe_code)]

use std::net::IpAddr;

use nix::errno::Errno;

use super::memory::Memory;
use super::standing::{self, Standing};
use super::{Wanted, monitor};
use crate::agent::Cx;
use crate::error::{Error, Result};
use crate::host::net::Net;
use crate::host::refusal::Refusal;
use crate::host::routing::{ExactRoute, KERNEL, Kind, lies_in};
use crate::host::table::LOCAL_TABLE;
use crate::param::values::Network;

/// How often a route that gets our source again is put back again.
const TRIES: u32 = 5;

/// Puts back each route of `memory` that has our source, or that went with our address. What somebody else made of a route
/// meanwhile stays.
///
/// # Errors
/// The kernel refused, or a route has our source again and again.
pub(super) fn all(wanted: &Wanted, memory: &Memory, cx: &Cx<'_>, net: &Net) -> Result<()> {
    let birth = net.birth_of(memory.ip)?;
    let work = Restoration { ip: wanted.ip, here: birth.is_some(), cx, net };
    for (standing, (name, original)) in standing::all(memory, net)?.iter().zip(&memory.originals) {
        match standing {
            Standing::Vanished if birth != Some(memory.birth) => work.revive(name, original)?,
            Standing::Other(bare)
                if birth != Some(memory.birth) && standing.went_with_source(original) =>
            {
                work.put_back(bare, original, std::slice::from_ref(bare))?;
            }
            Standing::Vanished => cx.log.warn(&format!(
                "{} is gone, and not because its source went; it is not put back",
                net.describe(original)
            )),
            Standing::Other(other) => cx.log.warn(&format!(
                "{} was replaced by {}, which stays",
                net.describe(original),
                net.describe(other)
            )),
            _ => {}
        }
    }
    for _ in 0..TRIES {
        let mut left = false;
        for ((_, original), like) in memory.originals.iter().zip(standing::like(memory, net)?) {
            let ours: Vec<_> =
                like.iter().filter(|route| route.source() == Some(wanted.ip)).collect();
            for route in ours {
                let target = if route.is_alike(original) {
                    original.clone()
                } else {
                    route.with_source(original.source())
                };
                left |= work.put_back(route, &target, &like)?;
            }
        }
        if !left {
            return Ok(());
        }
    }
    Err(Error::Failed(format!(
        "routes have the source {} again after it was taken from them {TRIES} times; find out what sets it",
        wanted.ip
    )))
}

/// Takes the source from the routes that have it, when nobody knows what they were: the kernel's own get what the kernel
/// would give them, all others none.
///
/// # Errors
/// The kernel refused.
pub(super) fn without_memory(wanted: &Wanted, table: u32, cx: &Cx<'_>, net: &Net) -> Result<()> {
    let here = !net.places_of(wanted.ip, None)?.is_empty();
    let work = Restoration { ip: wanted.ip, here, cx, net };
    let main = monitor::with_source(wanted, table, cx, net)?;
    if main.is_empty() {
        return Ok(());
    }
    let links: Vec<u32> = main.iter().flat_map(ExactRoute::links).collect();
    let mut routes = main;
    if wanted.destination.prefix == 0 {
        routes.extend(net.exact_routes(wanted.ip, table, &[], |route| {
            route.source() == Some(wanted.ip)
                && route.protocol() == KERNEL
                && route.network().prefix > 0
                && lies_in(route.network(), wanted.ip)
                && route.links().all(|link| links.contains(&link))
        })?);
    }
    if wanted.local_route {
        routes.extend(net.exact_routes(wanted.ip, LOCAL_TABLE, &[32], |route| {
            route.source() == Some(wanted.ip) && route.is(Kind::Local)
        })?);
    }
    routes.retain(|route| Memory::of_others(route, wanted, cx).is_none());
    for route in routes {
        let identity = route.identity();
        let lengths = [identity.network.prefix];
        let like = net.exact_routes(wanted.ip, identity.table, &lengths, |other| {
            other.identity() == identity
        })?;
        cx.log.warn(&format!(
            "nobody knows what {} was before; its source is taken away",
            net.describe(&route)
        ));
        let target = work.fallback(&route)?;
        work.settle(&route, target, &like)?;
    }
    Ok(())
}

/// What a route becomes for which its old source is not to be had.
enum Fallback {
    /// This.
    Route(ExactRoute),
    /// What it is: the kernel itself would give it our source.
    Itself,
    /// Nothing: the kernel would have removed it with its address.
    Nothing,
}

struct Restoration<'a> {
    ip: IpAddr,
    /// Whether the address is on this host.
    here: bool,
    cx: &'a Cx<'a>,
    net: &'a Net,
}

impl Restoration<'_> {
    /// Puts `target` in the place of `route`; whether there was anything to do.
    fn put_back(
        &self,
        route: &ExactRoute,
        target: &ExactRoute,
        like: &[ExactRoute],
    ) -> Result<bool> {
        if target == route {
            return Ok(false);
        }
        if self.is_to_itself(route) && !self.here {
            return self.settle(route, Fallback::Nothing, like);
        }
        let Some(refusal) = self.exchange(route, target, like).err() else { return Ok(true) };
        match refusal.errno() {
            // Its old source is no address of this host any more.
            Some(Errno::EINVAL) if target.source().is_some() => {
                let fallback = self.fallback(target)?;
                self.cx.log.warn(&format!(
                    "{} cannot get its old source back: {refusal}",
                    self.net.describe(route)
                ));
                self.settle(route, fallback, like)
            }
            // The gateway's subnet went meanwhile. The route works all the same, and is better than none.
            Some(Errno::ENETUNREACH | Errno::EHOSTUNREACH) => {
                self.cx
                    .log
                    .warn(&format!("{} becomes onlink: {refusal}", self.net.describe(target)));
                self.settle(route, Fallback::Route(target.on_link_gateway()), like)
            }
            _ => Err(self.failed(route, refusal)),
        }
    }

    /// Makes of `route` what it is to become without its old source; whether there was anything to do.
    fn settle(&self, route: &ExactRoute, fallback: Fallback, like: &[ExactRoute]) -> Result<bool> {
        let done = match fallback {
            Fallback::Itself => return Ok(false),
            Fallback::Nothing => self.net.delete_route(route),
            Fallback::Route(target) => self.exchange(route, &target, like),
        };
        done.map(|()| true).map_err(|refusal| self.failed(route, refusal))
    }

    /// In one step where the kernel can do it: in the place of the first route of an identity.
    fn exchange(
        &self,
        route: &ExactRoute,
        target: &ExactRoute,
        like: &[ExactRoute],
    ) -> Result<(), Refusal> {
        let net = self.net;
        if target == route {
            return Ok(());
        }
        let done = if like.contains(target) {
            net.delete_route(route)
        } else if like.first() == Some(route) {
            net.replace_route(target)
        } else if target.network().ip.is_ipv4() {
            net.append_route(target).and_then(|()| net.delete_route(route))
        } else {
            // IPv6 knows two routes with one nexthop and another source for the same.
            net.delete_route(route).and_then(|()| net.append_route(target))
        };
        match done {
            // It went, or the other one came, since it was looked at.
            Err(refusal) if refusal.errno() == Some(Errno::ENOENT) => Ok(()),
            Err(refusal) if refusal.errno() == Some(Errno::EEXIST) => net.delete_route(route),
            Ok(()) => {
                self.cx.log.info(&format!("put back {}", net.describe(target)));
                Ok(())
            }
            other => other,
        }
    }

    fn failed(&self, route: &ExactRoute, refusal: Refusal) -> Error {
        refusal.doing(&format!("take the source {} from {}", self.ip, self.net.describe(route)))
    }

    /// By this route the host reaches our address. The kernel does not know it for its own when it removes the address.
    fn is_to_itself(&self, route: &ExactRoute) -> bool {
        let network = route.network();
        route.is(Kind::Local) && network.ip == self.ip && network.prefix == 32
    }

    fn fallback(&self, route: &ExactRoute) -> Result<Fallback> {
        let without = route.with_source(None);
        let index = route.links().next();
        let (KERNEL, IpAddr::V4(_), Some(index)) = (route.protocol(), self.ip, index) else {
            return Ok(Fallback::Route(without));
        };
        Ok(match first_address(route.network(), index, self.net)? {
            Some(first) if first == self.ip => Fallback::Itself,
            Some(first) => Fallback::Route(route.with_source(Some(first))),
            None if route.is_on_link() => Fallback::Nothing,
            None => Fallback::Route(without),
        })
    }

    /// Adds a route that the kernel deleted when it deleted our address.
    fn revive(&self, name: &str, original: &ExactRoute) -> Result<()> {
        let words = self.net.describe(original);
        let link = match original.links().next() {
            Some(index) => self.net.link(index)?,
            None => None,
        };
        let same_link =
            original.links().next().is_none() || link.is_some_and(|link| link.name == name);
        if self.is_to_itself(original) || !same_link {
            return Ok(());
        }
        let Some(refusal) = self.net.add_route(original).err() else {
            self.cx.log.info(&format!("put back {words}, which had gone with {}", self.ip));
            return Ok(());
        };
        match refusal.errno() {
            Some(Errno::EEXIST) => Ok(()),
            // Its interface is down, its gateway out of reach, or its source gone: the kernel would not have it now either.
            Some(
                Errno::ENODEV
                | Errno::ENETDOWN
                | Errno::ENETUNREACH
                | Errno::EHOSTUNREACH
                | Errno::EINVAL,
            ) => {
                self.cx.log.warn(&format!(
                    "{words} had gone with {}, and is not put back: {refusal}",
                    self.ip
                ));
                Ok(())
            }
            _ => Err(refusal.doing(&format!("put back {words}"))),
        }
    }
}

/// Whether the kernel itself gave the route the source `ip`: then it is nobody's work, and nobody can take it away.
pub(super) fn is_the_kernels(route: &ExactRoute, ip: IpAddr, net: &Net) -> Result<bool> {
    let (KERNEL, IpAddr::V4(_), Some(index)) = (route.protocol(), ip, route.links().next()) else {
        return Ok(false);
    };
    Ok(first_address(route.network(), index, net)? == Some(ip))
}

/// The address of an interface that the kernel gives to the route to their subnet.
fn first_address(network: Network, index: u32, net: &Net) -> Result<Option<IpAddr>> {
    let addresses = net.addresses(network.ip, Some(index))?;
    let own =
        addresses.iter().find(|address| address.ip == network.ip).map(|address| address.prefix);
    let prefix = own.unwrap_or(network.prefix);
    let first = addresses.iter().find(|address| {
        !address.is_secondary() && address.prefix == prefix && address.subnet_contains(network.ip)
    });
    Ok(first.map(|address| address.ip))
}
