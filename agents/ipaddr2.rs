//! `IPaddr2`: a virtual IPv4 or IPv6 address.

#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::action::Action;
use crate::agent::{Agent, Cx, Status};
use crate::error::{Error, Result};
use crate::host::route::protocol_number;
use crate::param::values::{
    AbsolutePath, Broadcast, Count, Flag, InterfaceWithLabel, Label, Lifetime, MulticastMac,
    NamespaceName, Netmask, Text,
};
use crate::params;
use crate::spec::{ActionSpec, AgentSpec, Haresources};
use crate::vip::{self, Announce, Connections, Labelled, Wanted};
use crate::watch::Signs;

params! {
    pub struct Params {
        /// IPv4 or IPv6 address
        ///
        /// The address that moves with the resource, for example `192.0.2.10` or `2001:db8::10`, without a prefix
        /// length. Any spelling of an IPv6 address is the same address.
        ip: IpAddr { unique_group: Some("address") },

        /// Network interface
        ///
        /// The interface that gets the address: its name or one of its alternative names (`altname` in `ip link`).
        ///
        /// Without it, start takes the interface whose route or address has the subnet: on-link routes first, then
        /// the lowest metric, then the longest prefix. Set it, together with `cidr_netmask`, where an interface may
        /// have no other address, or where two could have this one. The old form `eth0:label` sets `iflabel` too.
        nic: Option<InterfaceWithLabel>,

        /// Prefix length
        ///
        /// The prefix length of the address, such as `24`, or a dotted mask, such as `255.255.255.0`. Without it,
        /// start takes that of the route or address which decided about the interface.
        cidr_netmask: Option<Netmask> { aliases: &["netmask"] },

        /// IPv4 broadcast address
        ///
        /// An address, `+` for the subnet's last address or `-` for its first. Without it, that of another address
        /// in the same subnet, else the subnet's last address.
        broadcast: Option<Broadcast>,

        /// Only routes of this protocol decide about the interface
        ///
        /// A name or number from `/etc/iproute2/rt_protos`, such as `kernel`: where daemons add routes to the same
        /// subnet which must not be mistaken for the interface's own.
        proto: Option<Text>,

        /// Label of the IPv4 address
        ///
        /// Added to the interface's name with a colon, so that ifconfig and old scripts show the address. Both
        /// together have at most 15 characters. Monitor fails if the address has another label.
        iflabel: Option<Label>,

        /// LVS: take the address off the loopback interface while it is up
        ///
        /// For the directors of a Linux Virtual Server that are real servers too: start takes the address off the
        /// loopback interface, stop puts it back as it was.
        lvs_support: Flag = "false",

        /// IPv6: do not choose the address as a source
        ///
        /// Gives the address a label (`ip addrlabel`) which makes the kernel prefer other addresses for connections
        /// that this host opens.
        lvs_ipv6_addrlabel: Flag = "true",

        /// IPv6: the label that `lvs_ipv6_addrlabel` gives
        ///
        /// A number that no other rule in `ip addrlabel` has.
        lvs_ipv6_addrlabel_value: u32 = "99",

        /// Multicast MAC address of the cluster IP mode
        ///
        /// Without effect: the cluster IP mode, in which all nodes have the address at once, is not supported.
        mac: Option<MulticastMac>,

        /// Firewall of the cluster IP mode
        ///
        /// Without effect: see `mac`.
        clusterip_firewall: ClusterIpFirewall = "auto",

        /// Hash seed of the cluster IP mode
        ///
        /// Without effect: see `mac`.
        clusterip_hash_seed: Option<Text>,

        /// Firewall table of the cluster IP mode
        ///
        /// Without effect: see `mac`.
        clusterip_table: Option<Text>,

        /// Firewall chain of the cluster IP mode
        ///
        /// Without effect: see `mac`.
        clusterip_chain: Option<Text>,

        /// Whether the cluster IP mode changes MAC addresses
        ///
        /// Without effect: see `mac`.
        clusterip_mac_mangle: Option<Flag>,

        /// Hash of the cluster IP mode
        ///
        /// Without effect: see `mac`.
        clusterip_hash: Option<Text>,

        /// Each clone instance has an address of its own
        ///
        /// Adds the number of the instance, counted from 0, to the last octet of the address. IPv4 only; the clone must
        /// be globally unique.
        unique_clone_address: Flag = "false",

        /// Pause between two announcements, in milliseconds
        ///
        /// Of the `arp_count` announcements at start, the first goes out before start returns.
        arp_interval: Count = "200" { reloadable: true },

        /// Announcements at start
        ///
        /// How often neighbours are told where the address is now: by gratuitous ARP, as request and as reply, or
        /// by an unsolicited neighbour advertisement. They stop when the address goes.
        arp_count: Count = "5" { reloadable: true },

        /// Announcements at each monitor
        ///
        /// Set it to 1 where switches or routers forget or miss announcements, or where two nodes may have had the
        /// address for a moment: each monitor then repairs the neighbours' caches.
        arp_count_refresh: u32 = "0" { reloadable: true },

        /// Whether start leaves the announcements after the first to a process of its own
        ///
        /// `false` makes start last until the last one is sent, `arp_count` times `arp_interval`, or until its timeout is
        /// nearly over.
        arp_bg: Option<Flag> { reloadable: true },

        /// Program that sends announcements
        ///
        /// Without effect: the agent sends them itself.
        arp_sender: Option<ArpSender>,

        /// Options of the program that sends announcements
        ///
        /// Without effect: see `arp_sender`.
        send_arp_opts: Option<Text>,

        /// Forget cached routes when the address goes
        ///
        /// For kernels that cache routes with the address as their source.
        flush_routes: Flag = "false",

        /// Ask whether another host has the address
        ///
        /// IPv4: start sends ARP probes (RFC 5227) and listens for 20 milliseconds. If another host answers, start
        /// fails, names its MAC address, and adds nothing: two owners are worse than none. If nobody can be asked,
        /// start goes on. Whoever claims the address later, while it is being announced, is told in the log and makes monitor
        /// fail as long as he answers. IPv6 addresses are checked by the kernel; see `nodad`.
        conflict_check: Flag = "true" { reloadable: true },

        /// Ask whether another host has the address
        ///
        /// What the shell agent calls `conflict_check`, where the default is not to ask.
        run_arping: Option<Flag> { replaced_by: Some("conflict_check") },

        /// IPv6: no duplicate address detection
        ///
        /// The address works at once instead of after a second or two, and nobody notices if another host has it.
        nodad: Flag = "false",

        /// Add no route to the subnet of the address
        ///
        /// For an address whose subnet is routed already, or must not be.
        noprefixroute: Flag = "false",

        /// IPv6: how long the address is preferred as a source
        ///
        /// `forever`, or a number of seconds. With `0` the kernel chooses another address as the source of connections that
        /// this host opens, as long as there is one.
        preferred_lft: Lifetime = "forever",

        /// Network namespace
        ///
        /// The name of one that `ip netns` lists: the address is brought up in it. Do not delete the name while the
        /// resource runs: nobody could find the namespace again, and it counts as stopped.
        network_namespace: Option<NamespaceName>,

        /// Destroy the sockets of the address when it goes
        ///
        /// stop ends every TCP connection and every listening or UDP socket that is bound to just this address, once it is
        /// removed: applications on this node learn at once that it is gone, instead of when they time out. Sockets bound to
        /// all addresses stay. Do not set it where the applications are to keep their sockets, as with
        /// `net.ipv4.ip_nonlocal_bind`. Clients hear nothing of it; see `tickle_dir` for them.
        destroy_sockets: Flag = "false",

        /// Directory for the list of connections
        ///
        /// An absolute path on storage that all nodes share, such as `/srv/cluster/tickle`. The node that has the address
        /// writes its established TCP connections there at each monitor and at stop; the node that takes it over sends each
        /// client a segment (a tickle ACK) that makes the client find out at once that its connection is no more, instead of
        /// waiting for minutes. The portblock agents of both packages write and read the same files. Storage that does not
        /// answer delays a monitor or a stop by two seconds at most, and fails nothing.
        tickle_dir: Option<AbsolutePath>,

        /// Fail when the interface has no link
        ///
        /// With it, monitor fails when the cable is out or the lower device is down, so that the cluster moves the
        /// address; and start fails on such an interface. Without it, an address that nobody can reach is healthy.
        check_link_status: Flag = "true",
    }
}

