//! Giving a mail to a process of its own.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use super::message::Message;
use super::notice::Event;
use crate::action::Action;
use crate::agent::Cx;
use crate::environment::Environment;
use crate::error::{Doing, Error, Result};
use crate::host::{detached, program};
use crate::log::local_time;
use crate::param::values::{Mailbox, Relay};

/// The program that hands mail to the mail server of this host.
pub(super) const SENDMAIL: &str = "sendmail";

/// Who carries a mail away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// `sendmail -t` on this host.
    Sendmail,
    /// A mail server, by SMTP.
    Relay(Relay),
}

/// Who gets mails, and how.
#[derive(Clone, Debug)]
pub struct Post<'a> {
    /// The agent's name, for the log.
    pub agent: &'a str,
    /// The resource that sends them, for the log.
    pub instance: &'a str,
    /// Who gets them.
    pub to: &'a [Mailbox],
    /// Whose they are; without it, root's on this host.
    pub from: Option<&'a Mailbox>,
    /// Who carries them away.
    pub route: Route,
    /// How long each step may take.
    pub timeout: Duration,
}

/// What a mail tells.
#[derive(Clone, Copy, Debug)]
pub struct Notice<'a> {
    /// Start or stop; monitor, if the resource was found to have failed.
    pub action: Action,
    /// The resource that it tells of.
    pub instance: &'a str,
    /// Begins the subject.
    pub subject: &'a str,
    /// Why it happens, if that is known.
    pub reason: Option<&'a str>,
    /// What the caller set.
    pub environment: &'a Environment,
}

impl Post<'_> {
    /// Whether a mail could be handed over now.
    ///
    /// # Errors
    /// There is no sendmail, or the relay cannot be reached.
    pub fn check(&self, cx: &Cx<'_>) -> Result<()> {
        match &self.route {
            Route::Sendmail => expect_sendmail(cx.environment),
            Route::Relay(relay) => {
                let within = self.timeout.min(cx.deadline.left());
                let reached = super::smtp::connect(relay, within).map(drop);
                reached.map_err(|refusal| Error::Failed(refusal.why))
            }
        }
    }

    /// Tells of what happens, and does not wait until anybody has the mail.
    ///
    /// # Errors
    /// There is no sendmail, or there can be no new process.
    pub fn tell(&self, notice: &Notice<'_>) -> Result<()> {
        // A relay is asked by nobody but the process that has the time for it.
        if self.route == Route::Sendmail {
            expect_sendmail(notice.environment)?;
        }
        let host = nix::unistd::gethostname().doing(|| "read the host name")?;
        let host = host.to_string_lossy();
        let root = Mailbox::root_at(&host);
        let (from, date) = (self.from.unwrap_or(&root), local_time());
        let Notice { action, instance, subject, reason, environment } = *notice;
        let event =
            Event { action, instance, subject, reason, environment, host: &host, date: &date };
        let (subject, body, to) = (event.subject(), event.body(), self.recipients(from));
        let message = Message { from, to: &to, subject: &subject, body: &body, date: &date };
        self.leave(from, &to, &message.text()).doing(|| "start the process that sends the mail")
    }

    /// A user without a domain is one of this host, which only this host's own mail server knows.
    fn recipients(&self, from: &Mailbox) -> Vec<Mailbox> {
        let domain = from.domain().filter(|_| self.route != Route::Sendmail);
        self.to.iter().map(|mailbox| mailbox.clone().in_domain(domain)).collect()
    }

    fn leave(&self, from: &Mailbox, to: &[Mailbox], text: &str) -> std::io::Result<()> {
        let mut words: Vec<OsString> = vec![
            "deliver".into(),
            format!("--agent={}", self.agent).into(),
            format!("--instance={}", self.instance).into(),
            format!("--timeout={}", self.timeout.as_millis()).into(),
            format!("--from={from}").into(),
        ];
        if let Route::Relay(relay) = &self.route {
            words.push(format!("--relay={relay}").into());
        }
        words.extend(to.iter().map(|mailbox| mailbox.to_string().into()));
        let (reader, mut writer) = std::io::pipe()?;
        detached::leave_behind(&words, Stdio::from(reader))?;
        // The reader is there already, so that a text of any length gets through.
        writer.write_all(text.as_bytes())
    }
}

fn expect_sendmail(environment: &Environment) -> Result<()> {
    program::find(environment, SENDMAIL).map(drop).map_err(|error| {
        Error::NotInstalled(format!("{error}; install a mail server, or give relay"))
    })
}
