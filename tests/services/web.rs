//! `apache` and `nginx` with the servers of Debian's packages.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{Call, Host, tree};
use crate::watching::{SOON, is_told, pacemaker, stand_in};

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Make {
    Apache,
    Nginx,
}

const BOTH: [Make; 2] = [Make::Apache, Make::Nginx];

impl Make {
    fn name(self) -> &'static str {
        match self {
            Self::Apache => "apache",
            Self::Nginx => "nginx",
        }
    }

    /// The main file of the package's configuration, which is the test's own copy.
    fn main_file(self) -> &'static str {
        match self {
            Self::Apache => "/etc/apache2/apache2.conf",
            Self::Nginx => "/etc/nginx/nginx.conf",
        }
    }

    /// As an administrator starts it.
    fn by_hand(self) -> &'static str {
        match self {
            Self::Apache => "apache2ctl start",
            Self::Nginx => "nginx",
        }
    }

    fn graceful(self) -> &'static str {
        match self {
            Self::Apache => "apache2ctl graceful",
            Self::Nginx => "nginx -s reload",
        }
    }

    fn log(self) -> &'static str {
        match self {
            Self::Apache => "/var/log/apache2/error.log",
            Self::Nginx => "/var/log/nginx/error.log",
        }
    }

    fn pidfile(self) -> &'static str {
        match self {
            Self::Apache => "/run/apache2/apache2.pid",
            Self::Nginx => "/run/nginx.pid",
        }
    }
}

/// A host with both packages as they are after their installation.
fn web() -> Host {
    let host = Host::new();
    for package in ["apache2", "nginx"] {
        assert!(Path::new("/etc").join(package).is_dir(), "apt-get install apache2 nginx");
    }
    let own = host.text("etc");
    host.sh(&format!(
        "ip link set lo up
         mkdir {own}; cp -a /etc/apache2 /etc/nginx {own}
         for p in apache2 nginx; do mount --bind {own}/$p /etc/$p; done
         mount -t tmpfs -o size=8m tmpfs /var/log; mkdir /var/log/apache2 /var/log/nginx"
    ));
    host
}

fn agent(host: &Host, make: Make) -> Call {
    host.agent(make.name()).within(40)
}

/// A configuration of the test's own in one file, with `directives` at its top and `server` in the server.
fn configured(host: &Host, make: Make, directives: &str, server: &str) -> Call {
    let (directory, file) = (host.text(""), host.path("conf"));
    let text = match make {
        Make::Apache => format!(
            "ServerRoot {directory}\nServerName localhost\nPidFile {directory}pid\nErrorLog {directory}error.log\n\
             DocumentRoot {directory}www\nUser www-data\nGroup www-data\n\
             LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so\n\
             LoadModule authn_core_module /usr/lib/apache2/modules/mod_authn_core.so\n\
             LoadModule authn_file_module /usr/lib/apache2/modules/mod_authn_file.so\n\
             LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so\n\
             LoadModule authz_user_module /usr/lib/apache2/modules/mod_authz_user.so\n\
             LoadModule auth_basic_module /usr/lib/apache2/modules/mod_auth_basic.so\n\
             LoadModule status_module /usr/lib/apache2/modules/mod_status.so\n\
             LoadModule dir_module /usr/lib/apache2/modules/mod_dir.so\n\
             LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so\n{directives}\n{server}\n"
        ),
        Make::Nginx => format!(
            "pid {directory}pid;\nerror_log {directory}error.log;\nuser www-data;\nworker_processes 2;\n{directives}\n\
             events {{}}\nhttp {{ access_log off; server {{ root {directory}www; {server} }} }}\n"
        ),
    };
    fs::create_dir_all(host.path("www")).unwrap();
    fs::write(host.path("www/index.html"), "<html>it works</html>\n").unwrap();
    fs::write(&file, text).unwrap();
    agent(host, make).param("configfile", file)
}

/// The main process: the one whose parent is process 1.
#[track_caller]
fn main(host: &Host) -> i32 {
    let parent = |pid: i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(')').next().unwrap_or_default().split_whitespace().nth(1).map(str::to_owned)
    };
    let mut living = host.living();
    living.retain(|(_, words)| !words.starts_with("ocfbox watch"));
    let mains: Vec<_> =
        living.iter().filter(|(pid, _)| parent(*pid).as_deref() == Some("1")).collect();
    assert_eq!(mains.len(), 1, "{living:?}");
    mains[0].0
}

fn workers(host: &Host) -> Vec<i32> {
    let main = main(host);
    let mut living = host.living();
    living.retain(|(pid, words)| *pid != main && !words.starts_with("ocfbox watch"));
    living.into_iter().map(|(pid, _)| pid).collect()
}

fn port_is_free(port: u16) -> bool {
    TcpListener::bind(("0.0.0.0", port)).is_ok()
}

