//! What the agents do to a real kernel, each test in namespaces of its own.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::unused_self, reason = "what a host does, it does in its namespaces")]

mod addresses;
mod announcing;
mod attrd;
mod blocking;
mod callers;
mod churn;
mod conflicts;
mod connections;
mod ethmonitor;
mod families;
mod faults;
mod hardware;
mod identity;
mod killed;
mod kills;
mod links;
mod macvlan;
mod mail;
mod probing;
mod random;
mod reachability;
mod routes;
mod sendarp;
mod sources;
mod support;
mod tables;
mod takeover;
mod two_boxes;
mod watched_safely;
mod watching;
