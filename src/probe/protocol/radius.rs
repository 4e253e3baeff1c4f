//! RADIUS servers.

#![forbid(unsafe_code)]

use std::path::Path;

use super::{Carrier, Protocol, Talked, random};
use crate::error::cause;
use crate::probe::md5::{digest, hmac};
use crate::probe::outcome::{Phase, Trouble};
use crate::probe::url::Url;
use crate::probe::wire::{Wire, no};

/// Longest secret, in bytes; a file with more is another one.
const LONGEST_SECRET: usize = 4096;

/// Status-Server (RFC 5997), which asks whether the server is there and nothing else. The answer proves that the server knows
/// the secret, as does the question.
///
/// The server has to know this host as a client, and to answer that question (`FreeRADIUS`: `status_server = yes`).
pub const RADIUS: Protocol = Protocol {
    scheme: "radius",
    port: Some(1812),
    carrier: Carrier::Udp,
    options: &["secretfile"],
    takes_user: false,
    asks: "Status-Server, with the secret in secretfile=",
    alive: "an answer that was made with the same secret",
    failed: "an answer that was not",
    check: |url| {
        super::no_path(url)?;
        let given = url.options.secret.is_some();
        if given {
            Ok(())
        } else {
            Err("RADIUS answers no stranger; give secretfile=FILE".to_owned())
        }
    },
    talk,
};

fn talk(url: &Url, wire: &mut Wire) -> Talked {
    let secret = url.options.secret.as_deref().map(secret).transpose()?.unwrap_or_default();
    let [id, authenticator @ ..] = random::<17>()?;
    let question = question(id, &authenticator, &secret);
    let answer = wire.answer_to(&question, |answer| answer.len() >= 20 && answer[1] == id)?;
    if !is_proven(&answer, &authenticator, &secret) {
        return Err(Trouble::unexpected(
            "its answer was made with another secret; look at secretfile",
        ));
    }
    match answer[0] {
        2 | 3 | 5 | 11 => Ok("an answer".to_owned()),
        _ => Err(no("RADIUS server", &answer)),
    }
}

/// The first line of the file.
fn secret(path: &Path) -> Result<Vec<u8>, Trouble> {
    let wrong =
        |why: String| Trouble { phase: Phase::Connect, why: format!("{}: {why}", path.display()) };
    let bytes = std::fs::read(path).map_err(|error| wrong(cause(&error)))?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    match line.len() {
        0 => Err(wrong("there is no secret in it".to_owned())),
        1..=LONGEST_SECRET => Ok(line.to_vec()),
        _ => Err(wrong("that is too long for a secret".to_owned())),
    }
}

/// Code 12, and a Message-Authenticator, which RFC 5997 demands (3).
fn question(id: u8, authenticator: &[u8; 16], secret: &[u8]) -> Vec<u8> {
    let mut packet = vec![12, id, 0, 38];
    packet.extend(authenticator);
    packet.extend([80, 18]);
    packet.extend([0; 16]);
    let proof = hmac(secret, &packet);
    packet[22..].copy_from_slice(&proof);
    packet
}

/// Whether the Response Authenticator is right (RFC 2865, 3).
fn is_proven(answer: &[u8], asked: &[u8; 16], secret: &[u8]) -> bool {
    let length =
        answer.get(2..4).map(|bytes| usize::from(u16::from_be_bytes([bytes[0], bytes[1]])));
    // What follows the length in a datagram is padding.
    let Some(answer) =
        length.filter(|length| *length >= 20).and_then(|length| answer.get(..length))
    else {
        return false;
    };
    digest(&[&answer[..4], asked, &answer[20..], secret].concat()) == answer[4..20]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(hexadecimal: &str) -> Vec<u8> {
        let digits: Vec<char> = hexadecimal.chars().filter(|c| !c.is_whitespace()).collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap())
            .collect()
    }

    /// The examples of RFC 5997, 6.1, with the secret "xyzzy5461".
    #[test]
    fn question_and_answer_of_the_rfc() {
        let authenticator: [u8; 16] = bytes("8a54f4686fb394c52866e302185d0623").try_into().unwrap();
        let asked =
            bytes("0cda00268a54f4686fb394c52866e302185d062350125a665e2e1e8411f3e243822097c84fa3");
        assert_eq!(question(0xda, &authenticator, b"xyzzy5461"), asked);
        let answer = bytes("02da0014ef0d552a4bf2d693ec2b6fe8b5411d66");
        assert!(is_proven(&answer, &authenticator, b"xyzzy5461"));
        assert!(!is_proven(&answer, &authenticator, b"xyzzy"));
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_surprise(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            prop_assert!(!is_proven(&bytes, &[0; 16], b"x"));
        }
    }
}
