//! Route: a route of the kernel's tables.

#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::action::Action;
use crate::agent::{Agent, Cx, Status};
use crate::error::{Error, Result};
use crate::host::net::Net;
use crate::host::routing::{BOOT, ExactRoute, Identity, Kind};
use crate::host::{namespace, table};
use crate::param::values::{Destination, InterfaceName, TableName};
use crate::spec::{ActionSpec, AgentSpec};
use crate::watch::{NetworkSigns, Signs};

/// How often a route that comes back is deleted again.
const TRIES: u32 = 5;

crate::params! {
    pub struct Params {
        /// Where the route leads
        ///
        /// A network such as `198.51.100.0/24` or `2001:db8:1::/48`, a single address, or `default`, for which `family` or
        /// the gateway says whether IPv4 or IPv6 is meant.
        destination: Destination,

        /// Interface
        ///
        /// Through which packets leave. Needed if there is no `gateway`, or an IPv6 one that is link-local. Where the interface
        /// does not exist, nothing of the resource runs.
        device: Option<InterfaceName>,

        /// Gateway
        ///
        /// The next router's address. Without one the destination is on the link of `device`.
        gateway: Option<IpAddr>,

        /// Source address
        ///
        /// The address that packets get whose sender chose none. It must be on this host before the route starts: order the
        /// resource behind that of the address.
        source: Option<IpAddr>,

        /// Table
        ///
        /// A number, or a name of iproute2's `rt_tables`. Without it, the main table.
        table: Option<TableName>,

        /// Metric
        ///
        /// Of several routes to one destination the one with the lowest metric is used, and two cannot have the same one. Without
        /// it, what the kernel takes: 0, for IPv6 1024.
        metric: Option<u32>,

        /// Address family
        ///
        /// `detect` takes that of the addresses that are given; for a destination `default` without any, IPv4.
        family: Family = "detect",
    }
}

crate::choice! {
    /// The family of addresses.
    enum Family {
        /// That of the addresses.
        Detect = "detect",
        /// IPv4.
        Ip4 = "ip4",
        /// IPv6.
        Ip6 = "ip6",
    }
}

pub struct Route(Params);

impl From<Params> for Route {
    fn from(params: Params) -> Self {
        Self(params)
    }
}

/// The route on this host as it is now: interface and table by their numbers.
struct Wanted {
    identity: Identity,
    gateway: Option<IpAddr>,
    device: Option<u32>,
    source: Option<IpAddr>,
}

impl Wanted {
    /// The nexthop of `route` that makes it the wanted one. Another route to the destination is somebody else's; and so is
    /// one that is the same, but made by the kernel, DHCP or a network manager, who would miss it.
    fn nexthop_in(&self, route: &ExactRoute) -> Option<(u32, Option<IpAddr>)> {
        let same = route.is(Kind::Unicast)
            && route.protocol() == BOOT
            && route.identity() == self.identity
            && self.source.is_none_or(|source| route.source() == Some(source));
        // IPv6 routes with one metric and several gateways are shown as one, although each was added by itself.
        let nexthops = route.nexthops();
        let plain = nexthops.len() == 1 || self.identity.network.ip.is_ipv6();
        let wanted = |(index, gateway): &&(u32, Option<IpAddr>)| {
            *gateway == self.gateway && self.device.is_none_or(|device| device == *index)
        };
        nexthops.iter().find(wanted).copied().filter(|_| same && plain)
    }

    fn route(&self) -> ExactRoute {
        ExactRoute::new(&self.identity, self.gateway, self.device, self.source)
    }

    /// All routes that the kernel cannot keep beside it, it among them.
    fn like_it(&self, net: &Net) -> Result<Vec<ExactRoute>> {
        let Identity { network, table, .. } = self.identity;
        net.exact_routes(network.ip, table, &[network.prefix], |route| {
            route.identity() == self.identity
        })
    }
}

/// What is not here, so that the route cannot be.
enum Missing {
    Device(String),
    Table(String),
}

impl Missing {
    fn error(self) -> Error {
        Error::Local(match self {
            Self::Device(name) => {
                format!("there is no interface {name} here; give device one that `ip link` lists")
            }
            Self::Table(name) => format!(
                "there is no table {name} here; name it in /etc/iproute2/rt_tables, or give its number"
            ),
        })
    }
}

