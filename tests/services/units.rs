//! `service` with systemd units, under a systemd of the test's own.

use std::time::Duration;

use crate::systemd::Booted;

const STAYS: &str = "ExecStart=/bin/sleep infinity";

#[test]
#[ignore = "needs root: tests/run services"]
fn units_of_each_type_start_run_and_stop() {
    let host = Booted::new();
    let notify = "Type=notify\nNotifyAccess=all\n\
                  ExecStart=/bin/sh -c 'sleep 0.5; systemd-notify --ready; exec sleep infinity'";
    let forking = "Type=forking\nPIDFile=/run/t-forking.pid\n\
                   ExecStart=/bin/sh -c 'sleep infinity & echo $! >/run/t-forking.pid'";
    let remains = "Type=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true";
    let types =
        [("t-simple", STAYS), ("t-notify", notify), ("t-forking", forking), ("t-remains", remains)];
    for (unit, lines) in types {
        let service = host.unit(unit, lines);
        service.run("monitor").code(7);
        service.run("stop").code(0);
        service.run("start").code(0);
        assert_eq!(host.show(unit, "ActiveState"), "active", "{unit}");
        let processes = host.processes(unit);
        assert_eq!(processes.is_empty(), unit == "t-remains", "{unit}");
        service.run("monitor").code(0);
        service.clone().recurring().run("monitor").code(0);
        assert_eq!(host.show(unit, "Restart"), "no");
        assert!(host.show(unit, "DropInPaths").contains("50-ocfbox.conf"), "{unit}");
        assert!(host.show(unit, "Before").contains("pacemaker.service"), "{unit}");
        service.run("start").code(0);
        assert_eq!(host.processes(unit), processes, "{unit} was not started twice");
        service.run("stop").code(0);
        host.is_clean(unit);
        service.run("stop").code(0);
        service.run("monitor").code(7);
    }
    assert!(!host.log().contains("WARNING"), "{}", host.log());
}

/// Not each type of unit has a main process or a control group.
#[test]
#[ignore = "needs root: tests/run services"]
fn units_that_are_no_services() {
    let host = Booted::new();
    host.write("/etc/systemd/system/t.socket", "[Socket]\nListenStream=127.0.0.1:4000\n", 0o644);
    host.write("/etc/systemd/system/t.service", "[Service]\nExecStart=/bin/sleep 60\n", 0o644);
    host.write("/etc/systemd/system/u.timer", "[Timer]\nOnActiveSec=1d\nUnit=t.service\n", 0o644);
    host.sh("mkdir /mnt/t");
    host.write(
        "/etc/systemd/system/mnt-t.mount",
        "[Mount]\nWhat=tmpfs\nWhere=/mnt/t\nType=tmpfs\n",
        0o644,
    );
    host.sh("systemctl daemon-reload");
    for unit in ["t.socket", "u.timer", "mnt-t.mount"] {
        let service = host.agent(unit);
        service.run("monitor").code(7);
        service.run("start").code(0);
        service.clone().recurring().run("monitor").code(0);
        assert_eq!(host.show(unit, "ActiveState"), "active");
        service.run("stop").code(0);
        assert_eq!(host.show(unit, "ActiveState"), "inactive");
        service.clone().recurring().run("monitor").code(7);
    }
}

#[test]
#[ignore = "needs root: tests/run services"]
fn what_does_not_come_up_is_a_failed_start_and_is_taken_back() {
    let host = Booted::new();
    let cases = [
        (
            "f-code",
            "Type=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'exit 3'",
            "exit code 3",
        ),
        ("f-soon", "ExecStart=/bin/sh -c 'sleep 0.1; exit 4'", "exit code 4"),
        ("f-signal", "ExecStart=/bin/sh -c 'kill -SEGV $$$$'", "signal 11"),
        ("f-clean", "ExecStart=/bin/true", "inactive after its start"),
        ("f-again", "Restart=always\nRestartSec=0\nExecStart=/bin/false", "exit code 1"),
        ("f-remains", "RemainAfterExit=yes\nExecStart=/bin/true", "after its start"),
        ("f-missing", "ExecStart=/opt/nothing", "f-missing.service is failed"),
    ];
    for (unit, lines, why) in cases {
        let service = host.unit(unit, lines);
        service.run("start").code(1).because(&[unit, why]);
        host.is_clean(unit);
        service.run("monitor").code(7);
        // As often as the cluster wants, whatever systemd's limit of starts says.
        for _ in 0..6 {
            service.run("start").code(1).because(&[why]);
        }
        service.run("stop").code(0);
        host.is_clean(unit);
    }
}

