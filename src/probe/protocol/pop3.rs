//! POP3 servers.

#![forbid(unsafe_code)]

use super::smtp::expect_in;
use super::{Carrier, Protocol, Talked};
use crate::probe::outcome::Trouble;
use crate::probe::url::Url;
use crate::probe::wire::{Wire, no};

/// The greeting and `QUIT` (RFC 1939, 4 and 5).
pub const POP3: Protocol = Protocol {
    scheme: "pop3",
    port: Some(110),
    carrier: Carrier::Tcp,
    options: &["match"],
    takes_user: false,
    asks: "QUIT",
    alive: "a greeting, +OK or -ERR (\"not you\"), and an answer",
    failed: "-ERR [SYS/TEMP] or [SYS/PERM]; match= is not in the greeting",
    check: super::no_path,
    talk,
};

fn talk(url: &Url, wire: &mut Wire) -> Talked {
    let greeting = wire.line("POP3 server")?;
    // RFC 3206: the server itself is in trouble.
    if greeting.starts_with("-ERR [SYS/") {
        return Err(Trouble::unexpected(format!("it serves nobody now: {greeting:?}")));
    }
    if greeting.starts_with("-ERR") {
        return Ok(greeting);
    }
    if !greeting.starts_with("+OK") {
        return Err(no("POP3 server", greeting.as_bytes()));
    }
    expect_in(url, &greeting)?;
    wire.say(b"QUIT\r\n")?;
    let answer = wire.line("POP3 server")?;
    if answer.starts_with("+OK") || answer.starts_with("-ERR") {
        Ok(greeting)
    } else {
        Err(no("POP3 server", answer.as_bytes()))
    }
}