#[test]
#[ignore = "needs root: tests/run services"]
fn the_packages_configuration_starts_runs_and_stops() {
    let host = web();
    for make in BOTH {
        let agent = agent(&host, make);
        agent.run("validate-all").code(0);
        agent.run("monitor").code(7);
        agent.run("stop").code(0);
        agent.run("start").code(0);
        assert!(TcpStream::connect("127.0.0.1:80").is_ok());
        let first = main(&host);
        agent.run("monitor").code(0);
        agent.clone().recurring().run("monitor").code(0);
        agent.run("start").code(0);
        assert_eq!(main(&host), first, "started once");
        agent.run("stop").code(0);
        assert_eq!(host.living(), [], "{make:?}");
        assert!(port_is_free(80));
        agent.run("monitor").code(7);
        agent.clone().recurring().run("monitor").code(7);
        agent.run("stop").code(0);
        let left = tree("/run/resource-agents");
        let locks: Vec<_> =
            left.iter().filter(|path| !path.to_string_lossy().ends_with(".lock")).collect();
        assert!(locks.is_empty(), "{left:?}");
    }
}

/// A monitor of a running server executes nothing and starts no process.
#[test]
#[ignore = "needs root: tests/run services"]
fn a_monitor_makes_no_process() {
    let host = web();
    for make in BOTH {
        let agent = agent(&host, make).recurring();
        agent.run("start").code(0);
        let calls = agent.system_calls(&host.path("calls"), "monitor", 0);
        let made = |name: &str| calls.iter().any(|(call, _)| call == name);
        for name in ["execve", "fork", "vfork", "clone", "clone3"] {
            assert!(!made(name), "{make:?}: {name} in {calls:?}");
        }
        assert!(calls.len() < 250, "{make:?}: {} system calls", calls.len());
        agent.run("stop").code(0);
    }
}

#[test]
#[ignore = "needs root: tests/run services"]
fn a_dead_main_process_is_seen_and_what_it_leaves_is_ended() {
    let host = web();
    for make in BOTH {
        let agent = agent(&host, make).recurring();
        agent.run("start").code(0);
        host.kill("KILL", main(&host));
        let monitored = agent.run("monitor");
        let code = if host.living().is_empty() { 7 } else { 1 };
        monitored.code(code);
        agent.run("start").code(0);
        agent.run("monitor").code(0);
        host.kill("KILL", main(&host));
        let begun = Instant::now();
        agent.run("stop").code(0);
        // Workers of Apache that nobody leads ignore SIGTERM; waiting for them would take two thirds of the stop's time.
        assert!(begun.elapsed() < Duration::from_secs(8), "{make:?}: {:?}", begun.elapsed());
        assert_eq!(host.living(), [], "{make:?}");
        assert!(port_is_free(80), "{make:?}");
        agent.run("monitor").code(7);
    }
}

#[test]
#[ignore = "needs root: tests/run services"]
fn stopped_processes_have_failed() {
    let host = web();
    for make in BOTH {
        let agent = agent(&host, make).recurring();
        agent.run("start").code(0);
        let main = main(&host);
        host.kill("STOP", main);
        agent.run("monitor").code(1).because(&["stopped by a signal"]);
        host.kill("CONT", main);
        host.await_that("it goes on", || agent.run("monitor").code == Some(0));
        for worker in workers(&host) {
            host.kill("STOP", worker);
        }
        // The kernel still takes connections for them.
        assert!(TcpStream::connect("127.0.0.1:80").is_ok());
        let hung =
            agent.clone().within(10).run("monitor").code(1).because(&["127.0.0.1", "said nothing"]);
        assert!(hung.took < Duration::from_secs(10), "{:?}", hung.took);
        // They are let go on; else the main process would wait for them for half of the time.
        let ended = agent.clone().within(40).run("stop").code(0);
        assert!(ended.took < Duration::from_secs(10), "{make:?}: {:?}", ended.took);
        assert_eq!(host.living(), [], "{make:?}");
    }
}

/// The master of nginx makes new workers, and Apache too.
#[test]
#[ignore = "needs root: tests/run services"]
fn killed_workers_come_back() {
    let host = web();
    for make in BOTH {
        let agent = agent(&host, make);
        agent.run("start").code(0);
        for worker in workers(&host) {
            host.kill("KILL", worker);
        }
        host.await_that("it answers", || agent.run("monitor").code == Some(0));
        agent.run("stop").code(0);
        assert_eq!(host.living(), []);
    }
}

/// The configuration of this node is no reason to give up the others, and none to end what runs.
#[test]
#[ignore = "needs root: tests/run services"]
fn a_broken_configuration_is_told_and_ends_nothing() {
    let host = web();
    for make in BOTH {
        let agent = agent(&host, make);
        let whole = fs::read_to_string(make.main_file()).unwrap();
        fs::write(make.main_file(), format!("{whole}\nNonsense here;\n")).unwrap();
        agent.run("validate-all").code(0);
        agent.clone().env("OCF_CHECK_LEVEL", "10").run("validate-all").code(2);
        agent.run("start").code(2).because(&[
            "cannot use the configuration",
            "onsense",
            make.main_file(),
        ]);
        assert_eq!(host.living(), []);
        agent.run("monitor").code(7);
        fs::write(make.main_file(), &whole).unwrap();
        agent.run("start").code(0);
        fs::write(make.main_file(), format!("{whole}\nNonsense here;\n")).unwrap();
        agent.clone().recurring().run("monitor").code(0);
        agent.run("start").code(0);
        if make == Make::Nginx {
            agent.run("reload").code(2).because(&["onsense"]);
            agent.run("monitor").code(0);
        }
        agent.run("stop").code(0);
        assert_eq!(host.living(), [], "{make:?}");
        fs::write(make.main_file(), &whole).unwrap();
    }
}

