//! Running a program and saying what it cost.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// What one run cost.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Milliseconds from the start to the end.
    pub wall: f64,
    /// Milliseconds of CPU, of the program and all that it waited for.
    pub cpu: f64,
    /// Peak memory of the largest process, in KiB.
    pub memory: f64,
}

/// What one run asked of the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Programs that were executed, its own included.
    pub execs: usize,
    /// Processes and threads that were started.
    pub forks: usize,
    /// System calls, of all processes.
    pub system: usize,
}

/// The C programs beside this file.
pub struct Tools {
    launch: PathBuf,
    noop: PathBuf,
    dump: PathBuf,
    mounts: PathBuf,
    crowd: PathBuf,
    trace: PathBuf,
}

impl Tools {
    /// Compiles them into `directory`.
    pub fn build(directory: &Path) -> Result<Self, String> {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench");
        let compiled = |name: &str| {
            let program = directory.join(name);
            let mut compiler = Command::new("cc");
            compiler.args(["-O2", "-static", "-o"]).arg(&program);
            compiler.arg(sources.join(name).with_extension("c"));
            match compiler.status() {
                Ok(status) if status.success() => Ok(program),
                other => Err(format!("cc {name}.c: {other:?}")),
            }
        };
        Ok(Self {
            launch: compiled("launch")?,
            noop: compiled("noop")?,
            dump: compiled("dump")?,
            mounts: compiled("mounts")?,
            crowd: compiled("crowd")?,
            trace: directory.join("trace"),
        })
    }

    /// The program that does nothing.
    pub fn noop(&self) -> Command {
        let mut command = Command::new(&self.noop);
        command.env_clear();
        command
    }

    /// The program that reads the addresses of interface number `index` once.
    pub fn dump(&self, index: &str, family: &str) -> Command {
        let mut command = Command::new(&self.dump);
        command.args([index, family]).env_clear();
        command
    }

    /// The program that reads the table of mounts, or unmounts what is at `point`.
    pub fn mounts(&self, point: Option<&Path>) -> Command {
        let mut command = Command::new(&self.mounts);
        command.args(point).env_clear();
        command
    }

    /// The program that is many processes.
    pub fn crowd(&self) -> Command {
        let mut command = Command::new(&self.crowd);
        command.env_clear();
        command
    }

    /// Runs `command`, `times` times at once. It has to succeed.
    pub fn run(&self, command: &Command, times: u32) -> Result<Sample, String> {
        let launch = self.launch.to_string_lossy();
        let output = behind(&["/usr/bin/timeout", "100", &launch, &times.to_string()], command)
            .output()
            .map_err(|error| format!("launch: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let numbers: Vec<f64> = text.split_whitespace().flat_map(str::parse).collect();
        match numbers[..] {
            [wall, cpu, memory, 0.0] => Ok(Sample { wall: wall / 1e6, cpu: cpu / 1e3, memory }),
            _ => Err(format!("{command:?} failed: {text} {output:?}")),
        }
    }

    /// Runs `command` under strace. It has to succeed.
    pub fn count(&self, command: &Command) -> Result<Calls, String> {
        let file = self.trace.to_string_lossy();
        let _ = fs::remove_file(&self.trace);
        let mut strace = behind(&["/usr/bin/strace", "-f", "-q", "-s", "0", "-o", &file], command)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("strace: {error}"))?;
        // It stays with what the program leaves behind, as a start does; and that is another matter.
        let mut ended = None;
        while ended.is_none() && strace.try_wait().is_ok_and(|status| status.is_none()) {
            std::thread::sleep(Duration::from_millis(50));
            ended = self.end_of_first();
        }
        // With a file for its log it minds no other signal; what it traced goes on.
        strace.kill().map_err(|error| format!("strace: {error}"))?;
        strace.wait().map_err(|error| format!("strace: {error}"))?;
        let ended = ended.or_else(|| self.end_of_first());
        if ended.as_deref() != Some("exited with 0 +++") {
            return Err(format!("{command:?} under strace: {ended:?}"));
        }
        let log = fs::read(&self.trace).map_err(|error| format!("{file}: {error}"))?;
        Ok(String::from_utf8_lossy(&log).lines().fold(Calls::default(), counted))
    }

    /// How the first process in strace's log ended, if it has.
    fn end_of_first(&self) -> Option<String> {
        let log = fs::read(&self.trace).ok()?;
        let log = String::from_utf8_lossy(&log);
        let first = log.split_whitespace().next()?;
        log.lines().find_map(|line| {
            let (process, event) = line.split_once(' ')?;
            let end = event.trim_start().strip_prefix("+++ ")?;
            (process == first).then(|| end.to_owned())
        })
    }
}

/// Adds one line of strace's log: a process number and a call.
fn counted(mut calls: Calls, line: &str) -> Calls {
    let line = line.trim_start_matches(|digit: char| digit.is_ascii_digit()).trim_start();
    if line.starts_with("---") || line.starts_with("+++") {
        return calls;
    }
    let resumed = line.starts_with("<... ");
    let name = line.trim_start_matches("<... ");
    let name = name.split(|end: char| !end.is_ascii_alphanumeric() && end != '_').next();
    if !resumed {
        calls.system += 1;
        calls.forks += usize::from(matches!(name, Some("clone" | "clone3" | "fork" | "vfork")));
    }
    calls.execs += usize::from(name == Some("execve") && line.ends_with("= 0"));
    calls
}

/// `command` as the last words of another.
fn behind(words: &[&str], command: &Command) -> Command {
    let mut outer = Command::new(words[0]);
    outer.args(&words[1..]).arg(command.get_program()).args(command.get_args());
    outer.env_clear().stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        outer.env(name, value.unwrap_or_default());
    }
    outer
}
