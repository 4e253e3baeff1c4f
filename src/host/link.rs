//! Network interfaces.

#![forbid(unsafe_code)]

use rtnetlink::packet_route::link::{
    InfoBondPort, InfoData, InfoKind, InfoMacVlan, InfoPortData, InfoPortKind, LinkAttribute,
    LinkFlags, LinkInfo, LinkLayerType, LinkMessage, MiiStatus, Prop, State,
};

use super::macvlan::Mode;
use super::net::Net;
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::param::values::InterfaceName;

/// Of what it is a port, as far as it matters where addresses belong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PortOf {
    /// A bond.
    Bond,
    /// A bridge or a team.
    Bridge,
    /// A VRF: its addresses are in a world of their own (Documentation/networking/vrf.rst).
    Vrf,
    /// Of nothing, or of a device that leaves addresses to its ports.
    #[default]
    Nothing,
}

impl PortOf {
    /// Whatever arrives at the port is its bond's, its bridge's or its team's, and so must be the addresses.
    #[must_use]
    pub const fn takes_all(self) -> bool {
        matches!(self, Self::Bond | Self::Bridge)
    }
}

/// One interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number.
    pub index: u32,
    /// The name.
    pub name: String,
    /// Alternative names.
    pub alt_names: Vec<String>,
    /// Administratively up (`IFF_UP`).
    pub up: bool,
    /// The lower layer is up (`IFF_LOWER_UP`): there is a carrier.
    pub carrier: bool,
    /// RFC 2863 state, in the words of `ip link`.
    pub operstate: String,
    /// The loopback device.
    pub loopback: bool,
    /// There is no neighbour discovery on it (`IFF_NOARP`, point to point).
    pub no_neighbours: bool,
    /// Hardware address as it is now.
    pub hardware: Vec<u8>,
    /// Hardware address that the maker gave it (`IFLA_PERM_ADDRESS`); empty where there is none.
    pub permanent: Vec<u8>,
    /// What `ip link set alias` says of it.
    pub alias: Option<String>,
    /// Index of the device below it, on whose cable it is: the parent of a VLAN or a macvlan.
    pub parent: Option<u32>,
    /// For a macvlan, which frames it sees.
    pub macvlan: Option<Mode>,
    /// `InfiniBand`, whose hardware addresses have 20 octets.
    pub infiniband: bool,
    /// Index of the device of which this one is a port.
    pub controller: Option<u32>,
    /// What kind of device that is.
    pub port_of: PortOf,
    /// It is a port of a bond that does not use it, for it failed the bond's own test of the link.
    pub rejected: bool,
    /// It is a VRF itself.
    pub is_vrf: bool,
}

impl Link {
    /// From the kernel's message.
    #[must_use]
    pub fn of(message: &LinkMessage) -> Self {
        let flags = message.header.flags;
        let mut link = Self {
            index: message.header.index,
            up: flags.contains(LinkFlags::Up),
            carrier: flags.contains(LinkFlags::LowerUp),
            loopback: flags.contains(LinkFlags::Loopback),
            no_neighbours: flags
                .intersects(LinkFlags::Noarp | LinkFlags::Pointopoint | LinkFlags::Loopback),
            infiniband: message.header.link_layer_type == LinkLayerType::Infiniband,
            ..Self::default()
        };
        let mut stacked = false;
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name.clone_from(name),
                LinkAttribute::Address(hardware) => link.hardware.clone_from(hardware),
                LinkAttribute::PermAddress(hardware) => link.permanent.clone_from(hardware),
                LinkAttribute::IfAlias(alias) => link.alias = Some(alias.clone()),
                LinkAttribute::Link(index) => link.parent = Some(*index),
                LinkAttribute::OperState(state) => link.operstate = state.to_string(),
                LinkAttribute::Controller(index) => link.controller = Some(*index),
                LinkAttribute::PropList(properties) => {
                    link.alt_names = properties.iter().filter_map(alt_name).collect();
                }
                LinkAttribute::LinkInfo(info) => {
                    link.port_of = info.iter().find_map(port_of).unwrap_or_default();
                    link.rejected = info.iter().any(rejects);
                    link.is_vrf = info.contains(&LinkInfo::Kind(InfoKind::Vrf));
                    stacked = info.iter().any(shares_a_cable);
                    link.macvlan = info.iter().find_map(macvlan_mode);
                }
                _ => {}
            }
        }
        // The same attribute tells of the other end of a veth pair, which is not below this one.
        link.parent = link.parent.filter(|_| stacked);
        link
    }

    /// Whether `name` is its name or an alternative one.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        self.name == name || self.alt_names.iter().any(|alt| alt == name)
    }

    /// The VRF to which its addresses belong, if any: its own ones to a VRF itself.
    #[must_use]
    pub fn vrf(&self) -> Option<u32> {
        if self.is_vrf {
            return Some(self.index);
        }
        self.controller.filter(|_| self.port_of == PortOf::Vrf)
    }

    /// Megabits a second, as the driver says; none if it does not know. That of a bond is the sum of its ports'.
    #[must_use]
    pub fn speed(&self) -> Option<u64> {
        let path = std::path::Path::new("/sys/class/net").join(&self.name).join("speed");
        let speed = std::fs::read_to_string(path).ok()?.trim_end().parse::<i64>().ok()?;
        crate::trace_answer!("{} has {speed} Mbit/s", self.name);
        // Unknown is -1, which some drivers write without its sign.
        u64::try_from(speed).ok().filter(|speed| *speed > 0 && *speed < u64::from(u32::MAX))
    }

    /// Why no packet leaves through it; none if it works as far as the kernel knows.
    ///
    /// The carrier decides between up and down: the operational state follows it with a delay of up to a second, so
    /// that it would call a cable that was plugged in just now pulled out. States that are no matter of the carrier
    /// (not authenticated by 802.1X, under test) count (Documentation/networking/operstates.rst).
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        let Self { name, operstate, .. } = self;
        if !self.up {
            return Some(format!(
                "{name} is administratively down; `ip link set {name} up` mends it"
            ));
        }
        if !self.carrier {
            let state = if operstate.is_empty() { "UNKNOWN" } else { operstate };
            return Some(format!(
                "{name} has no link (state {state}); look at its cable, switch port or lower device"
            ));
        }
        let closed =
            [State::Dormant, State::Testing].iter().any(|state| state.to_string() == *operstate);
        closed.then(|| format!("{name} has a link that is not open yet (state {operstate})"))
    }
}

