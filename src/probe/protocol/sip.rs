//! SIP servers: proxies, registrars, telephone systems.

#![forbid(unsafe_code)]

use std::fmt::Write as _;

use super::{Carrier, Protocol, Talked, random};
use crate::probe::outcome::Trouble;
use crate::probe::url::Url;
use crate::probe::wire::{Wire, no};

/// Lines of a response.
const MOST_LINES: usize = 200;

/// `OPTIONS` to the server itself (RFC 3261, 11). Nobody is called, and the server passes it on to nobody.
pub const SIP: Protocol = Protocol {
    scheme: "sip",
    port: Some(5060),
    carrier: Carrier::Udp,
    options: &[],
    takes_user: false,
    asks: "OPTIONS with Max-Forwards: 0",
    alive: "a response to it, also a refusal such as 403 or 483",
    failed: "408, 5xx (except 501 and 505), 6xx",
    check: super::no_path,
    talk,
};

fn talk(url: &Url, wire: &mut Wire) -> Talked {
    let mut id = String::new();
    for byte in random::<12>()? {
        // A String takes everything.
        let _ = write!(id, "{byte:02x}");
    }
    let question = question(url, &id);
    let mut answer = if url.protocol.carrier == Carrier::Udp {
        let text = wire.answer_to(question.as_bytes(), |answer| is_final(answer, &id))?;
        String::from_utf8_lossy(&text).into_owned()
    } else {
        wire.say(question.as_bytes())?;
        String::new()
    };
    while !is_final(answer.as_bytes(), &id) {
        answer = response(wire)?;
    }
    judged(&answer)
}

/// New numbers each time, or it would look like a repetition of an earlier one.
fn question(url: &Url, id: &str) -> String {
    let (host, port) = (&url.host, url.port);
    let (scheme, transport) = match url.protocol.carrier {
        Carrier::Udp => ("sip", "UDP"),
        Carrier::Tls => ("sips", "TLS"),
        _ => ("sip", "TCP"),
    };
    format!(
        "OPTIONS {scheme}:{host}:{port} SIP/2.0\r\n\
         Via: SIP/2.0/{transport} localhost;branch=z9hG4bK{id};rport\r\n\
         Max-Forwards: 0\r\n\
         To: <{scheme}:{host}:{port}>\r\n\
         From: <sip:probe@localhost>;tag={id}\r\n\
         Call-ID: {id}@localhost\r\n\
         CSeq: 1 OPTIONS\r\n\
         Contact: <sip:probe@localhost>\r\n\
         Accept: application/sdp\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// The head of the next response over a stream, and past its body.
fn response(wire: &mut Wire) -> Result<String, Trouble> {
    let mut head = String::new();
    let mut body = 0;
    for _ in 0..MOST_LINES {
        let line = wire.line("SIP server")?;
        if line.is_empty() && head.is_empty() {
            // Keep-alives (RFC 5626, 3.5.1).
            continue;
        }
        if head.is_empty() && !line.starts_with("SIP/2.0 ") {
            return Err(no("SIP server", line.as_bytes()));
        }
        if line.is_empty() {
            wire.take(body)?;
            return Ok(head);
        }
        if let Some((name, value)) = line.split_once(':')
            && ["content-length", "l"].contains(&name.trim().to_ascii_lowercase().as_str())
        {
            body = value.trim().parse().unwrap_or(0).min(crate::probe::wire::MOST / 2);
        }
        head.push_str(&line);
        head.push('\n');
    }
    Err(no("SIP server", head.as_bytes()))
}

/// Whether it is a response to our question, and not one that only says that another follows (RFC 3261, 7.2).
fn is_final(answer: &[u8], id: &str) -> bool {
    let text = String::from_utf8_lossy(answer);
    code(&text).is_some_and(|code| code >= 200) && text.contains(id)
}

fn code(answer: &str) -> Option<u16> {
    let digits = answer.strip_prefix("SIP/2.0 ")?.get(..3)?;
    digits.parse().ok().filter(|code| (100..700).contains(code))
}

fn judged(answer: &str) -> Talked {
    let line = answer.lines().next().unwrap_or_default().to_owned();
    match code(answer) {
        Some(501 | 505 | 200..=407 | 409..=499) => Ok(line),
        Some(_) => Err(Trouble::unexpected(format!("it serves nobody now: {line:?}"))),
        None => Err(no("SIP server", answer.as_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn responses() {
        for (line, is_alive) in [
            ("SIP/2.0 200 OK", true),
            ("SIP/2.0 403 Forbidden", true),
            ("SIP/2.0 483 Too Many Hops", true),
            ("SIP/2.0 501 Not Implemented", true),
            ("SIP/2.0 408 Request Timeout", false),
            ("SIP/2.0 503 Service Unavailable", false),
            ("HTTP/1.1 200 OK", false),
        ] {
            assert_eq!(judged(line).is_ok(), is_alive, "{line}");
        }
        assert!(!is_final(b"SIP/2.0 100 Trying\r\nCall-ID: 12", "12"));
        assert!(!is_final(b"SIP/2.0 200 OK\r\nCall-ID: 13", "12"));
        assert!(is_final(b"SIP/2.0 200 OK\r\nCall-ID: 12", "12"));
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_surprise(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let text = [b"SIP/2.0 ", &bytes[..]].concat();
            let _ = (is_final(&text, "x"), judged(&String::from_utf8_lossy(&text)));
        }
    }
}
