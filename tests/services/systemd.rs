//! A host that was booted with systemd: process 1 of a process, mount, control group and network namespace, over a copy
//! of this root that is thrown away.
//!
//! The oracle is `systemctl show`, /proc and cgroup.procs, never the code under test.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::{BINARY, Call};

pub struct Booted {
    directory: tempfile::TempDir,
    script: Child,
    first: String,
}

/// How long booting may take on a busy machine.
const BOOT: Duration = Duration::from_mins(2);

impl Booted {
    /// Boots.
    #[track_caller]
    pub fn new() -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "this test needs root for its namespaces: run tests/run services as root"
        );
        for program in ["/lib/systemd/systemd", "/usr/bin/dbus-daemon"] {
            let is_there = Path::new(program).exists();
            assert!(is_there, "no {program}: run tests/run services as root");
        }
        let directory = tempfile::Builder::new().prefix("systemd").tempdir().expect("a directory");
        let log = fs::File::create(directory.path().join("log")).expect("a log");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/services/boot.sh");
        let script = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "unshare", "--mount"])
            .arg(script)
            .arg(directory.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("setpriv");
        let mut host = Self { directory, script, first: String::new() };
        host.await_that("a process 1", |host| {
            let read = |path: PathBuf| fs::read_to_string(path).unwrap_or_default();
            let unshare = read(host.directory.path().join("unshare"));
            let unshare = unshare.trim();
            let children = read(format!("/proc/{unshare}/task/{unshare}/children").into());
            children.trim().clone_into(&mut host.first);
            let words = read(format!("/proc/{}/cmdline", host.first).into());
            words.starts_with("/lib/systemd/systemd")
        });
        host.await_that("a booted system", |host| {
            let state = host.try_sh("systemctl is-system-running");
            ["running\n", "degraded\n"].contains(&text(&state.stdout).as_str())
        });
        fs::create_dir_all(host.inside("/opt/ocfbox")).expect("a directory");
        fs::copy(BINARY, host.inside("/opt/ocfbox/service")).expect("a copy of the binary");
        host
    }

    /// A path in there, from here.
    pub fn inside(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.first))
    }

    /// The words before a command that is to run in there.
    pub fn enter(&self) -> [&str; 6] {
        ["nsenter", "--target", &self.first, "--all", "--root", "--wd"]
    }

    fn try_sh(&self, commands: &str) -> Output {
        let words = self.enter();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).args(["sh", "-ec", commands]).env_clear();
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
        command.output().expect("nsenter")
    }

    /// Runs shell commands in there that have to succeed; what they print.
    #[track_caller]
    pub fn sh(&self, commands: &str) -> String {
        let output = self.try_sh(commands);
        assert!(output.status.success(), "{commands}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Begins shell commands in there that go on beside the test.
    pub fn spawn(&self, commands: &str) -> Child {
        let words = self.enter();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).args(["sh", "-ec", commands]).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("nsenter")
    }

    /// Writes a file in there.
    #[track_caller]
    pub fn write(&self, path: &str, content: &str, mode: u32) {
        let path = self.inside(path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::write(&path, content).expect("a file");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
    }

    /// A service unit with these lines in its section `[Service]`, and the agent that has it.
    #[track_caller]
    pub fn unit(&self, name: &str, lines: &str) -> Call {
        let content = format!("[Service]\n{lines}\n");
        self.write(&format!("/etc/systemd/system/{name}.service"), &content, 0o644);
        self.sh("systemctl daemon-reload");
        self.agent(name)
    }

    /// The agent with that unit.
    pub fn agent(&self, unit: &str) -> Call {
        Call::at("/opt/ocfbox/service".into(), "/var/log/agent".into(), &self.enter())
            .env("OCF_RESOURCE_INSTANCE", unit)
            .param("unit", unit)
            .param("settle", "0.3")
            .within(20)
    }

    /// What the agents logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.inside("/var/log/agent")).unwrap_or_default()
    }

    /// A property of a unit.
    #[track_caller]
    pub fn show(&self, unit: &str, property: &str) -> String {
        // A systemd that executes itself anew just now is asked again.
        let show = format!("systemctl show -P {property} {unit} 2>/dev/null");
        self.sh(&format!("until {show}; do sleep 0.05; done")).trim().to_owned()
    }

    /// The main process of a unit, in the numbers of that host.
    #[track_caller]
    pub fn main(&self, unit: &str) -> i32 {
        let pid = self.show(unit, "MainPID").parse().expect("a number");
        assert!(pid > 0, "{unit} has a main process");
        pid
    }

    /// The processes in a unit's control group, in the numbers of that host.
    #[track_caller]
    pub fn processes(&self, unit: &str) -> Vec<i32> {
        // Instances of a template have a slice of their own.
        let slice = "/sys/fs/cgroup/system.slice";
        let groups =
            format!("{slice}/{unit}.service/cgroup.procs {slice}/*/{unit}.service/cgroup.procs");
        let list = self.sh(&format!("cat {groups} 2>/dev/null || true"));
        list.lines().map(|pid| pid.parse().expect("a number")).collect()
    }

    /// Nothing is left of a unit, and nothing of what start gave it.
    #[track_caller]
    pub fn is_clean(&self, unit: &str) {
        let state = self.show(unit, "ActiveState");
        assert!(["inactive", "failed"].contains(&state.as_str()), "{unit} is {state}");
        assert_eq!(self.processes(unit), [0; 0], "{unit}");
        assert!(!self.show(unit, "DropInPaths").contains("ocfbox"), "{unit}");
        assert_eq!(self.show(unit, "NeedDaemonReload"), "no", "{unit}");
        let left = self
            .sh("find /run/systemd/system /run/resource-agents -type f ! -name '*.lock' || true");
        assert_eq!(left, "", "{unit}");
    }

    /// Waits until a condition holds.
    #[track_caller]
    pub fn await_that(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        let begin = Instant::now();
        while !holds(self) {
            let console = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
            assert!(begin.elapsed() < BOOT, "waited for {what}; {console}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Booted {
    /// The script ends process 1, and with it all others, and takes the control group away.
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.script.id().cast_signed());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.script.wait();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
