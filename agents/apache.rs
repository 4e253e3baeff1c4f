//! `apache`: the Apache web server.

#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::path::Path;

use crate::action::Action;
use crate::agent::{Agent, Cx, Status};
use crate::error::{Error, Result};
use crate::param::values::{AbsolutePath, Flag, Port, Seconds, Text, Words};
use crate::params;
use crate::probe::Url;
use crate::spec::{ActionSpec, AgentSpec, Haresources};
use crate::web::page::{Asking, Expected};
use crate::web::server::{Make, Server};
use crate::web::variables::Variables;
use crate::web::{self, PageTest, Site};

params! {
    pub struct Params {
        /// Configuration file
        ///
        /// The main one, which includes the others. Without it, the first that is there of
        /// `/etc/apache2/httpd.conf`, `/etc/apache2/apache2.conf` and `/etc/httpd/conf/httpd.conf`.
        configfile: Option<AbsolutePath> { unique_group: Some("configfile") },

        /// Program
        ///
        /// The server's program. If it is not there, the usual places are looked through.
        httpd: AbsolutePath = "/usr/sbin/httpd",

        /// Port that is asked
        ///
        /// Of several ports of the server the one for the status page. Without it, the first `Listen` of the
        /// configuration decides.
        port: Option<Port>,

        /// Status page
        ///
        /// The page that monitor asks for: a URL, or a path of this server. Options of `ocfbox probe` may stand behind a
        /// `#`, such as `https://www.example.org/status#ca=/etc/ssl/own.pem`. Without it, the page that the
        /// configuration gives to the handler `server-status`; and any answer of it counts unless `testregex` is given.
        statusurl: Option<Text>,

        /// What has to be in the status page
        ///
        /// An extended regular expression; capitals and small letters are the same. `</ *html *>` if only `statusurl` is
        /// given.
        testregex: Option<Text>,

        /// Program that asks
        ///
        /// Accepted and without effect: the agent asks by itself, and needs neither curl nor wget.
        client: Option<Text>,

        /// Page of a deeper test
        ///
        /// Monitors of level 10 ask for this page instead of the status page: a URL, or a path of this server.
        testurl: Option<Text>,

        /// What has to be in that page
        ///
        /// An extended regular expression for `testurl`.
        testregex10: Option<Text>,

        /// File with a deeper test
        ///
        /// It describes tests in place of `testurl`: `test NAME`, lines with `url`, `match`, `user` and `password`, and `end`.
        testconffile: Option<AbsolutePath>,

        /// Test in that file
        ///
        /// The name of the test; without it, the first one.
        testname: Option<Text>,

        /// Further options
        ///
        /// For the program, split into words as a shell does; no shell reads them.
        options: Option<Words>,

        /// Files with variables
        ///
        /// Files that set variables for the server, separated by blanks, such as Debian's. They are read and not executed:
        /// assignments, `export`, `unset`, `if [ … ]` and `$NAME` are understood. Empty for none.
        envfiles: Text = "/etc/apache2/envvars",

        /// Ask by IPv6
        ///
        /// Whether `localhost` is asked by IPv6. An address in a URL or in `Listen` says by itself what it is.
        use_ipv6: Flag = "false",

        /// Seconds to end gracefully
        ///
        /// How long stop lets requests come to their end before it cuts them off. Without it, half of the time that stop
        /// has.
        graceful_timeout: Option<Seconds>,
    }
}

pub struct Apache(Params);

impl From<Params> for Apache {
    fn from(params: Params) -> Self {
        Self(params)
    }
}

/// Where the program may be besides.
const PROGRAMS: [&str; 8] = [
    "/sbin/httpd2",
    "/usr/sbin/httpd2",
    "/usr/sbin/apache2",
    "/sbin/httpd",
    "/usr/sbin/httpd",
    "/usr/sbin/apache",
    "/opt/IBMHTTPServer/bin/httpd",
    "/usr/local/apache2/bin/httpd",
];

/// What is looked for in a page that only `statusurl` names.
const PAGE: &str = "</ *html *>";

impl Apache {
    fn server(&self) -> Server {
        let params = &self.0;
        let given = params.httpd.as_path();
        let program = web::program(std::iter::once(given).chain(PROGRAMS.iter().map(Path::new)));
        let file = params.configfile.as_ref().map(|path| path.as_path().to_owned());
        let file = file.or_else(|| web::present(web::HTTPD_FILES));
        let options = params.options.iter().flat_map(Words::as_slice);
        let options = options.map(|word| word.to_string_lossy().into_owned());
        Server {
            agent: Self::SPEC.name,
            make: Make::Httpd(self.variables(file.as_deref())),
            program: program.unwrap_or(given).to_owned(),
            file,
            options: std::iter::once("-DSTATUS".to_owned()).chain(options).collect(),
            graceful: params.graceful_timeout.map(Seconds::get),
            check: None,
        }
    }

