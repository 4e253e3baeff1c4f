//! The agent `IPsrcaddr`: connections come from the address, and the routes are afterwards as they were.

use std::fs;

use crate::kills::{self, system_calls};
use crate::support::{Call, Host, tree};
use crate::tables::{DUMP, two_networks};

/// Two networks with virtual addresses in both (see `two_networks`), and default routes through eth0.
fn host() -> Host {
    let host = two_networks();
    host.sh("ip route add default via 192.0.2.2 dev eth0 proto dhcp metric 100 mtu lock 1400
             ip -6 route add default via 2001:db8::2 dev eth0 proto static
             ip -n far link set lo up; ip -n far addr add 203.0.113.1/32 dev lo
             ip -n far addr add 2001:db8:ff::1/128 dev lo");
    host
}

fn source(host: &Host, ip: &str) -> Call {
    host.agent("IPsrcaddr").param("ipaddress", ip)
}

/// The source that the kernel chooses.
fn chosen(host: &Host, target: &str) -> String {
    let line = host.sh(&format!("ip -o route get {target}"));
    let mut words = line.split_whitespace().skip_while(|word| *word != "src");
    words.nth(1).unwrap_or_default().to_owned()
}

/// What the far end sees of connections beyond the gateway, and in the subnet.
#[test]
#[ignore = "needs root: tests/run netns"]
fn the_far_end_sees_the_address() {
    let host = host();
    let cases = [
        ("192.0.2.10", ["203.0.113.1", "192.0.2.2"]),
        ("2001:db8::10", ["2001:db8:ff::1", "2001:db8::2"]),
    ];
    for (ip, targets) in cases {
        for mode in ["route", "rule"] {
            let before = host.sh(DUMP);
            let call = source(&host, ip).param("mode", mode);
            call.run("start").code(0);
            for target in targets {
                assert_eq!(chosen(&host, target), ip, "{target} {mode}");
                let capture = host.capture("icmp or icmp6");
                // The last ones may still be on their way when the recording ends.
                host.sh(&format!("ping -c 4 -i 0.2 -W 5 {target}"));
                let packets = capture.stop();
                let seen = packets.iter().any(|line| line.contains(&format!("{ip} > {target}: ")));
                assert!(seen, "{target} {mode}: {packets:#?}");
            }
            call.run("monitor").code(0);
            call.run("stop").code(0);
            assert_eq!(host.sh(DUMP), before, "{ip} {mode}");
            call.run("monitor").code(7);
        }
    }
}

/// Nothing is done twice, and nothing is left: no file either.
#[test]
#[ignore = "needs root: tests/run netns"]
fn any_action_any_number_of_times() {
    let host = host();
    let before = host.sh(DUMP);
    for mode in ["route", "rule"] {
        let call = source(&host, "192.0.2.10").param("mode", mode);
        call.run("stop").code(0);
        call.run("monitor").code(7);
        call.run("start").code(0);
        let running = host.sh(DUMP);
        call.run("start").code(0);
        assert_eq!(host.sh(DUMP), running);
        call.clone().recurring().run("monitor").code(0).silent();
        for _ in 0..2 {
            call.run("stop").code(0);
            assert_eq!(host.sh(DUMP), before);
        }
        let files = tree(std::path::Path::new("/run/resource-agents"));
        assert!(
            files.iter().all(|path| path.extension().is_some_and(|kind| kind == "lock")),
            "{files:?}"
        );
    }
}

/// A probe asks of a host that may not have the address yet.
#[test]
#[ignore = "needs root: tests/run netns"]
fn before_the_address_is_here() {
    let host = host();
    for ip in ["192.0.2.77", "2001:db8::77"] {
        let call = source(&host, ip);
        call.run("monitor").code(7);
        call.run("validate-all").code(0);
        call.clone().env("OCF_CHECK_LEVEL", "10").run("validate-all").code(0);
        call.run("start").code(1).because(&[ip, "start the address first", "order"]);
        call.run("stop").code(0);
    }
}

/// Start waits for duplicate address detection: the kernel takes no tentative address for a source.
#[test]
#[ignore = "needs root: tests/run netns"]
fn an_ipv6_address_that_is_still_tentative() {
    let host = host();
    host.sh("ip addr add 2001:db8::55/64 dev eth0");
    let call = source(&host, "2001:db8::55");
    call.run("start").code(0);
    assert_eq!(chosen(&host, "2001:db8:ff::1"), "2001:db8::55");
    call.run("stop").code(0);
    host.sh(
        "ip -n far addr add 2001:db8::56/64 dev eth0 nodad; ip addr add 2001:db8::56/64 dev eth0",
    );
    host.await_that("detection", || host.sh("ip addr show dadfailed").contains("2001:db8::56"));
    source(&host, "2001:db8::56").run("start").code(1).because(&["2001:db8::56", "duplicate"]);
}

/// Which resource, with which further parameters, and the words of the refusal.
type Refusal<'a> = (&'a Call, &'a [(&'a str, &'a str)], &'a [&'a str]);

/// Whoever does not say which route is meant is told which there are, and what tells them apart.
#[test]
#[ignore = "needs root: tests/run netns"]
fn ambiguity_is_refused_with_the_candidates() {
    let host = host();
    host.sh("ip route add default via 192.0.2.3 dev eth0 metric 200
             ip route add 203.0.113.0/24 nexthop via 192.0.2.2 dev eth0 nexthop via 198.51.100.2 dev eth1
             ip route add 203.0.114.0/24 via 198.51.100.2 dev eth1; ip route append 203.0.114.0/24 via 192.0.2.2 dev eth0
             ip route add 203.0.115.0/24 via 192.0.2.2 dev eth0; ip route append 203.0.115.0/24 via 192.0.2.3 dev eth0
             ip -6 route add 2001:db8:5::/48 via 2001:db8::2 dev eth0 expires 900
             ip -6 route add 2001:db8:6::/48 via 2001:db8::2 dev eth0 proto ra");
    let before = host.sh(DUMP);
    let call = source(&host, "192.0.2.10");
    let six = source(&host, "2001:db8::10");
    let cases: [Refusal<'_>; 10] = [
        (
            &call,
            &[],
            &[
                "give metric",
                "default via 192.0.2.2 dev eth0 proto dhcp metric 100",
                "default via 192.0.2.3 dev eth0 proto boot metric 200",
            ],
        ),
        (
            &call,
            &[("metric", "300")],
            &["no route to default through eth0 with metric 300", "metric 100"],
        ),
        (
            &call,
            &[("metric", "100"), ("nic", "eth1")],
            &["no route to default through eth1", "dev eth0"],
        ),
        (
            &call,
            &[("destination", "203.0.113.0/24")],
            &["several interfaces", "dev eth0", "dev eth1", "give nic"],
        ),
        (
            &call,
            &[("destination", "203.0.114.0/24")],
            &["via 198.51.100.2 dev eth1", "comes before it", "different metrics"],
        ),
        (
            &call,
            &[("destination", "203.0.115.0/24")],
            &["give nic, proto or metric", "via 192.0.2.2", "via 192.0.2.3"],
        ),
        (
            &call,
            &[("destination", "203.0.116.0/24")],
            &["no route to 203.0.116.0/24 through eth0", "make one"],
        ),
        (&call, &[("table", "100")], &["no route to default through eth0 in table 100"]),
        (
            &six,
            &[("destination", "2001:db8:5::/48")],
            &["2001:db8:5::/48", "router advertisements renew it", "mode=rule"],
        ),
        (
            &six,
            &[("destination", "2001:db8:6::/48")],
            &["2001:db8:6::/48", "proto ra", "mode=rule"],
        ),
    ];
    for (call, parameters, words) in cases {
        let call =
            parameters.iter().fold((*call).clone(), |call, (name, value)| call.param(name, value));
        call.run("start").code(1).because(words);
        call.clone().env("OCF_CHECK_LEVEL", "10").run("validate-all").code(1).because(words);
        call.run("monitor").code(7);
        call.run("stop").code(0);
        assert_eq!(host.sh(DUMP), before);
    }
    for parameters in [
        &[("metric", "200")][..],
        &[("metric", "100")],
        &[("proto", "dhcp")],
        &[("destination", "203.0.113.0/24"), ("nic", "eth0")],
    ] {
        let call =
            parameters.iter().fold(call.clone(), |call, (name, value)| call.param(name, value));
        call.run("start").code(0);
        call.run("monitor").code(0);
        call.run("stop").code(0);
        assert_eq!(host.sh(DUMP), before, "{parameters:?}");
    }
    for destination in ["2001:db8:5::/48", "2001:db8:6::/48"] {
        let call = six.clone().param("mode", "rule").param("destination", destination);
        call.run("start").code(0);
        assert_eq!(chosen(&host, &destination.replace("/48", "1")), "2001:db8::10");
        call.run("stop").code(0);
        assert_eq!(host.sh(DUMP), before, "{destination}");
    }
    call.clone().param("nic", "eth9").run("start").code(2).because(&["eth9", "ip link"]);
    call.clone().param("table", "no-such").run("start").code(2).because(&["no-such", "rt_tables"]);
    call.clone().param("table", "no-such").run("monitor").code(7);
}

/// With its source address the kernel deletes an IPv4 route, and an IPv6 route loses it.
#[test]
#[ignore = "needs root: tests/run netns"]
fn the_address_goes_first() {
    let host = host();
    let routes = "ip -d route show table all; ip -d -6 route show table all; ip rule; ip -6 rule";
    let before = host.sh(routes);
    let cases = [
        ("192.0.2.10/24", "eth0", ""),
        ("192.0.2.10/24", "eth0", "local_route"),
        ("2001:db8::10/64", "eth0", ""),
    ];
    for (address, dev, extra) in cases {
        for mode in ["route", "rule"] {
            if mode == "rule" && !extra.is_empty() {
                continue;
            }
            let six = address.contains(':');
            let nodad = if six { "nodad" } else { "" };
            let mut call = source(&host, address.split('/').next().unwrap()).param("mode", mode);
            if !extra.is_empty() {
                call = call.param(extra, "true");
            }
            call.run("start").code(0);
            host.sh(&format!("ip addr del {address} dev {dev}"));
            call.clone().recurring().run("monitor").code(1);
            call.run("stop").code(0);
            call.run("monitor").code(7);
            let gone = host.sh(DUMP);
            assert!(!gone.contains(address.split('/').next().unwrap()), "{address} {mode}: {gone}");
            host.sh(&format!("ip addr add {address} dev {dev} {nodad}"));
            // The kernel makes the routes of an IPv6 address a moment later.
            host.await_that(&format!("routes as before: {address} {mode} {extra}"), || {
                host.sh(routes) == before
            });
        }
    }
}

/// The address went and came back before stop: what it took along is put back all the same.
#[test]
#[ignore = "needs root: tests/run netns"]
fn the_address_went_and_came_back() {
    let host = host();
    let before = host.sh(DUMP);
    let call = source(&host, "192.0.2.10");
    call.run("start").code(0);
    host.sh("ip addr del 192.0.2.10/24 dev eth0; sleep 0.05; ip addr add 192.0.2.10/24 dev eth0");
    assert_eq!(host.sh("ip route show default"), "");
    call.clone().recurring().run("monitor").code(1).because(&["default via 192.0.2.2", "gone"]);
    call.run("start").code(0);
    call.run("monitor").code(0);
    call.run("stop").code(0);
    assert_eq!(host.sh(DUMP), before);
}

/// A node is asked again what runs on it: what the address took along has to be put back, so something does.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_probe_after_the_address_went_and_came_back() {
    let host = host();
    host.sh("ip -6 route replace default via 2001:db8::2 dev eth0 proto static src 2001:db8::9 pref low");
    let before = host.sh(DUMP);
    let call = source(&host, "192.0.2.10");
    call.run("start").code(0);
    host.sh("ip addr del 192.0.2.10/24 dev eth0; sleep 0.05; ip addr add 192.0.2.10/24 dev eth0");
    call.run("monitor").code(1);
    call.run("stop").code(0);
    assert_eq!(host.sh(DUMP), before);
    call.run("monitor").code(7);
    // An IPv6 route stays, and loses its source; the one that it had before, and its preference, are to come back.
    let call = source(&host, "2001:db8::10").param("pref", "high");
    let routes = "ip -d -6 route show table all";
    let before = host.sh(routes);
    for back in [false, true] {
        call.run("start").code(0);
        host.sh("ip addr del 2001:db8::10/64 dev eth0; sleep 0.05");
        let add = || host.sh("ip addr add 2001:db8::10/64 dev eth0 nodad");
        if back {
            add();
        }
        call.run("monitor").code(1);
        call.run("stop").code(0);
        if !back {
            add();
        }
        call.run("monitor").code(7);
        host.await_that("the routes as before", || host.sh(routes) == before);
    }
}

/// What somebody else made with our source is no original: the next stop does not delete it.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_route_that_somebody_made_with_the_source_is_not_deleted() {
    let host = host();
    let call = source(&host, "192.0.2.10");
    call.run("start").code(0);
    host.sh("ip route del default; ip route add default via 192.0.2.2 dev eth0 metric 200 src 192.0.2.10");
    call.run("start").code(0);
    call.clone().recurring().run("monitor").code(0);
    call.run("stop").code(0);
    assert_eq!(
        host.sh("ip route show default").trim(),
        "default via 192.0.2.2 dev eth0 metric 200"
    );
    call.run("monitor").code(7);
}

/// One resource waits for its address, and another one is stopped meanwhile.
#[test]
#[ignore = "needs root: tests/run netns"]
fn nobody_waits_for_another_resources_address() {
    let host = host();
    // Without a carrier duplicate address detection does not begin.
    host.sh("ip link add eth2 type veth peer name eth3; ip link set eth2 up; ip addr add 2001:db8:2::1/64 dev eth2");
    let other = source(&host, "192.0.2.10");
    other.run("start").code(0);
    let waiting = source(&host, "2001:db8:2::1").env("OCF_RESKEY_CRM_meta_timeout", "60000");
    let mut child = waiting.command("start").spawn().unwrap();
    host.sh("sleep 1");
    other.clone().env("OCF_RESKEY_CRM_meta_timeout", "20000").run("stop").code(0);
    assert!(child.try_wait().unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The kernel has a route to an IPv6 address of /128 itself, which is not that of its subnet.
#[test]
#[ignore = "needs root: tests/run netns"]
fn an_ipv6_address_of_128_bits() {
    let host = host();
    host.sh("ip addr add 2001:db8::77/128 dev eth0 nodad");
    host.await_that("its route", || host.sh("ip -6 route").contains("2001:db8::77 dev eth0"));
    let before = host.sh(DUMP);
    let call = source(&host, "2001:db8::77");
    call.run("start").code(0);
    for target in ["2001:db8:ff::1", "2001:db8::2"] {
        assert_eq!(chosen(&host, target), "2001:db8::77");
    }
    call.run("stop").code(0);
    assert_eq!(host.sh(DUMP), before);
}

/// The kernel gives the first address of a subnet to its route by itself: that is no resource that runs, before or after.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_source_that_the_kernel_gave_is_no_resource() {
    let host = host();
    let before = host.sh(DUMP);
    let cases: [&[(&str, &str)]; 2] = [
        &[("destination", "192.0.2.0/24")],
        &[("destination", "192.0.2.1/32"), ("table", "local")],
    ];
    for parameters in cases {
        let call = parameters
            .iter()
            .fold(source(&host, "192.0.2.1"), |call, (name, value)| call.param(name, value));
        call.run("monitor").code(7);
        for _ in 0..2 {
            call.run("start").code(0);
        }
        call.clone().recurring().run("monitor").code(0).silent();
        call.run("stop").code(0);
        assert_eq!(host.sh(DUMP), before, "{parameters:?}");
        call.run("monitor").code(7);
    }
}

/// The name of the table is taken away while the resource runs: what it stood for is in the file.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_table_whose_name_is_taken_away() {
    let host = host();
    host.sh("mkdir -p /etc/iproute2; mount -t tmpfs tmpfs /etc/iproute2; echo 100 uplink >/etc/iproute2/rt_tables
             ip route add default via 192.0.2.2 dev eth0 table 100");
    let before = host.sh("ip -N -d route show table all");
    let call = source(&host, "192.0.2.10").param("table", "uplink");
    call.run("start").code(0);
    host.sh("rm /etc/iproute2/rt_tables");
    call.clone().recurring().run("monitor").code(0);
    call.run("stop").code(0);
    assert_eq!(host.sh("ip -N -d route show table all"), before);
    call.run("monitor").code(7);
}

/// A route that somebody deleted, while the address is here, is not put back.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_route_that_somebody_deleted_stays_deleted() {
    let host = host();
    let call = source(&host, "192.0.2.10");
    call.run("start").code(0);
    host.sh("ip route del default");
    call.clone()
        .recurring()
        .run("monitor")
        .code(1)
        .because(&["default via 192.0.2.2 dev eth0", "is gone"]);
    call.run("monitor").code(1);
    call.run("stop").code(0);
    assert_eq!(host.sh("ip route show default"), "");
    assert!(host.sh("ip route show 192.0.2.0/24").contains("src 192.0.2.1 "));
    call.run("monitor").code(7);
    call.run("start").code(1).because(&["no route to default"]);
}

/// DHCP or a network manager replaces the route, or adds a second one of the same metric.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_network_manager_comes_between() {
    let host = host();
    let call = source(&host, "192.0.2.10");
    let recurring = call.clone().recurring();
    let renewals = [
        (
            "ip route replace default via 192.0.2.2 dev eth0 proto dhcp metric 100 mtu lock 1400",
            "put default via 192.0.2.2 dev eth0 proto dhcp metric 100 back",
        ),
        (
            "ip route replace default via 192.0.2.3 dev eth0 proto static metric 100",
            "replaced the route",
        ),
        (
            "ip route prepend default via 192.0.2.3 dev eth0 proto dhcp metric 100",
            "was added by dhcp and comes before",
        ),
        (
            "ip route prepend default via 192.0.2.2 dev eth0 proto dhcp metric 100 mtu lock 1400",
            "was added by dhcp and comes before",
        ),
    ];
    for (renewal, words) in renewals {
        let subnet = host.sh("ip -d route show 192.0.2.0/24");
        call.run("start").code(0);
        host.sh(renewal);
        recurring.run("monitor").code(1).because(&[words, "192.0.2.10", "mode=rule"]);
        call.run("stop").code(0);
        call.run("monitor").code(7);
        let now = host.sh("ip -d route show default");
        let theirs = renewal.split("dev eth0 ").next().unwrap().rsplit("default ").next().unwrap();
        assert!(now.contains(theirs) && !now.contains("192.0.2.10"), "{renewal}: {now}");
        assert_eq!(host.sh("ip -d route show 192.0.2.0/24"), subnet);
        // And start does it again with what is there now.
        host.sh("ip route flush default; ip route add default via 192.0.2.2 dev eth0 proto dhcp metric 100 mtu lock 1400");
    }
    // A second route that comes behind does not matter.
    let before = host.sh(DUMP);
    call.run("start").code(0);
    host.sh("ip route append default via 192.0.2.3 dev eth0 proto dhcp metric 100");
    recurring.run("monitor").code(0);
    call.run("stop").code(0);
    host.sh("ip route del default via 192.0.2.3");
    assert_eq!(host.sh(DUMP), before);
    // Other attributes that somebody gave to our route stay.
    call.run("start").code(0);
    host.sh("ip route replace default via 192.0.2.2 dev eth0 proto dhcp metric 100 mtu lock 1300 src 192.0.2.10");
    recurring.run("monitor").code(0);
    call.run("stop").code(0);
    let now = host.sh("ip route show default");
    assert!(now.contains("mtu lock 1300") && !now.contains("src"), "{now}");
}

