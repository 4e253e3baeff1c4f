//! Where a server listens, as its configuration says.

#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

/// One place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A port of an address; of all that there are if none is given.
    Port(Option<Address>, u16),
    /// A UNIX socket.
    Socket(PathBuf),
}

/// An address, or a name of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An address; `0.0.0.0` and `::` are all.
    Ip(IpAddr),
    /// A name.
    Name(String),
}

impl Listen {
    /// `80`, `*:80`, `192.0.2.1:80`, `[::]:80`, `name:80`, `unix:/run/x`; an address alone listens at `port`.
    #[must_use]
    pub fn parse(text: &str, port: Option<u16>) -> Option<Self> {
        if let Some(path) = text.strip_prefix("unix:") {
            return path.starts_with('/').then(|| Self::Socket(PathBuf::from(path)));
        }
        if let Some(number) = number(text) {
            return Some(Self::Port(None, number));
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, digits)) if !digits.ends_with(']') => (host, Some(number(digits)?)),
            _ => (text, port),
        };
        let address = match host {
            "*" | "" => None,
            _ => Some(Address::parse(host)?),
        };
        Some(Self::Port(address, port?))
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Port(_, port) => Some(*port),
            Self::Socket(_) => None,
        }
    }

    /// Its address, if it is not a name.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Port(Some(Address::Ip(ip)), _) => Some(*ip),
            _ => None,
        }
    }

    /// Host and port, for a URL that is asked from this host.
    #[must_use]
    pub fn authority(&self, use_ipv6: bool) -> Option<String> {
        let Self::Port(address, port) = self else { return None };
        let loopback = if use_ipv6 {
            IpAddr::V6(Ipv6Addr::LOCALHOST)
        } else {
            IpAddr::V4(Ipv4Addr::LOCALHOST)
        };
        let ip = match address {
            None => loopback,
            Some(Address::Name(name)) => return Some(format!("{name}:{port}")),
            Some(Address::Ip(IpAddr::V4(ip))) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            Some(Address::Ip(IpAddr::V6(ip))) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            Some(Address::Ip(ip)) => *ip,
        };
        Some(match ip {
            IpAddr::V4(ip) => format!("{ip}:{port}"),
            IpAddr::V6(ip) => format!("[{ip}]:{port}"),
        })
    }
}

impl std::fmt::Display for Listen {
    /// As [`Listen::parse`] reads it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Port(None, port) => write!(f, "*:{port}"),
            Self::Port(Some(Address::Ip(IpAddr::V6(ip))), port) => write!(f, "[{ip}]:{port}"),
            Self::Port(Some(Address::Ip(ip)), port) => write!(f, "{ip}:{port}"),
            Self::Port(Some(Address::Name(name)), port) => write!(f, "{name}:{port}"),
            Self::Socket(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Address {
    fn parse(text: &str) -> Option<Self> {
        if let Some(inner) = text.strip_prefix('[') {
            // A link-local address has an interface, which a URL writes in another way.
            let ip = inner.strip_suffix(']')?;
            return Some(match ip.parse() {
                Ok(ip) => Self::Ip(IpAddr::V6(ip)),
                Err(_) => Self::Name(format!("[{}]", ip.replacen('%', "%25", 1))),
            });
        }
        let known = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        match text.parse() {
            Ok(ip) => Some(Self::Ip(IpAddr::V4(ip))),
            Err(_) => text.chars().all(known).then(|| Self::Name(text.to_owned())),
        }
    }
}

fn number(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn places_and_how_they_are_asked() {
        for (text, ipv4, ipv6) in [
            ("80", "127.0.0.1:80", "[::1]:80"),
            ("*:8080", "127.0.0.1:8080", "[::1]:8080"),
            ("0.0.0.0:80", "127.0.0.1:80", "127.0.0.1:80"),
            ("[::]:80", "[::1]:80", "[::1]:80"),
            ("192.0.2.1:80", "192.0.2.1:80", "192.0.2.1:80"),
            ("192.0.2.1", "192.0.2.1:80", "192.0.2.1:80"),
            ("[2001:db8::1]:443", "[2001:db8::1]:443", "[2001:db8::1]:443"),
            ("[2001:db8::1]", "[2001:db8::1]:80", "[2001:db8::1]:80"),
            ("[fe80::1%eth0]:80", "[fe80::1%25eth0]:80", "[fe80::1%25eth0]:80"),
            ("www.example.org:80", "www.example.org:80", "www.example.org:80"),
        ] {
            let listen = Listen::parse(text, Some(80)).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(listen.authority(false).as_deref(), Some(ipv4), "{text}");
            assert_eq!(listen.authority(true).as_deref(), Some(ipv6), "{text}");
        }
        for text in ["", "0", "65536", "a b:80", "x:y", "[::1", "unix:x"] {
            assert_eq!(Listen::parse(text, None), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(text in "(\\*|[0-9.]{1,9}|\\[::1\\]|[a-z]{1,4}|unix:/r)?:?[0-9]{0,6}") {
            if let Some(listen) = Listen::parse(&text, Some(80)) {
                prop_assert_eq!(Listen::parse(&listen.to_string(), None), Some(listen));
            }
        }
    }
}
