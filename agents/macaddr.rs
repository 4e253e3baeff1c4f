//! `MACaddr`: a hardware address that moves between hosts, with the IP addresses that belong to it.

#![forbid(unsafe_code)]

use std::time::Duration;

use crate::action::Action;
use crate::agent::{Agent, Cx, Status};
use crate::error::{Error, Result};
use crate::hardware::{self, Wanted};
use crate::host::macvlan::Mode as MacvlanMode;
use crate::macvlan::Macvlan;
use crate::param::values::{
    AddressList, Count, Flag, InterfaceName, ListedAddress, Netmask, NewInterfaceName, UnicastMac,
};
use crate::params;
use crate::spec::{ActionSpec, AgentSpec, Haresources};
use crate::vip::{self, Announce};
use crate::watch::Signs;

params! {
    pub struct Params {
        /// Network card
        ///
        /// The spare card that takes the address or, with `mode=macvlan`, the card on whose cable the virtual one is: its
        /// name or one of its alternative names. Where the card has another name on each node, give it the same alternative
        /// name everywhere: `ip link property add dev eth1 altname spare`.
        nic: InterfaceName,

        /// MAC address
        ///
        /// The hardware address that moves with the resource, for example `02:00:00:00:00:01`: that of a single card, best
        /// one that no maker gives (second digit 2, 6, a or e). With an address that is burned into a card, a node that
        /// comes back has it at once, while the other one still has it too.
        mac: UnicastMac { unique_group: Some("mac") },

        /// What takes the address
        ///
        /// `device`: the card itself. Its own address is stored and restored; nothing else can use the card meanwhile.
        ///
        /// `macvlan`: a virtual card on the cable of `nic`, which keeps its own address and all that uses it, as for
        /// the virtual MAC addresses of VRRP. One card can have several. Host and virtual card do not talk to each other
        /// over the cable, nor do virtual cards of the same one (macvlan mode `private`).
        mode: Mode = "device",

        /// Name of the virtual card
        ///
        /// With `mode=macvlan`: a name for `nic` of `IPaddr2` and others. Without it, `vmac-` and the last six digits of
        /// the address, such as `vmac-000001`.
        name: Option<NewInterfaceName> { unique_group: Some("name") },

        /// IP addresses
        ///
        /// The IPv4 and IPv6 addresses that belong to the hardware address, separated by blanks or commas, such as
        /// `192.0.2.10/24 2001:db8::10/64`: the resource is then another host's whole identity. Other cards of this host
        /// keep silent about the IPv4 addresses as long as the resource runs.
        ip: Option<AddressList>,

        /// Prefix length
        ///
        /// For the addresses in `ip` that come without one: a length such as `24`, or a mask such as `255.255.255.0`.
        cidr_netmask: Option<Netmask>,

        /// Pause between two announcements, in milliseconds
        ///
        /// Of the `arp_count` announcements at start, the first goes out before start returns.
        arp_interval: Count = "200" { reloadable: true },

        /// Announcements at start
        ///
        /// How often switches are told behind which port the hardware address is now (by a reverse ARP request for it, which
        /// nobody answers), and neighbours where the IP addresses are. They stop when the address goes.
        arp_count: Count = "5" { reloadable: true },

        /// Announcements at each monitor
        ///
        /// A switch forgets the port of an address from which it hears nothing, after five minutes as a rule, and then
        /// sends its frames to all ports. `0` if the address is heard often enough anyway.
        arp_count_refresh: u32 = "1" { reloadable: true },

        /// Whether start leaves the announcements after the first to a process of its own
        ///
        /// `false` makes start last until the last one is sent, `arp_count` times `arp_interval`, or until its timeout is
        /// nearly over.
        arp_bg: Flag = "true" { reloadable: true },

        /// Ask whether another host has the address
        ///
        /// start asks for the hardware address and its IP addresses, and listens for 20 milliseconds. If a frame comes
        /// from the address, start fails and changes nothing: two owners are worse than none. If nobody can be asked, start
        /// goes on.
        conflict_check: Flag = "true" { reloadable: true },

        /// Fail when the interface has no link
        ///
        /// With it, monitor fails when the cable is out, so that the cluster moves the address; and start fails on such an
        /// interface.
        check_link_status: Flag = "true",
    }
}

crate::choice! {
    /// What takes the address.
    enum Mode {
        /// The card itself.
        Device = "device",
        /// A virtual card on its cable.
        Macvlan = "macvlan",
    }
}

pub struct MacAddr(Params);

impl From<Params> for MacAddr {
    fn from(params: Params) -> Self {
        Self(params)
    }
}

impl MacAddr {
    fn name(&self) -> InterfaceName {
        let own = &self.0;
        match own.mode {
            Mode::Device => own.nic.clone(),
            Mode::Macvlan => {
                let given = own.name.clone();
                given.unwrap_or_else(|| NewInterfaceName::of(own.mac)).as_name().clone()
            }
        }
    }

