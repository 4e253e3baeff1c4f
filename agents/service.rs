//! `service`: any daemon.

#![forbid(unsafe_code)]

use std::path::PathBuf;

use crate::action::Action;
use crate::agent::{Agent, Cx, Status};
use crate::choice;
use crate::error::{Error, Result};
use crate::param::values::{
    AbsolutePath, AccountName, Directory, Limits, Script, Seconds, SignalName, Umask, UnitName,
    Variables, Words,
};
use crate::params;
use crate::probe::{Url, Urls};
use crate::service::{self, Check, Command, Kind, PidFile, Place, Readiness, Service, Unit};
use crate::spec::{ActionSpec, AgentSpec, Haresources};

choice! {
    /// How a command says that it is up.
    pub enum Ready {
        /// By staying alive.
        Alive = "alive",
        /// By answering all probes.
        Answer = "answer",
        /// By `sd_notify(3)`.
        Notify = "notify",
    }
}

params! {
    pub struct Params {
        /// systemd unit
        ///
        /// A service, or a socket, mount, timer or path, by its name: `nginx`, `postgresql@15-main.service`. Give exactly
        /// one of this, `script` and `command`. systemd starts and stops it; while the cluster runs it, a drop-in file
        /// below `/run/systemd/system` sets `Restart=no`, so that the cluster hears of a crash, and has systemd stop the
        /// unit after the cluster manager when the node goes down. The unit should not be enabled at boot.
        unit: Option<UnitName> { unique_group: Some("unit") },

        /// Init script
        ///
        /// An LSB init script: its name in `/etc/init.d`, or an absolute path. Give exactly one of this, `unit` and
        /// `command`. Start and stop run it with those words; its status is believed only as far as its processes agree.
        /// Where systemd made a unit of it, or where it hands itself over to a unit of its name, that unit is the resource.
        script: Option<Script> { unique_group: Some("script") },

        /// Program with its arguments
        ///
        /// A program that keeps running, in the foreground or as a daemon, and its arguments. Split into words as a
        /// shell does, with quotes and backslashes understood; but no shell reads them and nothing is expanded. Give
        /// exactly one of this, `unit` and `script`.
        command: Option<Words>,

        /// User of a command
        ///
        /// Whom the command runs as, with the user's groups and `HOME`, `USER`, `LOGNAME`, `SHELL` and `PATH` as a
        /// login sets them. No profile is read and no shell is run.
        user: AccountName = "root",

        /// Group of a command
        ///
        /// The group that it runs with and that its files get. Without it, the user's.
        group: Option<AccountName>,

        /// Environment of a command or an init script
        ///
        /// Variables besides those that a login sets: words such as `LANG=C.UTF-8 "JAVA_OPTS=-Xmx1g -Xms1g"`.
        environment: Option<Variables>,

        /// Directory that a command runs in
        ///
        /// An absolute path.
        workdir: Directory = "/",

        /// File mode creation mask of a command
        ///
        /// Octal digits: 0027 makes files that only the user writes and the group reads.
        umask: Umask = "0022",

        /// Limits of a command
        ///
        /// Words such as `nofile=65536 core=unlimited memlock=65536:unlimited`, by the names of `limits.conf`; soft and
        /// hard limit are separated by a colon where they differ, and sizes are in bytes.
        limits: Option<Limits>,

        /// File for a command's output
        ///
        /// What it writes is appended to it, errors included unless `errlogfile` is set. The user must be able to write
        /// it. If the command dies at once, its last line is in the reason of the failed start.
        logfile: AbsolutePath = "/dev/null",

        /// File for a command's errors
        ///
        /// What it writes to standard error is appended to it.
        errlogfile: Option<AbsolutePath>,

        /// PID file of the service
        ///
        /// The file in which the service writes the number of its main process. Start waits for it if it is a command's,
        /// and believes it only if it names a process of the service. A script may name it by itself, in a line
        /// `# pidfile: /run/x.pid`.
        pidfile: Option<AbsolutePath>,

        /// How a command says that it is up
        ///
        /// `alive`: it stays alive for `settle` seconds. `answer`: it answers what `check` asks. `notify`: it sends READY=1 to the socket that the variable
        /// `NOTIFY_SOCKET` names, as services of systemd's type notify do.
        ready: Ready = "alive",

        /// Seconds that a command or a unit has to stay alive
        ///
        /// One that ends earlier has failed to start, and each start lasts at least so long. With `ready=answer` or
        /// `ready=notify` nothing is waited for but that, unless `check` is answered before the command is started:
        /// then its answers come from somebody else. A unit is watched for so long if systemd calls it active before it
        /// can say so itself, as with the types simple, exec, idle and forking.
        settle: Seconds = "1",

        /// Signal that asks a command to end
        ///
        /// Sent to the main process first, and to what is left when that is gone; also to what an init script leaves. A
        /// unit has systemd's `KillSignal=`.
        stop_signal: SignalName = "TERM",

        /// Seconds to end by itself
        ///
        /// How long the service may take before all that is left of it is killed. Without it, two thirds of the time that
        /// stop has.
        stop_timeout: Option<Seconds>,

        /// What the service has to answer
        ///
        /// URLs, separated by blanks, each asked in its own protocol, such as `http://127.0.0.1:8080/health`,
        /// `postgresql://127.0.0.1`, `unix:///run/app.sock`, `amqp://127.0.0.1` or `exec:///usr/bin/app-check?--quick`.
        /// Options for a probe stand behind a `#`: `https://127.0.0.1/#match=ok&timeout=2s&ca=/etc/ssl/own.pem`.
        /// `ocfbox probe --list` explains all of them, and `ocfbox probe URL` tries one. Start waits until all are
        /// answered. Every monitor asks, but for `exec`, which is asked at level 10 and above; a recurring one asks
        /// twice before it says that something failed.
        check: Option<Urls>,

        /// Program that says whether the service works
        ///
        /// A program with its arguments, split into words as `command` is, and run as root by monitors of level 20.
        /// Monitor fails if its exit code is not 0 or if it does not end in time.
        check_command: Option<Words>,

        /// Seconds after which a process in the kernel counts as hung
        ///
        /// Monitor fails if the main process sleeps uninterruptibly, as for a disk or a server that does not answer, and
        /// has not run for so long.
        hung_after: Seconds = "60",
    }
}

