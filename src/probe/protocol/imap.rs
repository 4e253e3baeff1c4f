//! IMAP servers.

#![forbid(unsafe_code)]

use super::smtp::expect_in;
use super::{Carrier, Protocol, Talked};
use crate::probe::outcome::Trouble;
use crate::probe::url::Url;
use crate::probe::wire::{Wire, no};

/// Untagged lines before the answer; more belong to no NOOP.
const MOST_LINES: usize = 100;

/// The greeting, `NOOP`, `LOGOUT` (RFC 9051, 7.1 and 6.1).
pub const IMAP: Protocol = Protocol {
    scheme: "imap",
    port: Some(143),
    carrier: Carrier::Tcp,
    options: &["match"],
    takes_user: false,
    asks: "NOOP, LOGOUT",
    alive: "a greeting, OK, PREAUTH or BYE (\"not you\"), and an answer to NOOP",
    failed: "BYE [UNAVAILABLE] or [SERVERBUG]; match= is not in the greeting",
    check: super::no_path,
    talk,
};

fn talk(url: &Url, wire: &mut Wire) -> Talked {
    let greeting = wire.line("IMAP server")?;
    let mut words = greeting.splitn(3, ' ');
    let status = match (words.next(), words.next()) {
        (Some("*"), Some(status)) => status.to_ascii_uppercase(),
        _ => return Err(no("IMAP server", greeting.as_bytes())),
    };
    let rest = words.next().unwrap_or_default().to_ascii_uppercase();
    match status.as_str() {
        "OK" | "PREAUTH" => {}
        // RFC 5530, 3.
        "BYE" if rest.starts_with("[UNAVAILABLE]") || rest.starts_with("[SERVERBUG]") => {
            return Err(Trouble::unexpected(format!("it serves nobody now: {greeting:?}")));
        }
        "BYE" => return Ok(greeting),
        _ => return Err(no("IMAP server", greeting.as_bytes())),
    }
    expect_in(url, &greeting)?;
    wire.say(b"a1 NOOP\r\n")?;
    for _ in 0..MOST_LINES {
        let line = wire.line("IMAP server")?;
        if line.starts_with("a1 ") {
            wire.part(b"a2 LOGOUT\r\n");
            return Ok(greeting);
        }
        if !line.starts_with('*') {
            return Err(no("IMAP server", line.as_bytes()));
        }
    }
    Err(Trouble::unexpected("it did not answer NOOP"))
}
