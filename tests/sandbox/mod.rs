//! Where a test that needs root may do as it likes: a network and a mount namespace of its own, gone when it ends.
//!
//! It has `eth0` and `eth1` with their links up (the other ends of two veth pairs), an empty `/run` and `/tmp`, and
//! copies on write of what the cluster's tools change. Only the file systems are swapped: processes are the host's.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use ocfbox::agents;

/// Where a provider's agents are.
pub const PROVIDERS: &str = "/usr/lib/ocf/resource.d";

/// Programs that a test puts here go before those of the host.
pub const OWN_PROGRAMS: &str = "/tmp/bin";

/// The binary under test in the sandbox. Any user may reach it, which the build directory does not promise.
const BINARY: &str = "/usr/lib/ocf/ocfbox";

/// What the tools write to: state, logs and caches below `/var`, and links to agents.
const COPIED_ON_WRITE: [&str; 2] = ["/usr/lib/ocf", "/var"];

/// A program and the Debian package that has it.
const PACKAGES: [(&str, &str); 8] = [
    ("crm", "crmsh"),
    ("crm_resource", "pacemaker-cli-utils"),
    ("cibadmin", "pacemaker-cli-utils"),
    ("ip", "iproute2"),
    ("ocf-tester", "resource-agents"),
    ("ocft", "resource-agents"),
    ("pcs", "pcs"),
    ("xmllint", "libxml2-utils"),
];

/// What a program said and how it ended.
pub struct Run {
    /// The exit code.
    pub code: Option<i32>,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Run {
    /// The output of a program that must succeed.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self.stdout
    }
}

/// The sandbox in which this thread is.
pub struct Sandbox(());

impl Sandbox {
    /// Does `test` in a sandbox with the programs that it needs, or fails with what is missing.
    pub fn with(programs: &[&str], test: impl FnOnce(&Self) + Send) {
        assert!(nix::unistd::geteuid().is_root(), "needs root: sudo tests/run");
        for program in programs.iter().chain(&["ip"]) {
            need(program);
        }
        // libtest may run a test in its main thread, which must not stay behind in the sandbox.
        let done = thread::scope(|scope| {
            scope
                .spawn(|| {
                    enter();
                    test(&Self(()));
                })
                .join()
        });
        if let Err(panic) = done {
            std::panic::resume_unwind(panic);
        }
    }

    /// Puts our agents where `provider` has its own.
    pub fn install(&self, provider: &str) {
        let directory = Path::new(PROVIDERS).join(provider);
        fs::create_dir_all(&directory).unwrap();
        for name in names() {
            let link = directory.join(name);
            let _ = fs::remove_file(&link);
            symlink(BINARY, link).unwrap();
        }
    }

    /// Puts a program where it is found first.
    pub fn program(&self, name: &str, script: &str) {
        let path = Path::new(OWN_PROGRAMS).join(name);
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Runs a program to its end, with no environment but what every program may expect.
    pub fn run<A: AsRef<OsStr>>(
        &self,
        program: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Run {
        let mut command = self.command(program);
        run(command.args(arguments))
    }

    /// The command for a program, to be completed and given to [`run`].
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/bin:/bin"));
        let path = [OsString::from(OWN_PROGRAMS), path, OsString::from("/usr/sbin:/sbin")]
            .join(OsStr::new(":"));
        command.env_clear().env("PATH", path).env("HOME", "/tmp").env("LANG", "C.UTF-8");
        command.current_dir("/").stdin(Stdio::null());
        command
    }
}

/// Runs a command to its end.
#[track_caller]
pub fn run(command: &mut Command) -> Run {
    let Output { status, stdout, stderr } =
        command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Run { code: status.code(), stdout: text(&stdout), stderr: text(&stderr) }
}

/// The names of all agents.
pub fn names() -> impl Iterator<Item = &'static str> {
    agents::ALL.iter().map(|entry| entry.described.agent.name)
}

fn need(program: &str) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories =
        std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let package =
        PACKAGES.iter().find(|(name, _)| *name == program).map_or(program, |(_, package)| package);
    assert!(
        directories.any(|directory| directory.join(program).exists()),
        "needs {program}: apt-get install --no-install-recommends {package}"
    );
}

fn enter() {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
        .expect("no namespaces of its own; a container needs --privileged for this");
    bind(None, "/", MsFlags::MS_REC | MsFlags::MS_PRIVATE);
    let here = Path::new("/mnt");
    memory(here, "0755");
    for (number, path) in COPIED_ON_WRITE.iter().enumerate() {
        copy_on_write(path, &here.join(number.to_string()));
    }
    fs::write(BINARY, "").unwrap();
    bind(Some(env!("CARGO_BIN_EXE_ocfbox")), BINARY, MsFlags::MS_BIND);
    for (path, mode) in [("/run", "0755"), ("/tmp", "1777")] {
        memory(Path::new(path), mode);
    }
    fs::create_dir(OWN_PROGRAMS).unwrap();
    let state = Path::new("/run/resource-agents");
    fs::create_dir(state).unwrap();
    fs::set_permissions(state, fs::Permissions::from_mode(0o1755)).unwrap();
    interfaces();
}

fn bind(source: Option<&str>, target: &str, flags: MsFlags) {
    mount(source, target, None::<&str>, flags, None::<&str>)
        .unwrap_or_else(|error| panic!("mount {source:?} on {target}: {error}"));
}

/// An empty file system in memory.
fn memory(target: &Path, mode: &str) {
    let options = format!("mode={mode}");
    mount(Some("tmpfs"), target, Some("tmpfs"), MsFlags::empty(), Some(options.as_str()))
        .unwrap_or_else(|error| panic!("mount a tmpfs on {}: {error}", target.display()));
}

/// The directory `path` with what is changed in it kept in `memory`.
fn copy_on_write(path: &str, memory: &Path) {
    let [upper, work] = ["upper", "work"].map(|name| memory.join(name));
    for directory in [&upper, &work] {
        fs::create_dir_all(directory).unwrap();
    }
    let options =
        format!("lowerdir={path},upperdir={},workdir={}", upper.display(), work.display());
    mount(Some("overlay"), path, Some("overlay"), MsFlags::empty(), Some(options.as_str()))
        .unwrap_or_else(|error| panic!("mount an overlay on {path}: {error}"));
}

/// `eth0` and `eth1`, ready for use.
fn interfaces() {
    let ip = |words: &str| run(Command::new("ip").args(words.split(' '))).ok();
    ip("link set lo up");
    for name in ["eth0", "eth1"] {
        ip(&format!("link add {name} type veth peer name far-{name}"));
        ip(&format!("link set far-{name} up"));
        ip(&format!("link set {name} up"));
    }
    // A link-local address that is still tentative would be in the way of the first test of IPv6.
    let patience = Instant::now() + Duration::from_secs(10);
    while !ip("-o address show tentative").is_empty()
        || ip("-o -6 address show dev eth1").is_empty()
    {
        assert!(Instant::now() < patience, "the addresses of eth0 and eth1 stay tentative");
        thread::sleep(Duration::from_millis(50));
    }
}
