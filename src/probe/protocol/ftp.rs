//! FTP servers.

#![forbid(unsafe_code)]

use super::reply::Reply;
use super::smtp::expect;
use super::{Carrier, Protocol, Talked};
use crate::probe::url::Url;
use crate::probe::wire::{Wire, no};

/// The greeting and `QUIT` (RFC 959, 5.4). Nobody logs in.
pub const FTP: Protocol = Protocol {
    scheme: "ftp",
    port: Some(21),
    carrier: Carrier::Tcp,
    options: &["match"],
    takes_user: false,
    asks: "QUIT",
    alive: "a greeting, 220 or 5xx (\"not you\"), and a reply",
    failed: "4xx (\"not now\", too many connections); match= is not in the greeting",
    check: super::no_path,
    talk,
};

fn talk(url: &Url, wire: &mut Wire) -> Talked {
    let mut greeting = Reply::read(wire, "FTP server")?;
    while greeting.code == 120 {
        // "Ready in nnn minutes": within our time, or not.
        greeting = Reply::read(wire, "FTP server")?;
    }
    let greeting = greeting.unless_not_now()?;
    if !matches!(greeting.code, 220 | 500..) {
        return Err(no("FTP server", greeting.text.as_bytes()));
    }
    expect(url, &greeting)?;
    if greeting.code == 220 {
        wire.say(b"QUIT\r\n")?;
        Reply::read(wire, "FTP server")?;
    }
    Ok(greeting.text)
}
