//! Another host has the address.

use std::time::Duration;

use crate::support::Host;

/// The shell agent starts here and is green.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_foreign_owner_is_named_and_nothing_is_left() {
    let host = Host::new();
    host.sh("ip -n far addr add 192.0.2.10/24 dev eth0");
    host.settle();
    let before = host.sh("ip -j addr show; ip -j route show table all");
    let mac = host.mac("far", "eth0");
    let refused = host.vip().run("start").code(1).because(&["another host has 192.0.2.10", &mac]);
    assert!(refused.took < Duration::from_secs(1));
    assert_eq!(host.sh("ip -j addr show; ip -j route show table all"), before);
    host.vip().run("monitor").code(7);
    host.vip().run("stop").code(0);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn nobody_is_asked_when_it_is_not_wanted() {
    let host = Host::new();
    host.sh("ip -n far addr add 192.0.2.10/24 dev eth0");
    for name in ["conflict_check", "run_arping"] {
        let vip = host.vip().param(name, "false");
        vip.run("start").code(0);
        vip.run("stop").code(0);
    }
    host.vip().param("conflict_check", "false").param("run_arping", "true").run("start").code(1);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_probe_looks_like_one_and_is_answered_quickly() {
    let host = Host::new();
    let capture = host.capture("arp");
    let started = host.vip().param("arp_count", "1").run("start").code(0);
    assert!(started.took < Duration::from_millis(500), "{:?}", started.took);
    let packets = capture.stop();
    let probes = packets
        .iter()
        .filter(|p| p.contains("Request who-has 192.0.2.10 ") && p.contains("tell 0.0.0.0"));
    assert_eq!(probes.count(), 2, "{packets:#?}");
}

/// The answer comes while the agent gets no CPU: it waits for the next question when it is stopped for a second.
#[test]
#[ignore = "needs root: tests/run netns"]
fn an_answer_that_comes_while_the_agent_is_starved_is_heard() {
    let host = Host::new();
    // The kernel of the far host keeps silent; the answer is sent by hand, as soon as the question is seen.
    host.sh("ip netns exec far sysctl -qw net.ipv4.conf.all.arp_ignore=8; ip -n far addr add 192.0.2.10/24 dev eth0");
    let seen = host.path("seen");
    let answer = format!(
        "ip netns exec far tcpdump -nn -i eth0 --immediate-mode -c 1 -Q in arp src host 0.0.0.0 2>{} >&2
        ip netns exec far arping -q -c 1 -A -I eth0 192.0.2.10",
        seen.display()
    );
    std::thread::scope(|scope| {
        let answering = scope.spawn(|| host.sh(&answer));
        let listens =
            || std::fs::read_to_string(&seen).is_ok_and(|text| text.contains("listening"));
        host.await_that("tcpdump to listen", listens);
        let starved = ["strace", "-o", "/dev/null", "-e", "inject=poll:delay_exit=1000000"];
        host.vip().run_behind(&starved, "start").code(1).because(&["another host has"]);
        answering.join().unwrap();
    });
    assert!(host.places("192.0.2.10").is_empty());
}

/// RFC 5227, 2.4: a rival that answers too late for the question, or takes the address afterwards.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_rival_that_comes_later_is_heard_and_the_next_monitor_fails() {
    let host = Host::new();
    let vip = host.vip().param("arp_count", "20").param("arp_interval", "300");
    vip.run("start").code(0);
    vip.run("monitor").code(0).silent();
    host.sh("ip -n far addr add 192.0.2.10/24 dev eth0; ip netns exec far arping -q -c 1 -A -I eth0 192.0.2.10");
    let mac = host.mac("far", "eth0");
    host.await_that("the announcer to hear it", || {
        host.log().contains("another host has 192.0.2.10 too")
    });
    assert!(host.log().contains(&mac), "{}", host.log());
    for monitor in [vip.clone(), vip.clone().recurring()] {
        monitor.run("monitor").code(1).because(&["another host has 192.0.2.10 too", &mac, "eth0"]);
    }
    // Who gives in is no rival any more.
    host.sh("ip -n far addr del 192.0.2.10/24 dev eth0");
    vip.run("monitor").code(0).silent();
    host.sh("ip -n far addr add 192.0.2.10/24 dev eth0");
    vip.run("monitor").code(0).silent();
    vip.run("stop").code(0);
    host.await_that("the announcer's end", || host.announcers().is_empty());
    let left = crate::support::tree(std::path::Path::new("/run/resource-agents"));
    assert!(left.iter().all(|path| !path.to_string_lossy().contains("rival")), "{left:?}");
}

