//! Where a probe goes: the part of its URL before the `?` (RFC 3986, 3).

#![forbid(unsafe_code)]

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use crate::param::values::mail::is_domain;

/// The host of a URL that names none.
const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// A host, by its address or its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// An address.
    Address(IpAddr),
    /// A name, or an IPv6 address with its interface (`fe80::1%eth0`).
    Name(String),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Self::Address(ip) => write!(f, "{ip}"),
            Self::Name(name) if name.contains('%') => write!(f, "[{}]", name.replace('%', "%25")),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl Host {
    /// What stands in a URL, or as the value of an option.
    ///
    /// # Errors
    /// It is neither an address nor a name.
    pub fn parse(text: &str) -> Result<Self, String> {
        let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let parsed = match inner.map(|inner| (inner, inner.split_once("%25"))) {
            // RFC 6874: the interface of a link-local address.
            Some((_, Some((ip, zone)))) if ip.parse::<Ipv6Addr>().is_ok() && is_zone(zone) => {
                Some(Self::Name(format!("{ip}%{zone}")))
            }
            Some((ip, _)) => ip.parse().ok().map(|ip| Self::Address(IpAddr::V6(ip))),
            None if text.is_empty() => Some(Self::Address(LOOPBACK)),
            None => match text.parse() {
                Ok(ip) => Some(Self::Address(IpAddr::V4(ip))),
                Err(_) => is_name(text).then(|| Self::Name(text.to_owned())),
            },
        };
        parsed.ok_or_else(|| {
            format!(
                "{text:?} is no host; give a name, an IPv4 address, or an IPv6 address in brackets"
            )
        })
    }
}

fn is_zone(zone: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=15).contains(&zone.len()) && zone.bytes().all(allowed)
}

/// A name that is looked up; an underscore is no host's by the RFC, and many a container's.
fn is_name(text: &str) -> bool {
    let numeric = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    !numeric && is_domain(&text.strip_suffix('.').unwrap_or(text).replace('_', "-"))
}

/// The parts of `//user@host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// The part before the `@`.
    pub user: Option<String>,
    /// The host; this one if none is given.
    pub host: Host,
    /// The port.
    pub port: Option<u16>,
}

impl Authority {
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (user, place) = match text.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, text),
        };
        if user.is_some_and(|user| user.contains(':')) {
            return Err("there is a password in it, which no probe needs; leave it out".to_owned());
        }
        let (host, port) = match place.rfind(':') {
            Some(at) if !place[at..].contains(']') => (&place[..at], Some(&place[at + 1..])),
            _ => (place, None),
        };
        if place.parse::<Ipv6Addr>().is_ok() {
            return Err(format!("an IPv6 address stands in brackets: write [{place}]"));
        }
        let port = port.map(|port| {
            number(port).ok_or_else(|| format!("{port:?} is no port; give 1 to 65535"))
        });
        let user = user.map(decoded).transpose()?;
        Ok(Self { user, host: Host::parse(host)?, port: port.transpose()? })
    }
}

fn number(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port > 0)
}

/// `text` with its `%41` decoded (RFC 3986, 2.1).
///
/// # Errors
/// A percent sign without two hexadecimal digits after it, or what comes out is not text.
pub fn decoded(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let hex = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let byte = hex.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let Some(byte) = byte else {
            return Err(format!("{text:?} has a % that is none of a %XX; write %25 for it"));
        };
        bytes.push(byte);
        rest = &after[2..];
    }
    String::from_utf8(bytes).map_err(|_| format!("{text:?} decodes to no UTF-8 text"))
}
