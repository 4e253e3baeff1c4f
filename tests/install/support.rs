//! A root to install into, and a picture of all that is in it.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use assert_cmd::assert::Assert;
use tempfile::TempDir;

pub(crate) const HEARTBEAT: &str = "/usr/lib/ocf/resource.d/heartbeat";
pub(crate) const WRAPPERS: &str = "/etc/ha.d/resource.d";
pub(crate) const RECORD: &str = "/var/lib/ocfbox/installed";

/// The program, without the symbols that are nine tenths of it: every install reads and writes it.
pub(crate) fn ocfbox() -> &'static Path {
    static STRIPPED: OnceLock<PathBuf> = OnceLock::new();
    STRIPPED.get_or_init(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let path = directory.join("ocfbox");
        let new = directory.join(format!("ocfbox.{}", std::process::id()));
        let mut strip = tool("strip", "binutils");
        strip.arg("-o").arg(&new).arg(env!("CARGO_BIN_EXE_ocfbox"));
        run(strip).success();
        fs::rename(new, &path).expect("a rename");
        path
    })
}

/// Every file of a tree with all that a restore has to bring back. Directories come without times: those change with
/// every file that comes and goes.
pub(crate) type Picture = BTreeMap<String, String>;

/// A directory of the test's own that is taken for `/`. Its name has a space.
pub(crate) struct Root {
    directory: TempDir,
}

impl Root {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(directory.path().join("a root")).expect("a root");
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("a mode");
        Self { directory }
    }

    /// With what a host has that runs the shell agents, but without a package manager.
    pub(crate) fn with_shell_agents() -> Self {
        let root = Self::new();
        root.directory("/var/lib");
        root.directory("/usr/sbin");
        root.file(&format!("{HEARTBEAT}/Dummy"), "#!/bin/sh\n# shell Dummy\n", 0o755);
        root.file(&format!("{HEARTBEAT}/IPaddr2"), "#!/bin/sh\n# shell IPaddr2\n", 0o751);
        root.file(&format!("{HEARTBEAT}/NoneOfOurs"), "#!/bin/sh\n", 0o755);
        root.link(&format!("{HEARTBEAT}/Delay"), "../elsewhere/Delay");
        root.file(&format!("{WRAPPERS}/IPaddr2"), WRAPPER, 0o755);
        root.file(&format!("{WRAPPERS}/hto-mapfuncs"), "#!/bin/sh\n", 0o755);
        root
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("a root")
    }

    /// Another file in the temporary directory, outside the root.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.path().join(&path[1..])
    }

    pub(crate) fn directory(&self, path: &str) {
        fs::create_dir_all(self.at(path)).expect("a directory");
    }

    /// A file from the past.
    pub(crate) fn file(&self, path: &str, content: &str, mode: u32) {
        let real = self.at(path);
        fs::create_dir_all(real.parent().expect("a parent")).expect("a directory");
        fs::write(&real, content).expect("a file");
        fs::set_permissions(&real, Permissions::from_mode(mode)).expect("a mode");
        let time = SystemTime::UNIX_EPOCH + Duration::new(1_600_000_000, 123_456_789);
        File::options().append(true).open(&real).expect("it").set_modified(time).expect("a time");
    }

    pub(crate) fn link(&self, path: &str, target: &str) {
        let real = self.at(path);
        fs::create_dir_all(real.parent().expect("a parent")).expect("a directory");
        symlink(target, real).expect("a link");
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Whether `path` leads to the installed binary.
    pub(crate) fn is_ours(&self, path: &str) -> bool {
        let binary = fs::canonicalize(self.at("/usr/sbin/ocfbox")).expect("the binary");
        fs::canonicalize(self.at(path)).is_ok_and(|real| real == binary)
    }

    pub(crate) fn command(&self, verb: &str, words: &[&str]) -> Command {
        self.command_of(ocfbox(), verb, words)
    }

    pub(crate) fn command_of(&self, program: &Path, verb: &str, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.arg(verb).arg("--root").arg(self.path()).args(words);
        command
    }

    pub(crate) fn install(&self, words: &[&str]) -> Assert {
        run(self.command("install", words))
    }

    pub(crate) fn uninstall(&self, words: &[&str]) -> Assert {
        run(self.command("uninstall", words))
    }

    /// All but dpkg's own database.
    pub(crate) fn picture(&self) -> Picture {
        let mut picture = Picture::new();
        add_to(&mut picture, &self.path(), "");
        picture.retain(|path, _| !path.starts_with("/var/lib/dpkg"));
        picture
    }
}

