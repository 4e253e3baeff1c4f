//! The resource manager: PID 1 of the demonstration, on the switch's side of all cables.
//!
//! It has hold of the parts, keeps what they tell, and knows how to wait for it. What happens in which order is in
//! `scenario`.

#![forbid(unsafe_code)]

use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};

use super::event::{Ended, Event, Moment, Totals};
use super::executor::AGENT;
use super::network::Switch;
use super::part::{News, Part, Running};
use super::timeline::{Timeline, Tone, milliseconds};
use super::{
    ADDRESS, CLIENT, Host, NODE1, NODE2, PATIENCE, PRIVATE, heartbeat, namespace, scenario,
};
use crate::error::{Doing, Error, Result};

/// Manages the demonstration from beginning to end.
///
/// # Errors
/// The first thing that was not as it must be.
pub(super) fn run(colour: bool) -> Result<()> {
    die_with_session()?;
    namespace::leave_host()?;
    namespace::hide_run_directory()?;
    let mut manager = Manager::begin(colour)?;
    let shown = scenario::play(&mut manager);
    // What was noted until a failure explains it.
    manager.timeline.flush().and(shown)
}

/// Leaves no moment in which the session can end without taking this process along.
fn die_with_session() -> Result<()> {
    let session = std::io::stdin();
    prctl::set_pdeathsig(Signal::SIGKILL).doing(|| "ask to die with the session")?;
    // It may have died before the kernel knew: then its end of our pipe is closed.
    let mut waited = [PollFd::new(session.as_fd(), PollFlags::empty())];
    if poll(&mut waited, PollTimeout::ZERO).doing(|| "look for the session")? > 0 {
        return Err(Error::Failed("there is no session any more".to_owned()));
    }
    // The signals that the session waits for are its own to handle; PID 1 does not hear those of a terminal.
    SigSet::empty().thread_set_mask().doing(|| "unblock signals")
}

/// An answer to the client, the first of that node.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// The node.
    pub node: String,
    /// When it came.
    pub at: Moment,
    /// When the one before it came, from another node.
    pub before: Option<Moment>,
}

/// What the parts told until now.
#[derive(Debug, Default)]
pub(super) struct Observed {
    ready: usize,
    alive: usize,
    ended: Option<Ended>,
    neighbour: Option<String>,
    /// Which nodes miss the heartbeat of the other one, and since when.
    missing: Vec<(Host, Moment)>,
    /// First answers, by node.
    pub answers: Vec<Answer>,
    /// Hardware addresses at which the address was announced, and when.
    pub announced: Vec<(String, Moment)>,
    /// The client's count.
    pub totals: Option<Totals>,
}

impl Observed {
    /// Since when `node` misses the heartbeat of the other one.
    pub(super) fn missed_by(&self, node: Host) -> Option<Moment> {
        self.missing.iter().find(|(host, _)| *host == node).map(|(_, since)| *since)
    }
}

/// The parts and what is known of them.
#[derive(Debug)]
pub(super) struct Manager {
    switch: Switch,
    parts: Vec<Running>,
    news: Receiver<News>,
    dead: Option<Host>,
    /// What the parts told.
    pub observed: Observed,
    /// What is printed.
    pub timeline: Timeline,
}

impl Manager {
    /// Starts the parts and lays the cables.
    fn begin(colour: bool) -> Result<Self> {
        let switch = Switch::make()?;
        let (sender, news) = channel();
        let parts = start_parts(&sender)?;
        let timeline = Timeline::begin(colour);
        let observed = Observed::default();
        let mut manager = Self { switch, parts, news, dead: None, observed, timeline };
        let count = manager.parts.len();
        manager.until("the hosts to start", |seen| seen.ready == count)?;
        for part in &mut manager.parts {
            manager.switch.plug(part.host(), part.process())?;
            part.order("plugged")?;
        }
        manager.until("the hosts' network cards", |seen| seen.ready == 2 * count)?;
        // An ARP request that the switch does not pass on yet is asked again only after a second.
        manager.switch.wait_for_links()?;
        let nodes = [NODE1, NODE2];
        for node in nodes {
            manager.order(node, "linked")?;
        }
        manager.until("the nodes to hear each other", |seen| seen.alive >= nodes.len())?;
        manager.timeline = Timeline::begin(colour);
        Ok(manager)
    }

    /// Runs an action of the agent on `host`, which must end with `expected`; how long it took.
    ///
    /// # Errors
    /// It ended otherwise, or did not.
    pub(super) fn action(&mut self, host: Host, action: &str, expected: i32) -> Result<Duration> {
        self.observed.ended = None;
        self.order(host, action)?;
        let Ended { code, took, reason } =
            self.until_some(&format!("{action} on {}", host.name), |seen| seen.ended.clone())?;
        let meaning = match (action, code) {
            ("monitor", 0) => "running",
            ("monitor", 7) => "not running",
            (_, 0) => "ok",
            _ => "failed",
        };
        let took_ms = milliseconds(took);
        let tone = if code == expected { Tone::Plain } else { Tone::Bad };
        let what = format!("{AGENT} {action:<7}  exit code {code} ({meaning}) after {took_ms} ms");
        self.note(host, tone, &what);
        if code == expected {
            return Ok(took);
        }
        let because = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        let wanted = format!("exit code {code} instead of {expected}");
        Err(Error::Failed(format!(
            "{AGENT} {action} on {} ended with {wanted}{because}",
            host.name
        )))
    }

