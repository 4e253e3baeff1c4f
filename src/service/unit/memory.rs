//! What start remembers of a unit. systemd knows the rest; without this file a restart behind the cluster's back goes
//! unnoticed, and nothing else changes.

#![forbid(unsafe_code)]

use crate::agent::Cx;
use crate::error::Result;
use crate::host::process::{self, Identity, Process};
use crate::host::systemd::{Facts, Look};
use crate::service::Service;
use crate::state::StateFile;

/// A unit as it was when it was up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    /// Its name: the resource may have been given another unit since.
    unit: String,
    /// Other after each start.
    pub(super) invocation: String,
    /// Its state in the words of its type.
    pub(super) sub: String,
    /// Its control group.
    pub(super) group: String,
    main: Option<Identity>,
}

impl Memory {
    pub(super) fn of(look: &Look, facts: &Facts) -> Result<Self> {
        Ok(Self {
            unit: look.id.clone(),
            invocation: facts.invocation.clone(),
            sub: look.sub.clone(),
            group: facts.group.clone(),
            main: Process::look(facts.main)?.map(|process| process.identity),
        })
    }

    fn file(service: &Service, cx: &Cx<'_>) -> StateFile {
        cx.state.file(&format!("{}.unit", service.name(cx)))
    }

    /// What was remembered in this boot. A file that cannot be read is none.
    pub(super) fn load(service: &Service, cx: &Cx<'_>) -> Option<Self> {
        let text = Self::file(service, cx).read().unwrap_or_else(|error| {
            cx.log.warn(&error.to_string());
            None
        })?;
        Self::parse(&text, &process::boot().ok()?)
    }

    /// Whether it is of that unit. An alias may have led to it.
    pub(super) fn is_of(&self, id: &str) -> bool {
        self.unit == id
    }

    /// Remembers it; nothing depends upon it.
    pub(super) fn save(&self, service: &Service, cx: &Cx<'_>) {
        let written =
            process::boot().and_then(|boot| Self::file(service, cx).write(&self.text(&boot)));
        if let Err(error) = written {
            cx.log.warn(&error.to_string());
        }
    }

    pub(super) fn forget(service: &Service, cx: &Cx<'_>) -> Result<()> {
        Self::file(service, cx).remove()
    }

    /// The main process, if it is still the same one.
    pub(super) fn living_main(&self) -> Option<Process> {
        Process::find(self.main?).ok().flatten().filter(|process| !process.is_dead())
    }

    fn text(&self, boot: &str) -> String {
        let Self { unit, invocation, sub, group, main } = self;
        let main = main.map_or(String::new(), |main| format!("main {} {}\n", main.pid, main.start));
        format!(
            "boot {boot}\nunit {unit}\ninvocation {invocation}\nsub {sub}\ngroup {group}\n{main}"
        )
    }

    fn parse(text: &str, boot: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()?.strip_prefix("boot ")? != boot {
            return None;
        }
        let mut memory = Self::default();
        for line in lines {
            match line.split_once(' ') {
                Some(("unit", unit)) => unit.clone_into(&mut memory.unit),
                Some(("invocation", id)) => id.clone_into(&mut memory.invocation),
                Some(("sub", sub)) => sub.clone_into(&mut memory.sub),
                Some(("group", group)) => group.clone_into(&mut memory.group),
                Some(("main", both)) => {
                    memory.main = both.split_once(' ').and_then(|(pid, start)| {
                        Some(Identity { pid: pid.parse().ok()?, start: start.parse().ok()? })
                    });
                }
                _ => {}
            }
        }
        Some(memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_is_read_in_the_same_boot_only() {
        let memory = Memory {
            unit: "b.service".into(),
            invocation: "0a".into(),
            sub: "running".into(),
            group: "/system.slice/a b.service".into(),
            main: Some(Identity { pid: 1, start: 2 }),
        };
        let text = memory.text("one");
        assert_eq!(Memory::parse(&text, "one"), Some(memory));
        assert_eq!(Memory::parse(&text, "two"), None);
        let empty = Memory::default();
        assert_eq!(Memory::parse(&empty.text("one"), "one"), Some(empty));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "(boot one\n)?([a-z]{0,10} [0-9 ]{0,10}\n){0,5}.{0,50}") {
            let _ = Memory::parse(&text, "one");
        }
    }
}
