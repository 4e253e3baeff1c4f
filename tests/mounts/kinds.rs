//! File systems of each kind, from start to stop.

use std::fs;

use crate::support::{Call, Host, each};

/// start, monitor and stop, each twice; and what a program sees.
#[track_caller]
fn lives(host: &Host, call: &Call, kind: &str) {
    call.run("monitor").code(7);
    for _ in 0..2 {
        call.run("start").code(0);
        let mounts = host.mounts();
        let ours: Vec<_> =
            mounts.iter().filter(|(point, ..)| point.as_os_str() == host.path("mnt")).collect();
        assert_eq!(ours.len(), 1, "{mounts:?}");
        assert_eq!(ours[0].1, kind);
        call.run("monitor").code(0);
        call.clone().recurring().run("monitor").code(0);
    }
    host.sh("echo content >mnt/file; test content = $(cat mnt/file)");
    for _ in 0..2 {
        call.run("stop").code(0);
        call.run("monitor").code(7);
        call.clone().recurring().run("monitor").code(7);
    }
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn images_of_ext4_xfs_and_btrfs() {
    each(["ext4", "xfs", "btrfs"], |kind| {
        let host = Host::new();
        let call = host.on_image(kind);
        lives(&host, &call, kind);
        host.is_clean();
        // What was written is there again, and the type is found on the device.
        let call = call.param("fstype", "");
        call.run("start").code(0);
        host.sh("test content = $(cat mnt/file)");
        call.run("stop").code(0);
        host.is_clean();
    });
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn a_block_device_by_its_path_identity_and_name() {
    let host = Host::new();
    let image = host.image("ext4");
    host.sh("tune2fs -L 'my disk' ext4.img >/dev/null");
    let device = host.sh(&format!("losetup -f --show {image}")).trim().to_owned();
    let uuid = host.sh(&format!("tune2fs -l {device} | sed -n 's/^Filesystem UUID: *//p'"));
    let names = [
        device.clone(),
        format!("UUID={}", uuid.trim()),
        format!("-U {}", uuid.trim()),
        "LABEL=my disk".to_owned(),
    ];
    for name in &names {
        lives(&host, &host.call(name, host.path("mnt"), "ext4"), "ext4");
        assert_eq!(host.mounts(), []);
    }
    host.call("UUID=no-such", host.path("mnt"), "ext4")
        .run("start")
        .code(5)
        .because(&["no device here has UUID=no-such"]);
    host.sh(&format!("losetup -d {device}"));
    host.is_clean();
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn file_systems_without_a_device() {
    let host = Host::new();
    let tmpfs = host.call("tmpfs", host.path("mnt"), "tmpfs").param("options", "size=1M,noexec");
    lives(&host, &tmpfs, "tmpfs");
    host.is_clean();
    // On a tmpfs, since an overlay cannot have one as its upper directory.
    host.sh("mkdir base; mount -t tmpfs t base; cd base; mkdir low up work; echo low >low/below");
    let base = host.text("base");
    let options = format!("lowerdir={base}/low,upperdir={base}/up,workdir={base}/work");
    let overlay = host.call("overlay", host.path("mnt"), "overlay").param("options", options);
    lives(&host, &overlay, "overlay");
    assert_eq!(host.sh("cat base/up/file"), "content\n");
    // Longer than the new calls of the kernel take for one value.
    let long =
        format!("lowerdir={base}/low{},upperdir={base}/up,workdir={base}/work", "/.".repeat(200));
    lives(&host, &overlay.param("options", long), "overlay");
    host.sh("umount base");
    host.is_clean();
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn a_bind_mount_shows_that_directory_and_no_other() {
    let host = Host::new();
    host.sh("mkdir -p base; mount -t tmpfs t base; mkdir base/one base/two");
    let call = host.call(&host.text("base/one"), host.path("mnt"), "none");
    let call = call.param("options", "bind,nosuid");
    lives(&host, &call, "tmpfs");
    assert_eq!(host.sh("cat base/one/file"), "content\n");
    assert_eq!(host.mounts().len(), 1, "what it showed is still mounted");
    call.run("start").code(0);
    assert!(host.mounts().iter().any(|(.., options)| options.contains("nosuid")));
    let other = call.clone().param("device", host.text("base/two"));
    // The agent remembers which mount it made, so that only another one is a stranger.
    host.sh("umount mnt; mount --bind base/two mnt");
    call.clone().recurring().run("monitor").code(1).because(&["is mounted at", "instead"]);
    call.run("monitor").code(7);
    call.run("stop").code(0);
    assert_eq!(host.mounts().len(), 2, "a stranger's mount stays");
    other.run("stop").code(0);
    host.sh("umount base");
    host.is_clean();
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn the_subvolumes_of_a_btrfs_are_two_resources() {
    let host = Host::new();
    host.sh("truncate -s 120M b.img; mkfs.btrfs -q b.img; mkdir top");
    let device = host.sh("losetup -f --show b.img").trim().to_owned();
    host.sh(&format!("mount {device} top; btrfs -q subvolume create top/one; btrfs -q subvolume create top/two; umount top"));
    let call = |name: &str| {
        host.call(&device, host.path(name), "btrfs").param("options", format!("subvol={name}"))
    };
    call("one").run("start").code(0);
    call("two").run("start").code(0);
    assert_eq!(host.mounts().len(), 2);
    call("one").run("stop").code(0);
    assert_eq!(host.mounts().len(), 1, "the other one stays");
    call("two").run("monitor").code(0);
    // The topmost directory shows all of them, and is one more.
    let top = host.call(&device, host.path("top"), "btrfs");
    top.run("start").code(0);
    host.sh("mkdir other; mount --bind top other; ls top/two");
    top.run("stop").code(0);
    assert_eq!(host.mounts().len(), 1, "{:?}", host.mounts());
    call("two").run("monitor").code(0);
    call("two").run("stop").code(0);
    host.sh(&format!("losetup -d {device}"));
    host.is_clean();
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn two_callers_at_once_and_many_mounts_at_once() {
    let host = Host::new();
    let call = host.on_image("ext4");
    for _ in 0..5 {
        for action in ["start", "stop"] {
            let callers: Vec<_> = (0..3).map(|_| call.begin(action)).collect();
            for mut caller in callers {
                assert!(caller.wait().unwrap().success(), "{action}: {}", host.log());
            }
            call.run("monitor").code(if action == "start" { 0 } else { 7 });
        }
    }
    let many: Vec<_> =
        (0..30).map(|n| host.call("tmpfs", host.path(format!("m{n}")), "tmpfs")).collect();
    for action in ["start", "monitor", "stop"] {
        let running: Vec<_> = many.iter().map(|call| call.begin(action)).collect();
        for mut caller in running {
            assert!(caller.wait().unwrap().success(), "{action}: {}", host.log());
        }
    }
    host.is_clean();
    assert!(fs::read_dir(host.path("m7")).unwrap().next().is_none());
}
