//! The host's kernel, in the verbs of the agents.

pub mod address;
pub mod addrlabel;
pub mod announce;
pub mod arp;
pub mod detached;
mod dump;
pub mod lab;
pub mod link;
pub mod names;
pub mod namespace;
pub mod ndisc;
pub mod net;
pub mod netlink;
mod nss;
pub mod packet;
pub mod program;
pub mod refusal;
pub mod route;
pub mod source;
pub mod stream;
pub mod sysctl;
