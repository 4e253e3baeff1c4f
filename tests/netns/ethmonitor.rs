//! ethmonitor: cables that come and go, silent networks, ports of a bridge, and what the cluster is told of them.

use std::fs;
use std::time::{Duration, Instant};

use crate::attrd::Attrd;
use crate::support::{Call, Host, tree};

/// One look at the link alone.
fn watch(attrd: &Attrd, host: &Host, interface: &str) -> Call {
    attrd
        .agent(host, "ethmonitor")
        .param("interface", interface)
        .param("link_status_only", "true")
        .param("repeat_count", "1")
}

const UP: &str = "-n ethmonitor-eth0 -v 1";
const DOWN: &str = "-n ethmonitor-eth0 -v 0";

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_cable_that_is_pulled_out_and_put_back() {
    let host = Host::new();
    let attrd = Attrd::new(&host);
    let eth0 = watch(&attrd, &host, "eth0");
    eth0.run("monitor").code(7).silent();
    assert!(attrd.told().is_empty(), "a probe tells nobody anything");
    eth0.run("start").code(0);
    assert_eq!(attrd.told(), [UP]);
    let log = host.log();
    eth0.clone().recurring().run("monitor").code(0).silent();
    assert_eq!((host.log(), attrd.last().as_str()), (log, UP));

    host.sh("ip -n far link set eth0 down");
    eth0.clone().recurring().run("monitor").code(0).silent();
    assert_eq!(attrd.last(), DOWN);
    assert!(
        host.log().contains("eth0 has no link") && host.log().contains("ethmonitor-eth0 is 0"),
        "{}",
        host.log()
    );
    let log = host.log();
    eth0.run("monitor").code(0).silent();
    assert_eq!(host.log(), log, "nothing new, nothing said");

    host.sh("ip -n far link set eth0 up");
    eth0.run("monitor").code(0).silent();
    assert_eq!(attrd.last(), UP);
    assert!(host.log().contains("eth0 works; ethmonitor-eth0 is 1"), "{}", host.log());

    eth0.run("stop").code(0).silent();
    assert_eq!(attrd.last(), "-D -n ethmonitor-eth0");
    eth0.run("stop").code(0).silent();
    eth0.clone().recurring().run("monitor").code(7).silent();
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn states_of_an_interface() {
    let host = Host::new();
    let attrd = Attrd::new(&host);
    host.settle();
    let eth0 = watch(&attrd, &host, "eth0").param("multiplier", "7");
    eth0.run("start").code(0);
    assert_eq!(attrd.last(), "-n ethmonitor-eth0 -v 7");
    let cases = [
        ("ip link set eth0 down", "administratively down", "ip link set eth0 up"),
        (
            "ip link set eth0 mode dormant; ip link set eth0 down; ip link set eth0 up",
            "not open yet",
            "ip link set eth0 mode default; ip link set eth0 state up",
        ),
        (
            "ip link set eth0 down; ip link set eth0 name gone",
            "no interface eth0",
            "ip link set gone name eth0; ip link set eth0 up",
        ),
    ];
    for (breaks, why, mends) in cases {
        host.sh(breaks);
        if why == "not open yet" {
            host.await_that("the state to be dormant", || {
                host.sh("cat /sys/class/net/eth0/operstate").trim() == "dormant"
            });
        }
        eth0.run("monitor").code(0).silent();
        assert_eq!(attrd.last(), "-n ethmonitor-eth0 -v 0", "{why}");
        assert!(host.log().contains(why), "{why}: {}", host.log());
        host.sh(mends);
        host.settle();
        eth0.run("monitor").code(0).silent();
        assert_eq!(attrd.last(), "-n ethmonitor-eth0 -v 7", "after {why}");
    }
    host.sh("ip link property add dev eth0 altname an-uplink-with-a-long-name");
    watch(&attrd, &host, "an-uplink-with-a-long-name").run("monitor").code(0);
    assert_eq!(attrd.last(), "-n ethmonitor-an-uplink-with-a-long-name -v 1");
}

/// Nothing arrives at eth0 by itself.
fn silence(host: &Host) {
    host.sh("sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1
         ip netns exec far sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1");
    settle_packets(host);
}

/// Waits until what the far end says of itself is over.
fn settle_packets(host: &Host) {
    let packets = || host.sh("cat /sys/class/net/eth0/statistics/rx_packets");
    let mut last = packets();
    host.await_that("eth0 to be silent", || {
        std::thread::sleep(Duration::from_millis(1200));
        std::mem::replace(&mut last, packets()) == last
    });
}

fn traffic(attrd: &Attrd, host: &Host) -> Call {
    watch(attrd, host, "eth0").param("link_status_only", "false").param("pktcnt_timeout", "1")
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_packet_that_arrives_is_enough() {
    let host = Host::new();
    let attrd = Attrd::new(&host);
    silence(&host);
    let eth0 = traffic(&attrd, &host).param("pktcnt_timeout", "20");
    let mut child = eth0.command("start").spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let begin = Instant::now();
    // Nobody has that address, so that it is the question that arrives.
    host.sh("ip netns exec far arping -c 1 -w 1 -I eth0 192.0.2.77 || true");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    assert_eq!(attrd.last(), UP);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn on_a_silent_network_the_neighbours_are_asked() {
    let host = Host::new();
    let attrd = Attrd::new(&host);
    silence(&host);
    let eth0 = traffic(&attrd, &host);
    eth0.run("start").code(0);
    assert_eq!(attrd.last(), DOWN);
    assert!(host.log().contains("no neighbour is known"), "{}", host.log());

    let mac = host.mac("far", "eth0");
    host.sh(&format!("ip neigh add 192.0.2.2 lladdr {mac} dev eth0 nud stale"));
    let capture = host.capture("arp");
    eth0.run("monitor").code(0);
    assert_eq!(attrd.last(), UP);
    // As probes they name no sender, so that they change nobody's cache.
    let asked = capture.stop().join(" ");
    assert!(asked.contains("who-has 192.0.2.2 tell 0.0.0.0"), "{asked}");

    // A switch that keeps the link up while nothing is behind it any more.
    host.sh("ip -n far addr del 192.0.2.2/24 dev eth0");
    let quiet = eth0.run("monitor").code(0);
    assert_eq!(attrd.last(), DOWN);
    assert!(quiet.took >= Duration::from_secs(2), "a second for packets, one for answers");
    assert!(host.log().contains("none of 1 neighbour(s) answers"), "{}", host.log());
    // The link alone is there.
    watch(&attrd, &host, "eth0").run("monitor").code(0);
    assert_eq!(attrd.last(), UP);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn without_ipv4_the_neighbours_are_asked_by_echo_requests() {
    let host = Host::new();
    let attrd = Attrd::new(&host);
    host.sh("ip addr del 192.0.2.1/24 dev eth0; ip -n far addr del 192.0.2.2/24 dev eth0
         sysctl -qw net.ipv6.conf.eth0.accept_ra=0");
    let mac = host.mac("far", "eth0");
    host.sh(&format!("ip neigh add 2001:db8::2 lladdr {mac} dev eth0 nud stale"));
    settle_packets(&host);
    let eth0 = traffic(&attrd, &host);
    let capture = host.capture("icmp6");
    eth0.run("start").code(0);
    assert_eq!(attrd.last(), UP);
    let asked = capture.stop().join(" ");
    assert!(
        asked.contains("2001:db8::1 > 2001:db8::2: [icmp6 sum ok] ICMP6, echo request"),
        "{asked}"
    );
    host.sh("ip netns exec far sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1");
    settle_packets(&host);
    eth0.run("monitor").code(0);
    assert_eq!(attrd.last(), DOWN);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_link_that_comes_back_is_noticed_at_once() {
    let host = Host::new();
    let attrd = Attrd::new(&host);
    let eth0 =
        watch(&attrd, &host, "eth0").param("repeat_count", "3").param("repeat_interval", "15");
    eth0.run("start").code(0);
    host.sh("ip -n far link set eth0 down");
    let begin = Instant::now();
    let mut child = eth0.command("monitor").spawn().unwrap();
    std::thread::sleep(Duration::from_secs(1));
    host.sh("ip -n far link set eth0 up");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    assert_eq!(attrd.told(), [UP, UP], "nobody heard of it");
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn looks_are_repeated_but_not_beyond_the_timeout() {
    let host = Host::new();
    let attrd = Attrd::new(&host);
    host.sh("ip -n far link set eth0 down");
    let eth0 = watch(&attrd, &host, "eth0");
    let three = eth0.clone().param("repeat_count", "3").param("repeat_interval", "1");
    let took = three.run("start").code(0).took;
    assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(8), "{took:?}");
    assert_eq!(attrd.last(), DOWN);
    let many = eth0
        .param("repeat_count", "100")
        .param("repeat_interval", "10")
        .param("CRM_meta_timeout", "3000");
    let took = many.run("monitor").code(0).took;
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!(attrd.told(), [DOWN, DOWN]);
    many.run("start").code(0);
    assert!(host.log().contains("lower repeat_count"), "{}", host.log());
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn interfaces_over_other_interfaces() {
    let host = Host::new();
    let attrd = Attrd::new(&host);
    host.sh("ip link add mv0 link eth0 type macvlan mode bridge; ip link set mv0 up");
    let mv0 = watch(&attrd, &host, "mv0");
    mv0.run("start").code(0);
    assert_eq!(attrd.last(), "-n ethmonitor-mv0 -v 1");
    host.sh("ip -n far link set eth0 down");
    let lost = || host.sh("cat /sys/class/net/mv0/carrier").trim() == "0";
    host.await_that("mv0 to lose its carrier", lost);
    mv0.run("monitor").code(0);
    assert_eq!(attrd.last(), "-n ethmonitor-mv0 -v 0");
}

/// A bridge with two ports, whose far ends are `p1` and `p2`.
fn bridge(host: &Host) {
    host.sh("ip link add br0 type bridge
         for port in 1 2; do
             ip link add e$port type veth peer name p$port
             ip link set e$port master br0
             ip link set p$port up; ip link set e$port up
         done
         ip link set br0 up");
    host.await_that("br0 to have a carrier", || {
        host.sh("cat /sys/class/net/br0/carrier").trim() == "1"
    });
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn half_of_the_ports_are_worth_half() {
    let host = Host::new();
    let attrd = Attrd::new(&host);
    bridge(&host);
    let br0 = watch(&attrd, &host, "br0").param("scale", "ports").param("multiplier", "50");
    br0.run("start").code(0);
    assert_eq!(attrd.last(), "-n ethmonitor-br0 -v 100");
    // Without a scale a bridge that works is a bridge that works.
    br0.clone().param("scale", "none").run("monitor").code(0);
    assert_eq!(attrd.last(), "-n ethmonitor-br0 -v 50");
    host.sh("ip link set p2 down");
    br0.run("monitor").code(0);
    assert_eq!(attrd.last(), "-n ethmonitor-br0 -v 50");
    assert!(host.log().contains("ethmonitor-br0 is 50"), "{}", host.log());
    host.sh("ip link set p1 down");
    host.await_that("br0 to lose its carrier", || {
        host.sh("cat /sys/class/net/br0/carrier").trim() == "0"
    });
    // A bad monitor that is not believed yet changes nothing.
    br0.clone().param("down_after", "2").run("monitor").code(0);
    assert_eq!(attrd.last(), "-n ethmonitor-br0 -v 50");
    br0.run("monitor").code(0);
    assert_eq!(attrd.last(), "-n ethmonitor-br0 -v 0");
    host.sh("ip link set p1 up; ip link set p2 up");
    host.await_that("br0 to have a carrier", || {
        host.sh("cat /sys/class/net/br0/carrier").trim() == "1"
    });
    br0.run("monitor").code(0);
    assert_eq!(attrd.last(), "-n ethmonitor-br0 -v 100");
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn megabits_a_second_are_what_the_driver_says() {
    let host = Host::new();
    let attrd = Attrd::new(&host);
    let speed = host.sh("cat /sys/class/net/eth0/speed");
    let call = |interface: &str| {
        watch(&attrd, &host, interface).param("scale", "speed").param("multiplier", "2")
    };
    call("eth0").run("start").code(0);
    assert_eq!(
        attrd.last(),
        format!("-n ethmonitor-eth0 -v {}", 2 * speed.trim().parse::<u64>().unwrap())
    );
    // The loopback interface has none.
    call("lo").run("monitor").code(0);
    assert_eq!(attrd.last(), "-n ethmonitor-lo -v 2");
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_change_is_believed_when_it_lasts() {
    let host = Host::new();
    let attrd = Attrd::new(&host);
    let eth0 = watch(&attrd, &host, "eth0").param("down_after", "2").param("down_window", "3");
    let cut = || host.sh("ip -n far link set eth0 down");
    let mend = || host.sh("ip -n far link set eth0 up");
    let look = |expected: &str| {
        eth0.run("monitor").code(0).silent();
        assert_eq!(attrd.last(), expected, "{}", host.log());
    };
    eth0.run("start").code(0);
    cut();
    look(UP);
    assert!(
        host.log().contains("ethmonitor-eth0 stays 1: 1 bad of the last 3 monitors, 2 make it 0"),
        "{}",
        host.log()
    );
    mend();
    look(UP);
    cut();
    look(DOWN);
    mend();
    look(UP);

    let slow =
        eth0.clone().param("down_after", "1").param("down_window", "1").param("recover_after", "2");
    cut();
    slow.run("monitor").code(0);
    assert_eq!(attrd.last(), DOWN);
    mend();
    let begin = Instant::now();
    slow.run("monitor").code(0);
    assert_eq!(attrd.last(), DOWN, "good, but not for long enough");
    host.await_that("the interface to be believed", || {
        slow.run("monitor").code(0).silent();
        attrd.last() == UP
    });
    assert!(begin.elapsed() >= Duration::from_secs(2), "{:?}", begin.elapsed());
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn state_that_says_nothing_is_as_good_as_none() {
    let host = Host::new();
    let attrd = Attrd::new(&host);
    let eth0 = watch(&attrd, &host, "eth0").param("down_after", "3");
    eth0.run("start").code(0);
    for rubbish in ["", "\0\0\0", "up", "down ++++ 18446744073709551615000\n7\n", "up +-x 1\n-1\n"]
    {
        fs::write("/run/resource-agents/ethmonitor-test", rubbish).unwrap();
        eth0.run("monitor").code(0).silent();
        assert_eq!(attrd.last(), UP, "{rubbish:?}");
    }
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn infiniband_ports_have_to_be_active_as_well() {
    let host = Host::new();
    let attrd = Attrd::new(&host);
    let ib = watch(&attrd, &host, "eth0")
        .param("infiniband_device", "mlx4_0")
        .param("infiniband_port", "2");
    host.sh("mount -t tmpfs tmpfs /sys/class; mkdir -p /sys/class/infiniband/mlx4_0/ports/2");
    let state =
        |words: &str| fs::write("/sys/class/infiniband/mlx4_0/ports/2/state", words).unwrap();
    state("4: ACTIVE\n");
    ib.run("start").code(0);
    assert_eq!(attrd.last(), UP);
    state("1: DOWN\n");
    ib.run("monitor").code(0);
    assert_eq!(attrd.last(), DOWN);
    assert!(
        host.log().contains("port 2 of mlx4_0 is not active (state 1: DOWN)"),
        "{}",
        host.log()
    );
    ib.param("infiniband_port", "1").run("monitor").code(0);
    assert_eq!(attrd.last(), DOWN);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_monitor_that_ends_after_stop_brings_nothing_back() {
    let host = Host::new();
    let attrd = Attrd::new(&host);
    let eth0 =
        watch(&attrd, &host, "eth0").param("repeat_count", "3").param("repeat_interval", "1");
    eth0.run("start").code(0);
    host.sh("ip -n far link set eth0 down");
    let mut monitor = eth0.command("monitor").spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    eth0.run("stop").code(0);
    assert_eq!(monitor.wait().unwrap().code(), Some(7));
    assert_eq!(attrd.last(), "-D -n ethmonitor-eth0");
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_cluster_that_does_not_listen() {
    let host = Host::new();
    let attrd = Attrd::new(&host);
    let eth0 = watch(&attrd, &host, "eth0").param("CRM_meta_timeout", "3000");
    attrd.does("exit 102");
    eth0.run("start").code(1).because(&["node attribute ethmonitor-eth0", "is Pacemaker running"]);
    eth0.run("monitor").code(7);
    attrd.does("exit 0");
    eth0.run("start").code(0);
    attrd.does("sleep 600");
    eth0.run("monitor").code(1).because(&["attrd_updater"]);
    let stopped = eth0.run("stop").code(0);
    assert!(stopped.took < Duration::from_secs(8), "{:?}", stopped.took);
    eth0.run("monitor").code(7);
}

/// What happens while neighbours are asked: the link is at fault, and no monitor fails for it.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_link_that_goes_while_its_neighbours_are_asked() {
    let host = Host::new();
    let attrd = Attrd::new(&host);
    silence(&host);
    let eth0 = traffic(&attrd, &host).param("pktcnt_timeout", "0").param("arping_timeout", "10");
    let sent = || host.sh("cat /sys/class/net/eth0/statistics/tx_packets");
    let cases = [
        ("ip link set eth0 down", "eth0 is administratively down"),
        ("ip -n far link set eth0 down", "eth0 has no link"),
        ("ip link del eth0", "eth0 vanished"),
    ];
    for (fate, words) in cases {
        host.sh("ip link set eth0 up; ip -n far link set eth0 up
             ip neigh replace 192.0.2.77 lladdr 02:00:00:00:00:77 dev eth0");
        settle_packets(&host);
        let before = sent();
        let mut start = eth0.command("start").spawn().unwrap();
        host.await_that("the question", || sent() != before);
        host.sh(fate);
        assert_eq!(start.wait().unwrap().code(), Some(0), "{fate}: {}", host.log());
        assert_eq!(attrd.last(), DOWN, "{fate}");
        assert!(host.log().contains(words), "{fate}: {}", host.log());
        eth0.run("stop").code(0);
    }
}

/// Numbers that nobody means are no reason to panic, and wait no longer than the action.
#[test]
#[ignore = "needs root: tests/run netns"]
fn times_beyond_all_measure() {
    let host = Host::new();
    let attrd = Attrd::new(&host);
    silence(&host);
    let eth0 = traffic(&attrd, &host).param("CRM_meta_timeout", "2000");
    let (ages, many) = ("9999999999999999999", "4294967295");
    eth0.clone()
        .param("arping_count", many)
        .run("start")
        .code(6)
        .because(&["arping_count", "1000"]);
    let eth0 = eth0.param("repeat_count", many).param("arping_count", "1000");
    let eth0 = eth0.param("repeat_interval", ages).param("arping_timeout", ages);
    for (action, name) in [("start", "pktcnt_timeout"), ("monitor", "recover_after")] {
        let took = eth0.clone().param(name, ages).run(action).code(0).took;
        assert!(took < Duration::from_secs(6), "{took:?}");
        assert_eq!(attrd.last(), DOWN);
    }
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn an_interface_that_comes_and_goes_while_it_is_looked_at() {
    let host = Host::new();
    let attrd = Attrd::new(&host);
    let eth1 = watch(&attrd, &host, "eth1")
        .param("link_status_only", "false")
        .param("pktcnt_timeout", "0.2");
    let eth1 = eth1.param("arping_timeout", "0.1").param("scale", "ports");
    eth1.run("start").code(0);
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                host.sh("ip link add eth1 type veth peer name p1; ip link set p1 up; ip link set eth1 up; sleep 0.07; ip link del eth1");
            }
        });
        let begin = Instant::now();
        let codes: Vec<_> = std::iter::from_fn(|| {
            (begin.elapsed() < Duration::from_secs(4)).then(|| eth1.run("monitor").code)
        })
        .collect();
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        // The kernel may say that the interface went away under a question about it, and nothing worse.
        assert!(codes.iter().all(|code| *code == Some(0)), "{codes:?}");
    });
    eth1.run("stop").code(0);
    let left = tree("/run/resource-agents".as_ref());
    assert!(left.iter().all(|path| path.to_string_lossy().ends_with(".lock")), "{left:?}");
}
