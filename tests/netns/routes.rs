//! The agent `Route`: exactly its route, and nobody else's.

use crate::support::{Call, Host};

const DUMP: &str =
    "ip -d route show table all; ip -d -6 route show table all; ip rule; ip -6 rule; ip -o addr";

fn route(host: &Host, parameters: &[(&str, &str)]) -> Call {
    parameters.iter().fold(host.agent("Route"), |call, (name, value)| call.param(name, value))
}

/// A host whose addresses can be used, as a state that can be compared.
fn host() -> Host {
    let host = Host::new();
    host.settle();
    host
}

/// Parameters, and what `ip -d` shows of the route.
#[test]
#[ignore = "needs root: tests/run netns"]
fn what_is_asked_for_is_added_once_and_goes() {
    let host = host();
    let cases: [(&[(&str, &str)], &str); 11] = [
        (
            &[("destination", "198.51.100.0/24"), ("gateway", "192.0.2.2")],
            "unicast 198.51.100.0/24 via 192.0.2.2 dev eth0 table main proto boot scope global",
        ),
        (
            &[("destination", "198.51.100.0/24"), ("device", "eth0")],
            "unicast 198.51.100.0/24 dev eth0 table main proto boot scope link",
        ),
        (
            &[("destination", "198.51.100.7"), ("device", "eth0"), ("gateway", "192.0.2.2")],
            "unicast 198.51.100.7 via 192.0.2.2 dev eth0",
        ),
        (
            &[("destination", "default"), ("gateway", "192.0.2.2")],
            "unicast default via 192.0.2.2 dev eth0",
        ),
        (
            &[("destination", "default"), ("device", "eth0")],
            "unicast default dev eth0 table main proto boot scope link",
        ),
        (
            &[
                ("destination", "default"),
                ("gateway", "192.0.2.2"),
                ("metric", "50"),
                ("source", "192.0.2.1"),
            ],
            "src 192.0.2.1 metric 50",
        ),
        (
            &[("destination", "default"), ("gateway", "192.0.2.2"), ("table", "1000")],
            "unicast default via 192.0.2.2 dev eth0 table 1000",
        ),
        (
            &[("destination", "default"), ("gateway", "2001:db8::2")],
            "unicast default via 2001:db8::2 dev eth0 table main proto boot scope global metric 1024",
        ),
        (
            &[("destination", "default"), ("device", "eth0"), ("family", "ip6")],
            "unicast default dev eth0 table main proto boot scope global metric 1024",
        ),
        (
            &[
                ("destination", "2001:db8:1::/48"),
                ("gateway", "fe80::2"),
                ("device", "eth0"),
                ("metric", "7"),
            ],
            "unicast 2001:db8:1::/48 via fe80::2 dev eth0 table main proto boot scope global metric 7",
        ),
        (
            &[("destination", "2001:db8:1::/48"), ("device", "eth0"), ("source", "2001:db8::1")],
            "src 2001:db8::1",
        ),
    ];
    for (parameters, shown) in cases {
        let before = host.sh(DUMP);
        let route = route(&host, parameters);
        route.run("monitor").code(7);
        route.run("validate-all").code(0);
        for _ in 0..2 {
            route.run("start").code(0);
        }
        assert_eq!(
            host.sh(DUMP).matches(shown).count(),
            1 + host.sh("ip -d -6 route show table all").matches(shown).count(),
            "{shown}: {}",
            host.sh(DUMP)
        );
        for action in ["monitor", "reload"] {
            route.run(action).code(0);
        }
        route.clone().recurring().run("monitor").code(0).silent();
        for _ in 0..2 {
            route.run("stop").code(0);
        }
        assert_eq!(host.sh(DUMP), before, "{parameters:?}");
        route.run("monitor").code(7);
    }
}

