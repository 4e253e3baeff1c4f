//! Replies of three digits and a text, as SMTP, FTP and NNTP have them (RFC 5321, 4.2; RFC 959, 4.2; RFC 3977, 3.2).

#![forbid(unsafe_code)]

use crate::probe::outcome::Trouble;
use crate::probe::wire::{Wire, no};

/// Lines of one reply; a greeting with more is none.
const MOST_LINES: usize = 100;

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) code: u16,
    /// Its last line.
    pub(super) text: String,
}

impl Reply {
    /// The next one, of however many lines.
    pub(super) fn read(wire: &mut Wire, of: &str) -> Result<Self, Trouble> {
        for _ in 0..MOST_LINES {
            let line = wire.line(of)?;
            match parse(&line) {
                Some((code, false)) => return Ok(Self { code, text: line }),
                // RFC 959 lets the lines between be anything.
                Some((_, true)) => {}
                None if line.starts_with(' ') => {}
                None => return Err(no(of, line.as_bytes())),
            }
        }
        Err(no(of, b"a reply without an end"))
    }

    /// An interim reply, or one that makes the whole server unavailable for now: the latter is a failure of it, a
    /// permanent one is meant for us.
    pub(super) fn unless_not_now(self) -> Result<Self, Trouble> {
        match self.code {
            400..=499 => Err(Trouble::unexpected(format!("it serves nobody now: {:?}", self.text))),
            _ => Ok(self),
        }
    }
}

/// The code of a line, and whether more lines follow.
fn parse(line: &str) -> Option<(u16, bool)> {
    let code = line.get(..3).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    let code = code.parse().ok().filter(|code| (100..600).contains(code))?;
    match line.as_bytes().get(3) {
        None | Some(b' ') => Some((code, false)),
        Some(b'-') => Some((code, true)),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_replies() {
        for (line, expected) in [
            ("220 ready", Some((220, false))),
            ("220-welcome", Some((220, true))),
            ("220", Some((220, false))),
            ("2200", None),
            ("22", None),
            ("099 x", None),
            ("600 x", None),
            ("+20 x", None),
            ("SSH-2.0-x", None),
            ("22é", None),
            ("", None),
        ] {
            assert_eq!(parse(line), expected, "{line:?}");
        }
    }
}
