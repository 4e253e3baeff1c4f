//! The virtual machine: booted once for all cases, which it runs one after the other, each in namespaces of its own.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::archive::Archive;
use super::kernel::Kernel;

/// What the cases make links of, and how the guest has them; what they depend on comes along.
const MODULES: [&str; 8] = [
    "veth",
    "bridge",
    "bonding",
    "8021q",
    "dummy",
    "macvlan",
    "ipvlan",
    "vrf",
];

/// Programs of this machine that are the oracle in the guest.
const PROGRAMS: [&str; 3] = ["ip", "bridge", "tcpdump"];

/// What a machine that emulates each instruction needs until it is up, on a host that has other work.
const BOOT: Duration = Duration::from_secs(90);

/// No case needs a quarter of it.
const CASE: Duration = Duration::from_secs(60);

static GUEST: Mutex<State> = Mutex::new(State::Off);

enum State {
    Off,
    Up(Guest),
    /// It did not boot, and would not for the next case either.
    Broken(String),
}

/// Runs a case of `cases/` in the guest; fails with what it printed.
#[track_caller]
pub fn run(case: &str) {
    let answer = {
        let mut state = GUEST.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Off = *state {
            *state = Guest::boot().map_or_else(State::Broken, State::Up);
        }
        match &mut *state {
            State::Up(guest) => guest.run(case).inspect_err(|_| *state = State::Off),
            State::Broken(why) => Err(why.clone()),
            State::Off => unreachable!("it was just booted"),
        }
    };
    match answer {
        Ok((0, output)) => print!("{output}"),
        Ok((code, output)) => panic!("{case} ended with {code}:\n{output}"),
        Err(why) => panic!("{case}: {why}"),
    }
}

struct Guest {
    child: Child,
    jobs: ChildStdin,
    lines: Receiver<String>,
    console: PathBuf,
}

impl Guest {
    fn boot() -> Result<Self, String> {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let kernel = Kernel::get()?;
        let own = std::process::id();
        let initramfs = directory.join(format!("vm-{own}.cpio"));
        let console = directory.join(format!("vm-{own}.log"));
        fs::write(&initramfs, contents(&kernel)?).map_err(|error| error.to_string())?;
        let mut command = machine(&kernel.image, &initramfs, &console);
        let (spawned, lines) = keep(move || command.spawn());
        let mut child = spawned?;
        let jobs = child.stdin.take().expect("it is piped");
        let mut guest = Self { child, jobs, lines, console };
        let booted = guest.until("\u{1}ready", BOOT);
        // The guest has it in its memory.
        let _ = fs::remove_file(initramfs);
        booted.map(|_| guest)
    }

    /// The exit code of a case and what it printed.
    fn run(&mut self, case: &str) -> Result<(i32, String), String> {
        if let Err(error) = writeln!(self.jobs, "{case}") {
            return Err(self.dead(&format!("the guest takes no more cases: {error}")));
        }
        let (code, output) = self.until("\u{1}end ", CASE)?;
        let code = code.parse().map_err(|_| format!("{code:?} is no exit code:\n{output}"))?;
        Ok((code, output))
    }

    /// Reads until the line that begins with `end`; the rest of it, and what came before.
    fn until(&mut self, end: &str, patience: Duration) -> Result<(String, String), String> {
        let deadline = Instant::now() + patience;
        let mut output = String::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                let what = if left.is_zero() { "the guest hangs" } else { "the guest died" };
                return Err(self.dead(&format!("{what}; before that:\n{output}")));
            };
            if let Some(rest) = line.strip_prefix(end) {
                return Ok((rest.to_owned(), output));
            }
            output.extend([&line, "\n"]);
        }
    }

    /// Ends the guest; `why` with the last words of its kernel.
    fn dead(&mut self, why: &str) -> String {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let console = fs::read(&self.console).unwrap_or_default();
        let console = String::from_utf8_lossy(&console);
        let lines: Vec<&str> = console.lines().collect();
        let last = lines[lines.len().saturating_sub(30)..].join("\n");
        format!("{why}\nthe end of {:?}:\n{last}", self.console)
    }
}

