//! Mail servers.

#![forbid(unsafe_code)]

use super::reply::Reply;
use super::{Carrier, Protocol, Talked};
use crate::probe::outcome::Trouble;
use crate::probe::url::Url;
use crate::probe::wire::{Wire, no};

/// The greeting, `EHLO`, `QUIT` (RFC 5321, 3.1 and 4.1.1.1). No mail is begun.
pub const SMTP: Protocol = Protocol {
    scheme: "smtp",
    port: Some(25),
    carrier: Carrier::Tcp,
    options: &["match"],
    takes_user: false,
    asks: "EHLO localhost, QUIT",
    alive: "a greeting and a reply, 2xx or 5xx (\"not from you\")",
    failed: "4xx (\"not now\"); match= is not in the greeting",
    check: super::no_path,
    talk,
};

fn talk(url: &Url, wire: &mut Wire) -> Talked {
    let greeting = Reply::read(wire, "mail server")?.unless_not_now()?;
    if !matches!(greeting.code, 220 | 500..) {
        return Err(no("mail server", greeting.text.as_bytes()));
    }
    expect(url, &greeting)?;
    if greeting.code == 220 {
        wire.say(b"EHLO localhost\r\n")?;
        let answer = Reply::read(wire, "mail server")?.unless_not_now()?;
        if !matches!(answer.code, 250 | 500..) {
            return Err(no("mail server", answer.text.as_bytes()));
        }
    }
    wire.part(b"QUIT\r\n");
    Ok(greeting.text)
}

/// What `match` wants of a greeting.
pub(super) fn expect(url: &Url, greeting: &Reply) -> Result<(), Trouble> {
    expect_in(url, &greeting.text)
}

/// What `match` wants of a line.
pub(super) fn expect_in(url: &Url, line: &str) -> Result<(), Trouble> {
    match &url.options.matches {
        Some(pattern) if !pattern.is_in(line.as_bytes()) => {
            Err(Trouble::unexpected(format!("\"{pattern}\" is not in {line:?}")))
        }
        _ => Ok(()),
    }
}
