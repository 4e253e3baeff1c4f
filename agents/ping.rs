//! `ping`: how many hosts this node reaches, as an attribute of the node.

#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::time::Duration;

use crate::action::Action;
use crate::agent::{Agent, Cx, Status};
use crate::error::{Error, Result};
use crate::host::icmp::LARGEST;
use crate::host::probe::Plan;
use crate::host::source::Source;
use crate::host::{attribute, link};
use crate::param::values::{AbsolutePath, AttributeName, Count, Flag, Interval, Text};
use crate::param::{Kind, Value, quoted};
use crate::params;
use crate::reach::measure::{self, Measured};
use crate::reach::target::Targets;
use crate::reach::{self, multiplied};
use crate::spec::{ActionSpec, AgentSpec};
use crate::state::{Lock, StateFile};

params! {
    pub struct Params {
        /// State file
        ///
        /// The file that exists while the resource runs, with the hosts in it that did not answer last. Without it, one
        /// named after the instance below `/run/resource-agents`.
        pidfile: Option<AbsolutePath> { unique_group: Some("pidfile") },

        /// How long changes have to last
        ///
        /// The cluster waits for this long after a change before it believes it, so that the changes of several nodes,
        /// which lose the same host at nearly the same time, are believed together. A whole number with or without a
        /// unit, such as `5s`, `500ms` or `1min`.
        dampen: Interval = "5s" { reloadable: true },

        /// Node attribute
        ///
        /// The name of the attribute that gets the value. It is what location rules ask for, not the name of the
        /// resource: for example `location vip-reaches vip rule -inf: not_defined pingd or pingd lt 1`.
        name: AttributeName = "pingd" { unique_group: Some("name") },

        /// Value of one host
        ///
        /// The attribute is the number of hosts that answer, times this.
        multiplier: u32 = "1",

        /// Hosts to ask
        ///
        /// Addresses or names, separated by blanks: for example the gateway, and something behind it. All are asked at
        /// once. Of a name with several addresses one that answers is enough; names are looked up in `/etc/hosts` and
        /// by DNS each time, so an address is better, which needs no name server.
        ///
        /// `tcp:192.0.2.1:22`, `tcp:[2001:db8::1]:22` or `tcp:name:22` asks by a TCP connection to that port, for hosts
        /// that do not answer to ping. It counts when it is accepted. A refused one does not count: a firewall on the
        /// way may refuse in the name of a dead host.
        host_list: Targets,

        /// Attempts
        ///
        /// How often a host is asked, spread over `timeout`, but at most a second apart. A host is reached when
        /// `replies` of them are answered.
        attempts: Count = "3" { reloadable: true },

        /// Answers that are needed
        ///
        /// How many of the attempts have to be answered. With more than 1 a line that loses many packets counts as
        /// broken.
        replies: Count = "1" { reloadable: true },

        /// Time for all attempts
        ///
        /// After this time, in seconds or with a unit, a host that did not answer counts as not reached. Replies to
        /// earlier attempts count until then. It is cut when it does not fit into the timeout of the operation.
        timeout: Interval = "2" { reloadable: true },

        /// Interface or address to ask from
        ///
        /// The name of an interface through which the packets leave, whatever the routes say; or an address of this
        /// host, which becomes their source.
        source: Option<Source> { reloadable: true },

        /// Options of the ping command
        ///
        /// Of these, `-I` with an interface or address is understood, which is the same as `source`, and `-s` with the
        /// number of bytes in a request. Others have no effect.
        options: Option<Text>,

        /// Lowest value that is no failure
        ///
        /// If the value is less than this, start and monitor fail, so that the resource, and what depends on it, is
        /// recovered or moved without a location rule.
        failure_score: Option<u32>,

        /// Use fping
        ///
        /// Without effect: the agent asks by itself, and all hosts at once.
        use_fping: Flag = "true",

        /// What is logged
        ///
        /// A host that is not reached any more, or again, is always logged, and so is the new value. With `true`, all that are not reached are
        /// logged at every monitor; with `verbose`, the others too, with the time to their answer.
        debug: Debug = "false" { reloadable: true },
    }
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Debug {
    Changes,
    Silent,
    All,
}

impl Value for Debug {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        match raw.to_str() {
            Some("false" | "False" | "FALSE" | "0" | "") => Ok(Self::Changes),
            Some("true" | "True" | "TRUE" | "1") => Ok(Self::Silent),
            Some("verbose" | "Verbose" | "VERBOSE" | "2") => Ok(Self::All),
            _ => Err(format!("{} is not one of true, false, verbose", quoted(raw))),
        }
    }
}

pub struct Ping(Params);

impl From<Params> for Ping {
    fn from(params: Params) -> Self {
        Self(params)
    }
}

/// The options of the ping command that mean something here, and the rest of them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    source: Option<Source>,
    size: Option<usize>,
    others: Vec<String>,
}

