//! Who keeps a mount busy, and what becomes of them.

use crate::support::{Call, Host, await_that, each};

fn started(host: &Host) -> Call {
    let call = host.on_image("ext4");
    call.run("start").code(0);
    host.sh("cp $(command -v sleep) mnt/program; echo x >mnt/file");
    call
}

/// Each way to use a mount; every one leaves a process that does and no other.
const USES: [(&str, &str); 5] = [
    ("works in", "cd mnt; touch ../ready; exec sleep 60"),
    ("has open", "exec 9<mnt/file; touch ready; exec sleep 60"),
    ("executes", "mnt/program 60 & touch ready; wait"),
    (
        "has mapped",
        "exec /usr/bin/python3 -c 'import ctypes,os,time\nf=os.open(\"mnt/file\",os.O_RDONLY)\nctypes.CDLL(None).mmap(None,4096,1,2,f,0)\nos.close(f)\nopen(\"ready\",\"w\")\ntime.sleep(60)'",
    ),
    (
        "has its root at",
        "exec /usr/bin/python3 -c 'import os,time\nd=os.open(\".\",os.O_RDONLY)\nos.chroot(\"mnt\")\nos.open(\"ready\",os.O_CREAT|os.O_WRONLY,dir_fd=d)\ntime.sleep(60)'",
    ),
];

#[test]
#[ignore = "needs root: tests/run mounts"]
fn whoever_uses_it_in_whatever_way_is_ended() {
    each(USES, |(how, commands)| {
        let host = Host::new();
        let call = started(&host);
        let mut user = host.leave(commands);
        let named = call.clone().param("force_unmount", "safe");
        named.run("stop").code(1).because(&["cannot unmount", how, "force_unmount=true"]);
        assert!(user.lives(), "safe ends nobody: {how}");
        call.run("monitor").code(0);
        call.run("stop").code(0);
        user.ended();
        host.is_clean();
    });
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn a_thread_with_a_directory_of_its_own_is_found() {
    let host = Host::new();
    let call = started(&host);
    let script = "import os,threading,time,ctypes\n\
        def work():\n  ctypes.CDLL(None).unshare(0x200)\n  os.chdir(\"mnt\")\n  open(\"../ready\",\"w\")\n  time.sleep(60)\n\
        threading.Thread(target=work).start()\ntime.sleep(60)";
    let mut user = host.leave(&format!("exec /usr/bin/python3 -c '{script}'"));
    call.clone().param("force_unmount", "no").run("stop").code(1).because(&["python3", "works in"]);
    call.run("stop").code(0);
    user.ended();
    host.is_clean();
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn strangers_live() {
    let host = Host::new();
    let call = started(&host);
    host.sh(
        "mkdir mnt2 'mnt (deleted)' elsewhere; mount -t tmpfs t elsewhere; mkdir elsewhere/mnt",
    );
    let mut strangers = [
        host.leave("cd mnt2; touch ../ready; exec sleep 60"),
        host.leave("cd 'mnt (deleted)'; touch ../ready; exec sleep 60"),
        host.leave("cd elsewhere/mnt; touch ../../ready; exec sleep 60"),
        // It was there before something was mounted over it.
        {
            host.sh("mkdir deep");
            host.leave("cd deep; touch ../ready; exec sleep 60")
        },
    ];
    let over = host.call("tmpfs", host.path("deep"), "tmpfs");
    over.run("start").code(0);
    let mut user = host.leave("cd deep; touch ../ready; exec sleep 60");
    over.run("stop").code(0);
    user.ended();
    let mut user = host.leave("cd mnt; touch ../ready; exec sleep 60");
    call.run("stop").code(0);
    user.ended();
    assert!(strangers.iter_mut().all(crate::support::Left::lives), "{}", host.log());
    drop(strangers);
    host.sh("umount elsewhere");
    host.is_clean();
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn who_takes_no_notice_is_killed_in_the_second_half() {
    let host = Host::new();
    let call = started(&host).within(4);
    let mut deaf = host.leave("trap '' TERM; cd mnt; touch ../ready; while :; do sleep 0.1; done");
    let stopped = call.run("stop").code(0);
    assert!(stopped.took.as_secs_f64() > 1.5, "asked first: {:?}", stopped.took);
    deaf.ended();
    host.is_clean();
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn who_called_the_agent_is_never_ended() {
    let host = Host::new();
    let call = started(&host).within(3);
    let outcome = call.run_behind(
        &[
            "sh",
            "-c",
            "cd \"$OCF_RESKEY_directory\"; \"$@\"; code=$?; echo lives >&2; exit $code",
            "sh",
        ],
        "stop",
    );
    assert!(outcome.stderr.contains("lives"), "{}", outcome.stderr);
    outcome.code(1).because(&["(sh) works in", "protected"]);
    call.run("stop").code(0);
    host.is_clean();
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn the_cluster_is_never_ended() {
    let host = Host::new();
    let call = started(&host).within(3);
    host.sh("cp $(command -v sleep) corosync");
    let mut cluster = host.leave("cd mnt; touch ../ready; exec ../corosync 60");
    await_that("its name", || !host.sh("pgrep -x corosync || :").is_empty());
    call.run("stop").code(1).because(&["(corosync) works in", "protected"]);
    assert!(cluster.lives());
    drop(cluster);
    call.run("stop").code(0);
    host.is_clean();
}

/// Whoever uses it may hang, and so may who looks at it: stop asks the kernel only, and signals by descriptors.
#[test]
#[ignore = "needs root: tests/run mounts"]
fn stop_does_not_look_into_the_file_system() {
    let host = Host::new();
    let call = started(&host);
    let mut user = host.leave("cd mnt; touch ../ready; exec sleep 60");
    let (trace, point) = (host.text("trace"), host.text("mnt"));
    call.run_behind(&["strace", "-o", &trace], "stop").code(0);
    user.ended();
    let text = std::fs::read_to_string(host.path("trace")).unwrap();
    let looks: Vec<_> = text.lines().filter(|line| line.contains(&format!("\"{point}"))).collect();
    assert!(looks.iter().all(|line| line.contains("execve(")), "{looks:?}");
    assert!(text.contains("pidfd_send_signal("), "{text}");
    for call in ["\nkill(", "\ntgkill(", "\nsync(", "\nsyncfs("] {
        assert!(!text.contains(call), "{call}");
    }
    host.is_clean();
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn devices_that_stand_on_it_are_named() {
    let host = Host::new();
    let call = started(&host).within(3);
    host.sh("truncate -s 1M mnt/inner");
    let device = host.sh("losetup -f --show mnt/inner").trim().to_owned();
    call.run("stop").code(1).because(&["loop device", &device, "losetup -d"]);
    host.sh(&format!("losetup -d {device}"));
    call.run("stop").code(0);
    host.is_clean();
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn a_mount_that_is_always_used_anew_is_moved_out_of_reach() {
    let host = Host::new();
    let call =
        started(&host).within(6).param("force_unmount", "move").param("term_signals", "CONT");
    // Ever new processes come by the path, more than die.
    let mut users = host.leave("touch ready; while [ ! -e end ]; do (cd mnt 2>/dev/null && exec sleep 0.4) & sleep 0.01; done; wait");
    await_that("a user", || host.sh("ls -l /proc/*/cwd 2>/dev/null || :").contains("/mnt"));
    call.run("stop").code(0);
    host.sh("touch end");
    users.ended();
    assert!(!host.path(".mnt").exists());
    host.is_clean();
}
