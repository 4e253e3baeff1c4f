//! Programs that start needs: fsck, modprobe, the helpers of types. Some are stand-ins that say how they were called.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::{Call, Host, await_that, each};

/// A program that goes before those of the host; `$OUT` is the test's directory.
fn put(host: &Host, call: Call, name: &str, script: &str) -> Call {
    let programs = host.path("programs");
    fs::create_dir_all(&programs).unwrap();
    let path = programs.join(name);
    fs::write(&path, format!("#!/bin/sh\nOUT={}\n{script}\n", host.text(""))).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    call.env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", programs.display()))
}

/// What the stand-in was called with, once a call; then it is forgotten.
fn said(host: &Host) -> String {
    host.sh("cat said 2>/dev/null || :; rm -f said")
}

const SAYS: &str = "echo \"$@\" >>$OUT/said";

#[test]
#[ignore = "needs root: tests/run mounts"]
fn each_exit_code_of_fsck() {
    let host = Host::new();
    let image = host.on_image("ext4").param("run_fsck", "force");
    for code in [0, 1, 2, 3] {
        let call = put(&host, image.clone(), "fsck", &format!("{SAYS}; exit {code}"));
        call.run("start").code(0);
        call.run("stop").code(0);
        let words = said(&host);
        assert!(words.starts_with("-t ext4 -p /dev/loop") && words.lines().count() == 1, "{words}");
    }
    let log = host.log();
    assert!(log.contains("fsck mended /dev/loop") && log.contains("(exit code 3)"), "{log}");
    for (code, why) in [
        (4, "left errors on it"),
        (5, "left errors on it"),
        (8, "could not look at it"),
        (16, "does not know its own words"),
        (32, "was cancelled"),
        (127, "left errors on it"),
    ] {
        let script = format!("{SAYS}; echo its words >&2; exit {code}");
        let call = put(&host, image.clone(), "fsck", &script);
        call.run("start").code(1).because(&[
            why,
            &format!("exit code {code}"),
            "run `fsck /dev/loop",
        ]);
        host.is_clean();
        call.run("stop").code(0);
    }
    assert!(host.log().contains("its words"));
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn when_fsck_is_called() {
    let host = Host::new();
    host.sh("truncate -s 8M two.img; mkfs.ext2 -q -F two.img");
    let two = host.call(&host.text("two.img"), host.path("mnt"), "ext2").param("options", "loop");
    let four = host.on_image("ext4");
    let tmpfs = host.call("tmpfs", host.path("mnt"), "tmpfs");
    let cases = [
        (&two, "auto", true),
        (&two, "no", false),
        (&four, "auto", false),
        (&four, "no", false),
        (&four, "force", true),
        (&tmpfs, "auto", false),
        (&tmpfs, "force", false),
    ];
    for (call, word, called) in cases {
        let call = put(&host, call.clone(), "fsck", SAYS).param("run_fsck", word);
        call.run("start").code(0);
        call.run("monitor").code(0);
        call.run("stop").code(0);
        assert_eq!(!said(&host).is_empty(), called, "{word}");
    }
    // And the real one, of a file system that was not unmounted.
    host.sh("mkdir other; mount -o loop two.img other; cp two.img copy.img; umount other");
    let call = two.param("device", host.text("copy.img"));
    call.run("start").code(0);
    call.run("stop").code(0);
    host.is_clean();
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn a_check_that_hangs_ends_with_the_action() {
    let host = Host::new();
    let call = host.on_image("ext4").param("run_fsck", "force").within(3);
    let call = put(&host, call, "fsck", "exec sleep 4717");
    let failed = call.run("start").code(1).because(&["fsck"]);
    assert!(failed.took.as_secs_f64() < 3.0, "{:?}", failed.took);
    assert_eq!(host.sh("pgrep -f 'sleep 471[7]' || :"), "");
    call.run("stop").code(0);
    host.is_clean();
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn a_module_is_loaded_only_if_it_is_missing() {
    let host = Host::new();
    let tmpfs = put(&host, host.call("tmpfs", host.path("mnt"), "tmpfs"), "modprobe", SAYS);
    tmpfs.run("start").code(0);
    tmpfs.run("monitor").code(0);
    tmpfs.run("stop").code(0);
    assert_eq!(said(&host), "", "the kernel has it");
    let none = tmpfs.param("fstype", "madeup");
    none.run("start").code(5).because(&["the kernel has no file system madeup"]);
    assert_eq!(said(&host), "-q -- madeup\n");
    for (action, code) in [("monitor", 7), ("stop", 0), ("validate-all", 0)] {
        none.run(action).code(code);
    }
    assert_eq!(said(&host), "", "only start loads");
    host.is_clean();
}

/// A host without any program: what the kernel can do it does, and nothing fails that needs none.
#[test]
#[ignore = "needs root: tests/run mounts"]
fn without_any_program() {
    let host = Host::new();
    let call = host.on_image("ext4").env("OCF_TESTER_FAIL_HAVE_BINARY", "1");
    call.run("monitor").code(7);
    call.run("stop").code(0);
    call.run("start").code(0);
    call.run("monitor").code(0);
    call.run("stop").code(0);
    let checked = call.clone().param("run_fsck", "force");
    checked.run("start").code(5).because(&["fsck", "not installed"]);
    let call = host.call("x", host.path("mnt"), "madeup").env("OCF_TESTER_FAIL_HAVE_BINARY", "1");
    call.run("start").code(5).because(&["the kernel has no file system madeup", "modprobe"]);
    call.run("monitor").code(7);
    call.run("stop").code(0);
    let call = call.param("fstype", "fuse.bindfs");
    call.run("start").code(5).because(&["mount.fuse is not installed", "fuse.bindfs"]);
    call.run("monitor").code(7);
    call.run("stop").code(0);
    host.is_clean();
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn the_helper_of_a_type() {
    let host = Host::new();
    host.sh("mkdir data; touch data/here");
    let call = host.call("cloud:data", host.path("mnt"), "madeup");
    let call = call.param("options", "noauto,nofail,x-systemd.after=a,ro,word=1,_netdev");
    let call = put(&host, call, "mount.madeup", &format!("{SAYS}; exec bindfs $OUT/data \"$2\""));
    for _ in 0..2 {
        call.run("start").code(0);
        call.run("monitor").code(0);
    }
    assert_eq!(said(&host), format!("cloud:data {} -o ro,word=1\n", host.text("mnt")));
    assert_eq!(host.sh("ls mnt"), "here\n");
    call.run("stop").code(0);
    assert_eq!(said(&host), "");
    host.is_clean();
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn a_helper_that_fails() {
    let host = Host::new();
    let call = host.call("x", host.path("mnt"), "madeup").within(3);
    let cases = [
        ("echo 'wrong credentials' >&2; exit 32", &["mount.madeup", "wrong credentials"][..]),
        ("kill -9 $$", &["mount.madeup"]),
        ("exit 0", &["nothing of it is mounted"]),
        ("exec sleep 4718", &["mount.madeup"]),
        ("mount -t tmpfs half $2; exit 1", &["mount.madeup"]),
    ];
    for (script, words) in cases {
        let call = put(&host, call.clone(), "mount.madeup", script);
        let failed = call.run("start").code(1).because(words);
        assert!(failed.took.as_secs_f64() < 3.0, "{script}: {:?}", failed.took);
        assert_eq!(host.sh("pgrep -f 'sleep 471[8]' || :"), "");
        call.run("monitor").code(7);
        call.run("stop").code(0);
        // What a stranger left is the stranger's.
        let _ = host.sh("umount mnt 2>/dev/null || :");
        host.is_clean();
    }
}

/// A real file system in user space (bindfs), by both ways to name it.
#[test]
#[ignore = "needs root: tests/run mounts"]
fn a_file_system_in_user_space() {
    each([("fuse.bindfs", ""), ("fuse", "bindfs#")], |(kind, before)| {
        let host = Host::new();
        host.sh("mkdir data; echo x >data/file");
        let device = format!("{before}{}", host.text("data"));
        let call = host.call(&device, host.path("mnt"), kind).param("options", "ro");
        let servers = || host.sh("pgrep -r D,R,S -x bindfs || :").lines().count();
        for _ in 0..2 {
            call.run("start").code(0);
            call.clone().recurring().run("monitor").code(0);
            assert_eq!((servers(), host.sh("cat mnt/file").as_str()), (1, "x\n"));
        }
        let mut user = host.leave("cd mnt; touch ../ready; exec sleep 60");
        call.run("stop").code(0);
        user.ended();
        await_that("the end of the server", || servers() == 0);
        host.is_clean();
        // A server that died leaves a mount that answers nobody, and goes all the same.
        call.run("start").code(0);
        host.sh("pkill -9 -x bindfs");
        await_that("the end of the server", || servers() == 0);
        call.run("stop").code(0);
        host.is_clean();
    });
}
