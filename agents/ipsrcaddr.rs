//! `IPsrcaddr`: the source address of connections that this host opens.

#![forbid(unsafe_code)]

use std::net::IpAddr;

use crate::action::Action;
use crate::agent::{Agent, Cx, Status};
use crate::error::{Error, Result};
use crate::host::route::protocol_number;
use crate::param::values::{Destination, Flag, InterfaceName, Netmask, TableName, Text};
use crate::source::{self, ByRules, Wanted};
use crate::spec::{ActionSpec, AgentSpec, Haresources};
use crate::watch::Signs;

/// The lowest priority before the main table, behind rules that are made without one.
const LAST_PRIORITY: u32 = 32765;

crate::params! {
    pub struct Params {
        /// Source address
        ///
        /// IPv4 or IPv6. It must be on this host before the resource starts: order it behind the IPaddr2 that brings it up.
        ipaddress: IpAddr,

        /// Prefix of the subnet of the address
        ///
        /// A prefix length or a dotted mask. Needed only where the address lies in several subnets of its interface: it says
        /// whose route gets the source too.
        cidr_netmask: Option<Netmask>,

        /// Where the connections go
        ///
        /// The destination of the route that gets the source, as `ip route` shows it. With the default, `0.0.0.0/0`, which also
        /// stands for `::/0`, it is the default route, and besides it the route to the subnet of the address.
        destination: Destination = "0.0.0.0/0",

        /// Protocol of the route
        ///
        /// Who made it: `kernel`, `static`, `dhcp`, a number. Of several routes that could be meant, one with this protocol is
        /// taken.
        proto: Option<Text>,

        /// Metric of the route
        ///
        /// Needed where several routes lead to the destination through the same interface.
        metric: Option<u32>,

        /// IPv6: preference of the route
        ///
        /// The preference (RFC 4191) that the route to the destination has while the resource runs.
        pref: Option<Preference>,

        /// Table
        ///
        /// The table of the route: a number, or a name of iproute2's `rt_tables`. Without it, the main table. With `local`, the
        /// destination is an address of this host, and the source is that of connections to it. Not with `mode=rule`, which is
        /// for the main table.
        table: Option<TableName>,

        /// Interface of the route
        ///
        /// Without it, the interface that has the address. Needed where a route leads through several interfaces, or where the
        /// address is on several.
        nic: Option<InterfaceName>,

        /// Also for connections to the address itself
        ///
        /// IPv4: connections from this host to the address, and so to itself, have the address as source too. Without it they
        /// have the first address of the subnet. For IPv6 the kernel does so always.
        local_route: Flag = "false",

        /// How the source is set
        ///
        /// `route` sets it in the routes themselves, and stop puts them back byte for byte. `rule` changes no route: it copies them
        /// to a table of its own, sets the source there, and makes rules (`ip rule`) that lead connections of this host
        /// to it. Take `rule` where a network manager, DHCP or router advertisements renew routes. The route must be the one that
        /// connections take: start refuses if another one has a lower metric, or if another resource has such rules.
        mode: Mode = "route",

        /// With `mode=rule`: number of the table
        ///
        /// Nobody else may use it. Without it, a number above 268435455 that follows from the address.
        rule_table: Option<u32>,

        /// With `mode=rule`: priority of the rules
        ///
        /// That of the rules for the default route; those for a network have one lower by the length of its prefix. At most
        /// 32765, to come before the main table.
        rule_priority: u32 = "32765",
    }
}

crate::choice! {
    /// How the source is set.
    enum Mode {
        /// In the routes.
        Route = "route",
        /// By rules.
        Rule = "rule",
    }
}

crate::choice! {
    /// Preference of an IPv6 route.
    enum Preference {
        /// Last.
        Low = "low",
        /// As any.
        Medium = "medium",
        /// First.
        High = "high",
    }
}

impl Preference {
    /// As messages have it (RFC 4191, 2.1).
    fn number(self) -> u8 {
        match self {
            Self::Medium => 0,
            Self::High => 1,
            Self::Low => 3,
        }
    }
}