    /// Ends `host` as a power loss does: its cable first, so that its kernel says goodbye to nobody.
    ///
    /// # Errors
    /// It lives.
    pub(super) fn power_off(&mut self, host: Host) -> Result<Moment> {
        self.dead = Some(host);
        let moment = Moment::now();
        self.switch.cut(host)?;
        self.part(host)?.kill()?;
        Ok(moment)
    }

    /// What the client's neighbour cache has for the address.
    ///
    /// # Errors
    /// The client does not answer.
    pub(super) fn neighbour(&mut self) -> Result<String> {
        self.observed.neighbour = None;
        self.order(CLIENT, "neighbour")?;
        self.until_some("the client's neighbour cache", |seen| seen.neighbour.clone())
    }

    /// Notes what happens now.
    pub(super) fn note(&mut self, host: Host, tone: Tone, what: &str) {
        self.timeline.note(Moment::now(), host.name, tone, what);
    }

    /// Gives `host` an order.
    ///
    /// # Errors
    /// It is dead.
    pub(super) fn order(&mut self, host: Host, words: &str) -> Result<()> {
        self.part(host)?.order(words)
    }

    fn part(&mut self, host: Host) -> Result<&mut Running> {
        let part = self.parts.iter_mut().find(|part| part.host() == host);
        part.ok_or_else(|| Error::Failed(format!("there is no {}", host.name)))
    }

    /// Lets the parts go on for `time`.
    ///
    /// # Errors
    /// One of them failed.
    pub(super) fn go_on(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while self.hear(end)? {}
        Ok(())
    }

    fn until(&mut self, what: &str, done: impl Fn(&Observed) -> bool) -> Result<()> {
        self.until_some(what, |seen| done(seen).then_some(()))
    }

    /// Waits for `what`, until `found` finds it.
    ///
    /// # Errors
    /// A part failed, or time is over.
    pub(super) fn until_some<T>(
        &mut self,
        what: &str,
        found: impl Fn(&Observed) -> Option<T>,
    ) -> Result<T> {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = found(&self.observed) {
                return Ok(found);
            }
            if !self.hear(end)? {
                let seconds = PATIENCE.as_secs();
                return Err(Error::Failed(format!("waited {seconds} s in vain for {what}")));
            }
        }
    }

    /// Takes in one piece of news; whether there was one before `end`.
    fn hear(&mut self, end: Instant) -> Result<bool> {
        let left = end.saturating_duration_since(Instant::now());
        let Ok((host, at, event)) = self.news.recv_timeout(left) else { return Ok(false) };
        // A dead node's last words; and its death, which surprises nobody.
        if self.dead != Some(host) {
            self.take(host, at, event)?;
        }
        Ok(true)
    }

    fn take(&mut self, host: Host, at: Moment, event: Event) -> Result<()> {
        let name = host.name;
        let seen = &mut self.observed;
        let mut note = |tone, what: &str| self.timeline.note(at, name, tone, what);
        match event {
            Event::Ready => seen.ready += 1,
            Event::Failed(why) => return Err(Error::Failed(format!("{name}: {why}"))),
            Event::Gone if seen.totals.is_some() => {}
            Event::Gone => return Err(Error::Failed(format!("{name} ended, and should not have"))),
            Event::Ended(ended) => seen.ended = Some(ended),
            Event::Neighbour(mac) => seen.neighbour = Some(mac),
            Event::Totals(totals) => seen.totals = Some(totals),
            Event::Lost => {
                seen.missing.push((host, at));
                note(Tone::Bad, &format!("no heartbeat for {} ms", heartbeat::DEAD.as_millis()));
            }
            Event::Alive => {
                seen.alive += 1;
                if seen.missed_by(host).is_some() {
                    seen.missing.retain(|(node, _)| *node != host);
                    note(Tone::Plain, "the heartbeat is back: it was late, this machine is busy");
                }
            }
            Event::Heard(mac) => {
                note(Tone::Plain, &format!("hears a gratuitous ARP: {ADDRESS} is at {mac}"));
                seen.announced.push((mac, at));
            }
            Event::Answered(by, before) => {
                note(Tone::Good, &format!("first answer from {by}"));
                seen.answers.push(Answer { node: by, at, before });
            }
        }
        Ok(())
    }
}

fn start_parts(news: &Sender<News>) -> Result<Vec<Running>> {
    let parts = [(Part::Node1, NODE1), (Part::Node2, NODE2), (Part::Client, CLIENT)];
    for (_, host) in parts {
        let directory = format!("{PRIVATE}/{}", host.name);
        std::fs::create_dir(&directory).doing(|| format!("make {directory}"))?;
    }
    parts.into_iter().map(|(part, host)| Running::start(part, host, news.clone())).collect()
}