#[test]
#[ignore = "needs root: tests/run services"]
fn what_cannot_be_started_is_told_apart() {
    let host = Booted::new();
    let condition = host.unit("c", &format!("{STAYS}\n[Unit]\nConditionPathExists=/opt/nothing"));
    condition.run("start").code(1).because(&["ConditionPathExists=/opt/nothing is not met"]);
    host.is_clean("c");
    let needs = host.unit("d", &format!("{STAYS}\n[Unit]\nRequires=e.service\nAfter=e.service"));
    let _ = host.unit("e", "Type=oneshot\nExecStart=/bin/false");
    needs.run("start").code(1).because(&["a unit that it needs did not start"]);
    host.is_clean("d");

    let masked = host.unit("m", STAYS);
    host.sh("mv /etc/systemd/system/m.service /etc/systemd/system/x; systemctl mask m.service");
    let broken = host.unit("b", "Type=nonsense");
    let absent = host.agent("absent");
    for (service, why) in [
        (&masked, "`systemctl unmask m.service`"),
        (&broken, "cannot read b.service (bad-setting)"),
        (&absent, "there is no unit absent.service"),
    ] {
        service.run("start").code(5).because(&[why]);
        service.clone().param("OCF_CHECK_LEVEL", "10").level(10).run("validate-all").code(5);
        service.run("monitor").code(7);
        service.clone().recurring().run("monitor").code(7);
        service.run("stop").code(0);
    }
}

#[test]
#[ignore = "needs root: tests/run services"]
fn one_that_never_becomes_active_ends_with_the_action() {
    let host = Booted::new();
    let service = host.unit("n", "Type=notify\nExecStart=/bin/sleep infinity").within(5);
    let outcome = service.run("start").code(1).because(&["n.service", "timeout"]);
    assert!(outcome.took < Duration::from_secs(6), "{:?}", outcome.took);
    host.is_clean("n");
    // One that somebody else starts.
    host.sh("systemctl start --no-block n.service");
    let outcome = service.clone().within(2).run("monitor").code(1).because(&["activating"]);
    assert!(outcome.took > Duration::from_secs(1), "it waited for an end: {:?}", outcome.took);
    service.clone().within(2).recurring().run("monitor").code(1).because(&["activating"]);
    service.run("stop").code(0);
    host.is_clean("n");
}

#[test]
#[ignore = "needs root: tests/run services"]
fn a_killed_unit_is_not_started_again_by_systemd() {
    let host = Booted::new();
    let service = host.unit("k", &format!("Restart=always\nRestartSec=0\n{STAYS}"));
    service.run("start").code(0);
    host.sh("systemctl kill -s KILL k.service; while systemctl -q is-active k.service; do :; done");
    service.clone().recurring().run("monitor").code(7);
    assert!(host.log().contains("k.service is failed (signal)"), "{}", host.log());
    assert_eq!(host.show("k", "NRestarts"), "0");
    service.run("start").code(0);
    service.run("stop").code(0);
    host.is_clean("k");
}

