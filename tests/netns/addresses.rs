//! Start, monitor and stop of an IPv4 address, and what is put right.

use crate::kills::kill_at;
use crate::support::Host;

const VIP: &str = "192.0.2.10";

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_whole_life() {
    let host = Host::new();
    let vip = host.vip();
    vip.run("monitor").code(7).silent();
    vip.run("stop").code(0);
    vip.run("start").code(0);
    vip.run("monitor").code(0).silent();
    vip.clone().recurring().run("monitor").code(0).silent();
    vip.run("start").code(0);
    assert_eq!(host.places(VIP), ["eth0 192.0.2.10/24"]);
    assert_eq!(host.entry(VIP)["broadcast"], "192.0.2.255");
    vip.run("stop").code(0);
    vip.clone().recurring().run("monitor").code(7);
    vip.run("stop").code(0);
    assert!(host.places(VIP).is_empty());
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn status_says_a_word() {
    let host = Host::new();
    assert_eq!(host.vip().run("status").code(7).stdout, "stopped\n");
    host.vip().run("start").code(0);
    assert_eq!(host.vip().run("status").code(0).stdout, "running\n");
}

/// The shell agent says 0 in all of these, and the address stays.
#[test]
#[ignore = "needs root: tests/run netns"]
fn stop_succeeds_only_when_the_address_is_gone_whatever_the_interface() {
    let spoil = [
        "ip link set eth0 down",
        "ip route flush dev eth0",
        "ip link set eth0 name lan7",
        "ip addr del 192.0.2.1/24 dev eth0",
    ];
    for spoiled in spoil {
        for nic in [None, Some("eth0")] {
            let host = std::thread::spawn(move || {
                let host = Host::new();
                let vip = nic.map_or_else(|| host.vip(), |nic| host.vip().param("nic", nic));
                vip.run("start").code(0);
                host.sh("ip link set eth0 down; sysctl -qw net.ipv4.conf.eth0.promote_secondaries=1; ip link set eth0 up");
                host.sh(spoiled);
                vip.run("stop").code(0);
                assert!(host.places(VIP).is_empty(), "{spoiled} {nic:?}: {:?}", host.places(VIP));
            });
            host.join().unwrap();
        }
    }
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn stop_removes_every_form_of_the_address() {
    let host = Host::new();
    host.sh("ip link add eth1 type veth peer name p1; ip link set eth1 up
         ip addr add 192.0.2.10/32 dev eth0; ip addr add 192.0.2.10/24 dev eth0 label eth0:x
         ip addr add 192.0.2.10/28 dev eth1; ip addr add 192.0.2.10/32 dev lo
         ip addr add 192.0.2.10 peer 198.51.100.1/32 dev eth1");
    host.vip().param("nic", "eth0").param("cidr_netmask", "24").run("stop").code(0);
    assert!(host.places(VIP).is_empty(), "{:?}", host.places(VIP));
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn stop_needs_no_parameter_but_the_address() {
    let host = Host::new();
    host.vip().run("start").code(0);
    let wrong =
        host.vip().param("nic", "no/such").param("cidr_netmask", "99x").param("arp_count", "many");
    wrong.param("broadcast", "?").param("preferred_lft", "").run("stop").code(0);
    assert!(host.places(VIP).is_empty());
    host.agent("IPaddr2").run("stop").code(0);
    host.agent("IPaddr2").param("ip", "nonsense").run("stop").code(0);
}

/// Each difference is told by its field, and start mends it.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_wrong_form_is_told_field_by_field_and_put_right() {
    let host = Host::new();
    host.sh("ip link add eth1 type veth peer name p1; ip link set eth1 up; ip link set p1 up");
    let vip = host.vip().param("nic", "eth0").param("cidr_netmask", "24").param("iflabel", "web");
    let vip = vip.param("broadcast", "+");
    let forms: [(&str, &[&str]); 5] = [
        (
            "192.0.2.10/24 brd 192.0.2.127 dev eth0 label eth0:web",
            &["broadcast address is 192.0.2.127"],
        ),
        ("192.0.2.10/32 dev eth0 label eth0:web", &["prefix length is 32 instead of 24"]),
        ("192.0.2.10/24 dev eth1 label eth1:web", &["on eth1 instead of eth0"]),
        ("192.0.2.10/24 dev eth0", &["label is eth0 instead of eth0:web"]),
        (
            "192.0.2.10/32 dev eth1",
            &["on eth1 instead of eth0", "prefix length is 32", "label is eth1"],
        ),
    ];
    for (form, words) in forms {
        host.sh(&format!("ip addr add {form}"));
        for monitor in [vip.clone(), vip.clone().recurring()] {
            monitor.run("monitor").code(1).because(words);
        }
        vip.run("start").code(0);
        assert_eq!(host.places(VIP), ["eth0 192.0.2.10/24"], "{form}");
        assert_eq!(host.entry(VIP)["label"], "eth0:web", "{form}");
        vip.run("monitor").code(0);
        vip.run("stop").code(0);
    }
}

/// What was asked for is looked at; what was not is left as it is.
#[test]
#[ignore = "needs root: tests/run netns"]
fn lifetimes_and_routes_that_were_asked_for_are_put_right() {
    let host = Host::new();
    let vip = host.agent("IPaddr2").param("ip", "2001:db8:1::10").param("nic", "eth0");
    let vip = vip.param("cidr_netmask", "64").param("nodad", "true");
    vip.run("start").code(0);
    vip.run("monitor").code(0);
    let deprecated = vip.clone().param("preferred_lft", "0");
    deprecated.run("monitor").code(1).because(&["preferred as a source"]);
    deprecated.run("start").code(0);
    deprecated.run("monitor").code(0);
    vip.run("monitor").code(1).because(&["no longer preferred"]);
    vip.run("start").code(0);
    vip.run("monitor").code(0);
    let routeless = vip.param("noprefixroute", "true");
    routeless.run("monitor").code(1).because(&["noprefixroute"]);
    routeless.run("start").code(0);
    routeless.run("monitor").code(0);
    assert_eq!(host.sh("ip -6 route show 2001:db8:1::/64"), "");
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn an_address_that_is_there_twice_is_told_and_made_one() {
    let host = Host::new();
    host.vip().run("start").code(0);
    host.sh("ip addr add 192.0.2.10/32 dev eth0");
    host.vip().run("monitor").code(1).because(&["2 times", "192.0.2.10/32"]);
    host.vip().run("start").code(0);
    assert_eq!(host.places(VIP), ["eth0 192.0.2.10/24"]);
}

/// Parameters; then the prefix length, the broadcast address and the label that follow.
type Form<'a> = (&'a [(&'a str, &'a str)], u64, Option<&'a str>, &'a str);

#[test]
#[ignore = "needs root: tests/run netns"]
fn netmask_broadcast_and_label_as_asked() {
    let cases: [Form; 8] = [
        (&[("cidr_netmask", "28")], 28, Some("192.0.2.15"), "eth0"),
        (&[("cidr_netmask", "255.255.255.240")], 28, Some("192.0.2.15"), "eth0"),
        (&[("netmask", "28")], 28, Some("192.0.2.15"), "eth0"),
        (&[("cidr_netmask", "32")], 32, None, "eth0"),
        (&[("broadcast", "+")], 24, Some("192.0.2.255"), "eth0"),
        (&[("broadcast", "-")], 24, Some("192.0.2.0"), "eth0"),
        (&[("broadcast", "192.0.2.127"), ("nic", "eth0:a")], 24, Some("192.0.2.127"), "eth0:a"),
        (&[("iflabel", "web")], 24, Some("192.0.2.255"), "eth0:web"),
    ];
    let host = Host::new();
    for (params, prefix, broadcast, label) in cases {
        let vip = params.iter().fold(host.vip(), |call, (name, value)| call.param(name, value));
        vip.run("start").code(0);
        let entry = host.entry(VIP);
        assert_eq!(entry["prefixlen"], prefix, "{params:?}");
        assert_eq!(entry["broadcast"].as_str(), broadcast, "{params:?}");
        assert_eq!(entry["label"], label, "{params:?}");
        vip.run("monitor").code(0);
        vip.run("stop").code(0);
    }
}

/// After start nobody guesses again, and nic with a prefix length is enough.
#[test]
#[ignore = "needs root: tests/run netns"]
fn the_interface_is_chosen_once() {
    let host = Host::new();
    host.sh("ip link add eth1 type veth peer name p1; ip link set eth1 up; ip link set p1 up");
    host.vip().run("start").code(0);
    host.sh("ip addr add 192.0.2.3/25 dev eth1");
    host.vip().run("monitor").code(0);
    host.vip().clone().recurring().run("monitor").code(0);
    host.vip().run("stop").code(0);
    host.vip().run("start").code(0);
    assert_eq!(host.places(VIP), ["eth1 192.0.2.10/25"], "the longer prefix now");
    host.vip().run("stop").code(0);
    let foreign = host.agent("IPaddr2").param("ip", "198.51.100.7");
    foreign.run("start").code(1).because(&["198.51.100.7", "give nic and cidr_netmask"]);
    foreign
        .clone()
        .param("nic", "eth0")
        .run("start")
        .code(1)
        .because(&["prefix length", "cidr_netmask"]);
    foreign.clone().param("nic", "eth0").param("cidr_netmask", "24").run("start").code(0);
    assert_eq!(host.places("198.51.100.7"), ["eth0 198.51.100.7/24"]);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn an_interface_has_more_than_one_name() {
    let host = Host::new();
    host.sh(
        "ip link property add dev eth0 altname lan altname a-name-of-more-than-fifteen-characters",
    );
    for name in ["lan", "a-name-of-more-than-fifteen-characters"] {
        let vip = host.vip().param("nic", name);
        vip.run("start").code(0);
        vip.run("monitor").code(0);
        assert_eq!(host.places(VIP), ["eth0 192.0.2.10/24"]);
        vip.run("stop").code(0);
    }
    host.vip().param("nic", "wan").run("start").code(2).because(&["wan", "eth0"]);
    host.vip().param("nic", "wan").run("monitor").code(7);
    host.vip().param("nic", "wan").run("stop").code(0);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_bridge_and_a_macvlan_carry_the_address() {
    let host = Host::new();
    host.sh("ip link add br0 type bridge; ip addr flush dev eth0; ip link set eth0 master br0
         ip link set br0 up; ip addr add 192.0.2.1/24 dev br0
         ip link add mac0 link br0 type macvlan mode bridge; ip link set mac0 up");
    host.await_that("the bridge to forward", || {
        host.sh("cat /sys/class/net/br0/operstate").trim() == "up"
    });
    host.vip().run("start").code(0);
    assert_eq!(host.places(VIP), ["br0 192.0.2.10/24"]);
    host.vip().run("stop").code(0);
    let on_macvlan = host.vip().param("nic", "mac0").param("cidr_netmask", "24");
    on_macvlan.run("start").code(0);
    on_macvlan.run("monitor").code(0);
    assert_eq!(host.places(VIP), ["mac0 192.0.2.10/24"]);
}

/// The kernel removes the secondaries of a subnet with their primary, unless `promote_secondaries` is set.
#[test]
#[ignore = "needs root: tests/run netns"]
fn stop_takes_no_other_address_with_it() {
    let host = Host::new();
    host.sh("ip addr flush dev eth0; sysctl -qw net.ipv4.conf.all.promote_secondaries=0 net.ipv4.conf.eth0.promote_secondaries=0");
    let vip = host.vip().param("nic", "eth0").param("cidr_netmask", "24");
    vip.run("start").code(0);
    host.sh("ip addr add 192.0.2.20/24 dev eth0; ip addr add 192.0.2.30/24 dev eth0");
    assert_eq!(host.entry("192.0.2.20")["secondary"], true);
    vip.run("stop").code(0);
    assert!(host.places(VIP).is_empty());
    assert_eq!(host.places("192.0.2.20"), ["eth0 192.0.2.20/24"]);
    assert_eq!(host.places("192.0.2.30"), ["eth0 192.0.2.30/24"]);
    assert_eq!(host.sh("sysctl -n net.ipv4.conf.eth0.promote_secondaries").trim(), "0", "restored");
}

/// A kill in the middle of a removal: whoever comes next restores the parameter.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_kill_leaves_promote_secondaries_as_it_was() {
    let host = Host::new();
    let sysctl = |value: &str| format!("sysctl -qw net.ipv4.conf.{value}.promote_secondaries=0");
    host.sh(&format!("ip addr flush dev eth0; {}; {}", sysctl("all"), sysctl("eth0")));
    let vip = host.vip().param("nic", "eth0").param("cidr_netmask", "24").param("arp_count", "1");
    let vip = vip.param("conflict_check", "false");
    for ordinal in 1..40 {
        vip.run("start").code(0);
        host.sh("ip addr replace 192.0.2.20/24 dev eth0");
        for name in ["write", "openat", "sendto"] {
            kill_at(&vip, "stop", name, ordinal);
        }
        vip.run("stop").code(0);
        assert!(host.places(VIP).is_empty());
        let value = host.sh("sysctl -n net.ipv4.conf.eth0.promote_secondaries");
        assert_eq!(value.trim(), "0", "killed at {ordinal}");
        assert_eq!(host.places("192.0.2.20"), ["eth0 192.0.2.20/24"], "killed at {ordinal}");
        host.sh("ip addr del 192.0.2.20/24 dev eth0");
    }
}

/// Where the parameter cannot be set, what went with the address is put back.
#[test]
#[ignore = "needs root: tests/run netns"]
fn stop_takes_no_other_address_with_it_even_where_sysctls_are_read_only() {
    let host = Host::new();
    host.sh(
        "sysctl -qw net.ipv4.conf.all.promote_secondaries=0 net.ipv4.conf.eth0.promote_secondaries=0
         ip addr flush dev eth0; mount -t proc -o ro proc /proc",
    );
    let vip = host.vip().param("nic", "eth0").param("cidr_netmask", "24");
    vip.run("start").code(0);
    host.sh(
        "ip addr add 192.0.2.20/24 brd + dev eth0 label eth0:x; ip addr add 192.0.2.30/24 dev eth0",
    );
    vip.run("stop").code(0);
    assert!(host.places(VIP).is_empty());
    assert_eq!(host.entry("192.0.2.20")["label"], "eth0:x");
    assert_eq!(host.entry("192.0.2.20")["broadcast"], "192.0.2.255");
    assert_eq!(host.places("192.0.2.30"), ["eth0 192.0.2.30/24"]);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn two_stops_at_once_take_no_other_address_with_them() {
    let host = Host::new();
    host.sh("sysctl -qw net.ipv4.conf.all.promote_secondaries=0 net.ipv4.conf.eth0.promote_secondaries=0");
    for _ in 0..30 {
        host.sh(
            "ip addr flush dev eth0; ip addr add 192.0.2.10/24 dev eth0; ip addr add 192.0.2.11/24 dev eth0
             ip addr add 192.0.2.20/24 dev eth0; ip addr add 192.0.2.30/24 dev eth0",
        );
        let stops: Vec<_> = ["192.0.2.10", "192.0.2.11"]
            .map(|ip| host.agent("IPaddr2").param("ip", ip).command("stop").spawn().unwrap())
            .into_iter()
            .collect();
        for mut stop in stops {
            assert_eq!(stop.wait().unwrap().code(), Some(0));
        }
        for (ip, places) in
            [("192.0.2.10", 0), ("192.0.2.11", 0), ("192.0.2.20", 1), ("192.0.2.30", 1)]
        {
            assert_eq!(host.places(ip).len(), places, "{ip}");
        }
    }
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn start_tells_that_the_address_goes_with_another() {
    let host = Host::new();
    host.sh("sysctl -qw net.ipv4.conf.all.promote_secondaries=0 net.ipv4.conf.eth0.promote_secondaries=0");
    host.vip().run("start").code(0);
    assert!(host.log().contains("promote_secondaries=1"), "{}", host.log());
}

/// Without its subnet's route, `nic` and `cidr_netmask` are enough to come back.
#[test]
#[ignore = "needs root: tests/run netns"]
fn an_address_that_went_with_its_primary_is_started_again() {
    let host = Host::new();
    host.sh("sysctl -qw net.ipv4.conf.all.promote_secondaries=0 net.ipv4.conf.eth0.promote_secondaries=0");
    let vip = host.vip().param("nic", "eth0").param("cidr_netmask", "24");
    vip.run("start").code(0);
    host.sh("ip addr del 192.0.2.1/24 dev eth0");
    vip.clone().recurring().run("monitor").code(7);
    vip.run("start").code(0);
    vip.run("monitor").code(0);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn the_loopback_interface_gets_its_address_back_as_it_was() {
    let host = Host::new();
    host.sh("ip addr add 192.0.2.10/32 brd 192.0.2.10 dev lo label lo:vip scope host");
    let before = host.sh("ip -j addr show dev lo");
    let vip = host.vip().param("lvs_support", "true").param("nic", "eth0");
    vip.run("monitor").code(7);
    vip.run("start").code(0);
    assert_eq!(host.places(VIP), ["eth0 192.0.2.10/24"]);
    vip.run("monitor").code(0);
    vip.run("stop").code(0);
    assert_eq!(host.sh("ip -j addr show dev lo"), before);
    vip.run("stop").code(0);
    assert_eq!(host.sh("ip -j addr show dev lo"), before);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_start_that_fails_gives_the_loopback_address_back() {
    let host = Host::new();
    host.sh("ip addr add 192.0.2.2/32 dev lo");
    host.settle();
    let before = host.sh("ip -j addr show");
    let vip = host
        .agent("IPaddr2")
        .param("ip", "192.0.2.2")
        .param("lvs_support", "true")
        .param("nic", "eth0");
    vip.run("start").code(1).because(&["another host has 192.0.2.2"]);
    assert_eq!(host.sh("ip -j addr show"), before);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn loopback_addresses_belong_on_the_loopback_interface() {
    let host = Host::new();
    let vip = host.agent("IPaddr2").param("ip", "127.0.0.3");
    vip.run("start").code(0);
    vip.run("monitor").code(0);
    assert_eq!(host.places("127.0.0.3"), ["lo 127.0.0.3/8"]);
    vip.run("stop").code(0);
    vip.run("monitor").code(7);
    // An address that belongs on lo does not give way to itself.
    let on_lo = host.agent("IPaddr2").param("ip", "203.0.113.9").param("nic", "lo");
    let on_lo = on_lo.param("cidr_netmask", "32").param("lvs_support", "1");
    on_lo.run("start").code(0);
    on_lo.run("monitor").code(0);
    on_lo.run("stop").code(0);
    assert!(host.places("203.0.113.9").is_empty());
    // As haresources sets it, whatever the address.
    let vip = vip.param("lvs_support", "1");
    vip.run("start").code(0);
    vip.run("stop").code(0);
    vip.run("monitor").code(7);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn no_route_to_the_subnet_when_it_is_not_wanted() {
    let host = Host::new();
    let vip = host
        .agent("IPaddr2")
        .param("ip", "198.51.100.7")
        .param("nic", "eth0")
        .param("cidr_netmask", "24");
    vip.run("start").code(0);
    assert!(host.sh("ip route show 198.51.100.0/24").contains("eth0"));
    vip.run("stop").code(0);
    vip.param("noprefixroute", "true").run("start").code(0);
    assert_eq!(host.sh("ip route show 198.51.100.0/24"), "");
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn only_routes_of_a_protocol_decide() {
    let host = Host::new();
    host.sh(
        "ip link add eth1 type veth peer name p1; ip link set eth1 up; ip link set p1 up
         ip route add 198.51.100.0/25 dev eth1 proto bird; ip route add 198.51.100.0/24 dev eth0 proto static",
    );
    let vip = host.agent("IPaddr2").param("ip", "198.51.100.7").param("flush_routes", "true");
    for (proto, place) in [("static", "eth0 198.51.100.7/24"), ("12", "eth1 198.51.100.7/25")] {
        let vip = vip.clone().param("proto", proto);
        vip.run("start").code(0);
        assert_eq!(host.places("198.51.100.7"), [place]);
        vip.run("stop").code(0);
    }
    vip.param("proto", "no-such").run("start").code(6).because(&["proto", "no-such"]);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_network_namespace_by_its_name() {
    let host = Host::new();
    host.sh(
        "ip netns add inner; ip link add in0 type veth peer name out0; ip link set in0 netns inner
         ip -n inner addr add 203.0.113.1/24 dev in0; ip -n inner link set in0 up; ip link set out0 up",
    );
    let vip = host.agent("IPaddr2").param("ip", "203.0.113.9").param("network_namespace", "inner");
    vip.run("monitor").code(7);
    vip.run("start").code(0);
    vip.run("monitor").code(0);
    assert!(host.places("203.0.113.9").is_empty());
    assert!(host.sh("ip -n inner addr show dev in0").contains("203.0.113.9/24"));
    vip.run("stop").code(0);
    assert!(!host.sh("ip -n inner addr show dev in0").contains("203.0.113.9"));
    let nowhere = vip.param("network_namespace", "nowhere");
    nowhere.run("start").code(2).because(&["nowhere", "ip netns add"]);
    nowhere.run("monitor").code(7);
    nowhere.run("stop").code(0);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn clones_have_addresses_of_their_own_or_are_refused() {
    let host = Host::new();
    let clone = host.vip().param("CRM_meta_clone_max", "2").param("CRM_meta_clone", "1");
    clone.run("start").code(6).because(&["unique_clone_address", "clone"]);
    let unique = clone.param("unique_clone_address", "true");
    unique.run("start").code(6).because(&["globally-unique=true"]);
    let unique = unique.param("CRM_meta_globally_unique", "true");
    unique.run("start").code(0);
    assert_eq!(host.places("192.0.2.11"), ["eth0 192.0.2.11/24"]);
    unique.run("stop").code(0);
    let beyond = unique.clone().param("ip", "192.0.2.255");
    beyond.run("start").code(6).because(&["beyond 192.0.2.255"]);
    beyond.run("monitor").code(7);
    beyond.run("stop").code(0);
    unique.param("ip", "2001:db8::10").run("start").code(6).because(&["IPv4 only"]);
}
