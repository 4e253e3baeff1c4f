//! Watchers of addresses: what they tell, how fast, and that none is left.
//!
//! Who runs is read from /proc; whom they tell is a program in the place of `crm_resource`, which writes down what it was
//! called with.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use crate::hardware::{MAC, host_with_a_spare_card, identity};
use crate::support::{Call, Host};

/// What a fault may take to be told on a machine that does much else: far less than any monitor, far more than it takes.
pub const SOON: Duration = Duration::from_secs(2);

/// An address with a watcher, which ends with this value also when a test fails.
pub struct Watched {
    pub host: Host,
    pub call: Call,
}

impl Watched {
    /// Another resource in its place is started and stopped, and started again: nobody is told of that.
    #[track_caller]
    fn comes_and_goes_unnoticed(&mut self, call: Call) {
        self.call = self.by_pacemaker(call);
        for _ in 0..2 {
            self.call.run("start").code(0);
            self.settled();
            self.call.run("stop").code(0);
        }
        self.call.run("start").code(0);
        self.settled();
        assert_eq!(self.told(), Vec::<String>::new(), "{}", self.host.log());
    }

    #[track_caller]
    pub fn new() -> Self {
        let watched = Self::stopped();
        watched.call.run("start").code(0);
        watched.settled();
        watched
    }

    pub fn stopped() -> Self {
        Self::stopped_on(Host::new())
    }

    fn stopped_on(host: Host) -> Self {
        fs::create_dir(host.path("bin")).unwrap();
        let told = host.path("told");
        let program = host.path("bin/crm_resource");
        fs::write(&program, format!("#!/bin/sh\necho \"$*\" >> {}\n", told.display())).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let call = host.vip().param("nic", "eth0");
        let mut watched = Self { host, call };
        watched.call = watched.by_pacemaker(watched.call.clone());
        watched
    }

    pub fn by_pacemaker(&self, call: Call) -> Call {
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", self.host.path("bin").display());
        call.param("watch", "1")
            .param("crm_feature_set", "3.19.0")
            .param("CRM_meta_on_node", "node1")
            .env("PATH", path)
    }

