//! Starts a program as somebody else would have it: user, groups, directory, environment, limits, output.
//!
//! All of that has to be done between fork and exec, where a program may do next to nothing safely. So this binary is
//! executed in between ([`super::launcher`]). It gets its orders through a socket, so that nothing of them is seen in
//! the list of processes, and answers on it what did not work; the exec of the program closes it.

#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::process::{Identity, Process};
use super::reaper::bury;
use crate::deadline::Deadline;
use crate::error::{Doing, Error, Result};
use crate::trace_ask;

/// Where the output of a program goes.
#[derive(Debug)]
pub enum Output {
    /// Appended to files; the second one is for errors, if they do not go to the first.
    Files(PathBuf, Option<PathBuf>),
    /// To whoever reads the other end.
    Pipe(std::io::PipeWriter),
}

/// What to run, and how.
#[derive(Debug)]
pub struct Launch {
    /// The program, found in the `PATH` of `environment` unless it has a slash, and its arguments.
    pub words: Vec<OsString>,
    /// Its whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Whom it runs as: user, group, further groups. None is the caller.
    pub account: Option<(u32, u32, Vec<u32>)>,
    /// Where it runs.
    pub directory: PathBuf,
    /// Its file mode creation mask.
    pub umask: Option<u32>,
    /// Its limits: name, soft and hard, as in [`super::launcher::RESOURCES`].
    pub limits: Vec<(String, u64, u64)>,
    /// What it reads on its standard input, at most [`LONGEST_INPUT`] bytes.
    pub input: Vec<u8>,
    /// Where its output goes.
    pub output: Output,
    /// The control group that it begins in.
    pub group: Option<PathBuf>,
}

/// As much as a pipe takes at once, whoever reads it (`PIPE_BUF`, pipe(7)).
pub const LONGEST_INPUT: usize = 4096;

/// The parts of a [`Launch`] on the wire: a letter, the value, a zero byte.
pub(super) mod letters {
    pub(crate) const WORD: u8 = b'w';
    pub(crate) const VARIABLE: u8 = b'v';
    pub(crate) const USER: u8 = b'u';
    pub(crate) const GROUP: u8 = b'g';
    pub(crate) const FURTHER: u8 = b'f';
    pub(crate) const DIRECTORY: u8 = b'd';
    pub(crate) const UMASK: u8 = b'm';
    pub(crate) const LIMIT: u8 = b'l';
    pub(crate) const INPUT: u8 = b'i';
    pub(crate) const OUTPUT: u8 = b'o';
    pub(crate) const ERRORS: u8 = b'e';
    pub(crate) const CGROUP: u8 = b'c';
    /// The last part: what has none was cut short, and would run without some of its orders.
    pub(crate) const END: u8 = b'z';
}

