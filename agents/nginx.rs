//! `nginx`: the nginx web server.

#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::path::Path;

use crate::action::Action;
use crate::agent::{Agent, Cx, Status};
use crate::error::{Error, Result};
use crate::param::values::{AbsolutePath, Port, Seconds, Text, Words};
use crate::params;
use crate::probe::Url;
use crate::service::Check;
use crate::spec::{ActionSpec, AgentSpec};
use crate::web::page::{Asking, Expected};
use crate::web::server::{Make, Server};
use crate::web::{self, PageTest, Site};

params! {
    pub struct Params {
        /// Configuration file
        ///
        /// The main one, which includes the others. Without it, the one that the program was built for.
        configfile: Option<AbsolutePath> { unique_group: Some("configfile") },

        /// Program
        ///
        /// The server's program. If it is not there, `/usr/sbin/nginx` and `/usr/local/sbin/nginx` are looked for.
        httpd: AbsolutePath = "/usr/sbin/nginx",

        /// Port that is asked
        ///
        /// Of several ports of the server the one that is asked. Without it, the first `listen` of the configuration
        /// decides.
        port: Option<Port>,

        /// Status page
        ///
        /// The page that monitors of level 10 ask for: a URL, or a path of this server. Options of `ocfbox probe` may
        /// stand behind a `#`.
        status10url: Option<Text>,

        /// What has to be in the status page
        ///
        /// An extended regular expression; capitals and small letters are the same.
        status10regex: Text = "Reading: [0-9]+ Writing: [0-9]+ Waiting: [0-9]+",

        /// Program that asks
        ///
        /// Accepted and without effect: the agent asks by itself, and needs neither curl nor wget.
        testclient: Option<Text>,

        /// Page of a deeper test
        ///
        /// Monitors of level 20 ask for this page: a URL, or a path of this server.
        test20url: Option<Text>,

        /// What has to be in that page
        ///
        /// An extended regular expression for `test20url`.
        test20regex: Option<Text>,

        /// File with a deeper test
        ///
        /// It describes tests in place of `test20url`: `test NAME`, lines with `url`, `match`, `user` and `password`, and
        /// `end`.
        test20conffile: Option<AbsolutePath>,

        /// Test in that file
        ///
        /// The name of the test; without it, the first one.
        test20name: Option<Text>,

        /// Program for monitors of level 30
        ///
        /// A program with its arguments, split into words as a shell does, and run as root without a shell. Its exit code
        /// says whether the server works.
        external_monitor30_cmd: Option<Words>,

        /// Further options
        ///
        /// For the program, split into words as a shell does; no shell reads them.
        options: Option<Words>,

        /// Seconds to end gracefully
        ///
        /// How long stop lets requests come to their end before it cuts them off.
        graceful_timeout: Seconds = "3",
    }
}

pub struct Nginx(Params);

impl From<Params> for Nginx {
    fn from(params: Params) -> Self {
        Self(params)
    }
}

/// Where the program may be besides.
const PROGRAMS: [&str; 2] = ["/usr/sbin/nginx", "/usr/local/sbin/nginx"];

impl Nginx {
    fn server(&self) -> Server {
        let params = &self.0;
        let given = params.httpd.as_path();
        let program = web::program(std::iter::once(given).chain(PROGRAMS.iter().map(Path::new)));
        let options = params.options.iter().flat_map(Words::as_slice);
        let command = params.external_monitor30_cmd.as_ref().map(Words::as_slice);
        let command = command.filter(|words| !words.is_empty());
        Server {
            agent: Self::SPEC.name,
            make: Make::Nginx,
            program: program.unwrap_or(given).to_owned(),
            file: params.configfile.as_ref().map(|path| path.as_path().to_owned()),
            options: options.map(|word| word.to_string_lossy().into_owned()).collect(),
            graceful: Some(params.graceful_timeout.get()),
            check: command.map(|words| Check {
                words: words.to_vec(),
                level: 30,
                parameter: "external_monitor30_cmd",
            }),
        }
    }

