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
use std::path::PathBuf;
use std::time::Instant;

use super::Members;
use crate::error::{Error, Result};
use crate::host::cgroup::Leaf;
use crate::host::process::{self, Began, Identity, Process};
use crate::host::survey;

/// What is known of a service before its processes are looked at.
#[derive(Debug)]
pub(super) struct Proof {
    /// The entry in the environment.
    pub(super) entry: Vec<u8>,
    /// Nobody who began earlier is looked at for it.
    pub(super) since: u64,
    /// Those of whom it is known already.
    pub(super) known: HashSet<Identity>,
    /// Sessions that start made.
    pub(super) sessions: Vec<i32>,
    /// Control groups that start made or would make.
    pub(super) groups: HashSet<PathBuf>,
    /// Whether children of this process are of it.
    pub(super) adopts: bool,
    /// When looking is given up.
    pub(super) until: Instant,
}

impl Proof {
    /// All members that live, the oldest first; and those that did not say whether they are.
    ///
    /// To find the mark of one among thousands, nothing but environments is read. Only where there is a member at all
    /// everyone's parent and session are looked at too, which costs as much again.
    pub(super) fn members(&self) -> Result<Members> {
        let protected = protected()?;
        if self.adopts || self.knows_somebody(&protected)? {
            let members = self.gather(&HashSet::new(), &protected)?;
            if !members.found.is_empty() {
                return Ok(members);
            }
        }
        loop {
            let (marked, silent) = self.search(&protected)?;
            if marked.is_empty() && !self.adopts && !self.knows_somebody(&protected)? {
                return Ok(Members { found: Vec::new(), silent });
            }
            let members = self.gather(&marked, &protected)?;
            let is_over = self.adopts || Instant::now() >= self.until;
            if !members.found.is_empty() || is_over {
                return Ok(members);
            }
        }
    }

