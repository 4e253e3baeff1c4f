//! The probes against real servers, from Debian's packages, each in namespaces of its own.
//!
//! Each is set up so that it refuses whoever asks, where it can: alive is alive. Then all of it is stopped, as a server
//! that hangs; then it goes on; then it is killed.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

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

mod daemons;
mod laboratory;
mod scripts;
#[allow(dead_code, reason = "what the services need and the servers do not")]
#[path = "../services/support.rs"]
mod support;