#[test]
#[ignore = "needs root: tests/run services"]
fn a_restart_that_an_administrator_insists_on_is_told() {
    let host = Booted::new();
    let service = host.unit("k", STAYS);
    host.write(
        "/etc/systemd/system/k.service.d/99-again.conf",
        "[Service]\nRestart=always\nRestartSec=0\n",
        0o644,
    );
    host.sh("systemctl daemon-reload");
    service.run("start").code(0);
    let log = host.log();
    assert!(
        log.contains("Restart=always in /etc/systemd/system/k.service.d/99-again.conf"),
        "{log}"
    );
    let first = host.main("k");
    host.sh(&format!("kill -KILL {first}"));
    host.sh("until [ \"$(systemctl show -P NRestarts k)\" = 1 ] && systemctl -q is-active k; do :; done");
    let told = || host.log().matches("was restarted, and not by the cluster").count();
    assert_eq!(told(), 0);
    for _ in 0..2 {
        service.clone().recurring().run("monitor").code(0);
        assert_eq!(told(), 1, "once");
    }
    // One that is about to be started again has failed.
    host.write(
        "/etc/systemd/system/k.service.d/99-again.conf",
        "[Service]\nRestart=always\nRestartSec=60\n",
        0o644,
    );
    host.sh("systemctl daemon-reload; systemctl kill -s KILL k");
    host.sh("until [ \"$(systemctl show -P SubState k)\" = auto-restart ]; do :; done");
    let outcome = service.clone().recurring().run("monitor").code(1).because(&["auto-restart"]);
    assert!(outcome.took < Duration::from_secs(5), "at once: {:?}", outcome.took);
    service.run("stop").code(0);
    host.is_clean("k");
}

#[test]
#[ignore = "needs root: tests/run services"]
fn a_stopped_process_is_a_failed_unit() {
    let host = Booted::new();
    let service = host.unit("s", STAYS);
    service.run("start").code(0);
    let main = host.main("s");
    host.sh(&format!(
        "kill -STOP {main}; until grep -q '^State:.T' /proc/{main}/status; do :; done"
    ));
    assert_eq!(host.show("s", "ActiveState"), "active");
    service
        .clone()
        .recurring()
        .run("monitor")
        .code(1)
        .because(&["stopped by a signal", "kill -CONT"]);
    service.run("monitor").code(1);
    // A start has to make it work.
    service.run("start").code(0);
    assert_ne!(host.main("s"), main);
    service.clone().recurring().run("monitor").code(0);
    host.sh(&format!("kill -STOP {}", host.main("s")));
    let outcome = service.run("stop").code(0);
    assert!(outcome.took < Duration::from_secs(15), "{:?}", outcome.took);
    host.is_clean("s");
}

#[test]
#[ignore = "needs root: tests/run services"]
fn processes_that_systemd_leaves_are_found_and_ended() {
    let host = Booted::new();
    let service = host.unit(
        "l",
        "KillMode=process\nExecStart=/bin/sh -c 'sleep 1000 & setsid sleep 2000 & exec sleep 3000'",
    );
    service.run("start").code(0);
    host.sh("until [ $(pgrep -c sleep) = 3 ]; do :; done");
    host.sh("systemctl stop l.service");
    assert_eq!(host.processes("l").len(), 2);
    service.clone().recurring().run("monitor").code(1).because(&["of its processes live", "sleep"]);
    service.run("monitor").code(1);
    service.run("stop").code(0);
    assert!(host.log().contains("ending what systemd left"), "{}", host.log());
    host.is_clean("l");
    service.run("start").code(0);
    host.sh("systemctl stop l.service");
    // A start has to begin anew.
    service.run("start").code(0);
    assert_eq!(host.processes("l").len(), 3);
    service.run("stop").code(0);
    assert_eq!(host.sh("pgrep sleep || true"), "");
    host.is_clean("l");
}

#[test]
#[ignore = "needs root: tests/run services"]
fn one_that_ignores_the_signal_to_end_is_killed_in_time() {
    let host = Booted::new();
    let deaf = "ExecStart=/bin/sh -c 'trap \"\" TERM; while :; do sleep 1; done'";
    for kill_mode in ["control-group", "process", "none"] {
        let service = host.unit("deaf", &format!("KillMode={kill_mode}\n{deaf}")).within(6);
        service.run("start").code(0);
        let outcome = service.run("stop").code(0);
        assert!(outcome.took < Duration::from_secs(7), "{kill_mode}: {:?}", outcome.took);
        host.is_clean("deaf");
    }
    let service = host.unit("deaf", deaf).within(60).param("stop_timeout", "1");
    service.run("start").code(0);
    let outcome = service.run("stop").code(0);
    assert!(outcome.took < Duration::from_secs(20), "{:?}", outcome.took);
    host.is_clean("deaf");
}