/// The first address of the subnet goes while the resource runs, and then the subnet's route belongs to ours.
#[test]
#[ignore = "needs root: tests/run netns"]
fn the_first_address_of_the_subnet_goes() {
    let host = host();
    host.sh("sysctl -qw net.ipv4.conf.all.promote_secondaries=1");
    let call = source(&host, "192.0.2.10").param("local_route", "true");
    call.run("start").code(0);
    host.sh("ip addr del 192.0.2.1/24 dev eth0");
    call.clone().recurring().run("monitor").code(0);
    call.run("stop").code(0);
    assert!(
        host.sh("ip route show default").contains("via 192.0.2.2")
            && !host.sh("ip route show default").contains("src")
    );
    assert!(
        host.sh("ip route show 192.0.2.0/24").contains("proto kernel scope link src 192.0.2.10")
    );
    host.sh("ip addr del 192.0.2.10/24 dev eth0");
    assert!(
        !host.sh("ip route show table all").contains("192.0.2."),
        "{}",
        host.sh("ip route show table all")
    );
}

/// The gateway's subnet is gone; the route works by its neighbour entry, and stop must not take it away.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_gateway_that_is_out_of_reach() {
    let host = host();
    let call = source(&host, "192.0.2.10");
    call.run("start").code(0);
    host.sh("ip route del 192.0.2.0/24 dev eth0");
    call.run("stop").code(0);
    let now = host.sh("ip route show default");
    assert!(now.contains("default via 192.0.2.2") && !now.contains("src 192.0.2.10"), "{now}");
}

