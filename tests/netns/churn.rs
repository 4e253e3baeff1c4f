//! Resources that start, fail, lose their watchers and stop, thousands of times and several at once: whatever happens when, a failure is
//! told once, a resource that is stopped is never told of, and nobody is left.
//!
//! `OCFBOX_CHURN=10000` for as many cycles (default 120); `OCFBOX_CHURN_SEED` to repeat one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::support::{Call, Host};

/// Resources at once.
const PARALLEL: usize = 4;

/// By then a failure is told, however busy the machine is.
const LONGEST: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
struct Tally {
    cycles: AtomicUsize,
    faults: AtomicUsize,
    told: AtomicUsize,
    watchers_killed: AtomicUsize,
    starts_killed: AtomicUsize,
}

fn count(counter: &AtomicUsize) {
    counter.fetch_add(1, Ordering::SeqCst);
}

/// Numbers by a linear congruential generator (Knuth's MMIX).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn sleep(&mut self, milliseconds: u64) {
        std::thread::sleep(Duration::from_micros(self.below(1000 * milliseconds)));
    }
}

fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()
}

/// One resource and its life.
struct Life<'a> {
    host: &'a Host,
    tally: &'a Tally,
    name: String,
    ip: String,
    call: Call,
    chance: Chance,
}

impl Life<'_> {
    fn told(&self) -> Vec<u128> {
        let text = fs::read_to_string(self.host.path(&format!("told-{}", self.name)));
        text.unwrap_or_default().lines().map(|line| line.parse().unwrap()).collect()
    }

    fn watchers(&self) -> Vec<i32> {
        processes(&format!("ocfbox watch --behind IPaddr2 {}", self.name))
    }

    #[track_caller]
    fn await_that(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let begin = Instant::now();
        while !holds() {
            assert!(
                begin.elapsed() < LONGEST,
                "{}: waited for {what}; {}",
                self.name,
                self.host.log()
            );
            std::thread::sleep(Duration::from_millis(3));
        }
    }

    fn fail(&self) {
        count(&self.tally.faults);
        self.host.sh(&format!("ip addr del {}/24 dev eth0", self.ip));
    }

    #[track_caller]
    fn start(&self) {
        self.call.run("start").code(0);
        self.await_that("one watcher", || self.watchers().len() == 1);
    }

    /// It fails, and that is told.
    #[track_caller]
    fn fail_and_be_told(&self, before: usize) {
        self.fail();
        self.await_that("the report", || self.told().len() > before);
    }

    #[track_caller]
    fn stop(&self) {
        self.call.run("stop").code(0);
        let end = now();
        assert_eq!(self.watchers(), Vec::<i32>::new(), "{}", self.name);
        let late = self.told().into_iter().filter(|at| *at > end).count();
        assert_eq!(late, 0, "{} was told of after its stop: {}", self.name, self.host.log());
    }

    #[track_caller]
    fn cycle(&mut self) {
        count(&self.tally.cycles);
        let before = self.told().len();
        let expected = match self.chance.below(20) {
            0..=4 => self.quiet(),
            5..=8 => {
                self.start();
                self.chance.sleep(20);
                self.fail_and_be_told(before);
                1..=1
            }
            9..=11 => self.watcher_killed(before),
            12..=14 => self.stopped_while_it_fails(),
            15..=16 => self.stopped_by_two(),
            _ => self.start_killed(before),
        };
        self.chance.sleep(5);
        self.stop();
        let told = self.told().len() - before;
        assert!(expected.contains(&told), "{}: told {told} times: {}", self.name, self.host.log());
        self.tally.told.fetch_add(told, Ordering::SeqCst);
    }

    fn quiet(&mut self) -> std::ops::RangeInclusive<usize> {
        self.call.run("start").code(0);
        self.chance.sleep(20);
        0..=0
    }

    fn watcher_killed(&mut self, before: usize) -> std::ops::RangeInclusive<usize> {
        self.call.run("start").code(0);
        self.chance.sleep(15);
        for pid in self.watchers() {
            self.host.sh(&format!("kill -9 {pid}"));
            count(&self.tally.watchers_killed);
        }
        self.await_that("its end", || self.watchers().is_empty());
        let monitor = self.call.clone().recurring();
        monitor.run("monitor").code(0);
        self.await_that("another watcher", || self.watchers().len() == 1);
        self.chance.sleep(15);
        self.fail_and_be_told(before);
        1..=1
    }

    fn stopped_while_it_fails(&mut self) -> std::ops::RangeInclusive<usize> {
        self.start();
        self.chance.sleep(10);
        self.fail();
        self.chance.sleep(40);
        0..=1
    }

    fn stopped_by_two(&mut self) -> std::ops::RangeInclusive<usize> {
        self.start();
        let fails = self.chance.below(2) == 1;
        if fails {
            self.fail();
        }
        let mut other = self.call.command("stop").spawn().unwrap();
        self.chance.sleep(3);
        self.stop();
        assert!(other.wait().unwrap().success());
        0..=usize::from(fails)
    }

    /// Anywhere, also between the lock, the new process and what is written down about it.
    fn start_killed(&mut self, before: usize) -> std::ops::RangeInclusive<usize> {
        let mut start = self.call.command("start").spawn().unwrap();
        self.chance.sleep(40);
        start.kill().unwrap();
        start.wait().unwrap();
        count(&self.tally.starts_killed);
        if self.chance.below(3) == 0 {
            return 0..=0;
        }
        self.start();
        self.fail_and_be_told(before);
        1..=1
    }
}