impl Launch {
    /// Starts it, and waits until the program itself runs. It is in a session of its own, a child of this process, and
    /// nobody else waits for it.
    ///
    /// # Errors
    /// It could not be started as it was wanted.
    pub fn start(self, deadline: &Deadline) -> Result<Identity> {
        let name = self.words.first().cloned().unwrap_or_default();
        let name = Path::new(&name).display().to_string();
        trace_ask!("launch {:?}", self.words);
        let (mut own, far) = UnixStream::pair().doing(|| format!("start {name}"))?;
        let orders = self.encode();
        // The inode that runs now, even if the file was replaced by an upgrade meanwhile. What names the resource is
        // in the environment from here on, so that whatever is killed when, a stop finds what was started.
        let mut command = Command::new("/proc/self/exe");
        command.arg0("ocfbox").arg("launch").env_clear().envs(self.environment);
        command.current_dir("/").stdin(Stdio::from(std::os::fd::OwnedFd::from(far)));
        match self.output {
            Output::Files(..) => command.stdout(Stdio::null()).stderr(Stdio::null()),
            Output::Pipe(writer) => {
                let second = writer.try_clone().doing(|| format!("start {name}"))?;
                command.stdout(writer).stderr(second)
            }
        };
        let mut child = command.spawn().doing(|| format!("start {name}"))?;
        // It holds the far end of the socket and of the pipe, whose ends have to be seen here.
        drop(command);
        let answer = converse(&mut own, &orders, deadline);
        if answer.is_err() {
            // Nobody would know of it.
            let _ = child.kill();
            bury(child.id().cast_signed());
        }
        let answer = answer.doing(|| format!("start {name}"))?;
        refused(&name, &answer)?;
        let pid = child.id().cast_signed();
        match Process::look(pid)? {
            Some(process) => Ok(process.identity),
            // It cannot be gone, since nobody took notice of its end.
            None => Err(Error::Failed(format!("process {pid} of {name} is not in /proc"))),
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut part = |letter: u8, value: &[u8]| {
            bytes.push(letter);
            bytes.extend_from_slice(value);
            bytes.push(0);
        };
        for word in &self.words {
            part(letters::WORD, word.as_bytes());
        }
        for (name, value) in &self.environment {
            part(letters::VARIABLE, &[name.as_bytes(), value.as_bytes()].join(&b'='));
        }
        if let Some((user, group, further)) = &self.account {
            part(letters::USER, user.to_string().as_bytes());
            part(letters::GROUP, group.to_string().as_bytes());
            for group in further {
                part(letters::FURTHER, group.to_string().as_bytes());
            }
        }
        part(letters::DIRECTORY, self.directory.as_os_str().as_bytes());
        if let Some(umask) = self.umask {
            part(letters::UMASK, umask.to_string().as_bytes());
        }
        for (name, soft, hard) in &self.limits {
            part(letters::LIMIT, format!("{name} {soft} {hard}").as_bytes());
        }
        if !self.input.is_empty() {
            part(letters::INPUT, &self.input);
        }
        if let Output::Files(output, errors) = &self.output {
            part(letters::OUTPUT, output.as_os_str().as_bytes());
            if let Some(errors) = errors {
                part(letters::ERRORS, errors.as_os_str().as_bytes());
            }
        }
        if let Some(group) = &self.group {
            part(letters::CGROUP, group.as_os_str().as_bytes());
        }
        part(letters::END, b"");
        bytes
    }
}

/// The parts of the wire form; none if it is cut short.
pub(super) fn decode(bytes: &[u8]) -> Option<Vec<(u8, OsString)>> {
    let bytes = bytes.strip_suffix(&[0, letters::END, 0])?;
    bytes
        .split(|byte| *byte == 0)
        .map(|part| Some((*part.first()?, OsStr::from_bytes(part.get(1..)?).to_owned())))
        .collect()
}

/// Gives the orders and hears what did not work; nothing when the program runs.
fn converse(own: &mut UnixStream, orders: &[u8], deadline: &Deadline) -> io::Result<Vec<u8>> {
    let left = deadline.left_with_reserve().max(std::time::Duration::from_millis(1));
    own.set_read_timeout(Some(left))?;
    own.set_write_timeout(Some(left))?;
    let mut answer = Vec::new();
    match own.write_all(orders).and_then(|()| own.shutdown(Shutdown::Write)) {
        // It ended before it read all, and perhaps said why.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        other => other?,
    }
    own.take(4096).read_to_end(&mut answer)?;
    Ok(answer)
}

/// What the launcher says: the number of an exit code and a reason.
fn refused(name: &str, answer: &[u8]) -> Result<()> {
    let Some((code, reason)) = answer.split_first() else { return Ok(()) };
    let reason = OsString::from_vec(reason.to_vec());
    let text = format!("cannot start {name}: {}", reason.to_string_lossy());
    Err(match code {
        b'2' => Error::Local(text),
        b'4' => Error::NotPermitted(text),
        b'5' => Error::NotInstalled(text),
        _ => Error::Failed(text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_arrive_as_they_were_given() {
        let launch = Launch {
            words: vec!["/bin/x".into(), "".into(), "a b\n".into()],
            environment: vec![("A".into(), "b=c".into())],
            account: Some((1, 2, vec![3, 4])),
            directory: "/".into(),
            umask: Some(0o22),
            limits: vec![("nofile".to_owned(), 1, u64::MAX)],
            input: b"a question\n".to_vec(),
            output: Output::Files("/o".into(), None),
            group: None,
        };
        let parts = decode(&launch.encode()).unwrap();
        let of = |letter: u8| -> Vec<String> {
            let values = parts.iter().filter(|(found, _)| *found == letter);
            values.map(|(_, value)| value.to_str().unwrap().to_owned()).collect()
        };
        assert_eq!(of(letters::WORD), ["/bin/x", "", "a b\n"]);
        assert_eq!(of(letters::VARIABLE), ["A=b=c"]);
        assert_eq!(of(letters::FURTHER), ["3", "4"]);
        assert_eq!(of(letters::UMASK), ["18"]);
        assert_eq!(of(letters::INPUT), ["a question\n"]);
        assert_eq!(of(letters::LIMIT), [format!("nofile 1 {}", u64::MAX)]);
        let whole = launch.encode();
        assert!((0..whole.len()).all(|length| decode(&whole[..length]).is_none()));
        assert_eq!(decode(b""), None);
    }
}
