//! `service` with init scripts: good ones and liars.

use std::fs;

use crate::support::{Call, Host};

/// An init script as Debian's skeleton has it, with what `changed` replaces.
fn script(host: &Host, name: &str, changed: &[(&str, &str)]) -> Call {
    let mut text = format!(
        r#"#!/bin/sh
# pidfile: /run/{name}.pid
DAEMON={daemon}
alive() {{ [ -s /run/{name}.pid ] && kill -0 "$(cat /run/{name}.pid)" 2>/dev/null && ! grep -q '^State:.Z' /proc/"$(cat /run/{name}.pid)"/status; }}
case "$1" in
start) alive || $DAEMON fork /run/{name}.pid; sleep 0.2 ;;
stop) if alive; then kill "$(cat /run/{name}.pid)"; while alive; do sleep 0.05; done; fi; rm -f /run/{name}.pid ;;
status) if alive; then echo running; exit 0; elif [ -e /run/{name}.pid ]; then echo dead; exit 1; else echo stopped; exit 3; fi ;;
*) exit 2 ;;
esac
"#,
        daemon = host.text("daemon"),
    );
    for (from, to) in changed {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    let path = format!("/etc/init.d/{name}");
    fs::write(&path, text).unwrap();
    crate::support::set_mode(path.as_ref(), 0o755);
    host.agent("service").param("script", name).within(15)
}

#[test]
#[ignore = "needs root: tests/run services"]
fn a_good_script_starts_runs_and_stops() {
    let host = Host::new();
    let service = script(&host, "good", &[]);
    service.run("monitor").code(7);
    service.run("start").code(0);
    let pid = host.only();
    service.run("start").code(0);
    assert_eq!(host.only(), pid);
    for level in [0, 10] {
        service.clone().recurring().level(level).run("monitor").code(0);
    }
    host.kill("STOP", pid);
    service.clone().recurring().run("monitor").code(1).because(&["stopped by a signal"]);
    host.kill("CONT", pid);
    host.kill("KILL", pid);
    // The script says "dead, with a PID file"; there is no process, so that it is not running.
    service.clone().recurring().run("monitor").code(7);
    service.run("start").code(0);
    service.run("stop").code(0);
    assert_eq!(host.living(), []);
    service.run("stop").code(0);
}

#[test]
#[ignore = "needs root: tests/run services"]
fn a_service_that_init_started_at_boot_is_taken_over() {
    let host = Host::new();
    let service = script(&host, "boot", &[]);
    host.sh("env -i PATH=/usr/bin:/bin setsid /etc/init.d/boot start </dev/null >/dev/null 2>&1");
    let pid = host.only();
    service.run("monitor").code(0);
    service.run("start").code(0);
    assert_eq!(host.only(), pid);
    host.kill("STOP", pid);
    service.run("monitor").code(1).because(&["stopped by a signal"]);
    service.clone().within(10).param("stop_timeout", "1").run("stop").code(0);
    assert_eq!(host.living(), []);
}

/// Each script lies in one way; what is true is told all the same.
#[test]
#[ignore = "needs root: tests/run services"]
fn liars_are_caught() {
    let host = Host::new();
    // Its start says 0 and starts nothing.
    let nothing =
        script(&host, "nothing", &[("alive || $DAEMON fork /run/nothing.pid", "true")]).within(4);
    nothing.run("start").code(1).because(&[
        "/etc/init.d/nothing",
        "3: stopped",
        "no process of it lives",
    ]);
    // Its start fails and says 1 although it works: it works.
    let grumpy = script(&host, "grumpy", &[("sleep 0.2 ;;", "sleep 0.2; exit 1 ;;")]);
    grumpy.run("start").code(0);
    assert!(host.log().contains("but it runs"), "{}", host.log());
    grumpy.run("stop").code(0);
    // Its status says that it runs, whatever is true.
    let optimist = script(
        &host,
        "optimist",
        &[("if alive; then echo running; exit 0;", "exit 0; if alive; then exit 0;")],
    );
    optimist.run("start").code(0);
    host.kill("KILL", host.only());
    // It takes the zombie in its PID file for alive; without the file nobody knows what it means.
    optimist.clone().recurring().run("monitor").code(7);
    fs::remove_file("/run/optimist.pid").unwrap();
    optimist.clone().recurring().run("monitor").code(1).because(&["says that it runs", "is dead"]);
    optimist.run("stop").code(0);
    assert_eq!(host.living(), []);
    // Its status says that it does not: seen at start, where there is somebody to tell.
    let pessimist = script(
        &host,
        "pessimist",
        &[("if alive; then echo running; exit 0;", "exit 3; if alive; then exit 0;")],
    )
    .within(4);
    pessimist.run("start").code(1).because(&["status says exit code 3", "lives"]);
    assert_eq!(host.living(), [], "and what it started is ended");
    // Its stop says 0 and stops nothing.
    let lazy = script(&host, "lazy", &[("stop) if alive", "stop) exit 0; if alive")]);
    lazy.run("start").code(0);
    lazy.run("stop").code(0);
    assert_eq!(host.living(), []);
    // Its stop does not come back.
    let slow = script(&host, "slow", &[("stop) if alive", "stop) sleep 600; if alive")]).within(6);
    slow.run("start").code(0);
    slow.run("stop").code(0);
    assert_eq!(host.living(), []);
}

