//! `MACaddr`: who else has the address, and the virtual card.

use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use ocfbox::deadline::Deadline;
use ocfbox::host::hardware::Outage;
use ocfbox::host::net::Net;
use ocfbox::host::packet::PacketSocket;
use ocfbox::param::Value;
use ocfbox::param::values::UnicastMac;

use crate::hardware::{
    MAC, OWN, assert_as_before, everything, host_with_a_spare_card, identity, settled,
};
use crate::kills::kill_at;
use crate::support::Host;

/// A host `owner` on the same switch, whose card has the address, and no IP address.
fn with_an_owner(host: &Host) {
    host.sh(&format!(
        "ip netns add owner; ip -n far link add port type veth peer name eth0 netns owner
         ip -n far link set port addrgenmode none; ip -n owner link set eth0 addrgenmode none address {MAC}
         ip -n far link set port master br0; ip -n far link set port up; ip -n owner link set eth0 up"
    ));
}

/// Each thing that gives an owner away, alone.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_live_owner_is_found_by_whatever_it_answers() {
    // What the owner has, what else is known, and the `ip` of the resource.
    let owners = [
        // Nothing but an IPv6 link-local address, made of the hardware address or not.
        ("ip -n owner addr add fe80::ff:fe00:1/64 dev eth0 nodad", "", ""),
        ("ip -n owner addr add fe80::77/64 dev eth0 nodad", "", ""),
        // An address of the resource; one of which only this host's neighbour table knows.
        ("ip -n owner addr add 192.0.2.10/24 dev eth0", "", "192.0.2.10/24"),
        (
            "ip -n owner addr add 192.0.2.33/24 dev eth0",
            "ip neigh add 192.0.2.33 lladdr 02:00:00:00:00:01 dev eth0",
            "",
        ),
        (
            "ip -n owner addr add 2001:db8::33/64 dev eth0 nodad; ip netns exec owner sysctl -qw net.ipv6.icmp.echo_ignore_all=1",
            "ip neigh add 2001:db8::33 lladdr 02:00:00:00:00:01 dev eth0",
            "",
        ),
    ];
    for mode in ["device", "macvlan"] {
        let host = std::thread::spawn(move || {
            let host = host_with_a_spare_card();
            with_an_owner(&host);
            let before = settled(&host);
            let call = identity(&host, mode);
            call.run("start").code(0);
            call.run("stop").code(0);
            for (has, known, ip) in owners {
                host.sh(has);
                host.sh(known);
                let refused = call.clone().param("ip", ip).run("start").code(1);
                let refused = refused.because(&[
                    "another host has 02:00:00:00:00:01",
                    "eth1",
                    "conflict_check=false",
                ]);
                assert!(refused.took < Duration::from_secs(1), "{:?}", refused.took);
                call.run("monitor").code(7);
                assert_as_before(&host, &before, has);
                host.sh("ip -n owner addr flush dev eth0; ip neigh flush nud permanent; ip neigh flush all");
            }
        });
        host.join().unwrap();
    }
}

/// Somebody with another hardware address has one of the IP addresses: nothing at all is taken.
#[test]
#[ignore = "needs root: tests/run netns"]
fn another_owner_of_an_ip_address_is_found_in_the_same_look() {
    for mode in ["device", "macvlan"] {
        let host = std::thread::spawn(move || {
            let host = host_with_a_spare_card();
            let before = settled(&host);
            let call = identity(&host, mode).param("ip", "192.0.2.77/24 192.0.2.2/24");
            let mac = host.mac("far", "br0");
            call.run("start").code(1).because(&["another host has 192.0.2.2", &mac, "eth1"]);
            call.run("monitor").code(7);
            assert_as_before(&host, &before, mode);
        });
        host.join().unwrap();
    }
}

