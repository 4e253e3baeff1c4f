//! `ocfbox demo`: a takeover, shown.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use crate::demo::{self, Part};
use crate::error::{Error, Result};

#[derive(Debug, clap::Args)]
pub(super) struct Words {
    /// The part
    part: String,
}

/// Shows it; the exit code is whether all went as it must.
pub(super) fn run() -> ExitCode {
    demo::run(super::colour()).unwrap_or_else(|error| super::finished(Err(error)))
}

/// Is a part of it.
pub(super) fn run_part(words: &Words) -> Result<()> {
    let part = Part::of(&words.part);
    demo::run_part(part.ok_or_else(|| Error::Failed(format!("there is no part {:?}", words.part)))?)
}
