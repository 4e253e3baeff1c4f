//! Heartbeat with haresources: its scripts run the agents by their old names, with positional arguments.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::Agents;
use super::common::PATIENCE;
use crate::fleet::node_name;
use crate::heartbeat::{ADDRESSES, COUNTER, Duty, Heartbeat, POST_OFFICE, WEBSITE};
use crate::install::Installation;
use crate::mounted::Eye;
use crate::stage::Stage;
use crate::watch::Watch;
use crate::{Outcome, broker, clock, wait, web};

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

/// Address and web server start, move and stop. haresources has no monitor; that the server dies is noticed by its watcher
/// all the same: twice it is started again where it was, the third time the other node has everything.
pub fn website(stage: &mut Stage, _ours: Agents) -> Outcome<String> {
    let cluster = stage.heartbeat(Installation::Alone, Duty::Website)?;
    let watch = cluster.fleet.watch_page(WEBSITE)?;
    watch.await_answer_from(&node_name(1), PATIENCE)?;

    let since = clock::now();
    cluster.give_up(1)?;
    let moved = watch.await_takeover_from(&node_name(1), since, PATIENCE)?;
    cluster.await_settled(2)?;
    expect_no_server(cluster, 1)?;

    let mut outages = Vec::new();
    for home in [2, 2, 1] {
        let since = clock::now();
        web::kill_all(cluster.fleet.node(2)?)?;
        watch.await_answer_from(&node_name(home), PATIENCE)?;
        let outage = watch.longest_gap(since).ok_or("the client was never answered")?;
        outages.push(format!("{outage}, by node {home}"));
        cluster.await_settled(home)?;
    }
    expect_no_server(cluster, 2)?;

    // Home again, as if nobody had ever failed.
    cluster.give_up(1)?;
    watch.await_answer_from(&node_name(2), PATIENCE)?;
    cluster.await_settled(2)?;
    cluster.stop(2)?;
    watch.await_answer_from(&node_name(1), PATIENCE)?;
    cluster.fleet.await_holders(WEBSITE, &[1], PATIENCE)?;
    expect_no_server(cluster, 2)?;
    cluster.start(2)?;
    cluster.await_settled(1)?;
    Ok(format!("when it moves {moved}; killed: {}", outages.join(", ")))
}

/// Long enough for whoever looks every ten seconds.
const UNNOTICED: Duration = Duration::from_secs(15);

/// An address, a disk and a web server by its init script. With ours the server is killed three times: restarted, restarted,
/// then the other node has everything. With the shell agents nobody looks.
pub fn application(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    let installation = match agents {
        Agents::Ocfbox => Installation::Alone,
        Agents::Shell => Installation::Shell,
    };
    let cluster = stage.heartbeat(installation, Duty::Application)?;
    let image = Arc::clone(&cluster.image);
    let eye = Eye::open(&cluster.fleet, &image);
    let watch = cluster.fleet.watch_page(COUNTER)?;
    watch.await_answer_from(&node_name(1), PATIENCE)?;
    if agents == Agents::Shell {
        return complaint(cluster, &watch);
    }
    let mut timeline = Vec::new();
    for home in [1, 1, 2] {
        timeline.push(kill(cluster, &watch, 1, home)?);
    }
    expect_no_server(cluster, 1)?;
    eye.look_around();
    for (count, text) in
        [(3, "What:  failure of service_httpd"), (1, "giving all resources to the other node")]
    {
        let what = format!("node 1 sends {count} mails with {text:?}");
        wait::until(&what, PATIENCE, || Ok(cluster.mails(1, text)? == count))?;
    }

    // Alone, a node has no better place for it.
    cluster.fleet.crash(1)?;
    cluster.await_death(1)?;
    let mut alone = Vec::new();
    for _ in 0..3 {
        alone.push(kill(cluster, &watch, 2, 2)?);
    }
    cluster.revive(1)?;
    eye.meet(&cluster.fleet);
    cluster.await_settled(2)?;
    alone.push(kill(cluster, &watch, 2, 1)?);
    eye.expect(&[1, 2, 1])?;
    Ok(format!(
        "killed: {}; alone: {}, with the other node again {}",
        timeline.join(", "),
        alone[..3].join(", "),
        alone[3]
    ))
}

/// Kills the server on node `from`; how long the client was not answered until it was by node `to`.
fn kill(cluster: &Heartbeat, watch: &Watch, from: u8, to: u8) -> Outcome<String> {
    let since = clock::now();
    web::kill_all(cluster.fleet.node(from)?)?;
    watch.await_answer_from(&node_name(to), PATIENCE)?;
    let outage = watch.longest_gap(since).ok_or("the client was never answered")?;
    cluster.await_settled(to)?;
    Ok(format!("{} ms, node {to}", outage.length.as_millis()))
}

/// As the server of a message queue takes its time.
const SLOWLY: Duration = Duration::from_mins(2);

/// An address and a message queue by its init script, with one restart: killed twice, it is restarted, and then the other
/// node has everything.
pub fn queue(stage: &mut Stage, _ours: Agents) -> Outcome<String> {
    let cluster = stage.heartbeat(Installation::Alone, Duty::Queue)?;
    let watch = cluster.fleet.watch_broker(POST_OFFICE)?;
    watch.await_answer_from(&node_name(1), SLOWLY)?;
    cluster.await_settled(1)?;
    let mut timeline = Vec::new();
    for home in [1, 2] {
        let since = clock::now();
        broker::kill(cluster.fleet.node(1)?)?;
        watch.await_answer_from(&node_name(home), SLOWLY)?;
        let outage = watch.longest_gap(since).ok_or("the client was never answered")?;
        cluster.await_settled(home)?;
        timeline.push(format!("{} ms, node {home}", outage.length.as_millis()));
    }
    if broker::is_there(cluster.fleet.node(1)?) {
        return Err("node 1 still has the server".to_owned());
    }
    cluster.give_up(2)?;
    watch.await_answer_from(&node_name(1), SLOWLY)?;
    cluster.await_settled(1)?;
    Ok(format!("killed: {}", timeline.join(", ")))
}

/// What the users of the shell agents write: the server is dead, and its node keeps address and disk.
fn complaint(cluster: &Heartbeat, watch: &Watch) -> Outcome<String> {
    let node = cluster.fleet.node(1)?;
    web::kill_all(node)?;
    // What was under way is over then.
    thread::sleep(Duration::from_secs(1));
    let since = clock::now();
    thread::sleep(UNNOTICED);
    let is_answered = watch.is_answered(since);
    let holders = cluster.fleet.holders(COUNTER)?;
    // As the administrator does in the end.
    node.run(&[&format!("/etc/init.d/{}", web::SCRIPT), "start"])?;
    watch.await_answer_from(&node_name(1), PATIENCE)?;
    if is_answered || holders != [1] {
        return Err(format!("somebody noticed: the address is on {holders:?}"));
    }
    Ok(format!(
        "0.0 s killed, no answer for {} s, node 1 keeps the address: NOT NOTICED",
        UNNOTICED.as_secs()
    ))
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
