//! What was changed on interfaces besides the resource, and for whom: one file for each network namespace.
//!
//! Several resources may need the same setting of the same interface. The first one's entry has the value before; the
//! last one that goes restores it. An entry is written before its change, so that whoever comes after a kill knows of it.

#![forbid(unsafe_code)]

use std::fmt;

use crate::agent::Cx;
use crate::error::{Error, Result};
use crate::host::link::Link;
use crate::host::namespace;
use crate::host::net::Net;
use crate::host::sysctl;
use crate::state::{Lock, StateFile};

/// The entry about an interface's hardware address.
pub(super) const ADDRESS: &str = "address";
/// The entry about an interface's administrative state.
pub(super) const STATE: &str = "state";
pub(super) const UP: &str = "up";
pub(super) const DOWN: &str = "down";

/// One thing that was changed on one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Number of the interface.
    pub index: u32,
    /// `address`, `state`, or a kernel parameter such as `ipv4/arp_ignore`.
    pub what: String,
    /// Value before the change.
    pub before: String,
    /// Value that it was changed to.
    pub now: String,
    /// The resources that need it.
    pub holders: Vec<String>,
}

impl Entry {
    pub fn is_held_by(&self, holder: &str) -> bool {
        self.holders.iter().any(|other| other == holder)
    }

    fn read(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [index, what, before, now, holders] = words[..] else { return None };
        let plain = |word: &str| word.split('/').all(|part| ![".", "..", ""].contains(&part));
        plain(what).then_some(())?;
        Some(Self {
            index: index.parse().ok()?,
            what: what.to_owned(),
            before: before.to_owned(),
            now: now.to_owned(),
            holders: holders.split(',').map(str::to_owned).collect(),
        })
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, what, before, now, holders } = self;
        writeln!(f, "{index} {what} {before} {now} {}", holders.join(","))
    }
}

/// The entries, for as long as nobody else may change them.
#[derive(Debug)]
pub(super) struct Ledger {
    file: StateFile,
    entries: Vec<Entry>,
    _lock: Option<Lock>,
}

fn name() -> String {
    format!("interfaces-{}", namespace::identity())
}

/// The entries as they are at the moment.
pub(super) fn entries(cx: &Cx<'_>) -> Vec<Entry> {
    parsed(&cx.state.file(&name()), cx)
}

fn parsed(file: &StateFile, cx: &Cx<'_>) -> Vec<Entry> {
    let text = file.read().unwrap_or_else(|error| {
        cx.log.warn(&format!("{error}; what was before can not be told from it"));
        None
    });
    let text = text.unwrap_or_default();
    let lines = text.lines().map(|line| (line, Entry::read(line)));
    let found = lines.filter_map(|(line, entry)| {
        if entry.is_none() {
            let line = crate::error::one_line(line, 60);
            cx.log.warn(&format!(
                "{} has a line that is none of ours: {line:?}",
                file.path().display()
            ));
        }
        entry
    });
    found.collect()
}

impl Ledger {
    /// # Errors
    /// Somebody else had it until the deadline.
    pub fn open(cx: &Cx<'_>) -> Result<Self> {
        let lock = cx.state.lock(&name(), &cx.deadline)?;
        let file = cx.state.file(&name());
        let entries = parsed(&file, cx);
        Ok(Self { file, entries, _lock: lock })
    }

    /// The entry about `what` of an interface.
    pub fn find(&self, index: u32, what: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.index == index && entry.what == what)
    }

    /// The entry about `what` of an interface that is held by `holder`.
    pub fn held(&self, holder: &str, index: u32, what: &str) -> Option<Entry> {
        let held = self.find(index, what).filter(|entry| entry.is_held_by(holder));
        held.cloned()
    }

    /// Replaces what is there about the same of the same interface.
    pub fn put(&mut self, entry: Entry) -> Result<()> {
        self.entries.retain(|other| (other.index, &other.what) != (entry.index, &entry.what));
        self.entries.push(entry);
        self.write()
    }

    /// Notes that `holder` needs `what` changed from `before` to `now`; a value that an earlier entry has from before
    /// stays.
    pub fn hold(
        &mut self,
        index: u32,
        what: &str,
        before: &str,
        now: &str,
        holder: &str,
    ) -> Result<()> {
        let mut entry = self.find(index, what).cloned().unwrap_or_else(|| Entry {
            index,
            what: what.to_owned(),
            before: before.to_owned(),
            now: now.to_owned(),
            holders: Vec::new(),
        });
        if entry.is_held_by(holder) {
            return Ok(());
        }
        entry.holders.push(holder.to_owned());
        self.put(entry)
    }

    /// Ends what `holder` held of `what`, with `restore` for the entry that nobody holds any longer.
    fn release(
        &mut self,
        holder: &str,
        wanted: impl Fn(&str) -> bool,
        mut restore: impl FnMut(&Entry) -> Result<()>,
    ) -> Result<()> {
        let mut errors = Vec::new();
        for at in (0..self.entries.len()).rev() {
            let entry = &mut self.entries[at];
            if !wanted(&entry.what) || !entry.is_held_by(holder) {
                continue;
            }
            if entry.holders.len() > 1 {
                entry.holders.retain(|other| other != holder);
            } else if let Err(error) = restore(entry) {
                errors.push(error);
                continue;
            } else {
                self.entries.remove(at);
            }
            errors.extend(self.write().err());
        }
        Error::all(errors)
    }

    /// Forgets what `holder` held of the hardware address and the state of its interface.
    pub fn forget_device(&mut self, holder: &str) -> Result<()> {
        self.release(holder, |what| what == ADDRESS || what == STATE, |_| Ok(()))
    }

    fn write(&self) -> Result<()> {
        if self.entries.is_empty() {
            return self.file.remove();
        }
        self.file.write(&self.entries.iter().map(ToString::to_string).collect::<String>())
    }
}

