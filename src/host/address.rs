//! Addresses of interfaces.

#![forbid(unsafe_code)]

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressScope, CacheInfo as AddressLifetimes,
};

use crate::param::values::Broadcast;

/// One address of one interface, as the kernel has it or is to have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The interface.
    pub index: u32,
    /// The address itself (`IFA_LOCAL`).
    pub ip: IpAddr,
    /// The length of its prefix.
    pub prefix: u8,
    /// Far end of a point-to-point link, where it differs.
    pub peer: Option<IpAddr>,
    /// IPv4 label.
    pub label: Option<String>,
    /// IPv4 broadcast address.
    pub broadcast: Option<Ipv4Addr>,
    /// `IFA_F_*`.
    pub flags: AddressFlags,
    /// Route scope.
    pub scope: u8,
    /// Preferred and valid lifetime in seconds; `u32::MAX` is for ever.
    pub lifetimes: Option<(u32, u32)>,
    /// Metric of its prefix route.
    pub metric: Option<u32>,
}

impl Address {
    /// `ip/prefix` on an interface, and nothing else.
    #[must_use]
    pub fn new(index: u32, ip: IpAddr, prefix: u8) -> Self {
        Self {
            index,
            ip,
            prefix,
            peer: None,
            label: None,
            broadcast: None,
            flags: AddressFlags::empty(),
            scope: 0,
            lifetimes: None,
            metric: None,
        }
    }

    /// From the kernel's message; none without an address in it.
    #[must_use]
    pub fn of(message: &AddressMessage) -> Option<Self> {
        let (mut local, mut remote) = (None, None);
        let mut address = Self::new(
            message.header.index,
            IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            message.header.prefix_len,
        );
        address.scope = u8::from(message.header.scope);
        for attribute in &message.attributes {
            match attribute {
                AddressAttribute::Local(ip) => local = Some(*ip),
                AddressAttribute::Address(ip) => remote = Some(*ip),
                AddressAttribute::Label(label) => address.label = Some(label.clone()),
                AddressAttribute::Broadcast(ip) => address.broadcast = Some(*ip),
                AddressAttribute::Flags(flags) => address.flags = *flags,
                AddressAttribute::CacheInfo(cache) => {
                    address.lifetimes = Some((cache.ifa_preferred, cache.ifa_valid));
                }
                AddressAttribute::RoutePriority(metric) => address.metric = Some(*metric),
                _ => {}
            }
        }
        address.ip = local.or(remote)?;
        address.peer = remote.filter(|remote| Some(*remote) != local && local.is_some());
        Some(address)
    }

    /// The kernel's message that adds it, or that names it to be removed.
    #[must_use]
    pub fn message(&self) -> AddressMessage {
        let mut message = AddressMessage::default();
        message.header.family = family(self.ip);
        message.header.prefix_len = self.prefix;
        message.header.index = self.index;
        message.header.scope = AddressScope::from(self.scope);
        let attributes = &mut message.attributes;
        attributes.push(AddressAttribute::Local(self.ip));
        attributes.push(AddressAttribute::Address(self.peer.unwrap_or(self.ip)));
        attributes.extend(self.label.clone().map(AddressAttribute::Label));
        attributes.extend(self.broadcast.map(AddressAttribute::Broadcast));
        if !self.flags.is_empty() {
            attributes.push(AddressAttribute::Flags(self.flags));
        }
        if let Some((preferred, valid)) = self.lifetimes {
            let mut cache = AddressLifetimes::default();
            cache.ifa_preferred = preferred;
            cache.ifa_valid = valid;
            attributes.push(AddressAttribute::CacheInfo(cache));
        }
        attributes.extend(self.metric.map(AddressAttribute::RoutePriority));
        message
    }

    /// Whether `ip` lies in its subnet.
    #[must_use]
    pub fn subnet_contains(&self, ip: IpAddr) -> bool {
        contains(self.peer.unwrap_or(self.ip), self.prefix, ip)
    }

