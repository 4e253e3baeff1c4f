//! Kills, races, missing privileges, full disks: what must hold all the same.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::kills::{self, system_calls};
use crate::support::{Host, tree};

/// Invariant 10: the agent is killed at each of its system calls in turn, and the next stop cleans all.
#[test]
#[ignore = "needs root: tests/run netns"]
fn whatever_a_killed_agent_leaves_the_next_stop_cleans() {
    let host = Host::new();
    host.sh("ip addr add 192.0.2.10/32 dev lo");
    host.settle();
    let addresses = host.sh("ip -j addr show");
    let vip = host.vip().param("lvs_support", "true").param("nic", "eth0").param("arp_count", "1");
    kills::at_each(&host, &vip, &system_calls, 60, |moment| {
        assert_eq!(host.sh("ip -j addr show"), addresses, "{moment}");
    });
}

/// Invariant 3: two callers at once, again and again.
#[test]
#[ignore = "needs root: tests/run netns"]
fn two_callers_at_once_agree_with_the_kernel() {
    let host = Host::new();
    let vip = host.vip().param("arp_count", "1");
    for round in 0..40 {
        let actions =
            [["start", "start"], ["start", "stop"], ["stop", "stop"], ["stop", "start"]][round % 4];
        let children: Vec<_> =
            actions.iter().map(|action| vip.command(action).spawn().unwrap()).collect();
        for mut child in children {
            assert_eq!(child.wait().unwrap().code(), Some(0), "{actions:?}");
        }
        let places = host.places("192.0.2.10");
        let monitor = vip.run("monitor").code;
        match actions {
            ["start", "start"] => assert_eq!((places.len(), monitor), (1, Some(0))),
            ["stop", "stop"] => assert_eq!((places.len(), monitor), (0, Some(7))),
            _ => assert_eq!(monitor, Some(if places.is_empty() { 7 } else { 0 })),
        }
    }
    vip.run("stop").code(0);
}

/// The interface comes and goes while agents look and act.
#[test]
#[ignore = "needs root: tests/run netns"]
fn an_interface_that_vanishes_between_look_and_act() {
    let host = Host::new();
    let vip = host
        .agent("IPaddr2")
        .param("ip", "203.0.113.9")
        .param("nic", "eth1")
        .param("cidr_netmask", "24");
    let vip = vip.param("arp_count", "1").param("CRM_meta_timeout", "3000");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in (0..).take_while(|_| !stop.load(Ordering::Relaxed)) {
                host.sh("ip link add eth1 type veth peer name p1; ip link set p1 up; ip link set eth1 up");
                std::thread::sleep(Duration::from_millis(round * 7 % 150));
                host.sh("ip link del eth1");
            }
        });
        let begin = Instant::now();
        let mut codes = Vec::new();
        while begin.elapsed() < Duration::from_secs(5) {
            for (action, allowed) in
                [("start", &[0, 1, 2][..]), ("monitor", &[0, 1, 7]), ("stop", &[0])]
            {
                let outcome = vip.run(action);
                let code = outcome.code.expect("it ended by itself");
                assert!(allowed.contains(&code), "{action}: {code} {}", outcome.stderr);
                codes.push((action, code));
            }
        }
        stop.store(true, Ordering::Relaxed);
        assert!(
            codes.contains(&("start", 0)) && codes.contains(&("start", 2)),
            "both sides were hit"
        );
    });
    vip.run("stop").code(0);
    assert!(host.places("203.0.113.9").is_empty());
}

