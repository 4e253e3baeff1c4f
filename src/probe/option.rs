//! What stands behind the `#` of a probe's URL, where no server ever sees it.

#![forbid(unsafe_code)]

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use regex::bytes::Regex;

use super::location::{Host, decoded};
use crate::host::source::Source;
use crate::param::Value;
use crate::param::values::InterfaceName;

/// Largest program that a regular expression is compiled to, in bytes.
const LARGEST_PATTERN: usize = 1 << 20;

/// An option, and what it is for: the rows of the table in the manual.
pub const ALL: [(&str, &str); 17] = [
    ("timeout", "how long one look may take, such as 2s or 500ms; 5s if not given"),
    ("bind", "the interface or the address of this host that the probe leaves from"),
    ("socket", "connect to this UNIX socket instead of host and port"),
    (
        "match",
        "a regular expression that has to be found in what the server says; (?i) ignores case",
    ),
    ("send", "what is sent first, percent-encoded"),
    ("status", "the status codes that are expected, such as 200,300-399"),
    ("method", "GET (the default) or HEAD"),
    ("follow", "how many redirections are followed, at most 10; 0 if not given"),
    ("close", "1: a server that takes the question and closes the connection is alive too"),
    ("host", "the name that the server is addressed by, if it is not the host connected to"),
    ("sni", "the name that is asked for in TLS and has to be in the certificate"),
    ("ca", "a file of CA certificates (PEM) to trust instead of the system's"),
    ("fingerprint", "trust only the certificate with this SHA-256, whoever signed it: sha256:…"),
    ("insecure", "1: trust any certificate; anybody could answer in the server's place"),
    ("recurse", "1: let the server ask others for the name"),
    ("secretfile", "a file with the secret that is shared with the server"),
    ("binary", "1: speak the binary protocol, for servers with SASL"),
];

/// The options of a probe.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How long one look may take.
    pub timeout: Option<Duration>,
    /// Where the packets leave from.
    pub bind: Option<Source>,
    /// A UNIX socket in the place of host and port.
    pub socket: Option<PathBuf>,
    /// What has to be found in the answer.
    pub matches: Option<Pattern>,
    /// What is sent first.
    pub send: Option<String>,
    /// The status codes that are expected.
    pub status: Option<Statuses>,
    /// Whether only the head of a page is asked for.
    pub head_only: bool,
    /// How many redirections are followed.
    pub follow: u8,
    /// Whether a server that closes the connection without an answer is alive.
    pub closes: bool,
    /// `user:password` for the server, if it asks for one; no text of a URL sets it, so that none shows it.
    pub login: Option<String>,
    /// The name the server is addressed by.
    pub host: Option<Host>,
    /// The name in TLS.
    pub sni: Option<Host>,
    /// Whom to trust.
    pub trust: Trust,
    /// Whether the server may ask others.
    pub recurse: bool,
    /// Where the shared secret stands.
    pub secret: Option<PathBuf>,
    /// Whether the binary protocol is spoken.
    pub binary: bool,
}

/// Which certificate of a server is believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// One with the right name, signed by a CA that the system trusts.
    #[default]
    System,
    /// One with the right name, signed by a CA in this file.
    File(PathBuf),
    /// The one with this SHA-256.
    Pinned([u8; 32]),
    /// Any.
    Anybody,
}

/// A regular expression.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl Pattern {
    fn parse(text: &str) -> Result<Self, String> {
        let built = regex::bytes::RegexBuilder::new(text).size_limit(LARGEST_PATTERN).build();
        let why = |error: regex::Error| {
            // The last line says it; those before draw a picture.
            let text = error.to_string();
            text.lines()
                .last()
                .unwrap_or_default()
                .trim_start_matches("error: ")
                .trim_end_matches('.')
                .to_owned()
        };
        built.map(Self).map_err(|error| {
            format!("option match: {text:?} is no regular expression: {}", why(error))
        })
    }

    /// Whether it is found anywhere in `bytes`.
    #[must_use]
    pub fn is_in(&self, bytes: &[u8]) -> bool {
        self.0.is_match(bytes)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

/// Status codes of three digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statuses {
    ranges: Vec<RangeInclusive<u16>>,
    text: String,
}

impl Statuses {
    /// `200`, `200,204`, `200-399`.
    ///
    /// # Errors
    /// It is none of these.
    pub fn parse(text: &str) -> Result<Self, String> {
        let code = |word: &str| {
            let digits = word.len() == 3 && word.bytes().all(|byte| byte.is_ascii_digit());
            word.parse().ok().filter(|code| digits && (100..=599).contains(code))
        };
        let range = |word: &str| {
            let (first, last) = word.split_once('-').unwrap_or((word, word));
            let range = code(first)?..=code(last)?;
            (!range.is_empty()).then_some(range)
        };
        let ranges: Option<Vec<_>> = text.split(',').map(range).collect();
        let accepts = "status codes; give such as 200 or 200,300-399";
        let ranges = ranges.ok_or_else(|| format!("option status: {text:?} is not {accepts}"))?;
        Ok(Self { ranges, text: text.to_owned() })
    }

