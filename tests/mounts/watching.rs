//! Watchers of mounts: what they tell of, and that none of them keeps a mount.
//!
//! Whom they tell is a program in the place of `crm_resource`, which writes down what it was called with.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use crate::support::{Call, Host, await_that, each};

/// What a fault may take to be told on a machine that does much else.
const SOON: Duration = Duration::from_secs(3);

/// A mount that is watched.
struct Watched {
    host: Host,
    call: Call,
}

impl Watched {
    #[track_caller]
    fn new(mount: impl FnOnce(&Host) -> Call) -> Self {
        let host = Host::new();
        fs::create_dir(host.path("bin")).unwrap();
        let program = host.path("bin/crm_resource");
        fs::write(&program, format!("#!/bin/sh\necho \"$*\" >> {}\n", host.text("told"))).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let call = mount(&host)
            .param("watch", "1")
            .param("crm_feature_set", "3.19.0")
            .param("CRM_meta_on_node", "node1")
            .env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", host.text("bin")));
        call.run("start").code(0);
        let watched = Self { host, call };
        // It has made its first look, and sleeps.
        await_that("the watcher to sleep", || {
            let waits = |pid| fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap_or_default();
            watched.watcher().is_some_and(|pid| waits(pid).contains("poll"))
        });
        watched
    }

    fn watcher(&self) -> Option<i32> {
        let numbers = self.host.sh("pgrep -f '^ocfbox watch' || true");
        numbers.split_whitespace().next()?.parse().ok()
    }

    fn told(&self) -> usize {
        fs::read_to_string(self.host.path("told")).unwrap_or_default().lines().count()
    }

    #[track_caller]
    fn is_told_of(&self, fault: impl FnOnce(&Host)) {
        assert_eq!(self.told(), 0, "{}", self.host.log());
        let begin = Instant::now();
        fault(&self.host);
        await_that("the cluster to be told", || self.told() > 0);
        let took = begin.elapsed();
        assert!(took < SOON, "told after {took:?}");
    }

    #[track_caller]
    fn ends(&self) {
        self.call.run("stop").code(0);
        assert_eq!(self.watcher(), None);
        self.host.is_clean();
    }
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn what_happens_to_a_mount_is_told_at_once() {
    let faults = ["umount mnt", "mount -o remount,ro mnt", "mount -t tmpfs over mnt"];
    each(faults, |fault| {
        let watched = Watched::new(|host| host.on_image("ext4"));
        watched.is_told_of(|host| {
            host.sh(fault);
        });
        watched.host.sh("! grep -q ' over ' /proc/self/mountinfo || umount mnt");
        watched.ends();
    });
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn an_error_that_the_file_system_counts_is_told_at_once() {
    let watched =
        Watched::new(|host| host.on_image("ext4").param("options", "loop,errors=continue"));
    watched.is_told_of(|host| {
        host.sh("d=$(losetup -j ext4.img | cut -d: -f1); echo x >/sys/fs/ext4/${d#/dev/}/trigger_fs_error");
    });
    watched.ends();
}

/// Mounts of others come and go, and what is in use is watched without being kept in use.
#[test]
#[ignore = "needs root: tests/run mounts"]
fn what_happens_to_others_is_not_told_and_nothing_is_kept() {
    let watched = Watched::new(|host| host.call("tmpfs", host.path("mnt"), "tmpfs"));
    for _ in 0..20 {
        watched.host.sh("mkdir -p other mnt/below; for at in other mnt/below; do mount -t tmpfs x $at; umount $at; done");
    }
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(watched.told(), 0, "{}", watched.host.log());
    assert!(watched.watcher().is_some());
    watched.ends();
    assert_eq!(watched.told(), 0);
}
