//! An address and a web server in one group: what becomes of a client when something happens to the server.
//!
//! The shell agents have the same parameters, intervals and limits. What they do is written down, not judged.

use std::time::Duration;

use super::Agents;
use super::common::{PATIENCE, expect_settled};
use super::resource::{Limits, Resource, at_home};
use crate::fleet::node_name;
use crate::install::Installation;
use crate::machine::Machine;
use crate::pacemaker::Pacemaker;
use crate::stage::Stage;
use crate::watch::{Outage, Watch};
use crate::{Outcome, clock, wait, web};

const IP: &str = "10.77.0.70";
const GROUP: &str = "website";

/// The monitor runs every second. With the stop's limit the shell agent can still end a server that hangs.
const LIMITS: Limits = Limits { start: 8, stop: 40, monitor: 5 };

/// With ours no fault may cost a client more, on a machine that is busy with other things too; all of them cost less
/// than three seconds on one that is not.
const BOUND: Duration = Duration::from_secs(15);

/// So long a server is watched that is to go on undisturbed: two monitors see it.
const QUIET: Duration = Duration::from_secs(2);

/// No gap in the answers of a server that is undisturbed is longer; a busy machine may be late.
const HICCUP: Duration = Duration::from_secs(2);

/// The shell agents get that long.
const HOPELESS: Duration = Duration::from_mins(1);

/// The group on node 1, with a client that asks the web server there.
struct Website<'a> {
    cluster: &'a mut Pacemaker,
    agents: Agents,
    /// The resource's name.
    server: String,
    watch: Watch,
}

/// What the cluster did about a fault.
struct Recovery {
    outage: Outage,
    moved: bool,
}

impl Recovery {
    fn words(&self) -> String {
        let what = if self.moved { "moved" } else { "restarted in place" };
        format!("{what}, {}", self.outage)
    }
}

impl<'a> Website<'a> {
    fn open(stage: &'a mut Stage, agents: Agents) -> Outcome<Self> {
        let cluster = stage.pacemaker(2, Installation::Beside)?;
        let address = Resource::address(agents, IP).with("cidr_netmask", "24").monitored("10s");
        let server = Resource::new(agents, "apache")
            .with("httpd", web::PROGRAM)
            .with("configfile", web::CONFIGURATION)
            .monitored("1s")
            .within(LIMITS);
        let group = format!("<group id='{GROUP}'>{}{}</group>", address.xml(), server.xml());
        cluster.add(&group, &at_home(GROUP, &node_name(1)))?;
        let watch = cluster.fleet.watch_page(IP)?;
        watch.await_answer_from(&node_name(1), PATIENCE)?;
        cluster.await_idle()?;
        Ok(Self { cluster, agents, server: server.id, watch })
    }

    fn node(&self, number: u8) -> Outcome<&Machine> {
        self.cluster.fleet.node(number)
    }

    /// Does something to node 1, and waits until the client is answered by another server than before.
    fn suffer(&mut self, fault: impl FnOnce(&mut Machine) -> Outcome<()>) -> Outcome<Recovery> {
        let before = self.servers();
        let since = clock::now();
        fault(self.cluster.fleet.node_mut(1)?)?;
        let patience = match self.agents {
            Agents::Ocfbox => PATIENCE,
            Agents::Shell => HOPELESS,
        };
        let number = wait::for_some("another web server runs", patience, || {
            let new = self.servers().into_iter().find(|server| !before.contains(server));
            Ok(new.map(|(number, _)| number))
        })?;
        self.watch.await_answer_from(&node_name(number), PATIENCE)?;
        self.cluster.await_idle()?;
        self.cluster.fleet.await_holders(IP, &[number], PATIENCE)?;
        self.watch.await_answer_from(&node_name(number), PATIENCE)?;
        let outage = self.watch.longest_gap(since).ok_or("the client was never answered")?;
        Ok(Recovery { outage, moved: number != 1 })
    }

    /// The main process of every node that has one.
    fn servers(&self) -> Vec<(u8, u32)> {
        let running = self.cluster.fleet.running();
        running.filter_map(|(number, node)| Some((number, web::main_process(node)?))).collect()
    }

    /// The recovery in words. Ours has to be of that kind, and quick, and a failure that the cluster shows has to say why.
    fn judge(&self, recovery: Outcome<Recovery>, moved: bool, why: &[&str]) -> Outcome<String> {
        let recovery = match (recovery, self.agents) {
            (Err(error), Agents::Ocfbox) => return Err(error),
            (Err(_), Agents::Shell) => {
                return Ok(format!("no server in {} s", HOPELESS.as_secs()));
            }
            (Ok(recovery), Agents::Shell) => return Ok(recovery.words()),
            (Ok(recovery), Agents::Ocfbox) => recovery,
        };
        let words = recovery.words();
        if recovery.moved != moved || recovery.outage.length > BOUND {
            return Err(words);
        }
        let failures = self.cluster.failures(&self.server)?;
        if !failures.iter().any(|failure| why.iter().any(|words| failure.contains(words))) {
            return Err(format!("no failure says {why:?}: {failures:?}"));
        }
        Ok(words)
    }

