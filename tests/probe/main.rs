//! The probes against servers that these tests play: well, refusing, silent, garbled, endless.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod answers;
mod command;
mod fake;
mod http;
mod many;
mod memory;
mod trouble;
mod trust;