#[test]
#[ignore = "needs root: tests/run services"]
fn what_is_not_there_is_said() {
    let host = web();
    for make in BOTH {
        let agent = agent(&host, make);
        let nowhere = agent.clone().param("configfile", "/nowhere/x.conf");
        nowhere.run("start").code(5).because(&["no configuration file /nowhere/x.conf"]);
        nowhere.run("monitor").code(7);
        nowhere.run("stop").code(0);
        let file = if make == Make::Apache { "testconffile" } else { "test20conffile" };
        agent
            .clone()
            .param(file, "/nowhere/tests")
            .run("start")
            .code(5)
            .because(&["no file /nowhere/tests"]);
        let common = [
            ("port", "http"),
            ("port", "0"),
            ("configfile", "relative"),
            ("httpd", "nginx"),
            ("options", "'open"),
            ("graceful_timeout", "soon"),
        ];
        let own = match make {
            Make::Apache => {
                [("use_ipv6", "perhaps"), ("testconffile", "tests"), ("testregex", "*a")]
            }
            Make::Nginx => [
                ("external_monitor30_cmd", "'open"),
                ("test20conffile", "tests"),
                ("graceful_timeout", "-1"),
            ],
        };
        for (name, value) in common.into_iter().chain(own) {
            let wrong = agent.clone().param(name, value);
            wrong.run("start").code(6).because(&[name, value]);
            wrong.run("monitor").code(7);
            wrong.run("stop").code(0);
        }
    }
    host.sh("mount --bind /dev/null /usr/sbin/apache2; mount --bind /dev/null /usr/sbin/nginx");
    for make in BOTH {
        let agent = agent(&host, make);
        agent.run("start").code(5).because(&["no program"]);
        agent.run("monitor").code(7);
        agent.run("stop").code(0);
    }
}

#[test]
#[ignore = "needs root: tests/run services"]
fn a_taken_port_is_a_failed_start_that_names_its_owner() {
    let host = web();
    for (first, second, program) in
        [(Make::Apache, Make::Nginx, "(apache2"), (Make::Nginx, Make::Apache, "(nginx")]
    {
        let owner = agent(&host, first);
        owner.run("start").code(0);
        let first_main = main(&host);
        let pid = first_main.to_string();
        agent(&host, second).run("start").code(1).because(&["in use by process", &pid, program]);
        assert_eq!(main(&host), first_main, "nothing is left, and the owner lives");
        agent(&host, second).run("monitor").code(7);
        agent(&host, second).run("stop").code(0);
        owner.run("monitor").code(0);
        owner.run("stop").code(0);
        assert_eq!(host.living(), []);
    }
}

/// Its master lives, and every worker ends at once.
#[test]
#[ignore = "needs root: tests/run services"]
fn a_server_whose_workers_all_die_has_not_started() {
    let host = web();
    let nginx =
        configured(&host, Make::Nginx, "working_directory /nowhere;", "listen 127.0.0.1:8080;");
    let failed = nginx.within(5).run("start").code(1);
    failed.because(&["its log says", "chdir(\"/nowhere\") failed"]);
    assert_eq!(host.living(), []);
    assert!(port_is_free(8080));
}

