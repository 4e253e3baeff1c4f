//! Users and groups, without the C library's switch of name services.
//!
//! A static binary cannot load its modules reliably, so the files are read, and where a name is not in them `getent`
//! is asked, which is of the host and knows its directories.

#![forbid(unsafe_code)]

use std::process::{Command, Stdio};

use crate::error::{Doing, Error, Result};

/// Whoever a program runs as (`passwd(5)`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Login name.
    pub name: String,
    /// Its number.
    pub user: u32,
    /// Its group's number.
    pub group: u32,
    /// All its groups.
    pub groups: Vec<u32>,
    /// Its home.
    pub home: String,
    /// Its shell, which nothing here runs.
    pub shell: String,
}

impl Account {
    /// The user of that name.
    ///
    /// # Errors
    /// There is none here.
    pub fn named(name: &str) -> Result<Self> {
        let line = line("passwd", name)?.ok_or_else(|| {
            Error::NotInstalled(format!(
                "there is no user {name:?} here; create it, or name another"
            ))
        })?;
        let mut account = Self::parse(&line).ok_or_else(|| {
            Error::Local(format!("the entry of user {name:?} is malformed: {line:?}"))
        })?;
        account.groups = groups(name, account.group)?;
        Ok(account)
    }

    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        let _password = fields.next()?;
        let user = fields.next()?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        let _comment = fields.next()?;
        let or = |text: &str, default: &str| {
            if text.is_empty() { default.to_owned() } else { text.to_owned() }
        };
        let home = or(fields.next()?, "/");
        let shell = or(fields.next()?.trim_end(), "/bin/sh");
        Some(Self { name, user, group, groups: Vec::new(), home, shell })
    }

    /// What a login sets, before any profile is read (`login(1)`).
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let path = if self.user == 0 {
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        } else {
            "/usr/local/bin:/usr/bin:/bin"
        };
        vec![
            ("HOME", self.home.clone()),
            ("LOGNAME", self.name.clone()),
            ("PATH", path.to_owned()),
            ("SHELL", self.shell.clone()),
            ("USER", self.name.clone()),
        ]
    }
}

/// The number of the group of that name.
///
/// # Errors
/// There is none here.
pub fn group(name: &str) -> Result<u32> {
    let number = |line: String| line.split(':').nth(2)?.parse().ok();
    line("group", name)?.and_then(number).ok_or_else(|| {
        Error::NotInstalled(format!("there is no group {name:?} here; create it, or name another"))
    })
}

/// All groups of a user, the first one included.
fn groups(user: &str, first: u32) -> Result<Vec<u32>> {
    let mut found = vec![first];
    let text = std::fs::read_to_string("/etc/group").doing(|| "read /etc/group")?;
    for line in text.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let [_, _, number, members] = fields[..] else { continue };
        if members.split(',').any(|member| member == user) {
            found.extend(number.parse::<u32>().ok());
        }
    }
    // `initgroups` is a database of glibc's getent: the user, and numbers.
    if let Some(line) = ask("initgroups", user) {
        found.extend(line.split_ascii_whitespace().skip(1).filter_map(|n| n.parse::<u32>().ok()));
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// The line of a database that begins with that name.
fn line(database: &str, name: &str) -> Result<Option<String>> {
    let path = format!("/etc/{database}");
    let text = std::fs::read_to_string(&path).doing(|| format!("read {path}"))?;
    let starts = |line: &&str| line.split(':').next() == Some(name);
    let found = text.lines().find(starts).map(str::to_owned);
    Ok(found.or_else(|| ask(database, name).filter(|line| starts(&line.as_str()))))
}

/// What the host's directories say, if it has any; a directory that does not answer is ended with us by the kernel.
fn ask(database: &str, name: &str) -> Option<String> {
    let mut command = Command::new("getent");
    command.args(["--", database, name]).env_clear().current_dir("/");
    command.env("PATH", "/usr/bin:/bin").stdin(Stdio::null()).stderr(Stdio::null());
    let output = command.output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()?.lines().next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_known_everywhere() {
        let root = Account::named("root").unwrap();
        assert_eq!((root.user, root.group), (0, 0));
        assert!(root.groups.contains(&0));
        assert!(root.environment().contains(&("LOGNAME", "root".to_owned())));
        assert_eq!(group("root").unwrap(), 0);
    }

    #[test]
    fn whom_nobody_knows_is_not_installed() {
        for name in ["no-such-user", "root:x", "--help", ""] {
            assert_eq!(Account::named(name).unwrap_err().code().number(), 5, "{name}");
        }
        assert_eq!(group("no-such-group").unwrap_err().code().number(), 5);
    }

    #[test]
    fn empty_fields_have_the_defaults_of_login() {
        let account = Account::parse("a:x:7:8:::").unwrap();
        assert_eq!((account.home.as_str(), account.shell.as_str()), ("/", "/bin/sh"));
        assert_eq!(Account::parse("a:x:7"), None);
    }
}
