//! A host of the test's own: a network and a mount namespace, an Ethernet cable, and another host at its far end.
//!
//! The oracle is `ip -j`, /proc and tcpdump at the far end, never the code under test.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use serde_json::Value;

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_ocfbox");

/// This host: `eth0` with `192.0.2.1/24` and `2001:db8::1/64`. Its cable ends in `far`, a network namespace with
/// `192.0.2.2/24` and `2001:db8::2/64`. Gone when the test's thread ends.
pub struct Host {
    directory: tempfile::TempDir,
}

impl Host {
    /// Moves this thread into namespaces of its own and builds the network.
    #[track_caller]
    pub fn new() -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "this test needs root for its namespaces: run tests/run netns as root"
        );
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("namespaces of our own");
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).expect("private mounts");
        mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), None::<&str>)
            .expect("a /run of our own");
        // That of the host shows the host's interfaces.
        mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), None::<&str>)
            .expect("a /sys of our own");
        let host = Self { directory: tempfile::tempdir().expect("a directory") };
        for agent in ocfbox::agents::ALL {
            let link = host.path(agent.described.agent.name);
            std::os::unix::fs::symlink(BINARY, link).expect("a link to the binary");
        }
        host.sh("ip link set lo up
             ip netns add far
             ip link add eth0 type veth peer name eth0 netns far
             ip link set eth0 addrgenmode none; ip -n far link set eth0 addrgenmode none
             ip -n far link set lo up
             ip -n far addr add 192.0.2.2/24 dev eth0
             ip -n far addr add 2001:db8::2/64 dev eth0 nodad
             ip -n far link set eth0 up
             ip addr add 192.0.2.1/24 brd + dev eth0
             ip addr add 2001:db8::1/64 dev eth0 nodad
             ip link set eth0 up");
        host
    }

    /// A path in the test's own directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs shell commands that have to succeed; what they print.
    #[track_caller]
    pub fn sh(&self, commands: &str) -> String {
        let output = Command::new("sh").args(["-ec", commands]).output().expect("a shell");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{commands}: {errors}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// An agent, called as a cluster calls it.
    pub fn agent(&self, name: &str) -> Call {
        Call {
            program: self.path(name),
            variables: vec![
                ("PATH".into(), "/usr/sbin:/usr/bin:/sbin:/bin".into()),
                ("OCF_ROOT".into(), "/usr/lib/ocf".into()),
                ("OCF_RA_VERSION_MAJOR".into(), "1".into()),
                ("OCF_RA_VERSION_MINOR".into(), "1".into()),
                ("OCF_RESOURCE_INSTANCE".into(), "test".into()),
                ("HA_LOGFILE".into(), self.path("log").into()),
            ],
        }
    }

    /// The virtual address that most tests use: 192.0.2.10.
    pub fn vip(&self) -> Call {
        self.agent("IPaddr2").param("ip", "192.0.2.10")
    }

    /// What the agents logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Every place of an address, as `interface address/prefix`.
    #[track_caller]
    pub fn places(&self, ip: &str) -> Vec<String> {
        let found = self.entries(ip);
        found
            .iter()
            .map(|(name, info)| format!("{name} {}/{}", text(&info["local"]), info["prefixlen"]))
            .collect()
    }

    /// What `ip -j` says of an address, with the interface's name.
    #[track_caller]
    pub fn entries(&self, ip: &str) -> Vec<(String, Value)> {
        let json: Value = serde_json::from_str(&self.sh("ip -j addr show")).expect("JSON");
        let mut found = Vec::new();
        for link in json.as_array().expect("a list") {
            for info in link["addr_info"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|info| info["local"] == ip)
            {
                found.push((text(&link["ifname"]), info.clone()));
            }
        }
        found
    }

    /// The one place of an address.
    #[track_caller]
    pub fn entry(&self, ip: &str) -> Value {
        let mut found = self.entries(ip);
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0).1
    }

    /// Hardware address of an interface, here or at the far end.
    #[track_caller]
    pub fn mac(&self, namespace: &str, name: &str) -> String {
        let at = if namespace.is_empty() { String::new() } else { format!("-n {namespace}") };
        let json: Value =
            serde_json::from_str(&self.sh(&format!("ip {at} -j link show {name}"))).expect("JSON");
        text(&json[0]["address"])
    }

    /// Records what arrives at the far end.
    #[track_caller]
    pub fn capture(&self, filter: &str) -> Capture {
        let mut child = Command::new("ip")
            .args([
                "netns",
                "exec",
                "far",
                "tcpdump",
                "-i",
                "eth0",
                "-n",
                "-e",
                "-l",
                "-vv",
                "--immediate-mode",
            ])
            .args(["-Q", "in", filter])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("tcpdump");
        let stderr = child.stderr.take().expect("its stderr");
        let mut lines = BufReader::new(stderr).lines();
        assert!(
            lines.any(|line| line.expect("text").contains("listening on")),
            "tcpdump did not begin to listen"
        );
        Capture { child }
    }

    /// Waits until a condition holds.
    #[track_caller]
    pub fn await_that(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let begin = Instant::now();
        while !holds() {
            assert!(
                begin.elapsed() < Duration::from_secs(10),
                "waited 10 s for {what}; log: {}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until the kernel's operational state has followed the carrier, so that dumps can be compared.
    #[track_caller]
    pub fn settle(&self) {
        let state = || self.sh("cat /sys/class/net/eth0/operstate");
        self.await_that("eth0 to be up", || state().trim() == "up");
    }

    /// Command lines of processes that announce in this network namespace.
    pub fn announcers(&self) -> Vec<String> {
        let own = fs::read_link("/proc/thread-self/ns/net").expect("our namespace");
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").expect("/proc").flatten() {
            let path = entry.path();
            let words = fs::read(path.join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&words).replace('\0', " ");
            if line.starts_with("ocfbox announce")
                && fs::read_link(path.join("ns/net")).is_ok_and(|ns| ns == own)
            {
                found.push(line);
            }
        }
        found
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Packets that arrive at the far end.
pub struct Capture {
    child: Child,
}

impl Capture {
    /// Ends the recording; the packets, one a line.
    #[track_caller]
    pub fn stop(mut self) -> Vec<String> {
        let pid =
            nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).expect("a process number"));
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).expect("tcpdump is there");
        let mut all = String::new();
        self.child.stdout.take().expect("its stdout").read_to_string(&mut all).expect("text");
        self.child.wait().expect("its end");
        // Continuation lines are indented.
        all.replace("\n\t", " ").lines().map(str::to_owned).collect()
    }
}