/// A stop that is given up starts others until its last moment.
#[test]
#[ignore = "needs root: tests/run services"]
fn a_stop_that_does_not_come_back_leaves_none_that_it_started() {
    let host = Host::new();
    let endless = "stop) while :; do sleep 600 & sleep 0.001; done; if alive";
    let busy = script(&host, "busy", &[("stop) if alive", endless)]);
    for _ in 0..3 {
        busy.run("start").code(0);
        busy.clone().param("stop_timeout", "1").run("stop").code(0);
        assert_eq!(host.living(), []);
    }
}

#[test]
#[ignore = "needs root: tests/run services"]
fn a_script_that_is_gone_is_no_reason_to_leave_its_processes() {
    let host = Host::new();
    let service = script(&host, "gone", &[]);
    service.run("start").code(0);
    fs::remove_file("/etc/init.d/gone").unwrap();
    service.run("monitor").code(0);
    service.run("stop").code(0);
    assert_eq!(host.living(), []);
    service.run("monitor").code(7);
    service.run("start").code(5).because(&["/etc/init.d/gone", "install"]);
    service.clone().level(10).run("validate-all").code(5);
}

/// Debian's scripts end with 0 before they look what they are asked, where the program is missing or switched off.
#[test]
#[ignore = "needs root: tests/run services"]
fn a_script_that_says_yes_to_everything_says_nothing() {
    let host = Host::new();
    let off = script(&host, "off", &[("DAEMON=", "exit 0\nDAEMON=")]).within(6);
    off.run("monitor").code(7);
    off.run("start").code(1).because(&["/etc/init.d/off", "yes to everything", "no process"]);
    off.run("stop").code(0);
}

/// Its status finds somebody else's by name. A start that began nothing is no start.
#[test]
#[ignore = "needs root: tests/run services"]
fn a_script_that_means_somebody_else_s_process_has_started_nothing() {
    let host = Host::new();
    let changed = [
        ("if alive; then echo running; exit 0;", "if true; then exit 0;"),
        ("alive || $DAEMON fork /run/named.pid", "true"),
    ];
    let named = script(&host, "named", &changed).within(6);
    named.run("start").code(1).because(&["status says that it runs", "somebody else"]);
}

/// Its processes are recorded, but not which of them leads; and its status goes on saying that it runs.
#[test]
#[ignore = "needs root: tests/run services"]
fn processes_without_a_leader_are_seen_to_stop_and_to_die() {
    let host = Host::new();
    let daemon = host.text("daemon");
    let pair =
        format!("for i in 1 2; do $DAEMON fork; done; sleep 0.2; true {daemon} /run/pair.pid");
    let changed = [
        ("if alive; then echo running; exit 0;", "if true; then exit 0;"),
        ("alive || $DAEMON fork /run/pair.pid", pair.as_str()),
        ("# pidfile: /run/pair.pid", ""),
    ];
    let service = script(&host, "pair", &changed);
    service.run("start").code(0);
    let living = host.living();
    assert_eq!(living.len(), 2, "{living:?}");
    let monitor = service.clone().recurring();
    monitor.run("monitor").code(0);
    for (pid, _) in &living {
        host.kill("STOP", *pid);
    }
    monitor.run("monitor").code(1).because(&["stopped by a signal"]);
    host.kill("CONT", living[0].0);
    host.kill("CONT", living[1].0);
    monitor.run("monitor").code(0);
    for (pid, _) in &living {
        host.kill("KILL", *pid);
    }
    monitor.run("monitor").code(1).because(&["says that it runs", "all processes of it are dead"]);
}

/// The script says that it runs while its first process is still there, which no PID file names.
#[test]
#[ignore = "needs root: tests/run services"]
fn a_first_process_of_a_script_that_ends_later_is_not_the_service() {
    let host = Host::new();
    host.sh("ip link set lo up");
    let daemon = host.text("daemon");
    let first = host.program("first", &format!("#!/bin/sh\n{daemon} serve 8080 &\nsleep 0.05\n"));
    let start = format!("setsid {first} </dev/null >/dev/null 2>&1 & true {daemon} /run/slow.pid");
    let changed = [
        ("alive || $DAEMON fork /run/slow.pid; sleep 0.2 ;;", format!("{start} ;;")),
        ("if alive; then echo running; exit 0;", "if true; then exit 0;".to_owned()),
        ("# pidfile: /run/slow.pid", String::new()),
    ];
    let changed: Vec<(&str, &str)> =
        changed.iter().map(|(from, to)| (*from, to.as_str())).collect();
    let plain = script(&host, "slow", &changed);
    for service in [plain.clone().param("check", "http://127.0.0.1:8080/"), plain] {
        service.run("start").code(0);
        host.await_that("one process", || host.living().len() == 1);
        service.clone().recurring().run("monitor").code(0);
        service.run("stop").code(0);
        assert_eq!(host.living(), []);
    }
}
