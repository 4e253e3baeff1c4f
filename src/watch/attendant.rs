//! Somebody beside a look, who notices that it hangs, and for how long this process was given no time.
//!
//! A look at a resource can end up in the kernel, behind a disk or a server that does not answer, and then not even a signal
//! brings it back. A second thread can still speak. It is there while a look is made and not else, so that a watcher which sleeps
//! has no thread and no timer besides. As it wakes up at a beat, it is late whenever this process does not run: not only while it
//! waits for a processor, but also while a signal, a freezer, a quota of its control group or the host of a virtual machine
//! holds it.

#![forbid(unsafe_code)]

use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// How often it is looked whether time was lost.
const BEAT: Duration = Duration::from_millis(50);

/// What any host may be late by.
const USUAL: Duration = Duration::from_millis(5);

/// Enough for a report.
const STACK: usize = 512 * 1024;

/// Makes a look, and calls `overdue` if it takes longer than `limit`, time that was lost not counted: as often as that says, after
/// the time that it says. What the look came to, and how much time was lost.
pub fn beside<T>(
    limit: Duration,
    overdue: impl FnMut() -> Option<Duration> + Send,
    look: impl FnOnce() -> T,
) -> (T, Duration) {
    let begin = Instant::now();
    let (end, ended) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let attendant = thread::Builder::new().stack_size(STACK);
        let attendant =
            attendant.spawn_scoped(scope, move || attend(&ended, begin, limit, overdue));
        let came_to = look();
        drop(end);
        // Without a thread there is a look nevertheless.
        let lost = attendant.ok().and_then(|attendant| attendant.join().ok());
        (came_to, lost.unwrap_or_default())
    })
}

fn attend(
    ended: &Receiver<()>,
    begin: Instant,
    limit: Duration,
    mut overdue: impl FnMut() -> Option<Duration>,
) -> Duration {
    let (mut before, mut lost, mut limit) = (begin, Duration::ZERO, limit);
    loop {
        let over = ended.recv_timeout(BEAT) != Err(RecvTimeoutError::Timeout);
        let now = Instant::now();
        let late = now.duration_since(before).saturating_sub(BEAT);
        lost += if late > USUAL { late } else { Duration::ZERO };
        before = now;
        if over {
            return lost;
        }
        if now.duration_since(begin).saturating_sub(lost) >= limit {
            let Some(again) = overdue() else {
                // There is nothing more to say until it ends, be it for days.
                let _ = ended.recv();
                return lost;
            };
            before = Instant::now();
            limit = before.duration_since(begin).saturating_sub(lost) + again;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    const SHORT: Duration = Duration::from_millis(20);

    #[test]
    fn a_look_that_ends_in_time_is_left_alone() {
        let long = Duration::from_mins(1);
        let (came_to, lost) = beside(long, || panic!("it is in time"), || 7);
        assert_eq!(came_to, 7);
        assert!(lost < long);
    }

    #[test]
    fn a_look_that_hangs_is_told_of_as_often_as_wanted() {
        let told = AtomicU32::new(0);
        let overdue = || if told.fetch_add(1, Ordering::SeqCst) == 0 { Some(SHORT) } else { None };
        let enough = || {
            let begin = Instant::now();
            while told.load(Ordering::SeqCst) < 2 && begin.elapsed() < Duration::from_secs(30) {
                thread::sleep(SHORT);
            }
            thread::sleep(BEAT * 4);
        };
        beside(SHORT, overdue, enough);
        assert_eq!(told.load(Ordering::SeqCst), 2);
    }
}