/// Who has these words at the beginning, in this network namespace.
fn processes(words: &str) -> Vec<i32> {
    let own = fs::read_link("/proc/thread-self/ns/net").unwrap();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let is_one = line.trim_end() == words || (words.is_empty() && !line.is_empty());
        let here = || fs::read_link(entry.path().join("ns/net")).is_ok_and(|ns| ns == own);
        if is_one && here() {
            found.push(pid);
        }
    }
    found
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn whatever_happens_when_each_failure_is_told_once() {
    let host = Host::new();
    fs::create_dir(host.path("bin")).unwrap();
    let program = host.path("bin/crm_resource");
    let told = host.path("told-$3");
    fs::write(&program, format!("#!/bin/sh\nat=$(date +%s%N)\necho $at >> {}\n", told.display()))
        .unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", host.path("bin").display());
    let seed = number("OCFBOX_CHURN_SEED", u64::try_from(now() % 1_000_000).unwrap());
    let cycles = number("OCFBOX_CHURN", 120);
    let (tally, begin) = (Tally::default(), Instant::now());
    let others = processes("");
    std::thread::scope(|scope| {
        for number in 0..PARALLEL {
            let (name, ip) = (format!("churn{number}"), format!("192.0.2.{}", 100 + number));
            let call = host.agent("IPaddr2").param("ip", &ip).param("nic", "eth0");
            let call = call.param("conflict_check", "no").param("arp_count", "1");
            let call = call.param("watch", "1").param("crm_feature_set", "3.19.0");
            let call = call.env("OCF_RESOURCE_INSTANCE", &name).env("PATH", &path);
            let chance = Chance(seed + number as u64);
            let mut life = Life { host: &host, tally: &tally, name, ip, call, chance };
            scope.spawn(move || {
                for _ in 0..cycles.div_ceil(PARALLEL as u64) {
                    life.cycle();
                }
            });
        }
    });
    println!("seed {seed}, {:?}: {tally:?}", begin.elapsed());
    host.await_that("everybody's end", || processes("").iter().all(|pid| others.contains(pid)));
    let left: Vec<_> = fs::read_dir("/run/resource-agents")
        .unwrap()
        .flatten()
        .map(|file| file.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.ends_with(".lock"))
        .collect();
    assert_eq!(left, Vec::<String>::new(), "seed {seed}");
}
