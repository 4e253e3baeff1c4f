//! Mount points with names that a shell would trip over.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::support::{Host, each};

#[test]
#[ignore = "needs root: tests/run mounts"]
fn any_name_is_a_name() {
    let host = Host::new();
    let names: [&[u8]; 7] =
        [b"a b", b"m[1]", b"m.x", b"tab\there", b"line\nbreak", b"\xff\xfe", b"back\\040slash"];
    for name in names {
        let path = host.path(OsStr::from_bytes(name));
        let call = host.call("tmpfs", &path, "tmpfs");
        call.run("start").code(0);
        let points: Vec<_> = host.mounts().into_iter().map(|(point, ..)| point).collect();
        assert_eq!(points, [path.as_os_str()]);
        call.run("monitor").code(0);
        call.run("stop").code(0);
        host.is_clean();
    }
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn a_neighbour_with_a_similar_name_is_a_stranger() {
    let host = Host::new();
    // As regular expressions or beginnings of names these would be one.
    for (ours, other) in [("m.x", "mux"), ("m", "mn"), ("m[1]", "m1")] {
        host.sh(&format!("mkdir '{other}'; mount -t tmpfs t '{other}'"));
        let call = host.call("tmpfs", host.path(ours), "tmpfs");
        call.run("monitor").code(7);
        call.run("stop").code(0);
        call.run("start").code(0);
        call.run("stop").code(0);
        assert_eq!(host.mounts().len(), 1, "the neighbour stays");
        host.sh(&format!("umount '{other}'"));
    }
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn a_mount_point_behind_symbolic_links_is_the_one_they_lead_to() {
    let host = Host::new();
    host.sh("mkdir -p real/dir; ln -s real link; ln -s ../link/dir real/again");
    let call = host.call("tmpfs", host.path("real/again/"), "tmpfs");
    call.run("start").code(0);
    assert_eq!(host.mounts()[0].0, host.path("real/dir"));
    for name in ["link/dir", "real/dir", "real/../link//dir/."] {
        host.call("tmpfs", host.path(name), "tmpfs").run("monitor").code(0);
    }
    host.call("tmpfs", host.path("link/dir"), "tmpfs").run("stop").code(0);
    host.is_clean();
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn what_is_mounted_over_it_is_seen() {
    let host = Host::new();
    let call = host.on_image("ext4").recurring();
    call.run("start").code(0);
    host.sh("mount -t tmpfs over mnt");
    call.run("monitor").code(1).because(&["over is mounted over it"]);
    call.run("stop").code(1).because(&["over is mounted over it"]);
    assert_eq!(host.mounts().len(), 2, "nothing was unmounted");
    host.sh("umount mnt");
    call.run("monitor").code(0);
    call.run("stop").code(0);
    host.is_clean();
}

/// The way to the mount point leads elsewhere by the time of the stop, and the device is mounted still.
#[test]
#[ignore = "needs root: tests/run mounts"]
fn a_link_on_the_way_that_was_changed() {
    let host = Host::new();
    host.sh("mkdir one two; ln -s one link");
    let image = host.image("ext4");
    let call = host.call(&image, host.path("link/mnt"), "ext4").param("options", "loop");
    call.run("start").code(0);
    host.sh("ln -sfn two link");
    call.run("monitor").code(1).because(&["is mounted at", "/one/mnt, and not at", "/two/mnt any"]);
    call.run("stop").code(0);
    assert_eq!(host.mounts(), []);
    call.run("monitor").code(7);
    host.sh("ln -sfn one link");
    call.run("start").code(0);
    call.run("monitor").code(0);
    call.run("stop").code(0);
    host.is_clean();
}

/// A start that is refused because of what was taken elsewhere does not unmount it there.
#[test]
#[ignore = "needs root: tests/run mounts"]
fn a_start_takes_back_only_what_it_did() {
    let host = Host::new();
    let call = host.on_image("ext4");
    call.run("start").code(0);
    host.sh("mkdir other; mount --bind mnt other; umount mnt; touch other/precious");
    for _ in 0..2 {
        call.run("start").code(2).because(&["is mounted at", "/other already"]);
        host.sh("ls other/precious");
    }
    call.run("stop").code(0);
    host.is_clean();
}

/// A reason has 199 letters, and what holds the mount has to be in them.
#[test]
#[ignore = "needs root: tests/run mounts"]
fn a_long_name_leaves_room_for_the_holder() {
    let host = Host::new();
    let long = format!("{}/{}/end", "a".repeat(250), "ä".repeat(120));
    let call = host.call("tmpfs", host.path(&long), "tmpfs").param("force_unmount", "safe");
    call.run("start").code(0);
    let user = host.leave(&format!("cd {long}; touch ../../../ready; exec sleep 60"));
    let words = ["cannot unmount …", "(sleep) works in …", "/end: ", "force_unmount=true"];
    call.run("stop").code(1).because(&words);
    drop(user);
    call.run("stop").code(0);
    host.is_clean();
}

/// The name to which `move` moves a mount may be somebody else's.
#[test]
#[ignore = "needs root: tests/run mounts"]
fn a_hidden_neighbour_is_a_stranger() {
    let host = Host::new();
    host.sh("mkdir .mnt; mount -t tmpfs t .mnt; touch .mnt/precious");
    let call = host.call("tmpfs", host.path("mnt"), "tmpfs");
    call.run("monitor").code(7);
    call.clone().recurring().run("monitor").code(7);
    call.run("start").code(0);
    call.run("stop").code(0);
    call.run("stop").code(0);
    host.sh("ls .mnt/precious; umount .mnt; chmod 700 .mnt");
    call.run("start").code(0);
    call.run("stop").code(0);
    assert!(host.path(".mnt").is_dir(), "an empty directory of others stays");
    host.is_clean();
}

/// Nobody can unmount what no path leads to; stop says so at once, and touches nobody.
#[test]
#[ignore = "needs root: tests/run mounts"]
fn what_is_mounted_over_a_directory_above_is_seen() {
    let host = Host::new();
    host.sh("mkdir -p above/mnt");
    let call = host.call("tmpfs", host.path("above/mnt"), "tmpfs").recurring();
    call.run("start").code(0);
    let mut user = host.leave("cd above/mnt; touch ../../ready; exec sleep 60");
    host.sh("mount -t tmpfs over above");
    call.run("monitor").code(1).because(&["is hidden", "over is mounted over it", "/above;"]);
    let stopped = call.run("stop").code(1);
    assert!(stopped.took.as_secs() < 5, "{:?}", stopped.took);
    stopped.because(&["over is mounted over it at", "/above; unmount that first"]);
    assert!(user.lives());
    host.sh("umount above");
    call.run("stop").code(0);
    user.ended();
    host.is_clean();
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn what_is_mounted_below_it_goes_with_it() {
    let host = Host::new();
    let call = host.on_image("ext4");
    call.run("start").code(0);
    host.sh("mkdir mnt/a other; mount -t tmpfs t mnt/a; mkdir mnt/a/b; mount -t tmpfs t mnt/a/b");
    // The same file system at another place keeps its device as much.
    host.sh("mount --bind mnt other");
    call.run("monitor").code(0);
    call.run("stop").code(0);
    host.is_clean();
}

/// "Stopped" is said of the device, and not of the place that somebody took it away from.
#[test]
#[ignore = "needs root: tests/run mounts"]
fn what_somebody_took_elsewhere_is_not_stopped() {
    let ways = ["mount --move mnt other", "mount --bind mnt other; umount mnt"];
    let cases = ways.iter().flat_map(|way| [("ext4", way), ("btrfs", way)]);
    each(cases, |(kind, commands)| {
        let host = Host::new();
        let call = host.on_image(kind);
        call.run("start").code(0);
        host.sh(&format!("mkdir other; {commands}"));
        for call in [call.clone(), call.clone().recurring()] {
            call.run("monitor").code(1).because(&["is mounted at", "/other", "/mnt any more"]);
        }
        call.run("stop").code(0);
        host.is_clean();
        call.run("monitor").code(7);
    });
}