impl Route {
    /// An address of the family of the route.
    fn like(&self) -> IpAddr {
        let own = &self.0;
        let given = match own.destination {
            Destination::Network(network) => Some(network.ip),
            Destination::Default => own.gateway.or(own.source),
        };
        match (own.family, given) {
            (Family::Ip6, _) => Ipv6Addr::UNSPECIFIED.into(),
            (Family::Detect, Some(given)) => given,
            (Family::Ip4, _) | (Family::Detect, None) => Ipv4Addr::UNSPECIFIED.into(),
        }
    }

    fn wanted(&self, net: &Net) -> Result<Result<Wanted, Missing>> {
        /// What the kernel takes for an IPv6 route without a metric (`IP6_RT_PRIO_USER`).
        const IPV6_METRIC: u32 = 1024;
        let own = &self.0;
        let network = own.destination.in_family_of(self.like());
        let name = own.table.as_ref().map_or("main", TableName::as_str);
        let Some(table) = table::number(name) else {
            return Ok(Err(Missing::Table(name.to_owned())));
        };
        let metric = own.metric.filter(|metric| *metric > 0);
        let metric = metric.unwrap_or(if network.ip.is_ipv6() { IPV6_METRIC } else { 0 });
        let mut device = None;
        if let Some(name) = &own.device {
            match net.link_named(name.as_str())? {
                Some(link) => device = Some(link.index),
                None => return Ok(Err(Missing::Device(name.to_string()))),
            }
        }
        let identity = Identity { network, from: None, service: 0, metric, table };
        Ok(Ok(Wanted { identity, gateway: own.gateway, device, source: own.source }))
    }

    fn check_source(&self, net: &Net) -> Result<()> {
        let Some(source) = self.0.source else { return Ok(()) };
        if net.places_of(source, None)?.is_empty() {
            return Err(Error::Failed(format!(
                "source {source} is on no interface of this host; start the address first, and order this resource behind it"
            )));
        }
        Ok(())
    }

    fn check_families(&self) -> Result<()> {
        let own = &self.0;
        let like = self.like();
        let mut given = vec![("gateway", own.gateway), ("source", own.source)];
        if let Destination::Network(network) = own.destination {
            given.push(("destination", Some(network.ip)));
        }
        let family = if like.is_ipv4() { "IPv4" } else { "IPv6" };
        for (name, ip) in given {
            if let Some(ip) = ip.filter(|ip| ip.is_ipv4() != like.is_ipv4()) {
                let why = format!(
                    "{ip} is not {family}, as the rest of the route is; give all of one family"
                );
                return Err(Error::Configured { name, why });
            }
        }
        Ok(())
    }
}

impl Agent for Route {
    type Params = Params;

    const SPEC: AgentSpec = AgentSpec {
        name: "Route",
        short: "Route in the kernel's tables",
        long: "Adds a route, IPv4 or IPv6, and takes it away again.\n\n\
               The route is this resource's if destination, table, metric, gateway, device and source are as given; any other \
               route to the destination is somebody else's, is left alone, and makes start fail if both cannot be at once. So is one \
               that is the same but was made by the kernel, DHCP or a network manager. Where the interface does not exist, the \
               route is stopped.",
        actions: &[
            ActionSpec::new(Action::Start, 20),
            ActionSpec::new(Action::Stop, 20),
            ActionSpec::new(Action::Monitor, 20).every(10).depth(0),
            ActionSpec::new(Action::Reload, 20),
            ActionSpec::new(Action::ValidateAll, 20),
            ActionSpec::new(Action::MetaData, 5),
        ],
        haresources: None,
    };

    const WATCHED: bool = true;

    /// The kernel announces no IPv4 route that goes with its interface or with its source (`fib_table_flush`).
    fn signs(&self, cx: &Cx<'_>) -> Result<Signs> {
        let net = Net::open(cx.deadline)?;
        let mut index = None;
        if let Ok(wanted) = self.wanted(&net)? {
            let there = wanted.like_it(&net)?;
            index = there.iter().find_map(|route| wanted.nexthop_in(route)).map(|(index, _)| index);
        }
        let link = index.map(|index| net.link(index)).transpose()?.flatten();
        let links = link.map(|link| net.stack_of(&link)).transpose()?;
        let addresses = self.0.source.into_iter().collect();
        let network = NetworkSigns { addresses, links, routes: true, ..NetworkSigns::default() };
        Ok(Signs { network: Some(network), ..Signs::default() })
    }

