//! `ocfbox probe`: what the agents' probes would find, for a person.

#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::time::Duration;

use super::print;
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::probe::outcome::{Marks, short};
use crate::probe::protocol::{self, Protocol};
use crate::probe::{self, Failure, Looks, Report, Url, option};

/// Nobody waits longer at a console; each probe has its own, shorter time.
const PATIENCE: Duration = Duration::from_hours(2);

#[derive(Debug, clap::Args)]
#[command(
    after_help = "For example: ocfbox probe http://127.0.0.1:8080/health 'redis://127.0.0.1#timeout=1s'"
)]
pub(super) struct Words {
    /// What to ask, a URL each
    #[arg(required_unless_present = "list", value_name = "URL")]
    urls: Vec<Url>,
    /// List the protocols and the options
    #[arg(long)]
    list: bool,
}

/// Makes the probes and prints what each found.
pub(super) fn run(words: &Words) -> Result<()> {
    if words.list {
        return print(&listed());
    }
    let found: Vec<_> = words
        .urls
        .chunks(probe::MOST_PROBES)
        .flat_map(|urls| probe::run(urls, Looks::Once, &Deadline::after(PATIENCE)))
        .collect();
    let told = words.urls.iter().zip(&found).map(|(url, outcome)| told(url, outcome));
    print(&told.collect::<String>())?;
    match found.iter().filter(|outcome| outcome.is_err()).count() {
        0 => Ok(()),
        failed => Err(Error::Failed(format!("{failed} of {} probes failed", found.len()))),
    }
}

fn told(url: &Url, outcome: &Result<Report, Failure>) -> String {
    let mut text = match outcome {
        Ok(Report { said, took, marks }) => {
            format!("{url}: alive: {said}\n{}", times(marks, *took))
        }
        Err(Failure { phase, took, why, marks, .. }) => {
            format!("{url}: failed at {phase}: {why}\n{}", times(marks, *took))
        }
    };
    if url.is_insecure() {
        text.push_str(
            "  insecure: its certificate was not looked at; anybody could answer in its place\n",
        );
    }
    text
}

fn times(marks: &Marks, took: Duration) -> String {
    let mut text = String::from("  ");
    for (phase, when) in marks {
        // A String takes everything.
        let _ = write!(text, "{phase} {}, ", short(*when));
    }
    text + &format!("end {}\n", short(took))
}

fn listed() -> String {
    let mut text =
        String::from("A probe is scheme://user@host:port/path?query#option=value&option=value\n");
    for protocol in protocol::ALL {
        let Protocol { scheme, port, asks, alive, failed, .. } = protocol;
        let port = port.map(|port| format!(", port {port}")).unwrap_or_default();
        let options = protocol.allowed().join(" ");
        let _ = write!(
            text,
            "\n{scheme}{port}\n  asks:    {asks}\n  alive:   {alive}\n  failed:  {failed}; or no such answer\n  options: {options}\n"
        );
    }
    text.push_str("\nOptions\n");
    for (name, meaning) in option::ALL {
        let _ = writeln!(text, "  {name:12} {meaning}");
    }
    text
}
