//! The command line: who calls, and what for.
//!
//! A cluster's call is told by the name of the symlink and never reaches clap.

#![forbid(unsafe_code)]

mod agent;
mod announce;
mod attach;
mod connections;
mod deliver;
mod demo;
mod generate;
mod install;
mod launch;
mod notify;
mod probe;
mod terms;
mod touch;
mod unmount;
mod watch;

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::agents;
use crate::error::{Error, OcfCode, Result, one_line};
use crate::render::describe::{Paint, describe};

/// The OCF resource agents in one binary.
#[derive(Debug, Parser)]
#[command(name = "ocfbox", version, about, max_term_width = 100, after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

const AFTER_HELP: &str = "An agent is run by hand as: ocfbox AGENT ACTION [parameter=value ...]
For example: ocfbox IPaddr2 monitor ip=192.0.2.10";

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the agents
    List,
    /// Explain an agent and its parameters
    Describe {
        /// The agent, as `list` shows it
        agent: String,
    },
    /// Print or write what is derived from the agents' declarations
    Generate {
        #[command(subcommand)]
        what: generate::What,
    },
    /// Put the binary, the agents' links, manual pages and completions in place
    Install(install::Words),
    /// Take back all that install put or replaced
    Uninstall(install::Common),
    /// Ask servers whether they are alive, each in its own protocol
    Probe(probe::Words),
    /// Tell of a resource's failure when it happens
    Watch(watch::Words),
    /// Show a takeover on this machine, in throw-away namespaces
    Demo,
    /// Be a part of the demonstration (demo runs this by itself)
    #[command(hide = true)]
    DemoPart(demo::Words),
    /// Send the announcements of an address after the first one (start runs this by itself)
    #[command(hide = true)]
    Announce(announce::Words),
    /// Hand over a mail that stands on stdin (an agent runs this by itself)
    #[command(hide = true)]
    Deliver(deliver::Words),
    /// Tell of a failure by mail (a watcher runs this by itself)
    #[command(hide = true)]
    Notify(notify::Words),
    /// Keep a list of connections, or tickle those of one (start, stop and monitor run this by themselves)
    #[command(hide = true)]
    Connections {
        #[command(subcommand)]
        work: connections::Work,
    },
    /// Become the program that an agent starts (start runs this by itself)
    #[command(hide = true)]
    Launch,
    /// Mount a file system and wait for the kernel (start runs this by itself)
    #[command(hide = true)]
    Attach(attach::Words),
    /// Find out whether storage answers (monitor runs this by itself)
    #[command(hide = true)]
    Touch(touch::Words),
    /// Unmount one mount and wait for the kernel (stop runs this by itself)
    #[command(hide = true)]
    Unmount(unmount::Words),
    /// Run an agent
    #[command(external_subcommand)]
    Agent(Vec<OsString>),
}

/// Does what the words of the command line say.
#[must_use]
pub fn main(words: Vec<OsString>) -> ExitCode {
    std::panic::set_hook(Box::new(internal_error));
    let called = words.first().map_or_else(PathBuf::new, PathBuf::from);
    let name = called.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if let Some(entry) = agents::find(&name) {
        return agent::called_by_cluster(entry, &called, words.get(1..).unwrap_or_default());
    }
    match Arguments::parse_from(words).verb {
        Verb::Agent(words) => agent::called_by_person(&words),
        Verb::Demo => demo::run(),
        Verb::Watch(words) => watch::run(&words).unwrap_or_else(|error| finished(Err(error))),
        Verb::Attach(words) => ExitCode::from(attach::run(words)),
        Verb::Touch(words) => ExitCode::from(touch::run(words)),
        Verb::Unmount(words) => ExitCode::from(unmount::run(&words)),
        verb => finished(perform(verb)),
    }
}

/// A cluster manager understands an exit code and a reason, and no abort.
fn internal_error(panic: &std::panic::PanicHookInfo<'_>) {
    let message = one_line(&panic.to_string(), 180);
    // Nobody can be told if stderr is gone.
    let _ = writeln!(std::io::stderr(), "ocf-exit-reason:ocfbox {message}; please report it");
    std::process::exit(i32::from(OcfCode::Failed.number()));
}

fn perform(verb: Verb) -> Result<()> {
    match verb {
        Verb::List => list(),
        Verb::Describe { agent } => explain(&agent),
        Verb::Generate { what } => generate::run(&what),
        Verb::Install(words) => install::run(&words),
        Verb::Uninstall(words) => install::undo(&words),
        Verb::Announce(words) => announce::run(&words),
        Verb::Deliver(words) => deliver::run(&words),
        Verb::Notify(words) => {
            notify::run(&words);
            Ok(())
        }
        Verb::Connections { work } => {
            connections::run(&work);
            Ok(())
        }
        Verb::Launch => launch::run(),
        Verb::DemoPart(words) => demo::run_part(&words),
        Verb::Probe(words) => probe::run(&words),
        // These answer with a code of their own, in main.
        Verb::Agent(_)
        | Verb::Demo
        | Verb::Attach(_)
        | Verb::Touch(_)
        | Verb::Unmount(_)
        | Verb::Watch(_) => Ok(()),
    }
}

fn finished(done: Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody can be told if stderr is gone.
            let _ = writeln!(std::io::stderr(), "ocfbox: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes to stdout; a reader that went away wants nothing more.
pub(crate) fn print(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::Failed(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// Whether to set words off by colour: on a terminal, unless `NO_COLOR` is set.
pub(crate) fn paint() -> Paint {
    Paint::new(colour())
}

fn colour() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stdout().is_terminal() && !refused
}

fn list() -> Result<()> {
    let width = agents::ALL.iter().map(|entry| entry.described.agent.name.len()).max().unwrap_or(0);
    let rows = agents::ALL.iter().map(|entry| {
        let agent = &entry.described.agent;
        format!("{:width$}  {}\n", agent.name, agent.short)
    });
    print(&rows.collect::<String>())
}

fn explain(name: &str) -> Result<()> {
    print(&describe(&known(name)?.described, paint(), 100))
}

/// The agent of that name.
pub(crate) fn known(name: &str) -> Result<&'static crate::agent::Entry> {
    agents::find(name).ok_or_else(|| {
        let names: Vec<&str> = agents::ALL.iter().map(|entry| entry.described.agent.name).collect();
        Error::Failed(format!("there is no agent {name:?}; there are {}", names.join(", ")))
    })
}

/// Whether `called` is a link of Heartbeat's: `/etc/ha.d/resource.d/<Agent>`.
fn is_haresources_link(called: &Path) -> bool {
    called.parent().is_some_and(|directory| directory.ends_with("ha.d/resource.d"))
}
