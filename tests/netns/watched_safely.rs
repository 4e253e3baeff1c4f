//! The watcher's own safety: what it does when it hangs, when it is replaced, when somebody else tells of the same failure, and when
//! Pacemaker counts wrongly.
//!
//! Pacemaker's programs are played by scripts that keep the count in a file, as attrd keeps it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::BINARY;
use crate::watching::Watched;

const FAULT: &str = "ip addr del 192.0.2.10/24 dev eth0";
const ONE: &str = "--fail --resource test --node node1";

fn program(path: &Path, text: &str) {
    let fresh = path.with_extension("new");
    fs::write(&fresh, text).unwrap();
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(fresh, path).unwrap();
}

/// strace, which holds a process's first thread in a system call that only a look makes.
struct Held(Child);

impl Held {
    fn new(watched: &Watched, pid: i32) -> Self {
        let strace = Command::new("strace")
            .args(["-qq", "-o", "/dev/null", "-p", &pid.to_string()])
            .args(["-e", "inject=epoll_create1:delay_enter=900000000"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("strace");
        let traced = || {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"))
        };
        watched.host.await_that("strace to be there", traced);
        Self(strace)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A disk or a bus may keep a look for ever. That is told when the monitor's own time is over, once, and stop does not wait
/// for it longer than it can.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_look_that_hangs_is_told_once() {
    let watched = Watched::new();
    let held = Held::new(&watched, watched.watcher());
    watched.host.sh("ip link set eth0 txqueuelen 77");
    let begin = Instant::now();
    while watched.told().is_empty() && begin.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(watched.told(), [ONE], "{}", watched.host.log());
    assert!(begin.elapsed() > Duration::from_secs(19), "a monitor has 20 s: {:?}", begin.elapsed());
    let log = watched.host.log();
    assert!(log.contains("a look at it takes longer than 20 s and hangs in "), "{log}");
    // It has nothing to add, and does not wake up to find that out.
    let pid = watched.watcher();
    let switches = || {
        let mut all = 0;
        for task in fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten() {
            let status = fs::read_to_string(task.path().join("status")).unwrap();
            let line = status.lines().find(|line| line.starts_with("voluntary")).unwrap();
            all += line.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap();
        }
        all
    };
    std::thread::sleep(Duration::from_millis(200));
    let before = switches();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(switches(), before);
    // It cannot even be killed before it wakes up (strace keeps it); the resource is stopped nevertheless, in good time.
    let stopped = watched.call.run("stop").code(0);
    assert!(stopped.took < Duration::from_secs(15), "{:?}", stopped.took);
    assert_eq!(watched.host.places("192.0.2.10"), Vec::<String>::new());
    let log = watched.host.log();
    assert!(log.contains("gave up waiting for the end of the process that watches"), "{log}");
    drop(held);
    watched.host.await_that("its end", || watched.watchers().is_empty());
    assert_eq!(watched.told().len(), 1);
    watched.call.run("start").code(0);
    watched.settled();
    assert_eq!(watched.told().len(), 1);
}

/// The binary under test as it was installed at some time.
fn install(watched: &Watched) -> PathBuf {
    let path = watched.host.path("IPaddr2-installed/IPaddr2");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let fresh = path.with_extension("new");
    fs::copy(BINARY, &fresh).unwrap();
    fs::rename(fresh, &path).unwrap();
    path
}

/// After an upgrade a watcher runs on; the next recurring monitor replaces it, and tells of nothing but that.
#[test]
#[ignore = "needs root: tests/run netns"]
fn an_upgrade_replaces_the_watcher_without_a_report() {
    let watched = Watched::stopped();
    let call = watched.call.clone().at(install(&watched));
    call.run("start").code(0);
    watched.settled();
    let (old, monitor) = (watched.watcher(), call.clone().recurring());
    monitor.run("monitor").code(0).silent();
    assert_eq!(watched.watcher(), old, "the same program");
    let program = install(&watched);
    call.run("monitor").code(0).silent();
    assert_eq!(watched.watcher(), old, "a probe changes nothing");
    monitor.run("monitor").code(0).silent();
    let new = watched.watcher();
    assert_ne!(new, old);
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    assert_eq!(inode(Path::new(&format!("/proc/{new}/exe"))), inode(&program));
    watched.settled();
    monitor.run("monitor").code(0).silent();
    assert_eq!(watched.watcher(), new);
    let log = watched.host.log();
    assert_eq!(log.matches("another version of this program watched").count(), 1, "{log}");
    assert!(!log.contains("nothing watched the resource"), "{log}");
    assert_eq!(watched.told(), Vec::<String>::new());
    watched.is_told_of(FAULT);
    // One that tells of a failure is left to do so; and stop of any version ends any other one.
    install(&watched);
    call.run("stop").code(0);
    assert_eq!(watched.watchers(), Vec::<i32>::new());
    assert_eq!(watched.told(), [ONE]);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn what_a_monitor_tells_the_watcher_does_not() {
    let watched = Watched::new();
    let pid = watched.watcher();
    watched.host.sh(&format!("kill -STOP {pid}"));
    watched.host.sh(FAULT);
    let told = watched.call.clone().recurring().run("monitor").code(7);
    assert!(told.took < Duration::from_secs(2), "{:?}", told.took);
    watched.host.sh(&format!("kill -CONT {pid}"));
    watched.host.await_that("the watcher to see it", || {
        watched.host.log().contains("a monitor has just told of it")
    });
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(watched.told(), Vec::<String>::new());
    // The next failure is another one.
    watched.call.run("stop").code(0);
    watched.call.run("start").code(0);
    watched.settled();
    watched.is_told_of(FAULT);
}

/// Pacemaker ends a monitor that is under way when it stops the resource; so one that comes second waits for that a little.
#[test]
#[ignore = "needs root: tests/run netns"]
fn what_the_watcher_tells_a_monitor_lets_be_acted_upon() {
    let watched = Watched::new();
    let monitor = watched.call.clone().recurring();
    watched.is_told_of(FAULT);
    let second = monitor.run("monitor").code(7);
    assert!(second.took > Duration::from_millis(500), "{:?}", second.took);
    let third = monitor.run("monitor").code(7);
    assert!(third.took < Duration::from_millis(1500), "nobody acts: {:?}", third.took);
    // A probe, and who looks without a watcher, waits for nothing.
    watched.call.run("stop").code(0);
    watched.call.run("start").code(0);
    watched.settled();
    watched.host.sh(FAULT);
    watched.host.await_that("the second report", || watched.told().len() == 2);
    assert!(watched.call.run("monitor").code(7).took < Duration::from_millis(1500));
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_reload_begins_and_ends_to_watch() {
    let watched = Watched::new();
    let first = watched.watcher();
    watched.call.clone().param("watch_interval", "5").run("reload-agent").code(0);
    let second = watched.watcher();
    assert_ne!(second, first, "with its new parameters");
    let variables = fs::read_to_string(format!("/proc/{second}/environ")).unwrap();
    assert!(variables.contains("OCF_RESKEY_watch_interval=5"));
    watched.call.clone().param("watch", "no").run("reload-agent").code(0);
    assert_eq!(watched.watchers(), Vec::<i32>::new());
    watched.call.run("reload-agent").code(0);
    watched.settled();
    assert_eq!(watched.told(), Vec::<String>::new());
    watched.is_told_of(FAULT);
}

/// A cluster whose programs keep a count in a file, and add to it `times` for each failure.
fn counting(times: u32, during: &str) -> Watched {
    let watched = Watched::stopped();
    let count = watched.host.path("count");
    let count = count.display();
    // One after the other, as attrd takes what it is told.
    program(
        &watched.host.path("bin/attrd_updater"),
        &format!(
            r#"#!/bin/sh
exec 9>>{count}.lock; flock 9
echo "$*" >> {count}.asked
case "$*" in
*--query*) [ -e {count} ] || exit 78
    echo "name=\"fail-count-test#asyncmon_0\" host=\"node1\" value=\"$(cat {count})\"" ;;
*value+=*) change=${{4#value+=}}; echo $(( $(cat {count} 2>/dev/null || echo 0) + change )) > {count} ;;
esac
"#
        ),
    );
    let told = watched.host.path("told");
    let adds = "attrd_updater --name x --update value+=1\n".repeat(times as usize);
    program(
        &watched.host.path("bin/crm_resource"),
        &format!("#!/bin/sh\n{during}\n{adds}\necho \"$*\" >> {}\n", told.display()),
    );
    let mut watched = watched;
    watched.call = watched.call.clone().param("crm_feature_set", "3.16.2");
    watched
}

fn count(watched: &Watched) -> Option<i64> {
    let text = fs::read_to_string(watched.host.path("count")).ok()?;
    Some(text.trim().parse().unwrap())
}

#[track_caller]
fn counts(watched: &Watched, before: Option<i64>, expected: Option<i64>) {
    if let Some(before) = before {
        fs::write(watched.host.path("count"), format!("{before}\n")).unwrap();
    }
    watched.call.run("start").code(0);
    watched.settled();
    watched.is_told_of(FAULT);
    let note = || {
        let all = fs::read_dir("/run/resource-agents").unwrap().flatten();
        all.filter(|file| file.file_name().to_string_lossy().ends_with(".count")).count()
    };
    watched.host.await_that("the count to be settled", || note() == 0);
    assert_eq!(count(watched), expected);
    watched.call.run("stop").code(0);
    assert_eq!(count(watched), expected);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_failure_that_is_counted_twice_is_counted_once() {
    counts(&counting(2, ""), None, Some(1));
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_failure_that_is_counted_once_is_counted_once() {
    counts(&counting(1, ""), Some(3), Some(4));
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_failure_that_is_not_counted_leaves_the_count_as_it_was() {
    counts(&counting(0, ""), Some(2), Some(2));
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_count_that_is_cleaned_up_meanwhile_is_not_mended() {
    counts(&counting(2, "rm -f ${0%/bin*}/count"), Some(5), Some(1));
}

/// Whoever is killed between taking one off and telling, the next one sees to the count: stop, or another watcher.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_count_is_mended_after_a_watcher_that_was_killed() {
    for by_stop in [true, false] {
        let watched = counting(
            2,
            "echo $$ > ${0%/bin*}/tells.new; mv ${0%/bin*}/tells.new ${0%/bin*}/tells; exec sleep 60",
        );
        watched.call.run("start").code(0);
        watched.settled();
        let pid = watched.watcher();
        watched.host.sh(FAULT);
        watched.host.await_that("the report", || watched.host.path("tells").exists());
        assert_eq!(count(&watched), Some(-1));
        if by_stop {
            watched.call.run("stop").code(0);
        } else {
            watched
                .host
                .sh(&format!("kill -9 {pid} $(cat {})", watched.host.path("tells").display()));
            watched.call.run("start").code(0);
            watched.host.await_that("the count", || count(&watched) == Some(0));
        }
        assert_eq!(count(&watched), Some(0));
        watched.call.run("stop").code(0);
        assert_eq!(watched.watchers(), Vec::<i32>::new());
    }
}