impl Net {
    /// The numbers of an interface and of those on whose cable it is, down to the card.
    ///
    /// # Errors
    /// The kernel could not tell.
    pub fn stack_of(&self, link: &Link) -> Result<Vec<u32>> {
        // The number of a parent in another namespace means something else here, and could lead in a circle.
        const MOST: usize = 8;
        let mut found = vec![link.index];
        let mut next = link.parent;
        while let Some(index) = next.filter(|next| found.len() < MOST && !found.contains(next)) {
            found.push(index);
            next = self.link(index)?.and_then(|link| link.parent);
        }
        Ok(found)
    }
}

/// Looks whether there is an interface of that name.
///
/// # Errors
/// There is none, which is wrong on this host only.
pub fn require(name: &InterfaceName, deadline: Deadline) -> Result<Link> {
    let name = name.as_str();
    Net::open(deadline)?.link_named(name)?.ok_or_else(|| {
        Error::Local(format!(
            "there is no interface {name} on this host; `ip link` lists those that are"
        ))
    })
}

/// A bond that tests its ports by ARP rejects one that has a carrier and hears nobody
/// (Documentation/networking/bonding.rst, `arp_interval`).
fn rejects(info: &LinkInfo) -> bool {
    let LinkInfo::PortData(InfoPortData::BondPort(about)) = info else { return false };
    about
        .iter()
        .any(|fact| matches!(fact, InfoBondPort::MiiStatus(status) if *status != MiiStatus::Up))
}

fn alt_name(property: &Prop) -> Option<String> {
    match property {
        Prop::AltIfName(name) => Some(name.clone()),
        _ => None,
    }
}

fn port_of(info: &LinkInfo) -> Option<PortOf> {
    let LinkInfo::PortKind(kind) = info else { return None };
    Some(match kind {
        InfoPortKind::Bond => PortOf::Bond,
        InfoPortKind::Bridge | InfoPortKind::Team => PortOf::Bridge,
        InfoPortKind::Vrf => PortOf::Vrf,
        // An internal port of Open vSwitch is the host's own interface.
        _ => PortOf::Nothing,
    })
}

fn shares_a_cable(info: &LinkInfo) -> bool {
    let LinkInfo::Kind(kind) = info else { return false };
    let kinds = [
        InfoKind::Vlan,
        InfoKind::MacVlan,
        InfoKind::MacVtap,
        InfoKind::IpVlan,
        InfoKind::IpVtap,
        InfoKind::MacSec,
    ];
    kinds.contains(kind)
}

fn macvlan_mode(info: &LinkInfo) -> Option<Mode> {
    let LinkInfo::Data(InfoData::MacVlan(data)) = info else { return None };
    data.iter().find_map(|item| match item {
        InfoMacVlan::Mode(mode) => Some(Mode::of(*mode)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_the_bond_does_not_use_is_rejected_although_it_has_a_carrier() {
        let port = |status| {
            let mut message = LinkMessage::default();
            message.header.flags = LinkFlags::Up | LinkFlags::LowerUp;
            let about = InfoPortData::BondPort(vec![InfoBondPort::MiiStatus(status)]);
            message.attributes = vec![LinkAttribute::LinkInfo(vec![
                LinkInfo::PortKind(InfoPortKind::Bond),
                LinkInfo::PortData(about),
            ])];
            Link::of(&message)
        };
        for (status, rejected) in
            [(MiiStatus::Up, false), (MiiStatus::Down, true), (MiiStatus::GoingBack, true)]
        {
            let link = port(status);
            assert_eq!((link.rejected, link.fault()), (rejected, None), "{status:?}");
        }
    }
}
