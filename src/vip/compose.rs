//! An address with all that was asked for: a pure function of what is wanted and of the interface's other addresses.

#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv4Addr};

use rtnetlink::packet_route::address::AddressFlags;

use super::select::Choice;
use super::{Labelled, Wanted};
use crate::error::Result;
use crate::host::address::Address;
use crate::param::values::{Broadcast, LONGEST_NAME, Lifetime};

/// The address as the kernel is to have it. `neighbours` are the IPv4 addresses of the interface.
///
/// # Errors
/// Its label would be longer than the kernel allows.
pub(super) fn address(wanted: &Wanted, choice: &Choice, neighbours: &[Address]) -> Result<Address> {
    let mut address = Address::new(choice.link.index, wanted.ip, choice.prefix);
    if choice.link.loopback && wanted.ip.is_loopback() {
        // What the kernel itself gives to 127.0.0.1: such an address is of no use outside of this host.
        address.scope = libc::RT_SCOPE_HOST;
    }
    if wanted.noprefixroute {
        address.flags |= AddressFlags::Noprefixroute;
    }
    match wanted.ip {
        IpAddr::V4(ip) => {
            address.label = Some(label(wanted, &choice.link.name, neighbours)?);
            address.broadcast = broadcast(wanted, ip, choice, neighbours);
        }
        IpAddr::V6(_) => {
            if wanted.nodad {
                address.flags |= AddressFlags::Nodad;
            }
            let preferred = wanted.preferred.map_or(u32::MAX, Lifetime::seconds);
            address.lifetimes = Some((preferred, u32::MAX));
        }
    }
    Ok(address)
}

fn label(wanted: &Wanted, interface: &str, neighbours: &[Address]) -> Result<String> {
    let label = match wanted.label {
        Labelled::NextAlias => next_alias(interface, neighbours),
        Labelled::Plain | Labelled::Suffix(_) => wanted.label_on(interface)?,
    };
    Ok(label.unwrap_or_else(|| interface.to_owned()))
}

/// The first of `interface:0`, `interface:1`, … that no address has; none where the interface has too long a name.
fn next_alias(interface: &str, neighbours: &[Address]) -> Option<String> {
    let taken = |label: &String| neighbours.iter().any(|other| other.label.as_ref() == Some(label));
    let mut aliases = (0..=neighbours.len()).map(|number| format!("{interface}:{number}"));
    aliases.find(|label| !taken(label)).filter(|label| label.len() <= LONGEST_NAME)
}

/// What was asked for, else what the administrator chose for the same subnet, else the subnet's last address.
fn broadcast(
    wanted: &Wanted,
    ip: Ipv4Addr,
    choice: &Choice,
    neighbours: &[Address],
) -> Option<Ipv4Addr> {
    if let Some(asked) = wanted.broadcast {
        return Some(asked.of(ip, choice.prefix));
    }
    let mut chosen = neighbours.iter().filter(|other| {
        other.ip != wanted.ip && other.prefix == choice.prefix && other.subnet_contains(wanted.ip)
    });
    let last = (choice.prefix <= 30 && !choice.link.loopback)
        .then(|| Broadcast::AllOnes.of(ip, choice.prefix));
    chosen.find_map(|other| other.broadcast).or(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::link::Link;

    fn choice(name: &str, prefix: u8) -> Choice {
        let link = Link { index: 2, name: name.to_owned(), ..Link::default() };
        Choice { link, prefix, because: String::new(), rival: None }
    }

    fn neighbour(ip: &str, prefix: u8, broadcast: Option<&str>, label: &str) -> Address {
        let mut address = Address::new(2, ip.parse().unwrap(), prefix);
        address.broadcast = broadcast.map(|ip| ip.parse().unwrap());
        address.label = Some(label.to_owned());
        address
    }

    #[test]
    fn the_broadcast_address_is_that_of_the_subnet() {
        let wanted = Wanted::of("192.0.2.10".parse().unwrap());
        let odd = neighbour("192.0.2.1", 24, Some("192.0.2.127"), "eth0");
        let none = neighbour("192.0.2.1", 24, None, "eth0");
        let other = neighbour("192.0.2.1", 25, Some("192.0.2.127"), "eth0");
        let cases = [
            (24, vec![odd.clone()], Some("192.0.2.127")),
            (24, vec![none, odd], Some("192.0.2.127")),
            (24, vec![other], Some("192.0.2.255")),
            (24, vec![], Some("192.0.2.255")),
            (31, vec![], None),
            (32, vec![], None),
        ];
        for (prefix, neighbours, expected) in cases {
            let address = address(&wanted, &choice("eth0", prefix), &neighbours).unwrap();
            let expected = expected.map(|ip| ip.parse().unwrap());
            assert_eq!(address.broadcast, expected, "/{prefix} {neighbours:?}");
        }
    }

    #[test]
    fn the_next_alias_is_the_first_that_is_free() {
        let wanted =
            Wanted { label: Labelled::NextAlias, ..Wanted::of("192.0.2.10".parse().unwrap()) };
        let taken = [
            neighbour("192.0.2.1", 24, None, "eth0:0"),
            neighbour("192.0.2.2", 24, None, "eth0:2"),
        ];
        let label =
            |name: &str| address(&wanted, &choice(name, 24), &taken).unwrap().label.unwrap();
        assert_eq!(label("eth0"), "eth0:1");
        assert_eq!(label("a-long-name-15c"), "a-long-name-15c", "no room for an alias");
    }
}
