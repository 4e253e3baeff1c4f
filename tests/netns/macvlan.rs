//! `iface-macvlan`, and what is not its own.

use std::path::Path;

use crate::hardware::{assert_as_before, host_with_a_spare_card, settled};
use crate::support::{Call, Host};

fn macvlan(host: &Host) -> Call {
    host.agent("iface-macvlan").param("device", "eth1").param("name", "mv0")
}

fn details(host: &Host) -> serde_json::Value {
    let json: serde_json::Value = serde_json::from_str(&host.sh("ip -d -j link show mv0")).unwrap();
    json[0].clone()
}

fn is_there(host: &Host) -> bool {
    host.sh("ip -br link").lines().any(|line| line.starts_with("mv0@"))
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_whole_life() {
    let host = host_with_a_spare_card();
    for state in ["up", "down"] {
        host.sh(&format!("ip link set eth1 {state}"));
        let before = settled(&host);
        let call = macvlan(&host).param("mac", "02:00:00:00:00:05");
        call.run("monitor").code(7).silent();
        call.run("stop").code(0);
        call.run("start").code(0);
        call.run("monitor").code(0).silent();
        call.clone().recurring().run("monitor").code(0).silent();
        call.run("start").code(0);
        let link = details(&host);
        assert_eq!(link["link"], "eth1");
        assert_eq!(link["address"], "02:00:00:00:00:05");
        assert_eq!(link["linkinfo"]["info_kind"], "macvlan");
        assert_eq!(link["linkinfo"]["info_data"]["mode"], "bridge");
        call.run("stop").code(0);
        call.run("monitor").code(7);
        call.run("stop").code(0);
        assert_as_before(&host, &before, state);
    }
}

/// The shell agent deletes it in start, and answers 1 for ever in monitor and stop.
#[test]
#[ignore = "needs root: tests/run netns"]
fn an_interface_of_somebody_else_is_never_touched() {
    let host = host_with_a_spare_card();
    let kinds = [
        "ip link add link eth1 name mv0 type macvlan mode bridge",
        "ip link add link eth1 name mv0 type macvlan mode bridge; ip link set mv0 alias mine; ip link set mv0 up",
        "ip link add mv0 type veth peer name mv1",
        "ip link add mv0 type bridge; ip link set mv0 alias 'ocfbox iface-macvlan mv0'",
    ];
    for make in kinds {
        host.sh(make);
        let before = host.sh("ip -d link show mv0");
        let call = macvlan(&host);
        call.run("monitor").code(7);
        call.run("start").code(1).because(&["cannot make mv0", "somebody else's", "another name"]);
        call.run("stop").code(0);
        call.clone().recurring().run("monitor").code(7);
        assert_eq!(host.sh("ip -d link show mv0"), before, "{make}");
        host.sh("ip link del mv0");
        call.run("start").code(0);
        call.run("stop").code(0);
    }
    // One that takes the place of ours.
    let call = macvlan(&host);
    call.run("start").code(0);
    host.sh("ip link del mv0; ip link add link eth1 name mv0 type macvlan mode bridge");
    call.run("monitor").code(7);
    call.run("stop").code(0);
    assert!(is_there(&host));
}

/// Whatever became of it, stop removes it: by its alias, without any file.
#[test]
#[ignore = "needs root: tests/run netns"]
fn stop_removes_what_is_ours_whatever_became_of_it() {
    let host = host_with_a_spare_card();
    let spoilt: [(&str, Option<&[&str]>); 7] = [
        ("ip link set mv0 alias 'uplink of the web'", None),
        ("ip link set mv0 down", Some(&["mv0 is administratively down"])),
        (
            "ip link set mv0 address 02:00:00:00:00:66",
            Some(&["02:00:00:00:00:66 instead of 02:00:00:00:00:05"]),
        ),
        ("ip link set mv0 type macvlan mode private", Some(&["mode is private instead of bridge"])),
        (
            "ip link set mv0 down; ip link set mv0 name other; ip link set other up",
            Some(&["name is other instead of mv0"]),
        ),
        ("ip -n far link set eth1 down", Some(&["mv0 has no link"])),
        ("rm -r /run/resource-agents", None),
    ];
    for (spoil, words) in spoilt {
        let call = macvlan(&host).param("mac", "02:00:00:00:00:05");
        call.run("start").code(0);
        host.sh(spoil);
        for monitor in [call.clone(), call.clone().recurring()] {
            match words {
                Some(words) => drop(monitor.run("monitor").code(1).because(words)),
                None => drop(monitor.run("monitor").code(0)),
            }
        }
        call.run("stop").code(0);
        let links = host.sh("ip -br link");
        assert!(!links.contains("mv0@") && !links.contains("other@"), "{spoil}: {links}");
        call.run("monitor").code(7);
        host.sh("ip -n far link set eth1 up");
    }
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_parent_that_vanishes_takes_it_along() {
    let host = host_with_a_spare_card();
    let call = macvlan(&host);
    call.run("start").code(0);
    host.sh("ip link del eth1");
    call.run("monitor").code(7);
    call.clone().recurring().run("monitor").code(7);
    call.run("stop").code(0);
    call.run("start").code(2).because(&["no interface \"eth1\"", "device"]);
    call.clone().param("device", "lo").run("start").code(2).because(&["loopback device (device)"]);
}

/// A start that fails takes back what it did, and nothing else.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_failed_start_leaves_nothing() {
    let host = host_with_a_spare_card();
    host.sh("ip link set eth1 down; ip -n far link set eth1 down");
    let before = settled(&host);
    macvlan(&host).run("start").code(1).because(&["mv0 has no link"]);
    assert_as_before(&host, &before, "no link");
    host.sh("ip -n far link set eth1 up; ip link set eth1 up");
    let address = host.mac("", "eth1");
    let before = settled(&host);
    macvlan(&host).param("mac", &address).run("start").code(1).because(&["mv0"]);
    assert_as_before(&host, &before, "the parent has that address");
    let unwritable = macvlan(&host).env("HA_RSCTMP", "/proc/nowhere");
    unwritable.run("start").code(1).because(&["state file"]);
    assert!(!is_there(&host));
}

/// Two on one parent: it stays up for as long as one of them needs it.
#[test]
#[ignore = "needs root: tests/run netns"]
fn the_last_one_restores_the_parent() {
    let host = host_with_a_spare_card();
    host.sh("ip link set eth1 down");
    let before = settled(&host);
    let (first, second) = (macvlan(&host), macvlan(&host).param("name", "mv2"));
    first.run("start").code(0);
    second.run("start").code(0);
    first.run("stop").code(0);
    second.run("monitor").code(0);
    second.run("stop").code(0);
    assert_as_before(&host, &before, "both stopped");
    // Somebody else began to use it.
    first.run("start").code(0);
    host.sh("ip addr add 198.51.100.1/24 dev eth1");
    first.run("stop").code(0);
    assert!(host.log().contains("eth1 stays up"), "{}", host.log());
    assert!(host.sh("ip -br link show eth1").contains("UP"));
}

/// An upgrade in place: the shell agent made it, and left its file.
#[test]
#[ignore = "needs root: tests/run netns"]
fn what_the_shell_agent_made_is_taken_over() {
    let host = host_with_a_spare_card();
    host.sh("ip link add link eth1 name mv0 type macvlan mode bridge; ip link set mv0 up
         mkdir -p /run/resource-agents; touch /run/resource-agents/iface-macvlan.mv0");
    let call = macvlan(&host);
    call.run("monitor").code(0);
    call.run("start").code(0);
    call.run("stop").code(0);
    assert!(!is_there(&host));
    assert!(!Path::new("/run/resource-agents/iface-macvlan.mv0").exists());
}
