//! When a node tells its cluster of a failure: the moment at which it opens the program for that, by inotify. Nothing is put
//! in the program's place, and nothing on the way is slower for being looked at.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

use crate::machine::Machine;
use crate::{Outcome, clock, says};

/// What tells Pacemaker something. Up to 2.1.5 the fail count is set right first, with the second one.
const PROGRAMS: [&str; 2] = ["/usr/sbin/crm_resource", "/usr/sbin/attrd_updater"];

/// An ear at a node; it closes with this value.
pub struct Alarm {
    inotify: Arc<Inotify>,
    watches: Vec<WatchDescriptor>,
    times: Arc<Mutex<Vec<Duration>>>,
}

impl Alarm {
    /// Listens from now on.
    pub fn on(node: &Machine) -> Outcome<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC).map_err(says("inotify"))?;
        let mut watches = Vec::new();
        for program in PROGRAMS {
            let watch = inotify.add_watch(&node.path(program), AddWatchFlags::IN_OPEN);
            watches.push(watch.map_err(says(format!("inotify of {program}")))?);
        }
        let (inotify, times) = (Arc::new(inotify), Arc::<Mutex<Vec<Duration>>>::default());
        let (ear, heard) = (Arc::clone(&inotify), Arc::clone(&times));
        thread::spawn(move || {
            while let Ok(events) = ear.read_events() {
                if !events.iter().any(|event| event.mask.contains(AddWatchFlags::IN_OPEN)) {
                    return;
                }
                heard.lock().unwrap_or_else(PoisonError::into_inner).push(clock::now());
            }
        });
        Ok(Self { inotify, watches, times })
    }

    /// The first time since then.
    pub fn first_after(&self, since: Duration) -> Option<Duration> {
        let times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.iter().find(|time| **time > since).copied()
    }
}

impl Drop for Alarm {
    /// The last watch that goes is told to the thread, which ends then.
    fn drop(&mut self) {
        for watch in self.watches.drain(..) {
            // It is gone already if the machine is.
            let _gone = self.inotify.rm_watch(watch);
        }
    }
}
