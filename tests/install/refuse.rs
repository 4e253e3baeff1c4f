//! What is refused, before anything is changed.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use nix::fcntl::{Flock, FlockArg};
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;

use crate::support::{
    RECORD, Root, WRAPPER, WRAPPERS, as_ordinary_user, assert_same, give_to_ordinary_user, ocfbox,
    run,
};

#[test]
fn all_that_is_in_the_way_is_named_and_nothing_is_changed() {
    let root = Root::new();
    root.file("/usr/sbin/ocfbox", "somebody's own", 0o755);
    root.directory("/usr/lib/ocf/resource.d/ocfbox/Dummy");
    root.link("/usr/lib/ocf/resource.d/ocfbox/IPaddr2", "/opt/other");
    root.file("/usr/share/man/man8/ocfbox.8", "another page", 0o644);
    root.file("/etc/ha.d/resource.d/IPaddr2", "#!/bin/sh\n# not a wrapper\n", 0o755);
    let before = root.picture();
    for words in [&["--haresources", "--replace-heartbeat"][..], &["--haresources", "--dry-run"]] {
        root.install(words).failure().stdout("").stderr(
            contains("nothing was changed")
                .and(contains("/usr/sbin/ocfbox: a file, not put there by ocfbox"))
                .and(contains("/ocfbox/Dummy: a directory,"))
                .and(contains("/ocfbox/IPaddr2: a symbolic link to /opt/other,"))
                .and(contains("/man8/ocfbox.8: a file,"))
                .and(contains("/etc/ha.d/resource.d/IPaddr2: a file,"))
                .and(contains("move it away")),
        );
        assert_same(&before, &root.picture(), "after a refusal");
    }
}

#[test]
fn a_wrapper_is_only_replaced_when_asked_for() {
    let root = Root::new();
    root.file(&format!("{WRAPPERS}/IPaddr2"), WRAPPER, 0o755);
    root.install(&["--haresources"])
        .failure()
        .stderr(contains("--replace-heartbeat takes its place"));
    assert_eq!(root.read(&format!("{WRAPPERS}/IPaddr2")), WRAPPER);
}

#[test]
fn a_directory_that_leads_out_or_nowhere_is_refused() {
    for (path, target) in
        [("/usr/lib", "/usr/lib"), ("/usr/lib", "/nowhere/lib"), ("/usr/lib/ocf", "../sbin/file")]
    {
        let root = Root::new();
        root.file("/usr/sbin/file", "", 0o644);
        root.link(path, target);
        let before = root.picture();
        root.install(&[]).failure().stderr(contains(path).and(contains("mend it first")));
        assert_same(&before, &root.picture(), target);
    }
}

#[test]
fn a_root_that_is_not_there_is_not_made() {
    let root = Root::new();
    fs::remove_dir(root.path()).unwrap();
    root.install(&[]).failure().stderr(contains("make that directory first"));
    assert!(!root.path().exists());
}

#[test]
fn a_changed_file_is_neither_overwritten_nor_removed() {
    let root = Root::new();
    root.install(&[]).success();
    let page = "/usr/share/man/man8/ocfbox.8";
    root.file(page, "annotated", 0o644);
    root.install(&[]).failure().stderr(contains("changed since ocfbox put its own there"));
    root.uninstall(&[]).success().stdout(contains("it is yours now"));
    assert_eq!(root.read(page), "annotated");
    let left: Vec<String> = root.picture().into_keys().collect();
    assert_eq!(left, ["/usr", "/usr/share", "/usr/share/man", "/usr/share/man/man8", page]);
}

#[test]
fn a_record_that_cannot_be_understood_stops_everything() {
    for (text, reason) in [("format\t2\n", "newer"), ("x", "format"), ("format\t1\nx\n", "damaged")]
    {
        let root = Root::new();
        root.file(RECORD, text, 0o644);
        let before = root.picture();
        root.install(&[]).failure().stderr(contains(reason));
        root.uninstall(&[]).failure().stderr(contains(reason));
        assert_same(&before, &root.picture(), text);
    }
}

#[test]
fn without_root_nothing_is_changed_and_the_reason_is_plain() {
    let root = Root::new();
    let program = root.beside("ocfbox");
    fs::copy(ocfbox(), &program).unwrap();
    root.directory("/var/lib");
    fs::set_permissions(root.at("/var/lib"), Permissions::from_mode(0o555)).unwrap();
    let before = root.picture();
    run(as_ordinary_user(root.command_of(&program, "install", &[])))
        .failure()
        .stderr(contains("Permission denied; run it as root").and(contains("recorded").not()));
    assert_same(&before, &root.picture(), "after a refusal");
}

#[test]
fn two_at_once_do_not_mix() {
    let root = Root::new();
    let directory = fs::File::open(root.path()).unwrap();
    let held = Flock::lock(directory, FlockArg::LockExclusive).unwrap();
    root.install(&[]).failure().stderr(contains("another install or uninstall is at work"));
    root.install(&["--dry-run"]).success();
    drop(held);
    root.install(&[]).success();
}

#[test]
fn what_fails_in_the_middle_is_completed_later() {
    let root = Root::with_shell_agents();
    let program = root.beside("ocfbox");
    fs::copy(ocfbox(), &program).unwrap();
    root.directory("/usr/share/man/man7");
    give_to_ordinary_user(&root.path());
    let before = root.picture();
    fs::set_permissions(root.at("/usr/share/man/man7"), Permissions::from_mode(0o555)).unwrap();
    let install = || {
        as_ordinary_user(root.command_of(
            &program,
            "install",
            &["--haresources", "--replace-heartbeat"],
        ))
    };
    run(install()).failure().stderr(contains("completes it").and(contains("takes it back")));
    fs::set_permissions(root.at("/usr/share/man/man7"), Permissions::from_mode(0o755)).unwrap();
    run(install()).success();
    assert!(root.is_ours("/usr/lib/ocf/resource.d/heartbeat/IPaddr2"));
    run(as_ordinary_user(root.command_of(&program, "uninstall", &[]))).success();
    assert_same(&before, &root.picture(), "after uninstall");
}
