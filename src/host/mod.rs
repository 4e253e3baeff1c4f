//! The host's kernel, in the verbs of the agents.

pub mod address;
pub mod addrlabel;
pub mod announce;
pub mod arp;
pub mod detached;
mod dump;
pub mod exact;
pub mod lab;
pub mod link;
pub mod namespace;
pub mod ndisc;
pub mod net;
pub mod netlink;
pub mod packet;
pub mod program;
pub mod refusal;
pub mod route;
mod routes;
pub mod routing;
pub mod rule;
pub mod sysctl;
pub mod table;
