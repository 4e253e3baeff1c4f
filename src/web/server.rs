//! A web server as a service: how it is asked, started, watched and ended.

#![forbid(unsafe_code)]

use std::collections::hash_map::DefaultHasher;
use std::ffi::OsString;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::ask::ask;
use super::nginx::{self, Built};
use super::variables::Variables;
use super::{Site, httpd, learned, make_volatile, trouble};
use crate::agent::{Cx, Status};
use crate::error::{Doing, Error, Result};
use crate::probe::Url;
use crate::service::{
    Command, Configured, Gently, Kind, PidFile, Place, Readiness, STOP_SIGNAL, Service,
};
use crate::state::StateFile;

/// A web server and how it is to be.
#[derive(Clone, Debug)]
pub struct Server {
    /// The agent whose resource it is.
    pub agent: &'static str,
    /// Which server it is.
    pub make: Make,
    /// Its program.
    pub program: PathBuf,
    /// The main file of its configuration; without it, the one that the program takes.
    pub file: Option<PathBuf>,
    /// Options before that of the file.
    pub options: Vec<String>,
    /// How long it may take to end gracefully; without it, half of the action's time.
    pub graceful: Option<Duration>,
    /// The program that monitors of level 30 run.
    pub check: Option<crate::service::Check>,
}

/// Which server it is.
#[derive(Clone, Debug)]
pub enum Make {
    /// Apache, with the variables of its files.
    Httpd(Variables),
    /// nginx.
    Nginx,
}

/// What a monitor asks, as the configuration has it.
pub type Probes<'a> = &'a dyn Fn(&Site) -> Result<Vec<Url>>;

impl Server {
    /// Whether it works; see [`crate::agent::Agent::monitor`].
    ///
    /// # Errors
    /// It does not, although something of it is there.
    pub fn monitor(&self, cx: &Cx<'_>, probes: Probes<'_>) -> Result<Status> {
        self.judged(cx, probes).0
    }

    /// Whether it works, and by which configuration: a file that was changed may not have been read by the server yet, and
    /// one that it was started with may have been changed and read since.
    fn judged(&self, cx: &Cx<'_>, probes: Probes<'_>) -> (Result<Status>, Site) {
        let now = self.site(cx);
        let status = self.judged_by(&now, cx, probes);
        if status.is_ok() {
            return (status, now);
        }
        let differs = |site: &Site| site.listens != now.listens || site.status != now.status;
        let before = learned::load_outdated(&self.memory(cx), &self.question()).filter(differs);
        match before.map(|before| (self.judged_by(&before, cx, probes), before)) {
            Some((Ok(status), before)) => (Ok(status), before),
            _ => (status, now),
        }
    }

