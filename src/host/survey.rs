//! One question to many processes at once, which hangs for none of them.
//!
//! Some files of `/proc/<pid>` take a lock of that process's memory, for which the kernel waits as long as the process
//! hangs in a page fault. So threads ask: one that hangs is left there (it ends with this process), and its process
//! counts as silent.

#![forbid(unsafe_code)]

use std::num::NonZero;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::{Pid, gettid};

/// How long a thread may be at one process, at least, before it is looked whether it hangs.
const PATIENCE: Duration = Duration::from_millis(250);

/// Most threads that ask as long as none hangs.
const MOST: usize = 4;

/// So many processes are worth a thread of their own.
const WORTH_A_THREAD: usize = 500;

/// Most threads at all: after so many that hang no more is asked.
const MOST_THAT_HANG: usize = 64;

/// What was answered.
#[derive(Debug)]
pub struct Survey<T> {
    /// The answers, in no order.
    pub answers: Vec<(i32, T)>,
    /// Those that did not answer in time.
    pub silent: Vec<i32>,
}

struct Asking<T, Q> {
    pids: Vec<i32>,
    question: Q,
    board: Mutex<Board<T>>,
    changed: Condvar,
}

/// What all threads know.
struct Board<T> {
    next: usize,
    workers: Vec<Worker>,
    answers: Vec<(i32, T)>,
}

#[derive(Debug, Default)]
struct Worker {
    thread: Option<Pid>,
    asks: Option<usize>,
    /// Whether it is at the question still, and not waiting to give its answer.
    is_asking: Arc<AtomicBool>,
    /// Whether it is through, or was given up.
    is_over: bool,
}

/// Asks each of `pids` the question, until that moment.
#[must_use]
pub fn ask<T, Q>(pids: Vec<i32>, until: Instant, question: Q) -> Survey<T>
where
    T: Send + 'static,
    Q: Fn(i32) -> Option<T> + Send + Sync + 'static,
{
    let board = Board { next: 0, workers: Vec::new(), answers: Vec::new() };
    let asking =
        Arc::new(Asking { pids, question, board: Mutex::new(board), changed: Condvar::new() });
    for _ in 0..threads_for(asking.pids.len()) {
        asking.employ();
    }
    if asking.lock().workers.is_empty() {
        // Without threads there is nobody else to ask.
        asking.lock().workers.push(Worker::default());
        asking.work(0);
    }
    asking.finish(until)
}

fn threads_for(count: usize) -> usize {
    let wanted = count.div_ceil(WORTH_A_THREAD).min(MOST);
    if wanted < 2 {
        return wanted;
    }
    wanted.min(thread::available_parallelism().map_or(1, NonZero::get))
}

