//! Others that would mount something there: /etc/fstab and systemd's units, in an /etc of the test's own.

use crate::support::{Call, Host};

fn host() -> (Host, Call, String) {
    let host = Host::new();
    host.sh("mkdir etc; mount -t tmpfs etc etc; cp -a /etc/. etc/; mount --bind etc /etc; : >/etc/fstab; rm -rf /etc/systemd/system; mkdir -p /etc/systemd/system /run/systemd/generator");
    let call = host.call("tmpfs", host.path("mnt"), "tmpfs");
    // The oracle of the name.
    let unit = host.sh(&format!("systemd-escape -p --suffix=mount {}", host.text("mnt")));
    (host, call, unit.trim().to_owned())
}

#[track_caller]
fn refused(call: &Call, words: &[&str]) {
    call.run("start").code(2).because(words);
    call.clone().env("OCF_CHECK_LEVEL", "10").run("validate-all").code(2).because(words);
    call.run("monitor").code(7);
    call.run("stop").code(0);
}

#[track_caller]
fn works(call: &Call) {
    call.run("start").code(0);
    call.run("monitor").code(0);
    call.run("stop").code(0);
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn a_line_of_fstab() {
    let (host, call, _) = host();
    let point = host.text("mnt");
    let write =
        |line: &str| host.sh(&format!("printf '# comment\\n\\n%s\\n' '{line}' >/etc/fstab"));
    for options in ["defaults", "nofail,_netdev", "ro,x-systemd.device-timeout=5"] {
        write(&format!("/dev/x {point}/ ext4 {options} 0 2"));
        refused(&call, &["line 3 of /etc/fstab", &point, "add `noauto`"]);
    }
    // As the parameter calls it, and as it is.
    host.sh("mkdir real; ln -s real link");
    let linked = host.call("tmpfs", host.path("link"), "tmpfs");
    for name in ["link", "real"] {
        write(&format!("/dev/x {} ext4 defaults", host.text(name)));
        refused(&linked, &["line 3 of /etc/fstab", "add `noauto`"]);
    }
    write(&format!("/dev/x {point} ext4 noauto,x-systemd.automount"));
    refused(&call, &["line 3 of /etc/fstab", "remove `x-systemd.automount`"]);
    for line in [
        format!("/dev/x {point} ext4 noauto 0 0"),
        format!("#/dev/x {point} ext4 defaults"),
        format!("/dev/x {point}x ext4 defaults"),
        "/dev/x none swap sw".to_owned(),
    ] {
        write(&line);
        works(&call);
    }
    host.sh("umount /etc etc");
    host.is_clean();
}

/// At the next boot this node would mount it, wherever the cluster has it by then.
#[test]
#[ignore = "needs root: tests/run mounts"]
fn a_line_of_fstab_for_the_device_at_another_place() {
    let (host, _, _) = host();
    let image = host.image("ext4");
    let device = host.sh(&format!("losetup -f --show {image}")).trim().to_owned();
    let call = host.call(&device, host.path("mnt"), "ext4");
    host.sh(&format!("echo '{device} /data ext4 defaults 0 2' >/etc/fstab"));
    call.run("start").code(2).because(&["line 1 of /etc/fstab", &device, "/data", "noauto"]);
    works(&call.clone().param("shared_device", "true"));
    host.sh(&format!("echo '{device} /data ext4 noauto 0 2' >/etc/fstab"));
    works(&call);
    host.sh(&format!("losetup -d {device}; umount /etc etc"));
    host.is_clean();
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn a_mount_unit() {
    let (host, call, unit) = host();
    let etc = "/etc/systemd/system";
    host.sh(&format!(
        "printf '[Mount]\\nWhat=/dev/x\\nWhere={}\\n' >'{etc}/{unit}'",
        host.text("mnt")
    ));
    // A unit that nobody wants waits to be called.
    works(&call);
    let want = |target: &str| {
        host.sh(&format!("mkdir -p {etc}/{target}; ln -s '../{unit}' '{etc}/{target}/{unit}'"));
    };
    want("multi-user.target.wants");
    refused(&call, &["systemd mounts", &unit, "run `systemctl disable"]);
    host.sh(&format!("rm -r {etc}/multi-user.target.wants"));
    want("web.service.requires");
    refused(&call, &[&unit, "systemctl disable"]);
    // A masked one is never started.
    host.sh(&format!("ln -sf /dev/null '{etc}/{unit}'"));
    works(&call);
    host.sh("umount /etc etc");
    host.is_clean();
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn an_automount_unit_and_generated_ones() {
    let (host, call, unit) = host();
    let automount = unit.replace(".mount", ".automount");
    let generator = "/run/systemd/generator";
    let generate = |name: &str, source: &str| {
        host.sh(&format!("mkdir -p {generator}/local-fs.target.requires; printf '[Unit]\\nSourcePath={source}\\n' >'{generator}/{name}'; ln -s '../{name}' '{generator}/local-fs.target.requires/{name}'"));
    };
    generate(&unit, "/etc/fstab");
    refused(&call, &[&unit, "systemctl daemon-reload"]);
    host.sh(&format!("rm -r {generator}/*"));
    generate(&automount, "/sys/firmware");
    refused(&call, &[&automount, "systemctl mask"]);
    host.sh(&format!("rm -r {generator}/*"));
    works(&call);
    host.sh("umount /etc etc");
    host.is_clean();
}
