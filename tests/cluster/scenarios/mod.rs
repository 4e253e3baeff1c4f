//! The scenarios, in the order in which they run: those that share a cluster stand together.

mod common;
mod connections;
mod crowd;
mod faults;
mod haresources;
mod moves;
mod mutual;
mod promotion;
mod reachability;
mod resource;
mod services;
mod storage;
mod watched;
mod watching;

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
const OURS: &[Agents] = &[Agents::Ocfbox];

/// For a scenario after one of `BOTH` that needs a cluster for each: it goes on with the one that is there.
const SHELL_FIRST: &[Agents] = &[Agents::Shell, Agents::Ocfbox];

/// All there are.
pub const ALL: &[Scenario] = &[
    Scenario { name: "pacemaker::planned_move", agents: BOTH, run: moves::planned_move },
    Scenario { name: "pacemaker::standby", agents: BOTH, run: moves::standby },
    Scenario { name: "pacemaker::node_crash", agents: BOTH, run: moves::node_crash },
    Scenario {
        name: "pacemaker::planned_move_with_mac",
        agents: OURS,
        run: moves::planned_move_with_mac,
    },
    Scenario {
        name: "pacemaker::planned_move_with_macvlan",
        agents: OURS,
        run: moves::planned_move_with_macvlan,
    },
    Scenario {
        name: "pacemaker::node_crash_with_mac",
        agents: OURS,
        run: moves::node_crash_with_mac,
    },
    Scenario { name: "pacemaker::mutual_takeover", agents: OURS, run: mutual::pacemaker },
    Scenario { name: "pacemaker::connection_reset", agents: BOTH, run: connections::reset },
    Scenario { name: "pacemaker::address_deleted", agents: BOTH, run: faults::address_deleted },
    Scenario {
        name: "pacemaker::watched_address_deleted",
        agents: BOTH,
        run: watching::address_deleted,
    },
    Scenario { name: "pacemaker::watched_cable_pulled", agents: BOTH, run: watching::cable_pulled },
    Scenario {
        name: "pacemaker::watched_web_server_killed",
        agents: BOTH,
        run: watching::web_killed,
    },
    Scenario {
        name: "pacemaker::watched_web_server_stopped",
        agents: BOTH,
        run: watching::web_stopped,
    },
    Scenario { name: "pacemaker::watched_unmounted", agents: BOTH, run: watching::unmounted },
    Scenario { name: "pacemaker::watched_read_only", agents: BOTH, run: watching::read_only },
    Scenario { name: "pacemaker::cable_cut", agents: BOTH, run: faults::cable_cut },
    Scenario {
        name: "pacemaker::stop_with_interface_down",
        agents: BOTH,
        run: faults::stop_with_interface_down,
    },
    Scenario { name: "pacemaker::foreign_owner", agents: BOTH, run: faults::foreign_owner },
    Scenario { name: "pacemaker::hundred_addresses", agents: BOTH, run: crowd::hundred_addresses },
    Scenario { name: "pacemaker::promotion", agents: BOTH, run: promotion::promotion },
    Scenario {
        name: "pacemaker::gateway_out_of_reach",
        agents: BOTH,
        run: reachability::gateway_out_of_reach,
    },
    Scenario { name: "pacemaker::link_attribute", agents: OURS, run: reachability::link_attribute },
    Scenario { name: "pacemaker::web_server_killed", agents: BOTH, run: services::killed },
    Scenario {
        name: "pacemaker::web_main_process_killed",
        agents: BOTH,
        run: services::main_killed,
    },
    Scenario { name: "pacemaker::web_server_hung", agents: BOTH, run: services::hung },
    Scenario { name: "pacemaker::web_port_taken", agents: BOTH, run: services::port_taken },
    Scenario {
        name: "pacemaker::web_configuration_broken",
        agents: BOTH,
        run: services::configuration_broken,
    },
    Scenario { name: "pacemaker::web_disk_full", agents: BOTH, run: services::disk_full },
    Scenario { name: "pacemaker::web_planned_move", agents: BOTH, run: services::planned_move },
    Scenario { name: "pacemaker::web_node_crash", agents: BOTH, run: services::node_crash },
    Scenario {
        name: "pacemaker::storage_planned_moves",
        agents: BOTH,
        run: storage::planned_moves,
    },
    Scenario { name: "pacemaker::storage_node_crash", agents: BOTH, run: storage::node_crash },
    Scenario { name: "pacemaker::storage_busy", agents: BOTH, run: storage::busy },
    Scenario { name: "pacemaker::storage_second_mount", agents: OURS, run: storage::second_mount },
    Scenario {
        name: "pacemaker::planned_move_in_place",
        agents: OURS,
        run: moves::planned_move_in_place,
    },
    Scenario {
        name: "pacemaker::node_crash_in_place",
        agents: OURS,
        run: moves::node_crash_in_place,
    },
    Scenario { name: "pacemaker::three_nodes", agents: BOTH, run: moves::three_nodes },
    Scenario { name: "haresources::status", agents: BOTH, run: haresources::status },
    Scenario { name: "haresources::give_back", agents: SHELL_FIRST, run: haresources::give_back },
    Scenario { name: "haresources::node_crash", agents: BOTH, run: haresources::node_crash },
    Scenario { name: "haresources::website", agents: OURS, run: haresources::website },
    Scenario { name: "haresources::application", agents: BOTH, run: haresources::application },
    Scenario { name: "haresources::queue", agents: OURS, run: haresources::queue },
    Scenario { name: "haresources::storage", agents: BOTH, run: storage::heartbeat },
    Scenario { name: "haresources::mutual_takeover", agents: OURS, run: mutual::heartbeat },
];
