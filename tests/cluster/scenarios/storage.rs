//! A disk that both nodes see and only one may mount, an address, and a web server that keeps on the disk what clients
//! bring it. Whatever moves the group, every write that was acknowledged is there afterwards, and the disk was never
//! mounted twice.

use std::env;
use std::sync::Arc;
use std::time::Duration;

use super::Agents;
use super::common::PATIENCE;
use super::resource::{Limits, Resource, at_home};
use crate::fleet::{Fleet, node_name};
use crate::heartbeat::{Duty, WAREHOUSE};
use crate::image::Image;
use crate::install::Installation;
use crate::ledger::Ledger;
use crate::machine::Machine;
use crate::mounted::Eye;
use crate::pacemaker::Pacemaker;
use crate::series::Series;
use crate::stage::Stage;
use crate::store::Manner;
use crate::watch::Outage;
use crate::{Outcome, clock, store, wait};

const IP: &str = "10.77.0.73";
const GROUP: &str = "storage";

/// Names the number of planned moves that are measured; each takes about three seconds.
const MOVES: &str = "OCFBOX_CLUSTER_MOVES";

/// So many are measured by default. Even, so that the group is at home again.
const FEW_MOVES: usize = 6;

const LIMITS: Limits = Limits { start: 60, stop: 60, monitor: 40 };

/// Who is deaf to SIGTERM is killed when half of the stop's time is over.
const SHORT: Limits = Limits { start: 60, stop: 10, monitor: 40 };

/// The group, and a client that trades with the server.
struct Storage<'a> {
    cluster: &'a mut Pacemaker,
    agents: Agents,
    /// The name of the mount.
    mount: String,
    ledger: Ledger,
    eye: Eye,
    /// Where the group was, one after the other.
    places: Vec<u8>,
}

impl<'a> Storage<'a> {
    /// The group on node `home`.
    fn open(
        stage: &'a mut Stage,
        agents: Agents,
        home: Option<u8>,
        limits: Limits,
        image: Image,
    ) -> Outcome<Self> {
        let cluster = stage.pacemaker(2, Installation::Beside)?;
        let home = match home {
            Some(number) => number,
            None => 3 - cluster.controller()?,
        };
        let mount = Resource::new(agents, "Filesystem")
            .with("device", &image.on_node())
            .with("directory", store::PLACE)
            .with("fstype", "ext4")
            .with("options", "loop")
            .monitored("10s")
            .within(limits);
        let address = Resource::address(agents, IP).with("cidr_netmask", "24").monitored("10s");
        let server = server(agents)?;
        let members = [mount.xml(), address.xml(), server.xml()].concat();
        let group = format!("<group id='{GROUP}'>{members}</group>");
        let eye = Eye::open(&cluster.fleet, &Arc::new(image));
        cluster.add(&group, &at_home(GROUP, &node_name(home)))?;
        let ledger = cluster.fleet.trade(IP)?;
        ledger.await_write_by(&node_name(home), PATIENCE)?;
        cluster.await_idle()?;
        Ok(Self { cluster, agents, mount: mount.id, ledger, eye, places: vec![home] })
    }

    /// Where the group is.
    fn place(&self) -> u8 {
        *self.places.last().expect("it was somewhere from the beginning")
    }

    /// An administrator moves the group to the other node.
    fn go(&mut self) -> Outcome<Outage> {
        let (from, to) = (self.place(), 3 - self.place());
        let since = clock::now();
        self.cluster.move_to(GROUP, to)?;
        let outage = self.ledger.await_takeover_from(&node_name(from), since, PATIENCE)?;
        self.places.push(to);
        self.cluster.await_idle()?;
        self.ledger.await_write_by(&node_name(to), PATIENCE)?;
        self.eye.look_around();
        Ok(outage)
    }

