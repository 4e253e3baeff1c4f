//! The source address of connections that this host opens: by changing the routes that they take, or by rules that lead
//! to copies of them.
//!
//! `select` finds the routes that are meant, and refuses to guess. What they were is kept byte for byte (`memory`)
//! before anything is changed, and `restore` puts it back. `rules` is the way that changes no route.

#![forbid(unsafe_code)]

mod memory;
mod monitor;
mod restore;
mod rules;
mod select;
mod standing;
mod start;

use std::fmt::Write;
use std::net::IpAddr;

pub use monitor::monitor;
pub use start::{start, validate};

use crate::agent::Cx;
use crate::error::{Error, Result};
use crate::host::address::bits;
use crate::host::namespace;
use crate::host::net::Net;
use crate::host::table;
use crate::param::values::{InterfaceName, Network, TableName};
use crate::state::Lock;
use crate::watch::{NetworkSigns, Signs};

use memory::Memory;

/// Which source address, for which connections.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The source address.
    pub ip: IpAddr,
    /// The prefix of its subnet.
    pub prefix: Option<u8>,
    /// Where the connections go.
    pub destination: Network,
    /// In this table is the route to the destination; the main table if none is given.
    pub table: Option<TableName>,
    /// Who made the route, where several could be meant.
    pub protocol: Option<u8>,
    /// Metric of the route.
    pub metric: Option<u32>,
    /// IPv6: preference that the route gets (RFC 4191).
    pub preference: Option<u8>,
    /// Interface of the route; that of the address if none is given.
    pub nic: Option<InterfaceName>,
    /// Also for connections to the address itself.
    pub local_route: bool,
    /// By rules, which change no route.
    pub by_rules: Option<ByRules>,
}

/// Numbers of the rules and their table.
#[derive(Clone, Copy, Debug)]
pub struct ByRules {
    /// The table; one that follows from the other parameters if none is given.
    pub table: Option<u32>,
    /// Priority of the rules.
    pub priority: u32,
}

impl Wanted {
    /// What announces that connections may have another source: routes, rules excepted, and the address itself.
    #[must_use]
    pub fn signs(&self) -> Signs {
        let network =
            NetworkSigns { addresses: vec![self.ip], routes: true, ..NetworkSigns::default() };
        Signs { network: Some(network), ..Signs::default() }
    }

    /// Judges what can be judged without a look at the host.
    ///
    /// # Errors
    /// The parameters contradict each other.
    pub fn check(&self) -> Result<()> {
        let wrong = |name, why: String| Err(Error::Configured { name, why });
        let ip = self.ip;
        if ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() {
            return wrong(
                "ipaddress",
                format!("{ip} cannot be the source of connections to other hosts"),
            );
        }
        if let IpAddr::V6(six) = ip
            && (six.to_ipv4_mapped().is_some() || six.is_unicast_link_local())
        {
            return wrong(
                "ipaddress",
                format!("{ip} cannot be the source of connections beyond its link"),
            );
        }
        if ip.is_ipv4() != self.destination.ip.is_ipv4() {
            let why = format!(
                "{} is not of the family of {ip}; give both of one family",
                self.destination
            );
            return wrong("destination", why);
        }
        if let Some(prefix) = self.prefix
            && (prefix == 0 || prefix > bits(ip))
        {
            return wrong(
                "cidr_netmask",
                format!("\"{prefix}\" is not a prefix length of {ip}; give 1 to {}", bits(ip)),
            );
        }
        if self.preference.is_some() && ip.is_ipv4() {
            return wrong("pref", "is for IPv6 only; leave it out".to_owned());
        }
        if self.by_rules.is_some() && !["main", "254"].contains(&self.table_name()) {
            let why = "must be main with mode=rule: nothing says which connections use another table, and rules would lead all of them to it; leave it out";
            return wrong("table", why.to_owned());
        }
        if self.local_route && self.by_rules.is_some() {
            let why =
                "changes a route of the kernel, which mode=rule must not; leave one of them out";
            return wrong("local_route", why.to_owned());
        }
        Ok(())
    }

    /// The number of the table of the route; none if this host has no table of that name.
    fn table(&self) -> Option<u32> {
        table::number(self.table_name())
    }

    /// The same; and if the name was taken from this host since start, the number that it had.
    fn table_or(&self, memory: Option<&Memory>) -> Option<u32> {
        let before = || Some(memory?.originals.last()?.1.identity().table);
        self.table().or_else(before)
    }

    fn table_name(&self) -> &str {
        self.table.as_ref().map_or("main", TableName::as_str)
    }

    /// The same, for who cannot do without.
    fn required_table(&self) -> Result<u32> {
        self.table().ok_or_else(|| {
            Error::Local(format!(
                "there is no routing table {} here; name it in /etc/iproute2/rt_tables, or give its number",
                self.table_name()
            ))
        })
    }

    /// What tells this resource from others: its parameters, whatever its name.
    fn key(&self) -> String {
        let mut key = format!("{}-{}-{}", self.ip, self.destination, self.table_name());
        if let Some(metric) = self.metric {
            let _ = write!(key, "-{metric}");
        }
        if let Some(nic) = &self.nic {
            let _ = write!(key, "-{nic}");
        }
        if self.by_rules.is_some() {
            key.push_str("-rules");
        }
        key
    }
}

/// Puts back what start changed, and looks that nothing of it is left.
///
/// # Errors
/// Something is left.
pub fn stop(wanted: &Wanted, cx: &Cx<'_>) -> Result<()> {
    let net = Net::open(cx.deadline)?;
    let _lock = lock(cx)?;
    let memory = Memory::read(wanted, cx);
    let Some(table) = wanted.table_or(memory.as_ref()) else { return Ok(()) };
    undo(wanted, table, memory.as_ref(), cx, &net)
}

/// All that stop does, under the lock.
fn undo(
    wanted: &Wanted,
    table: u32,
    memory: Option<&Memory>,
    cx: &Cx<'_>,
    net: &Net,
) -> Result<()> {
    if let Some(by_rules) = wanted.by_rules {
        rules::Own::of(wanted, by_rules, table).remove(memory, cx, net)?;
    } else if let Some(memory) = memory {
        restore::all(wanted, memory, cx, net)?;
    } else {
        restore::without_memory(wanted, table, cx, net)?;
    }
    Memory::forget(wanted, cx)
}

/// One at a time: two resources may change routes of one table, and look at each other's memory.
fn lock(cx: &Cx<'_>) -> Result<Option<Lock>> {
    cx.state.lock(&format!("sources-{}", namespace::identity()), &cx.deadline)
}
