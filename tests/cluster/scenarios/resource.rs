//! A virtual address as a Pacemaker resource.

use std::sync::atomic::{AtomicU32, Ordering};

use super::Agents;

/// No two resources of a run have the same name, so that no history of an earlier one can be held against it.
static COUNT: AtomicU32 = AtomicU32::new(1);

/// An `IPaddr2` resource, to be written as the configuration wants it.
pub struct Address {
    /// The resource's name.
    pub id: String,
    /// The address itself.
    pub ip: String,
    provider: &'static str,
    parameters: Vec<(&'static str, String)>,
    monitor: Option<&'static str>,
}

impl Address {
    /// One in the service network, with nothing but the address given.
    pub fn new(agents: Agents, ip: &str) -> Self {
        let id =
            format!("address-{}-{}", COUNT.fetch_add(1, Ordering::Relaxed), ip.replace('.', "-"));
        let parameters = vec![("ip", ip.to_owned())];
        Self { id, ip: ip.to_owned(), provider: agents.provider(), parameters, monitor: None }
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

    /// Found under that provider instead.
    pub fn provided_by(mut self, provider: &'static str) -> Self {
        self.provider = provider;
        self
    }

    /// The resource in the configuration's words.
    pub fn xml(&self) -> String {
        let Self { id, provider, .. } = self;
        let pair = |(name, value): &(&str, String)| {
            format!("<nvpair id='{id}-{name}' name='{name}' value='{value}'/>")
        };
        let parameters: String = self.parameters.iter().map(pair).collect();
        let operation = |(name, interval): (&str, &str)| {
            format!("<op id='{id}-{name}' name='{name}' interval='{interval}' timeout='20s'/>")
        };
        let actions = [("start", "0"), ("stop", "0")].into_iter();
        let operations: String = actions
            .chain(self.monitor.map(|interval| ("monitor", interval)))
            .map(operation)
            .collect();
        format!(
            "<primitive id='{id}' class='ocf' provider='{provider}' type='IPaddr2'>\
             <instance_attributes id='{id}-parameters'>{parameters}</instance_attributes>\
             <operations>{operations}</operations></primitive>"
        )
    }
}
