//! Waiting for a described condition until a deadline.

use std::thread;
use std::time::{Duration, Instant};

use crate::Outcome;

/// A look costs a few commands in a node; the client, not this loop, measures outages.
const PAUSE: Duration = Duration::from_millis(40);

/// Looks until `look` finds something; what it said last is part of the error.
pub fn for_some<T>(
    what: &str,
    patience: Duration,
    mut look: impl FnMut() -> Outcome<Option<T>>,
) -> Outcome<T> {
    let begun = Instant::now();
    loop {
        let seen = look();
        if let Ok(Some(found)) = seen {
            return Ok(found);
        }
        if begun.elapsed() > patience {
            let last = seen
                .err()
                .map_or_else(String::new, |error| format!("; the last look said: {error}"));
            return Err(format!("waited {patience:?} for this: {what}{last}"));
        }
        thread::sleep(PAUSE);
    }
}

/// Looks until `look` says yes.
pub fn until(
    what: &str,
    patience: Duration,
    mut look: impl FnMut() -> Outcome<bool>,
) -> Outcome<()> {
    for_some(what, patience, || Ok(look()?.then_some(())))
}
