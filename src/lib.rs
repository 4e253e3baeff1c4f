//! The OCF resource agents in one binary.
//!
//! An *agent* is one file in [`agents`] that declares its parameters once ([`params!`]) and what it does with one
//! invocation ([`agent::Agent`]). Everything printed, from meta-data to completions, is a pure function of that
//! declaration ([`render`]). Agents speak verbs to [`host`], which alone speaks to the kernel.
//!
//! An invocation comes in one of three ways: by OCF through a symlink that is named as the agent, by Heartbeat's
//! haresources ([`haresources`]), or from a person's command line ([`cli`]). All three end in [`runtime::run`], which
//! parses the parameters as severely as the action deserves, performs it within its [`deadline`], and turns the
//! result into an exit code in one place ([`contract`]).
//!
//! What is more than a verb, and what several agents share, stands between: [`vip`] (a virtual address), [`hardware`] and
//! [`macvlan`] (a hardware address that moves), [`source`] (the source address of routes), [`blocking`] and [`connections`]
//! (shut ports, and connections that notice a takeover), [`reach`] (what can be reached), [`mail`] (a notice to people),
//! [`service`] (processes that an agent starts), [`probe`] (whether a server answers), [`web`] (web servers: their configuration
//! and their pages), [`mq`] (a queue manager of IBM MQ), [`filesystem`] (a mounted file system), [`watch`] (a process that
//! tells of a failure when it happens).
//!
//! The kernel is the truth: what an agent reports, it looked up; what stop says is gone, it looked for. Files hold
//! only what is needed to undo ([`state`]).

pub mod action;
pub mod agent;
#[path = "../agents/mod.rs"]
pub mod agents;
pub mod blocking;
pub mod cli;
pub mod connections;
pub mod contract;
pub mod deadline;
pub mod demo;
pub mod environment;
pub mod error;
pub mod filesystem;
pub mod hardware;
pub mod haresources;
pub mod host;
pub mod log;
pub mod macvlan;
pub mod mail;
pub mod mq;
pub mod param;
pub mod probe;
pub mod promotion;
pub mod reach;
pub mod render;
pub mod runtime;
pub mod service;
pub mod source;
pub mod spec;
pub mod state;
pub mod trace;
pub mod vip;
pub mod watch;
pub mod web;
