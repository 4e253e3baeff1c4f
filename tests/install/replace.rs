//! Our agents in the place of the shell agents, where no package manager knows of them.

use std::fs;

use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;

use crate::support::{HEARTBEAT, RECORD, Root, WRAPPERS, assert_same};

#[test]
fn shell_agents_of_the_same_name_are_replaced_and_come_back() {
    let root = Root::with_shell_agents();
    let before = root.picture();
    root.install(&["--replace-heartbeat"]).success();
    for path in ["Dummy", "IPaddr2", "Delay"].map(|name| format!("{HEARTBEAT}/{name}")) {
        assert!(root.is_ours(&path), "{path}");
    }
    assert!(root.is_ours(&format!("{WRAPPERS}/IPaddr2")));
    assert!(!root.at(&format!("{WRAPPERS}/Delay")).exists(), "only what is there is replaced");
    assert!(!root.is_ours(&format!("{HEARTBEAT}/NoneOfOurs")));
    let visible = fs::read_dir(root.at(HEARTBEAT)).unwrap();
    let visible = visible
        .filter(|entry| !entry.as_ref().unwrap().file_name().to_string_lossy().starts_with('.'));
    assert_eq!(visible.count(), 4, "Pacemaker would list what is kept");
    root.uninstall(&[]).success();
    assert_same(&before, &root.picture(), "after uninstall");
}

#[test]
fn an_agent_that_was_put_over_ours_stays_and_so_does_the_kept_one() {
    let root = Root::with_shell_agents();
    let before = root.picture();
    root.install(&["--replace-heartbeat"]).success();
    let (path, kept) =
        (format!("{HEARTBEAT}/Dummy"), format!("{HEARTBEAT}/.Dummy.ocfbox-replaced"));
    fs::remove_file(root.at(&path)).unwrap();
    root.file(&path, "from an upgrade", 0o755);
    root.install(&[]).failure().stderr(contains("where something else is kept already"));
    for _ in 0..2 {
        root.uninstall(&[])
            .failure()
            .stderr(contains("not everything could be taken back").and(contains(&kept)));
        assert_eq!(root.read(&path), "from an upgrade");
        assert!(root.read(&kept).contains("shell Dummy"));
        assert_eq!(root.read(RECORD).matches("instead").count(), 1);
    }
    fs::remove_file(root.at(&path)).unwrap();
    root.uninstall(&[]).success();
    assert_same(&before, &root.picture(), "after uninstall");
}

#[test]
fn a_link_that_was_removed_comes_back_by_install_and_the_kept_agent_by_uninstall() {
    for again in [true, false] {
        let root = Root::with_shell_agents();
        let before = root.picture();
        let path = format!("{HEARTBEAT}/Dummy");
        root.install(&["--replace-heartbeat"]).success();
        fs::remove_file(root.at(&path)).unwrap();
        if again {
            root.install(&[]).success();
            assert!(root.is_ours(&path));
        }
        root.uninstall(&[]).success();
        assert_same(&before, &root.picture(), "after uninstall");
    }
}

#[test]
fn a_directory_in_the_place_of_an_agent_is_refused() {
    let root = Root::new();
    root.directory(&format!("{HEARTBEAT}/Dummy"));
    root.install(&["--replace-heartbeat"]).failure().stderr(contains("Dummy: a directory"));
}
