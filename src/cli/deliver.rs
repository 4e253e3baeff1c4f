//! `ocfbox deliver`: the process that an agent leaves behind to hand a mail over.

#![forbid(unsafe_code)]

use std::io::Read;
use std::time::Duration;

use crate::environment::Environment;
use crate::error::{Doing, Error, Result};
use crate::host::detached;
use crate::log::Log;
use crate::mail::smtp::Envelope;
use crate::mail::{Route, deliver, longest};
use crate::param::Value;
use crate::param::values::{Mailbox, Relay};

/// Longest mail that an agent writes, in bytes.
const LONGEST: u64 = 1024 * 1024;

#[derive(Debug, clap::Args)]
pub(super) struct Words {
    /// The agent whose mail it is, for the log
    #[arg(long)]
    agent: String,
    /// The resource whose mail it is, for the log
    #[arg(long)]
    instance: String,
    /// How long each step may take, in milliseconds
    #[arg(long)]
    timeout: u64,
    /// Whose mail it is
    #[arg(long)]
    from: Mailbox,
    /// The mail server that takes it; without it, sendmail
    #[arg(long, value_parser = relay)]
    relay: Option<Relay>,
    /// Who gets it
    #[arg(required = true)]
    to: Vec<Mailbox>,
}

fn relay(word: &str) -> Result<Relay, String> {
    Relay::parse(word.as_ref())
}

/// Reads the mail from stdin, and hands it over.
pub(super) fn run(words: &Words) -> Result<()> {
    let timeout = Duration::from_millis(words.timeout);
    detached::settle();
    detached::end_after(longest(timeout));
    let mut text = String::new();
    std::io::stdin().take(LONGEST).read_to_string(&mut text).doing(|| "read the mail")?;
    let environment = Environment::of_process();
    let log = Log::new(&environment, &words.agent, &words.instance);
    if text.is_empty() {
        // The agent was killed before it could write.
        return Err(Error::Failed("there is no mail".to_owned()));
    }
    let host = nix::unistd::gethostname().doing(|| "read the host name")?;
    let envelope = Envelope { host: &host.to_string_lossy(), from: &words.from, to: &words.to };
    let route = words.relay.clone().map_or(Route::Sendmail, Route::Relay);
    deliver(&route, &envelope, &text, timeout, &environment, &log)
}
