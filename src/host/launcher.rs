//! The far side of [`super::launch`]: this binary, between the agent and the program that it starts.

#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::fcntl::OFlag;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid};

use super::launch::{LONGEST_INPUT, decode, letters};
use super::{cgroup, detached};

/// The limits that can be set, by their names in `limits.conf(5)`.
pub const RESOURCES: [(&str, Resource); 15] = [
    ("as", Resource::RLIMIT_AS),
    ("core", Resource::RLIMIT_CORE),
    ("cpu", Resource::RLIMIT_CPU),
    ("data", Resource::RLIMIT_DATA),
    ("fsize", Resource::RLIMIT_FSIZE),
    ("locks", Resource::RLIMIT_LOCKS),
    ("memlock", Resource::RLIMIT_MEMLOCK),
    ("msgqueue", Resource::RLIMIT_MSGQUEUE),
    ("nice", Resource::RLIMIT_NICE),
    ("nofile", Resource::RLIMIT_NOFILE),
    ("nproc", Resource::RLIMIT_NPROC),
    ("rss", Resource::RLIMIT_RSS),
    ("rtprio", Resource::RLIMIT_RTPRIO),
    ("sigpending", Resource::RLIMIT_SIGPENDING),
    ("stack", Resource::RLIMIT_STACK),
];

/// Why the program does not run: the digit of an exit code, and the reason.
struct Refusal(char, String);

type Step<T> = Result<T, Refusal>;

fn refusal<E: Into<io::Error>>(
    code: char,
    what: impl std::fmt::Display,
) -> impl FnOnce(E) -> Refusal {
    move |error| Refusal(code, format!("cannot {what}: {}", crate::error::cause(&error.into())))
}

/// Does what the orders on standard input say and becomes the program. Comes back only if that does not work, and has
/// said why.
pub fn run() {
    let Ok(mut channel) = take_channel() else { return };
    detached::settle_but(channel.as_raw_fd());
    let mut orders = Vec::new();
    if channel.read_to_end(&mut orders).is_err() {
        return;
    }
    let Err(Refusal(code, why)) = become_it(&orders);
    let _ = channel.write_all(format!("{code}{why}").as_bytes());
}

/// Standard input under another number, which exec closes; and nothing to read in its place.
fn take_channel() -> io::Result<UnixStream> {
    use std::os::fd::{AsFd, OwnedFd};
    let channel: OwnedFd = io::stdin().as_fd().try_clone_to_owned()?;
    nix::unistd::dup2_stdin(File::open("/dev/null")?)?;
    Ok(UnixStream::from(channel))
}

fn become_it(orders: &[u8]) -> Step<std::convert::Infallible> {
    let parts =
        decode(orders).ok_or_else(|| Refusal('1', "the orders are cut short".to_owned()))?;
    let all = |letter: u8| parts.iter().filter(move |part| part.0 == letter).map(|part| &part.1);
    let one = |letter: u8| all(letter).next();
    if let Some(path) = one(letters::CGROUP) {
        // Without it there are other proofs of where the program comes from.
        let _ = cgroup::join(Path::new(path));
    }
    for limit in all(letters::LIMIT) {
        set_limit(limit)?;
    }
    umask(
        one(letters::UMASK)
            .and_then(number)
            .map_or(Mode::from_bits_truncate(0o022), Mode::from_bits_truncate),
    );
    if let (Some(user), Some(group)) =
        (one(letters::USER).and_then(number), one(letters::GROUP).and_then(number))
    {
        let further: Vec<Gid> =
            all(letters::FURTHER).filter_map(number).map(Gid::from_raw).collect();
        change_user(Uid::from_raw(user), Gid::from_raw(group), &further)?;
    }
    // From here on as the user, who must be able to do all that is left.
    let directory = one(letters::DIRECTORY).map_or(Path::new("/"), Path::new);
    let shown = directory.display();
    nix::unistd::chdir(directory).map_err(refusal('2', format!("change to directory {shown}")))?;
    if let Some(input) = one(letters::INPUT) {
        feed(input)?;
    }
    if let Some(output) = one(letters::OUTPUT) {
        redirect(output, one(letters::ERRORS).unwrap_or(output))?;
    }
    let words: Vec<&OsString> = all(letters::WORD).collect();
    Err(execute(&words, all(letters::VARIABLE)))
}

