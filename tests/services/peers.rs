//! What the shell agent `anything` gets wrong. Each of these fails with
//! `OCFBOX_UNDER_TEST=/usr/lib/ocf/resource.d/heartbeat tests/run services`.

use std::fs;
use std::process::Command;

use crate::support::Host;

/// A PID file that names somebody else harms nobody, and its process is not called the resource.
#[test]
#[ignore = "needs root: tests/run services"]
fn a_stranger_in_the_pid_file_is_neither_watched_nor_killed() {
    let host = Host::new();
    let mut stranger = Command::new(host.path("daemon")).arg("stay").spawn().unwrap();
    let pid = host.only();
    let pidfile = host.path("pid");
    fs::write(&pidfile, pid.to_string()).unwrap();
    let anything =
        host.agent("anything").param("binfile", "/bin/sleep").param("cmdline_options", "600");
    let anything = anything.param("pidfile", &pidfile);
    anything.run("monitor").code(7);
    anything.run("stop").code(0);
    assert_eq!(host.only(), pid, "the stranger lives");
    assert!(pidfile.exists(), "and keeps his file");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

/// Neither is a daemon forgotten whose PID file and state are lost.
#[test]
#[ignore = "needs root: tests/run services"]
fn a_lost_pid_file_loses_no_daemon() {
    let host = Host::new();
    for mode in ["stay", "double"] {
        let anything = host.anything(mode);
        anything.run("start").code(0);
        let pid = host.only();
        host.sh("rm -rf /run/*");
        anything.run("monitor").code(0);
        anything.run("start").code(0);
        assert_eq!(host.only(), pid, "{mode}: not started twice");
        host.sh("rm -rf /run/*");
        anything.run("stop").code(0);
        assert_eq!(host.living(), [], "{mode}");
    }
}

/// What ends at once has not been started.
#[test]
#[ignore = "needs root: tests/run services"]
fn what_dies_at_once_is_not_started() {
    let host = Host::new();
    let anything = host.agent("anything").param("binfile", "/bin/false");
    anything.run("start").code(1).because(&["/bin/false", "exit code 1"]);
    anything.run("monitor").code(7);
}

/// Process 1 of this host takes no notice of the dead: they stay zombies.
#[test]
#[ignore = "needs root: tests/run services"]
fn a_zombie_is_dead() {
    let host = Host::new();
    let anything = host.anything("stay");
    anything.run("start").code(0);
    let pid = host.only();
    host.kill("KILL", pid);
    assert_eq!(host.state(pid), Some('Z'));
    anything.run("monitor").code(7);
    anything.clone().recurring().run("monitor").code(7);
    anything.run("start").code(0);
    assert_ne!(host.only(), pid);
}

#[test]
#[ignore = "needs root: tests/run services"]
fn a_stopped_process_has_failed() {
    let host = Host::new();
    let anything = host.anything("stay");
    anything.run("start").code(0);
    let pid = host.only();
    host.kill("STOP", pid);
    anything
        .clone()
        .recurring()
        .run("monitor")
        .code(1)
        .because(&["stopped by a signal", &pid.to_string()]);
    host.kill("CONT", pid);
    host.await_that("it goes on", || host.state(pid) == Some('S'));
    anything.run("monitor").code(0);
    host.kill("STOP", pid);
    // It ends by SIGTERM, which needs no kill.
    let outcome = anything.clone().within(20).run("stop").code(0);
    assert!(outcome.took.as_secs() < 5, "{outcome:?}");
    assert_eq!(host.living(), []);
}

/// Invariant 9: values are arguments and nothing else.
#[test]
#[ignore = "needs root: tests/run services"]
fn no_shell_reads_a_parameter() {
    let host = Host::new();
    let touched = host.text("touched");
    let options = format!(
        "stay ; touch {touched}; $(touch {touched}) `touch {touched}` > {touched} 'a b' \"c\\\"d\""
    );
    let anything = host.anything(&options);
    anything.run("start").code(0);
    let words = fs::read(format!("/proc/{}/cmdline", host.only())).unwrap();
    let words = String::from_utf8(words).unwrap();
    let shown: Vec<&str> = words.split('\0').skip(1).collect();
    assert_eq!(&shown[..3], ["stay", ";", "touch"]);
    assert_eq!(&shown[shown.len() - 3..], ["a b", "c\"d", ""]);
    assert!(host.log().contains("no shell reads cmdline_options"), "{}", host.log());
    anything.run("stop").code(0);
    for (name, value) in [
        ("workdir", format!("/; touch {touched}")),
        ("user", format!("root; touch {touched}")),
        ("logfile", format!("/dev/null; touch {touched}")),
        ("monitor_hook", format!("/bin/true ; touch {touched}; $(touch {touched})")),
    ] {
        let anything = host.anything("stay").param(name, value);
        let _ = anything.run("start").code;
        let _ = anything.run("monitor").code;
        anything.run("stop").code(0);
        assert!(!host.path("touched").exists(), "{name}");
    }
}

/// Stop ends all, not only the process in the PID file.
#[test]
#[ignore = "needs root: tests/run services"]
fn stop_leaves_no_child() {
    let host = Host::new();
    for mode in ["workers", "deaf"] {
        let anything = host.anything(mode).within(20).param("stop_timeout", "1");
        anything.run("start").code(0);
        assert!(host.living().len() > 1, "{mode}");
        anything.run("stop").code(0);
        assert_eq!(host.living(), [], "{mode}");
    }
    assert!(host.log().contains("killing what did not end in time"), "{}", host.log());
}
