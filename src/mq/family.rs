//! The processes of one queue manager, and of no other.
//!
//! A process belongs to it if its name is that of a program of the product which serves a queue manager, and its words
//! name exactly this one: `-m QM`, `-mQM`, or the bare word where there is no `-m`.

#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use super::QueueManager;
use crate::agent::Cx;
use crate::error::{Error, Result};
use crate::host::pidfd::{kill_all, wait_for_all};
use crate::host::process::{self, Began, Identity, Process};
use crate::service::family::{Census, protected};
use crate::service::listed;
use crate::state::StateFile;

/// The execution controller: while it lives, so does the queue manager.
const CONTROLLER: &str = "amqzxma0";
const COMMAND_SERVER: &str = "amqpcsea";
const LISTENER: &str = "runmqlsr";

/// The programs that serve a queue manager, in the order in which they are to be killed if it comes to that.
const PROGRAMS: [&str; 17] = [
    "amqzmuc0",
    CONTROLLER,
    "amqfcxba",
    "amqfqpub",
    COMMAND_SERVER,
    "amqzlaa0",
    "amqzlsa0",
    "runmqchi",
    LISTENER,
    "amqcrsta",
    "amqrrmfa",
    "amqrmppa",
    "amqzfuma",
    "amqzmuf0",
    "amqzmur0",
    "amqzmgr0",
    "amqzdmaa",
];

/// Commands that change the state of a queue manager, whoever runs them.
const STARTER: &str = "strmqm";
const ENDER: &str = "endmqm";

/// Commands of a killed action that may still be under way; the last two names are of this binary, on its way to one.
const OWN_COMMANDS: [&str; 5] = ["dspmq", "runmqsc", "dmpmqmsg", "exe", "ocfbox"];

/// Whether the process began with that entry in its environment.
fn began_with(process: &Process, entry: &[u8]) -> bool {
    matches!(process::began_with(process.identity.pid, entry), Began::With(found) if found == process.identity)
}

/// How long it is waited for an end before all processes are looked at again.
const ROUND: Duration = Duration::from_millis(200);

/// What lives of a queue manager on this host.
#[derive(Debug, Default)]
pub(super) struct Family {
    /// The processes that serve it.
    pub(super) members: Vec<Process>,
    /// Commands that start or end it, or that a killed action left.
    pub(super) commands: Vec<Process>,
}

impl Family {
    /// Looks at all processes.
    pub(super) fn look(manager: &QueueManager, cx: &Cx<'_>) -> Result<Self> {
        let mark = manager.mark(cx)?;
        let until = Instant::now() + cx.deadline.left_with_reserve();
        let census = Census::take(&protected()?, until)?;
        let mut family = Self::default();
        for process in census.candidates() {
            let name = process.name.as_str();
            if PROGRAMS.contains(&name) && is_of(process, &manager.name) {
                family.members.push(process.clone());
            } else if ([STARTER, ENDER].contains(&name) && is_of(process, &manager.name))
                || (OWN_COMMANDS.contains(&name) && began_with(process, mark.as_bytes()))
            {
                family.commands.push(process.clone());
            }
        }
        let place = |process: &Process| PROGRAMS.iter().position(|name| *name == process.name);
        family.members.sort_by_key(|process| (place(process), process.identity.start));
        Ok(family)
    }

    /// The same, but that there is nobody is looked at twice: the kernel lists processes in pieces, and one that begins
    /// after its piece was made is not in it.
    pub(super) fn look_twice(manager: &QueueManager, cx: &Cx<'_>) -> Result<Self> {
        let family = Self::look(manager, cx)?;
        if family.is_empty() { Self::look(manager, cx) } else { Ok(family) }
    }

    /// The same, after those that are about to end anyway have had the time.
    pub(super) fn look_patiently(
        manager: &QueueManager,
        at_most: Duration,
        cx: &Cx<'_>,
    ) -> Result<Self> {
        let end = Instant::now() + at_most.min(cx.deadline.left());
        loop {
            let family = Self::look_twice(manager, cx)?;
            if family.members.is_empty() || Instant::now() >= end {
                return Ok(family);
            }
            std::thread::sleep(ROUND / 4);
        }
    }

    /// The processes of one that runs. Those that an earlier look found are enough if all of them live and nothing is
    /// missed; a look at them costs the same however many others there are.
    pub(super) fn of_running(manager: &QueueManager, cx: &Cx<'_>) -> Result<Self> {
        let checks = &manager.checks;
        let is_whole = |family: &Self| {
            !family.controllers().is_empty()
                && (!checks.command_server || family.has_command_server())
                && (!checks.listener || family.has_listener())
        };
        if let Some(family) = Self::remembered(manager, cx).filter(is_whole) {
            return Ok(family);
        }
        let family = Self::look_twice(manager, cx)?;
        let line =
            |process: &Process| format!("{} {}", process.identity.pid, process.identity.start);
        let lines: Vec<String> = family.members.iter().map(line).collect();
        // Without the memory every look is a look at all.
        let _ = memory(manager, cx).write(&lines.join("\n"));
        Ok(family)
    }

