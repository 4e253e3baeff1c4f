//! The connections of an address, kept for the node that has it next.
//!
//! While a node has the address, it writes its established connections to a directory that all nodes see. The node that
//! takes the address over reads them there and tickles the clients, which are then reset at once instead of waiting for
//! answers of a server that is no more (the `tickle_dir` of the shell agents, whose form of the list this is).
//!
//! The directory is on shared storage, which may not answer for hours. No action touches it: processes of their own do, for
//! which an action waits two seconds at most. Of those that write there is at most one for each list, and those that read
//! give up after a minute.

#![forbid(unsafe_code)]

mod file;
mod table;
pub mod work;

use std::ffi::OsString;
use std::io::{self, Seek, Write};
use std::net::IpAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::agent::Cx;
use crate::error::{Doing, Result};
use crate::host::detached::{self, Worker};
use crate::host::sockets;

/// How long an action waits for the list to be written.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// Where the connections of an address are kept.
#[derive(Clone, Copy, Debug)]
pub struct List<'a> {
    /// The directory.
    pub directory: &'a Path,
    /// The address.
    pub ip: IpAddr,
    /// A program that copies the list to other nodes, and its arguments; none where the directory is shared.
    pub copy: &'a [String],
}

impl List<'_> {
    /// Writes down which connections there are now. What goes wrong is told in the log: no resource should fail for it.
    pub fn save(&self, cx: &Cx<'_>) {
        match self.begin_to_save(cx) {
            Ok(mut worker) => {
                // It tells by itself if it takes longer.
                worker.ended_within(PATIENCE.min(cx.deadline.left() / 4));
            }
            Err(error) => cx.log.warn(&error.to_string()),
        }
    }

    fn begin_to_save(&self, cx: &Cx<'_>) -> Result<Worker> {
        let connections = sockets::established(self.ip, &cx.deadline)?;
        let text = table::written(&connections);
        let mut words = self.words("save");
        words.push(cx.state.path().into());
        words.extend(self.copy.iter().map(OsString::from));
        let begin = || detached::leave_behind_with_log(&words, cx.log, in_memory(&text)?);
        begin().doing(|| format!("start the process that keeps the connections of {}", self.ip))
    }

    /// Leaves the connections that another node wrote down to a process that tickles them. `index` is the number of the
    /// interface of a link-local address.
    pub fn tickle(&self, index: u32, cx: &Cx<'_>) {
        let mut words = self.words("tickle");
        words.push(index.to_string().into());
        let begun = detached::leave_behind_with_log(&words, cx.log, Stdio::null());
        let begun =
            begun.doing(|| format!("start the process that tickles clients of {}", self.ip));
        if let Err(error) = begun {
            cx.log.warn(&error.to_string());
        }
    }

    fn words(&self, work: &str) -> Vec<OsString> {
        let ip = self.ip.to_string().into();
        vec!["connections".into(), work.into(), self.directory.into(), ip]
    }
}

/// A text as the standard input of a process, whatever its length.
fn in_memory(text: &str) -> io::Result<Stdio> {
    let descriptor = memfd_create(c"connections", MFdFlags::MFD_CLOEXEC)?;
    let mut file = std::fs::File::from(descriptor);
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file.into())
}
