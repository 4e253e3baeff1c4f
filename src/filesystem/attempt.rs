//! Attempts to unmount, each in a process that may not come back.

#![forbid(unsafe_code)]

use std::time::Duration;

use crate::deadline::Deadline;
use crate::error::Result;
use crate::host::mount::unmount::{Answer, Attempt, Doomed, Fate, Manner};
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
