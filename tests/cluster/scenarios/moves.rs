//! An address moves because somebody wants it to, or because its node dies.

use std::env;

use super::Agents;
use super::common::{PATIENCE, establish, expect_settled};
use super::resource::{Resource, at_home};
use crate::fleet::node_name;
use crate::install::Installation;
use crate::network::{SERVICE, SPARES};
use crate::pacemaker::Pacemaker;
use crate::presence::Presence;
use crate::series::Series;
use crate::stage::Stage;
use crate::watch::Watch;
use crate::{Outcome, clock};

/// The address of these scenarios.
const IP: &str = "10.77.0.50";

/// Those of the scenarios in which the hardware address moves too; the client knows them for good.
const DEVICE: (&str, &str) = ("10.77.0.83", "02:00:00:00:00:03");
const MACVLAN: (&str, &str) = ("10.77.0.84", "02:00:00:00:00:04");

/// So many planned moves are measured.
const MOVES: usize = 20;

/// Names the number of crashes that are measured; each takes about ten seconds.
const ROUNDS: &str = "OCFBOX_CLUSTER_ROUNDS";

/// The file that exists where Dummy runs.
const STATE: &str = "/run/dummy.state";

/// Configured as a careful administrator does it.
fn address(agents: Agents) -> Resource {
    Resource::address(agents, IP).with("cidr_netmask", "24").monitored("10s")
}

/// Address and hardware address as one resource.
fn identity(agents: Agents, (ip, mac): (&str, &str), nic: &str) -> Resource {
    let ip = format!("{ip}/24");
    let resource = Resource::new(agents, "MACaddr").with("nic", nic).with("mac", mac);
    resource.with("ip", &ip).monitored("10s")
}

/// The resource that does nothing: what a move of it takes is the cluster manager's own time.
fn dummy(agents: Agents) -> Resource {
    Resource::new(agents, "Dummy").with("state", STATE).monitored("10s")
}

/// `crm_resource --move` brings the address to the other node, and back, and so on.
pub fn planned_move(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    let cluster = stage.pacemaker(2, Installation::Beside)?;
    play_moves(cluster, IP, &address(agents), &dummy(agents))
}

/// A spare card takes over the hardware address, and the address with it.
pub fn planned_move_with_mac(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    let cluster = stage.pacemaker(2, Installation::Beside)?;
    let (ip, mac) = DEVICE;
    cluster.fleet.pin(ip, mac)?;
    play_moves(cluster, ip, &identity(agents, DEVICE, SPARES[0].nic), &dummy(agents))
}

/// The same without a spare card: an interface over the one that is in use.
pub fn planned_move_with_macvlan(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    let cluster = stage.pacemaker(2, Installation::Beside)?;
    let (ip, mac) = MACVLAN;
    cluster.fleet.pin(ip, mac)?;
    let resource = identity(agents, MACVLAN, SERVICE.nic).with("mode", "macvlan");
    play_moves(cluster, ip, &resource, &dummy(agents))
}

/// The same, with our agent under the name of the shell agent.
pub fn planned_move_in_place(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    let cluster = stage.pacemaker(2, Installation::InPlace)?;
    play_moves(cluster, IP, &address(agents).in_place(), &dummy(agents).in_place())
}

/// Moves the address and Dummy in turn, so that both meet the same machine.
fn play_moves(
    cluster: &Pacemaker,
    ip: &str,
    address: &Resource,
    dummy: &Resource,
) -> Outcome<String> {
    let presence = Presence::begin(&cluster.fleet, STATE)?;
    cluster.add(&dummy.xml(), &at_home(&dummy.id, "node1"))?;
    let watch = establish(cluster, address, ip, 1)?;
    let (mut outages, mut shares) = (Vec::new(), Vec::new());
    for (from, to) in [(1, 2), (2, 1)].into_iter().cycle().take(MOVES) {
        let since = clock::now();
        cluster.move_to(&address.id, to)?;
        let outage = watch.await_takeover_from(&node_name(from), since, PATIENCE)?;
        expect_settled(cluster, &watch, to, since)?;
        outages.push(outage.length);
        let since = clock::now();
        cluster.move_to(&dummy.id, to)?;
        shares.push(presence.await_move((from, to), since, PATIENCE)?);
        cluster.await_idle()?;
    }
    cluster.end_move(&address.id)?;
    cluster.end_move(&dummy.id)?;
    expect_settled(cluster, &watch, 1, clock::now())?;
    let stop = cluster.time_of(2, &address.id, "stop")?;
    let start = cluster.time_of(1, &address.id, "start")?;
    let (outages, managers) = (Series::new(outages), Series::new(shares));
    let (outage, manager) = (outages.median().as_millis(), managers.median().as_millis());
    let agents = outage.saturating_sub(manager);
    Ok(format!(
        "outage {outages}: agents {agents} ms, manager {manager} ms (stop {stop}, start {start})"
    ))
}

