//! Other programs, with a deadline and without a shell.

#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{AccessFlags, Pid, access};

use crate::deadline::Deadline;
use crate::environment::Environment;
use crate::error::{Doing, Error, Result, one_line};
use crate::host::reaper::bury;
use crate::state::Lock;
use crate::{trace_answer, trace_ask};

/// Runs a program to its end, or to the deadline: then it and what it started are killed.
///
/// # Errors
/// It is not installed, did not end in time, or did not succeed.
pub fn run(
    environment: &Environment,
    name: &str,
    arguments: &[&str],
    deadline: &Deadline,
) -> Result<()> {
    ended(environment, name, arguments, Input::Nothing, deadline)
        .map(drop)
        .map_err(|failed| failed.error)
}

/// The same with `input` on its stdin; what it wrote to stderr is in the error.
///
/// # Errors
/// As for [`run`], with the exit code of the program if it ended by itself.
pub fn feed(
    environment: &Environment,
    name: &str,
    arguments: &[&str],
    input: &[u8],
    deadline: &Deadline,
) -> Result<(), Unsuccessful> {
    ended(environment, name, arguments, Input::Bytes(input), deadline).map(drop)
}

/// The same for a program that must not outlast `lock`: if this process is killed, the lock lasts until the program
/// ends, so that whoever has it next comes after the program too.
///
/// # Errors
/// As for [`run`].
pub fn run_under(
    environment: &Environment,
    name: &str,
    arguments: &[&str],
    lock: Option<&Lock>,
    deadline: &Deadline,
) -> Result<()> {
    let input = lock.map_or(Input::Nothing, Input::Lock);
    ended(environment, name, arguments, input, deadline).map(drop).map_err(|failed| failed.error)
}

/// As [`run`], but with this process's own stdin, which is a lock: it lasts until the program ends too.
///
/// # Errors
/// As for [`run`].
pub fn run_with_stdin(
    environment: &Environment,
    name: &str,
    arguments: &[&str],
    deadline: &Deadline,
) -> Result<()> {
    ended(environment, name, arguments, Input::Own, deadline)
        .map(drop)
        .map_err(|failed| failed.error)
}

/// The same for one that has an answer, which it writes to its stdout.
///
/// # Errors
/// As for [`feed`].
pub fn ask_with_stdin(
    environment: &Environment,
    name: &str,
    arguments: &[&str],
    deadline: &Deadline,
) -> Result<String, Unsuccessful> {
    ended(environment, name, arguments, Input::OwnAsked, deadline)
}

/// The same for words that need not be text; what it wrote to stderr is in the error.
///
/// # Errors
/// As for [`feed`].
pub fn run_told(
    environment: &Environment,
    name: &str,
    arguments: &[&OsStr],
    lock: Option<&Lock>,
    deadline: &Deadline,
) -> Result<(), Unsuccessful> {
    ended(environment, name, arguments, Input::LockTold(lock), deadline).map(drop)
}

/// What a program that has one answer writes to its stdout.
///
/// # Errors
/// As for [`run`].
pub fn answer(
    environment: &Environment,
    name: &str,
    arguments: &[&str],
    deadline: &Deadline,
) -> Result<String> {
    ended(environment, name, arguments, Input::Asked, deadline).map_err(|failed| failed.error)
}

/// A program that did not do what it was started for.
#[derive(Debug)]
pub struct Unsuccessful {
    /// Its exit code, if it ended by itself.
    pub code: Option<i32>,
    /// What happened.
    pub error: Error,
}

impl From<Error> for Unsuccessful {
    fn from(error: Error) -> Self {
        Self { code: None, error }
    }
}

/// Where a program is.
///
/// # Errors
/// It is nowhere on the path.
pub fn find(environment: &Environment, name: &str) -> Result<PathBuf> {
    if is_hidden(environment) {
        return Err(missing(name));
    }
    let runs = |path: &PathBuf| path.is_file() && access(path, AccessFlags::X_OK).is_ok();
    let path = search_path();
    let mut places = std::env::split_paths(&path).map(|directory| directory.join(name));
    places.find(runs).ok_or_else(|| missing(name))
}