    fn wanted(&self) -> Wanted {
        let own = &self.0;
        let macvlan = (own.mode == Mode::Macvlan).then(|| Macvlan {
            name: self.name().to_string(),
            parent: own.nic.to_string(),
            mac: Some(own.mac.octets()),
            // Nobody who has the address talks to another virtual card of this host; and broadcasts of one that
            // came back through the other would look like those of a second owner.
            mode: MacvlanMode::Private,
            marker: format!("ocfbox {} {}", Self::SPEC.name, own.mac),
            predecessor: None,
        });
        let listed = own.ip.as_ref().map_or(&[][..], AddressList::addresses);
        Wanted {
            mac: own.mac,
            nic: own.nic.clone(),
            macvlan,
            addresses: listed.iter().map(|one| self.address(one)).collect(),
            announce: self.announce(),
            conflict_check: own.conflict_check.is_set(),
            check_link: own.check_link_status.is_set(),
        }
    }

    fn address(&self, listed: &ListedAddress) -> vip::Wanted {
        vip::Wanted {
            nic: Some(self.name()),
            prefix: listed.prefix.or(self.0.cidr_netmask.map(Netmask::length)),
            check_link: self.0.check_link_status.is_set(),
            conflict_check: self.0.conflict_check.is_set(),
            announce: Announce { refresh: 0, ..self.announce() },
            ..vip::Wanted::of(listed.ip)
        }
    }

    fn announce(&self) -> Announce {
        let own = &self.0;
        Announce {
            count: own.arp_count.get(),
            interval: Duration::from_millis(u64::from(own.arp_interval.get())),
            background: own.arp_bg.is_set(),
            refresh: own.arp_count_refresh,
        }
    }
}

impl Agent for MacAddr {
    type Params = Params;

    const SPEC: AgentSpec = AgentSpec {
        name: "MACaddr",
        short: "Takeover of a MAC address, with its IP addresses",
        long: "Gives a spare network card, or a virtual one, the hardware address of another host, and if wanted its IP \
               addresses: the design of two servers of which each takes over the other's identity. Clients, switches and \
               routers notice nothing, and no ARP cache has to be right.\n\n\
               start asks first whether another host has the address, and fails if one does. A frame from the address then \
               tells the switches behind which port it is, before anything is sent to it. stop restores the card's own \
               address, its state and every setting that start changed. monitor fails when a part of the identity is \
               missing or in another form, or when the interface has no link.\n\n\
               Further addresses can be brought up by IPaddr2 on the same interface, in a group after this resource.",
        actions: &[
            ActionSpec::new(Action::Start, 30),
            ActionSpec::new(Action::Stop, 20),
            ActionSpec::new(Action::Status, 20).every(10).depth(0),
            ActionSpec::new(Action::Monitor, 20).every(10).depth(0),
            ActionSpec::new(Action::ReloadAgent, 20),
            ActionSpec::new(Action::ValidateAll, 20),
            ActionSpec::new(Action::MetaData, 5),
        ],
        haresources: Some(Haresources { arguments: &["nic/mac!", "ip*"], required: 1, fixed: &[] }),
    };

    const WATCHED: bool = true;

    fn signs(&self, cx: &Cx<'_>) -> Result<Signs> {
        self.wanted().signs(cx)
    }

    fn key(&self, _: &Cx<'_>) -> String {
        self.wanted().identity()
    }

    fn check(&self, cx: &Cx<'_>) -> Result<()> {
        let own = &self.0;
        if !own.mac.is_locally_administered() {
            cx.log.warn(&format!(
                "{} is not locally administered, so that some card may have it burned in; better is one such as 02:00:00:00:00:01",
                own.mac
            ));
        }
        if own.mode == Mode::Device && own.name.is_some() {
            let why =
                "names the virtual card, and mode is device; set mode=macvlan, or leave it out";
            return Err(Error::Configured { name: "name", why: why.to_owned() });
        }
        for address in self.wanted().addresses {
            address.check("ip", "ip")?;
            if address.prefix.is_none() {
                let ip = address.ip;
                let why = format!(
                    "{ip} has no prefix length; write it behind the address, or set cidr_netmask"
                );
                return Err(Error::Configured { name: "ip", why });
            }
        }
        Ok(())
    }

    fn validate(&self, cx: &Cx<'_>) -> Result<()> {
        hardware::validate(&self.wanted(), cx)
    }

    fn start(&self, cx: &Cx<'_>) -> Result<()> {
        hardware::start(&self.wanted(), cx)
    }

    fn stop(&self, cx: &Cx<'_>) -> Result<()> {
        hardware::stop(&self.wanted(), cx)
    }

    fn monitor(&self, cx: &Cx<'_>) -> Result<Status> {
        hardware::monitor(&self.wanted(), cx)
    }

    /// What can be changed while the address is here is read anew by each start and monitor.
    fn reload(&self, _: &Cx<'_>) -> Result<()> {
        Ok(())
    }
}
