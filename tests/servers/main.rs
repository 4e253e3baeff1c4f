//! The probes against real servers, from Debian's packages, each in namespaces of its own.
//!
//! Each is set up so that it refuses whoever asks, where it can: alive is alive. Then all of it is stopped, as a server
//! that hangs; then it goes on; then it is killed.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod daemons;
mod laboratory;