    fn judged_by(&self, site: &Site, cx: &Cx<'_>, probes: Probes<'_>) -> Result<Status> {
        let (probes, wrong) = match probes(site) {
            Ok(probes) => (probes, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        let status = self.service(cx, site, probes).monitor(cx)?;
        match wrong {
            // Not for a stopped one: nothing was asked of it.
            Some(error) if status == Status::Running => Err(Error::Failed(error.to_string())),
            _ => Ok(status),
        }
    }

    /// Starts it and waits until it answers.
    ///
    /// # Errors
    /// It does not; nothing of it is left.
    pub fn start(&self, cx: &Cx<'_>, probes: Probes<'_>) -> Result<()> {
        if let (Ok(Status::Running), site) = self.judged(&Cx { level: 0, ..cx.clone() }, probes) {
            return self.service(cx, &site, probes(&site)?).start(cx);
        }
        let site = self.tested(cx)?;
        let probes = probes(&site)?;
        learned::save(&self.memory(cx), &self.question(), &site);
        let _ = self.output(cx).remove();
        let logged = trouble::length(&site);
        self.service(cx, &site, probes).start(cx).map_err(|error| {
            let error = trouble::explained(error, &site, logged, self.output(cx).path());
            self.forget(cx);
            error
        })
    }

    /// Ends it with all its processes.
    ///
    /// # Errors
    /// Something of it is left.
    pub fn stop(&self, cx: &Cx<'_>) -> Result<()> {
        let site = self.site(cx);
        self.service(cx, &site, Vec::new()).stop(cx)?;
        self.forget(cx);
        Ok(())
    }

    /// Has it read its configuration again; whether it runs.
    ///
    /// # Errors
    /// The configuration is wrong, or nobody can tell.
    pub fn reload(&self, cx: &Cx<'_>) -> Result<bool> {
        let site = self.site(cx);
        let told = self.service(cx, &site, Vec::new());
        if told.monitor(cx).is_ok_and(|status| status == Status::NotRunning) {
            return Ok(false);
        }
        let site = self.tested(cx)?;
        let runs = told.tell(Signal::SIGHUP, cx)?;
        if runs {
            learned::save(&self.memory(cx), &self.question(), &site);
        }
        Ok(runs)
    }

    /// Looks whether it could be started here.
    ///
    /// # Errors
    /// It could not.
    pub fn validate(&self, cx: &Cx<'_>) -> Result<()> {
        self.tested(cx).map(drop)
    }

    /// What its configuration says: as it was learned when it was started, or from its files.
    #[must_use]
    pub fn site(&self, cx: &Cx<'_>) -> Site {
        if let Some(site) = learned::load(&self.memory(cx), &self.question()) {
            return site;
        }
        match &self.make {
            Make::Httpd(variables) => {
                let Some(file) = &self.file else { return Site::default() };
                let mut call = httpd::Call::of(&self.options);
                call.root = call.root.or_else(|| file.parent().map(Path::to_owned));
                let site = httpd::read(file, &call, variables);
                Self::with_variables(site, variables)
            }
            Make::Nginx => {
                // A recurring monitor executes nothing; without memory it does with what is usual.
                let recurring = cx.interval_ms > 0;
                let built =
                    if recurring { usual() } else { self.built(cx).unwrap_or_else(|_| usual()) };
                let file = self.file.clone().or_else(|| built.conf.clone());
                let read = |file: PathBuf| nginx::read(&file, &built, None);
                Site { default_file: built.conf.clone(), ..file.map(read).unwrap_or_default() }
            }
        }
    }

    /// What the server itself says of its configuration, which it has to find right.
    fn tested(&self, cx: &Cx<'_>) -> Result<Site> {
        super::program([self.program.as_path()]).ok_or_else(|| {
            Error::NotInstalled(format!(
                "there is no program {}; install the web server, or set httpd",
                self.program.display()
            ))
        })?;
        match &self.make {
            Make::Httpd(variables) => self.tested_httpd(variables, cx),
            Make::Nginx => self.tested_nginx(cx),
        }
    }

    fn tested_httpd(&self, variables: &Variables, cx: &Cx<'_>) -> Result<Site> {
        let file = Self::present(self.file.clone())?;
        for text in &variables.passed_over {
            cx.log.warn(&format!("no shell reads the files of variables; passed over: {text}"));
        }
        let site = self.site(cx);
        Self::make_directories(&site, variables)?;
        let words = ["-t", "-DDUMP_RUN_CFG", "-DDUMP_INCLUDES"].map(str::to_owned);
        let words = [words.to_vec(), self.words(cx, &site)].concat();
        let told = httpd::told(&ask(&self.program, &words, &self.environment(), &cx.deadline)?);
        let call = httpd::Call::of(&self.options);
        let call = httpd::Call { root: call.root.or(told.root), files: told.files, ..call };
        let mut read = Self::with_variables(httpd::read(&file, &call, variables), variables);
        // Whether the file names one decides about the command line; where it is the server knows best.
        read.pidfile = read.pidfile.map(|path| told.pidfile.unwrap_or(path));
        read.error_log = read.error_log.or(told.error_log.filter(|path| path.is_file()));
        Self::explain(&read, cx);
        Ok(read)
    }

    fn tested_nginx(&self, cx: &Cx<'_>) -> Result<Site> {
        let built = self.built(cx)?;
        let file = Self::present(self.file.clone().or_else(|| built.conf.clone()))?;
        let site = Site { default_file: built.conf.clone(), ..Site::default() };
        let words = [vec!["-T".to_owned()], self.words(cx, &site)].concat();
        let said = ask(&self.program, &words, &self.environment(), &cx.deadline)?;
        let dumped = nginx::dumped(&said);
        let site = nginx::read(&file, &built, dumped.as_ref());
        Self::explain(&site, cx);
        Ok(Site { default_file: built.conf, ..site })
    }

    fn explain(site: &Site, cx: &Cx<'_>) {
        for text in &site.unread {
            cx.log.info(&format!("a part of the configuration was not read: {text}"));
        }
    }

    fn present(file: Option<PathBuf>) -> Result<PathBuf> {
        match file {
            Some(file) if file.is_file() => Ok(file),
            Some(file) => Err(Error::NotInstalled(format!(
                "there is no configuration file {}; create it, or set configfile",
                file.display()
            ))),
            None => Err(Error::NotInstalled(
                "there is no configuration file in the usual places; set configfile".to_owned(),
            )),
        }
    }

    fn built(&self, cx: &Cx<'_>) -> Result<Built> {
        Ok(Built::of(&ask(&self.program, &["-V".to_owned()], &[], &cx.deadline)?))
    }

    fn with_variables(mut site: Site, variables: &Variables) -> Site {
        site.files.extend(variables.files.iter().cloned());
        site.default_file = super::present(super::HTTPD_FILES);
        site
    }

    /// Directories in /run that a boot empties.
    fn make_directories(site: &Site, variables: &Variables) -> Result<()> {
        let user = variables.get("APACHE_RUN_USER").unwrap_or("root");
        let pidfile = site.pidfile.as_deref().and_then(Path::parent).map(Path::to_owned);
        let named = |name: &str| variables.get(name).map(PathBuf::from);
        let wanted = [
            (pidfile, "root"),
            (named("APACHE_RUN_DIR"), "root"),
            (named("APACHE_LOCK_DIR"), user),
        ];
        for (path, owner) in wanted.into_iter().filter_map(|(path, owner)| Some((path?, owner))) {
            make_volatile(&path, owner)
                .doing(|| format!("make the directory {}", path.display()))?;
        }
        Ok(())
    }

    /// What stands behind the program's name.
    fn words(&self, cx: &Cx<'_>, site: &Site) -> Vec<String> {
        let mut words = self.options.clone();
        let option = self.option();
        if let Some(file) = &self.file {
            words.extend([option.to_owned(), file.display().to_string()]);
        }
        if matches!(self.make, Make::Httpd(_)) && site.pidfile.is_none() {
            words.extend(["-c".to_owned(), format!("PidFile {}", self.own_pidfile(cx).display())]);
        }
        words
    }

    fn option(&self) -> &'static str {
        match self.make {
            Make::Httpd(_) => "-f",
            Make::Nginx => "-c",
        }
    }

    /// For a configuration that names none.
    fn own_pidfile(&self, cx: &Cx<'_>) -> PathBuf {
        let directory =
            cx.environment.get("HA_VARRUN").map_or_else(|| "/run".into(), PathBuf::from);
        let name = self.program.file_name().unwrap_or_default().to_string_lossy();
        let name = name.split('-').next().unwrap_or_default();
        directory.join(format!("{name}-{}.pid", cx.instance.replace('/', "_")))
    }

    fn environment(&self) -> Vec<(OsString, OsString)> {
        match &self.make {
            Make::Httpd(variables) => {
                let given = variables.exported().into_iter();
                given.map(|(name, value)| (name.into(), value.into())).collect()
            }
            Make::Nginx => Vec::new(),
        }
    }

    fn service(&self, cx: &Cx<'_>, site: &Site, probes: Vec<Url>) -> Service {
        let main = self.file.clone().or_else(|| site.files.first().cloned());
        let words = self.words(cx, site);
        let words = std::iter::once(self.program.clone().into_os_string())
            .chain(words.into_iter().map(OsString::from))
            .collect();
        // A server that has a log of its own writes nothing there any more once it is up.
        let output = if site.error_log.is_some() {
            self.output(cx).path().to_owned()
        } else {
            PathBuf::from("/dev/null")
        };
        let (title, signal) = match self.make {
            Make::Httpd(_) => (None, httpd::GRACEFUL_STOP),
            Make::Nginx => (Some("nginx: master process "), nginx::GRACEFUL_STOP),
        };
        let ours = || matches!(self.make, Make::Httpd(_)).then(|| self.own_pidfile(cx));
        let pidfile = site.pidfile.clone().or_else(ours);
        Service {
            agent: self.agent,
            kind: Some(Kind::Command(Box::new(Command {
                words,
                user: "root".to_owned(),
                group: None,
                environment: self.environment(),
                directory: Place::At("/".into()),
                umask: None,
                limits: Vec::new(),
                output,
                errors: None,
                readiness: if probes.is_empty() { Readiness::Alive } else { Readiness::Answer },
                settle: Duration::from_millis(500),
                adopt: true,
                configured: main.map(|file| Configured {
                    option: self.option(),
                    file,
                    default: site.default_file.clone(),
                    title,
                }),
            }))),
            pidfile: pidfile.map(|path| PidFile { path, written: false }),
            stop_signal: STOP_SIGNAL,
            gently: Some(Gently { signal, timeout: self.graceful }),
            stop_timeout: None,
            probes,
            check: self.check.clone(),
            hung_after: Duration::from_mins(1),
        }
    }

    /// What the memory answers.
    fn question(&self) -> String {
        let mut hasher = DefaultHasher::new();
        (&self.program, &self.file, &self.options).hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }

    fn memory(&self, cx: &Cx<'_>) -> StateFile {
        cx.state.file(&format!("{}-{}.learned", self.agent, cx.instance))
    }

    fn output(&self, cx: &Cx<'_>) -> StateFile {
        cx.state.file(&format!("{}-{}.output", self.agent, cx.instance))
    }

    fn forget(&self, cx: &Cx<'_>) {
        let _ = self.memory(cx).remove();
        let _ = self.output(cx).remove();
    }
}

/// As distributions build nginx.
fn usual() -> Built {
    Built {
        conf: super::present(["/etc/nginx/nginx.conf", "/usr/local/nginx/conf/nginx.conf"]),
        ..Built::default()
    }
}
