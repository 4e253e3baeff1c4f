//! `ocfbox attach`: the process in which start opens a device, looks at it and mounts it.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::path::PathBuf;

use super::terms;
use crate::action::Action;
use crate::agent::Cx;
use crate::deadline::Deadline;
use crate::environment::Environment;
use crate::filesystem::{Check, Ending, Filesystem};
use crate::host::helper;
use crate::host::mount::Options;
use crate::host::mount::device::Source;
use crate::log::Log;
use crate::state::StateDirectory;

#[derive(Debug, clap::Args)]
pub(super) struct Words {
    #[command(flatten)]
    terms: terms::Starter,
    /// What is mounted
    #[arg(long)]
    source: OsString,
    /// The type of the file system
    #[arg(long)]
    kind: Option<String>,
    /// Mount options, each by itself
    #[arg(long)]
    option: Vec<OsString>,
    /// Whether it is checked before
    #[arg(long)]
    check: Check,
    /// Allow the device to be mounted elsewhere
    #[arg(long)]
    shared_device: bool,
    /// Where
    point: PathBuf,
}

pub(super) fn run(words: Words) -> u8 {
    let terms = words.terms.terms();
    helper::begin("mount", terms);
    let environment = Environment::of_process();
    let log = Log::new(&environment, "ocfbox", "attach");
    let cx = Cx {
        action: Action::Start,
        instance: String::new(),
        level: 0,
        interval_ms: 0,
        second_look: false,
        environment: &environment,
        deadline: Deadline::after(terms.limit),
        log: &log,
        state: StateDirectory::new(environment.state_directory()),
    };
    let source = Source::parse(&words.source);
    let options = match Options::of(words.option) {
        Ok(options) => options,
        Err(why) => return helper::told(Err(crate::error::Error::Failed(why))),
    };
    let filesystem = Filesystem {
        agent: "ocfbox",
        source: &source,
        directory: &words.point,
        kind: words.kind.as_deref(),
        options: &options,
        status_prefix: "".as_ref(),
        check: words.check,
        force_clones: false,
        shared_device: words.shared_device,
        ending: Ending::default(),
    };
    helper::told(filesystem.attach(&words.point, &cx))
}
