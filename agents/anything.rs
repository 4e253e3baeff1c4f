//! `anything`: a program that keeps running, with the parameters of the shell agent.

#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::time::Duration;

use crate::action::Action;
use crate::agent::{Agent, Cx, Status};
use crate::error::Result;
use crate::param::values::{AbsolutePath, AccountName, Directory, Program, Seconds, Words};
use crate::params;
use crate::service::{Check, Command, Kind, PidFile, Place, Readiness, STOP_SIGNAL, Service};
use crate::spec::{ActionSpec, AgentSpec};

params! {
    pub struct Params {
        /// Program
        ///
        /// The program, by its absolute path and without arguments. It has to keep running, in the foreground or as a
        /// daemon.
        binfile: Program,

        /// Its arguments
        ///
        /// Split into words as a shell does, with quotes and backslashes understood. No shell reads them: nothing is
        /// expanded, and `;`, `|`, `>` or `$` are plain characters.
        cmdline_options: Option<Words>,

        /// Directory to run in
        ///
        /// Without it, the user's home.
        workdir: Option<Directory>,

        /// PID file
        ///
        /// Where the number of the process is written for others to read; by default `/run/anything_<instance>.pid`
        /// or the same below `HA_VARRUN`. This agent knows its process without the file, so that a lost or foreign one
        /// does no harm. It only serves to take over a program that the shell agent started.
        pidfile: Option<AbsolutePath>,

        /// File for output
        ///
        /// What the program writes is appended to it, errors included unless `errlogfile` is set. The user must be
        /// able to write it.
        logfile: AbsolutePath = "/dev/null",

        /// File for errors
        ///
        /// What the program writes to standard error is appended to it.
        errlogfile: Option<AbsolutePath>,

        /// User
        ///
        /// Whom the program runs as, with the user's groups and `HOME`, `USER`, `LOGNAME`, `SHELL` and `PATH` as a
        /// login sets them. No profile is read and no shell is run, so that it may be a user without one.
        user: AccountName = "root",

        /// Program that monitor runs besides
        ///
        /// A program with its arguments, split into words as `cmdline_options` are, and run as root. Monitor fails if
        /// its exit code is not 0 or if it does not end in time.
        monitor_hook: Option<Words>,

        /// Seconds to end by itself
        ///
        /// How long the program may take after SIGTERM before all that is left of it is killed. Without it, two thirds
        /// of the time that stop has.
        stop_timeout: Option<Seconds>,
    }
}

pub struct Anything(Params);

impl From<Params> for Anything {
    fn from(params: Params) -> Self {
        Self(params)
    }
}

impl Anything {
    fn service(&self, cx: &Cx<'_>) -> Service {
        let params = &self.0;
        let arguments = params.cmdline_options.iter().flat_map(Words::as_slice).cloned();
        let words =
            std::iter::once(params.binfile.as_os_str().to_owned()).chain(arguments).collect();
        let check = params.monitor_hook.as_ref().filter(|words| !words.as_slice().is_empty());
        Service {
            agent: Self::SPEC.name,
            kind: Some(Kind::Command(Box::new(Command {
                words,
                user: params.user.as_str().to_owned(),
                group: None,
                environment: Vec::new(),
                directory: match &params.workdir {
                    Some(directory) => Place::At(directory.as_path().to_owned()),
                    None => Place::Home,
                },
                umask: None,
                limits: Vec::new(),
                output: params.logfile.as_path().to_owned(),
                errors: params.errlogfile.as_ref().map(|path| path.as_path().to_owned()),
                readiness: Readiness::Alive,
                settle: Duration::from_millis(500),
                adopt: false,
                configured: None,
            }))),
            pidfile: Some(PidFile { path: self.pidfile(cx), written: true }),
            stop_signal: STOP_SIGNAL,
            gently: None,
            stop_timeout: params.stop_timeout.map(Seconds::get),
            probes: Vec::new(),
            check: check.map(|words| Check {
                words: words.as_slice().to_vec(),
                level: 0,
                parameter: "monitor_hook",
            }),
            hung_after: Duration::from_mins(1),
        }
    }

    fn pidfile(&self, cx: &Cx<'_>) -> PathBuf {
        let directory =
            cx.environment.get("HA_VARRUN").map_or_else(|| "/run".into(), PathBuf::from);
        let default = || directory.join(format!("anything_{}.pid", cx.instance.replace('/', "_")));
        self.0.pidfile.as_ref().map_or_else(default, |path| path.as_path().to_owned())
    }

    /// A configuration that relied on a shell does something else here, and should hear of it.
    fn advise(&self, cx: &Cx<'_>) {
        let values =
            [("cmdline_options", &self.0.cmdline_options), ("monitor_hook", &self.0.monitor_hook)];
        for (name, words) in values {
            if let Some(character) = words.as_ref().and_then(Words::shell_character) {
                cx.log.warn(&format!(
                    "no shell reads {name}: {character:?} in it is a plain character; to have a shell, make \
                     /bin/sh the program and -c its first argument"
                ));
            }
        }
    }
}

impl Agent for Anything {
    type Params = Params;

    const SPEC: AgentSpec = AgentSpec {
        name: "anything",
        short: "A program that keeps running",
        long: "Starts a program, watches its process and ends it with all that it started.\n\n\
               Monitor fails if the process is stopped, hangs in the kernel for a minute or executes another program, \
               and if it is dead while processes that it started live. A zombie is dead. Stop asks the process to end \
               by SIGTERM, and kills all that is left of it when time is over. Processes are known by number and start \
               time, never by what a PID file says.",
        actions: &[
            ActionSpec::new(Action::Start, 20),
            ActionSpec::new(Action::Stop, 20),
            ActionSpec::new(Action::Monitor, 20).every(10).depth(0),
            ActionSpec::new(Action::ValidateAll, 5),
            ActionSpec::new(Action::MetaData, 5),
        ],
        haresources: None,
    };

    fn monitor(&self, cx: &Cx<'_>) -> Result<Status> {
        self.service(cx).monitor(cx)
    }

    fn start(&self, cx: &Cx<'_>) -> Result<()> {
        self.advise(cx);
        self.service(cx).start(cx)
    }

    fn stop(&self, cx: &Cx<'_>) -> Result<()> {
        self.service(cx).stop(cx)
    }

    fn validate(&self, cx: &Cx<'_>) -> Result<()> {
        self.advise(cx);
        self.service(cx).validate(cx)
    }
}
