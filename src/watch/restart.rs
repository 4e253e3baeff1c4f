//! What a watcher does in the place of a manager that has no policy: Heartbeat with haresources.

#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::ffi::OsString;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::heartbeat::{self, Situation};
use super::manager::of_own_action;
use crate::action::Action;
use crate::environment::Environment;
use crate::host::{clock, detached};
use crate::log::Log;
use crate::mail::Subscription;
use crate::state::{StateDirectory, StateFile};

/// The least time between two measures that go beyond the restarts which are allowed.
const PAUSE: Duration = Duration::from_secs(10);

/// How long the process may take that has mails sent. It waits for no mail server.
const LONGEST_MAIL: Duration = Duration::from_secs(2);

/// Restarts in place, as long as there are not too many of them; then the other node, if there is one.
#[derive(Debug)]
pub struct Restarts {
    most: u32,
    window: Duration,
    made: VecDeque<Instant>,
    /// When something was done beyond those.
    beyond: Option<Instant>,
    /// Whether that was to ask Heartbeat.
    asked: bool,
    /// When a restart beyond those was told by mail.
    mailed: Option<Instant>,
    /// Says when this node gave its resources away because of this one, in seconds since the host was started.
    given: StateFile,
}

/// The resource that failed, and where to tell what is done about it.
#[derive(Debug)]
pub struct Failed<'a> {
    /// Its agent.
    pub agent: &'a str,
    /// Its name.
    pub instance: &'a str,
    /// Why it failed.
    pub why: &'a str,
    /// Its parameters.
    pub environment: &'a Environment,
    /// Where what is done is told.
    pub log: &'a Log<'a>,
}

/// What is to be done when it has been restarted too often, or cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beyond {
    /// Have Heartbeat give everything to the other node.
    GiveAway,
    /// Restart it here all the same, for there is no better place, and why.
    Here(&'static str),
    /// Nothing now: something was done a moment ago.
    Wait,
}

impl Restarts {
    /// At most that many within that time; `given` remembers for the next watcher of the resource.
    #[must_use]
    pub fn new((most, window): (u32, Duration), given: StateFile) -> Self {
        let made = VecDeque::new();
        Self { most, window, made, beyond: None, asked: false, mailed: None, given }
    }

    /// Whether one more is allowed now; it is counted then.
    fn is_allowed(&mut self, now: Instant) -> bool {
        while self.made.front().is_some_and(|first| now.duration_since(*first) > self.window) {
            self.made.pop_front();
        }
        let allowed = u32::try_from(self.made.len()).is_ok_and(|made| made < self.most);
        if allowed {
            self.made.push_back(now);
        }
        allowed
    }

    /// Stops and starts the resource; where that was done too often or does not work, the other node takes over; and where
    /// none does, the resource is started here again and again, but not often. Whether it was restarted; if not, it is to
    /// be looked at again after a while, for Heartbeat does not say whether it does as it was told.
    pub fn act(&mut self, failed: &Failed<'_>) -> bool {
        let most = self.most;
        let mut why = format!("failed again after {most} restarts within watch_window");
        if self.is_allowed(Instant::now()) {
            let count = self.made.len();
            if failed.restart() {
                failed.tell(&format!("restarted ({count} of {most} within watch_window)"), true);
                return true;
            }
            "cannot be restarted here".clone_into(&mut why);
        }
        let situation = heartbeat::situation(failed.environment);
        match self.beyond(Instant::now(), situation) {
            Beyond::GiveAway => {
                // Beforehand, as Heartbeat's stop ends this process, and takes those from the list who want mails.
                failed.tell(&format!("{why}; giving all resources to the other node"), true);
                self.give_away(failed)
            }
            Beyond::Here(reason) => self.restart_all_the_same(failed, reason),
            Beyond::Wait => false,
        }
    }

    fn beyond(&mut self, now: Instant, situation: Situation) -> Beyond {
        if self.beyond.is_some_and(|last| now.duration_since(last) < PAUSE) {
            return Beyond::Wait;
        }
        let was_asked = std::mem::take(&mut self.asked);
        self.beyond = Some(now);
        match situation {
            Situation::Alone => Beyond::Here("no other node is active"),
            // What it is asked meanwhile it ignores, and the other node may take it for granted.
            Situation::Moving if was_asked => {
                self.asked = true;
                Beyond::Wait
            }
            Situation::Moving => Beyond::Here("Heartbeat is moving resources"),
            Situation::Ready if was_asked => Beyond::Here("Heartbeat did not take it away"),
            Situation::Ready if self.was_given_away() => {
                Beyond::Here("it was given away within watch_window and has come back")
            }
            Situation::Ready => {
                self.asked = true;
                Beyond::GiveAway
            }
        }
    }

    fn give_away(&mut self, failed: &Failed<'_>) -> bool {
        let _ = self.given.write(&format!("{}\n", clock::since_boot().as_secs()));
        let Err(error) = heartbeat::stand_by(failed.environment) else { return false };
        let _ = self.given.remove();
        self.asked = false;
        failed.log.warn(&format!("cannot tell Heartbeat of it: {error}"));
        self.restart_all_the_same(failed, "Heartbeat cannot be told")
    }

