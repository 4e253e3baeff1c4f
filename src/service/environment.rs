//! What a service is started with, and whether it can be.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{Command, MARK, Place, is_script};
use crate::error::{Error, Result};
use crate::host::account::{Account, group};
use crate::host::launch::{Launch, Output};

/// The variables that every script and every program of ours finds.
pub(super) fn plain(mark: &str) -> Vec<(OsString, OsString)> {
    let pairs = [
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("HOME", "/root"),
        ("LC_ALL", "C"),
        (MARK, mark),
    ];
    pairs.map(|(name, value)| (name.into(), value.into())).into()
}

/// The later one of two variables of one name is the one that counts.
pub(crate) fn with(
    mut base: Vec<(OsString, OsString)>,
    further: &[(OsString, OsString)],
) -> Vec<(OsString, OsString)> {
    for (name, value) in further {
        base.retain(|(known, _)| known != name);
        base.push((name.clone(), value.clone()));
    }
    base
}

/// The launch of a command, as far as it does not depend on the action.
pub(super) fn launch(command: &Command, mark: &str, group_path: Option<PathBuf>) -> Result<Launch> {
    let (account, numbers) = account(&command.user, command.group.as_deref())?;
    let login = account.environment().into_iter().map(|(name, value)| (name.into(), value.into()));
    let mut environment = with(login.collect(), &command.environment);
    environment.push((MARK.into(), mark.into()));
    let directory = match &command.directory {
        Place::At(path) => path.clone(),
        // As a login does where there is no home.
        Place::Home if Path::new(&account.home).is_dir() => PathBuf::from(&account.home),
        Place::Home => PathBuf::from("/"),
    };
    Ok(Launch {
        words: command.words.clone(),
        environment,
        account: numbers,
        directory,
        umask: command.umask,
        limits: command.limits.clone(),
        input: Vec::new(),
        output: Output::Files(command.output.clone(), command.errors.clone()),
        group: group_path,
    })
}

/// User, group and further groups as numbers.
pub(crate) type Numbers = (u32, u32, Vec<u32>);

/// Whom a program runs as; no numbers if that is who we are and may not change.
pub(crate) fn account(user: &str, group_name: Option<&str>) -> Result<(Account, Option<Numbers>)> {
    let account = Account::named(user)?;
    let first = group_name.map_or(Ok(account.group), group)?;
    let own = nix::unistd::geteuid();
    if !own.is_root() {
        if own.as_raw() == account.user && group_name.is_none() {
            return Ok((account, None));
        }
        return Err(Error::NotPermitted(format!("cannot become user {user}; run it as root")));
    }
    let numbers = (account.user, first, account.groups.clone());
    Ok((account, Some(numbers)))
}

/// Looks whether the program, the account and the directory are here.
pub(super) fn validate(command: &Command) -> Result<()> {
    let account = Account::named(&command.user)?;
    let first = command.group.as_deref().map_or(Ok(account.group), group)?;
    let path = find(command).ok_or_else(|| {
        let name = command.words.first().map_or(Path::new(""), Path::new);
        Error::NotInstalled(format!("the program {} is not installed", name.display()))
    })?;
    let allowed = std::fs::metadata(&path).is_ok_and(|about| {
        let bits = about.permissions().mode();
        let may = if account.user == 0 {
            bits & 0o111 != 0
        } else if about.uid() == account.user {
            bits & 0o100 != 0
        } else if about.gid() == first || account.groups.contains(&about.gid()) {
            bits & 0o010 != 0
        } else {
            bits & 0o001 != 0
        };
        about.is_file() && may
    });
    if !allowed {
        return Err(Error::NotInstalled(format!(
            "{} is no program that user {} may execute; mend its mode or its owner",
            path.display(),
            command.user
        )));
    }
    match &command.directory {
        Place::At(path) if !path.is_dir() => Err(Error::NotInstalled(format!(
            "there is no directory {} to run in; create it",
            path.display()
        ))),
        _ => Ok(()),
    }
}

/// The program's file, if it is here.
pub(super) fn find(command: &Command) -> Option<PathBuf> {
    let name = Path::new(command.words.first()?);
    if name.components().count() > 1 || name.is_absolute() {
        return name.exists().then(|| name.to_owned());
    }
    let given = command.environment.iter().rfind(|(variable, _)| variable == "PATH");
    let login = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into();
    let search = given.map_or(login, |(_, value)| value.clone());
    std::env::split_paths(&search).map(|directory| directory.join(name)).find(|path| path.is_file())
}

/// Whether what the main process executes has to stay as it was when start ended.
pub(super) fn keeps_its_program(command: &Command) -> bool {
    find(command).is_some_and(|path| !is_script(&path))
}
