//! `ocfbox demo`: a takeover, shown on this machine and without touching it.
//!
//! The program starts itself again in several parts. `session` is what the user called: it makes a PID namespace,
//! waits, and passes on Ctrl-C. `manager` is PID 1 in there, so that the kernel ends everything with it; it has the
//! switch in a network namespace of its own, orders the agent's actions and prints the `timeline`. `node` runs
//! twice and `client` once, each in a network namespace of its own at one end of a cable. A node is PID 1 of a
//! PID namespace too: to kill it is a power loss, which no process of the node survives.
//!
//! No namespace has a name, and state lies in a tmpfs that only these processes see; what the kernel does not take
//! back with the last process does not exist.

#![forbid(unsafe_code)]

mod client;
mod event;
mod executor;
mod heartbeat;
mod manager;
mod namespace;
mod network;
mod node;
mod part;
mod scenario;
mod session;
mod timeline;

use std::net::Ipv4Addr;
use std::time::Duration;

pub use part::{Part, run_part};
pub use session::run;

use crate::host::arp::Mac;

/// A host on the demonstration's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Host {
    name: &'static str,
    ip: Ipv4Addr,
    mac: Mac,
}

const NODE1: Host =
    Host { name: "node1", ip: Ipv4Addr::new(10, 77, 0, 1), mac: [2, 0, 0, 0, 0, 1] };
const NODE2: Host =
    Host { name: "node2", ip: Ipv4Addr::new(10, 77, 0, 2), mac: [2, 0, 0, 0, 0, 2] };
const CLIENT: Host =
    Host { name: "client", ip: Ipv4Addr::new(10, 77, 0, 9), mac: [2, 0, 0, 0, 0, 9] };

/// The address that moves.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 50);
const PREFIX: u8 = 24;
const CARD: &str = "eth0";
/// Where the nodes' service listens.
const PORT: u16 = 7700;
/// A directory that every Linux has, over which the private tmpfs is mounted.
const PRIVATE: &str = "/run";

/// It takes a second; on the busiest machine something is wrong after this.
const LONGEST: Duration = Duration::from_mins(1);
/// Longest time that any single step may take, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(5);
