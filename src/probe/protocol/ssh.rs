//! SSH servers.

#![forbid(unsafe_code)]

use super::smtp::expect_in;
use super::{Carrier, Protocol, Talked};
use crate::probe::url::Url;
use crate::probe::wire::{Wire, no};

/// Lines that a server may say before it names itself.
const MOST_LINES: usize = 50;

/// The server's version, which it says first (RFC 4253, 4.2).
///
/// A server that sheds connections because of `MaxStartups`, or penalises this host, is there: to move it would not help.
/// Since OpenSSH 9.8 a host that connects every few seconds and never logs in is penalised (`PerSourcePenalties`): give
/// it an interval of 10 s or more, or exempt it.
pub const SSH: Protocol = Protocol {
    scheme: "ssh",
    port: Some(22),
    carrier: Carrier::Tcp,
    options: &["match"],
    takes_user: false,
    asks: "nothing",
    alive: "a version (SSH-2.0-…), or \"Exceeded MaxStartups\" or \"Not allowed at this time\"",
    failed: "match= is not in the version",
    check: super::no_path,
    talk,
};

fn talk(url: &Url, wire: &mut Wire) -> Talked {
    let mut first = None;
    for _ in 0..MOST_LINES {
        let line = wire.line("SSH server")?;
        if line.starts_with("SSH-2.0-") || line.starts_with("SSH-1.99-") {
            expect_in(url, &line)?;
            return Ok(line);
        }
        if line.starts_with("Exceeded MaxStartups") || line.starts_with("Not allowed at this time")
        {
            return Ok(line);
        }
        let said = first.get_or_insert(line);
        // Nothing but text comes before it, and no other protocol's greeting.
        if said.contains('\u{fffd}') || said.starts_with("SSH-") {
            break;
        }
    }
    Err(no("SSH server", first.unwrap_or_default().as_bytes()))
}
