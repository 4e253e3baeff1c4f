//! `ethmonitor`: whether an interface works, as an attribute of the node.

#![forbid(unsafe_code)]

use std::time::Duration;

use crate::action::Action;
use crate::agent::{Agent, Cx, Status};
use crate::error::{Error, Result};
use crate::host::net::Net;
use crate::host::{attribute, clock, link};
use crate::param::values::{AttributeName, Count, DeviceName, Flag, InterfaceName, Seconds};
use crate::params;
use crate::reach::hysteresis::{Memory, Rule};
use crate::reach::interface::{self, Look, Scale, Traffic, Watch};
use crate::reach::{self, multiplied};
use crate::spec::{ActionSpec, AgentSpec};
use crate::state::{Lock, StateFile};

params! {
    pub struct Params {
        /// Network interface
        ///
        /// The interface to watch: its name or one of its alternative names. A bond, a team, a bridge or a VLAN is an
        /// interface like any other. One that is not here counts as not working.
        interface: InterfaceName { unique_group: Some("interface") },

        /// Node attribute
        ///
        /// The name of the attribute that gets the value, by default `ethmonitor-` and the name of the interface.
        name: Option<AttributeName> { unique_group: Some("name") },

        /// Value of an interface that works
        ///
        /// The attribute is this while the interface works, times what `scale` says, and 0 while it does not.
        multiplier: u32 = "1",

        /// What makes up the value
        ///
        /// `none`: an interface that works has the value `multiplier`. `ports`: it has that for each port of the bond,
        /// team or bridge that has a link, so that half of a bond is worth half. `speed`: it has that for each megabit
        /// a second of its speed, as the driver tells it; of a bond that is the sum of its active ports. Where there are
        /// no ports or the speed is not known, it is as with `none`.
        scale: ScaleWord = "none",

        /// Looks of one monitor
        ///
        /// A monitor that finds the interface not working looks again, so many times in all. It ends with the first good
        /// look. Set it to 1 to notice a broken cable at once.
        repeat_count: Count = "5",

        /// Time between two looks, in seconds
        ///
        /// From the beginning of one look to that of the next. A link that comes back is noticed at once.
        repeat_interval: Seconds = "10",

        /// How long a packet may take to arrive, in seconds
        ///
        /// An interface with a link works if it receives any packet within this time. If it does not, its neighbours are
        /// asked. Without effect with `link_status_only`.
        pktcnt_timeout: Seconds = "5",

        /// Questions to a neighbour
        ///
        /// How many ARP requests each neighbour gets while none answers. Where the kernel knows no IPv4 neighbour, IPv6
        /// neighbours get echo requests in their place.
        arping_count: Count = "1",

        /// How long a neighbour may take to answer a question, in seconds
        ///
        /// All neighbours are asked at once, so that this time, times `arping_count`, is all that it takes.
        arping_timeout: Seconds = "1",

        /// Neighbours to ask
        ///
        /// How many of the neighbours that the kernel knows are asked, those first that were heard last.
        arping_cache_entries: Count = "5",

        /// InfiniBand device
        ///
        /// The name of the device whose port has to be active as well, as `/sys/class/infiniband` lists it.
        infiniband_device: Option<DeviceName>,

        /// InfiniBand port
        ///
        /// The number of the port of `infiniband_device`, by default 1.
        infiniband_port: Option<Count>,

        /// The link alone decides
        ///
        /// With it, an interface that is up and has a link works, and the monitor answers at once. Without it, packets
        /// have to arrive as well: on a silent network without neighbours an interface then does not work.
        link_status_only: Flag = "false",

        /// Bad monitors until the interface counts as not working
        ///
        /// So many of the last `down_window` monitors have to be bad before the value becomes 0.
        down_after: Count = "1" { reloadable: true },

        /// Monitors among which bad ones are counted
        ///
        /// By default as many as `down_after`, which then have to be bad one after another.
        down_window: Option<Count> { reloadable: true },

        /// Time until the interface counts as working again, in seconds
        ///
        /// For so long all monitors have to be good before the value is more than 0 again: longer than the pauses of a
        /// link that comes and goes.
        recover_after: Seconds = "0" { reloadable: true },
    }
}

crate::choice! {
    /// What makes up the value.
    enum ScaleWord {
        /// Nothing.
        None = "none",
        /// Ports with a link.
        Ports = "ports",
        /// Megabits a second.
        Speed = "speed",
    }
}

pub struct EthMonitor(Params);

impl From<Params> for EthMonitor {
    fn from(params: Params) -> Self {
        Self(params)
    }
}

impl EthMonitor {
    fn key(cx: &Cx<'_>) -> String {
        format!("ethmonitor-{}", cx.instance)
    }

    fn state(cx: &Cx<'_>) -> StateFile {
        cx.state.file(&Self::key(cx))
    }

