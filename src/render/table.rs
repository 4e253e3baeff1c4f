//! The table of agents in the README.

#![forbid(unsafe_code)]

use std::fmt::Write as _;

use crate::haresources;
use crate::spec::Described;

/// One row an agent, in Markdown.
#[must_use]
pub fn agents<'a>(all: impl IntoIterator<Item = &'a Described>) -> String {
    let mut text = String::from("| agent | what it is | in haresources |\n|---|---|---|\n");
    for described in all {
        let agent = &described.agent;
        let line = agent.haresources.as_ref().map_or_else(
            || "(needs Pacemaker)".to_owned(),
            |pattern| format!("`{}`", haresources::line(agent.name, pattern)),
        );
        let _ = writeln!(text, "| `{}` | {} | {line} |", agent.name, agent.short);
    }
    text
}