pub struct AnyService(Params);

impl From<Params> for AnyService {
    fn from(params: Params) -> Self {
        Self(params)
    }
}

impl AnyService {
    /// What is run, if exactly one thing is.
    fn kind(&self) -> Option<Kind> {
        let command = self.0.command.as_ref().filter(|words| !words.as_slice().is_empty());
        match (&self.0.unit, &self.0.script, command) {
            (Some(unit), None, None) => Some(Kind::Unit(Unit {
                name: unit.as_str().to_owned(),
                settle: self.0.settle.get(),
            })),
            (None, Some(script), None) => Some(Kind::Script(service::Script {
                path: script.as_path().to_owned(),
                environment: self.environment(),
            })),
            (None, None, Some(words)) => Some(Kind::Command(Box::new(self.command(words)))),
            _ => None,
        }
    }

    fn command(&self, words: &Words) -> Command {
        let params = &self.0;
        Command {
            words: words.as_slice().to_vec(),
            user: params.user.as_str().to_owned(),
            group: params.group.as_ref().map(|group| group.as_str().to_owned()),
            environment: self.environment(),
            directory: Place::At(params.workdir.as_path().to_owned()),
            umask: Some(params.umask.bits()),
            limits: params
                .limits
                .as_ref()
                .map_or_else(Vec::new, |limits| limits.as_slice().to_vec()),
            output: params.logfile.as_path().to_owned(),
            errors: path(params.errlogfile.as_ref()),
            readiness: match params.ready {
                Ready::Alive => Readiness::Alive,
                Ready::Answer => Readiness::Answer,
                Ready::Notify => Readiness::Notify,
            },
            settle: params.settle.get(),
            adopt: true,
            configured: None,
        }
    }

