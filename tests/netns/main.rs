//! What the agents do to a real kernel, each test in namespaces of its own.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::unused_self, reason = "what a host does, it does in its namespaces")]

mod addresses;
mod announcing;
mod conflicts;
mod families;
mod faults;
mod links;
mod mail;
mod probing;
mod random;
mod sendarp;
mod support;
mod two_boxes;
