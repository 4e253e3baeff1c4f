//! Watchers of addresses: what they tell, how fast, and that none is left.
//!
//! Who runs is read from /proc; whom they tell is a program in the place of `crm_resource`, which writes down what it was
//! called with.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use crate::support::{Call, Host};

/// What a fault may take to be told on a machine that does much else: far less than any monitor, far more than it takes.
pub const SOON: Duration = Duration::from_secs(2);

/// An address with a watcher, which ends with this value also when a test fails.
pub struct Watched {
    pub host: Host,
    pub call: Call,
}

impl Watched {
    #[track_caller]
    pub fn new() -> Self {
        let watched = Self::stopped();
        watched.call.run("start").code(0);
        watched.settled();
        watched
    }

    pub fn stopped() -> Self {
        let host = Host::new();
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

/// Of the route, and of the macvlan interface, somebody else takes away.
#[test]
#[ignore = "needs root: tests/run netns"]
fn what_is_no_address_is_told_too() {
    let route = "destination=198.51.100.0/24 gateway=192.0.2.254";
    for (agent, params, fault) in [
        ("Route", route, "ip route del 198.51.100.0/24"),
        ("iface-macvlan", "device=eth0 name=macvlan7", "ip link del macvlan7"),
    ] {
        let mut watched = Watched::stopped();
        let mut call = watched.host.agent(agent);
        for (name, value) in params.split(' ').filter_map(|param| param.split_once('=')) {
            call = call.param(name, value);
        }
        watched.call = watched.by_pacemaker(call);
        watched.call.run("start").code(0);
        watched.settled();
        watched.is_told_of(fault);
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
    watched.host.await_that("the watcher to be gone", || watched.watchers().is_empty());
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
        ip addr add $ip dev eth0 nodad; ip addr del $ip dev eth0; done; done";
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

/// A hundred of them cost no time that the kernel could count, and little memory.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_hundred_idle_watchers_cost_nothing() {
    let watched = Watched::stopped();
    let calls: Vec<Call> = (100..200)
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
    assert_eq!(all.len(), 100);
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
