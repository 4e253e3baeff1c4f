//! LVS: a real server has the service's address on its loopback interface while another host answers for it.

#![forbid(unsafe_code)]

use std::net::IpAddr;

use rtnetlink::packet_route::address::AddressFlags;

use super::Wanted;
use crate::agent::Cx;
use crate::error::{Error, Result};
use crate::host::address::Address;
use crate::host::net::Net;
use crate::state::StateFile;

fn memory(wanted: &Wanted, cx: &Cx<'_>) -> StateFile {
    cx.state.file(&format!("{}.loopback", wanted.key()))
}

/// Takes the address off loopback interfaces, after its forms are stored.
///
/// # Errors
/// They could not be stored or removed.
pub(super) fn give_way(wanted: &Wanted, cx: &Cx<'_>, net: &Net) -> Result<()> {
    if !wanted.lvs {
        return Ok(());
    }
    let mut found = Vec::new();
    for address in net.places_of(wanted.ip, None)? {
        if let Some(link) = net.link(address.index)?.filter(|link| wanted.gives_way(link)) {
            found.push((link.name, address));
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    let lines = found.iter().map(|(name, address)| written(name, address));
    memory(wanted, cx).write(&lines.collect::<String>())?;
    for (name, address) in found {
        net.remove(&address, &name)?;
        cx.log.info(&format!("took {address} off {name}; stop puts it back"));
    }
    Ok(())
}

/// Puts the address back where `give_way` found it, whatever the parameters say by now.
///
/// # Errors
/// The kernel refused.
pub(super) fn come_back(wanted: &Wanted, cx: &Cx<'_>, net: &Net) -> Result<()> {
    let memory = memory(wanted, cx);
    let stored = match memory.read() {
        Ok(None) => return Ok(()),
        Ok(Some(text)) => text,
        Err(error) => {
            let ip = wanted.ip;
            cx.log.warn(&format!("{error}; {ip} is not put back on the loopback interface"));
            return Ok(());
        }
    };
    for line in stored.lines() {
        let Some((name, mut address)) = read(line, wanted.ip) else {
            cx.log.warn(&format!("{} is no state of ours; removed", memory.path().display()));
            break;
        };
        let Some(link) = net.link_named(&name)? else {
            return Err(Error::Failed(format!(
                "cannot put {address} back on {name}: there is no such interface"
            )));
        };
        address.index = link.index;
        net.add(&address, &name)?;
        cx.log.info(&format!("put {address} back on {name}"));
    }
    memory.remove()
}

/// Every field that the kernel lets one set, as [`read`] wants it; `-` for none.
fn written(interface: &str, address: &Address) -> String {
    let Address { prefix, scope, label, broadcast, peer, metric, flags, lifetimes, .. } = address;
    let (preferred, valid) = lifetimes.unwrap_or((u32::MAX, u32::MAX));
    let flags = (*flags & SETTABLE).bits();
    format!(
        "{interface} {prefix} {scope} {flags} {preferred} {valid} {} {} {} {}\n",
        or_dash(label.as_ref()),
        or_dash(broadcast.as_ref()),
        or_dash(peer.as_ref()),
        or_dash(metric.as_ref())
    )
}

/// Flags that are a choice and not a state. Detection of duplicates would only delay what was there before.
const SETTABLE: AddressFlags = AddressFlags::Noprefixroute;

fn or_dash(value: Option<&impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), ToString::to_string)
}

fn read(line: &str, ip: IpAddr) -> Option<(String, Address)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [name, prefix, scope, flags, preferred, valid, label, broadcast, peer, metric] = words[..]
    else {
        return None;
    };
    let mut address = Address::new(0, ip, prefix.parse().ok()?);
    address.scope = scope.parse().ok()?;
    address.flags = AddressFlags::from_bits_retain(flags.parse().ok()?);
    if ip.is_ipv6() {
        address.flags |= AddressFlags::Nodad;
    }
    address.lifetimes = Some((preferred.parse().ok()?, valid.parse().ok()?));
    address.label = (label != "-").then(|| label.to_owned());
    address.broadcast = optional(broadcast).ok()?;
    address.peer = optional(peer).ok()?;
    address.metric = optional(metric).ok()?;
    Some((name.to_owned(), address))
}

/// A value, or `-` for none.
fn optional<T: std::str::FromStr>(word: &str) -> Result<Option<T>, T::Err> {
    if word == "-" { Ok(None) } else { word.parse().map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_restored() {
        let mut address = Address::new(0, "192.0.2.10".parse().unwrap(), 32);
        address.label = Some("lo:vip".to_owned());
        address.broadcast = Some("192.0.2.10".parse().unwrap());
        address.scope = 254;
        address.lifetimes = Some((0, u32::MAX));
        address.metric = Some(7);
        let line = written("lo", &address);
        assert_eq!(read(&line, address.ip), Some(("lo".to_owned(), address)));
        for garbage in ["", "lo", "lo x 0 lo", "lo 999 0 0 0 0 - - - -", "lo 32 0 0 0 0 - x - -"] {
            assert_eq!(read(garbage, "192.0.2.10".parse().unwrap()), None, "{garbage}");
        }
    }
}