#[test]
#[ignore = "needs root: tests/run services"]
fn systemd_that_executes_itself_anew_makes_no_answer_false() {
    let host = Booted::new();
    let (up, down) = (host.unit("up", STAYS), host.unit("down", STAYS));
    up.run("start").code(0);
    let mut storm = host.spawn("while :; do systemctl daemon-reexec; sleep 0.2; done");
    for _ in 0..50 {
        up.clone().recurring().run("monitor").code(0);
        down.clone().recurring().run("monitor").code(7);
    }
    let service = host.agent("down").within(60);
    for _ in 0..2 {
        service.run("start").code(0);
        assert_eq!(host.show("down", "ActiveState"), "active");
        service.run("stop").code(0);
        assert_eq!(host.processes("down"), [0; 0]);
    }
    storm.kill().unwrap();
    storm.wait().unwrap();
    host.sh("pkill -f daemon-reexe[c] || true");
    up.run("stop").code(0);
}

#[test]
#[ignore = "needs root: tests/run services"]
fn a_bus_that_begins_again_makes_no_answer_false() {
    let host = Booted::new();
    let (up, down) = (host.unit("up", STAYS), host.unit("down", STAYS));
    up.run("start").code(0);
    let mut storm = host
        .spawn("while :; do pkill -KILL -x dbus-daemon; systemctl reset-failed; sleep 0.3; done");
    for _ in 0..30 {
        up.clone().recurring().run("monitor").code(0);
        down.clone().recurring().run("monitor").code(7);
    }
    let service = host.agent("down").within(60);
    for _ in 0..3 {
        service.run("start").code(0);
        service.run("stop").code(0);
    }
    storm.kill().unwrap();
    storm.wait().unwrap();
    host.sh("pkill -f reset-faile[d] || true");
    up.run("stop").code(0);
}

#[test]
#[ignore = "needs root: tests/run services"]
fn without_a_bus_nothing_is_called_stopped() {
    let host = Booted::new();
    let service = host.unit("b", STAYS);
    service.run("start").code(0);
    host.sh("systemctl stop dbus.socket dbus.service; rm -f /run/dbus/system_bus_socket");
    service.clone().recurring().run("monitor").code(0);
    assert!(host.log().contains("but its main process"), "{}", host.log());
    let other = host.agent("other");
    other.run("monitor").code(1).because(&["no message bus", "install and start dbus"]);
    other.run("start").code(5).because(&["install and start dbus"]);
    other.run("stop").code(1).because(&["install and start dbus"]);
    service.run("stop").code(1);
    host.sh("systemctl start dbus.socket");
    service.run("stop").code(0);
    host.is_clean("b");
}

#[test]
#[ignore = "needs root: tests/run services"]
fn an_agent_that_is_killed_at_any_moment_leaves_what_stop_ends() {
    let host = Booted::new();
    let service = host.unit(
        "k",
        "Type=notify\nNotifyAccess=all\nExecStart=/bin/sh -c 'sleep 0.2; systemd-notify --ready; exec sleep infinity'",
    );
    for action in ["start", "stop"] {
        for delay in (0..400).step_by(25) {
            if action == "stop" {
                service.run("start").code(0);
            }
            let mut child = service.command(action).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(delay));
            host.sh(&format!("pkill -KILL -f 'ocfbox/servic[e] {action}' || true"));
            let _ = child.wait();
            service.run("stop").code(0);
            host.is_clean("k");
        }
    }
}

#[test]
#[ignore = "needs root: tests/run services"]
fn two_callers_at_once() {
    let host = Booted::new();
    let service = host.unit("t", STAYS);
    for action in ["start", "stop", "start", "monitor", "stop"] {
        let calls: Vec<_> = (0..4)
            .map(|_| {
                let service = service.clone();
                let action = action.to_owned();
                std::thread::spawn(move || service.run(&action).code)
            })
            .collect();
        for call in calls {
            assert_eq!(call.join().unwrap(), Some(0), "{action}");
        }
    }
    host.is_clean("t");
    // Another one's command takes the place of ours in the queue of jobs.
    let slow = host.unit("w", "Type=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sleep 1");
    let mut start = slow.command("start").spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    host.sh("systemctl restart --no-block w.service");
    assert_eq!(start.wait().unwrap().code(), Some(0));
    assert_eq!(host.show("w", "ActiveState"), "active");
    slow.run("stop").code(0);
}

