//! What becomes of a connection that a client holds when the address moves.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::Agents;
use super::common::{PATIENCE, establish, expect_settled};
use super::resource::Resource;
use crate::fleet::{Fleet, node_name};
use crate::install::Installation;
use crate::machine::SHARED;
use crate::stage::Stage;
use crate::{Outcome, clock, says, wait};

const IP: &str = "10.77.0.55";

/// A client that waits for its server is to know within this time after the takeover that it waits in vain.
const PROMPT: Duration = Duration::from_secs(1);

/// So long the shell agent's client is watched; by itself it would wait for ever.
const HOPELESS: Duration = Duration::from_secs(5);

/// The node of the address loses its power: nobody is left to end the connection, so the heir has to.
pub fn reset(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    let cluster = stage.pacemaker(2, Installation::Beside)?;
    let address = Resource::address(agents, IP).with("cidr_netmask", "24").monitored("1s");
    let address = match agents {
        Agents::Ocfbox => address.with("tickle_dir", SHARED),
        Agents::Shell => address,
    };
    // An election would only make it longer.
    let victim = 3 - cluster.controller()?;
    let heir = 3 - victim;
    let watch = establish(cluster, &address, IP, victim)?;
    let connection = cluster.fleet.connect(IP, PATIENCE)?;
    if agents == Agents::Ocfbox {
        await_listed(&cluster.fleet, &connection.from)?;
    }
    let since = clock::now();
    cluster.fleet.crash(victim)?;
    let outage = watch.await_takeover_from(&node_name(victim), since, PATIENCE)?;
    let patience = if agents == Agents::Ocfbox { PATIENCE } else { HOPELESS };
    let end = connection.await_end(patience);
    expect_settled(cluster, &watch, heir, since)?;
    cluster.revive(victim)?;
    expect_settled(cluster, &watch, heir, since)?;
    match (end, agents) {
        (Some((at, how)), _) => {
            let after = at.saturating_sub(outage.end);
            let words = format!("{how} {} ms after the takeover", after.as_millis());
            let is_prompt =
                agents == Agents::Shell || (how == "connection reset" && after < PROMPT);
            is_prompt.then_some(words.clone()).ok_or(words)
        }
        (None, Agents::Shell) => Ok(format!("still hanging after {} s", HOPELESS.as_secs())),
        (None, Agents::Ocfbox) => {
            Err(format!("hangs, {} s after the takeover", PATIENCE.as_secs()))
        }
    }
}

/// Waits until the agent has written the connection down where the other node finds it.
fn await_listed(fleet: &Fleet, client: &str) -> Outcome<()> {
    let (_, node) = fleet.running().next().ok_or("no node is running")?;
    let directory = node.path(SHARED);
    wait::until(&format!("{client} is in a file in {SHARED}"), PATIENCE, || {
        let files = fs::read_dir(&directory).map_err(says(format!("cannot read {SHARED}")))?;
        Ok(files.flatten().any(|file| is_listed(&file.path(), client)))
    })
}

fn is_listed(file: &Path, client: &str) -> bool {
    // One that is just being replaced is looked at the next time.
    fs::read_to_string(file).is_ok_and(|list| list.split_whitespace().any(|word| word == client))
}
