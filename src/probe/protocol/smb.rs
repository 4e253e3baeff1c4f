//! Samba and other servers of SMB 2 and 3.

#![forbid(unsafe_code)]

use super::{Carrier, Protocol, Talked};
use crate::probe::outcome::Trouble;
use crate::probe::url::Url;
use crate::probe::wire::{Wire, no};

/// No dialect in common: a refusal (MS-ERREF, `STATUS_NOT_SUPPORTED`).
const NOT_SUPPORTED: u32 = 0xc000_00bb;

/// Dialects 2.0.2, 2.1, 3.0 and 3.0.2. The one after them would need contexts.
const DIALECTS: [u16; 4] = [0x0202, 0x0210, 0x0300, 0x0302];

/// NEGOTIATE, which begins no session (MS-SMB2, 2.2.3 and 2.2.4).
pub const SMB: Protocol = Protocol {
    scheme: "smb",
    port: Some(445),
    carrier: Carrier::Tcp,
    options: &[],
    takes_user: false,
    asks: "NEGOTIATE",
    alive: "a response, also that there is no dialect in common",
    failed: "any other status",
    check: super::no_path,
    talk,
};

fn question() -> Vec<u8> {
    let mut message = b"\xfeSMB".to_vec();
    message.extend(64u16.to_le_bytes());
    message.resize(14, 0);
    // One credit asked for; all else of the header is zero.
    message.extend(1u16.to_le_bytes());
    message.resize(64, 0);
    // The size of the body, how many dialects, and that signing is possible.
    for word in [36, 4, 1] {
        message.extend(u16::to_le_bytes(word));
    }
    message.resize(64 + 36, 0);
    message.extend(DIALECTS.iter().flat_map(|dialect| dialect.to_le_bytes()));
    let length = u32::try_from(message.len()).unwrap_or_default();
    [length.to_be_bytes().to_vec(), message].concat()
}

fn talk(_: &Url, wire: &mut Wire) -> Talked {
    wire.say(&question())?;
    let head = wire.take(4 + 64)?;
    let (frame, head) = head.split_at(4);
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let is_response = head[12..14] == [0, 0] && head[16] & 1 == 1;
    if frame[0] != 0 || head[..4] != *b"\xfeSMB" || !is_response {
        return Err(no("SMB server", head));
    }
    match word(8) {
        0 => Ok("a response".to_owned()),
        NOT_SUPPORTED => Ok("no dialect in common".to_owned()),
        status => Err(Trouble::unexpected(format!("it answered with status {status:#010x}"))),
    }
}
