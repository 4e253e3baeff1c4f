//! Values that name things of a network.

#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{accepted, decimal, text};
use crate::param::{Kind, Value};

/// Longest name of an interface, and of an address label, in bytes (`IFNAMSIZ` less the final NUL).
pub const LONGEST_NAME: usize = 15;

/// Longest alternative name of an interface, in bytes (`ALTIFNAMSIZ` less the final NUL).
const LONGEST_ALT_NAME: usize = 127;

impl Value for IpAddr {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        let parsed = text(raw)?.parse().ok();
        accepted(
            raw,
            parsed,
            "an IP address",
            "one such as 192.0.2.10 or 2001:db8::10, without a prefix length",
        )
    }
}

impl Value for Ipv4Addr {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        accepted(raw, text(raw)?.parse().ok(), "an IPv4 address", "one such as 192.0.2.10")
    }
}

/// An IPv6 address, perhaps with its prefix length behind a slash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6WithPrefix {
    /// The address.
    pub address: Ipv6Addr,
    /// The part after the slash.
    pub prefix: Option<u8>,
}

impl Value for Ipv6WithPrefix {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        let all = text(raw)?;
        let (address, prefix) = match all.split_once('/') {
            Some((address, prefix)) => {
                (address, Some(decimal::<u8>(prefix).filter(|length| *length <= 128)))
            }
            None => (all, None),
        };
        let parsed = match (address.parse().ok(), prefix) {
            (None, _) | (_, Some(None)) => None,
            (Some(address), prefix) => Some(Self { address, prefix: prefix.flatten() }),
        };
        accepted(
            raw,
            parsed,
            "an IPv6 address",
            "one such as 2001:db8::10, perhaps with /64 after it",
        )
    }
}

/// The name of a network interface; alternative names are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceName(String);

impl InterfaceName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A name of letters, digits and hyphens.
    pub(super) fn plain(name: String) -> Self {
        Self(name)
    }

    /// What the kernel's `dev_valid_name` accepts, control characters left out; and alternative names.
    fn new(name: &str) -> Option<Self> {
        let barred = |byte: u8| {
            matches!(byte, b'/' | b':') || byte.is_ascii_whitespace() || byte.is_ascii_control()
        };
        let valid = (1..=LONGEST_ALT_NAME).contains(&name.len())
            && ![".", ".."].contains(&name)
            && !name.bytes().any(barred);
        valid.then(|| Self(name.to_owned()))
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Value for InterfaceName {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        accepted(
            raw,
            Self::new(text(raw)?),
            "the name of an interface",
            "one that `ip link` lists, such as eth0",
        )
    }
}

/// An interface, perhaps with a label in the old form `eth0:label`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceWithLabel {
    /// The interface.
    pub name: InterfaceName,
    /// The part after the colon.
    pub label: Option<Label>,
}

impl Value for InterfaceWithLabel {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        let all = text(raw)?;
        let (name, label) = match all.split_once(':') {
            Some((name, "")) => (name, None),
            Some((name, label)) => (name, Some(Label::new(label))),
            None => (all, None),
        };
        let parsed = match (InterfaceName::new(name), label) {
            (None, _) | (_, Some(None)) => None,
            (Some(name), label) => Some(Self { name, label: label.flatten() }),
        };
        accepted(raw, parsed, "the name of an interface", "one that `ip link` lists, such as eth0")
    }
}

/// The part of an address label after `interface:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label(String);

impl Label {
    fn new(label: &str) -> Option<Self> {
        let valid = (1..LONGEST_NAME - 1).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_graphic());
        valid.then(|| Self(label.to_owned()))
    }

    /// The suffix.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for Label {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        let accepts =
            "at most 13 visible characters, which with the interface and a colon make at most 15";
        accepted(raw, Self::new(text(raw)?), "an address label", accepts)
    }
}

/// A prefix length, given as one or as a dotted mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Netmask(u8);

impl Netmask {
    /// The prefix length. Whether it fits the address family is for the agent to say.
    #[must_use]
    pub const fn length(self) -> u8 {
        self.0
    }
}

impl Value for Netmask {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        let word = text(raw)?;
        let dotted = || {
            let mask = u32::from(word.parse::<Ipv4Addr>().ok()?);
            let length = mask.leading_ones();
            (mask.count_ones() == length).then_some(length)
        };
        let length =
            decimal::<u8>(word).map(u32::from).or_else(dotted).filter(|length| *length <= 128);
        let parsed = length.and_then(|length| u8::try_from(length).ok()).map(Self);
        accepted(
            raw,
            parsed,
            "a netmask",
            "a prefix length (1 to 32, for IPv6 to 128) or a mask such as 255.255.255.0",
        )
    }
}

/// The broadcast address of an IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broadcast {
    /// This one.
    Address(Ipv4Addr),
    /// `+`: the host bits all one.
    AllOnes,
    /// `-`: the host bits all zero.
    AllZeros,
}

impl Value for Broadcast {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        let parsed = match text(raw)? {
            "+" => Some(Self::AllOnes),
            "-" => Some(Self::AllZeros),
            word => word.parse().ok().map(Self::Address),
        };
        accepted(
            raw,
            parsed,
            "a broadcast address",
            "an IPv4 address, + (host bits all one) or - (all zero)",
        )
    }
}

/// How long an IPv6 address stays preferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime(u32);

impl Lifetime {
    /// Seconds; `u32::MAX` is for ever, as in `struct ifa_cacheinfo`.
    #[must_use]
    pub const fn seconds(self) -> u32 {
        self.0
    }
}

impl Value for Lifetime {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        let parsed = match text(raw)? {
            "forever" => Some(Self(u32::MAX)),
            word => decimal(word.strip_suffix("sec").unwrap_or(word)).map(Self),
        };
        accepted(
            raw,
            parsed,
            "a lifetime",
            "forever, or a number of seconds (0: never chosen as a source)",
        )
    }
}

/// The name of a network namespace, as `ip netns` knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceName(String);

impl NamespaceName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for NamespaceName {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        let word = text(raw)?;
        let valid = !word.is_empty()
            && word.len() <= 255
            && word != "."
            && word != ".."
            && !word.bytes().any(|byte| byte == b'/' || byte.is_ascii_control());
        accepted(
            raw,
            valid.then(|| Self(word.to_owned())),
            "a network namespace",
            "a name that `ip netns` lists",
        )
    }
}

/// A multicast hardware address of six octets, which is judged and then forgotten: nothing uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MulticastMac;

impl Value for MulticastMac {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        let word = text(raw)?;
        let octets: Option<Vec<u8>> = word
            .split([':', '-'])
            .map(|part| (part.len() == 2).then(|| u8::from_str_radix(part, 16).ok()).flatten())
            .collect();
        let parsed = octets
            .and_then(|octets| <[u8; 6]>::try_from(octets).ok())
            .filter(|octets| octets[0] & 1 == 1);
        accepted(
            raw,
            parsed.map(|_| Self),
            "a multicast MAC address",
            "six octets of which the first is odd",
        )
    }
}
