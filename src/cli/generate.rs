//! `ocfbox generate`: what is derived from the declarations.

#![forbid(unsafe_code)]

use clap::{CommandFactory, Subcommand};
use clap_complete::Shell;

use super::{Arguments, known, print};
use crate::agents;
use crate::error::Result;
use crate::render::xml::{Form, metadata};
use crate::render::{completion, man, table};

#[derive(Debug, Subcommand)]
pub(super) enum What {
    /// The manual page of an agent, or of ocfbox itself
    Man {
        /// The agent; without it, the page ocfbox(8)
        agent: Option<String>,
    },
    /// The meta-data of an agent
    Metadata {
        /// The agent
        agent: String,
        /// In the form of OCF 1.1
        #[arg(long)]
        v1_1: bool,
    },
    /// The completion for a shell
    Completion {
        /// The shell
        shell: Shell,
    },
    /// The table of agents in Markdown
    Table,
}

pub(super) fn run(what: &What) -> Result<()> {
    print(&text(what)?)
}

fn text(what: &What) -> Result<String> {
    Ok(match what {
        What::Man { agent: Some(agent) } => man::page(&known(agent)?.described),
        What::Man { agent: None } => program_page(),
        What::Metadata { agent, v1_1 } => {
            metadata(&known(agent)?.described, if *v1_1 { Form::V1_1 } else { Form::V1_0 })
        }
        What::Completion { shell } => completion_of(*shell),
        What::Table => table::agents(agents::ALL.iter().map(|entry| &entry.described)),
    })
}

/// The page ocfbox(8).
pub(crate) fn program_page() -> String {
    man::program(&Arguments::command(), agents::ALL.iter().map(|entry| &entry.described))
}

/// The completion script for a shell.
pub(crate) fn completion_of(shell: Shell) -> String {
    completion::script(
        shell,
        &Arguments::command(),
        agents::ALL.iter().map(|entry| &entry.described),
    )
}
