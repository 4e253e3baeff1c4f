//! `symlink`: a symbolic link that moves with a group.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use crate::action::Action;
use crate::agent::{Agent, Cx, Status};
use crate::error::{Error, Result};
use crate::host::symlink::{self, Entry};
use crate::param::values::{AbsolutePath, Suffix, Text};
use crate::params;
use crate::spec::{ActionSpec, AgentSpec};

params! {
    pub struct Params {
        /// Path of the link
        ///
        /// An absolute path. The directory in which the link is has to be there.
        link: AbsolutePath,

        /// Where the link leads
        ///
        /// The text of the link. A relative one begins at the directory of the link. It need not exist, so that the
        /// link may be made before what it leads to is mounted.
        target: Text,

        /// Keep what is there under another name
        ///
        /// Appended to the name of a file, directory or other link that has the name of the link. Start gives it that
        /// name, and stop gives it back its own. Without it, and if something has the other name already, start
        /// refuses to replace anything.
        backup_suffix: Option<Suffix>,
    }
}

pub struct Symlink(Params);

impl From<Params> for Symlink {
    fn from(params: Params) -> Self {
        Self(params)
    }
}

impl Agent for Symlink {
    type Params = Params;

    const SPEC: AgentSpec = AgentSpec {
        name: "symlink",
        short: "A symbolic link",
        long: "Makes a symbolic link, watches it, and removes it: so that the services of a group find their \
               configuration or their data at a fixed path while the group is here, and not elsewhere.\n\n\
               What has the name of the link already is never deleted. With backup_suffix it changes places with the \
               link in one step, so that at no moment nothing has the name, and stop changes them back.",
        actions: &[
            ActionSpec::new(Action::Start, 15),
            ActionSpec::new(Action::Stop, 15),
            ActionSpec::new(Action::Monitor, 15).every(60).depth(0),
            ActionSpec::new(Action::ValidateAll, 10),
            ActionSpec::new(Action::MetaData, 5),
        ],
        haresources: None,
    };

    fn monitor(&self, cx: &Cx<'_>) -> Result<Status> {
        let names = self.names();
        match symlink::look(&names.link)? {
            Entry::Nothing => Ok(Status::NotRunning),
            entry if names.is_ours(&entry) => Ok(Status::Running),
            _ if cx.is_probe() => Ok(Status::NotRunning),
            other => Err(Error::Failed(format!(
                "{} is no link to {}: it {}; move that away, and the cluster will make the link again",
                names.link.display(),
                names.target.display(),
                leading(&other)
            ))),
        }
    }

    fn validate(&self, cx: &Cx<'_>) -> Result<()> {
        self.names().warn_of_missing(cx);
        Ok(())
    }

    fn start(&self, cx: &Cx<'_>) -> Result<()> {
        let names = self.names();
        let _one_at_a_time = cx.state.lock(&names.lock(), &cx.deadline)?;
        names.finish(cx)?;
        let entry = symlink::look(&names.link)?;
        if names.is_ours(&entry) {
            return Ok(());
        }
        if entry != Entry::Nothing {
            names.replace(&entry, cx)?;
        } else if !symlink::make(&names.target, &names.link)? {
            return Err(Error::Failed(format!(
                "somebody else made {} at the same moment; look who, and start again",
                names.link.display()
            )));
        }
        cx.log.info(&format!("{} leads to {}", names.link.display(), names.target.display()));
        names.warn_of_missing(cx);
        Ok(())
    }

    fn stop(&self, cx: &Cx<'_>) -> Result<()> {
        let names = self.names();
        let _one_at_a_time = cx.state.lock(&names.lock(), &cx.deadline)?;
        names.finish(cx)?;
        let entry = symlink::look(&names.link)?;
        if names.is_ours(&entry) {
            names.take_away(cx)?;
            cx.log.info(&format!("removed the link {}", names.link.display()));
        } else if entry != Entry::Nothing {
            let link = names.link.display();
            cx.log.info(&format!("{link} {}, which is not ours, and stays", leading(&entry)));
        }
        Ok(())
    }
}

fn leading(entry: &Entry) -> String {
    match entry {
        Entry::Link(text) => format!("leads to {}", text.display()),
        Entry::Other(kind) => format!("is {kind}"),
        Entry::Nothing => "is not there".to_owned(),
    }
}

