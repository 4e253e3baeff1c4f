//! A queue manager of IBM MQ, driven by the product's own commands.
//!
//! Two witnesses are heard. `dspmq` says what state the queue manager is in; its processes, known by name and words, say
//! whether anything of it is on this host. Only both together say that it runs, and only the second one says that it
//! does not: the product may be on a file system that is gone, or a status may be left of a crash.
//!
//! The product could not be had for the tests, which play its documented behaviour with a stand-in.

#![forbid(unsafe_code)]

mod envfile;
mod examine;
mod exchange;
mod family;
mod message;
mod product;
mod refusal;
mod start;
mod status;
mod stop;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::agent::{Cx, Status};
use crate::error::Result;
use crate::host::process;
use crate::service::MARK;
use crate::state::Lock;

/// A queue manager and how it is to be.
#[derive(Clone, Debug)]
pub struct QueueManager {
    /// The agent whose resource it is.
    pub agent: &'static str,
    /// Its name.
    pub name: String,
    /// Whom all commands run as.
    pub user: String,
    /// Where the product is; its `bin` comes first on the path.
    pub installation: Option<PathBuf>,
    /// A file with variables for all commands.
    pub environment_file: Option<PathBuf>,
    /// Further words for `strmqm`.
    pub start_options: Vec<OsString>,
    /// Limits of all commands, and so of the queue manager: name, soft, hard. Without one, as many open files and
    /// processes as the product wants at least.
    pub limits: Vec<(String, u64, u64)>,
    /// How long each way to end may take; none is skipped only if it is zero.
    pub patience: Patience,
    /// What monitor looks at besides.
    pub checks: Checks,
}

/// How long each way to end may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Applications are let go on until they disconnect.
    pub controlled: Duration,
    /// Calls that are under way end.
    pub immediate: Duration,
    /// Nobody is waited for.
    pub preemptive: Duration,
}

/// What monitor looks at besides.
#[derive(Clone, Debug)]
pub struct Checks {
    /// Whether there has to be a command server.
    pub command_server: bool,
    /// Whether there has to be a listener.
    pub listener: bool,
    /// The queue of level 20.
    pub queue: Option<String>,
    /// A program of the administrator's; empty for none.
    pub program: Vec<OsString>,
}

impl QueueManager {
    /// Whether it works; see [`crate::agent::Agent::monitor`].
    ///
    /// # Errors
    /// It does not, although something of it is there.
    pub fn monitor(&self, cx: &Cx<'_>) -> Result<Status> {
        examine::monitor(self, cx)
    }

    /// Starts it and waits until it works, or leaves nothing of it behind.
    ///
    /// # Errors
    /// It does not work.
    pub fn start(&self, cx: &Cx<'_>) -> Result<()> {
        start::start(self, cx)
    }

    /// Ends it with all its processes.
    ///
    /// # Errors
    /// Something of it is left.
    pub fn stop(&self, cx: &Cx<'_>) -> Result<()> {
        stop::stop(self, cx)
    }

    /// Looks whether it could be started here.
    ///
    /// # Errors
    /// It could not.
    pub fn validate(&self, cx: &Cx<'_>) -> Result<()> {
        let product = product::Product::strictly(self, cx)?;
        product.require("dspmq")?;
        product.require("strmqm")
    }

    fn label(&self, cx: &Cx<'_>) -> String {
        format!("{}-{}", self.agent, cx.instance)
    }

    fn lock(&self, cx: &Cx<'_>) -> Result<Option<Lock>> {
        cx.state.lock(&self.label(cx), &cx.deadline)
    }

    /// What marks every command that is run for this resource, here and until the next boot.
    fn mark(&self, cx: &Cx<'_>) -> Result<String> {
        let (boot, namespace) = (process::boot()?, process::namespace());
        Ok(format!("{MARK}={}:{}:{boot}:{namespace}", self.agent, cx.instance))
    }
}
