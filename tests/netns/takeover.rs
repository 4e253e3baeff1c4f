//! Two nodes and a client on one switch: what `MACaddr` is for.

use std::time::{Duration, Instant};

use crate::hardware::MAC;
use crate::support::{Call, Host, Outcome};

/// This host is the switch `br0`; its ports are named after what is plugged in: `a0`, `a1`, `b0`, `b1` and `c0`. Nodes `a` and
/// `b` have `192.0.2.1` and `192.0.2.2` on eth0, and a spare card eth1; the client `c` has `192.0.2.50`.
struct Lan {
    host: Host,
    call: Call,
}

impl Lan {
    fn new(mode: &str) -> Self {
        let host = Host::new();
        host.sh("ip link del eth0; ip link add br0 type bridge forward_delay 0; ip link set br0 addrgenmode none up");
        for (node, cards) in [("a", 2), ("b", 2), ("c", 1)] {
            host.sh(&format!("ip netns add {node}; ip -n {node} link set lo up"));
            for card in 0..cards {
                host.sh(&format!(
                    "ip link add {node}{card} type veth peer name eth{card} netns {node}
                     ip link set {node}{card} addrgenmode none
                     ip -n {node} link set eth{card} addrgenmode none up
                     ip link set {node}{card} master br0 up"
                ));
            }
        }
        host.sh("ip -n a addr add 192.0.2.1/24 dev eth0; ip -n b addr add 192.0.2.2/24 dev eth0
             ip -n c addr add 192.0.2.50/24 dev eth0");
        // The operational states follow later, and are compared.
        host.await_that("all cards to be up", || {
            let states = host.sh("for n in a b c; do ip -n $n -br link show type veth; done");
            states.lines().count() == 5 && states.lines().all(|line| line.contains(" UP "))
        });
        let call = host.agent("MACaddr").param("nic", "eth1").param("mac", MAC).param("mode", mode);
        let call = call.param("ip", "192.0.2.10/24");
        Self { host, call }
    }

    #[track_caller]
    fn on(&self, node: &str, action: &str) -> Outcome {
        let call = self.call.clone().env("HA_RSCTMP", self.host.path(&format!("state-{node}")));
        call.run_behind(&["ip", "netns", "exec", node], action)
    }

    /// Whether the client gets an answer.
    fn answers(&self) -> bool {
        self.host.sh("ip netns exec c ping -c 1 -W 1 192.0.2.10 >/dev/null && echo yes || echo no")
            == "yes\n"
    }

    /// The port behind which the switch has the address.
    fn port(&self) -> Option<String> {
        let table = self.host.sh("bridge fdb show br br0");
        let line = table.lines().find(|line| line.starts_with(MAC))?;
        line.split(' ').nth(2).map(str::to_owned)
    }

    fn cards(&self) -> String {
        self.host.sh("for n in a b; do ip -n $n -o link; ip -n $n -br addr
             ip netns exec $n sh -c 'cd /proc/sys/net/ipv4/conf; grep . */arp_* */rp_filter'; done")
    }
}

/// The issue's own test: a client with a static neighbour entry, which gratuitous ARP cannot help.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_client_with_a_static_neighbour_entry_keeps_talking() {
    for mode in ["device", "macvlan"] {
        let done = std::thread::spawn(move || {
            let lan = Lan::new(mode);
            let before = lan.cards();
            lan.host
                .sh(&format!("ip -n c neigh add 192.0.2.10 lladdr {MAC} dev eth0 nud permanent"));
            lan.on("a", "start").code(0);
            assert_eq!(lan.port().as_deref(), Some("a1"));
            assert!(lan.answers());

            // The power of node a fails.
            lan.host.sh("ip link set a0 down; ip link set a1 down");
            assert!(!lan.answers());
            lan.on("b", "monitor").code(7);
            let began = Instant::now();
            lan.on("b", "start").code(0);
            assert_eq!(
                lan.port().as_deref(),
                Some("b1"),
                "the switch knows before the client's first packet"
            );
            assert!(lan.answers());
            assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
            lan.on("b", "monitor").code(0);

            // It comes back, and gets its own again.
            lan.on("a", "stop").code(0);
            lan.host.sh("ip link set a0 up; ip link set a1 up");
            lan.on("a", "start").code(1).because(&["another host has 02:00:00:00:00:01", "eth1"]);
            assert!(lan.answers());
            lan.on("b", "stop").code(0);
            lan.on("a", "start").code(0);
            assert_eq!(lan.port().as_deref(), Some("a1"));
            assert!(lan.answers());
            lan.on("a", "stop").code(0);
            lan.host.await_that("both nodes to be as before", || lan.cards() == before);
            assert!(lan.host.sh("ip -n c neigh show 192.0.2.10").contains("PERMANENT"));
        });
        done.join().unwrap();
    }
}

/// A client that asks by ARP hears of one hardware address only, whatever the other card of the node does.
#[test]
#[ignore = "needs root: tests/run netns"]
fn an_asking_client_only_ever_learns_the_address_that_moves() {
    for mode in ["device", "macvlan"] {
        let done = std::thread::spawn(move || {
            let lan = Lan::new(mode);
            let tcpdump = "ip netns exec c timeout 60 tcpdump -i eth0 -nel --immediate-mode arp 2>/dev/null >";
            let file = lan.host.path("arp");
            lan.host.sh(&format!("({tcpdump}{} &)", file.display()));
            lan.host.await_that("tcpdump to listen", || {
                lan.host.sh("ip netns exec c cat /proc/net/packet | wc -l").trim() == "2"
            });
            lan.on("a", "start").code(0);
            for _ in 0..3 {
                lan.host.sh("ip -n c neigh flush dev eth0; ip -n a neigh flush dev eth0");
                assert!(lan.answers());
                // The node asks for the client, to answer in the name of the address.
                lan.host.sh("ip -n a neigh flush dev eth0; ip netns exec a ping -c 1 -W 1 -I 192.0.2.10 192.0.2.50");
                lan.host.sh("ip netns exec c ping -c 1 -W 1 192.0.2.1");
                let known = lan.host.sh("ip -n c neigh show 192.0.2.10");
                assert!(known.contains(MAC), "{known}");
            }
            let heard = std::fs::read_to_string(&file).unwrap();
            let claims = |line: &&str| {
                line.contains("192.0.2.10 is-at") || line.contains("tell 192.0.2.10,")
            };
            let claims: Vec<&str> = heard.lines().filter(claims).collect();
            assert!(claims.len() > 3, "{heard}");
            for line in claims {
                assert!(line.contains(&format!("{MAC} > ")), "{line}");
            }
            lan.on("a", "stop").code(0);
            // Its end, before that of the namespace.
            lan.host.sh("for p in $(ip netns pids c); do kill $p; done");
        });
        done.join().unwrap();
    }
}

/// Where packets are dropped whose answer would leave through another card, nobody would get an answer.
#[test]
#[ignore = "needs root: tests/run netns"]
fn strict_filters_are_loosened_and_restored() {
    for (scope, mode) in [("all", "device"), ("default", "macvlan"), ("all", "macvlan")] {
        let done = std::thread::spawn(move || {
            let lan = Lan::new(mode);
            lan.host.sh(&format!(
                "ip netns exec a sysctl -qw net.ipv4.conf.{scope}.rp_filter=1 net.ipv4.conf.eth0.rp_filter=1 net.ipv4.conf.eth1.rp_filter=1"
            ));
            let before = lan.cards();
            lan.on("a", "start").code(0);
            assert!(lan.answers(), "{scope} {mode}");
            lan.on("a", "stop").code(0);
            assert_eq!(lan.cards(), before, "{scope} {mode}");
        });
        done.join().unwrap();
    }
}
