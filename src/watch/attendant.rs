//! Somebody beside a look, who notices that it hangs, and for how long this process was given no time.
//!
//! A look at a resource can end up in the kernel, behind a disk or a server that does not answer, and then not even a signal
//! brings it back. A second thread can still speak. It sleeps at a timer (`timerfd_create(2)`) that runs while a look is made and
//! not else, so that it is woken by nothing while the watcher sleeps, nor by a look that is quick. As the timer has a beat, whoever hears
//! it is late whenever this process does not run: not only while it waits for a processor, but also while a signal, a freezer, a
//! quota of its control group or the host of a virtual machine holds it.

#![forbid(unsafe_code)]

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use crate::error::{Doing, Result};

/// How often it is looked whether time was lost.
const BEAT: Duration = Duration::from_millis(50);

/// What any host may be late by.
const USUAL: Duration = Duration::from_millis(5);

/// Enough for a report.
const STACK: usize = 512 * 1024;

/// A thread that attends looks, and its timer.
#[derive(Debug)]
pub struct Attendant {
    timer: TimerFd,
    attended: Mutex<Attended>,
}

#[derive(Debug, Default)]
struct Attended {
    look: Option<Look>,
    /// How many looks there were, so that none is taken for another.
    number: u64,
    /// There will be no more.
    ended: bool,
}

/// A look that is made at this moment.
#[derive(Debug)]
struct Look {
    begin: Instant,
    /// The last beat.
    before: Instant,
    lost: Duration,
    /// How long it may take.
    limit: Duration,
    /// When it is said that it takes longer; never once there is nothing more to say, be it for days.
    overdue: Option<Duration>,
}

impl Look {
    fn new(limit: Duration) -> Self {
        let begin = Instant::now();
        Self { begin, before: begin, lost: Duration::ZERO, limit, overdue: Some(limit) }
    }

    /// Counts what was lost since the last beat.
    fn beat(&mut self, now: Instant) {
        let late = now.duration_since(self.before).saturating_sub(BEAT);
        if late > USUAL && self.overdue.is_some() {
            self.lost += late;
        }
        self.before = now;
    }

    /// For how long it has been made, without the time that was lost.
    fn length(&self, now: Instant) -> Duration {
        now.duration_since(self.begin).saturating_sub(self.lost)
    }
}

impl Attendant {
    /// One that does not attend anything yet.
    ///
    /// # Errors
    /// There are no more timers.
    pub fn new() -> Result<Self> {
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC);
        let timer = timer.doing(|| "make a timer")?;
        Ok(Self { timer, attended: Mutex::default() })
    }

    /// Attends the looks that `body` makes. `overdue` is called for one that takes longer than its limit, time that was lost
    /// not counted: once, and again after the time that it says.
    pub fn during<T>(
        &self,
        overdue: impl FnMut(Duration) -> Option<Duration> + Send,
        body: impl FnOnce() -> T,
    ) -> T {
        self.attended().ended = false;
        thread::scope(|scope| {
            let thread = thread::Builder::new().stack_size(STACK);
            // Without a thread there are looks nevertheless.
            let _ = thread.spawn_scoped(scope, move || self.attend(overdue));
            let _end = End(self);
            body()
        })
    }

    /// Makes a look that may take as long as `limit`. What it came to, and how much time was lost.
    pub fn beside<T>(&self, limit: Duration, look: impl FnOnce() -> T) -> (T, Duration) {
        {
            let mut attended = self.attended();
            attended.number += 1;
            attended.look = Some(Look::new(limit));
            self.beat(true);
        }
        let came_to = look();
        let mut attended = self.attended();
        self.beat(false);
        let lost = attended.look.take().map(|mut look| {
            look.beat(Instant::now());
            look.lost
        });
        (came_to, lost.unwrap_or_default())
    }

    fn attend(&self, mut overdue: impl FnMut(Duration) -> Option<Duration>) {
        loop {
            // An error is a signal, after which there is one beat more.
            let _ = self.timer.wait();
            let mut attended = self.attended();
            if attended.ended {
                return;
            }
            let (number, now) = (attended.number, Instant::now());
            let Some(look) = &mut attended.look else { continue };
            look.beat(now);
            if look.overdue.is_none_or(|limit| look.length(now) < limit) {
                continue;
            }
            let limit = look.limit;
            // It may end while somebody is told.
            drop(attended);
            let again = overdue(limit);
            let mut attended = self.attended();
            if attended.number != number {
                continue;
            }
            let Some(look) = &mut attended.look else { continue };
            look.before = Instant::now();
            look.overdue = again.map(|again| look.length(look.before) + again);
            if again.is_none() {
                self.beat(false);
            }
        }
    }

    /// Begins or ends the beat.
    fn beat(&self, wanted: bool) {
        let beat = TimeSpec::from(BEAT);
        let flags = TimerSetTimeFlags::empty();
        // What is given is in order, and nothing else can fail.
        let _ = if wanted {
            self.timer.set(Expiration::IntervalDelayed(beat, beat), flags)
        } else {
            self.timer.unset()
        };
    }

    fn attended(&self) -> MutexGuard<'_, Attended> {
        self.attended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the thread, also where what it attends panics.
struct End<'a>(&'a Attendant);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.attended().ended = true;
        let at_once = TimeSpec::from(Duration::from_nanos(1));
        let _ = self.0.timer.set(Expiration::OneShot(at_once), TimerSetTimeFlags::empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_mins(1);

    fn patiently(done: impl Fn() -> bool) {
        let begin = Instant::now();
        while !done() && begin.elapsed() < Duration::from_secs(30) {
            thread::sleep(SHORT);
        }
    }

    #[test]
    fn looks_that_end_in_time_are_left_alone() {
        let attendant = Attendant::new().unwrap();
        attendant.during(
            |_| panic!("it is in time"),
            || {
                for number in 0..3 {
                    let (came_to, lost) = attendant.beside(LONG, || number);
                    assert_eq!(came_to, number);
                    assert!(lost < LONG);
                    thread::sleep(BEAT * 2);
                }
            },
        );
    }

    #[test]
    fn a_look_that_hangs_is_told_of_as_often_as_wanted() {
        let attendant = Attendant::new().unwrap();
        let told = AtomicU32::new(0);
        let overdue = |limit| {
            assert_eq!(limit, SHORT);
            if told.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) { Some(SHORT) } else { None }
        };
        attendant.during(overdue, || {
            for often in [2, 4] {
                let look = || {
                    patiently(|| told.load(Ordering::SeqCst) >= often);
                    thread::sleep(BEAT * 4);
                };
                let ((), lost) = attendant.beside(SHORT, look);
                assert_eq!(told.load(Ordering::SeqCst), often);
                assert!(lost < LONG);
            }
            // The next one is not taken for it.
            attendant.beside(LONG, || thread::sleep(BEAT * 3));
        });
        assert_eq!(told.load(Ordering::SeqCst), 4);
    }
}
