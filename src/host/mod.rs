//! The host's kernel, in the verbs of the agents.

pub mod address;
pub mod addrlabel;
pub mod announce;
pub mod arp;
pub mod detached;
mod dump;
pub mod hardware;
pub mod lab;
pub mod link;
pub mod macvlan;
pub mod namespace;
pub mod ndisc;
pub mod neighbour;
pub mod net;
pub mod netlink;
pub mod packet;
pub mod program;
pub mod rarp;
pub mod refusal;
pub mod route;
pub mod sysctl;
