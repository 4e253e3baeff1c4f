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

/// Heartbeat has no monitors: a service that dies is started again here, and the third time the other node gets all.
#[test]
#[ignore = "needs root: tests/run services"]
fn under_haresources_it_is_restarted_and_then_given_away() {
    let (host, path) = host("hb_standby");
    host.sh(&format!(
        "! [ -e /usr/share/heartbeat/hb_standby ] || mount --bind {} /usr/share/heartbeat/hb_standby",
        host.path("bin/hb_standby").display()
    ));
    let link = host.path("ha.d/resource.d/service");
    fs::create_dir_all(link.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_ocfbox"), &link).unwrap();
    let script = format!(
        "#!/bin/sh\nP=/run/app.pid\nalive() {{ kill -0 $(cat $P) 2>/dev/null; }}\ncase $1 in\n\
         start) alive || {} fork $P; sleep 0.2 ;;\nstop) kill $(cat $P); rm -f $P; exit 0 ;;\n\
         status) if alive; then exit 0; else exit 3; fi ;;\nesac\n",
        host.text("daemon")
    );
    fs::write("/etc/init.d/app", script).unwrap();
    set_mode("/etc/init.d/app".as_ref(), 0o755);
    let call = |action: &str| {
        let mut command = std::process::Command::new(&link);
        command.args(["app", action]).env_clear().env("PATH", &path);
        command.env("HA_LOGFILE", host.path("log")).stdin(std::process::Stdio::null());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{action}: {output:?}; log: {}", host.log());
    };
    call("start");
    assert_eq!(watchers(&host), 1, "{}", host.log());
    for _ in 0..2 {
        let pid = service_of(&host);
        host.kill("KILL", pid);
        host.await_that("the service to be started again", || {
            host.living().iter().any(|(other, words)| words.contains("/daemon") && *other != pid)
        });
        host.await_that("the restart to be over", || {
            host.log().matches("WARNING: restarted").count() > 0
                && host.living().iter().all(|(_, words)| !words.contains(" start"))
        });
        assert_eq!(told(&host), Vec::<String>::new(), "{}", host.log());
        assert_eq!(watchers(&host), 1, "the same one goes on");
    }
    host.await_that("two restarts", || host.log().matches("WARNING: restarted").count() == 2);
    let pid = service_of(&host);
    host.kill("KILL", pid);
    host.await_that("Heartbeat to be told", || !told(&host).is_empty());
    assert_eq!(told(&host), ["all"]);
    call("stop");
    assert_eq!(host.living(), [], "{}", host.log());
    assert_eq!(told(&host).len(), 1);
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