    fn environment(&self) -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
        self.0.environment.as_ref().map_or_else(Vec::new, |variables| variables.as_slice().to_vec())
    }

    /// Whoever can answer in the service's place is to be known to whoever configured that.
    fn advise(&self, cx: &Cx<'_>) {
        let urls = self.0.check.iter().flat_map(Urls::as_slice);
        for url in urls.filter(|url| Url::is_insecure(url)) {
            cx.log.warn(&format!(
                "{url} has insecure=1: whoever answers there is believed; pin the certificate with fingerprint="
            ));
        }
    }

    fn service(&self) -> Service {
        let params = &self.0;
        let check = params.check_command.as_ref().filter(|words| !words.as_slice().is_empty());
        Service {
            agent: Self::SPEC.name,
            kind: self.kind(),
            pidfile: path(params.pidfile.as_ref()).map(|path| PidFile { path, written: false }),
            stop_signal: params.stop_signal.get(),
            gently: None,
            stop_timeout: params.stop_timeout.map(Seconds::get),
            probes: params.check.as_ref().map_or_else(Vec::new, |urls| urls.as_slice().to_vec()),
            check: check.map(|words| Check {
                words: words.as_slice().to_vec(),
                level: 20,
                parameter: "check_command",
            }),
            hung_after: params.hung_after.get(),
        }
    }
}

fn path(given: Option<&AbsolutePath>) -> Option<PathBuf> {
    given.map(|path| path.as_path().to_owned())
}

impl Agent for AnyService {
    type Params = Params;

    const SPEC: AgentSpec = AgentSpec {
        name: "service",
        short: "Any daemon: a systemd unit, an init script or a command",
        long: "Starts a daemon, waits until it is up, watches its processes and ends all of them.\n\n\
               Monitor looks at the main process: one that is stopped, hangs in the kernel or executes another program \
               has failed, and so has one that is dead while its parts live. At level 10 an init script's status has to \
               agree; at level 20 `check_command` is run. Of a unit systemd is asked as well, and its control group has to \
               be empty before it counts as stopped. With `check`, every monitor asks the service itself, so that \
               one that accepts connections and does not answer has failed. A daemon that already runs is taken over if it is provably \
               the one that is configured: the same program with the same arguments as the same user.\n\n\
               Stop asks the service to end, and kills all that is left of it when time is over. It succeeds only when \
               no process is left.",
        actions: &[
            ActionSpec::new(Action::Start, 60),
            ActionSpec::new(Action::Stop, 60),
            ActionSpec::new(Action::Monitor, 20).every(10).depth(0),
            ActionSpec::new(Action::Monitor, 30).every(60).depth(10),
            ActionSpec::new(Action::Monitor, 30).every(120).depth(20),
            ActionSpec::new(Action::ValidateAll, 10),
            ActionSpec::new(Action::MetaData, 5),
        ],
        haresources: Some(Haresources {
            arguments: &["script|unit.service"],
            required: 1,
            fixed: &[],
        }),
    };

    fn monitor(&self, cx: &Cx<'_>) -> Result<Status> {
        self.service().monitor(cx)
    }

    fn start(&self, cx: &Cx<'_>) -> Result<()> {
        self.advise(cx);
        self.service().start(cx)
    }

    fn stop(&self, cx: &Cx<'_>) -> Result<()> {
        self.service().stop(cx)
    }

    fn check(&self, _: &Cx<'_>) -> Result<()> {
        if self.0.ready == Ready::Answer && self.0.check.is_none() {
            let why =
                "is answer, and check is not given; name in check what has to answer".to_owned();
            return Err(Error::Configured { name: "ready", why });
        }
        if self.kind().is_some() {
            return Ok(());
        }
        let (unit, script) = (self.0.unit.is_some(), self.0.script.is_some());
        let (name, why) = match (unit, script, self.0.command.is_some()) {
            (true, true, _) => ("unit", "is given together with script; give one of them"),
            (true, _, true) => ("unit", "is given together with command; give one of them"),
            (_, true, true) => ("command", "is given together with script; give one of them"),
            (false, false, true) => ("command", "has no words; name a program"),
            _ => ("unit", "is not given, and neither are script and command; give one of them"),
        };
        Err(Error::Configured { name, why: why.to_owned() })
    }

    fn validate(&self, cx: &Cx<'_>) -> Result<()> {
        self.advise(cx);
        self.service().validate(cx)
    }
}