/// A kernel parameter of an interface and how it is to be.
pub(super) struct Setting {
    /// Such as `ipv4/arp_ignore`.
    pub what: &'static str,
    /// What it is set to.
    pub value: &'static str,
    /// The values that do as well, or are more cautious, and stay.
    pub suffices: &'static [&'static str],
}

/// Sets a kernel parameter of an interface for `holder`. One that the kernel does not have needs no setting.
pub(super) fn tune(link: &Link, setting: &Setting, holder: &str, cx: &Cx<'_>) -> Result<()> {
    let mut ledger = Ledger::open(cx)?;
    let Setting { what, value, suffices } = *setting;
    let Some(before) = sysctl::read(&key(what, &link.name)) else { return Ok(()) };
    let suffices = suffices.contains(&before.as_str());
    if suffices && ledger.find(link.index, what).is_none() {
        return Ok(());
    }
    ledger.hold(link.index, what, &before, value, holder)?;
    if suffices { Ok(()) } else { sysctl::write(&key(what, &link.name), value) }
}

/// Sets an interface up for `holder`, if it is not; it stays up for as long as anybody needs it.
///
/// # Errors
/// The kernel refused, or its state could not be stored.
pub fn set_up(link: &Link, holder: &str, net: &Net, cx: &Cx<'_>) -> Result<()> {
    let mut ledger = Ledger::open(cx)?;
    if !link.up || ledger.find(link.index, STATE).is_some() {
        ledger.hold(link.index, STATE, DOWN, UP, holder)?;
    }
    if link.up { Ok(()) } else { net.set_up(link) }
}

/// Ends all that `holder` held, the hardware address apart: what nobody else needs is as it was before.
///
/// # Errors
/// Something could not be restored.
pub fn release(holder: &str, net: &Net, cx: &Cx<'_>) -> Result<()> {
    let mut ledger = Ledger::open(cx)?;
    ledger.release(holder, |what| what != ADDRESS, |entry| restore(entry, net, cx))
}

fn restore(entry: &Entry, net: &Net, cx: &Cx<'_>) -> Result<()> {
    // With the interface its settings are gone.
    let Some(link) = net.link(entry.index)? else { return Ok(()) };
    if entry.what == STATE {
        return restore_state(&link, entry.before == UP, net, cx);
    }
    let key = key(&entry.what, &link.name);
    match sysctl::read(&key) {
        Some(value) if value == entry.now && value != entry.before => {
            sysctl::write(&key, &entry.before)
        }
        _ => Ok(()),
    }
}

/// Sets an interface up or down as it was before. One that somebody uses by now stays up.
pub(super) fn restore_state(link: &Link, up: bool, net: &Net, cx: &Cx<'_>) -> Result<()> {
    match (up, link.up) {
        (true, false) => net.set_up(link),
        (false, true) => match user(link, net)? {
            Some(user) => {
                cx.log
                    .warn(&format!("{} stays up, although it was down before: {user}", link.name));
                Ok(())
            }
            None => net.set_down(link),
        },
        _ => Ok(()),
    }
}

/// Who would be cut off if the interface went down.
pub(super) fn user(link: &Link, net: &Net) -> Result<Option<String>> {
    if let Some(address) = net.global_addresses(link)?.first() {
        return Ok(Some(format!("it has the address {address}")));
    }
    let mut above = net.links()?.into_iter();
    let above = above.find(|above| above.up && above.parent == Some(link.index));
    Ok(above.map(|above| format!("{} is on it and up", above.name)))
}

fn key<'a>(what: &'a str, interface: &'a str) -> [&'a str; 4] {
    let (family, parameter) = what.split_once('/').unwrap_or((what, ""));
    [family, "conf", interface, parameter]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let entry = Entry {
            index: 7,
            what: "ipv4/arp_ignore".to_owned(),
            before: "0".to_owned(),
            now: "1".to_owned(),
            holders: vec!["02:00:00:00:00:01".to_owned(), "02:00:00:00:00:02".to_owned()],
        };
        assert_eq!(Entry::read(&entry.to_string()), Some(entry));
        for garbage in ["", "7 address", "x address a b c", "7 ../../etc a b c", "7 a b c d e"] {
            assert_eq!(Entry::read(garbage), None, "{garbage}");
        }
    }

    proptest! {
        #[test]
        fn no_line_makes_the_reader_panic(line in ".{0,80}") {
            let _ = Entry::read(&line);
        }
    }
}
