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

/// The sandbox in which this thread is. Nobody has one outside of it, so that nothing happens to the host.
pub struct Sandbox {
    /// The binary under test, where any user may reach it, which the build directory does not promise.
    binary: PathBuf,
    /// Programs that a test puts here go before those of the host.
    pub programs: PathBuf,
}

impl Sandbox {
    /// Does `test` in a sandbox with the programs that it needs, or fails with what is missing.
    pub fn with(programs: &[&str], test: impl FnOnce(&Self) + Send) {
        assert!(nix::unistd::geteuid().is_root(), "needs root: sudo tests/run");
        for program in programs.iter().chain(&["ip"]) {
            need(program);
        }
        // libtest may run a test in its main thread, which must not stay behind in the sandbox.
        let done = thread::scope(|scope| {
            let sandboxed = scope.spawn(|| test(&enter()));
            sandboxed.join()
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
            symlink(&self.binary, link).unwrap();
        }
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
        let path = [self.programs.as_os_str(), &path, OsStr::new("/usr/sbin:/sbin")];
        let path = path.join(OsStr::new(":"));
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

fn enter() -> Sandbox {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
        .expect("no namespaces of its own; a container needs --privileged for this");
    bind(None, "/", MsFlags::MS_REC | MsFlags::MS_PRIVATE);
    memory("/run", "0755");
    fs::create_dir("/run/lock").unwrap();
    copy_on_write("/usr/lib/ocf", "/run/copies/ocf");
    let binary = "/usr/lib/ocf/ocfbox";
    fs::write(binary, "").unwrap();
    bind(Some(env!("CARGO_BIN_EXE_ocfbox")), binary, MsFlags::MS_BIND);
    // Not before the binary is bound, which may be below one of these.
    copy_on_write("/var", "/run/copies/var");
    memory("/tmp", "1777");
    let programs = PathBuf::from("/tmp/bin");
    fs::create_dir(&programs).unwrap();
    let state = Path::new("/run/resource-agents");
    fs::create_dir(state).unwrap();
    fs::set_permissions(state, fs::Permissions::from_mode(0o1755)).unwrap();
    interfaces();
    Sandbox { binary: PathBuf::from(binary), programs }
}

fn bind(source: Option<&str>, target: &str, flags: MsFlags) {
    mount(source, target, None::<&str>, flags, None::<&str>)
        .unwrap_or_else(|error| panic!("mount {source:?} on {target}: {error}"));
}

/// An empty file system in memory.
fn memory(target: &str, mode: &str) {
    let options = format!("mode={mode}");
    mount(Some("tmpfs"), target, Some("tmpfs"), MsFlags::empty(), Some(options.as_str()))
        .unwrap_or_else(|error| panic!("mount a tmpfs on {target}: {error}"));
}

/// The directory `path`, with what is changed in it kept in `copies`.
fn copy_on_write(path: &str, copies: &str) {
    let options = format!("lowerdir={path},upperdir={copies}/upper,workdir={copies}/work");
    for directory in ["upper", "work"] {
        fs::create_dir_all(Path::new(copies).join(directory)).unwrap();
    }
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
