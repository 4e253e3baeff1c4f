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
