//! Faults that the kernel announces, or that a probe finds: with a monitor every minute and a watcher that does not wait for
//! it, and with the shell agents' monitor every ten seconds and every second.

use std::env;
use std::time::Duration;

use super::Agents;
use super::common::{PATIENCE, establish, expect_settled};
use super::resource::Resource;
use super::watched::{Delays, Fault, IP, Site, Watched, pull_cable, sleep_into, watched};
use crate::install::Installation;
use crate::network::SERVICE;
use crate::pacemaker::Pacemaker;
use crate::series::Series;
use crate::stage::Stage;
use crate::watch::Watch;
use crate::{Outcome, clock, wait};

/// Names the number of faults of each kind.
const FAULTS: &str = "OCFBOX_CLUSTER_FAULTS";

/// The interval of all monitors of ours. A fault that is mended sooner was noticed by the watcher.
const RARELY: &str = "60s";

/// Those of the shell agents.
const OFTEN: [(&str, Duration); 2] =
    [("10s", Duration::from_secs(10)), ("1s", Duration::from_secs(1))];

/// A hanging server is asked that often.
const WATCH_INTERVAL: (&str, &str) = ("watch_interval", "0.5");

/// Of a fault that a monitor has not noticed so long after its turn it never knows.
const IGNORED: Duration = Duration::from_secs(2);

const ADDRESS_DELETED: Fault = Fault {
    site: Site::Address,
    before: ":",
    then: "ip addr del $IP/24 dev eth0",
    settings: &[],
    level: None,
};

const WEB_KILLED: Fault = Fault {
    site: Site::Website,
    before: "pids=$(pgrep -x apache2)",
    then: "kill -KILL $pids",
    settings: &[],
    level: None,
};

const WEB_STOPPED: Fault =
    Fault { then: "kill -STOP $pids", settings: &[WATCH_INTERVAL], ..WEB_KILLED };

/// A request under way keeps it busy for a moment.
const UNMOUNTED: Fault = Fault {
    site: Site::Storage,
    before: "left=100",
    then: "until umount $PLACE; do left=$((left - 1)); [ $left -gt 0 ]; done",
    settings: &[],
    level: None,
};

/// The shell agent sees it when it writes a file, at level 20.
const READ_ONLY: Fault = Fault {
    then: "until mount -o remount,ro $PLACE; do left=$((left - 1)); [ $left -gt 0 ]; done",
    level: Some(20),
    ..UNMOUNTED
};

/// Somebody deletes the address.
pub fn address_deleted(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    measure(stage, agents, &ADDRESS_DELETED)
}

/// All processes of the web server are killed.
pub fn web_killed(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    measure(stage, agents, &WEB_KILLED)
}

/// All processes of the web server are stopped: it takes connections and answers nobody, which no event tells.
pub fn web_stopped(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    measure(stage, agents, &WEB_STOPPED)
}

/// Somebody unmounts the disk.
pub fn unmounted(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    measure(stage, agents, &UNMOUNTED)
}

/// Somebody remounts it read-only.
pub fn read_only(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    measure(stage, agents, &READ_ONLY)
}

fn measure(stage: &mut Stage, agents: Agents, fault: &Fault) -> Outcome<String> {
    let cluster = stage.pacemaker(2, Installation::Beside)?;
    let faults = faults(agents)?;
    if agents == Agents::Shell {
        let seen = |(interval, length)| compare(cluster, fault, faults, interval, length);
        return Ok(intervals().into_iter().map(seen).collect::<Outcome<Vec<String>>>()?.join("; "));
    }
    let watched = Watched::open(cluster, agents, fault, RARELY)?;
    let mut delays = Vec::new();
    for count in 1..=faults {
        delays.extend(watched.suffer(fault)?);
        watched.expect_counted(count)?;
    }
    watched.close()?;
    words(&delays)
}

/// What the shell agents do, with monitors that often.
fn compare(
    cluster: &Pacemaker,
    fault: &Fault,
    faults: u32,
    interval: &'static str,
    length: Duration,
) -> Outcome<String> {
    let watched = Watched::open(cluster, Agents::Shell, fault, interval)?;
    let (mut delays, mut end) = (Vec::new(), None);
    for round in 0..faults {
        sleep_into(length, round, faults);
        let Some(delay) = watched.suffer(fault)? else {
            // It may hang, and nothing more can be had from it.
            end = Some("not back in a minute".to_owned());
            break;
        };
        delays.push(delay.answered);
    }
    watched.close()?;
    let answered = (!delays.is_empty()).then(|| Series::new(delays).to_string());
    let words: Vec<String> = answered.into_iter().chain(end).collect();
    Ok(format!("every {interval}: {}", words.join(", ")))
}