/// Down and up again, or gone: the kernel removed the routes, and stop has nothing to do.
#[test]
#[ignore = "needs root: tests/run netns"]
fn an_interface_that_goes_down_or_away() {
    let host = host();
    for (mode, event) in [
        ("route", "ip link set eth0 down"),
        ("rule", "ip link set eth0 down"),
        ("route", "ip link del eth0"),
    ] {
        let call = source(&host, "192.0.2.10").param("mode", mode);
        host.sh("ip link set eth0 up; ip route replace default via 192.0.2.2 dev eth0 metric 100");
        call.run("start").code(0);
        host.sh(event);
        call.clone().recurring().run("monitor").code(1);
        call.run("stop").code(0);
        call.run("monitor").code(7);
        assert!(!host.sh(DUMP).contains(" src 192.0.2.10"), "{mode} {event}");
    }
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn two_resources_of_two_networks() {
    let host = host();
    host.sh("ip route add default via 198.51.100.2 dev eth1 metric 200");
    let before = host.sh(DUMP);
    for modes in [["route", "route"], ["route", "rule"], ["rule", "rule"]] {
        let first = source(&host, "192.0.2.10").param("mode", modes[0]);
        let mut second = source(&host, "198.51.100.10").param("mode", modes[1]);
        if modes[1] == "rule" {
            // The default route of this network is not the one that connections take.
            second.run("start").code(1).because(&["set mode=route", "metric 100", "metric 200"]);
            second = second.param("destination", "198.51.100.0/24");
        }
        first.run("start").code(0);
        let one = host.sh(DUMP);
        second.run("start").code(0);
        for call in [&first, &second] {
            call.clone().recurring().run("monitor").code(0).silent();
        }
        for (target, ip) in [("192.0.2.2", "192.0.2.10"), ("198.51.100.2", "198.51.100.10")] {
            assert_eq!(chosen(&host, target), ip, "{modes:?}");
        }
        second.run("stop").code(0);
        assert_eq!(host.sh(DUMP), one);
        second.run("start").code(0);
        first.run("stop").code(0);
        second.clone().recurring().run("monitor").code(0);
        assert_eq!(chosen(&host, "198.51.100.2"), "198.51.100.10");
        second.run("stop").code(0);
        assert_eq!(host.sh(DUMP), before, "{modes:?}");
    }
}

/// Two that want the same route would undo each other's work.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_second_resource_on_the_same_route_is_refused() {
    let host = host();
    host.sh("ip addr add 192.0.2.11/24 dev eth0");
    let before = host.sh(DUMP);
    let first = source(&host, "192.0.2.10");
    let second = source(&host, "192.0.2.11");
    first.run("start").code(0);
    second.run("start").code(1).because(&["another resource", "192.0.2.10", "give another"]);
    second.clone().param("mode", "rule").run("start").code(1).because(&["another resource"]);
    second.run("monitor").code(7);
    second.run("stop").code(0);
    first.clone().recurring().run("monitor").code(0);
    first.run("stop").code(0);
    assert_eq!(host.sh(DUMP), before);
    // Nor may one take for its own what another of the same address did.
    let same = first.clone().param("metric", "100");
    first.run("start").code(0);
    same.run("monitor").code(7);
    same.run("start").code(1).because(&["another resource", "192.0.2.10"]);
    same.run("stop").code(0);
    first.clone().recurring().run("monitor").code(0);
    let rules = first.clone().param("mode", "rule");
    rules.run("start").code(0);
    first.run("stop").code(0);
    rules.run("monitor").code(0);
    rules.run("stop").code(0);
    assert_eq!(host.sh(DUMP), before);
    // Rules that come first make others, and changes of the route, ineffective.
    rules.run("start").code(0);
    let led = host.sh(DUMP);
    for mode in ["route", "rule"] {
        let call = second.clone().param("mode", mode);
        call.run("start").code(1).because(&["another resource leads connections to"]);
        call.run("monitor").code(7);
        call.run("stop").code(0);
        assert_eq!(host.sh(DUMP), led, "{mode}");
    }
    host.sh("ip rule add iif lo lookup 100 priority 500");
    rules.clone().recurring().run("monitor").code(1).because(&["500", "lookup 100", "elsewhere"]);
    host.sh("ip rule del priority 500");
    rules.run("stop").code(0);
    assert_eq!(host.sh(DUMP), before);
    // A source that nobody here set is no resource's.
    host.sh("ip route replace default via 192.0.2.2 dev eth0 src 192.0.2.1; ip route del default metric 100");
    let before = host.sh(DUMP);
    second.run("start").code(0);
    second.run("stop").code(0);
    assert_eq!(host.sh(DUMP), before);
}

