//! Heartbeat with haresources: its scripts run the agents by their old names, with positional arguments.

use std::thread;
use std::time::Duration;

use super::Agents;
use super::common::PATIENCE;
use crate::fleet::node_name;
use crate::heartbeat::{ADDRESSES, Duty, Heartbeat, WEBSITE};
use crate::install::Installation;
use crate::stage::Stage;
use crate::watch::Watch;
use crate::{Outcome, clock, wait, web};

/// So long a dead server is watched that Heartbeat does not watch.
const UNNOTICED: Duration = Duration::from_secs(5);

/// Node 1 loses its power: node 2 takes everything, and keeps it when node 1 is back.
pub fn node_crash(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    let cluster = cluster(stage, agents)?;
    let watches = watch_all(cluster)?;
    let since = clock::now();
    cluster.fleet.crash(1)?;
    let seen = await_takeover(&watches, 1, since)?;
    cluster.await_settled(2)?;
    cluster.revive(1)?;
    cluster.await_settled(2)?;
    bring_home(cluster, &watches)?;
    Ok(seen)
}

/// `hb_standby` on node 1 gives everything to node 2, and on node 2 gives it back.
pub fn give_back(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    let cluster = cluster(stage, agents)?;
    let watches = watch_all(cluster)?;
    let since = clock::now();
    cluster.give_up(1)?;
    let seen = await_takeover(&watches, 1, since)?;
    cluster.await_settled(2)?;
    bring_home(cluster, &watches)?;
    Ok(seen)
}

/// Heartbeat understands from the agents' words who owns what.
pub fn status(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    let cluster = cluster(stage, agents)?;
    let (mut words, mut mistakes) = (Vec::new(), Vec::new());
    for resource in cluster.resources() {
        for (number, expected) in [(1, true), (2, false)] {
            let said = cluster.status(number, resource)?;
            if cluster.is_owner(number, resource)? != expected {
                let (agent, _) = resource.split_once("::").ok_or("a resource has arguments")?;
                let is_owner = if expected { "the owner" } else { "no owner" };
                mistakes.push(format!("{agent} on node{number}, {is_owner}, says {said:?}"));
            }
            words.push(format!("{said:?}"));
        }
    }
    words.sort();
    words.dedup();
    match agents {
        Agents::Ocfbox if !mistakes.is_empty() => Err(mistakes.join("; ")),
        Agents::Shell if !mistakes.is_empty() => Ok(format!("WRONG: {}", mistakes.join("; "))),
        _ => Ok(words.join(" and ")),
    }
}

/// Address and web server start, move and stop; that the server dies in between is noticed by nobody, for haresources
/// has no monitor.
pub fn website(stage: &mut Stage, _ours: Agents) -> Outcome<String> {
    let cluster = stage.heartbeat(Installation::Alone, Duty::Website)?;
    let watch = cluster.fleet.watch_page(WEBSITE)?;
    watch.await_answer_from(&node_name(1), PATIENCE)?;

    let since = clock::now();
    cluster.give_up(1)?;
    let moved = watch.await_takeover_from(&node_name(1), since, PATIENCE)?;
    cluster.await_settled(2)?;
    expect_no_server(cluster, 1)?;

    let node = cluster.fleet.node(2)?;
    web::kill_all(node)?;
    // What was under way is over when nobody is left to answer.
    wait::until("no process of the server is left on node 2", PATIENCE, || {
        Ok(!web::is_there(node))
    })?;
    let since = clock::now();
    thread::sleep(UNNOTICED);
    let is_noticed = watch.count(since) > 0 || cluster.fleet.holders(WEBSITE)? != [2];
    if is_noticed || web::is_there(node) {
        return Err("somebody did something about the dead server, which is news".to_owned());
    }

    cluster.stop(2)?;
    watch.await_answer_from(&node_name(1), PATIENCE)?;
    cluster.fleet.await_holders(WEBSITE, &[1], PATIENCE)?;
    expect_no_server(cluster, 2)?;
    cluster.start(2)?;
    cluster.await_settled(1)?;
    Ok(format!("when it moves {moved}; killed: not noticed in {} s", UNNOTICED.as_secs()))
}

fn expect_no_server(cluster: &Heartbeat, number: u8) -> Outcome<()> {
    let is_there = web::is_there(cluster.fleet.node(number)?);
    if is_there { Err(format!("node {number} still has the server")) } else { Ok(()) }
}

/// Ours run with no shell agent left to fall back on.
fn cluster(stage: &mut Stage, agents: Agents) -> Outcome<&mut Heartbeat> {
    let installation = match agents {
        Agents::Ocfbox => Installation::Alone,
        Agents::Shell => Installation::Shell,
    };
    stage.heartbeat(installation, Duty::Group)
}

fn watch_all(cluster: &Heartbeat) -> Outcome<Vec<Watch>> {
    let watches: Vec<Watch> =
        ADDRESSES.iter().map(|ip| cluster.fleet.watch(ip)).collect::<Outcome<_>>()?;
    for watch in &watches {
        watch.await_answer_from(&node_name(1), PATIENCE)?;
    }
    Ok(watches)
}

fn await_takeover(watches: &[Watch], old: u8, since: Duration) -> Outcome<String> {
    let mut lengths = Vec::new();
    for watch in watches {
        let outage = watch.await_takeover_from(&node_name(old), since, PATIENCE)?;
        lengths.push(outage.length.as_millis().to_string());
    }
    Ok(format!("outage {} ms", lengths.join(", ")))
}

fn bring_home(cluster: &Heartbeat, watches: &[Watch]) -> Outcome<()> {
    let since = clock::now();
    cluster.give_up(2)?;
    await_takeover(watches, 2, since)?;
    cluster.await_settled(1)
}
