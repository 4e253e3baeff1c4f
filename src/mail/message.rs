//! A mail as text: RFC 5322, with what is not ASCII encoded so that any mail server may carry it.

#![forbid(unsafe_code)]

use std::fmt::Write as _;

use jiff::Zoned;
use jiff::fmt::rfc2822;

use crate::param::values::Mailbox;

/// Longest line of an encoded text, in characters (RFC 2045, 6.7 and RFC 2047, 2).
const LINE: usize = 76;

/// Length up to which a subject stays as it is; a line must have no more than 998 octets (RFC 5322, 2.1.1).
const LONGEST_PLAIN: usize = 900;

/// What stands around an encoded word (RFC 2047, 2).
const BEGIN: &str = "=?UTF-8?Q?";
const END: &str = "?=";

/// A mail.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    /// Whose it is.
    pub from: &'a Mailbox,
    /// Who gets it.
    pub to: &'a [Mailbox],
    /// Its subject; any text.
    pub subject: &'a str,
    /// Its text.
    pub body: &'a str,
    /// When it was written.
    pub date: &'a Zoned,
}

impl Message<'_> {
    /// All of it, with lines that end in `\n`.
    #[must_use]
    pub fn text(&self) -> String {
        let to: Vec<String> = self.to.iter().map(ToString::to_string).collect();
        let date = rfc2822::to_string(self.date).unwrap_or_default();
        let plain =
            self.body.is_ascii() && self.body.lines().all(|line| line.len() <= LONGEST_PLAIN);
        let (encoding, body) = if plain {
            ("7bit", self.body.to_owned())
        } else {
            ("quoted-printable", quoted_printable(self.body))
        };
        // Auto-Submitted: nobody's absence note should answer this (RFC 3834, 5).
        format!(
            "Date: {date}\n\
             Message-ID: <{}>\n\
             From: {}\n\
             To: {}\n\
             Subject: {}\n\
             Auto-Submitted: auto-generated\n\
             MIME-Version: 1.0\n\
             Content-Type: text/plain; charset=UTF-8\n\
             Content-Transfer-Encoding: {encoding}\n\
             \n\
             {}\n",
            self.identity(),
            self.from,
            // Addresses have no blanks, so that each may begin a line.
            to.join(",\n "),
            encoded_subject(self.subject),
            body.trim_end_matches('\n')
        )
    }

    /// Differs from that of every other mail: a moment, a process, a host.
    fn identity(&self) -> String {
        let moment = self.date.timestamp().as_nanosecond();
        format!("{moment}.{}@{}", std::process::id(), self.from.domain().unwrap_or("localhost"))
    }
}

/// A subject for a header: as it is, or in encoded words (RFC 2047).
fn encoded_subject(subject: &str) -> String {
    let subject = subject.replace(char::is_control, " ");
    let plain = subject.is_ascii() && !subject.contains("=?") && subject.len() <= LONGEST_PLAIN;
    if plain {
        return subject;
    }
    let mut words = vec![String::new()];
    for character in subject.chars() {
        let mut encoded = String::new();
        for byte in character.to_string().bytes() {
            match byte {
                b' ' => encoded.push('_'),
                _ if byte.is_ascii_alphanumeric() || b"!*+-/".contains(&byte) => {
                    encoded.push(char::from(byte));
                }
                _ => hexadecimal(&mut encoded, byte),
            }
        }
        // A character is never cut in two.
        let room = LINE - 1 - BEGIN.len() - END.len();
        match words.last_mut() {
            Some(word) if word.len() + encoded.len() <= room => word.push_str(&encoded),
            _ => words.push(encoded),
        }
    }
    let words: Vec<String> = words.iter().map(|word| format!("{BEGIN}{word}{END}")).collect();
    words.join("\n ")
}

/// RFC 2045, 6.7.
fn quoted_printable(text: &str) -> String {
    let mut encoded = String::new();
    for line in text.lines() {
        let mut column = 0;
        let bytes = line.as_bytes();
        for (at, byte) in bytes.iter().enumerate() {
            let last = at + 1 == bytes.len();
            let plain = (byte.is_ascii_graphic() && *byte != b'=') || (*byte == b' ' && !last);
            let width = if plain { 1 } else { 3 };
            if column + width >= LINE {
                encoded.push_str("=\n");
                column = 0;
            }
            if plain {
                encoded.push(char::from(*byte));
            } else {
                hexadecimal(&mut encoded, *byte);
            }
            column += width;
        }
        encoded.push('\n');
    }
    encoded
}

