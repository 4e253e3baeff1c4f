//! The one binary: its name decides which agent it is.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    ocfbox::cli::main(std::env::args_os().collect())
}
