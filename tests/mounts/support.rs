//! A host of the test's own: a process and a mount namespace, and images on loop devices.
//!
//! The oracle is /proc, losetup(8) and what a program can do in the mount, never the code under test.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// The binary under test.
const BINARY: &str = env!("CARGO_BIN_EXE_ocfbox");

pub struct Host {
    directory: tempfile::TempDir,
    first: Child,
    outside: Sender<Work>,
}

/// What is done in a thread outside the namespaces.
type Work = Box<dyn FnOnce() + Send>;

impl Host {
    /// Moves this thread into namespaces of its own.
    #[track_caller]
    pub fn new() -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "this test needs root for its namespaces: run tests/run mounts as root"
        );
        // A thread with processes in another namespace cannot make threads any more.
        let (outside, works) = channel::<Work>();
        std::thread::spawn(move || {
            for work in works {
                std::thread::spawn(work);
            }
        });
        unshare(CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS).expect("namespaces of our own");
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).expect("private mounts");
        let first = Command::new("sleep")
            .arg("infinity")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a process 1");
        let none = MsFlags::empty();
        mount(Some("tmpfs"), "/run", Some("tmpfs"), none, None::<&str>).expect("a /run of our own");
        // Only who is in the namespace can mount its /proc, and this thread is not.
        let mounted = Command::new("mount").args(["-t", "proc", "proc", "/proc"]).status();
        assert!(mounted.expect("mount").success(), "a /proc of our own");
        let directory = tempfile::Builder::new().prefix("mounts").tempdir().expect("a directory");
        for name in ["Filesystem", "symlink"] {
            let link = directory.path().join(format!("agents/{name}"));
            fs::create_dir_all(link.parent().expect("a directory")).expect("a directory");
            std::os::unix::fs::symlink(BINARY, link).expect("a link");
        }
        Self { directory, first, outside }
    }

    /// Does something in a thread outside the namespaces, which is not waited for.
    pub fn outside(&self, work: Box<dyn FnOnce() + Send>) {
        self.outside.send(work).expect("a thread");
    }

    /// A path in the test's own directory.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A path there as text.
    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("a plain path").to_owned()
    }

    /// Runs shell commands in the test's directory that have to succeed; what they print.
    #[track_caller]
    pub fn sh(&self, commands: &str) -> String {
        let output = self.shell(commands).output().expect("a shell");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{commands}: {errors}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn shell(&self, commands: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-ec", commands]).current_dir(self.directory.path()).stdin(Stdio::null());
        command
    }

    /// Leaves shell commands running, and waits until they wrote the file `ready`.
    #[track_caller]
    pub fn leave(&self, commands: &str) -> Left {
        let ready = self.path("ready");
        let _ = fs::remove_file(&ready);
        let child = self.shell(commands).spawn().expect("a shell");
        let left = Left(child);
        await_that("the process to be ready", || ready.exists());
        left
    }

    /// An image with a file system of that type.
    #[track_caller]
    pub fn image(&self, kind: &str) -> String {
        let name = format!("{kind}.img");
        let (size, make) = match kind {
            "xfs" => ("320M", "mkfs.xfs -q -f"),
            "btrfs" => ("120M", "mkfs.btrfs -q -f"),
            _ => ("16M", "mkfs.ext4 -q -F"),
        };
        self.sh(&format!("truncate -s {size} {name}; {make} {name}"));
        self.text(&name)
    }

    /// An agent, called as a cluster calls it. `OCFBOX_UNDER_TEST` may name a directory with others.
    pub fn agent(&self, name: &str) -> Call {
        let theirs = std::env::var_os("OCFBOX_UNDER_TEST");
        let theirs = theirs.map(|path| Path::new(&path).join(name));
        Call {
            program: theirs.unwrap_or_else(|| self.path("agents").join(name)),
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

    /// `Filesystem` with its device, mount point and type.
    pub fn call(&self, device: &str, directory: impl AsRef<OsStr>, kind: &str) -> Call {
        let call = self.agent("Filesystem").param("device", device).param("directory", directory);
        call.param("fstype", kind).within(20)
    }

    /// The same for a new image on a loop device.
    pub fn on_image(&self, kind: &str) -> Call {
        let image = self.image(kind);
        self.call(&image, self.path("mnt"), kind).param("options", "loop")
    }

    /// What the table of mounts has below the test's directory, each with its point, type and options.
    pub fn mounts(&self) -> Vec<(OsString, String, String)> {
        use std::os::unix::ffi::{OsStrExt, OsStringExt};
        let output = Command::new("cat").arg("/proc/self/mountinfo").output().expect("cat");
        let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let decode = |field: &[u8]| {
            let mut bytes = Vec::new();
            let mut at = 0;
            while at < field.len() {
                let digits = (field[at] == b'\\').then(|| &field[at + 1..at + 4]);
                let text = digits.map(|digits| std::str::from_utf8(digits).unwrap());
                bytes.push(text.map_or(field[at], |text| u8::from_str_radix(text, 8).unwrap()));
                at += if text.is_some() { 4 } else { 1 };
            }
            OsString::from_vec(bytes)
        };
        let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
        let base = self.directory.path().as_os_str().as_bytes();
        lines
            .filter_map(|line| {
                let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
                let hyphen = fields.iter().position(|field| *field == b"-")?;
                let point = decode(fields[4]);
                let below = point.as_bytes().starts_with(base);
                below.then(|| (point, text(fields[hyphen + 1]), text(fields[5])))
            })
            .collect()
    }

    /// Nothing is mounted, no image is in a loop device, and no state is left but locks.
    #[track_caller]
    pub fn is_clean(&self) {
        assert_eq!(self.mounts(), [], "log: {}", self.log());
        let base = self.directory.path().to_str().expect("a plain path");
        // The driver lets go of a device a moment after its last user did.
        await_that("free loop devices", || !self.sh("losetup -l -O BACK-FILE").contains(base));
        let entries = fs::read_dir("/run/resource-agents").into_iter().flatten().flatten();
        let names: Vec<OsString> = entries.map(|entry| entry.file_name()).collect();
        let left = names.iter().filter(|name| !name.to_string_lossy().ends_with(".lock"));
        assert_eq!(left.count(), 0, "{names:?}");
    }

    /// The same with one device that the test made itself.
    #[track_caller]
    pub fn is_clean_but_for(&self, device: &str) {
        assert_eq!(self.mounts(), [], "log: {}", self.log());
        assert!(!self.sh(&format!("losetup {device}")).is_empty(), "{device} is the test's own");
    }

    /// What the agent logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

impl Drop for Host {
    /// With process 1 all others end, and with the last of them the mounts.
    fn drop(&mut self) {
        if std::thread::panicking() {
            // A device that a test made itself and had no time to give back would outlast it.
            let base = self.directory.path().display();
            let give_back = format!(
                "losetup -n -O NAME,BACK-FILE | grep -F {base}/ | while read -r name file; do losetup -d $name; done"
            );
            let mut shell = self.shell(&give_back);
            let _ = shell.stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
        // Where process 1 has ended nothing can be started any more.
        let mounts = self.mounts();
        let _ = self.first.kill();
        // Its end waits for children of this test too, which nobody waits for after a panic.
        let _ = self.first.try_wait();
        for (point, ..) in mounts.into_iter().rev() {
            let _ = nix::mount::umount2(point.as_os_str(), nix::mount::MntFlags::MNT_DETACH);
        }
    }
}

/// Does something for each case, in a thread and with it on a host of its own.
pub fn each<Case: Send>(cases: impl IntoIterator<Item = Case>, test: impl Fn(Case) + Sync) {
    for case in cases {
        let ended = std::thread::scope(|scope| scope.spawn(|| test(case)).join());
        if let Err(panic) = ended {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Processes that a test left running.
pub struct Left(Child);

impl Left {
    /// Whether the shell still lives.
    pub fn lives(&mut self) -> bool {
        self.0.try_wait().expect("a child").is_none()
    }

    /// The number that /proc of the test's host shows.
    #[track_caller]
    pub fn ended(&mut self) {
        await_that("the end of a process", || !self.lives());
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until a condition holds.
#[track_caller]
pub fn await_that(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < Duration::from_secs(20), "waited 20 s for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A call of the agent.
#[derive(Clone)]
pub struct Call {
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
    pub fn param(self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.env(&format!("OCF_RESKEY_{name}"), value)
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

    /// As a recurring monitor, which is no probe.
    pub fn recurring(self) -> Self {
        self.param("CRM_meta_interval", "10000")
    }

    #[must_use = "an outcome that nobody looks at tests nothing"]
    #[track_caller]
    pub fn run(&self, action: &str) -> Outcome {
        Self::finish(self.command(&[], action))
    }

    /// Runs the agent behind other words, such as those of strace.
    #[must_use = "an outcome that nobody looks at tests nothing"]
    #[track_caller]
    pub fn run_behind(&self, words: &[&str], action: &str) -> Outcome {
        Self::finish(self.command(words, action))
    }

    /// Runs the binary itself with other words, behind those of strace.
    #[must_use = "an outcome that nobody looks at tests nothing"]
    #[track_caller]
    pub fn run_words(&self, behind: &[&str], words: &[&str]) -> Outcome {
        let mut command = Command::new(behind[0]);
        command.args(&behind[1..]).arg(BINARY).args(words);
        command.env_clear().envs(self.variables.iter().cloned()).stdin(Stdio::null());
        Self::finish(command)
    }

    /// Starts an action and does not wait for it.
    #[track_caller]
    pub fn begin(&self, action: &str) -> Child {
        self.command(&[], action).stderr(Stdio::null()).spawn().expect("the agent runs")
    }

    fn command(&self, words: &[&str], action: &str) -> Command {
        let mut command = match words {
            [] => Command::new(&self.program),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(&self.program);
                command
            }
        };
        command.arg(action).env_clear().envs(self.variables.iter().cloned()).stdin(Stdio::null());
        command
    }

    #[track_caller]
    fn finish(mut command: Command) -> Outcome {
        let begin = Instant::now();
        let output = command.output().expect("the agent runs");
        Outcome {
            code: output.status.code(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            took: begin.elapsed(),
        }
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
        assert!(reason.chars().count() < "ocf-exit-reason:".len() + 200, "{reason:?}");
        self
    }
}