    /// How long the mount took to go from one node and to come to the other, the last time.
    fn times(&self, from: u8, to: u8) -> Outcome<(Duration, Duration)> {
        let time = |number, action| {
            let words = self.cluster.time_of(number, &self.mount, action)?;
            let number = words.strip_suffix("ms").and_then(|text| text.parse().ok());
            number.map(Duration::from_millis).ok_or_else(|| format!("{words} is no time"))
        };
        Ok((time(from, "stop")?, time(to, "start")?))
    }

    /// Ends the group, and shows what has become of the data. With ours nothing may have failed.
    fn close(self) -> Outcome<String> {
        if self.agents == Agents::Ocfbox {
            self.cluster.expect_well()?;
        }
        self.cluster.clear()?;
        let judged = self.eye.expect(&self.places);
        let kept = self.eye.image().inspect();
        let number = kept.and_then(|kept| self.ledger.settle(&kept));
        match (judged.and(number), self.agents) {
            (Ok(number), _) => Ok(format!("{number} writes acknowledged, all there")),
            (Err(error), Agents::Ocfbox) => Err(error),
            (Err(error), Agents::Shell) => Ok(error),
        }
    }
}

/// The web server, run by our agent or, with the shell agents, by its init script.
fn server(agents: Agents) -> Outcome<Resource> {
    Ok(match agents {
        Agents::Ocfbox => Resource::new(agents, "service")
            .with("command", &store::command(Manner::KeepsOpen)?)
            .with("ready", "answer")
            .with("check", &format!("http://127.0.0.1:{}/", store::PORT)),
        Agents::Shell => Resource::service(Manner::KeepsOpen.script()),
    }
    .monitored("10s"))
}

/// The group moves again and again.
pub fn planned_moves(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    let mut storage = Storage::open(stage, agents, Some(1), LIMITS, Image::make(true)?)?;
    let (mut outages, mut stops, mut starts) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..moves()? {
        let from = storage.place();
        outages.push(storage.go()?.length);
        let (stop, start) = storage.times(from, storage.place())?;
        stops.push(stop);
        starts.push(start);
    }
    let seen = storage.close()?;
    let [outages, stops, starts] = [outages, stops, starts].map(Series::new);
    Ok(format!("outage {outages} (mount: stop {stops}, start {starts}); {seen}"))
}

/// How many moves are measured.
fn moves() -> Outcome<usize> {
    let Some(wanted) = env::var_os(MOVES) else { return Ok(FEW_MOVES) };
    let number = wanted.to_str().and_then(|text| text.parse().ok()).filter(|number| *number > 0);
    number.ok_or_else(|| format!("{MOVES} is {}, which is no number of moves", wanted.display()))
}

/// The node of the group loses its power, and comes back later.
pub fn node_crash(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    // Not the controller's node, whose death costs an election first.
    let mut storage = Storage::open(stage, agents, None, LIMITS, Image::make(false)?)?;
    let (victim, heir) = (storage.place(), 3 - storage.place());
    let since = clock::now();
    lose_power(&mut storage.cluster.fleet, victim, storage.eye.image())?;
    let outage = storage.ledger.await_takeover_from(&node_name(victim), since, PATIENCE)?;
    storage.places.push(heir);
    storage.cluster.await_idle()?;
    storage.cluster.revive(victim)?;
    storage.eye.meet(&storage.cluster.fleet);
    storage.cluster.await_idle()?;
    storage.ledger.await_write_by(&node_name(heir), PATIENCE)?;
    // It is as good a home for the group as ever.
    storage.go()?;
    let seen = storage.close()?;
    Ok(format!("{outage}; {seen}"))
}

/// What is not on the disk now never gets there: the file system ends without its journal being written, then the node
/// ends, and its mount with it.
fn lose_power(fleet: &mut Fleet, number: u8, image: &Image) -> Outcome<()> {
    fleet.node(number)?.run(&["xfs_io", "-x", "-c", "shutdown", store::PLACE])?;
    fleet.crash(number)?;
    if !image.file_systems().is_empty() {
        return Err("the mount of the dead node lives on, as no real one does".to_owned());
    }
    let needs_recovery = image.needs_recovery()?;
    needs_recovery.then_some(()).ok_or_else(|| "the dead node unmounted the disk".to_owned())
}