crate::choice! {
    /// `clusterip_firewall`, which has no effect.
    enum ClusterIpFirewall {
        /// Whichever is there.
        Auto = "auto",
        /// nftables.
        Nft = "nft",
        /// iptables.
        Iptables = "iptables",
    }
}

crate::choice! {
    /// `arp_sender`, which has no effect.
    enum ArpSender {
        /// Of the resource-agents package.
        SendArp = "send_arp",
        /// Of iputils.
        Iputils = "iputils_arping",
        /// Of libnet.
        Libnet = "libnet_arping",
        /// For IP over InfiniBand.
        Ipoib = "ipoibarping",
    }
}

pub struct IpAddr2(Params);

impl From<Params> for IpAddr2 {
    fn from(params: Params) -> Self {
        Self(params)
    }
}

impl IpAddr2 {
    /// The address of this instance of a clone.
    fn address(&self, cx: &Cx<'_>) -> Result<IpAddr> {
        let IpAddr::V4(ip) = self.0.ip else { return Ok(self.0.ip) };
        if !self.0.unique_clone_address.is_set() {
            return Ok(self.0.ip);
        }
        let number = cx.meta_number("clone").unwrap_or(0);
        let [a, b, c, last] = ip.octets();
        let last = u32::from(last).checked_add(number).and_then(|last| u8::try_from(last).ok());
        let last = last.ok_or_else(|| Error::Configured {
            name: "unique_clone_address",
            why: format!(
                "instance {number} of the clone would be beyond {a}.{b}.{c}.255; take a lower ip"
            ),
        })?;
        Ok(Ipv4Addr::new(a, b, c, last).into())
    }