    /// Whether one lives who is known without a search.
    fn knows_somebody(&self, protected: &HashSet<i32>) -> Result<bool> {
        for identity in &self.known {
            let now = Process::find(*identity)?;
            if now.is_some_and(|process| may_be_member(&process, protected)) {
                return Ok(true);
            }
        }
        for pid in self.grouped() {
            let now = Process::look(pid)?;
            if now.is_some_and(|process| may_be_member(&process, protected)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn grouped(&self) -> Vec<i32> {
        let leaves = self.groups.iter().filter_map(|path| Leaf::at(path));
        leaves.flat_map(|leaf| leaf.processes()).collect()
    }

    /// Looks for the mark, twice. The kernel lists a directory in pieces: a process that begins after the piece was made
    /// is not in it, and who knows it may have ended by the time that it is asked. So those are asked who are new, and
    /// those again who had nothing to say, such as one that executed a program at that moment.
    fn search(&self, protected: &HashSet<i32>) -> Result<(HashSet<Identity>, Vec<Process>)> {
        let (mut marked, mut silent) = (HashSet::new(), HashSet::new());
        let (mut before, mut nothing) = (HashMap::new(), HashSet::new());
        for _ in 0..2 {
            let now = process::numbers()?;
            let asked = now.iter().filter(|(pid, inode)| {
                !protected.contains(pid)
                    && (before.get(*pid) != Some(*inode) || nothing.contains(*pid))
            });
            let entry = self.entry.clone();
            let asked = asked.map(|(pid, _)| *pid).collect();
            let survey = survey::ask(asked, self.until, move |pid| {
                Some(process::began_with(pid, &entry)).filter(|began| *began != Began::Without)
            });
            for (pid, began) in survey.answers {
                match began {
                    Began::With(identity) if identity.start >= self.since => {
                        marked.insert(identity);
                    }
                    Began::WithNothing => {
                        nothing.insert(pid);
                    }
                    _ => {}
                }
            }
            silent.extend(survey.silent);
            if !marked.is_empty() {
                break;
            }
            before = now;
        }
        let mut strangers = Vec::new();
        for pid in silent {
            let now = Process::look(pid)?;
            strangers.extend(now.filter(|process| {
                process.identity.start >= self.since && may_be_member(process, protected)
            }));
        }
        Ok((marked, strangers))
    }

    /// Looks at everybody.
    fn gather(&self, marked: &HashSet<Identity>, protected: &HashSet<i32>) -> Result<Members> {
        let census = Census::take(protected, self.until)?;
        let mut first: HashSet<Identity> = self.known.union(marked).copied().collect();
        if self.adopts {
            // What start began and what that left, even if it hides where it comes from.
            let own = std::process::id().cast_signed();
            let children = census.processes.values().filter(|process| process.parent == own);
            first.extend(children.map(|process| process.identity));
        }
        // Who is listed after it was looked at is the one that was looked at, or that one has ended.
        let grouped = self.grouped();
        first.extend(grouped.iter().filter_map(|pid| Some(census.get(*pid)?.identity)));
        let young = census.processes.values().map(|process| process.identity);
        let young = young.filter(|identity| identity.start >= self.since);
        let asked = young.filter(|identity| !first.contains(identity)).map(|young| young.pid);
        let entry = self.entry.clone();
        let survey =
            survey::ask(asked.collect(), self.until, move |pid| {
                match process::began_with(pid, &entry) {
                    Began::With(identity) => Some(identity),
                    _ => None,
                }
            });
        first.extend(survey.answers.into_iter().map(|(_, identity)| identity));
        let found = census.family(&first, &self.sessions);
        let silent = survey.silent.iter().filter_map(|pid| census.get(*pid));
        let silent = silent.filter(|process| !found.contains(process)).cloned().collect();
        Ok(Members { found, silent })
    }
}

/// Process 1, this process and its ancestors: nobody may signal them, whatever speaks for it.
pub(crate) fn protected() -> Result<HashSet<i32>> {
    let mut protected = HashSet::from([0, 1]);
    let mut next = Some(Process::own()?);
    while let Some(process) = next.filter(|process| protected.insert(process.identity.pid)) {
        next = Process::look(process.parent)?;
    }
    Ok(protected)
}

/// Whether it may be a member at all.
pub(super) fn may_be_member(process: &Process, protected: &HashSet<i32>) -> bool {
    !process.is_kernel && !process.is_dead() && !protected.contains(&process.identity.pid)
}

/// All processes of this moment that may be members.
#[derive(Debug)]
pub(crate) struct Census {
    processes: HashMap<i32, Process>,
}

impl Census {
    /// Looks at all.
    pub(crate) fn take(protected: &HashSet<i32>, until: Instant) -> Result<Self> {
        let pids = process::numbers()?.into_keys().collect();
        let survey = survey::ask(pids, until, |pid| Process::look(pid).transpose());
        let mut processes = HashMap::new();
        for (pid, process) in survey.answers {
            let process = process?;
            if may_be_member(&process, protected) {
                processes.insert(pid, process);
            }
        }
        match survey.silent[..] {
            [] => Ok(Self { processes }),
            [first, ..] => Err(Error::Failed(format!(
                "cannot look at process {first} and {} others: there was no time to",
                survey.silent.len() - 1
            ))),
        }
    }

    /// Each of them.
    pub(crate) fn candidates(&self) -> impl Iterator<Item = &Process> {
        self.processes.values()
    }

    fn get(&self, pid: i32) -> Option<&Process> {
        self.processes.get(&pid)
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
            // A session keeps its number as long as a process is in it (`pid` is not freed in the kernel), so that a
            // member in it proves that the number still means the session that was recorded.
            let ours: HashSet<i32> = members
                .iter()
                .filter_map(|pid| Some(self.get(*pid)?.session))
                .filter(|session| sessions.contains(session))
                .collect();
            for process in self.processes.values() {
                let led = members.contains(&process.session) || ours.contains(&process.session);
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
    use std::time::Duration;

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
        let protected = HashSet::from([0, 1, 50]);
        let candidates = processes.into_iter().filter(|process| may_be_member(process, &protected));
        let processes = candidates.map(|process| (process.identity.pid, process)).collect();
        Census { processes }
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
        let all = Census::take(&protected().unwrap(), Instant::now() + Duration::from_mins(1));
        let all = all.unwrap();
        let own = Process::own().unwrap().identity;
        assert!(all.get(own.pid).is_none() && all.get(1).is_none());
        let found = all.get(child.id().cast_signed()).unwrap().clone();
        assert_eq!(found.parent, own.pid);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
