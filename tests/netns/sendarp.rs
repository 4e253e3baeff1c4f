//! `SendArp`: what neighbours hear of an address that this host need not have.

use std::time::Duration;

use crate::kills::{kill_at, system_calls};
use crate::support::{Call, Host};

fn sendarp(host: &Host) -> Call {
    host.agent("SendArp").param("ip", "192.0.2.10").param("nic", "eth0")
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn neighbours_learn_an_address_that_this_host_does_not_have() {
    let host = Host::new();
    host.sh("ip -n far neigh add 192.0.2.10 lladdr 02:00:00:00:00:99 dev eth0 nud reachable");
    let capture = host.capture("arp");
    let sendarp = sendarp(&host).env("ARP_REPEAT", "3").env("ARP_INTERVAL_MS", "50");
    sendarp.run("monitor").code(7);
    let started = sendarp.run("start").code(0);
    assert!(started.took < Duration::from_secs(1), "{:?}", started.took);
    sendarp.run("monitor").code(0).silent();
    host.await_that("the announcer's end", || host.announcers().is_empty());
    let mac = host.mac("", "eth0");
    host.await_that("the cache", || host.sh("ip -n far neigh show 192.0.2.10").contains(&mac));
    let packets = capture.stop();
    for words in [["Request who-has 192.0.2.10 ", "tell 192.0.2.10"], ["Reply 192.0.2.10 ", &mac]] {
        let heard = packets.iter().filter(|packet| {
            packet.contains(&format!("{mac} > ff:ff:ff:ff:ff:ff"))
                && words.iter().all(|word| packet.contains(word))
        });
        assert_eq!(heard.count(), 3, "{words:?} in {packets:#?}");
    }
    assert!(host.places("192.0.2.10").is_empty(), "nothing is configured");
    sendarp.run("monitor").code(0);
    sendarp.run("stop").code(0);
    sendarp.run("monitor").code(7);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn ipv6_is_announced_too() {
    let host = Host::new();
    host.sh("ip -n far -6 neigh add 2001:db8::10 lladdr 02:00:00:00:00:99 dev eth0 nud reachable");
    let sendarp = host.agent("SendArp").param("ip", "2001:db8::10").param("nic", "eth0");
    sendarp.env("ARP_REPEAT", "1").run("start").code(0);
    let mac = host.mac("", "eth0");
    host.await_that("the cache", || host.sh("ip -n far -6 neigh show 2001:db8::10").contains(&mac));
}

/// What is announced after stop would take the address away from its new owner.
#[test]
#[ignore = "needs root: tests/run netns"]
fn announcements_end_with_stop() {
    let host = Host::new();
    let sendarp = sendarp(&host).env("ARP_REPEAT", "1000").env("ARP_INTERVAL_MS", "10");
    sendarp.run("start").code(0);
    assert_eq!(host.announcers().len(), 1);
    sendarp.run("stop").code(0);
    host.await_that("the announcer's end", || host.announcers().is_empty());
    let capture = host.capture("arp");
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(capture.stop().concat(), "");
}

/// A start right after a stop is announced anew, and the process of the one before does not go on with it.
#[test]
#[ignore = "needs root: tests/run netns"]
fn an_announcer_outlives_no_restart() {
    let host = Host::new();
    let slow = sendarp(&host).env("ARP_REPEAT", "1000").env("ARP_INTERVAL_MS", "400");
    slow.run("start").code(0);
    host.await_that("the announcer to be at work", || {
        host.announcers().iter().any(|line| line.contains("SendArp_test"))
    });
    std::thread::sleep(Duration::from_millis(100));
    slow.run("stop").code(0);
    slow.run("start").code(0);
    host.await_that("the end of the first one", || host.announcers().len() == 1);
    slow.run("stop").code(0);
    host.await_that("the end of the second one", || host.announcers().is_empty());
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_second_start_announces_nothing() {
    let host = Host::new();
    let sendarp = sendarp(&host).env("ARP_REPEAT", "1");
    sendarp.run("start").code(0);
    let capture = host.capture("arp");
    sendarp.run("start").code(0);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(capture.stop().concat(), "");
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn in_the_foreground_start_lasts_until_the_last_one() {
    let host = Host::new();
    let variables = |call: Call| call.env("ARP_REPEAT", "4").env("ARP_INTERVAL_MS", "50");
    let waits = variables(sendarp(&host).param("background", "false"));
    assert!(waits.run("start").code(0).took >= Duration::from_millis(150));
    assert!(host.announcers().is_empty());
    waits.run("stop").code(0);
    let waits = variables(sendarp(&host)).env("ARP_BACKGROUND", "no");
    assert!(waits.run("start").code(0).took >= Duration::from_millis(150));
    assert!(host.announcers().is_empty());
}

/// Nobody has to wait until the last one is sent: a stop that did would fail.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_stop_ends_a_start_in_the_foreground() {
    let host = Host::new();
    let slow = sendarp(&host).param("background", "false").env("ARP_REPEAT", "1000");
    let mut start = slow.param("CRM_meta_timeout", "60000").command("start").spawn().unwrap();
    let ours = sendarp(&host).param("background", "false");
    host.await_that("the first announcement", || ours.run("monitor").code == Some(0));
    ours.clone().param("CRM_meta_timeout", "5000").run("stop").code(0);
    let begin = std::time::Instant::now();
    assert_eq!(start.wait().unwrap().code(), Some(0));
    assert!(begin.elapsed() < std::time::Duration::from_secs(20), "{:?}", begin.elapsed());
    ours.run("monitor").code(7);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_variable_that_is_no_number_is_told_and_passed_over() {
    let host = Host::new();
    let odd = sendarp(&host).env("ARP_REPEAT", "many").env("ARP_INTERVAL_MS", "0");
    odd.run("start").code(0);
    let log = host.log();
    for words in [
        "the variable ARP_REPEAT is no number above 0; taking 5",
        "the variable ARP_INTERVAL_MS is",
    ] {
        assert!(log.contains(words), "{log}");
    }
    odd.run("stop").code(0);
}

/// As the packaged ocft suite has it.
#[test]
#[ignore = "needs root: tests/run netns"]
fn where_there_are_no_neighbours_there_is_nobody_to_tell() {
    let host = Host::new();
    let on_lo = host.agent("SendArp").param("ip", "127.0.0.1").param("nic", "lo");
    for action in ["start", "monitor", "stop"] {
        on_lo.run(action).code(0);
    }
    assert!(host.log().contains("lo has no neighbours"), "{}", host.log());
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn what_cannot_be_announced_is_not_started() {
    let host = Host::new();
    let nowhere = sendarp(&host).param("nic", "eth7");
    nowhere.run("start").code(2).because(&["there is no interface eth7"]);
    nowhere.env("OCF_CHECK_LEVEL", "10").run("validate-all").code(2);
    host.sh("ip link set eth0 down");
    sendarp(&host).run("start").code(1).because(&["192.0.2.10", "eth0 is administratively down"]);
    host.sh("ip link set eth0 up; ip -n far link set eth0 down");
    sendarp(&host).run("start").code(1).because(&["eth0 has no link"]);
    sendarp(&host).run("monitor").code(7);
    sendarp(&host).run("stop").code(0);
    for (name, value) in
        [("ip", "224.0.0.1"), ("ip", "not_ip_address"), ("nic", "a b"), ("background", "perhaps")]
    {
        sendarp(&host)
            .param(name, value)
            .run("start")
            .code(6)
            .because(&[&format!("parameter {name}: ")]);
    }
}

/// The shell agents share a PID file, so that an announcer of `IPaddr2` makes it look started.
#[test]
#[ignore = "needs root: tests/run netns"]
fn nobody_elses_announcements_make_it_look_started() {
    let host = Host::new();
    let vip = host.vip().param("arp_count", "100").param("arp_interval", "1000");
    vip.run("start").code(0);
    host.sh("mkdir -p /run/resource-agents; echo 1 >/run/resource-agents/send_arp-192.0.2.10");
    sendarp(&host).run("monitor").code(7);
    sendarp(&host).run("start").code(0);
    for other in [sendarp(&host).param("ip", "192.0.2.11"), sendarp(&host).param("nic", "lo")] {
        other.run("monitor").code(7);
    }
    sendarp(&host).run("stop").code(0);
    vip.run("monitor").code(0);
    let is_sendarps = |line: &String| line.contains("SendArp");
    host.await_that("the announcer's end", || !host.announcers().iter().any(is_sendarps));
    assert_eq!(host.announcers().len(), 1, "that of IPaddr2 goes on");
    vip.run("stop").code(0);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn in_another_namespace_it_is_not_started() {
    let host = Host::new();
    let sendarp = sendarp(&host);
    sendarp.run("start").code(0);
    sendarp.run_behind(&["ip", "netns", "exec", "far"], "monitor").code(7);
    sendarp.run("stop").code(0);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_marker_that_is_somebody_elses_stays() {
    let host = Host::new();
    sendarp(&host).run("start").code(0);
    let marker = host.sh("echo /run/resource-agents/SendArp_test-192.0.2.10-*").trim().to_owned();
    host.sh(&format!("rm {marker}; ln -s /etc/passwd {marker}"));
    host.await_that("the announcer's end", || host.announcers().is_empty());
    sendarp(&host).run("monitor").code(1).because(&["state file"]);
    sendarp(&host).run("start").code(1);
    sendarp(&host).run("stop").code(0);
    assert_eq!(host.sh(&format!("readlink {marker}")).trim(), "/etc/passwd");
}

/// Killed at each of its system calls in turn: what it started is not marked in vain, and the next stop ends it.
#[test]
#[ignore = "needs root: tests/run netns"]
fn whatever_a_killed_agent_leaves_the_next_stop_cleans() {
    let host = Host::new();
    let sendarp = sendarp(&host).env("ARP_REPEAT", "1000").env("ARP_INTERVAL_MS", "20");
    for action in ["start", "stop"] {
        let prepare = || sendarp.run(if action == "start" { "stop" } else { "start" }).code(0).took;
        prepare();
        let calls = system_calls(&host, &sendarp, action);
        assert!(calls.len() > 20, "{calls:?}");
        for (name, ordinal) in calls {
            prepare();
            kill_at(&sendarp, action, &name, ordinal);
            let said = sendarp.run("monitor").code;
            assert!(
                [Some(0), Some(7)].contains(&said),
                "{name} number {ordinal} of {action}: {said:?}"
            );
            sendarp.run("stop").code(0);
            sendarp.run("monitor").code(7);
        }
    }
    host.await_that("the end of all announcers", || host.announcers().is_empty());
}

/// A monitor executes nothing, and asks nobody but the file system.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_monitor_costs_no_fork_no_exec_and_few_system_calls() {
    let host = Host::new();
    let mailto =
        host.agent("MailTo").param("email", "root").env("OCF_TESTER_FAIL_HAVE_BINARY", "1");
    for call in [sendarp(&host), mailto] {
        call.run("start").code(0);
        let calls = system_calls(&host, &call, "monitor");
        let barred = ["execve", "clone", "clone3", "fork", "vfork", "socket"];
        assert!(!calls.iter().any(|(name, _)| barred.contains(&name.as_str())), "{calls:?}");
        assert!(calls.len() < 60, "{} system calls", calls.len());
        call.run("stop").code(0);
    }
}