impl Symlink {
    fn names(&self) -> Names {
        let params = &self.0;
        // With a slash at its end a path would lead to what the link leads to.
        let link: PathBuf = params.link.as_path().components().collect();
        let directory = link.parent().unwrap_or(Path::new("/")).to_owned();
        let mut last = OsString::from(".");
        last.push(link.file_name().unwrap_or_default());
        last.push(".ocfbox");
        Names {
            backup: params.backup_suffix.as_ref().map(|suffix| suffix.after(&link)),
            target: params.target.as_os_str().to_owned(),
            aside: directory.join(last),
            directory,
            link,
        }
    }
}

/// The link, and the names beside it.
struct Names {
    link: PathBuf,
    target: OsString,
    directory: PathBuf,
    backup: Option<PathBuf>,
    /// Where the link waits on a file system that cannot exchange two names.
    aside: PathBuf,
}

impl Names {
    /// The name of the lock: that of the link, whatever the resource is called.
    fn lock(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.link.hash(&mut hasher);
        format!("symlink-{:016x}", hasher.finish())
    }

    fn is_ours(&self, entry: &Entry) -> bool {
        match entry {
            Entry::Link(text) => symlink::lead_to_one_place(&self.directory, text, &self.target),
            _ => false,
        }
    }

    /// A link with our very text under a name that only start and stop use.
    fn is_left(&self, path: &Path) -> Result<bool> {
        Ok(symlink::look(path)? == Entry::Link(self.target.clone()))
    }

    /// What a start or stop left that was killed between two steps.
    fn finish(&self, cx: &Cx<'_>) -> Result<()> {
        let Some(backup) = &self.backup else { return Ok(()) };
        if self.is_left(&self.aside)? {
            if symlink::look(&self.link)? == Entry::Nothing
                && symlink::look(backup)? != Entry::Nothing
                && let Err(error) = symlink::rename(backup, &self.link)
            {
                cx.log.warn(&format!("{error}; {} stays where it is", backup.display()));
            }
            symlink::remove(&self.aside)?;
        }
        if self.is_left(backup)? {
            symlink::remove(backup)?;
        }
        Ok(())
    }

    /// The link takes the name of what is there, which takes that of the backup.
    fn replace(&self, entry: &Entry, cx: &Cx<'_>) -> Result<()> {
        let link = self.link.display();
        let Some(backup) = &self.backup else {
            return Err(Error::Local(format!(
                "cannot make the link {link}: it {} already; move it away, or set backup_suffix",
                leading(entry)
            )));
        };
        self.make_beside(backup)?;
        let exchanged = symlink::exchange(backup, &self.link);
        if matches!(exchanged, Ok(true)) {
            return Ok(());
        }
        symlink::remove(backup)?;
        exchanged?;
        self.make_beside(&self.aside)?;
        let moved = symlink::rename(&self.link, backup)
            .and_then(|()| symlink::rename(&self.aside, &self.link));
        if moved.is_err() {
            self.finish(cx)?;
        }
        moved
    }

    /// The link under another name, which nobody else has.
    fn make_beside(&self, path: &Path) -> Result<()> {
        if symlink::make(&self.target, path)? {
            return Ok(());
        }
        Err(Error::Local(format!(
            "cannot move {} out of the way: {} exists already; remove one of them",
            self.link.display(),
            path.display()
        )))
    }

    /// Removes the link, and gives its name back to whose it was. That it cannot be given back is no reason to fail: nothing
    /// of the resource is left.
    fn take_away(&self, cx: &Cx<'_>) -> Result<()> {
        let kept = match &self.backup {
            Some(backup) if symlink::look(backup)? != Entry::Nothing => backup,
            _ => return symlink::remove(&self.link),
        };
        match self.give_back(kept) {
            Ok(()) => Ok(()),
            Err(error) if self.is_ours(&symlink::look(&self.link)?) => {
                cx.log.warn(&format!("{error}; {} stays where it is", kept.display()));
                symlink::remove(&self.link)
            }
            Err(error) => Err(error),
        }
    }

    fn give_back(&self, backup: &Path) -> Result<()> {
        if symlink::exchange(backup, &self.link)? {
            return match symlink::look(backup)? {
                entry if self.is_ours(&entry) => symlink::remove(backup),
                // Somebody replaced the link after the look at it.
                _ => symlink::exchange(backup, &self.link).map(drop),
            };
        }
        symlink::rename(&self.link, &self.aside)?;
        if let Err(error) = symlink::rename(backup, &self.link) {
            symlink::rename(&self.aside, &self.link)?;
            return Err(error);
        }
        symlink::remove(&self.aside)
    }

    fn warn_of_missing(&self, cx: &Cx<'_>) {
        if symlink::leads_somewhere(&self.directory, &self.target) == Some(false) {
            cx.log.warn(&format!(
                "{} does not exist, to which the link leads",
                self.target.display()
            ));
        }
    }
}
