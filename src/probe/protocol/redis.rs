//! Redis, Valkey and what speaks their protocol.

#![forbid(unsafe_code)]

use super::{Carrier, Protocol, Talked};
use crate::probe::outcome::Trouble;
use crate::probe::url::Url;
use crate::probe::wire::{Wire, no};

/// Answers of a server that serves nobody now. Not among them: that one has to log in, or may not ask that.
const NOT_NOW: [&str; 5] =
    ["-LOADING", "-BUSY", "-MASTERDOWN", "-MISCONF", "-ERR max number of clients"];

/// `PING` (<https://valkey.io/commands/ping/>).
pub const REDIS: Protocol = Protocol {
    scheme: "redis",
    port: Some(6379),
    carrier: Carrier::Tcp,
    options: &[],
    takes_user: false,
    asks: "PING",
    alive: "+PONG, or an error such as -NOAUTH, -NOPERM or -DENIED (\"not you\")",
    failed: "-LOADING, -BUSY, -MASTERDOWN, -MISCONF, too many clients",
    check: super::no_path,
    talk,
};

fn talk(_: &Url, wire: &mut Wire) -> Talked {
    wire.say(b"*1\r\n$4\r\nPING\r\n")?;
    let answer = wire.line("Redis server")?;
    if NOT_NOW.iter().any(|words| answer.starts_with(words)) {
        return Err(Trouble::unexpected(format!("it serves nobody now: {answer:?}")));
    }
    let shaped = answer
        .strip_prefix('-')
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()));
    if answer == "+PONG" || shaped {
        Ok(answer)
    } else {
        Err(no("Redis server", answer.as_bytes()))
    }
}
