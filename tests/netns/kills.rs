//! An agent that is killed at its system calls, one after the other.

use std::collections::HashMap;
use std::fs;

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

/// A system call by its name, and how many of its name came before, itself included.
pub type Named = (String, usize);

/// The system calls of an action after its exec.
pub fn system_calls(host: &Host, call: &Call, action: &str) -> Vec<Named> {
    let file = host.path("calls");
    call.run_behind(&["strace", "-o", file.to_str().unwrap()], action).code(0);
    let trace = fs::read_to_string(&file).unwrap();
    let mut seen = HashMap::new();
    let names = trace.lines().filter_map(|line| line.split_once('(')).map(|(name, _)| name);
    names
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'))
        .map(|name| {
            let count = seen.entry(name.to_owned()).or_insert(0);
            *count += 1;
            (name.to_owned(), *count)
        })
        .skip(1)
        .collect()
}

/// Those that change something outside the process.
pub fn changing_calls(host: &Host, call: &Call, action: &str) -> Vec<Named> {
    let mut calls = system_calls(host, call, action);
    calls.retain(|(name, _)| !HARMLESS.contains(&name.as_str()));
    calls
}

/// Runs an action that is killed when it makes the system call `name` for the `ordinal`th time, if it does.
pub fn kill_at(call: &Call, action: &str, name: &str, ordinal: usize) {
    let inject = format!("inject={name}:signal=KILL:when={ordinal}");
    let _ = call.run_behind(&["strace", "-o", "/dev/null", "-e", &inject], action).code;
}

/// Kills start, and then stop, at each of `calls`, of which each has more than `least`; after the next stop, `restored`
/// looks that nothing is left, and has words for when that was.
pub fn at_each(
    host: &Host,
    call: &Call,
    calls: &dyn Fn(&Host, &Call, &str) -> Vec<Named>,
    least: usize,
    mut restored: impl FnMut(&str),
) {
    for action in ["start", "stop"] {
        let prepare = || {
            if action == "stop" {
                call.run("start").code(0);
            }
        };
        prepare();
        let calls = calls(host, call, action);
        call.run("stop").code(0);
        assert!(calls.len() > least, "{calls:?}");
        for (name, ordinal) in calls {
            prepare();
            kill_at(call, action, &name, ordinal);
            call.run("stop").code(0);
            restored(&format!("killed at {name} number {ordinal} of {action}"));
        }
    }
}