    fn check(&self, cx: &Cx<'_>) -> Result<()> {
        let own = &self.0;
        let wrong = |name, why: &str| Err(Error::Configured { name, why: why.to_owned() });
        if own.device.is_none() && own.gateway.is_none() {
            return wrong(
                "device",
                "neither device nor gateway is given; give one of them, or both",
            );
        }
        if own
            .gateway
            .is_some_and(|ip| ip.is_unspecified() || ip.is_loopback() || ip.is_multicast())
        {
            return wrong(
                "gateway",
                "it is no router's address; leave it out if the destination is on the link of device",
            );
        }
        if let (Some(IpAddr::V6(gateway)), None) = (own.gateway, &own.device)
            && gateway.is_unicast_link_local()
        {
            return wrong(
                "gateway",
                "it is link-local, so any interface could reach it; give device",
            );
        }
        if cx.environment.meta("clone").is_some() && cx.meta_number("clone_node_max") != Some(1) {
            return wrong(
                "destination",
                "a clone can have one instance a node; set its meta attribute clone-node-max=1",
            );
        }
        self.check_families()
    }

    fn validate(&self, cx: &Cx<'_>) -> Result<()> {
        let net = Net::open(cx.deadline)?;
        self.wanted(&net)?.map_err(Missing::error)?;
        self.check_source(&net)
    }

    fn start(&self, cx: &Cx<'_>) -> Result<()> {
        let net = Net::open(cx.deadline)?;
        let wanted = self.wanted(&net)?.map_err(Missing::error)?;
        let _lock = cx.state.lock(&lock_name(&wanted), &cx.deadline)?;
        self.check_source(&net)?;
        let there = wanted.like_it(&net)?;
        if there.iter().any(|route| wanted.nexthop_in(route).is_some()) {
            return Ok(());
        }
        let words = net.describe(&wanted.route());
        if let Some(other) = there.first() {
            return Err(Error::Failed(format!(
                "another route has the same destination and metric; give another metric, or delete it: {}",
                net.describe(other)
            )));
        }
        net.add_route(&wanted.route())
            .map_err(|refusal| refusal.doing(&format!("add the route {words}")))?;
        if !wanted.like_it(&net)?.iter().any(|route| wanted.nexthop_in(route).is_some()) {
            return Err(Error::Failed(format!(
                "the route {words} was added and is gone again; something on this host removes it"
            )));
        }
        cx.log.info(&format!("added the route {words}"));
        Ok(())
    }

    fn stop(&self, cx: &Cx<'_>) -> Result<()> {
        let net = Net::open(cx.deadline)?;
        let Ok(wanted) = self.wanted(&net)? else { return Ok(()) };
        let _lock = cx.state.lock(&lock_name(&wanted), &cx.deadline)?;
        for _ in 0..TRIES {
            let there = wanted.like_it(&net)?;
            let Some((route, nexthop)) =
                there.iter().find_map(|route| Some((route, wanted.nexthop_in(route)?)))
            else {
                return Ok(());
            };
            let route = route.with_nexthop(nexthop);
            let words = net.describe(&route);
            net.delete_route(&route)
                .map_err(|refusal| refusal.doing(&format!("delete the route {words}")))?;
            cx.log.info(&format!("deleted the route {words}"));
        }
        Err(Error::Failed(format!(
            "the route {} is there again after it was deleted {TRIES} times; find out what re-adds it",
            net.describe(&wanted.route())
        )))
    }

    fn monitor(&self, cx: &Cx<'_>) -> Result<Status> {
        let net = Net::open(cx.deadline)?;
        let Ok(wanted) = self.wanted(&net)? else { return Ok(Status::NotRunning) };
        let there = wanted.like_it(&net)?;
        let running = there.iter().any(|route| wanted.nexthop_in(route).is_some());
        Ok(if running { Status::Running } else { Status::NotRunning })
    }

    /// No parameter can change while the route is there, so that only its absence is mended.
    fn reload(&self, cx: &Cx<'_>) -> Result<()> {
        self.start(cx)
    }
}

fn lock_name(wanted: &Wanted) -> String {
    format!("routes-{}-{}", namespace::identity(), wanted.identity.table)
}
