//! The agent is killed at each of its system calls; the next stop leaves nothing, and the next start works.

use std::collections::HashMap;
use std::fs;

use crate::support::{Call, Host, await_that};

/// The system calls of an action after its exec, each with how many of its name came before.
fn system_calls(host: &Host, call: &Call, action: &str) -> Vec<(String, usize)> {
    let trace = host.text("trace");
    call.run_behind(&["strace", "-o", &trace], action).code(0);
    calls_in_trace(host)
}

fn calls_in_trace(host: &Host) -> Vec<(String, usize)> {
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

/// Of what somebody else mounted there is no record: a stop that is killed after it has unmounted here is not the last one.
#[test]
#[ignore = "needs root: tests/run mounts"]
fn between_this_namespace_and_that_of_a_container() {
    let host = Host::new();
    let call = host.on_image("ext4").within(8);
    host.sh("mkdir mnt; mount -o loop ext4.img mnt");
    let container = "trap '' TERM; cd mnt; touch ../ready; while :; do sleep 0.1; done";
    let _container =
        host.leave(&format!("exec unshare --mount --propagation private sh -c \"{container}\""));
    let mut stop = call.begin("stop");
    await_that("the first unmount", || host.mounts().is_empty());
    stop.kill().unwrap();
    stop.wait().unwrap();
    call.run("monitor").code(1).because(&["the kernel still has it"]);
    call.run("stop").code(0);
    host.is_clean();
}

/// The helper that mounts, killed at each of its own calls. It is the child of whoever called it, who is in no namespace of
/// its own and has the number 0 there.
#[test]
#[ignore = "needs root: tests/run mounts"]
fn the_helper_of_start_at_any_instant() {
    let host = Host::new();
    let call = host.on_image("ext4");
    host.sh("mkdir mnt");
    let (trace, image) = (host.text("trace"), format!("--source={}", host.text("ext4.img")));
    let point = host.text("mnt");
    let words =
        ["attach", "--starter", "0", "--limit", "9000", &image, "--kind=ext4", "--option=loop"];
    let words: Vec<&str> =
        words.into_iter().chain(["--check=auto", "--", point.as_str()]).collect();
    call.run_words(&["strace", "-D", "-o", &trace], &words).code(0);
    let calls = calls_in_trace(&host);
    assert!(calls.iter().any(|(name, _)| name == "move_mount" || name == "mount"), "{calls:?}");
    call.run("monitor").code(0);
    call.run("stop").code(0);
    for (name, count) in &calls {
        let inject = format!("inject={name}:signal=KILL:when={count}");
        let _ = call.run_words(&["strace", "-D", "-qq", "-o", &trace, "-e", &inject], &words);
        call.run("stop").code(0);
        host.is_clean();
    }
    call.run("start").code(0);
    call.run("stop").code(0);
    host.is_clean();
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn at_any_instant_of_a_monitor_that_asks_the_disk() {
    let host = Host::new();
    let call = host.on_image("ext4").recurring();
    call.run("start").code(0);
    for level in ["10", "20"] {
        let call = call.clone().env("OCF_CHECK_LEVEL", level);
        for at in &system_calls(&host, &call, "monitor") {
            killed(&host, &call, "monitor", at);
            call.run("monitor").code(0);
        }
        killed(&host, &call, "monitor", &("execve".to_owned(), 1));
        call.run("stop").code(0);
        host.is_clean();
        call.run("start").code(0);
    }
    call.run("stop").code(0);
    host.is_clean();
}
