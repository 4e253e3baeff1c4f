//! Routes, exactly as the kernel has them, so that they can be put back exactly.
//!
//! [`super::route`] knows what matters for the choice of an interface. Here every attribute is kept, known or not, but for
//! what only the kernel says and nobody can set: counters and timers (`RTA_CACHEINFO`), and whether a nexthop is dead
//! or in hardware (`RTNH_F_DEAD` and others).

#![forbid(unsafe_code)]

use std::net::IpAddr;

use super::address::{bits, contains, family};
use super::exact::{Exact, attributes};
use super::table;
use crate::param::values::Network;

/// Message that tells of a route, or makes one (`RTM_NEWROUTE`).
const NEW_ROUTE: u16 = 24;

/// Attributes (linux/rtnetlink.h, `RTA_*`).
mod rta {
    pub const DESTINATION: u16 = 1;
    pub const FROM: u16 = 2;
    pub const INTERFACE: u16 = 4;
    pub const GATEWAY: u16 = 5;
    pub const PRIORITY: u16 = 6;
    pub const SOURCE: u16 = 7;
    pub const MULTIPATH: u16 = 9;
    pub const CACHE_INFO: u16 = 12;
    pub const TABLE: u16 = 15;
    pub const VIA: u16 = 18;
    pub const PREFERENCE: u16 = 20;
    pub const ENCAPSULATION_TYPE: u16 = 21;
    pub const ENCAPSULATION: u16 = 22;
    pub const NEXTHOP_OBJECT: u16 = 30;
}

/// The only flag of a route or nexthop that is for whoever sets it (`RTNH_F_ONLINK`).
const ONLINK: u32 = 4;
/// A copy in the kernel's cache (`RTM_F_CLONED`).
const CLONED: u32 = 0x200;
/// The protocol of routes that the kernel makes with an address (`RTPROT_KERNEL`).
pub const KERNEL: u8 = 2;
/// The protocol of routes that `ip route` makes when it is told no other (`RTPROT_BOOT`).
pub const BOOT: u8 = 3;
/// The protocol of routes that routers advertise (`RTPROT_RA`).
const ADVERTISED: u8 = 9;
/// The number that no interface has.
pub(super) const NO_INTERFACE: u32 = 0;
/// Length of `struct rtnexthop`.
const NEXTHOP: usize = 8;

/// What a packet that takes the route meets (`RTN_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A gateway or a direct link.
    Unicast = 1,
    /// This host.
    Local = 2,
}

/// What tells one route from another of its table: by no other field does the kernel find the one to replace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Destination.
    pub network: Network,
    /// IPv6: only packets from this network, as raw bytes.
    pub from: Option<Vec<u8>>,
    /// Type of service; DSCP.
    pub service: u8,
    /// Metric.
    pub metric: u32,
    /// Table.
    pub table: u32,
}

/// One route, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExactRoute {
    pub(super) message: Exact,
    /// Where it leads: interface and gateway of each nexthop.
    nexthops: Vec<(u32, Option<IpAddr>)>,
    /// It ends by itself. When it does is no part of what it is: a second later it is the same route.
    expires: bool,
}

impl ExactRoute {
    /// From the kernel's message; none for what is no route, or a cached copy of one.
    pub(super) fn of(mut message: Exact) -> Option<Self> {
        let flags = flags(&message);
        if message.kind != NEW_ROUTE || flags & CLONED != 0 || any(message.header[0]).is_none() {
            return None;
        }
        message.header[8..].copy_from_slice(&(flags & ONLINK).to_ne_bytes());
        // `struct rta_cacheinfo`: the third field is when it expires.
        let timers = message.get(rta::CACHE_INFO).and_then(|timers| timers.get(8..12));
        let expires = timers.and_then(|bytes| bytes.try_into().ok()).map(u32::from_ne_bytes);
        message.set(rta::CACHE_INFO, None);
        if let Some(paths) = message.get(rta::MULTIPATH).map(without_states) {
            message.set(rta::MULTIPATH, Some(paths));
        }
        let nexthops = nexthops(&message);
        if message.get(rta::NEXTHOP_OBJECT).is_some() {
            // Told besides for who does not know nexthop objects; a message with both would be refused.
            for number in [
                rta::INTERFACE,
                rta::GATEWAY,
                rta::VIA,
                rta::MULTIPATH,
                rta::ENCAPSULATION,
                rta::ENCAPSULATION_TYPE,
            ] {
                message.set(number, None);
            }
        }
        Some(Self { message, nexthops, expires: expires.is_some_and(|seconds| seconds != 0) })
    }

