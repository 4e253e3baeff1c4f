//! Hardware addresses and macvlan devices, when the agent is killed at each of its system calls in turn.

use crate::hardware::{assert_as_before, host_with_a_spare_card, identity, settled};
use crate::kills;
use crate::support::{Call, Host};

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_card() {
    survives("down", |host| identity(host, "device").param("ip", "192.0.2.10/24"));
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_card_that_is_up() {
    survives("up", |host| identity(host, "device").param("ip", "192.0.2.10/24"));
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_virtual_card() {
    survives("down", |host| identity(host, "macvlan").param("ip", "192.0.2.10/24"));
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_macvlan_interface() {
    survives("down", |host| {
        host.agent("iface-macvlan").param("device", "eth1").param("name", "mv0")
    });
}

/// Invariant 10: after a kill at any instant the next stop leaves all as it was before start.
fn survives(state: &str, call: impl Fn(&Host) -> Call) {
    let host = host_with_a_spare_card();
    host.sh(&format!("ip link set eth1 {state}"));
    let before = settled(&host);
    kills::at_each(&host, &call(&host), &kills::changing_calls, 20, |moment| {
        assert_as_before(&host, &before, moment);
    });
}
