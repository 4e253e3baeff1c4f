//! Another host that takes the hardware address while it is here.
//!
//! Frames from the address that come in are a suspicion and no proof: there are networks that give a host its own
//! frames back (wireless ones, a loop between switches, a switch that reflects). So a monitor that finds the suspicion
//! written asks in a way that every host answers with a frame to all, and looks whether what comes are the questions.

#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv4Addr};

use super::{Wanted, conflict};
use crate::agent::Cx;
use crate::error::{Doing, Error, Result};
use crate::host::announce::{Subject, ethernet};
use crate::host::arp::{self, Mac};
use crate::host::inquiry::{self, PATIENCE};
use crate::host::link::Link;
use crate::host::ndisc;
use crate::host::net::Net;
use crate::host::packet::PacketSocket;
use crate::state::StateFile;
use crate::watch::ClaimSigns;
use crate::{trace_answer, trace_ask};

/// What the record says of a network that gives our own frames back, where nobody can be told apart.
const REFLECTS: &str = "reflects";

/// Where frames from it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Nobody,
    AnotherHost,
    Ourselves,
}

fn record(wanted: &Wanted, cx: &Cx<'_>) -> StateFile {
    cx.state.file(&format!("hardware-{}-rival", wanted.mac))
}

fn suspicion(wanted: &Wanted, cx: &Cx<'_>) -> Option<String> {
    record(wanted, cx).read().ok().flatten()
}

/// Forgets what was heard in an earlier life of the address.
///
/// # Errors
/// The file cannot be removed.
pub(super) fn forget(wanted: &Wanted, cx: &Cx<'_>) -> Result<()> {
    record(wanted, cx).remove()
}

/// By which frames of others there are to be heard on the interface that has the address.
pub(super) fn claims(wanted: &Wanted, link: &Link, cx: &Cx<'_>) -> Option<ClaimSigns> {
    let reflects = suspicion(wanted, cx).as_deref() == Some(REFLECTS);
    let own = ethernet(link).ok().filter(|_| wanted.conflict_check && !reflects)?;
    let (subject, record) = (Subject::Hardware(wanted.mac), record(wanted, cx).path().to_owned());
    Some(ClaimSigns { subject, index: link.index, own, record })
}

/// Fails if another host was heard with the address, and is heard again.
///
/// # Errors
/// It is.
pub(super) fn refuse(wanted: &Wanted, link: &Link, net: &Net, cx: &Cx<'_>) -> Result<()> {
    let suspicion = suspicion(wanted, cx).filter(|text| text != REFLECTS);
    if suspicion.is_none() || !wanted.conflict_check {
        return Ok(());
    }
    let (mac, on) = (wanted.mac, &link.name);
    match origin(wanted, link, net) {
        Ok(Origin::AnotherHost) => Err(Error::Failed(format!(
            "another host has {mac} too: frames come from it on {on}; end it on one of them"
        ))),
        Ok(Origin::Ourselves) => {
            cx.log.debug(&format!("the network at {on} gives our own frames back"));
            let _ = record(wanted, cx).write(REFLECTS);
            Ok(())
        }
        Ok(Origin::Nobody) => {
            let _ = record(wanted, cx).remove();
            Ok(())
        }
        // Not to be able to ask is no conflict; the record stays for the next monitor.
        Err(error) => {
            cx.log.debug(&error.to_string());
            Ok(())
        }
    }
}

/// Asks all hosts, and waits for all of the time: an own frame that comes back outweighs others.
///
/// From the card below a virtual one, which has an address of its own to answer to. Where there is none, a switch passes on no
/// answer from the address to itself; then only a host gives itself away that has to ask all in turn before it can answer,
/// which one with IPv6 has.
fn origin(wanted: &Wanted, link: &Link, net: &Net) -> Result<Origin> {
    let card = match (&wanted.macvlan, link.parent) {
        (Some(_), Some(parent)) => net.link(parent)?,
        _ => None,
    };
    let asking = card.as_ref().unwrap_or(link);
    let questions = questions(wanted, ethernet(asking)?);
    trace_ask!("{} questions to all for {}", questions.len(), wanted.mac);
    let mac = wanted.mac.octets();
    let mut origin = Origin::Nobody;
    let asked = PacketSocket::watch(asking.index, mac).and_then(|socket| {
        inquiry::ask::<()>(&socket, &questions, &PATIENCE, &mut |frame| {
            // A card fills short ones up.
            if questions.iter().any(|question| frame.starts_with(question)) {
                origin = Origin::Ourselves;
            } else if frame.get(6..12) == Some(&mac) && origin == Origin::Nobody {
                origin = Origin::AnotherHost;
            }
            None
        })
    });
    asked.doing(|| format!("ask for {} on {}", wanted.mac, asking.name))?;
    trace_answer!("{origin:?}");
    Ok(origin)
}

/// What goes to all: one that nobody answers but that comes back where anything does, and those that whoever has the address
/// answers.
fn questions(wanted: &Wanted, from: Mac) -> Vec<Vec<u8>> {
    let addresses = wanted.addresses.iter().filter_map(|address| match address.ip {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(_) => None,
    });
    let probes = std::iter::once(Ipv4Addr::UNSPECIFIED).chain(addresses).map(|ip| {
        let [to_all, _] = arp::probes(from, ip, from);
        to_all
    });
    let echo = ndisc::echo(from, conflict::stranger(from), ndisc::ALL_NODES_MAC);
    probes.chain([echo]).collect()
}
