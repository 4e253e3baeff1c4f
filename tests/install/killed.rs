//! Killed at every system call that changes something, and completed by the next run.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use crate::packages;
use crate::support::{HEARTBEAT, Picture, Root, WRAPPERS, assert_same, ocfbox, run, tool};

/// Calls that change a file system; those that an architecture does not have are passed over.
const CHANGES: &[&str] = &[
    "?mkdir",
    "mkdirat",
    "fchmod",
    "?chmod",
    "?rename",
    "?renameat",
    "renameat2",
    "?link",
    "linkat",
    "?symlink",
    "symlinkat",
    "?unlink",
    "unlinkat",
    "?rmdir",
];

const WORDS: &[&str] = &["--replace-heartbeat", "--haresources"];

/// Runs the verb once for each of its calls that change something, killed at that call, on a copy of `template`.
fn killed_at_each(template: &Root, verb: &str, words: &[&str], check: impl Fn(Root, &str)) -> u32 {
    let mut kills = 0;
    for call in CHANGES {
        for nth in 1.. {
            let root = copied(template);
            if !killed(&root, verb, words, call, nth) {
                break;
            }
            kills += 1;
            check(root, &format!("{verb} killed at {call} number {nth}"));
        }
    }
    kills
}

/// Runs the verb and kills it at the `nth` such call; false if it ended before.
fn killed(root: &Root, verb: &str, words: &[&str], call: &str, nth: u32) -> bool {
    let mut strace = tool("strace", "strace");
    strace.args(["-qqq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
    strace.args(["-e", &format!("inject={call}:signal=KILL:when={nth}")]).arg(ocfbox());
    strace.arg(verb).arg("--root").arg(root.path()).args(words);
    let done = strace.output().expect("strace runs");
    let killed = done.status.signal() == Some(9) || done.status.code() == Some(128 + 9);
    assert!(killed || done.status.success(), "{verb} {call} {nth}: {done:?}");
    killed
}

fn copied(from: &Root) -> Root {
    let to = Root::new();
    let mut copy = Command::new("cp");
    copy.arg("-a").arg(from.path().join(".")).arg(to.path());
    run(copy).success();
    to
}

/// No agent is ever missing.
fn assert_complete(root: &Root, when: &str) {
    for path in [format!("{HEARTBEAT}/Dummy"), format!("{WRAPPERS}/IPaddr2")] {
        assert!(root.at(&path).is_file(), "{when}: no {path}");
    }
}

/// Without times: what is installed is as old as the run that installed it.
fn timeless(picture: Picture) -> Picture {
    let without_time = |what: String| {
        let words = what.split(' ').enumerate().filter(|(at, _)| *at != 2);
        words.map(|(_, word)| word).collect::<Vec<_>>().join(" ")
    };
    picture.into_iter().map(|(path, what)| (path, without_time(what))).collect()
}

/// Kills an install of `template` at each of its changes, and tries both ways out.
fn assert_every_kill_is_survived(template: &Root) {
    let before = template.picture();
    let whole = copied(template);
    run(whole.command("install", WORDS)).success();
    let installed = timeless(whole.picture());
    let kills = killed_at_each(template, "install", WORDS, |root, when| {
        assert_complete(&root, when);
        let again = copied(&root);
        run(again.command("install", WORDS)).success();
        assert_same(&installed, &timeless(again.picture()), when);
        for root in [root, again] {
            run(root.command("uninstall", &[])).success();
            assert_same(&before, &root.picture(), when);
            if root.at("/var/lib/dpkg").exists() {
                assert_eq!(packages::diversions(&root), "", "{when}");
            }
        }
    });
    assert!(kills > 50, "only {kills} changes");
}

#[test]
#[ignore = "needs strace and some minutes: tests/run tools"]
fn an_install_that_was_killed_anywhere_is_completed_or_taken_back() {
    assert_every_kill_is_survived(&Root::with_shell_agents());
}

#[test]
#[ignore = "needs strace and some minutes: tests/run tools"]
fn so_is_one_that_diverts_the_files_of_a_package() {
    assert_every_kill_is_survived(&packages::debian_with_shell_agents());
}

#[test]
#[ignore = "needs strace and some minutes: tests/run tools"]
fn an_uninstall_that_was_killed_anywhere_is_completed() {
    let template = Root::with_shell_agents();
    let before = template.picture();
    run(template.command("install", WORDS)).success();
    let kills = killed_at_each(&template, "uninstall", &[], |root, when| {
        assert_complete(&root, when);
        run(root.command("uninstall", &[])).success();
        assert_same(&before, &root.picture(), when);
    });
    assert!(kills > 30, "only {kills} changes");
}