/// What a program has as its stdin.
#[derive(Clone, Copy)]
enum Input<'a> {
    Nothing,
    Bytes(&'a [u8]),
    /// A descriptor that a program gets without being told of it: an empty file to whoever reads it.
    Lock(&'a Lock),
    /// Nothing either, and its stdout is ours.
    Asked,
    /// What this process has.
    Own,
    /// The same, and its stdout is ours.
    OwnAsked,
    /// A lock, or nothing, and its stderr is ours.
    LockTold(Option<&'a Lock>),
}

fn ended<Word: AsRef<OsStr>>(
    environment: &Environment,
    name: &str,
    arguments: &[Word],
    input: Input<'_>,
    deadline: &Deadline,
) -> Result<String, Unsuccessful> {
    let words: Vec<_> = arguments.iter().map(|word| word.as_ref().to_string_lossy()).collect();
    let what = format!("{name} {}", words.join(" "));
    if is_hidden(environment) {
        return Err(missing(name).into());
    }
    trace_ask!("run {what}");
    let left = deadline.to_wait_for(&what)?;
    let mut child = match spawn(name, arguments, input) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing(name).into()),
        other => other.doing(|| format!("run {what}"))?,
    };
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let status = std::thread::scope(|scope| {
        if let (Some(mut stdin), Input::Bytes(input)) = (stdin, input) {
            // A program that does not read its input says why with its exit code; one that is killed reads no longer.
            scope.spawn(move || drop(stdin.write_all(input)));
        }
        wait(&mut child, left)
    });
    match status.doing(|| format!("wait for {what}"))? {
        Some(status) if status.success() => {
            let answer = stdout.map(words_in).unwrap_or_default();
            let shown = if answer.is_empty() { "done".to_owned() } else { one_line(&answer, 100) };
            trace_answer!("{what}: {shown}");
            Ok(answer)
        }
        Some(status) => {
            let said = stderr.map(said).unwrap_or_default();
            let error = Error::Failed(format!("{what} failed: {status}{said}"));
            Err(Unsuccessful { code: status.code(), error })
        }
        None => {
            if let (Input::Lock(lock) | Input::LockTold(Some(lock)), Ok(None)) =
                (input, child.try_wait())
            {
                lock.leave();
            }
            Err(deadline.missed(&what).into())
        }
    }
}

/// ocf-tester plays a host without any program (`have_binary` of the shell agents).
fn is_hidden(environment: &Environment) -> bool {
    environment.is_true("OCF_TESTER_FAIL_HAVE_BINARY")
}

/// Starts it; if it is fed, its stdin and its stderr are ours.
fn spawn<Word: AsRef<OsStr>>(
    name: &str,
    arguments: &[Word],
    input: Input<'_>,
) -> io::Result<Child> {
    let (stdin, stderr) = match input {
        Input::Nothing => (Stdio::null(), Stdio::null()),
        Input::Bytes(_) => (Stdio::piped(), Stdio::piped()),
        Input::Lock(lock) => (lock.share()?.into(), Stdio::null()),
        Input::Own | Input::OwnAsked => (Stdio::inherit(), Stdio::piped()),
        Input::LockTold(Some(lock)) => (lock.share()?.into(), Stdio::piped()),
        Input::Asked | Input::LockTold(None) => (Stdio::null(), Stdio::piped()),
    };
    let is_asked = matches!(input, Input::Asked | Input::OwnAsked);
    Command::new(name)
        .args(arguments)
        .stdin(stdin)
        .stdout(if is_asked { Stdio::piped() } else { Stdio::null() })
        .stderr(stderr)
        .current_dir("/")
        .env("PATH", search_path())
        // A group of its own, so that all of it can be ended.
        .process_group(0)
        .spawn()
}

/// What a program that has ended wrote to stderr.
fn said(stderr: ChildStderr) -> String {
    let words = words_in(stderr);
    let words = words.trim();
    if words.is_empty() { String::new() } else { format!(": {}", one_line(words, 300)) }
}

/// What is in a pipe, without waiting for what a program that has ended may have left behind.
fn words_in(pipe: impl Read + AsFd) -> String {
    /// More than an answer has, and less than a pipe holds.
    const LONGEST: u64 = 16 * 1024;
    let mut words = Vec::new();
    if fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).is_ok() {
        let _ = pipe.take(LONGEST).read_to_end(&mut words);
    }
    String::from_utf8_lossy(&words).into_owned()
}

fn missing(name: &str) -> Error {
    Error::NotInstalled(format!("the program {name} is not installed, or not on the path"))
}

/// The caller's path first, then where system programs are, as the shell agents have it.
fn search_path() -> std::ffi::OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(if path.is_empty() { "" } else { ":" });
    path.push("/usr/sbin:/usr/bin:/sbin:/bin");
    path
}

