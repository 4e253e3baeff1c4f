//! `ocfbox watch`: tells of a resource's failure when it happens.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::process::ExitCode;

use super::agent::set;
use super::known;
use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::log::{Log, local_time};
use crate::runtime;
use crate::watch::WATCHER;
use crate::watch::watcher::Watcher;

#[derive(Debug, clap::Args)]
#[command(after_help = "For example: ocfbox watch IPaddr2 ip=192.0.2.10
It prints what it sees, and ends with exit code 1 when the resource has failed.")]
pub(super) struct Words {
    /// The agent, as `list` shows it
    agent: String,
    /// Its parameters
    #[arg(value_name = "PARAMETER=VALUE")]
    parameters: Vec<OsString>,
    /// Be the process that start leaves behind; the parameters are in the environment
    #[arg(long, hide = true)]
    behind: bool,
}

pub(super) fn run(words: &Words) -> Result<ExitCode> {
    let entry = known(&words.agent)?;
    let name = entry.described.agent.name;
    if !entry.described.watched {
        return Err(Error::Failed(format!("{name} has nothing that can be watched")));
    }
    let mut environment = Environment::of_process();
    environment.set(WATCHER, std::process::id().to_string());
    if !words.behind {
        for word in &words.parameters {
            set(entry, word, &mut environment).map_err(Error::Failed)?;
        }
    }
    let instance = runtime::instance(&environment)?;
    let log = Log::new(&environment, name, &instance);
    let say: fn(&str) = if words.behind { |_| () } else { say };
    let ran = Watcher::new(entry, &environment, instance, &log, words.behind, say)
        .and_then(|watcher| watcher.run());
    if let (Err(error), true) = (&ran, words.behind) {
        log.failure(&format!("{error}; nothing watches the resource"));
    }
    Ok(ExitCode::from(ran?.number()))
}

/// A line for a person, with the time.
fn say(words: &str) {
    let line = format!("{} {words}\n", local_time().strftime("%H:%M:%S%.3f"));
    // A reader that went away wants nothing more.
    let _ = super::print(&line);
}
