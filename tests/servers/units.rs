//! The packages' own units, under a systemd that is process 1. What the packages' maintainers ask at installation is
//! answered here; where a package has no unit, systemd makes one of its init script.

use std::fs;
use std::process::Output;

use crate::laboratory::{PATIENCE, assert_failed, text};
use crate::support::{Call, Outcome};
use crate::systemd::Booted;

/// How long a server may take to start on a busy machine.
const START: u32 = 120;

/// What may have begun beside a server and is not its own.
const BYSTANDERS: [&str; 3] = ["dbus.service", "systemd-", "epmd.service"];

/// A server, and what its probes say.
struct Server {
    unit: &'static str,
    /// Its program; the test fails if it is not installed.
    program: &'static str,
    /// Shell commands that come first.
    setup: &'static [&'static str],
    /// What a namespace cannot give, taken from its section `[Service]`.
    without: &'static str,
    /// The probes, and a part of what each says.
    probes: &'static [(&'static str, &'static str)],
}

impl Server {
    const PLAIN: Self = Self { unit: "", program: "", setup: &[], without: "", probes: &[] };
}

/// A server under the systemd of a host.
struct Running<'a> {
    server: &'a Server,
    host: &'a mut Booted,
    call: Call,
}

/// Boots once for all of them; they run one after the other.
#[track_caller]
fn are_told_alive_from_dead(servers: &[Server]) {
    let mut host = Booted::new();
    host.sh("ln -s service /opt/ocfbox/ocfbox");
    host.is_a_copy();
    for server in servers {
        let mut running = Running::prepare(server, &mut host);
        running.is_started();
        running.hangs_and_goes_on();
        running.is_killed();
        running.is_started_again_and_stopped();
    }
}

impl Booted {
    /// What the servers write is thrown away.
    #[track_caller]
    fn is_a_copy(&self) {
        let mark = format!("/var/lib/ocfbox-units-{}", std::process::id());
        self.sh(&format!("touch {mark}"));
        assert!(!fs::exists(&mark).unwrap(), "the root of that host is the machine's own");
    }
}

impl<'a> Running<'a> {
    #[track_caller]
    fn prepare(server: &'a Server, host: &'a mut Booted) -> Self {
        let is_there = fs::exists(server.program).unwrap();
        assert!(is_there, "{} is not installed: run tests/run servers as root", server.program);
        host.sh(&format!("exec >/var/log/setup 2>&1\n{}", server.setup.join("\n")));
        if !server.without.is_empty() {
            let path = format!("/etc/systemd/system/{}.service.d/here.conf", server.unit);
            host.write(&path, &format!("[Service]\n{}\n", server.without), 0o644);
        }
        host.sh("systemctl daemon-reload");
        let checks: Vec<&str> = server.probes.iter().map(|(url, _)| *url).collect();
        let call = host.agent(server.unit).within(START).param("check", checks.join(" "));
        Self { server, host, call }
    }

    /// It starts, and start ends when it answers.
    #[track_caller]
    fn is_started(&mut self) {
        self.says("monitor", 7);
        self.says("start", 0);
        self.is_alive();
        let processes = self.main();
        self.says("start", 0);
        assert_eq!(self.main(), processes, "{} is started once", self.server.unit);
        assert_eq!(self.host.show(self.server.unit, "Restart"), "no");
    }

    /// The monitors agree, and so does each probe, whatever the server answers.
    #[track_caller]
    fn is_alive(&self) {
        for level in [0, 10] {
            let outcome = self.call.clone().level(level).recurring().run("monitor");
            assert_eq!(outcome.code, Some(0), "{}: {outcome:?}{}", self.server.unit, self.log());
        }
        for (url, said) in self.server.probes {
            let told = text(&self.probe(url));
            assert!(
                told.contains(": alive: ") && told.contains(said),
                "{said:?}: {told}{}",
                self.log()
            );
        }
    }

    /// All its processes stopped by a signal: no probe waits longer than it may. Then it goes on.
    #[track_caller]
    fn hangs_and_goes_on(&mut self) {
        let unit = self.server.unit;
        // One may end meanwhile, and others begin.
        self.host.await_that("a stop of all", |host| {
            let mut running = host.processes(unit);
            running.retain(|pid| !is_stopped(host, *pid));
            for pid in &running {
                host.sh(&format!("kill -STOP {pid} || true"));
            }
            running.is_empty()
        });
        assert_eq!(self.host.show(unit, "ActiveState"), "active");
        assert_failed(self.server.probes, &["first byte", "handshake"], |url| self.probe(url));
        let outcome = self.monitor().code(1).because(&["stopped by a signal", "kill -CONT"]);
        assert!(outcome.took < PATIENCE, "{unit}: {:?}", outcome.took);
        for pid in self.host.processes(unit) {
            self.host.sh(&format!("kill -CONT {pid} || true"));
        }
        let server = self.server;
        self.host.await_that("answers", |host| {
            server.probes.iter().all(|(url, _)| probe(host, url).status.success())
        });
        self.is_alive();
    }