    fn attribute(&self) -> String {
        match &self.0.name {
            Some(name) => name.as_str().to_owned(),
            None => format!("ethmonitor-{}", self.0.interface.as_str()),
        }
    }

    fn watch(&self) -> Watch {
        let own = &self.0;
        let traffic = Traffic {
            patience: own.pktcnt_timeout.get(),
            questions: own.arping_count.get(),
            answer: own.arping_timeout.get(),
            neighbours: own.arping_cache_entries.get(),
        };
        let port = own.infiniband_port.map_or(1, Count::get);
        Watch {
            interface: own.interface.clone(),
            rounds: own.repeat_count.get(),
            interval: own.repeat_interval.get(),
            traffic: (!own.link_status_only.is_set()).then_some(traffic),
            infiniband: own
                .infiniband_device
                .as_ref()
                .map(|device| (device.as_str().to_owned(), port)),
        }
    }

    fn rule(&self) -> Rule {
        let down_after = self.0.down_after.get();
        Rule {
            down_after,
            down_window: self.0.down_window.map_or(down_after, Count::get),
            recover_after: self.0.recover_after.get(),
        }
    }

    const fn scale(&self) -> Scale {
        match self.0.scale {
            ScaleWord::None => Scale::None,
            ScaleWord::Ports => Scale::Ports,
            ScaleWord::Speed => Scale::Speed,
        }
    }

    /// The value after a look. While a fault is not believed, it is what it was.
    fn value(&self, before: Option<&Kept>, memory: &Memory, look: &Look, net: &Net) -> Result<u64> {
        let size = match (&look.link, &look.fault, before) {
            _ if !memory.up => 0,
            (Some(link), None, _) => interface::size(link, self.scale(), net)?,
            (.., Some(before)) if before.memory.is_some() => return Ok(before.value),
            _ => 1,
        };
        multiplied(size, self.0.multiplier)
    }

    /// Looks, and publishes what is believed then.
    fn look(&self, before: Option<&Kept>, cx: &Cx<'_>) -> Result<Outcome> {
        let net = Net::open(cx.deadline)?;
        let look = interface::look(&self.watch(), &net, cx)?;
        let good = look.fault.is_none();
        let now = clock::since_boot();
        let memory = match before.and_then(|kept| kept.memory.as_ref()) {
            Some(memory) => memory.after(good, now, &self.rule()),
            None => Memory::first(good, now),
        };
        let value = self.value(before, &memory, &look, &net)?;
        let words = self.words(before, &memory, &look, value);
        Ok(Outcome { kept: Kept { memory: Some(memory), value }, words })
    }

    /// What is new, and why.
    fn words(
        &self,
        before: Option<&Kept>,
        memory: &Memory,
        look: &Look,
        value: u64,
    ) -> Option<String> {
        let (name, attribute) = (self.0.interface.as_str(), self.attribute());
        let old = before.and_then(|kept| kept.memory.as_ref());
        let turned = old.is_none_or(|old| old.last() != memory.last());
        let changed = old.is_none_or(|old| old.up != memory.up);
        let worth = before.is_none_or(|kept| kept.value != value);
        let because = look.fault.clone().unwrap_or_else(|| format!("{name} works"));
        match (changed, turned, worth) {
            (false, false, false) => None,
            (true, ..) | (false, false, true) => Some(format!("{because}; {attribute} is {value}")),
            (false, true, _) if memory.up => Some(format!(
                "{because}; {attribute} stays {value}: {} bad of the last {} monitors, {} make it 0",
                memory.bad(),
                self.rule().down_window,
                self.rule().down_after
            )),
            (false, true, _) => Some(format!(
                "{because}; {attribute} stays {value} until all is well for {} s",
                self.rule().recover_after.as_secs_f64()
            )),
        }
    }

    /// Publishes an outcome, and keeps it where it is another than before.
    fn publish(
        &self,
        outcome: &Outcome,
        before: Option<&Kept>,
        lock: Option<&Lock>,
        cx: &Cx<'_>,
    ) -> Result<()> {
        if let Some(words) = &outcome.words {
            match outcome.kept.value {
                0 => cx.log.warn(words),
                _ => cx.log.info(words),
            }
        }
        if before != Some(&outcome.kept) {
            Self::state(cx).write(&outcome.kept.text())?;
        }
        let (name, value) = (self.attribute(), outcome.kept.value);
        attribute::publish(cx.environment, &name, value, None, lock, &cx.deadline)
    }
}

/// What the state file says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kept {
    memory: Option<Memory>,
    value: u64,
}

impl Kept {
    fn read(text: &str) -> Self {
        let mut lines = text.lines();
        let memory = lines.next().and_then(Memory::read);
        let value = lines.next().and_then(|line| line.parse().ok());
        // A value that cannot be read is as good as any: what is published is computed anew.
        Self { memory, value: value.unwrap_or(u64::MAX) }
    }

