//! What neighbours hear, captured at the far end.

use std::time::Duration;

use crate::support::Host;

#[test]
#[ignore = "needs root: tests/run netns"]
fn the_first_announcement_is_out_before_start_returns() {
    let host = Host::new();
    let capture = host.capture("arp");
    host.vip().param("arp_count", "1").run("start").code(0);
    let packets = capture.stop();
    let mac = host.mac("", "eth0");
    let from_us = |packet: &&String| packet.contains(&format!("{mac} > ff:ff:ff:ff:ff:ff"));
    let requests = packets
        .iter()
        .filter(from_us)
        .filter(|p| p.contains("Request who-has 192.0.2.10 ") && p.contains("tell 192.0.2.10"));
    let replies = packets
        .iter()
        .filter(from_us)
        .filter(|p| p.contains(&format!("Reply 192.0.2.10 is-at {mac}")));
    assert_eq!((requests.count(), replies.count()), (1, 1), "{packets:#?}");
    assert!(host.announcers().is_empty());
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn the_rest_is_sent_in_its_time_by_a_process_that_ends() {
    let host = Host::new();
    let capture = host.capture("arp");
    let started =
        host.vip().param("arp_count", "4").param("arp_interval", "100").run("start").code(0);
    assert!(
        started.took < Duration::from_millis(300),
        "start waits for none of it: {:?}",
        started.took
    );
    assert_eq!(host.announcers().len(), 1);
    host.await_that("the announcer's end", || host.announcers().is_empty());
    let replies =
        capture.stop().into_iter().filter(|packet| packet.contains("Reply 192.0.2.10")).count();
    assert_eq!(replies, 4);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn announcements_end_with_the_address() {
    let host = Host::new();
    host.vip().param("arp_count", "100").param("arp_interval", "60000").run("start").code(0);
    assert_eq!(host.announcers().len(), 1);
    host.vip().run("stop").code(0);
    host.await_that("the announcer's end", || host.announcers().is_empty());
    let capture = host.capture("arp");
    host.vip().param("arp_count", "50").param("arp_interval", "20").run("start").code(0);
    host.sh("ip addr del 192.0.2.10/24 dev eth0");
    host.await_that("the announcer's end", || host.announcers().is_empty());
    assert!(
        capture.stop().iter().filter(|packet| packet.contains("Reply 192.0.2.10")).count() < 50
    );
}

/// A caller that reads until the end of the output must not wait for the announcer.
#[test]
#[ignore = "needs root: tests/run netns"]
fn the_announcer_holds_nothing_of_the_callers() {
    let host = Host::new();
    let vip = host.vip().param("arp_count", "10").param("arp_interval", "1000");
    assert!(vip.run("start").code(0).took < Duration::from_secs(1), "the pipes are closed");
    let announcer = host.announcers();
    assert!(announcer[0].starts_with("ocfbox announce 192.0.2.10 "), "{announcer:?}");
    let pid = host.sh("pgrep -f '^ocfbox announce 192.0.2.10 '");
    let pid = pid.lines().find(|pid| {
        std::fs::read_link(format!("/proc/{pid}/ns/net")).ok()
            == std::fs::read_link("/proc/thread-self/ns/net").ok()
    });
    let pid = pid.expect("the announcer");
    assert_eq!(host.sh(&format!("readlink /proc/{pid}/cwd")).trim(), "/");
    let descriptors = host.sh(&format!("ls -l /proc/{pid}/fd"));
    for line in descriptors.lines().filter(|line| line.contains("->")) {
        let harmless =
            ["/dev/null", "socket:", "anon_inode:"].iter().any(|kind| line.contains(kind));
        assert!(harmless, "{line}");
    }
    host.vip().run("stop").code(0);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn in_the_foreground_start_lasts_until_the_last_one() {
    let host = Host::new();
    let vip =
        host.vip().param("arp_bg", "false").param("arp_count", "4").param("arp_interval", "50");
    assert!(vip.run("start").code(0).took >= Duration::from_millis(150));
    assert!(host.announcers().is_empty());
}

/// What does not fit into the action's timeout is left to a process of its own.
#[test]
#[ignore = "needs root: tests/run netns"]
fn the_foreground_ends_with_the_timeout() {
    let host = Host::new();
    let vip =
        host.vip().param("arp_bg", "false").param("arp_count", "60").param("arp_interval", "300");
    let started = vip.param("CRM_meta_timeout", "1500").run("start").code(0);
    assert!(started.took < Duration::from_millis(1500), "{:?}", started.took);
    assert_eq!(host.announcers().len(), 1);
    host.vip().run("stop").code(0);
    host.await_that("the announcer's end", || host.announcers().is_empty());
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_monitor_repairs_the_neighbours_caches() {
    let host = Host::new();
    host.vip().run("start").code(0);
    host.await_that("the announcer's end", || host.announcers().is_empty());
    let capture = host.capture("arp");
    host.vip().run("monitor").code(0);
    host.vip().param("arp_count_refresh", "1").run("monitor").code(0).silent();
    assert_eq!(
        capture.stop().iter().filter(|packet| packet.contains("Reply 192.0.2.10")).count(),
        1
    );
}

/// The MAC address is that of the moment.
#[test]
#[ignore = "needs root: tests/run netns"]
fn the_hardware_address_is_read_when_it_is_sent() {
    let host = Host::new();
    host.vip().run("start").code(0);
    host.await_that("the announcer's end", || host.announcers().is_empty());
    host.sh("ip link set eth0 address 02:00:00:00:00:77");
    let capture = host.capture("arp");
    host.vip().param("arp_count_refresh", "1").run("monitor").code(0);
    assert!(
        capture
            .stop()
            .iter()
            .any(|packet| packet.contains("Reply 192.0.2.10 is-at 02:00:00:00:00:77"))
    );
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_neighbour_with_a_stale_cache_reaches_the_new_owner() {
    let host = Host::new();
    host.sh("ip -n far neigh add 192.0.2.10 lladdr 02:00:00:00:00:99 dev eth0 nud reachable");
    host.vip().param("arp_count", "1").run("start").code(0);
    let mac = host.mac("", "eth0");
    host.await_that("the cache", || host.sh("ip -n far neigh show 192.0.2.10").contains(&mac));
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn ipv6_is_announced_with_the_override_flag() {
    let host = Host::new();
    host.sh("ip -n far -6 neigh add 2001:db8::10 lladdr 02:00:00:00:00:99 dev eth0 nud reachable");
    let capture = host.capture("icmp6 and ip6[40] == 136");
    let vip = host.agent("IPaddr2").param("ip", "2001:db8::10").param("arp_count", "1");
    vip.run("start").code(0);
    let packets = capture.stop();
    let mac = host.mac("", "eth0");
    let ours: Vec<&String> =
        packets.iter().filter(|p| p.contains("2001:db8::10 > ff02::1")).collect();
    assert!(!ours.is_empty(), "{packets:#?}");
    for packet in ours {
        assert!(packet.contains(&format!("{mac} > 33:33:00:00:00:01")), "{packet}");
        assert!(packet.contains("hlim 255") && packet.contains("tgt is 2001:db8::10"), "{packet}");
        assert!(
            packet.contains("[icmp6 sum ok]") && packet.contains("Flags [override]"),
            "{packet}"
        );
        assert!(
            packet.contains(&format!("destination link-address option (2), length 8 (1): {mac}")),
            "{packet}"
        );
    }
    host.await_that("the cache", || host.sh("ip -n far -6 neigh show 2001:db8::10").contains(&mac));
}
