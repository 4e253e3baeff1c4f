//! Who belongs to a service, and by what proof.
//!
//! A process is a member if
//! - it is one that was recorded, by number and start time; or
//! - it began with the service's mark in its environment; or
//! - it is in the control group that was made for the service; or
//! - it is a child of a member; or
//! - it is in a session that start or a member made; or
//! - during a start, it is a child of this process, which adopts orphans then.
//!
//! Nobody is a member by a number in a file or by a name. Process 1, the kernel, this process and its ancestors are
//! never members, whatever speaks for it.

#![forbid(unsafe_code)]

use std::collections::{HashMap, HashSet};
use std::sync::mpsc;
use std::time::Duration;

use crate::error::Result;
use crate::host::process::{self, Identity, Process};

/// All processes of this moment.
#[derive(Debug)]
pub(crate) struct Census {
    processes: HashMap<i32, Process>,
    /// Whom nobody may signal: process 1, this process and its ancestors.
    protected: HashSet<i32>,
}

/// How long one process may take to tell its environment. It has to take a lock of its memory for that, which a thread
/// that hangs in a page fault holds.
const PATIENCE: Duration = Duration::from_millis(500);

impl Census {
    /// Looks at all.
    pub(crate) fn take() -> Result<Self> {
        let own = Process::own()?;
        let processes: HashMap<i32, Process> =
            Process::all()?.into_iter().map(|process| (process.identity.pid, process)).collect();
        let mut protected = HashSet::from([0, 1]);
        let mut pid = own.identity.pid;
        while protected.insert(pid) {
            pid = processes.get(&pid).map_or(0, |process| process.parent);
        }
        Ok(Self { processes, protected })
    }

    /// Those that may be members at all.
    pub(crate) fn candidates(&self) -> impl Iterator<Item = &Process> {
        self.processes.values().filter(|process| self.may_be_member(process))
    }

    /// The process of that number, if it may be a member.
    pub(super) fn get(&self, pid: i32) -> Option<&Process> {
        self.processes.get(&pid).filter(|process| self.may_be_member(process))
    }

    fn may_be_member(&self, process: &Process) -> bool {
        !process.is_kernel && !process.is_dead() && !self.protected.contains(&process.identity.pid)
    }

    /// Those that began with that entry in their environment, and those that did not answer.
    pub(super) fn marked(&self, entry: &[u8], since: u64) -> (HashSet<Identity>, Vec<Identity>) {
        let young = self.candidates().filter(|process| process.identity.start >= since);
        let mut waiting: Vec<Identity> = young.map(|process| process.identity).collect();
        let (mut marked, mut silent) = (HashSet::new(), Vec::new());
        while !waiting.is_empty() {
            let (answer, answers) = mpsc::channel();
            let (asked, entry) = (waiting.clone(), entry.to_vec());
            std::thread::spawn(move || {
                for identity in asked {
                    if answer.send(process::began_with(identity, &entry)).is_err() {
                        return;
                    }
                }
            });
            let mut answered = 0;
            while answered < waiting.len() {
                match answers.recv_timeout(PATIENCE) {
                    Ok(true) => drop(marked.insert(waiting[answered])),
                    Ok(false) => {}
                    Err(_) => break,
                }
                answered += 1;
            }
            // The thread hangs in the kernel and is left there; another one asks the rest.
            silent.extend(waiting.get(answered));
            waiting.drain(..waiting.len().min(answered + 1));
        }
        (marked, silent)
    }

    /// `first` and all that belong to them: children of members, and sessions in `sessions` or led by members.
    pub(super) fn family(&self, first: &HashSet<Identity>, sessions: &[i32]) -> Vec<Process> {
        let mut members: HashSet<i32> = first
            .iter()
            .filter(|identity| self.get(identity.pid).is_some_and(|now| now.identity == **identity))
            .map(|identity| identity.pid)
            .collect();
        loop {
            let before = members.len();
            for process in self.candidates() {
                let led =
                    members.contains(&process.session) || self.is_in(process, sessions, &members);
                if led || self.is_child(process, &members) {
                    members.insert(process.identity.pid);
                }
            }
            if members.len() == before {
                break;
            }
        }
        let mut found: Vec<Process> =
            members.into_iter().filter_map(|pid| self.get(pid)).cloned().collect();
        found.sort_by_key(|process| (process.identity.start, process.identity.pid));
        found
    }

