//! `ocfbox install` and `ocfbox uninstall`: the binary, its links and pages below a root, and the way back.
//!
//! Everything is planned before anything is changed; the [record] of what will be put where is written before the
//! first change. Each step looks at what is there, so whatever a kill leaves is completed by the next run.

#![forbid(unsafe_code)]

mod dpkg;
mod plan;
mod record;
mod root;
mod step;
mod takeover;
mod undo;
mod wanted;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use self::dpkg::Dpkg;
use self::plan::Plan;
use self::record::Record;
use self::root::Root;
use self::step::Step;
use self::wanted::Extras;
use super::print;
use crate::error::{Error, Result, cause};

#[derive(Debug, clap::Args)]
pub(super) struct Words {
    #[command(flatten)]
    common: Common,
    /// Link the agents into /etc/ha.d/resource.d too, for haresources
    #[arg(long)]
    haresources: bool,
    /// Take the place of the agents of the same name in provider heartbeat, and of their haresources wrappers;
    /// what is replaced is kept
    #[arg(long)]
    replace_heartbeat: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Common {
    /// The directory that is taken for /
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// Say what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Puts everything in its place.
pub(super) fn run(words: &Words) -> Result<()> {
    let (root, _lock) = words.common.begin()?;
    let record = Record::load(&root)?.unwrap_or_default();
    let extras = Extras {
        haresources: words.haresources || record.extras.haresources,
        replace_heartbeat: words.replace_heartbeat || record.extras.replace_heartbeat,
    };
    let wanted = wanted::everything(&root, extras, &record)?;
    let dpkg = Dpkg::of(&root, wanted.iter().filter_map(|item| item.may_be_owned()))?;
    let plan = plan::install(&root, dpkg.as_ref(), &record, extras, &wanted)?;
    words.common.carry_out(&root, dpkg.as_ref(), &plan, "install")
}

/// Takes everything back.
pub(super) fn undo(common: &Common) -> Result<()> {
    let (root, _lock) = common.begin()?;
    let record = Record::load(&root)?;
    let dpkg = Dpkg::of(&root, std::iter::empty())?;
    let plan = undo::uninstall(&root, dpkg.as_ref(), record)?;
    common.carry_out(&root, dpkg.as_ref(), &plan, "uninstall")
}

impl Common {
    fn begin(&self) -> Result<(Root, Option<Flock<File>>)> {
        let root = Root::new(&self.root)?;
        let lock = if self.dry_run { None } else { lock(root.real())? };
        Ok((root, lock))
    }

    fn carry_out(&self, root: &Root, dpkg: Option<&Dpkg>, plan: &Plan, verb: &str) -> Result<()> {
        if self.dry_run {
            for step in &plan.steps {
                print(&format!("would {}\n", step.line(root)))?;
            }
        } else {
            self.perform(root, dpkg, plan)?;
        }
        for note in &plan.notes {
            print(&format!("{note}\n"))?;
        }
        if !plan.left.is_empty() {
            return Err(Error::Failed(format!(
                "not everything could be taken back:\n  {}",
                plan.left.join("\n  ")
            )));
        }
        if plan.steps.is_empty() {
            print(&format!("nothing is left to do: {verb} is complete\n"))?;
        }
        Ok(())
    }

    fn perform(&self, root: &Root, dpkg: Option<&Dpkg>, plan: &Plan) -> Result<()> {
        let mut begun = false;
        for step in &plan.steps {
            step.perform(root, dpkg).map_err(|error| self.halfway(error, begun))?;
            begun |= !matches!(step, Step::MakeDirectory(_));
            print(&format!("{}\n", step.line(root)))?;
        }
        match &plan.record {
            Some(record) => record.save(root).map_err(|error| self.halfway(error, true)),
            None => Ok(()),
        }
    }

    /// What to say when a step failed: the record knows what was done until then.
    fn halfway(&self, error: Error, begun: bool) -> Error {
        let root = match self.root.as_os_str().as_encoded_bytes() {
            _ if !begun => return error,
            b"/" => String::new(),
            _ => format!(" --root {}", crate::param::quoted(self.root.as_os_str())),
        };
        Error::Failed(format!(
            "{error}\nwhat was done until then is recorded: `ocfbox install{root}` completes it, \
             `ocfbox uninstall{root}` takes it back"
        ))
    }
}

/// Keeps two of us from working on the same root. The lock is on the directory itself, so that nothing is left.
fn lock(directory: &Path) -> Result<Option<Flock<File>>> {
    let file = attempt(File::open(directory), || format!("open {}", directory.display()))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, Errno::EWOULDBLOCK)) => Err(Error::Failed(format!(
            "another install or uninstall is at work below {}; wait for its end",
            directory.display()
        ))),
        // A file system without locks, as NFS may be, has to do without.
        Err(_) => Ok(None),
    }
}

/// Adds to an error of the operating system what was being done, and who may do it.
fn attempt<T, S: std::fmt::Display>(done: io::Result<T>, what: impl FnOnce() -> S) -> Result<T> {
    done.map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::PermissionDenied => {
                "; run it as root, or give --root a directory of yours"
            }
            io::ErrorKind::ReadOnlyFilesystem => "; mount it writable",
            io::ErrorKind::StorageFull => "; make room",
            _ => "",
        };
        Error::Failed(format!("cannot {}: {}{hint}", what(), cause(&error)))
    })
}

/// Where `path` is built before it is renamed into its place.
fn temporary(path: &str) -> String {
    beside(path, "ocfbox-new")
}

/// Where what was at `path` is kept.
///
/// Hidden, because Pacemaker lists every executable of the directory whose name has no leading dot as an agent
/// (`lib/services/services_linux.c`, `services_os_get_directory_list`).
fn kept(path: &str) -> String {
    beside(path, "ocfbox-replaced")
}

fn beside(path: &str, suffix: &str) -> String {
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    format!("{directory}/.{name}.{suffix}")
}
