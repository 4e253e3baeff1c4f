//! What every server has to show: that the agent tells it alive from dead, and leaves nothing of it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::support::{BINARY, COPY_ETC, Call, Host};

/// How long a server may take to start on a busy machine.
const START: u32 = 120;

/// For those that speak TLS.
const CERTIFICATE: &str = r#"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
    -keyout "$DIR/key" -out "$DIR/cert" -subj /CN=x -days 2 2>"$DIR/openssl.log"; chmod 644 "$DIR/key""#;

/// Puts new file systems with the same directories and none of the files over the places that it is given.
const EMPTY: &str = r#"for place; do
    new=$(mktemp -d -p "$DIR"); mount -t tmpfs -o mode=755 tmpfs "$new"
    (cd "$place"; find . -type d -print0 | tar -c --no-recursion --null -T -) | tar -xp -C "$new"
    mount --move "$new" "$place"; rmdir "$new"
done"#;

/// What a probe of a server that hangs gets.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// A server, and what its probes say.
#[derive(Clone, Copy, Debug)]
pub struct Server {
    /// Its program; the test fails if it is not installed.
    pub program: &'static str,
    /// Directories of the machine that it gets empty ones in place of.
    pub empty: &'static [&'static str],
    /// Shell commands that come first. `$DIR` is a directory of its own, and /etc is a copy.
    pub setup: &'static str,
    /// What `service` gets besides `check`: `command` or `script`, and more. `DIR` in it is that directory.
    pub service: &'static [(&'static str, &'static str)],
    /// What has to be in the words of its main process, if that is not its oldest one.
    pub main: &'static str,
    /// What is in the words of a process that is not the server's and may stay.
    pub bystander: Option<&'static str>,
    /// The probes, and a part of what each says.
    pub probes: &'static [(&'static str, &'static str)],
    /// Its log, for a test that fails.
    pub log: &'static str,
}

/// Each of the probes fails within its deadline, in one of these phases.
#[track_caller]
pub fn assert_failed(probes: &[(&str, &str)], phases: &[&str], ask: impl Fn(&str) -> Output) {
    // What a program says is its own matter.
    for (url, _) in probes.iter().filter(|(url, _)| !url.starts_with("exec:")) {
        let mark = if url.contains('#') { '&' } else { '#' };
        let begin = Instant::now();
        let outcome = ask(&format!("{url}{mark}timeout={}ms", PATIENCE.as_millis()));
        let took = begin.elapsed();
        let told = text(&outcome);
        let is_told = phases.iter().any(|phase| told.contains(&format!(": failed at {phase}: ")));
        assert!(outcome.status.code() == Some(1) && is_told, "{told}");
        assert!(took < PATIENCE + Duration::from_secs(1), "{url}: {took:?}");
    }
}

impl Server {
    /// Those fields that most have alike.
    pub const PLAIN: Self = Self {
        program: "",
        empty: &[],
        setup: "",
        service: &[],
        main: "",
        bystander: None,
        probes: &[],
        log: "output",
    };

    /// All that is tested of each.
    #[track_caller]
    pub fn is_told_alive_from_dead(&self) {
        let running = self.prepare();
        running.is_started();
        running.hangs_and_goes_on();
        running.is_killed();
        running.is_started_again_and_stopped();
    }

    /// Namespaces in which it can be started, and from which nothing of it survives.
    #[track_caller]
    pub fn prepare(&self) -> Running<'_> {
        let is_there = Path::new(self.program).exists();
        assert!(is_there, "{} is not installed: run tests/run servers as root", self.program);
        // A process 1 that takes notice of orphans that end, as one that can be booted does: init scripts rely on it.
        let host = Host::with(&["env", "--ignore-signal=CHLD", "sleep", "infinity"]);
        let call = host.agent("service").within(START);
        let running = Running { server: self, host, call: call.clone() };
        let places = [&["/var/log", "/dev/shm"], self.empty].concat().join(" ");
        let setup = format!(
            "ip link set lo up; mkdir /run/lock\nset -- {places}\n{EMPTY}\n{COPY_ETC}\n{CERTIFICATE}\n{}",
            self.setup
        );
        running.sh(&setup);
        let checks: Vec<String> = self.probes.iter().map(|(url, _)| running.at(url)).collect();
        let mut call =
            call.param("check", checks.join(" ")).param("logfile", running.at("DIR/output"));
        if self.service.iter().any(|(name, _)| *name == "command") {
            call = call.param("ready", "answer");
        }
        for (name, value) in self.service {
            call = call.param(name, running.at(value));
        }
        Running { call, ..running }
    }
}

/// A server in its namespaces.
pub struct Running<'a> {
    server: &'a Server,
    pub host: Host,
    pub call: Call,
}