pub struct IpSrcAddr(Params);

impl From<Params> for IpSrcAddr {
    fn from(params: Params) -> Self {
        Self(params)
    }
}

impl IpSrcAddr {
    fn wanted(&self) -> Wanted {
        let own = &self.0;
        let by_rules = ByRules { table: own.rule_table, priority: own.rule_priority };
        let mut destination = own.destination.in_family_of(own.ipaddress);
        if destination.prefix == 0 {
            destination = Destination::Default.in_family_of(own.ipaddress);
        }
        Wanted {
            ip: own.ipaddress,
            prefix: own.cidr_netmask.map(Netmask::length),
            destination,
            table: own.table.clone(),
            protocol: self.protocol(),
            metric: own.metric,
            preference: own.pref.map(Preference::number),
            nic: own.nic.clone(),
            local_route: own.local_route.is_set(),
            by_rules: (own.mode == Mode::Rule).then_some(by_rules),
        }
    }

    fn protocol(&self) -> Option<u8> {
        protocol_number(self.0.proto.as_ref()?.as_os_str().to_str()?)
    }
}

impl Agent for IpSrcAddr {
    type Params = Params;

    const SPEC: AgentSpec = AgentSpec {
        name: "IPsrcaddr",
        short: "Source address of connections that this host opens",
        long: "Makes a virtual address the source of connections that this host opens, so that others see the service's address and not \
               the node's.\n\n\
               start sets the source of the default route and of the route to the address's subnet, or of the one route to a \
               destination. Where several routes could be meant it refuses, and lists them. stop puts them back exactly as they were, \
               whatever became of the address meanwhile; a route that somebody else changed stays as that one made it. monitor \
               fails, and says who did it, when a route lost the source.\n\n\
               Order it behind the IPaddr2 of the address. Where DHCP or a network manager renews routes, set mode=rule, which \
               changes none.",
        actions: &[
            ActionSpec::new(Action::Start, 20),
            ActionSpec::new(Action::Stop, 20),
            ActionSpec::new(Action::Monitor, 20).every(10).depth(0),
            ActionSpec::new(Action::ValidateAll, 5),
            ActionSpec::new(Action::MetaData, 5),
        ],
        haresources: Some(Haresources { arguments: &["ipaddress"], required: 1, fixed: &[] }),
    };

    const WATCHED: bool = true;

    fn signs(&self, _: &Cx<'_>) -> Result<Signs> {
        Ok(self.wanted().signs())
    }

    fn check(&self, _: &Cx<'_>) -> Result<()> {
        let own = &self.0;
        if let Some(name) = &own.proto
            && self.protocol().is_none()
        {
            let why = format!(
                "{} is no routing protocol; give a number, or a name such as kernel, boot, static, dhcp or ra",
                crate::param::quoted(name.as_os_str())
            );
            return Err(Error::Configured { name: "proto", why });
        }
        if own.rule_table.is_some_and(|table| (253..=255).contains(&table) || table == 0) {
            let why = "is a table of the kernel's own; give the number of a free one".to_owned();
            return Err(Error::Configured { name: "rule_table", why });
        }
        // The longest prefix makes it lower by 128, and 0 is the kernel's own rule.
        if !(129..=LAST_PRIORITY).contains(&own.rule_priority) {
            let why = format!(
                "\"{}\" is not before the main table; give 129 to {LAST_PRIORITY}",
                own.rule_priority
            );
            return Err(Error::Configured { name: "rule_priority", why });
        }
        self.wanted().check()
    }

    fn validate(&self, cx: &Cx<'_>) -> Result<()> {
        source::validate(&self.wanted(), cx)
    }

    fn start(&self, cx: &Cx<'_>) -> Result<()> {
        source::start(&self.wanted(), cx)
    }

    fn stop(&self, cx: &Cx<'_>) -> Result<()> {
        source::stop(&self.wanted(), cx)
    }

    fn monitor(&self, cx: &Cx<'_>) -> Result<Status> {
        source::monitor(&self.wanted(), cx)
    }
}
