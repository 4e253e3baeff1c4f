//! News servers.

#![forbid(unsafe_code)]

use super::reply::Reply;
use super::smtp::expect;
use super::{Carrier, Protocol, Talked};
use crate::probe::url::Url;
use crate::probe::wire::{Wire, no};

/// The greeting, `DATE`, `QUIT` (RFC 3977, 5.1 and 7.1).
pub const NNTP: Protocol = Protocol {
    scheme: "nntp",
    port: Some(119),
    carrier: Carrier::Tcp,
    options: &["match"],
    takes_user: false,
    asks: "DATE, QUIT",
    alive: "a greeting, 200, 201 or 502 (\"not you\"), and a reply",
    failed: "400 (\"not now\"); match= is not in the greeting",
    check: super::no_path,
    talk,
};

fn talk(url: &Url, wire: &mut Wire) -> Talked {
    let greeting = Reply::read(wire, "news server")?;
    // 480 asks for a login, which is no refusal to serve.
    let greeting = if greeting.code == 480 { greeting } else { greeting.unless_not_now()? };
    if !matches!(greeting.code, 200 | 201 | 480 | 502) {
        return Err(no("news server", greeting.text.as_bytes()));
    }
    expect(url, &greeting)?;
    if greeting.code < 300 {
        wire.say(b"DATE\r\n")?;
        // Whatever it says to that, it says it.
        if Reply::read(wire, "news server")?.code == 400 {
            return Err(crate::probe::outcome::Trouble::unexpected("it serves nobody now: 400"));
        }
    }
    wire.part(b"QUIT\r\n");
    Ok(greeting.text)
}