/// The node of the address goes into standby.
pub fn standby(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    let cluster = stage.pacemaker(2, Installation::Beside)?;
    let address = address(agents);
    let watch = establish(cluster, &address, IP, 1)?;
    let since = clock::now();
    cluster.standby(1, true)?;
    let outage = watch.await_takeover_from("node1", since, PATIENCE)?;
    expect_settled(cluster, &watch, 2, since)?;
    cluster.standby(1, false)?;
    expect_settled(cluster, &watch, 2, since)?;
    Ok(outage.to_string())
}

/// The node of the address loses its power, and comes back later.
pub fn node_crash(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    play_crashes(stage.pacemaker(2, Installation::Beside)?, IP, &address(agents))
}

/// The same with the hardware address.
pub fn node_crash_with_mac(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    let cluster = stage.pacemaker(2, Installation::Beside)?;
    let (ip, mac) = DEVICE;
    cluster.fleet.pin(ip, mac)?;
    play_crashes(cluster, ip, &identity(agents, DEVICE, SPARES[0].nic))
}

/// The same, with our agent under the name of the shell agent.
pub fn node_crash_in_place(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    play_crashes(stage.pacemaker(2, Installation::InPlace)?, IP, &address(agents).in_place())
}

/// Of three nodes one dies: one of the other two takes the address, never both.
pub fn three_nodes(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    play_crashes(stage.pacemaker(3, Installation::Beside)?, IP, &address(agents))
}

/// Each time from the same node, which is never the controller: were it that one that dies, an election would come
/// first, a second that no agent can help.
fn play_crashes(cluster: &mut Pacemaker, ip: &str, address: &Resource) -> Outcome<String> {
    let controller = cluster.controller()?;
    let others = cluster.fleet.numbers().into_iter().find(|number| *number != controller);
    let victim = others.ok_or("a cluster has more than one node")?;
    let watch = establish(cluster, address, ip, victim)?;
    let (mut outages, mut shares) = (Vec::new(), Vec::new());
    for _ in 0..rounds()? {
        bring_to(cluster, address, &watch, victim)?;
        let since = clock::now();
        cluster.fleet.crash(victim)?;
        let outage = watch.await_takeover_from(&node_name(victim), since, PATIENCE)?;
        let mut heirs = cluster.fleet.numbers().into_iter();
        let heir = heirs.find(|number| node_name(*number) == outage.by);
        let heir = heir.ok_or_else(|| format!("{} answers, which is no node", outage.by))?;
        expect_settled(cluster, &watch, heir, since)?;
        let decided = cluster.start_decided(&address.id)?;
        if decided < since {
            return Err("the controller logged no decision after the crash".to_owned());
        }
        outages.push(outage.length);
        shares.push(outage.end.saturating_sub(decided));
        cluster.revive(victim)?;
        expect_settled(cluster, &watch, heir, since)?;
    }
    // The rest is corosync's and Pacemaker's, which sometimes waits for another second.
    Ok(format!("outage {}; from the decision on {}", Series::new(outages), Series::new(shares)))
}

/// How many crashes are measured.
fn rounds() -> Outcome<usize> {
    let Some(wanted) = env::var_os(ROUNDS) else { return Ok(1) };
    let number = wanted.to_str().and_then(|text| text.parse().ok()).filter(|number| *number > 0);
    number.ok_or_else(|| format!("{ROUNDS} is {}, which is no number of crashes", wanted.display()))
}

/// Moves the address to that node, unless it is there.
fn bring_to(cluster: &Pacemaker, address: &Resource, watch: &Watch, number: u8) -> Outcome<()> {
    if cluster.fleet.holders(watch.address())? == [number] {
        return Ok(());
    }
    let since = clock::now();
    cluster.move_to(&address.id, number)?;
    expect_settled(cluster, watch, number, since)?;
    cluster.end_move(&address.id)?;
    expect_settled(cluster, watch, number, since)
}
