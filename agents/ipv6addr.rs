//! `IPv6addr`: a virtual IPv6 address, by the parameters of the old compiled agent.

#![forbid(unsafe_code)]

use std::net::IpAddr;
use std::time::Duration;

use crate::action::Action;
use crate::agent::{Agent, Cx, Status};
use crate::error::Result;
use crate::param::values::{InterfaceName, Ipv6WithPrefix, Netmask};
use crate::params;
use crate::spec::{ActionSpec, AgentSpec, Haresources};
use crate::vip::{self, Announce, Wanted};
use crate::watch::Signs;

params! {
    pub struct Params {
        /// IPv6 address
        ///
        /// The address that moves with the resource, for example `2001:db8::10`. The old form with a prefix length
        /// behind it, `2001:db8::10/64`, is understood.
        ipv6addr: Ipv6WithPrefix { unique_group: Some("address") },

        /// Prefix length
        ///
        /// 1 to 128; goes before the one behind the address. Without either, that of the route or address which
        /// decided about the interface.
        cidr_netmask: Option<Netmask>,

        /// Network interface
        ///
        /// The interface that gets the address. Without it, start takes the one whose route or address has the
        /// subnet. A link-local address needs it.
        nic: Option<InterfaceName>,
    }
}

pub struct Ipv6Addr(Params);

impl From<Params> for Ipv6Addr {
    fn from(params: Params) -> Self {
        Self(params)
    }
}

impl Ipv6Addr {
    fn wanted(&self) -> Wanted {
        let own = &self.0;
        let prefix = own.cidr_netmask.map(Netmask::length).or(own.ipv6addr.prefix);
        Wanted {
            nic: own.nic.clone(),
            // The compiled agent takes 0 for "not given".
            prefix: prefix.filter(|length| *length > 0),
            announce: Announce {
                count: 5,
                interval: Duration::from_secs(1),
                background: true,
                refresh: 0,
            },
            ..Wanted::of(IpAddr::V6(own.ipv6addr.address))
        }
    }
}

impl Agent for Ipv6Addr {
    type Params = Params;

    const SPEC: AgentSpec = AgentSpec {
        name: "IPv6addr",
        short: "Virtual IPv6 address (old form of IPaddr2)",
        long: "Brings an IPv6 address up on an interface, waits until duplicate address detection says that nobody \
               else has it, and tells the neighbours where it is. It behaves as IPaddr2 does, with the parameters of \
               the old compiled agent.\n\n\
               For anything new take IPaddr2.",
        actions: &[
            ActionSpec::new(Action::Start, 15),
            ActionSpec::new(Action::Stop, 15),
            ActionSpec::new(Action::Status, 15).every(15),
            ActionSpec::new(Action::Monitor, 15).every(15),
            ActionSpec::new(Action::ValidateAll, 5),
            ActionSpec::new(Action::MetaData, 5),
        ],
        haresources: Some(Haresources {
            arguments: &["ipv6addr/cidr_netmask/nic"],
            required: 1,
            fixed: &[],
        }),
    };

    const WATCHED: bool = true;

    fn signs(&self, cx: &Cx<'_>) -> Result<Signs> {
        self.wanted().signs(cx)
    }

    fn key(&self, _: &Cx<'_>) -> String {
        self.wanted().identity()
    }

    fn check(&self, _: &Cx<'_>) -> Result<()> {
        self.wanted().check("ipv6addr", "cidr_netmask")
    }

    fn validate(&self, cx: &Cx<'_>) -> Result<()> {
        vip::validate(&self.wanted(), cx)
    }

    fn start(&self, cx: &Cx<'_>) -> Result<()> {
        vip::start(&self.wanted(), cx)
    }

    fn stop(&self, cx: &Cx<'_>) -> Result<()> {
        vip::stop(&self.wanted(), cx)
    }

    fn monitor(&self, cx: &Cx<'_>) -> Result<Status> {
        vip::monitor(&self.wanted(), cx)
    }
}