/// Somebody takes the cable out of the address's node, puts it back when the other one has the address, and lets the cluster
/// forget it.
pub fn cable_pulled(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    let cluster = stage.pacemaker(2, Installation::Beside)?;
    if agents == Agents::Ocfbox {
        let address = address(agents).monitored(RARELY);
        let watch = establish(cluster, &address, IP, 1)?;
        let mut delays = Vec::new();
        for (number, from) in (0..faults(agents)?).zip([1, 2].into_iter().cycle()) {
            delays.push(move_by_cable(cluster, &address, &watch, from)?);
            expect_moves(cluster, &address, number + 1)?;
        }
        return words(&delays);
    }
    let mut seen = Vec::new();
    for (interval, length) in intervals() {
        let address = address(agents).monitored(interval);
        let watch = establish(cluster, &address, IP, 1)?;
        let patience = length + IGNORED;
        let pulled = pull_cable(cluster, &watch, 1, patience);
        SERVICE.heal(cluster.fleet.node(1)?)?;
        let words = pulled.map_or_else(
            |_| format!("not noticed in {} s", patience.as_secs()),
            |delays| Series::new(vec![delays.answered]).to_string(),
        );
        seen.push(format!("every {interval}: {words}"));
        cluster.clear()?;
    }
    Ok(seen.join("; "))
}

fn address(agents: Agents) -> Resource {
    watched(Resource::address(agents, IP).with("cidr_netmask", "24"), agents)
}

/// The address goes to the other node, and the cluster knows why: it was told once, and a start where there is no carrier
/// fails. Then all is well again.
fn move_by_cable(
    cluster: &Pacemaker,
    address: &Resource,
    watch: &Watch,
    from: u8,
) -> Outcome<Delays> {
    let since = clock::now();
    let delays = pull_cable(cluster, watch, from, PATIENCE)?;
    expect_settled(cluster, watch, 3 - from, since)?;
    let told = cluster.fail_count_of(from, &address.id, "asyncmon")?;
    let elsewhere = cluster.fail_count(3 - from, &address.id)?;
    if (told, elsewhere) != (1, 0) {
        return Err(format!("counted are {told} failures, on the other node {elsewhere}"));
    }
    let failures = cluster.all_failures()?;
    let kinds = ["asyncmon", "start"].map(|kind| format!("op_key=\"{}_{kind}_0\"", address.id));
    if failures.iter().any(|failure| !kinds.iter().any(|kind| failure.contains(kind))) {
        return Err(format!("something else failed: {failures:?}"));
    }
    SERVICE.heal(cluster.fleet.node(from)?)?;
    cluster.forget_failures()?;
    wait::until("the cluster has forgotten it", PATIENCE, || {
        Ok(cluster.all_failures()?.is_empty())
    })?;
    expect_settled(cluster, watch, 3 - from, since)?;
    Ok(delays)
}

/// Nobody has stopped it but once for each cable on the node that lost it, and once there after the start that failed.
fn expect_moves(cluster: &Pacemaker, address: &Resource, cables: u32) -> Outcome<()> {
    let stops = cluster.performed(&address.id, "stop")?;
    let most = 2 * usize::try_from(cables).map_err(crate::says("cables"))?;
    let least = most / 2;
    (least..=most)
        .contains(&stops)
        .then_some(())
        .ok_or_else(|| format!("{stops} stops after {cables} cables"))
}

/// What a watcher's work comes to.
fn words(delays: &[Delays]) -> Outcome<String> {
    let noticed: Option<Vec<Duration>> = delays.iter().map(|delays| delays.noticed).collect();
    let noticed = noticed.ok_or("the service is back, although nobody told the cluster")?;
    let answered = delays.iter().map(|delays| delays.answered).collect();
    let [noticed, answered] = [noticed, answered].map(Series::new);
    Ok(format!("noticed after {noticed}; answered after {answered}"))
}

/// The intervals of the shell agents' monitors. Who names no number of faults has no time for the long one.
fn intervals() -> Vec<(&'static str, Duration)> {
    let short = usize::from(env::var_os(FAULTS).is_none());
    OFTEN[short..].to_vec()
}

/// How often it happens: the shell agents need half a minute for what takes ours a second.
fn faults(agents: Agents) -> Outcome<u32> {
    let Some(wanted) = env::var_os(FAULTS) else {
        return Ok(match agents {
            Agents::Ocfbox => 2,
            Agents::Shell => 1,
        });
    };
    let number = wanted.to_str().and_then(|text| text.parse().ok()).filter(|number| *number > 0);
    number.ok_or_else(|| format!("{FAULTS} is {}, which is no number of faults", wanted.display()))
}