/// It answers nothing at all; one of its frames within the window gives it away.
#[test]
#[ignore = "needs root: tests/run netns"]
fn an_owner_that_only_sends_is_heard() {
    let host = host_with_a_spare_card();
    with_an_owner(&host);
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 1, 0x88, 0xb5]);
    frame.resize(60, 0);
    let stop = AtomicBool::new(false);
    let index = host.sh("ip -n owner -j link show eth0");
    let index: serde_json::Value = serde_json::from_str(&index).unwrap();
    let index = u32::try_from(index[0]["ifindex"].as_u64().unwrap()).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            setns(File::open("/run/netns/owner").unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
            let socket = PacketSocket::bind(index, 0).unwrap();
            while !stop.load(Ordering::Relaxed) {
                let _ = socket.send(&frame);
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        let outcome = identity(&host, "device").run("start");
        let unasked = identity(&host, "device").param("conflict_check", "false").run("start");
        stop.store(true, Ordering::Relaxed);
        outcome.code(1).because(&["another host has"]);
        unasked.code(0);
    });
    identity(&host, "device").run("stop").code(0);
    assert_eq!(host.mac("", "eth1"), OWN);
}

/// "Could not ask" is no conflict; and what this host has itself is named.
#[test]
#[ignore = "needs root: tests/run netns"]
fn other_cards_of_this_host() {
    let host = host_with_a_spare_card();
    host.sh(&format!("ip link add eth2 address {MAC} type veth peer name p2"));
    let before = settled(&host);
    for mode in ["device", "macvlan"] {
        identity(&host, mode)
            .run("start")
            .code(1)
            .because(&["eth2 of this host has 02:00:00:00:00:01 already"]);
        identity(&host, mode).run("monitor").code(7);
        identity(&host, mode).run("stop").code(0);
        identity(&host, mode).param("nic", "eth2").param("mode", "macvlan").run("start").code(1);
    }
    assert_as_before(&host, &before, "twins");
    host.sh("ip link del eth2; ip -n far link set eth1 down");
    let call = identity(&host, "device").param("check_link_status", "false");
    call.run("start").code(0);
    call.run("monitor").code(0);
    call.clone()
        .param("check_link_status", "true")
        .run("monitor")
        .code(1)
        .because(&["eth1 has no link"]);
    // That nobody cares about the cable does not mean that the card may be off.
    host.sh("ip link set eth1 down");
    call.run("monitor").code(1).because(&["eth1 is administratively down"]);
    call.run("stop").code(0);
    assert_eq!(host.mac("", "eth1"), OWN);
    identity(&host, "device").run("start").code(1).because(&["eth1 has no link"]);
    assert_eq!(host.mac("", "eth1"), OWN);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_virtual_card_beside_the_cards_own_address() {
    let host = host_with_a_spare_card();
    for state in ["up", "down"] {
        host.sh(&format!("ip link set eth1 {state}"));
        let before = settled(&host);
        let call = identity(&host, "macvlan").param("ip", "192.0.2.10/24 2001:db8::10/64");
        call.run("monitor").code(7).silent();
        call.run("start").code(0);
        call.run("start").code(0);
        call.run("monitor").code(0).silent();
        call.clone().recurring().run("monitor").code(0).silent();
        let shown = host.sh("ip -d link show vmac-000001");
        for word in [
            "vmac-000001@eth1",
            MAC,
            "macvlan mode private",
            "alias ocfbox MACaddr 02:00:00:00:00:01",
        ] {
            assert!(shown.contains(word), "{shown}");
        }
        assert_eq!(host.mac("", "eth1"), OWN);
        assert_eq!(host.places("192.0.2.10"), ["vmac-000001 192.0.2.10/24"]);
        let advertisements = "/proc/sys/net/ipv6/conf/vmac-000001/accept_ra";
        assert_eq!(host.sh(&format!("cat {advertisements}")), "0\n", "no second default route");
        call.run("stop").code(0);
        call.run("monitor").code(7).silent();
        assert_as_before(&host, &before, state);
    }
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_virtual_card_that_is_not_as_configured_is_a_failure() {
    let host = host_with_a_spare_card();
    let before = settled(&host);
    let call = identity(&host, "macvlan").param("name", "web0").param("ip", "192.0.2.10/24");
    let spoilt: [(&str, &[&str]); 6] = [
        (
            "ip link set web0 address 02:00:00:00:00:66",
            &["web0 is not as configured", "02:00:00:00:00:66 instead of"],
        ),
        ("ip link set web0 type macvlan mode bridge", &["mode is bridge instead of private"]),
        (
            "ip link set web0 down; ip link set web0 name x; ip link set x up",
            &["name is x instead of web0"],
        ),
        ("ip link set web0 down", &["web0 is administratively down"]),
        ("ip -n far link set eth1 down", &["web0 has no link"]),
        ("ip addr del 192.0.2.10/24 dev web0", &["without 192.0.2.10"]),
    ];
    for (spoil, words) in spoilt {
        call.run("start").code(0);
        host.sh(spoil);
        for monitor in [call.clone(), call.clone().recurring()] {
            monitor.run("monitor").code(1).because(words);
        }
        host.sh("ip -n far link set eth1 up");
        call.run("start").code(0);
        call.run("monitor").code(0);
        host.sh(spoil);
        call.run("stop").code(0);
        host.sh("ip -n far link set eth1 up");
        assert_as_before(&host, &before, spoil);
    }
    call.run("start").code(0);
    host.sh("ip link del eth1");
    call.clone().recurring().run("monitor").code(7);
    call.run("stop").code(0);
    assert!(host.places("192.0.2.10").is_empty());
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_virtual_card_of_somebody_else_is_never_touched() {
    let host = host_with_a_spare_card();
    let kinds = [
        "ip link add link eth1 name vmac-000001 address 02:00:00:00:00:09 type macvlan mode private",
        "ip link add vmac-000001 type veth peer name p9; ip link set vmac-000001 alias 'ocfbox MACaddr 02:00:00:00:00:01'",
    ];
    for make in kinds {
        host.sh(make);
        let before = settled(&host);
        let call = identity(&host, "macvlan");
        call.run("start").code(1).because(&["cannot make vmac-000001", "somebody else's"]);
        call.run("monitor").code(7);
        call.run("stop").code(0);
        assert_as_before(&host, &before, make);
        host.sh("ip link del vmac-000001");
    }
}

/// The alias is there for people to read, and can be changed by them. It is ours all the same.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_virtual_card_whose_alias_somebody_changed_is_still_ours() {
    let host = host_with_a_spare_card();
    let before = settled(&host);
    let call = identity(&host, "macvlan").param("ip", "192.0.2.10/24");
    for alias in ["uplink of the web", ""] {
        call.run("start").code(0);
        host.sh(&format!("ip link set vmac-000001 alias '{alias}'"));
        call.run("monitor").code(0);
        call.run("start").code(0);
        host.sh("ip link set vmac-000001 down; ip link set vmac-000001 name x; ip link set x up");
        call.run("monitor").code(1).because(&["name is x instead of vmac-000001"]);
        call.run("stop").code(0);
        call.run("monitor").code(7);
        assert_as_before(&host, &before, alias);
    }
}

/// start is tried again where a start was killed between two system calls, and where the card below was set down.
#[test]
#[ignore = "needs root: tests/run netns"]
fn start_makes_good_what_became_of_a_virtual_card() {
    let host = host_with_a_spare_card();
    let before = settled(&host);
    let call = identity(&host, "macvlan");
    let file = host.path("calls");
    call.run_behind(&["strace", "-e", "sendto", "-o", file.to_str().unwrap()], "start").code(0);
    let calls = std::fs::read_to_string(&file).unwrap();
    call.run("stop").code(0);
    let makes =
        calls.lines().position(|line| line.contains("macvlan") && line.contains("NLM_F_EXCL"));
    let makes = makes.expect("it makes the device") + 1;
    // It looks for what it made, and gives it the alias.
    for (ordinal, has_alias) in [(makes + 1, false), (makes + 2, false), (makes + 3, true)] {
        kill_at(&call, "start", "sendto", ordinal);
        let shown = host.sh("ip -d link show vmac-000001");
        assert_eq!(
            shown.contains("alias"),
            has_alias,
            "killed at sendto number {ordinal}: {shown}"
        );
        call.run("start").code(0);
        call.run("monitor").code(0);
        call.run("stop").code(0);
        assert_as_before(&host, &before, &format!("killed at sendto number {ordinal}"));
    }

    call.run("start").code(0);
    host.sh("ip link set eth1 down");
    call.run("monitor").code(1).because(&["vmac-000001 has no link"]);
    call.run("start").code(0);
    call.run("monitor").code(0);
    call.run("stop").code(0);
}

/// Both identities on one node, as after a takeover; the settings last until the last one goes.
#[test]
#[ignore = "needs root: tests/run netns"]
fn two_identities_share_the_settings_and_the_last_restores_them() {
    let host = host_with_a_spare_card();
    host.sh("ip link set eth1 down");
    let before = settled(&host);
    let first = identity(&host, "macvlan").param("ip", "192.0.2.10/24");
    let second = first.clone().param("mac", "02:00:00:00:00:02").param("ip", "192.0.2.11/24");
    for [last, other] in [[&first, &second], [&second, &first]] {
        first.run("start").code(0);
        second.run("start").code(0);
        other.run("stop").code(0);
        last.run("monitor").code(0);
        for card in ["eth0", "eth1"] {
            let value = host.sh(&format!("cat /proc/sys/net/ipv4/conf/{card}/arp_ignore"));
            assert_eq!(value, "1\n", "{card}");
        }
        last.run("stop").code(0);
        assert_as_before(&host, &before, "both stopped");
    }
}

/// Further addresses come from `IPaddr2`, on the interface that a resource before it makes.
#[test]
#[ignore = "needs root: tests/run netns"]
fn another_resource_brings_up_addresses_on_it() {
    let host = host_with_a_spare_card();
    for (mode, nic) in [("device", "eth1"), ("macvlan", "vmac-000001")] {
        let before = settled(&host);
        let below = identity(&host, mode);
        let vip = host.vip().param("nic", nic).param("cidr_netmask", "24").param("arp_count", "1");
        below.run("start").code(0);
        let capture = host.capture(&format!("arp and ether src {MAC}"));
        vip.run("start").code(0);
        host.sh("ip netns exec far ping -c 1 -W 2 192.0.2.10");
        assert!(!capture.stop().is_empty(), "{mode}: it is announced at the address that moves");
        assert!(host.sh("ip -n far neigh show 192.0.2.10").contains(MAC), "{mode}");
        vip.run("monitor").code(0);
        vip.run("stop").code(0);
        below.run("stop").code(0);
        assert_as_before(&host, &before, mode);
    }
}

/// What a driver wants that changes addresses only while it is down. None here does, so that the step which its refusal
/// (EBUSY) leads to is taken by itself.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_change_while_the_card_is_down_loses_nothing() {
    let host = host_with_a_spare_card();
    let before = settled(&host);
    let change = |mac: &str, outage| {
        let net = Net::open(Deadline::after(Duration::from_secs(10))).unwrap();
        let card = net.link_named("eth1").unwrap().unwrap();
        let mac = UnicastMac::parse(mac.as_ref()).unwrap().octets();
        net.set_hardware_address_while_down(&card, mac, outage)
    };
    change(MAC, Outage::Refused).unwrap();
    assert_eq!(host.mac("", "eth1"), MAC);
    assert!(host.sh("ip -br link show eth1").contains(",UP"));
    change(OWN, Outage::Refused).unwrap();
    assert_as_before(&host, &before, "a card without addresses");

    // What somebody gave to the card goes when it is set down.
    host.sh("ip addr add 198.51.100.7/24 dev eth1; ip addr add 198.51.100.8/24 dev eth1
         ip addr add 2001:db8:7::7/64 dev eth1 nodad; ip -6 addr add 2001:db8:7::8/64 dev eth1 nodad preferred_lft 0
         ip route add 203.0.113.0/24 via 198.51.100.1 metric 7; ip route add 2001:db8:9::/48 via 2001:db8:7::1
         ip route add 203.0.113.128/25 dev eth1 table 77");
    let with = settled(&host);
    change(OWN, Outage::Mended).unwrap();
    let begin = Instant::now();
    while everything(&host) != with {
        assert!(
            begin.elapsed() < Duration::from_secs(5),
            "{}\ninstead of\n{with}",
            everything(&host)
        );
    }
    let refused = change(MAC, Outage::Refused).unwrap_err().reason();
    for word in ["wants it down first", "198.51.100.7/24", "mode=macvlan"] {
        assert!(refused.contains(word), "{refused}");
    }
    assert_eq!(everything(&host), with);
    host.sh("ip addr flush dev eth1; ip route flush dev eth1; ip -6 route flush dev eth1");
    host.sh("ip route replace 203.0.113.128/25 dev eth1 table 77");
    let refused = change(MAC, Outage::Refused).unwrap_err().reason();
    assert!(refused.contains("1 route(s) through it"), "{refused}");
}