/// A call of an agent.
#[derive(Clone)]
pub struct Call {
    program: PathBuf,
    variables: Vec<(OsString, OsString)>,
}

/// What a call came to.
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Call {
    pub fn param(self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.env(&format!("OCF_RESKEY_{name}"), value)
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.variables.retain(|(key, _)| key != name);
        self.variables.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// The agent in another file.
    pub fn at(mut self, program: PathBuf) -> Self {
        self.program = program;
        self
    }

    /// As a recurring monitor is called.
    pub fn recurring(self) -> Self {
        self.param("CRM_meta_interval", "10000")
    }

    pub fn command(&self, action: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(action).env_clear().envs(self.variables.iter().cloned()).stdin(Stdio::null());
        command
    }

    #[must_use = "an outcome that nobody looks at tests nothing"]
    #[track_caller]
    pub fn run(&self, action: &str) -> Outcome {
        Self::finish(self.command(action))
    }

    /// Runs the agent behind other words, such as those of strace or setpriv.
    #[must_use = "an outcome that nobody looks at tests nothing"]
    #[track_caller]
    pub fn run_behind(&self, words: &[&str], action: &str) -> Outcome {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg(&self.program).arg(action);
        command.env_clear().envs(self.variables.iter().cloned()).stdin(Stdio::null());
        Self::finish(command)
    }

    #[track_caller]
    pub fn finish(mut command: Command) -> Outcome {
        let begin = Instant::now();
        let output = command.output().expect("the agent runs");
        Outcome {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            took: begin.elapsed(),
        }
    }
}

impl Outcome {
    /// The exit code is `expected`; and a failure has one exit reason, a success none.
    #[track_caller]
    pub fn code(self, expected: i32) -> Self {
        assert_eq!(self.code, Some(expected), "stdout {:?} stderr {:?}", self.stdout, self.stderr);
        let reasons =
            self.stderr.lines().filter(|line| line.starts_with("ocf-exit-reason:")).count();
        let failed = ![0, 7, 8].contains(&expected);
        assert_eq!(reasons, usize::from(failed), "stderr {:?}", self.stderr);
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

    /// Nothing was printed at all.
    #[track_caller]
    pub fn silent(self) -> Self {
        assert_eq!((self.stdout.as_str(), self.stderr.as_str()), ("", ""));
        self
    }
}

/// Everything below a directory, so that two moments can be compared.
pub fn tree(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        found.push(entry.path());
        if entry.path().is_dir() {
            found.extend(tree(&entry.path()));
        }
    }
    found.sort();
    found
}
