//! `ocfbox announce`: the process that start leaves behind for the announcements after the first.

#![forbid(unsafe_code)]

use std::net::IpAddr;
use std::time::Duration;

use crate::error::Result;
use crate::host::announce::Announcement;

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
}

pub(super) fn run(words: &Words) -> Result<()> {
    // Whoever ends the process group of the action that started us does not mean us; a leader of its own group
    // already is out of it.
    let _ = nix::unistd::setsid();
    close_inherited();
    let announcement = Announcement {
        ip: words.ip,
        index: words.index,
        count: words.count,
        interval: Duration::from_millis(words.interval),
    };
    announcement.rest()
}

/// Closes what a caller left open by mistake, for whom it would stay open as long as we run.
fn close_inherited() {
    let numbers: Vec<i32> = std::fs::read_dir("/proc/self/fd")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    for number in numbers.into_iter().filter(|number| *number > 2) {
        let _ = nix::unistd::close(number);
    }
}
