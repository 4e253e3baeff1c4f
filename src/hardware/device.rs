//! The card itself takes the address.

#![forbid(unsafe_code)]

use super::ledger::{self, ADDRESS, DOWN, Entry, Ledger, STATE, UP};
use super::{Taken, Wanted, await_carrier, conflict, substitute};
use crate::agent::Cx;
use crate::error::{Error, Result};
use crate::host::arp::{self, Mac};
use crate::host::hardware::Outage;
use crate::host::link::{Link, PortOf};
use crate::host::namespace;
use crate::host::net::Net;
use crate::param::Value;
use crate::param::values::UnicastMac;
use crate::state::Lock;

/// Another resource has the card.
///
/// # Errors
/// It does.
pub(super) fn refuse_others(wanted: &Wanted, card: &Link, cx: &Cx<'_>) -> Result<()> {
    let current = arp::text(&card.hardware);
    let other = ledger::entries(cx).into_iter().find(|entry| {
        entry.index == card.index
            && entry.what == ADDRESS
            && entry.now == current
            && !entry.holders.contains(&wanted.holder())
    });
    match other {
        Some(other) => Err(Error::Failed(format!(
            "{} has taken {} for another resource already; give each address a card of its own, or use mode=macvlan",
            card.name, other.now
        ))),
        None => Ok(()),
    }
}

/// A bond that balances by the addresses of its ports (balance-tlb, balance-alb) or changes its own with them
/// (`fail_over_mac`) gives a new one to all of them, and nobody gives theirs back
/// (Documentation/networking/bonding.rst).
///
/// # Errors
/// The card is such a bond.
pub(super) fn refuse_individual_ports(card: &Link, links: &[Link]) -> Result<()> {
    let individual = links.iter().find(|link| {
        link.controller == Some(card.index)
            && link.port_of == PortOf::Bond
            && link.hardware != card.hardware
    });
    match individual {
        Some(port) => Err(Error::Local(format!(
            "{} has ports with addresses of their own ({} has {}), which they would lose; use mode=macvlan",
            card.name,
            port.name,
            arp::text(&port.hardware)
        ))),
        None => Ok(()),
    }
}

/// Gives the card the address.
///
/// # Errors
/// Another host has it, or the driver refused.
pub(super) fn take(wanted: &Wanted, mut card: Link, net: &Net, cx: &Cx<'_>) -> Result<Taken> {
    let mac = wanted.mac.octets();
    let there = card.hardware == mac;
    note(wanted, &card, cx)?;
    if !card.up {
        net.set_up(&card)?;
    }
    await_carrier(wanted, &mut card, net)?;
    let mut asked_with = None;
    if !there {
        asked_with = conflict::refuse(wanted, &card, net, cx)?;
        net.set_hardware_address(&card, mac, Outage::Refused)?;
        // Some drivers begin anew with a new address, or had to be down for a moment; the link is gone for as long.
        let had_carrier = card.carrier;
        card =
            net.link(card.index)?.ok_or_else(|| Error::Failed(format!("{} is gone", card.name)))?;
        if had_carrier {
            await_carrier(wanted, &mut card, net)?;
        }
    }
    Ok(Taken { link: card, fresh: !there, asked_with })
}

/// Notes what the card was like, before anything changes. What a killed start noted of its state is older and stays.
fn note(wanted: &Wanted, card: &Link, cx: &Cx<'_>) -> Result<()> {
    let mut ledger = Ledger::open(cx)?;
    let holder = wanted.holder();
    let state = if card.up { UP } else { DOWN };
    if card.hardware == wanted.mac.octets() {
        // What it was before, nobody knows any longer; or an entry is there.
        return if card.up { Ok(()) } else { ledger.hold(card.index, STATE, state, UP, &holder) };
    }
    ledger.hold(card.index, STATE, state, UP, &holder)?;
    ledger.put(Entry {
        index: card.index,
        what: ADDRESS.to_owned(),
        before: arp::text(&card.hardware),
        now: wanted.mac.to_string(),
        holders: vec![holder],
    })
}

/// The card that has the address; it need not have its name any longer.
///
/// # Errors
/// It is on another card than the one that is given, by our doing.
pub(super) fn look(wanted: &Wanted, net: &Net, cx: &Cx<'_>) -> Result<Option<Link>> {
    let mac = wanted.mac.octets();
    let named = net.link_named(wanted.nic.as_str())?.filter(|link| link.hardware == mac);
    if named.is_some() {
        return Ok(named);
    }
    match noted(wanted, net, cx)?.into_iter().find(|link| link.hardware == mac) {
        Some(link) => Err(Error::Failed(format!(
            "{} is on {} instead of {}",
            wanted.mac, link.name, wanted.nic
        ))),
        None => Ok(None),
    }
}

/// The cards of which the ledger says that they were to take the address: more than one, if a start was killed and the
/// next one was given another card. There may be entries of cards that are gone.
fn noted(wanted: &Wanted, net: &Net, cx: &Cx<'_>) -> Result<Vec<Link>> {
    let holder = wanted.holder();
    let mut cards = Vec::new();
    for entry in ledger::entries(cx) {
        if entry.what == ADDRESS && entry.is_held_by(&holder) {
            cards.extend(net.link(entry.index)?);
        }
    }
    Ok(cards)
}

