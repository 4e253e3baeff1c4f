//! Something goes wrong with the address or its interface, while the cluster itself is well.

use std::time::Duration;

use super::Agents;
use super::common::{PATIENCE, establish, expect_settled};
use super::resource::Resource;
use crate::fleet::boot_stranger;
use crate::install::Installation;
use crate::network::SERVICE;
use crate::pacemaker::Pacemaker;
use crate::stage::Stage;
use crate::{Outcome, clock, wait};

/// The address of these scenarios.
const IP: &str = "10.77.0.60";

/// Number of the stranger in the service network.
const STRANGER: u8 = 66;

/// A monitor every second has to notice within this time; the shell agents get no more.
const NOTICE: Duration = Duration::from_secs(10);

/// Somebody deletes the address on its node: the monitor notices, and brings it back.
pub fn address_deleted(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    let cluster = stage.pacemaker(2, Installation::Beside)?;
    let address = Resource::address(agents, IP).with("cidr_netmask", "24").monitored("1s");
    let watch = establish(cluster, &address, IP, 1)?;
    let since = clock::now();
    cluster.fleet.node(1)?.ip(&format!("addr del {IP}/24 dev eth0"))?;
    let what = format!("{IP} is back on node 1");
    wait::until(&what, PATIENCE, || {
        Ok(cluster.failures(&address.id)?.len() == 1 && cluster.fleet.holders(IP)? == [1])
    })?;
    expect_settled(cluster, &watch, 1, since)?;
    let outage = watch.longest_gap(since).ok_or("the client was never answered")?;
    Ok(outage.to_string())
}

/// The service cable of the address's node is cut; the ring of the cluster is not.
pub fn cable_cut(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    let cluster = stage.pacemaker(2, Installation::Beside)?;
    let address = Resource::address(agents, IP).with("cidr_netmask", "24").monitored("1s");
    let watch = establish(cluster, &address, IP, 1)?;
    let since = clock::now();
    SERVICE.cut(cluster.fleet.node(1)?)?;
    let takeover = watch.await_takeover_from("node1", since, NOTICE);
    let seen = match (takeover, agents) {
        (Ok(outage), _) => {
            expect_settled(cluster, &watch, 2, since)?;
            outage.to_string()
        }
        (Err(_), Agents::Shell) => format!("not noticed in {} s", NOTICE.as_secs()),
        (Err(error), Agents::Ocfbox) => return Err(error),
    };
    SERVICE.heal(cluster.fleet.node(1)?)?;
    Ok(seen)
}

/// The interface is taken down by hand, then the address has to go: it must really be gone.
pub fn stop_with_interface_down(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    let cluster = stage.pacemaker(2, Installation::Beside)?;
    // As most people configure it: without a netmask the shell agent needs a route, even to stop.
    let address = Resource::address(agents, IP);
    let _watch = establish(cluster, &address, IP, 1)?;
    cluster.fleet.node(1)?.ip("link set eth0 down")?;
    cluster.move_to(&address.id, 2)?;
    wait::until(&format!("{IP} is on node 2"), PATIENCE, || cluster.fleet.node(2)?.holds(IP))?;
    cluster.await_idle()?;
    let stopped = cluster.is_done(1, &address.id, "stop")?;
    let left = cluster.fleet.node(1)?.holds(IP)?;
    cluster.fleet.node(1)?.ip("link set eth0 up")?;
    let holders = cluster.fleet.holders(IP)?;
    let seen = match (stopped, left) {
        (true, false) => "stopped, address gone".to_owned(),
        (true, true) => {
            format!("LEFT BEHIND: stop succeeded, with the link up again {} owners", holders.len())
        }
        (false, _) => "stop failed".to_owned(),
    };
    if agents == Agents::Shell {
        // What the agent left is in the way of the next scenario; there may be nothing.
        let _gone = cluster.fleet.node(1)?.ip(&format!("addr del {IP}/24 dev eth0"));
        return Ok(seen);
    }
    (stopped && !left && holders == [2]).then_some(seen.clone()).ok_or(seen)
}

/// Another machine already answers for the address: it must not be started a second time.
pub fn foreign_owner(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    let cluster = stage.pacemaker(2, Installation::Beside)?;
    // Addresses that the client has not met: it would look for the owner that it remembers first.
    let ip = match agents {
        Agents::Ocfbox => "10.77.0.61",
        Agents::Shell => "10.77.0.62",
    };
    let stranger = boot_stranger(STRANGER, ip)?;
    let watch = cluster.fleet.watch(ip)?;
    watch.await_answer_from("stranger", PATIENCE)?;
    let address = Resource::address(agents, ip).with("cidr_netmask", "24");
    cluster.add(&address.xml(), "")?;
    let seen = match agents {
        Agents::Shell => watch_conflict(cluster, ip),
        Agents::Ocfbox => expect_refusal(cluster, &address, ip),
    };
    SERVICE.unplug(&stranger);
    drop(stranger);
    let seen = seen?;
    if agents == Agents::Ocfbox {
        // With the stranger gone nothing may be in the way of a start.
        cluster.forget_failures()?;
        await_one_holder(cluster, ip)?;
    }
    Ok(seen)
}

fn watch_conflict(cluster: &Pacemaker, ip: &str) -> Outcome<String> {
    await_one_holder(cluster, ip)?;
    cluster.await_idle()?;
    Ok("CONFLICT: started, 2 owners".to_owned())
}

fn await_one_holder(cluster: &Pacemaker, ip: &str) -> Outcome<()> {
    let what = format!("{ip} is on one node");
    wait::until(&what, PATIENCE, || Ok(cluster.fleet.holders(ip)?.len() == 1))
}

/// Both nodes fail to start it, say whose it is, and leave nothing behind.
fn expect_refusal(cluster: &Pacemaker, address: &Resource, ip: &str) -> Outcome<String> {
    wait::until("the start failed on both nodes", PATIENCE, || {
        Ok(cluster.failures(&address.id)?.len() == 2)
    })?;
    cluster.await_idle()?;
    let mac = SERVICE.mac(STRANGER);
    let failures = cluster.failures(&address.id)?;
    if let Some(silent) = failures.iter().find(|failure| !failure.to_lowercase().contains(&mac)) {
        return Err(format!("the exit reason does not name {mac}: {}", silent.trim()));
    }
    cluster.fleet.await_holders(ip, &[], PATIENCE)?;
    Ok(format!("refused, names {mac}"))
}
