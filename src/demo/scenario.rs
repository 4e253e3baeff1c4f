//! What is shown: an address, its node's death, and the other node that takes it over.

#![forbid(unsafe_code)]

use std::time::Duration;

use super::event::{Moment, Totals};
use super::executor::AGENT;
use super::manager::{Answer, Manager};
use super::timeline::{Tone, milliseconds};
use super::{ADDRESS, CARD, CLIENT, Host, NODE1, NODE2, PREFIX, heartbeat};
use crate::error::{Error, Result};
use crate::host::arp;

/// How long the client is served between the events.
const QUIET: Duration = Duration::from_millis(250);

/// How node2 came to the address.
struct Takeover {
    /// The last answer from node1; its end, if the client got none.
    last: Moment,
    /// When node2 noticed.
    noticed: Moment,
    /// The first answer from node2.
    first: Moment,
    /// How long the agent's start took.
    start: Duration,
}

/// Plays it, and prints what happened.
///
/// # Errors
/// The first thing that did not happen.
pub(super) fn play(manager: &mut Manager) -> Result<()> {
    introduce(manager)?;
    serve_from_node1(manager)?;
    let takeover = take_over(manager)?;
    let monitor = manager.action(NODE2, "monitor", 0)?;
    check_neighbour(manager, NODE2)?;
    manager.go_on(QUIET)?;
    let totals = end_client(manager)?;
    let stop = manager.action(NODE2, "stop", 0)?;
    manager.action(NODE2, "monitor", 7)?;
    manager.timeline.flush()?;
    conclude(manager, &takeover, totals, monitor, stop)
}

fn introduce(manager: &Manager) -> Result<()> {
    let lines = [
        "Two nodes, a client and a switch in throw-away namespaces; the host is not touched."
            .to_owned(),
        format!(
            "The cluster's address is {ADDRESS}. {AGENT} is called as Pacemaker calls it; the client opens a new"
        ),
        "connection every 2 ms and asks which node answers.\n".to_owned(),
    ];
    manager.timeline.say(Tone::Plain, &lines)
}

/// The address comes up on node1, and the client uses it.
fn serve_from_node1(manager: &mut Manager) -> Result<()> {
    for node in [NODE1, NODE2] {
        manager.action(node, "monitor", 7)?;
    }
    start(manager, NODE1)?;
    manager.order(CLIENT, "ask")?;
    first_answer(manager, NODE1)?;
    check_neighbour(manager, NODE1)?;
    manager.timeline.flush()?;
    manager.go_on(QUIET)?;
    manager.action(NODE1, "monitor", 0)?;
    manager.timeline.flush()?;
    manager.go_on(QUIET)
}

/// Node1 dies and node2 takes over.
fn take_over(manager: &mut Manager) -> Result<Takeover> {
    let killed = manager.power_off(NODE1)?;
    let what = "POWER LOSS: its cable is cut, every process of it killed";
    manager.timeline.note(killed, NODE1.name, Tone::Bad, what);
    let noticed =
        manager.until_some("node2 to notice that node1 is dead", |seen| seen.missed_by(NODE2))?;
    manager.note(NODE2, Tone::Plain, "node1 is dead; without power it needs no fencing");
    let start = start(manager, NODE2)?;
    let answer = first_answer(manager, NODE2)?;
    Ok(Takeover { last: answer.before.unwrap_or(killed), noticed, first: answer.at, start })
}

fn start(manager: &mut Manager, node: Host) -> Result<Duration> {
    let what = format!("{AGENT} start    {ADDRESS}/{PREFIX} on {CARD} …");
    manager.note(node, Tone::Plain, &what);
    let took = manager.action(node, "start", 0)?;
    let mac = arp::text(&node.mac);
    manager.until_some(&format!("{} to announce {ADDRESS}", node.name), |seen| {
        seen.announced.iter().any(|(heard, _)| *heard == mac).then_some(())
    })?;
    Ok(took)
}

fn first_answer(manager: &mut Manager, node: Host) -> Result<Answer> {
    manager.until_some(&format!("an answer from {}", node.name), |seen| {
        seen.answers.iter().find(|answer| answer.node == node.name).cloned()
    })
}

/// The client's kernel must send to `node`.
fn check_neighbour(manager: &mut Manager, node: Host) -> Result<()> {
    let mac = manager.neighbour()?;
    manager.note(CLIENT, Tone::Plain, &format!("neighbour cache: {ADDRESS} is at {mac}"));
    if mac == arp::text(&node.mac) {
        return Ok(());
    }
    Err(Error::Failed(format!(
        "the client's neighbour cache has {mac} for {ADDRESS}, which is not {}",
        node.name
    )))
}

fn end_client(manager: &mut Manager) -> Result<Totals> {
    manager.order(CLIENT, "end")?;
    manager.until_some("the client's count", |seen| seen.totals)
}

fn conclude(
    manager: &Manager,
    takeover: &Takeover,
    totals: Totals,
    monitor: Duration,
    stop: Duration,
) -> Result<()> {
    let Takeover { last, noticed, first, start } = takeover;
    // Rounded once, so that the parts are together the whole.
    let (outage, noticing) = (first.since(*last).as_millis(), noticed.since(*last).as_millis());
    let taking = outage.saturating_sub(noticing);
    let result = format!(
        "outage seen by the client: {outage} ms (of it {noticing} ms to notice that node1 is dead, {taking} ms to take over)"
    );
    manager.timeline.say(Tone::Result, &[String::new(), result])?;
    let Totals { node1, node2, unanswered } = totals;
    let [start, monitor, stop] = [*start, monitor, stop].map(milliseconds);
    let lines = [
        format!("requests: {node1} answered by node1, {node2} by node2, {unanswered} by nobody"),
        format!(
            "the agent on node2: start {start} ms (it asks for 20 ms whether another host has the address), \
             monitor {monitor} ms, stop {stop} ms"
        ),
        format!(
            "a node counts as dead after {} ms without a heartbeat; a cluster has its own limit (Corosync: token)",
            heartbeat::DEAD.as_millis()
        ),
    ];
    manager.timeline.say(Tone::Plain, &lines)
}
