//! `ocfbox announce`: the process that start leaves behind for the announcements after the first.

#![forbid(unsafe_code)]

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::Result;
use crate::host::announce::Announcement;
use crate::host::detached;
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
    /// The file that is there as long as to announce; without it, as long as the interface has the address
    marker: Option<PathBuf>,
}

pub(super) fn run(words: &Words) -> Result<()> {
    detached::settle();
    let announcement = Announcement {
        ip: words.ip,
        index: words.index,
        count: words.count,
        interval: Duration::from_millis(words.interval),
        marker: words.marker.as_deref().map(StateFile::at),
    };
    announcement.rest()
}
