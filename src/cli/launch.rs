//! `ocfbox launch`: what an agent runs between itself and the program that it starts.

#![forbid(unsafe_code)]

use crate::error::{Error, Result};
use crate::host::launcher;

pub(super) fn run() -> Result<()> {
    launcher::run();
    Err(Error::Failed("launch is for the agents, which tell it what to run".to_owned()))
}