/// Every other route to the destination: one that differs in a single field, or that somebody else made.
#[test]
#[ignore = "needs root: tests/run netns"]
fn another_route_to_the_destination_is_somebody_elses() {
    let host = host();
    host.sh("ip link add eth1 type veth peer name far1; ip link set eth1 addrgenmode none
             ip link set far1 addrgenmode none; ip link set eth1 up; ip link set far1 up
             ip addr add 192.0.3.1/24 dev eth1; ip addr add 192.0.2.10/24 dev eth0");
    let of_others = [
        "198.51.100.0/24 via 192.0.2.3 dev eth0",
        "198.51.100.0/24 dev eth0",
        "198.51.100.0/24 via 192.0.3.2 dev eth1",
        "198.51.100.0/24 via 192.0.2.2 dev eth0 metric 9",
        "198.51.100.0/24 via 192.0.2.2 dev eth0 src 192.0.2.10",
        "198.51.100.0/24 via 192.0.2.2 dev eth0 src 192.0.2.1 proto dhcp",
        "198.51.100.0/25 via 192.0.2.2 dev eth0",
        "198.51.100.0/24 via 192.0.2.2 dev eth0 src 192.0.2.1 table 7",
        "198.51.100.0/24 via 192.0.2.2 dev eth0 src 192.0.2.1 tos 8",
        "198.51.100.0/24 src 192.0.2.1 nexthop via 192.0.2.2 dev eth0 nexthop via 192.0.3.2 dev eth1",
        "unreachable 198.51.100.0/24",
    ];
    let ours = route(
        &host,
        &[
            ("destination", "198.51.100.0/24"),
            ("gateway", "192.0.2.2"),
            ("device", "eth0"),
            ("source", "192.0.2.1"),
        ],
    );
    for other in of_others {
        host.sh(&format!("ip route add {other}"));
        let before = host.sh(DUMP);
        ours.run("monitor").code(7);
        ours.run("stop").code(0);
        assert_eq!(host.sh(DUMP), before, "{other}");
        let at_once = ["metric", "/25", "table", "tos"].iter().any(|word| other.contains(word));
        if at_once {
            ours.run("start").code(0);
            ours.run("monitor").code(0);
            ours.run("stop").code(0);
        } else {
            ours.run("start").code(1).because(&[
                "delete it: 198.51.100.0/24",
                "same destination and metric",
                "give another metric",
            ]);
        }
        assert_eq!(host.sh(DUMP), before, "{other}");
        host.sh(&format!("ip route del {other}"));
    }
}

/// The kernel's own route to a subnet looks as ours would.
#[test]
#[ignore = "needs root: tests/run netns"]
fn the_kernels_own_route_is_neither_ours_nor_deleted() {
    let host = host();
    let before = host.sh(DUMP);
    let ours = route(&host, &[("destination", "192.0.2.0/24"), ("device", "eth0")]);
    ours.run("monitor").code(7);
    ours.run("start").code(1).because(&["192.0.2.0/24 dev eth0 proto kernel"]);
    ours.run("stop").code(0);
    assert_eq!(host.sh(DUMP), before);
}

/// The kernel shows routes with one metric as one with several nexthops, and ours is one of them.
#[test]
#[ignore = "needs root: tests/run netns"]
fn an_ipv6_route_that_got_a_second_nexthop_is_still_ours() {
    let host = host();
    let ours = route(&host, &[("destination", "2001:db8:1::/48"), ("gateway", "2001:db8::2")]);
    ours.run("start").code(0);
    host.sh("ip -6 route append 2001:db8:1::/48 via 2001:db8::3 dev eth0");
    ours.run("monitor").code(0);
    ours.run("stop").code(0);
    let left = host.sh("ip -6 route show 2001:db8:1::/48");
    assert!(left.contains("via 2001:db8::3") && !left.contains("2001:db8::2 "), "{left}");
    ours.run("monitor").code(7);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn without_its_interface_it_is_stopped() {
    let host = host();
    host.sh("ip link add eth1 type veth peer name far1; ip link set eth1 addrgenmode none
             ip link set far1 addrgenmode none; ip link set eth1 up; ip link set far1 up");
    let ours = route(&host, &[("destination", "198.51.100.0/24"), ("device", "eth1")]);
    ours.run("start").code(0);
    host.sh("ip link del eth1");
    ours.clone().recurring().run("monitor").code(7);
    ours.run("stop").code(0);
    ours.run("start").code(2).because(&["eth1", "ip link"]);
    ours.run("validate-all").code(0);
    ours.clone().env("OCF_CHECK_LEVEL", "10").run("validate-all").code(2).because(&["eth1"]);
    // An interface that is down has no routes.
    host.sh("ip link add eth1 type veth peer name far1");
    ours.run("start").code(1).because(&["198.51.100.0/24", "eth1", "down"]);
    ours.run("monitor").code(7);
    let named = route(
        &host,
        &[("destination", "198.51.100.0/24"), ("device", "eth0"), ("table", "no-such")],
    );
    named.run("monitor").code(7);
    named.run("stop").code(0);
    named.run("start").code(2).because(&["table no-such", "rt_tables"]);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn what_cannot_be_says_why() {
    let host = host();
    let base: &[(&str, &str)] = &[("destination", "198.51.100.0/24"), ("gateway", "192.0.2.2")];
    let wrong: [(&[(&str, &str)], &str); 16] = [
        (&[("destination", "198.51.100.1/24")], "destination"),
        (&[("destination", "everywhere")], "destination"),
        (&[("destination", "")], "destination"),
        (&[("gateway", "router")], "gateway"),
        (&[("gateway", "2001:db8::2")], "gateway"),
        (&[("gateway", "")], "device"),
        (&[("gateway", "0.0.0.0"), ("device", "eth0")], "gateway"),
        (&[("gateway", "127.0.0.1"), ("device", "eth0")], "gateway"),
        (&[("gateway", "224.0.0.1"), ("device", "eth0")], "gateway"),
        (&[("gateway", "fe80::1"), ("destination", "default")], "device"),
        (&[("device", "eth/0")], "device"),
        (&[("source", "nobody")], "source"),
        (&[("source", "2001:db8::1")], "source"),
        (&[("table", "two words")], "table"),
        (&[("metric", "-1")], "metric"),
        (&[("family", "ip5")], "family"),
    ];
    for (parameters, name) in wrong {
        let call = parameters
            .iter()
            .fold(route(&host, base), |call, (name, value)| call.param(name, value));
        for action in ["start", "validate-all"] {
            call.run(action).code(6).because(&[name]);
        }
        call.run("stop").code(0);
        call.run("monitor").code(7);
    }
    let good = route(&host, base);
    good.clone()
        .param("CRM_meta_clone", "0")
        .param("CRM_meta_clone_node_max", "2")
        .run("start")
        .code(6)
        .because(&["clone-node-max=1"]);
    good.clone()
        .param("CRM_meta_clone", "0")
        .param("CRM_meta_clone_node_max", "1")
        .run("start")
        .code(0);
    good.run("stop").code(0);
    good.clone()
        .param("source", "192.0.2.99")
        .run("start")
        .code(1)
        .because(&["192.0.2.99", "order"]);
    good.clone()
        .param("gateway", "203.0.113.1")
        .run("start")
        .code(1)
        .because(&["203.0.113.1", "gateway"]);
    good.clone().param("family", "ip6").run("start").code(6);
}

/// A source that another resource gave to the route does not make it a stranger.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_route_whose_source_another_resource_sets_is_still_running() {
    let host = host();
    host.sh("ip addr add 192.0.2.10/24 dev eth0");
    let ours = route(&host, &[("destination", "default"), ("gateway", "192.0.2.2")]);
    let source = host.agent("IPsrcaddr").param("ipaddress", "192.0.2.10");
    let before = host.sh(DUMP);
    ours.run("start").code(0);
    source.run("start").code(0);
    ours.clone().recurring().run("monitor").code(0).silent();
    source.run("stop").code(0);
    ours.run("stop").code(0);
    assert_eq!(host.sh(DUMP), before);
}

/// Two callers at once, again and again.
#[test]
#[ignore = "needs root: tests/run netns"]
fn two_callers_at_once() {
    let host = host();
    let ours = route(&host, &[("destination", "default"), ("gateway", "192.0.2.2")]);
    for round in 0..20 {
        let actions =
            [["start", "start"], ["start", "stop"], ["stop", "stop"], ["stop", "start"]][round % 4];
        let children: Vec<_> =
            actions.iter().map(|action| ours.command(action).spawn().unwrap()).collect();
        for mut child in children {
            assert_eq!(child.wait().unwrap().code(), Some(0), "{actions:?}");
        }
        let count = host.sh("ip route show default").lines().count();
        let expected = if count == 1 { 0 } else { 7 };
        ours.run("monitor").code(expected);
    }
    ours.run("stop").code(0);
}