#[test]
#[ignore = "needs root: tests/run services"]
fn pages_and_what_has_to_be_in_them() {
    let host = web();
    let server = "Listen 127.0.0.1:8080\n<Location /status-here>\nSetHandler server-status\n</Location>\n\
        <Location /denied>\nRequire all denied\n</Location>\n\
        <Location /secret>\nAuthType Basic\nAuthName x\nAuthUserFile \"${DIR}/users\"\nRequire valid-user\n</Location>\n";
    let apache = configured(&host, Make::Apache, &format!("Define DIR {}", host.text("")), server);
    let hash = host.sh("openssl passwd -apr1 'open sesame'");
    fs::write(host.path("users"), format!("aladdin:{hash}")).unwrap();
    fs::create_dir(host.path("www/secret")).unwrap();
    fs::write(host.path("www/secret/index.html"), "the lamp\n").unwrap();
    apache.run("start").code(0);
    let level_0 = |parameters: &[(&str, &str)]| {
        parameters
            .iter()
            .fold(apache.clone(), |call, (name, value)| call.param(name, value))
            .run("monitor")
    };
    level_0(&[]).code(0);
    level_0(&[("testregex", "apache server status")]).code(0);
    level_0(&[("testregex", "no such text")]).code(1).because(&["/status-here", "no such text"]);
    level_0(&[
        ("statusurl", "http://127.0.0.1:8080/status-here"),
        ("testregex", "^<h1>Apache .*(x|Status) for"),
    ])
    .code(0);
    level_0(&[("statusurl", "/denied")]).code(0);
    level_0(&[("statusurl", "/denied#status=200")]).code(1).because(&["403"]);
    level_0(&[("statusurl", "/nowhere"), ("testregex", "it works")]).code(1);
    level_0(&[("statusurl", "http://127.0.0.1:8081/")]).code(1).because(&["connect"]);
    for (name, value) in [("testregex", "(a"), ("statusurl", "ftp://x/")] {
        apache.clone().param(name, value).run("start").code(6).because(&[name]);
    }
    let tests = "test lamp\n url /secret/\n match the lamp\n user aladdin\n password open sesame\nend\n\
        test wrong\n url /secret/\n match the lamp\n user aladdin\n password x\nend\n";
    fs::write(host.path("tests"), tests).unwrap();
    let deeper = |parameters: &[(&str, &str)]| {
        let call = apache.clone().level(10);
        parameters.iter().fold(call, |call, (name, value)| call.param(name, value)).run("monitor")
    };
    let file = host.text("tests");
    deeper(&[("testurl", "/"), ("testregex10", "it works")]).code(0);
    deeper(&[("testurl", "/"), ("testregex10", "it does not")]).code(1).because(&["it does not"]);
    deeper(&[("testconffile", &file)]).code(0);
    deeper(&[("testconffile", &file), ("testname", "wrong")]).code(1).because(&["/secret/"]);
    deeper(&[("testconffile", &file), ("testname", "none")]).code(1).because(&["no test \"none\""]);
    deeper(&[]).code(1).because(&["testurl and testregex10"]);
    deeper(&[("testconffile", &file), ("client", "wget")]).code(0);
    apache.run("stop").code(0);
    assert_eq!(host.living(), []);
}

#[test]
#[ignore = "needs root: tests/run services"]
fn deeper_monitors_of_nginx() {
    let host = web();
    let server = "listen 127.0.0.1:8080; location /status { stub_status; }";
    let nginx = configured(&host, Make::Nginx, "", server);
    nginx.run("start").code(0);
    let at = |level: u32, parameters: &[(&str, &str)]| {
        let call = nginx.clone().level(level);
        parameters.iter().fold(call, |call, (name, value)| call.param(name, value)).run("monitor")
    };
    at(0, &[]).code(0);
    at(10, &[("status10url", "/status")]).code(0);
    at(10, &[("status10url", "http://127.0.0.1:8080/")]).code(1).because(&["Reading"]);
    at(10, &[]).code(1).because(&["status10url"]);
    at(20, &[("test20url", "/"), ("test20regex", "IT works")]).code(0);
    at(20, &[("test20url", "/"), ("test20regex", "nothing")]).code(1);
    at(20, &[("test20url", "/")]).code(1).because(&["test20regex"]);
    let program = host.program("check", "#!/bin/sh\n[ \"$1\" = 'a b' ] && [ \"$2\" = fine ]\n");
    at(30, &[("external_monitor30_cmd", &format!("{program} 'a b' fine"))]).code(0);
    at(30, &[("external_monitor30_cmd", &program)]).code(1).because(&["external_monitor30_cmd"]);
    at(30, &[]).code(1).because(&["external_monitor30_cmd"]);
    nginx.run("stop").code(0);
    assert_eq!(host.living(), []);
}

/// A server that answers nothing on purpose is alive.
#[test]
#[ignore = "needs root: tests/run services"]
fn an_nginx_that_closes_the_connection_is_alive() {
    let host = web();
    for server in ["listen 127.0.0.1:8080; return 444;", "listen unix:/run/only;"] {
        let nginx = configured(&host, Make::Nginx, "", server);
        nginx.run("start").code(0);
        nginx.clone().recurring().run("monitor").code(0);
        nginx.run("stop").code(0);
        assert_eq!(host.living(), [], "{server}");
    }
}

