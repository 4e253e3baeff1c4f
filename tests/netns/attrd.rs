//! In the place of a cluster: an `attrd_updater` that writes down what it is told, and does what it is made to do.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::support::{Call, Host};

/// The stand-in of one test.
pub struct Attrd {
    directory: PathBuf,
}

impl Attrd {
    /// Puts it into a directory of the test's own.
    pub fn new(host: &Host) -> Self {
        let attrd = Self { directory: host.path("cluster") };
        fs::create_dir(&attrd.directory).unwrap();
        attrd.does("exit 0");
        attrd
    }

    /// What it does after it has written down what it was told.
    pub fn does(&self, commands: &str) {
        self.is("", commands);
    }

    /// What it does before.
    pub fn does_first(&self, commands: &str) {
        self.is(commands, "exit 0");
    }

    fn is(&self, before: &str, after: &str) {
        let told = self.directory.join("told");
        let script = format!("#!/bin/sh\n{before}\necho \"$*\" >>{}\n{after}\n", told.display());
        // Replaced and not rewritten: a shell reads its script bit by bit.
        let fresh = self.directory.join("fresh");
        fs::write(&fresh, script).unwrap();
        fs::set_permissions(&fresh, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(fresh, self.directory.join("attrd_updater")).unwrap();
    }

    /// An agent that finds it on its path.
    pub fn agent(&self, host: &Host, name: &str) -> Call {
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", self.directory.display());
        host.agent(name).env("PATH", path)
    }

    /// All that it was told.
    pub fn told(&self) -> Vec<String> {
        let told = fs::read_to_string(self.directory.join("told")).unwrap_or_default();
        told.lines().map(str::to_owned).collect()
    }

    /// The last it was told.
    #[track_caller]
    pub fn last(&self) -> String {
        self.told().pop().expect("it was told something")
    }
}
