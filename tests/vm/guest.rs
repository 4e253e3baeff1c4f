//! The virtual machine: booted once for many cases, which it runs one after the other, each in namespaces of its own.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::contents::contents;
use super::kernel::Kernel;

/// What a machine that emulates each instruction needs until it is up, on a host that has other work.
const BOOT: Duration = Duration::from_secs(90);

/// No case needs a half of it, not even those that wait for what does not answer.
const CASE: Duration = Duration::from_mins(2);

/// Guests without a case. There are as many as libtest runs tests at once.
static IDLE: Mutex<Vec<Guest>> = Mutex::new(Vec::new());

/// Why a guest did not boot, which is no other for the next one.
static BROKEN: OnceLock<String> = OnceLock::new();

/// Runs a case of `cases/` in a guest; fails with what it printed.
#[track_caller]
pub fn run(case: &str) {
    let ran = take().and_then(|mut guest| {
        // One that hangs or died is not used again.
        let answer = guest.run(case)?;
        idle().push(guest);
        Ok(answer)
    });
    match ran {
        Ok((0, output)) => print!("{output}"),
        Ok((code, output)) => panic!("{case} ended with {code}:\n{output}"),
        Err(why) => panic!("{case}: {why}"),
    }
}

fn idle() -> MutexGuard<'static, Vec<Guest>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take() -> Result<Guest, String> {
    if let Some(guest) = idle().pop() {
        return Ok(guest);
    }
    if let Some(why) = BROKEN.get() {
        return Err(why.clone());
    }
    Guest::boot().inspect_err(|why| drop(BROKEN.set(why.clone())))
}

struct Guest {
    child: Child,
    jobs: ChildStdin,
    lines: Receiver<String>,
    console: PathBuf,
}

impl Guest {
    fn boot() -> Result<Self, String> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        static KERNEL: LazyLock<Result<Kernel, String>> = LazyLock::new(Kernel::get);
        let kernel = KERNEL.as_ref().map_err(Clone::clone)?;
        let initramfs = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
        fs::write(&initramfs, contents(kernel)?).map_err(|error| error.to_string())?;
        let console = format!("vm-console-{}.log", NUMBER.fetch_add(1, Ordering::Relaxed));
        let console = Path::new(env!("CARGO_TARGET_TMPDIR")).join(console);
        let mut command = machine(&kernel.image, initramfs.path(), &console);
        let (spawned, lines) = keep(move || command.spawn());
        let mut child = spawned?;
        let jobs = child.stdin.take().expect("it is piped");
        let mut guest = Self { child, jobs, lines, console };
        // From then on it has the initramfs in its memory.
        guest.until("\u{1}ready", BOOT).map(|_| guest)
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
            let line = match self.lines.recv_timeout(left) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => {
                    let seconds = patience.as_secs();
                    return Err(self.dead(&format!("no end after {seconds} s; so far:\n{output}")));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(self.dead(&format!("the guest died; so far:\n{output}")));
                }
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
        let last = lines[lines.len().saturating_sub(60)..].join("\n");
        format!("{why}\nthe end of {}:\n{last}", self.console.display())
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
    // A card whose driver changes addresses only while it is down. Its cable leads to a router of qemu.
    command.args(["-netdev", "user,id=cable,restrict=on"]);
    command.args(["-device", "ne2k_pci,netdev=cable,romfile="]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}
