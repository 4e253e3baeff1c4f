//! What is put, and that all of it goes again.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;

use crate::support::{RECORD, Root, assert_same, ocfbox, output, run};

/// The names of all agents.
fn agents() -> Vec<String> {
    let mut list = std::process::Command::new(ocfbox());
    list.arg("list");
    let list = output(&run(list).success());
    list.lines().filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect()
}

#[test]
fn every_agent_has_its_link_and_its_page_and_answers() {
    let root = Root::new();
    root.install(&[]).success();
    assert!(agents().len() > 3);
    for name in agents() {
        let link = format!("/usr/lib/ocf/resource.d/ocfbox/{name}");
        let target = fs::read_link(root.at(&link)).unwrap();
        assert_eq!(target, PathBuf::from("../../../../sbin/ocfbox"));
        let mut called = std::process::Command::new(root.at(&link));
        called.arg("meta-data");
        run(called).success().stdout(contains(format!("<resource-agent name=\"{name}\"")));
        let page = root.read(&format!("/usr/share/man/man7/ocf_ocfbox_{name}.7"));
        assert!(page.starts_with(".TH "), "{page}");
    }
    for path in [
        "/usr/share/man/man8/ocfbox.8",
        "/usr/share/bash-completion/completions/ocfbox",
        "/usr/share/zsh/vendor-completions/_ocfbox",
        "/usr/share/fish/vendor_completions.d/ocfbox.fish",
    ] {
        assert!(root.read(path).contains("ocfbox"), "{path}");
    }
    assert!(!root.at("/etc").exists(), "haresources only when asked for");
}

#[test]
fn uninstall_leaves_the_tree_as_it_was() {
    for root in [Root::new(), Root::with_shell_agents()] {
        root.file("/usr/share/man/man7/other.7", "other", 0o640);
        let before = root.picture();
        root.install(&[]).success();
        assert!(root.picture().len() > before.len());
        root.uninstall(&[]).success();
        assert_same(&before, &root.picture(), "after uninstall");
        root.uninstall(&[]).success().stdout("nothing is left to do: uninstall is complete\n");
    }
}

#[test]
fn a_second_install_has_nothing_to_do() {
    let root = Root::with_shell_agents();
    let words = ["--replace-heartbeat", "--haresources"];
    root.install(&words).success();
    let before = root.picture();
    for words in [&words[..], &[]] {
        let said = "nothing is left to do: install is complete\n";
        root.install(words).success().stdout(said);
        assert_same(&before, &root.picture(), "after a second install");
    }
}

