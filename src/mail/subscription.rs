//! Who wants to hear of failures on this node: start of a notifying resource writes it down, its stop strikes it out.

#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::time::Duration;

use super::post::{Notice, Post, Route};
use crate::error::{Result, one_line};
use crate::param::Value;
use crate::param::values::{Mailbox, Mailboxes, Relay};
use crate::state::{StateDirectory, StateFile};

/// What the names of the files begin with.
const PREFIX: &str = "mail-to-";

/// Longest subject that is kept, in characters.
const LONGEST: usize = 500;

/// Who gets mails, how, and what their subjects begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    agent: String,
    instance: String,
    subject: String,
    to: Vec<Mailbox>,
    from: Option<Mailbox>,
    route: Route,
    timeout: Duration,
}

impl Subscription {
    /// That of a resource which sends its mails by `post`, each with `subject`.
    #[must_use]
    pub fn of(post: &Post<'_>, subject: &str) -> Self {
        Self {
            agent: post.agent.to_owned(),
            instance: one_line(post.instance, LONGEST),
            subject: one_line(subject, LONGEST),
            to: post.to.to_vec(),
            from: post.from.cloned(),
            route: post.route.clone(),
            timeout: post.timeout,
        }
    }

    /// Writes it down, in the place of an earlier one of the same resource.
    ///
    /// # Errors
    /// The state directory cannot be written.
    pub fn enter(&self, state: &StateDirectory) -> Result<()> {
        file(state, &self.instance).write(&self.text())
    }

    /// Strikes out that of the resource `instance`, which need not have one.
    ///
    /// # Errors
    /// It is there and cannot be removed.
    pub fn strike(instance: &str, state: &StateDirectory) -> Result<()> {
        file(state, &one_line(instance, LONGEST)).remove()
    }

    /// All there are. A file that somebody else wrote is none.
    #[must_use]
    pub fn all(state: &StateDirectory) -> Vec<Self> {
        let texts = state.files(PREFIX).into_iter().filter_map(|file| file.read().ok().flatten());
        texts.filter_map(|text| Self::parse(&text)).collect()
    }

    /// Whether anybody wants to hear.
    #[must_use]
    pub fn is_any(state: &StateDirectory) -> bool {
        !state.files(PREFIX).is_empty()
    }

    /// Sends the mail, without waiting for anybody to take it.
    ///
    /// # Errors
    /// There is no sendmail, or there can be no new process.
    pub fn tell(&self, notice: &Notice<'_>) -> Result<()> {
        let post = Post {
            agent: &self.agent,
            instance: &self.instance,
            to: &self.to,
            from: self.from.as_ref(),
            route: self.route.clone(),
            timeout: self.timeout,
        };
        post.tell(&Notice { subject: &self.subject, ..*notice })
    }

    fn text(&self) -> String {
        let to: Vec<String> = self.to.iter().map(ToString::to_string).collect();
        let Self { agent, instance, subject, .. } = self;
        let (to, timeout) = (to.join(","), self.timeout.as_millis());
        let mut text = format!(
            "agent={agent}\ninstance={instance}\nsubject={subject}\nto={to}\ntimeout={timeout}\n"
        );
        if let Some(from) = &self.from {
            let _ = writeln!(text, "from={from}");
        }
        if let Route::Relay(relay) = &self.route {
            let _ = writeln!(text, "relay={relay}");
        }
        text
    }

    fn parse(text: &str) -> Option<Self> {
        let lines = || text.lines().filter_map(|line| line.split_once('='));
        let value = |wanted| lines().find(|(name, _)| *name == wanted).map(|(_, value)| value);
        let relay = value("relay").map(|relay| Relay::parse(OsStr::new(relay))).transpose().ok()?;
        Some(Self {
            agent: value("agent")?.to_owned(),
            instance: value("instance")?.to_owned(),
            subject: value("subject")?.to_owned(),
            to: Mailboxes::parse(OsStr::new(value("to")?)).ok()?.as_slice().to_vec(),
            from: value("from").map(str::parse).transpose().ok()?,
            route: relay.map_or(Route::Sendmail, Route::Relay),
            timeout: Duration::from_millis(value("timeout")?.parse().ok()?),
        })
    }
}

fn file(state: &StateDirectory, instance: &str) -> StateFile {
    state.file(&format!("{PREFIX}{instance}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn subscription(subject: &str, instance: &str, relay: Option<&str>) -> Subscription {
        let to = ["admin@example.org".parse().unwrap(), "root".parse().unwrap()];
        let from = "cluster@example.org".parse().unwrap();
        let post = Post {
            agent: "Notifier",
            instance,
            to: &to,
            from: Some(&from),
            route: relay.map_or(Route::Sendmail, |relay| {
                Route::Relay(Relay::parse(relay.as_ref()).unwrap())
            }),
            timeout: Duration::from_millis(1500),
        };
        Subscription::of(&post, subject)
    }

    #[test]
    fn what_is_entered_is_found_until_it_is_struck_out() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(directory.path().to_owned());
        assert!(!Subscription::is_any(&state));
        let [one, two] = [("a/b", Some("[2001:db8::25]:2525")), ("c", None)]
            .map(|(instance, relay)| subscription("Web group", instance, relay));
        one.enter(&state).unwrap();
        one.enter(&state).unwrap();
        two.enter(&state).unwrap();
        std::fs::write(directory.path().join("mail-to-x"), "running\n").unwrap();
        let all = Subscription::all(&state);
        assert!(all.len() == 2 && all.contains(&one) && all.contains(&two), "{all:?}");
        Subscription::strike("a/b", &state).unwrap();
        Subscription::strike("a/b", &state).unwrap();
        assert_eq!(Subscription::all(&state), [two]);
    }

    proptest! {
        #[test]
        fn any_subject_is_read_back_on_one_line(subject in "\\PC{0,60}[\n\r=]?\\PC{0,60}") {
            let entered = subscription(&subject, "x", Some("192.0.2.25"));
            prop_assert_eq!(Subscription::parse(&entered.text()), Some(entered));
        }

        #[test]
        fn no_text_harms(text in "((to|from|relay|timeout|agent)=)?\\PC{0,40}\n(timeout=\\PC{0,9}\n)?") {
            let _ = Subscription::parse(&text);
        }
    }
}
