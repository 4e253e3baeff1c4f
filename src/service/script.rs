//! LSB init scripts: asked, and not believed (Linux Standard Base 5.0, "Init Script Actions").

#![forbid(unsafe_code)]

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::family::{may_be_member, protected};
use super::record::Record;
use super::run::{Ran, run};
use super::{Script, Service, adopt, environment, listed, monitor, patience, pidfile};
use crate::agent::{Cx, Status};
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::host::process::{Identity, Process};
use crate::host::reaper::Reaper;
use crate::host::survey;

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(100);

/// What a script says of its service.
#[derive(Debug)]
enum Said {
    Runs,
    /// Dead or stopped: 1, 2, 3.
    Stopped(String),
    /// Anything else.
    Nothing(String),
}

impl Script {
    /// Looks whether it is here and can be executed.
    pub(super) fn validate(&self) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let about = std::fs::metadata(&self.path);
        if about.is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0) {
            return Ok(());
        }
        Err(Error::NotInstalled(format!(
            "there is no init script {} that can be executed; install the service's package",
            self.path.display()
        )))
    }

    fn run(
        &self,
        service: &Service,
        action: &str,
        record: Option<&Record>,
        deadline: &Deadline,
        cx: &Cx<'_>,
    ) -> Result<Ran> {
        let words = vec![self.path.clone().into_os_string(), action.into()];
        // Only what start runs is of the service.
        let mark = service.mark(cx)? + if action == "start" { "" } else { "/script" };
        let variables = environment::with(environment::plain(&mark), &self.environment);
        let group = record.and_then(|record| record.group.clone()).filter(|_| action == "start");
        run(words, variables, group, deadline)
    }

    fn status(&self, service: &Service, cx: &Cx<'_>) -> Result<Said> {
        let ran = self.run(service, "status", None, &cx.deadline, cx)?;
        if ran.end.is_none() {
            return Err(cx.deadline.missed(&format!("{} status", self.path.display())));
        }
        Ok(match [0, 1, 2, 3].into_iter().find(|code| ran.ended_with(*code)) {
            Some(0) => Said::Runs,
            Some(_) => Said::Stopped(ran.how()),
            None => Said::Nothing(ran.how()),
        })
    }

    /// Starts it and waits until it says that it runs.
    pub(super) fn start(
        &self,
        service: &Service,
        record: &mut Record,
        reaper: &Reaper,
        cx: &Cx<'_>,
    ) -> Result<Option<Identity>> {
        self.validate()?;
        let shown = self.path.display();
        let ran = self.run(service, "start", Some(record), &cx.deadline, cx)?;
        record.session = Some(ran.session);
        if ran.end.is_none() {
            return Err(cx.deadline.missed(&format!("{shown} start")));
        }
        loop {
            let _ = reaper.reap();
            let members = service.members(cx, Some(record))?;
            let asked = Instant::now();
            let said = self.status(service, cx)?;
            let lasted = asked.elapsed();
            let why = match said {
                Said::Runs => {
                    if !ran.ended_with(0) {
                        cx.log
                            .warn(&format!("{shown} start ended with {}, but it runs", ran.how()));
                    }
                    let main = self.main(service, cx)?;
                    let main = main.as_ref().or_else(|| monitor::main_of(&members.found));
                    return Ok(main.map(|process| process.identity));
                }
                Said::Stopped(how) | Said::Nothing(how) => how,
            };
            if !ran.ended_with(0) && members.found.is_empty() {
                return Err(Error::Failed(format!("{shown} start ended with {}", ran.how())));
            }
            // There must be time for another answer.
            if cx.deadline.left() < PAUSE + lasted * 3 {
                let lives = if members.found.is_empty() {
                    "no process of it lives".to_owned()
                } else {
                    format!("{} lives", listed(&members.found))
                };
                return Err(Error::Failed(format!(
                    "{shown} status says {why} after its start; {lives}"
                )));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Has it stop by itself. What it leaves is ended afterwards, so that only a service whose processes nobody knows
    /// can be left.
    pub(super) fn stop(
        &self,
        service: &Service,
        record: Option<&Record>,
        until: Instant,
        cx: &Cx<'_>,
    ) -> Result<()> {
        if let Err(error) = self.validate() {
            cx.log.warn(&format!("{error}; ending its processes without it"));
            return Ok(());
        }
        let within = cx.deadline.at_most(until.saturating_duration_since(Instant::now()));
        let ran = self.run(service, "stop", None, &within, cx)?;
        if !ran.ended_with(0) {
            cx.log.warn(&format!("{} stop ended with {}", self.path.display(), ran.how()));
        }
        let known = record.is_some_and(|record| record.main.is_some());
        let members = service.members(cx, record)?;
        if known || !members.found.is_empty() || self.main(service, cx)?.is_some() {
            return Ok(());
        }
        match self.status(service, cx)? {
            Said::Runs => Err(Error::Failed(format!(
                "{} status says that it runs after its stop, and none of its processes is known; end it by hand",
                self.path.display()
            ))),
            _ => Ok(()),
        }
    }

    /// Asks the script about a service that has processes.
    pub(super) fn confirm(&self, service: &Service, cx: &Cx<'_>) -> Result<()> {
        match self.status(service, cx)? {
            Said::Runs => Ok(()),
            Said::Stopped(how) | Said::Nothing(how) => Err(Error::Failed(format!(
                "{} status says {how}, although processes of it live",
                self.path.display()
            ))),
        }
    }

    /// Asks the script about a service of which no process is known.
    pub(super) fn second_opinion(
        &self,
        service: &Service,
        record: Option<&Record>,
        cx: &Cx<'_>,
    ) -> Result<Status> {
        if self.validate().is_err() {
            return Ok(Status::NotRunning);
        }
        let known = record.and_then(|record| record.main);
        match (self.status(service, cx)?, known) {
            (Said::Stopped(_), _) => Ok(Status::NotRunning),
            // Its processes are not to be told from others, as where systemd runs what the script asks for.
            (Said::Runs, None) => Ok(Status::Running),
            // Many a script takes a zombie for alive, as `kill -0` does.
            (Said::Runs, Some(main)) if self.is_fooled_by(main, service)? => Ok(Status::NotRunning),
            (Said::Runs, Some(main)) => Err(Error::Failed(format!(
                "{} status says that it runs, but its process {} is dead",
                self.path.display(),
                main.pid
            ))),
            (Said::Nothing(how), _) => Err(Error::Failed(format!(
                "{} status says {how}, and no process of it is known",
                self.path.display()
            ))),
        }
    }

    /// Whether its PID file names a process that ended, of which nobody took notice yet.
    fn is_fooled_by(&self, main: Identity, service: &Service) -> Result<bool> {
        let text = std::fs::read(&self.path).unwrap_or_default();
        let named = pidfile_of(service, &text).and_then(|path| pidfile::number_in(&path));
        Ok(named == Some(main.pid) && Process::find(main)?.is_some_and(|process| process.is_dead()))
    }

    /// The process that its PID file names, if the script itself knows the program that runs there.
    ///
    /// # Errors
    /// The process does not say what it is.
    pub(super) fn main(&self, service: &Service, cx: &Cx<'_>) -> Result<Option<Process>> {
        let Ok(text) = std::fs::read(&self.path) else { return Ok(None) };
        let named = pidfile_of(service, &text).and_then(|path| pidfile::named(&path));
        let protected = protected()?;
        let Some(named) = named.filter(|process| may_be_member(process, &protected)) else {
            return Ok(None);
        };
        let asked = named.clone();
        let survey = survey::ask(vec![named.identity.pid], patience(cx), move |_| {
            let words = asked.words();
            let called = words.iter().take(2).map(PathBuf::from).chain(asked.executable());
            let mut known = called
                .filter_map(|path| path.file_name().map(|name| name.as_bytes().to_vec()))
                .filter(|name| name.len() > 2);
            let is_it = asked.is_in_our_namespace() && known.any(|name| contains(&text, &name));
            let still = Process::find(asked.identity).ok()?;
            still.filter(|_| is_it)
        });
        if !survey.silent.is_empty() {
            return Err(adopt::unknown(&[named]));
        }
        Ok(survey.answers.into_iter().map(|(_, process)| process).next())
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Where the PID file is, by the parameter or by the script itself.
fn pidfile_of(service: &Service, text: &[u8]) -> Option<PathBuf> {
    let declared = service.pidfile.as_ref().map(|file| file.path.clone());
    declared.or_else(|| declared_pidfile(text))
}

/// The comment `# pidfile: /run/x.pid`, as `chkconfig(8)` has it, or the assignment `PIDFILE=/run/x.pid` of Debian's
/// skeleton, if the path is written out.
fn declared_pidfile(text: &[u8]) -> Option<PathBuf> {
    let text = String::from_utf8_lossy(text);
    text.lines().find_map(|line| {
        let comment =
            line.strip_prefix('#').and_then(|rest| rest.trim_start().strip_prefix("pidfile:"));
        let path =
            comment.or_else(|| line.strip_prefix("PIDFILE="))?.trim().trim_matches(['"', '\'']);
        (Path::new(path).is_absolute() && !path.contains(['$', ' '])).then(|| PathBuf::from(path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_says_where_its_pid_file_is() {
        let cases = [
            ("#!/bin/sh\n# pidfile: /run/a.pid\n", Some("/run/a.pid")),
            ("PIDFILE=/run/b.pid\n", Some("/run/b.pid")),
            ("PIDFILE=\"/run/c.pid\"", Some("/run/c.pid")),
            ("PIDFILE=/run/$NAME.pid\n", None),
            ("PIDFILE=x.pid\n", None),
        ];
        for (text, expected) in cases {
            assert_eq!(declared_pidfile(text.as_bytes()), expected.map(PathBuf::from), "{text}");
        }
    }
}