#[test]
#[ignore = "needs root: tests/run services"]
fn whatever_starts_it_besides_the_cluster_is_told_with_the_remedy() {
    let host = Booted::new();
    let install = "[Install]\nWantedBy=multi-user.target";
    let service = host.unit("e", &format!("{STAYS}\n{install}"));
    host.write(
        "/etc/systemd/system/e.socket",
        "[Socket]\nListenStream=127.0.0.1:4000\n[Install]\nWantedBy=sockets.target\n",
        0o644,
    );
    let told = |words: &str| host.log().matches(words).count();
    let (boot, socket) =
        ("`systemctl disable e.service` mends it", "`systemctl disable --now e.socket`");
    service.clone().level(10).run("validate-all").code(0);
    service.run("monitor").code(7);
    assert_eq!((told(boot), told(socket)), (0, 0));
    host.sh("systemctl enable e.service e.socket");
    service.clone().level(10).run("validate-all").code(0);
    assert_eq!((told(boot), told(socket)), (1, 1), "{}", host.log());
    service.run("monitor").code(7);
    assert_eq!((told(boot), told(socket)), (2, 2));
    service.run("start").code(0);
    assert_eq!((told(boot), told(socket)), (3, 3));
    for _ in 0..3 {
        service.clone().recurring().run("monitor").code(0);
    }
    service.run("stop").code(0);
    assert_eq!((told(boot), told(socket)), (3, 3));
    host.sh("systemctl disable e.service e.socket");
    service.run("start").code(0);
    assert_eq!((told(boot), told(socket)), (3, 3));
    service.run("stop").code(0);
}

/// The cluster manager stops its resources while systemd stops the cluster manager: systemd has to wait with the unit
/// until then, and must not have the cluster manager wait for the unit meanwhile.
#[test]
#[ignore = "needs root: tests/run services"]
fn a_host_that_goes_down_leaves_the_unit_to_the_cluster_manager() {
    let host = Booted::new();
    let service = host.unit("r", STAYS);
    let stop = "#!/bin/sh\nsleep 1; systemctl is-active r.service >/opt/was\n\
                OCF_RESOURCE_INSTANCE=r OCF_RESKEY_unit=r OCF_RESKEY_CRM_meta_timeout=20000 \
                OCF_ROOT=/usr/lib/ocf /opt/ocfbox/service stop; echo $? >/opt/code\n";
    host.write("/opt/stop", stop, 0o755);
    let manager = "Type=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\nExecStop=/opt/stop\n\
                   [Unit]\nWants=dbus.service\nAfter=dbus.service";
    let _ = host.unit("pacemaker", manager);
    for how in
        ["systemctl stop pacemaker.service r.service", "systemctl isolate rescue-of-test.target"]
    {
        host.write(
            "/etc/systemd/system/rescue-of-test.target",
            "[Unit]\nAllowIsolate=yes\nRequires=basic.target\n",
            0o644,
        );
        host.sh("systemctl daemon-reload; systemctl start pacemaker.service");
        service.run("start").code(0);
        let begin = std::time::Instant::now();
        host.sh(how);
        host.sh(
            "until [ \"$(systemctl is-active pacemaker.service)\" = inactive ]; do sleep 0.1; done",
        );
        assert!(begin.elapsed() < Duration::from_secs(15), "{how}: {:?}", begin.elapsed());
        assert_eq!(
            host.sh("cat /opt/was /opt/code; rm /opt/was /opt/code"),
            "active\n0\n",
            "{how}"
        );
        host.is_clean("r");
    }
}

