//! A host of the test's own: a process, a mount and a network namespace. Its process 1 takes no notice of orphans that
//! end, so that every one of them stays a zombie: what is dead must be seen to be dead all the same.
//!
//! The oracle is /proc, never the code under test.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_ocfbox");

/// Puts a file system with copies of the files over /etc.
pub const COPY_ETC: &str = r#"new=$(mktemp -d); mount -t tmpfs -o mode=755 tmpfs "$new"; cp -a /etc/. "$new"
    mount --move "$new" /etc; rmdir "$new""#;

pub struct Host {
    directory: tempfile::TempDir,
    first: Child,
}

impl Host {
    /// Moves this thread into namespaces of its own, with the test's daemon and no init scripts.
    #[track_caller]
    pub fn new() -> Self {
        let daemon = daemon();
        let host = Self::with(&["sleep", "infinity"]);
        mount(Some("tmpfs"), "/etc/init.d", Some("tmpfs"), MsFlags::empty(), None::<&str>)
            .expect("an /etc/init.d of our own");
        // Other users need not reach the build directory.
        fs::copy(daemon, host.path("daemon")).expect("a copy of the daemon");
        host
    }

    /// Moves this thread into namespaces of its own, in which these words are process 1.
    #[track_caller]
    pub fn with(first: &[&str]) -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "this test needs root for its namespaces: run tests/run as root"
        );
        let namespaces = CloneFlags::CLONE_NEWPID
            | CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWIPC;
        unshare(namespaces).expect("namespaces of our own");
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).expect("private mounts");
        let first = Command::new(first[0]).args(&first[1..]).spawn().expect("a process 1");
        mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), None::<&str>)
            .expect("a /run of our own");
        // Only who is in the namespace can mount its /proc, and this thread is not.
        let mounted = Command::new("mount").args(["-t", "proc", "proc", "/proc"]).status();
        assert!(mounted.expect("mount").success(), "a /proc of our own");
        assert_eq!(fs::read_link("/proc/self").ok(), None, "this is not the host's /proc");
        let directory = tempfile::Builder::new().prefix("services").tempdir().expect("a directory");
        // Services of other users have to get in.
        set_mode(directory.path(), 0o755);
        let host = Self { directory, first };
        for agent in ocfbox::agents::ALL {
            let link = host.path(agent.described.agent.name);
            std::os::unix::fs::symlink(BINARY, link).expect("a link to the binary");
        }
        host
    }

    /// A path in the test's own directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A path there as text.
    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("a plain path").to_owned()
    }

    /// Writes a program.
    pub fn program(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).expect("a program");
        set_mode(&path, 0o755);
        path.to_str().expect("a plain path").to_owned()
    }

    /// Runs shell commands that have to succeed; what they print.
    #[track_caller]
    pub fn sh(&self, commands: &str) -> String {
        let output = Command::new("sh").args(["-ec", commands]).output().expect("a shell");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{commands}: {errors}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// An agent, called as a cluster calls it. `OCFBOX_UNDER_TEST` may name a directory with other agents.
    pub fn agent(&self, name: &str) -> Call {
        let theirs = std::env::var_os("OCFBOX_UNDER_TEST").map(|path| Path::new(&path).join(name));
        self.agent_at(theirs.unwrap_or_else(|| self.path(name)))
    }

    /// The agent in that file.
    pub fn agent_at(&self, program: impl Into<PathBuf>) -> Call {
        Call::at(program.into(), self.path("log"), &[])
    }

    /// `anything` with the test's daemon in one of its modes.
    pub fn anything(&self, mode: &str) -> Call {
        self.agent("anything").param("binfile", self.path("daemon")).param("cmdline_options", mode)
    }

    /// `service` with the test's daemon in one of its modes.
    pub fn service(&self, mode: &str) -> Call {
        let command = format!("{} {mode}", self.text("daemon"));
        self.agent("service").param("command", command).param("settle", "0.3")
    }

    /// What the agents logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Numbers and words of all living processes but process 1, ended ones left out.
    pub fn living(&self) -> Vec<(i32, String)> {
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").expect("/proc").flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok())
            else {
                continue;
            };
            let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let words = String::from_utf8_lossy(&words).replace('\0', " ");
            if pid > 1 && !self.is_dead(pid) {
                found.push((pid, words.trim().to_owned()));
            }
        }
        found.sort_unstable();
        found
    }

    /// The only living process.
    #[track_caller]
    pub fn only(&self) -> i32 {
        let living = self.living();
        assert_eq!(living.len(), 1, "{living:?}");
        living[0].0
    }

    /// The process whose words contain that.
    #[track_caller]
    pub fn only_named(&self, part: &str) -> i32 {
        let living = self.living();
        let named = living.iter().find(|(_, words)| words.contains(part));
        named.unwrap_or_else(|| panic!("no {part} in {living:?}")).0
    }

    fn is_dead(&self, pid: i32) -> bool {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let mut states = tasks.filter_map(|task| fs::read_to_string(task.path().join("stat")).ok());
        !states.any(|stat| {
            !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with(['Z', 'X'])
        })
    }

    /// The letter of a process's state.
    pub fn state(&self, pid: i32) -> Option<char> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit(')').next()?.trim_start().chars().next()
    }

    /// Sends a signal, and waits for what it does: death, or being stopped.
    #[track_caller]
    pub fn kill(&self, signal: &str, pid: i32) {
        self.sh(&format!("kill -{signal} {pid}"));
        match signal {
            "KILL" => self.await_that("an end", || self.is_dead(pid)),
            "STOP" => self.await_that("a stop", || self.state(pid) == Some('T')),
            _ => {}
        }
    }

    /// Waits until a condition holds.
    #[track_caller]
    pub fn await_that(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let begin = Instant::now();
        while !holds() {
            let waited = begin.elapsed() < Duration::from_secs(20);
            assert!(waited, "waited 20 s for {what}; log: {}; {:?}", self.log(), self.living());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Host {
    /// With process 1 all others end.
    fn drop(&mut self) {
        let _ = self.first.kill();
        // Its end waits for children of this test too, which nobody waits for after a panic.
        let _ = self.first.try_wait();
    }
}

pub fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).expect("a mode");
}

