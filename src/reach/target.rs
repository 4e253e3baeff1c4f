//! Hosts as an administrator names them.

#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::fmt;
use std::net::IpAddr;

use crate::host::probe::Means;
use crate::host::source::Source;
use crate::param::values::InterfaceName;
use crate::param::{Kind, Value, quoted};

/// More than anybody needs, and few enough for one process's open files.
const MOST: usize = 100;

/// One host that is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// As it was given.
    words: String,
    /// Its address or name.
    pub host: Host,
    /// How it is asked.
    pub means: Means,
    /// The port for [`Means::Connect`].
    pub port: u16,
}

/// An address, or a name that has to be looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// An address.
    Address(IpAddr),
    /// A name, or a link-local address with its interface (`fe80::1%eth0`), which the C library reads.
    Name(String),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl Target {
    /// `host`, or `tcp:host:port`, where an IPv6 address stands in brackets.
    fn read(words: &str) -> Option<Self> {
        let (host, means, port) = match words.strip_prefix("tcp:") {
            Some(rest) => {
                let (host, port) = rest.rsplit_once(':')?;
                let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
                // Without brackets nobody knows where the address ends.
                if bare.is_none() && host.contains(':') {
                    return None;
                }
                let digits = port.bytes().all(|byte| byte.is_ascii_digit());
                let port = port.parse().ok().filter(|port| digits && *port > 0)?;
                (bare.unwrap_or(host), Means::Connect, port)
            }
            None => (words, Means::Echo, 0),
        };
        Some(Self { words: words.to_owned(), host: Host::read(host)?, means, port })
    }
}

impl Host {
    fn read(words: &str) -> Option<Self> {
        if let Ok(address) = words.parse::<IpAddr>() {
            let nobody = address.is_unspecified() || address.is_multicast();
            return (!nobody).then_some(Self::Address(address));
        }
        let scoped = words.split_once('%').is_some_and(|(address, link)| {
            matches!(address.parse(), Ok(IpAddr::V6(_))) && is_name(link)
        });
        (scoped || is_name(words)).then(|| Self::Name(words.to_owned()))
    }
}

/// RFC 1123, 2.1, and underscores, which many use. What looks like a broken IPv4 address is one.
fn is_name(words: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let words = words.strip_suffix('.').unwrap_or(words);
    let numeric = words.split('.').all(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    words.len() <= 253 && words.split('.').all(label) && !numeric
}

/// Hosts, separated by blanks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Targets(Vec<Target>);

impl Targets {
    /// The hosts.
    #[must_use]
    pub fn all(&self) -> &[Target] {
        &self.0
    }
}

impl Value for Targets {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        let words = raw.to_str().ok_or_else(|| {
            format!("{} is not UTF-8 text; give hosts separated by blanks", quoted(raw))
        })?;
        let read = |word: &str| {
            Target::read(word).ok_or_else(|| {
                format!(
                    "{} is no host; give addresses or names, or tcp:host:port, separated by blanks",
                    quoted(word.as_ref())
                )
            })
        };
        let targets: Vec<Target> = words.split_whitespace().map(read).collect::<Result<_, _>>()?;
        match targets.len() {
            0 => {
                Err(format!("{} names no host; give one or more, separated by blanks", quoted(raw)))
            }
            count if count > MOST => {
                Err(format!("{} names {count} hosts; {MOST} are the most", quoted(raw)))
            }
            _ => Ok(Self(targets)),
        }
    }
}

impl Value for Source {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        if let Some(address) = raw.to_str().and_then(|text| text.parse::<IpAddr>().ok()) {
            return Ok(Self::Address(address));
        }
        InterfaceName::parse(raw).map(Self::Interface).map_err(|_| {
            format!("{} is neither an interface nor an address of this host", quoted(raw))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(raw: &str) -> Option<Vec<(String, Means, u16)>> {
        let targets = Targets::parse(OsStr::new(raw)).ok()?;
        let row = |target: &Target| {
            let host = match &target.host {
                Host::Address(address) => address.to_string(),
                Host::Name(name) => format!("name {name}"),
            };
            (host, target.means, target.port)
        };
        Some(targets.all().iter().map(row).collect())
    }

    #[test]
    fn hosts_in_all_their_forms() {
        let one = |host: &str, means, port| Some(vec![(host.to_owned(), means, port)]);
        let (echo, connect) = (Means::Echo, Means::Connect);
        let cases = [
            ("192.0.2.1", one("192.0.2.1", echo, 0)),
            ("  2001:DB8::1\n", one("2001:db8::1", echo, 0)),
            ("gw.example.org", one("name gw.example.org", echo, 0)),
            ("gw", one("name gw", echo, 0)),
            ("my_host-2.example.", one("name my_host-2.example.", echo, 0)),
            ("fe80::1%eth0", one("name fe80::1%eth0", echo, 0)),
            ("tcp:192.0.2.1:22", one("192.0.2.1", connect, 22)),
            ("tcp:[2001:db8::1]:443", one("2001:db8::1", connect, 443)),
            ("tcp:gw:22", one("name gw", connect, 22)),
            ("", None),
            (" ", None),
            ("tcp:2001:db8::1:443", None),
            ("tcp:gw", None),
            ("tcp:gw:0", None),
            ("tcp:gw:+22", None),
            ("tcp:gw:65536", None),
            ("tcp::22", None),
            ("192.0.2.300", None),
            ("192.0.2", None),
            ("192.0.2.1,192.0.2.2", None),
            ("0.0.0.0", None),
            ("ff02::1", None),
            ("-c1", None),
            ("; touch x", None),
            ("$(touch)", None),
        ];
        for (raw, expected) in cases {
            assert_eq!(read(raw), expected, "{raw:?}");
        }
        assert_eq!(read("gw 192.0.2.1 tcp:gw:22").unwrap().len(), 3);
        assert_eq!(read(&"gw ".repeat(MOST + 1)), None);
    }

    #[test]
    fn a_source_is_an_interface_or_an_address() {
        let parse = |raw: &str| Source::parse(OsStr::new(raw)).ok();
        assert!(matches!(parse("eth0"), Some(Source::Interface(_))));
        let address = parse("2001:db8::1").unwrap();
        assert!(address.suits("2001:db8::2".parse().unwrap()));
        assert!(!address.suits("192.0.2.1".parse().unwrap()));
        assert_eq!(parse("a b"), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_a_parser_panic(raw in ".{0,60}") {
            if let Err(why) = Targets::parse(OsStr::new(&raw)) {
                prop_assert!(!why.contains(char::is_control), "{why}");
            }
        }
    }
}
