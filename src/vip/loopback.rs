//! LVS: a real server has the service's address on its loopback interface while another host answers for it.

#![forbid(unsafe_code)]

use std::net::IpAddr;

use super::Wanted;
use crate::agent::Cx;
use crate::error::{Error, Result};
use crate::host::address::Address;
use crate::host::net::Net;
use crate::state::StateFile;

fn memory(wanted: &Wanted, cx: &Cx<'_>) -> StateFile {
    cx.state.file(&format!("{}.loopback", wanted.key()))
}

/// Takes the address off the loopback interface, after its form is stored.
///
/// # Errors
/// It could not be stored or removed.
pub(super) fn give_way(wanted: &Wanted, cx: &Cx<'_>, net: &Net) -> Result<()> {
    if !wanted.gives_way() {
        return Ok(());
    }
    for address in net.places_of(wanted.ip, None)? {
        let Some(link) = net.link(address.index)?.filter(|link| link.loopback) else { continue };
        memory(wanted, cx).write(&written(&link.name, &address))?;
        net.remove(&address, &link.name)?;
        cx.log.info(&format!("took {address} off {}; stop puts it back", link.name));
    }
    Ok(())
}

/// Puts the address back where `give_way` found it.
///
/// # Errors
/// The kernel refused.
pub(super) fn come_back(wanted: &Wanted, cx: &Cx<'_>, net: &Net) -> Result<()> {
    if !wanted.gives_way() {
        return Ok(());
    }
    let memory = memory(wanted, cx);
    let stored = match memory.read() {
        Ok(None) => return Ok(()),
        Ok(Some(text)) => read(&text, wanted.ip),
        Err(error) => {
            cx.log
                .warn(&format!("{error}; {} is not put back on the loopback interface", wanted.ip));
            return Ok(());
        }
    };
    match stored {
        Some((name, mut address)) => {
            let Some(link) = net.link_named(&name)? else {
                return Err(Error::Failed(format!(
                    "cannot put {address} back on {name}: there is no such interface"
                )));
            };
            address.index = link.index;
            net.add(&address, &name)?;
            cx.log.info(&format!("put {address} back on {name}"));
        }
        None => cx.log.warn(&format!("{} is no state of ours; removed", memory.path().display())),
    }
    memory.remove()
}

/// `interface prefix scope label`, as [`read`] wants it.
fn written(interface: &str, address: &Address) -> String {
    let label = address.label.as_deref().unwrap_or(interface);
    format!("{interface} {} {} {label}\n", address.prefix, address.scope)
}

fn read(text: &str, ip: IpAddr) -> Option<(String, Address)> {
    let mut words = text.split_whitespace();
    let name = words.next()?.to_owned();
    let mut address = Address::new(0, ip, words.next()?.parse().ok()?);
    address.scope = words.next()?.parse().ok()?;
    let label = words.next()?;
    address.label = ip.is_ipv4().then(|| label.to_owned());
    Some((name, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_restored() {
        let mut address = Address::new(0, "192.0.2.10".parse().unwrap(), 32);
        address.label = Some("lo:vip".to_owned());
        address.scope = 254;
        assert_eq!(read(&written("lo", &address), address.ip), Some(("lo".to_owned(), address)));
        for garbage in ["", "lo", "lo x 0 lo", "lo 999 0 lo"] {
            assert_eq!(read(garbage, "192.0.2.10".parse().unwrap()), None, "{garbage}");
        }
    }
}