impl Options {
    fn read(text: &str) -> Result<Self> {
        let mut options = Self::default();
        let mut words = text.split_whitespace();
        while let Some(word) = words.next() {
            let (name, rest) =
                word.split_at(word.char_indices().nth(2).map_or(word.len(), |(at, _)| at));
            let mut value =
                || if rest.is_empty() { words.next().unwrap_or_default() } else { rest };
            let wrong = |why: String| Error::Configured { name: "options", why };
            match name {
                "-I" => options.source = Some(Source::parse(OsStr::new(value())).map_err(wrong)?),
                "-s" => {
                    let word = value();
                    let size = word.parse().ok().filter(|size| *size <= LARGEST);
                    let why = format!(
                        "{} is no size of a packet; give 0 to {LARGEST}",
                        quoted(word.as_ref())
                    );
                    options.size = Some(size.ok_or_else(|| wrong(why))?);
                }
                _ => options.others.push(word.to_owned()),
            }
        }
        Ok(options)
    }
}

impl Ping {
    fn state(&self, cx: &Cx<'_>) -> StateFile {
        match &self.0.pidfile {
            Some(path) => StateFile::at(path.as_path()),
            None => cx.state.file(&Self::key(cx)),
        }
    }

    fn options(&self) -> Result<Options> {
        let text = self.0.options.as_ref().map_or(OsStr::new(""), Text::as_os_str);
        Options::read(&text.to_string_lossy())
    }

    fn plan(&self) -> Result<Plan> {
        let own = &self.0;
        let options = self.options()?;
        let plan = Plan {
            attempts: u16::try_from(own.attempts.get()).unwrap_or(u16::MAX),
            needed: u16::try_from(own.replies.get()).unwrap_or(u16::MAX),
            time: own.timeout.get(),
            size: options.size.unwrap_or(56),
            source: own.source.clone().or(options.source),
        };
        measure::plan(&own.host_list, plan)
    }

    /// Asks the hosts, and tells of those for which the answer is another than the last time.
    fn measure(&self, before: Option<&str>, cx: &Cx<'_>) -> Result<Measured<'_>> {
        let measured = measure::measure(&self.0.host_list, &self.plan()?, cx)?;
        for found in measured.hosts.iter().filter(|_| !measured.doubtful) {
            let target = found.target;
            let was_silent =
                before.is_some_and(|before| lines(before).any(|line| line == target.to_string()));
            match &found.answer {
                Err(why) if !was_silent || self.0.debug >= Debug::Silent => {
                    cx.log.warn(&format!("{target} is not reachable: {why}"));
                }
                Ok(_) if was_silent => cx.log.info(&format!("{target} is reachable again")),
                Ok(after) if self.0.debug == Debug::All => {
                    cx.log.info(&format!(
                        "{target} answers after {:.1} ms",
                        after.as_secs_f64() * 1e3
                    ));
                }
                _ => {}
            }
        }
        Ok(measured)
    }

    /// Keeps what was found where it is another than before, and tells of it.
    fn remember(
        &self,
        value: u64,
        measured: &Measured<'_>,
        before: Option<&str>,
        cx: &Cx<'_>,
    ) -> Result<()> {
        let now = remembered(measured);
        if before != Some(&now) {
            let (name, reachable) = (self.0.name.as_str(), measured.reachable());
            let words = format!(
                "{reachable} of {} hosts are reachable; {name} is {value}",
                measured.hosts.len()
            );
            cx.log.info(&words);
            self.state(cx).write(&now)?;
        }
        Ok(())
    }

    fn publish(&self, value: u64, lock: Option<&Lock>, cx: &Cx<'_>) -> Result<()> {
        let dampen = Some(self.0.dampen.as_str());
        attribute::publish(cx.environment, self.0.name.as_str(), value, dampen, lock, &cx.deadline)
    }

    fn judge(&self, value: u64, measured: &Measured<'_>) -> Result<()> {
        let Some(least) = self.0.failure_score.map(u64::from).filter(|least| value < *least) else {
            return Ok(());
        };
        let silent: Vec<String> = measured.silent().map(|(target, _)| target.to_string()).collect();
        Err(Error::Failed(format!(
            "{} is {value}, less than failure_score={least}: {} of {} hosts reachable, not {}",
            self.0.name.as_str(),
            measured.reachable(),
            measured.hosts.len(),
            silent.join(", ")
        )))
    }

    fn key(cx: &Cx<'_>) -> String {
        format!("ping-{}", cx.instance)
    }
}

/// The hosts that a state file says were not reached.
fn lines(state: &str) -> impl Iterator<Item = &str> {
    state.lines().skip(1)
}

fn remembered(measured: &Measured<'_>) -> String {
    let silent = measured.silent().map(|(target, _)| target.to_string());
    let lines: Vec<String> = std::iter::once("running".to_owned()).chain(silent).collect();
    lines.join("\n") + "\n"
}

impl Agent for Ping {
    type Params = Params;

