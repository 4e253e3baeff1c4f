//! Probes: does a server answer in its own protocol?
//!
//! A probe is written as a URL ([`url::Url`]). It makes the smallest exchange of its protocol that changes nothing on the
//! server ([`protocol`]): so a server that accepts connections and says nothing is failed, and one that answers "no, not
//! you" is alive. No probe takes longer than its deadline, whatever the server does, and none keeps more than
//! [`wire::MOST`] bytes of what it sends.

#![forbid(unsafe_code)]

pub mod line;
pub mod location;
mod md5;
pub mod option;
pub mod outcome;
pub mod protocol;
pub mod tls;
pub mod url;
pub mod wire;

use std::time::{Duration, Instant};

use crate::deadline::Deadline;
pub use outcome::{Failure, Phase, Report};
pub use url::{Url, Urls};
use wire::Wire;

use crate::error::Error;
use crate::{trace_answer, trace_ask, trace_note};

/// How long a probe may take that is not told otherwise.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Pause before a second look: a server that is being reloaded is back by then.
const PAUSE: Duration = Duration::from_millis(500);

/// At most this many probes in one list: each has a thread.
pub const MOST_PROBES: usize = 32;

/// Stack of a probe's thread: what TLS and a regular expression need, many times over.
const STACK: usize = 512 * 1024;

/// How often a probe is made before it counts as failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looks {
    /// At start, where the next look comes anyway, and on the command line.
    Once,
    /// In a recurring monitor: one lost packet is no reason to move a service.
    Twice,
}

/// Makes all probes, side by side, so that one dead host does not eat the time of the others. What each found, in the
/// order of `urls`.
///
/// Each look has the time that the URL gives it, and never more than `deadline` leaves.
#[must_use]
pub fn run(urls: &[Url], looks: Looks, deadline: &Deadline) -> Vec<Result<Report, Failure>> {
    let first = match looks {
        Looks::Once => *deadline,
        Looks::Twice => deadline.at_most(deadline.left() / 2),
    };
    let mut found = look(&urls.iter().collect::<Vec<_>>(), &first);
    if looks == Looks::Once || found.iter().all(Result::is_ok) {
        return found;
    }
    std::thread::sleep(PAUSE.min(deadline.left() / 10));
    let failed: Vec<usize> = (0..urls.len()).filter(|at| found[*at].is_err()).collect();
    trace_note!("{} of {} probes failed: a second look", failed.len(), urls.len());
    let again: Vec<&Url> = failed.iter().map(|at| &urls[*at]).collect();
    for (at, outcome) in failed.into_iter().zip(look(&again, deadline)) {
        found[at] = outcome;
    }
    found
}

/// The same for an action, which succeeds if all are alive.
///
/// # Errors
/// What failed, each with its reason.
pub fn all_alive(urls: &[Url], looks: Looks, deadline: &Deadline) -> Result<(), Error> {
    let found = run(urls, looks, deadline).into_iter();
    Error::all(found.filter_map(Result::err).map(Failure::into_error).collect())
}

/// One look at each.
fn look(urls: &[&Url], deadline: &Deadline) -> Vec<Result<Report, Failure>> {
    let (Some((last, others)), true) = (urls.split_last(), urls.len() > 1) else {
        return urls.iter().map(|url| make(url, deadline)).collect();
    };
    std::thread::scope(|scope| {
        let started: Vec<_> = others
            .iter()
            .map(|url| {
                let thread = std::thread::Builder::new().stack_size(STACK);
                thread.spawn_scoped(scope, move || make(url, deadline))
            })
            .collect();
        // This thread has nothing better to do than to make one itself.
        let mine = make(last, deadline);
        let joined = started.into_iter().zip(others).map(|(thread, url)| match thread {
            Ok(thread) => thread.join().unwrap_or_else(|_| Err(Failure::internal(url))),
            // No more threads: then one after the other.
            Err(_) => make(url, deadline),
        });
        joined.chain([mine]).collect()
    })
}

/// Makes one probe.
fn make(url: &Url, deadline: &Deadline) -> Result<Report, Failure> {
    trace_ask!("probe {url}");
    let begin = Instant::now();
    let end = begin + url.options.timeout.unwrap_or(PATIENCE).min(deadline.left());
    let mut wire = Wire::new(begin, end);
    let opened = if url.is_quick() { wire.open(url) } else { Ok(()) };
    let outcome = opened.and_then(|()| (url.protocol.talk)(url, &mut wire));
    if outcome.is_ok() {
        wire.mark(Phase::Answer);
    }
    let took = begin.elapsed();
    let outcome = match outcome {
        Ok(said) => Ok(Report { said, took, marks: wire.into_marks() }),
        Err(trouble) => Err(Failure::new(url, trouble, took, wire.into_marks())),
    };
    trace_answer!("{outcome:?}");
    outcome
}
