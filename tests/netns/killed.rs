//! Hardware addresses and macvlan devices, when the agent is killed at each of its system calls in turn.

use std::collections::HashMap;
use std::fs;

use crate::hardware::{assert_as_before, host_with_a_spare_card, identity, settled};
use crate::support::{Call, Host};

/// System calls that change nothing outside the process: to be killed there is to be killed at the next one.
const HARMLESS: [&str; 36] = [
    "access",
    "arch_prctl",
    "brk",
    "clock_gettime",
    "close",
    "epoll_create1",
    "epoll_ctl",
    "epoll_wait",
    "eventfd2",
    "fcntl",
    "fstat",
    "futex",
    "geteuid",
    "getrandom",
    "getsockname",
    "getsockopt",
    "lseek",
    "madvise",
    "mmap",
    "mprotect",
    "munmap",
    "newfstatat",
    "poll",
    "prctl",
    "pread64",
    "prlimit64",
    "read",
    "readlink",
    "recvfrom",
    "recvmsg",
    "rseq",
    "rt_sigaction",
    "rt_sigprocmask",
    "sched_getaffinity",
    "sigaltstack",
    "statx",
];

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_card() {
    survives("down", |host| identity(host, "device").param("ip", "192.0.2.10/24"));
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_card_that_is_up() {
    survives("up", |host| identity(host, "device").param("ip", "192.0.2.10/24"));
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_virtual_card() {
    survives("down", |host| identity(host, "macvlan").param("ip", "192.0.2.10/24"));
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_macvlan_interface() {
    survives("down", |host| {
        host.agent("iface-macvlan").param("device", "eth1").param("name", "mv0")
    });
}

/// Invariant 10: after a kill at any instant the next stop leaves all as it was before start.
fn survives(state: &str, call: impl Fn(&Host) -> Call) {
    let host = host_with_a_spare_card();
    host.sh(&format!("ip link set eth1 {state}"));
    let before = settled(&host);
    let call = call(&host);
    for action in ["start", "stop"] {
        let prepare = || {
            if action == "stop" {
                call.run("start").code(0);
            }
        };
        prepare();
        let calls = system_calls(&host, &call, action);
        call.run("stop").code(0);
        assert!(calls.len() > 20, "{calls:?}");
        for (name, ordinal) in calls {
            prepare();
            let inject = format!("inject={name}:signal=KILL:when={ordinal}");
            let _ = call.run_behind(&["strace", "-o", "/dev/null", "-e", &inject], action).code;
            call.run("stop").code(0);
            assert_as_before(
                &host,
                &before,
                &format!("killed at {name} number {ordinal} of {action}"),
            );
        }
    }
}

/// The system calls of an action after its exec, each with how many of its name came before.
pub fn system_calls(host: &Host, call: &Call, action: &str) -> Vec<(String, usize)> {
    let file = host.path("calls");
    call.run_behind(&["strace", "-o", file.to_str().unwrap()], action).code(0);
    let trace = fs::read_to_string(&file).unwrap();
    let mut seen = HashMap::new();
    let mut found = Vec::new();
    for line in trace.lines() {
        let Some((name, _)) = line.split_once('(') else { continue };
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            continue;
        }
        let ordinal = seen.entry(name.to_owned()).or_insert(0);
        *ordinal += 1;
        if !HARMLESS.contains(&name) && (name, *ordinal) != ("execve", 1) {
            found.push((name.to_owned(), *ordinal));
        }
    }
    found
}
