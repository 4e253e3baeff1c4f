//! What the agents do to real processes, each test in namespaces of its own.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::unused_self, reason = "what a host does, it does in its namespaces")]

mod checks;
mod commands;
mod crowd;
mod faults;
#[path = "../mq/mod.rs"]
mod mq;
mod peers;
mod queue_managers;
mod scripts;
mod support;
mod systemd;
mod units;
mod web;
