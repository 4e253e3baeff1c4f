//! Two servers, each with its own service, stand in for each other: address, hardware address and all. The clients'
//! neighbour entries are static, so no announcement helps them.

use std::time::Duration;

use serde::Deserialize;

use super::Agents;
use super::common::PATIENCE;
use super::resource::{Resource, at_home};
use crate::fleet::{Fleet, node_name};
use crate::heartbeat::{Duty, Heartbeat};
use crate::identity::{IDENTITIES, Identity};
use crate::install::Installation;
use crate::network::CARDS;
use crate::pacemaker::Pacemaker;
use crate::stage::Stage;
use crate::watch::Watch;
use crate::{Outcome, clock, says};

/// Who has no part in a takeover is answered all the time; a busy machine may be late.
const UNDISTURBED: Duration = Duration::from_secs(1);

/// Where the identities belong.
const HOMES: [Option<u8>; 2] = [Some(IDENTITIES[0].home), Some(IDENTITIES[1].home)];

/// The cluster manager, whichever it is.
trait Manager {
    fn fleet(&mut self) -> &mut Fleet;
    /// Returns when nothing is under way any more.
    fn settle(&self) -> Outcome<()>;
    /// Takes a node out in an orderly way.
    fn retire(&mut self, number: u8) -> Outcome<()>;
    /// Takes it back.
    fn recall(&mut self, number: u8) -> Outcome<()>;
    /// Switches a node on again after a crash.
    fn revive(&mut self, number: u8) -> Outcome<()>;
}

impl Manager for Pacemaker {
    fn fleet(&mut self) -> &mut Fleet {
        &mut self.fleet
    }

    fn settle(&self) -> Outcome<()> {
        self.await_idle()
    }

    fn retire(&mut self, number: u8) -> Outcome<()> {
        self.standby(number, true)
    }

    fn recall(&mut self, number: u8) -> Outcome<()> {
        self.standby(number, false)
    }

    fn revive(&mut self, number: u8) -> Outcome<()> {
        self.revive(number)
    }
}

impl Manager for Heartbeat {
    fn fleet(&mut self) -> &mut Fleet {
        &mut self.fleet
    }

    fn settle(&self) -> Outcome<()> {
        self.await_quiet()
    }

    fn retire(&mut self, number: u8) -> Outcome<()> {
        self.stop(number)
    }

    fn recall(&mut self, number: u8) -> Outcome<()> {
        self.start(number)
    }

    fn revive(&mut self, number: u8) -> Outcome<()> {
        self.revive(number)
    }
}

/// Under Pacemaker: a group for each server, which goes home as soon as it can.
pub fn pacemaker(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    let cluster = stage.pacemaker(2, Installation::Beside)?;
    for identity in &IDENTITIES {
        let home = at_home(&group_name(identity), &node_name(identity.home));
        cluster.add(&group(agents, identity), &home)?;
    }
    let seen = play(cluster)?;
    cluster.clear()?;
    expect_cards(&cluster.fleet, [None; 2])?;
    Ok(seen)
}

/// Under Heartbeat: a line of haresources for each server, and `auto_failback on`.
pub fn heartbeat(stage: &mut Stage, _ours: Agents) -> Outcome<String> {
    play(stage.heartbeat(Installation::Alone, Duty::Mutual)?)
}

fn group_name(identity: &Identity) -> String {
    format!("{}-identity", identity.name)
}

fn group(agents: Agents, identity: &Identity) -> String {
    let Identity { name, ip, mac, nic, .. } = identity;
    let id = group_name(identity);
    let members = [
        Resource::new(agents, "MACaddr").with("nic", nic).with("mac", mac),
        Resource::new(agents, "IPaddr2").with("ip", ip).with("nic", nic).with("cidr_netmask", "24"),
        Resource::service(name),
    ];
    let members: String =
        members.map(|resource| resource.monitored("10s").xml()).into_iter().collect();
    format!(
        "<group id='{id}'><meta_attributes id='{id}-meta'>\
         <nvpair id='{id}-stickiness' name='resource-stickiness' value='0'/></meta_attributes>\
         {members}</group>"
    )
}

/// Each node crashes and comes back, then each is taken out and taken back.
fn play(cluster: &mut impl Manager) -> Outcome<String> {
    let mut play = Play::begin(cluster)?;
    let (mut crashes, mut retirements, mut returns) = (Vec::new(), Vec::new(), Vec::new());
    for identity in &IDENTITIES {
        let node = identity.home;
        crashes.push(play.displace(identity, |cluster| cluster.fleet().crash(node))?);
        returns.push(play.bring_home(identity, |cluster| cluster.revive(node))?);
    }
    for identity in &IDENTITIES {
        let node = identity.home;
        retirements.push(play.displace(identity, |cluster| cluster.retire(node))?);
        returns.push(play.bring_home(identity, |cluster| cluster.recall(node))?);
    }
    Ok(format!(
        "outage at a crash {}, at a shutdown {}, when it comes home {}",
        list(&crashes),
        list(&retirements),
        list(&returns)
    ))
}