    /// A unicast route of which only the given is known.
    #[must_use]
    pub fn new(
        identity: &Identity,
        gateway: Option<IpAddr>,
        index: Option<u32>,
        source: Option<IpAddr>,
    ) -> Self {
        const LINK_SCOPE: u8 = 253;
        let Network { ip, prefix } = identity.network;
        let on_link = ip.is_ipv4() && gateway.is_none();
        let scope = if on_link { LINK_SCOPE } else { 0 };
        let table = table::short(identity.table);
        let family = u8::from(family(ip));
        let header = [
            family,
            prefix,
            0,
            identity.service,
            table,
            BOOT,
            scope,
            Kind::Unicast as u8,
            0,
            0,
            0,
            0,
        ];
        let mut message = Exact::new(NEW_ROUTE, header);
        message.set(rta::TABLE, Some(identity.table.to_ne_bytes().to_vec()));
        message.set(rta::DESTINATION, (prefix > 0).then(|| octets(ip)));
        message.set(
            rta::PRIORITY,
            (identity.metric > 0).then(|| identity.metric.to_ne_bytes().to_vec()),
        );
        message.set(rta::GATEWAY, gateway.map(octets));
        message.set(rta::INTERFACE, index.map(|index| index.to_ne_bytes().to_vec()));
        message.set(rta::SOURCE, source.map(octets));
        Self { nexthops: nexthops(&message), message, expires: false }
    }

    /// From [`Self::to_hex`].
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        Self::of(Exact::from_hex(NEW_ROUTE, text)?)
    }

    /// All of it as text.
    #[must_use]
    pub fn to_hex(&self) -> String {
        self.message.to_hex()
    }

    /// What tells it from other routes.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity {
            network: self.network(),
            from: self.message.get(rta::FROM).map(<[u8]>::to_vec),
            service: self.message.header[3],
            metric: self.message.number(rta::PRIORITY).unwrap_or(0),
            table: self.table(),
        }
    }

    /// The destination.
    #[must_use]
    pub fn network(&self) -> Network {
        let any = any(self.message.header[0]).unwrap_or(IpAddr::from([0; 4]));
        let ip = self.message.get(rta::DESTINATION).and_then(ip_of).unwrap_or(any);
        Network { ip, prefix: self.message.header[1] }
    }

    pub(super) fn table(&self) -> u32 {
        self.message.number(rta::TABLE).unwrap_or_else(|| u32::from(self.message.header[4]))
    }

    /// Whether it is of that kind.
    #[must_use]
    pub fn is(&self, kind: Kind) -> bool {
        self.message.header[7] == kind as u8
    }

    /// Who made it (`RTPROT_*`).
    #[must_use]
    pub fn protocol(&self) -> u8 {
        self.message.header[5]
    }

    /// Router advertisements renew it (`RTPROT_RA`), or it ends by itself unless somebody else does.
    #[must_use]
    pub fn is_renewed(&self) -> bool {
        self.expires || self.protocol() == ADVERTISED
    }

    /// The source address of what takes it.
    #[must_use]
    pub fn source(&self) -> Option<IpAddr> {
        self.message.get(rta::SOURCE).and_then(ip_of)
    }

    /// The numbers of the interfaces to which it leads.
    pub fn links(&self) -> impl Iterator<Item = u32> {
        self.nexthops.iter().map(|(index, _)| *index)
    }

    /// Interface and gateway of each nexthop.
    #[must_use]
    pub fn nexthops(&self) -> &[(u32, Option<IpAddr>)] {
        &self.nexthops
    }

    /// It leads to hosts on the link itself.
    #[must_use]
    pub fn is_on_link(&self) -> bool {
        self.nexthops.iter().all(|(_, gateway)| gateway.is_none())
    }

    /// The same with another source, or none.
    #[must_use]
    pub fn with_source(&self, source: Option<IpAddr>) -> Self {
        let mut route = self.clone();
        route.message.set(rta::SOURCE, source.map(octets));
        route
    }

    /// The same with another IPv6 preference (RFC 4191, 2.1).
    #[must_use]
    pub fn with_preference(&self, preference: u8) -> Self {
        let mut route = self.clone();
        route.message.set(rta::PREFERENCE, Some(vec![preference]));
        route
    }

    /// Whether `other` leads the same way: all is equal but source and preference.
    #[must_use]
    pub fn is_alike(&self, other: &Self) -> bool {
        let core = |route: &Self| {
            let mut message = route.message.clone();
            message.set(rta::SOURCE, None);
            message.set(rta::PREFERENCE, None);
            message
        };
        core(self) == core(other)
    }

    /// The same with gateways that are on the link whatever other routes say.
    #[must_use]
    pub fn on_link_gateway(&self) -> Self {
        let mut route = self.clone();
        route.message.header[8..].copy_from_slice(&ONLINK.to_ne_bytes());
        route
    }

    /// The part of it that leads to one of its nexthops: all of it, unless it has several.
    #[must_use]
    pub fn with_nexthop(&self, (index, gateway): (u32, Option<IpAddr>)) -> Self {
        let mut route = self.clone();
        if self.nexthops.len() > 1 {
            route.message.set(rta::MULTIPATH, None);
            route.message.set(rta::INTERFACE, Some(index.to_ne_bytes().to_vec()));
            route.message.set(rta::GATEWAY, gateway.map(octets));
            route.nexthops = vec![(index, gateway)];
        }
        route
    }

    /// The same in another table.
    #[must_use]
    pub fn in_table(&self, table: u32) -> Self {
        let mut route = self.clone();
        route.message.header[4] = table::short(table);
        route.message.set(rta::TABLE, Some(table.to_ne_bytes().to_vec()));
        route
    }
}

