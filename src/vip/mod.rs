//! A virtual address: what every agent that brings one up has in common.
//!
//! [`start`], [`stop`] and [`monitor`] look at the kernel, compare with what is [`Wanted`], and close the distance. The
//! interface is chosen only by start ([`select`]); monitor and stop look for the address itself, wherever it is.

#![forbid(unsafe_code)]

mod compose;
mod connections;
mod examine;
mod loopback;
mod monitor;
mod neighbours;
mod remove;
pub mod select;
mod start;
mod stop;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use monitor::monitor;
pub use start::start;
pub use stop::stop;

use crate::agent::Cx;
use crate::error::{Error, Result};
use crate::host::address::{bits, broadcast};
use crate::host::link::Link;
use crate::host::namespace;
use crate::host::net::Net;
use crate::param::values::{
    Broadcast, InterfaceName, LONGEST_NAME, Label, Lifetime, NamespaceName,
};
use crate::watch::{ClaimSigns, NetworkSigns, Signs};

/// A virtual address and how it is to be.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The address.
    pub ip: IpAddr,
    /// The interface, by name or alternative name.
    pub nic: Option<InterfaceName>,
    /// Length of its prefix.
    pub prefix: Option<u8>,
    /// IPv4 broadcast address.
    pub broadcast: Option<Broadcast>,
    /// IPv4 label.
    pub label: Labelled,
    /// Only routes of this protocol decide about the interface.
    pub protocol: Option<u8>,
    /// IPv6: no duplicate address detection.
    pub nodad: bool,
    /// No route to its subnet.
    pub noprefixroute: bool,
    /// IPv6: how long it may be chosen as a source.
    pub preferred: Option<Lifetime>,
    /// The loopback interface has the address while the resource is stopped here (LVS real server).
    pub lvs: bool,
    /// IPv6: label for the choice of source addresses.
    pub source_label: Option<u32>,
    /// Forget cached routes after it is removed.
    pub flush_routes: bool,
    /// An interface without a link is a failure.
    pub check_link: bool,
    /// IPv4: ask whether another host has it before it is added.
    pub conflict_check: bool,
    /// Somebody asked just now.
    pub asked: bool,
    /// How it is made known.
    pub announce: Announce,
    /// What becomes of its connections.
    pub connections: Connections,
    /// In this network namespace.
    pub namespace: Option<NamespaceName>,
}

/// How the label of an IPv4 address is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Labelled {
    /// The interface's name, as the kernel does it.
    Plain,
    /// `interface:suffix`, and monitor looks for it.
    Suffix(Label),
    /// The next free of `interface:0`, `interface:1`, …, so that ifconfig shows it.
    NextAlias,
}

/// How often an address is announced.
#[derive(Clone, Copy, Debug)]
pub struct Announce {
    /// Times at start.
    pub count: u32,
    /// Pause between two of them.
    pub interval: Duration,
    /// All but the first from a process of its own.
    pub background: bool,
    /// Times at each monitor.
    pub refresh: u32,
}

/// What becomes of connections when the address moves.
#[derive(Clone, Debug, Default)]
pub struct Connections {
    /// Stop destroys the sockets that are bound to it.
    pub destroy: bool,
    /// The directory in which the node that has it keeps its connections for the next one.
    pub tickle_dir: Option<PathBuf>,
}

impl Wanted {
    /// An address with all else left to the defaults.
    #[must_use]
    pub fn of(ip: IpAddr) -> Self {
        let interval = Duration::from_millis(200);
        Self {
            ip,
            nic: None,
            prefix: None,
            broadcast: None,
            label: Labelled::Plain,
            protocol: None,
            nodad: false,
            noprefixroute: false,
            preferred: None,
            lvs: false,
            source_label: None,
            flush_routes: false,
            check_link: true,
            conflict_check: true,
            asked: false,
            announce: Announce { count: 5, interval, background: true, refresh: 0 },
            connections: Connections::default(),
            namespace: None,
        }
    }

    /// What the address alone tells: whether any interface could have it.
    ///
    /// # Errors
    /// It cannot be a virtual address, or its prefix is not one of its family.
    pub fn check(&self, ip_name: &'static str, prefix_name: &'static str) -> Result<()> {
        let wrong = |name, why: String| Err(Error::Configured { name, why });
        let ip = self.ip;
        let nobodys = match ip {
            IpAddr::V4(ip) => ip.is_broadcast() || ip.octets()[0] == 0,
            IpAddr::V6(ip) => ip.to_ipv4_mapped().is_some(),
        };
        if ip.is_unspecified() || ip.is_multicast() || nobodys {
            return wrong(ip_name, format!("{ip} is not the address of a single host"));
        }
        if let Some(prefix) = self.prefix
            && (prefix == 0 || prefix > bits(ip))
        {
            let family = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
            let why =
                format!("\"{prefix}\" is not a prefix length of {family}; give 1 to {}", bits(ip));
            return wrong(prefix_name, why);
        }
        Ok(())
    }