    const SPEC: AgentSpec = AgentSpec {
        name: "ping",
        short: "How many hosts this node reaches, as a node attribute",
        long: "Asks hosts whether they are there, by ICMP echo or by TCP, and keeps their number in an attribute of the \
               node. Location rules on that attribute move other resources to a node that reaches more. Run it as a \
               clone, so that every node has the attribute.\n\n\
               A host that is not reached is not a failure of this resource, unless failure_score says so. Only a reply \
               to the agent's own request counts, told by its source, its numbers and its random content. When the agent \
               itself did not get the CPU while it waited, it asks again before it calls a host dead.\n\n\
               It needs Pacemaker, whose attrd_updater takes the value.",
        actions: &[
            ActionSpec::new(Action::Start, 60),
            ActionSpec::new(Action::Stop, 20),
            ActionSpec::new(Action::ReloadAgent, 20),
            ActionSpec::new(Action::Monitor, 60).every(10).depth(0),
            ActionSpec::new(Action::ValidateAll, 30),
            ActionSpec::new(Action::MetaData, 5),
        ],
        haresources: None,
    };

    fn check(&self, cx: &Cx<'_>) -> Result<()> {
        let plan = self.plan()?;
        multiplied(self.0.host_list.all().len() as u64, self.0.multiplier)?;
        let options = self.options()?;
        if !options.others.is_empty() {
            let others = options.others.join(" ");
            cx.log.warn(&format!("parameter options: {others} has no effect; only -I and -s have"));
        }
        if !self.0.use_fping.is_set() {
            cx.log.warn("parameter use_fping has no effect");
        }
        let room = cx.deadline.left().saturating_sub(reach::to_tell(&cx.deadline));
        if plan.time > room + Duration::from_millis(100) {
            cx.log.warn(&format!(
                "timeout={} is cut to {:.1} s, which is what the action's timeout of {} s leaves",
                self.0.timeout.as_str(),
                room.as_secs_f64(),
                cx.deadline.timeout().as_secs_f64()
            ));
        }
        Ok(())
    }

    fn validate(&self, cx: &Cx<'_>) -> Result<()> {
        if let Some(Source::Interface(name)) = &self.plan()?.source {
            link::require(name, cx.deadline)?;
        }
        attribute::available(cx.environment)
    }

    fn start(&self, cx: &Cx<'_>) -> Result<()> {
        let before = self.state(cx).read()?;
        let measured = self.measure(before.as_deref(), cx)?;
        let value = multiplied(measured.reachable(), self.0.multiplier)?;
        self.judge(value, &measured)?;
        let lock = cx.state.lock(&Self::key(cx), &cx.deadline)?;
        self.remember(value, &measured, before.as_deref(), cx)?;
        let published = self.publish(value, lock.as_ref(), cx);
        if published.is_err() && before.is_none() {
            self.state(cx).remove()?;
        }
        published
    }

    fn stop(&self, cx: &Cx<'_>) -> Result<()> {
        let _one_at_a_time = reach::lock_to_stop(&Self::key(cx), cx);
        reach::withdraw(self.0.name.as_str(), cx);
        self.state(cx).remove()
    }

    fn monitor(&self, cx: &Cx<'_>) -> Result<Status> {
        let Some(before) = self.state(cx).read()? else { return Ok(Status::NotRunning) };
        let measured = self.measure(Some(&before), cx)?;
        if measured.doubtful {
            return Ok(Status::Running);
        }
        let value = multiplied(measured.reachable(), self.0.multiplier)?;
        {
            // A stop that ended meanwhile took the attribute away, and it must stay away.
            let lock = cx.state.lock(&Self::key(cx), &cx.deadline)?;
            if self.state(cx).read()?.is_none() {
                return Ok(Status::NotRunning);
            }
            self.remember(value, &measured, Some(&before), cx)?;
            self.publish(value, lock.as_ref(), cx)?;
        }
        self.judge(value, &measured)?;
        Ok(Status::Running)
    }

    /// All that can change is read anew by each monitor.
    fn reload(&self, _: &Cx<'_>) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_of_ping_that_mean_something() {
        let read = |text: &str| Options::read(text).map_err(|error| error.reason());
        let interface = Some(Source::parse(OsStr::new("eth0")).unwrap());
        assert_eq!(read("").unwrap(), Options::default());
        for text in ["-I eth0", "-Ieth0", "  -I   eth0 "] {
            assert_eq!(read(text).unwrap().source, interface, "{text}");
        }
        let mixed = read("-i 0.2 -s 1400 -M do -I 192.0.2.1").unwrap();
        assert_eq!((mixed.size, mixed.others.join(" ")), (Some(1400), "-i 0.2 -M do".to_owned()));
        assert!(matches!(mixed.source, Some(Source::Address(_))));
        for text in ["-I", "-s", "-s big", "-s 99999"] {
            assert!(read(text).unwrap_err().starts_with("parameter options: "), "{text}");
        }
    }
}