fn number(value: &OsString) -> Option<u32> {
    value.to_str()?.parse().ok()
}

fn set_limit(value: &OsStr) -> Step<()> {
    let text = value.to_string_lossy();
    let fields: Vec<&str> = text.split(' ').collect();
    let parsed = match fields[..] {
        [name, soft, hard] => RESOURCES
            .iter()
            .find(|(known, _)| *known == name)
            .and_then(|(_, resource)| Some((*resource, soft.parse().ok()?, hard.parse().ok()?))),
        _ => None,
    };
    let Some((resource, soft, hard)) = parsed else {
        return Err(Refusal('6', format!("there is no limit {text}")));
    };
    setrlimit(resource, soft, hard).map_err(refusal('2', format!("set the limit {text}")))
}

/// As `login(1)`: groups first, while it is still allowed.
fn change_user(user: Uid, group: Gid, further: &[Gid]) -> Step<()> {
    let what = format!("become user {user} with group {group}");
    let change = || {
        nix::unistd::setgroups(further)?;
        nix::unistd::setgid(group)?;
        nix::unistd::setuid(user)
    };
    change().map_err(refusal('4', what))
}

/// Few bytes, which the pipe keeps until they are read, so that nobody has to stay to write them.
fn feed(input: &OsStr) -> Step<()> {
    let what = "give it its input";
    let (reader, mut writer) = io::pipe().map_err(refusal('1', what))?;
    let bytes = input.as_bytes();
    writer.write_all(&bytes[..bytes.len().min(LONGEST_INPUT)]).map_err(refusal('1', what))?;
    nix::unistd::dup2_stdin(reader).map_err(refusal('1', what))
}

fn redirect(output: &OsStr, errors: &OsStr) -> Step<()> {
    let stdout = open_log(output)?;
    nix::unistd::dup2_stdout(&stdout).map_err(refusal('1', "redirect the output"))?;
    let stderr = if errors == output { stdout } else { open_log(errors)? };
    nix::unistd::dup2_stderr(&stderr).map_err(refusal('1', "redirect the output"))
}

fn open_log(path: &OsStr) -> Step<File> {
    let shown = Path::new(path).display().to_string();
    let mut options = OpenOptions::new();
    // A pipe that nobody reads must not stop us.
    options.append(true).create(true).custom_flags((OFlag::O_NOCTTY | OFlag::O_NONBLOCK).bits());
    let file = options.open(path).map_err(refusal('2', format!("write to {shown}")))?;
    nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_SETFL(OFlag::O_APPEND))
        .map_err(refusal('1', format!("write to {shown}")))?;
    Ok(file)
}

fn execute<'a>(words: &[&OsString], variables: impl Iterator<Item = &'a OsString>) -> Refusal {
    let Some((program, arguments)) = words.split_first() else {
        return Refusal('6', "there is nothing to run".to_owned());
    };
    let mut command = Command::new(program);
    command.args(arguments).env_clear();
    for variable in variables {
        let bytes = variable.as_bytes();
        let at = bytes.iter().position(|byte| *byte == b'=').unwrap_or(bytes.len());
        let (name, value) = bytes.split_at(at);
        command.env(OsStr::from_bytes(name), OsStr::from_bytes(value.get(1..).unwrap_or_default()));
    }
    let error = command.exec();
    let code = match error.kind() {
        io::ErrorKind::NotFound => '5',
        io::ErrorKind::PermissionDenied => '4',
        _ => '1',
    };
    let why = match error.kind() {
        // Also the answer for a script whose interpreter is not there.
        io::ErrorKind::NotFound => {
            "it, or the interpreter that it names, is not installed".to_owned()
        }
        _ => crate::error::cause(&error),
    };
    Refusal(code, why)
}
