//! What has to be done to take everything back.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::fs;

use super::dpkg::{Diversion, Dpkg};
use super::plan::Plan;
use super::record::{DIRECTORY, Entry, RECORD, Record};
use super::root::{Root, There};
use super::step::{Step, is_around_record};
use super::wanted::BINARY;
use super::{attempt, kept, temporary};
use crate::error::Result;

/// What takes one entry back.
#[derive(Debug, Default)]
pub(super) struct Undone {
    pub(super) steps: Vec<Step<'static>>,
    pub(super) notes: Vec<String>,
    /// The entry has to stay in the record: it could not be taken back whole.
    pub(super) kept_entry: bool,
}

/// Plans an uninstall.
pub(super) fn uninstall(
    root: &Root,
    dpkg: Option<&Dpkg>,
    record: Option<Record>,
) -> Result<Plan<'static>> {
    let mut plan = Plan::default();
    let recorded = record.is_some();
    let mut record = record.unwrap_or_default();
    for (path, entry) in in_order(&record) {
        let undone = self::entry(root, dpkg, path, entry)?;
        plan.steps.extend(undone.steps);
        if undone.kept_entry {
            plan.left.extend(undone.notes);
            plan.record.get_or_insert_default().entries.insert(path.clone(), entry.clone());
        } else {
            plan.notes.extend(undone.notes);
        }
    }
    // Without a record, a kill may still have left its directory.
    record.directories.insert(DIRECTORY.to_owned());
    let (around, elsewhere): (BTreeSet<String>, BTreeSet<String>) =
        record.directories.iter().cloned().partition(|path| is_around_record(path));
    let mut removed = removed_by(&plan.steps);
    remove_directories(root, &elsewhere, &mut plan, &mut removed)?;
    if let Some(left) = &mut plan.record {
        left.extras = record.extras;
        left.directories = record.directories;
        return Ok(plan);
    }
    if recorded || root.look(&temporary(RECORD))? != There::Nothing {
        plan.steps.push(Step::Forget);
        removed.extend([RECORD.to_owned(), temporary(RECORD)]);
    }
    remove_directories(root, &around, &mut plan, &mut removed)?;
    Ok(plan)
}

/// Agents of others come back before ours go, and nothing that is linked to goes before its links.
fn in_order(record: &Record) -> Vec<(&String, &Entry)> {
    let mut entries: Vec<(&String, &Entry)> = record.entries.iter().collect();
    entries.sort_by_key(|(path, entry)| match entry {
        Entry::Instead(_) => 0,
        Entry::Link(_) => 1,
        Entry::File(_) if *path != BINARY => 2,
        Entry::File(_) => 3,
    });
    entries
}

/// Plans to take back one entry of the record.
pub(super) fn entry(root: &Root, dpkg: Option<&Dpkg>, path: &str, entry: &Entry) -> Result<Undone> {
    let there = root.look(path)?;
    let mut undone = Undone::default();
    if root.look(&temporary(path))? != There::Nothing {
        undone.steps.push(Step::Remove(temporary(path)));
    }
    let ours = entry.is_unchanged(root, path, &there)?;
    if let Entry::Instead(_) = entry {
        instead(root, path, &there, ours, &mut undone)?;
        if !undone.kept_entry
            && dpkg.and_then(|dpkg| dpkg.diversion(path)) == Some(&Diversion::Ours)
        {
            undone.steps.push(Step::Undivert(path.to_owned()));
        }
    } else if ours {
        undone.steps.push(Step::Remove(path.to_owned()));
    } else if there != There::Nothing {
        undone.notes.push(changed(root, path));
    }
    Ok(undone)
}

fn instead(root: &Root, path: &str, there: &There, ours: bool, undone: &mut Undone) -> Result<()> {
    let kept = kept(path);
    let is_kept = root.look(&kept)? != There::Nothing;
    if is_kept && (ours || *there == There::Nothing) {
        undone.steps.push(Step::Restore(path.to_owned()));
    } else if ours {
        undone.steps.push(Step::Remove(path.to_owned()));
    } else if is_kept && root.same(path, &kept)? {
        // Killed between the second name and the link.
        undone.steps.push(Step::Remove(kept));
    } else if is_kept {
        undone.kept_entry = true;
        undone.notes.push(format!(
            "{} was changed since ocfbox put its link there, and {} has what was there before: \
             move away the one that is not needed, and uninstall again",
            root.shown(path),
            root.shown(&kept)
        ));
    }
    Ok(())
}

fn changed(root: &Root, path: &str) -> String {
    format!("leave {}: it was changed since ocfbox put it there; it is yours now", root.shown(path))
}

/// The paths that are gone after `steps`.
fn removed_by(steps: &[Step]) -> BTreeSet<String> {
    let gone = steps.iter().filter_map(|step| match step {
        Step::Remove(path) => Some(path.clone()),
        Step::Restore(path) => Some(kept(path)),
        _ => None,
    });
    gone.collect()
}

/// Plans to remove those of our directories that will be empty.
fn remove_directories(
    root: &Root,
    directories: &BTreeSet<String>,
    plan: &mut Plan,
    removed: &mut BTreeSet<String>,
) -> Result<()> {
    for path in directories.iter().rev() {
        if root.look(path)? != There::Directory {
            continue;
        }
        let real = root.place(path)?.real;
        let will_be_empty = || -> std::io::Result<bool> {
            for found in fs::read_dir(&real)? {
                let name = found?.file_name();
                if !removed.contains(&format!("{path}/{}", name.to_string_lossy())) {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        if attempt(will_be_empty(), || format!("read the directory {}", root.shown(path)))? {
            plan.steps.push(Step::RemoveDirectory(path.clone()));
            removed.insert(path.clone());
        }
    }
    Ok(())
}
