//! An address moves because somebody wants it to, or because its node dies.

use super::Agents;
use super::common::{PATIENCE, establish, expect_settled};
use super::resource::Address;
use crate::fleet::node_name;
use crate::install::Installation;
use crate::pacemaker::Pacemaker;
use crate::stage::Stage;
use crate::{Outcome, clock};

/// The address of these scenarios.
const IP: &str = "10.77.0.50";

/// Configured as a careful administrator does it.
fn address(agents: Agents) -> Address {
    Address::new(agents, IP).with("nic", "eth0").with("cidr_netmask", "24").monitored("10s")
}

/// `crm_resource --move` brings the address to the other node, and back, and so on.
pub fn planned_move(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    play_move(stage.pacemaker(2, Installation::Beside)?, &address(agents))
}

/// The same, with our agent under the name of the shell agent.
pub fn planned_move_in_place(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    play_move(stage.pacemaker(2, Installation::InPlace)?, &address(agents).provided_by("heartbeat"))
}

fn play_move(cluster: &mut Pacemaker, address: &Address) -> Outcome<String> {
    let watch = establish(cluster, address, 1)?;
    let mut lengths = Vec::new();
    for (from, to) in [(1, 2), (2, 1), (1, 2), (2, 1), (1, 2)] {
        let since = clock::now();
        cluster.move_to(&address.id, to)?;
        let outage = watch.await_takeover_from(&node_name(from), since, PATIENCE)?;
        expect_settled(cluster, &watch, address, to, since)?;
        lengths.push(outage.length.as_millis());
    }
    cluster.end_move(&address.id)?;
    expect_settled(cluster, &watch, address, 2, clock::now())?;
    lengths.sort_unstable();
    let stop = cluster.time_of(1, &address.id, "stop")?;
    let start = cluster.time_of(2, &address.id, "start")?;
    Ok(format!(
        "outage {} ms, worst of 5 {} ms (stop {stop}, start {start})",
        lengths[2], lengths[4]
    ))
}

/// The node of the address goes into standby.
pub fn standby(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    let cluster = stage.pacemaker(2, Installation::Beside)?;
    let address = address(agents);
    let watch = establish(cluster, &address, 1)?;
    let since = clock::now();
    cluster.standby(1, true)?;
    let outage = watch.await_takeover_from("node1", since, PATIENCE)?;
    expect_settled(cluster, &watch, &address, 2, since)?;
    cluster.standby(1, false)?;
    expect_settled(cluster, &watch, &address, 2, since)?;
    Ok(outage.to_string())
}

/// The node of the address loses its power, and comes back later.
pub fn node_crash(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    play_crash(stage.pacemaker(2, Installation::Beside)?, &address(agents))
}

/// The same, with our agent under the name of the shell agent.
pub fn node_crash_in_place(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    play_crash(
        stage.pacemaker(2, Installation::InPlace)?,
        &address(agents).provided_by("heartbeat"),
    )
}

/// Of three nodes one dies: one of the other two takes the address, never both.
pub fn three_nodes(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    play_crash(stage.pacemaker(3, Installation::Beside)?, &address(agents))
}

fn play_crash(cluster: &mut Pacemaker, address: &Address) -> Outcome<String> {
    // Were it the controller that dies, an election would come first: a second that no agent can help.
    let controller = cluster.controller()?;
    let others = cluster.fleet.numbers().into_iter().find(|number| *number != controller);
    let victim = others.ok_or("a cluster has more than one node")?;
    let watch = establish(cluster, address, victim)?;
    let since = clock::now();
    cluster.fleet.crash(victim)?;
    let outage = watch.await_takeover_from(&node_name(victim), since, PATIENCE)?;
    let heirs = cluster.fleet.numbers().into_iter().find(|number| node_name(*number) == outage.by);
    let heir = heirs.ok_or_else(|| format!("{} answers, which is no node", outage.by))?;
    expect_settled(cluster, &watch, address, heir, since)?;
    cluster.revive(victim)?;
    expect_settled(cluster, &watch, address, heir, since)?;
    // The rest is corosync's and Pacemaker's, which sometimes waits for another second.
    let start = cluster.time_of(heir, &address.id, "start")?;
    Ok(format!("{outage} (start {start})"))
}
