//! Generated routing tables: whatever they are, stop puts back what start changed, or start refused and changed nothing.

use crate::random::Random;
use crate::support::{Call, Host};

/// Tables in all.
const ROUNDS: usize = 150;

/// Default routes as most hosts have them.
const BASES: [&str; 4] = [
    "ip route add default via 192.0.2.2 dev eth0 metric 50",
    "ip route add default via 198.51.100.2 dev eth1 metric 60 mtu 1400",
    "ip -6 route add default via 2001:db8::2 dev eth0 metric 50",
    "ip -6 route add default via 2001:db8:1::2 dev eth1 metric 60 pref low",
];

/// All that a start may change, and what it must not; timers run on.
pub const DUMP: &str =
    "{ ip -d route show table all; ip -d -6 route show table all; ip rule; ip -6 rule
     ip nexthop; ip -o addr; } | sed 's/expires [0-9]*sec/expires/'";

/// A second network beside that of `Host`, and virtual addresses in both.
pub fn two_networks() -> Host {
    let host = Host::new();
    host.sh("ip link add eth1 type veth peer name eth1 netns far; ip link set eth1 addrgenmode none
             ip -n far link set eth1 addrgenmode none; ip -n far link set eth1 up
             ip -n far addr add 198.51.100.2/24 dev eth1; ip -n far addr add 2001:db8:1::2/64 dev eth1 nodad
             ip link set eth1 up");
    host.settle();
    fill(&host);
    host
}

/// Addresses and routes as at the beginning.
fn fill(host: &Host) {
    host.sh("for f in -4 -6; do for t in main 100; do ip $f route flush table $t 2>/dev/null || true; done; done
             ip nexthop flush >/dev/null 2>&1 || true
             for dev in eth0 eth1; do ip addr flush dev $dev; done
             ip addr add 192.0.2.1/24 brd + dev eth0; ip addr add 192.0.2.10/24 dev eth0
             ip addr add 2001:db8::1/64 dev eth0 nodad; ip addr add 2001:db8::10/64 dev eth0 nodad
             ip addr add 2001:db8::9/64 dev eth0 nodad
             ip addr add 198.51.100.1/24 brd + dev eth1; ip addr add 198.51.100.10/24 dev eth1
             ip addr add 2001:db8:1::1/64 dev eth1 nodad; ip addr add 2001:db8:1::10/64 dev eth1 nodad
             ip addr add 2001:db8:1::9/64 dev eth1 nodad");
    // The kernel makes their own routes a moment later.
    let own = "ip -6 route show table local | grep -c '^local 2001' || true";
    host.await_that("routes of six addresses", || host.sh(own).trim() == "6");
}

/// The words of `ip route` for one random route; the kernel may refuse it.
fn random_route(random: &mut Random) -> String {
    let six = random.below(3) == 0;
    let destinations: &[&str] = if six {
        &["default", "default", "default", "2001:db8:77::/48", "2001:db8:77:1::/64"]
    } else {
        &["default", "default", "default", "203.0.113.0/24", "203.0.113.128/25"]
    };
    let mut words = format!(
        "ip {} route {} ",
        if six { "-6" } else { "-4" },
        random.pick(&["add", "add", "append", "prepend"])
    );
    words.push_str(random.pick::<&str>(destinations));
    let [own, other] = if six {
        ["via 2001:db8::2 dev eth0", "via 2001:db8:1::2 dev eth1"]
    } else {
        ["via 192.0.2.2 dev eth0", "via 198.51.100.2 dev eth1"]
    };
    let second = if six { "via 2001:db8::3 dev eth0" } else { "via 192.0.2.3 dev eth0" };
    let attributes: &[&str] = &[
        "metric 100",
        "metric 100",
        "metric 200",
        "metric 4278198272",
        "mtu 1400",
        "mtu lock 1300",
        "advmss 1200",
        "initcwnd 20 initrwnd 30",
        "rtt 300ms",
        "hoplimit 9",
        "quickack 1",
        "features ecn",
        "proto dhcp",
        "proto static",
        "proto ra",
        "proto 77",
        "table 100",
        "table 100",
        "rto_min 40ms",
        "congctl reno",
    ];
    let of_family: &[&str] = if six {
        &["pref high", "pref low", "src 2001:db8::9", "src 2001:db8:1::9", "expires 900"]
    } else {
        &["tos 0x10", "realm 7", "src 192.0.2.1", "src 198.51.100.1", "scope global"]
    };
    for _ in 0..random.below(4) {
        let from = if random.below(3) == 0 { of_family } else { attributes };
        words.push(' ');
        words.push_str(random.pick::<&str>(from));
    }
    let nexthop = match random.below(9) {
        0 | 1 => other.to_owned(),
        2 => format!("{own} onlink"),
        3 => format!("nexthop {own} weight 3 nexthop {second} weight 2"),
        4 => format!("nexthop {own} nexthop {other}"),
        5 if six => "dev eth0".to_owned(),
        5 => "dev eth0 scope link".to_owned(),
        6 => format!("nhid {}", if six { 6 } else { 4 }),
        7 => format!("nhid {}", if six { 16 } else { 14 }),
        _ => own.to_owned(),
    };
    format!("{words} {nexthop}")
}

fn random_source(host: &Host, random: &mut Random) -> (Call, &'static str) {
    const SOURCES: [&str; 4] = ["192.0.2.10", "198.51.100.10", "2001:db8::10", "2001:db8:1::10"];
    let ip = *random.pick(&SOURCES);
    let mut call = host.agent("IPsrcaddr").param("ipaddress", ip);
    let optional: [(&str, &[&str]); 8] = [
        ("metric", &["100", "200", "1024", "0"]),
        ("nic", &["eth0", "eth1"]),
        ("table", &["100", "main"]),
        ("proto", &["dhcp", "static", "kernel"]),
        ("cidr_netmask", if ip.contains(':') { &["64"] } else { &["24"] }),
        ("destination", if ip.contains(':') { &["2001:db8:77::/48"] } else { &["203.0.113.0/24"] }),
        ("local_route", &["true"]),
        ("pref", if ip.contains(':') { &["high"] } else { &[""] }),
    ];
    for (name, values) in optional {
        if random.below(12) == 0 {
            call = call.param(name, random.pick(values));
        }
    }
    if random.below(4) == 0 {
        call = call.param("mode", "rule").param("local_route", "false").param("table", "main");
    }
    (call, ip)
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn what_start_changed_stop_puts_back_whatever_the_tables_are() {
    let host = two_networks();
    let mut random = Random(0x5a61_bf97_ac8e_1cad);
    let (mut started, mut refused, mut both) = (0, 0, 0);
    for round in 0..ROUNDS {
        let seed = random.0;
        fill(&host);
        let _ = std::fs::remove_file(host.path("log"));
        host.sh("ip nexthop add id 4 via 192.0.2.2 dev eth0; ip nexthop add id 5 via 192.0.2.3 dev eth0; ip nexthop add id 14 group 4,3/5
                 ip nexthop add id 6 via 2001:db8::2 dev eth0; ip nexthop add id 7 via 2001:db8::3 dev eth0; ip nexthop add id 16 group 6/7");
        let mut routes: Vec<String> = Vec::new();
        for base in BASES {
            if random.below(3) > 0 {
                routes.push(format!("{base} {}", random.pick(&["", "proto static", "proto dhcp"])));
            }
        }
        routes.extend((0..random.below(8)).map(|_| random_route(&mut random)));
        for route in &routes {
            host.sh(&format!("{route} 2>/dev/null || true"));
        }
        let before = host.sh(DUMP);
        let about = format!("round {round}, seed {seed:#x}: {routes:#?}");
        let mut running = Vec::new();
        for _ in 0..2 {
            let (call, ip) = random_source(&host, &mut random);
            let unchanged = host.sh(DUMP);
            let outcome = call.run("start");
            match outcome.code {
                Some(0) => {
                    let now = host.sh(DUMP);
                    assert!(now.contains(&format!(" src {ip} ")), "{about}\n{now}");
                    let again = call.run("start");
                    assert_eq!(
                        (again.code, host.sh(DUMP)),
                        (Some(0), now),
                        "{about}\n{}",
                        again.stderr
                    );
                    assert_eq!(call.clone().recurring().run("monitor").code, Some(0), "{about}");
                    running.push(call);
                    started += 1;
                }
                Some(1) => {
                    assert_eq!(host.sh(DUMP), unchanged, "{about}\n{}", outcome.stderr);
                    refused += 1;
                }
                code => panic!("{code:?} {}\n{about}", outcome.stderr),
            }
        }
        both += usize::from(running.len() == 2);
        if random.below(2) == 0 {
            running.reverse();
        }
        for call in &running {
            let outcome = call.run("stop");
            assert_eq!(outcome.code, Some(0), "{}\n{about}", outcome.stderr);
        }
        let after = host.sh(DUMP);
        assert!(after == before, "{before}\nbecame\n{after}\n{about}\nlog: {}", host.log());
        for call in &running {
            assert_eq!(call.run("monitor").code, Some(7), "{about}");
        }
    }
    assert!(
        started > ROUNDS / 2 && refused > ROUNDS / 10 && both > ROUNDS / 10,
        "{started} {refused} {both}"
    );
}
