//! Storage that hangs, fails and vanishes: a server whose file system is mounted, and one on which a disk is.

use std::fs::File;
use std::time::Duration;

use crate::fuse::{Fuse, Mood};
use crate::support::{Call, Host, Left, await_that, each};

/// A mounted server with a file, and the agent for it.
fn server(host: &Host) -> (Fuse, Call) {
    std::fs::write(host.path("file"), "x").unwrap();
    let file = File::open(host.path("file")).unwrap();
    let fuse = Fuse::new(host, "server", vec![("file", file)]);
    let call = host.call("server", &fuse.point, "fuse.test").recurring();
    (fuse, call)
}

/// A disk, which is a file on a server, and the agent for it.
fn disk(host: &Host, kind: &str) -> (Fuse, Call) {
    let image = host.image(kind);
    let file = File::options().read(true).write(true).open(image).unwrap();
    let fuse = Fuse::new(host, "server", vec![("disk.img", file)]);
    let call = host.call(&host.text("server/disk.img"), host.path("mnt"), kind);
    (fuse, call.param("options", "loop").recurring())
}

fn at_level(call: &Call, level: u32) -> Call {
    call.clone().env("OCF_CHECK_LEVEL", level.to_string())
}

/// How many helpers of monitor there are.
fn helpers(host: &Host) -> usize {
    host.sh("pgrep -fc '^ocfbox touch' || true").trim().parse().unwrap()
}

#[track_caller]
fn recovers(host: &Host, fuse: &Fuse, call: &Call) {
    fuse.turn(Mood::Serve);
    await_that("the helper to end", || helpers(host) == 0);
    for level in [0, 10, 20] {
        at_level(call, level).run("monitor").code(0);
    }
}

