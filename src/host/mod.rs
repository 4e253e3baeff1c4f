//! The host's kernel, in the verbs of the agents.

pub mod account;
pub mod address;
pub mod addrlabel;
pub mod announce;
pub mod arp;
pub mod cgroup;
pub mod detached;
mod dump;
pub mod lab;
pub mod launch;
pub mod launcher;
pub mod link;
pub mod namespace;
pub mod ndisc;
pub mod net;
pub mod netlink;
pub mod packet;
pub mod pidfd;
pub mod process;
pub mod program;
pub mod reaper;
pub mod refusal;
pub mod route;
pub mod sysctl;
