//! Attempts to unmount, each in a process that may not come back.

#![forbid(unsafe_code)]

use std::time::Duration;

use super::kind;
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::host::mount::unmount::{Answer, Attempt, Doomed, Fate, Manner};
use crate::host::mount::{Mount, Table};
use crate::state::Lock;

/// How long the kernel may take to end a process that was killed, if it does not hang.
const DIES: Duration = Duration::from_millis(500);

/// What an attempt came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The kernel's answer.
    Answered(Answer),
    /// None in the time that it had. Its process was ended.
    Silent,
}

/// All attempts of one action.
#[derive(Debug)]
pub(super) struct Attempts<'a> {
    gate: Option<Lock>,
    deadline: &'a Deadline,
    /// Those that the kernel did not even let end.
    hanging: Vec<Attempt>,
}

impl<'a> Attempts<'a> {
    /// None yet. The processes have a share in `gate`.
    pub(super) fn new(gate: Option<Lock>, deadline: &'a Deadline) -> Self {
        Self { gate, deadline, hanging: Vec::new() }
    }

    /// Makes one, which has that much time if a signal ends the kernel's wait, else all there is.
    ///
    /// # Errors
    /// The kernel refused, or did not come back and cannot be interrupted.
    pub(super) fn make(
        &mut self,
        doomed: Doomed<'_>,
        manner: Manner,
        patience: Option<Duration>,
    ) -> Result<Outcome> {
        let mut attempt = Attempt::begin(doomed, manner, self.gate.as_ref(), patience)?;
        let left = self.deadline.left_with_reserve();
        match attempt.wait(patience.map_or(left, |patience| patience.min(left)))? {
            Fate::Answered(answer) => Ok(Outcome::Answered(answer)),
            Fate::Hangs if patience.is_some() => {
                attempt.kill();
                if attempt.wait(DIES.min(left))? == Fate::Hangs {
                    self.hanging.push(attempt);
                }
                Ok(Outcome::Silent)
            }
            Fate::Hangs => {
                let error = attempt.unanswered();
                self.hanging.push(attempt);
                Err(error)
            }
        }
    }

    /// Waits until no process is left in the kernel: a mount is out of the table before what belongs to it is written.
    ///
    /// # Errors
    /// One hangs still.
    pub(super) fn settled(&mut self, at_most: Duration) -> Result<()> {
        let limit = self.deadline.at_most(at_most);
        for attempt in &mut self.hanging {
            if attempt.wait(limit.left())? == Fate::Hangs {
                return Err(attempt.unanswered());
            }
        }
        Ok(())
    }
}

impl Drop for Attempts<'_> {
    /// Whoever unlocks takes the lock from all who have a share (`flock(2)`).
    fn drop(&mut self) {
        let hangs = |attempt: &mut Attempt| matches!(attempt.wait(Duration::ZERO), Ok(Fate::Hangs));
        if self.hanging.iter_mut().any(hangs) {
            std::mem::forget(self.gate.take());
        }
    }
}

/// The file system that has to answer before a mount can be unmounted, and may not: itself, or one on the way there.
pub(super) fn server_of<'t>(mount: &'t Mount, table: &'t Table) -> Option<&'t Mount> {
    let mut current = mount;
    for _ in 0..=table.mounts().len() {
        if kind::is_remote(current) {
            return Some(current);
        }
        current = table.with_id(current.parent).filter(|parent| parent.id != current.id)?;
    }
    None
}

/// The error of a mount whose server gave no answer in all the time that there was.
pub(super) fn unanswered(place: &str, server: &Mount) -> Error {
    Error::Failed(format!(
        "cannot unmount {place}: the server of {} does not answer; bring it back, or reboot this node",
        server.source.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_of_what_is_mounted_below_is_the_one_above() {
        let lines = "1 1 8:1 / / rw - ext4 /dev/a rw\n2 1 0:9 / /far rw - nfs4 s:/x rw\n\
                     3 2 0:8 / /far/a rw - tmpfs t rw\n4 1 0:7 / /near rw - tmpfs t rw";
        let table = Table::parse(lines.as_bytes()).unwrap();
        let server = |id| server_of(table.with_id(id).unwrap(), &table).map(|server| server.id);
        assert_eq!([1, 2, 3, 4].map(server), [None, Some(2), Some(2), None]);
    }
}