fn flags(message: &Exact) -> u32 {
    let [.., a, b, c, d] = message.header;
    u32::from_ne_bytes([a, b, c, d])
}

/// The unspecified address of a family's number; none for other families than the two of IP.
fn any(number: u8) -> Option<IpAddr> {
    [IpAddr::from([0; 4]), IpAddr::from([0; 16])]
        .into_iter()
        .find(|ip| u8::from(family(*ip)) == number)
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

fn ip_of(octets: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(octets)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from))
        .ok()
}

/// The entries of `RTA_MULTIPATH` (`struct rtnexthop` and attributes), as their places in the bytes.
fn paths(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut found = Vec::new();
    let mut begin = 0;
    while let Some([a, b]) = bytes.get(begin..begin + 2) {
        let end = begin + usize::from(u16::from_ne_bytes([*a, *b]));
        if end < begin + NEXTHOP || end > bytes.len() {
            break;
        }
        found.push(begin..end);
        begin = end.next_multiple_of(4);
    }
    found
}

/// Nexthops without what the kernel says of their state.
fn without_states(bytes: &[u8]) -> Vec<u8> {
    let mut cleaned = bytes.to_vec();
    for path in paths(bytes) {
        cleaned[path.start + 2] &= ONLINK.to_le_bytes()[0];
    }
    cleaned
}

fn nexthops(message: &Exact) -> Vec<(u32, Option<IpAddr>)> {
    /// `RTA_VIA` has the family before the address.
    fn gateway(plain: Option<&[u8]>, via: Option<&[u8]>) -> Option<IpAddr> {
        plain.or_else(|| via?.get(2..)).and_then(ip_of)
    }
    if let Some(bytes) = message.get(rta::MULTIPATH) {
        let path = |range: std::ops::Range<usize>| {
            let path = bytes.get(range)?;
            let index = u32::from_ne_bytes(path.get(4..NEXTHOP)?.try_into().ok()?);
            let of_path = attributes(path.get(NEXTHOP..)?);
            let value =
                |number| of_path.iter().find(|(key, _)| *key == number).map(|(_, value)| *value);
            Some((index, gateway(value(rta::GATEWAY), value(rta::VIA))))
        };
        return paths(bytes).into_iter().filter_map(path).collect();
    }
    let gateway = gateway(message.get(rta::GATEWAY), message.get(rta::VIA));
    // A route that is to be made may leave its interface to the kernel.
    let index = message.number(rta::INTERFACE).or(gateway.map(|_| NO_INTERFACE));
    index.map(|index| (index, gateway)).into_iter().collect()
}

/// Whether `ip` lies in `network`.
#[must_use]
pub fn lies_in(network: Network, ip: IpAddr) -> bool {
    network.ip.is_ipv4() == ip.is_ipv4()
        && network.prefix <= bits(ip)
        && contains(network.ip, network.prefix, ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_that_runs_makes_no_other_route() {
        let network = Network { ip: "198.51.100.0".parse().unwrap(), prefix: 24 };
        let identity = Identity { network, from: None, service: 0, metric: 0, table: 254 };
        let plain = ExactRoute::new(&identity, None, Some(2), None);
        let expiring = |seconds: u32| {
            let mut message = plain.message.clone();
            let mut timers = [0; 32];
            timers[8..12].copy_from_slice(&seconds.to_ne_bytes());
            message.set(rta::CACHE_INFO, Some(timers.to_vec()));
            ExactRoute::of(message).unwrap()
        };
        assert_eq!(expiring(60), expiring(59));
        assert!(expiring(60).expires && !expiring(0).expires);
        assert_ne!(expiring(60), expiring(0));
    }
}
