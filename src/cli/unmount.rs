//! `ocfbox unmount`: the process in which stop lets the kernel unmount.

#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::time::Duration;

use crate::host::detached;
use crate::host::mount::unmount::{Manner, as_helper};

#[derive(Debug, clap::Args)]
pub(super) struct Words {
    /// Let a network file system give up what its server does not answer
    #[arg(long)]
    force: bool,
    /// Give up after that many seconds
    #[arg(long)]
    at_most: Option<u64>,
    /// The number of the mount
    #[arg(long)]
    id: u32,
    /// A process in whose mount namespace it is
    #[arg(long)]
    namespace_of: Option<i32>,
    /// The mount point above it that is cut off from those that share with it
    #[arg(long)]
    apart: Option<PathBuf>,
    /// Where it is
    point: PathBuf,
}

/// Does it; the kernel's answer.
pub(super) fn run(words: &Words) -> u8 {
    if let Some(seconds) = words.at_most {
        detached::end_after(Duration::from_secs(seconds));
    }
    let manner = Manner { force: words.force };
    as_helper(&words.point, words.id, words.namespace_of, words.apart.as_deref(), manner)
}
