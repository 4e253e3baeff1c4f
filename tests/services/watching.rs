//! Watchers of services: the end of a process, one that is stopped, a server that does not answer; and haresources, where the
//! watcher is the only one that looks.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::{Call, Host, set_mode};
use crate::systemd::Booted;

/// On a machine that does much else; a monitor every ten seconds takes five on average.
pub const SOON: Duration = Duration::from_secs(3);

fn host(program: &str) -> (Host, String) {
    let host = Host::new();
    let path = stand_in(&host, program);
    (host, path)
}

/// A program in the place of the manager's, which writes down what it was called with; and the path on which it comes first.
pub fn stand_in(host: &Host, program: &str) -> String {
    fs::create_dir(host.path("bin")).unwrap();
    let file = host.path("bin").join(program);
    fs::write(&file, format!("#!/bin/sh\necho \"$*\" >> {}\n", host.text("told"))).unwrap();
    set_mode(&file, 0o755);
    format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", host.text("bin"))
}

pub fn pacemaker(call: Call, path: &str) -> Call {
    call.param("watch", "yes")
        .param("crm_feature_set", "3.19.0")
        .param("CRM_meta_on_node", "node1")
        .env("PATH", path)
}

fn told(host: &Host) -> Vec<String> {
    let text = fs::read_to_string(host.path("told")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// The service's process; the watcher's words begin with `ocfbox watch`.
#[track_caller]
fn service_of(host: &Host) -> i32 {
    let living = host.living();
    let mut found = living.iter().filter(|(_, words)| words.contains("/daemon"));
    found.next().unwrap_or_else(|| panic!("no service in {living:?}")).0
}

fn watchers(host: &Host) -> usize {
    host.living().iter().filter(|(_, words)| words.contains("watch --behind")).count()
}

#[track_caller]
pub fn is_told(host: &Host, begin: Instant, soon: Duration) {
    host.await_that("the cluster to be told", || !told(host).is_empty());
    let took = begin.elapsed();
    assert!(took < soon, "told after {took:?}");
    let told = told(host);
    let of_one = told[0].starts_with("--fail --resource ") && told[0].ends_with(" --node node1");
    assert!(told.len() == 1 && of_one, "{told:?}");
}

#[test]
#[ignore = "needs root: tests/run services"]
fn the_end_of_a_process_is_told_at_once() {
    let (host, path) = host("crm_resource");
    a_killed_one_is_told(&host, &path);
}

#[test]
#[ignore = "needs root: tests/run services"]
fn the_end_of_a_process_is_told_at_once_without_control_groups() {
    let (host, path) = host("crm_resource");
    host.sh("mount -t tmpfs tmpfs /sys/fs/cgroup");
    a_killed_one_is_told(&host, &path);
}

#[track_caller]
fn a_killed_one_is_told(host: &Host, path: &str) {
    let service = pacemaker(host.service("stay"), path);
    service.run("start").code(0);
    assert_eq!(watchers(host), 1);
    let pid = service_of(host);
    let begin = Instant::now();
    host.kill("KILL", pid);
    is_told(host, begin, SOON);
    service.run("stop").code(0);
    assert_eq!(host.living(), []);
    assert_eq!(told(host).len(), 1);
}

/// No event tells of it; a look does.
#[test]
#[ignore = "needs root: tests/run services"]
fn a_stopped_process_is_told_within_two_intervals() {
    let (host, path) = host("crm_resource");
    let service = pacemaker(host.anything("stay"), &path).param("watch_interval", "0.5");
    service.run("start").code(0);
    let pid = service_of(&host);
    let begin = Instant::now();
    host.kill("STOP", pid);
    is_told(&host, begin, SOON);
    service.run("stop").code(0);
    assert_eq!(host.living(), []);
}

/// What the service is asked to end by is no failure.
#[test]
#[ignore = "needs root: tests/run services"]
fn stop_is_never_told() {
    let (host, path) = host("crm_resource");
    let service = pacemaker(host.service("stay"), &path).param("settle", "0");
    for _ in 0..10 {
        service.run("start").code(0);
        service.run("stop").code(0);
        assert_eq!(host.living(), []);
    }
    assert_eq!(told(&host), Vec::<String>::new(), "{}", host.log());
}

/// Heartbeat's side of a node: programs of its own that write down what they are told, and a resource by its init script.
struct Heartbeat {
    host: Host,
    path: String,
}

impl Heartbeat {
    /// `other_node` is what it says of the other one.
    fn new(other_node: &str) -> Self {
        let (host, path) = host("hb_standby");
        host.sh(&format!(
            "! [ -e /usr/share/heartbeat/hb_standby ] || mount --bind {} /usr/share/heartbeat/hb_standby",
            host.path("bin/hb_standby").display()
        ));
        let heartbeat = Self { host, path };
        heartbeat.program(
            "cl_status",
            &format!(
                "case $1 in rscstatus) echo all ;; listnodes) printf 'node2\nnode1\n' ;;\n\
                 nodestatus) [ $2 = node2 ] && echo {other_node} ;; esac"
            ),
        );
        let link = heartbeat.link();
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_ocfbox"), &link).unwrap();
        let script = format!(
            "#!/bin/sh\nP=/run/app.pid\nalive() {{ kill -0 $(cat $P) 2>/dev/null; }}\ncase $1 in\n\
             start) alive || {} fork $P; sleep 0.2 ;;\nstop) kill $(cat $P); rm -f $P; exit 0 ;;\n\
             status) if alive; then exit 0; else exit 3; fi ;;\nesac\n",
            heartbeat.host.text("daemon")
        );
        fs::write("/etc/init.d/app", script).unwrap();
        set_mode("/etc/init.d/app".as_ref(), 0o755);
        heartbeat
    }

    fn link(&self) -> std::path::PathBuf {
        self.host.path("ha.d/resource.d/service")
    }

    fn program(&self, name: &str, script: &str) {
        let file = self.host.path("bin").join(name);
        fs::write(&file, format!("#!/bin/sh\nDIR={}\n{script}\n", self.host.path("").display()))
            .unwrap();
        set_mode(&file, 0o755);
    }

    /// As ResourceManager calls: the action comes last.
    #[track_caller]
    fn call(&self, link: &std::path::Path, words: &[&str]) {
        let mut command = std::process::Command::new(link);
        command.args(words).env_clear().env("PATH", &self.path).env("HA_CURHOST", "node1");
        command.env("HA_LOGFILE", self.host.path("log")).stdin(std::process::Stdio::null());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}; log: {}", self.host.log());
    }

    #[track_caller]
    fn kill(&self) -> i32 {
        let pid = service_of(&self.host);
        self.host.kill("KILL", pid);
        pid
    }

    /// Kills the service, and returns when it is started again and `count` restarts of that kind are told.
    #[track_caller]
    fn kill_and_await(&self, words: &str, count: usize) {
        let pid = self.kill();
        self.host.await_that("the service to be started again", || {
            let again = |(other, words): &(i32, String)| words.contains("/daemon") && *other != pid;
            self.host.living().iter().any(again) && self.host.log().matches(words).count() == count
        });
        // What it runs has its words until it executes a program.
        self.host.await_that("the watcher to be the only one", || watchers(&self.host) == 1);
    }
}

/// What the log says of a restart that is within the limit, and of one beyond it.
const RESTARTED: &str = "WARNING: restarted (";
const BEYOND: &str = "WARNING: restarted beyond watch_restarts";

/// Heartbeat has no monitors: a service that dies is started again here, and the third time the other node gets all.
#[test]
#[ignore = "needs root: tests/run services"]
fn under_haresources_it_is_restarted_and_then_given_away() {
    restarted_and_given_away(&Heartbeat::new("active"));
}

/// No event of a group tells of the second death.
#[test]
#[ignore = "needs root: tests/run services"]
fn under_haresources_it_is_restarted_and_then_given_away_without_control_groups() {
    let heartbeat = Heartbeat::new("active");
    heartbeat.host.sh("mount -t tmpfs tmpfs /sys/fs/cgroup");
    restarted_and_given_away(&heartbeat);
}

#[track_caller]
fn restarted_and_given_away(heartbeat: &Heartbeat) {
    let host = &heartbeat.host;
    heartbeat.call(&heartbeat.link(), &["app", "start"]);
    assert_eq!(watchers(host), 1, "{}", host.log());
    for count in 1..=2 {
        heartbeat.kill_and_await(RESTARTED, count);
        assert_eq!(told(host), Vec::<String>::new(), "{}", host.log());
    }
    heartbeat.kill();
    host.await_that("Heartbeat to be told", || !told(host).is_empty());
    assert_eq!(told(host), ["all"]);
    heartbeat.call(&heartbeat.link(), &["app", "stop"]);
    assert_eq!(host.living(), [], "{}", host.log());
    assert_eq!(told(host).len(), 1);
}

/// Killed again as soon as the restart is over: no death is missed.
#[test]
#[ignore = "needs root: tests/run services"]
fn a_service_that_dies_again_and_again_is_restarted_each_time() {
    let heartbeat = Heartbeat::new("active");
    let host = &heartbeat.host;
    heartbeat.call(&heartbeat.link(), &["app", "watch_restarts=1000", "start"]);
    for _ in 0..20 {
        let pid = heartbeat.kill();
        host.await_that("the restart to be over", || {
            let living = host.living();
            let again = |(other, words): &(i32, String)| words.contains("/daemon") && *other != pid;
            living.iter().any(again) && living.iter().all(|(_, words)| !words.ends_with(" start"))
        });
    }
    heartbeat.call(&heartbeat.link(), &["app", "stop"]);
    assert_eq!(host.living(), [], "{}", host.log());
}

/// The words of a line say how it is watched: how often, or not at all.
#[test]
#[ignore = "needs root: tests/run services"]
fn a_haresources_line_says_how_it_is_watched() {
    let heartbeat = Heartbeat::new("active");
    let host = &heartbeat.host;
    heartbeat.call(&heartbeat.link(), &["app", "watch=false", "start"]);
    assert_eq!(watchers(host), 0, "{}", host.log());
    heartbeat.call(&heartbeat.link(), &["app", "watch=false", "stop"]);
    heartbeat.call(&heartbeat.link(), &["app", "watch_restarts=0", "start"]);
    heartbeat.kill();
    host.await_that("Heartbeat to be told", || !told(host).is_empty());
    // The line was edited meanwhile, and the resource is the same.
    heartbeat.call(&heartbeat.link(), &["app", "watch_restart=1", "stop"]);
    assert_eq!((host.living(), host.log().matches(RESTARTED).count()), (vec![], 0));
}

/// Where the other node is dead there is no better place: it is started again here, at once and then every ten seconds.
#[test]
#[ignore = "needs root: tests/run services"]
fn a_node_that_is_alone_keeps_it_alive() {
    let heartbeat = Heartbeat::new("dead");
    let host = &heartbeat.host;
    heartbeat.call(&heartbeat.link(), &["app", "watch_restarts=1", "start"]);
    heartbeat.kill_and_await(RESTARTED, 1);
    heartbeat.kill_and_await(BEYOND, 1);
    let begin = Instant::now();
    heartbeat.kill_and_await(BEYOND, 2);
    let took = begin.elapsed();
    assert!(took > Duration::from_secs(8), "after {took:?}");
    assert!(host.log().contains("since no other node is active"), "{}", host.log());
    assert_eq!(told(host), Vec::<String>::new());
    heartbeat.call(&heartbeat.link(), &["app", "stop"]);
    assert_eq!(host.living(), [], "{}", host.log());
}

/// Heartbeat takes no notice of `hb_standby` in more than one of its states, which ends with 0 all the same.
#[test]
#[ignore = "needs root: tests/run services"]
fn what_heartbeat_does_not_take_away_is_started_again() {
    let heartbeat = Heartbeat::new("active");
    let host = &heartbeat.host;
    heartbeat.call(&heartbeat.link(), &["app", "watch_restarts=0", "start"]);
    heartbeat.kill_and_await(BEYOND, 1);
    assert_eq!(told(host), ["all"]);
    assert!(host.log().contains("since Heartbeat did not take it away"), "{}", host.log());
    // Both nodes have it by turns, on which it does not live: no more than once within watch_window.
    heartbeat.call(&heartbeat.link(), &["app", "watch_restarts=0", "stop"]);
    heartbeat.call(&heartbeat.link(), &["app", "watch_restarts=0", "start"]);
    heartbeat.kill_and_await(BEYOND, 2);
    assert!(host.log().contains("has come back"), "{}", host.log());
    assert_eq!(told(host), ["all"]);
    heartbeat.call(&heartbeat.link(), &["app", "stop"]);
    assert_eq!(host.living(), [], "{}", host.log());
}

/// Whoever gets mails of the group hears why, before Heartbeat's stop strikes him from the list; a mail server that hangs
/// delays nothing.
#[test]
#[ignore = "needs root: tests/run services"]
fn the_reason_is_mailed() {
    let heartbeat = Heartbeat::new("active");
    let host = &heartbeat.host;
    heartbeat.program("hb_standby", &format!("echo \"$*\" >>{}", host.text("told")));
    // Each mail takes a second, and more than one at a time.
    heartbeat
        .program("sendmail", "cat >\"$DIR/new.$$\"; sleep 1; mv \"$DIR/new.$$\" \"$DIR/mail.$$\"");
    let mailto = heartbeat.link().with_file_name("MailTo");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_ocfbox"), &mailto).unwrap();
    let mails = || {
        let files = fs::read_dir(host.path("")).unwrap().flatten().map(|entry| entry.path());
        let named =
            files.filter(|file| file.file_name().unwrap().to_string_lossy().starts_with("mail."));
        let texts = named.map(|file| fs::read_to_string(file).unwrap());
        texts.filter(|mail| mail.contains("What:  failure of")).collect::<Vec<_>>()
    };
    let words = ["app", "watch_restarts=1"];
    heartbeat.call(&heartbeat.link(), &[&words[..], &["start"]].concat());
    heartbeat.call(&mailto, &["admin@example.org", "Shop", "start"]);
    heartbeat.kill_and_await(RESTARTED, 1);
    host.await_that("the first mail", || mails().len() == 1);
    let mail = mails().remove(0);
    for line in [
        "To: admin@example.org\n",
        "Subject: Shop service_app has failed at ",
        "Where: node1",
        "Why:   it does not run; restarted (1 of 1 within watch_window)\n",
    ] {
        assert!(mail.contains(line), "no {line:?} in {mail}");
    }
    heartbeat.kill();
    host.await_that("Heartbeat to be told", || !told(host).is_empty());
    // As Heartbeat does then: the last one of the line is stopped first.
    heartbeat.call(&mailto, &["admin@example.org", "Shop", "stop"]);
    heartbeat.call(&heartbeat.link(), &[&words[..], &["stop"]].concat());
    host.await_that("the second mail", || mails().len() == 2);
    let given = "giving all resources to the other node\n";
    assert!(mails().iter().any(|mail| mail.contains(given)), "{:?}", mails());
    host.await_that("the couriers' end", || host.living().is_empty());
    assert!(!host.log().contains("no mail"), "{}", host.log());
}

/// A watcher that gets no time accuses nobody: stopped by a signal as by a freezer, throttled as by a quota, and the last of many who
/// want to run. Of a server that hangs it tells all the same.
#[test]
#[ignore = "needs root: tests/run services"]
fn who_is_starved_himself_accuses_nobody() {
    let (host, path) = host("crm_resource");
    host.sh("ip link set lo up");
    let service = pacemaker(host.service("serve-slowly 8080 200"), &path)
        .param("check", "http://127.0.0.1:8080/#timeout=600ms")
        .param("watch_interval", "0.1");
    service.run("start").code(0);
    let server = service_of(&host);
    let living = host.living();
    let watcher = living.iter().find(|(_, words)| words.contains("watch --behind")).unwrap().0;
    let held = |off: u64, on: u64, times: u64| {
        for time in 0..times {
            host.sh(&format!("kill -STOP {watcher}"));
            std::thread::sleep(Duration::from_millis(off));
            host.sh(&format!("kill -CONT {watcher}"));
            // Each time at another moment of a look.
            std::thread::sleep(Duration::from_millis(on + 37 * time % 300));
        }
    };
    held(3000, 50, 3);
    held(700, 5, 10);
    held(100, 2, 20);
    host.sh(&format!(
        "renice -n 19 -p {watcher} >/dev/null
         for n in $(seq $((8 * $(nproc)))); do timeout 6 sh -c 'while :; do :; done' & done; wait || true"
    ));
    assert_eq!(told(&host), Vec::<String>::new(), "{}", host.log());
    assert_eq!(watchers(&host), 1);
    let begin = Instant::now();
    host.kill("USR1", server);
    is_told(&host, begin, Duration::from_mins(1));
    service.run("stop").code(0);
    assert_eq!(host.living(), []);
}

/// A unit of systemd, and a program in there that writes down whom the watcher tells.
#[track_caller]
fn watched_unit(host: &Booted, name: &str, lines: &str) -> Call {
    host.write("/opt/bin/crm_resource", "#!/bin/sh\necho \"$*\" >>/run/told\n", 0o755);
    let path = "/opt/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let service = pacemaker(host.unit(name, lines), path);
    service.run("start").code(0);
    service
}

fn told_inside(host: &Booted) -> String {
    fs::read_to_string(host.inside("/run/told")).unwrap_or_default()
}

/// How often the watcher of the unit has slept.
#[track_caller]
fn sleeps(host: &Booted, name: &str) -> u64 {
    let pid = host.sh(&format!("pgrep -f '^ocfbox watch .* {name}$'"));
    let status = host.inside(&format!("/proc/{}/status", pid.trim()));
    let status = fs::read_to_string(status).unwrap();
    let line = status.lines().find(|line| line.starts_with("voluntary")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The processes of these say nothing: systemd does.
#[test]
#[ignore = "needs root: tests/run services"]
fn a_unit_that_somebody_stops_is_told_at_once_and_an_idle_one_costs_nothing() {
    let mut host = Booted::new();
    let units = [
        ("remains", "Type=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true"),
        (
            "parts",
            "Type=forking\nGuessMainPID=no\nExecStart=/bin/sh -c 'sleep infinity & sleep infinity &'",
        ),
        ("plain", "ExecStart=/bin/sleep infinity"),
    ];
    for (name, lines) in units {
        let service = watched_unit(&host, name, lines);
        // It has made its first looks, and nothing happens to it.
        std::thread::sleep(Duration::from_millis(1500));
        let before = sleeps(&host, name);
        let other = host.unit("other", "Type=oneshot\nExecStart=/bin/true");
        host.sh("for n in 1 2 3; do systemctl start other; done");
        drop(other);
        std::thread::sleep(Duration::from_secs(2));
        assert_eq!(sleeps(&host, name), before, "{name}");
        let begin = Instant::now();
        host.sh(&format!("systemctl stop {name}"));
        host.await_that("the cluster to be told", |host| !told_inside(host).is_empty());
        assert!(begin.elapsed() < SOON, "{name}: {:?}", begin.elapsed());
        let told = told_inside(&host);
        assert_eq!(told, format!("--fail --resource {name} --node node1\n"));
        service.run("stop").code(0);
        // What the cluster asks for is no failure.
        service.run("start").code(0);
        service.run("stop").code(0);
        assert_eq!(told_inside(&host), told, "{}", host.log());
        assert_eq!(host.sh("pgrep -af '^ocfbox watch' || true"), "");
        host.sh("rm /run/told");
    }
}

/// The bus that told of the unit goes, and comes back.
#[test]
#[ignore = "needs root: tests/run services"]
fn a_bus_that_is_restarted_is_listened_to_again() {
    let mut host = Booted::new();
    let service =
        watched_unit(&host, "remains", "Type=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true");
    for _ in 0..2 {
        std::thread::sleep(Duration::from_secs(1));
        let before = sleeps(&host, "remains");
        host.sh("systemctl restart dbus.service");
        host.await_that("the watcher to see it", |host| sleeps(host, "remains") > before);
        // By then it listens again, and is not looking each second.
        std::thread::sleep(Duration::from_secs(5));
        let before = sleeps(&host, "remains");
        std::thread::sleep(Duration::from_secs(3));
        assert_eq!(sleeps(&host, "remains"), before, "{}", host.log());
    }
    assert_eq!(told_inside(&host), "", "{}", host.log());
    let begin = Instant::now();
    host.sh("systemctl stop remains");
    host.await_that("the cluster to be told", |host| !told_inside(host).is_empty());
    assert!(begin.elapsed() < SOON);
    service.run("stop").code(0);
}

/// Starts and stops an agent as a unit of systemd, as drbd-reactor does: its process is the unit's main one, and looks twice a minute.
const WRAPPER: &str = r#"#!/bin/sh
case $1 in
start) $AGENT start || exit 1; systemd-notify --ready; while $AGENT monitor; do sleep 30; done; exit 1 ;;
stop) [ "$EXIT_CODE$EXIT_STATUS" = exited0 ] || $AGENT stop ;;
esac
"#;

#[test]
#[ignore = "needs root: tests/run services"]
fn a_unit_ends_with_failure_and_systemd_starts_it_again() {
    let mut host = Booted::new();
    host.write("/opt/wrapper", WRAPPER, 0o755);
    let ways = [
        "Type=notify\nNotifyAccess=all\nEnvironment=OCF_RESKEY_watch=yes\n\
         ExecStart=/opt/wrapper start\nExecStopPost=/opt/wrapper stop",
        "ExecStartPre=/opt/ocfbox/IPaddr2 start\nExecStopPost=/opt/ocfbox/IPaddr2 stop\n\
         ExecStart=/opt/ocfbox/ocfbox watch IPaddr2 ip=192.0.2.10 nic=d0 cidr_netmask=24",
    ];
    host.sh("ln -s service /opt/ocfbox/IPaddr2; ln -s service /opt/ocfbox/ocfbox
        ip link add d0 type veth peer name d1; ip link set d0 up; ip link set d1 up");
    for (number, lines) in ways.iter().enumerate() {
        let unit = format!("address{number}");
        host.unit(
            &unit,
            &format!(
                "Restart=always\nEnvironment=OCF_ROOT=/usr/lib/ocf OCF_RESOURCE_INSTANCE={unit} \
                 AGENT=/opt/ocfbox/IPaddr2 OCF_RESKEY_ip=192.0.2.10 OCF_RESKEY_nic=d0 \
                 OCF_RESKEY_cidr_netmask=24 OCF_RESKEY_conflict_check=no\n{lines}"
            ),
        );
        let is_there = |host: &Booted| host.sh("ip -br addr show d0").contains("192.0.2.10/24");
        host.sh(&format!("systemctl start {unit}"));
        host.await_that("the address", |host| is_there(host));
        host.await_that("a watcher", |host| {
            host.sh(&format!("systemd-cgls -u {unit} --no-pager || true")).contains("ocfbox watch")
        });
        std::thread::sleep(Duration::from_millis(500));
        let begin = Instant::now();
        host.sh("ip addr del 192.0.2.10/24 dev d0");
        host.await_that("systemd's restart", |host| is_there(host));
        let took = begin.elapsed();
        assert!(took < SOON, "back after {took:?}");
        assert_eq!(host.show(&unit, "NRestarts"), "1", "{}", host.log());
        host.sh(&format!("systemctl stop {unit}"));
        assert!(!is_there(&host));
        let left = host.sh("pgrep -af '^ocfbox watch' || true");
        assert_eq!(left, "", "a watcher is left");
    }
}

/// A unit in which a resource was started in passing is somebody else's, and is never ended: cron, a daemon that runs a script, a
/// script that sets the parameters itself. That the failure went nowhere is told once, with what mends it.
#[test]
#[ignore = "needs root: tests/run services"]
fn a_unit_that_is_not_the_resources_own_is_left_alone() {
    let mut host = Booted::new();
    host.sh("ln -s service /opt/ocfbox/IPaddr2; ln -s service /opt/ocfbox/ocfbox
        ip link add d0 type veth peer name d1; ip link set d0 up; ip link set d1 up");
    host.write(
        "/opt/stranger",
        "#!/bin/sh\nexport OCF_ROOT=/usr/lib/ocf OCF_RESOURCE_INSTANCE=vip OCF_RESKEY_watch=yes HA_LOGFILE=/var/log/agent
        export OCF_RESKEY_ip=192.0.2.10 OCF_RESKEY_nic=d0 OCF_RESKEY_cidr_netmask=24 OCF_RESKEY_conflict_check=no
        /opt/ocfbox/IPaddr2 start\nexec sleep 1000\n",
        0o755,
    );
    host.write("/opt/short", "#!/bin/sh\nsed s/exec.*// /opt/stranger | sh\n", 0o755);
    // As a job of cron or a script that becomes a daemon; a unit of another resource; and one that has no process any more.
    let ways = [
        ("", "for something else"),
        ("Environment=OCF_RESOURCE_INSTANCE=vip OCF_RESKEY_ip=192.0.2.11", "for something else"),
        (
            "Type=oneshot\nRemainAfterExit=yes\nKillMode=process\nEnvironment=OCF_RESOURCE_INSTANCE=vip \
             OCF_RESKEY_ip=192.0.2.10 OCF_RESKEY_nic=d0 OCF_RESKEY_cidr_netmask=24 OCF_RESKEY_conflict_check=no",
            "no main process",
        ),
    ];
    for (number, (lines, words)) in ways.into_iter().enumerate() {
        let unit = format!("stranger{number}");
        let short = lines.contains("oneshot");
        let script = if short { "/opt/short" } else { "/opt/stranger" };
        host.unit(
            &unit,
            &format!("Environment=PATH=/usr/sbin:/usr/bin:/sbin:/bin\n{lines}\nExecStart={script}"),
        );
        host.sh(&format!("systemctl start {unit}"));
        host.await_that("a watcher", |host| {
            !host.sh("pgrep -af '^ocfbox watch' || true").is_empty()
        });
        std::thread::sleep(Duration::from_millis(500));
        let main = if short { 0 } else { host.main(&unit) };
        host.sh("ip addr del 192.0.2.10/24 dev d0");
        let told = "nobody is told of it";
        host.await_that("the failure in the log", |host| host.log().matches(told).count() > number);
        std::thread::sleep(Duration::from_millis(1500));
        let log = host.log();
        assert_eq!(log.matches(told).count(), number + 1, "told once: {log}");
        assert!(log.lines().rfind(|line| line.contains(told)).unwrap().contains(words), "{log}");
        assert!(log.contains("a unit of its own"), "{log}");
        assert_eq!(host.show(&unit, "ActiveState"), "active", "{log}");
        assert!(short || host.main(&unit) == main, "the main process of a stranger was killed");
        host.sh("OCF_ROOT=/usr/lib/ocf OCF_RESOURCE_INSTANCE=vip OCF_RESKEY_ip=192.0.2.10 /opt/ocfbox/IPaddr2 stop");
        assert_eq!(host.sh("pgrep -af '^ocfbox watch' || true"), "", "a watcher is left");
        host.sh(&format!("systemctl stop {unit}"));
    }
}
