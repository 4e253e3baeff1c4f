//! `service` with a command: how it is started, what monitor sees, how it ends.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::{Host, set_mode};

#[test]
#[ignore = "needs root: tests/run services"]
fn daemons_of_every_kind_start_run_and_stop() {
    every_kind(&Host::new());
}

#[test]
#[ignore = "needs root: tests/run services"]
fn daemons_of_every_kind_are_known_without_control_groups() {
    let host = Host::new();
    host.sh("mount -t tmpfs tmpfs /sys/fs/cgroup");
    every_kind(&host);
    let bomb = host.service("bomb").within(60).param("stop_timeout", "0.3");
    bomb.run("start").code(0);
    bomb.run("stop").code(0);
    assert_eq!(host.living(), []);
}

/// A vfork's parent waits uninterruptibly, as for a disk that does not answer.
#[test]
#[ignore = "needs root: tests/run services"]
fn a_process_that_hangs_in_the_kernel_has_failed() {
    let host = Host::new();
    let service = host.service("hung").param("hung_after", "1").recurring();
    service.run("start").code(0);
    let pid = host.living()[0].0;
    assert_eq!(host.state(pid), Some('D'));
    service.run("monitor").code(0);
    std::thread::sleep(Duration::from_millis(1200));
    service.run("monitor").code(1).because(&[
        "uninterruptible",
        &pid.to_string(),
        "has not run for 1 s",
    ]);
    service.clone().within(20).param("stop_timeout", "1").run("stop").code(0);
    assert_eq!(host.living(), []);
}

#[track_caller]
fn every_kind(host: &Host) {
    for mode in ["stay", "fork", "double", "stranger", "workers", "threads", "become"] {
        let service = host.service(mode);
        service.run("monitor").code(7);
        service.run("start").code(0);
        let living = host.living();
        service.clone().recurring().run("monitor").code(0);
        service.run("start").code(0);
        assert_eq!(host.living(), living, "{mode}: started once");
        service.run("stop").code(0);
        assert_eq!(host.living(), [], "{mode}");
        service.run("monitor").code(7);
        service.run("stop").code(0);
        let left = crate::support::tree("/run/resource-agents");
        assert_eq!(left, [Path::new("/run/resource-agents/.service-test.lock")], "{mode}");
    }
}

/// A daemon without a mark, in a session of its own, whose parent is process 1 and whose record is lost: the control
/// group knows it where there is one.
#[test]
#[ignore = "needs root: tests/run services"]
fn a_daemon_that_hides_its_origin_is_found_by_its_record() {
    let host = Host::new();
    let service = host.service("stranger");
    service.run("start").code(0);
    let pid = host.only();
    assert_eq!(fs::read(format!("/proc/{pid}/environ")).unwrap(), b"", "nothing marks it");
    service.run("monitor").code(0);
    service.run("stop").code(0);
    assert_eq!(host.living(), []);
}

#[test]
#[ignore = "needs root: tests/run services"]
fn a_dead_main_process_with_living_parts_has_failed() {
    let host = Host::new();
    let service = host.service("workers").recurring();
    service.run("start").code(0);
    let main = host.living()[0].0;
    host.kill("KILL", main);
    let pid = main.to_string();
    service.run("monitor").code(1).because(&["main process", &pid, "dead", "parts live", "daemon"]);
    // A start makes a clean beginning.
    service.run("start").code(0);
    assert_eq!(host.living().len(), 4);
    let main = host.living()[0].0;
    for (pid, _) in host.living() {
        host.kill("KILL", pid);
    }
    assert!(main > 1);
    service.run("monitor").code(7);
}

#[test]
#[ignore = "needs root: tests/run services"]
fn a_process_that_executes_another_program_has_failed() {
    let host = Host::new();
    let service = host.service("become").recurring();
    service.run("start").code(0);
    let pid = host.only();
    host.kill("USR1", pid);
    let sleeps =
        || fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|path| path.ends_with("sleep"));
    host.await_that("it sleeps", sleeps);
    service.run("monitor").code(1).because(&["executes", "/sleep", "daemon"]);
    service.run("stop").code(0);
    assert_eq!(host.living(), []);
    // The first program of a script is its interpreter, and may change.
    let script = host.program("script", "#!/bin/sh\nsleep 0.6\nexec /bin/sleep 1000\n");
    let service = host.service("").param("command", script).recurring();
    service.run("start").code(0);
    let pid = host.only_named("script");
    host.await_that("it sleeps", || {
        fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|path| path.ends_with("sleep"))
    });
    service.run("monitor").code(0);
    service.run("stop").code(0);
}