/// The test's daemon, where it is built.
fn daemon() -> &'static Path {
    static DAEMON: OnceLock<PathBuf> = OnceLock::new();
    DAEMON.get_or_init(|| {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("daemon");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/services/daemon.c");
        let built = Command::new("gcc")
            .args(["-O1", "-Wall", "-pthread", "-o"])
            .arg(&path)
            .arg(source)
            .stdin(Stdio::null())
            .status()
            .expect("gcc: apt-get install gcc libc6-dev");
        assert!(built.success(), "the daemon is built");
        path
    })
}

/// A call of an agent.
#[derive(Clone)]
pub struct Call {
    /// What stands before the agent's name, such as the command that enters a namespace.
    before: Vec<OsString>,
    program: PathBuf,
    variables: Vec<(OsString, OsString)>,
}

/// What a call came to.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub stderr: String,
    pub took: Duration,
}

impl Call {
    /// Of the agent at `program`, which logs to `log`.
    pub fn at(program: PathBuf, log: PathBuf, before: &[&str]) -> Self {
        Self {
            before: before.iter().map(Into::into).collect(),
            program,
            variables: vec![
                ("PATH".into(), "/usr/sbin:/usr/bin:/sbin:/bin".into()),
                ("OCF_ROOT".into(), "/usr/lib/ocf".into()),
                ("OCF_RA_VERSION_MAJOR".into(), "1".into()),
                ("OCF_RA_VERSION_MINOR".into(), "1".into()),
                ("OCF_RESOURCE_INSTANCE".into(), "test".into()),
                ("HA_LOGFILE".into(), log.into()),
            ],
        }
    }

    pub fn param(self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.env(&format!("OCF_RESKEY_{name}"), value)
    }

