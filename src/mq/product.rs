//! The product's commands: where they are, whom they run as, and with what around them.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit};

use super::status::State;
use super::{QueueManager, envfile};
use crate::agent::Cx;
use crate::deadline::Deadline;
use crate::error::{Error, Result, one_line};
use crate::host::launch::{Launch, Output};
use crate::service::environment::{Numbers, account, with};
use crate::service::run::{Ran, Running, last_line};

/// Where the product is installed if nobody says otherwise.
const USUAL: &str = "/opt/mqm/bin";

/// What the product wants at least (`mqconfig` looks for it): open files, processes.
const WANTED: [(&str, Resource, u64); 2] =
    [("nofile", Resource::RLIMIT_NOFILE, 10_240), ("nproc", Resource::RLIMIT_NPROC, 4096)];

/// How the product's commands are run.
#[derive(Debug)]
pub(super) struct Product {
    manager: String,
    environment: Vec<(OsString, OsString)>,
    path: OsString,
    /// Whom they run as; none for the caller.
    pub(super) numbers: Option<Numbers>,
    limits: Vec<(String, u64, u64)>,
    hidden: bool,
}

impl Product {
    /// For an action that has to have all that is configured.
    ///
    /// # Errors
    /// The user or the file of variables is not here, or the file needs a shell.
    pub(super) fn strictly(manager: &QueueManager, cx: &Cx<'_>) -> Result<Self> {
        let (product, beyond) = Self::new(manager, cx, envfile::read)?;
        match beyond.first() {
            None => Ok(product),
            Some(line) => Err(Error::Configured { name: "env_file", why: needs_a_shell(*line) }),
        }
    }

    /// For an action that makes do with what there is.
    ///
    /// # Errors
    /// The user is not here.
    pub(super) fn leniently(manager: &QueueManager, cx: &Cx<'_>) -> Result<Self> {
        let read = |path: &Path, base: &HashMap<String, String>| {
            Ok(envfile::read(path, base).unwrap_or_else(|error| {
                cx.log.warn(&format!("{error}; going on without it"));
                envfile::Variables::default()
            }))
        };
        let (product, beyond) = Self::new(manager, cx, read)?;
        if let Some(line) = beyond.first() {
            cx.log.warn(&format!("parameter env_file: {}; passing it over", needs_a_shell(*line)));
        }
        Ok(product)
    }

    fn new(
        manager: &QueueManager,
        cx: &Cx<'_>,
        read: impl Fn(&Path, &HashMap<String, String>) -> Result<envfile::Variables>,
    ) -> Result<(Self, Vec<usize>)> {
        let (login, numbers) = account(&manager.user, None)?;
        let base: HashMap<String, String> =
            login.environment().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let variables = match &manager.environment_file {
            Some(file) => read(file, &base)?,
            None => envfile::Variables::default(),
        };
        let pairs = |pairs: Vec<(String, String)>| -> Vec<(OsString, OsString)> {
            pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
        };
        let mut environment = with(pairs(base.into_iter().collect()), &pairs(variables.set));
        let given = environment.iter().find(|(name, _)| name == "PATH").map(|(_, path)| path);
        let path = search_path(manager.installation.as_deref(), given.map(OsString::as_os_str));
        environment = with(environment, &[("PATH".into(), path.clone())]);
        if let Some((name, value)) = manager.mark(cx)?.split_once('=') {
            environment.push((name.into(), value.into()));
        }
        let product = Self {
            manager: manager.name.clone(),
            environment,
            path,
            limits: limits(manager, numbers.is_some()),
            numbers,
            hidden: cx.environment.is_true("OCF_TESTER_FAIL_HAVE_BINARY"),
        };
        Ok((product, variables.beyond))
    }

    /// Where a command is: on the path, or beside `dspmq`, of which a link may be on the path.
    pub(super) fn find(&self, name: &str) -> Option<PathBuf> {
        if self.hidden {
            return None;
        }
        let in_path = |name: &str| {
            let places = std::env::split_paths(&self.path);
            places.map(|directory| directory.join(name)).find(|path| is_program(path))
        };
        in_path(name).or_else(|| {
            let beside = in_path("dspmq")?.canonicalize().ok()?.with_file_name(name);
            is_program(&beside).then_some(beside)
        })
    }

    /// Looks whether a command is here.
    ///
    /// # Errors
    /// It is not.
    pub(super) fn require(&self, name: &str) -> Result<()> {
        self.find(name).map(drop).ok_or_else(|| missing(name))
    }

    /// Starts a command of the product.
    ///
    /// # Errors
    /// It is not here or could not be started.
    pub(super) fn begin(
        &self,
        name: &str,
        arguments: &[&OsStr],
        input: &[u8],
        deadline: &Deadline,
    ) -> Result<Running> {
        let program = self.find(name).ok_or_else(|| missing(name))?.into_os_string();
        let arguments = arguments.iter().map(|argument| (*argument).to_owned());
        self.begin_program(std::iter::once(program).chain(arguments).collect(), input, deadline)
    }

