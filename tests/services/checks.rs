//! `service` with `check`: what start waits for, and what monitor sees of a service that lives and does not answer.

use std::time::Duration;

use crate::support::Host;

fn networked() -> Host {
    let host = Host::new();
    host.sh("ip link set lo up");
    host
}

#[test]
#[ignore = "needs root: tests/run services"]
fn start_waits_until_it_is_answered() {
    let host = networked();
    for ready in ["answer", "alive"] {
        let service = host
            .service("serve 8080 700")
            .param("ready", ready)
            .param("check", "http://127.0.0.1:8080/#match=fine");
        let started = service.run("start").code(0);
        assert!(started.took > Duration::from_millis(650), "{:?}", started.took);
        service.run("monitor").code(0);
        service.run("stop").code(0);
        assert_eq!(host.living(), []);
    }
}

/// The first process of a daemon may be there when the last one answers, and is not the service.
#[test]
#[ignore = "needs root: tests/run services"]
fn a_first_process_that_outlives_the_first_answer_is_not_the_service() {
    let host = networked();
    let service = host
        .service("serve-forked 8080")
        .param("ready", "answer")
        .param("check", "http://127.0.0.1:8080/");
    service.run("start").code(0);
    host.await_that("one process", || host.living().len() == 1);
    for _ in 0..3 {
        service.clone().recurring().run("monitor").code(0);
    }
    service.run("stop").code(0);
    assert_eq!(host.living(), []);
}

#[test]
#[ignore = "needs root: tests/run services"]
fn one_that_never_answers_fails_to_start_and_is_gone() {
    let host = networked();
    let service = host.service("stay").within(4).param("check", "tcp://127.0.0.1:8080");
    let failed = service.run("start").code(1);
    assert!(failed.took < Duration::from_secs(4), "{:?}", failed.took);
    failed.because(&[
        "cannot start: no answer within",
        "probe tcp://127.0.0.1:8080 failed at connect",
    ]);
    assert_eq!(host.living(), []);
    service.run("monitor").code(7);
}

#[test]
#[ignore = "needs root: tests/run services"]
fn one_that_dies_while_it_is_waited_for_fails_at_once() {
    let host = networked();
    let service = host
        .service("late")
        .within(30)
        .param("ready", "answer")
        .param("check", "tcp://127.0.0.1:8080");
    let failed = service.run("start").code(1);
    assert!(failed.took < Duration::from_secs(10), "{:?}", failed.took);
    failed.because(&["ended with"]);
}

/// Somebody else has the port: his answers do not make the service that could not bind it started.
#[test]
#[ignore = "needs root: tests/run services"]
fn an_answer_of_somebody_else_is_no_start() {
    let host = networked();
    let stranger = host.service("serve 8080").env("OCF_RESOURCE_INSTANCE", "stranger");
    let check = "http://127.0.0.1:8080/";
    stranger.clone().param("ready", "answer").param("check", check).run("start").code(0);
    let service = host.service("serve 8080 100").param("ready", "answer").param("check", check);
    let service = service.param("logfile", host.path("output"));
    service.run("start").code(1).because(&["ended with", "bind: Address already in use"]);
    assert!(host.log().contains("is answered before the service is started"), "{}", host.log());
    stranger.run("stop").code(0);
    assert_eq!(host.living(), []);
}

#[test]
#[ignore = "needs root: tests/run services"]
fn one_that_accepts_and_does_not_answer_has_failed() {
    let host = networked();
    let service = host
        .service("serve 8080")
        .param("ready", "answer")
        .param("check", "http://127.0.0.1:8080/#timeout=1s");
    service.run("start").code(0);
    let pid = host.only();
    host.sh(&format!("kill -USR1 {pid}"));
    let failed = service.clone().recurring().run("monitor").code(1);
    assert!(failed.took < Duration::from_secs(8), "{:?}", failed.took);
    failed.because(&["probe http://127.0.0.1:8080/ failed at first byte after 1.0 s"]);
    host.kill("KILL", pid);
    service.clone().recurring().run("monitor").code(7);
    service.run("stop").code(0);
}

#[test]
#[ignore = "needs root: tests/run services"]
fn what_runs_a_program_is_asked_at_level_10() {
    let host = networked();
    let flag = host.text("bad");
    let program = host.program("look", &format!("#!/bin/sh\ntest ! -e {flag}\n"));
    let service = host.service("stay").param("check", format!("exec://{program}"));
    service.run("start").code(0);
    host.sh(&format!("touch {flag}"));
    service.run("monitor").code(0);
    service.clone().level(10).run("monitor").code(1).because(&["probe exec://", "exit status: 1"]);
    service.run("stop").code(0);
}

