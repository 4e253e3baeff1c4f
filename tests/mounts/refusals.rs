//! What start refuses, with the reason and nothing left behind.

use std::time::Duration;

use crate::support::{Host, await_that};

#[test]
#[ignore = "needs root: tests/run mounts"]
fn the_kernels_own_words_are_in_the_reason() {
    let host = Host::new();
    let call = host.on_image("ext4").param("options", "loop,nosuchoption=1");
    call.run("start").code(1).because(&["nosuchoption"]);
    host.is_clean();
    assert!(!host.path("mnt").exists(), "the directory that start made is gone");
    host.sh("truncate -s 1M empty.img");
    let call =
        host.call(&host.text("empty.img"), host.path("a/b"), "ext4").param("options", "loop");
    call.run("start").code(1).because(&["cannot mount", "/a/b"]);
    host.is_clean();
    assert!(!host.path("a").exists());
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn a_busy_mount_point_and_a_busy_device() {
    let host = Host::new();
    let call = host.on_image("ext4");
    host.sh("mkdir -p mnt/below; mount -t tmpfs t mnt");
    call.run("start").code(1).because(&["is mounted at", "instead"]);
    call.run("monitor").code(7);
    call.clone().recurring().run("monitor").code(1).because(&["instead"]);
    call.run("stop").code(0);
    assert_eq!(host.mounts().len(), 1, "a stranger's mount stays");
    host.sh("umount mnt; mount -t tmpfs t mnt/below");
    call.run("start").code(2).because(&["mounted below"]);
    host.sh("umount mnt/below; mkdir other; mount -o loop ext4.img other");
    call.run("start").code(2).because(&["is mounted at", "other", "shared_device"]);
    call.run("monitor").code(7);
    call.run("stop").code(0);
    assert_eq!(host.mounts().len(), 1, "another's mount of the same device stays");
    host.sh("umount other");
    host.is_clean();
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn a_device_that_only_a_container_has() {
    let host = Host::new();
    let call = host.on_image("ext4");
    host.sh("mkdir other; mount -o loop ext4.img other");
    let container =
        host.leave("exec unshare --mount --propagation private sh -c 'touch ready; exec sleep 63'");
    let device = host.sh("losetup -n -O NAME -j ext4.img").trim().to_owned();
    host.sh("umount other");
    let because = ["is mounted at", "/other in the mount namespace of process", "(sleep)"];
    call.run("start").code(2).because(&because);
    call.run("monitor").code(7);
    host.call(&device, host.path("mnt"), "ext4").run("start").code(2).because(&because);
    assert_eq!(host.mounts(), [], "a refused start leaves nothing");
    let allowed = host.call(&device, host.path("mnt"), "ext4").param("shared_device", "true");
    allowed.run("start").code(0);
    allowed.run("stop").code(0);
    drop(container);
    call.run("start").code(0);
    call.run("stop").code(0);
    host.is_clean();
}

/// Two loop devices of one file are two caches of one disk, by whatever name the file is found.
#[test]
#[ignore = "needs root: tests/run mounts"]
fn a_file_that_has_two_names() {
    let host = Host::new();
    let call = host.on_image("ext4");
    host.sh("ln ext4.img link.img; mkdir bound; mount --bind . bound; mkdir other");
    for name in ["link.img", "bound/ext4.img"] {
        host.sh(&format!("mount -o loop {name} other"));
        call.run("start").code(2).because(&["is mounted at", "/other already"]);
        host.sh("umount other");
    }
    call.run("start").code(0);
    let other = host.call(&host.text("link.img"), host.path("other"), "ext4");
    let other = other.param("options", "loop");
    other.run("start").code(2).because(&["is mounted at", "/mnt already"]);
    // The same name at another place is another file.
    host.sh("mkdir place");
    host.sh("mount -t tmpfs t place; mkfs.ext4 -q -F place/ext4.img 8M");
    let third = host.call(&host.text("place/ext4.img"), host.path("other"), "ext4");
    let third = third.param("options", "loop");
    third.run("start").code(0);
    third.run("stop").code(0);
    call.run("stop").code(0);
    host.sh("umount place bound");
    host.is_clean();
}

/// Nor do two have it who look at the same moment.
#[test]
#[ignore = "needs root: tests/run mounts"]
fn a_file_that_many_start_at_once() {
    let host = Host::new();
    let image = host.image("ext4");
    let calls: Vec<_> = (0..6)
        .map(|n| host.call(&image, host.path(format!("m{n}")), "ext4").param("options", "loop"))
        .collect();
    for _ in 0..6 {
        let starting: Vec<_> = calls.iter().map(|call| call.begin("start")).collect();
        let codes = starting.into_iter().map(|mut start| start.wait().unwrap().code());
        let mut codes: Vec<_> = codes.collect();
        codes.sort_unstable();
        assert_eq!(codes[..2], [Some(0), Some(2)], "{}", host.log());
        assert_eq!((codes[5], host.mounts().len()), (Some(2), 1));
        for call in &calls {
            call.run("stop").code(0);
        }
        host.is_clean();
    }
}

/// The driver of loop devices asks a file's own file system about it, which may have stopped answering.
#[test]
#[ignore = "needs root: tests/run mounts"]
fn another_files_loop_device_that_hangs() {
    let host = Host::new();
    let call = host.on_image("ext4");
    host.sh("mkdir source served; truncate -s 1M source/other.img source/ext4.img; mksquashfs source packed -quiet -no-progress");
    let mut server = host.leave("touch ready; exec squashfuse -f packed served");
    await_that("the files", || host.path("served/ext4.img").exists());
    let devices =
        host.sh("losetup -r -f --show served/other.img; losetup -r -f --show served/ext4.img");
    // So long the kernel believes what it was told last.
    std::thread::sleep(Duration::from_secs(2));
    host.sh("pkill -STOP -x squashfuse");
    let (started, stopped) = (call.run("start"), call.run("stop"));
    host.sh("timeout 1 stat served/other.img && exit 1; pkill -CONT -x squashfuse");
    for device in devices.lines() {
        host.sh(&format!("losetup -d {device}"));
    }
    await_that("the end of the loop devices", || {
        host.sh("losetup -a").lines().all(|line| !line.contains("/served/"))
    });
    host.sh("umount served");
    server.ended();
    assert!(started.took < Duration::from_secs(8), "{:?}", started.took);
    started.code(0);
    stopped.code(0);
    host.is_clean();
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn whoever_would_mount_it_too() {
    let host = Host::new();
    let point = host.text("mnt");
    host.sh(&format!("cp /etc/fstab fstab; echo '/dev/x {point} ext4 defaults 0 0' >>fstab; mount --bind fstab /etc/fstab"));
    let call = host.call("tmpfs", &point, "tmpfs");
    call.run("start").code(2).because(&["/etc/fstab", "noauto"]);
    call.clone().env("OCF_CHECK_LEVEL", "10").run("validate-all").code(2).because(&["noauto"]);
    host.sh("sed -i s/defaults/noauto/ fstab; umount /etc/fstab; mount --bind fstab /etc/fstab");
    call.run("start").code(0);
    call.run("stop").code(0);
    host.sh("umount /etc/fstab");
    host.is_clean();
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn what_is_missing_or_wrong_everywhere() {
    let host = Host::new();
    let point = host.path("mnt");
    let call = host.call("/dev/nosuch", &point, "ext4").within(4);
    call.run("start").code(5).because(&["there is no device /dev/nosuch"]);
    call.run("monitor").code(7);
    call.run("stop").code(0);
    let call = host.call("x", &point, "nosuchtype");
    call.run("start").code(5);
    call.run("monitor").code(7);
    call.run("stop").code(0);
    for (name, value) in [
        ("directory", "/"),
        ("directory", "relative"),
        ("options", "remount,ro"),
        ("force_unmount", "perhaps"),
        ("term_signals", "SIGNOTHING"),
        ("run_fsck", "maybe"),
        ("fstype", "../../bin/sh"),
    ] {
        let call = host.call("tmpfs", &point, "tmpfs").param(name, value);
        call.run("start").code(6).because(&[name]);
        call.run("monitor").code(7);
        call.run("stop").code(0);
    }
    let clone = host.on_image("ext4").param("CRM_meta_clone_max", "2");
    clone.run("start").code(6).because(&["several nodes"]);
    clone.param("force_clones", "true").run("start").code(0);
    host.sh("umount mnt");
}

/// A stop that fails ends the node, which is no way to get rid of a small file.
#[test]
#[ignore = "needs root: tests/run mounts"]
fn a_record_that_cannot_be_removed_is_no_reason_to_fail() {
    let host = Host::new();
    let call = host.on_image("ext4");
    call.run("start").code(0);
    host.sh("mount -o remount,ro /run");
    call.run("monitor").code(0);
    call.run("stop").code(0);
    assert_eq!(host.mounts(), []);
    call.run("monitor").code(7);
    call.run("stop").code(0);
    call.run("start").code(1).because(&["cannot write the state file"]);
    assert_eq!(host.mounts(), []);
    host.sh("mount -o remount,rw /run");
    call.run("start").code(0);
    call.run("stop").code(0);
    host.is_clean();
}