#[test]
#[ignore = "needs root: tests/run services"]
fn tls_ipv6_and_an_address_of_its_own() {
    let host = web();
    host.sh(&format!(
        "ip address add 192.0.2.1/32 dev lo
         # Without one, Apache takes the host for one without IPv6.
         ip address add 2001:db8::1/128 dev lo nodad
         openssl req -x509 -newkey rsa:2048 -nodes -keyout {0}/key -out {0}/cert -days 2 -subj /CN=www.example.org 2>/dev/null",
        host.text("")
    ));
    let tls = "SSLEngine on\nSSLCertificateFile cert\nSSLCertificateKeyFile key\n<Location /server-status>\nSetHandler server-status\n</Location>\n";
    for (listen, parameters) in [
        (
            "Listen 127.0.0.1:8443\n",
            &[
                ("statusurl", "https://127.0.0.1:8443/server-status"),
                ("testregex", "Apache Server Status"),
            ][..],
        ),
        ("Listen 8443 https\n", &[("statusurl", "https://localhost:8443/")]),
        // Without a word about pages.
        ("Listen 443 https\n", &[]),
    ] {
        let apache = configured(&host, Make::Apache, listen, tls);
        let apache = parameters.iter().fold(apache, |call, (name, value)| call.param(name, value));
        apache.run("start").code(0);
        apache.clone().recurring().run("monitor").code(0);
        apache.run("stop").code(0);
    }
    let fingerprint =
        host.sh(&format!("openssl x509 -in {} -noout -fingerprint -sha256", host.text("cert")));
    let fingerprint = fingerprint.trim().split('=').nth(1).unwrap().to_owned();
    let apache = configured(&host, Make::Apache, "Listen 192.0.2.1:443\n", tls);
    let named = apache
        .clone()
        .param("statusurl", format!("https://192.0.2.1/#fingerprint=sha256:{fingerprint}"));
    named.run("start").code(0);
    named.run("monitor").code(0);
    apache
        .clone()
        .param("statusurl", "https://192.0.2.1/")
        .run("monitor")
        .code(1)
        .because(&["certificate"]);
    named.run("stop").code(0);
    for (listen, ipv6) in [
        ("[::1]:8080", "false"),
        ("8080", "true"),
        ("192.0.2.1:8080", "false"),
        ("192.0.2.1:8080", "true"),
    ] {
        let directive = format!(
            "Listen {listen}\n<Location /server-status>\nSetHandler server-status\n</Location>\n"
        );
        let apache = configured(&host, Make::Apache, &directive, "")
            .param("use_ipv6", ipv6)
            .param("testregex", "Server Status");
        apache.run("start").code(0);
        apache.clone().recurring().run("monitor").code(0);
        apache.run("stop").code(0);
        let listen = if listen == "8080" { "[::]:8080" } else { listen };
        let nginx = configured(&host, Make::Nginx, "", &format!("listen {listen};"));
        nginx.run("start").code(0);
        nginx.clone().recurring().run("monitor").code(0);
        nginx.run("stop").code(0);
    }
    assert_eq!(host.living(), []);
}

/// The PID file is written anew, workers come and go, logs are moved away: all that is no failure.
#[test]
#[ignore = "needs root: tests/run services"]
fn graceful_restarts_are_no_failures() {
    restarted_gracefully(&web());
}

/// nginx writes over the environment of its processes; without control groups only their parent tells whose they are.
#[test]
#[ignore = "needs root: tests/run services"]
fn graceful_restarts_are_no_failures_without_control_groups() {
    let host = web();
    host.sh("mount -t tmpfs tmpfs /sys/fs/cgroup");
    restarted_gracefully(&host);
}

#[track_caller]
fn restarted_gracefully(host: &Host) {
    for make in BOTH {
        let agent = agent(host, make);
        agent.run("start").code(0);
        // By its own word: the process that it was started as may take its time to end.
        let named = || fs::read_to_string(make.pidfile()).unwrap().trim().parse::<i32>().unwrap();
        let main_before = named();
        let mut restarts = Command::new("sh")
            .args([
                "-c",
                &format!(
                    "for i in 1 2 3 4 5 6 7 8; do mv {0} {0}.$i; {1} || exit 1; sleep 0.1; done",
                    make.log(),
                    make.graceful()
                ),
            ])
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let mut monitors = 0;
        let ended = loop {
            agent.clone().recurring().run("monitor").code(0);
            monitors += 1;
            if let Some(ended) = restarts.try_wait().unwrap() {
                break ended;
            }
        };
        assert!(ended.success() && monitors > 5, "{monitors}");
        assert_eq!(named(), main_before);
        if make == Make::Nginx {
            agent.run("reload").code(0);
            agent.run("monitor").code(0);
        }
        fs::remove_file(make.pidfile()).unwrap();
        agent.clone().recurring().run("monitor").code(0);
        // Workers that were born after the start.
        host.kill("KILL", main_before);
        if make == Make::Nginx {
            assert!(!host.living().is_empty(), "they live without it");
        }
        let code = if host.living().is_empty() { 7 } else { 1 };
        agent.clone().recurring().run("monitor").code(code);
        agent.run("stop").code(0);
        assert_eq!(host.living(), [], "{make:?}");
    }
}

#[test]
#[ignore = "needs root: tests/run services"]
fn an_nginx_that_is_upgraded_on_the_fly_goes_on() {
    upgraded_on_the_fly(&web());
}

#[test]
#[ignore = "needs root: tests/run services"]
fn an_nginx_that_is_upgraded_on_the_fly_goes_on_without_control_groups() {
    let host = web();
    host.sh("mount -t tmpfs tmpfs /sys/fs/cgroup");
    upgraded_on_the_fly(&host);
}