    /// Shows that nothing happens: the client is answered all the time, and the cluster complains of nothing.
    fn expect_quiet(&self) -> Outcome<()> {
        let since = clock::now();
        std::thread::sleep(QUIET);
        self.watch.await_answer_from(&node_name(1), PATIENCE)?;
        let failures = self.cluster.failures(&self.server)?;
        let gap = self.watch.longest_gap(since).ok_or("the client was never answered")?;
        let is_quiet = failures.is_empty() && gap.length < HICCUP;
        is_quiet.then_some(()).ok_or_else(|| format!("{gap}, failures {failures:?}"))
    }

    /// Node 2 answers, and has the group for itself.
    fn expect_takeover(&self, since: Duration) -> Outcome<String> {
        let outage = self.watch.await_takeover_from(&node_name(1), since, PATIENCE)?;
        expect_settled(self.cluster, &self.watch, 2, since)?;
        let is_gone = self.node(1).map_or(true, |node| !web::is_there(node));
        is_gone
            .then_some(outage.to_string())
            .ok_or_else(|| "node 1 still has the server".to_owned())
    }

    /// What the shell agents could not end is not to be in the way of the next scenario.
    fn clean(&self) -> Outcome<()> {
        if self.agents == Agents::Ocfbox {
            return Ok(());
        }
        for (number, node) in self.cluster.fleet.running() {
            let is_well = web::main_process(node).is_some()
                && self.watch.await_answer_from(&node_name(number), HICCUP).is_ok();
            if web::is_there(node) && !is_well {
                web::kill_all(node)?;
            }
        }
        self.cluster.forget_failures()
    }
}

/// All processes of the server are killed.
pub fn killed(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    let mut site = Website::open(stage, agents)?;
    let recovery = site.suffer(|node| web::kill_all(node));
    let seen = site.judge(recovery, false, &["_monitor_1000"]);
    site.clean()?;
    seen
}

/// Only the main process is killed: the others still answer, and nobody leads them.
pub fn main_killed(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    let mut site = Website::open(stage, agents)?;
    let recovery = site.suffer(|node| web::kill_main(node));
    let seen = site.judge(recovery, false, &["is dead, but parts live"]);
    site.clean()?;
    seen
}

/// All processes of the server are stopped: it takes connections and answers nobody.
pub fn hung(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    let mut site = Website::open(stage, agents)?;
    let recovery = site.suffer(|node| web::stop_all(node));
    // A monitor that was under way asks in vain; any other sees it.
    let seen = site.judge(recovery, false, &["stopped by a signal", "said nothing"]);
    site.clean()?;
    seen
}

/// The server is killed, and a stranger has its port before it can be started again.
pub fn port_taken(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    let mut site = Website::open(stage, agents)?;
    let recovery = site.suffer(|node| {
        web::send_squatter(node)?;
        web::kill_all(node)
    });
    let is_squatted = web::is_squatted(site.node(1)?)?;
    let seen = site.judge(recovery, true, &["*:80 is in use by process"]);
    web::chase_squatter(site.node(1)?)?;
    site.clean()?;
    if is_squatted { seen } else { Err("the stranger did not get the port".to_owned()) }
}

/// Somebody breaks the configuration on node 1. The server runs on until it is killed.
pub fn configuration_broken(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    let mut site = Website::open(stage, agents)?;
    web::spoil(site.node(1)?)?;
    site.expect_quiet()?;
    let recovery = site.suffer(|node| web::kill_all(node));
    let seen = site.judge(recovery, true, &["Syntax error on line"]);
    web::repair(site.node(1)?)?;
    site.clean()?;
    Ok(format!("nothing; when killed: {}", seen?))
}

/// The file system of log and PID file is full on node 1. The server runs on until it is killed.
pub fn disk_full(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    let mut site = Website::open(stage, agents)?;
    web::fill_disk(site.cluster.fleet.node_mut(1)?)?;
    let full = "nothing fits on node 1's disk any more";
    wait::until(full, PATIENCE, || web::is_disk_full(site.node(1)?))?;
    site.expect_quiet()?;
    let recovery = site.suffer(|node| web::kill_all(node));
    // Whether there is room for that line in the log is a matter of luck.
    let told = ["No space left on device", "the file system of /run/web is full"];
    let seen = site.judge(recovery, true, &told);
    web::empty_disk(site.node(1)?)?;
    site.clean()?;
    Ok(format!("nothing; when killed: {}", seen?))
}

/// An administrator moves the group.
pub fn planned_move(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    let site = Website::open(stage, agents)?;
    let since = clock::now();
    site.cluster.move_to(GROUP, 2)?;
    let outage = site.expect_takeover(since)?;
    let stop = site.cluster.time_of(1, &site.server, "stop")?;
    let start = site.cluster.time_of(2, &site.server, "start")?;
    Ok(format!("{outage} (server: stop {stop}, start {start})"))
}

/// The node of the group loses its power, and comes back later.
pub fn node_crash(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    let site = Website::open(stage, agents)?;
    let since = clock::now();
    site.cluster.fleet.crash(1)?;
    let seen = site.expect_takeover(since)?;
    site.cluster.revive(1)?;
    expect_settled(site.cluster, &site.watch, 2, since)?;
    Ok(seen)
}