#[test]
#[ignore = "needs root: tests/run services"]
fn a_script_s_service_is_asked_too() {
    let host = networked();
    let daemon = host.text("daemon");
    host.program(
        "script",
        &format!(
            "#!/bin/sh\nP=/run/served.pid\ncase $1 in\n\
             start) {daemon} serve 8080 500 </dev/null >/dev/null 2>&1 & echo $! >$P;;\n\
             stop) kill $(cat $P); rm $P;;\n\
             status) kill -0 $(cat $P 2>/dev/null) 2>/dev/null || exit 3;;\nesac\n"
        ),
    );
    let check = "http://127.0.0.1:8080/";
    let service = host.agent("service").param("script", host.path("script")).param("check", check);
    let started = service.run("start").code(0);
    assert!(started.took > Duration::from_millis(450), "{:?}", started.took);
    service.clone().recurring().run("monitor").code(0);
    host.kill("STOP", host.only());
    let within = service.clone().param("check", format!("{check}#timeout=500ms")).recurring();
    within.run("monitor").code(1);
    service.run("stop").code(0);
    assert_eq!(host.living(), []);
}

#[test]
#[ignore = "needs root: tests/run services"]
fn who_could_be_anybody_is_said() {
    let host = networked();
    let service = host.service("stay").param("check", "https://127.0.0.1/#insecure=1");
    service.level(10).run("validate-all").code(0);
    assert!(host.log().contains("https://127.0.0.1/ has insecure=1"), "{}", host.log());
    let service = host.service("stay").param("ready", "answer");
    service.run("start").code(6).because(&["ready", "check is not given"]);
}

/// A monitor of a local web server starts no process and no thread.
#[test]
#[ignore = "needs root: tests/run services"]
fn a_monitor_that_asks_a_web_server_is_one_process() {
    let host = networked();
    let service = host.service("serve 8080").param("check", "http://127.0.0.1:8080/");
    service.run("start").code(0);
    let calls = service.clone().recurring().system_calls(&host.path("calls"), "monitor", 0);
    for (name, _) in &calls {
        let starts = ["fork", "vfork", "clone", "clone3", "execve", "execveat"];
        assert!(!starts.contains(&name.as_str()), "{calls:?}");
    }
    assert!(calls.iter().any(|(name, _)| name == "connect"), "{calls:?}");
    assert!(calls.len() < 150, "{} calls: {calls:?}", calls.len());
    service.run("stop").code(0);
}

/// A host that is gone answers nobody: so many monitors as ask it end by their deadlines, and none of them is large.
#[test]
#[ignore = "needs root: tests/run services"]
fn five_hundred_monitors_of_a_dead_host_end_in_time() {
    const MONITORS: usize = 500;
    let host = networked();
    // Nobody is behind that address, and the neighbour entry keeps the kernel from finding out.
    host.sh("ip link add far type veth peer name near; ip link set far up; ip link set near up
             ip addr add 192.0.2.1/24 dev near; ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev near nud permanent");
    let service = host.service("stay").within(10).recurring();
    service.run("start").code(0);
    let service = service.param("check", "tcp://192.0.2.9:80#timeout=2s");
    let begin = std::time::Instant::now();
    let mut monitors: Vec<_> = (0..MONITORS)
        .map(|_| {
            let mut command = service.command("monitor");
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
            command.spawn().unwrap()
        })
        .collect();
    // All of them wait now; how much memory each has of its own.
    std::thread::sleep(Duration::from_millis(500));
    let mut largest = 0;
    for (pid, _) in host.living() {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let size = anonymous.and_then(|text| text.split_whitespace().next()?.parse().ok());
        largest = largest.max(size.unwrap_or(0_u64));
    }
    assert!((1..8192).contains(&largest), "{largest} KiB");
    for monitor in &mut monitors {
        assert_eq!(monitor.wait().unwrap().code(), Some(1), "{}", host.log());
    }
    let took = begin.elapsed();
    assert!(took < Duration::from_mins(1), "{took:?}");
    service.run("stop").code(0);
}

/// A program that hangs in the kernel, as on a server of files that is gone, is not waited for once it was killed.
#[test]
#[ignore = "needs root: tests/run services"]
fn a_check_that_cannot_be_killed_ends_in_its_time() {
    let host = Host::new();
    host.sh(&format!(
        "mkdir /run/gone; setsid -f {} answer-nobody /run/gone >/dev/null 2>&1 </dev/null",
        host.text("daemon")
    ));
    let is_there = || !host.sh("grep ' /run/gone ' /proc/mounts || true").is_empty();
    host.await_that("a file system", is_there);
    let others = host.living().len();
    let service = host.service("stay");
    service.run("start").code(0);
    let asked = service
        .clone()
        .param("check", "exec:///bin/cat?/run/gone/file#timeout=500ms")
        .level(10)
        .within(10);
    let outcome = asked.run("monitor").code(1);
    assert!(outcome.took < Duration::from_secs(5), "{outcome:?}");
    outcome.because(&["did not end within 500 ms and was killed"]);
    assert_eq!(host.state(host.only_named("cat")), Some('D'));
    service.run("stop").code(0);
    assert_eq!(host.living().len(), others + 1, "{:?}", host.living());
}
