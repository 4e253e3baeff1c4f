//! `iface-macvlan`: a macvlan interface.

#![forbid(unsafe_code)]

use std::time::Duration;

use crate::action::Action;
use crate::agent::{Agent, Cx, Status};
use crate::error::{Error, Result};
use crate::hardware;
use crate::host::link::Link;
use crate::host::macvlan::Mode;
use crate::host::net::Net;
use crate::macvlan::{Found, Macvlan, refuse_ports};
use crate::param::values::{InterfaceName, NewInterfaceName, UnicastMac};
use crate::params;
use crate::spec::{ActionSpec, AgentSpec};
use crate::watch::{NetworkSigns, Signs};

/// How long a device whose parent was set up just now may take to find its carrier.
const CARRIER: Duration = Duration::from_secs(5);

params! {
    pub struct Params {
        /// Parent interface
        ///
        /// The interface on whose cable the macvlan interface is: its name or one of its alternative names. start sets it
        /// up if it is down, and stop down again, unless somebody else uses it by then.
        device: InterfaceName,

        /// Name of the macvlan interface
        ///
        /// At most 15 characters. An interface of that name that somebody else made is never touched.
        name: NewInterfaceName { unique_group: Some("name") },

        /// Mode of the macvlan interface
        ///
        /// With `bridge` it talks directly to others of that mode on the same parent. It is the only one there is.
        mode: BridgeOnly = "bridge",

        /// MAC address of the macvlan interface
        ///
        /// That of a single card, such as `02:00:00:00:00:01`. Without it, the kernel chooses one.
        mac: Option<UnicastMac> { unique_group: Some("mac") },
    }
}

crate::choice! {
    /// `mode`, of which there is one.
    enum BridgeOnly {
        /// Others of that mode on the same parent can be reached directly.
        Bridge = "bridge",
    }
}

pub struct IfaceMacvlan(Params);

impl From<Params> for IfaceMacvlan {
    fn from(params: Params) -> Self {
        Self(params)
    }
}

impl IfaceMacvlan {
    fn wanted(&self, cx: &Cx<'_>) -> Macvlan {
        let own = &self.0;
        let name = own.name.as_name().to_string();
        let (agent, mode) = (Self::SPEC.name, own.mode);
        Macvlan {
            marker: format!("ocfbox {agent} {name}"),
            // Of the shell agent, whose place this one may have taken while the resource ran.
            predecessor: Some(cx.state.file(&format!("{agent}.{name}"))),
            name,
            parent: own.device.to_string(),
            mac: own.mac.map(UnicastMac::octets),
            mode: match mode {
                BridgeOnly::Bridge => Mode::Bridge,
            },
        }
    }

    fn parent(&self, net: &Net) -> Result<Link> {
        let name = self.0.device.as_str();
        let parent = net
            .link_named(name)?
            .ok_or_else(|| Error::Local(format!("there is no interface {name:?} here (device)")))?;
        refuse_ports(&parent, "device", net)?;
        Ok(parent)
    }

    fn bring_up(wanted: &Macvlan, parent: &Link, net: &Net, cx: &Cx<'_>) -> Result<()> {
        let made = match wanted.find(net, cx)? {
            Found::Ours(link, differences) if differences.is_empty() => Some(link),
            Found::Ours(..) => {
                wanted.remove(net, cx)?;
                None
            }
            Found::Absent | Found::Foreign(_) => None,
        };
        let made = made.map_or_else(|| wanted.make(parent, net, cx), Ok)?;
        hardware::set_up(parent, &wanted.marker_word(), net, cx)?;
        if !made.up {
            net.set_up(&made)?;
            cx.log.info(&format!("{} is up on {}", made.name, parent.name));
        }
        let mut now = made;
        let index = now.index;
        net.wait_until(CARRIER, |net| {
            if let Some(link) = net.link(index)? {
                now = link;
            }
            Ok(now.fault().is_none())
        })?;
        now.fault().map_or(Ok(()), |fault| {
            Err(Error::Failed(format!("cannot bring {} up: {fault}", now.name)))
        })
    }

    fn undo(wanted: &Macvlan, net: &Net, cx: &Cx<'_>) -> Vec<Error> {
        let steps = [wanted.remove(net, cx), hardware::release(&wanted.marker_word(), net, cx)];
        steps.into_iter().filter_map(Result::err).collect()
    }
}

impl Agent for IfaceMacvlan {
    type Params = Params;

    const SPEC: AgentSpec = AgentSpec {
        name: "iface-macvlan",
        short: "A macvlan interface",
        long: "Makes a macvlan interface on another one, sets both up, and removes it again. monitor fails when the interface \
               is down, has no link, or is another than configured.\n\n\
               An interface that somebody else made is never touched, whatever its name: ours is known by its alias \
               (ip link show).",
        actions: &[
            ActionSpec::new(Action::Start, 30),
            ActionSpec::new(Action::Stop, 20),
            ActionSpec::new(Action::Status, 20).every(10).depth(0),
            ActionSpec::new(Action::Monitor, 20).every(10).depth(0),
            ActionSpec::new(Action::ValidateAll, 20),
            ActionSpec::new(Action::MetaData, 5),
        ],
        haresources: None,
    };

    const WATCHED: bool = true;

    fn signs(&self, cx: &Cx<'_>) -> Result<Signs> {
        let net = Net::open(cx.deadline)?;
        let links = match self.wanted(cx).find(&net, cx)? {
            Found::Ours(link, _) => Some(net.stack_of(&link)?),
            Found::Absent | Found::Foreign(_) => None,
        };
        let network = NetworkSigns { links, ..NetworkSigns::default() };
        Ok(Signs { network: Some(network), ..Signs::default() })
    }

    fn validate(&self, cx: &Cx<'_>) -> Result<()> {
        let net = Net::open(cx.deadline)?;
        self.parent(&net)?;
        self.wanted(cx).refuse_foreign(&net, cx)
    }

    fn start(&self, cx: &Cx<'_>) -> Result<()> {
        let net = Net::open(cx.deadline)?;
        let wanted = self.wanted(cx);
        let _lock = cx.state.lock(&wanted.marker_word(), &cx.deadline)?;
        let parent = self.parent(&net)?;
        wanted.refuse_foreign(&net, cx)?;
        Self::bring_up(&wanted, &parent, &net, cx)
            .map_err(|error| error.and(Self::undo(&wanted, &net, cx)))
    }

    fn stop(&self, cx: &Cx<'_>) -> Result<()> {
        let net = Net::open(cx.deadline)?;
        let wanted = self.wanted(cx);
        let _lock = cx.state.lock(&wanted.marker_word(), &cx.deadline)?;
        Error::all(Self::undo(&wanted, &net, cx))
    }

    fn monitor(&self, cx: &Cx<'_>) -> Result<Status> {
        let net = Net::open(cx.deadline)?;
        match self.wanted(cx).find(&net, cx)? {
            Found::Ours(link, differences) => {
                let mut words = differences;
                words.extend(link.fault());
                if words.is_empty() {
                    return Ok(Status::Running);
                }
                let words = words.join(", ");
                Err(Error::Failed(format!("{} is not as configured: {words}", link.name)))
            }
            Found::Absent | Found::Foreign(_) => Ok(Status::NotRunning),
        }
    }
}
