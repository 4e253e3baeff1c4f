//! `MACaddr`, whoever calls it: two at once, one without privileges, Heartbeat; and what a call costs.

use crate::hardware::{MAC, OWN, assert_as_before, host_with_a_spare_card, identity, settled};

/// Invariant 3: two callers at once, again and again.
#[test]
#[ignore = "needs root: tests/run netns"]
fn two_callers_at_once_agree_with_the_kernel() {
    let host = host_with_a_spare_card();
    let before = settled(&host);
    for round in 0..24 {
        let mode = ["device", "macvlan"][round / 4 % 2];
        let call = identity(&host, mode).param("ip", "192.0.2.10/24");
        let actions =
            [["start", "start"], ["start", "stop"], ["stop", "stop"], ["stop", "start"]][round % 4];
        let children: Vec<_> =
            actions.iter().map(|action| call.command(action).spawn().unwrap()).collect();
        for mut child in children {
            assert_eq!(child.wait().unwrap().code(), Some(0), "{mode} {actions:?}");
        }
        let monitor = call.run("monitor").code;
        match actions {
            ["start", "start"] => assert_eq!(monitor, Some(0), "{mode}"),
            ["stop", "stop"] => assert_eq!(monitor, Some(7), "{mode}"),
            _ => assert!([Some(0), Some(7)].contains(&monitor), "{mode} {monitor:?}"),
        }
        call.run("stop").code(0);
    }
    assert_as_before(&host, &before, "after all");
}

/// One of two resources gets the card, and the other one is told. Whoever is slower never takes the address of the faster
/// one for the card's own.
#[test]
#[ignore = "needs root: tests/run netns"]
fn two_resources_that_want_the_same_card_at_once() {
    let host = host_with_a_spare_card();
    let before = settled(&host);
    let first = identity(&host, "device");
    let second = first.clone().param("mac", "02:00:00:00:00:02");
    for round in 0..24 {
        let leaves = round % 2 == 0;
        if leaves {
            second.run("start").code(0);
        }
        let action = if leaves { "stop" } else { "start" };
        let mut children =
            [first.command("start"), second.command(action)].map(|mut call| call.spawn().unwrap());
        let codes = children.each_mut().map(|child| child.wait().unwrap().code());
        let monitors = [&first, &second].map(|call| call.run("monitor").code);
        let expected = if leaves { [codes[0], Some(1)] } else { codes };
        let expected = expected.map(|code| if code == Some(0) { Some(0) } else { Some(7) });
        assert_eq!(monitors, expected, "round {round}: {action} beside start: {codes:?}");
        if leaves {
            assert_eq!(codes[1], Some(0), "round {round}");
        } else {
            assert!(codes.contains(&Some(0)) && codes.contains(&Some(1)), "{codes:?}");
        }
        first.run("stop").code(0);
        second.run("stop").code(0);
        assert_eq!(host.mac("", "eth1"), OWN, "round {round}");
    }
    assert!(host.log().contains("for another resource already"), "{}", host.log());
    assert_as_before(&host, &before, "after all");
}

/// Without privileges a monitor tells the truth, start says what is missing, and stop never says "stopped".
#[test]
#[ignore = "needs root: tests/run netns"]
fn without_privileges() {
    let host = host_with_a_spare_card();
    let before = settled(&host);
    let bound: &[&str] = &["setpriv", "--bounding-set=-net_admin,-net_raw"];
    for mode in ["device", "macvlan"] {
        let call = identity(&host, mode);
        call.run_behind(bound, "monitor").code(7);
        call.run_behind(bound, "start").code(4).because(&["root", "CAP_NET_ADMIN"]);
        call.run_behind(bound, "stop").code(0);
        call.run("start").code(0);
        call.run_behind(bound, "monitor").code(0);
        call.run_behind(bound, "stop").code(1).because(&["root", "CAP_NET_ADMIN"]);
        call.run("monitor").code(0);
        call.run("stop").code(0);
        assert_as_before(&host, &before, mode);
    }
}