    /// Its main process is killed: it is not running, or it has failed while its parts live.
    #[track_caller]
    fn is_killed(&mut self) {
        let main = self.main();
        self.host.sh(&format!("kill -KILL {main}"));
        // A process of many threads takes a while to die.
        self.host.await_that("a death", |host| has_state(host, main, 'Z'));
        let outcome = self.monitor();
        let living = self.host.processes(self.server.unit);
        match outcome.code {
            Some(7) => assert_eq!(living, [0; 0], "{} is said to be gone", self.server.unit),
            Some(1) => {}
            _ => panic!("{} is killed: {outcome:?}; {living:?}", self.server.unit),
        }
    }

    /// It stops, and nothing answers and nothing is left.
    #[track_caller]
    fn is_started_again_and_stopped(&self) {
        self.says("start", 0);
        self.is_alive();
        self.says("stop", 0);
        self.host.is_clean(self.server.unit);
        assert_eq!(living(self.host), [""; 0], "{}", self.server.unit);
        assert_failed(self.server.probes, &["connect", "first byte"], |url| self.probe(url));
        self.says("monitor", 7);
        self.says("stop", 0);
    }

    /// Its main process, as systemd has it, or else the oldest one.
    #[track_caller]
    fn main(&self) -> i32 {
        let unit = self.server.unit;
        match self.host.show(unit, "MainPID").parse() {
            Ok(0) => self.host.processes(unit).into_iter().min().expect("a process"),
            known => known.expect("a number"),
        }
    }

    fn monitor(&self) -> Outcome {
        self.call.clone().recurring().run("monitor")
    }

    #[track_caller]
    fn says(&self, action: &str, code: i32) {
        let outcome = self.call.run(action);
        assert_eq!(
            outcome.code,
            Some(code),
            "{} {action}: {outcome:?}{}",
            self.server.unit,
            self.log()
        );
    }

    fn probe(&self, url: &str) -> Output {
        probe(self.host, url)
    }

    fn log(&self) -> String {
        let unit = self.server.unit;
        let journal = format!("journalctl --no-pager -n 20 -u {unit} || true; cat /var/log/setup");
        format!("\n{}\n{}", self.host.sh(&journal), self.host.log())
    }
}

fn probe(host: &Booted, url: &str) -> Output {
    let words = host.enter();
    let mut command = std::process::Command::new(words[0]);
    command.args(&words[1..]).args(["/opt/ocfbox/ocfbox", "probe", url]).env_clear();
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").output().expect("nsenter")
}

fn is_stopped(host: &Booted, pid: i32) -> bool {
    has_state(host, pid, 'T') || has_state(host, pid, 'Z')
}

/// Whether it is in that state, or gone.
fn has_state(host: &Booted, pid: i32, state: char) -> bool {
    let stat = fs::read_to_string(host.inside(&format!("/proc/{pid}/stat"))).unwrap_or_default();
    stat.rsplit(") ").next().is_none_or(|rest| rest.starts_with(state) || rest.is_empty())
}

/// Control groups of units that have processes, but for those of the system.
fn living(host: &Booted) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(host.inside("/proc")).expect("/proc").flatten() {
        let groups = fs::read_to_string(entry.path().join("cgroup")).unwrap_or_default();
        let group = groups.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default();
        if group.contains("/system.slice/") && !BYSTANDERS.iter().any(|name| group.contains(name)) {
            found.push(group.to_owned());
        }
    }
    found
}

/// Says whether a datagram socket is bound to a port: some protocols have no question that changes nothing.
const LISTENS: &str = r"printf '#!/bin/sh\nss -Hlun sport = :$1 | grep -q .\n' >/opt/listens; chmod 755 /opt/listens
    ip link add lan type veth peer name client || true
    ip addr replace 192.0.2.1/24 brd + dev lan; ip link set lan up; ip link set client up";

