//! The table of agents: the only list there is.

#![forbid(unsafe_code)]

mod anything;
mod apache;
mod delay;
mod dummy;
mod ethmonitor;
mod filesystem;
mod ibmmq;
mod iface_macvlan;
mod ipaddr;
mod ipaddr2;
mod ipsrcaddr;
mod ipv6addr;
mod macaddr;
mod mailto;
mod nginx;
mod ping;
mod portblock;
mod route;
mod sendarp;
mod service;
mod stateful;
mod symlink;

use crate::agent::Entry;

/// All agents, by name.
pub const ALL: &[Entry] = &[
    Entry::of::<anything::Anything>(),
    Entry::of::<apache::Apache>(),
    Entry::of::<delay::Delay>(),
    Entry::of::<dummy::Dummy>(),
    Entry::of::<ethmonitor::EthMonitor>(),
    Entry::of::<filesystem::Mounted>(),
    Entry::of::<ibmmq::IbmMq>(),
    Entry::of::<iface_macvlan::IfaceMacvlan>(),
    Entry::of::<ipaddr::IpAddr>(),
    Entry::of::<ipaddr2::IpAddr2>(),
    Entry::of::<ipsrcaddr::IpSrcAddr>(),
    Entry::of::<ipv6addr::Ipv6Addr>(),
    Entry::of::<macaddr::MacAddr>(),
    Entry::of::<mailto::MailTo>(),
    Entry::of::<nginx::Nginx>(),
    Entry::of::<ping::Ping>(),
    Entry::of::<portblock::PortBlock>(),
    Entry::of::<route::Route>(),
    Entry::of::<sendarp::SendArp>(),
    Entry::of::<service::AnyService>(),
    Entry::of::<stateful::Stateful>(),
    Entry::of::<symlink::Symlink>(),
];

/// The agent of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Entry> {
    ALL.iter().find(|entry| entry.described.agent.name == name)
}