impl<T, Q> Asking<T, Q>
where
    T: Send + 'static,
    Q: Fn(i32) -> Option<T> + Send + Sync + 'static,
{
    fn lock(&self) -> MutexGuard<'_, Board<T>> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn employ(self: &Arc<Self>) {
        let number = {
            let mut board = self.lock();
            board.workers.push(Worker::default());
            board.workers.len() - 1
        };
        let asking = Arc::clone(self);
        if thread::Builder::new().spawn(move || asking.work(number)).is_err() {
            self.lock().workers.pop();
        }
    }

    /// Asks one after the other, until there is none left or this worker was given up.
    fn work(&self, number: usize) {
        let mut answered = None;
        let is_asking = {
            let worker = &mut self.lock().workers[number];
            worker.thread = Some(gettid());
            Arc::clone(&worker.is_asking)
        };
        loop {
            let at = {
                let mut board = self.lock();
                board.answers.extend(answered.take());
                let at = board.next;
                let is_over = board.workers[number].is_over || at >= self.pids.len();
                if is_over {
                    board.workers[number].is_over = true;
                    self.changed.notify_all();
                    return;
                }
                board.next += 1;
                board.workers[number].asks = Some(at);
                at
            };
            let pid = self.pids[at];
            is_asking.store(true, Ordering::SeqCst);
            answered = (self.question)(pid).map(|answer| (pid, answer));
            is_asking.store(false, Ordering::SeqCst);
        }
    }

    /// Waits for the workers, gives up those that hang, and employs others in their place.
    fn finish(self: &Arc<Self>, until: Instant) -> Survey<T> {
        let mut silent = Vec::new();
        let mut before: Vec<Option<usize>> = Vec::new();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let works = |board: &mut Board<T>| board.workers.iter().any(|worker| !worker.is_over);
            let waited = self.changed.wait_timeout_while(self.lock(), left.min(PATIENCE), works);
            let (mut board, _) = waited.unwrap_or_else(PoisonError::into_inner);
            let time_is_over = Instant::now() >= until;
            let mut given_up = 0;
            for (number, worker) in board.workers.iter_mut().enumerate() {
                let same = worker.asks.is_some() && before.get(number) == Some(&worker.asks);
                if !worker.is_over && (time_is_over || (same && worker.hangs())) {
                    worker.is_over = true;
                    silent.extend(worker.asks.map(|at| self.pids[at]));
                    given_up += 1;
                }
            }
            before = board.workers.iter().map(|worker| worker.asks).collect();
            let employed = board.workers.len();
            let may_employ = given_up > 0 && employed < MOST_THAT_HANG;
            if time_is_over || !(may_employ || works(&mut board)) {
                silent.extend(self.pids.get(board.next..).unwrap_or_default());
                board.next = self.pids.len();
            }
            if board.next >= self.pids.len() && !works(&mut board) {
                let answers = std::mem::take(&mut board.answers);
                silent.retain(|pid| answers.iter().all(|(answered, _)| answered != pid));
                return Survey { answers, silent };
            }
            drop(board);
            // Where one hangs others may: the more hang, the more are asked at once.
            for _ in 0..(given_up * 2).min(MOST_THAT_HANG.saturating_sub(employed)) {
                self.employ();
            }
        }
    }
}

impl Worker {
    /// Whether it waits for something at its question. One that could run and has no processor does not hang; nor does one that
    /// waits for the board, which is asked last, since it may have begun to meanwhile.
    fn hangs(&self) -> bool {
        let Some(thread) = self.thread else { return false };
        let stat = std::fs::read(format!("/proc/self/task/{thread}/stat")).unwrap_or_default();
        let state = stat.iter().rposition(|byte| *byte == b')').and_then(|at| stat.get(at + 2));
        matches!(state, Some(b'S' | b'D')) && self.is_asking.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_mins(1)
    }

    #[test]
    fn everyone_is_asked_once() {
        for count in [0, 1, 499, 5000] {
            let survey = ask((0..count).collect(), soon(), Some);
            let mut answers: Vec<i32> = survey.answers.iter().map(|(pid, _)| *pid).collect();
            answers.sort_unstable();
            assert_eq!(answers, (0..count).collect::<Vec<_>>());
            assert!(survey.silent.is_empty());
            assert!(survey.answers.iter().all(|(pid, answer)| pid == answer));
        }
    }

    #[test]
    fn whoever_hangs_is_silent_and_holds_up_nobody() {
        let hanging = |pid: i32| {
            if pid % 100 == 7 {
                thread::sleep(Duration::from_secs(1000));
            }
            (pid % 2 == 0).then_some(())
        };
        let begin = Instant::now();
        let mut survey = ask((0..3000).collect(), soon(), hanging);
        survey.silent.sort_unstable();
        assert_eq!(survey.silent, (7..3000).step_by(100).collect::<Vec<_>>());
        assert_eq!(survey.answers.len(), 1500);
        assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());
    }

    #[test]
    fn when_all_hang_the_rest_is_silent_too() {
        let hanging = |_| -> Option<()> {
            thread::sleep(Duration::from_secs(1000));
            None
        };
        let mut survey = ask((0..200).collect(), soon(), hanging);
        survey.silent.sort_unstable();
        assert_eq!(survey.silent, (0..200).collect::<Vec<_>>());
        let begin = Instant::now();
        let survey = ask((0..200).collect(), begin + Duration::from_millis(50), hanging);
        assert_eq!(survey.silent.len(), 200);
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    }

    #[test]
    fn one_that_works_long_does_not_hang() {
        let busy = |pid: i32| {
            let end = Instant::now() + PATIENCE * 3;
            while Instant::now() < end {
                std::hint::spin_loop();
            }
            Some(pid)
        };
        let survey = ask(vec![1, 2], soon(), busy);
        assert_eq!((survey.answers.len(), survey.silent.len()), (2, 0));
    }
}