    /// A session keeps its number as long as a process is in it (`pid` is not freed in the kernel), so that a member in
    /// it proves that the number still means the session that was recorded.
    fn is_in(&self, process: &Process, sessions: &[i32], members: &HashSet<i32>) -> bool {
        sessions.contains(&process.session)
            && members.iter().any(|pid| {
                self.processes.get(pid).is_some_and(|member| member.session == process.session)
            })
    }

    /// Whether its parent is a member, and was already there when it began: the look at the one and at the other were
    /// not at the same time, and in between a number may have changed hands.
    fn is_child(&self, process: &Process, members: &HashSet<i32>) -> bool {
        members.contains(&process.parent)
            && self.get(process.parent).is_some_and(|parent| {
                parent.identity.start <= process.identity.start
                    && Process::find(parent.identity).is_ok_and(|still| still.is_some())
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, start: u64, parent: i32, session: i32) -> Process {
        Process {
            identity: Identity { pid, start },
            parent,
            session,
            terminal: 0,
            state: 'S',
            threads: 1,
            is_kernel: false,
            name: "x".to_owned(),
        }
    }

    fn census(processes: Vec<Process>) -> Census {
        let processes = processes.into_iter().map(|p| (p.identity.pid, p)).collect();
        Census { processes, protected: HashSet::from([0, 1, 50]) }
    }

    fn pids(found: &[Process]) -> Vec<i32> {
        found.iter().map(|process| process.identity.pid).collect()
    }

    #[test]
    fn a_session_that_a_member_leads_or_start_made_is_of_the_family() {
        let all = census(vec![
            process(10_000_001, 5, 1, 10_000_001),
            process(10_000_002, 6, 1, 10_000_001),
            process(10_000_003, 7, 1, 77),
            process(10_000_004, 8, 1, 77),
            process(10_000_005, 9, 1, 88),
        ]);
        let leader = HashSet::from([Identity { pid: 10_000_001, start: 5 }]);
        assert_eq!(pids(&all.family(&leader, &[])), [10_000_001, 10_000_002]);
        let one = HashSet::from([Identity { pid: 10_000_003, start: 7 }]);
        assert_eq!(pids(&all.family(&one, &[77])), [10_000_003, 10_000_004]);
        assert_eq!(pids(&all.family(&one, &[])), [10_000_003], "a session that others made");
        assert_eq!(pids(&all.family(&HashSet::new(), &[88])), Vec::<i32>::new(), "a used number");
    }

    #[test]
    fn whoever_has_a_members_number_now_is_none() {
        let all = census(vec![process(10_000_001, 6, 1, 1)]);
        let earlier = HashSet::from([Identity { pid: 10_000_001, start: 5 }]);
        assert!(all.family(&earlier, &[]).is_empty());
    }

    #[test]
    fn the_protected_the_dead_and_the_kernel_are_none() {
        let mut dead = process(60, 5, 1, 60);
        dead.state = 'Z';
        let mut kernel = process(61, 5, 2, 0);
        kernel.is_kernel = true;
        let all = census(vec![process(50, 5, 1, 50), dead, kernel]);
        let first = [50, 60, 61].map(|pid| Identity { pid, start: 5 }).into();
        assert!(all.family(&first, &[]).is_empty());
    }

    #[test]
    fn children_of_members_are_members_and_this_process_is_not() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let all = Census::take().unwrap();
        let own = Process::own().unwrap().identity;
        assert!(all.get(own.pid).is_none() && all.get(1).is_none());
        let found = all.get(child.id().cast_signed()).unwrap().clone();
        assert_eq!(found.parent, own.pid);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