/// As all of them begin: they run the agent by heartbeat's functions.
pub(crate) const WRAPPER: &str = "#!/bin/sh\n. /etc/ha.d/resource.d//hto-mapfuncs\nra_execocf $1\n";

pub(crate) fn run(command: Command) -> Assert {
    assert_cmd::Command::from_std(command).assert()
}

pub(crate) fn output(assert: &Assert) -> String {
    String::from_utf8_lossy(&assert.get_output().stdout).into_owned()
}

/// The command as somebody who is not root; whoever runs the tests, unless that is root.
pub(crate) fn as_ordinary_user(mut command: Command) -> Command {
    if nix::unistd::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

const NOBODY: u32 = 65534;

/// Gives a whole tree to the ordinary user.
pub(crate) fn give_to_ordinary_user(path: &Path) {
    if nix::unistd::geteuid().is_root() {
        let mut chown = Command::new("chown");
        run({
            chown.args(["-hR", "65534:65534"]).arg(path);
            chown
        })
        .success();
    }
}

/// A tool that a test cannot do without.
#[track_caller]
pub(crate) fn tool(name: &str, package: &str) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
    directories.extend(["/usr/sbin".into(), "/sbin".into()]);
    let found = directories.iter().map(|directory| directory.join(name)).find(|at| at.is_file());
    match found {
        Some(at) => {
            let mut command = Command::new(at);
            let path = std::env::join_paths(directories).expect("directories without colons");
            command.env("PATH", path);
            command
        }
        None => panic!("there is no {name}; install it: apt-get install {package}"),
    }
}

/// The tree below `directory`.
pub(crate) fn add_to(picture: &mut Picture, directory: &Path, prefix: &str) {
    let entries =
        fs::read_dir(directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
    for entry in entries {
        let entry = entry.expect("an entry");
        let (real, path) =
            (entry.path(), format!("{prefix}/{}", entry.file_name().to_string_lossy()));
        let about = fs::symlink_metadata(&real).expect("metadata");
        let owner = format!("{:o} {}:{}", about.mode(), about.uid(), about.gid());
        let time = format!("{}.{:09}", about.mtime(), about.mtime_nsec());
        let text = if about.is_dir() {
            add_to(picture, &real, &path);
            owner
        } else if about.is_symlink() {
            format!("{owner} {time} -> {}", fs::read_link(&real).expect("a target").display())
        } else {
            let content = fs::read(&real).expect("content");
            let shown = String::from_utf8_lossy(&content[..content.len().min(60)]).into_owned();
            format!("{owner} {time} {} {:x} {shown:?}", content.len(), sum(&content))
        };
        picture.insert(path, text);
    }
}

fn sum(content: &[u8]) -> u64 {
    use std::hash::{DefaultHasher, Hasher};
    let mut hasher = DefaultHasher::new();
    hasher.write(content);
    hasher.finish()
}

/// Two pictures are the same, or this says in which files they differ.
#[track_caller]
pub(crate) fn assert_same(before: &Picture, after: &Picture, when: &str) {
    let gone = before.iter().filter(|(path, what)| after.get(*path) != Some(what));
    let new = after.iter().filter(|(path, what)| before.get(*path) != Some(what));
    let differences: Vec<String> = gone
        .map(|(path, what)| format!("- {path} {what}"))
        .chain(new.map(|(path, what)| format!("+ {path} {what}")))
        .collect();
    assert!(differences.is_empty(), "{when}:\n{}", differences.join("\n"));
}
