//! memcached.

#![forbid(unsafe_code)]

use super::{Carrier, Protocol, Talked};
use crate::probe::outcome::Trouble;
use crate::probe::url::Url;
use crate::probe::wire::{Wire, no};

/// The request `Version` of the binary protocol: magic number, operation, and nothing else.
const VERSION: [u8; 24] = {
    let mut request = [0; 24];
    request[0] = 0x80;
    request[1] = 0x0b;
    request
};

/// `version` (<https://github.com/memcached/memcached/blob/master/doc/protocol.txt>).
pub const MEMCACHED: Protocol = Protocol {
    scheme: "memcached",
    port: Some(11211),
    carrier: Carrier::Tcp,
    options: &["binary"],
    takes_user: false,
    asks: "version, quit",
    alive: "VERSION, or CLIENT_ERROR (\"log in first\")",
    failed: "too many open connections, SERVER_ERROR",
    check: super::no_path,
    talk,
};

fn talk(url: &Url, wire: &mut Wire) -> Talked {
    if url.options.binary {
        return talk_binary(wire);
    }
    wire.say(b"version\r\n")?;
    let answer = wire.line("memcached")?;
    if answer.starts_with("ERROR Too many open connections") || answer.starts_with("SERVER_ERROR") {
        return Err(Trouble::unexpected(format!("it serves nobody now: {answer:?}")));
    }
    if !answer.starts_with("VERSION ") && !answer.starts_with("CLIENT_ERROR") {
        return Err(no("memcached", answer.as_bytes()));
    }
    wire.part(b"quit\r\n");
    Ok(answer)
}

fn talk_binary(wire: &mut Wire) -> Talked {
    wire.say(&VERSION)?;
    let head = wire.take(VERSION.len())?;
    // Whatever its status: one that wants a login says so with a status too.
    if head[..2] != [0x81, 0x0b] {
        return Err(no("memcached of the binary protocol", &head));
    }
    Ok("an answer to Version".to_owned())
}
