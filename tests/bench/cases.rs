//! What is measured: agents with their parameters, and the addresses that they are given.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

/// Where the providers of shell agents are.
const PROVIDERS: &str = "/usr/lib/ocf/resource.d";

/// Programs that both sides execute and that do nothing here.
pub const STAND_INS: [&str; 3] = ["attrd_updater", "mail", "sendmail"];

/// An address family. The networks are those set apart for measurements (RFC 2544, RFC 5180).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    /// The address with that number on `eth0`, and its prefix length.
    pub fn address(self, number: u32) -> String {
        match self {
            Self::V4 => format!("198.18.{}.{}/16", number / 250, number % 250 + 1),
            // All in one solicited-node multicast group: joining 20,000 of them would take a minute.
            Self::V6 => format!("2001:2:0:0:{number:x}::1/64"),
        }
    }

    fn virtual_address(self, side: Side) -> &'static str {
        match (self, side) {
            (Self::V4, Side::Ours) => "198.18.255.10",
            (Self::V4, Side::Shell) => "198.18.255.11",
            (Self::V6, Side::Ours) => "2001:2::ffff:0:0:a",
            (Self::V6, Side::Shell) => "2001:2::ffff:0:0:b",
        }
    }
}

/// Whose agent it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Ours,
    Shell,
}

/// An agent with parameters.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// How the tables call it.
    pub label: &'static str,
    /// Its name.
    pub agent: &'static str,
    /// The family of its address, and the parameter with it.
    pub address: Option<(Family, &'static str)>,
    /// The other parameters.
    pub parameters: &'static [(&'static str, &'static str)],
    /// Those by which two resources at once do not meet: ours and the shell agent's.
    pub apart: [&'static [(&'static str, &'static str)]; 2],
    /// Whose the shell agent is; none where there is no such agent.
    pub peer: Option<&'static str>,
    /// Whether the look for an address conflict can be turned off.
    pub conflict_check: bool,
}

const PLACED: &[(&str, &str)] = &[("nic", "eth0"), ("cidr_netmask", "16")];

/// All that is measured. The first is the one of the budget.
pub const ALL: &[Case] = &[
    Case {
        label: "IPaddr2 (nic, cidr_netmask)",
        address: Some((Family::V4, "ip")),
        conflict_check: true,
        ..plain("IPaddr2", PLACED)
    },
    Case {
        label: "IPaddr2 (only ip)",
        address: Some((Family::V4, "ip")),
        conflict_check: true,
        ..plain("IPaddr2", &[])
    },
    Case { address: Some((Family::V4, "ip")), ..plain("IPaddr", PLACED) },
    Case {
        address: Some((Family::V6, "ipv6addr")),
        ..plain("IPv6addr", &[("nic", "eth0"), ("cidr_netmask", "64")])
    },
    Case {
        label: "IPaddr2 (watch)",
        peer: None,
        ..plain(
            "IPaddr2",
            &[
                ("ip", "198.18.255.12"),
                ("nic", "eth0"),
                ("cidr_netmask", "16"),
                ("conflict_check", "false"),
                ("watch", "true"),
            ],
        )
    },
    Case {
        label: "MACaddr (device)",
        peer: None,
        conflict_check: true,
        ..plain(
            "MACaddr",
            &[("nic", "eth1"), ("mac", "02:00:00:00:00:01"), ("ip", "198.18.253.1/16")],
        )
    },
    Case {
        label: "MACaddr (macvlan)",
        peer: None,
        conflict_check: true,
        ..plain(
            "MACaddr",
            &[
                ("nic", "eth1"),
                ("mac", "02:00:00:00:00:01"),
                ("ip", "198.18.253.1/16"),
                ("mode", "macvlan"),
            ],
        )
    },
    Case {
        apart: [&[("name", "ours0")], &[("name", "shell0")]],
        ..plain("iface-macvlan", &[("device", "eth0")])
    },
    Case {
        apart: [&[("destination", "198.51.100.0/24")], &[("destination", "203.0.113.0/24")]],
        ..plain("IPsrcaddr", &[("ipaddress", "198.18.254.1"), ("cidr_netmask", "16")])
    },
    Case {
        apart: [&[("destination", "192.0.2.0/25")], &[("destination", "192.0.2.128/25")]],
        ..plain("Route", &[("device", "eth0")])
    },
    Case {
        apart: [&[("portno", "7001")], &[("portno", "7002")]],
        ..plain("portblock", &[("protocol", "tcp"), ("action", "block"), ("ip", "198.18.0.2")])
    },
    Case {
        apart: [&[("name", "ours")], &[("name", "shell")]],
        ..plain("ethmonitor", &[("interface", "eth0"), ("link_status_only", "true")])
    },
    plain("MailTo", &[("email", "root@localhost")]),
    Case {
        peer: Some("pacemaker"),
        apart: [&[("name", "ours")], &[("name", "shell")]],
        ..plain("ping", &[("host_list", "198.18.255.254"), ("attempts", "1")])
    },
    Case {
        apart: [&[("ip", "198.18.255.10")], &[("ip", "198.18.255.11")]],
        ..plain("SendArp", &[("nic", "eth0")])
    },
    plain("anything", &[("binfile", "/bin/sleep"), ("cmdline_options", "4711")]),
    Case {
        label: "service (command)",
        peer: None,
        ..plain("service", &[("command", "/bin/sleep 4712"), ("settle", "0")])
    },
    Case {
        label: "service (command, watch)",
        peer: None,
        ..plain("service", &[("command", "/bin/sleep 4712"), ("settle", "0"), ("watch", "true")])
    },
    Case {
        apart: [
            &[("configfile", "/run/bench/apache-8001.conf")],
            &[("configfile", "/run/bench/apache-8002.conf")],
        ],
        ..plain("apache", &[("testregex", "Apache Server Status")])
    },
    Case {
        apart: [
            &[
                ("configfile", "/run/bench/nginx-8003.conf"),
                ("status10url", "http://localhost:8003/"),
            ],
            &[
                ("configfile", "/run/bench/nginx-8004.conf"),
                ("status10url", "http://localhost:8004/"),
            ],
        ],
        ..plain("nginx", &[])
    },
    Case {
        label: "Filesystem (tmpfs)",
        apart: [
            &[("directory", "/run/bench/mount-ours")],
            &[("directory", "/run/bench/mount-shell")],
        ],
        ..plain("Filesystem", &[("device", "tmpfs"), ("fstype", "tmpfs")])
    },
    Case {
        label: "Filesystem (tmpfs, watch)",
        peer: None,
        ..plain(
            "Filesystem",
            &[
                ("device", "tmpfs"),
                ("fstype", "tmpfs"),
                ("directory", "/run/bench/mount-ours"),
                ("watch", "true"),
            ],
        )
    },
    Case {
        label: "Filesystem (ext4, loop)",
        apart: [
            &[("device", "/run/bench/ours.img"), ("directory", "/run/bench/mount-ours")],
            &[("device", "/run/bench/shell.img"), ("directory", "/run/bench/mount-shell")],
        ],
        ..plain("Filesystem", &[("fstype", "ext4"), ("options", "loop"), ("run_fsck", "no")])
    },
    plain("Dummy", &[]),
    plain("Stateful", &[]),
    plain("Delay", &[("startdelay", "0"), ("stopdelay", "0"), ("mondelay", "0")]),
];

const fn plain(agent: &'static str, parameters: &'static [(&'static str, &'static str)]) -> Case {
    Case {
        label: agent,
        agent,
        address: None,
        parameters,
        apart: [&[], &[]],
        peer: Some("heartbeat"),
        conflict_check: false,
    }
}

/// The names of the agents.
pub fn agents() -> BTreeSet<&'static str> {
    ALL.iter().map(|case| case.agent).collect()
}