/// An upgrade replaces the file of a running program.
#[test]
#[ignore = "needs root: tests/run services"]
fn a_replaced_program_is_the_same_program() {
    let host = Host::new();
    let service = host.service("stay").recurring();
    service.run("start").code(0);
    host.sh(&format!("cp {0} {0}.new; mv {0}.new {0}", host.text("daemon")));
    service.run("monitor").code(0);
    host.sh(&format!("mv {0} {0}.old", host.text("daemon")));
    service.run("monitor").code(0);
    service.run("stop").code(0);
}

#[test]
#[ignore = "needs root: tests/run services"]
fn stop_asks_first_and_kills_what_does_not_end() {
    let host = Host::new();
    let deaf = host.service("deaf").within(20).param("stop_timeout", "0.5");
    deaf.run("start").code(0);
    let outcome = deaf.run("stop").code(0);
    assert!(outcome.took >= Duration::from_millis(500), "{outcome:?}");
    assert_eq!(host.living(), []);
    let stay = host.service("stay").within(60);
    stay.run("start").code(0);
    let outcome = stay.run("stop").code(0);
    assert!(outcome.took < Duration::from_secs(15), "one that ends is not waited for: {outcome:?}");
    // With the signal that it does hear.
    let deaf = host.service("deaf").within(60).param("stop_signal", "INT");
    deaf.run("start").code(0);
    let outcome = deaf.run("stop").code(0);
    assert!(outcome.took < Duration::from_secs(45), "{outcome:?}");
    assert_eq!(host.living(), []);
}

/// It makes processes faster than a scan of /proc finds them.
#[test]
#[ignore = "needs root: tests/run services"]
fn a_service_that_multiplies_when_it_is_stopped_is_ended_all_the_same() {
    let host = Host::new();
    let bomb = host.service("bomb").within(60).param("stop_timeout", "0.3");
    bomb.run("start").code(0);
    bomb.run("stop").code(0);
    assert_eq!(host.living(), []);
}

#[test]
#[ignore = "needs root: tests/run services"]
fn a_start_that_fails_says_why_and_leaves_nothing() {
    let host = Host::new();
    let log = host.text("output");
    let die = host.service("die").param("logfile", &log);
    die.run("start").code(1).because(&["daemon", "exit code 7", "cannot open the thing"]);
    assert!(host.log().contains("it wrote: first line"), "{}", host.log());
    host.service("late")
        .param("settle", "5")
        .run("start")
        .code(1)
        .because(&["exit code 0 at once"]);
    let here = host.text("daemon");
    let cases = [
        (vec![("command", "/no/such/program")], 5, "not installed"),
        (vec![("command", "no-such-program")], 5, "not installed"),
        (vec![("command", "/etc/passwd")], 4, "Permission denied"),
        (vec![("command", &here), ("user", "no-such-user")], 5, "no user"),
        (vec![("command", &here), ("group", "no-such-group")], 5, "no group"),
        (vec![("command", &here), ("workdir", "/no/such/place")], 2, "/no/such/place"),
        (vec![("command", &here), ("logfile", "/no/such/place/log")], 2, "/no/such/place/log"),
    ];
    for (parameters, code, why) in cases {
        let mut service = host.service("stay");
        for (name, value) in parameters {
            service = service.param(name, value);
        }
        service.run("start").code(code).because(&[why]);
        assert_eq!(host.living(), [], "{why}");
        service.run("monitor").code(7);
        let left = crate::support::tree("/run/resource-agents");
        assert_eq!(left, [Path::new("/run/resource-agents/.service-test.lock")], "{why}");
    }
}

