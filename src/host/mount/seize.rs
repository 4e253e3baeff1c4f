//! Stopping users of a mount who multiply: each at the moment in which it is found, since they do not live until the end of a pass.

#![forbid(unsafe_code)]

use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::holders::{Sought, ancestors, protection};
use super::{scan, task};
use crate::deadline::Deadline;
use crate::error::Result;
use crate::host::pidfd::Handle;
use crate::host::process::Identity;
use crate::host::survey;

/// After a pass the youngest processes are looked at again and again, until none was a new user for so long.
const QUIET: Duration = Duration::from_millis(20);

/// As many of those that began since the last look are looked at, the youngest first: the others had their time.
const MOST_YOUNG: i32 = 16;

/// Stops those that use one of the mounts and may be signalled, and adds them to `stopped` if they were not among them. If there are
/// none to add, nobody is left who multiplies.
///
/// # Errors
/// /proc does not answer.
pub fn stop_users(
    sought: &Arc<Sought>,
    deadline: &Deadline,
    at_most: Duration,
    stopped: &mut Vec<Handle>,
) -> Result<()> {
    let until = Instant::now() + deadline.left().min(at_most);
    let known = stopped.iter().map(|handle| handle.identity).collect();
    let hunt = Hunt { sought: Arc::clone(sought), ancestors: ancestors()?, known };
    let hunt = Arc::new(hunt);
    let one = Arc::clone(&hunt);
    let found = survey::ask(scan::numbers(Path::new("/proc")), until, move |pid| {
        // Most are no users, and not worth a descriptor.
        task::first_use(pid, &one.sought)?;
        one.stop(pid)
    });
    // In a thread, since each of them might hang.
    let young = survey::ask(vec![0], until, move |_| hunt.young(until));
    let young = young.answers.into_iter().flat_map(|(_, handles)| handles);
    let mut known: HashSet<Identity> = stopped.iter().map(|handle| handle.identity).collect();
    let found = found.answers.into_iter().map(|(_, handle)| handle).chain(young);
    stopped.extend(found.filter(|handle| known.insert(handle.identity)));
    Ok(())
}

struct Hunt {
    sought: Arc<Sought>,
    ancestors: Vec<i32>,
    known: HashSet<Identity>,
}

impl Hunt {
    /// Stops the process of that number, if it is a user. It is looked at after its descriptor was opened: if the signal reaches it,
    /// the number was its own all the time.
    fn stop(&self, pid: i32) -> Option<Handle> {
        let (handle, process) = Handle::of_number(pid).ok()??;
        if self.known.contains(&handle.identity) || protection(&process, &self.ancestors).is_some()
        {
            return None;
        }
        task::first_use(pid, &self.sought)?;
        handle.signal(Signal::SIGSTOP).ok()?;
        Some(handle)
    }

    fn young(&self, until: Instant) -> Option<Vec<Handle>> {
        let mut stopped = Vec::new();
        let file = File::open("/proc/loadavg").ok()?;
        let mut last = youngest(&file)?;
        let mut quiet = Instant::now();
        while Instant::now() < until && quiet.elapsed() < QUIET {
            let now = youngest(&file)?;
            // Numbers begin again at the end of their range.
            let first = if now < last { now - MOST_YOUNG } else { last.max(now - MOST_YOUNG) };
            let before = stopped.len();
            stopped.extend((first + 1..=now).rev().filter_map(|pid| self.stop(pid)));
            if stopped.len() > before {
                quiet = Instant::now();
            }
            last = now;
            std::thread::yield_now();
        }
        Some(stopped).filter(|stopped| !stopped.is_empty())
    }
}

/// The number of the process, or thread, that began last (`proc_loadavg(5)`).
fn youngest(file: &File) -> Option<i32> {
    let mut text = [0; 128];
    let length = file.read_at(&mut text, 0).ok()?;
    std::str::from_utf8(&text[..length]).ok()?.split_ascii_whitespace().last()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_youngest_is_known_again_and_again() {
        let file = File::open("/proc/loadavg").unwrap();
        let before = youngest(&file).unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert_ne!(youngest(&file).unwrap(), before);
    }

    #[test]
    fn only_users_are_stopped() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id().cast_signed();
        let hunt = Hunt { sought: Arc::default(), ancestors: Vec::new(), known: HashSet::new() };
        assert!(hunt.stop(pid).is_none() && hunt.stop(1).is_none());
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        assert!(!state.contains(") T"), "{state}");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
