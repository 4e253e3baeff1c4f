//! Resources to which something happens again and again, and the client that sees what it costs.

use std::thread;
use std::time::Duration;

use super::Agents;
use super::common::PATIENCE;
use super::resource::{Limits, Resource, at_home};
use crate::alarm::Alarm;
use crate::fleet::node_name;
use crate::image::Image;
use crate::ledger::Ledger;
use crate::network::SERVICE;
use crate::pacemaker::Pacemaker;
use crate::store::Manner;
use crate::trigger::Trigger;
use crate::watch::{Outage, Watch};
use crate::{Outcome, store, wait, web};

/// The address of all of them.
pub const IP: &str = "10.77.0.65";

/// The name of the group, where there are several resources.
const GROUP: &str = "watched";

/// Where everything is, and where it happens.
const HOME: u8 = 1;

/// With these the shell agent finds and ends a server that hangs sooner than with those that it recommends. A stop of 20 seconds,
/// which Pacemaker has unless somebody says otherwise, is too short for it, and would have its node fenced.
const LIMITS: Limits = Limits { start: 20, stop: 40, monitor: 5 };

/// Far less than the monitor's interval. What is not told by then, the watcher has not noticed.
const AT_ONCE: Duration = Duration::from_secs(10);

/// The shell agents get that long.
const HOPELESS: Duration = Duration::from_mins(1);

/// A gap in the answers that may be the fault's. Whether it is, the cluster's log tells.
const GAP: Duration = Duration::from_millis(30);

/// What runs, and of what the client gets its answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Site {
    /// An address, with a service that is always there. It is the address that fails.
    Address,
    /// A group of an address and Apache, which fails.
    Website,
    /// A group of a mount, which fails, an address and a server that keeps on the mount what clients bring.
    Storage,
}

/// What happens.
pub struct Fault {
    /// To what.
    pub site: Site,
    /// What a shell on the node finds out first.
    pub before: &'static str,
    /// What it does then.
    pub then: &'static str,
    /// How the resource that fails is to be watched, besides `watch=true`.
    pub settings: &'static [(&'static str, &'static str)],
    /// The level at which a monitor of the shell agent can see it.
    pub level: Option<u32>,
}

/// How long things took, from the fault on.
pub struct Delays {
    /// Until the cluster was told; nothing if it found out by itself.
    pub noticed: Option<Duration>,
    /// Until the client had its first good answer.
    pub answered: Duration,
}

/// Whoever asks, and tells good answers from others.
enum Client {
    Asking(Watch),
    Trading(Ledger),
}

impl Client {
    fn await_answer(&self, patience: Duration) -> Outcome<()> {
        let home = node_name(HOME);
        match self {
            Self::Asking(watch) => watch.await_answer_from(&home, patience),
            Self::Trading(ledger) => ledger.await_write_by(&home, patience),
        }
    }

    fn longest_gap(&self, since: Duration) -> Option<Outage> {
        match self {
            Self::Asking(watch) => watch.longest_gap(since),
            Self::Trading(ledger) => ledger.longest_gap(since),
        }
    }
}

/// The resources on node 1.
pub struct Watched<'a> {
    cluster: &'a Pacemaker,
    agents: Agents,
    /// The name of the resource that fails.
    victim: String,
    /// Those that have nothing to do with it.
    healthy: Vec<String>,
    client: Client,
    disk: Option<Image>,
}

impl<'a> Watched<'a> {
    /// Starts them; `interval` is that of all monitors.
    pub fn open(
        cluster: &'a Pacemaker,
        agents: Agents,
        fault: &Fault,
        interval: &'static str,
    ) -> Outcome<Self> {
        let finish = |resource: Resource| watched(resource, agents).monitored(interval);
        let suffering = |resource: Resource| {
            let ours = fault.settings.iter().filter(|_| agents == Agents::Ocfbox);
            let resource =
                ours.fold(finish(resource), |resource, (name, value)| resource.with(name, value));
            match (fault.level, agents) {
                (Some(level), Agents::Shell) => resource.at_level(level),
                _ => resource,
            }
        };
        let address = Resource::address(agents, IP).with("cidr_netmask", "24");
        let (members, victim, disk) = match fault.site {
            Site::Address => (vec![suffering(address)], 0, None),
            Site::Website => (vec![finish(address), suffering(website(agents))], 1, None),
            Site::Storage => {
                let disk = Image::make(false)?;
                let members =
                    vec![suffering(mount(agents, &disk)), finish(address), finish(store(agents)?)];
                (members, 0, Some(disk))
            }
        };
        let xml: String = members.iter().map(Resource::xml).collect();
        if members.len() == 1 {
            cluster.add(&xml, &at_home(&members[0].id, &node_name(HOME)))?;
        } else {
            let group = format!("<group id='{GROUP}'>{xml}</group>");
            cluster.add(&group, &at_home(GROUP, &node_name(HOME)))?;
        }
        let client = match fault.site {
            Site::Address => Client::Asking(cluster.fleet.watch(IP)?),
            Site::Website => Client::Asking(cluster.fleet.watch_page(IP)?),
            Site::Storage => Client::Trading(cluster.fleet.trade(IP)?),
        };
        client.await_answer(PATIENCE)?;
        cluster.await_idle()?;
        // A group stops whatever comes after a member that failed, and nothing before it.
        let healthy = members[..victim].iter().map(|member| member.id.clone()).collect();
        let victim = members[victim].id.clone();
        Ok(Self { cluster, agents, victim, healthy, client, disk })
    }

