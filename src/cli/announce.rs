//! `ocfbox announce`: the process that start leaves behind for the announcements after the first.

#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::time::Duration;

use crate::environment::Environment;
use crate::error::Result;
use crate::host::announce::{self, Announcement, Subject};
use crate::host::arp::{self, Mac};
use crate::host::detached;
use crate::host::packet::PacketSocket;
use crate::log::Log;
use crate::state::StateFile;

#[derive(Debug, clap::Args)]
pub(super) struct Words {
    /// The IP or hardware address
    subject: Subject,
    /// Number of its interface
    index: u32,
    /// How many announcements, the first one included
    count: u32,
    /// Pause between two of them, in milliseconds
    interval: u64,
    /// The file that is there as long as to announce; without it, as long as the interface has the address
    #[arg(long)]
    marker: Option<PathBuf>,
    /// File that tells monitor of another host that claims the address
    #[arg(long)]
    record: Option<PathBuf>,
}

pub(super) fn run(words: &Words) -> Result<()> {
    detached::settle();
    let announcement = Announcement {
        subject: words.subject,
        index: words.index,
        count: words.count,
        interval: Duration::from_millis(words.interval),
        marker: words.marker.as_deref().map(StateFile::at),
        record: words.record.as_deref().map(StateFile::at),
    };
    let socket = match PacketSocket::inherited() {
        Some(socket) => socket,
        None => announce::socket(words.index, words.subject)?,
    };
    announcement.rest(&socket, &mut |mac| tell(&announcement, mac))
}

/// Two hosts have the address: an administrator reads it now.
fn tell(announcement: &Announcement, other: Mac) {
    let environment = Environment::of_process();
    let ip = announcement.subject;
    let log = Log::new(&environment, "ocfbox", &ip.to_string());
    let other = arp::text(&other);
    log.warn(&format!("another host has {ip} too: {other} claims it; end it on one of them"));
}