/// Who keeps the mount busy when it has to go.
struct Stranger {
    name: &'static str,
    /// What he does, in a shell.
    commands: &'static str,
    /// What tells from outside that he is at it.
    sign: &'static str,
    /// Whether there is no other way than to end him, or none to touch him; nothing if that is a matter of luck.
    ends: Option<bool>,
}

const STRANGERS: [Stranger; 5] = [
    Stranger {
        name: "reader",
        commands: "exec 9<$PLACE/numbers; exec sleep 601",
        sign: "sleep 601",
        ends: Some(true),
    },
    Stranger {
        name: "deaf shell",
        commands: "trap '' TERM HUP; cd $PLACE; while :; do sleep 0.602; done",
        sign: "sleep 0.602",
        ends: Some(true),
    },
    // It opens the file anew all the time.
    Stranger {
        name: "writer",
        commands: "while :; do echo x >>$PLACE/strange; sleep 0.013; done",
        sign: "sleep 0.013",
        ends: None,
    },
    Stranger {
        name: "web server",
        commands: "exec apache2 -X -f /etc/web/httpd.conf -c \"ErrorLog $PLACE/error.log\"",
        sign: "apache2",
        ends: Some(true),
    },
    // It has the mount in a namespace of its own, and does nothing with it.
    Stranger {
        name: "container",
        commands: "exec unshare --mount --propagation private sleep 604",
        sign: "sleep 604",
        ends: Some(false),
    },
];

/// At each move somebody uses the mount of whom the cluster does not know.
pub fn busy(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    let mut storage = Storage::open(stage, agents, Some(1), SHORT, Image::make(true)?)?;
    let mut words = Vec::new();
    for stranger in STRANGERS {
        let from = storage.place();
        stranger.come(storage.cluster.fleet.node_mut(from)?)?;
        let went = storage.go();
        let ended = stranger.chase(storage.cluster.fleet.node(from)?);
        let name = stranger.name;
        match (went, agents) {
            (Ok(_), Agents::Ocfbox) if stranger.ends.is_some_and(|ends| ends != ended) => {
                return Err(format!("{name}: ended {ended}"));
            }
            (Ok(_), _) => {
                let (stop, _) = storage.times(from, storage.place())?;
                words.push(format!("{name} {} ms", stop.as_millis()));
            }
            (Err(error), Agents::Ocfbox) => return Err(format!("{name}: {error}")),
            (Err(_), Agents::Shell) => {
                words.push(format!("{name} NOT MOVED"));
                storage.cluster.forget_failures()?;
                break;
            }
        }
    }
    let seen = storage.close()?;
    Ok(format!("stop: {}; {seen}", words.join(", ")))
}

impl Stranger {
    /// Returns when he is at it.
    fn come(&self, node: &mut Machine) -> Outcome<()> {
        node.start_daemon(&["sh", "-c", self.commands], &[("PLACE", store::PLACE)])?;
        wait::until(self.name, PATIENCE, || Ok(self.is_there(node)))
    }

    fn is_there(&self, node: &Machine) -> bool {
        // pgrep answers 1 when it finds nothing.
        node.run(&["pgrep", "-f", &format!("^{}", self.sign)]).is_ok()
    }

    /// Whether he was gone already.
    fn chase(&self, node: &Machine) -> bool {
        let was_there = self.is_there(node);
        // Whoever is gone by himself cannot be killed.
        let _shell = node.run(&["pkill", "-KILL", "-f", "PLACE"]);
        let _sign = node.run(&["pkill", "-KILL", "-f", &format!("^{}", self.sign)]);
        !was_there
    }
}