/// Monitors at that level fail in time, say for how long it hangs, and leave one helper however often they are run.
#[track_caller]
fn hangs(host: &Host, call: &Call, level: u32) {
    let call = at_level(call, level).within(4);
    for _ in 0..3 {
        let outcome = call.run("monitor");
        assert!(outcome.took < Duration::from_secs(4), "{outcome:?}");
        let words = ["I/O hung for", "waits for it", "uninterruptible"];
        outcome.code(1).because(&words);
        assert_eq!(helpers(host), 1, "at level {level}");
    }
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn a_server_that_hangs_fails_and_ends() {
    let host = Host::new();
    let (fuse, call) = server(&host);
    call.run("start").code(0);
    for level in [0, 10, 20] {
        at_level(&call, level).run("monitor").code(0);
        fuse.turn(Mood::Hang);
        hangs(&host, &call, level);
        recovers(&host, &fuse, &call);
        fuse.turn(Mood::Fail);
        at_level(&call, level).run("monitor").code(1).because(&["Input/output error"]);
        recovers(&host, &fuse, &call);
    }
    let node = host.sh("uname -n");
    host.sh(&format!("test -s server/.Filesystem_status/test_{}", node.trim()));
    fuse.turn(Mood::Vanish);
    for level in [0, 10, 20] {
        at_level(&call, level).run("monitor").code(1).because(&["not connected"]);
    }
    call.run("start").code(1).because(&["not connected"]);
    call.run("stop").code(0);
    host.is_clean();
}

/// Whoever waits for the server holds the mount, and no signal ends it: only a forced unmount does.
#[test]
#[ignore = "needs root: tests/run mounts"]
fn stop_of_a_server_that_hangs() {
    each([false, true], |with_a_helper| {
        let host = Host::new();
        let (fuse, call) = server(&host);
        let mut user = host.leave("touch ready; exec cat server/file >read");
        user.ended();
        fuse.turn(Mood::Hang);
        let (mut user, who): (Option<Left>, _) = if with_a_helper {
            hangs(&host, &call, 20);
            (None, ["ocfbox", "state D"])
        } else {
            (Some(host.leave("touch ready; exec cat server/file")), ["cat", "waits for it"])
        };
        await_that("somebody to hang", || fuse.waiting() > 0);
        for policy in ["safe", "false"] {
            let named = call.clone().param("force_unmount", policy).within(8);
            let outcome = named.run("stop");
            assert!(outcome.took < Duration::from_secs(8), "{outcome:?}");
            outcome.code(1).because(&who);
        }
        let outcome = call.clone().within(8).run("stop");
        assert!(outcome.took < Duration::from_secs(8), "{outcome:?}");
        outcome.code(0);
        if let Some(user) = &mut user {
            user.ended();
        }
        host.is_clean();
    });
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn a_disk_that_hangs() {
    let host = Host::new();
    let (fuse, call) = disk(&host, "ext4");
    call.run("start").code(0);
    for level in [10, 20] {
        at_level(&call, level).run("monitor").code(0);
        fuse.turn(Mood::Hang);
        call.run("monitor").code(0);
        hangs(&host, &call, level);
        call.run("monitor").code(0);
        recovers(&host, &fuse, &call);
    }
    let node = host.sh("uname -n");
    let file = host.path(format!("mnt/.Filesystem_status/test_{}", node.trim()));
    assert!(file.exists());
    fuse.turn(Mood::Hang);
    // It takes back what it can, and goes on when the disk does.
    let stop = call.clone().within(5);
    let outcome = stop.run("stop");
    assert!(outcome.took < Duration::from_secs(5), "{outcome:?}");
    outcome.code(1).because(&["unmount", "waits for it", "does not answer"]);
    let outcome = stop.run("stop");
    assert!(outcome.took < Duration::from_secs(5), "{outcome:?}");
    outcome.code(1).because(&["an earlier unmount", "has hung for", "uninterruptible"]);
    assert_eq!(host.sh("pgrep -fc '^ocfbox unmount'").trim(), "1");
    fuse.turn(Mood::Serve);
    call.run("stop").code(0);
    host.sh("umount server");
    host.is_clean();
}

/// A process that waits for the disk: no signal ends it, and stop says who it is before its time is over.
#[test]
#[ignore = "needs root: tests/run mounts"]
fn a_process_that_hangs_on_a_disk() {
    let host = Host::new();
    let (fuse, call) = disk(&host, "ext4");
    call.run("start").code(0);
    host.sh("dd if=/dev/zero of=mnt/data bs=64k count=4 conv=fsync 2>/dev/null");
    fuse.turn(Mood::Hang);
    let mut user =
        host.leave("touch ready; exec dd if=mnt/data of=/dev/null iflag=direct bs=64k 2>/dev/null");
    await_that("it to hang", || fuse.waiting() > 0);
    for policy in ["true", "safe", "false", "true,move"] {
        let stop = call.clone().param("force_unmount", policy).within(5);
        let outcome = stop.run("stop");
        assert!(outcome.took < Duration::from_secs(5), "{outcome:?}");
        outcome.code(1).because(&["cannot unmount", "dd", "state D"]);
        call.run("monitor").code(i32::from(policy == "true,move"));
    }
    fuse.turn(Mood::Serve);
    user.ended();
    call.run("stop").code(0);
    host.sh("umount server");
    host.is_clean();
}

/// The kernel finds the fault when it writes, and each type tells in its own way.
#[test]
#[ignore = "needs root: tests/run mounts"]
fn a_disk_that_fails_or_is_gone() {
    let cases = [
        ("ext4", "", Mood::Fail),
        ("ext4", ",errors=continue", Mood::Fail),
        ("ext4", ",errors=remount-ro", Mood::Fail),
        ("xfs", "", Mood::Fail),
        ("btrfs", "", Mood::Fail),
        ("ext4", ",errors=remount-ro", Mood::Vanish),
        ("xfs", "", Mood::Vanish),
        ("btrfs", "", Mood::Vanish),
    ];
    each(cases, |(kind, options, mood)| {
        let host = Host::new();
        let (fuse, call) = disk(&host, kind);
        let call = call.param("options", format!("loop{options}"));
        call.run("start").code(0);
        at_level(&call, 20).run("monitor").code(0);
        fuse.turn(mood);
        at_level(&call, 10).run("monitor").code(1).because(&["Input/output error"]);
        at_level(&call, 20).run("monitor").code(1).because(&["not well"]);
        // What is written needs new blocks, so that the kernel writes of itself too.
        host.sh("mkdir mnt/x || true; cp /bin/sh mnt/x || true; sync -f mnt || true");
        await_that(&format!("{kind}{options} to be known as bad"), || {
            host.sh("touch mnt/y || true; sync -f mnt || true");
            call.run("monitor").code == Some(1)
        });
        call.run("monitor").code(1).because(&["not well"]);
        call.run("stop").code(0);
        assert!(!host.mounts().iter().any(|(point, ..)| *point == *host.path("mnt")));
        drop(fuse);
        host.sh("umount server");
        host.is_clean();
    });
}

/// Whenever the disk begins to hang, start ends in time and nothing of it is there, neither then nor later.
#[test]
#[ignore = "needs root: tests/run mounts"]
fn a_disk_that_hangs_while_it_is_mounted() {
    each([1, 2, 3, 5, 8, 13, 21, 34], |requests| {
        let host = Host::new();
        let (fuse, call) = disk(&host, "ext4");
        fuse.hang_after(requests);
        let start = call.clone().within(4);
        let outcome = start.run("start");
        assert!(outcome.took < Duration::from_secs(4), "{outcome:?}");
        if outcome.code == Some(0) {
            assert!(requests > 20, "{requests}");
            fuse.hang_after(0);
            fuse.turn(Mood::Serve);
        } else {
            outcome.code(1).because(&["cannot mount", "has hung for"]);
            assert_eq!(host.mounts().len(), 1, "the server alone");
            assert!(!host.path("mnt").exists(), "what start made is taken back");
            call.run("monitor").code(7);
            let begun = host.sh("pgrep -fc '^ocfbox attach' || true");
            if begun.trim() == "1" {
                start.run("start").code(1).because(&["an earlier mount", "has hung for"]);
                start.run("stop").code(1).because(&["an earlier mount", "has hung for"]);
            }
            fuse.turn(Mood::Serve);
            await_that("the helper to end", || {
                host.sh("pgrep -fc '^ocfbox attach' || true").trim() == "0"
            });
            call.run("monitor").code(7);
        }
        call.run("stop").code(0);
        call.run("start").code(0);
        call.run("monitor").code(0);
        call.run("stop").code(0);
        host.sh("umount server");
        host.is_clean();
    });
}

/// What the agent leaves behind when it is killed ends as soon as the disk answers, and mounts nothing then.
#[test]
#[ignore = "needs root: tests/run mounts"]
fn a_start_that_is_killed_while_the_disk_hangs() {
    let host = Host::new();
    let (fuse, call) = disk(&host, "ext4");
    fuse.hang_after(8);
    let mut start = call.begin("start");
    await_that("it to hang", || fuse.waiting() > 0);
    start.kill().unwrap();
    start.wait().unwrap();
    call.run("monitor").code(7);
    let stop = call.clone().within(4);
    let outcome = stop.run("stop");
    assert!(outcome.took < Duration::from_secs(4), "{outcome:?}");
    outcome.code(1).because(&["an earlier mount", "has hung for", "uninterruptible"]);
    fuse.turn(Mood::Serve);
    call.run("stop").code(0);
    call.run("monitor").code(7);
    call.run("start").code(0);
    call.run("stop").code(0);
    host.sh("umount server");
    host.is_clean();
}

/// Two at once, and a slow disk: whoever comes second waits for the first one, and neither tells of a fault.
#[test]
#[ignore = "needs root: tests/run mounts"]
fn a_slow_disk_does_not_hang() {
    let host = Host::new();
    let (fuse, call) = disk(&host, "ext4");
    call.run("start").code(0);
    for level in [10, 20] {
        fuse.turn(Mood::Hang);
        let call = at_level(&call, level);
        let mut both = [call.begin("monitor"), call.begin("monitor")];
        await_that("it to wait", || fuse.waiting() > 0);
        std::thread::sleep(Duration::from_secs(2));
        assert!(both.iter_mut().all(|monitor| monitor.try_wait().unwrap().is_none()));
        fuse.turn(Mood::Serve);
        for monitor in &mut both {
            assert_eq!(monitor.wait().unwrap().code(), Some(0), "log: {}", host.log());
        }
    }
    call.run("stop").code(0);
    host.sh("umount server");
    host.is_clean();
}

/// What the file is called, who may be in its way, and who removes it.
#[test]
#[ignore = "needs root: tests/run mounts"]
fn the_status_file() {
    let host = Host::new();
    let call = host.on_image("ext4").recurring();
    let node = host.sh("uname -n").trim().to_owned();
    let writes = at_level(&call, 20);
    call.run("start").code(0);
    writes.run("monitor").code(0);
    let file = host.path(format!("mnt/.Filesystem_status/test_{node}"));
    assert_eq!(file.metadata().unwrap().len(), 4096);
    writes.clone().param("statusfile_prefix", "a_").run("monitor").code(0);
    assert!(host.path(format!("mnt/a_test_{node}")).exists());
    let clone = writes.clone().param("CRM_meta_clone", "3").param("statusfile_prefix", "/b/c/");
    clone.run("monitor").code(0);
    assert!(host.path(format!("mnt/b/c/test_3_{node}")).exists());
    // A link that leads out of the mount is not followed, and somebody's directory is not written to.
    host.sh(&format!("ln -s /tmp mnt/link; mkdir mnt/d_test_{node}"));
    for prefix in ["link/", "d_"] {
        let other = writes.clone().param("statusfile_prefix", prefix);
        other.run("monitor").code(1).because(&["status file"]);
    }
    writes.clone().param("statusfile_prefix", "../x").run("start").code(6);
    host.sh("mount -o remount,ro mnt");
    let asked = writes.clone().param("options", "loop,ro");
    asked.run("monitor").code(1).because(&["read-only", "level 10"]);
    at_level(&asked, 10).run("monitor").code(0);
    host.sh("mount -o remount,rw mnt");
    let image = host.text("ext4.img");
    writes.run("stop").code(0);
    host.is_clean();
    let left = host.sh(&format!("debugfs -R 'ls -p /.Filesystem_status' {image} 2>/dev/null"));
    assert!(left.contains("/../") && !left.contains("test_"), "{left}");
    let left = host.sh(&format!("debugfs -R 'ls -p /b/c' {image} 2>/dev/null"));
    assert!(left.contains("test_3"), "{left}");
}

/// Without a device the topmost directory is read; each type has its own way to write past the cache.
#[test]
#[ignore = "needs root: tests/run mounts"]
fn every_type_answers_at_every_level() {
    each(["ext4", "xfs", "btrfs", "tmpfs", "bind", "overlay"], |kind| {
        let host = Host::new();
        host.sh("mkdir a b");
        let (a, b) = (host.text("a"), host.text("b"));
        let call = match kind {
            "tmpfs" => host.call("tmpfs", host.path("mnt"), kind),
            "bind" => host.call(&a, host.path("mnt"), "none").param("options", "bind"),
            "overlay" => {
                host.sh("mount -t tmpfs t b; mkdir b/up b/work");
                let options = format!("lowerdir={a},upperdir={b}/up,workdir={b}/work");
                host.call("overlay", host.path("mnt"), kind).param("options", options)
            }
            kind => host.on_image(kind),
        };
        let call = call.recurring();
        call.run("start").code(0);
        for level in ["5", "10", "15", "20", "99"] {
            call.clone().env("OCF_CHECK_LEVEL", level).run("monitor").code(0);
        }
        assert!(host.path("mnt/.Filesystem_status").is_dir(), "{kind}");
        call.run("stop").code(0);
        host.sh("umount b 2>/dev/null || true");
        host.is_clean();
    });
}