/// Connections from the host to the address itself.
#[test]
#[ignore = "needs root: tests/run netns"]
fn connections_to_the_address_itself() {
    let host = host();
    let before = host.sh(DUMP);
    assert_eq!(chosen(&host, "192.0.2.10"), "192.0.2.1");
    let cases: [&[(&str, &str)]; 2] =
        [&[("local_route", "true")], &[("table", "local"), ("destination", "192.0.2.10/32")]];
    for parameters in cases {
        let call = parameters
            .iter()
            .fold(source(&host, "192.0.2.10"), |call, (name, value)| call.param(name, value));
        call.run("start").code(0);
        assert_eq!(chosen(&host, "192.0.2.10"), "192.0.2.10");
        call.run("monitor").code(0);
        call.run("stop").code(0);
        assert_eq!(host.sh(DUMP), before);
    }
    source(&host, "192.0.2.10")
        .param("local_route", "true")
        .param("mode", "rule")
        .run("start")
        .code(6)
        .because(&["local_route", "mode=rule"]);
    let six = source(&host, "2001:db8::10")
        .param("table", "local")
        .param("destination", "2001:db8::9/128");
    six.run("start").code(1).because(&["2001:db8::9", "as source already"]);
}

/// Rules: no route is changed, more specific ones go on to be used, and what is forwarded goes its way.
#[test]
#[ignore = "needs root: tests/run netns"]
fn rules_change_no_route() {
    let host = host();
    host.sh("ip route add 203.0.113.128/25 via 198.51.100.2 dev eth1; ip route add 192.0.2.200/32 via 192.0.2.3 dev eth0
             ip rule add from 192.0.2.1 lookup 200; ip route add default via 198.51.100.2 dev eth1 table 200");
    let routes = "for t in main local 200; do ip -d route show table $t; ip -d -6 route show table $t 2>&1 || true; done";
    let before = host.sh(routes);
    let call = source(&host, "192.0.2.10").param("mode", "rule");
    call.run("start").code(0);
    assert_eq!(host.sh(routes), before);
    for (target, ip) in [
        ("203.0.113.1", "192.0.2.10"),
        ("192.0.2.2", "192.0.2.10"),
        ("203.0.113.129", "198.51.100.1"),
        ("192.0.2.200", "192.0.2.1"),
        ("198.51.100.2", "198.51.100.1"),
    ] {
        assert_eq!(chosen(&host, target), ip, "{target}");
    }
    let bound = host.sh("ip route get 203.0.113.1 from 192.0.2.1");
    assert!(
        bound.contains("198.51.100.2") && bound.contains("table 200"),
        "rules without a priority come first: {bound}"
    );
    let forwarded = host.sh(
        "sysctl -qw net.ipv4.ip_forward=1; ip route get 203.0.113.1 from 198.51.100.77 iif eth1",
    );
    assert!(!forwarded.contains("table"), "{forwarded}");
    // The original changes, and the copy does not follow.
    host.sh("ip route replace default via 192.0.2.3 dev eth0 proto dhcp metric 100");
    call.clone().recurring().run("monitor").code(1).because(&[
        "default via 192.0.2.2",
        "now default via 192.0.2.3",
        "restart",
    ]);
    call.run("start").code(0);
    assert!(host.sh("ip route get 203.0.113.1").contains("via 192.0.2.3"));
    call.clone().recurring().run("monitor").code(0);
    // A rule, or a copy, is gone.
    host.sh("ip rule del to 192.0.2.0/24 iif lo lookup main suppress_prefixlength 24");
    call.run("monitor").code(1).because(&["rules", "192.0.2.0/24"]);
    call.run("start").code(0);
    call.run("monitor").code(0);
    call.run("stop").code(0);
    assert!(!host.sh(DUMP).contains("iif lo"));
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn the_table_of_rules_is_nobody_elses() {
    let host = host();
    host.sh("ip route add 203.0.113.0/24 via 192.0.2.2 dev eth0 table 100");
    let before = host.sh(DUMP);
    let call = source(&host, "192.0.2.10").param("mode", "rule");
    let used = call.clone().param("rule_table", "100");
    used.run("start").code(1).because(&["table 100", "1 route(s)", "rule_table"]);
    used.run("stop").code(0);
    assert_eq!(host.sh(DUMP), before);
    let free = call.clone().param("rule_table", "1000").param("rule_priority", "500");
    free.run("start").code(0);
    let rules = host.sh("ip rule");
    assert!(
        rules.contains("500:\tfrom all iif lo lookup 1000")
            && rules.contains("476:\tfrom all to 192.0.2.0/24 iif lo lookup 1000"),
        "{rules}"
    );
    source(&host, "2001:db8::10")
        .param("mode", "rule")
        .param("rule_table", "1000")
        .run("start")
        .code(0);
    source(&host, "2001:db8::10")
        .param("mode", "rule")
        .param("rule_table", "1000")
        .run("stop")
        .code(0);
    free.run("stop").code(0);
    assert_eq!(host.sh(DUMP), before);
}

/// Without its file, or with nonsense in it, stop takes the source away: the kernel is the truth.
#[test]
#[ignore = "needs root: tests/run netns"]
fn state_that_is_lost_or_nonsense() {
    let host = host();
    for (ip, extra) in [
        ("192.0.2.10", "local_route"),
        ("192.0.2.10", "mode"),
        ("2001:db8::10", ""),
        ("2001:db8::10", "mode"),
    ] {
        let before = host.sh(DUMP);
        let mut call = source(&host, ip);
        match extra {
            "mode" => call = call.param("mode", "rule"),
            "" => {}
            name => call = call.param(name, "true"),
        }
        for damage in [
            "rm $f",
            "echo nonsense >$f",
            ": >$f",
            "cut -c-70 $f >$f.x; mv $f.x $f",
            "rm $f; mkdir $f",
        ] {
            call.run("start").code(0);
            host.sh(&format!("for f in /run/resource-agents/source-*; do {damage}; done"));
            call.clone().recurring().run("monitor").code(0);
            call.run("stop").code(0);
            assert_eq!(host.sh(DUMP), before, "{ip} {extra} {damage}");
            call.run("monitor").code(7);
            host.sh("rm -rf /run/resource-agents/source-*");
        }
    }
}

/// The agent is killed at each of its system calls in turn, and the next stop puts all back.
#[test]
#[ignore = "needs root: tests/run netns"]
fn whatever_a_killed_agent_leaves_the_next_stop_puts_back() {
    let host = host();
    let before = host.sh(DUMP);
    for mode in ["route", "rule"] {
        let call = source(&host, "192.0.2.10").param("mode", mode);
        kills::at_each(&host, &call, &system_calls, 60, |moment| {
            assert_eq!(host.sh(DUMP), before, "{mode}: {moment}");
        });
    }
}

/// The kernel refuses the last step: what was done before is undone.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_failed_start_leaves_nothing() {
    let host = host();
    let before = host.sh(DUMP);
    let bound: &[&str] = &["setpriv", "--bounding-set=-net_admin,-net_raw"];
    for mode in ["route", "rule"] {
        let call = source(&host, "192.0.2.10").param("mode", mode);
        call.run_behind(bound, "start").code(4).because(&["192.0.2.", "root"]);
        assert_eq!(host.sh(DUMP), before);
        call.run("monitor").code(7);
        call.run("start").code(0);
        call.run_behind(bound, "monitor").code(0);
        call.run_behind(bound, "stop").code(1).because(&["root"]);
        call.run("stop").code(0);
        assert_eq!(host.sh(DUMP), before);
    }
    // Without a file for the original nothing is changed.
    let readonly = host.path("readonly");
    host.sh(&format!("mkdir {0}; mount -t tmpfs -o ro tmpfs {0}", readonly.display()));
    let call = source(&host, "192.0.2.10").env("HA_RSCTMP", &readonly);
    call.run("start").code(1).because(&["state file", "Read-only file system"]);
    assert_eq!(host.sh(DUMP), before);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_monitor_costs_no_fork_no_exec_and_few_system_calls() {
    let host = host();
    let trace = host.path("strace");
    for mode in ["route", "rule"] {
        let call = source(&host, "192.0.2.10").param("mode", mode);
        call.run("start").code(0);
        call.run_behind(&["strace", "-f", "-o", trace.to_str().unwrap()], "monitor").code(0);
        let calls = fs::read_to_string(&trace).unwrap();
        let count =
            |name: &str| calls.lines().filter(|line| line.contains(&format!(" {name}("))).count();
        assert_eq!(count("execve"), 1);
        assert_eq!(count("clone") + count("clone3") + count("fork") + count("vfork"), 0);
        assert!(calls.lines().count() < 120, "{mode}: {}", calls.lines().count());
        call.run("stop").code(0);
    }
}

/// A virtual address on the loopback interface, as hosts have it that tell routers of it.
#[test]
#[ignore = "needs root: tests/run netns"]
fn an_address_on_the_loopback_interface() {
    let host = host();
    host.sh("ip addr add 203.0.113.9/32 dev lo; ip route del default
             ip route add default nexthop via 192.0.2.2 dev eth0 weight 3 nexthop via 192.0.2.3 dev eth0");
    let before = host.sh(DUMP);
    let call = source(&host, "203.0.113.9");
    call.run("start").code(0);
    assert_eq!(chosen(&host, "203.0.113.1"), "203.0.113.9");
    call.run("stop").code(0);
    assert_eq!(host.sh(DUMP), before);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn what_cannot_be_says_why() {
    let host = host();
    let wrong = [
        ("ipaddress", "nonsense"),
        ("ipaddress", ""),
        ("ipaddress", "127.0.0.1"),
        ("ipaddress", "0.0.0.0"),
        ("ipaddress", "224.0.0.1"),
        ("ipaddress", "::1"),
        ("ipaddress", "fe80::1"),
        ("ipaddress", "::ffff:192.0.2.10"),
        ("cidr_netmask", "33"),
        ("cidr_netmask", "24x"),
        ("destination", "203.0.113.1/24"),
        ("destination", "2001:db8::/32"),
        ("destination", "somewhere"),
        ("proto", "no-such"),
        ("metric", "high"),
        ("pref", "high"),
        ("pref", "highest"),
        ("table", "two words"),
        ("nic", "eth/0"),
        ("local_route", "Yes"),
        ("mode", "magic"),
        ("rule_table", "254"),
        ("rule_table", "x"),
        ("rule_priority", "40000"),
        ("rule_priority", "1"),
    ];
    let uplink = source(&host, "192.0.2.10").param("mode", "rule").param("table", "100");
    uplink.run("start").code(6).because(&["parameter table: ", "main"]);
    uplink.run("monitor").code(7);
    for (name, value) in wrong {
        let call = source(&host, "192.0.2.10").param(name, value);
        for action in ["start", "validate-all"] {
            call.run(action).code(6).because(&[&format!("parameter {name}: ")]);
        }
        call.run("monitor").code(7);
        call.run("stop").code(0);
    }
}

/// As Heartbeat calls it: words on stdout say whether this node has the resource.
#[test]
#[ignore = "needs root: tests/run netns"]
fn haresources() {
    let host = host();
    let before = host.sh(DUMP);
    let run = |action: &str| {
        let mut command = std::process::Command::new(host.path("IPsrcaddr"));
        command.args(["192.0.2.10", action]).env_clear().env("HA_LOGFILE", host.path("log"));
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(run("status"), (Some(7), "INFO: stopped\n".to_owned()));
    assert_eq!(run("start"), (Some(0), "INFO: OK\n".to_owned()));
    assert_eq!(run("status"), (Some(0), "INFO: running, OK\n".to_owned()));
    assert_eq!(run("stop"), (Some(0), "INFO: OK\n".to_owned()));
    assert_eq!(host.sh(DUMP), before);
}

/// Two callers at once, again and again.
#[test]
#[ignore = "needs root: tests/run netns"]
fn two_callers_at_once() {
    let host = host();
    let before = host.sh(DUMP);
    for mode in ["route", "rule"] {
        let call = source(&host, "192.0.2.10").param("mode", mode);
        for round in 0..12 {
            let actions =
                [["start", "start"], ["start", "stop"], ["stop", "stop"], ["stop", "start"]]
                    [round % 4];
            let children: Vec<_> =
                actions.iter().map(|action| call.command(action).spawn().unwrap()).collect();
            for mut child in children {
                assert_eq!(child.wait().unwrap().code(), Some(0), "{actions:?}");
            }
        }
        call.run("stop").code(0);
        assert_eq!(host.sh(DUMP), before);
    }
}