impl Running<'_> {
    /// With the directory in place of its name.
    fn at(&self, text: &str) -> String {
        text.replace(
            "DIR",
            self.host.path("").to_str().expect("a plain path").trim_end_matches('/'),
        )
    }

    /// Runs shell commands that have to succeed.
    #[track_caller]
    pub fn sh(&self, commands: &str) -> String {
        let output = Command::new("sh")
            .args(["-ec", commands])
            .current_dir("/")
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("DIR", self.at("DIR"))
            .env("LC_ALL", "C")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}: {}", self.server.program, text(&output));
        text(&output)
    }

    /// It starts, and start ends when it answers.
    #[track_caller]
    pub fn is_started(&self) {
        self.says("monitor", &[7]);
        self.says("start", &[0]);
        self.is_alive();
        let main = self.main();
        self.says("start", &[0]);
        assert_eq!(self.main(), main, "it is started once");
    }

    /// The monitors agree, and so does each probe, whatever the server answers.
    #[track_caller]
    pub fn is_alive(&self) {
        for level in [0, 10] {
            let outcome = self.call.clone().recurring().level(level).run("monitor");
            assert_eq!(outcome.code, Some(0), "{}\n{}", outcome.stderr, self.log());
        }
        for (url, said) in self.server.probes {
            let outcome = self.probe(url);
            let told = text(&outcome);
            assert!(outcome.status.success(), "{told}\n{}", self.log());
            assert!(told.contains(": alive: ") && told.contains(said), "{said:?}: {told}");
        }
    }

    /// All its processes stopped by a signal: no probe waits longer than it may. Then it goes on.
    #[track_caller]
    pub fn hangs_and_goes_on(&self) {
        // One may end meanwhile, and others begin.
        self.host.await_that("a stop of all", || {
            let mut running = self.host.living();
            running.retain(|(pid, _)| self.host.state(*pid) != Some('T'));
            for (pid, _) in &running {
                self.host.sh(&format!("kill -STOP {pid} || true"));
            }
            running.is_empty()
        });
        assert_failed(self.server.probes, &["first byte", "handshake"], |url| self.probe(url));
        self.says("monitor", &[1]);
        for (pid, _) in self.host.living() {
            self.host.sh(&format!("kill -CONT {pid} || true"));
        }
        self.host.await_that("answers", || {
            self.server.probes.iter().all(|(url, _)| self.probe(url).status.success())
        });
        self.is_alive();
    }

    /// Its main process is killed: it is not running, or it has failed while its parts live.
    #[track_caller]
    pub fn is_killed(&self) {
        let main = self.main();
        self.host.kill("KILL", main);
        let outcome = self.call.clone().recurring().run("monitor");
        let living = self.living();
        match outcome.code {
            Some(7) => assert_eq!(living, [], "it is said to be gone"),
            Some(1) => assert!(outcome.stderr.contains("dead"), "{}", outcome.stderr),
            _ => panic!("{} is killed: {outcome:?}; {living:?}", self.server.program),
        }
    }

    #[track_caller]
    pub fn is_started_again_and_stopped(&self) {
        self.says("start", &[0]);
        self.is_alive();
        self.is_stopped();
    }

    /// It stops, and nothing answers and nothing is left.
    #[track_caller]
    pub fn is_stopped(&self) {
        self.says("stop", &[0]);
        assert_eq!(self.living(), [], "{}", self.server.program);
        assert_failed(self.server.probes, &["connect", "first byte"], |url| self.probe(url));
        self.says("monitor", &[7]);
        self.says("stop", &[0]);
    }

    /// The code of an action is one of these.
    #[track_caller]
    fn says(&self, action: &str, codes: &[i32]) {
        let outcome = self.call.run(action);
        let known = outcome.code.is_some_and(|code| codes.contains(&code));
        assert!(known, "{} {action}: {outcome:?}\n{}", self.server.program, self.log());
    }

    fn probe(&self, url: &str) -> Output {
        Command::new(BINARY).args(["probe", &self.at(url)]).env_clear().output().unwrap()
    }

    /// The processes of the server.
    pub fn living(&self) -> Vec<(i32, String)> {
        let mut living = self.host.living();
        living.retain(|(_, words)| !self.server.bystander.is_some_and(|part| words.contains(part)));
        living
    }

    /// Its main process, as whoever looks at the list of processes would have it.
    #[track_caller]
    pub fn main(&self) -> i32 {
        self.host.only_named(self.server.main)
    }

    pub fn log(&self) -> String {
        let names = ["DIR/output".to_owned(), format!("DIR/{}", self.server.log)];
        let server = names.iter().filter_map(|name| fs::read_to_string(self.at(name)).ok());
        server.chain([self.host.log()]).collect()
    }
}

pub fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
