//! A link in the place of another package's file, which is kept beside it.
//!
//! The order is: divert, so that dpkg puts a new version where the old one will be kept; keep, by a second name; link,
//! by a rename over the first name. At every instant the path has the old agent or ours.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;

use super::dpkg::Diversion;
use super::plan::Planner;
use super::record::Entry;
use super::root::There;
use super::step::Step;
use super::wanted::{Claim, is_wrapper};
use super::{kept, temporary};
use crate::error::{Error, Result};

impl<'a> Planner<'a, '_> {
    /// Plans the link at `path`.
    pub(super) fn instead(
        &mut self,
        path: &'a str,
        target: &'a str,
        claim: Claim,
        there: &There,
    ) -> Result<()> {
        let ours = Entry::Instead(BTreeSet::from([target.to_owned()]));
        let in_place = ours.is_unchanged(self.root, path, there)?;
        if in_place && !self.is_known(path)? {
            self.untouched += 1;
            return Ok(());
        }
        let older = match self.record.entries.get(path) {
            Some(old) => old.is_unchanged(self.root, path, there)?,
            None => false,
        };
        let replaced = !in_place && !older && *there != There::Nothing;
        if replaced && claim == Claim::Reserve {
            return Err(self.reserved(path, there));
        }
        self.divert(path, claim)?;
        if replaced {
            self.keep(path, there)?;
        }
        if *there == There::Nothing {
            self.make_directories(path)?;
        }
        if !in_place {
            self.steps.push(Step::Link { path, target });
        } else if self.root.look(&temporary(path))? != There::Nothing {
            self.steps.push(Step::Remove(temporary(path)));
        }
        self.own(path, ours);
        Ok(())
    }

    /// Whether the link at `path` is ours: recorded, or betrayed by what it took the place of.
    fn is_known(&self, path: &str) -> Result<bool> {
        Ok(self.record.entries.contains_key(path)
            || self.diversion(path) == Some(&Diversion::Ours)
            || self.root.look(&kept(path))? != There::Nothing)
    }

    fn diversion(&self, path: &str) -> Option<&Diversion> {
        self.dpkg.and_then(|dpkg| dpkg.diversion(path))
    }

    fn divert(&mut self, path: &str, claim: Claim) -> Result<()> {
        let Some(dpkg) = self.dpkg else { return Ok(()) };
        match dpkg.diversion(path) {
            Some(Diversion::Ours) => Ok(()),
            Some(Diversion::Other(which)) => Err(Error::Failed(format!(
                "{}: there is a {which}; take it back with dpkg-divert --remove",
                self.root.shown(path)
            ))),
            None => {
                if dpkg.owns(path) || claim != Claim::Replace {
                    self.steps.push(Step::Divert(path.to_owned()));
                }
                Ok(())
            }
        }
    }

    fn keep(&mut self, path: &str, there: &There) -> Result<()> {
        let kept = kept(path);
        match (there, self.root.look(&kept)?) {
            (There::File | There::Link(_), There::Nothing) => {
                self.steps.push(Step::Keep(path.to_owned()));
                Ok(())
            }
            (There::File | There::Link(_), _) if self.root.same(path, &kept)? => Ok(()),
            (There::File | There::Link(_), _) => Err(Error::Failed(format!(
                "{}: it would be kept as {}, where something else is kept already; \
                 move away the one that is not needed",
                self.root.shown(path),
                self.root.shown(&kept)
            ))),
            _ => Err(self.in_the_way(path, there)),
        }
    }

    fn reserved(&self, path: &str, there: &There) -> Error {
        match is_wrapper(self.root, path) {
            Ok(true) => Error::Failed(format!(
                "{}: the wrapper of a shell agent; --replace-heartbeat takes its place and keeps it",
                self.root.shown(path)
            )),
            Ok(false) => self.in_the_way(path, there),
            Err(error) => error,
        }
    }
}