/// Somebody mounts the disk by hand on the other node, and asks the cluster to look at everything anew.
pub fn second_mount(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    let storage = Storage::open(stage, agents, Some(1), LIMITS, Image::make(true)?)?;
    let (node, image) = (storage.cluster.fleet.node(2)?, storage.eye.image());
    // All nodes have one kernel here, so that the agent notices. On two machines it cannot.
    let words = mount_by_hand(node, image, "false")?;
    expect_words(&words, "in use, though not mounted in sight")?;
    // This is the file system's own protection, which looks for ten seconds whether somebody else changes the disk.
    let words = mount_by_hand(node, image, "true")?;
    expect_words(&words, "another node has it mounted")?;
    storage.cluster.tool(&["crm_resource", "--refresh"])?;
    storage.cluster.await_idle()?;
    storage.ledger.await_write_by(&node_name(1), PATIENCE)?;
    storage.eye.look_around();
    let seen = storage.close()?;
    Ok(format!("refused; {seen}"))
}

/// What the agent complains of.
fn mount_by_hand(node: &Machine, image: &Image, shared: &str) -> Outcome<String> {
    let device = format!("device={}", image.on_node());
    let (directory, shared) =
        (format!("directory={}", store::PLACE), format!("shared_device={shared}"));
    let words = ["/usr/bin/ocfbox", "Filesystem", "start", &device, &directory, &shared];
    match node.run(&[&words[..], &["fstype=ext4", "options=loop"]].concat()) {
        Ok(_) => Err("it could be mounted a second time".to_owned()),
        Err(words) => Ok(words),
    }
}

fn expect_words(said: &str, words: &str) -> Outcome<()> {
    said.contains(words).then_some(()).ok_or_else(|| format!("no {words:?} in {said}"))
}

/// Heartbeat moves the group there and back, then its node loses its power.
pub fn heartbeat(stage: &mut Stage, agents: Agents) -> Outcome<String> {
    let installation = match agents {
        Agents::Ocfbox => Installation::Alone,
        Agents::Shell => Installation::Shell,
    };
    let cluster = stage.heartbeat(installation, Duty::Store)?;
    let image = Arc::clone(&cluster.image);
    let eye = Eye::open(&cluster.fleet, &image);
    let ledger = cluster.fleet.trade(WAREHOUSE)?;
    ledger.await_write_by(&node_name(1), PATIENCE)?;
    let mut outages = Vec::new();
    for (from, is_crash) in [(1, false), (2, false), (1, true), (2, false)] {
        let since = clock::now();
        if is_crash {
            lose_power(&mut cluster.fleet, from, &image)?;
        } else {
            cluster.give_up(from)?;
        }
        let outage = ledger.await_takeover_from(&node_name(from), since, PATIENCE)?;
        outages.push(outage.length.as_millis().to_string());
        cluster.await_settled(3 - from)?;
        if is_crash {
            cluster.revive(from)?;
            eye.meet(&cluster.fleet);
            cluster.await_settled(3 - from)?;
        }
        ledger.await_write_by(&node_name(3 - from), PATIENCE)?;
        eye.look_around();
    }
    // The idle node first, so that nothing moves once more.
    cluster.stop_all(&[2, 1])?;
    let judged = eye.expect(&[1, 2, 1, 2, 1]);
    let number = image.inspect().and_then(|kept| ledger.settle(&kept));
    cluster.start_all()?;
    let [given, back, crash, home] = &outages[..] else { return Err("four moves".to_owned()) };
    let moves = format!("outage {given} ms, back {back} ms, at a crash {crash} ms, back {home} ms");
    match (judged.and(number), agents) {
        (Ok(number), _) => Ok(format!("{moves}; {number} writes acknowledged, all there")),
        (Err(error), Agents::Ocfbox) => Err(error),
        (Err(error), Agents::Shell) => Ok(format!("{moves}; {error}")),
    }
}
