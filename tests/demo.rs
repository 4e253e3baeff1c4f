//! `ocfbox demo`: it shows what it says, and it leaves nothing behind, however it ends.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use predicates::prelude::*;

/// A copy of the program, by which its processes are told from those of other tests.
struct Copied {
    directory: tempfile::TempDir,
}

impl Copied {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Anybody may run it.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let copied = Self { directory };
        // Not by this process: a child of another test could hold the file open for writing (ETXTBSY).
        let original = env!("CARGO_BIN_EXE_ocfbox");
        assert!(Command::new("cp").arg(original).arg(copied.program()).status().unwrap().success());
        copied
    }

    fn program(&self) -> PathBuf {
        self.directory.path().join("ocfbox")
    }

    fn demo(&self) -> Command {
        let mut command = Command::new(self.program());
        command.arg("demo").env_clear().stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Command lines of all processes of this copy.
    fn processes(&self) -> Vec<String> {
        let process = |directory: &Path| {
            let program = fs::read_link(directory.join("exe")).ok()?;
            let words = fs::read(directory.join("cmdline")).ok()?;
            program
                .starts_with(self.directory.path())
                .then(|| String::from_utf8_lossy(&words).replace('\0', " "))
        };
        let all = fs::read_dir("/proc").unwrap().flatten();
        all.filter_map(|entry| process(&entry.path())).collect()
    }

    #[track_caller]
    fn assert_gone_within(&self, limit: Duration) {
        let end = Instant::now() + limit;
        while !self.processes().is_empty() {
            assert!(Instant::now() < end, "still there: {:?}", self.processes());
            sleep(Duration::from_millis(5));
        }
    }
}

/// What the demonstration must not change: links, mounts, named namespaces and state below /run, its name.
#[derive(Debug, PartialEq, Eq)]
struct Host {
    links: Vec<String>,
    mounts: String,
    run: Vec<String>,
    name: String,
}

impl Host {
    /// A host of this test's own, whose links and mounts no other test changes, and whose mounts spread.
    fn enter() -> Self {
        const NONE: Option<&str> = None;
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("this test needs root");
        for spread in [MsFlags::MS_PRIVATE, MsFlags::MS_SHARED] {
            mount(NONE, "/", NONE, MsFlags::MS_REC | spread, NONE).unwrap();
        }
        mount(NONE, "/run", Some("tmpfs"), MsFlags::empty(), NONE).unwrap();
        Self::now()
    }

    fn now() -> Self {
        let links = fs::read_to_string("/proc/thread-self/net/dev").unwrap();
        let name = |line: &str| line.split_once(':').map(|(name, _)| name.trim().to_owned());
        Self {
            links: links.lines().filter_map(name).collect(),
            mounts: fs::read_to_string("/proc/thread-self/mountinfo").unwrap(),
            run: names("/run"),
            name: fs::read_to_string("/proc/sys/kernel/hostname").unwrap(),
        }
    }
}

fn names(directory: &str) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[track_caller]
fn assert_shown(output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{text}\n{errors}", output.status);
    assert!(errors.is_empty(), "{errors}");
    let in_order = "(?s)node1 .*start .*exit code 0 .*first answer from node1.*POWER LOSS.*no heartbeat.*\
         node2 .*start .*gratuitous ARP: 10.77.0.50 is at 02:00:00:00:00:02.*\
         neighbour cache: 10.77.0.50 is at 02:00:00:00:00:02.*stop .*exit code 0 .*exit code 7.*\
         outage seen by the client: [0-9]+ ms \\(of it [0-9]+ ms to notice that node1 is dead, \
         [0-9]+ ms to take over\\)";
    let shown = predicate::str::is_match(in_order).unwrap();
    assert!(shown.eval(&text), "{text}");
    assert!(text.contains("first answer from node2"), "{text}");
    assert!(!text.contains('\x1b'), "colour without a terminal: {text}");
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_takeover_is_shown_and_nothing_is_left() {
    let copied = Copied::new();
    let before = Host::enter();
    let output = copied.demo().output().unwrap();
    assert_eq!(copied.processes(), Vec::<String>::new());
    assert_eq!(Host::now(), before);
    assert_shown(&output);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn an_ordinary_user_sees_the_same() {
    let copied = Copied::new();
    let before = Host::enter();
    let output = copied.demo().uid(65534).gid(65534).output().unwrap();
    assert_eq!(copied.processes(), Vec::<String>::new());
    assert_eq!(Host::now(), before);
    assert_shown(&output);
}

/// How long the end of all its processes may take: a tenth of a second, unless the machine has other things to do.
const PATIENCE: Duration = Duration::from_secs(10);

/// Moments in the life of a demonstration: before, while and after its parts start, and in the middle.
const MOMENTS: [u64; 12] = [0, 1, 2, 4, 8, 15, 30, 60, 120, 300, 600, 800];

fn begun(copied: &Copied, user: u32) -> Child {
    copied.demo().uid(user).gid(user).process_group(0).spawn().unwrap()
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap())
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn ctrl_c_leaves_nothing_at_any_moment() {
    let copied = Copied::new();
    let before = Host::enter();
    for user in [0, 65534] {
        for moment in MOMENTS {
            let child = begun(&copied, user);
            sleep(Duration::from_millis(moment));
            // A terminal's Ctrl-C goes to the whole foreground process group.
            killpg(pid(&child), Signal::SIGINT).unwrap();
            copied.assert_gone_within(PATIENCE);
            let output = child.wait_with_output().unwrap();
            let errors = String::from_utf8_lossy(&output.stderr);
            assert_eq!(
                output.status.signal(),
                Some(Signal::SIGINT as i32),
                "{moment} ms: {errors}"
            );
            assert!(errors.is_empty() || errors.contains("nothing is left behind"), "{errors}");
        }
    }
    assert_eq!(Host::now(), before);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_killed_demonstration_leaves_nothing_at_any_moment() {
    let copied = Copied::new();
    let before = Host::enter();
    for user in [0, 65534] {
        for moment in MOMENTS {
            let mut child = begun(&copied, user);
            sleep(Duration::from_millis(moment));
            kill(pid(&child), Signal::SIGKILL).unwrap();
            child.wait().unwrap();
            copied.assert_gone_within(PATIENCE);
        }
    }
    assert_eq!(Host::now(), before);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn what_forbids_namespaces_is_named() {
    let copied = Copied::new();
    // The limit of a user namespace of the test's own, in which the demonstration is root.
    let limit = "echo 0 > /proc/sys/user/max_net_namespaces && exec \"$0\" demo";
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "sh", "-c", limit])
        .arg(copied.program())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("sysctl -w user.max_net_namespaces="), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
}

#[test]
fn the_parts_are_not_for_people() {
    assert_cmd::cargo_bin_cmd!("ocfbox")
        .args(["demo-part", "nobody"])
        .assert()
        .failure()
        .stderr("ocfbox: there is no part \"nobody\"\n");
    assert_cmd::cargo_bin_cmd!("ocfbox")
        .arg("--help")
        .assert()
        .success()
        .stdout(predicate::str::contains("demo").and(predicate::str::contains("demo-part").not()));
}