/// As the package's upgrade does it ("Upgrading an Executable on the Fly" of nginx's manual).
#[track_caller]
fn upgraded_on_the_fly(host: &Host) {
    let nginx = agent(host, Make::Nginx);
    let monitor = || nginx.clone().recurring().run("monitor");
    nginx.run("start").code(0);
    let named = || fs::read_to_string("/run/nginx.pid").unwrap_or_default().trim().parse().ok();
    let first = main(host);
    host.kill("USR2", first);
    host.await_that("another main process", || named().is_some_and(|pid: i32| pid != first));
    monitor().code(0);
    host.kill("QUIT", first);
    host.await_that("one main process", || {
        host.living().iter().all(|(pid, _)| *pid != first) && !port_is_free(80)
    });
    monitor().code(0);
    nginx.run("start").code(0);
    let second = named().unwrap();
    assert_eq!(main(host), second, "not started again");
    nginx.run("reload").code(0);
    monitor().code(0);
    // It is the main process now, with all that follows.
    host.kill("STOP", second);
    monitor().code(1).because(&["stopped", &second.to_string()]);
    host.kill("CONT", second);
    // Workers that were born after the upgrade are known by a monitor.
    host.await_that("it to go on", || monitor().code == Some(0));
    host.kill("KILL", second);
    assert!(!host.living().is_empty(), "they live without it");
    monitor().code(1);
    nginx.run("stop").code(0);
    assert_eq!(host.living(), []);
}

#[test]
#[ignore = "needs root: tests/run services"]
fn reload_of_one_that_does_not_run_starts_it() {
    let host = web();
    let nginx = agent(&host, Make::Nginx);
    nginx.run("reload").code(0);
    nginx.run("monitor").code(0);
    nginx.run("stop").code(0);
    assert_eq!(host.living(), []);
}

/// What monitor learned at start is learned anew when a file changes, or when it is lost.
#[test]
#[ignore = "needs root: tests/run services"]
fn a_changed_configuration_is_noticed_and_lost_state_survived() {
    let host = web();
    let apache = agent(&host, Make::Apache).param("testregex", "Server Status");
    apache.run("start").code(0);
    let ports = fs::read_to_string("/etc/apache2/ports.conf").unwrap();
    fs::write("/etc/apache2/ports.conf", ports.replace("Listen 80", "Listen 8080")).unwrap();
    // It still listens where it was told to at first, and is well.
    let first = main(&host);
    apache.run("monitor").code(0);
    apache.run("start").code(0);
    assert_eq!(main(&host), first, "not started again");
    host.sh("apache2ctl graceful 2>/dev/null");
    host.await_that("the new port", || port_is_free(80) && !port_is_free(8080));
    apache.clone().recurring().run("monitor").code(0);
    host.sh("rm -rf /run/resource-agents");
    apache.clone().recurring().run("monitor").code(0);
    apache.run("start").code(0);
    assert_eq!(main(&host), first, "not started twice");
    host.sh("rm -rf /run/resource-agents");
    apache.run("stop").code(0);
    assert_eq!(host.living(), []);
    let nginx = agent(&host, Make::Nginx);
    nginx.run("start").code(0);
    host.sh("rm -rf /run/resource-agents /run/nginx.pid");
    nginx.clone().recurring().run("monitor").code(0);
    nginx.run("stop").code(0);
    assert_eq!(host.living(), []);
}

#[test]
#[ignore = "needs root: tests/run services"]
fn a_full_disk_is_a_failed_start_that_leaves_nothing() {
    let host = web();
    host.sh("umount /var/log; mount -t tmpfs -o size=4k,nr_inodes=4 tmpfs /var/log; mkdir /var/log/apache2 /var/log/nginx; touch /var/log/x");
    for (make, code) in [(Make::Apache, 1), (Make::Nginx, 2)] {
        let agent = agent(&host, make);
        agent.run("start").code(code).because(&["No space left on device"]);
        assert_eq!(host.living(), []);
        agent.run("monitor").code(7);
        agent.run("stop").code(0);
    }
}

