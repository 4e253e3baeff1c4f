//! `ocfbox connections`: the processes that read and write lists of connections, on storage that may not answer.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::connections::work;
use crate::environment::Environment;
use crate::host::detached;
use crate::log::Log;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Work {
    /// Replace the list by what stands on standard input
    Save {
        #[command(flatten)]
        list: List,
        /// The directory of state files
        state: PathBuf,
        /// A program that copies the list to other nodes, with its arguments
        #[arg(allow_hyphen_values = true, trailing_var_arg = true)]
        copy: Vec<String>,
    },
    /// Run the program that copies the list to other nodes
    Copy {
        #[command(flatten)]
        list: List,
        /// The directory of state files
        state: PathBuf,
        /// The program and its arguments
        #[arg(allow_hyphen_values = true, trailing_var_arg = true, required = true)]
        copy: Vec<String>,
    },
    /// Tickle the connections on the list
    Tickle {
        #[command(flatten)]
        list: List,
        /// Number of the interface of a link-local address
        index: u32,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct List {
    /// The directory of lists
    directory: OsString,
    /// The address
    ip: IpAddr,
}

pub(super) fn run(work: &Work) {
    detached::settle();
    let environment = Environment::of_process();
    let (Work::Save { list, .. } | Work::Copy { list, .. } | Work::Tickle { list, .. }) = work;
    let log = Log::new(&environment, "ocfbox", "connections");
    let path = PathBuf::from(&list.directory).join(list.ip.to_string());
    let job = work::Job { environment: &environment, log: &log, path: &path, ip: list.ip };
    let done = match work {
        Work::Save { list, state, copy } => {
            let next = Work::words("copy", list, state, copy);
            work::save(&job, state, (!copy.is_empty()).then_some(next.as_slice()))
        }
        Work::Copy { state, copy, .. } => work::copy(&job, state, copy),
        Work::Tickle { index, .. } => work::tickle(&job, *index),
    };
    if let Err(error) = done {
        log.warn(&error.to_string());
    }
}

impl Work {
    fn words(what: &str, list: &List, state: &Path, copy: &[String]) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec!["connections".into(), what.into()];
        words.extend([list.directory.clone(), list.ip.to_string().into(), state.into()]);
        words.extend(copy.iter().map(OsString::from));
        words
    }
}
