//! The state of the interface.

use crate::support::Host;

/// The cable of this very interface, whatever its names and its neighbours.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_pulled_cable_is_a_failure() {
    let host = Host::new();
    host.sh("ip link property add dev eth0 altname lan; ip link add eth1 type veth peer name p1");
    let vip = host.vip().param("nic", "eth0");
    vip.run("start").code(0);
    vip.run("monitor").code(0);
    host.sh("ip -n far link set eth0 down");
    for monitor in [vip.clone(), vip.clone().recurring(), host.vip()] {
        monitor.run("monitor").code(1).because(&["192.0.2.10 is configured", "eth0 has no link"]);
    }
    vip.clone().param("check_link_status", "false").run("monitor").code(0);
    host.sh("ip -n far link set eth0 up");
    vip.run("monitor").code(0);
    host.sh("ip link set eth0 down");
    vip.run("monitor").code(1).because(&["eth0 is administratively down", "ip link set eth0 up"]);
    vip.run("stop").code(0);
    assert!(host.places("192.0.2.10").is_empty());
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn start_without_a_link_fails_and_leaves_nothing() {
    let host = Host::new();
    host.sh("ip -n far link set eth0 down");
    let vip = host.vip().param("nic", "eth0").param("cidr_netmask", "24");
    vip.run("start").code(1).because(&["192.0.2.10", "eth0 has no link"]);
    assert!(host.places("192.0.2.10").is_empty());
    vip.run("monitor").code(7);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn start_sets_the_interface_up_where_it_stays() {
    let host = Host::new();
    let vip = host.vip().param("nic", "eth0").param("cidr_netmask", "24");
    host.sh("ip link set eth0 down");
    vip.run("start").code(0);
    vip.run("monitor").code(0);
    vip.run("stop").code(0);
    // Somebody else may have begun to use it.
    host.sh("ip link set eth0 down; ip -n far addr add 192.0.2.10/24 dev eth0");
    vip.run("start").code(1).because(&["another host"]);
    assert!(host.sh("ip -o link show eth0").contains(",UP"));
    assert!(host.places("192.0.2.10").is_empty());
}

/// A port that 802.1X has not opened has a carrier all the same.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_dormant_link_is_a_failure() {
    let host = Host::new();
    host.vip().run("start").code(0);
    let state = || host.sh("cat /sys/class/net/eth0/operstate").trim().to_owned();
    host.sh("ip link set eth0 mode dormant; ip -n far link set eth0 down");
    host.await_that("the link to be down", || state().ends_with("down"));
    host.sh("ip -n far link set eth0 up");
    host.await_that("the link to be dormant", || state() == "dormant");
    host.vip().run("monitor").code(1).because(&["eth0 has a link that is not open yet"]);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_bridge_whose_port_is_down_has_no_link() {
    let host = Host::new();
    host.sh("ip link add br0 type bridge; ip link set br0 up; ip addr add 203.0.113.1/24 dev br0
         ip link add p0 type veth peer name p1; ip link set p0 master br0");
    host.await_that("the bridge's state", || {
        host.sh("cat /sys/class/net/br0/carrier").trim() == "0"
    });
    let vip = host.agent("IPaddr2").param("ip", "203.0.113.9");
    vip.run("start").code(1).because(&["br0 has no link"]);
    let blind = vip.param("check_link_status", "false");
    blind.run("start").code(0);
    blind.run("monitor").code(0);
}

/// A tunnel has neither neighbours nor an operational state: nothing to announce, nothing wrong.
#[test]
#[ignore = "needs root: tests/run netns"]
fn an_interface_without_neighbours_needs_no_announcement() {
    let host = Host::new();
    host.sh(
        "ip tuntap add dev tun0 mode tun; ip link set tun0 up; ip addr add 203.0.113.1/24 dev tun0",
    );
    let vip = host.agent("IPaddr2").param("ip", "203.0.113.9").param("check_link_status", "false");
    vip.run("start").code(0);
    assert!(host.announcers().is_empty());
    vip.run("monitor").code(0);
    vip.run("stop").code(0);
}