impl Case {
    /// A call as Pacemaker makes it, with a log file and without a logging daemon.
    pub fn call(&self, side: Side, action: &str, links: &Path) -> Command {
        let shell = Path::new(PROVIDERS).join(self.peer.unwrap_or_default());
        let directory = if side == Side::Ours { links } else { &shell };
        let mut command = Command::new(directory.join(self.agent));
        command.arg(action).env_clear().stdin(Stdio::null());
        command.envs([
            ("PATH", "/run/bench/stand-ins:/usr/sbin:/usr/bin:/sbin:/bin"),
            ("OCF_ROOT", "/usr/lib/ocf"),
            ("OCF_RA_VERSION_MAJOR", "1"),
            ("OCF_RA_VERSION_MINOR", "1"),
            ("OCF_RESOURCE_TYPE", self.agent),
            ("OCF_RESOURCE_CLASS", "ocf"),
            ("OCF_RESOURCE_INSTANCE", if side == Side::Ours { "ours" } else { "shell" }),
            ("HA_LOGFACILITY", "none"),
            ("HA_LOGFILE", "/run/bench/log"),
            ("OCF_RESKEY_CRM_meta_timeout", "60000"),
        ]);
        if action == "monitor" {
            command.env("OCF_RESKEY_CRM_meta_interval", "10000");
        }
        if let Some((family, name)) = self.address {
            command.env(format!("OCF_RESKEY_{name}"), family.virtual_address(side));
        }
        let apart = self.apart[usize::from(side == Side::Shell)];
        for (name, value) in self.parameters.iter().chain(apart) {
            command.env(format!("OCF_RESKEY_{name}"), value);
        }
        command
    }
}
