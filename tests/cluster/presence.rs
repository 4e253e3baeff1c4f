//! When a file comes and goes on several nodes, seen from outside at the moment it happens.

use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

use crate::fleet::Fleet;
use crate::{Outcome, clock, says, wait};

/// What was seen.
struct Change {
    at: Duration,
    node: u8,
    is_there: bool,
}

/// An eye on one file of every running node; it closes with this value.
pub struct Presence {
    changes: Arc<Mutex<Vec<Change>>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Presence {
    /// Watches the file from now on. Its directory must be there.
    pub fn begin(fleet: &Fleet, file: &str) -> Outcome<Self> {
        let (directory, name) = file.rsplit_once('/').ok_or("a path has a directory")?;
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)
            .map_err(says("inotify"))?;
        let kinds = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_DELETE | AddWatchFlags::IN_MOVE;
        let mut nodes = Vec::new();
        for (number, node) in fleet.running() {
            let watch = inotify
                .add_watch(&node.path(directory), kinds)
                .map_err(says(format!("cannot watch {directory} on {}", node.name())))?;
            nodes.push((watch, number));
        }
        let eye = Eye { inotify, nodes, name: name.to_owned() };
        let (changes, is_over) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let (sink, end) = (Arc::clone(&changes), Arc::clone(&is_over));
        let thread = thread::spawn(move || eye.look(&sink, &end));
        Ok(Self { changes, is_over, thread: Some(thread) })
    }

    /// Waits until the file has gone from node `from` and come to node `to`; the time between.
    pub fn await_move(
        &self,
        (from, to): (u8, u8),
        since: Duration,
        patience: Duration,
    ) -> Outcome<Duration> {
        let what = format!("the file has moved from node {from} to node {to}");
        wait::for_some(&what, patience, || {
            let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
            let when = |node: u8, is_there: bool| {
                let is_it = |change: &&Change| {
                    change.at > since && change.node == node && change.is_there == is_there
                };
                changes.iter().find(is_it).map(|change| change.at)
            };
            Ok(when(from, false)
                .zip(when(to, true))
                .map(|(gone, there)| there.saturating_sub(gone)))
        })
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Whether it panicked is seen in what it did not find.
        let _ended = self.thread.take().map(JoinHandle::join);
    }
}

/// The thread's half.
struct Eye {
    inotify: Inotify,
    nodes: Vec<(WatchDescriptor, u8)>,
    name: String,
}

impl Eye {
    fn look(&self, sink: &Mutex<Vec<Change>>, end: &AtomicBool) {
        while !end.load(Ordering::Relaxed) {
            let mut files = [PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN)];
            // So often it looks whether it is over; an event wakes it at once.
            let _number = poll(&mut files, PollTimeout::from(50_u8));
            let at = clock::now();
            // Nothing to read is no news.
            for event in self.inotify.read_events().unwrap_or_default() {
                let node = self.nodes.iter().find(|(watch, _)| *watch == event.wd);
                let is_it = event
                    .name
                    .as_deref()
                    .is_some_and(|name| Path::new(name) == Path::new(&self.name));
                if let (Some((_, node)), true) = (node, is_it) {
                    let came = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
                    let change = Change { at, node: *node, is_there: event.mask.intersects(came) };
                    sink.lock().unwrap_or_else(PoisonError::into_inner).push(change);
                }
            }
        }
    }
}
