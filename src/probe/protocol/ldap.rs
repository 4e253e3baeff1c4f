//! LDAP servers.

#![forbid(unsafe_code)]

use super::{Carrier, Protocol, Talked};
use crate::probe::outcome::Trouble;
use crate::probe::url::Url;
use crate::probe::wire::{Wire, no};

/// An anonymous bind of version 3, as message 1.
const BIND: [u8; 14] =
    [0x30, 0x0c, 0x02, 0x01, 0x01, 0x60, 0x07, 0x02, 0x01, 0x03, 0x04, 0x00, 0x80, 0x00];

/// Unbind, as message 3.
const UNBIND: [u8; 7] = [0x30, 0x05, 0x02, 0x01, 0x03, 0x42, 0x00];

/// Largest answer to a bind.
const LARGEST: usize = 16 * 1024;

/// An anonymous bind (RFC 4511, 4.2), which needs no permission to be answered.
pub const LDAP: Protocol = Protocol {
    scheme: "ldap",
    port: Some(389),
    carrier: Carrier::Tcp,
    options: &[],
    takes_user: false,
    asks: "an anonymous bind, unbind",
    alive: "an answer, also a refusal such as \"inappropriate authentication\" or \"confidentiality required\"",
    failed: "busy (51), unavailable (52), other (80)",
    check: super::no_path,
    talk,
};

fn talk(_: &Url, wire: &mut Wire) -> Talked {
    wire.say(&BIND)?;
    let message = message(wire)?;
    let code = result(&message).ok_or_else(|| no("LDAP server", &message))?;
    wire.part(&UNBIND);
    match code {
        0 => Ok("bound anonymously".to_owned()),
        51 | 52 | 80 => Err(Trouble::unexpected(format!("it serves nobody now: result {code}"))),
        _ => Ok(format!("refused with result {code}")),
    }
}

/// The content of the next message: a SEQUENCE in BER (X.690, 8.1).
fn message(wire: &mut Wire) -> Result<Vec<u8>, Trouble> {
    let head = wire.take(2)?;
    let length = match (head[0], head[1]) {
        (0x30, short @ 0..=0x7f) => usize::from(short),
        (0x30, long @ 0x81..=0x84) => {
            let bytes = wire.take(usize::from(long & 0x7f))?;
            bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
        }
        _ => return Err(no("LDAP server", &[head, wire.pending().to_vec()].concat())),
    };
    if length > LARGEST {
        return Err(Trouble::unexpected(format!(
            "it is no LDAP server: an answer of {length} bytes"
        )));
    }
    wire.take(length)
}

/// The result code of an answer to message 1, or of a notice of disconnection (RFC 4511, 4.4.1).
fn result(message: &[u8]) -> Option<u8> {
    let (id, rest) = element(message, 0x02)?;
    let (answer, _) = match id {
        [1] => element(rest, 0x61)?,
        [0] => element(rest, 0x78)?,
        _ => return None,
    };
    let (code, _) = element(answer, 0x0a)?;
    match code {
        [code] => Some(*code),
        _ => None,
    }
}

/// The content of the element with that tag at the beginning of `bytes`, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, first], rest) = bytes.split_first_chunk::<2>()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    if found == tag { rest.split_at_checked(length) } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn results_of_a_bind() {
        // Length in the short and in the long form, as Active Directory has it.
        assert_eq!(result(b"\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00"), Some(0));
        assert_eq!(result(b"\x02\x01\x01\x61\x84\0\0\0\x07\x0a\x01\x31\x04\x00\x04\x00"), Some(49));
        assert_eq!(result(b"\x02\x01\x00\x78\x07\x0a\x01\x34\x04\x00\x04\x00"), Some(52));
        for wrong in [
            &b"\x02\x01\x02\x61\x03\x0a\x01\x00"[..],
            b"\x02\x01\x01\x65\x03\x0a\x01\x00",
            b"\x02\x01",
            b"",
        ] {
            assert_eq!(result(wrong), None);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_surprise(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = result(&bytes);
            let _ = result(&[b"\x02\x01\x01\x61", &bytes[..]].concat());
        }
    }
}
