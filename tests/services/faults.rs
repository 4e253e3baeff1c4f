//! Kills and races: what must hold all the same.

use std::fs;
use std::time::Duration;

use crate::support::Host;

/// Invariant 10: the agent is killed at each of its system calls in turn, and the next stop leaves no process.
#[test]
#[ignore = "needs root: tests/run services"]
fn whatever_a_killed_agent_leaves_the_next_stop_ends() {
    let host = Host::new();
    let service =
        host.service("double").param("settle", "0.01").param("pidfile", "/run/it.pid").within(20);
    let service = service.param("command", format!("{} double /run/it.pid", host.text("daemon")));
    for action in ["start", "stop"] {
        let prepare = || {
            if action == "stop" {
                service.run("start").code(0);
            }
        };
        prepare();
        let calls = service.system_calls(&host.path("calls"), action, 0);
        service.run("stop").code(0);
        assert!(calls.len() > 60, "{calls:?}");
        // Those that come again and again while it waits are as good as one another.
        for (name, ordinal) in calls.into_iter().filter(|(_, ordinal)| *ordinal < 15) {
            prepare();
            let inject = format!("inject={name}:signal=KILL:when={ordinal}");
            let killed = ["strace", "-o", "/dev/null", "-e", &inject];
            let _ = service.run_behind(&killed, action).code;
            service.run("stop").code(0);
            assert_eq!(host.living(), [], "killed at {name} number {ordinal} of {action}");
            service.run("monitor").code(7);
        }
    }
}

/// Invariant 3: two callers at once.
#[test]
#[ignore = "needs root: tests/run services"]
fn two_callers_at_once_make_one_daemon_and_leave_none() {
    let host = Host::new();
    let service = host.service("fork").param("settle", "0.1").within(60);
    for _ in 0..5 {
        for (action, left) in [("start", 1), ("stop", 0)] {
            let mut callers: Vec<_> =
                (0..2).map(|_| service.command(action).spawn().unwrap()).collect();
            for caller in &mut callers {
                assert_eq!(caller.wait().unwrap().code(), Some(0), "{action}: {}", host.log());
            }
            // One that was started on a busy machine may not have forked yet.
            host.await_that(action, || host.living().len() == left || action == "stop");
            assert_eq!(host.living().len(), left, "{action}: {:?}", host.living());
        }
    }
}

/// A record that is damaged, somebody else's or of another boot is passed over.
#[test]
#[ignore = "needs root: tests/run services"]
fn a_damaged_record_is_survived() {
    let host = Host::new();
    let service = host.service("workers");
    let record = host.path("/run/resource-agents/service-test.processes");
    for damage in ["", "garbage\n", "boot other\nmain 1 1\n", "boot x\0\n"] {
        service.run("start").code(0);
        fs::write(&record, damage).unwrap();
        service.run("stop").code(0);
        assert_eq!(host.living(), [], "{damage:?}");
    }
    // Process 1 and the caller are never ours, whatever a record says.
    service.run("start").code(0);
    let text = fs::read_to_string(&record).unwrap();
    let boot = text.lines().next().unwrap();
    let first = fs::read_to_string("/proc/1/stat").unwrap();
    let start = first.rsplit(')').next().unwrap().split_whitespace().nth(19).unwrap().to_owned();
    fs::write(&record, format!("{boot}\nsince 0\ncomplete\nmain 1 {start}\nsession 1\n")).unwrap();
    service.run("stop").code(0);
    assert_eq!(host.living(), []);
    assert!(host.state(1) == Some('S'), "process 1 lives");
}

/// What cannot be remembered is not started.
#[test]
#[ignore = "needs root: tests/run services"]
fn a_full_disk_is_a_failed_start_that_leaves_nothing() {
    let host = Host::new();
    host.sh("mkdir /run/full; mount -t tmpfs -o size=4k,nr_inodes=2 tmpfs /run/full; echo x >/run/full/x || true");
    let service = host.service("stay").env("HA_RSCTMP", "/run/full");
    service.run("start").code(1).because(&["write the state file"]);
    assert_eq!(host.living(), []);
    service.run("stop").code(0);
}

/// Web servers' workers do: they are not waited for as long as a service that ends.
#[test]
#[ignore = "needs root: tests/run services"]
fn parts_of_a_dead_main_process_that_hear_nothing_are_not_waited_for_long() {
    let host = Host::new();
    let script = host.program("script", "#!/bin/sh\n(trap '' TERM; exec sleep 1000) &\nwait\n");
    let service = host.service("").param("command", script).within(200);
    service.run("start").code(0);
    host.await_that("its part", || host.living().len() == 2);
    host.kill("KILL", host.only_named("script"));
    let stopped = service.run("stop").code(0);
    let waited = Duration::from_secs(9)..Duration::from_mins(1);
    assert!(waited.contains(&stopped.took), "{:?}", stopped.took);
    assert_eq!(host.living(), []);
}
