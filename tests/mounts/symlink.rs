//! `symlink`: what ls and readlink show before, while and after it runs.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::support::{Call, Host, each};

fn call(host: &Host) -> Call {
    host.agent("symlink")
        .param("link", host.path("dir/link"))
        .param("target", "/no/where")
        .within(10)
}

fn host() -> Host {
    let host = Host::new();
    host.sh("mkdir dir");
    host
}

/// All that is in the directory, each name with what it is or leads to.
fn listing(host: &Host) -> String {
    host.sh("cd dir; find . -mindepth 1 -printf '%P %y %l\\n' | LC_ALL=C sort")
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn from_start_to_stop_each_twice() {
    let host = host();
    let call = call(&host);
    for action in ["monitor", "stop"] {
        call.run(action).code(if action == "monitor" { 7 } else { 0 });
    }
    call.clone().recurring().run("monitor").code(7);
    for _ in 0..2 {
        call.run("start").code(0);
        assert_eq!(host.sh("readlink dir/link"), "/no/where\n");
        call.run("monitor").code(0);
        call.clone().recurring().run("monitor").code(0);
    }
    assert!(host.log().contains("/no/where does not exist"), "{}", host.log());
    for _ in 0..2 {
        call.run("stop").code(0);
        assert_eq!(listing(&host), "");
        call.run("monitor").code(7);
    }
    host.is_clean();
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn what_is_there_already_is_never_deleted() {
    let there = [
        ("echo theirs >dir/link", "is a file"),
        ("mkdir dir/link; echo theirs >dir/link/x", "is a directory"),
        ("ln -s /else/where dir/link", "leads to /else/where"),
        ("mkfifo dir/link", "is a pipe"),
    ];
    each(there, |(make, what)| {
        let host = host();
        host.sh(make);
        let before = listing(&host);
        let call = call(&host);
        call.run("start").code(2).because(&["cannot make the link", what, "backup_suffix"]);
        call.run("monitor").code(7);
        call.clone().recurring().run("monitor").code(1).because(&[what, "no link to /no/where"]);
        call.run("stop").code(0);
        assert_eq!(listing(&host), before);
        // And with a suffix it is kept, and comes back.
        let keeping = call.clone().param("backup_suffix", ".orig");
        for _ in 0..2 {
            keeping.run("start").code(0);
            assert_eq!(host.sh("readlink dir/link"), "/no/where\n");
            assert!(host.path("dir/link.orig").symlink_metadata().is_ok());
            keeping.clone().recurring().run("monitor").code(0);
        }
        for _ in 0..2 {
            keeping.run("stop").code(0);
            assert_eq!(listing(&host), before);
        }
        host.is_clean();
    });
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn an_earlier_backup_is_not_overwritten() {
    let host = host();
    host.sh("echo one >dir/link; echo two >dir/link.orig");
    let call = call(&host).param("backup_suffix", ".orig");
    call.run("start").code(2).because(&["link.orig exists already"]);
    call.run("stop").code(0);
    assert_eq!(host.sh("cat dir/link dir/link.orig"), "one\ntwo\n");
    // What has the name of the backup without any link is nobody's backup.
    host.sh("rm dir/link");
    call.run("stop").code(0);
    assert_eq!(listing(&host), "link.orig f \n");
}

/// Where what was there cannot go back, the link goes all the same, and nothing is lost.
#[test]
#[ignore = "needs root: tests/run mounts"]
fn a_backup_that_cannot_go_back_stays() {
    let host = host();
    host.sh("mkdir dir/link");
    let call = call(&host).param("backup_suffix", ".orig");
    call.run("start").code(0);
    host.sh("mount -t tmpfs t dir/link.orig; echo precious >dir/link.orig/x");
    call.run("stop").code(0);
    assert_eq!(listing(&host), "link.orig d \nlink.orig/x f \n");
    assert!(host.log().contains("link.orig stays where it is"), "{}", host.log());
    host.sh("umount dir/link.orig");
    host.is_clean();
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn another_spelling_of_the_place_is_the_same_link() {
    let host = host();
    host.sh("mkdir data; ln -s data other");
    let call = call(&host).param("target", host.path("data"));
    for text in ["../data", "../other", "..//data/."] {
        host.sh(&format!("ln -s {text} dir/link"));
        call.clone().recurring().run("monitor").code(0);
        call.run("start").code(0);
        call.run("stop").code(0);
        assert_eq!(listing(&host), "", "{text}");
    }
    // A relative target begins at the link.
    let relative = call.param("target", "../data");
    relative.run("start").code(0);
    host.sh("echo x >dir/link/file; test -f data/file");
    relative.run("stop").code(0);
    host.sh("ln -s ../dataset dir/link");
    relative.recurring().run("monitor").code(1).because(&["../dataset"]);
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn any_bytes_are_a_name() {
    let host = host();
    let names: [&[u8]; 5] = [b"a b", b"-rf", b"line\nbreak", b"\xff\xfe", b"[*]$(x)"];
    for name in names {
        let name = OsStr::from_bytes(name);
        let link = host.path("dir").join(name);
        let call = call(&host).param("link", &link).param("target", name);
        let call = call.param("backup_suffix", name);
        fs::write(&link, "theirs").unwrap();
        call.run("start").code(0);
        assert_eq!(fs::read_link(&link).unwrap(), Path::new(name));
        call.run("monitor").code(0);
        call.run("stop").code(0);
        assert_eq!(fs::read_to_string(&link).unwrap(), "theirs");
        fs::remove_file(&link).unwrap();
        assert_eq!(listing(&host), "");
    }
    // With a slash at its end it is still the link, and not what it leads to.
    host.sh("mkdir data");
    let mut slash = host.path("dir/link").into_os_string();
    slash.push("/");
    let call = call(&host).param("link", slash).param("target", host.path("data"));
    call.run("start").code(0);
    call.run("monitor").code(0);
    call.run("stop").code(0);
    assert_eq!(host.sh("ls -d data dir/*  2>/dev/null || :"), "data\n");
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn what_is_wrong_is_told() {
    let host = host();
    for (name, value, word) in [
        ("link", "relative/link", "parameter link"),
        ("link", "", "parameter link"),
        ("link", "/", "parameter link"),
        ("target", "", "parameter target"),
        ("backup_suffix", "/x", "parameter backup_suffix"),
    ] {
        let call = call(&host).param(name, value);
        call.run("start").code(6).because(&[word]);
        call.run("validate-all").code(6).because(&[word]);
        call.run("monitor").code(7);
        call.run("stop").code(0);
    }
    let call = call(&host).param("link", host.path("none/link"));
    call.run("start").code(1).because(&["no such directory"]);
    call.run("monitor").code(7);
    call.run("stop").code(0);
    host.sh("mount -t tmpfs -o ro t dir");
    let call = self::call(&host);
    call.run("start").code(1).because(&["Read-only file system"]);
    call.run("stop").code(0);
    host.sh("mount -o remount,rw dir");
    call.run("start").code(0);
    host.sh("mount -o remount,ro dir");
    call.run("stop").code(1).because(&["cannot remove", "Read-only file system"]);
    host.sh("umount dir");
}

/// Nothing that start or stop does asks the file system to which the link leads.
#[test]
#[ignore = "needs root: tests/run mounts"]
fn what_the_link_leads_to_is_not_looked_at() {
    let host = host();
    host.sh("mkdir data");
    let call = call(&host).param("target", host.path("data/below")).recurring();
    let looks = |action: &str| {
        let trace = host.text("trace");
        call.run_behind(&["strace", "-f", "-o", &trace], action).code(0);
        let text = fs::read_to_string(&trace).unwrap();
        assert!(text.contains("dir/link"), "{text}");
        let data = host.text("data");
        // The first path of a call is what it is about; a link's text is its second.
        let about =
            |line: &&str| line.split_once('"').is_some_and(|(_, rest)| rest.starts_with(&data));
        text.lines().filter(about).map(str::to_owned).collect::<Vec<_>>()
    };
    call.run("start").code(0);
    assert_eq!(looks("monitor"), Vec::<String>::new());
    assert_eq!(looks("stop"), Vec::<String>::new());
}

/// At no instant has nothing the name: who opens the path sees the file or the link, whoever starts and stops.
#[test]
#[ignore = "needs root: tests/run mounts"]
fn who_reads_the_path_never_finds_nothing() {
    let host = host();
    host.sh("echo old >dir/link; echo new >data");
    let call = call(&host).param("target", host.path("data")).param("backup_suffix", "~");
    let reader = r#"
import os
reads = missing = 0
open("ready", "w")
while not os.path.exists("end"):
    reads += 1
    try: open("dir/link").read()
    except OSError: missing += 1
open("read", "w").write(f"{reads} {missing}")"#;
    fs::write(host.path("reader.py"), reader).unwrap();
    let mut reader = host.leave("exec /usr/bin/python3 reader.py");
    for _ in 0..30 {
        call.run("start").code(0);
        call.run("stop").code(0);
    }
    host.sh("touch end");
    reader.ended();
    let read = host.sh("cat read");
    let (reads, missing) = read.split_once(' ').unwrap();
    let (reads, missing): (u32, u32) = (reads.parse().unwrap(), missing.parse().unwrap());
    assert!(reads > 100 && missing == 0, "{missing} of {reads}");
}

#[test]
#[ignore = "needs root: tests/run mounts"]
fn callers_at_once() {
    let host = host();
    host.sh("mkdir dir/link; echo theirs >dir/link/x");
    let before = listing(&host);
    let call = call(&host).param("backup_suffix", ".orig");
    for round in 0..24 {
        let actions =
            [["start", "start"], ["start", "stop"], ["stop", "stop"], ["stop", "start"]][round % 4];
        let callers: Vec<_> = actions.iter().map(|action| call.begin(action)).collect();
        for mut caller in callers {
            assert!(caller.wait().unwrap().success(), "{actions:?}: {}", host.log());
        }
        let monitor = call.run("monitor").code;
        assert!(monitor == Some(0) && actions != ["stop", "stop"] || monitor == Some(7));
        call.run("stop").code(0);
        assert_eq!(listing(&host), before, "{actions:?}");
    }
    host.is_clean();
}

/// Killed at each system call that changes a name: the next stop leaves all as it was, and so does the next start before it.
#[test]
#[ignore = "needs root: tests/run mounts"]
fn killed_at_each_step() {
    each([false, true], |keeping| {
        let host = host();
        let call = call(&host);
        let call = if keeping { call.param("backup_suffix", ".orig") } else { call };
        if keeping {
            host.sh("mkdir dir/link; echo theirs >dir/link/x");
        }
        survives(&host, &call);
        host.is_clean();
    });
}

/// A file system that cannot exchange two names: here one in user space that mirrors a directory (bindfs).
#[test]
#[ignore = "needs root: tests/run mounts"]
fn without_an_exchange_it_goes_step_by_step() {
    let host = host();
    host.sh("mkdir behind; bindfs behind dir");
    for there in ["echo theirs >dir/link", "mkdir dir/link; echo theirs >dir/link/x"] {
        host.sh(there);
        let before = listing(&host);
        let call = call(&host).param("backup_suffix", ".orig");
        call.run("start").code(0);
        assert_eq!(host.sh("readlink dir/link"), "/no/where\n");
        call.run("stop").code(0);
        assert_eq!(listing(&host), before);
        survives(&host, &call);
        host.sh("rm -r dir/link");
    }
    host.sh("umount dir");
    host.is_clean();
}

fn survives(host: &Host, call: &Call) {
    let before = listing(host);
    let mut killed = 0;
    for action in ["start", "stop"] {
        for name in
            ["symlink", "renameat2", "rename", "unlink", "openat", "flock", "newfstatat", "write"]
        {
            for ordinal in 1..=6 {
                if action == "stop" {
                    call.run("start").code(0);
                }
                let inject = format!("inject={name}:signal=KILL:when={ordinal}");
                let outcome =
                    call.run_behind(&["strace", "-o", "/dev/null", "-e", &inject], action);
                killed += u32::from(outcome.code.is_none());
                if ordinal % 2 == 0 {
                    call.run("start").code(0);
                    call.run("monitor").code(0);
                }
                call.run("stop").code(0);
                assert_eq!(listing(host), before, "killed at {name} number {ordinal} of {action}");
            }
        }
    }
    assert!(killed > 15, "{killed}");
}
