//! The scenarios, in the order in which they run: those that share a cluster stand together.

mod common;
mod haresources;
mod moves;
mod resource;

use std::{env, fmt};

use crate::Outcome;
use crate::stage::Stage;

/// Whose agents a scenario runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agents {
    /// This project's.
    Ocfbox,
    /// Those of the resource-agents package.
    Shell,
}

impl Agents {
    /// The provider under which Pacemaker finds them.
    pub fn provider(self) -> &'static str {
        match self {
            Self::Ocfbox => "ocfbox",
            Self::Shell => "heartbeat",
        }
    }

    /// `OCF_UNDER_TEST` is `ours`, `theirs` or nothing, which means both.
    pub fn are_under_test(self) -> bool {
        match env::var("OCF_UNDER_TEST").as_deref() {
            Ok("ours") => self == Self::Ocfbox,
            Ok("theirs") => self == Self::Shell,
            _ => true,
        }
    }
}

impl fmt::Display for Agents {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Ocfbox => "ocfbox",
            Self::Shell => "shell agents",
        })
    }
}

/// Something that must hold, and whose agents to show it with.
pub struct Scenario {
    /// `stack::what_happens`.
    pub name: &'static str,
    /// The shell agents are run for comparison: their failures are findings.
    pub agents: &'static [Agents],
    /// Plays it, and says in a few words what was seen.
    pub run: fn(&mut Stage, Agents) -> Outcome<String>,
}

const BOTH: &[Agents] = &[Agents::Ocfbox, Agents::Shell];

/// All there are.
pub const ALL: &[Scenario] = &[
    Scenario { name: "pacemaker::planned_move", agents: BOTH, run: moves::planned_move },
    Scenario { name: "haresources::status", agents: BOTH, run: haresources::status },
    Scenario { name: "haresources::give_back", agents: BOTH, run: haresources::give_back },
    Scenario { name: "haresources::node_crash", agents: BOTH, run: haresources::node_crash },
];
