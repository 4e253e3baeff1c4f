//! Faults that monitor sees without a look at the disk.

use std::fs;

use crate::support::{Call, Host, each};

fn device_of(host: &Host, image: &str) -> String {
    let line = host.sh(&format!("losetup -j {image}"));
    line.split(':').next().unwrap().trim_start_matches("/dev/").to_owned()
}

#[track_caller]
fn ends_well(host: &Host, call: &Call) {
    call.run("stop").code(0);
    host.is_clean();
    call.run("start").code(0);
    call.run("monitor").code(0);
    call.run("stop").code(0);
    host.is_clean();
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn read_only_without_having_been_asked_for() {
    let host = Host::new();
    let call = host.on_image("ext4");
    call.run("start").code(0);
    host.sh("mount -o remount,ro mnt");
    call.run("monitor").code(1).because(&["read-only"]);
    call.run("start").code(1).because(&["read-only"]);
    host.sh("mount -o remount,rw mnt");
    call.run("monitor").code(0);
    host.sh("umount -l /sys");
    call.run("monitor").code(0);
    host.sh("mount -t sysfs sysfs /sys; mount -o remount,bind,ro mnt");
    call.run("monitor").code(1).because(&["remounted"]);
    ends_well(&host, &call);
    let asked = call.param("options", "loop,ro");
    asked.run("start").code(0);
    asked.run("monitor").code(0);
    asked.run("stop").code(0);
}

/// What was read-only from the beginning is no fault of its mount.
#[test]
#[ignore = "needs root: tests/run mounts"]
fn read_only_by_nature() {
    let host = Host::new();
    host.sh("mkdir one two base; mount -t tmpfs -o ro t base");
    let lower = format!("lowerdir={}:{}", host.text("one"), host.text("two"));
    let overlay = host.call("overlay", host.path("mnt"), "overlay").param("options", lower);
    let bind = host.call(&host.text("base"), host.path("mnt"), "none").param("options", "bind");
    for call in [&overlay, &bind] {
        call.run("start").code(0);
        call.clone().recurring().run("monitor").code(0);
        call.run("stop").code(0);
    }
    // What was writable and is not any more is a fault.
    host.sh("mount -o remount,rw base");
    bind.run("start").code(0);
    host.sh("mount -o remount,bind,ro mnt");
    bind.run("monitor").code(1).because(&["read-only", "remounted"]);
    bind.run("stop").code(0);
    host.sh("umount base");
    host.is_clean();
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn errors_that_an_ext4_counts() {
    let host = Host::new();
    let call = host.on_image("ext4").param("options", "loop,errors=continue");
    call.run("start").code(0);
    let device = device_of(&host, "ext4.img");
    fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "test").unwrap();
    call.run("monitor").code(1).because(&["errors", "e2fsck"]);
    // Old errors stand in the file system, and are no fault of a new mount.
    ends_well(&host, &call);
    assert!(host.log().contains("had errors before"), "{}", host.log());
}

/// What the kernel does about an error is an option of the mount; that there was one is a fault in any case.
#[test]
#[ignore = "needs root: tests/run mounts"]
fn errors_that_the_kernel_finds_by_itself() {
    each(["errors=continue", "errors=remount-ro", ""], |option| {
        let host = Host::new();
        let call = host.on_image("ext4").param("options", format!("loop,{option}"));
        call.run("start").code(0);
        host.sh("mkdir mnt/bad; touch mnt/bad/file");
        call.run("stop").code(0);
        // The directory's inode is destroyed, which shows when somebody looks into it.
        host.sh("debugfs -w -R 'clri /bad' ext4.img 2>/dev/null");
        call.run("start").code(0);
        call.run("monitor").code(0);
        host.sh("ls mnt/bad >/dev/null 2>&1 && exit 1; true");
        let words: &[&str] = &["not well", "errors in it", "e2fsck"];
        call.run("monitor").code(1).because(words);
        let device = device_of(&host, "ext4.img");
        let options = host.sh(&format!("grep {device} /proc/self/mountinfo"));
        assert_eq!(
            options.contains(" ro,") || options.contains("emergency_ro"),
            option.contains("remount"),
            "{options}"
        );
        call.run("stop").code(0);
        host.is_clean();
    });
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn an_xfs_that_was_shut_down() {
    let host = Host::new();
    let call = host.on_image("xfs");
    call.run("start").code(0);
    host.sh("xfs_io -x -c shutdown mnt");
    call.run("monitor").code(1).because(&["shut down"]);
    ends_well(&host, &call);
}

/// A monitor that asks the disk or the server could hang with it: it makes no call that looks into an ext4.
#[test]
#[ignore = "needs root: tests/run mounts"]
fn monitor_does_not_look_into_the_file_system_and_is_short() {
    let host = Host::new();
    let call = host.on_image("ext4").recurring();
    call.run("start").code(0);
    let trace = host.text("trace");
    call.run_behind(&["strace", "-f", "-o", &trace], "monitor").code(0);
    let text = fs::read_to_string(host.path("trace")).unwrap();
    let calls: Vec<&str> = text.lines().filter(|line| line.contains('(')).collect();
    let point = host.text("mnt");
    let behind = calls.iter().skip_while(|line| !line.contains("mountinfo"));
    let looks: Vec<_> = behind.filter(|line| line.contains(&format!("\"{point}"))).collect();
    assert!(looks.is_empty(), "{looks:?}");
    assert!(!calls.iter().any(|line| line.contains("fork") || line.contains("clone")), "{text}");
    assert!(calls.len() < 120, "{} calls", calls.len());
    call.run("stop").code(0);
}

/// The kernel's table may lack a line while it changes (before Linux 5.8): before anything is said to be gone it is read again.
#[test]
#[ignore = "needs root: tests/run mounts"]
fn what_is_not_there_is_looked_for_twice() {
    let host = Host::new();
    let call = host.call("tmpfs", host.path("mnt"), "tmpfs");
    let trace = host.text("trace");
    let looks = |action: &str, code: i32, behind: &str| {
        call.run_behind(&["strace", "-o", &trace], action).code(code);
        let text = fs::read_to_string(host.path("trace")).unwrap();
        let behind = text.rfind(behind).unwrap_or_else(|| panic!("no {behind}: {text}"));
        text[behind..].lines().filter(|line| line.contains("mountinfo\"")).count()
    };
    assert_eq!(looks("monitor", 7, "execve"), 2);
    call.run("start").code(0);
    assert_eq!(looks("monitor", 0, "execve"), 1);
    assert!(looks("stop", 0, "SIGCHLD") >= 2);
    host.is_clean();
}