/// Lets one resource at a time change a card. Another one would store what it finds meanwhile as the card's own address,
/// and restore it. The locks are taken in the order of the cards' numbers, so that no two wait for each other.
///
/// # Errors
/// Somebody else had one until the deadline.
pub(super) fn lock_cards(wanted: &Wanted, net: &Net, cx: &Cx<'_>) -> Result<Vec<Option<Lock>>> {
    let named = net.link_named(wanted.nic.as_str())?;
    let mut cards: Vec<u32> =
        noted(wanted, net, cx)?.iter().chain(&named).map(|card| card.index).collect();
    cards.sort_unstable();
    cards.dedup();
    let lock = |card| format!("card-{}-{card}", namespace::identity());
    cards.into_iter().map(|card| cx.state.lock(&lock(card), &cx.deadline)).collect()
}

/// Gives the card the address back that it had, and its state: each card that was noted, and the named one if it has the
/// address all the same.
///
/// # Errors
/// The driver refused.
pub(super) fn give_back(wanted: &Wanted, net: &Net, cx: &Cx<'_>) -> Result<()> {
    let holder = wanted.holder();
    let mut ledger = Ledger::open(cx)?;
    let mut cards = noted(wanted, net, cx)?;
    let named = net.link_named(wanted.nic.as_str())?;
    cards.extend(named.filter(|link| {
        link.hardware == wanted.mac.octets() && cards.iter().all(|card| card.index != link.index)
    }));
    let mut errors = Vec::new();
    for card in cards {
        let noted = ledger.held(&holder, card.index, ADDRESS);
        let was_up = ledger.held(&holder, card.index, STATE).map(|entry| entry.before == UP);
        errors.extend(restore(wanted, noted.as_ref(), was_up, &card, net, cx).err());
    }
    Error::all(errors)?;
    ledger.forget_device(&holder)
}

fn restore(
    wanted: &Wanted,
    noted: Option<&Entry>,
    was_up: Option<bool>,
    card: &Link,
    net: &Net,
    cx: &Cx<'_>,
) -> Result<()> {
    if noted.is_some_and(|entry| is_foreign(entry, card)) {
        cx.log.warn(&format!(
            "{} has {}, which is neither {} nor what it had before: somebody else set it, so it stays",
            card.name,
            arp::text(&card.hardware),
            wanted.mac
        ));
        return Ok(());
    }
    let card = if was_up == Some(false) { &set_down(card, net, cx)? } else { card };
    restore_address(wanted, noted, card, net, cx)?;
    if was_up == Some(true) && !card.up { net.set_up(card) } else { Ok(()) }
}

fn is_foreign(entry: &Entry, card: &Link) -> bool {
    let current = arp::text(&card.hardware);
    current != entry.now && current != entry.before
}

/// Sets it down before its address changes, so that the old one is never heard with the new state.
fn set_down(card: &Link, net: &Net, cx: &Cx<'_>) -> Result<Link> {
    ledger::restore_state(card, false, net, cx)?;
    Ok(net.link(card.index)?.unwrap_or_else(|| card.clone()))
}

fn restore_address(
    wanted: &Wanted,
    noted: Option<&Entry>,
    card: &Link,
    net: &Net,
    cx: &Cx<'_>,
) -> Result<()> {
    let mac = wanted.mac.octets();
    if card.hardware != mac {
        return Ok(());
    }
    let before = before(noted.map(|entry| entry.before.as_str()), &card.permanent, mac);
    let original = before.unwrap_or_else(|| {
        let made_up = substitute(mac);
        cx.log.warn(&format!(
            "nobody knows which address {} had before {}; it gets {}",
            card.name,
            wanted.mac,
            arp::text(&made_up)
        ));
        made_up
    });
    net.set_hardware_address(card, original, Outage::Mended)?;
    cx.log.info(&format!("{} has {} again", card.name, arp::text(&original)));
    Ok(())
}

/// The address that the card is to have: the one that was noted, or the maker's; but not the one that goes.
fn before(noted: Option<&str>, permanent: &[u8], mac: Mac) -> Option<Mac> {
    let noted =
        noted.and_then(|text| UnicastMac::parse(text.as_ref()).ok()).map(UnicastMac::octets);
    noted
        .or_else(|| Mac::try_from(permanent).ok())
        .filter(|found| *found != mac && *found != [0; 6])
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Mac = [2, 0, 0, 0, 0, 1];

    #[test]
    fn what_was_noted_goes_before_what_the_maker_gave() {
        let maker = [0x52, 0x54, 0, 0, 0, 7];
        assert_eq!(before(Some("02:00:00:00:00:09"), &maker, OURS), Some([2, 0, 0, 0, 0, 9]));
        assert_eq!(before(None, &maker, OURS), Some(maker));
        assert_eq!(before(Some("nonsense"), &maker, OURS), Some(maker));
        assert_eq!(before(None, &[], OURS), None);
        assert_eq!(before(None, &[0; 20], OURS), None);
        assert_eq!(before(None, &OURS, OURS), None, "the maker gave it the very address");
    }
}