    /// As Debian's tools set them: which of several instances it is says the directory.
    fn variables(&self, file: Option<&Path>) -> Variables {
        let directory = file.and_then(Path::parent).filter(|path| path.starts_with("/etc"));
        let directory = directory.map(|path| path.display().to_string());
        let given = directory.map(|path| ("APACHE_CONFDIR".to_owned(), path));
        let mut variables = Variables::with(given);
        for path in self.0.envfiles.as_os_str().to_string_lossy().split_ascii_whitespace() {
            variables.read(Path::new(path));
        }
        variables
    }

    /// What a monitor of that level asks.
    fn probes(&self, site: &Site, level: u32) -> Result<Vec<Url>> {
        let params = &self.0;
        let base = site.base(params.port.map(Port::get), params.use_ipv6.is_set());
        let asking = Asking { base: &base, use_ipv6: params.use_ipv6.is_set() };
        if level < 10 {
            return self.status(site, &asking).map(|url| vec![url]);
        }
        let test = PageTest {
            url: params.testurl.as_ref().map(Text::as_os_str),
            pattern: params.testregex10.as_ref().map(Text::as_os_str),
            file: params.testconffile.as_ref().map(AbsolutePath::as_path),
            name: params.testname.as_ref().map(Text::as_os_str),
            names: "testurl and testregex10, or testconffile",
        };
        test.probe(&asking).map(|url| vec![url])
    }

    /// The status page. If nothing says what has to be in it, any answer is one.
    fn status(&self, site: &Site, asking: &Asking<'_>) -> Result<Url> {
        let params = &self.0;
        let given = |text: &Option<Text>| {
            text.as_ref().map(|text| text.as_os_str().to_string_lossy().into_owned())
        };
        let (url, pattern) = (given(&params.statusurl), given(&params.testregex));
        let any = url.is_none()
            && pattern.is_none()
            && params.testregex10.is_none()
            && params.testurl.is_none()
            && params.testconffile.is_none();
        let pattern = pattern.as_deref().unwrap_or(PAGE);
        let expected = if any { Expected::Answer } else { Expected::Text(pattern) };
        let name = if url.is_some() { "statusurl" } else { "testregex" };
        let url = url.or_else(|| site.status.clone()).unwrap_or_default();
        asking.page(&url, expected).map_err(|why| Error::Configured { name, why })
    }

    /// Who configured something that does nothing here is to know it.
    fn advise(&self, cx: &Cx<'_>) {
        let client = self.0.client.as_ref().map(Text::as_os_str);
        if client.is_some_and(|client| !["curl", "wget"].map(OsStr::new).contains(&client)) {
            cx.log.warn("client is not run: this agent asks by itself; leave the parameter out");
        }
    }
}

impl Agent for Apache {
    type Params = Params;

    const SPEC: AgentSpec = AgentSpec {
        name: "apache",
        short: "The Apache web server",
        long: "Starts an Apache web server, waits until it answers, asks it for pages, and ends it with all its \
               processes.\n\n\
               The server itself checks its configuration at start, and says where its PID file and its log are. Monitor \
               looks at the main process and asks for the status page by HTTP or HTTPS, without another program; at \
               level 10 it asks for the page of `testurl` or `testconffile`. A server that does not answer in time has failed, \
               and so has one whose main process is dead while others of it live. A server that already runs with the same \
               configuration is taken over.\n\n\
               Stop lets requests come to their end for half of its time, then ends the server, and kills what is left. It \
               succeeds only when no process is left.",
        actions: &[
            ActionSpec::new(Action::Start, 40),
            ActionSpec::new(Action::Stop, 60),
            ActionSpec::new(Action::Monitor, 20).every(10).depth(0),
            ActionSpec::new(Action::Monitor, 30).every(60).depth(10),
            ActionSpec::new(Action::ValidateAll, 5),
            ActionSpec::new(Action::MetaData, 5),
        ],
        haresources: Some(Haresources { arguments: &["configfile"], required: 0, fixed: &[] }),
    };

    fn monitor(&self, cx: &Cx<'_>) -> Result<Status> {
        self.server().monitor(cx, &|site| self.probes(site, cx.level))
    }

    fn start(&self, cx: &Cx<'_>) -> Result<()> {
        self.advise(cx);
        if self.0.testconffile.is_some() {
            self.probes(&Site::default(), 10)?;
        }
        self.server().start(cx, &|site| self.probes(site, 0))
    }

    fn stop(&self, cx: &Cx<'_>) -> Result<()> {
        self.server().stop(cx)
    }

    fn check(&self, _: &Cx<'_>) -> Result<()> {
        self.probes(&Site::default(), 0)?;
        let params = &self.0;
        let tested = params.testurl.is_some() && params.testregex10.is_some();
        match self.probes(&Site::default(), 10) {
            Err(error) if tested && params.testconffile.is_none() => {
                Err(Error::Configured { name: "testurl", why: error.to_string() })
            }
            _ => Ok(()),
        }
    }

    fn validate(&self, cx: &Cx<'_>) -> Result<()> {
        self.advise(cx);
        if self.0.testconffile.is_some() {
            self.probes(&Site::default(), 10)?;
        }
        self.server().validate(cx)
    }
}
