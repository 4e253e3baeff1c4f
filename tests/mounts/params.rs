//! Each parameter with each kind of value, on real file systems.

use crate::support::{Call, Host, each};

/// start, monitor and stop of what can be mounted, with a look in between.
#[track_caller]
fn works(host: &Host, call: &Call, look: impl FnOnce(&Host)) {
    call.run("start").code(0);
    call.clone().recurring().run("monitor").code(0);
    look(host);
    call.run("stop").code(0);
    call.run("monitor").code(7);
}

/// The options that the kernel shows of the only mount: its own, and those of the file system.
fn options(host: &Host) -> String {
    let point = host.text("mnt");
    host.sh(&format!("awk '$5 == \"{point}\" {{print $6 \",\" $NF}}' /proc/self/mountinfo"))
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn words_of_options() {
    let host = Host::new();
    let call = host.on_image("ext4");
    // What is given, what is to be seen, and what is not.
    let cases = [
        ("ro", "ro", "rw"),
        ("ro,rw", "rw", "ro"),
        ("nosuid,nodev,noexec", "nosuid,nodev,noexec", "ro"),
        ("nosuid,suid", "rw", "nosuid"),
        ("noatime", "noatime", "relatime"),
        ("nodiratime", "nodiratime", "noatime"),
        ("strictatime", "rw", "relatime"),
        ("relatime", "relatime", "noatime"),
        ("sync,dirsync", "sync", "ro"),
        ("lazytime", "lazytime", "ro"),
        ("nosymfollow", "nosymfollow", "nosuid"),
        ("user", "nosuid,nodev,noexec", "user"),
        ("owner,suid", "nodev", "nosuid"),
        ("defaults,nofail,_netdev,noauto,x-systemd.after=x", "rw", "_netdev"),
        ("errors=remount-ro,commit=7", "errors=remount-ro,commit=7", "ro"),
    ];
    for (given, seen, unseen) in cases {
        let call = call.clone().param("options", format!("loop,{given}"));
        works(&host, &call, |host| {
            let shown = options(host);
            let words: Vec<&str> = shown.trim().split(',').collect();
            for word in seen.split(',') {
                assert!(words.contains(&word), "{given}: no {word} in {shown}");
            }
            assert!(!words.contains(&unseen), "{given}: {unseen} in {shown}");
        });
    }
    host.is_clean();
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn a_part_of_a_file() {
    let host = Host::new();
    host.sh("truncate -s 40M disk; mkfs.ext4 -q -F -E offset=1048576 disk 16M");
    host.sh("truncate -s 16M second; mkfs.ext4 -q -F second; dd if=second of=disk bs=1M seek=20 conv=notrunc 2>/dev/null");
    let disk = host.text("disk");
    let part = |point: &str, options: &str| {
        host.call(&disk, host.path(point), "ext4").param("options", options)
    };
    let (one, two) =
        (part("one", "loop,offset=1M,sizelimit=16M"), part("two", "loop,offset=20971520"));
    one.run("start").code(0);
    two.run("start").code(0);
    let shown = host.sh("losetup -n -O OFFSET,SIZELIMIT -j disk | sort -n | tr -s ' '");
    assert_eq!(shown.trim(), "1048576 16777216\n20971520 0");
    host.sh("echo one >one/file; echo two >two/file");
    one.run("stop").code(0);
    two.run("monitor").code(0);
    assert_eq!(host.sh("cat two/file"), "two\n");
    // The same part twice would be two caches of one disk.
    let again = part("again", "loop,offset=20M");
    again.run("start").code(2).because(&["is mounted at", "two", "shared_device"]);
    two.run("stop").code(0);
    part("one", "loop,offset=3M").run("start").code(1).because(&["cannot mount"]);
    host.is_clean();
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn by_what_stands_on_the_device() {
    let host = Host::new();
    host.sh("truncate -s 16M disk; mkfs.ext4 -q -F -U 5ca1ab1e-0000-4000-8000-00000000beef -L deep disk");
    let device = host.sh("losetup -f --show disk").trim().to_owned();
    for name in [
        "UUID=5CA1AB1E-0000-4000-8000-00000000BEEF",
        "--uuid=5ca1ab1e-0000-4000-8000-00000000beef",
        "-U 5ca1ab1e-0000-4000-8000-00000000beef",
        "-L deep",
        "--label  deep",
        "LABEL=\"deep\"",
    ] {
        let call = host.call(name, host.path("mnt"), "ext4");
        works(&host, &call, |host| {
            let shown = host.sh(&format!("findmnt -n -o SOURCE {}", host.text("mnt")));
            assert_eq!(shown.trim(), device, "{name}");
        });
    }
    for name in ["PARTUUID=12345678-02", "PARTLABEL=none", "LABEL=dee", "UUID=", "LABEL="] {
        let call = host.call(name, host.path("mnt"), "ext4").within(4);
        call.run("start").code(5).because(&["no device here has"]);
        call.run("monitor").code(7);
        call.run("stop").code(0);
    }
    host.sh(&format!("losetup -d {device}"));
    host.is_clean();
}

/// Where udev is, its links are what counts, and only it knows the names of partitions. The kernel of a test may know no
/// partitions at all, so that the links are made by hand.
#[test]
#[ignore = "needs root: tests/run mounts"]
fn links_of_udev() {
    let host = Host::new();
    let image = host.image("ext4");
    let device = host.sh(&format!("losetup -f --show {image}")).trim().to_owned();
    host.sh(&format!(
        "mkdir dev; mount -t tmpfs dev dev; cp -a /dev/null /dev/urandom /dev/loop* dev; cd dev
         mkdir -p disk/by-partlabel disk/by-partuuid disk/by-label
         ln -s ../../{0} 'disk/by-partlabel/my\\x20part'; ln -s ../../{0} disk/by-partuuid/12345678-01
         ln -s ../../{0} 'disk/by-label/a\\x2fb'; ln -s ../../none disk/by-label/stale; mount --bind . /dev",
        device.trim_start_matches("/dev/")
    ));
    for name in ["PARTLABEL=my part", "PARTUUID=12345678-01", "LABEL=a/b", "-L a/b"] {
        let call = host.call(name, host.path("mnt"), "ext4");
        works(&host, &call, |host| {
            let shown = host.sh(&format!("findmnt -n -o FSTYPE {}", host.text("mnt")));
            assert_eq!(shown, "ext4\n", "{name}");
        });
    }
    let stale = host.call("LABEL=stale", host.path("mnt"), "ext4").within(4);
    stale.run("start").code(5).because(&["no device here has LABEL=stale"]);
    // A link that appears while start waits for it.
    let late = host.call("LABEL=late", host.path("mnt"), "ext4");
    let mut starting = late.begin("start");
    host.sh(&format!("sleep 0.7; ln -s {device} /dev/disk/by-label/late"));
    assert!(starting.wait().unwrap().success(), "{}", host.log());
    late.run("stop").code(0);
    // What stands there is by its link another one than what is asked for, and somebody else's.
    host.sh(&format!(
        "mkdir -p /dev/disk/by-uuid; ln -s {device} /dev/disk/by-uuid/ab-cd; mount {device} mnt"
    ));
    for (name, code) in [("UUID=AB-CD", 0), ("UUID=ab-ce", 7), ("LABEL=A/B", 7), ("LABEL=late", 0)]
    {
        host.call(name, host.path("mnt"), "ext4").run("monitor").code(code);
    }
    host.call("UUID=ab-ce", host.path("mnt"), "ext4").run("stop").code(0);
    host.sh("umount mnt");
    host.sh(&format!("losetup -d {device}; umount -l /dev dev"));
    host.is_clean();
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn a_subvolume_by_its_number() {
    let host = Host::new();
    host.sh("truncate -s 120M b.img; mkfs.btrfs -q b.img; mkdir top; mount -o loop b.img top; btrfs -q subvolume create top/sub; touch top/sub/here");
    let id = host.sh("btrfs subvolume list top | awk '{print $2}'").trim().to_owned();
    host.sh("umount top");
    let call = host.call(&host.text("b.img"), host.path("mnt"), "btrfs");
    let call = call.param("options", format!("loop,subvolid={id},compress=zstd"));
    works(&host, &call, |host| {
        assert_eq!(host.sh("ls mnt"), "here\n");
        assert!(options(host).contains("compress=zstd"), "{}", options(host));
    });
    // Another subvolume of the same device is not this resource.
    host.sh("mount -o loop b.img mnt");
    call.run("monitor").code(7);
    call.clone().recurring().run("monitor").code(1).because(&["instead"]);
    call.run("stop").code(0);
    assert_eq!(host.mounts().len(), 1);
    host.sh("umount mnt");
    host.is_clean();
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn directories_at_other_places() {
    let host = Host::new();
    host.sh("mkdir base; mount -t tmpfs t base; mkdir base/in; mount -t tmpfs deep base/in; touch base/in/deep");
    let call = host.call(&host.text("base"), host.path("mnt"), "none");
    // The type of a bind mount means nothing, and people write many.
    for kind in ["none", "", "ext4", "bind"] {
        let call = call.clone().param("fstype", kind);
        works(&host, &call.param("options", "bind"), |host| {
            assert_eq!(host.sh("ls -A mnt mnt/in"), "mnt:\nin\n\nmnt/in:\n");
        });
    }
    works(&host, &call.clone().param("options", "rbind"), |host| {
        assert_eq!(host.sh("ls mnt/in"), "deep\n");
    });
    works(&host, &call.clone().param("options", "bind,ro,noexec"), |host| {
        assert!(options(host).starts_with("ro,") && options(host).contains("noexec"));
        host.sh("touch base/writable");
    });
    let forgotten = call.clone();
    forgotten.run("start").code(5).because(&["is no block device", "`bind`"]);
    forgotten.run("monitor").code(7);
    forgotten.run("stop").code(0);
    let missing = call.param("device", host.text("none")).param("options", "bind");
    missing.run("start").code(1).because(&["No such file or directory"]);
    missing.run("stop").code(0);
    host.sh("umount base/in base");
    host.is_clean();
}

/// As `mount -t none` does, the type `none` of a device is found out, and so are types that are read-only by nature.
#[test]
#[ignore = "needs root: tests/run mounts"]
fn a_type_that_is_not_told() {
    let host = Host::new();
    let call = host.on_image("ext4").param("fstype", "none");
    works(&host, &call, |_| {});
    host.sh("mkdir content; touch content/here; mksquashfs content s.img -quiet >/dev/null");
    let call = host.call(&host.text("s.img"), host.path("mnt"), "").param("options", "loop,ro");
    works(&host, &call, |host| assert_eq!(host.sh("ls mnt"), "here\n"));
    host.sh("truncate -s 1M nothing");
    let call = call.param("device", host.text("nothing"));
    call.run("start").code(1).because(&["cannot tell which file system", "fstype"]);
    host.is_clean();
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn words_of_force_unmount() {
    let patient = ["false", "no", "", "safe", "true,safe", "safe,move"];
    let forceful = ["true", "yes", "1", "ja", "false,true", "nomove,xargs,nops", "move"];
    let cases =
        patient.map(|word| (word, false)).into_iter().chain(forceful.map(|word| (word, true)));
    each(cases, |(word, ends)| {
        let host = Host::new();
        let call = host.call("tmpfs", host.path("mnt"), "tmpfs").within(4);
        let call = call.param("force_unmount", word);
        call.run("start").code(0);
        let mut user = host.leave("cd mnt; touch ../ready; exec sleep 60");
        let stopped = call.run("stop");
        if ends {
            stopped.code(0);
            user.ended();
        } else {
            let pid = host.sh("pgrep -x sleep | tail -n 1").trim().to_owned();
            stopped.code(1).because(&[
                &format!("{pid} (sleep) works in"),
                "mnt",
                "force_unmount=true",
            ]);
            assert!(user.lives(), "{word}");
            call.run("monitor").code(0);
        }
    });
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn the_signals_that_are_asked_for() {
    let host = Host::new();
    let call = host.call("tmpfs", host.path("mnt"), "tmpfs").within(8).param("signal_delay", "0.2");
    let deaf = "for s in TERM INT HUP USR1 USR2; do trap \"echo $s >>../heard\" $s; done";
    let work = "cd mnt; touch ../ready; while :; do sleep 0.05 || :; done";
    call.run("start").code(0);
    let mut user = host.leave(&format!("{deaf}; {work}"));
    let call = call.param("term_signals", "USR1 SIGUSR2").param("kill_signals", "HUP,9");
    call.run("stop").code(0);
    user.ended();
    let heard = host.sh("cat heard; rm heard");
    let first: Vec<&str> = heard.lines().take(2).collect();
    assert_eq!(first, ["USR1", "USR2"], "{heard}");
    assert!(!heard.contains("TERM") && heard.lines().count() >= 4, "more than once: {heard}");
    // Who ends at the first signal is not sent the others.
    call.run("start").code(0);
    let mut user = host.leave(&format!("trap 'echo USR1 >>../heard; exit' USR1; {work}"));
    let stopped = call.param("term_signals", "SIGUSR1").run("stop").code(0);
    user.ended();
    assert_eq!(host.sh("cat heard"), "USR1\n");
    assert!(stopped.took.as_secs_f64() < 3.5, "{:?}", stopped.took);
    host.is_clean();
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn a_fast_stop() {
    let host = Host::new();
    // With the whole minute the second half would begin after 27 s.
    let call = host.call("tmpfs", host.path("mnt"), "tmpfs").within(60).param("fast_stop", "yes");
    call.run("start").code(0);
    let mut user =
        host.leave("trap '' TERM; cd mnt; touch ../ready; while :; do sleep 0.1 || :; done");
    let took = call.run("stop").code(0).took.as_secs_f64();
    user.ended();
    assert!((2.5..12.0).contains(&took), "{took}");
    // Empty is the default, as for the shell agent.
    let call = call.param("fast_stop", "");
    call.run("validate-all").code(0);
    host.is_clean();
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn one_device_at_two_places() {
    let host = Host::new();
    let image = host.image("ext4");
    let device = host.sh(&format!("losetup -f --show {image}")).trim().to_owned();
    let at = |name: &str| host.call(&device, host.path(name), "ext4");
    at("one").run("start").code(0);
    at("two").run("start").code(2).because(&["is mounted at", "/one", "shared_device=true"]);
    let both = |name: &str| at(name).param("shared_device", "true");
    both("two").run("start").code(0);
    both("two").run("stop").code(0);
    at("one").run("monitor").code(0);
    both("two").run("start").code(0);
    // Without the parameter stop means the device: nothing of it may be mounted when another node gets it.
    at("one").run("stop").code(0);
    host.is_clean_but_for(&device);
    both("two").run("stop").code(0);
    // Twice at one place is one resource.
    at("one").run("start").code(0);
    host.sh("mount --bind one one");
    at("one").run("monitor").code(0);
    at("one").run("stop").code(0);
    host.is_clean_but_for(&device);
    host.sh(&format!("losetup -d {device}"));
    host.is_clean();
}

/// Of two resources that have the same mount point only one is there.
#[test]
#[ignore = "needs root: tests/run mounts"]
fn two_resources_at_one_place() {
    let host = Host::new();
    let one = host.on_image("ext4");
    host.sh("cp ext4.img other.img; tune2fs -U random other.img >/dev/null 2>&1");
    let other = one.clone().param("device", host.text("other.img"));
    one.run("start").code(0);
    other.run("monitor").code(7);
    other.clone().recurring().run("monitor").code(1).because(&["instead"]);
    other.run("start").code(1).because(&["is mounted at", "instead"]);
    other.run("stop").code(0);
    one.clone().recurring().run("monitor").code(0);
    one.run("stop").code(0);
    host.is_clean();
    other.run("start").code(0);
    one.run("monitor").code(7);
    other.run("stop").code(0);
    host.is_clean();
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn what_is_cloned() {
    let host = Host::new();
    let image = host.image("ext4");
    let cloned = |kind: &str, options: &str| {
        let call = host.call(&image, host.path("mnt"), kind).param("options", options);
        call.param("CRM_meta_clone_max", "2")
    };
    for (kind, options) in [("ext4", "loop"), ("ext4", "loop,ro"), ("", "loop"), ("none", "loop")] {
        let call = cloned(kind, options);
        call.run("start").code(6).because(&["parameter fstype", "do not clone it"]);
        call.run("validate-all").code(6);
        call.run("monitor").code(7);
        call.run("stop").code(0);
    }
    let forced = cloned("ext4", "loop,ro").param("force_clones", "true");
    works(&host, &forced, |_| {});
    works(&host, &cloned("tmpfs", "size=1M"), |_| {});
    host.is_clean();
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn values_that_are_wrong_everywhere() {
    let host = Host::new();
    let call = host.call("tmpfs", host.path("mnt"), "tmpfs");
    for (name, value) in [
        ("device", " tmpfs"),
        ("device", "tmpfs\n"),
        ("device", ""),
        ("directory", "mnt"),
        ("directory", "./mnt"),
        ("directory", "//"),
        ("directory", "/tmp "),
        ("directory", ""),
        ("fstype", "a b"),
        ("fstype", "/bin/sh"),
        ("options", "offset=much"),
        ("options", "loop=/dev/loop0"),
        ("options", "move"),
        ("options", "context=\"a,b"),
        ("run_fsck", "yes"),
        ("run_fsck", ""),
        ("fast_stop", "quickly"),
        ("force_clones", "perhaps"),
        ("force_unmount", "Yes"),
        ("force_unmount", "true,gently"),
        ("term_signals", "TERMINATE"),
        ("kill_signals", "0"),
        ("kill_signals", ""),
        ("signal_delay", "-1"),
        ("signal_delay", "soon"),
        ("shared_device", "maybe"),
    ] {
        let call = call.clone().param(name, value);
        for action in ["start", "validate-all"] {
            call.run(action).code(6).because(&[&format!("parameter {name}: ")]);
        }
        call.run("monitor").code(7);
        call.run("stop").code(0);
    }
    // A wrong value of what stop can do without does not keep it from unmounting.
    call.run("start").code(0);
    let wrong = call.clone().param("kill_signals", "x").param("force_unmount", "x");
    wrong.param("fast_stop", "x").param("run_fsck", "x").run("stop").code(0);
    host.is_clean();
    // A file is no mount point.
    host.sh("touch file");
    for path in ["file", "file/below"] {
        let call = call.clone().param("directory", host.path(path));
        call.run("start").code(1).because(&["make the directory"]);
        call.run("monitor").code(7);
        call.run("stop").code(0);
    }
    // The root of all is no resource, by whatever way one gets there.
    host.sh("ln -s / root");
    let call = call.param("directory", host.path("root"));
    call.run("start").code(6).because(&["leads to /"]);
    call.run("monitor").code(7);
    call.run("stop").code(0);
}
