//! A daemon that already runs, and whether it is provably the one that is configured.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::family::{may_be_member, protected};
use super::{
    Command, Configured, Kind, MARK, Service, environment, is_script, listed, patience, pidfile,
};
use crate::agent::Cx;
use crate::error::{Error, Result};
use crate::host::account::Account;
use crate::host::process::{self, Process};
use crate::host::survey;

/// The process that start need not start: it executes the same program with the same words as the same user, is no
/// container's and no other resource's, and nobody at a terminal runs it. Where only a PID file may vouch, it does.
///
/// # Errors
/// A process that may be it does not say so.
pub(super) fn find(service: &Service, cx: &Cx<'_>) -> Result<Option<Process>> {
    let command = match &service.kind {
        Some(Kind::Command(command)) => command,
        Some(Kind::Script(script)) => return script.main(service, cx),
        // systemd knows the processes of a unit.
        Some(Kind::Unit(_)) | None => return Ok(None),
    };
    let Some(alike) = Alike::to(command) else { return Ok(None) };
    let vouched = service.pidfile.as_ref().and_then(|file| pidfile::named(&file.path));
    let vouched = vouched.map(|named| named.identity.pid);
    let mut asked: Vec<i32> = vouched.into_iter().collect();
    if command.adopt {
        asked = process::numbers()?.into_keys().collect();
    }
    let protected = protected()?;
    asked.retain(|pid| !protected.contains(pid));
    let survey = survey::ask(asked, patience(cx), move |pid| alike.find(pid));
    let mut found: Vec<Process> = survey.answers.into_iter().map(|(_, process)| process).collect();
    found.retain(|process| may_be_member(process, &protected));
    if let Some(named) = found.iter().find(|process| Some(process.identity.pid) == vouched) {
        return Ok(Some(named.clone()));
    }
    let mut silent = Vec::new();
    for pid in survey.silent {
        silent.extend(Process::look(pid)?);
    }
    if found.is_empty() && !silent.is_empty() {
        return Err(unknown(&silent));
    }
    found.retain(|process| command.adopt && process.terminal == 0);
    // A daemon's workers look as it does; it is the one that is nobody's child among them.
    let pids: Vec<i32> = found.iter().map(|process| process.identity.pid).collect();
    found.retain(|process| !pids.contains(&process.parent));
    Ok(if found.len() == 1 { found.pop() } else { None })
}

/// Nobody can say of these whether they are of the service, and so not that it is stopped.
pub(super) fn unknown(silent: &[Process]) -> Error {
    Error::Failed(format!(
        "cannot tell whether {} belongs to it: it does not answer",
        listed(silent)
    ))
}

/// What the process of a command looks like.
struct Alike {
    path: PathBuf,
    is_script: bool,
    words: Vec<OsString>,
    user: u32,
    configured: Option<Configured>,
}

impl Alike {
    fn to(command: &Command) -> Option<Self> {
        let path = environment::find(command)?;
        let is_script = is_script(&path);
        let path = if is_script { path } else { path.canonicalize().ok()? };
        let words = command.words.get(1..)?.to_vec();
        let user = Account::named(&command.user).ok()?.user;
        Some(Self { path, is_script, words, user, configured: command.configured.clone() })
    }

    /// The process of that number, if it looks so. First what is cheap and tells most apart.
    fn find(&self, pid: i32) -> Option<Process> {
        if !self.is_script && process::executable(pid)? != self.path {
            return None;
        }
        if !self.has_words(&process::words(pid)) {
            return None;
        }
        let found = Process::look(pid).ok()??;
        // What was looked at before is looked at again: only now it is certain whose number it was.
        let is_it = (self.is_script || found.executable().as_deref() == Some(&self.path))
            && self.has_words(&found.words())
            && found.user() == Some(self.user)
            && found.is_in_our_namespace()
            && (self.configured.is_none() || found.is_in_our_network())
            && process::variable(found.identity, MARK).is_none();
        let still = Process::find(found.identity).ok()?;
        still.filter(|_| is_it)
    }

    fn has_words(&self, words: &[OsString]) -> bool {
        if let Some(configured) = &self.configured {
            return self.is_configured_alike(configured, words);
        }
        // The kernel puts the interpreter, perhaps an argument of it, and the path before the words of a script.
        let before = words.len().checked_sub(self.words.len());
        let Some((before, rest)) = before.and_then(|at| words.split_at_checked(at)) else {
            return false;
        };
        let called = if self.is_script {
            (2..=3).contains(&before.len()) && before.last().is_some_and(|word| *word == *self.path)
        } else {
            before.len() == 1
        };
        called && *rest == *self.words
    }

    /// Whether the words name the same file, or none where that file is the default.
    fn is_configured_alike(&self, configured: &Configured, words: &[OsString]) -> bool {
        let line = words.join(std::ffi::OsStr::new(" "));
        let line = String::from_utf8_lossy(line.as_bytes());
        let titled = configured.title.and_then(|title| line.strip_prefix(title));
        let mut words = titled.unwrap_or(&line).split_ascii_whitespace();
        let first = Path::new(words.next().unwrap_or_default());
        if first.file_name() != self.path.file_name()
            || (configured.title.is_some() && titled.is_none())
        {
            return false;
        }
        let mut named = None;
        while let Some(word) = words.next() {
            match word.strip_prefix(configured.option) {
                Some("") => named = words.next().map(PathBuf::from),
                Some(joined) => named = Some(PathBuf::from(joined)),
                None => {}
            }
        }
        let real = |path: &Path| path.canonicalize().ok();
        let wanted = real(&configured.file);
        let found = named.or_else(|| configured.default.clone()).and_then(|path| real(&path));
        wanted.is_some() && wanted == found
    }
}