/// Servers as Debian has them.
#[test]
#[ignore = "needs root: tests/run services"]
fn real_servers() {
    let host = Booted::new();
    // Some machines do not let a namespace have namespaces of devices and users.
    for unit in ["redis-server", "memcached"] {
        let path = format!("/etc/systemd/system/{unit}.service.d/here.conf");
        host.write(&path, "[Service]\nPrivateDevices=no\nPrivateUsers=no\n", 0o644);
    }
    host.sh("systemctl daemon-reload");
    for unit in ["nginx", "redis-server", "memcached"] {
        let service = host.agent(unit).within(60);
        service.run("monitor").code(7);
        service.run("start").code(0);
        service.clone().recurring().run("monitor").code(0);
        let main = host.main(unit);
        host.sh(&format!(
            "kill -STOP {main}; until grep -q '^State:.T' /proc/{main}/status; do :; done"
        ));
        service.clone().recurring().run("monitor").code(1).because(&["stopped by a signal"]);
        host.sh(&format!("kill -CONT {main}"));
        service.clone().recurring().run("monitor").code(0);
        host.sh(&format!("kill -KILL {main}; while systemctl -q is-active {unit}; do :; done"));
        service.clone().recurring().run("monitor").code(7);
        service.run("start").code(0);
        service.run("stop").code(0);
        host.is_clean(unit);
    }
}

/// Where systemd is not process 1 none of its units can run.
#[test]
#[ignore = "needs root: tests/run services"]
fn without_systemd_a_unit_is_no_resource() {
    let host = crate::support::Host::new();
    let service = host.agent("service").param("unit", "nginx");
    service.run("start").code(5).because(&["not booted with systemd", "use script or command"]);
    service.clone().level(10).run("validate-all").code(5);
    service.run("monitor").code(7);
    service.clone().recurring().run("monitor").code(7);
    service.run("stop").code(0);
}

/// A bus that is there and says nothing.
#[test]
#[ignore = "needs root: tests/run services"]
fn a_bus_that_hangs_does_not_hang_the_agent() {
    let host = Booted::new();
    let service = host.unit("h", STAYS);
    service.run("start").code(0);
    host.sh("pkill -STOP -x dbus-daemon");
    let outcome = service.clone().within(4).recurring().run("monitor").code(0);
    assert!(outcome.took < Duration::from_secs(5), "{:?}", outcome.took);
    for action in ["monitor", "start", "stop"] {
        let outcome = host.agent("other").within(4).run(action).code(1);
        assert!(outcome.took < Duration::from_secs(5), "{action}: {:?}", outcome.took);
    }
    host.sh("pkill -CONT -x dbus-daemon");
    service.run("stop").code(0);
    host.is_clean("h");
}

/// systemd makes a unit of a script without one, and scripts of packages with a unit hand themselves over to it.
#[test]
#[ignore = "needs root: tests/run services"]
fn an_init_script_that_is_a_unit() {
    let host = Booted::new();
    let script = "#!/bin/sh\n### BEGIN INIT INFO\n# Provides: t-script\n# Required-Start:\n# Required-Stop:\n\
                  # Default-Start: 2 3 4 5\n# Default-Stop: 0 1 6\n# Short-Description: t\n### END INIT INFO\n\
                  case $1 in start) sleep infinity >/dev/null 2>&1 & ;; stop) pkill -x sleep ;; *) exit 0 ;; esac\n";
    host.write("/etc/init.d/t-script", script, 0o755);
    host.sh("systemctl daemon-reload");
    for (name, unit) in [("t-script", "t-script"), ("nginx", "nginx")] {
        let service = host.agent("x").without("unit").param("script", name);
        service.run("monitor").code(7);
        service.run("start").code(0);
        assert_eq!(host.show(unit, "ActiveState"), "active");
        assert!(host.show(unit, "DropInPaths").contains("50-ocfbox.conf"), "{unit}");
        service.clone().recurring().run("monitor").code(0);
        service.clone().recurring().level(10).run("monitor").code(0);
        let processes = host.processes(unit);
        assert!(!processes.is_empty());
        for pid in processes {
            host.sh(&format!("kill -KILL {pid} 2>/dev/null || true"));
        }
        // The script itself says that all is well.
        let outcome = service.clone().recurring().run("monitor");
        assert!([Some(1), Some(7)].contains(&outcome.code), "{outcome:?}");
        service.run("start").code(0);
        service.clone().recurring().run("monitor").code(0);
        service.run("stop").code(0);
        host.is_clean(unit);
    }
}
