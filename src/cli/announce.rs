//! `ocfbox announce`: the process that start leaves behind for the announcements after the first.

#![forbid(unsafe_code)]

use std::time::Duration;

use crate::error::Result;
use crate::host::announce::{Announcement, Subject};
use crate::host::detached;

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
}

pub(super) fn run(words: &Words) -> Result<()> {
    detached::settle();
    let announcement = Announcement {
        subject: words.subject,
        index: words.index,
        count: words.count,
        interval: Duration::from_millis(words.interval),
    };
    announcement.rest()
}