/// A monitor executes nothing and asks the kernel little.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_monitor_costs_no_fork_no_exec_and_few_system_calls() {
    let host = host_with_a_spare_card();
    let trace = host.path("strace");
    for mode in ["device", "macvlan"] {
        let call = identity(&host, mode).param("ip", "192.0.2.10/24");
        call.run("start").code(0);
        let path = trace.to_str().unwrap();
        call.run_behind(&["strace", "-f", "-o", path], "monitor").code(0);
        let calls = std::fs::read_to_string(&trace).unwrap();
        let count =
            |name: &str| calls.lines().filter(|line| line.contains(&format!(" {name}("))).count();
        assert_eq!(count("execve"), 1);
        assert_eq!(count("clone") + count("clone3") + count("fork") + count("vfork"), 0);
        assert!(calls.lines().count() < 200, "{mode}: {}", calls.lines().count());
        call.run("stop").code(0);
    }
}

/// Heartbeat's form.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_line_of_haresources() {
    let host = host_with_a_spare_card();
    let run = |action: &str| {
        let mut command = std::process::Command::new(host.path("MACaddr"));
        command
            .args(["eth1/02:00:00:00:00:01", "192.0.2.10/24,2001:db8", "10/64", action])
            .env_clear();
        let output = command.env("PATH", "/usr/bin:/bin").output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    run("start");
    assert_eq!(host.mac("", "eth1"), MAC);
    assert_eq!(host.places("2001:db8::10"), ["eth1 2001:db8::10/64"]);
    assert!(run("status").contains("running"));
    run("stop");
    assert_eq!(host.mac("", "eth1"), OWN);
    assert!(run("status").contains("stopped"));
}

/// Settings of the administrator that are more cautious stay, and are there afterwards.
#[test]
#[ignore = "needs root: tests/run netns"]
fn settings_are_never_weakened() {
    let host = host_with_a_spare_card();
    host.sh("sysctl -qw net.ipv4.conf.eth0.arp_ignore=2 net.ipv4.conf.eth1.arp_announce=1");
    let before = settled(&host);
    let call = identity(&host, "device").param("ip", "192.0.2.10/24");
    call.run("start").code(0);
    let value = |what: &str| host.sh(&format!("cat /proc/sys/net/ipv4/conf/{what}"));
    assert_eq!(value("eth0/arp_ignore"), "2\n");
    assert_eq!(value("eth0/arp_announce"), "2\n");
    assert_eq!(value("eth1/arp_announce"), "2\n");
    call.run("stop").code(0);
    assert_as_before(&host, &before, "cautious settings");
    // 3 is greater than 1, and answers for the addresses of other interfaces.
    host.sh("sysctl -qw net.ipv4.conf.eth0.arp_ignore=3");
    call.run("start").code(0);
    assert_eq!(value("eth0/arp_ignore"), "1\n");
    call.run("stop").code(0);
    assert_eq!(value("eth0/arp_ignore"), "3\n");
    // What the administrator changed meanwhile is newer than what start found.
    call.run("start").code(0);
    host.sh("sysctl -qw net.ipv4.conf.eth1.arp_ignore=3");
    call.run("stop").code(0);
    assert_eq!(value("eth1/arp_ignore"), "3\n");
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn an_address_that_a_maker_may_have_given_is_told() {
    let host = host_with_a_spare_card();
    identity(&host, "device").run("validate-all").code(0);
    assert!(!host.log().contains("locally administered"), "{}", host.log());
    let call = identity(&host, "device").param("mac", "00:16:3e:00:00:01");
    call.run("start").code(0);
    assert!(host.log().contains("00:16:3e:00:00:01 is not locally administered"), "{}", host.log());
    assert_eq!(host.mac("", "eth1"), "00:16:3e:00:00:01");
    call.run("stop").code(0);
    assert_eq!(host.mac("", "eth1"), OWN);
}