/// Without privileges a monitor tells the truth, start says what is missing, and stop never says "stopped".
#[test]
#[ignore = "needs root: tests/run netns"]
fn without_privileges() {
    let host = Host::new();
    let directory = host.path("");
    fs::set_permissions(&directory, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let nobody: &[&str] = &["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let bound: &[&str] = &["setpriv", "--bounding-set=-net_admin,-net_raw"];
    // The binary of the build may lie where nobody else can go.
    let copy = host.path("copy");
    fs::copy(crate::support::BINARY, &copy).unwrap();
    let agent = host.path("IPaddr2");
    fs::remove_file(&agent).unwrap();
    std::os::unix::fs::symlink(&copy, &agent).unwrap();
    let vip = host.vip().param("conflict_check", "false");
    for who in [nobody, bound] {
        vip.run_behind(who, "monitor").code(7);
        vip.run_behind(who, "start").code(4).because(&["192.0.2.10", "root"]);
        vip.run_behind(who, "stop").code(0);
        vip.run("start").code(0);
        vip.run_behind(who, "monitor").code(0);
        vip.run_behind(who, "stop").code(1).because(&["remove 192.0.2.10/24 from eth0", "root"]);
        assert_eq!(host.places("192.0.2.10").len(), 1);
        vip.run("stop").code(0);
    }
}

/// An address needs no files; what is nothing but a file says why it cannot be written.
#[test]
#[ignore = "needs root: tests/run netns"]
fn state_directories_that_are_read_only_or_full() {
    let host = Host::new();
    let readonly = host.path("readonly");
    let full = host.path("full");
    host.sh(&format!(
        "mkdir {0} {1}; mount -t tmpfs -o ro tmpfs {0}; mount -t tmpfs -o size=4k tmpfs {1}
         dd if=/dev/zero of={1}/fill bs=4k count=1 2>/dev/null",
        readonly.display(),
        full.display()
    ));
    for (directory, why) in [(readonly, "Read-only file system"), (full, "No space left on device")]
    {
        let vip = host.vip().env("HA_RSCTMP", &directory);
        vip.run("start").code(0);
        vip.run("monitor").code(0);
        vip.run("stop").code(0);
        let before = tree(&directory);
        let dummy = host.agent("Dummy").env("HA_RSCTMP", &directory);
        dummy.run("start").code(1).because(&["state file", why]);
        dummy.run("monitor").code(7);
        dummy.run("stop").code(0);
        assert_eq!(tree(&directory), before);
    }
}

/// Something on the host re-adds the address faster than anybody can remove it.
#[test]
#[ignore = "needs root: tests/run netns"]
fn an_address_that_comes_back_is_no_successful_stop() {
    let host = Host::new();
    host.vip().run("start").code(0);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let script = "while :; do ip addr add 192.0.2.10/24 dev eth0 2>/dev/null; done";
            let mut child = std::process::Command::new("sh").args(["-c", script]).spawn().unwrap();
            while !stop.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(10));
            }
            child.kill().unwrap();
            child.wait().unwrap();
        });
        // Slowed down, so that the other one always comes between.
        let slow = ["strace", "-o", "/dev/null", "-e", "inject=sendto:delay_exit=30000"];
        let stopped = host.vip().param("CRM_meta_timeout", "60000").run_behind(&slow, "stop");
        stop.store(true, Ordering::Relaxed);
        stopped.code(1).because(&["192.0.2.10", "there again", "re-adds it"]);
    });
}

/// Invariant 9 and the budget: a monitor executes nothing and asks the kernel little.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_monitor_costs_no_fork_no_exec_and_few_system_calls() {
    let host = Host::new();
    host.vip().run("start").code(0);
    let trace = host.path("strace");
    for vip in [host.vip(), host.vip().param("nic", "eth0").param("cidr_netmask", "24")] {
        let path = trace.to_str().unwrap();
        vip.run_behind(&["strace", "-f", "-o", path], "monitor").code(0);
        let calls = fs::read_to_string(&trace).unwrap();
        let count =
            |name: &str| calls.lines().filter(|line| line.contains(&format!(" {name}("))).count();
        assert_eq!(count("execve"), 1);
        assert_eq!(count("clone") + count("clone3") + count("fork") + count("vfork"), 0);
        assert!(calls.lines().count() < 120, "{}", calls.lines().count());
    }
}