/// The log is open then, and no line fits into it.
#[test]
#[ignore = "needs root: tests/run services"]
fn a_full_disk_is_the_reason_where_the_log_has_no_room_for_it() {
    let host = web();
    host.sh("umount /var/log; mount -t tmpfs -o size=8k tmpfs /var/log
        head -c 4096 /dev/zero >/var/log/error.log; head -c 4096 /dev/zero >/var/log/filler");
    let files = "PidFile /var/log/pid\nErrorLog /var/log/error.log\nListen 80";
    let agent = configured(&host, Make::Apache, files, "");
    agent.run("start").code(1).because(&["the file system of /var/log is full"]);
    assert_eq!(host.living(), []);
    host.sh("mount -o remount,size=64k /var/log");
    agent.run("start").code(0);
    agent.run("stop").code(0);
}

/// A client that never ends its request holds nobody up for longer than it may.
#[test]
#[ignore = "needs root: tests/run services"]
fn stop_with_an_open_connection() {
    let host = web();
    for make in BOTH {
        let agent = agent(&host, make).param("graceful_timeout", "1");
        agent.run("start").code(0);
        let mut client = TcpStream::connect("127.0.0.1:80").unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").unwrap();
        let mut idle = TcpStream::connect("127.0.0.1:80").unwrap();
        idle.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        idle.read_exact(&mut [0; 20]).unwrap();
        let stopped = agent.run("stop").code(0);
        // Apache gives its processes ten more seconds.
        assert!(stopped.took < Duration::from_secs(20), "{:?}", stopped.took);
        assert_eq!(host.living(), [], "{make:?}");
        // Clients have their ends of the old connections yet.
        agent.run("start").code(0);
        agent.run("stop").code(0);
        assert_eq!(host.living(), [], "{make:?}");
    }
}

/// A server whose processes were all stopped by a signal serves nobody, and has no request to bring to its end.
#[test]
#[ignore = "needs root: tests/run services"]
fn stop_of_a_stopped_server_waits_for_no_request() {
    let host = web();
    for make in BOTH {
        let agent = agent(&host, make);
        agent.run("start").code(0);
        let mut client = TcpStream::connect("127.0.0.1:80").unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").unwrap();
        for (process, _) in host.living() {
            host.kill("STOP", process);
        }
        let stopped = agent.run("stop").code(0);
        // Requests get half of the time, which is 30 seconds; Apache gives its processes ten in any case.
        assert!(stopped.took < Duration::from_secs(25), "{make:?}: {:?}", stopped.took);
        assert_eq!(host.living(), [], "{make:?}");
    }
}

#[test]
#[ignore = "needs root: tests/run services"]
fn two_callers_at_once() {
    let host = web();
    for make in BOTH {
        let agent = agent(&host, make);
        for _ in 0..3 {
            for action in ["start", "stop"] {
                let mut callers: Vec<_> =
                    (0..2).map(|_| agent.command(action).spawn().unwrap()).collect();
                for caller in &mut callers {
                    assert_eq!(caller.wait().unwrap().code(), Some(0), "{action}: {}", host.log());
                }
                match action {
                    "start" => drop(main(&host)),
                    _ => assert_eq!(host.living(), [], "{make:?}"),
                }
            }
        }
    }
}

/// Invariant 10: killed at its system calls, the agent leaves what the next stop ends.
#[test]
#[ignore = "needs root: tests/run services"]
fn whatever_a_killed_agent_leaves_the_next_stop_ends() {
    let host = web();
    let nginx = agent(&host, Make::Nginx).param("graceful_timeout", "0.2");
    for action in ["start", "stop"] {
        let prepare = || {
            if action == "stop" {
                nginx.run("start").code(0);
            }
        };
        prepare();
        let calls = nginx.system_calls(&host.path("calls"), action, 0);
        nginx.run("stop").code(0);
        let changing = [
            "execve",
            "clone",
            "clone3",
            "vfork",
            "write",
            "renameat",
            "rename",
            "unlink",
            "kill",
            "pidfd_send_signal",
            "sendto",
            "connect",
            "mkdir",
            "waitid",
            "wait4",
            "openat",
        ];
        let chosen: Vec<_> = calls
            .into_iter()
            .filter(|(name, ordinal)| {
                changing.contains(&name.as_str()) && *ordinal % 3 == 1 && *ordinal < 60
            })
            .collect();
        assert!(chosen.len() > 10, "{chosen:?}");
        for (name, ordinal) in chosen {
            prepare();
            let inject = format!("inject={name}:signal=KILL:when={ordinal}");
            let _ = nginx.run_behind(&["strace", "-o", "/dev/null", "-e", &inject], action).code;
            nginx.run("stop").code(0);
            // What the killed agent asked the program about itself ends by itself.
            let asked = |words: &str| words.contains("nginx -V") || words.contains("nginx -T");
            let left: Vec<_> =
                host.living().into_iter().filter(|(_, words)| !asked(words)).collect();
            assert_eq!(left, [], "killed at {name} number {ordinal} of {action}");
            host.await_that("the end of a question", || host.living().is_empty());
            nginx.run("monitor").code(7);
        }
    }
}

#[test]
#[ignore = "needs root: tests/run services"]
fn a_server_started_by_hand_is_taken_over_and_another_one_is_not() {
    let host = web();
    host.sh("mkdir -p /run/apache2 /run/lock");
    for make in BOTH {
        for pidfile in [true, false] {
            let agent = agent(&host, make);
            host.sh(&format!("{} 2>/dev/null", make.by_hand()));
            host.await_that("an answer", || TcpStream::connect("127.0.0.1:80").is_ok());
            let first = main(&host);
            host.await_that("a PID file", || Path::new(make.pidfile()).exists());
            if !pidfile {
                fs::remove_file(make.pidfile()).unwrap();
            }
            agent.run("monitor").code(0);
            agent.run("start").code(0);
            assert_eq!(main(&host), first, "{make:?}");
            agent.clone().recurring().run("monitor").code(0);
            agent.run("stop").code(0);
            assert_eq!(host.living(), [], "{make:?}");
        }
        // One with another configuration is somebody else's.
        host.sh(&format!("{} 2>/dev/null", make.by_hand()));
        host.await_that("an answer", || TcpStream::connect("127.0.0.1:80").is_ok());
        let other = configured(
            &host,
            make,
            "",
            match make {
                Make::Apache => "Listen 8080",
                Make::Nginx => "listen 8080;",
            },
        );
        let theirs = main(&host);
        other.run("monitor").code(7);
        other.run("stop").code(0);
        assert_eq!(main(&host), theirs);
        other.run("start").code(0);
        other.run("monitor").code(0);
        other.run("stop").code(0);
        assert_eq!(main(&host), theirs);
        agent(&host, make).run("stop").code(0);
        assert_eq!(host.living(), []);
    }
}

#[test]
#[ignore = "needs root: tests/run services"]
fn a_stranger_in_the_pid_file_is_neither_watched_nor_killed() {
    let host = web();
    for make in BOTH {
        let mut stranger = Command::new(host.path("daemon")).arg("stay").spawn().unwrap();
        let pid = host.only();
        fs::create_dir_all("/run/apache2").unwrap();
        fs::write(make.pidfile(), pid.to_string()).unwrap();
        let agent = agent(&host, make);
        agent.run("monitor").code(7);
        agent.run("stop").code(0);
        assert_eq!(host.only(), pid);
        agent.run("start").code(0);
        agent.run("monitor").code(0);
        agent.run("stop").code(0);
        assert_eq!(host.only(), pid);
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }
}

/// What an agent answers in each situation; each in a thread of its own, since a thread can have new namespaces but once.
fn codes(make: Make, theirs: bool) -> Vec<(&'static str, Option<i32>)> {
    let host = web();
    host.sh("mkdir -p /run/resource-agents /run/apache2 /run/lock");
    let agent = if theirs {
        let program = format!("/usr/lib/ocf/resource.d/heartbeat/{}", make.name());
        host.agent_at(program).within(40).env("HA_RSCTMP", "/run/resource-agents")
    } else {
        agent(&host, make)
    };
    let nowhere = agent.clone().param("configfile", "/nowhere/x.conf");
    let page = agent.clone().param("statusurl", "http://127.0.0.1/server-status");
    let page = page.param("testregex", "no such text");
    let mut codes = Vec::new();
    let mut run = |what: &'static str, call: &Call, action: &str| {
        let code = call.run(action).code;
        codes.push((what, code));
    };
    run("probe of a stopped one", &agent, "monitor");
    run("stop of a stopped one", &agent, "stop");
    run("start", &agent, "start");
    run("start again", &agent, "start");
    run("probe", &agent, "monitor");
    run("monitor", &agent.clone().recurring(), "monitor");
    run("level 10 without a page", &agent.clone().level(10), "monitor");
    if make == Make::Apache {
        run("a page without the text", &page, "monitor");
    }
    run("stop", &agent, "stop");
    run("monitor of a stopped one", &agent.clone().recurring(), "monitor");
    run("no configuration: monitor", &nowhere, "monitor");
    run("no configuration: stop", &nowhere, "stop");
    run("no configuration: start", &nowhere, "start");
    run("no such action", &agent, "dance");
    codes
}

