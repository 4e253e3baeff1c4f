//! Name servers.

#![forbid(unsafe_code)]

use super::{Carrier, Protocol, Talked, random};
use crate::probe::location::decoded;
use crate::probe::outcome::Trouble;
use crate::probe::url::Url;
use crate::probe::wire::{Wire, no};

/// Largest answer over TCP that is looked at.
const LARGEST: usize = 16 * 1024;

/// The types that can be asked for (RFC 1035, 3.2.2; RFC 3596).
const TYPES: [(&str, u16); 9] = [
    ("A", 1),
    ("NS", 2),
    ("CNAME", 5),
    ("SOA", 6),
    ("PTR", 12),
    ("MX", 15),
    ("TXT", 16),
    ("AAAA", 28),
    ("SRV", 33),
];

/// One question (RFC 1035, 4). The URL is that of RFC 4501: `dns://server/name?type=SOA`.
///
/// Without a name it is about the root, and the server is not to ask others: any answer is a sign of life. With a name,
/// the server has to know it: ask an authoritative server for the SOA of one of its zones.
pub const DNS: Protocol = Protocol {
    scheme: "dns",
    port: Some(53),
    carrier: Carrier::Udp,
    options: &["recurse"],
    takes_user: false,
    asks: "the name servers of the root, or the name and the type in the URL",
    alive: "any answer; if the URL has a name, an answer that has records for it",
    failed: "if the URL has a name: an error, or no records",
    check: |url| Question::of(url).map(drop),
    talk,
};

/// What is asked for.
#[derive(Debug)]
struct Question {
    /// The name in the form of RFC 1035, 3.1; empty for the root.
    name: Vec<u8>,
    kind: u16,
    /// Whether an administrator asks for a name of his own.
    is_given: bool,
}

impl Question {
    fn of(url: &Url) -> Result<Self, String> {
        let name = decoded(url.path.trim_start_matches('/'))?;
        let kind = match url.query.as_deref() {
            None if name.is_empty() => 2,
            None => 1,
            Some(query) => {
                let word = query.strip_prefix("type=").unwrap_or_default().to_ascii_uppercase();
                let known = TYPES.iter().find(|(name, _)| *name == word);
                let all = || TYPES.map(|(name, _)| name).join(" ");
                known
                    .ok_or_else(|| format!("{query:?} is no type; give ?type= one of {}", all()))?
                    .1
            }
        };
        Ok(Self { is_given: !name.is_empty(), name: labels(&name)?, kind })
    }

    fn message(&self, id: [u8; 2], recurse: bool) -> Vec<u8> {
        let mut message = id.to_vec();
        message.extend([u8::from(recurse), 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        message.extend(&self.name);
        message.push(0);
        message.extend(self.kind.to_be_bytes());
        message.extend([0, 1]);
        message
    }
}

/// The name's labels, each behind its length.
fn labels(name: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    for label in name.strip_suffix('.').unwrap_or(name).split('.').filter(|_| !name.is_empty()) {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length));
        bytes.push(length.ok_or_else(|| format!("{name:?} is no name of the DNS"))?);
        bytes.extend(label.bytes());
    }
    if bytes.len() > 254 { Err(format!("{name:?} is too long for a name")) } else { Ok(bytes) }
}

fn talk(url: &Url, wire: &mut Wire) -> Talked {
    let question = Question::of(url).map_err(Trouble::unexpected)?;
    let id = random()?;
    let message = question.message(id, url.options.recurse);
    let answer = if url.protocol.carrier == Carrier::Udp {
        wire.answer_to(&message, |answer| answer.starts_with(&id) && answer.len() >= 12)?
    } else {
        let length = u16::try_from(message.len()).unwrap_or_default();
        wire.say(&[&length.to_be_bytes()[..], &message].concat())?;
        let head = wire.take(2)?;
        let length = usize::from(u16::from_be_bytes([head[0], head[1]]));
        if !(12..=LARGEST).contains(&length) {
            return Err(no("name server", &[head, wire.pending().to_vec()].concat()));
        }
        wire.take(length)?
    };
    judged(&answer, id, &question)
}

fn judged(answer: &[u8], id: [u8; 2], question: &Question) -> Talked {
    let Some(head) =
        answer.first_chunk::<12>().filter(|head| head[..2] == id && head[2] & 0xf8 == 0x80)
    else {
        return Err(no("name server", answer));
    };
    let records = u16::from_be_bytes([head[6], head[7]]);
    let said = match head[3] & 0x0f {
        0 => format!("{records} record(s)"),
        1 => "the question is malformed".to_owned(),
        2 => "server failure".to_owned(),
        3 => "there is no such name".to_owned(),
        5 => "refused".to_owned(),
        code => format!("error {code}"),
    };
    if question.is_given && (head[3] & 0x0f != 0 || records == 0) {
        return Err(Trouble::unexpected(format!(
            "it answered: {said}; ask for a name that it knows"
        )));
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn question(url: &str) -> Question {
        Question::of(&url.parse().unwrap()).unwrap()
    }

    #[test]
    fn a_question_is_as_the_rfc_has_it() {
        let message = question("dns://192.0.2.1/example.org?type=soa").message([1, 2], true);
        assert_eq!(message, b"\x01\x02\x01\0\0\x01\0\0\0\0\0\0\x07example\x03org\0\0\x06\0\x01");
        let message = question("dns://192.0.2.1").message([1, 2], false);
        assert_eq!(message, b"\x01\x02\0\0\0\x01\0\0\0\0\0\0\0\0\x02\0\x01");
    }

    #[test]
    fn answers() {
        let (root, own) = (question("dns://192.0.2.1"), question("dns://192.0.2.1/a"));
        let refused = b"\x01\x02\x80\x05\0\x01\0\0\0\0\0\0";
        judged(refused, [1, 2], &root).unwrap();
        judged(refused, [1, 2], &own).unwrap_err();
        judged(b"\x01\x02\x80\x00\0\x01\0\x01\0\0\0\0", [1, 2], &own).unwrap();
        judged(b"\x01\x02\x80\x00\0\x01\0\0\0\0\0\0", [1, 2], &own).unwrap_err();
        // A question, another one's answer, half an answer.
        for wrong in [
            &b"\x01\x02\0\0\0\x01\0\0\0\0\0\0"[..],
            b"\x01\x03\x80\0\0\x01\0\0\0\0\0\0",
            b"\x01\x02\x80",
        ] {
            judged(wrong, [1, 2], &root).unwrap_err();
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_surprise(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = judged(&bytes, [0, 0], &question("dns://192.0.2.1/a"));
        }
    }
}
