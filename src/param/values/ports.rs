//! Values that name what a packet filter looks at.

#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use super::{accepted, decimal, text};
use crate::host::address::bits;
use crate::param::{Kind, Value};

/// More ranges than this make the packet filter slow, and its messages too long.
const MOST_RANGES: usize = 64;

/// Ports and ranges of ports, in order and without overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports(Vec<RangeInclusive<u16>>);

impl Ports {
    /// The ranges; a single port is one.
    #[must_use]
    pub fn ranges(&self) -> &[RangeInclusive<u16>] {
        &self.0
    }

    /// Whether `port` is one of them.
    #[must_use]
    pub fn contain(&self, port: u16) -> bool {
        self.0.iter().any(|range| range.contains(&port))
    }

    fn new(word: &str) -> Option<Self> {
        let port = |word: &str| decimal::<u16>(word).filter(|port| *port > 0);
        let range = |item: &str| {
            let (low, high) = item.split_once(':').unwrap_or((item, item));
            Some(port(low)?..=port(high)?).filter(|range| !range.is_empty())
        };
        let mut ranges: Vec<_> = word.split(',').map(range).collect::<Option<_>>()?;
        ranges.sort_by_key(|range| *range.start());
        let mut merged: Vec<RangeInclusive<u16>> = Vec::new();
        for range in ranges {
            match merged.last_mut() {
                Some(last) if range.start() <= last.end() => {
                    *last = *last.start()..=*last.end().max(range.end());
                }
                _ => merged.push(range),
            }
        }
        (merged.len() <= MOST_RANGES).then_some(Self(merged))
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{}", range.start())?;
            if range.start() != range.end() {
                write!(f, ":{}", range.end())?;
            }
        }
        Ok(())
    }
}

/// One port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port(u16);

impl Port {
    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl Value for Port {
    const KIND: Kind = Kind::Integer;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        let parsed = decimal::<u16>(text(raw)?).filter(|port| *port > 0).map(Self);
        accepted(raw, parsed, "a port", "a number from 1 to 65535")
    }
}

impl Value for Ports {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        accepted(
            raw,
            Self::new(text(raw)?),
            "a list of ports",
            "at most 64 numbers from 1 to 65535 or ranges, such as 80 or 80,443,8000:8080",
        )
    }
}

/// An address, or all addresses of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressBlock {
    /// The address, with the bits of the host all zero.
    pub address: IpAddr,
    /// How many bits count.
    pub prefix: u8,
}

impl AddressBlock {
    /// The address, if it is a single one.
    #[must_use]
    pub fn host(&self) -> Option<IpAddr> {
        (self.prefix == bits(self.address)).then_some(self.address)
    }

    fn new(word: &str) -> Option<Self> {
        let (address, length) = word.split_once('/').unwrap_or((word, ""));
        let address: IpAddr = address.parse().ok()?;
        let prefix = match length {
            "" if !word.contains('/') => bits(address),
            length => super::Netmask::parse(OsStr::new(length)).ok()?.length(),
        };
        // The packets of an IPv4 address that is written as an IPv6 one are IPv4 (RFC 4291, 2.5.5.2).
        let mapped = matches!(address, IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some());
        (!mapped && prefix <= bits(address))
            .then(|| Self { address: masked(address, prefix), prefix })
    }
}

fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    let host = u32::from(bits(address) - prefix);
    match address {
        IpAddr::V4(ip) => {
            Ipv4Addr::from(u32::from(ip) & u32::MAX.checked_shl(host).unwrap_or(0)).into()
        }
        IpAddr::V6(ip) => {
            Ipv6Addr::from(u128::from(ip) & u128::MAX.checked_shl(host).unwrap_or(0)).into()
        }
    }
}

impl fmt::Display for AddressBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host() {
            Some(ip) => ip.fmt(f),
            None => write!(f, "{}/{}", self.address, self.prefix),
        }
    }
}

impl Value for AddressBlock {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        accepted(
            raw,
            Self::new(text(raw)?),
            "an address or a network",
            "one such as 192.0.2.10, 192.0.2.0/24 or 2001:db8::10",
        )
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use proptest::prelude::*;

    use super::*;

    fn ports(raw: &str) -> Option<String> {
        Ports::parse(OsStr::new(raw)).ok().map(|ports| ports.to_string())
    }

    #[test]
    fn ports_are_put_in_order_and_joined() {
        let cases = [
            ("80", Some("80")),
            ("0080", Some("80")),
            ("443,80,80", Some("80,443")),
            ("8000:8080", Some("8000:8080")),
            ("20:30,25:40,53", Some("20:40,53")),
            ("1:65535", Some("1:65535")),
            ("0", None),
            ("65536", None),
            ("81:80", None),
            ("80,", None),
            (",80", None),
            ("80:", None),
            ("80-90", None),
            ("80 ", None),
            ("http", None),
            ("1080bad", None),
            ("", None),
        ];
        for (raw, expected) in cases {
            assert_eq!(ports(raw).as_deref(), expected, "{raw:?}");
        }
    }

    #[test]
    fn a_list_ends_somewhere() {
        let list =
            |count: u16| (1..=count).map(|n| (2 * n).to_string()).collect::<Vec<_>>().join(",");
        assert!(ports(&list(64)).is_some());
        assert_eq!(ports(&list(65)), None);
    }

    #[test]
    fn networks_and_addresses() {
        let cases = [
            ("192.0.2.10", Some("192.0.2.10")),
            ("192.0.2.10/32", Some("192.0.2.10")),
            ("192.0.2.10/24", Some("192.0.2.0/24")),
            ("192.0.2.10/255.255.255.0", Some("192.0.2.0/24")),
            ("0.0.0.0/0", Some("0.0.0.0/0")),
            ("2001:DB8::10", Some("2001:db8::10")),
            ("::/0", Some("::/0")),
            ("192.0.2.10/33", None),
            ("192.0.2.10/", None),
            ("192.0.2", None),
            ("::ffff:192.0.2.10", None),
            ("::ffff:192.0.2.0/120", None),
            ("", None),
        ];
        for (raw, expected) in cases {
            let parsed =
                AddressBlock::parse(OsStr::new(raw)).ok().map(|network| network.to_string());
            assert_eq!(parsed.as_deref(), expected, "{raw:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_them_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let raw = OsStr::from_bytes(&bytes);
            for why in [Ports::parse(raw).err(), AddressBlock::parse(raw).err()].into_iter().flatten() {
                prop_assert!(why.contains('"') && why.chars().count() < 190, "{why}");
            }
        }

        #[test]
        fn a_list_contains_what_its_words_name(items in proptest::collection::vec((1u16.., 0u16..50), 1..6), port in 1u16..) {
            let ends: Vec<(u16, u16)> = items.iter().map(|(low, more)| (*low, low.saturating_add(*more))).collect();
            let word = ends.iter().map(|(low, high)| format!("{low}:{high}")).collect::<Vec<_>>().join(",");
            let parsed = Ports::new(&word).unwrap();
            prop_assert_eq!(parsed.contain(port), ends.iter().any(|(low, high)| (*low..=*high).contains(&port)));
            prop_assert_eq!(Ports::new(&parsed.to_string()), Some(parsed));
        }
    }
}
