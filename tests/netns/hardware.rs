//! `MACaddr` with a spare card: the address, its switch port, and the card's own address afterwards.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::{Call, Host, tree};

pub const MAC: &str = "02:00:00:00:00:01";
/// What the spare card has by itself.
pub const OWN: &str = "02:00:00:00:00:aa";

/// A host with a spare card `eth1`; both its cables end in `br0` of the far end, which has `192.0.2.2/24`.
pub fn host_with_a_spare_card() -> Host {
    let host = Host::new();
    host.sh("sysctl -qw net.ipv6.conf.default.addr_gen_mode=1
         ip link add eth1 address 02:00:00:00:00:aa type veth peer name eth1 netns far
         ip link set eth1 addrgenmode none; ip -n far link set eth1 addrgenmode none
         ip -n far link add br0 type bridge forward_delay 0; ip -n far link set br0 addrgenmode none
         ip -n far addr flush dev eth0
         ip -n far link set eth0 master br0; ip -n far link set eth1 master br0
         ip -n far addr add 192.0.2.2/24 dev br0; ip -n far addr add 2001:db8::2/64 dev br0 nodad
         ip -n far link set eth1 up; ip -n far link set br0 up; ip link set eth1 up");
    host.settle();
    host.await_that("eth1 to be up", || host.sh("ip -br link show eth1").contains(" UP "));
    host
}

/// The resource on the spare card, or on a virtual one there.
pub fn identity(host: &Host, mode: &str) -> Call {
    host.agent("MACaddr")
        .param("nic", "eth1")
        .param("mac", MAC)
        .param("mode", mode)
        .param("arp_count", "1")
}

/// All that a start could change.
pub fn everything(host: &Host) -> String {
    host.sh("ip -br link; ip -br addr; ip route show table all; ip -6 route show table all
         cd /proc/sys/net/ipv4/conf; grep . */arp_ignore */arp_announce */rp_filter */promote_secondaries
         cd ../../ipv6/conf; grep . */accept_ra */autoconf */addr_gen_mode */keep_addr_on_down")
}

/// The same when it has come to rest: operational states follow with up to a second's delay.
pub fn settled(host: &Host) -> String {
    let mut last = everything(host);
    let mut since = Instant::now();
    while since.elapsed() < Duration::from_millis(1200) {
        std::thread::sleep(Duration::from_millis(50));
        let now = everything(host);
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    last
}

/// Waits until all is as it was; and no state is left behind.
#[track_caller]
pub fn assert_as_before(host: &Host, before: &str, when: &str) {
    let begin = Instant::now();
    while everything(host) != before {
        if begin.elapsed() > Duration::from_secs(5) {
            let now = everything(host);
            let gone: Vec<_> = before.lines().filter(|line| !now.contains(line)).collect();
            let new: Vec<_> = now.lines().filter(|line| !before.contains(line)).collect();
            panic!("{when}: gone {gone:#?}, new {new:#?}; log: {}", host.log());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    // A write that was killed leaves a file that nobody reads.
    let kept = |path: &&std::path::PathBuf| {
        path.extension().is_none_or(|kind| kind != "lock" && kind != "new")
    };
    let left = tree(Path::new("/run/resource-agents"));
    let left: Vec<_> = left.iter().filter(kept).collect();
    assert!(left.is_empty(), "{when}: {left:?}");
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_card_takes_the_address_and_gets_its_own_back() {
    let host = host_with_a_spare_card();
    for (state, ip) in [
        ("up", ""),
        ("down", ""),
        ("up", "192.0.2.10/24 2001:db8::10/64"),
        ("down", "192.0.2.10/24"),
    ] {
        host.sh(&format!("ip link set eth1 {state}"));
        let before = settled(&host);
        let call = identity(&host, "device").param("ip", ip);
        call.run("monitor").code(7).silent();
        call.run("stop").code(0);
        call.run("start").code(0);
        assert_eq!(host.mac("", "eth1"), MAC);
        call.run("monitor").code(0).silent();
        call.clone().recurring().run("monitor").code(0).silent();
        call.run("start").code(0);
        if !ip.is_empty() {
            assert_eq!(host.places("192.0.2.10"), ["eth1 192.0.2.10/24"]);
        }
        call.run("stop").code(0);
        assert_eq!(host.mac("", "eth1"), OWN);
        call.run("monitor").code(7).silent();
        call.run("stop").code(0);
        assert_as_before(&host, &before, &format!("{state} {ip}"));
    }
}

/// A switch learns the port from a frame that needs no IP address, before start returns; and again at each monitor.
#[test]
#[ignore = "needs root: tests/run netns"]
fn the_switch_knows_the_port_before_start_returns() {
    for mode in ["device", "macvlan"] {
        let checked = std::thread::spawn(move || {
            let host = host_with_a_spare_card();
            let call = identity(&host, mode);
            let port = || {
                host.sh("bridge -n far fdb show br br0")
                    .lines()
                    .filter(|l| l.starts_with(MAC))
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            };
            assert!(port().is_empty());
            call.run("start").code(0);
            assert!(port()[0].contains("dev eth1 "), "{:?}", port());
            for (refresh, knows) in [("0", false), ("1", true)] {
                host.sh(&format!(
                    "bridge -n far fdb del {MAC} dev eth1 master 2>/dev/null || true"
                ));
                call.clone()
                    .param("arp_count_refresh", refresh)
                    .recurring()
                    .run("monitor")
                    .code(0)
                    .silent();
                assert_eq!(!port().is_empty(), knows, "{mode} {refresh}");
            }
            call.run("stop").code(0);
        });
        checked.join().unwrap();
    }
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn the_frame_is_repeated_by_a_process_that_ends_with_the_address() {
    let host = host_with_a_spare_card();
    host.sh("ip -n far link set eth1 nomaster");
    let call = identity(&host, "device").param("arp_count", "100").param("arp_interval", "20");
    let mut tcpdump = std::process::Command::new("ip");
    tcpdump.args([
        "netns",
        "exec",
        "far",
        "tcpdump",
        "-i",
        "eth1",
        "-nel",
        "--immediate-mode",
        "-c",
        "3",
        "rarp",
    ]);
    let tcpdump = tcpdump
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    host.await_that("tcpdump to listen", || {
        host.sh("ip netns exec far cat /proc/net/packet | wc -l").trim() == "2"
    });
    call.run("start").code(0);
    let announcers = host.announcers();
    assert!(announcers.len() == 1 && announcers[0].contains(MAC), "{announcers:?}");
    let heard = String::from_utf8(tcpdump.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(heard.lines().count(), 3, "{heard}");
    for line in heard.lines() {
        assert!(
            line.contains(&format!("{MAC} > ff:ff:ff:ff:ff:ff, ethertype Reverse ARP")),
            "{line}"
        );
    }
    call.run("stop").code(0);
    host.await_that("the announcer's end", || host.announcers().is_empty());
}

/// Each half of it is a failure, and start mends it.
#[test]
#[ignore = "needs root: tests/run netns"]
fn half_an_identity_is_a_failure() {
    let host = host_with_a_spare_card();
    let before = settled(&host);
    let call =
        identity(&host, "device").param("ip", "192.0.2.10,192.0.2.11").param("cidr_netmask", "24");
    call.run("start").code(0);
    let halves: [(&str, &[&str]); 4] = [
        ("ip addr del 192.0.2.11/24 dev eth1", &["eth1 has 02:00:00:00:00:01 without 192.0.2.11"]),
        (
            "ip link set eth1 address 02:00:00:00:00:aa",
            &["192.0.2.10 is here without its hardware address", MAC],
        ),
        ("ip -n far link set eth1 down", &["eth1 has no link"]),
        ("ip link set eth1 down", &["eth1 is administratively down"]),
    ];
    for (spoil, words) in halves {
        host.sh(spoil);
        for monitor in [call.clone(), call.clone().recurring()] {
            monitor.run("monitor").code(1).because(words);
        }
        host.sh("ip -n far link set eth1 up");
        call.run("start").code(0);
        call.run("monitor").code(0);
    }
    host.sh("ip addr del 192.0.2.11/24 dev eth1; ip addr del 192.0.2.10/24 dev eth1");
    call.run("monitor").code(1).because(&["without 192.0.2.10, 192.0.2.11"]);
    call.run("stop").code(0);
    assert_as_before(&host, &before, "after all");
}

/// What somebody else did meanwhile stays, and is told.
#[test]
#[ignore = "needs root: tests/run netns"]
fn an_address_that_somebody_else_set_stays() {
    let host = host_with_a_spare_card();
    let call = identity(&host, "device");
    call.run("start").code(0);
    host.sh("ip link set eth1 address 02:00:00:00:00:77");
    call.run("monitor").code(7);
    call.run("stop").code(0);
    assert_eq!(host.mac("", "eth1"), "02:00:00:00:00:77");
    assert!(host.log().contains("somebody else set it"), "{}", host.log());
    call.run("start").code(0);
    call.run("stop").code(0);
    assert_eq!(host.mac("", "eth1"), "02:00:00:00:00:77", "that was before the last start");
}

/// Without its memory stop cannot know the card's own address. It never leaves the one that moves.
#[test]
#[ignore = "needs root: tests/run netns"]
fn without_state_the_address_goes_all_the_same() {
    let host = host_with_a_spare_card();
    let call = identity(&host, "device").param("ip", "192.0.2.10/24");
    for spoil in [
        "rm -r /run/resource-agents",
        "for f in /run/resource-agents/interfaces-*; do echo nonsense >$f; done",
    ] {
        call.run("start").code(0);
        host.sh(spoil);
        call.run("monitor").code(0);
        call.run("stop").code(0);
        let made_up = host.mac("", "eth1");
        assert_ne!(made_up, MAC);
        assert!(["2", "6", "a", "e"].contains(&&made_up[1..2]), "locally administered: {made_up}");
        assert!(host.log().contains("nobody knows which address"), "{}", host.log());
        call.run("monitor").code(7);
        assert!(host.places("192.0.2.10").is_empty());
    }
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_card_that_vanishes_or_is_renamed() {
    let host = host_with_a_spare_card();
    let call = identity(&host, "device").param("ip", "192.0.2.10/24");
    call.run("start").code(0);
    host.sh("ip link set eth1 down; ip link set eth1 name lan7; ip link set lan7 up");
    for monitor in [call.clone(), call.clone().recurring()] {
        monitor.run("monitor").code(1).because(&["on lan7 instead of eth1"]);
    }
    call.run("stop").code(0);
    assert_eq!(host.mac("", "lan7"), OWN);
    assert!(host.places("192.0.2.10").is_empty());
    host.sh("ip link set lan7 down; ip link set lan7 name eth1; ip link set eth1 up");
    call.run("start").code(0);
    host.sh("ip link del eth1");
    call.run("monitor").code(7);
    call.clone().recurring().run("monitor").code(7);
    call.run("stop").code(0);
    call.run("start").code(2).because(&["no interface \"eth1\""]);
    assert!(
        tree(Path::new("/run/resource-agents"))
            .iter()
            .all(|p| p.extension().is_some_and(|kind| kind == "lock"))
    );
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn cards_that_cannot_have_it_are_refused_with_a_reason() {
    let host = host_with_a_spare_card();
    host.sh("ip link add br9 type bridge; ip link set br9 up
         ip link add p type veth peer name q; ip link set p master br9; ip link set p up; ip link set q up
         ip tuntap add dev tun0 mode tun; ip link set tun0 up
         ip link add ifb0 type ifb; ip link set ifb0 up");
    let before = settled(&host);
    let cases: [(&str, &str, i32, &[&str]); 5] = [
        ("p", "device", 2, &["p is a port of br9", "give br9"]),
        ("p", "macvlan", 2, &["p is a port of br9"]),
        ("lo", "device", 2, &["lo is a loopback device"]),
        ("tun0", "device", 5, &["tun0", "Ethernet"]),
        ("ifb0", "device", 5, &["driver cannot change addresses", "mode=macvlan"]),
    ];
    for (nic, mode, code, words) in cases {
        let call = identity(&host, mode).param("nic", nic);
        call.run("start").code(code).because(words);
        call.run("monitor").code(7);
        call.run("stop").code(0);
    }
    assert_as_before(&host, &before, "after refusals");
}

/// A start was killed before it changed its card, and the next one was given another. What is noted of the first does not
/// hide the second.
#[test]
#[ignore = "needs root: tests/run netns"]
fn every_card_that_was_noted_gets_its_own_back() {
    let host = host_with_a_spare_card();
    host.sh("ip link add eth2 address 02:00:00:00:00:bb type veth peer name eth2 netns far
         ip -n far link set eth2 up; ip link set eth2 up");
    let before = settled(&host);
    let first = identity(&host, "device");
    let second = first.clone().param("nic", "eth2");
    first.run("start").code(0);
    host.sh(&format!("ip link set eth1 address {OWN}"));
    second.run("start").code(0);
    first.run("monitor").code(1).because(&["on eth2 instead of eth1"]);
    second.run("monitor").code(0);
    second.run("stop").code(0);
    second.run("monitor").code(7);
    assert_eq!(host.mac("", "eth1"), OWN);
    assert_eq!(host.mac("", "eth2"), "02:00:00:00:00:bb");
    assert_as_before(&host, &before, "both cards");
}

/// One card has one address.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_second_resource_on_the_same_card_is_refused() {
    let host = host_with_a_spare_card();
    let first = identity(&host, "device");
    let second = first.clone().param("mac", "02:00:00:00:00:02");
    first.run("start").code(0);
    second.run("start").code(1).because(&["eth1 has taken 02:00:00:00:00:01", "mode=macvlan"]);
    second.run("monitor").code(7);
    second.run("stop").code(0);
    first.run("monitor").code(0);
    first.run("stop").code(0);
    assert_eq!(host.mac("", "eth1"), OWN);
    second.run("start").code(0);
    second.run("stop").code(0);
    assert_eq!(host.mac("", "eth1"), OWN);
}

/// The module of a driver is loaded anew, and the card is another one with the same name.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_card_that_comes_back_as_another_one() {
    let host = host_with_a_spare_card();
    let call = identity(&host, "device");
    call.run("start").code(0);
    host.sh("ip link del eth1
         ip link add eth1 address 02:00:00:00:00:bb type veth peer name eth1 netns far
         ip -n far link set eth1 up; ip link set eth1 up");
    call.run("monitor").code(7);
    call.run("start").code(0);
    call.run("stop").code(0);
    assert_eq!(host.mac("", "eth1"), "02:00:00:00:00:bb");
}
