//! A service among thousands of processes that have nothing to do with it.

use std::fs;
use std::time::Duration;

use crate::support::{Call, Host};

/// Begins so many processes that execute that program; the number of their parent.
fn crowd(host: &Host, program: &str, count: usize) -> i32 {
    let ready = host.path(&format!("crowd-{count}"));
    host.sh(&format!(
        "setsid -f {} crowd {count} {} >/dev/null 2>&1 </dev/null",
        host.text(program),
        ready.display()
    ));
    let number = || fs::read_to_string(&ready).ok()?.trim().parse().ok();
    host.await_that("a crowd", || number().is_some());
    number().unwrap()
}

/// How many processes there are, whoever's.
fn population() -> usize {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok()).count()
}

/// The system calls of an action and all its threads and children.
fn calls(host: &Host, call: &Call, action: &str, code: i32) -> usize {
    let file = host.text("calls");
    // What it starts is left alone from its exec on.
    call.run_behind(&["strace", "-f", "-b", "execve", "-o", &file], action).code(code);
    let trace = fs::read_to_string(&file).unwrap();
    // Threads wait for one another longer under strace.
    let counts = |line: &&str| ["futex", " resumed>"].iter().all(|other| !line.contains(other));
    trace.lines().filter(counts).count()
}

#[test]
#[ignore = "needs root: tests/run services"]
fn nobody_is_mistaken_or_overlooked_among_thousands() {
    let host = Host::new();
    // As where the control group does not know.
    host.sh("mount -t tmpfs tmpfs /sys/fs/cgroup");
    // Of the same program, with other words.
    crowd(&host, "daemon", 2500);
    let alone = population();
    for mode in ["stay", "fork", "double", "stranger", "workers", "threads"] {
        let service = host.service(mode).within(60);
        let recurring = service.clone().recurring();
        service.run("monitor").code(7);
        recurring.run("monitor").code(7);
        service.run("start").code(0);
        assert!(population() > alone, "{mode}");
        recurring.run("monitor").code(0);
        fs::remove_file("/run/resource-agents/service-test.processes").unwrap();
        // What nothing marks is known by its record alone.
        if mode == "stranger" {
            host.kill("KILL", host.only_named("stranger"));
        } else {
            recurring.run("monitor").code(0);
            service.run("stop").code(0);
        }
        recurring.run("monitor").code(7);
        let living = host.living().len();
        assert_eq!(living, 2501, "{mode}: {:?}", &host.living()[2490..]);
    }
}

/// What is asked of each process of others, counted instead of timed: nothing at all as long as the service runs, and
/// otherwise its environment in each look and its program in the last (a stop: besides, its parent).
#[test]
#[ignore = "needs root: tests/run services"]
fn what_a_crowd_costs_is_bounded() {
    const CROWD: usize = 2000;
    let host = Host::new();
    let service = host.service("stay").param("settle", "0").within(60);
    let recurring = service.clone().recurring();
    let measure = || {
        let stopped = calls(&host, &recurring, "monitor", 7);
        let probed = calls(&host, &service, "monitor", 7);
        let start = calls(&host, &service, "start", 0);
        let running = calls(&host, &recurring, "monitor", 0);
        let again = calls(&host, &service, "start", 0);
        let stop = calls(&host, &service, "stop", 0);
        [stopped, probed, start, running, again, stop]
    };
    let few = measure();
    host.sh(&format!("cp {} {}", host.text("daemon"), host.text("other")));
    crowd(&host, "other", CROWD);
    let many = measure();
    // open, read, close, and before it a look at what is closed, which only a debug build takes; and readlink.
    let (file, link) = (4, 1);
    let bounds = [2 * file + link, file + link, 3 * file + link, 0, 0, 3 * file];
    for (place, bound) in bounds.into_iter().enumerate() {
        let more = many[place].saturating_sub(few[place]);
        // Lists of numbers, memory for them, and threads that wait for one another.
        let slack = if bound == 0 { 0 } else { CROWD };
        assert!(more <= CROWD * bound + slack, "{place}: {few:?} became {many:?}");
    }
    assert!(many[3] < 120, "{many:?}");
}

/// It was seen as a child, and does not become a stranger when its parent ends.
#[test]
#[ignore = "needs root: tests/run services"]
fn a_child_that_hides_where_it_comes_from_is_ended_too() {
    let host = Host::new();
    host.sh("mount -t tmpfs tmpfs /sys/fs/cgroup");
    let service = host.service("hides").within(60);
    service.run("start").code(0);
    let main = host.only();
    host.kill("USR1", main);
    host.await_that("a hidden child", || {
        host.living().iter().any(|(_, words)| words.starts_with("hidden"))
    });
    let hidden = host.only_named("hidden");
    assert_eq!(fs::read(format!("/proc/{hidden}/environ")).unwrap(), b"", "nothing marks it");
    service.run("stop").code(0);
    assert_eq!(host.living(), []);
}

/// Neither a service that talks without an end nor a check that does keeps an action from its deadline.
#[test]
#[ignore = "needs root: tests/run services"]
fn endless_talk_is_no_endless_wait() {
    let host = Host::new();
    let chatty = host.service("chatty").param("ready", "notify").within(4);
    let outcome = chatty.run("start").code(1).because(&["gave up waiting", "READY=1"]);
    assert!(outcome.took >= Duration::from_secs(3), "{outcome:?}");
    assert_eq!(host.living(), []);
    let service = host.service("stay").param("check_command", "/usr/bin/yes");
    service.run("start").code(0);
    let endless = service.clone().level(20).within(3);
    endless.run("monitor").code(1).because(&["check_command", "gave up waiting"]);
    assert_eq!(host.living().len(), 1, "{:?}", host.living());
    service.run("stop").code(0);
}

/// With so many others that there is no time to look who else belongs to it, a check is killed all the same.
#[test]
#[ignore = "needs root: tests/run services"]
fn a_check_is_killed_where_there_is_no_time_to_look_around() {
    let host = Host::new();
    crowd(&host, "daemon", 100);
    let service = host.service("stay");
    service.run("start").code(0);
    let asked = service.clone().param("check_command", "/bin/sleep 1000").level(20).within(3);
    // A hundred looks of 20 ms are more than the time for them; the check itself is left alone from its exec on.
    let slow = ["strace", "-f", "-b", "execve", "-o", "/dev/null", "-e"];
    let slow = [&slow[..], &["inject=openat,open:delay_enter=20000"]].concat();
    asked.run_behind(&slow, "monitor").code(1);
    let sleeps = || host.living().into_iter().filter(|(_, words)| words.contains("sleep 1000"));
    assert_eq!(sleeps().count(), 0, "{:?}", sleeps().collect::<Vec<_>>());
    service.run("stop").code(0);
}

/// Each process that is to end takes a descriptor only for as long as there are enough of them.
#[test]
#[ignore = "needs root: tests/run services"]
fn more_processes_than_descriptors_are_ended() {
    let host = Host::new();
    host.sh("mount -t tmpfs tmpfs /sys/fs/cgroup");
    for ignored in ["''", "-"] {
        let daemon = host.text("daemon");
        let command = format!("/bin/sh -c \"trap {ignored} TERM; exec {daemon} crowd 400\"");
        let service = host.agent("service").param("command", command).param("stop_timeout", "0.5");
        let service = service.within(60);
        service.run("start").code(0);
        host.await_that("a crowd", || host.living().len() > 400);
        service.run_behind(&["prlimit", "--nofile=256"], "stop").code(0);
        assert_eq!(host.living(), []);
    }
}