fn list(outages: &[Duration]) -> String {
    let words: Vec<String> = outages.iter().map(|outage| outage.as_millis().to_string()).collect();
    format!("{} ms", words.join(", "))
}

/// The clients of both servers, while something happens to one.
struct Play<'a, M> {
    cluster: &'a mut M,
    watches: [Watch; 2],
}

impl<'a, M: Manager> Play<'a, M> {
    /// Waits until both servers are at home.
    fn begin(cluster: &'a mut M) -> Outcome<Self> {
        let fleet = cluster.fleet();
        for identity in &IDENTITIES {
            fleet.pin(identity.ip, identity.mac)?;
        }
        let [first, second] = IDENTITIES.each_ref().map(|identity| identity.ip);
        let watches = [fleet.watch_service(first)?, fleet.watch_service(second)?];
        for (identity, watch) in IDENTITIES.iter().zip(&watches) {
            watch.await_answer_from(&identity.answer_on(identity.home), PATIENCE)?;
        }
        cluster.settle()?;
        expect_cards(cluster.fleet(), HOMES)?;
        Ok(Self { cluster, watches })
    }

    /// What makes the server's identity go from its home to the other node.
    fn displace(
        &mut self,
        identity: &Identity,
        cause: impl FnOnce(&mut M) -> Outcome<()>,
    ) -> Outcome<Duration> {
        let other = 3 - identity.home;
        self.observe(identity, (identity.home, other), cause)
    }

    /// What lets it go home.
    fn bring_home(
        &mut self,
        identity: &Identity,
        cause: impl FnOnce(&mut M) -> Outcome<()>,
    ) -> Outcome<Duration> {
        let other = 3 - identity.home;
        self.observe(identity, (other, identity.home), cause)
    }

    fn observe(
        &mut self,
        identity: &Identity,
        (from, to): (u8, u8),
        cause: impl FnOnce(&mut M) -> Outcome<()>,
    ) -> Outcome<Duration> {
        let since = clock::now();
        cause(self.cluster)?;
        let index = usize::from(identity.home) - 1;
        let watch = &self.watches[index];
        let outage = watch.await_takeover_from(&identity.answer_on(from), since, PATIENCE)?;
        let expected = identity.answer_on(to);
        if outage.by != expected {
            return Err(format!("{} answers instead of {expected}", outage.by));
        }
        self.cluster.fleet().expect_pinned(identity.ip, identity.mac)?;
        self.cluster.settle()?;
        let mut places = HOMES;
        places[index] = Some(to);
        expect_cards(self.cluster.fleet(), places)?;
        let other = &IDENTITIES[1 - index];
        expect_undisturbed(&self.watches[1 - index], &other.answer_on(other.home), since)?;
        Ok(outage.length)
    }
}

/// The other server's clients notice nothing.
fn expect_undisturbed(watch: &Watch, answer: &str, since: Duration) -> Outcome<()> {
    let address = watch.address();
    watch.await_answer_from(answer, PATIENCE)?;
    if watch.changes(since) > 0 {
        return Err(format!("{address} moved too, which had no part in it"));
    }
    let gap = watch.longest_gap(since).ok_or_else(|| format!("{address} never answered"))?;
    (gap.length < UNDISTURBED)
        .then_some(())
        .ok_or_else(|| format!("{address}, which had no part in it, had an {gap}"))
}

/// Every card of every running node has the hardware address that belongs to it, by `ip -j`: that of the identity
/// which is in that place, or else its own. A spare card that nobody uses is down, as it was.
fn expect_cards(fleet: &Fleet, places: [Option<u8>; 2]) -> Outcome<()> {
    for (number, node) in fleet.running() {
        let links: Vec<Link> = serde_json::from_str(&node.ip("-j link show")?)
            .map_err(says("cannot read the output of ip"))?;
        for card in CARDS {
            let guest = IDENTITIES
                .iter()
                .zip(places)
                .find(|(identity, place)| identity.nic == card.nic && *place == Some(number));
            let own = card.mac(number);
            let expected = guest.map_or(own.as_str(), |(identity, _)| identity.mac);
            let is_used = guest.is_some() || !card.is_spare();
            let link = links.iter().find(|link| link.ifname == card.nic);
            let fits = link.is_some_and(|link| {
                link.address == expected && link.flags.iter().any(|flag| flag == "UP") == is_used
            });
            if !fits {
                let state = if is_used { "up" } else { "down" };
                let (name, nic) = (node.name(), card.nic);
                return Err(format!("{nic} of {name} is {link:?}, not {state} with {expected}"));
            }
        }
    }
    Ok(())
}

/// What `ip -j link` tells of an interface.
#[derive(Debug, Deserialize)]
struct Link {
    ifname: String,
    address: String,
    flags: Vec<String>,
}