/// What a service gets of its surroundings is what was configured, and nothing of the cluster's.
#[test]
#[ignore = "needs root: tests/run services"]
fn a_command_runs_as_it_was_configured() {
    let host = Host::new();
    fs::create_dir(host.path("work")).unwrap();
    let output = host.path("output");
    fs::write(&output, "before\n").unwrap();
    std::os::unix::fs::chown(&output, Some(65534), None).unwrap();
    let script = host.program(
        "show",
        "#!/bin/sh\nid -u; id -g; pwd; umask; ulimit -n; ulimit -Hn; ls /proc/$$/fd | tr '\\n' ' '; echo\nenv | sort\necho wrong >&2\nexec sleep 1000\n",
    );
    let service = host
        .service("")
        .param("command", script)
        .param("user", "nobody")
        .param("group", "daemon")
        .param("workdir", host.path("work"))
        .param("umask", "0077")
        .param("limits", "nofile=100:200")
        .param("environment", "A=b 'C=d e' HOME=/elsewhere")
        .param("logfile", &output)
        .param("errlogfile", host.path("errors"));
    fs::write(host.path("errors"), "").unwrap();
    set_mode(&host.path("errors"), 0o666);
    service.run("start").code(0);
    let shown = fs::read_to_string(&output).unwrap();
    let lines: Vec<&str> = shown.lines().collect();
    let work = host.text("work");
    // A shell has its script open as another descriptor.
    assert_eq!(lines[..7], ["before", "65534", "1", &work, "0077", "100", "200"], "{shown}");
    let descriptors: Vec<&str> = lines[7].split_whitespace().collect();
    assert!(["0", "1", "2"].iter().all(|number| descriptors.contains(number)), "{shown}");
    assert!(descriptors.len() <= 4, "{shown}");
    let variables: Vec<&str> =
        lines[8..].iter().map(|line| line.split('=').next().unwrap()).collect();
    let expected = ["A", "C", "HOME", "LOGNAME", "OCFBOX_INSTANCE", "PATH", "PWD", "SHELL", "USER"];
    assert_eq!(variables, expected, "{shown}");
    assert!(lines.contains(&"HOME=/elsewhere") && lines.contains(&"C=d e"), "{shown}");
    assert_eq!(fs::read_to_string(host.path("errors")).unwrap(), "wrong\n");
    service.run("stop").code(0);
    assert_eq!(host.living(), []);
}

#[test]
#[ignore = "needs root: tests/run services"]
fn readiness_is_heard_from_the_service_and_from_nobody_else() {
    let host = Host::new();
    let notify = host.service("notify").param("ready", "notify").param("settle", "0").within(20);
    let outcome = notify.run("start").code(0);
    assert!(outcome.took >= Duration::from_millis(700), "{outcome:?}");
    notify.run("monitor").code(0);
    notify.run("stop").code(0);
    let main = host.service("mainpid").param("ready", "notify").param("settle", "0").within(20);
    main.run("start").code(0);
    let (first, second) = (host.living()[0].0, host.living()[1].0);
    host.kill("KILL", first);
    main.run("monitor").code(0);
    host.kill("KILL", second);
    main.run("monitor").code(7);
    // One that says nothing is not up, whoever else says that it is.
    let mute = host.service("mute").param("ready", "notify").within(4);
    let mut start = mute.command("start").stderr(std::process::Stdio::piped()).spawn().unwrap();
    let socket = host.path("/run/resource-agents/service-test.notify");
    host.await_that("the socket", || socket.exists());
    let stranger = std::os::unix::net::UnixDatagram::unbound().unwrap();
    let _ = stranger.send_to(b"READY=1", &socket);
    assert_eq!(start.wait().unwrap().code(), Some(1));
    assert!(host.log().contains("waiting for READY=1"), "{}", host.log());
    assert_eq!(host.living(), []);
    assert!(!socket.exists());
}

