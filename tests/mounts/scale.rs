//! Many processes, many mounts, many callers; and processes that multiply.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{Call, Host, await_that, each};

/// Compiles one of the C programs beside the tests into the test's directory.
fn compiled(host: &Host, source: &str) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(source);
    let program = host.path(source.file_stem().unwrap_or_default());
    let mut compiler = Command::new("cc");
    let status = compiler.args(["-O2", "-static", "-o"]).arg(program).arg(source).status();
    assert!(status.is_ok_and(|status| status.success()), "cc");
}

/// The processes of that name, and of these those that have a file open below a directory.
fn processes(name: &str, directory: &Path) -> (BTreeSet<u32>, BTreeSet<u32>) {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let named = |pid: &u32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name)
    };
    let all: BTreeSet<u32> = pids.filter(named).collect();
    let has_one = |pid: &u32| {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let mut targets = files.filter_map(|file| fs::read_link(file.path()).ok());
        targets.any(|target| target.starts_with(directory))
    };
    let users = all.iter().copied().filter(has_one).collect();
    (all, users)
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn of_thousands_of_processes_only_the_users_are_ended() {
    let host = Host::new();
    compiled(&host, "bench/crowd.c");
    let call = host.on_image("ext4").within(60);
    call.run("start").code(0);
    host.sh("mkfifo input");
    let _crowd = host.leave(
        "sleep 100 >input & exec ./crowd 5000 20 100 mnt <input | { read ready; touch ready; exec cat; }",
    );
    let (before, users) = processes("crowd", &host.path("mnt"));
    assert_eq!((before.len(), users.len()), (5001, 100));
    let named = call.clone().param("force_unmount", "safe").run("stop").code(1);
    named.because(&["(crowd) has open", "more", "force_unmount=true"]);
    assert_eq!(processes("crowd", &host.path("mnt")), (before.clone(), users.clone()));
    call.run("stop").code(0);
    let expected: BTreeSet<u32> = before.difference(&users).copied().collect();
    let (after, none) = processes("crowd", &host.path("mnt"));
    assert!(after == expected && none.is_empty(), "{} of {}", after.len(), expected.len());
    host.is_clean();
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn processes_that_multiply_faster_than_they_are_looked_at_are_ended() {
    each(["grow", "run"], |manner| {
        let host = Host::new();
        compiled(&host, "mounts/bomb.c");
        let call = host.on_image("ext4").within(16).param("signal_delay", "1");
        call.run("start").code(0);
        host.sh("echo x >mnt/file; chmod a+rx . mnt; chmod a+r mnt/file");
        let mut stranger = host.leave("touch ready; exec sleep 100");
        let mut bomb = host.leave(&format!("exec ./bomb 60 {manner} mnt ready"));
        await_that("many of them", || host.sh("pgrep -c -x bomb").trim() != "1");
        let stopped = call.run("stop");
        assert_eq!(stopped.code, Some(0), "{manner}: {} {}", stopped.stderr, host.log());
        assert!(bomb.lives(), "the one that does not use it");
        assert!(stranger.lives());
        assert_eq!(host.sh("pgrep -c -x bomb").trim(), "1", "{manner}");
        host.is_clean();
    });
}

/// What two callers do with one resource at the same time.
const PAIRS: [[&str; 2]; 6] = [
    ["start", "start"],
    ["stop", "stop"],
    ["start", "stop"],
    ["start", "monitor"],
    ["stop", "monitor"],
    ["monitor", "monitor"],
];

/// Small, and good enough to choose (Marsaglia's xorshift).
struct Dice(u64);

impl Dice {
    fn of(&mut self, count: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % count
    }
}

struct Resource {
    call: Call,
    point: String,
}

/// Ones without a device, bind mounts, and a few images.
fn resources(host: &Host) -> Vec<Resource> {
    host.sh(
        "mkdir source; for n in 0 1 2 3; do truncate -s 16M $n.img; mkfs.ext4 -q -F $n.img; done",
    );
    let resource = |number: usize| {
        let point = host.text(&format!("point-{number}"));
        let call = match number % 20 {
            0 => {
                let image = host.text(&format!("{}.img", number / 20));
                host.call(&image, &point, "ext4").param("options", "loop")
            }
            1..10 => host.call(&host.text("source"), &point, "none").param("options", "bind"),
            _ => host.call("tmpfs", &point, "tmpfs"),
        };
        Resource { call: call.within(100), point }
    };
    (0..80).map(resource).collect()
}

/// What each may answer, by whether it was mounted before.
fn may_answer(pair: [&str; 2], at: usize, was_there: bool, code: i32) -> bool {
    match (pair[at], pair[1 - at]) {
        ("start" | "stop", _) => code == 0,
        ("monitor", "monitor") => code == if was_there { 0 } else { 7 },
        ("monitor", "start") => code == 0 || (!was_there && code == 7),
        _ => code == 7 || (was_there && code == 0),
    }
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn eighty_mounts_at_once_and_two_callers_for_each_get_true_answers() {
    let rounds = std::env::var("OCFBOX_MOUNT_ROUNDS").ok().and_then(|text| text.parse().ok());
    let seed = std::process::id().into();
    let host = Host::new();
    let resources = resources(&host);
    let mut dice = Dice(seed);
    let there = || -> BTreeSet<String> {
        host.mounts().into_iter().map(|(point, ..)| point.to_str().unwrap().to_owned()).collect()
    };
    for round in 0..rounds.unwrap_or(3) {
        let before = there();
        let mut running = Vec::new();
        for resource in &resources {
            let mut pair = PAIRS[dice.of(PAIRS.len())];
            if dice.of(2) == 0 {
                pair.reverse();
            }
            let children = pair.map(|action| resource.call.clone().recurring().begin(action));
            running.push((resource, pair, children));
        }
        for (resource, pair, children) in running {
            for (at, mut child) in children.into_iter().enumerate() {
                let code = child.wait().unwrap().code().unwrap_or(-1);
                let right = may_answer(pair, at, before.contains(&resource.point), code);
                let what = (seed, round, pair, &resource.point, before.contains(&resource.point));
                assert!(right, "{what:?}: {} was {code}; {}", pair[at], host.log());
            }
            let expected = match pair {
                _ if !pair.contains(&"start") && !pair.contains(&"stop") => {
                    Some(before.contains(&resource.point))
                }
                _ if !pair.contains(&"stop") => Some(true),
                _ if !pair.contains(&"start") => Some(false),
                _ => None,
            };
            let now = there().contains(&resource.point);
            assert!(expected.is_none_or(|expected| expected == now), "{pair:?} {}", resource.point);
            let code = if now { 0 } else { 7 };
            resource.call.clone().recurring().run("monitor").code(code);
        }
    }
    let points = host.mounts().len();
    assert_eq!(points, there().len(), "none is mounted twice");
    let ending: Vec<_> = resources.iter().map(|resource| resource.call.begin("stop")).collect();
    for mut child in ending {
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    assert!(resources.iter().all(|resource| !OsStr::new(&resource.point).is_empty()));
    host.is_clean();
}
