//! What a notice says: who, what, from where to where, why, when; as far as the caller told.

#![forbid(unsafe_code)]

use jiff::Zoned;

use crate::action::Action;
use crate::environment::Environment;
use crate::error::one_line;

/// Longest text of a caller that is quoted, in characters.
const LONGEST: usize = 500;

/// What happened to a resource, and what its administrator says of it.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Start or stop; monitor, if the resource was found to have failed.
    pub action: Action,
    /// The resource's name.
    pub instance: &'a str,
    /// Begins the subject.
    pub subject: &'a str,
    /// Why it happened, if a script knows.
    pub reason: Option<&'a str>,
    /// What the caller set.
    pub environment: &'a Environment,
    /// The name of this host.
    pub host: &'a str,
    /// Now.
    pub date: &'a Zoned,
}

impl Event<'_> {
    fn starts(&self) -> bool {
        self.action == Action::Start
    }

    /// Whether it tells of a failure.
    fn fails(&self) -> bool {
        self.action == Action::Monitor
    }

    /// The subject, in the words of the shell agent, for which people have filters.
    #[must_use]
    pub fn subject(&self) -> String {
        let (sentence, place) = match (self.reason, self.starts()) {
            _ if self.fails() => (format!("{} has failed", one_line(self.instance, LONGEST)), "on"),
            (Some(reason), _) => (one_line(reason, LONGEST), "on"),
            (None, true) => ("Takeover in progress".to_owned(), "on"),
            (None, false) => ("Migrating resource away".to_owned(), "from"),
        };
        let when = self.date.strftime("%a %b %e %H:%M:%S %Z %Y");
        format!("{} {sentence} at {when} {place} {}", one_line(self.subject, LONGEST), self.host)
    }

    /// The text.
    #[must_use]
    pub fn body(&self) -> String {
        let (from, to) = self.places();
        let word = if self.starts() { "started" } else { "stopped" };
        let when = self.date.strftime("%A, %e %B %Y, %H:%M:%S %:z (%Z)");
        let reason = self.reason.map_or_else(|| self.why(), |reason| one_line(reason, LONGEST));
        if self.fails() {
            let (instance, here) = (one_line(self.instance, LONGEST), self.here());
            return format!(
                "{instance} has failed on {}.\n\n\
                 Who:   the process that watches it\n\
                 What:  failure of {instance}\n\
                 Where: {here}\n\
                 Why:   {reason}\n\
                 When:  {when}\n",
                self.host
            );
        }
        format!(
            "{} is being {word} on {}.\n\n\
             Who:   {}\n\
             What:  {} of {}\n\
             From:  {from}\n\
             To:    {to}\n\
             Why:   {reason}\n\
             When:  {when}\n",
            one_line(self.subject, LONGEST),
            self.host,
            self.who(),
            self.action,
            one_line(self.instance, LONGEST),
        )
    }

    /// What a variable says, on one line.
    fn told(&self, name: &str) -> Option<String> {
        let told = self.environment.get(name)?.to_string_lossy().trim().to_owned();
        (!told.is_empty()).then(|| one_line(&told, LONGEST))
    }

    fn meta(&self, name: &str) -> Option<String> {
        self.told(&format!("OCF_RESKEY_CRM_meta_{name}"))
    }

    fn is_pacemaker(&self) -> bool {
        self.told("OCF_RESKEY_crm_feature_set").is_some()
    }

    fn who(&self) -> String {
        if self.is_pacemaker() {
            return "Pacemaker".to_owned();
        }
        match self.told("HA_CURHOST") {
            Some(node) => format!("Heartbeat on {node}"),
            None if self.told("OCF_RA_VERSION_MAJOR").is_some() => "a cluster manager".to_owned(),
            None => "somebody by hand, or a script".to_owned(),
        }
    }

    /// This host, with the name that the cluster has for it.
    fn here(&self) -> String {
        match self.meta("on_node").or_else(|| self.told("HA_CURHOST")) {
            Some(node) if node != self.host => format!("{node} (host {})", self.host),
            _ => self.host.to_owned(),
        }
    }

    /// From where, and to where.
    fn places(&self) -> (String, String) {
        let untold = || "not told by the caller".to_owned();
        if self.starts() {
            let dead = self.told("HA_src").filter(|_| self.is_dead_node());
            let from =
                self.meta("migrate_source").or_else(|| self.meta("notify_stop_uname")).or(dead);
            return (from.unwrap_or_else(untold), self.here());
        }
        let to = self.meta("migrate_target").or_else(|| self.meta("notify_start_uname"));
        (self.here(), to.unwrap_or_else(untold))
    }

    /// Heartbeat runs its scripts with the fields of the message that it got, as variables.
    fn is_dead_node(&self) -> bool {
        self.told("HA_st").is_some_and(|state| state == "dead")
    }

    fn why(&self) -> String {
        match (self.told("HA_src"), self.told("HA_t")) {
            (Some(node), _) if self.is_dead_node() => format!("Heartbeat takes {node} for dead"),
            (Some(node), Some(kind)) => format!("Heartbeat got the message {kind:?} of {node}"),
            _ if self.is_pacemaker() => {
                "Pacemaker does not tell its agents; its log on the DC has it".to_owned()
            }
            _ => "not told by the caller".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(action: Action, reason: Option<&str>, variables: &[(&str, &str)]) -> (String, String) {
        let mut environment = Environment::default();
        for (name, value) in variables {
            environment.set(*name, *value);
        }
        let date: Zoned = "2026-11-21T02:00:01+00:00[UTC]".parse().unwrap();
        let event = Event {
            action,
            instance: "mail",
            subject: "Web",
            reason,
            environment: &environment,
            host: "node2",
            date: &date,
        };
        (event.subject(), event.body())
    }

    #[test]
    fn subjects_are_those_of_the_shell_agent() {
        let subject = |action| event(action, None, &[]).0;
        assert_eq!(
            subject(Action::Start),
            "Web Takeover in progress at Sat Nov 21 02:00:01 UTC 2026 on node2"
        );
        assert_eq!(
            subject(Action::Stop),
            "Web Migrating resource away at Sat Nov 21 02:00:01 UTC 2026 from node2"
        );
        let told = event(Action::Start, Some("box1 is\nsilent"), &[]).0;
        assert_eq!(told, "Web box1 is silent at Sat Nov 21 02:00:01 UTC 2026 on node2");
    }

    #[track_caller]
    fn says(body: &str, lines: &[&str]) {
        for line in lines {
            assert!(body.lines().any(|found| found.starts_with(line)), "no {line:?} in {body}");
        }
    }

    #[test]
    fn pacemaker_tells_the_node_and_with_notifications_the_others() {
        let pacemaker = [
            ("OCF_RA_VERSION_MAJOR", "1"),
            ("OCF_RESKEY_crm_feature_set", "3.16.2"),
            ("OCF_RESKEY_CRM_meta_on_node", "two"),
            ("OCF_RESKEY_CRM_meta_notify_stop_uname", "one "),
            ("OCF_RESKEY_CRM_meta_notify_start_uname", " "),
        ];
        let body = event(Action::Start, None, &pacemaker).1;
        says(
            &body,
            &[
                "Who:   Pacemaker",
                "What:  start of mail",
                "From:  one",
                "To:    two (host node2)",
                "Why:   Pacemaker does not tell",
            ],
        );
        says(&body, &["When:  Saturday, 21 November 2026, 02:00:01 +00:00 (UTC)"]);
        let body = event(Action::Stop, None, &pacemaker).1;
        says(&body, &["From:  two (host node2)", "To:    not told"]);
    }

    #[test]
    fn heartbeat_tells_who_died() {
        let heartbeat =
            [("HA_CURHOST", "node2"), ("HA_st", "dead"), ("HA_src", "node1"), ("HA_t", "status")];
        let body = event(Action::Start, None, &heartbeat).1;
        says(
            &body,
            &[
                "Who:   Heartbeat on node2",
                "From:  node1",
                "To:    node2",
                "Why:   Heartbeat takes node1 for dead",
            ],
        );
        let asked = [("HA_CURHOST", "node2"), ("HA_src", "node1"), ("HA_t", "ip-request")];
        says(
            &event(Action::Stop, None, &asked).1,
            &["Why:   Heartbeat got the message \"ip-request\" of node1"],
        );
    }

    #[test]
    fn a_failure_is_called_one() {
        let reason = "it does not run; restarted\nWho: x";
        let (subject, body) = event(Action::Monitor, Some(reason), &[("HA_CURHOST", "node2")]);
        assert_eq!(subject, "Web mail has failed at Sat Nov 21 02:00:01 UTC 2026 on node2");
        says(
            &body,
            &[
                "mail has failed on node2.",
                "Who:   the process that watches it",
                "What:  failure of mail",
                "Where: node2",
                "Why:   it does not run; restarted Who: x",
            ],
        );
        assert_eq!(body.lines().count(), 7, "{body}");
    }

    #[test]
    fn what_nobody_told_is_said_to_be_untold() {
        let body = event(Action::Start, None, &[]).1;
        says(
            &body,
            &[
                "Web is being started on node2.",
                "Who:   somebody by hand",
                "From:  not told",
                "Why:   not told",
            ],
        );
        says(&event(Action::Stop, Some("for maintenance"), &[]).1, &["Why:   for maintenance"]);
    }

    #[test]
    fn no_value_makes_a_line_of_its_own() {
        let body =
            event(Action::Start, Some("a\nWhy: b\r.\r\n"), &[("HA_CURHOST", "x\nFrom: y")]).1;
        assert_eq!(body.lines().count(), 8, "{body}");
        assert!(!body.contains('\r'));
    }
}
