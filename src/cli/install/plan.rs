//! What has to be done to have everything in its place, found out before anything is changed.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;

use super::dpkg::Dpkg;
use super::record::{DIRECTORY, Entry, RECORD, Record, fingerprint};
use super::root::{Root, There};
use super::step::Step;
use super::wanted::{Extras, Item, Put};
use super::{temporary, undo};
use crate::error::{Error, Result};

/// What will be done, in order, and what there is to say.
#[derive(Debug, Default)]
pub(super) struct Plan<'a> {
    pub(super) steps: Vec<Step<'a>>,
    /// The record to leave in the end.
    pub(super) record: Option<Record>,
    /// Said in the end.
    pub(super) notes: Vec<String>,
    /// What cannot be taken back, with the reason.
    pub(super) left: Vec<String>,
}

/// Plans an install.
pub(super) fn install<'a>(
    root: &Root,
    dpkg: Option<&Dpkg>,
    record: &Record,
    extras: Extras,
    wanted: &'a [Item],
) -> Result<Plan<'a>> {
    let mut planner = Planner {
        root,
        dpkg,
        record,
        steps: Vec::new(),
        after: Record { extras, ..Record::default() },
        made: BTreeSet::new(),
        in_the_way: Vec::new(),
        untouched: 0,
    };
    for item in wanted {
        if let Err(error) = planner.item(item) {
            planner.in_the_way.push(error.to_string());
        }
    }
    if !planner.in_the_way.is_empty() {
        return Err(refused(&planner.in_the_way));
    }
    planner.finish(wanted)
}

fn refused(in_the_way: &[String]) -> Error {
    Error::Failed(format!(
        "nothing was changed, because this is in the way:\n  {}\n\
         move it away if it is not needed, and install again",
        in_the_way.join("\n  ")
    ))
}

/// A plan in the making.
pub(super) struct Planner<'a, 'b> {
    pub(super) root: &'b Root,
    pub(super) dpkg: Option<&'b Dpkg>,
    pub(super) record: &'b Record,
    pub(super) steps: Vec<Step<'a>>,
    after: Record,
    made: BTreeSet<String>,
    in_the_way: Vec<String>,
    pub(super) untouched: usize,
}

impl<'a> Planner<'a, '_> {
    fn item(&mut self, item: &'a Item) -> Result<()> {
        let path = item.path.as_str();
        let there = self.root.look(path)?;
        match &item.put {
            Put::File { bytes, mode } => self.file(path, bytes, *mode, &there),
            Put::Link { target } => self.link(path, target, &there),
            Put::Instead { target, claim } => self.instead(path, target, *claim, &there),
        }
    }

    fn file(&mut self, path: &'a str, bytes: &'a [u8], mode: u32, there: &There) -> Result<()> {
        let form = fingerprint(bytes);
        let ours = Entry::File(BTreeSet::from([form]));
        let recorded = self.record.entries.get(path);
        if ours.is_unchanged(self.root, path, there)? {
            return self.found(path, ours);
        }
        match (there, recorded) {
            (There::Nothing, _) => self.make_directories(path)?,
            (_, Some(old)) if old.is_unchanged(self.root, path, there)? => {}
            _ => return Err(self.in_the_way(path, there)),
        }
        let replaces = *there != There::Nothing;
        self.steps.push(Step::Write { path, bytes, mode, replaces });
        self.own(path, ours);
        Ok(())
    }

    fn link(&mut self, path: &'a str, target: &'a str, there: &There) -> Result<()> {
        let ours = Entry::Link(BTreeSet::from([target.to_owned()]));
        if ours.is_unchanged(self.root, path, there)? {
            return self.found(path, ours);
        }
        match (there, self.record.entries.get(path)) {
            (There::Nothing, _) => self.make_directories(path)?,
            (_, Some(old)) if old.is_unchanged(self.root, path, there)? => {}
            _ => return Err(self.in_the_way(path, there)),
        }
        self.steps.push(Step::Link { path, target });
        self.own(path, ours);
        Ok(())
    }

    /// It is there as it should be; it is ours only if we put it there.
    fn found(&mut self, path: &str, ours: Entry) -> Result<()> {
        if !self.record.entries.contains_key(path) {
            self.untouched += 1;
            return Ok(());
        }
        if self.root.look(&temporary(path))? != There::Nothing {
            self.steps.push(Step::Remove(temporary(path)));
        }
        self.own(path, ours);
        Ok(())
    }

    pub(super) fn own(&mut self, path: &str, entry: Entry) {
        self.after.entries.insert(path.to_owned(), entry);
    }

    pub(super) fn make_directories(&mut self, path: &str) -> Result<()> {
        for directory in self.root.place(path)?.missing {
            if self.made.insert(directory.clone()) {
                self.steps.push(Step::MakeDirectory(directory));
            }
        }
        Ok(())
    }

    /// Why what is at `path` is not overwritten.
    pub(super) fn in_the_way(&self, path: &str, there: &There) -> Error {
        let why = match self.record.entries.get(path) {
            Some(_) => "changed since ocfbox put its own there",
            None => "not put there by ocfbox",
        };
        Error::Failed(format!("{}: {}, {why}", self.root.shown(path), there.name()))
    }

    /// Takes back what an older version put and this one has no more, and frames it all with the record.
    fn finish(mut self, wanted: &[Item]) -> Result<Plan<'a>> {
        let mut plan = Plan::default();
        let known: BTreeSet<&str> = wanted.iter().map(|item| item.path.as_str()).collect();
        for (path, entry) in &self.record.entries {
            if !known.contains(path.as_str()) {
                let undone = undo::entry(self.root, self.dpkg, path, entry)?;
                if undone.kept_entry {
                    self.after.entries.insert(path.clone(), entry.clone());
                }
                self.steps.extend(undone.steps);
                plan.notes.extend(undone.notes);
            }
        }
        if self.untouched > 0 {
            plan.notes.push(format!(
                "{} of the files were there already, as they should be; uninstall will leave them",
                self.untouched
            ));
        }
        self.after.directories.clone_from(&self.record.directories);
        self.after.directories.extend(self.made.iter().cloned());
        let unwritten = temporary(RECORD);
        if self.steps.is_empty() && self.root.look(&unwritten)? != There::Nothing {
            self.steps.push(Step::Remove(unwritten));
        }
        if self.steps.is_empty() {
            let changed = self.after != *self.record && !self.after.entries.is_empty();
            plan.record = changed.then_some(self.after);
            return Ok(plan);
        }
        self.frame(&mut plan)?;
        Ok(plan)
    }

    fn frame(mut self, plan: &mut Plan<'a>) -> Result<()> {
        let missing = self.root.place(RECORD)?.missing;
        self.steps.retain(|step| match step {
            Step::MakeDirectory(path) => !missing.contains(path),
            _ => true,
        });
        self.after.directories.extend(missing.iter().cloned());
        self.after.directories.insert(DIRECTORY.to_owned());
        plan.steps.extend(missing.into_iter().map(Step::MakeDirectory));
        let mut meanwhile = self.record.clone();
        meanwhile.merge(&self.after);
        plan.steps.push(Step::Record(meanwhile));
        plan.steps.append(&mut self.steps);
        plan.record = Some(self.after);
        Ok(())
    }
}
