//! Values that name things of an Ethernet, and lists of addresses on it.

#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::fmt;
use std::net::IpAddr;

use super::network::{InterfaceName, LONGEST_NAME};
use super::{accepted, decimal, text};
use crate::param::{Kind, Value, quoted};

/// The hardware address of a single card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnicastMac([u8; 6]);

impl UnicastMac {
    /// The six octets.
    #[must_use]
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }

    /// Chosen by whoever runs the network, so that no card has it from its maker (IEEE 802, 8.2: the U/L bit).
    #[must_use]
    pub const fn is_locally_administered(self) -> bool {
        self.0[0] & 2 != 0
    }
}

impl fmt::Display for UnicastMac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::host::arp::text(&self.0))
    }
}

impl Value for UnicastMac {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        let octets = octets(text(raw)?).filter(|octets| octets[0] & 1 == 0 && *octets != [0; 6]);
        accepted(
            raw,
            octets.map(Self),
            "the MAC address of a single card",
            "six octets of which the first is even, such as 02:00:00:00:00:01",
        )
    }
}

/// Six octets of two hexadecimal digits, separated by colons or hyphens, but not by both.
fn octets(word: &str) -> Option<[u8; 6]> {
    let separator = if word.contains(':') { ':' } else { '-' };
    let mut found = [0; 6];
    let mut parts = word.split(separator);
    for octet in &mut found {
        let part = parts.next().filter(|part| part.len() == 2)?;
        // The standard parser would take a sign.
        *octet = part
            .bytes()
            .all(|digit| digit.is_ascii_hexdigit())
            .then(|| u8::from_str_radix(part, 16).ok())??;
    }
    parts.next().is_none().then_some(found)
}

/// The name of an interface that is to be made: alternative names may be longer, names may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewInterfaceName(InterfaceName);

impl NewInterfaceName {
    /// A name that everybody makes of the same hardware address.
    #[must_use]
    pub fn of(mac: UnicastMac) -> Self {
        let digits = crate::host::arp::text(&mac.0[3..]).replace(':', "");
        Self(InterfaceName::plain(format!("vmac-{digits}")))
    }

    /// The name.
    #[must_use]
    pub fn as_name(&self) -> &InterfaceName {
        &self.0
    }
}

impl Value for NewInterfaceName {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        // A per cent sign makes the kernel count (`dev_alloc_name`).
        let parsed = InterfaceName::parse(raw)
            .ok()
            .filter(|name| name.as_str().len() <= LONGEST_NAME && !name.as_str().contains('%'));
        let accepts = "at most 15 characters without blanks, slashes and colons";
        accepted(raw, parsed.map(Self), "a name for an interface", accepts)
    }
}

/// One address of a list, perhaps with its prefix length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedAddress {
    /// The address.
    pub ip: IpAddr,
    /// The part after the slash.
    pub prefix: Option<u8>,
}

/// Addresses of both families, separated by blanks or commas, each perhaps with its prefix length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressList(Vec<ListedAddress>);

impl AddressList {
    /// The addresses, of which there is at least one and none twice.
    #[must_use]
    pub fn addresses(&self) -> &[ListedAddress] {
        &self.0
    }
}

impl Value for AddressList {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        let words = text(raw)?.split([' ', ',', '\t', '\n']).filter(|word| !word.is_empty());
        let mut found: Vec<ListedAddress> = Vec::new();
        for word in words {
            let one = listed(word);
            let what = "an IP address";
            let one =
                accepted(word.as_ref(), one, what, "some such as 192.0.2.10/24 2001:db8::10/64")?;
            if found.iter().any(|other| other.ip == one.ip) {
                return Err(format!("{} names {} twice; give it once", quoted(raw), one.ip));
            }
            found.push(one);
        }
        let parsed = (!found.is_empty()).then_some(Self(found));
        accepted(raw, parsed, "a list of addresses", "some such as 192.0.2.10/24 2001:db8::10/64")
    }
}

