//! A daemon that already runs, and whether it is provably the one that is configured.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::family::Census;
use super::{Command, Configured, Kind, MARK, Service, environment, is_script, pidfile};
use crate::host::account::Account;
use crate::host::process::{self, Process};

/// The process that start need not start: it executes the same program with the same words as the same user, is no
/// container's and no other resource's, and nobody at a terminal runs it. Where only a PID file may vouch, it does.
pub(super) fn find(service: &Service, census: &Census) -> Option<Process> {
    match service.kind.as_ref()? {
        Kind::Command(command) => {
            let alike = Alike::to(command)?;
            let vouched = service.pidfile.as_ref().and_then(|file| pidfile::named(&file.path));
            if let Some(found) = vouched.and_then(|named| census.get(named.identity.pid).cloned())
                && alike.is(&found)
            {
                return Some(found);
            }
            let mut found: Vec<&Process> = census
                .candidates()
                .filter(|process| command.adopt && process.terminal == 0 && alike.is(process))
                .collect();
            // A daemon's workers look as it does; it is the one that is nobody's child among them.
            let pids: Vec<i32> = found.iter().map(|process| process.identity.pid).collect();
            found.retain(|process| !pids.contains(&process.parent));
            match found[..] {
                [only] => Some(only.clone()),
                _ => None,
            }
        }
        Kind::Script(script) => script.main(service, census),
    }
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

    fn is(&self, process: &Process) -> bool {
        self.has_words(process)
            && process.user() == Some(self.user)
            && process.is_in_our_namespace()
            && process::variable(process.identity, MARK).is_none()
    }

    fn has_words(&self, process: &Process) -> bool {
        if !self.is_script && process.executable().as_deref() != Some(&self.path) {
            return false;
        }
        let words = process.words();
        if let Some(configured) = &self.configured {
            return process.is_in_our_network() && self.is_configured_alike(configured, &words);
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
