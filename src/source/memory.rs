//! What the routes were before start changed them, byte for byte.
//!
//! A file of lines: the source address, its birth (see `Net::birth_of`), whether the routes were changed or only copied, and
//! how many lines follow; then a route a line, with the name of its first interface: the number of an interface that went
//! may be another one's by now.

#![forbid(unsafe_code)]

use std::fmt::Write;
use std::net::IpAddr;

use super::Wanted;
use crate::action::Action;
use crate::agent::Cx;
use crate::error::Result;
use crate::host::namespace;
use crate::host::net::Net;
use crate::host::routing::ExactRoute;
use crate::state::StateFile;

/// What became of the routes, in the first line.
const CHANGED: &str = "changed";
const COPIED: &str = "copied";

/// Routes as they were, in the order in which they have to be put back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    /// The source that they got.
    pub ip: IpAddr,
    /// When the address came to this host.
    pub birth: u32,
    /// They are to be put back, and not only what was copied.
    pub changed: bool,
    /// Each with the name of its first interface.
    pub originals: Vec<(String, ExactRoute)>,
}

impl Memory {
    pub fn of(wanted: &Wanted, originals: &[ExactRoute], net: &Net) -> Result<Self> {
        let mut named = Vec::new();
        for route in originals {
            let link = match route.links().next() {
                Some(index) => net.link(index)?,
                None => None,
            };
            named.push((link.map_or("-".to_owned(), |link| link.name), route.clone()));
        }
        let birth = net.birth_of(wanted.ip)?.unwrap_or(0);
        let changed = wanted.by_rules.is_none();
        Ok(Self { ip: wanted.ip, birth, changed, originals: named })
    }

    /// What an earlier start wrote. A file that cannot be read, or makes no sense, counts as none, with a word in the log.
    pub fn read(wanted: &Wanted, cx: &Cx<'_>) -> Option<Self> {
        let file = file(wanted, cx);
        // A monitor would say so again and again; and stop will.
        let tell = |words: &str| match cx.action {
            Action::Monitor | Action::Status => cx.log.debug(words),
            _ => cx.log.warn(words),
        };
        let text = file.read().unwrap_or_else(|error| {
            tell(&error.to_string());
            None
        })?;
        let memory = Self::parse(&text).filter(|memory| memory.ip == wanted.ip);
        if memory.is_none() {
            tell(&format!(
                "the state file {} makes no sense and is not used",
                file.path().display()
            ));
        }
        memory
    }

    pub fn write(&self, wanted: &Wanted, cx: &Cx<'_>) -> Result<()> {
        file(wanted, cx).write(&self.text())
    }

    pub fn forget(wanted: &Wanted, cx: &Cx<'_>) -> Result<()> {
        file(wanted, cx).remove()
    }

    /// The source that `route` has, if another resource gave it.
    pub fn of_others(route: &ExactRoute, wanted: &Wanted, cx: &Cx<'_>) -> Option<IpAddr> {
        let source = route.source()?;
        let own = file(wanted, cx);
        let others = cx.state.files(&prefix()).into_iter().filter(|file| file.path() != own.path());
        let memories = others.filter_map(|file| Self::parse(&file.read().ok()??));
        let changed = |memory: &Self| {
            memory.changed
                && memory.ip == source
                && memory
                    .originals
                    .iter()
                    .any(|(_, original)| original.identity() == route.identity())
        };
        memories.filter(changed).map(|memory| memory.ip).next()
    }

    fn text(&self) -> String {
        let what = if self.changed { CHANGED } else { COPIED };
        let mut text = format!("{} {} {what} {}\n", self.ip, self.birth, self.originals.len());
        for (name, route) in &self.originals {
            let _ = writeln!(text, "{name} {}", route.to_hex());
        }
        text
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.lines();
        let mut words = lines.next()?.split(' ');
        let (ip, birth) = (words.next()?, words.next()?);
        let changed = match words.next()? {
            CHANGED => true,
            COPIED => false,
            _ => return None,
        };
        let count = words.next()?;
        let route = |line: &str| {
            let (name, hex) = line.split_once(' ')?;
            Some((name.to_owned(), ExactRoute::from_hex(hex)?))
        };
        let originals: Option<Vec<_>> = lines.map(route).collect();
        let whole = |originals: &Vec<_>| {
            !originals.is_empty() && Some(originals.len()) == count.parse().ok()
        };
        let originals = originals.filter(whole)?;
        Some(Self { ip: ip.parse().ok()?, birth: birth.parse().ok()?, changed, originals })
    }
}

fn prefix() -> String {
    format!("source-{}-", namespace::identity())
}

fn file(wanted: &Wanted, cx: &Cx<'_>) -> StateFile {
    cx.state.file(&format!("{}{}", prefix(), wanted.key()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::host::routing::Identity;
    use crate::param::values::Network;

    fn memory() -> Memory {
        let gateway: IpAddr = "192.0.2.2".parse().unwrap();
        let identity = Identity {
            network: Network::everything(gateway),
            from: None,
            service: 0,
            metric: 100,
            table: 254,
        };
        let route = ExactRoute::new(&identity, Some(gateway), Some(7), None);
        Memory {
            ip: "192.0.2.10".parse().unwrap(),
            birth: 4711,
            changed: true,
            originals: vec![("eth0".to_owned(), route)],
        }
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(Memory::parse(&memory().text()), Some(memory()));
    }

    /// A monitor would find all of nothing as it should be.
    #[test]
    fn a_memory_of_nothing_is_none() {
        assert_eq!(Memory::parse("192.0.2.10 4711 changed 0\n"), None);
    }

    proptest! {
        #[test]
        fn a_torn_file_is_no_memory_or_a_whole_one(length in 0usize..200) {
            let text = memory().text();
            let torn = text.get(..length.min(text.len())).unwrap_or_default();
            prop_assert!(Memory::parse(torn).is_none_or(|read| read == memory()));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "(\\PC|\n){0,80}") {
            let _ = Memory::parse(&text);
        }
    }
}
