//! A failure told to Pacemaker, and counted once.
//!
//! Pacemaker writes a failure that it is told of into two places of its history, as the last action and as the last failure, and up
//! to 2.1.5 it often counts both: only for actions of its own transitions it takes the second one for what it is. So there one is
//! taken off the count before: at no moment more failures are shown than there were, and no migration-threshold is reached by one too
//! many. Whether both were counted is looked at afterwards, and what is wrong is mended. What the count was is kept in a file
//! until then, since the stop that follows ends the watcher: whoever has the lock of the watcher next, be it that stop or another
//! watcher, finds the file and does the rest.

#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use super::manager::LONGEST_REPORT;
use crate::deadline::Deadline;
use crate::environment::Environment;
use crate::error::Result;
use crate::host::program;
use crate::log::Log;
use crate::state::StateFile;

/// How long a count may stay as it is before it counts as all that will come, for who has nothing else to do.
pub const PATIENT: Duration = Duration::from_secs(2);

/// The same for a stop, which is waited for. Both counts are sent at once, and before it; where only one came of them, which is often, the
/// service is down for as long.
pub const HASTY: Duration = Duration::from_millis(100);

/// Between two questions for the count.
const PAUSE: Duration = Duration::from_millis(20);

/// What `INFINITY` is as a number (Pacemaker Explained, "Scores").
const INFINITY: i64 = 1_000_000;

/// A failure as Pacemaker is told of it.
#[derive(Clone, Copy, Debug)]
pub struct Pacemaker<'a> {
    environment: &'a Environment,
    resource: &'a str,
    node: Option<&'a str>,
}

impl<'a> Pacemaker<'a> {
    /// Of that resource on that node, by their names there.
    #[must_use]
    pub fn new(environment: &'a Environment, resource: &'a str, node: Option<&'a str>) -> Self {
        Self { environment, resource, node }
    }

    /// Tells of the failure (`crm_resource(8)`, `--fail`). `note` is where the count is kept.
    ///
    /// # Errors
    /// Pacemaker is not there, or did not take it.
    pub fn fail(&self, note: &StateFile, log: &Log<'_>) -> Result<()> {
        let deadline = Deadline::after(LONGEST_REPORT);
        let lent = if counts_twice(self.environment) {
            self.lend(note, &deadline).unwrap_or_else(|error| {
                log.warn(&format!("Pacemaker may count this failure twice: {error}"));
                false
            })
        } else {
            false
        };
        let told = self.run("crm_resource", &["--fail", "--resource", self.resource], &deadline);
        if lent {
            self.settle(note, PATIENT);
        }
        told
    }

    /// Takes one off the count, unless it is infinite; whether that was done.
    fn lend(&self, note: &StateFile, deadline: &Deadline) -> Result<bool> {
        let before = self.count(deadline)?.unwrap_or(0);
        if before >= INFINITY {
            return Ok(false);
        }
        let place = self.node.unwrap_or_default();
        note.write(&format!("{}\n{place}\n{before}\n", self.resource))?;
        self.add(-1, deadline).inspect_err(|_| drop(note.remove()))?;
        Ok(true)
    }

    /// Mends the count as soon as it is clear what it came to, which is when it did not change for `patience`.
    fn settle(&self, note: &StateFile, patience: Duration) {
        let deadline = Deadline::after(LONGEST_REPORT);
        let Some(before) = note.read().ok().flatten().and_then(|text| Lent::parse(&text)) else {
            let _ = note.remove();
            return;
        };
        let (mut since, mut last) = (Instant::now(), None);
        while let Ok(seen) = self.count(&deadline) {
            if last != Some(seen) {
                (since, last) = (Instant::now(), Some(seen));
            }
            match missing(before.count, seen) {
                0 if seen.is_some() => break,
                // Something may still be on its way.
                _ if since.elapsed() < patience && !deadline.left().is_zero() => {
                    std::thread::sleep(PAUSE);
                }
                0 => break,
                change => {
                    let _ = self.add(change, &deadline);
                    break;
                }
            }
        }
        // If Pacemaker does not answer, it is down, and its counts are gone with it.
        let _ = note.remove();
    }

    fn name(&self) -> String {
        format!("fail-count-{}#asyncmon_0", self.resource)
    }

    fn add(&self, change: i64, deadline: &Deadline) -> Result<()> {
        let change = format!("value+={change}");
        self.run("attrd_updater", &["--name", &self.name(), "--update", &change], deadline)
    }

    /// The count; none if there is none.
    fn count(&self, deadline: &Deadline) -> Result<Option<i64>> {
        /// What the program ends with if there is no such attribute: 78 is what 2.1.5 makes of `ENXIO`, 105 what `crm_error(8)` has.
        const NONE: [i32; 2] = [78, 105];
        let name = self.name();
        let arguments = self.at_node(&["--name", &name, "--query"]);
        match program::ask_with_stdin(self.environment, "attrd_updater", &arguments, deadline) {
            Ok(text) => Ok(value_in(&text)),
            Err(failed) if failed.code.is_some_and(|code| NONE.contains(&code)) => Ok(None),
            Err(failed) => Err(failed.error),
        }
    }

