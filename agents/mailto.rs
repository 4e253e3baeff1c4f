//! `MailTo`: tells people by mail that a resource group starts or stops.

#![forbid(unsafe_code)]

use std::time::Duration;

use crate::action::Action;
use crate::agent::{Agent, Cx, Status};
use crate::error::{Error, Result};
use crate::mail::{Notice, Post, Route, Subscription};
use crate::param::values::{Mailbox, Mailboxes, Relay, Seconds, Text};
use crate::params;
use crate::spec::{ActionSpec, AgentSpec, Haresources};
use crate::state::StateFile;

params! {
    pub struct Params {
        /// Who gets the mails
        ///
        /// Mail addresses, separated by commas: `admin@example.org,pager@example.org`, or the name of a local user.
        email: Mailboxes { reloadable: true },

        /// Begins the subject
        ///
        /// Say here which group it is that moves. What happens, when and on which node follows.
        subject: Text = "Resource Group" { reloadable: true },

        /// Mail server that takes the mails
        ///
        /// Its name or address, and its port if that is not 25: `mail.example.org`, `192.0.2.25:587`,
        /// `[2001:db8::25]:25`. It must take mail from this host without a password and without encryption. Without this
        /// parameter, mails go to `sendmail -t`, that is, to the mail server on this host, which keeps them until they are
        /// delivered; with it, they are lost (and the log says so) when the relay does not take them within some minutes.
        relay: Option<Relay> { reloadable: true },

        /// Whose mails they are
        ///
        /// The address in `From:`, where the answers go too. Without it, `root` at this host's name. Some relays want one
        /// whose domain exists.
        from: Option<Mailbox> { reloadable: true },

        /// Seconds that each step of handing a mail over may take
        ///
        /// No action waits for any of it: this is when the process that sends the mail gives up, to try again.
        timeout: Seconds = "10" { reloadable: true },

        /// Why the group starts or stops
        ///
        /// For scripts, which know. It stands in the subject and in the text of the mail. Cluster managers do not tell their
        /// agents.
        reason: Option<Text> { reloadable: true },
    }
}

/// What a step of handing a mail over may take at least, and at most.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_mins(10);

pub struct MailTo(Params);

impl From<Params> for MailTo {
    fn from(params: Params) -> Self {
        Self(params)
    }
}

fn marker(cx: &Cx<'_>) -> StateFile {
    cx.state.file(&format!("MailTo_{}", cx.instance))
}

impl MailTo {
    fn post<'a>(&'a self, cx: &'a Cx<'_>) -> Post<'a> {
        Post {
            agent: Self::SPEC.name,
            instance: &cx.instance,
            to: self.0.email.as_slice(),
            from: self.0.from.as_ref(),
            route: self.0.relay.clone().map_or(Route::Sendmail, Route::Relay),
            timeout: self.0.timeout.get().clamp(SHORTEST, LONGEST),
        }
    }

    fn subject(&self) -> String {
        let subject = self.0.subject.as_os_str().to_string_lossy();
        // As the shell agent has it: what is so short says nothing.
        let says = subject.trim().chars().count() >= 2;
        if says { subject.trim().to_owned() } else { "Resource Group".to_owned() }
    }

    /// A mail that cannot be sent is told in the log, and is no reason for anything to fail.
    fn tell(&self, cx: &Cx<'_>) {
        let reason = self.0.reason.as_ref().map(|reason| reason.as_os_str().to_string_lossy());
        let notice = Notice {
            action: cx.action,
            instance: &cx.instance,
            subject: &self.subject(),
            reason: reason.as_deref(),
            environment: cx.environment,
        };
        if let Err(error) = self.post(cx).tell(&notice) {
            cx.log.warn(&format!("no mail is sent: {error}"));
        }
    }

    /// Has the watchers of this node's resources tell of failures in the same way.
    fn subscribe(&self, cx: &Cx<'_>) {
        if let Err(error) = Subscription::of(&self.post(cx), &self.subject()).enter(&cx.state) {
            cx.log.warn(&format!("failures will not be told by mail: {error}"));
        }
    }
}

impl Agent for MailTo {
    type Params = Params;

    const SPEC: AgentSpec = AgentSpec {
        name: "MailTo",
        short: "Mails when a resource group starts or stops",
        long: "Sends a mail when it starts and when it stops: who caused it, what was started, on which node, from where to \
               where, why and when, as far as the cluster manager told. Put it last into a group, and the mail is sent when \
               all of the group works.\n\n\
               No action ever waits for a mail, or fails because of one: a process that is left behind hands it over, tries \
               again for some minutes when the mail server asks for that or cannot be reached, and tells the log when \
               nobody takes it. A second start of what is started, and a second stop, send no second mail.\n\n\
               While it runs under Heartbeat with haresources, it also mails when a watched resource of this node has failed, \
               with the reason and with what is done: a restart, or the move to the other node.",
        actions: &[
            ActionSpec::new(Action::Start, 10),
            ActionSpec::new(Action::Stop, 10),
            ActionSpec::new(Action::Status, 10).every(10).depth(0),
            ActionSpec::new(Action::Monitor, 10).every(10).depth(0),
            ActionSpec::new(Action::ReloadAgent, 10),
            ActionSpec::new(Action::ValidateAll, 5),
            ActionSpec::new(Action::MetaData, 5),
        ],
        haresources: Some(Haresources {
            arguments: &["email", "subject"],
            required: 1,
            fixed: &[],
        }),
    };

    fn check(&self, _: &Cx<'_>) -> Result<()> {
        let timeout = self.0.timeout.get();
        if (SHORTEST..=LONGEST).contains(&timeout) {
            return Ok(());
        }
        let why = format!(
            "{} s is no time to hand a mail over in; give 0.1 to 600",
            timeout.as_secs_f64()
        );
        Err(Error::Configured { name: "timeout", why })
    }

    fn start(&self, cx: &Cx<'_>) -> Result<()> {
        let _lock = cx.state.lock(&format!("MailTo_{}", cx.instance), &cx.deadline)?;
        if marker(cx).read()?.is_none() {
            marker(cx).write("running\n")?;
            self.tell(cx);
        }
        self.subscribe(cx);
        Ok(())
    }

    fn stop(&self, cx: &Cx<'_>) -> Result<()> {
        let _lock = cx.state.lock(&format!("MailTo_{}", cx.instance), &cx.deadline)?;
        // What is no marker of ours, no start has made.
        let ran = marker(cx).read().is_ok_and(|content| content.is_some());
        Subscription::strike(&cx.instance, &cx.state)?;
        marker(cx).remove()?;
        if ran {
            self.tell(cx);
        }
        Ok(())
    }

    fn monitor(&self, cx: &Cx<'_>) -> Result<Status> {
        Ok(if marker(cx).read()?.is_some() { Status::Running } else { Status::NotRunning })
    }

    /// The next mail is sent with the new parameters.
    fn reload(&self, cx: &Cx<'_>) -> Result<()> {
        let _lock = cx.state.lock(&format!("MailTo_{}", cx.instance), &cx.deadline)?;
        if marker(cx).read()?.is_some() {
            self.subscribe(cx);
        }
        Ok(())
    }

    fn validate(&self, cx: &Cx<'_>) -> Result<()> {
        self.post(cx).check(cx)
    }
}
