//! A resource of Pacemaker.

use std::sync::atomic::{AtomicU32, Ordering};

use super::Agents;
use crate::network::SERVICE;

/// No two resources of a run have the same name, so that no history of an earlier one can be held against it.
static COUNT: AtomicU32 = AtomicU32::new(1);

/// How long actions may take, in seconds.
#[derive(Clone, Copy)]
pub struct Limits {
    pub start: u32,
    pub stop: u32,
    pub monitor: u32,
}

/// A resource, to be written as the configuration wants it.
pub struct Resource {
    /// The resource's name.
    pub id: String,
    /// None for an init script.
    provider: Option<&'static str>,
    agent: &'static str,
    parameters: Vec<(&'static str, String)>,
    monitor: Option<&'static str>,
    /// `OCF_CHECK_LEVEL` of the monitor.
    level: Option<u32>,
    limits: Limits,
}

impl Resource {
    /// One of the agent of that name, with no parameters.
    pub fn new(agents: Agents, agent: &'static str) -> Self {
        Self::of(Some(agents.provider()), agent)
    }

    /// A service that has an init script.
    pub fn service(script: &'static str) -> Self {
        Self::of(None, script)
    }

    /// An address in the service network, as most people configure it.
    pub fn address(agents: Agents, ip: &str) -> Self {
        Self::new(agents, "IPaddr2").with("ip", ip).with("nic", SERVICE.nic)
    }

    fn of(provider: Option<&'static str>, agent: &'static str) -> Self {
        let id = format!("{}-{}", agent.to_lowercase(), COUNT.fetch_add(1, Ordering::Relaxed));
        let limits = Limits { start: 20, stop: 20, monitor: 20 };
        Self { id, provider, agent, parameters: Vec::new(), monitor: None, level: None, limits }
    }

    /// With another parameter.
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.parameters.push((name, value.to_owned()));
        self
    }

    /// With a recurring monitor.
    pub fn monitored(mut self, interval: &'static str) -> Self {
        self.monitor = Some(interval);
        self
    }

    /// With a monitor that looks closer.
    pub fn at_level(mut self, level: u32) -> Self {
        self.level = Some(level);
        self
    }

    /// With other limits than 20 seconds each.
    pub fn within(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Found where the shell agents are.
    pub fn in_place(mut self) -> Self {
        self.provider = Some(Agents::Shell.provider());
        self
    }

    /// The resource in the configuration's words.
    pub fn xml(&self) -> String {
        let Self { id, agent, limits, level, .. } = self;
        let class = self.provider.map_or_else(
            || "class='lsb'".to_owned(),
            |provider| format!("class='ocf' provider='{provider}'"),
        );
        let pair = |(name, value): &(&str, String)| {
            format!("<nvpair id='{id}-{name}' name='{name}' value='{value}'/>")
        };
        let parameters: String = self.parameters.iter().map(pair).collect();
        let operation = |(name, interval, timeout): (&str, &str, u32)| {
            let level = level.filter(|_| name == "monitor").map_or_else(String::new, |level| {
                format!(
                    "<instance_attributes id='{id}-level'><nvpair id='{id}-level-is' \
                     name='OCF_CHECK_LEVEL' value='{level}'/></instance_attributes>"
                )
            });
            format!(
                "<op id='{id}-{name}' name='{name}' interval='{interval}' timeout='{timeout}s'>{level}</op>"
            )
        };
        let actions = [("start", "0", limits.start), ("stop", "0", limits.stop)].into_iter();
        let operations: String = actions
            .chain(self.monitor.map(|interval| ("monitor", interval, limits.monitor)))
            .map(operation)
            .collect();
        format!(
            "<primitive id='{id}' {class} type='{agent}'>\
             <instance_attributes id='{id}-parameters'>{parameters}</instance_attributes>\
             <operations>{operations}</operations></primitive>"
        )
    }
}

/// The wish that the resource or group be on that node, other things being equal.
pub fn at_home(id: &str, node: &str) -> String {
    format!("<rsc_location id='{id}-home' rsc='{id}' node='{node}' score='50'/>")
}