/// 6 would ban the resource from all nodes for a monitor that is asked for what nothing describes; and a file that is missing
/// is missing on this node. Process 1 of this host reaps nobody, and a zombie is no server.
#[test]
#[ignore = "needs root: tests/run services"]
fn codes_are_those_of_the_shell_agents_but_for_these() {
    for (make, expected) in [
        (Make::Apache, &[("level 10 without a page", 1, 6), ("stop", 0, 1)][..]),
        (Make::Nginx, &[("no configuration: start", 5, 6)]),
    ] {
        let found = [false, true].map(|theirs| {
            std::thread::spawn(move || codes(make, theirs)).join().expect("the agents run")
        });
        let pairs = found[0].iter().zip(&found[1]).filter(|(ours, theirs)| ours != theirs);
        let differ: Vec<_> =
            pairs.map(|(ours, theirs)| (ours.0, ours.1.unwrap(), theirs.1.unwrap())).collect();
        assert_eq!(differ, expected, "{make:?}: {:?}", found[1]);
    }
}

/// Of a main process that is killed, at once and once; of a stop, and of a worker that comes back, nothing.
#[test]
#[ignore = "needs root: tests/run services"]
fn a_killed_server_is_told_at_once() {
    let host = web();
    let path = stand_in(&host, "crm_resource");
    for make in BOTH {
        let server = pacemaker(agent(&host, make), &path);
        server.run("start").code(0);
        let watches = |(_, words): &(i32, String)| words.starts_with("ocfbox watch");
        host.await_that("the watcher", || host.living().iter().any(watches));
        host.kill("KILL", workers(&host)[0]);
        std::thread::sleep(Duration::from_millis(500));
        assert!(!host.path("told").exists(), "{make:?}: {}", host.log());
        let begin = Instant::now();
        host.kill("KILL", main(&host));
        is_told(&host, begin, SOON);
        server.run("stop").code(0);
        server.run("start").code(0);
        server.run("stop").code(0);
        assert_eq!(host.living(), [], "{make:?}");
        assert_eq!(fs::read_to_string(host.path("told")).unwrap().lines().count(), 1, "{make:?}");
        fs::remove_file(host.path("told")).unwrap();
    }
}
