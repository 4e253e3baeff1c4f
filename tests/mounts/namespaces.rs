//! Mounts that live on in other mount namespaces, and those that share.

use crate::support::{Host, each};

#[test]
#[ignore = "needs root: tests/run mounts"]
fn a_copy_in_a_namespace_of_others_goes_too_and_its_processes_live() {
    let host = Host::new();
    let call = host.on_image("ext4");
    call.run("start").code(0);
    let mut container =
        host.leave("exec unshare --mount --propagation private sh -c 'touch ready; exec sleep 60'");
    let pid = host.sh("until pgrep -f '^sleep 60'; do sleep 0.01; done").trim().to_owned();
    let seen = || host.sh(&format!("grep -c '/mnt ' /proc/{pid}/mountinfo || :"));
    assert_eq!(seen().trim(), "1");
    call.run("stop").code(0);
    assert_eq!(seen().trim(), "0");
    assert!(container.lives());
    host.is_clean();
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn a_user_in_a_namespace_of_others_is_named_and_ended() {
    let host = Host::new();
    let call = host.on_image("ext4");
    call.run("start").code(0);
    let mut container = host.leave(
        "exec unshare --mount --propagation private sh -c 'cd mnt; touch ../ready; exec sleep 60'",
    );
    call.clone()
        .param("force_unmount", "safe")
        .run("stop")
        .code(1)
        .because(&["in the mount namespace of process", "(sleep) works in"]);
    // It is gone here, but not from the device.
    call.run("stop").code(0);
    container.ended();
    host.is_clean();
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn a_lazily_unmounted_file_system_is_not_called_gone() {
    each(["ext4", "xfs", "btrfs"], |kind| {
        let host = Host::new();
        let call = host.on_image(kind).within(5);
        call.run("start").code(0);
        host.sh("mkdir other; mount --bind mnt other");
        let user = host.leave("cd other; touch ../ready; exec sleep 60");
        host.sh("umount -l other");
        for _ in 0..2 {
            call.run("stop").code(1).because(&["unmounted lazily"]);
            call.run("monitor").code(1).because(&["the kernel still has it"]);
        }
        drop(user);
        call.run("stop").code(0);
        call.run("monitor").code(7);
        host.is_clean();
    });
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn a_shared_mount_spreads_and_goes() {
    let host = Host::new();
    host.sh(
        "mkdir base peer; mount -t tmpfs t base; mount --make-shared base; mount --bind base peer",
    );
    let image = host.image("ext4");
    let call = host.call(&image, host.path("base/mnt"), "ext4").param("options", "loop,private");
    call.run("start").code(0);
    assert_eq!(host.mounts().len(), 4, "{:?}", host.mounts());
    call.run("monitor").code(0);
    call.run("stop").code(0);
    host.sh("umount base peer");
    host.is_clean();
}

/// With systemd all mounts share: what is mounted below what a bind mount shows is mounted below that as well.
#[test]
#[ignore = "needs root: tests/run mounts"]
fn what_a_bind_mount_shows_keeps_what_is_mounted_on_it() {
    each([("bind", true), ("rbind", false), ("rbind", true)], |(options, later)| {
        let host = Host::new();
        host.sh("mkdir base; mount -t tmpfs t base; mount --make-shared base; mkdir -p base/a/b");
        let mount = || {
            host.sh("mount -t tmpfs t base/a/b; mkdir base/a/b/c; mount -t tmpfs t base/a/b/c; touch base/a/b/c/precious")
        };
        if !later {
            mount();
        }
        let call = host.call(&host.text("base/a"), host.path("mnt"), "none");
        let call = call.param("options", options);
        call.run("start").code(0);
        if later {
            mount();
        }
        host.sh("ls mnt/b/c/precious");
        let mut user = host.leave("cd base/a/b/c; touch ../../../../ready; exec sleep 60");
        call.run("stop").code(0);
        host.sh("ls base/a/b/c/precious");
        assert_eq!(host.mounts().len(), 3, "{:?}", host.mounts());
        assert!(user.lives());
        drop(user);
        host.sh("umount base/a/b/c base/a/b base");
        host.is_clean();
    });
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn what_a_container_has_mounted_on_its_copy_goes_with_it() {
    let host = Host::new();
    let call = host.on_image("ext4");
    call.run("start").code(0);
    host.sh("mkdir mnt/a");
    let mut container = host.leave(
        "exec unshare --mount --propagation private sh -c 'mount -t tmpfs t mnt/a; mkdir mnt/a/b; mount -t tmpfs t mnt/a/b; touch ready; exec sleep 60'",
    );
    let stopped = call.run("stop").code(0);
    assert!(stopped.took.as_secs() < 5, "{:?}", stopped.took);
    assert!(container.lives());
    host.is_clean();
}