/// A second resource on the same interface is not disturbed.
#[test]
#[ignore = "needs root: tests/run netns"]
fn stop_leaves_everything_else_as_it_was() {
    let host = Host::new();
    let dump = "ip -j addr show; ip -j route show table all; ip -j -6 route show table all; ip -j rule; ip addrlabel; ip -j neigh show nud permanent";
    host.settle();
    for ip in ["192.0.2.10", "2001:db8::10"] {
        let before = host.sh(dump);
        let vip = host.agent("IPaddr2").param("ip", ip);
        vip.run("start").code(0);
        assert_ne!(host.sh(dump), before);
        vip.run("stop").code(0);
        assert_eq!(host.sh(dump), before, "{ip}");
        assert!(
            tree(std::path::Path::new("/run/resource-agents"))
                .iter()
                .all(|path| path.extension().is_some_and(|kind| kind == "lock"))
        );
    }
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_trace_tells_what_was_asked_and_answered() {
    let host = Host::new();
    let file = host.path("trace/of/it");
    let vip = host.vip().env("OCF_TRACE_RA", "1").env("OCF_TRACE_FILE", &file);
    vip.run("start").code(0);
    let trace = fs::read_to_string(&file).unwrap();
    for line in [
        "# OCF_RESKEY_ip=\"192.0.2.10\"",
        "> add 192.0.2.10/24 to eth0",
        "- 192.0.2.10/24 belongs on eth0",
        "> ARP probe for 192.0.2.10",
        "> announce 192.0.2.10",
    ] {
        assert!(trace.contains(line), "no {line:?} in {trace}");
    }
    let directory = host.path("traces");
    let vip = host.vip().param("trace_ra", "1").param("trace_dir", &directory);
    vip.run("monitor").code(0).silent();
    let names = tree(&directory.join("IPaddr2"));
    assert!(
        names[0].file_name().unwrap().to_str().unwrap().starts_with("test.monitor.20"),
        "{names:?}"
    );
    host.vip().run("stop").code(0);
}

/// Many addresses on the interface: the answer is the same, and still one dump.
#[test]
#[ignore = "needs root: tests/run netns"]
fn among_thousands_of_addresses() {
    let host = Host::new();
    let lines: Vec<String> =
        (0..2000).map(|n| format!("addr add 10.{}.{}.1/32 dev eth0", n / 250, n % 250)).collect();
    let batch = lines.join(
        "
",
    );
    fs::write(host.path("batch"), batch).unwrap();
    host.sh(&format!("ip -batch {}", host.path("batch").display()));
    let vip = host.vip().param("nic", "eth0").param("cidr_netmask", "24");
    vip.run("monitor").code(7);
    vip.run("start").code(0);
    vip.run("monitor").code(0);
    vip.run("stop").code(0);
    assert!(host.places("192.0.2.10").is_empty());
    assert_eq!(host.sh("ip -o -4 addr show dev eth0 | wc -l").trim(), "2001");
}

/// A logging daemon that hangs, and a trace that nobody reads, hold nobody up.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_hung_logger_and_an_unread_trace_hold_nobody_up() {
    let host = Host::new();
    let tools = host.path("tools");
    fs::create_dir(&tools).unwrap();
    let logger = tools.join("ha_logger");
    fs::write(&logger, "#!/bin/sh\nexec sleep 600\n").unwrap();
    fs::set_permissions(&logger, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", tools.display());
    let vip = host.vip().env("PATH", path).env("HA_LOGD", "yes");
    let trace = host.path("pipe");
    nix::unistd::mkfifo(&trace, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let vip = vip.env("OCF_TRACE_RA", "1").env("OCF_TRACE_FILE", &trace);
    for action in ["start", "stop"] {
        let outcome = vip.run(action).code(0);
        assert!(outcome.took < Duration::from_secs(3), "{action}: {:?}", outcome.took);
    }
    assert_eq!(host.sh("pgrep -c -f '^sleep 600' || true").trim(), "0", "the logger was ended");
}

/// Facilities by name, and the system log when nothing is said.
#[test]
#[ignore = "needs root: tests/run netns"]
fn the_system_log_gets_what_the_environment_says() {
    let host = Host::new();
    host.sh("mount -t tmpfs tmpfs /dev; mknod /dev/null c 1 3; mknod /dev/urandom c 1 9; chmod 666 /dev/*");
    let log = std::os::unix::net::UnixDatagram::bind("/dev/log").unwrap();
    log.set_nonblocking(true).unwrap();
    let heard = || {
        let mut buffer = [0; 2048];
        let mut lines = Vec::new();
        while let Ok(length) = log.recv(&mut buffer) {
            lines.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
        lines
    };
    let vip = host.agent("IPaddr2").param("ip", "nonsense").env("HA_LOGFILE", "");
    let cases = [("", "<27>"), ("local3", "<155>"), ("none", "<27>"), ("no-such", "<27>")];
    for (facility, priority) in cases {
        vip.clone().env("HA_LOGFACILITY", facility).run("start").code(6);
        let lines = heard();
        let form = format!("{priority}IPaddr2(test)[");
        assert!(lines.len() == 1 && lines[0].starts_with(&form), "{facility}: {lines:?}");
        assert!(lines[0].contains("]: ERROR: parameter ip: "), "{lines:?}");
    }
    host.vip().env("HA_LOGFILE", "").run("monitor").code(7);
    assert!(heard().is_empty(), "a monitor that found nothing wrong says nothing");
    // Debugging goes to its own file only, where there is one.
    let debug = host.path("debug");
    let dummy = host.agent("Stateful").env("HA_debug", "1").env("HA_DEBUGLOG", &debug);
    dummy.env("HA_LOGFILE", "").env("PATH", "/nowhere").run("start").code(0);
    assert!(fs::read_to_string(&debug).unwrap().contains("DEBUG: "));
    assert!(heard().is_empty());
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_state_file_of_somebody_else_is_neither_believed_nor_removed() {
    let host = Host::new();
    let state = host.path("state");
    fs::write(&state, "running\n").unwrap();
    std::os::unix::fs::chown(&state, Some(65534), None).unwrap();
    let dummy = host.agent("Dummy").param("state", &state);
    for action in ["monitor", "start"] {
        dummy.run(action).code(1).because(&["state file", "not a small file of ours"]);
    }
    dummy.run("stop").code(0);
    assert_eq!(fs::read_to_string(&state).unwrap(), "running\n");
}