    /// Has it happen once, and waits until the cluster has mended it; nothing if it does not.
    pub fn suffer(&self, fault: &Fault) -> Outcome<Option<Delays>> {
        let before = self.cluster.performed(&self.victim, "start")?;
        let node = self.cluster.fleet.node(HOME)?;
        let alarm = Alarm::on(node)?;
        let mut shell = node.command("sh");
        shell.envs([("IP", IP), ("PLACE", store::PLACE)]);
        let since = Trigger::prepare(shell, fault.before, fault.then)?.pull()?;
        let patience = match self.agents {
            Agents::Ocfbox => AT_ONCE,
            Agents::Shell => HOPELESS,
        };
        let mended =
            wait::until("the client is answered by what was started again", patience, || {
                let gap = self.client.longest_gap(since).is_some_and(|gap| gap.length > GAP);
                Ok(gap && self.cluster.performed(&self.victim, "start")? > before)
            });
        match (mended, self.agents) {
            (Ok(()), _) => {}
            (Err(_), Agents::Shell) => return Ok(None),
            (Err(error), Agents::Ocfbox) => return Err(error),
        }
        self.client.await_answer(PATIENCE)?;
        // Until now nothing of this test spoke to the cluster by the same programs.
        let noticed = alarm.first_after(since).filter(|_| self.agents == Agents::Ocfbox);
        self.cluster.await_idle()?;
        self.client.await_answer(PATIENCE)?;
        let outage = self.client.longest_gap(since).ok_or("the client was never answered")?;
        Ok(Some(Delays {
            noticed: noticed.map(|at| at.saturating_sub(since)),
            answered: outage.end.saturating_sub(since),
        }))
    }

    /// Shows that after so many faults the cluster has counted as many failures and no other one, has stopped the resource as
    /// often, and has not touched what was well.
    pub fn expect_counted(&self, faults: u32) -> Outcome<()> {
        let count = || self.cluster.fail_count(HOME, &self.victim);
        let what = format!("{faults} failures are counted");
        wait::until(&what, PATIENCE, || Ok(count()? == faults))
            .map_err(|error| format!("{error}; counted are {:?}", count()))?;
        let told = format!("op_key=\"{}_asyncmon_0\"", self.victim);
        let failures = self.cluster.all_failures()?;
        if failures.is_empty() || failures.iter().any(|failure| !failure.contains(&told)) {
            return Err(format!("not just that which was told has failed: {failures:?}"));
        }
        let stops = |resource: &String| self.cluster.performed(resource, "stop");
        let expected = usize::try_from(faults).map_err(crate::says("faults"))?;
        if stops(&self.victim)? != expected {
            return Err(format!("{} was stopped {} times", self.victim, stops(&self.victim)?));
        }
        for resource in &self.healthy {
            if stops(resource)? != 0 {
                return Err(format!("{resource} was stopped, although nothing is wrong with it"));
            }
        }
        Ok(())
    }

    /// Ends them. What the shell agents could not end is not to be in the way of the next ones.
    pub fn close(self) -> Outcome<()> {
        if self.agents == Agents::Shell {
            let node = self.cluster.fleet.node(HOME)?;
            if web::is_there(node) && self.client.await_answer(Duration::from_secs(2)).is_err() {
                web::kill_all(node)?;
            }
            self.cluster.forget_failures()?;
        }
        self.cluster.clear()?;
        let (Some(disk), Client::Trading(ledger)) = (&self.disk, self.client) else {
            return Ok(());
        };
        // The last loop device goes with the last mount, in the kernel's own time.
        wait::until("nobody has the disk mounted", PATIENCE, || {
            Ok(disk.file_systems().is_empty())
        })?;
        ledger.settle(&disk.inspect()?).map(drop)
    }
}

/// With a process that watches it, if the agents have such a thing.
pub fn watched(resource: Resource, agents: Agents) -> Resource {
    match agents {
        Agents::Ocfbox => resource.with("watch", "true"),
        Agents::Shell => resource,
    }
}

fn website(agents: Agents) -> Resource {
    Resource::new(agents, "apache")
        .with("httpd", web::PROGRAM)
        .with("configfile", web::CONFIGURATION)
        .within(LIMITS)
}

fn mount(agents: Agents, disk: &Image) -> Resource {
    Resource::new(agents, "Filesystem")
        .with("device", &disk.on_node())
        .with("directory", store::PLACE)
        .with("fstype", "ext4")
        .with("options", "loop")
        .within(LIMITS)
}

/// It opens its file for each request: whoever has it open keeps everybody from unmounting and from remounting.
fn store(agents: Agents) -> Outcome<Resource> {
    Ok(match agents {
        Agents::Ocfbox => {
            Resource::new(agents, "service").with("command", &store::command(Manner::OpensAnew)?)
        }
        Agents::Shell => Resource::service(Manner::OpensAnew.script()),
    }
    .within(LIMITS))
}

/// Waits for the part of a monitor's interval that makes faults fall on all parts of it alike.
pub fn sleep_into(interval: Duration, round: u32, rounds: u32) {
    thread::sleep(interval * (2 * round + 1) / (2 * rounds));
}

/// Somebody takes the cable out of node `from`, the holder of the address: the other node has it then.
pub fn pull_cable(
    cluster: &Pacemaker,
    watch: &Watch,
    from: u8,
    patience: Duration,
) -> Outcome<Delays> {
    let node = cluster.fleet.node(from)?;
    let alarm = Alarm::on(node)?;
    let then = format!("ip {}", SERVICE.words_to_cut(node));
    let since = Trigger::prepare(std::process::Command::new("sh"), ":", &then)?.pull()?;
    let outage = watch.await_takeover_from(&node_name(from), since, patience)?;
    let noticed = alarm.first_after(since);
    Ok(Delays {
        noticed: noticed.map(|at| at.saturating_sub(since)),
        answered: outage.end.saturating_sub(since),
    })
}
