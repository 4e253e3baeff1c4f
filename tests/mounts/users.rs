//! Users that are hard to find: threads, sockets, what was deleted, containers, and what the kernel stacks on a mount.

use crate::support::{Call, Host, each};

fn started(host: &Host) -> Call {
    let call = host.on_image("ext4");
    call.run("start").code(0);
    host.sh("echo x >mnt/file; mkdir mnt/directory");
    call
}

/// Runs as a thread whose process has gone on without its first thread, if `leads` is false.
fn thread(work: &str, leads: bool) -> String {
    let end = if leads { "time.sleep(60)" } else { "libc.syscall(60,0)" };
    format!(
        "exec /usr/bin/python3 -c 'import os,threading,time,ctypes,socket\nlibc=ctypes.CDLL(None)\n\
         def work():\n  {work}\n  time.sleep(0.2)\n  os.close(os.open(\"ready\",os.O_CREAT|os.O_WRONLY,dir_fd=here))\n  time.sleep(60)\n\
         here=os.open(\".\",os.O_RDONLY)\nthreading.Thread(target=work).start()\n{end}'"
    )
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn whoever_hides_is_found() {
    let ways = [
        ("works in", thread("libc.unshare(0x200); os.chdir(\"mnt\")", true)),
        ("has open", thread("libc.unshare(0x400); os.open(\"mnt/file\",0)", true)),
        ("has open", thread("os.open(\"mnt/file\",0)", false)),
        ("works in", thread("os.chdir(\"mnt\")", false)),
        (
            "has mapped",
            thread("f=os.open(\"mnt/file\",0); libc.mmap(None,4096,1,2,f,0); os.close(f)", false),
        ),
        (
            "has a socket at",
            thread(
                "os.chdir(\"mnt\"); global s; s=socket.socket(socket.AF_UNIX); s.bind(\"name\"); os.chdir(\"/\")",
                true,
            ),
        ),
        ("has open", "exec 9<>mnt/gone; rm mnt/gone; touch ready; exec sleep 60".to_owned()),
        (
            "works in",
            "mkdir mnt/gone; cd mnt/gone; rmdir ../gone; touch ../../ready; exec sleep 60"
                .to_owned(),
        ),
    ];
    each(ways, |(how, commands)| {
        let host = Host::new();
        let call = started(&host);
        let mut stranger = host.leave("touch ready; exec sleep 60");
        let mut user = host.leave(&commands);
        let named = call.clone().param("force_unmount", "safe");
        named.run("stop").code(1).because(&["cannot unmount", how, "force_unmount=true"]);
        assert!(user.lives(), "safe ends nobody: {commands}");
        call.run("stop").code(0);
        user.ended();
        assert!(stranger.lives());
        host.is_clean();
    });
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn a_user_of_what_a_bind_mount_shows_and_somebody_removed_is_found() {
    let host = Host::new();
    host.sh("mkdir source");
    let call = host.call(&host.text("source"), host.path("mnt"), "none").param("options", "bind");
    call.run("start").code(0);
    let mut user = host.leave("cd mnt; touch ../ready; exec sleep 60");
    host.sh("rmdir source");
    call.run("stop").code(0);
    user.ended();
    host.is_clean();
}

/// Commands that run as in a container: with a root of their own, where the file system is at /data.
fn in_container(commands: &str) -> String {
    format!(
        "mkdir -p new; exec unshare --mount --propagation private sh -ec '\
         mount -t tmpfs tmpfs new; cd new; mkdir data old usr proc dev; mount --rbind /usr usr; \
         mount -t proc proc proc; touch dev/null; mount --bind /dev/null dev/null; \
         ln -s usr/bin bin; ln -s usr/lib lib; ln -s usr/lib64 lib64; mount --bind ../mnt data; \
         pivot_root . old; cd /; touch old/$BASE/ready; umount -l old; {commands}'"
    )
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn a_container_that_has_it_is_ended_if_it_uses_it() {
    for uses in [true, false] {
        each([uses], |uses| {
            let host = Host::new();
            let call = started(&host);
            let work = if uses { "cd data; exec sleep 60" } else { "exec sleep 60" };
            let base = host.text("");
            let mut container =
                host.leave(&format!("BASE={base}; export BASE; {}", in_container(work)));
            if uses {
                call.clone().param("force_unmount", "safe").run("stop").code(1).because(&[
                    "/data in the mount namespace of process",
                    "(sleep) works in /data",
                ]);
                assert!(container.lives());
            }
            call.run("stop").code(0);
            if uses {
                container.ended();
            } else {
                assert!(container.lives(), "{}", host.log());
            }
            host.is_clean();
        });
    }
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn what_is_mounted_on_it_goes_first_and_its_users_are_found_too() {
    let host = Host::new();
    let call = started(&host);
    host.sh("mkdir mnt/a; mount -t tmpfs t mnt/a; mkdir mnt/a/b; mount -t tmpfs t mnt/a/b");
    let mut deep = host.leave("cd mnt/a/b; touch ../../../ready; exec sleep 60");
    let mut above = host.leave("exec 9<mnt/file; touch ready; exec sleep 60");
    call.run("stop").code(0);
    deep.ended();
    above.ended();
    host.is_clean();
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn an_overlay_that_is_made_of_it_is_named() {
    let host = Host::new();
    let call = started(&host).within(5);
    host.sh("mkdir low over mnt/up mnt/work; mount -t overlay o -o lowerdir=$PWD/low,upperdir=$PWD/mnt/up,workdir=$PWD/mnt/work over");
    call.run("stop").code(1).because(&["overlay at", "/over"]);
    call.run("stop").code(1).because(&["the kernel still has it", "overlay"]);
    host.sh("echo x >over/file; test -e over/file; umount over");
    call.run("stop").code(0);
    host.is_clean();
}
