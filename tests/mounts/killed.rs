//! The agent is killed at each of its system calls; the next stop leaves nothing, and the next start works.

use std::collections::HashMap;
use std::fs;

use crate::support::{Call, Host};

/// The system calls of an action after its exec, each with how many of its name came before.
fn system_calls(host: &Host, call: &Call, action: &str) -> Vec<(String, usize)> {
    let trace = host.text("trace");
    call.run_behind(&["strace", "-o", &trace], action).code(0);
    let text = fs::read_to_string(host.path("trace")).unwrap();
    let mut seen: HashMap<String, usize> = HashMap::new();
    let names = text.lines().filter_map(|line| Some(line.split_once('(')?.0.to_owned()));
    let plain = names.filter(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
    let counted = plain.map(|name| {
        let count = seen.entry(name.clone()).or_insert(0);
        *count += 1;
        (name, *count)
    });
    counted.skip(1).collect()
}

#[track_caller]
fn killed(host: &Host, call: &Call, action: &str, (name, count): &(String, usize)) {
    let trace = host.text("trace");
    let inject = format!("inject={name}:signal=KILL:when={count}");
    // Whether it was killed or made fewer calls this time: what counts is what is left.
    let _ = call.run_behind(&["strace", "-qq", "-o", &trace, "-e", &inject], action);
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn at_any_instant_of_start_and_of_stop() {
    let host = Host::new();
    survives(&host, &host.on_image("ext4"));
}

/// It takes two calls of the kernel: between them it shows the directory without its options.
#[test]
#[ignore = "needs root: tests/run mounts"]
fn at_any_instant_of_a_bind_mount() {
    let host = Host::new();
    host.sh("mkdir data");
    let call = host.call(&host.text("data"), host.path("mnt"), "none");
    survives(&host, &call.param("options", "bind,ro"));
}

fn survives(host: &Host, call: &Call) {
    let starting = system_calls(host, call, "start");
    let stopping = system_calls(host, call, "stop");
    assert!(starting.len() > 50 && stopping.len() > 50, "a trace of both");
    for at in &starting {
        killed(host, call, "start", at);
        call.run("stop").code(0);
        host.is_clean();
    }
    for at in &stopping {
        call.run("start").code(0);
        killed(host, call, "stop", at);
        call.run("stop").code(0);
        host.is_clean();
    }
    call.run("start").code(0);
    call.run("monitor").code(0);
    call.run("stop").code(0);
}
