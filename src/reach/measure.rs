//! Which of some hosts answer.
//!
//! All are asked at once. A process that does not get the CPU hears answers too late, or asks too late to be answered in
//! time, and would call the whole network dead when its own node is busiest. So each round is timed, and if the
//! process was away for a good part of it, those that did not answer are asked again.

#![forbid(unsafe_code)]

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::target::{Host, Target, Targets};
use super::to_tell;
use crate::agent::Cx;
use crate::error::{Doing, Error, Result};
use crate::host::names::Lookup;
use crate::host::probe::{self, Plan, Question};
use crate::trace_note;

/// How long names may take; a resolver whose first server is dead asks the second after five seconds.
const NAMES: Duration = Duration::from_secs(10);

/// More attempts say nothing more.
const MOST_ATTEMPTS: u16 = 1000;

/// Addresses of one name that are asked.
const ADDRESSES: usize = 4;

/// What one host did.
#[derive(Clone, Debug)]
pub struct Found<'a> {
    /// The host.
    pub target: &'a Target,
    /// The time to its first answer, or why it counts as not reachable.
    pub answer: Result<Duration, String>,
}

/// What all of them did.
#[derive(Clone, Debug)]
pub struct Measured<'a> {
    /// Each host, in order.
    pub hosts: Vec<Found<'a>>,
    /// The process was starved until its time was over, so that silence says nothing.
    pub doubtful: bool,
}

impl Measured<'_> {
    /// How many answered.
    #[must_use]
    pub fn reachable(&self) -> u64 {
        self.hosts.iter().filter(|found| found.answer.is_ok()).count() as u64
    }

    /// Those that did not.
    pub fn silent(&self) -> impl Iterator<Item = (&Target, &str)> {
        self.hosts
            .iter()
            .filter_map(|found| Some((found.target, found.answer.as_ref().err()?.as_str())))
    }
}

/// Asks `targets` as `plan` says, as long as the action's deadline allows.
///
/// # Errors
/// There are no sockets for it: nothing can be said about any host.
pub fn measure<'a>(targets: &'a Targets, plan: &Plan, cx: &Cx<'_>) -> Result<Measured<'a>> {
    let left = || cx.deadline.left().saturating_sub(to_tell(&cx.deadline));
    let fair = fair_time(plan, cx.deadline.timeout());
    let names = NAMES.min(left().saturating_sub(plan.time)).max(left() / 4);
    let addresses = look_up(targets, plan, names);
    let mut hosts: Vec<Found<'a>> = targets
        .all()
        .iter()
        .zip(&addresses)
        .map(|(target, found)| {
            let answer = Err(found.as_ref().err().cloned().unwrap_or_default());
            Found { target, answer }
        })
        .collect();
    loop {
        let plan = Plan { time: plan.time.min(left()), ..plan.clone() };
        if plan.time < fair {
            let words = "did not get the CPU until the time to ask was nearly over, so silence says nothing";
            cx.log.warn(words);
            return Ok(Measured { hosts, doubtful: true });
        }
        let late = ask(&mut hosts, &addresses, &plan)?;
        let all_answered =
            hosts.iter().zip(&addresses).all(|(host, found)| host.answer.is_ok() || found.is_err());
        if all_answered || !is_starved(late, &plan) {
            return Ok(Measured { hosts, doubtful: false });
        }
        let words = format!(
            "did not get the CPU for {:.1} s of {:.1} s",
            late.as_secs_f64(),
            plan.time.as_secs_f64()
        );
        if left() < plan.time.max(Duration::from_millis(1)) {
            cx.log.warn(&format!("{words}; no time is left to ask again, so silence says nothing"));
            return Ok(Measured { hosts, doubtful: true });
        }
        cx.log.warn(&format!("{words}; asking again"));
    }
}

/// Less than this is left for a round only if the process did not get the CPU before it: names leave the whole time of a
/// round, or three quarters of what there is, which is more than half of the action's timeout. Half of that is for what is
/// everyday.
fn fair_time(plan: &Plan, timeout: Duration) -> Duration {
    plan.time.min(timeout / 2) / 2
}