    fn wanted(&self, cx: &Cx<'_>) -> Result<Wanted> {
        let own = &self.0;
        let in_nic = own.nic.as_ref().and_then(|nic| nic.label.clone());
        Ok(Wanted {
            ip: self.address(cx)?,
            nic: own.nic.as_ref().map(|nic| nic.name.clone()),
            prefix: own.cidr_netmask.map(Netmask::length),
            broadcast: own.broadcast,
            label: in_nic.or_else(|| own.iflabel.clone()).map_or(Labelled::Plain, Labelled::Suffix),
            protocol: own
                .proto
                .as_ref()
                .and_then(|name| name.as_os_str().to_str())
                .and_then(protocol_number),
            nodad: own.nodad.is_set(),
            noprefixroute: own.noprefixroute.is_set(),
            preferred: Some(own.preferred_lft),
            lvs: own.lvs_support.is_set(),
            source_label: own.lvs_ipv6_addrlabel.is_set().then_some(own.lvs_ipv6_addrlabel_value),
            flush_routes: own.flush_routes.is_set(),
            check_link: own.check_link_status.is_set(),
            conflict_check: own.run_arping.unwrap_or(own.conflict_check).is_set(),
            asked: false,
            announce: Announce {
                count: own.arp_count.get(),
                interval: Duration::from_millis(u64::from(own.arp_interval.get())),
                background: own.arp_bg.is_none_or(Flag::is_set),
                refresh: own.arp_count_refresh,
            },
            connections: Connections {
                destroy: own.destroy_sockets.is_set(),
                tickle_dir: own.tickle_dir.as_ref().map(|path| path.as_path().to_owned()),
            },
            namespace: own.network_namespace.clone(),
        })
    }

    /// Parameters that are set and do nothing here.
    fn without_effect(&self) -> Vec<&'static str> {
        let own = &self.0;
        let set = [
            ("mac", own.mac.is_some()),
            ("clusterip_firewall", own.clusterip_firewall != ClusterIpFirewall::Auto),
            ("clusterip_hash_seed", own.clusterip_hash_seed.is_some()),
            ("clusterip_table", own.clusterip_table.is_some()),
            ("clusterip_chain", own.clusterip_chain.is_some()),
            ("clusterip_mac_mangle", own.clusterip_mac_mangle.is_some_and(Flag::is_set)),
            ("clusterip_hash", own.clusterip_hash.is_some()),
            ("arp_sender", own.arp_sender.is_some()),
            ("send_arp_opts", own.send_arp_opts.is_some()),
        ];
        set.into_iter().filter_map(|(name, set)| set.then_some(name)).collect()
    }

    fn check_clones(&self, cx: &Cx<'_>) -> Result<()> {
        let unique = self.0.unique_clone_address.is_set();
        let wrong = |why: &str| {
            Err(Error::Configured { name: "unique_clone_address", why: why.to_owned() })
        };
        if unique && self.0.ip.is_ipv6() {
            return wrong(
                "is for IPv4 only, and ip is an IPv6 address; make a resource for each address",
            );
        }
        if unique && cx.environment.meta("globally_unique").is_none_or(|word| !is_true(word)) {
            return wrong(
                "needs a globally unique clone; set the clone's meta attribute globally-unique=true",
            );
        }
        if !unique && cx.meta_number("clone_max").unwrap_or(1) > 1 {
            return wrong(
                "the resource is a clone, and one address on several nodes (cluster IP) is not supported; \
                 do not clone it, or set unique_clone_address=true",
            );
        }
        Ok(())
    }
}

