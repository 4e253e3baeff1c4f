//! Many addresses at once.

use std::time::Duration;

use super::Agents;
use super::resource::{Resource, at_home};
use crate::install::Installation;
use crate::pacemaker::Pacemaker;
use crate::stage::Stage;
use crate::{Outcome, clock, wait};

/// From here on, so many.
const FIRST: u8 = 101;
const NUMBER: u8 = 100;

/// The shell agents need the better part of it for a move.
const PATIENCE: Duration = Duration::from_mins(3);

/// A group of a hundred addresses moves to the other node.
pub fn hundred_addresses(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    let cluster = stage.pacemaker(2, Installation::Beside)?;
    let ips: Vec<String> =
        (FIRST..FIRST + NUMBER).map(|number| format!("10.77.0.{number}")).collect();
    cluster.add(&group(agents, &ips), &at_home("crowd", "node1"))?;
    // A group starts in its order and stops in the other: the last address is away longest.
    let last = ips.last().ok_or("there is an address")?;
    let watch = cluster.fleet.watch(last)?;
    watch.await_answer_from("node1", PATIENCE)?;
    cluster.await_idle()?;
    expect_all_on(cluster, 1, &ips)?;
    let since = clock::now();
    cluster.move_to("crowd", 2)?;
    let outage = watch.await_takeover_from("node1", since, PATIENCE)?;
    cluster.await_idle()?;
    expect_all_on(cluster, 2, &ips)?;
    let total = outage.end.saturating_sub(since);
    Ok(format!("move {} ms, {outage} (last address)", total.as_millis()))
}

fn group(agents: Agents, ips: &[String]) -> String {
    let one = |ip: &String| {
        Resource::address(agents, ip).with("cidr_netmask", "24").monitored("10s").xml()
    };
    let members: String = ips.iter().map(one).collect();
    format!("<group id='crowd'>{members}</group>")
}

/// Every address on that node, none on the other.
fn expect_all_on(cluster: &Pacemaker, number: u8, ips: &[String]) -> Outcome<()> {
    wait::until(&format!("all addresses are on node {number} alone"), PATIENCE, || {
        for (candidate, node) in cluster.fleet.running() {
            let held = node.addresses()?;
            if !ips.iter().all(|ip| held.contains(ip) == (candidate == number)) {
                return Ok(false);
            }
        }
        Ok(true)
    })
}
