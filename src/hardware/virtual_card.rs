//! A macvlan device has the address, beside that of its card.

#![forbid(unsafe_code)]

use super::{Taken, Wanted, await_carrier, conflict, ledger};
use crate::agent::Cx;
use crate::error::{Error, Result};
use crate::host::link::Link;
use crate::host::net::Net;
use crate::host::sysctl;
use crate::macvlan::{Found, Macvlan};

/// Makes the device.
///
/// # Errors
/// Another host has the address, or the kernel refused.
pub(super) fn take(
    wanted: &Wanted,
    macvlan: &Macvlan,
    card: &Link,
    net: &Net,
    cx: &Cx<'_>,
) -> Result<Taken> {
    let mut card = card.clone();
    ledger::set_up(&card, &wanted.holder(), net, cx)?;
    await_carrier(wanted, &mut card, net)?;
    if let Found::Ours(link, differences) = macvlan.find(net, cx)? {
        if link.up && differences.is_empty() {
            let mut link = link;
            if card.carrier {
                await_carrier(wanted, &mut link, net)?;
            }
            return Ok(Taken { link, fresh: false, asked_with: None });
        }
        macvlan.remove(net, cx)?;
    }
    let asked_with = conflict::refuse(wanted, &card, net, cx)?;
    let mut link = macvlan.make(&card, net, cx)?;
    ignore_advertisements(&link, cx);
    net.set_up(&link)?;
    // Without that of its card it has none.
    if card.carrier {
        await_carrier(wanted, &mut link, net)?;
    }
    Ok(Taken { link, fresh: true, asked_with })
}

/// The routers' advertisements reach the device as well as its card. They would give this host a second default route and
/// addresses that nobody asked for.
fn ignore_advertisements(link: &Link, cx: &Cx<'_>) {
    for parameter in ["accept_ra", "autoconf"] {
        let key = ["ipv6", "conf", &link.name, parameter];
        if sysctl::read(&key).is_some()
            && let Err(error) = sysctl::write(&key, "0")
        {
            cx.log.warn(&error.to_string());
        }
    }
}

/// The device, if it is there.
///
/// # Errors
/// It is not as it should be.
pub(super) fn look(macvlan: &Macvlan, net: &Net, cx: &Cx<'_>) -> Result<Option<Link>> {
    match macvlan.find(net, cx)? {
        Found::Ours(link, differences) if differences.is_empty() => Ok(Some(link)),
        Found::Ours(link, differences) => Err(Error::Failed(format!(
            "{} is not as configured: {}",
            link.name,
            differences.join(", ")
        ))),
        Found::Absent | Found::Foreign(_) => Ok(None),
    }
}
