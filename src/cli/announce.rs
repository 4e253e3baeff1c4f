//! `ocfbox announce`: the process that start leaves behind for the announcements after the first.

#![forbid(unsafe_code)]

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::environment::Environment;
use crate::error::Result;
use crate::host::announce::{self, Announcement};
use crate::host::arp::{self, Mac};
use crate::host::detached;
use crate::host::packet::PacketSocket;
use crate::log::Log;
use crate::state::StateFile;

#[derive(Debug, clap::Args)]
pub(super) struct Words {
    /// The address
    ip: IpAddr,
    /// Number of its interface
    index: u32,
    /// How many announcements, the first one included
    count: u32,
    /// Pause between two of them, in milliseconds
    interval: u64,
    /// File that tells monitor of another host that claims the address
    record: Option<PathBuf>,
}

pub(super) fn run(words: &Words) -> Result<()> {
    detached::settle();
    let announcement = Announcement {
        ip: words.ip,
        index: words.index,
        count: words.count,
        interval: Duration::from_millis(words.interval),
    };
    let socket = match PacketSocket::inherited() {
        Some(socket) => socket,
        None => announce::socket(words.index, words.ip)?,
    };
    announcement.rest(&socket, &mut |mac| tell(words, mac))
}

/// Two hosts have the address: an administrator reads it now, and the cluster hears it from the next monitor.
fn tell(words: &Words, other: Mac) {
    let environment = Environment::of_process();
    let log = Log::new(&environment, "ocfbox", &words.ip.to_string());
    let other = arp::text(&other);
    log.warn(&format!(
        "another host has {} too: {other} claims it; end it on one of them",
        words.ip
    ));
    if let Some(path) = &words.record
        && let Err(error) = StateFile::at(path).write(&other)
    {
        log.warn(&error.to_string());
    }
}