fn listed(word: &str) -> Option<ListedAddress> {
    let (ip, prefix) = match word.split_once('/') {
        Some((ip, prefix)) => (ip.parse().ok()?, Some(decimal::<u8>(prefix)?)),
        None => (word.parse().ok()?, None),
    };
    Some(ListedAddress { ip, prefix })
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use proptest::prelude::*;

    use super::*;

    fn mac(raw: &str) -> Option<String> {
        UnicastMac::parse(OsStr::new(raw)).ok().map(|mac| mac.to_string())
    }

    #[test]
    fn hardware_addresses_of_single_cards() {
        let same = Some("02:0a:00:00:00:01".to_owned());
        for spelling in ["02:0a:00:00:00:01", "02:0A:00:00:00:01", "02-0a-00-00-00-01"] {
            assert_eq!(mac(spelling), same, "{spelling}");
        }
        let wrong = [
            "",
            "02:00:00:00:00",
            "02:00:00:00:00:01:02",
            "2:0:0:0:0:1",
            "+2:00:00:00:00:01",
            "02:00:00:00:00-01",
            "02:00:00:00:00:01 ",
            "020000000001",
            "02:00:00:00:00:0g",
            "01:00:5e:00:00:01",
            "ff:ff:ff:ff:ff:ff",
            "00:00:00:00:00:00",
        ];
        for raw in wrong {
            assert_eq!(mac(raw), None, "{raw:?}");
        }
        let local =
            |raw: &str| UnicastMac::parse(OsStr::new(raw)).unwrap().is_locally_administered();
        assert!(local("02:00:00:00:00:01") && local("fe:00:00:00:00:01"));
        assert!(!local("00:00:5e:00:01:01") && !local("54:00:00:00:00:01"));
    }

    #[test]
    fn names_for_new_interfaces_are_short() {
        let valid = |raw: &str| NewInterfaceName::parse(OsStr::new(raw)).is_ok();
        assert!(valid("vmac-000001") && valid("a23456789012345"));
        let mac = UnicastMac::parse(OsStr::new("02:00:00:0A:00:01")).unwrap();
        assert_eq!(NewInterfaceName::of(mac).as_name().as_str(), "vmac-0a0001");
        for raw in ["", "a234567890123456", "a b", "a/b", "a:b", "vmac%d", ".."] {
            assert!(!valid(raw), "{raw:?}");
        }
    }

    #[test]
    fn lists_of_addresses() {
        let list = |raw: &str| {
            let parsed = AddressList::parse(OsStr::new(raw))?;
            let words = parsed.addresses().iter().map(|one| format!("{} {:?}", one.ip, one.prefix));
            Ok::<_, String>(words.collect::<Vec<_>>().join(", "))
        };
        assert_eq!(list("192.0.2.10").unwrap(), "192.0.2.10 None");
        assert_eq!(
            list(" 192.0.2.10/24,2001:DB8::10/64 192.0.2.11 ").unwrap(),
            "192.0.2.10 Some(24), 2001:db8::10 Some(64), 192.0.2.11 None"
        );
        for raw in
            ["", " ,", "192.0.2.10/", "192.0.2.10/x", "192.0.2.10/24/24", "fe80::1%eth0", "x"]
        {
            assert!(list(raw).is_err(), "{raw:?}");
        }
        assert!(list("2001:db8::10 2001:db8:0::10/64").unwrap_err().contains("twice"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(octets in any::<[u8; 6]>()) {
            let written = octets.map(|octet| format!("{octet:02x}")).join(":");
            let unicast = octets[0] & 1 == 0 && octets != [0; 6];
            prop_assert_eq!(mac(&written), unicast.then_some(written));
        }

        #[test]
        fn no_bytes_make_a_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let raw = OsStr::from_bytes(&bytes);
            for why in [
                UnicastMac::parse(raw).err(),
                NewInterfaceName::parse(raw).err(),
                AddressList::parse(raw).err(),
            ].into_iter().flatten() {
                prop_assert!(why.contains('"') && why.chars().count() < 190, "{}", why);
                prop_assert!(!why.contains(['\n', '\x1b']), "{}", why);
            }
        }
    }
}
