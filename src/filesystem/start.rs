//! start: mounted, the right one, and well; or nothing of it.

#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::Duration;

use super::attach::required_helper;
use super::monitor::stranger_at;
use super::record::{self, Made, Record};
use super::{Filesystem, conflict, kind};
use crate::agent::{Cx, Status};
use crate::error::{Doing, Error, Result};
use crate::host::helper::{self, Outcome, Terms};
use crate::host::mount::{Table, health};
use crate::host::program;
use crate::state::Lock;
use crate::{trace_answer, trace_ask};

/// systemd unmounts what it does not like within this time.
const DISLIKES: Duration = Duration::from_millis(100);

impl Filesystem<'_> {
    /// Mounts it.
    ///
    /// # Errors
    /// It is not mounted, and what was done is undone.
    pub fn start(&self, cx: &Cx<'_>) -> Result<()> {
        let point = self.point()?;
        let _one_at_a_time = self.lock(&point, cx)?;
        let gate = self.gate(&point, cx)?;
        let found = self.look(cx)?;
        if found.top().is_some() {
            return self.started_before(cx);
        }
        if let Some(stranger) = &found.stranger {
            return Err(stranger_at(stranger));
        }
        nothing_below(&point, &found.table)?;
        conflict::nobody_else_mounts(&point, self.directory)?;
        let mut made = Made::default();
        let mounted = made
            .directory(&point)
            .doing(|| format!("make the directory {}", point.display()))
            .and_then(|()| self.attach_in_helper(&point, gate.as_ref(), cx))
            .and_then(|()| self.verify(&point, cx));
        // stop has to get it, unless a process that hangs has it still.
        drop(gate);
        let Err(error) = mounted else {
            cx.log.info(&format!("mounted {} at {}", self.source.described(), point.display()));
            return Ok(());
        };
        let undone = self.undo(cx);
        made.take_back();
        Err(error.and(undone.err().into_iter().collect()))
    }

    /// Looks whether it could be mounted here.
    ///
    /// # Errors
    /// It could not.
    pub fn validate(&self, cx: &Cx<'_>) -> Result<()> {
        let point = self.point()?;
        conflict::nobody_else_mounts(&point, self.directory)?;
        match self.kind.and_then(required_helper) {
            Some(program) => program::find(cx.environment, program).map(drop),
            None => Ok(()),
        }
    }

    /// One node's file system must not be a clone, which runs on several.
    ///
    /// # Errors
    /// It is one.
    pub fn refuse_clones(&self, cx: &Cx<'_>) -> Result<()> {
        if cx.environment.meta("clone_max").is_none() {
            return Ok(());
        }
        let shared = self.bind().is_some() || self.kind.is_some_and(kind::is_shared);
        let harmless = self.options.read_only && !self.kind.is_some_and(kind::is_journalled);
        if shared || harmless || self.force_clones {
            return Ok(());
        }
        let why = format!(
            "{} is not made for several nodes at once, which would destroy it; do not clone it",
            self.kind.unwrap_or("a type that is not given")
        );
        Err(Error::Configured { name: "fstype", why })
    }

    fn started_before(&self, cx: &Cx<'_>) -> Result<()> {
        match self.monitor(cx)? {
            Status::Running => Ok(()),
            _ => Err(Error::Failed(format!(
                "{} was unmounted while it was being looked at; start it again",
                self.directory.display()
            ))),
        }
    }

    /// Mounts it in a process of its own, since all that looks at a device may wait for it for ever.
    fn attach_in_helper(&self, point: &Path, gate: Option<&Lock>, cx: &Cx<'_>) -> Result<()> {
        let what = || format!("mount {} at {}", self.source.described(), point.display());
        let limit = cx.deadline.to_wait_for(&what())?;
        trace_ask!("{}", what());
        let words = self.attach_words(point, Terms::of_this(limit));
        let outcome = helper::run(&words, cx.log, gate, limit, &cx.deadline).doing(what)?;
        trace_answer!("{}: {outcome:?}", what());
        match outcome {
            Outcome::Ended { code, said } => helper::heard(code, said),
            Outcome::Hung { lasted, stuck } => {
                let who = match stuck {
                    Some(process) => format!("; {process} waits for it"),
                    None => String::new(),
                };
                Err(Error::Failed(format!(
                    "cannot {}: it has hung for {:.1} s, the device or server does not answer{who}",
                    what(),
                    lasted.as_secs_f64()
                )))
            }
        }
    }

    fn attach_words(&self, point: &Path, terms: Terms) -> Vec<OsString> {
        // A value of its own word may look like an option.
        let with = |name: &str, value: &OsStr| {
            let mut word = OsString::from(name);
            word.push(value);
            word
        };
        let mut words = vec![OsString::from("attach")];
        words.extend(terms.words());
        words.push(with("--source=", &self.source.text()));
        words.extend(self.kind.map(|kind| with("--kind=", kind.as_ref())));
        words.extend(self.options.words().iter().map(|word| with("--option=", word)));
        words.push(with("--check=", self.check.word().as_ref()));
        words.extend(self.shared_device.then(|| "--shared-device".into()));
        words.extend(["--".into(), point.into()]);
        words
    }

    /// It is there, it is the right one, and it stays.
    fn verify(&self, point: &Path, cx: &Cx<'_>) -> Result<()> {
        let look = self.look(cx)?;
        let mount = look.top().ok_or_else(|| vanished(point))?;
        let record = Record::of(mount, health::errors(mount), self.asked());
        self.names(point).try_for_each(|path| record::write(self.agent, path, &record, cx))?;
        if record.errors.is_some_and(|errors| errors > 0) {
            cx.log.warn(&format!(
                "{} had errors before it was mounted; run `e2fsck -f` when it is stopped",
                self.source.described()
            ));
        }
        if Path::new("/run/systemd/system").is_dir() {
            std::thread::sleep(DISLIKES.min(cx.deadline.left()));
        }
        match self.monitor(cx)? {
            Status::Running => Ok(()),
            _ => Err(vanished(point)),
        }
    }
}

fn vanished(point: &Path) -> Error {
    Error::Failed(format!(
        "nothing of it is mounted at {} right after it was mounted; look into the journal for a unit that unmounts it",
        point.display()
    ))
}

fn nothing_below(point: &Path, table: &Table) -> Result<()> {
    match table.mounts().iter().find(|mount| mount.point.starts_with(point)) {
        Some(mount) => Err(Error::Local(format!(
            "{} is mounted below {}, and would be hidden; unmount it, or start it later",
            mount.point.display(),
            point.display()
        ))),
        None => Ok(()),
    }
}