#[test]
#[ignore = "needs root and the servers: tests/run servers"]
fn web_mail_and_files() {
    are_told_alive_from_dead(&[
        Server {
            unit: "apache2",
            program: "/usr/sbin/apache2",
            probes: &[("http://127.0.0.1/", "200 OK")],
            ..Server::PLAIN
        },
        Server {
            unit: "nginx",
            program: "/usr/sbin/nginx",
            probes: &[("http://127.0.0.1/", "200 OK")],
            ..Server::PLAIN
        },
        Server {
            unit: "vsftpd",
            program: "/usr/sbin/vsftpd",
            probes: &[("ftp://127.0.0.1", "220 (vsFTPd")],
            ..Server::PLAIN
        },
        Server {
            unit: "postfix@-",
            program: "/usr/sbin/postfix",
            setup: &["sed '/^myhostname/d' /usr/share/postfix/main.cf.debian >/etc/postfix/main.cf
                echo 'myhostname = mail.example.org' >>/etc/postfix/main.cf"],
            probes: &[("smtp://127.0.0.1", "220 mail.example.org")],
            ..Server::PLAIN
        },
        Server {
            unit: "dovecot",
            program: "/usr/sbin/dovecot",
            without: "PrivateDevices=no",
            probes: &[
                ("imap://127.0.0.1", "* OK"),
                ("pop3://127.0.0.1", "+OK"),
                ("imaps://127.0.0.1#insecure=1", "* OK"),
            ],
            ..Server::PLAIN
        },
        Server {
            unit: "ssh",
            program: "/usr/sbin/sshd",
            setup: &["ssh-keygen -A"],
            probes: &[("ssh://127.0.0.1", "SSH-2.0-OpenSSH")],
            ..Server::PLAIN
        },
        Server {
            unit: "smbd",
            program: "/usr/sbin/smbd",
            probes: &[("smb://127.0.0.1", "a response")],
            ..Server::PLAIN
        },
        Server {
            unit: "nmbd",
            program: "/usr/sbin/nmbd",
            setup: &[LISTENS],
            probes: &[("exec:///opt/listens?137", "exit")],
            ..Server::PLAIN
        },
    ]);
}

#[test]
#[ignore = "needs root and the servers: tests/run servers"]
fn databases_and_directories() {
    are_told_alive_from_dead(&[
        Server {
            unit: "mariadb",
            program: "/usr/sbin/mariadbd",
            setup: &["rm -rf /var/lib/mysql/*; mariadb-install-db --user=mysql --skip-test-db"],
            probes: &[
                ("mysql://nobody@127.0.0.1", "error 1045"),
                ("mysql://#socket=/run/mysqld/mysqld.sock", "MariaDB"),
            ],
            ..Server::PLAIN
        },
        Server {
            unit: "postgresql@15-main",
            program: "/usr/lib/postgresql/15/bin/postgres",
            setup: &[
                "rm -rf /etc/postgresql/* /var/lib/postgresql/*; pg_createcluster 15 main -- -N",
            ],
            probes: &[("postgresql://nobody@127.0.0.1/nothing", "accepting connections")],
            ..Server::PLAIN
        },
        Server {
            unit: "redis-server",
            program: "/usr/bin/redis-server",
            without: "PrivateDevices=no\nPrivateUsers=no",
            probes: &[("redis://127.0.0.1", "PONG")],
            ..Server::PLAIN
        },
        Server {
            unit: "memcached",
            program: "/usr/bin/memcached",
            without: "PrivateDevices=no",
            probes: &[("memcached://127.0.0.1", "VERSION 1.")],
            ..Server::PLAIN
        },
        Server {
            unit: "slapd",
            program: "/usr/sbin/slapd",
            setup: &["rm -rf /etc/ldap/slapd.d /var/lib/ldap/*; cat >/etc/ldap/slapd.conf <<END
include /etc/ldap/schema/core.schema
pidfile /run/slapd/slapd.pid
modulepath /usr/lib/ldap
moduleload back_mdb
disallow bind_anon
database mdb
directory /var/lib/ldap
suffix dc=example,dc=org
END"],
            probes: &[("ldap://127.0.0.1", "refused with result 48")],
            ..Server::PLAIN
        },
    ]);
}

#[test]
#[ignore = "needs root and the servers: tests/run servers"]
fn names_addresses_calls_and_messages() {
    are_told_alive_from_dead(&[
        Server {
            unit: "named",
            program: "/usr/sbin/named",
            probes: &[("dns://127.0.0.1/localhost?type=SOA", "1 record(s)")],
            ..Server::PLAIN
        },
        Server {
            unit: "isc-dhcp-server",
            program: "/usr/sbin/dhcpd",
            setup: &[
                LISTENS,
                "echo 'INTERFACESv4=\"lan\"' >/etc/default/isc-dhcp-server
                echo 'subnet 192.0.2.0 netmask 255.255.255.0 { range 192.0.2.10 192.0.2.20; }' >/etc/dhcp/dhcpd.conf",
            ],
            probes: &[("exec:///opt/listens?67", "exit")],
            ..Server::PLAIN
        },
        Server {
            unit: "freeradius",
            program: "/usr/sbin/freeradius",
            setup: &["echo testing123 >/opt/secret"],
            probes: &[("radius://127.0.0.1#secretfile=/opt/secret", "an answer")],
            ..Server::PLAIN
        },
        Server {
            unit: "kamailio",
            program: "/usr/sbin/kamailio",
            setup: &[r#"cat >/etc/kamailio/kamailio.cfg <<END
children=1
listen=udp:127.0.0.1:5060
listen=tcp:127.0.0.1:5060
loadmodule "sl.so"
request_route { sl_send_reply("403", "Not you"); }
END"#],
            probes: &[
                ("sip://127.0.0.1", "SIP/2.0 403 Not you"),
                ("sip+tcp://127.0.0.1", "SIP/2.0 403 Not you"),
            ],
            ..Server::PLAIN
        },
        Server {
            unit: "mosquitto",
            program: "/usr/sbin/mosquitto",
            probes: &[("mqtt://127.0.0.1", "accepted")],
            ..Server::PLAIN
        },
        Server {
            unit: "rabbitmq-server",
            program: "/usr/sbin/rabbitmq-server",
            setup: &[r#"echo "127.0.0.1 $(hostname)" >>/etc/hosts"#],
            probes: &[("amqp://127.0.0.1", "Connection.Start")],
            ..Server::PLAIN
        },
    ]);
}
