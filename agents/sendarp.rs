//! `SendArp`: announces an address on an interface, whether or not this host has it.

#![forbid(unsafe_code)]

use std::net::IpAddr;
use std::time::Duration;

use crate::action::Action;
use crate::agent::{Agent, Cx, Status};
use crate::error::{Error, Result};
use crate::host::announce::{self, Announcement, Subject};
use crate::host::link::Link;
use crate::host::namespace;
use crate::host::net::Net;
use crate::param::values::{Flag, InterfaceName};
use crate::params;
use crate::spec::{ActionSpec, AgentSpec, Haresources};
use crate::state::{Lock, StateFile};
use crate::vip::Wanted;

params! {
    pub struct Params {
        /// Address to announce
        ///
        /// An IPv4 address is announced by gratuitous ARP, as request and as reply, an IPv6 address by unsolicited neighbour
        /// advertisements. This host need not have it: announce only what shall reach this host.
        ip: IpAddr,

        /// Network interface
        ///
        /// The interface whose neighbours are told, and whose hardware address they learn: its name or one of its
        /// alternative names.
        nic: InterfaceName,

        /// Whether start leaves the announcements after the first to a process of its own
        ///
        /// `false` makes start last until the last one is sent, or until its timeout is nearly over.
        background: Flag = "true" { reloadable: true },
    }
}

pub struct SendArp(Params);

impl From<Params> for SendArp {
    fn from(params: Params) -> Self {
        Self(params)
    }
}

/// How often and how fast, which the shell agent takes from variables that are no parameters.
struct Rhythm {
    count: u32,
    interval: Duration,
    background: bool,
}

impl SendArp {
    /// Of this instance, this address and this network namespace, and of nobody else.
    fn name(&self, cx: &Cx<'_>) -> String {
        let Params { ip, nic, .. } = &self.0;
        format!("SendArp_{}-{ip}-{nic}-{}", cx.instance, namespace::identity())
    }

    fn marker(&self, cx: &Cx<'_>) -> StateFile {
        cx.state.file(&self.name(cx))
    }

    fn rhythm(&self, cx: &Cx<'_>) -> Rhythm {
        let number = |name: &str, default: u32| {
            let given = cx.environment.get(name).map(|raw| raw.to_string_lossy().parse());
            match given {
                Some(Ok(number)) if number > 0 => number,
                Some(_) => {
                    cx.log.warn(&format!(
                        "the variable {name} is no number above 0; taking {default}"
                    ));
                    default
                }
                None => default,
            }
        };
        let in_background = cx.environment.get("ARP_BACKGROUND");
        Rhythm {
            count: number("ARP_REPEAT", 5),
            interval: Duration::from_millis(number("ARP_INTERVAL_MS", 200).into()),
            background: in_background
                .map_or(self.0.background.is_set(), |_| cx.environment.is_true("ARP_BACKGROUND")),
        }
    }

    fn link(&self, net: &Net) -> Result<Link> {
        let nic = &self.0.nic;
        let missing = || {
            Error::Local(format!(
                "there is no interface {nic} here; `ip link` lists those that are"
            ))
        };
        net.link_named(nic.as_str())?.ok_or_else(missing)
    }

    /// Announces, and marks that it did: first the one, so that nothing is marked that was not announced.
    fn announce(&self, cx: &Cx<'_>, net: &Net, link: &Link, lock: Option<Lock>) -> Result<()> {
        let (ip, rhythm) = (self.0.ip, self.rhythm(cx));
        let subject = Subject::Ip(ip);
        // Whose address it is, is not for this agent to judge: a rival is none of its business.
        let announcement = Announcement {
            marker: Some(self.marker(cx)),
            ..Announcement::new(subject, link.index, rhythm.count, rhythm.interval)
        };
        let socket = announce::socket(link.index, subject)?;
        announcement.once(net, &socket)?;
        self.mark(cx)?;
        // No stop has to wait for the others: they end with the marker.
        drop(lock);
        let rest = if rhythm.background {
            announcement.rest_detached(socket)
        } else {
            announcement.rest_until(&cx.deadline, socket, &mut |_| {})
        };
        if let Err(error) = rest {
            self.marker(cx).remove()?;
            return Err(error);
        }
        let own = if net.places_of(ip, None)?.is_empty() {
            ", which this host does not have,"
        } else {
            ""
        };
        cx.log.info(&format!("announced {ip}{own} on {}", link.name));
        Ok(())
    }

    /// The text differs from start to start, so that the announcer of an earlier one ends.
    fn mark(&self, cx: &Cx<'_>) -> Result<()> {
        self.marker(cx).write(&format!("announced at {}\n", jiff::Timestamp::now()))
    }
}

impl Agent for SendArp {
    type Params = Params;

    const SPEC: AgentSpec = AgentSpec {
        name: "SendArp",
        short: "Announces an address to the neighbours",
        long: "Tells the neighbours on an interface that an address is at this host, with gratuitous ARP or unsolicited \
               neighbour advertisements. For addresses that something else brings up, or that are behind this host: \
               IPaddr2 announces its own.\n\n\
               It runs from the moment when start announced the address until stop. Announcements end with stop. The \
               variables ARP_INTERVAL_MS (200) and ARP_REPEAT (5) set their pause in milliseconds and their number.",
        actions: &[
            ActionSpec::new(Action::Start, 20),
            ActionSpec::new(Action::Stop, 20),
            ActionSpec::new(Action::Monitor, 20).every(10).depth(0),
            ActionSpec::new(Action::ReloadAgent, 20),
            ActionSpec::new(Action::ValidateAll, 20),
            ActionSpec::new(Action::MetaData, 5),
        ],
        haresources: Some(Haresources { arguments: &["ip/nic!"], required: 1, fixed: &[] }),
    };

    fn check(&self, _: &Cx<'_>) -> Result<()> {
        Wanted::of(self.0.ip).check("ip", "ip")
    }

    fn validate(&self, cx: &Cx<'_>) -> Result<()> {
        let link = self.link(&Net::open(cx.deadline)?)?;
        if link.no_neighbours { Ok(()) } else { announce::ethernet(&link).map(drop) }
    }

    fn start(&self, cx: &Cx<'_>) -> Result<()> {
        let lock = cx.state.lock(&self.name(cx), &cx.deadline)?;
        if self.marker(cx).read()?.is_some() {
            return Ok(());
        }
        let net = Net::open(cx.deadline)?;
        let link = self.link(&net)?;
        if link.no_neighbours {
            cx.log.info(&format!(
                "{} has no neighbours to whom {} could be announced",
                link.name, self.0.ip
            ));
            return self.mark(cx);
        }
        match link.fault() {
            Some(fault) => Err(Error::Failed(format!("cannot announce {}: {fault}", self.0.ip))),
            None => self.announce(cx, &net, &link, lock),
        }
    }

    /// Whoever still announces finds the marker gone, and ends.
    fn stop(&self, cx: &Cx<'_>) -> Result<()> {
        let _lock = cx.state.lock(&self.name(cx), &cx.deadline)?;
        self.marker(cx).remove()
    }

    fn monitor(&self, cx: &Cx<'_>) -> Result<Status> {
        Ok(if self.marker(cx).read()?.is_some() { Status::Running } else { Status::NotRunning })
    }

    /// Only a start announces.
    fn reload(&self, _: &Cx<'_>) -> Result<()> {
        Ok(())
    }
}
