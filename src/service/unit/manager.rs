//! systemd as one that answers: whatever is lost is asked for again until there is no time.

#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use super::PAUSE;
use crate::agent::Cx;
use crate::deadline::Deadline;
use crate::error::Result;
use crate::host::systemd::{Facts, Look, Properties, Systemd, Trouble};

/// How long a bus may be away: one that comes again does so within this, and where there is none it does not come.
const ABSENCE: Duration = Duration::from_secs(2);

/// The longest wait for one answer. systemd answers within milliseconds, unless the connection is a dead one.
const ANSWER: Duration = Duration::from_secs(10);

/// The longest time between two looks at a job: a signal can be lost.
const LOOK: Duration = Duration::from_secs(1);

/// How a job came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// systemd said so, in its word.
    Said(String),
    /// It is gone, and how is not known.
    Gone,
    /// It has not ended.
    Late,
}

/// systemd, about one unit.
#[derive(Debug)]
pub(super) struct Manager<'a> {
    name: &'a str,
    /// Until when it is asked.
    pub(super) deadline: Deadline,
    /// Whether what is left of the time includes the reserve: what was begun is being undone.
    pub(super) with_reserve: bool,
    link: Option<Systemd>,
    /// Whose jobs are listened for.
    listens_for: Option<String>,
    lost: bool,
}

impl<'a> Manager<'a> {
    pub(super) fn new(name: &'a str, cx: &Cx<'_>) -> Self {
        Self {
            name,
            deadline: cx.deadline,
            with_reserve: false,
            link: None,
            listens_for: None,
            lost: false,
        }
    }

    pub(super) fn left(&self) -> Duration {
        if self.with_reserve { self.deadline.left_with_reserve() } else { self.deadline.left() }
    }

    /// Whether the last question had no answer.
    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    /// Asks until there is an answer.
    ///
    /// # Errors
    /// There was none in time, or systemd refused.
    pub(super) fn ask<T>(
        &mut self,
        what: &str,
        question: impl Fn(&mut Systemd, Duration) -> Result<T, Trouble>,
    ) -> Result<T> {
        let begin = Instant::now();
        loop {
            let answer = self.once(&question);
            let over = match &answer {
                Err(Trouble::Lost(_)) => self.left() < PAUSE,
                Err(Trouble::Absent) => self.left() < PAUSE || begin.elapsed() > ABSENCE,
                _ => true,
            };
            self.lost = matches!(answer, Err(Trouble::Lost(_) | Trouble::Absent));
            if over {
                return answer.map_err(|trouble| trouble.error(&format!("{what} {}", self.name)));
            }
            std::thread::sleep(PAUSE / 2);
        }
    }

    /// Asks once.
    ///
    /// # Errors
    /// There was no answer, or systemd refused.
    pub(super) fn once<T>(
        &mut self,
        question: impl Fn(&mut Systemd, Duration) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        // What is not waited for is asked in the reserve too.
        let within = self.deadline.left_with_reserve().min(ANSWER);
        if self.link.is_none() {
            let mut link = Systemd::connect(within)?;
            if let Some(id) = &self.listens_for {
                link.listen(id, within)?;
            }
            self.link = Some(link);
        }
        let Some(link) = &mut self.link else { return Err(Trouble::Absent) };
        let answer = question(link, within);
        if matches!(answer, Err(Trouble::Lost(_))) {
            self.link = None;
        }
        answer
    }

    /// Looks at the unit.
    ///
    /// # Errors
    /// No answer.
    pub(super) fn look(&mut self) -> Result<Look> {
        let name = self.name;
        self.ask("look at", |systemd, within| systemd.look(name, within))
    }

    /// Looks at another unit.
    ///
    /// # Errors
    /// No answer.
    pub(super) fn look_at(&mut self, other: &str) -> Result<Look> {
        self.ask("look at what triggers", |systemd, within| systemd.look(other, within))
    }

    /// All that there is to know of a unit.
    ///
    /// # Errors
    /// No answer.
    pub(super) fn describe(&mut self, look: &Look) -> Result<Properties> {
        self.ask("read the properties of", |systemd, within| systemd.describe(look, within))
    }

    /// Looks at the unit and what is known of its processes.
    ///
    /// # Errors
    /// No answer.
    pub(super) fn look_closely(&mut self) -> Result<(Look, Facts)> {
        let name = self.name;
        self.ask("look at", |systemd, within| {
            let look = systemd.look(name, within)?;
            let facts = systemd.facts(&look, within)?;
            Ok((look, facts))
        })
    }

    /// Listens for jobs of the unit of that name, on each connection from now on.
    ///
    /// # Errors
    /// No answer.
    pub(super) fn listen(&mut self, id: &str) -> Result<()> {
        if self.listens_for.as_deref() == Some(id) {
            return Ok(());
        }
        self.ask("listen for jobs of", |systemd, within| systemd.listen(id, within))?;
        self.listens_for = Some(id.to_owned());
        Ok(())
    }

    /// Waits for the end of a job, until `end` at the latest. Its signal says how it ended; but who waits for a signal
    /// alone waits for ever for one that is lost, so the unit is looked at too.
    ///
    /// # Errors
    /// No answer.
    pub(super) fn wait_for(&mut self, job: &str, end: Instant) -> Result<End> {
        loop {
            let left = end.saturating_duration_since(Instant::now()).min(self.left());
            let heard = self.once(|systemd, _| systemd.next_ended(left.min(LOOK)));
            match heard {
                Ok(Some((path, result))) if path == job => return Ok(End::Said(result)),
                Ok(Some(_)) => continue,
                Ok(None) | Err(_) => {}
            }
            if self.look()?.job.is_none_or(|now| now.path != job) {
                // The signal may have come while we looked.
                while let Ok(Some((path, result))) =
                    self.once(|systemd, _| systemd.next_ended(PAUSE))
                {
                    if path == job {
                        return Ok(End::Said(result));
                    }
                }
                return Ok(End::Gone);
            }
            if left.is_zero() {
                return Ok(End::Late);
            }
        }
    }
}
