//! What `Filesystem` does to real file systems, each test in namespaces of its own.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::unused_self, reason = "what a host does, it does in its namespaces")]

mod fuse;
mod health;
mod holders;
mod hung;
mod killed;
mod kinds;
mod namespaces;
mod params;
mod paths;
mod programs;
mod refusals;
mod scale;
mod support;
mod symlink;
mod units;
mod users;
mod watching;