#[test]
fn a_dry_run_says_the_same_and_changes_nothing() {
    let root = Root::with_shell_agents();
    for (verb, words) in
        [("install", &["--replace-heartbeat", "--haresources"][..]), ("uninstall", &[])]
    {
        let before = root.picture();
        let dry = [words, &["--dry-run"]].concat();
        let would = output(&run(root.command(verb, &dry)).success());
        assert_same(&before, &root.picture(), "after a dry run");
        let done = output(&run(root.command(verb, words)).success());
        let expected: Vec<String> = done.lines().map(|line| format!("would {line}")).collect();
        assert_eq!(would.lines().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn haresources_links_are_made_for_agents_that_have_a_place_there() {
    let root = Root::new();
    root.install(&["--haresources"]).success();
    for name in agents() {
        let mut describe = std::process::Command::new(ocfbox());
        describe.args(["generate", "man", &name]);
        let spoken = output(&run(describe).success()).contains("In haresources:");
        let link = root.at(&format!("/etc/ha.d/resource.d/{name}"));
        assert_eq!(link.is_symlink(), spoken, "{name}");
    }
    assert!(root.is_ours("/etc/ha.d/resource.d/IPaddr2"));
    root.uninstall(&[]).success();
    assert_eq!(root.picture().len(), 0);
}

#[test]
fn links_on_the_way_are_followed_inside_the_root() {
    let root = Root::new();
    root.directory("/usr/bin");
    root.directory("/opt/a/b/ocf");
    root.link("/usr/sbin", "bin");
    root.link("/usr/lib/ocf", "/opt/a/b/ocf");
    root.link("/var", "../../../../../data");
    root.directory("/data");
    let before = root.picture();
    root.install(&[]).success();
    assert!(root.at("/usr/bin/ocfbox").is_file());
    assert!(root.at("/opt/a/b/ocf/resource.d/ocfbox/Dummy").is_symlink());
    let binary = fs::canonicalize(root.at("/usr/bin/ocfbox")).unwrap();
    let link = root.at("/opt/a/b/ocf/resource.d/ocfbox/Dummy");
    assert_eq!(fs::canonicalize(link).unwrap(), binary);
    assert!(root.at("/data/lib/ocfbox/installed").is_file());
    assert!(!root.beside("data").exists());
    root.uninstall(&[]).success();
    assert_same(&before, &root.picture(), "after uninstall");
}

/// This program as an older version: bytes after the end of an ELF file do no harm.
fn older(root: &Root) -> PathBuf {
    let path = root.beside("older");
    fs::copy(ocfbox(), &path).expect("a copy");
    let mut file = fs::OpenOptions::new().append(true).open(&path).expect("the copy");
    file.write_all(b"older").expect("more bytes");
    path
}

#[test]
fn an_upgrade_replaces_what_the_older_version_put() {
    let root = Root::with_shell_agents();
    let before = root.picture();
    run(root.command_of(&older(&root), "install", &["--replace-heartbeat"])).success();
    // An agent that is no more, and one that is new.
    let (gone, new) =
        ("/usr/lib/ocf/resource.d/ocfbox/Gone", "/usr/lib/ocf/resource.d/ocfbox/Dummy");
    let record = root.read(RECORD).replace(new, gone);
    fs::write(root.at(RECORD), record).unwrap();
    fs::rename(root.at(new), root.at(gone)).unwrap();
    root.install(&[])
        .success()
        .stdout(contains("replace ").and(contains(format!("remove {}", root.at(gone).display()))));
    assert_eq!(fs::read(root.at("/usr/sbin/ocfbox")).unwrap(), fs::read(ocfbox()).unwrap());
    assert!(root.is_ours(new));
    assert!(!root.at(gone).is_symlink());
    assert!(root.is_ours("/usr/lib/ocf/resource.d/heartbeat/IPaddr2"), "it goes on replacing");
    root.uninstall(&[]).success();
    assert_same(&before, &root.picture(), "after uninstall");
}

#[test]
fn what_a_package_put_there_is_left_to_the_package() {
    let root = Root::with_shell_agents();
    root.install(&[]).success();
    fs::remove_dir_all(root.at("/var/lib/ocfbox")).unwrap();
    let packaged = root.picture();
    root.install(&[]).success().stdout(contains("were there already"));
    assert_same(&packaged, &root.picture(), "after an install over the package");
    root.install(&["--replace-heartbeat"]).success().stdout(contains("were there already"));
    assert!(root.is_ours("/usr/lib/ocf/resource.d/heartbeat/Dummy"));
    root.uninstall(&[]).success();
    assert_same(&packaged, &root.picture(), "after uninstall");
}

#[test]
fn without_its_record_a_replaced_agent_is_still_known() {
    let root = Root::with_shell_agents();
    let before = root.picture();
    root.install(&["--replace-heartbeat"]).success();
    let record = root.read(RECORD);
    fs::remove_file(root.at(RECORD)).unwrap();
    root.install(&["--replace-heartbeat"]).success();
    assert!(root.read(RECORD).contains("instead\t/usr/lib/ocf/resource.d/heartbeat/Dummy"));
    fs::write(root.at(RECORD), record).unwrap();
    root.uninstall(&[]).success();
    assert_same(&before, &root.picture(), "after uninstall");
}