    /// Runs a command of the product to its end, or until time is over.
    ///
    /// # Errors
    /// It is not here or could not be started.
    pub(super) fn run(
        &self,
        name: &str,
        arguments: &[&OsStr],
        input: &[u8],
        deadline: &Deadline,
    ) -> Result<Ran> {
        self.begin(name, arguments, input, deadline)?.finish(deadline)
    }

    /// Starts any program in the same way.
    ///
    /// # Errors
    /// It could not be started.
    pub(super) fn begin_program(
        &self,
        words: Vec<OsString>,
        input: &[u8],
        deadline: &Deadline,
    ) -> Result<Running> {
        let launch = Launch {
            words,
            environment: self.environment.clone(),
            account: self.numbers.clone(),
            // Not the user's home: what runs for months must not hold a file system.
            directory: "/".into(),
            umask: None,
            limits: self.limits.clone(),
            input: input.to_vec(),
            output: Output::Files("/dev/null".into(), None),
            group: None,
        };
        // An exec from a file system that does not answer must not take the time of all that comes after it.
        Running::begin(launch, &Deadline::after(deadline.left()))
    }

    /// What the product says of the queue manager's state.
    ///
    /// # Errors
    /// It says nothing in time.
    pub(super) fn state(&self, deadline: &Deadline) -> Result<State> {
        let within = deadline.at_most(deadline.left() / 2);
        let begin = std::time::Instant::now();
        let words: [&OsStr; 3] = ["-n".as_ref(), "-m".as_ref(), self.manager.as_ref()];
        let ran = self.run("dspmq", &words, b"", &within)?;
        if ran.end.is_none() {
            return Err(silent("dspmq", &self.manager, begin.elapsed()));
        }
        let output = String::from_utf8_lossy(&ran.output);
        Ok(State::of(&output, &self.manager, &how(&ran)))
    }
}

/// The error of a command that did not end in time.
pub(super) fn silent(what: &str, manager: &str, waited: Duration) -> Error {
    Error::Failed(format!(
        "{what} of queue manager {manager} did not answer for {:.1} s",
        waited.as_secs_f64()
    ))
}

/// How a command ended and what it said: the last of the product's numbered messages, or else the last line.
pub(super) fn how(ran: &Ran) -> String {
    let end = ran.end.map_or("no end".to_owned(), |end| end.to_string());
    let text = String::from_utf8_lossy(&ran.output);
    let message = text.lines().map(str::trim).rfind(|line| line.starts_with("AMQ"));
    match message.map(|line| one_line(line, 70)).or_else(|| last_line(&ran.output)) {
        Some(line) => format!("{end}: {line}"),
        None => end,
    }
}

pub(super) fn missing(name: &str) -> Error {
    Error::NotInstalled(format!(
        "the command {name} of IBM MQ is not here; install it or mount its file system, or say where it is by \
         mq_installation_path"
    ))
}

fn needs_a_shell(line: usize) -> String {
    format!(
        "line {line} needs a shell, and none reads it; write NAME=value lines, and set mq_installation_path instead of \
         calling setmqenv"
    )
}

fn search_path(installation: Option<&Path>, given: Option<&OsStr>) -> OsString {
    let mut path = OsString::new();
    let parts =
        [installation.map(|path| path.join("bin").into_os_string()), given.map(OsStr::to_owned)];
    for part in parts.into_iter().flatten().chain([USUAL.into()]).filter(|part| !part.is_empty()) {
        path.push(if path.is_empty() { "" } else { ":" });
        path.push(part);
    }
    path
}

fn is_program(path: &Path) -> bool {
    std::fs::metadata(path)
        .is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}

/// The limits that were given; else at least what the product wants, as far as we may. A cluster manager's service has
/// lower ones than a login.
fn limits(manager: &QueueManager, may_raise: bool) -> Vec<(String, u64, u64)> {
    if !manager.limits.is_empty() {
        return manager.limits.clone();
    }
    let mut limits = Vec::new();
    for (name, resource, wanted) in WANTED {
        let Ok((soft, hard)) = getrlimit(resource) else { continue };
        let raised = if may_raise { hard.max(wanted) } else { hard };
        if soft < wanted {
            limits.push((name.to_owned(), wanted.min(raised), raised));
        }
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_installation_is_looked_at_first_and_the_usual_place_last() {
        let given = Some(OsStr::new("/usr/bin:/bin"));
        let cases = [
            (Some(Path::new("/opt/mq9")), given, "/opt/mq9/bin:/usr/bin:/bin:/opt/mqm/bin"),
            (None, given, "/usr/bin:/bin:/opt/mqm/bin"),
            (None, None, "/opt/mqm/bin"),
        ];
        for (installation, given, expected) in cases {
            assert_eq!(search_path(installation, given), expected);
        }
    }
}
