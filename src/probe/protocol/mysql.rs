//! MySQL and MariaDB.

#![forbid(unsafe_code)]

use super::{Carrier, Protocol, Talked};
use crate::probe::outcome::Trouble;
use crate::probe::url::Url;
use crate::probe::wire::{Wire, no, quoted};

/// Largest packet of a greeting or of an answer to a login.
const LARGEST: usize = 16 * 1024;

/// Errors of a server that serves nobody now: too many connections, shutting down, out of memory or threads.
const NOT_NOW: [u16; 5] = [1040, 1053, 1037, 1041, 1135];

/// `CLIENT_LONG_PASSWORD`, `CLIENT_PROTOCOL_41`, `CLIENT_SECURE_CONNECTION`.
const CAPABILITIES: u32 = 0x0001 | 0x0200 | 0x8000;

/// The greeting; with a user in the URL also a login without a password, and a ping if it is let in
/// (<https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html>).
///
/// Without a user the server counts a connection that was broken off, and after 100 in a row from one host
/// (`max_connect_errors`) it lets nobody in from there. It does not count those over the UNIX socket and the loopback address; from another
/// host, give a user.
pub const MYSQL: Protocol = Protocol {
    scheme: "mysql",
    port: Some(3306),
    carrier: Carrier::Tcp,
    options: &["match"],
    takes_user: true,
    asks: "nothing; with a user in the URL, a login without a password, and a ping if that is let in",
    alive: "a greeting, or an error such as \"host is not allowed\"; to a login, any answer",
    failed: "too many connections, shutting down, out of memory or threads; match= is not in the version",
    check: super::no_path,
    talk,
};

fn talk(url: &Url, wire: &mut Wire) -> Talked {
    let (_, greeting) = packet(wire)?;
    let version = match judged(&greeting)? {
        Said::Error(refusal) => return Ok(refusal),
        Said::Other => version(&greeting).ok_or_else(|| no("MySQL server", &greeting))?,
    };
    super::smtp::expect_in(url, &version)?;
    match &url.user {
        Some(user) => log_in(wire, user).map(|outcome| format!("{version}, {outcome}")),
        None => Ok(version),
    }
}

/// What a packet is, for our purposes.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Error(String),
    Other,
}

fn judged(payload: &[u8]) -> Result<Said, Trouble> {
    let [0xff, low, high, text @ ..] = payload else {
        return Ok(Said::Other);
    };
    let number = u16::from_le_bytes([*low, *high]);
    let said = format!("error {number}: {}", quoted(text));
    if NOT_NOW.contains(&number) {
        return Err(Trouble::unexpected(format!("it serves nobody now: {said}")));
    }
    Ok(Said::Error(said))
}

/// The number and the content of the next packet.
fn packet(wire: &mut Wire) -> Result<(u8, Vec<u8>), Trouble> {
    let head = wire.take(4)?;
    let length = usize::from(head[0]) | usize::from(head[1]) << 8 | usize::from(head[2]) << 16;
    if length == 0 || length > LARGEST {
        return Err(no("MySQL server", &[head, wire.pending().to_vec()].concat()));
    }
    Ok((head[3], wire.take(length)?))
}

/// The version in a greeting of protocol 10.
fn version(greeting: &[u8]) -> Option<String> {
    let text = greeting.strip_prefix(&[10])?;
    let end = text.iter().position(|byte| *byte == 0).filter(|end| (1..200).contains(end))?;
    let text = std::str::from_utf8(&text[..end]).ok()?;
    Some(text.strip_prefix("5.5.5-").unwrap_or(text).to_owned())
}

fn log_in(wire: &mut Wire, user: &str) -> Talked {
    let mut login = CAPABILITIES.to_le_bytes().to_vec();
    login.extend((1u32 << 24).to_le_bytes());
    // utf8_general_ci, which all versions know; then what is reserved.
    login.push(33);
    login.extend([0; 23]);
    login.extend(user.bytes());
    // The name's end, and a password of no bytes.
    login.extend([0, 0]);
    say(wire, 1, &login)?;
    let (mut number, mut answer) = packet(wire)?;
    if answer[0] == 0xfe {
        // It wants another kind of password: none is none of any kind.
        say(wire, number.wrapping_add(1), &[])?;
        (number, answer) = packet(wire)?;
    }
    match (judged(&answer)?, answer[0], number) {
        (Said::Error(refusal), ..) => Ok(refusal),
        (Said::Other, 0, _) => {
            say(wire, 0, &[0x0e])?;
            let (_, answer) = packet(wire)?;
            wire.part(&[1, 0, 0, 0, 1]);
            match (judged(&answer)?, answer[0]) {
                (Said::Other, 0) => Ok("ping answered".to_owned()),
                _ => {
                    Err(Trouble::unexpected(format!("it answered a ping with {}", quoted(&answer))))
                }
            }
        }
        // It goes on about the password.
        (Said::Other, 1 | 0xfe, _) => Ok("asked for a password".to_owned()),
        _ => Err(no("MySQL server", &answer)),
    }
}

fn say(wire: &mut Wire, number: u8, payload: &[u8]) -> Result<(), Trouble> {
    let length = u32::try_from(payload.len()).unwrap_or_default().to_le_bytes();
    wire.say(&[&length[..3], &[number], payload].concat())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn versions() {
        assert_eq!(version(b"\x0a5.5.5-10.11.6-MariaDB\0rest").as_deref(), Some("10.11.6-MariaDB"));
        assert_eq!(version(b"\x0a8.0.36\0").as_deref(), Some("8.0.36"));
        for wrong in [&b"\x09x\0"[..], b"\x0a\0", b"\x0a8.0", b""] {
            assert_eq!(version(wrong), None);
        }
    }

    #[test]
    fn errors() {
        assert!(
            matches!(judged(b"\xff\x6a\x04Host is not allowed").unwrap(), Said::Error(text) if text.contains("1130"))
        );
        judged(b"\xff\x10\x04Too many connections").unwrap_err();
        assert_eq!(judged(b"\xff").unwrap(), Said::Other);
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_surprise(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = (version(&bytes), judged(&bytes));
        }
    }
}
