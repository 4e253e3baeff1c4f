//! `IPaddr`: a virtual IPv4 address, by the parameters of the old portable agent.

#![forbid(unsafe_code)]

use std::net::{IpAddr as AnyIp, Ipv4Addr};
use std::time::Duration;

use crate::action::Action;
use crate::agent::{Agent, Cx, Status};
use crate::error::{Error, Result};
use crate::host::address::broadcast;
use crate::param::values::{Broadcast, Count, Flag, InterfaceWithLabel, Label, Netmask, Text};
use crate::params;
use crate::spec::{ActionSpec, AgentSpec, Haresources};
use crate::vip::{self, Announce, Labelled, Wanted};
use crate::watch::Signs;

params! {
    pub struct Params {
        /// IPv4 address
        ///
        /// The address that moves with the resource, for example `192.0.2.10`.
        ip: Ipv4Addr { unique_group: Some("address") },

        /// Network interface
        ///
        /// The interface that gets the address. Without it, start takes the one whose route or address has the
        /// subnet. A part behind a colon, as in `eth0:1`, is left away: the alias is the next free one.
        nic: Option<InterfaceWithLabel>,

        /// Netmask
        ///
        /// A prefix length, such as `24`, or a dotted mask. Without it, that of the route or address which decided
        /// about the interface.
        cidr_netmask: Option<Netmask> { aliases: &["netmask"] },

        /// Broadcast address
        ///
        /// Must be the last address of the subnet, which is also what it is without this parameter.
        broadcast: Option<Ipv4Addr>,

        /// Label of the alias
        ///
        /// Without effect: the alias is the next free of `eth0:0`, `eth0:1` and so on.
        iflabel: Option<Label>,

        /// LVS: take the address off the loopback interface while it is up
        ///
        /// For the directors of a Linux Virtual Server that are real servers too: start takes the address off the
        /// loopback interface, stop puts it back as it was.
        lvs_support: Flag = "false",

        /// Script to run before the address is taken off the loopback interface
        ///
        /// Not supported: start refuses it. Order a resource of the cluster before this one instead.
        local_stop_script: Option<Text>,

        /// Script to run before the address is brought up
        ///
        /// Not supported: start refuses it. Order a resource of the cluster before this one instead.
        local_start_script: Option<Text>,

        /// Pause between two announcements, in milliseconds
        ///
        /// The first announcement goes out before start returns.
        ARP_INTERVAL_MS: Count = "500",

        /// Announcements at start
        ///
        /// How often gratuitous ARP, as request and as reply, tells the neighbours where the address is now.
        ARP_REPEAT: Count = "10",

        /// Whether start leaves the announcements after the first to a process of its own
        ///
        /// With anything but `yes` or another word for true, start lasts until the last one is sent: `ARP_REPEAT` times
        /// `ARP_INTERVAL_MS`.
        ARP_BACKGROUND: Flag = "yes",

        /// Netmask in announcements
        ///
        /// Without effect: announcements have no netmask.
        ARP_NETMASK: Text = "ffffffffffff",
    }
}

pub struct IpAddr(Params);

impl From<Params> for IpAddr {
    fn from(params: Params) -> Self {
        Self(params)
    }
}

impl IpAddr {
    fn wanted(&self) -> Wanted {
        let own = &self.0;
        Wanted {
            nic: own.nic.as_ref().map(|nic| nic.name.clone()),
            prefix: own.cidr_netmask.map(Netmask::length),
            broadcast: own.broadcast.map(Broadcast::Address),
            label: Labelled::NextAlias,
            lvs: own.lvs_support.is_set(),
            announce: Announce {
                count: own.ARP_REPEAT.get(),
                interval: Duration::from_millis(u64::from(own.ARP_INTERVAL_MS.get())),
                background: own.ARP_BACKGROUND.is_set(),
                refresh: 0,
            },
            ..Wanted::of(AnyIp::V4(own.ip))
        }
    }

    /// A script that used to run and no longer does is not something to pass over.
    fn refuse_scripts(&self) -> Result<()> {
        let scripts = [
            ("local_stop_script", &self.0.local_stop_script),
            ("local_start_script", &self.0.local_start_script),
        ];
        match scripts.into_iter().find(|(_, script)| script.is_some()) {
            Some((name, _)) => Err(Error::Configured {
                name,
                why: "is not supported; order a resource of the cluster before this one instead"
                    .to_owned(),
            }),
            None => Ok(()),
        }
    }
}

impl Agent for IpAddr {
    type Params = Params;

    const SPEC: AgentSpec = AgentSpec {
        name: "IPaddr",
        short: "Virtual IPv4 address (old form of IPaddr2)",
        long: "Brings an IPv4 address up as an alias of an interface, so that ifconfig shows it, and tells the \
               neighbours where it is. It behaves as IPaddr2 does, with the parameters of the old portable agent.\n\n\
               For anything new take IPaddr2, which also has IPv6, labels and network namespaces.",
        actions: &[
            ActionSpec::new(Action::Start, 20),
            ActionSpec::new(Action::Stop, 20),
            ActionSpec::new(Action::Monitor, 20).every(5).depth(0),
            ActionSpec::new(Action::ValidateAll, 20),
            ActionSpec::new(Action::MetaData, 5),
        ],
        haresources: Some(Haresources {
            arguments: &["ip/cidr_netmask/nic|broadcast/broadcast"],
            required: 1,
            fixed: &[("lvs_support", "0")],
        }),
    };

    const WATCHED: bool = true;

    fn signs(&self, cx: &Cx<'_>) -> Result<Signs> {
        self.wanted().signs(cx)
    }

    fn key(&self, _: &Cx<'_>) -> String {
        self.wanted().identity()
    }

    fn check(&self, cx: &Cx<'_>) -> Result<()> {
        self.wanted().check("ip", "cidr_netmask")?;
        self.refuse_scripts()?;
        if let (Some(given), Some(mask)) = (self.0.broadcast, self.0.cidr_netmask) {
            let computed = broadcast(self.0.ip, mask.length(), true);
            if given != computed {
                let why = format!(
                    "{given} is not the last address of {}/{}; give {computed}",
                    self.0.ip,
                    mask.length()
                );
                return Err(Error::Configured { name: "broadcast", why });
            }
        }
        let set = [
            ("iflabel", self.0.iflabel.is_some()),
            ("ARP_NETMASK", self.0.ARP_NETMASK.as_os_str() != "ffffffffffff"),
        ];
        for (name, _) in set.into_iter().filter(|(_, set)| *set) {
            cx.log.warn(&format!("parameter {name} has no effect"));
        }
        self.wanted().advise(cx);
        Ok(())
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
