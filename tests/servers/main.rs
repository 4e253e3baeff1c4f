//! The agent and the probes against real servers, from Debian's packages, each in namespaces of its own: run by the agent
//! as commands (`daemons`), by the packages' init scripts (`scripts`), of which some are not to be believed (`liars`), and
//! as the packages' units, under a systemd of the test's own (`units`).
//!
//! Each is set up so that it refuses whoever asks, where it can: alive is alive. Then all of it is stopped, as a server
//! that hangs; then it goes on; then its main process is killed; then it starts again, and stops.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::unused_self, reason = "what a host does, it does in its namespaces")]

/// A test for each.
macro_rules! servers {
    ($($name:ident $server:expr,)*) => { $(
        #[test]
        #[ignore = "needs root and the servers: tests/run servers"]
        fn $name() {
            $server.is_told_alive_from_dead();
        }
    )* };
}

mod boot;
mod daemons;
mod laboratory;
mod liars;
mod scripts;
#[allow(dead_code, reason = "what the services need and the servers do not")]
#[path = "../services/support.rs"]
mod support;
#[allow(dead_code, reason = "what the services need and the servers do not")]
#[path = "../services/systemd.rs"]
mod systemd;
mod units;
