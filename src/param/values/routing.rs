//! Values that name destinations and tables of routes.

#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{accepted, decimal, text};
use crate::param::{Kind, Value};

/// A network: an address whose host bits are zero, and the length of its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    /// The address.
    pub ip: IpAddr,
    /// Length of its prefix; zero is everything.
    pub prefix: u8,
}

impl Network {
    /// Everything that the family of `like` can reach.
    #[must_use]
    pub fn everything(like: IpAddr) -> Self {
        let ip = if like.is_ipv4() {
            Ipv4Addr::UNSPECIFIED.into()
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        };
        Self { ip, prefix: 0 }
    }

    /// Whether the host bits are zero.
    fn is_one(self) -> bool {
        match self.ip {
            IpAddr::V4(ip) => u32::from(ip).checked_shl(self.prefix.into()).unwrap_or(0) == 0,
            IpAddr::V6(ip) => u128::from(ip).checked_shl(self.prefix.into()).unwrap_or(0) == 0,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.prefix == 0 {
            return f.write_str("default");
        }
        write!(f, "{}/{}", self.ip, self.prefix)
    }
}

/// Where a route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// `default`: everything, in whatever family.
    Default,
    /// A network.
    Network(Network),
}

impl Destination {
    /// The network, in the family of `like` where none is given.
    #[must_use]
    pub fn in_family_of(self, like: IpAddr) -> Network {
        match self {
            Self::Default => Network::everything(like),
            Self::Network(network) => network,
        }
    }

    /// `default`, an address, or a network whose host bits are zero.
    fn new(word: &str) -> Option<Self> {
        if word == "default" {
            return Some(Self::Default);
        }
        let (ip, length) = match word.split_once('/') {
            Some((ip, length)) => (ip, Some(decimal::<u8>(length)?)),
            None => (word, None),
        };
        let ip: IpAddr = ip.parse().ok()?;
        let bits = if ip.is_ipv4() { 32 } else { 128 };
        let prefix = length.unwrap_or(bits);
        let network = Network { ip, prefix };
        (prefix <= bits && network.is_one()).then_some(Self::Network(network))
    }
}

impl Value for Destination {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        let accepts =
            "default, an address, or a network such as 198.51.100.0/24 with host bits zero";
        accepted(raw, Self::new(text(raw)?), "a destination", accepts)
    }
}

/// A routing table, by number or by the name that this host has for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableName(String);

impl TableName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for TableName {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        let word = text(raw)?;
        let valid = (1..=64).contains(&word.len())
            && word != "0"
            && word.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
        let accepts = "main, local, a number, or a name that /etc/iproute2/rt_tables has";
        accepted(raw, valid.then(|| Self(word.to_owned())), "a routing table", accepts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations() {
        let cases = [
            ("default", Some("default")),
            ("0.0.0.0/0", Some("default")),
            ("::/0", Some("default")),
            ("198.51.100.0/24", Some("198.51.100.0/24")),
            ("198.51.100.7", Some("198.51.100.7/32")),
            ("2001:DB8::/32", Some("2001:db8::/32")),
            ("2001:db8::1", Some("2001:db8::1/128")),
            ("198.51.100.1/24", None),
            ("2001:db8::1/64", None),
            ("198.51.100.0/33", None),
            ("198.51.100.0/", None),
            ("198.51.100.0/255.255.255.0", None),
            ("Default", None),
            ("", None),
        ];
        for (raw, expected) in cases {
            let parsed = Destination::parse(OsStr::new(raw)).ok();
            let shown = parsed.map(|parsed| parsed.in_family_of(IpAddr::from([0; 4])).to_string());
            assert_eq!(shown.as_deref(), expected, "{raw:?}");
        }
    }

    #[test]
    fn tables() {
        for raw in ["main", "100", "uplink", "0x10"] {
            assert_eq!(TableName::parse(OsStr::new(raw)).unwrap().as_str(), raw);
        }
        for raw in ["", "0", "two words", "../x", &"x".repeat(65)] {
            assert!(
                TableName::parse(OsStr::new(raw)).unwrap_err().contains("a routing table"),
                "{raw:?}"
            );
        }
    }
}