    /// What the cluster was told, one line for each time.
    pub fn told(&self) -> Vec<String> {
        let text = fs::read_to_string(self.host.path("told")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Numbers of the processes that watch in this network namespace.
    pub fn watchers(&self) -> Vec<i32> {
        let own = fs::read_link("/proc/thread-self/ns/net").unwrap();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let here = || fs::read_link(entry.path().join("ns/net")).is_ok_and(|ns| ns == own);
            if words.starts_with(b"ocfbox\0watch\0") && here() {
                found.extend(entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
            }
        }
        found
    }

    /// The only one that watches.
    #[track_caller]
    pub fn watcher(&self) -> i32 {
        let watchers = self.watchers();
        assert_eq!(watchers.len(), 1, "{watchers:?}; log: {}", self.host.log());
        watchers[0]
    }

    /// Waits until the watcher has made its first look and sleeps.
    #[track_caller]
    pub fn settled(&self) {
        let pid = self.watcher();
        self.host.await_that("the watcher to sleep", || {
            let waits = fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap_or_default();
            waits.contains("poll")
        });
    }

    #[track_caller]
    pub fn is_told_of(&self, fault: &str) -> Duration {
        let begin = Instant::now();
        self.host.sh(fault);
        self.host.await_that("the cluster to be told", || !self.told().is_empty());
        let took = begin.elapsed();
        assert!(took < SOON, "{fault}: told after {took:?}");
        took
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.call.command("stop").output();
    }
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn an_address_that_is_deleted_is_told_at_once_and_once() {
    let watched = Watched::new();
    watched.is_told_of("ip addr del 192.0.2.10/24 dev eth0");
    assert_eq!(watched.told(), ["--fail --resource test --node node1"]);
    // What happens besides is no reason to tell it again.
    watched.host.sh("ip addr add 192.0.2.77/24 dev eth0; ip link set eth0 txqueuelen 77");
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(watched.told().len(), 1, "{}", watched.host.log());
    // What the cluster does about it: stop and start.
    let before = watched.watcher();
    watched.call.run("stop").code(0);
    assert_eq!(watched.watchers(), Vec::<i32>::new());
    watched.call.run("start").code(0);
    assert_ne!(watched.watcher(), before);
    watched.settled();
    assert_eq!(watched.told().len(), 1);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn an_ipv6_address_that_is_deleted_is_told_at_once() {
    let mut watched = Watched::stopped();
    watched.call = watched.call.clone().param("ip", "2001:db8::10").param("cidr_netmask", "64");
    watched.call.run("start").code(0);
    watched.settled();
    watched.is_told_of("ip addr del 2001:db8::10/64 dev eth0");
}

/// Of another agent of a host with a spare card, `eth1`.
#[track_caller]
fn of_identity(mode: &str) -> Watched {
    let mut watched = Watched::stopped_on(host_with_a_spare_card());
    let call = identity(&watched.host, mode).param("ip", "192.0.2.10/24 2001:db8::10/64");
    watched.call = watched.by_pacemaker(call);
    watched.call.run("start").code(0);
    watched.settled();
    watched
}

/// At the far end's switch, a host with the MAC address that moved here.
fn twin(host: &Host) {
    host.sh(&format!(
        "ip netns add twin; ip -n far link add p2 type veth peer name eth0 netns twin
         ip -n far link set p2 addrgenmode none; ip -n far link set p2 master br0; ip -n far link set p2 up
         ip -n twin link set eth0 address {MAC} up; ip -n twin addr add 192.0.2.10/24 dev eth0"
    ));
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_mac_address_that_is_changed_is_told_at_once_and_its_stop_is_not() {
    let faults = [
        ("device", "ip link set eth1 address 02:00:00:00:00:77"),
        ("device", "ip addr del 192.0.2.10/24 dev eth1"),
        ("device", "ip -n far link set eth1 down"),
        ("macvlan", "ip link set eth1 down"),
        ("macvlan", "ip -n far link set eth1 down"),
        ("macvlan", "ip link del $(ip -br link | grep 02:00:00:00:00:01 | cut -d@ -f1)"),
    ];
    for (mode, fault) in faults {
        let watched = of_identity(mode);
        watched.call.run("stop").code(0);
        watched.call.run("start").code(0);
        watched.settled();
        assert_eq!(watched.told(), Vec::<String>::new(), "{mode}: {}", watched.host.log());
        watched.is_told_of(fault);
        assert_eq!(watched.told(), ["--fail --resource test --node node1"], "{mode}");
        watched.call.run("stop").code(0);
        assert_eq!(watched.told().len(), 1);
    }
}

/// Through a switch, which takes the port for the one of whoever spoke last.
#[test]
#[ignore = "needs root: tests/run netns"]
fn another_host_with_the_mac_address_is_told_at_once() {
    for mode in ["device", "macvlan"] {
        let watched = of_identity(mode);
        twin(&watched.host);
        if mode == "device" {
            // Where nobody has another hardware address to ask from, only IPv6 answers to all.
            let ready = "ip -n twin -6 -o addr show dev eth0 scope link -tentative";
            watched.host.await_that("the twin to be ready", || !watched.host.sh(ready).is_empty());
        } else {
            watched.host.sh("ip -n twin -6 addr flush dev eth0");
        }
        watched.is_told_of("ip netns exec twin arping -q -c 1 -U -I eth0 192.0.2.10");
        let words = format!("another host has {MAC} too");
        assert!(watched.host.log().contains(&words), "{}", watched.host.log());
        let recurring = watched.call.clone().recurring();
        // Nobody is accused for what was.
        watched.host.sh("ip netns del twin");
        watched.host.await_that("it to be over", || recurring.run("monitor").code == Some(0));
    }
}

/// A network that gives our own frames back has no other host with the address.
#[test]
#[ignore = "needs root: tests/run netns"]
fn own_frames_that_come_back_are_told_of_nobody() {
    for mode in ["device", "macvlan"] {
        let watched = of_identity(mode);
        let pid = watched.watcher();
        watched.host.sh("bridge -n far link set dev eth1 hairpin on");
        // A frame of ours to all, which comes back.
        let speak = format!(
            "arping -q -c 1 -U -I $(ip -br link | grep {MAC} | cut -d@ -f1) 192.0.2.10 || true"
        );
        for _ in 0..2 {
            watched.host.sh(&speak);
            std::thread::sleep(Duration::from_secs(1));
        }
        let woken = sleeps(pid);
        watched.host.sh(&speak);
        std::thread::sleep(Duration::from_secs(1));
        assert_eq!(sleeps(pid), woken, "it listens to its own frames");
        assert_eq!(watched.told(), Vec::<String>::new(), "{mode}: {}", watched.host.log());
        watched.call.run("stop").code(0);
        let left = crate::support::tree(std::path::Path::new("/run/resource-agents"));
        assert!(left.iter().all(|path| !path.to_string_lossy().contains("rival")), "{left:?}");
    }
}

/// How often a process has slept.
#[track_caller]
fn sleeps(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("voluntary")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Another host advertises the IPv6 address: what our own agents do there at their start.
#[test]
#[ignore = "needs root: tests/run netns"]
fn another_host_that_advertises_the_ipv6_address_is_told_at_once() {
    let mut watched = Watched::stopped();
    watched.call = watched.call.clone().param("ip", "2001:db8::10").param("cidr_netmask", "64");
    watched.call.run("start").code(0);
    watched.settled();
    let pid = watched.watcher();
    std::thread::sleep(Duration::from_millis(500));
    let before = sleeps(pid);
    // Others advertise theirs, and ask for ours.
    watched
        .host
        .sh("ip netns exec far ping -q -c 1 -W 2 2001:db8::10; ping -q -c 1 -W 2 2001:db8::2");
    assert_eq!(sleeps(pid), before);
    let announce = format!(
        "ip -n far addr add 2001:db8::10/128 dev eth0 nodad; ip netns exec far {} announce 2001:db8::10 $(ip netns exec far cat /sys/class/net/eth0/ifindex) 2 50",
        crate::support::BINARY
    );
    watched.is_told_of(&announce);
    let words = "another host has 2001:db8::10 too";
    assert!(watched.host.log().contains(words), "{}", watched.host.log());
    watched.call.clone().recurring().run("monitor").code(1).because(&[words]);
    watched.host.sh("ip -n far addr del 2001:db8::10/128 dev eth0");
    watched.call.clone().recurring().run("monitor").code(0).silent();
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_source_address_that_loses_its_route_is_told_at_once_and_its_stop_is_not() {
    for (mode, fault) in [
        ("route", "ip route del default"),
        ("route", "ip route replace default via 192.0.2.2 dev eth0 proto static"),
        ("route", "ip addr del 192.0.2.10/24 dev eth0"),
        (
            "rule",
            "ip rule | grep -v 'from all lookup' | cut -d: -f1 | while read n; do ip rule del pref $n; done",
        ),
    ] {
        let mut watched = Watched::stopped();
        watched
            .host
            .sh("ip addr add 192.0.2.10/24 dev eth0; ip route add default via 192.0.2.2 dev eth0");
        let call = watched.host.agent("IPsrcaddr").param("ipaddress", "192.0.2.10");
        watched.comes_and_goes_unnoticed(call.param("mode", mode));
        watched.is_told_of(fault);
        assert_eq!(watched.told(), ["--fail --resource test --node node1"], "{mode}");
    }
}

/// Of the route, and of the macvlan interface, somebody else takes away.
#[test]
#[ignore = "needs root: tests/run netns"]
fn what_is_no_address_is_told_too() {
    let route = "destination=198.51.100.0/24 gateway=192.0.2.254";
    for (agent, params, fault) in [
        ("Route", route, "ip route del 198.51.100.0/24"),
        ("Route", route, "ip link set eth0 down"),
        (
            "Route",
            "destination=198.51.100.0/24 device=eth0 source=192.0.2.7",
            "ip addr del 192.0.2.7/24 dev eth0",
        ),
        ("iface-macvlan", "device=eth0 name=macvlan7", "ip -n far link set eth0 down"),
        ("iface-macvlan", "device=eth0 name=macvlan7", "ip link del macvlan7"),
    ] {
        let mut watched = Watched::stopped();
        watched.host.sh("ip addr add 192.0.2.7/24 dev eth0");
        let mut call = watched.host.agent(agent);
        for (name, value) in params.split(' ').filter_map(|param| param.split_once('=')) {
            call = call.param(name, value);
        }
        watched.comes_and_goes_unnoticed(call);
        watched.is_told_of(fault);
        assert_eq!(watched.told().len(), 1);
    }
}

/// Long after start, when nobody announces any more.
#[test]
#[ignore = "needs root: tests/run netns"]
fn another_host_that_claims_the_address_is_told_at_once() {
    let mut watched = Watched::stopped();
    watched.call = watched.call.clone().param("arp_count", "1");
    watched.call.run("start").code(0);
    watched.settled();
    // Whoever only asks, claims nothing; and the claims of others are about other addresses.
    let far = "ip netns exec far arping -q -c 1 -I eth0";
    watched.host.sh(&format!(
        "! {far} -D -w 1 192.0.2.10; ip -n far addr add 192.0.2.77/24 dev eth0; {far} -A 192.0.2.77"
    ));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(watched.told(), Vec::<String>::new(), "{}", watched.host.log());
    watched.host.sh("ip -n far addr add 192.0.2.10/24 dev eth0");
    watched.is_told_of(&format!("{far} -A 192.0.2.10"));
    assert!(watched.host.log().contains("another host has 192.0.2.10 too"));
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_link_without_a_carrier_is_told_at_once() {
    Watched::new().is_told_of("ip -n far link set eth0 down");
}

/// Of a bridge without a port that works the kernel says so up to a second later; of the port, at once.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_cable_below_the_interface_is_told_at_once() {
    let below = [
        (
            "b0",
            "ip link add b0 type bridge forward_delay 0; ip link set b0 up; ip link set eth0 master b0",
        ),
        ("m0", "ip link add m0 link eth0 type macvlan mode private; ip link set m0 up"),
    ];
    for (name, made_by) in below {
        let mut watched = Watched::stopped();
        watched.host.sh(made_by);
        let up = || watched.host.sh(&format!("cat /sys/class/net/{name}/operstate")) == "up\n";
        watched.host.await_that("the interface to be up", up);
        watched.call = watched.call.clone().param("nic", name).param("cidr_netmask", "24");
        watched.call.run("start").code(0);
        watched.settled();
        watched.is_told_of("ip -n far link set eth0 down");
    }
}

/// Its number is another one then.
#[test]
#[ignore = "needs root: tests/run netns"]
fn an_interface_that_was_made_anew_is_watched() {
    let mut watched = Watched::stopped();
    let make = "ip link add d0 type veth peer name d1; ip link set d0 up; ip link set d1 up";
    watched.host.sh(make);
    watched.call = watched.call.clone().param("nic", "d0").param("cidr_netmask", "24");
    watched.call.run("start").code(0);
    watched.settled();
    watched.is_told_of("ip link del d0");
    watched.host.sh(&format!("ip link add other type dummy 2>/dev/null || ip link add other type bridge; {make}; ip addr add 192.0.2.10/24 dev d0"));
    watched.host.await_that("the watcher to see it", || watched.host.log().contains("works again"));
    // Nothing is told twice within ten seconds.
    std::thread::sleep(Duration::from_secs(10));
    let begin = Instant::now();
    watched.host.sh("ip link set d1 down");
    watched.host.await_that("the cluster to be told again", || watched.told().len() == 2);
    assert!(begin.elapsed() < SOON);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn an_interface_that_is_gone_is_told_at_once() {
    Watched::new().is_told_of("ip link del eth0");
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn stop_ends_the_watcher_and_nothing_is_told() {
    let watched = Watched::new();
    for _ in 0..20 {
        watched.call.run("stop").code(0);
        assert_eq!(watched.watchers(), Vec::<i32>::new());
        watched.call.run("start").code(0);
        // Not settled: also one that has just begun must not speak.
    }
    // A person's stop, who knows nothing of the resource's name.
    watched.host.vip().env("OCF_RESOURCE_INSTANCE", "default").run("stop").code(0);
    assert_eq!(watched.watchers(), Vec::<i32>::new());
    assert_eq!(watched.told(), Vec::<String>::new(), "{}", watched.host.log());
    assert_eq!(watched.host.places("192.0.2.10"), Vec::<String>::new());
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn two_starts_leave_one_watcher() {
    let watched = Watched::new();
    let first = watched.watcher();
    watched.call.run("start").code(0);
    watched.call.clone().recurring().run("monitor").code(0).silent();
    assert_eq!(watched.watcher(), first);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_killed_watcher_is_put_back_by_a_recurring_monitor_which_says_so_once() {
    let watched = Watched::new();
    let killed = watched.watcher();
    watched.host.sh(&format!("kill -9 {killed}"));
    // Without words it may still be closing its sockets, and have its lock.
    watched.host.await_that("the watcher to be gone", || {
        let stat = fs::read_to_string(format!("/proc/{killed}/stat")).unwrap_or_default();
        stat.rsplit(')').next().is_none_or(|rest| rest.is_empty() || rest.starts_with(" Z"))
    });
    watched.call.run("monitor").code(0).silent();
    assert_eq!(watched.watchers(), Vec::<i32>::new(), "a probe changes nothing");
    watched.call.clone().recurring().run("monitor").code(0).silent();
    assert_ne!(watched.watcher(), killed);
    watched.call.clone().recurring().run("monitor").code(0).silent();
    let words = "nothing watched the resource any more";
    assert_eq!(watched.host.log().matches(words).count(), 1, "{}", watched.host.log());
    watched.settled();
    watched.is_told_of("ip addr del 192.0.2.10/24 dev eth0");
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_watcher_whose_task_is_gone_ends_by_itself() {
    let watched = Watched::new();
    watched.host.sh("rm -r /run/resource-agents");
    // The next event wakes it, be it the failure.
    watched.host.sh("ip addr del 192.0.2.10/24 dev eth0");
    watched.host.await_that("the watcher to end", || watched.watchers().is_empty());
    assert_eq!(watched.told(), Vec::<String>::new());
}

/// Without `watch`, and where a stopped resource is monitored, there is none.
#[test]
#[ignore = "needs root: tests/run netns"]
fn nobody_watches_who_is_not_asked_to() {
    let watched = Watched::stopped();
    watched.call.clone().recurring().run("monitor").code(7);
    assert_eq!(watched.watchers(), Vec::<i32>::new());
    let unwatched = watched.call.clone().param("watch", "no");
    unwatched.run("start").code(0);
    unwatched.clone().recurring().run("monitor").code(0).silent();
    assert_eq!(watched.watchers(), Vec::<i32>::new());
}

/// It sleeps: neither time nor events that are somebody else's wake it.
#[test]
#[ignore = "needs root: tests/run netns"]
fn an_idle_watcher_costs_nothing() {
    let watched = Watched::new();
    let pid = watched.watcher();
    let woken = || {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("voluntary")).unwrap();
        line.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let before = woken();
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(woken(), before);
    let others = "for n in 1 2 3; do for ip in 192.0.2.77/24 2001:db8::77/64; do
        ip addr add $ip dev eth0 nodad; ip addr del $ip dev eth0; done; done
        ip link add v0 type veth peer name v1; ip link add b0 type bridge; ip link set v0 master b0
        for n in 1 2 3; do for v in v0 v1; do ip link set $v up; done; ip link set v1 down; done
        ip link set v1 name v2; ip link set b0 up; ip link del v0; ip link del b0";
    watched.host.sh(others);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(woken(), before);
    // It holds no directory, no address, no file but its lock.
    assert_eq!(fs::read_link(format!("/proc/{pid}/cwd")).unwrap().to_str(), Some("/"));
    let files: Vec<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
        .map(|file| file.to_string_lossy().into_owned())
        .collect();
    // Of these a user may have 128, on the whole host.
    assert!(files.iter().all(|file| !file.contains("inotify")), "{files:?}");
    let files: Vec<String> =
        files.into_iter().filter(|file| file.starts_with('/') && file != "/dev/null").collect();
    assert!(matches!(&files[..], [lock] if lock.contains("/.watch-")), "{files:?}");
    // Of root's privileges it has those that it needs: CAP_DAC_OVERRIDE, _DAC_READ_SEARCH, _NET_RAW, _SYS_PTRACE.
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let needed: u64 = 1 << 1 | 1 << 2 | 1 << 13 | 1 << 19;
    for set in ["CapPrm", "CapEff"] {
        let line = status.lines().find(|line| line.starts_with(set)).unwrap();
        let bits = u64::from_str_radix(line.split_ascii_whitespace().nth(1).unwrap(), 16).unwrap();
        assert_eq!(bits & !needed, 0, "{line}");
    }
}

/// By hand it says what it sees, and its exit code says that the resource has failed.
#[test]
#[ignore = "needs root: tests/run netns"]
fn in_the_foreground_it_prints_what_it_sees() {
    let watched = Watched::stopped();
    watched.call.clone().param("watch", "no").run("start").code(0);
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_ocfbox"))
        .args(["watch", "IPaddr2", "ip=192.0.2.10", "nic=eth0"])
        .env_clear()
        .env("HA_LOGFILE", watched.host.path("log"))
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let mut next = || lines.next().map(Result::unwrap).unwrap_or_default();
    assert!(next().ends_with(" works"));
    watched.host.sh("ip addr del 192.0.2.10/24 dev eth0");
    let news = next();
    assert!(news.contains("192.0.2.10 was removed on interface"), "{news}");
    let failed = next();
    assert!(failed.ends_with("failed: it does not run"), "{failed}");
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

/// More than root has instances of inotify (128), which others need as well, cost no time that the kernel could count, and
/// little memory.
#[test]
#[ignore = "needs root: tests/run netns"]
fn many_idle_watchers_cost_nothing() {
    let watched = Watched::stopped();
    let calls: Vec<Call> = (100..250)
        .map(|last| {
            let call = watched.call.clone().param("ip", format!("192.0.2.{last}"));
            call.param("conflict_check", "no").env("OCF_RESOURCE_INSTANCE", format!("vip{last}"))
        })
        .collect();
    for call in &calls {
        call.run("start").code(0);
    }
    // The news of the last ones have woken the first ones, and announcements are over.
    std::thread::sleep(Duration::from_secs(2));
    let all = watched.watchers();
    assert_eq!(all.len(), 150, "{}", watched.host.log());
    let told_by_kernel = |pid: &&i32| {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        files.flatten().any(|file| {
            fs::read_link(file.path()).is_ok_and(|to| to.ends_with("anon_inode:inotify"))
        })
    };
    assert!(all.iter().filter(told_by_kernel).count() <= 128 - 48);
    // User and system time in ticks of 10 ms, and switches, since one may be too short to be counted.
    let cost = |pid: &i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let before: u64 = all.iter().map(cost).sum();
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(all.iter().map(cost).sum::<u64>() - before, 0);
    for pid in &all {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon")).unwrap();
        let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        assert!(kilobytes <= 2048, "{line}");
    }
    for call in &calls {
        call.run("stop").code(0);
    }
    assert_eq!(watched.watchers(), Vec::<i32>::new());
    assert_eq!(watched.told(), Vec::<String>::new());
}