    /// Those that were remembered, each proven again.
    fn remembered(manager: &QueueManager, cx: &Cx<'_>) -> Option<Self> {
        let text = memory(manager, cx).read().ok()??;
        let member = |line: &str| {
            let (pid, start) = line.split_once(' ')?;
            let identity = Identity { pid: pid.parse().ok()?, start: start.parse().ok()? };
            let process = Process::find(identity).ok()??;
            let is_member = !process.is_dead()
                && PROGRAMS.contains(&process.name.as_str())
                && is_of(&process, &manager.name);
            is_member.then_some(process)
        };
        let members = text.lines().map(member).collect::<Option<Vec<_>>>()?;
        Some(Self { members, commands: Vec::new() })
    }

    /// Whether nothing of it lives.
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty() && self.commands.is_empty()
    }

    /// Its execution controllers; more than one only for a moment, if at all.
    pub(super) fn controllers(&self) -> Vec<&Process> {
        self.named(CONTROLLER)
    }

    /// Whether somebody starts it.
    pub(super) fn is_being_started(&self) -> bool {
        self.commands.iter().any(|process| process.name == STARTER)
    }

    /// Whether its command server lives.
    pub(super) fn has_command_server(&self) -> bool {
        !self.named(COMMAND_SERVER).is_empty()
    }

    /// Whether a listener of it lives.
    pub(super) fn has_listener(&self) -> bool {
        !self.named(LISTENER).is_empty()
    }

    fn named(&self, name: &str) -> Vec<&Process> {
        self.members.iter().filter(|process| process.name == name).collect()
    }
}

/// Which processes were found by the last look at all.
fn memory(manager: &QueueManager, cx: &Cx<'_>) -> StateFile {
    cx.state.file(&format!("{}.processes", manager.label(cx)))
}

/// Forgets them.
///
/// # Errors
/// The file cannot be removed.
pub(super) fn forget(manager: &QueueManager, cx: &Cx<'_>) -> Result<()> {
    memory(manager, cx).remove()
}

/// Kills all of it, and looks again until nothing is left.
///
/// # Errors
/// Some do not die, which the kernel alone can prevent.
pub(super) fn kill(manager: &QueueManager, cx: &Cx<'_>) -> Result<()> {
    let mut signalled = false;
    loop {
        let family = Family::look_twice(manager, cx)?;
        if family.is_empty() {
            return Ok(());
        }
        let all: Vec<Process> = family.commands.into_iter().chain(family.members).collect();
        let handles = kill_all(&all)?;
        let left = cx.deadline.left_with_reserve();
        // Also when time is over they get a moment to die.
        if left.is_zero() && signalled {
            return Err(Error::Failed(format!(
                "cannot stop queue manager {}: {} does not die of SIGKILL; restarting this node ends it",
                manager.name,
                listed(&all)
            )));
        }
        signalled = true;
        let _ = wait_for_all(&handles, left.clamp(ROUND / 4, ROUND));
    }
}

fn is_of(process: &Process, name: &str) -> bool {
    process.is_in_our_namespace() && names(&process.words(), name)
}

/// Whether words after the program's name mean the queue manager `name`. Where `-m` says which one is meant, another
/// word that happens to be the same, such as the user after `-u`, means nothing.
fn names<S: AsRef<OsStr>>(words: &[S], name: &str) -> bool {
    let words: Vec<&[u8]> = words.iter().skip(1).map(|word| word.as_ref().as_bytes()).collect();
    let mut said = Vec::new();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        match word.strip_prefix(b"-m") {
            Some(b"") => said.extend(rest.next().copied()),
            Some(attached) => said.push(attached),
            None => {}
        }
    }
    let meant = if said.is_empty() { &words } else { &said };
    meant.contains(&name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_of_the_queue_manager_that_its_words_name() {
        let cases = [
            ("amqzxma0 -m QM1 -u mqm", "QM1", true),
            ("amqzmuc0 -mQM1", "QM1", true),
            ("amqzlaa0 -mQM1 -fip0", "QM1", true),
            ("amqpcsea QM1", "QM1", true),
            ("runmqlsr -r -m QM1 -t TCP -p 1414", "QM1", true),
            ("runmqlsr -t TCP -m QM.1", "QM.1", true),
            ("amqzxma0 -m QM10 -u mqm", "QM1", false),
            ("amqzmuc0 -mQM10", "QM1", false),
            ("amqpcsea QM10", "QM1", false),
            ("amqzxma0 -m QMX1", "QM.1", false),
            ("amqzmuc0 -mQMX1", "QM.1", false),
            ("amqzxma0 -m QM1 -u mqm", "mqm", false),
            ("amqzxma0 -m qm1", "QM1", false),
            ("amqzxma0 -m", "QM1", false),
            ("QM1", "QM1", false),
            ("", "QM1", false),
        ];
        for (words, name, expected) in cases {
            let split: Vec<&str> = words.split(' ').collect();
            assert_eq!(names(&split, name), expected, "{words}: {name}");
        }
    }
}
