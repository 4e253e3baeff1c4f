//! RabbitMQ and other brokers of AMQP 0-9-1.

#![forbid(unsafe_code)]

use super::{Carrier, Protocol, Talked};
use crate::probe::url::Url;
use crate::probe::wire::{Wire, no};

/// The protocol's header, to which the broker says which logins it takes (AMQP 0-9-1, 4.2.2 and 2.2.4).
///
/// The broker logs a client that goes away without a login as a warning.
pub const AMQP: Protocol = Protocol {
    scheme: "amqp",
    port: Some(5672),
    carrier: Carrier::Tcp,
    options: &[],
    takes_user: false,
    asks: "the header of AMQP 0-9-1",
    alive: "Connection.Start, or the header of another version",
    failed: "any other method, such as Connection.Close",
    check: super::no_path,
    talk,
};

fn talk(_: &Url, wire: &mut Wire) -> Talked {
    wire.say(b"AMQP\x00\x00\x09\x01")?;
    let head = wire.take(8)?;
    if head.starts_with(b"AMQP") {
        return Ok(format!("it speaks version {}.{}.{}", head[5], head[6], head[7]));
    }
    // A method frame of channel 0, and its length.
    let length = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
    if head[..3] != [1, 0, 0] || !(4..=64 * 1024).contains(&length) {
        return Err(no("AMQP broker", &head));
    }
    // The byte that is read already is the first of it; the last ends the frame.
    let rest = wire.take(usize::try_from(length).unwrap_or(usize::MAX))?;
    let is_start = head[7] == 0 && rest[..3] == [10, 0, 10] && rest.last() == Some(&0xce);
    if is_start {
        Ok("Connection.Start".to_owned())
    } else {
        Err(no("AMQP broker that lets one in", &rest))
    }
}