    /// What a monitor of that level asks. A server without HTTP has nothing to ask.
    fn probes(&self, site: &Site, level: u32) -> Result<Vec<Url>> {
        let params = &self.0;
        let base = site.base(params.port.map(Port::get), false);
        let asking = Asking { base: &base, use_ipv6: false };
        let test = match level {
            0..10 => {
                let http = site.listens.iter().any(|listen| listen.port().is_some());
                let answers = asking.page("", Expected::Life).map_err(Error::Failed);
                return Ok(if http { vec![answers?] } else { Vec::new() });
            }
            10..20 => PageTest {
                url: given(params.status10url.as_ref()),
                pattern: Some(params.status10regex.as_os_str()),
                file: None,
                name: None,
                names: "status10url",
            },
            20..30 => PageTest {
                url: given(params.test20url.as_ref()),
                pattern: given(params.test20regex.as_ref()),
                file: params.test20conffile.as_ref().map(AbsolutePath::as_path),
                name: given(params.test20name.as_ref()),
                names: "test20url and test20regex, or test20conffile",
            },
            _ if params.external_monitor30_cmd.is_some() => return Ok(Vec::new()),
            _ => {
                let why = "cannot test at level 30: nothing says how; set external_monitor30_cmd";
                return Err(Error::Failed(why.to_owned()));
            }
        };
        test.probe(&asking).map(|url| vec![url])
    }

    /// Who configured something that does nothing here is to know it.
    fn advise(&self, cx: &Cx<'_>) {
        let client = self.0.testclient.as_ref().map(Text::as_os_str);
        if client.is_some_and(|client| !["curl", "wget"].map(OsStr::new).contains(&client)) {
            cx.log
                .warn("testclient is not run: this agent asks by itself; leave the parameter out");
        }
    }
}

fn given(text: Option<&Text>) -> Option<&OsStr> {
    text.map(Text::as_os_str)
}

impl Agent for Nginx {
    type Params = Params;

    const SPEC: AgentSpec = AgentSpec {
        name: "nginx",
        short: "The nginx web server",
        long: "Starts an nginx web server, waits until it answers, asks it for pages, and ends it with all its processes.\n\n\
               The server itself checks its configuration at start, and says where its files are. Monitor looks at the main \
               process and whether a worker reacts to a question by HTTP, be it by closing the connection; at level 10 it asks \
               for the status page, at level 20 for the page of `test20url` or `test20conffile`, and at level 30 it runs \
               `external_monitor30_cmd`. A server that already runs with the same configuration is taken over.\n\n\
               Stop lets requests come to their end for some seconds, then ends the server, and kills what is left. It \
               succeeds only when no process is left. Reload has the server read its configuration again, if that is right.",
        actions: &[
            ActionSpec::new(Action::Start, 40),
            ActionSpec::new(Action::Stop, 60),
            ActionSpec::new(Action::Reload, 40),
            ActionSpec::new(Action::Monitor, 30).every(10).depth(0),
            ActionSpec::new(Action::Monitor, 30).every(30).depth(10),
            ActionSpec::new(Action::Monitor, 60).every(45).depth(20),
            ActionSpec::new(Action::Monitor, 61).every(60).depth(30),
            ActionSpec::new(Action::ValidateAll, 5),
            ActionSpec::new(Action::MetaData, 5),
        ],
        haresources: None,
    };

    fn monitor(&self, cx: &Cx<'_>) -> Result<Status> {
        self.server().monitor(cx, &|site| self.probes(site, cx.level))
    }

    fn start(&self, cx: &Cx<'_>) -> Result<()> {
        self.advise(cx);
        if self.0.test20conffile.is_some() {
            self.probes(&Site::default(), 20)?;
        }
        self.server().start(cx, &|site| self.probes(site, 0))
    }

    fn stop(&self, cx: &Cx<'_>) -> Result<()> {
        self.server().stop(cx)
    }

    fn reload(&self, cx: &Cx<'_>) -> Result<()> {
        if self.server().reload(cx)? {
            return Ok(());
        }
        cx.log.info("it does not run; starting it");
        self.start(cx)
    }

    fn check(&self, _: &Cx<'_>) -> Result<()> {
        let params = &self.0;
        let pairs = [
            ("status10url", params.status10url.is_some(), 10),
            ("test20url", params.test20url.is_some() && params.test20regex.is_some(), 20),
        ];
        for (name, _, level) in pairs.into_iter().filter(|(_, given, _)| *given) {
            let without_file = level == 10 || params.test20conffile.is_none();
            if without_file && let Err(error) = self.probes(&Site::default(), level) {
                return Err(Error::Configured { name, why: error.to_string() });
            }
        }
        Ok(())
    }

    fn validate(&self, cx: &Cx<'_>) -> Result<()> {
        self.advise(cx);
        if self.0.test20conffile.is_some() {
            self.probes(&Site::default(), 20)?;
        }
        self.server().validate(cx)
    }
}