    fn text(&self) -> String {
        let memory = self.memory.as_ref().map_or(String::new(), Memory::line);
        format!("{memory}{}\n", self.value)
    }
}

/// What a look came to.
struct Outcome {
    kept: Kept,
    words: Option<String>,
}

impl Agent for EthMonitor {
    type Params = Params;

    const SPEC: AgentSpec = AgentSpec {
        name: "ethmonitor",
        short: "Whether a network interface works, as a node attribute",
        long: "Watches a network interface and keeps in an attribute of the node whether it works. Location rules on \
               that attribute move other resources away from a node whose cable is out. Run it as a clone.\n\n\
               An interface works when it is up and has a link, as the kernel says, and, unless link_status_only is set, \
               when a packet arrives within pktcnt_timeout or a neighbour answers when it is asked. In that order: what \
               comes later is only tried if what comes before did not decide. The log says for each change which of them it \
               was.\n\n\
               An interface that does not work, or is not here, is no failure of this resource. A link that comes and goes \
               moves nothing when down_after, down_window and recover_after are set to more than it takes to come \
               and go.\n\n\
               It needs Pacemaker, whose attrd_updater takes the value.",
        actions: &[
            ActionSpec::new(Action::Start, 60),
            ActionSpec::new(Action::Stop, 20),
            ActionSpec::new(Action::Status, 60).every(10).depth(0),
            ActionSpec::new(Action::Monitor, 60).every(10).depth(0),
            ActionSpec::new(Action::ReloadAgent, 20),
            ActionSpec::new(Action::ValidateAll, 20),
            ActionSpec::new(Action::MetaData, 5),
        ],
        haresources: None,
    };

    fn check(&self, cx: &Cx<'_>) -> Result<()> {
        let rule = self.rule();
        if rule.down_window < rule.down_after {
            let why = format!(
                "{} monitors cannot have {} bad ones; give more",
                rule.down_window, rule.down_after
            );
            return Err(Error::Configured { name: "down_window", why });
        }
        if rule.down_window > 1000 {
            let why = format!(
                "{} monitors are more than can be kept; give 1000 or less",
                rule.down_window
            );
            return Err(Error::Configured { name: "down_window", why });
        }
        if self.0.arping_count.get() > 1000 {
            let why =
                format!("{} questions are too many; give 1000 or less", self.0.arping_count.get());
            return Err(Error::Configured { name: "arping_count", why });
        }
        if self.0.infiniband_port.is_some() && self.0.infiniband_device.is_none() {
            let why = "is a port of infiniband_device, which is not given; give both".to_owned();
            return Err(Error::Configured { name: "infiniband_port", why });
        }
        let longest = self.watch().longest();
        let room = cx.deadline.left().saturating_sub(reach::to_tell(&cx.deadline));
        if cx.action == Action::Start && longest > room + Duration::from_millis(100) {
            cx.log.warn(&format!(
                "a monitor that finds no link lasts {} s and is cut to {:.0} s by the action's timeout; lower repeat_count or \
                 repeat_interval",
                longest.as_secs_f64(),
                room.as_secs_f64()
            ));
        }
        Ok(())
    }

    fn validate(&self, cx: &Cx<'_>) -> Result<()> {
        link::require(&self.0.interface, cx.deadline)?;
        attribute::available(cx.environment)
    }

    fn start(&self, cx: &Cx<'_>) -> Result<()> {
        let before = Self::state(cx).read()?;
        let kept = before.as_deref().map(Kept::read);
        let outcome = self.look(kept.as_ref(), cx)?;
        let lock = cx.state.lock(&Self::key(cx), &cx.deadline)?;
        let published = self.publish(&outcome, kept.as_ref(), lock.as_ref(), cx);
        if published.is_err() && before.is_none() {
            Self::state(cx).remove()?;
        }
        published
    }

    fn stop(&self, cx: &Cx<'_>) -> Result<()> {
        let _one_at_a_time = reach::lock_to_stop(&Self::key(cx), cx);
        reach::withdraw(&self.attribute(), cx);
        Self::state(cx).remove()
    }

    fn monitor(&self, cx: &Cx<'_>) -> Result<Status> {
        let Some(before) = Self::state(cx).read()? else { return Ok(Status::NotRunning) };
        let kept = Kept::read(&before);
        let outcome = self.look(Some(&kept), cx)?;
        // A stop that ended meanwhile took the attribute away, and it must stay away.
        let lock = cx.state.lock(&Self::key(cx), &cx.deadline)?;
        if Self::state(cx).read()?.is_none() {
            return Ok(Status::NotRunning);
        }
        self.publish(&outcome, Some(&kept), lock.as_ref(), cx)?;
        Ok(Status::Running)
    }

    /// All that can change is read anew by each monitor.
    fn reload(&self, _: &Cx<'_>) -> Result<()> {
        Ok(())
    }
}