    /// Another host has it (RFC 4862, 5.4.5).
    #[must_use]
    pub fn is_duplicate(&self) -> bool {
        self.flags.contains(AddressFlags::Dadfailed)
    }

    /// Nobody knows yet whether another host has it; it cannot be used (RFC 4862, 5.4).
    #[must_use]
    pub fn is_tentative(&self) -> bool {
        self.flags.contains(AddressFlags::Tentative)
            && !self.flags.contains(AddressFlags::Optimistic)
    }

    /// It lives by the grace of the first address of its subnet.
    #[must_use]
    pub fn is_secondary(&self) -> bool {
        self.ip.is_ipv4() && self.flags.contains(AddressFlags::Secondary)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix)
    }
}

/// The address family of `ip`.
#[must_use]
pub fn family(ip: IpAddr) -> AddressFamily {
    if ip.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

/// The number of bits of an address of the family of `ip`.
#[must_use]
pub const fn bits(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

/// Whether `ip` lies in `network/prefix`. Addresses of two families never do.
#[must_use]
pub fn contains(network: IpAddr, prefix: u8, ip: IpAddr) -> bool {
    match (network, ip) {
        (IpAddr::V4(network), IpAddr::V4(ip)) => {
            let shift = 32 - u32::from(prefix.min(32));
            (u32::from(network) ^ u32::from(ip)).checked_shr(shift).unwrap_or(0) == 0
        }
        (IpAddr::V6(network), IpAddr::V6(ip)) => {
            let shift = 128 - u32::from(prefix.min(128));
            (u128::from(network) ^ u128::from(ip)).checked_shr(shift).unwrap_or(0) == 0
        }
        _ => false,
    }
}

/// Whether `ip` means something on one link only (RFC 4291, 2.5.6).
#[must_use]
pub const fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(_) => false,
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

impl Broadcast {
    /// The address that it is for `ip/prefix`.
    #[must_use]
    pub fn of(self, ip: Ipv4Addr, prefix: u8) -> Ipv4Addr {
        match self {
            Self::Address(given) => given,
            Self::AllOnes => broadcast(ip, prefix, true),
            Self::AllZeros => broadcast(ip, prefix, false),
        }
    }
}

/// `ip/prefix` with its host bits all one, or all zero.
#[must_use]
pub fn broadcast(ip: Ipv4Addr, prefix: u8, ones: bool) -> Ipv4Addr {
    let host = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
    let bits = u32::from(ip);
    Ipv4Addr::from(if ones { bits | host } else { bits & !host })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets_of_every_length() {
        let cases = [
            ("192.0.2.1", 24, "192.0.2.200", true),
            ("192.0.2.1", 24, "192.0.3.1", false),
            ("192.0.2.1", 32, "192.0.2.1", true),
            ("192.0.2.1", 32, "192.0.2.2", false),
            ("0.0.0.0", 0, "255.255.255.255", true),
            ("2001:db8::", 32, "2001:db8:ffff::", true),
            ("::", 0, "ff::", true),
            ("::1", 128, "::2", false),
            ("0.0.0.0", 0, "::1", false),
        ];
        for (network, prefix, ip, expected) in cases {
            assert_eq!(
                contains(network.parse().unwrap(), prefix, ip.parse().unwrap()),
                expected,
                "{network}/{prefix} {ip}"
            );
        }
    }

    #[test]
    fn broadcast_addresses() {
        let ip = "192.0.2.77".parse().unwrap();
        assert_eq!(broadcast(ip, 24, true).to_string(), "192.0.2.255");
        assert_eq!(broadcast(ip, 24, false).to_string(), "192.0.2.0");
        assert_eq!(broadcast(ip, 32, true).to_string(), "192.0.2.77");
        assert_eq!(broadcast(ip, 0, true).to_string(), "255.255.255.255");
    }
}