fn is_true(word: &str) -> bool {
    crate::param::values::is_true(word.as_ref())
}

impl Agent for IpAddr2 {
    type Params = Params;

    const SPEC: AgentSpec = AgentSpec {
        name: "IPaddr2",
        short: "Virtual IPv4 or IPv6 address",
        long: "Brings an IPv4 or IPv6 address up on an interface and tells the neighbours where it is.\n\n\
               start asks first whether another host has the address, and fails if one does. It puts right an address \
               that is there with another prefix, on another interface or without its label. stop removes the address \
               in every form and succeeds only when the kernel no longer has it, whatever became of the interface or \
               its routes. monitor fails, and says in which field, when the address is not as configured, when \
               duplicate address detection failed, or when the interface has no link.\n\n\
               Set nic and cidr_netmask, and nothing about the address depends on what routes there are.",
        actions: &[
            ActionSpec::new(Action::Start, 20),
            ActionSpec::new(Action::Stop, 20),
            ActionSpec::new(Action::Status, 20).every(10).depth(0),
            ActionSpec::new(Action::Monitor, 20).every(10).depth(0),
            ActionSpec::new(Action::ReloadAgent, 20),
            ActionSpec::new(Action::ValidateAll, 20),
            ActionSpec::new(Action::MetaData, 5),
        ],
        haresources: Some(Haresources {
            arguments: &["ip/cidr_netmask/nic|broadcast/broadcast"],
            required: 1,
            fixed: &[("lvs_support", "1")],
        }),
    };

    const WATCHED: bool = true;

    fn signs(&self, cx: &Cx<'_>) -> Result<Signs> {
        self.wanted(cx)?.signs(cx)
    }

    fn key(&self, cx: &Cx<'_>) -> String {
        self.wanted(cx).map_or_else(|_| cx.instance.clone(), |wanted| wanted.identity())
    }

    fn check(&self, cx: &Cx<'_>) -> Result<()> {
        let wanted = self.wanted(cx)?;
        wanted.check("ip", "cidr_netmask")?;
        self.check_clones(cx)?;
        if let (IpAddr::V6(ip), None) = (wanted.ip, &wanted.nic)
            && ip.is_unicast_link_local()
        {
            let why = format!("{ip} is link-local, so any interface could have it; give nic");
            return Err(Error::Configured { name: "ip", why });
        }
        if let Some(name) = &self.0.proto
            && wanted.protocol.is_none()
        {
            let why = format!(
                "{} is no routing protocol; give a number, or a name such as kernel, boot, static, dhcp or ra",
                crate::param::quoted(name.as_os_str())
            );
            return Err(Error::Configured { name: "proto", why });
        }
        wanted.advise(cx);
        for name in self.without_effect() {
            cx.log.warn(&format!("parameter {name} has no effect"));
        }
        Ok(())
    }

    fn validate(&self, cx: &Cx<'_>) -> Result<()> {
        vip::validate(&self.wanted(cx)?, cx)
    }

    fn start(&self, cx: &Cx<'_>) -> Result<()> {
        vip::start(&self.wanted(cx)?, cx)
    }

    fn stop(&self, cx: &Cx<'_>) -> Result<()> {
        vip::stop(&self.wanted(cx)?, cx)
    }

    fn monitor(&self, cx: &Cx<'_>) -> Result<Status> {
        vip::monitor(&self.wanted(cx)?, cx)
    }

    /// What can be changed while the address is up is read anew by each start and monitor.
    fn reload(&self, _: &Cx<'_>) -> Result<()> {
        Ok(())
    }
}
