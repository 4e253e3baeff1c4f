//! `ocfbox notify`: the process by which a watcher tells of a failure by mail.
//!
//! A stop ends the watcher with its children; the processes that hand the mails over are children of this one, which does
//! not wait for them.

#![forbid(unsafe_code)]

use crate::action::Action;
use crate::environment::Environment;
use crate::log::Log;
use crate::mail::{Notice, Subscription};
use crate::state::StateDirectory;

#[derive(Debug, clap::Args)]
pub(super) struct Words {
    /// The agent of the resource, for the log
    #[arg(long)]
    agent: String,
    /// The resource
    #[arg(long)]
    instance: String,
    /// Why it failed, and what is done about it
    reason: String,
}

/// Tells all who want to hear of it.
pub(super) fn run(words: &Words) {
    let environment = Environment::of_process();
    let log = Log::new(&environment, &words.agent, &words.instance);
    let notice = Notice {
        action: Action::Monitor,
        instance: &words.instance,
        subject: "",
        reason: Some(&words.reason),
        environment: &environment,
    };
    for subscription in Subscription::all(&StateDirectory::new(environment.state_directory())) {
        if let Err(error) = subscription.tell(&notice) {
            log.warn(&format!("no mail is sent: {error}"));
        }
    }
}