/// One that runs is taken over if it is provably the one that is configured.
#[test]
#[ignore = "needs root: tests/run services"]
fn a_daemon_that_runs_is_taken_over_if_it_is_the_same() {
    let host = Host::new();
    let by_hand = format!("setsid -f {} fork", host.text("daemon"));
    host.sh(&by_hand);
    host.await_that("the daemon alone", || host.living().len() == 1);
    let pid = host.only();
    let service = host.service("fork");
    service.run("monitor").code(0);
    service.run("start").code(0);
    assert_eq!(host.only(), pid, "not started a second time");
    service.clone().recurring().run("monitor").code(0);
    host.kill("STOP", pid);
    service.clone().recurring().run("monitor").code(1);
    host.kill("CONT", pid);
    service.run("stop").code(0);
    assert_eq!(host.living(), []);
    // Other words, another user, another resource's: somebody else's.
    host.sh(&format!("setsid -f {} double", host.text("daemon")));
    host.sh(&format!(
        "setsid -f setpriv --reuid 65534 --clear-groups {} fork",
        host.text("daemon")
    ));
    let other = service
        .clone()
        .env("OCF_RESOURCE_INSTANCE", "other")
        .param("command", format!("{} stay", host.text("daemon")));
    other.run("start").code(0);
    host.await_that("three daemons", || host.living().len() == 3);
    let before = host.living();
    service.run("monitor").code(7);
    host.service("stay").run("monitor").code(7);
    service.run("stop").code(0);
    host.service("stay").run("stop").code(0);
    assert_eq!(host.living(), before);
    other.run("stop").code(0);
}

/// `anything` takes over what the shell agent started: its PID file names the process, and it is the one configured.
#[test]
#[ignore = "needs root: tests/run services"]
fn anything_takes_over_what_its_pid_file_names_if_it_is_the_same() {
    let host = Host::new();
    host.sh(&format!(
        "setsid -f {} stay /run/anything_test.pid >/dev/null 2>&1",
        host.text("daemon")
    ));
    host.await_that("its PID file", || {
        fs::read("/run/anything_test.pid").is_ok_and(|text| !text.is_empty())
    });
    let pid = host.only();
    let other = host.anything("stay");
    other.run("monitor").code(7);
    other.run("stop").code(0);
    assert_eq!(host.only(), pid);
    let same = host.anything("stay /run/anything_test.pid");
    same.run("monitor").code(0);
    same.run("start").code(0);
    assert_eq!(host.only(), pid);
    same.run("stop").code(0);
    assert_eq!(host.living(), []);
}

#[test]
#[ignore = "needs root: tests/run services"]
fn checks_and_hooks_have_words_and_a_deadline() {
    let host = Host::new();
    let check = host.program("check", "#!/bin/sh\necho \"asked with $1\"\ntest ! -e \"$2\"\n");
    let broken = host.text("broken");
    let service = host.service("stay").param("check_command", format!("{check} 'a b' {broken}"));
    service.run("start").code(0);
    service.clone().level(20).run("monitor").code(0);
    fs::write(host.path("broken"), "").unwrap();
    service.run("monitor").code(0);
    service.clone().level(20).run("monitor").code(1).because(&[
        "check_command",
        "exit code 1",
        "asked with a b",
    ]);
    let hangs = service.clone().param("check_command", "/bin/sleep 600").within(2).level(20);
    hangs.run("monitor").code(1).because(&["check_command", "gave up waiting"]);
    assert_eq!(host.living().len(), 1, "the check that hangs is ended");
    service.run("stop").code(0);
    let anything = host.anything("stay").param("monitor_hook", format!("{check} x {broken}"));
    anything.run("start").code(1).because(&["monitor_hook", "asked with x"]);
    assert_eq!(host.living(), []);
    fs::remove_file(host.path("broken")).unwrap();
    anything.run("start").code(0);
    anything.run("monitor").code(0);
    anything.run("stop").code(0);
}

/// With a recorded process a monitor reads a handful of files, however many processes there are.
#[test]
#[ignore = "needs root: tests/run services"]
fn a_monitor_looks_at_its_own_process_only() {
    let host = Host::new();
    let service = host.service("stay").recurring();
    service.run("start").code(0);
    let few = service.system_calls(&host.path("few"), "monitor", 0);
    host.sh("i=0; while [ $i -lt 300 ]; do sleep 1000 >/dev/null 2>&1 & i=$((i+1)); done");
    let many = service.system_calls(&host.path("many"), "monitor", 0);
    assert_eq!(few, many);
    assert!(few.len() < 120, "{few:?}");
    let trace = fs::read_to_string(host.path("many")).unwrap();
    assert!(!trace.contains("getdents"), "{trace}");
    for call in ["fork(", "clone(", "clone3(", "vfork("] {
        assert!(!trace.contains(call), "{trace}");
    }
}
