//! The table of agents: the only list there is.

#![forbid(unsafe_code)]

mod anything;
mod delay;
mod dummy;
mod ipaddr;
mod ipaddr2;
mod ipv6addr;
mod service;
mod stateful;

use crate::agent::Entry;

/// All agents, by name.
pub const ALL: &[Entry] = &[
    Entry::of::<anything::Anything>(),
    Entry::of::<delay::Delay>(),
    Entry::of::<dummy::Dummy>(),
    Entry::of::<ipaddr::IpAddr>(),
    Entry::of::<ipaddr2::IpAddr2>(),
    Entry::of::<ipv6addr::Ipv6Addr>(),
    Entry::of::<service::AnyService>(),
    Entry::of::<stateful::Stateful>(),
];

/// The agent of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Entry> {
    ALL.iter().find(|entry| entry.described.agent.name == name)
}