    /// This may go on for days: the log has all of it, the mails one for each window.
    fn restart_all_the_same(&mut self, failed: &Failed<'_>, reason: &str) -> bool {
        let restarted = failed.restart();
        let now = Instant::now();
        let by_mail = self.mailed.is_none_or(|last| now.duration_since(last) > self.window);
        if by_mail {
            self.mailed = Some(now);
        }
        let seconds = PAUSE.as_secs();
        let words = if restarted {
            format!("restarted beyond watch_restarts, since {reason}")
        } else {
            format!("cannot be restarted here, and {reason}; trying again every {seconds} s")
        };
        failed.tell(&words, by_mail);
        restarted
    }

    /// Two nodes on which a server does not stay alive would throw the resources to and fro.
    fn was_given_away(&self) -> bool {
        let given = self.given.read().ok().flatten();
        let given = given.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        let since = given.and_then(|given| clock::since_boot().checked_sub(given));
        since.is_some_and(|since| since < self.window)
    }
}

impl Failed<'_> {
    fn restart(&self) -> bool {
        let own = of_own_action(self.environment);
        let run = |action: Action| detached::run_agent(self.agent, action.name(), own.variables());
        run(Action::Stop) && run(Action::Start)
    }

    /// Tells the log, and perhaps those who want mails.
    fn tell(&self, words: &str, by_mail: bool) {
        self.log.warn(words);
        let state = StateDirectory::new(self.environment.state_directory());
        if !by_mail || !Subscription::is_any(&state) {
            return;
        }
        let arguments = [
            "notify".to_owned(),
            format!("--agent={}", self.agent),
            format!("--instance={}", self.instance),
            "--".to_owned(),
            format!("{}; {words}", self.why),
        ];
        // A stop kills what this process runs, and so not what that one leaves behind.
        match detached::start(&arguments.map(OsString::from), Stdio::null()) {
            Ok(mut process) => {
                if !process.ended_within(LONGEST_MAIL) {
                    process.kill();
                }
            }
            Err(error) => self.log.warn(&format!("no mail is sent: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::StateDirectory;

    fn restarts(most: u32, window: Duration) -> (Restarts, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let given = StateDirectory::new(directory.path().to_owned()).file("given");
        (Restarts::new((most, window), given), directory)
    }

    #[test]
    fn restarts_are_counted_within_the_window() {
        let (begin, minute) = (Instant::now(), Duration::from_mins(1));
        let (mut restarts, _directory) = restarts(2, minute);
        assert!(restarts.is_allowed(begin));
        assert!(restarts.is_allowed(begin + minute / 2));
        assert!(!restarts.is_allowed(begin + minute));
        assert!(restarts.is_allowed(begin + minute + Duration::from_secs(1)));
        assert!(!self::restarts(0, minute).0.is_allowed(begin));
    }

    #[test]
    fn without_another_node_it_is_restarted_now_and_then() {
        let (begin, second) = (Instant::now(), Duration::from_secs(1));
        let (mut restarts, _directory) = restarts(0, Duration::from_mins(10));
        let here = Beyond::Here("no other node is active");
        assert_eq!(restarts.beyond(begin, Situation::Alone), here);
        assert_eq!(restarts.beyond(begin + second, Situation::Alone), Beyond::Wait);
        assert_eq!(restarts.beyond(begin + second, Situation::Ready), Beyond::Wait);
        assert_eq!(restarts.beyond(begin + PAUSE, Situation::Alone), here);
        // The other node is back.
        assert_eq!(restarts.beyond(begin + PAUSE * 2, Situation::Ready), Beyond::GiveAway);
    }

    #[test]
    fn who_was_asked_and_does_nothing_is_asked_again_after_a_restart() {
        let begin = Instant::now();
        let (mut restarts, _directory) = restarts(0, Duration::from_mins(10));
        assert_eq!(restarts.beyond(begin, Situation::Ready), Beyond::GiveAway);
        assert_eq!(restarts.beyond(begin + PAUSE, Situation::Moving), Beyond::Wait);
        let ignored = Beyond::Here("Heartbeat did not take it away");
        assert_eq!(restarts.beyond(begin + PAUSE * 2, Situation::Ready), ignored);
        assert_eq!(restarts.beyond(begin + PAUSE * 3, Situation::Ready), Beyond::GiveAway);
    }

    #[test]
    fn what_was_given_away_and_comes_back_stays_for_a_while() {
        let begin = Instant::now();
        let (mut restarts, _directory) = restarts(0, Duration::from_mins(10));
        restarts.given.write(&format!("{}\n", clock::since_boot().as_secs())).unwrap();
        let Beyond::Here(_) = restarts.beyond(begin, Situation::Ready) else { panic!("given") };
        restarts.window = Duration::ZERO;
        assert_eq!(restarts.beyond(begin + PAUSE, Situation::Ready), Beyond::GiveAway);
    }
}