/// Whether so much of a round was lost that silence says nothing.
fn is_starved(late: Duration, plan: &Plan) -> bool {
    late > (plan.time / 4).max(Duration::from_millis(50))
}

/// The addresses of each target, or why there are none. Names are looked up all at once.
fn look_up(
    targets: &Targets,
    plan: &Plan,
    patience: Duration,
) -> Vec<Result<Vec<SocketAddr>, String>> {
    let begin = Instant::now();
    let lookups: Vec<io::Result<Option<Lookup>>> = targets
        .all()
        .iter()
        .map(|target| match &target.host {
            Host::Address(_) => Ok(None),
            Host::Name(name) => Lookup::begin(name, target.port).map(Some),
        })
        .collect();
    let found = |(target, lookup): (&Target, io::Result<Option<Lookup>>)| {
        let mut addresses = match (&target.host, lookup) {
            (Host::Address(address), _) => vec![SocketAddr::new(*address, target.port)],
            (_, Ok(Some(lookup))) => lookup.finish(patience.saturating_sub(begin.elapsed()))?,
            (_, Ok(None)) => Vec::new(),
            (_, Err(error)) => return Err(format!("cannot look its name up: {error}")),
        };
        let source = plan.source.as_ref();
        addresses.retain(|address| source.is_none_or(|source| source.suits(address.ip())));
        addresses.truncate(ADDRESSES);
        if addresses.is_empty() {
            return Err("it has no address of the family of the source".to_owned());
        }
        Ok(addresses)
    };
    targets.all().iter().zip(lookups).map(found).collect()
}

/// One round with those that have not answered yet; how much of it this process was away.
fn ask(
    hosts: &mut [Found<'_>],
    addresses: &[Result<Vec<SocketAddr>, String>],
    plan: &Plan,
) -> Result<Duration> {
    let mut questions = Vec::new();
    for (host, (found, addresses)) in hosts.iter().zip(addresses).enumerate() {
        if let (Err(_), Ok(addresses)) = (&found.answer, addresses) {
            let means = found.target.means;
            questions.extend(addresses.iter().map(|to| Question { host, to: *to, means }));
        }
    }
    let round = probe::ask(&questions, plan).doing(|| "open a socket to ask hosts")?;
    let mut reasons: Vec<(usize, String)> = Vec::new();
    for (question, answer) in questions.iter().zip(round.answers) {
        let Some(found) = hosts.get_mut(question.host) else { continue };
        match answer {
            Ok(after) => found.answer = Ok(after),
            Err(why) => reasons.push((question.host, why)),
        }
    }
    for (host, why) in reasons {
        if let Some(found) = hosts.get_mut(host)
            && found.answer.is_err()
        {
            found.answer = Err(why);
        }
    }
    trace_note!("{} question(s) asked, away for {:?}", questions.len(), round.late);
    Ok(round.late)
}

/// How often and how long to ask, from what the administrator gave.
///
/// # Errors
/// There are too many attempts, or more answers are needed than there are; or a source and a host are of different families.
pub fn plan(targets: &Targets, plan: Plan) -> Result<Plan> {
    let wrong = |name, why: String| Err(Error::Configured { name, why });
    if plan.attempts > MOST_ATTEMPTS {
        let why = format!("{} attempts are too many; give {MOST_ATTEMPTS} or less", plan.attempts);
        return wrong("attempts", why);
    }
    if plan.needed > plan.attempts {
        let why = format!(
            "{} of {} attempts cannot be answered; give more attempts",
            plan.needed, plan.attempts
        );
        return wrong("replies", why);
    }
    if plan.time.is_zero() {
        return wrong("timeout", "no host answers in no time; give a second or two".to_owned());
    }
    for target in targets.all() {
        if let (Host::Address(address), Some(source)) = (&target.host, &plan.source)
            && !source.suits(*address)
        {
            return wrong(
                "source",
                format!("{target} has an address of the other family; give an interface"),
            );
        }
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_little_lateness_is_everyday() {
        let plan =
            Plan { attempts: 3, needed: 1, time: Duration::from_secs(2), size: 56, source: None };
        assert!(!is_starved(Duration::from_millis(400), &plan));
        assert!(is_starved(Duration::from_millis(600), &plan));
    }
}