/// A host that asks for the address is answered by the kernel, and is no reason to fail.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_host_that_only_asks_for_the_address_is_no_rival() {
    let host = Host::new();
    let vip = host.vip().param("arp_count", "20").param("arp_interval", "300");
    vip.run("start").code(0);
    host.sh("! ip netns exec far arping -q -D -c 1 -w 1 -I eth0 192.0.2.10
         ip netns exec far ping -q -c 1 192.0.2.10");
    vip.clone().recurring().run("monitor").code(0).silent();
    vip.run("stop").code(0);
    assert!(!host.log().contains("another host"), "{}", host.log());
}

/// "Could not ask" is no conflict.
#[test]
#[ignore = "needs root: tests/run netns"]
fn where_nobody_can_be_asked_start_goes_on() {
    let host = Host::new();
    host.sh("ip -n far link set eth0 down");
    let vip = host.vip().param("check_link_status", "false");
    vip.run("start").code(0);
    vip.run("monitor").code(0);
}

/// Two interfaces of this host on one network: the other one's answer is our own.
#[test]
#[ignore = "needs root: tests/run netns"]
fn this_host_is_not_another_one() {
    let host = Host::new();
    host.sh("ip netns exec far ip link add br0 type bridge; ip -n far link set br0 up
         ip -n far link set eth0 master br0
         ip link add eth1 type veth peer name second netns far
         ip -n far link set second master br0; ip -n far link set second up; ip link set eth1 up
         ip addr add 192.0.2.10/24 dev eth1");
    host.await_that("the cable", || host.sh("cat /sys/class/net/eth1/operstate").trim() == "up");
    host.vip().param("nic", "eth0").run("start").code(0);
    assert_eq!(host.places("192.0.2.10"), ["eth0 192.0.2.10/24"]);
}

/// A duplicate is a failure in start and in monitor.
#[test]
#[ignore = "needs root: tests/run netns"]
fn an_ipv6_duplicate_is_a_failure_that_leaves_nothing() {
    let host = Host::new();
    host.sh("ip -n far addr add 2001:db8::10/64 dev eth0 nodad");
    let before = host.sh("ip addrlabel");
    let vip = host.agent("IPaddr2").param("ip", "2001:db8::10");
    vip.run("start").code(1).because(&["2001:db8::10", "another host"]);
    assert!(host.places("2001:db8::10").is_empty());
    assert_eq!(host.sh("ip addrlabel"), before);

    host.sh("ip addr add 2001:db8::10/64 dev eth0");
    host.await_that("the duplicate to be detected", || {
        host.entry("2001:db8::10")["dadfailed"] == true
    });
    for monitor in [vip.clone(), vip.clone().recurring()] {
        monitor.run("monitor").code(1).because(&["another host"]);
    }
    host.sh("ip -n far addr del 2001:db8::10/64 dev eth0");
    vip.run("start").code(0);
    vip.run("monitor").code(0);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_tentative_address_is_not_healthy() {
    let host = Host::new();
    host.sh(
        "sysctl -qw net.ipv6.conf.eth0.dad_transmits=100; ip addr add 2001:db8::10/64 dev eth0",
    );
    let vip = host.agent("IPaddr2").param("ip", "2001:db8::10");
    vip.run("monitor").code(1).because(&["duplicate address detection has not ended"]);
    vip.run("stop").code(0);
    let hasty = vip.param("CRM_meta_timeout", "700");
    let failed = hasty.run("start").code(1).because(&["duplicate address detection", "timeout"]);
    assert!(failed.took < Duration::from_millis(1500), "{:?}", failed.took);
    assert!(host.places("2001:db8::10").is_empty());
}