/// The child's end; none when time was over, and then it was killed.
fn wait(child: &mut Child, left: Duration) -> io::Result<Option<ExitStatus>> {
    let begin = std::time::Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if begin.elapsed() >= left {
            // Not reaped yet, so the number is still that of our child and of its group.
            if let Ok(pid) = i32::try_from(child.id()) {
                let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
                bury(pid);
            }
            return Ok(None);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_hangs_is_ended_and_named() {
        let deadline = Deadline::after(Duration::from_millis(100));
        let reason =
            run(&Environment::default(), "sleep", &["60"], &deadline).unwrap_err().reason();
        assert!(reason.contains("sleep 60"), "{reason}");
    }

    #[test]
    fn a_program_that_is_missing_or_fails_is_named() {
        let deadline = Deadline::after(Duration::from_secs(5));
        let environment = Environment::default();
        let missing = run(&environment, "no-such-program", &[], &deadline).unwrap_err();
        assert_eq!(missing.code().number(), 5);
        let failed = run(&environment, "false", &[], &deadline).unwrap_err();
        assert_eq!(failed.code().number(), 1);
        run(&environment, "true", &[], &deadline).unwrap();
    }

    #[test]
    fn a_program_is_fed_and_its_words_are_told() {
        let deadline = Deadline::after(Duration::from_secs(5));
        let environment = Environment::default();
        let script = "cat >/dev/null; echo no such user >&2; exit 67";
        // More than a pipe holds.
        let input = vec![b'x'; 1 << 20];
        let failed = feed(&environment, "sh", &["-c", script], &input, &deadline).unwrap_err();
        assert_eq!(failed.code, Some(67));
        let why = failed.error.reason();
        assert!(why.ends_with("exit status: 67: no such user"), "{why}");
        feed(&environment, "sh", &["-c", "test $(wc -c) = 1048576"], &input, &deadline).unwrap();
        // Neither a program that does not read, nor one that leaves somebody behind who holds its stderr.
        feed(&environment, "true", &[], &input, &deadline).unwrap();
        feed(&environment, "sh", &["-c", "sleep 20 & exit 1"], b"", &deadline).unwrap_err();
        let soon = Deadline::after(Duration::from_millis(200));
        feed(&environment, "sleep", &["20"], &input, &soon).unwrap_err();
        assert!(!deadline.left().is_zero());
    }

    #[test]
    fn a_program_answers() {
        let deadline = Deadline::after(Duration::from_secs(5));
        let environment = Environment::default();
        let ask = |words: &[&str]| answer(&environment, "sh", words, &deadline);
        assert_eq!(ask(&["-c", "echo active"]).unwrap(), "active\n");
        // One that leaves somebody behind who holds its stdout.
        assert_eq!(ask(&["-c", "sleep 20 & echo x"]).unwrap(), "x\n");
        assert_eq!(ask(&["-c", "echo dead; exit 1"]).unwrap_err().code().number(), 1);
        assert!(!deadline.left().is_zero());
    }

    #[test]
    fn a_program_is_found_where_it_is() {
        let environment = Environment::default();
        assert!(find(&environment, "sh").unwrap().ends_with("sh"));
        assert_eq!(find(&environment, "no-such-program").unwrap_err().code().number(), 5);
        find(&environment, "../../etc/passwd").unwrap_err();
    }

    #[test]
    fn a_lock_lasts_as_long_as_a_program_that_shares_it() {
        let directory = tempfile::tempdir().unwrap();
        let state = crate::state::StateDirectory::new(directory.path().to_owned());
        let long = Deadline::after(Duration::from_secs(30));
        let soon = Deadline::after(Duration::from_millis(50));
        let lock = state.lock("x", &long).unwrap().unwrap();
        // Its starter is gone, as after a kill: nobody unlocks, the kernel only closes descriptors.
        let mut orphan =
            Command::new("sleep").arg("60").stdin(lock.share().unwrap()).spawn().unwrap();
        std::mem::forget(lock);
        state.lock("x", &soon).unwrap_err();
        orphan.kill().unwrap();
        orphan.wait().unwrap();
    }

    #[test]
    fn ocf_tester_can_hide_all_programs() {
        let mut environment = Environment::default();
        environment.set("OCF_TESTER_FAIL_HAVE_BINARY", "1");
        let error =
            run(&environment, "true", &[], &Deadline::after(Duration::from_secs(5))).unwrap_err();
        assert_eq!(error.code().number(), 5);
        assert_eq!(find(&environment, "true").unwrap_err().code().number(), 5);
    }
}
