//! Mosquitto and other brokers of MQTT.

#![forbid(unsafe_code)]

use super::{Carrier, Protocol, Talked};
use crate::probe::outcome::Trouble;
use crate::probe::url::Url;
use crate::probe::wire::{Wire, no};

/// CONNECT of MQTT 3.1.1 with a clean session, ten seconds, and no name, so that it takes over nobody's session.
const CONNECT: [u8; 14] =
    [0x10, 0x0c, 0x00, 0x04, b'M', b'Q', b'T', b'T', 0x04, 0x02, 0x00, 0x0a, 0x00, 0x00];

/// CONNECT without a name, and DISCONNECT (MQTT 3.1.1, 3.1 and 3.2).
pub const MQTT: Protocol = Protocol {
    scheme: "mqtt",
    port: Some(1883),
    carrier: Carrier::Tcp,
    options: &[],
    takes_user: false,
    asks: "CONNECT without a name and with a clean session, DISCONNECT",
    alive: "CONNACK: accepted, another version, a name is wanted, not authorised",
    failed: "CONNACK: server unavailable",
    check: super::no_path,
    talk,
};

fn talk(_: &Url, wire: &mut Wire) -> Talked {
    wire.say(&CONNECT)?;
    let answer = wire.take(4)?;
    if answer[..2] != [0x20, 0x02] {
        return Err(no("MQTT broker", &answer));
    }
    match answer[3] {
        0 => {
            wire.part(&[0xe0, 0x00]);
            Ok("accepted".to_owned())
        }
        1 => Ok("refused: another version".to_owned()),
        2 => Ok("refused: a name is wanted".to_owned()),
        3 => Err(Trouble::unexpected("it serves nobody now: server unavailable")),
        4 | 5 => Ok("refused: not authorised".to_owned()),
        _ => Err(no("MQTT broker", &answer)),
    }
}
