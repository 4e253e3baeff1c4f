//! IPv6, and the other faces of the same code: `IPv6addr`, `IPaddr`, haresources, the command line.

use std::process::Command;

use crate::support::{BINARY, Call, Host};

#[test]
#[ignore = "needs root: tests/run netns"]
fn any_spelling_of_an_ipv6_address_is_the_same_address() {
    let host = Host::new();
    let vip = |ip: &str| host.agent("IPaddr2").param("ip", ip);
    vip("2001:DB8:0:0::0010").run("start").code(0);
    assert_eq!(host.places("2001:db8::10"), ["eth0 2001:db8::10/64"]);
    vip("2001:db8::10").run("monitor").code(0);
    vip("2001:0db8:0000:0000:0000:0000:0000:0010").run("start").code(0);
    vip("2001:db8:0::10").run("stop").code(0);
    assert!(host.places("2001:db8::10").is_empty());
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn start_waits_until_the_address_can_be_used() {
    let host = Host::new();
    host.agent("IPaddr2").param("ip", "2001:db8::10").run("start").code(0);
    assert_eq!(host.entry("2001:db8::10")["tentative"], serde_json::Value::Null);
    assert!(host.sh("ip netns exec far ping -6 -c1 -W2 2001:db8::10").contains("1 received"));
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn ipv6_flags_lifetimes_and_labels_as_asked() {
    let host = Host::new();
    let vip = host
        .agent("IPaddr2")
        .param("ip", "2001:db8:1::10")
        .param("nic", "eth0")
        .param("cidr_netmask", "64");
    let labels = host.sh("ip addrlabel");
    let asked =
        vip.param("nodad", "true").param("noprefixroute", "true").param("preferred_lft", "0");
    asked.run("start").code(0);
    let entry = host.entry("2001:db8:1::10");
    assert_eq!(entry["nodad"], true);
    assert_eq!(entry["noprefixroute"], true);
    assert_eq!(entry["deprecated"], true);
    assert_eq!(host.sh("ip -6 route show 2001:db8:1::/64"), "");
    assert!(host.sh("ip addrlabel").contains("prefix 2001:db8:1::10/128 label 99"));
    asked.run("monitor").code(0);
    asked.run("stop").code(0);
    assert_eq!(host.sh("ip addrlabel"), labels);
    asked.param("lvs_ipv6_addrlabel", "false").run("start").code(0);
    assert_eq!(host.sh("ip addrlabel"), labels);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_link_local_address_needs_its_interface() {
    let host = Host::new();
    let vip = host.agent("IPaddr2").param("ip", "fe80::10");
    vip.run("start").code(6).because(&["link-local", "nic"]);
    host.sh("ip link add eth1 type veth peer name p1; ip addr add fe80::10/64 dev eth1 nodad");
    let vip = vip.param("nic", "eth0");
    vip.run("monitor").code(7);
    vip.run("start").code(0);
    vip.run("monitor").code(0);
    let mut places = host.places("fe80::10");
    places.sort();
    assert_eq!(
        places,
        ["eth0 fe80::10/64", "eth1 fe80::10/64"],
        "each link has a world of its own"
    );
    vip.run("stop").code(0);
    assert_eq!(host.places("fe80::10"), ["eth1 fe80::10/64"]);
    vip.clone().recurring().run("monitor").code(7);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn an_address_label_of_the_administrators_stays() {
    let host = Host::new();
    host.sh("ip addrlabel add prefix 2001:db8::10/128 label 5");
    let before = host.sh("ip addrlabel");
    let vip = host.agent("IPaddr2").param("ip", "2001:db8::10").param("nodad", "true");
    vip.run("start").code(0);
    assert!(host.log().contains("has the address label 5 already"), "{}", host.log());
    vip.run("stop").code(0);
    assert_eq!(host.sh("ip addrlabel"), before);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_start_that_the_kernel_refuses_takes_all_back() {
    let host = Host::new();
    host.sh("sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1");
    host.settle();
    let before = host.sh("ip -j addr show; ip addrlabel");
    let vip = host
        .agent("IPaddr2")
        .param("ip", "2001:db8::10")
        .param("nic", "eth0")
        .param("cidr_netmask", "64");
    vip.run("start")
        .code(2)
        .because(&["add 2001:db8::10/64 to eth0", "IPv6 is disabled on this device"]);
    assert_eq!(host.sh("ip -j addr show; ip addrlabel"), before);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn ipv6addr_is_a_face_of_the_same_code() {
    let host = Host::new();
    let vip = host.agent("IPv6addr").param("ipv6addr", "2001:db8::10/64");
    vip.run("monitor").code(7);
    vip.run("start").code(0);
    vip.run("monitor").code(0);
    assert_eq!(vip.run("status").code(0).stdout, "running\n");
    assert_eq!(host.places("2001:db8::10"), ["eth0 2001:db8::10/64"]);
    vip.run("stop").code(0);
    assert!(host.places("2001:db8::10").is_empty());
    let longer = vip.param("cidr_netmask", "80").param("nic", "eth0");
    longer.run("start").code(0);
    assert_eq!(host.places("2001:db8::10"), ["eth0 2001:db8::10/80"]);
    longer.run("stop").code(0);
    host.agent("IPv6addr")
        .param("ipv6addr", "fe80::10")
        .run("start")
        .code(1)
        .because(&["link-local"]);
    host.agent("IPv6addr").run("start").code(6).because(&["ipv6addr"]);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn ipaddr_makes_aliases_that_ifconfig_shows() {
    let host = Host::new();
    host.sh("ip addr add 192.0.2.20/24 dev eth0 label eth0:0");
    let vip = host.agent("IPaddr").param("ip", "192.0.2.10").param("nic", "eth0:7");
    vip.run("start").code(0);
    assert_eq!(host.entry("192.0.2.10")["label"], "eth0:1");
    vip.run("monitor").code(0);
    vip.run("stop").code(0);
    assert!(host.places("192.0.2.10").is_empty());
    let wrong = vip.param("cidr_netmask", "24").param("broadcast", "192.0.2.1");
    wrong.run("start").code(6).because(&["broadcast", "192.0.2.255"]);
    host.agent("IPaddr").param("ip", "2001:db8::10").run("start").code(6).because(&["IPv4"]);
    let scripted =
        host.agent("IPaddr").param("ip", "192.0.2.10").param("local_start_script", "/bin/true");
    scripted.run("start").code(6).because(&["local_start_script", "not supported"]);
}

/// What Heartbeat's ResourceManager runs, with the words that it looks for in stdout.
#[test]
#[ignore = "needs root: tests/run netns"]
fn haresources_arguments_and_words() {
    let host = Host::new();
    let directory = host.path("ha.d/resource.d");
    std::fs::create_dir_all(&directory).unwrap();
    let call = |agent: &str, words: &[&str]| {
        let link = directory.join(agent);
        let _ = std::os::unix::fs::symlink(BINARY, &link);
        let mut command = Command::new(link);
        command.args(words).env_clear();
        Call::finish(command)
    };
    let running = |out: &str| {
        let lower = out.to_lowercase();
        !lower.contains("not running") && (lower.contains("running") || out.contains("OK"))
    };
    let cases: [(&str, &[&str], &str, &str); 4] = [
        ("IPaddr2", &["192.0.2.10/24/eth0"], "192.0.2.10", "eth0 192.0.2.10/24"),
        ("IPaddr2", &["192.0.2.10/28/eth0:x/192.0.2.15"], "192.0.2.10", "eth0 192.0.2.10/28"),
        ("IPaddr", &["192.0.2.11"], "192.0.2.11", "eth0 192.0.2.11/24"),
        ("IPv6addr", &["2001:db8", "10/64/eth0"], "2001:db8::10", "eth0 2001:db8::10/64"),
    ];
    for (agent, arguments, ip, place) in cases {
        let run = |action: &str| call(agent, &[arguments, &[action]].concat());
        assert!(!running(&run("status").code(7).stdout));
        run("start").code(0);
        assert_eq!(host.places(ip), [place]);
        assert!(running(&run("status").code(0).stdout));
        assert!(running(&run("monitor").code(0).stdout));
        run("stop").code(0);
        assert!(!running(&run("status").code(7).stdout));
        assert!(host.places(ip).is_empty());
    }
    // What a caller's caller set for itself is none of ours.
    let mut leaked = Command::new(directory.join("IPaddr2"));
    leaked
        .args(["192.0.2.10/24/eth0", "start"])
        .env_clear()
        .env("OCF_RESKEY_network_namespace", "far");
    Call::finish(leaked).code(0);
    assert_eq!(host.places("192.0.2.10"), ["eth0 192.0.2.10/24"]);
    call("IPaddr2", &["192.0.2.10/24/eth0", "stop"]).code(0);
    // What is there, but not as it should be, must not be taken for owned: a start mends it.
    host.sh("ip addr add 192.0.2.10/32 dev eth0");
    assert!(!running(&call("IPaddr2", &["192.0.2.10/24/eth0", "status"]).code(1).stdout));
    assert!(
        call("IPaddr2", &["status"])
            .stderr
            .contains("IPaddr2::ip[/cidr_netmask[/nic[/broadcast]]]")
    );
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_person_calls_it_by_words() {
    let host = Host::new();
    let call = |words: &[&str]| {
        let mut command = Command::new(BINARY);
        command.args(words).env_clear().env("HA_LOGFILE", "/dev/null");
        Call::finish(command)
    };
    assert_eq!(
        call(&["IPaddr2", "start", "ip=192.0.2.10", "nic=eth0"]).code(0).stdout,
        "started\n"
    );
    assert_eq!(call(&["IPaddr2", "monitor", "ip=192.0.2.10"]).code(0).stdout, "running\n");
    assert_eq!(call(&["IPaddr2", "stop", "ip=192.0.2.10"]).code(0).stdout, "stopped\n");
    assert_eq!(call(&["IPaddr2", "monitor", "ip=192.0.2.10"]).code(7).stdout, "stopped\n");
    let typo = call(&["IPaddr2", "start", "ipp=192.0.2.10"]);
    assert_eq!(typo.code, Some(2));
    assert!(typo.stderr.contains("is it ip?"), "{}", typo.stderr);
    // A person's validate-all looks at the host; a cluster's does so only at level 10.
    call(&["IPaddr2", "validate-all", "ip=192.0.2.10", "nic=wan"]).code(2).because(&["wan"]);
    host.vip().param("nic", "wan").run("validate-all").code(0);
    host.vip().param("nic", "wan").env("OCF_CHECK_LEVEL", "10").run("validate-all").code(2);
    host.vip().param("nic", "wan").env("OCF_CHECK_LEVEL", "9").run("validate-all").code(0);
}
