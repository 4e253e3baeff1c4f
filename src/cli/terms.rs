//! What every helper of an action is told: who started it, and how long that waits.

#![forbid(unsafe_code)]

use std::time::Duration;

use crate::host::helper::Terms;

#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Starter {
    /// The number of the process that started it
    #[arg(long)]
    starter: i32,
    /// How long that waits, in milliseconds
    #[arg(long)]
    limit: u64,
}

impl Starter {
    pub(super) fn terms(self) -> Terms {
        Terms { starter: self.starter, limit: Duration::from_millis(self.limit) }
    }
}
