//! Routes, as far as it matters which interface an address belongs on.

#![forbid(unsafe_code)]

use std::net::IpAddr;

use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType,
};

/// One unicast route of the main table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Destination network.
    pub network: IpAddr,
    /// Length of its prefix; zero is the default route.
    pub prefix: u8,
    /// Output interface.
    pub index: u32,
    /// Lower wins; absent is zero.
    pub metric: u32,
    /// The network is on the link itself, without a gateway.
    pub on_link: bool,
    /// Who made it (`RTPROT_*`).
    pub protocol: u8,
}

/// Number of the main table (`RT_TABLE_MAIN`).
pub const MAIN_TABLE: u32 = 254;

impl Route {
    /// From the kernel's message; none if it is not a unicast route of the main table to one interface.
    #[must_use]
    pub fn of(message: &RouteMessage) -> Option<Self> {
        if message.header.kind != RouteType::Unicast {
            return None;
        }
        let unspecified = super::address::family(IpAddr::from([0, 0, 0, 0]));
        let any: IpAddr = if message.header.address_family == unspecified {
            IpAddr::from([0; 4])
        } else {
            IpAddr::from([0; 16])
        };
        let mut route = Self {
            network: any,
            prefix: message.header.destination_prefix_length,
            index: 0,
            metric: 0,
            on_link: any.is_ipv6() || message.header.scope == RouteScope::Link,
            protocol: u8::from(message.header.protocol),
        };
        let mut table = u32::from(message.header.table);
        for attribute in &message.attributes {
            match attribute {
                RouteAttribute::Destination(network) => route.network = ip(network)?,
                RouteAttribute::Oif(index) => route.index = *index,
                RouteAttribute::Priority(metric) => route.metric = *metric,
                RouteAttribute::Gateway(_) | RouteAttribute::Via(_) => route.on_link = false,
                RouteAttribute::Table(number) => table = *number,
                _ => {}
            }
        }
        (route.index != 0 && table == MAIN_TABLE).then_some(route)
    }
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(ip) => Some(IpAddr::V4(*ip)),
        RouteAddress::Inet6(ip) => Some(IpAddr::V6(*ip)),
        _ => None,
    }
}

/// Names of protocols, as `/etc/iproute2/rt_protos` has them.
const PROTOCOLS: [(&str, RouteProtocol); 13] = [
    ("kernel", RouteProtocol::Kernel),
    ("boot", RouteProtocol::Boot),
    ("static", RouteProtocol::Static),
    ("ra", RouteProtocol::Ra),
    ("dhcp", RouteProtocol::Dhcp),
    ("bird", RouteProtocol::Bird),
    ("zebra", RouteProtocol::Zebra),
    ("keepalived", RouteProtocol::KeepAlived),
    ("babel", RouteProtocol::Babel),
    ("bgp", RouteProtocol::Bgp),
    ("isis", RouteProtocol::Isis),
    ("ospf", RouteProtocol::Ospf),
    ("rip", RouteProtocol::Rip),
];

/// The number of a protocol's name.
#[must_use]
pub fn protocol_number(name: &str) -> Option<u8> {
    let known = PROTOCOLS.iter().find(|(known, _)| *known == name);
    known.map_or_else(|| name.parse().ok(), |(_, protocol)| Some(u8::from(*protocol)))
}

/// The name of a protocol's number; the number where it has none.
#[must_use]
pub fn protocol_name(number: u8) -> String {
    let known = PROTOCOLS.iter().find(|(_, protocol)| u8::from(*protocol) == number);
    known.map_or_else(|| number.to_string(), |(name, _)| (*name).to_owned())
}
