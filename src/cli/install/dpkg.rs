//! dpkg's view of files: who owns them, and which are diverted.
//!
//! A diversion is what keeps an upgrade of the package from bringing its file back over our link: dpkg writes the new
//! version where the old one is kept. That holds for the configuration files in `/etc/ha.d/resource.d` as well: dpkg
//! upgrades and removes them at the diverted place, and keeps its questions about local changes (tried with 1.21).
//! Debian discourages it for packages, because two packages would want the same file; here nobody else does. Only a
//! purge forgets a diverted configuration file, which an uninstall then leaves as a file without a package.

#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use super::kept;
use super::root::{Root, There};
use crate::error::{Error, Result};

const DATABASE: &str = "/var/lib/dpkg/status";

/// The package that our diversions are for.
const PACKAGE: &str = "ocfbox";

/// The dpkg database below a root.
#[derive(Debug)]
pub(super) struct Dpkg {
    root: PathBuf,
    database: PathBuf,
    owned: BTreeSet<String>,
    diverted: BTreeMap<String, Diversion>,
}

/// Where a file goes instead, and who wants it so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Diversion {
    Ours,
    /// Somebody else's, as dpkg-divert tells it.
    Other(String),
}

impl Dpkg {
    /// What the database below `root` says of `paths`; none where there is no dpkg.
    pub(super) fn of<'a>(
        root: &Root,
        paths: impl Iterator<Item = &'a str>,
    ) -> Result<Option<Self>> {
        if root.look(DATABASE)? != There::File {
            return Ok(None);
        }
        let status = root.place(DATABASE)?.real;
        let mut dpkg = Self {
            root: root.real().to_owned(),
            database: status.parent().unwrap_or(root.real()).to_owned(),
            owned: BTreeSet::new(),
            diverted: BTreeMap::new(),
        };
        dpkg.owned = dpkg.owners(&paths.collect::<Vec<_>>())?;
        let list = dpkg.run(dpkg.command("dpkg-divert").arg("--list"), "list the diversions")?;
        dpkg.diverted = String::from_utf8_lossy(&list.stdout).lines().filter_map(parse).collect();
        Ok(Some(dpkg))
    }

    /// Whether a package owns `path`, of those that were asked about.
    pub(super) fn owns(&self, path: &str) -> bool {
        self.owned.contains(path)
    }

    /// The diversion of `path`.
    pub(super) fn diversion(&self, path: &str) -> Option<&Diversion> {
        self.diverted.get(path)
    }

    /// Diverts `path`; whatever is there stays where it is.
    pub(super) fn divert(&self, path: &str) -> Result<()> {
        self.change(path, "--add", "divert")
    }

    /// Takes the diversion of `path` back; whatever is there stays where it is.
    pub(super) fn undivert(&self, path: &str) -> Result<()> {
        self.change(path, "--remove", "take back the diversion of")
    }

    fn change(&self, path: &str, verb: &str, doing: &str) -> Result<()> {
        let mut command = self.command("dpkg-divert");
        command.arg("--instdir").arg(&self.root).args(["--quiet", "--no-rename", "--package"]);
        command.args([PACKAGE, "--divert", &kept(path), verb, path]);
        self.run(&mut command, &format!("{doing} {path}")).map(|_| ())
    }

    fn owners(&self, paths: &[&str]) -> Result<BTreeSet<String>> {
        if paths.is_empty() {
            return Ok(BTreeSet::new());
        }
        let mut command = self.command("dpkg-query");
        command.arg("--search").args(paths).stderr(Stdio::null());
        // Exit code 1: some of the paths have no owner.
        let found = match output(&mut command)? {
            found if matches!(found.status.code(), Some(0 | 1)) => found,
            failed => return Err(failure("ask which package owns the shell agents", &failed)),
        };
        let text = String::from_utf8_lossy(&found.stdout).into_owned();
        let lines = text.lines().filter(|line| !is_about_diversions(line));
        Ok(lines.filter_map(|line| Some(line.rsplit_once(": ")?.1.to_owned())).collect())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.arg("--admindir").arg(&self.database).env("LC_ALL", "C");
        command.env_remove("DPKG_ROOT").env_remove("DPKG_ADMINDIR").stdin(Stdio::null());
        command
    }

    fn run(&self, command: &mut Command, doing: &str) -> Result<Output> {
        let done = output(command)?;
        let below = || format!("{doing} in {}", self.database.display());
        if done.status.success() { Ok(done) } else { Err(failure(&below(), &done)) }
    }
}

fn output(command: &mut Command) -> Result<Output> {
    command.output().map_err(|error| {
        let program = command.get_program().to_string_lossy().into_owned();
        let hint = match error.kind() {
            io::ErrorKind::NotFound => "; there is a dpkg database, so install dpkg too",
            _ => "",
        };
        Error::NotInstalled(format!("cannot run {program}: {error}{hint}"))
    })
}

fn failure(doing: &str, output: &Output) -> Error {
    let said = String::from_utf8_lossy(&output.stderr);
    Error::Failed(format!("cannot {doing}: {}", said.trim()))
}

fn is_about_diversions(line: &str) -> bool {
    line.starts_with("diversion by ") || line.starts_with("local diversion ")
}

/// A line of `dpkg-divert --list`: `diversion of PATH to PATH by PACKAGE`, or `local diversion of PATH to PATH`.
fn parse(line: &str) -> Option<(String, Diversion)> {
    let (_, rest) = line.split_once("diversion of ")?;
    let (path, rest) = rest.split_once(" to ")?;
    let ours = format!("{} by {PACKAGE}", kept(path));
    let whose = if rest == ours { Diversion::Ours } else { Diversion::Other(line.to_owned()) };
    Some((path.to_owned(), whose))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_diversions_are_ours() {
        let cases = [
            ("diversion of /a/B to /a/.B.ocfbox-replaced by ocfbox", true),
            ("diversion of /a/B to /a/B.distrib by ocfbox", false),
            ("diversion of /a/B to /a/.B.ocfbox-replaced by other", false),
            ("local diversion of /a/B to /a/.B.ocfbox-replaced", false),
        ];
        for (line, ours) in cases {
            let (path, diversion) = parse(line).unwrap();
            assert_eq!((path.as_str(), diversion == Diversion::Ours), ("/a/B", ours), "{line}");
        }
    }
}