    /// Tells of a virtual address that is its subnet's network or broadcast address.
    pub fn advise(&self, cx: &Cx<'_>) {
        if let (IpAddr::V4(ip), Some(prefix @ 1..=30)) = (self.ip, self.prefix) {
            for (ones, what) in [(false, "network"), (true, "broadcast")] {
                if broadcast(ip, prefix, ones) == ip {
                    cx.log.warn(&format!(
                        "{ip} is the {what} address of its subnet {ip}/{prefix}; no host can use it"
                    ));
                }
            }
        }
    }

    /// The label that the address is to have on the interface `name`.
    ///
    /// # Errors
    /// It would be longer than the kernel allows.
    fn label_on(&self, name: &str) -> Result<Option<String>> {
        let (IpAddr::V4(_), Labelled::Suffix(suffix)) = (self.ip, &self.label) else {
            return Ok(None);
        };
        let label = format!("{name}:{}", suffix.as_str());
        if label.len() <= LONGEST_NAME {
            return Ok(Some(label));
        }
        let why = format!(
            "the label {label:?} is longer than {LONGEST_NAME} characters; give a shorter one"
        );
        Err(Error::Configured { name: "iflabel", why })
    }

    /// Whether `link` is a loopback interface that has the address while the resource is stopped: never where the
    /// address belongs there for good.
    fn gives_way(&self, link: &Link) -> bool {
        let belongs_there = self.ip.is_loopback()
            || self.nic.as_ref().is_some_and(|nic| link.is_named(nic.as_str()));
        self.lvs && link.loopback && !belongs_there
    }

    /// Opens the network in which the address belongs; none where its namespace does not exist.
    ///
    /// # Errors
    /// The namespace or the kernel cannot be reached.
    fn network(&self, cx: &Cx<'_>) -> Result<Option<Net>> {
        match &self.namespace {
            Some(name) if !namespace::enter(name)? => Ok(None),
            _ => Net::open(cx.deadline).map(Some),
        }
    }

    /// The same for who cannot do without.
    ///
    /// # Errors
    /// The namespace does not exist.
    fn required_network(&self, cx: &Cx<'_>) -> Result<Net> {
        let name = self.namespace.as_ref().map_or("", NamespaceName::as_str);
        self.network(cx)?.ok_or_else(|| namespace::missing(name))
    }

    /// What announces that the address may not work any more.
    ///
    /// # Errors
    /// The namespace does not exist, or the kernel did not tell.
    pub fn signs(&self, cx: &Cx<'_>) -> Result<Signs> {
        let net = self.required_network(cx)?;
        let places = net.places_of(self.ip, None)?;
        let (mut links, mut claims) = (Vec::new(), Vec::new());
        for place in &places {
            if let Some(link) = net.link(place.index)? {
                links.extend(net.stack_of(&link)?);
                claims.extend(self.claims(&link, cx));
            }
        }
        let network = NetworkSigns {
            addresses: vec![self.ip],
            // One that has gone may come back anywhere, and with another number.
            links: Some(links).filter(|links| !links.is_empty()),
            claims,
            routes: false,
            namespace: self.namespace.clone(),
        };
        Ok(Signs { network: Some(network), ..Signs::default() })
    }

    /// By which claims of others to the address there are to be heard, as long as it is on that interface.
    #[must_use]
    pub fn claims(&self, link: &Link, cx: &Cx<'_>) -> Option<ClaimSigns> {
        neighbours::claims(self, link, cx)
    }

    /// What tells the address from all others, whatever the resource is called. An action that entered the namespace has
    /// to come to the same key as one that did not yet.
    #[must_use]
    pub fn identity(&self) -> String {
        let place = self.namespace.as_ref().map_or_else(namespace::identity, |_| 0);
        format!("{}-{place}", self.key())
    }

    /// The name of the lock that start and stop of this address take, and of its state.
    fn key(&self) -> String {
        let namespace =
            self.namespace.as_ref().map_or(String::new(), |name| format!("-{}", name.as_str()));
        format!("vip-{}{namespace}", self.ip)
    }
}

/// Looks whether start could bring the address up here; changes nothing.
///
/// # Errors
/// It could not, and why.
pub fn validate(wanted: &Wanted, cx: &Cx<'_>) -> Result<()> {
    let net = wanted.required_network(cx)?;
    let choice = select::in_kernel(wanted, &net)?;
    wanted.label_on(&choice.link.name)?;
    neighbours::announceable(&choice.link)?;
    Ok(())
}
