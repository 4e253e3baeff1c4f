//! Whether a service answers, each of its servers asked in its own protocol.

#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use super::Service;
use crate::agent::Cx;
use crate::error::{Error, Result};
use crate::host::process::{Identity, Process};
use crate::probe::{self, Looks, Url};

/// How long a server that is not to answer yet has to answer.
const EARLY: Duration = Duration::from_millis(200);

/// Between two questions of a start: not so rarely that clients wait for nothing, not so often that the service's log
/// is full of it.
pub(super) const PAUSES: (Duration, Duration) =
    (Duration::from_millis(10), Duration::from_millis(500));

/// Makes the probes of this monitor level: below 10 those that this process makes by itself within milliseconds.
///
/// # Errors
/// What failed.
pub(super) fn judge(service: &Service, cx: &Cx<'_>) -> Result<()> {
    let looks = if cx.interval_ms > 0 { Looks::Twice } else { Looks::Once };
    if cx.level >= 10 || service.probes.iter().all(Url::is_quick) {
        return probe::all_alive(&service.probes, looks, &cx.deadline);
    }
    let quick: Vec<Url> = service.probes.iter().filter(|url| url.is_quick()).cloned().collect();
    probe::all_alive(&quick, looks, &cx.deadline)
}

/// Whether one of the servers answers although the service was not started yet: then an answer proves nothing.
pub(super) fn already(service: &Service, cx: &Cx<'_>) -> Option<String> {
    let quick: Vec<Url> = service.probes.iter().filter(|url| url.is_quick()).cloned().collect();
    let answers = probe::run(&quick, Looks::Once, &cx.deadline.at_most(EARLY));
    let answered = quick.iter().zip(answers).find(|(_, answer)| answer.is_ok());
    answered.map(|(url, _)| url.to_string())
}

/// The questions of a start, until all are answered.
pub(super) struct Asking {
    begin: Instant,
    next: Instant,
    failed: Option<Error>,
    answered: bool,
}

impl Asking {
    pub(super) fn begin(service: &Service) -> Self {
        let now = Instant::now();
        Self { begin: now, next: now, failed: None, answered: service.probes.is_empty() }
    }

    /// Whether all have answered. Asks, if it is time to.
    pub(super) fn is_over(&mut self, service: &Service, cx: &Cx<'_>) -> bool {
        let now = Instant::now();
        if self.answered || now < self.next {
            return self.answered;
        }
        match probe::all_alive(&service.probes, Looks::Once, &cx.deadline) {
            Ok(()) => self.answered = true,
            Err(error) => self.failed = Some(error),
        }
        self.next = Instant::now() + (self.begin.elapsed() / 20).clamp(PAUSES.0, PAUSES.1);
        self.answered
    }

    /// The error of a start whose time is over.
    pub(super) fn given_up(self) -> Option<Error> {
        let waited = self.begin.elapsed().as_secs_f64();
        let why = self.failed?.reason();
        Some(Error::Failed(format!("cannot start: no answer within {waited:.1} s: {why}")))
    }
}

/// Waits until all probes are answered, while the main process lives, if one is known.
///
/// # Errors
/// It died, or not all are answered in time.
pub(super) fn wait(service: &Service, main: Option<Identity>, cx: &Cx<'_>) -> Result<()> {
    let mut asking = Asking::begin(service);
    loop {
        let over = asking.is_over(service, cx);
        if let Some(main) = main
            && Process::find(main)?.is_none_or(|process| process.is_dead())
        {
            return Err(Error::Failed(format!(
                "cannot start: its process {} ended before it answered",
                main.pid
            )));
        }
        if over {
            return Ok(());
        }
        let left = cx.deadline.left();
        if left.is_zero() {
            return Err(asking.given_up().unwrap_or_else(|| cx.deadline.missed("an answer")));
        }
        std::thread::sleep(PAUSES.0.min(left));
    }
}
