//! One host, one answer: only the interface with the hardware address speaks for its IP addresses.
//!
//! The kernel regards an address as the host's, so that every card answers for it, and names it in questions of its own
//! (Documentation/networking/ip-sysctl.rst, `arp_ignore` and `arp_announce`). Neighbours would learn the address of the wrong
//! card, and the takeover would depend on their caches after all.

#![forbid(unsafe_code)]

use std::net::IpAddr;

use super::Wanted;
use super::ledger::{self, Setting};
use crate::agent::Cx;
use crate::error::Result;
use crate::host::link::Link;
use crate::host::net::Net;
use crate::host::sysctl;

/// Answer only for addresses of the interface that is asked. 2 and 8 answer less still; 3 answers for other interfaces'.
const ANSWER_FOR_OWN: Setting =
    Setting { what: "ipv4/arp_ignore", value: "1", suffices: &["1", "2", "8"] };
/// Ask only in the name of addresses of the interface that asks.
const ASK_AS_OWN: Setting = Setting { what: "ipv4/arp_announce", value: "2", suffices: &["2"] };
/// Take packets whose answer would leave through another card of the same network (RFC 3704, 2.4, "loose").
const TAKE_FROM_BESIDE: Setting = Setting { what: "ipv4/rp_filter", value: "2", suffices: &["2"] };

/// Sets what is needed on `link`, which has the address, and on cards in the same networks.
///
/// # Errors
/// The kernel refused, or what was before could not be stored.
pub(super) fn keep(wanted: &Wanted, link: &Link, net: &Net, cx: &Cx<'_>) -> Result<()> {
    let holder = wanted.holder();
    for one in std::iter::once(link.clone()).chain(beside(wanted, link, net)?) {
        for setting in [&ANSWER_FOR_OWN, &ASK_AS_OWN] {
            ledger::tune(&one, setting, &holder, cx)?;
        }
    }
    if is_strict(link) {
        ledger::tune(link, &TAKE_FROM_BESIDE, &holder, cx)?;
    }
    Ok(())
}

/// The card below a macvlan device, and every interface with an address in the network of one of ours.
fn beside(wanted: &Wanted, link: &Link, net: &Net) -> Result<Vec<Link>> {
    let any = IpAddr::from([0; 4]);
    let addresses = net.addresses(any, None)?;
    let shares = |other: &Link| {
        addresses
            .iter()
            .filter(|address| address.index == other.index)
            .any(|address| wanted.addresses.iter().any(|ours| address.subnet_contains(ours.ip)))
    };
    let mut links = net.links()?;
    links.retain(|other| {
        other.index != link.index
            && !other.loopback
            && (link.parent == Some(other.index) || shares(other))
    });
    Ok(links)
}

/// The kernel takes the greater of the two values (`IN_DEV_RPFILTER`).
fn is_strict(link: &Link) -> bool {
    let value = |scope| {
        let text = sysctl::read(&["ipv4", "conf", scope, "rp_filter"]);
        text.and_then(|text| text.parse::<u32>().ok()).unwrap_or(0)
    };
    value("all").max(value(&link.name)) == 1
}