    fn run(&self, program: &str, arguments: &[&str], deadline: &Deadline) -> Result<()> {
        program::run_with_stdin(self.environment, program, &self.at_node(arguments), deadline)
    }

    fn at_node<'w>(&'w self, arguments: &[&'w str]) -> Vec<&'w str> {
        let node = self.node.map_or_else(Vec::new, |node| vec!["--node", node]);
        [arguments, node.as_slice()].concat()
    }
}

/// Mends a count that a watcher could not see to any more; whoever calls has the lock of the watcher.
pub fn settle(environment: &Environment, note: &StateFile) {
    let Some(lent) = note.read().ok().flatten().and_then(|text| Lent::parse(&text)) else { return };
    let place = Some(lent.node.as_str()).filter(|place| !place.is_empty());
    Pacemaker::new(environment, &lent.resource, place).settle(note, HASTY);
}

/// What is in the note.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Lent {
    resource: String,
    node: String,
    count: i64,
}

impl Lent {
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let mut next = || lines.next().map(str::to_owned);
        Some(Self { resource: next()?, node: next()?, count: next()?.parse().ok()? })
    }
}

/// What has to be added to a count that was `before`, of which one was taken off, and that is `seen` now. None is what a cleanup
/// leaves, and then nothing is mended.
fn missing(before: i64, seen: Option<i64>) -> i64 {
    let Some(seen) = seen else { return 0 };
    // Somebody cleaned up meanwhile, and it is counted from nothing.
    let before = if seen < before - 1 { 0 } else { before };
    match seen - before {
        // The failure was not counted, because it was not told or is to be ignored; or it was counted once, as it should be,
        // but for what was taken off.
        -1 | 0 => 1,
        // What was taken off was cleaned up, and then the failure was counted twice.
        2 => -1,
        _ => 0,
    }
}

/// The value in the answer of `attrd_updater --query`.
fn value_in(text: &str) -> Option<i64> {
    let (value, _) = text.split_once("value=\"")?.1.split_once('"')?;
    if value == "INFINITY" { Some(INFINITY) } else { value.parse().ok() }
}

/// Whether this Pacemaker may count a failure twice: 3.16 is what 2.1.5 speaks; later ones know better, and of earlier ones nobody has
/// shown it.
fn counts_twice(environment: &Environment) -> bool {
    environment.text("OCF_RESKEY_crm_feature_set").is_some_and(|set| set.starts_with("3.16."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_versions_that_are_known_to_count_twice_are_corrected() {
        let mut environment = Environment::default();
        for (set, twice) in
            [("3.16.2", true), ("3.16.1", true), ("3.17.4", false), ("3.2.0", false)]
        {
            environment.set("OCF_RESKEY_crm_feature_set", set);
            assert_eq!(counts_twice(&environment), twice, "{set}");
        }
    }

    #[test]
    fn a_value_is_read_as_attrd_writes_it() {
        let line =
            |value| format!("name=\"fail-count-a#asyncmon_0\" host=\"n\" value=\"{value}\"\n");
        assert_eq!(value_in(&line("3")), Some(3));
        assert_eq!(value_in(&line("-1")), Some(-1));
        assert_eq!(value_in(&line("INFINITY")), Some(INFINITY));
        assert_eq!((value_in(&line("")), value_in("")), (None, None));
    }

    /// Whatever the count was, whether Pacemaker counts once, twice or not at all, and whether somebody cleans up at any of these
    /// moments: in the end it is what one failure makes it, and never negative.
    #[test]
    fn one_failure_is_counted_once() {
        for before in [0_i64, 1, 2, 3, 10] {
            for counted in 0..=2_i64 {
                for cleaned in [None, Some(0), Some(1), Some(2), Some(3)] {
                    let mut value = (before > 0).then_some(before);
                    // The steps: lend, count, count; and a cleanup before one of them, or after all.
                    for step in 0..=3 {
                        if cleaned == Some(step) {
                            value = None;
                        }
                        let change = match step {
                            0 => -1,
                            3 => continue,
                            _ if i64::from(step) <= counted => 1,
                            _ => continue,
                        };
                        value = Some(value.unwrap_or(0) + change);
                    }
                    let mended = value.map_or(0, |value| value + missing(before, Some(value)));
                    let what =
                        format!("{before}, counted {counted}, cleaned {cleaned:?}: {mended}");
                    assert!(mended >= 0, "{what}");
                    match cleaned {
                        None => assert_eq!(mended, before + counted.min(1), "{what}"),
                        // What was cleaned up, and then failed once, may look like a count that nobody touched.
                        Some(_) => assert!(mended <= before.max(1) + 1, "{what}"),
                    }
                }
            }
        }
    }

    #[test]
    fn a_note_is_read_as_it_was_written() {
        let lent = Lent { resource: "vip".to_owned(), node: String::new(), count: 2 };
        assert_eq!(Lent::parse("vip\n\n2\n"), Some(lent));
        for broken in ["", "vip\n", "vip\nn\nx\n"] {
            assert_eq!(Lent::parse(broken), None);
        }
    }
}
