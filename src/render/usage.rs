//! How an agent is called, in a few lines.

#![forbid(unsafe_code)]

use std::fmt::Write as _;

use crate::action::Action;
use crate::haresources;
use crate::spec::Described;

/// The names of the actions that the agent answers to.
#[must_use]
pub fn actions(described: &Described) -> Vec<&'static str> {
    Action::ALL
        .iter()
        .copied()
        .filter(|action| described.agent.has(*action))
        .map(Action::name)
        .collect()
}

/// What the action `usage` prints.
#[must_use]
pub fn usage(described: &Described) -> String {
    let agent = described.agent.name;
    let mut text = format!("{agent}: {}\n\n", described.agent.short);
    let _ = writeln!(text, "by a cluster:      OCF_RESKEY_<parameter>=<value> … {agent} <action>");
    let _ = writeln!(text, "by hand:           ocfbox {agent} <action> <parameter>=<value> …");
    if let Some(pattern) = &described.agent.haresources {
        let _ = writeln!(text, "in haresources:    {}", haresources::form(described, pattern));
    }
    let _ = writeln!(text, "\nactions: {}\n\nparameters:", actions(described).join(" "));
    let width = described.params().map(|param| param.name.len()).max().unwrap_or(0);
    for param in described.params() {
        let fact = match (param.required, param.default) {
            (true, _) => " (required)".to_owned(),
            (false, Some(default)) => format!(" (default {default})"),
            (false, None) => String::new(),
        };
        let _ = writeln!(text, "  {:width$}  {}{fact}", param.name, param.short());
    }
    text
}