fn hexadecimal(text: &mut String, byte: u8) {
    let _ = write!(text, "={byte:02X}");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(subject: &str, body: &str) -> String {
        let mailbox = |raw: &str| raw.parse::<Mailbox>().unwrap();
        let to = [mailbox("a@example.org"), mailbox("root")];
        let date: Zoned = "2026-11-21T02:00:01+01:00[+01:00]".parse().unwrap();
        let from = mailbox("root@node1.example.org");
        Message { from: &from, to: &to, subject, body, date: &date }.text()
    }

    /// The bytes behind `=XX`, as a receiver reads them.
    fn unhexed(text: &str) -> Vec<u8> {
        let mut bytes = text.bytes();
        let mut read = Vec::new();
        while let Some(byte) = bytes.next() {
            if byte == b'=' {
                let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                read.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
            } else {
                read.push(byte);
            }
        }
        read
    }

    fn header<'a>(mail: &'a str, name: &str) -> &'a str {
        let start = mail.find(&format!("\n{name}: ")).unwrap() + name.len() + 3;
        let rest = &mail[start..];
        let end =
            rest.match_indices('\n').find(|(at, _)| !rest[at + 1..].starts_with(' ')).unwrap().0;
        &rest[..end]
    }

    #[test]
    fn a_plain_mail() {
        let mail = written("Web Takeover", "It moved.\n");
        assert!(
            mail.starts_with(
                "Date: Sat, 21 Nov 2026 02:00:01 +0100\nMessage-ID: <1795222801000000000."
            ),
            "{mail}"
        );
        assert!(header(&mail, "Message-ID").ends_with("@node1.example.org>"), "{mail}");
        assert_eq!(header(&mail, "To"), "a@example.org,\n root");
        assert_eq!(header(&mail, "Subject"), "Web Takeover");
        assert_eq!(header(&mail, "Auto-Submitted"), "auto-generated");
        assert!(mail.ends_with("Content-Transfer-Encoding: 7bit\n\nIt moved.\n"), "{mail}");
    }

    #[test]
    fn what_is_not_ascii_is_encoded() {
        let mail = written("Übernahme", "für Sie\n");
        assert_eq!(header(&mail, "Subject"), "=?UTF-8?Q?=C3=9Cbernahme?=");
        assert!(mail.ends_with("quoted-printable\n\nf=C3=BCr Sie\n"), "{mail}");
        assert_eq!(header(&written("=?x?=", ""), "Subject"), "=?UTF-8?Q?=3D=3Fx=3F=3D?=");
    }

    proptest! {
        #[test]
        fn any_subject_is_one_header_and_is_read_back(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let subject = String::from_utf8_lossy(&bytes);
            let mail = written(&subject, "text");
            let (head, body) = mail.split_once("\n\n").unwrap();
            prop_assert_eq!(body, "text\n");
            prop_assert!(head.is_ascii() && head.lines().all(|line| line.len() <= 998));
            let names: Vec<&str> = head.lines().filter(|line| !line.starts_with(' ')).map(|line| line.split(':').next().unwrap()).collect();
            prop_assert_eq!(names.join(" "), "Date Message-ID From To Subject Auto-Submitted MIME-Version Content-Type Content-Transfer-Encoding");
            let raw = header(&mail, "Subject");
            let expected = subject.replace(char::is_control, " ");
            if let Some(words) = raw.strip_prefix("=?UTF-8?Q?") {
                let mut read = Vec::new();
                for word in words.trim_end_matches("?=").split("?=\n =?UTF-8?Q?") {
                    prop_assert!(word.len() <= 63);
                    let part = unhexed(&word.replace('_', " "));
                    prop_assert!(std::str::from_utf8(&part).is_ok(), "a word holds whole characters");
                    read.extend(part);
                }
                prop_assert_eq!(String::from_utf8(read).unwrap(), expected);
            } else {
                prop_assert_eq!(raw, expected);
            }
        }

        #[test]
        fn any_body_is_read_back(body in "(\\PC{0,120}\n){0,5}") {
            let mail = written("x", &format!("ä\n{body}end"));
            let encoded = mail.split_once("\n\n").unwrap().1;
            prop_assert!(encoded.is_ascii() && encoded.lines().all(|line| line.len() <= 76));
            let read = String::from_utf8(unhexed(&encoded.replace("=\n", ""))).unwrap();
            prop_assert_eq!(read, format!("ä\n{body}end\n"));
        }
    }
}