    pub fn without(mut self, name: &str) -> Self {
        self.variables.retain(|(key, _)| *key != *format!("OCF_RESKEY_{name}"));
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.variables.retain(|(key, _)| key != name);
        self.variables.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// With the action's timeout in seconds.
    pub fn within(self, seconds: u32) -> Self {
        self.param("CRM_meta_timeout", (seconds * 1000).to_string())
    }

    /// As a recurring monitor is called.
    pub fn recurring(self) -> Self {
        self.param("CRM_meta_interval", "10000")
    }

    /// At a monitor level.
    pub fn level(self, level: u32) -> Self {
        self.env("OCF_CHECK_LEVEL", level.to_string())
    }

    pub fn command(&self, action: &str) -> Command {
        let mut words =
            self.before.iter().map(OsString::as_os_str).chain([self.program.as_os_str()]);
        let mut command = Command::new(words.next().expect("a program"));
        command
            .args(words)
            .arg(action)
            .env_clear()
            .envs(self.variables.iter().cloned())
            .stdin(Stdio::null());
        command
    }

    #[must_use = "an outcome that nobody looks at tests nothing"]
    #[track_caller]
    pub fn run(&self, action: &str) -> Outcome {
        Self::finish(self.command(action))
    }

    /// Runs the agent behind other words, such as those of strace.
    #[must_use = "an outcome that nobody looks at tests nothing"]
    #[track_caller]
    pub fn run_behind(&self, words: &[&str], action: &str) -> Outcome {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg(&self.program).arg(action);
        command.env_clear().envs(self.variables.iter().cloned()).stdin(Stdio::null());
        Self::finish(command)
    }

    #[track_caller]
    fn finish(mut command: Command) -> Outcome {
        let begin = Instant::now();
        // Not the end of its output: what it starts may keep that, which is a failure of its own.
        let output = command.output().expect("the agent runs");
        Outcome {
            code: output.status.code(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            took: begin.elapsed(),
        }
    }

    /// The system calls of an action after its exec, each with how many of its name came before.
    pub fn system_calls(&self, file: &Path, action: &str, code: i32) -> Vec<(String, usize)> {
        let outcome = self.run_behind(&["strace", "-o", file.to_str().expect("text")], action);
        outcome.code(code);
        let trace = fs::read_to_string(file).expect("a trace");
        let mut seen = std::collections::HashMap::new();
        let name = |line: &str| line.split_once('(').map(|(name, _)| name.to_owned());
        let plain =
            |name: &String| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let calls = trace.lines().filter_map(name).filter(plain).map(|name| {
            let count = seen.entry(name.clone()).or_insert(0);
            *count += 1;
            (name, *count)
        });
        calls.skip(1).collect()
    }
}

impl Outcome {
    /// The exit code is `expected`; and a failure has one exit reason, a success none.
    #[track_caller]
    pub fn code(self, expected: i32) -> Self {
        assert_eq!(self.code, Some(expected), "stderr {:?}", self.stderr);
        let reasons =
            self.stderr.lines().filter(|line| line.starts_with("ocf-exit-reason:")).count();
        let theirs = std::env::var_os("OCFBOX_UNDER_TEST").is_some();
        assert!(theirs || reasons == usize::from(![0, 7].contains(&expected)), "{:?}", self.stderr);
        self
    }

    /// The exit reason contains each of `words`, and is short.
    #[track_caller]
    pub fn because(self, words: &[&str]) -> Self {
        let reason = self
            .stderr
            .lines()
            .find(|line| line.starts_with("ocf-exit-reason:"))
            .unwrap_or_default();
        for word in words {
            assert!(reason.contains(word), "no {word:?} in {reason:?}");
        }
        assert!(reason.len() < "ocf-exit-reason:".len() + 210, "{reason:?}");
        self
    }
}

/// Every file below a directory.
pub fn tree(path: impl AsRef<Path>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        found.push(entry.path());
        if entry.path().is_dir() {
            found.extend(tree(entry.path()));
        }
    }
    found.sort();
    found
}