/// Starts a child in a thread that lives as long as the child does, and passes on what it prints. The child dies with its
/// parent, by which the kernel means the thread (prctl(2), `PR_SET_PDEATHSIG`): not with the first test.
fn keep(
    spawn: impl FnOnce() -> std::io::Result<Child> + Send + 'static,
) -> (Result<Child, String>, Receiver<String>) {
    let (lines, received) = channel();
    let (children, spawned) = channel();
    thread::spawn(move || match spawn() {
        Ok(mut child) => {
            let output = child.stdout.take().expect("it is piped");
            let _ = children.send(Ok(child));
            pass_on(BufReader::new(output), &lines);
        }
        Err(error) => {
            let why = format!("{error}; tests/run vm installs qemu-system-x86 and util-linux");
            let _ = children.send(Err(why));
        }
    });
    (spawned.recv().expect("it sends one or the other"), received)
}

fn pass_on(output: impl BufRead, lines: &Sender<String>) {
    for line in output.split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
        if lines.send(line).is_err() {
            return;
        }
    }
}

/// Emulated on every host, so that it is the same machine everywhere. Its first serial line is the kernel's console, its
/// second one takes the names of cases and gives their output.
fn machine(kernel: &Path, initramfs: &Path, console: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "qemu-system-x86_64"]);
    command.args(["-accel", "tcg", "-cpu", "max", "-m", "512", "-smp", "1"]);
    command.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
    command.arg("-kernel").arg(kernel).arg("-initrd").arg(initramfs);
    command.args(["-append", "console=ttyS0 panic=-1 quiet loglevel=5 mitigations=off"]);
    command.arg("-serial").arg(format!("file:{}", console.display()));
    command.args(["-serial", "stdio"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// All that the guest has.
fn contents(kernel: &Kernel) -> Result<Vec<u8>, String> {
    let mut archive = Archive::default();
    for directory in ["proc", "sys", "dev", "run", "tmp", "bin", "etc", "var/log"] {
        archive.directory(directory);
    }
    archive.file("bin/busybox", &read(&program("busybox")?)?);
    archive.link("bin/sh", "busybox");
    let mut libraries = BTreeSet::new();
    for name in PROGRAMS {
        let path = program(name)?;
        archive.file(&format!("usr/bin/{name}"), &read(&path)?);
        libraries.extend(libraries_of(&path)?);
    }
    for library in libraries {
        archive.file(&library, &read(Path::new(&library))?);
    }
    let mut order = String::new();
    for (name, content) in kernel.modules(&MODULES)? {
        archive.file(&format!("modules/{name}.ko"), &content);
        order.extend([&name, "\n"]);
    }
    archive.file("modules/order", order.as_bytes());
    archive.file("agents/ocfbox", &binary()?);
    for agent in ocfbox::agents::ALL {
        archive.link(&format!("agents/{}", agent.described.agent.name), "ocfbox");
    }
    archive.file("init", include_bytes!("init.sh"));
    archive.file("lib.sh", include_bytes!("lib.sh"));
    for path in super::scripts() {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        archive.file(&format!("cases/{name}"), &read(&path)?);
    }
    Ok(archive.finish())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn program(name: &str) -> Result<PathBuf, String> {
    let paths = ["/sbin", "/bin", "/usr/sbin", "/usr/bin"].map(|path| Path::new(path).join(name));
    let path = paths.into_iter().find(|path| path.exists());
    path.ok_or_else(|| format!("the guest needs {name}; tests/run vm installs it"))
}

/// The shared libraries of a program, as its loader finds them.
fn libraries_of(program: &Path) -> Result<Vec<String>, String> {
    let output =
        Command::new("ldd").arg(program).output().map_err(|error| format!("ldd: {error}"))?;
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = listed.split_whitespace().filter(|word| word.starts_with('/'));
    Ok(words.map(str::to_owned).collect())
}

/// The binary under test, without its debug information, which the guest would have to unpack.
fn binary() -> Result<Vec<u8>, String> {
    let bare = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
    let mut strip = Command::new("strip");
    strip.args([env!("CARGO_BIN_EXE_ocfbox"), "-o"]).arg(bare.path());
    let stripped = strip.status().map_err(|error| format!("strip: {error}"))?;
    if !stripped.success() {
        return Err(format!("{strip:?}: {stripped}"));
    }
    read(bare.path())
}
