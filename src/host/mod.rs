//! The host's kernel, in the verbs of the agents.

pub mod address;
pub mod addrlabel;
pub mod announce;
pub mod arp;
pub mod detached;
mod dump;
pub mod lab;
pub mod link;
pub mod namespace;
pub mod ndisc;
pub mod net;
pub mod netlink;
pub mod nft;
pub mod packet;
pub mod program;
mod raw;
pub mod refusal;
pub mod route;
pub mod sockets;
pub mod sysctl;
pub mod tickle;