    /// Whether `code` is one of them.
    #[must_use]
    pub fn contain(&self, code: u16) -> bool {
        self.ranges.iter().any(|range| range.contains(&code))
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Options {
    /// What stands behind the `#`: `name=value`, separated by `&`, percent-encoded; of the names only `allowed`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, scheme: &str, allowed: &[&str]) -> Result<Self, String> {
        let mut options = Self::default();
        let mut given = Vec::new();
        for word in text.split('&').filter(|_| !text.is_empty()) {
            let Some((name, value)) = word.split_once('=') else {
                return Err(format!("{word:?} behind the # is no option; write name=value"));
            };
            if !allowed.contains(&name) {
                return Err(format!(
                    "{scheme} has no option {name:?}; it has {}",
                    allowed.join(", ")
                ));
            }
            if given.contains(&name) {
                return Err(format!("option {name} is given twice"));
            }
            options.set(name, &decoded(value)?)?;
            given.push(name);
        }
        let trusts = ["ca", "fingerprint", "insecure"].iter().filter(|name| given.contains(name));
        if trusts.count() > 1 {
            return Err("of the options ca, fingerprint and insecure only one can hold".to_owned());
        }
        if options.socket.is_some() && options.bind.is_some() {
            return Err("a UNIX socket leaves from nowhere: give socket or bind".to_owned());
        }
        Ok(options)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "timeout" => self.timeout = Some(time(value)?),
            "bind" => self.bind = Some(source(value)?),
            "socket" => self.socket = Some(path(name, value)?),
            "match" => self.matches = Some(Pattern::parse(value)?),
            "send" => self.send = Some(value.to_owned()),
            "status" => self.status = Some(Statuses::parse(value)?),
            "method" => self.head_only = head_only(value)?,
            "follow" => self.follow = follow(value)?,
            "close" => self.closes = truth(name, value)?,
            "host" => self.host = Some(host(name, value)?),
            "sni" => self.sni = Some(host(name, value)?),
            "ca" => self.trust = Trust::File(path(name, value)?),
            "fingerprint" => self.trust = Trust::Pinned(fingerprint(value)?),
            "insecure" => {
                if truth(name, value)? {
                    self.trust = Trust::Anybody;
                }
            }
            "recurse" => self.recurse = truth(name, value)?,
            "secretfile" => self.secret = Some(path(name, value)?),
            "binary" => self.binary = truth(name, value)?,
            _ => return Err(format!("there is no option {name:?}")),
        }
        Ok(())
    }
}

/// `2s`, `500ms`, or seconds without a unit.
fn time(text: &str) -> Result<Duration, String> {
    let (digits, unit) = match text.strip_suffix("ms") {
        Some(digits) => (digits, 1e-3),
        None => (text.strip_suffix('s').unwrap_or(text), 1.0),
    };
    let shaped = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number = shaped.then(|| digits.parse::<f64>().ok()).flatten();
    let time = number.and_then(|number| Duration::try_from_secs_f64(number * unit).ok());
    time.filter(|time| (Duration::from_millis(1)..=Duration::from_hours(1)).contains(time))
        .ok_or_else(|| {
            format!("option timeout: {text:?} is no time; give 1ms to 3600s, such as 2s or 500ms")
        })
}

fn source(text: &str) -> Result<Source, String> {
    if let Ok(ip) = text.trim_matches(['[', ']']).parse() {
        return Ok(Source::Address(ip));
    }
    let name = InterfaceName::parse(text.as_ref());
    name.map(Source::Interface)
        .map_err(|_| format!("option bind: {text:?} is neither an address nor an interface"))
}

fn path(name: &str, text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let valid = path.is_absolute() && path.file_name().is_some() && !text.contains('\0');
    if valid {
        Ok(path)
    } else {
        Err(format!("option {name}: {text:?} is no absolute path of a file"))
    }
}

fn host(name: &str, text: &str) -> Result<Host, String> {
    let parsed = if text.is_empty() { Err("it is empty".to_owned()) } else { Host::parse(text) };
    parsed.map_err(|why| format!("option {name}: {why}"))
}

fn head_only(text: &str) -> Result<bool, String> {
    match text {
        "GET" => Ok(false),
        "HEAD" => Ok(true),
        _ => Err(format!(
            "option method: {text:?} is neither GET nor HEAD; others may change something"
        )),
    }
}

fn follow(text: &str) -> Result<u8, String> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| digits && *number <= 10);
    number.ok_or_else(|| format!("option follow: {text:?} is no number from 0 to 10"))
}

fn truth(name: &str, text: &str) -> Result<bool, String> {
    match text {
        "1" | "yes" | "true" => Ok(true),
        "0" | "no" | "false" => Ok(false),
        _ => Err(format!("option {name}: {text:?} is neither 1 nor 0")),
    }
}

/// `sha256:` and 64 hexadecimal digits, with colons between the bytes or without, as `openssl x509 -fingerprint` has it.
fn fingerprint(text: &str) -> Result<[u8; 32], String> {
    let wrong =
        || format!("option fingerprint: {text:?} is none; give sha256: and 64 hexadecimal digits");
    let digits = text.strip_prefix("sha256:").ok_or_else(wrong)?.replace(':', "");
    if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).map_err(|_| wrong())?;
    }
    Ok(bytes)
}
