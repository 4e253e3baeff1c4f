//! Shell agents that dpkg owns: a package of our own making in a root of our own, with the real dpkg.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use predicates::str::contains;

use crate::support::{HEARTBEAT, Root, WRAPPER, WRAPPERS, assert_same, output, run, tool};

/// A root with an empty dpkg database.
fn debian() -> Root {
    let root = Root::new();
    for path in ["/var/lib/dpkg/info", "/var/lib/dpkg/updates", "/usr/sbin"] {
        root.directory(path);
    }
    root.file("/var/lib/dpkg/status", "", 0o644);
    root
}

/// With the package of shell agents installed.
pub(crate) fn debian_with_shell_agents() -> Root {
    let root = debian();
    unpack(&root, 1);
    root
}

/// The package of shell agents in some version.
fn package(root: &Root, version: u32) -> PathBuf {
    let build = Root::new();
    build.file(&format!("{HEARTBEAT}/Dummy"), &format!("#!/bin/sh\n# {version}\n"), 0o755);
    build.file(&format!("{WRAPPERS}/IPaddr2"), &format!("{WRAPPER}# {version}\n"), 0o755);
    let control = format!(
        "Package: shell-agents\nVersion: {version}\nArchitecture: all\n\
         Maintainer: a test <test@example.org>\nDescription: agents\n"
    );
    build.file("/DEBIAN/control", &control, 0o644);
    build.file("/DEBIAN/conffiles", &format!("{WRAPPERS}/IPaddr2\n"), 0o644);
    let file = root.beside(&format!("{version}.deb"));
    let mut dpkg_deb = tool("dpkg-deb", "dpkg");
    dpkg_deb.args(["--root-owner-group", "--build"]).arg(build.path()).arg(&file);
    run(dpkg_deb).success();
    file
}

fn dpkg(root: &Root) -> Command {
    let mut dpkg = tool("dpkg", "dpkg");
    dpkg.arg("--root").arg(root.path()).args(["--force-not-root", "--force-script-chrootless"]);
    dpkg.args(["--log", "/dev/null"]).env("HOME", root.path());
    dpkg
}

fn unpack(root: &Root, version: u32) {
    let mut dpkg = dpkg(root);
    dpkg.arg("--install").arg(package(root, version));
    run(dpkg).success();
}

pub(crate) fn diversions(root: &Root) -> String {
    let mut list = tool("dpkg-divert", "dpkg");
    list.env("LC_ALL", "C").arg("--admindir").arg(root.at("/var/lib/dpkg")).arg("--list");
    output(&run(list).success())
}

fn ours(root: &Root) -> [bool; 2] {
    [format!("{HEARTBEAT}/Dummy"), format!("{WRAPPERS}/IPaddr2")].map(|path| root.is_ours(&path))
}

#[test]
fn files_of_a_package_are_diverted_and_come_back() {
    let root = debian_with_shell_agents();
    let before = root.picture();
    root.install(&["--replace-heartbeat"]).success().stdout(contains("divert "));
    assert_eq!(ours(&root), [true, true]);
    let diverted = diversions(&root);
    assert_eq!(diverted.lines().count(), 2, "{diverted}");
    assert!(
        diverted.contains(&format!(
            "diversion of {HEARTBEAT}/Dummy to {HEARTBEAT}/.Dummy.ocfbox-replaced by ocfbox"
        )),
        "{diverted}"
    );
    root.install(&["--replace-heartbeat"]).success().stdout(contains("nothing is left to do"));
    root.uninstall(&[]).success();
    assert_same(&before, &root.picture(), "after uninstall");
    assert_eq!(diversions(&root), "");
}

#[test]
fn an_upgrade_of_the_package_does_not_bring_the_shell_agents_back() {
    let other = debian_with_shell_agents();
    unpack(&other, 2);
    let root = debian_with_shell_agents();
    root.install(&["--replace-heartbeat"]).success();
    unpack(&root, 2);
    assert_eq!(ours(&root), [true, true]);
    root.install(&[]).success().stdout(contains("nothing is left to do"));
    root.uninstall(&[]).success();
    assert_same(&other.picture(), &root.picture(), "as if we had never been there");
}

#[test]
fn a_package_that_comes_after_us_does_not_write_through_our_links() {
    let other = debian_with_shell_agents();
    let root = debian();
    root.install(&["--haresources"]).success();
    let binary = fs::read(root.at("/usr/sbin/ocfbox")).unwrap();
    unpack(&root, 1);
    assert_eq!(ours(&root), [false, true]);
    assert_eq!(fs::read(root.at("/usr/sbin/ocfbox")).unwrap(), binary);
    root.install(&["--replace-heartbeat"]).success();
    assert_eq!(ours(&root), [true, true]);
    root.uninstall(&[]).success();
    assert_same(&other.picture(), &root.picture(), "as if we had never been there");
    assert_eq!(diversions(&root), "");
}

#[test]
fn a_package_that_is_removed_takes_its_agents_along() {
    let root = debian();
    let before = root.picture();
    unpack(&root, 1);
    root.install(&["--replace-heartbeat"]).success();
    let mut remove = dpkg(&root);
    remove.args(["--remove", "shell-agents"]);
    run(remove).success();
    assert_eq!(ours(&root), [true, true]);
    root.install(&[]).success();
    root.uninstall(&[]).success();
    assert_eq!(diversions(&root), "");
    let wrapper = format!("{WRAPPERS}/IPaddr2");
    assert!(root.read(&wrapper).ends_with("# 1\n"), "configuration stays until a purge");
    assert!(!root.at(&format!("{HEARTBEAT}/Dummy")).is_symlink());
    assert!(before.keys().all(|path| root.at(path).exists()));
}

#[test]
fn a_diversion_of_somebody_else_is_respected() {
    let root = debian_with_shell_agents();
    let mut divert = tool("dpkg-divert", "dpkg");
    divert.arg("--admindir").arg(root.at("/var/lib/dpkg")).arg("--instdir").arg(root.path());
    divert.args(["--no-rename", "--local", "--add", &format!("{HEARTBEAT}/Dummy")]);
    run(divert).success();
    let before = root.picture();
    root.install(&["--replace-heartbeat"]).failure().stderr(contains("local diversion of"));
    assert_same(&before, &root.picture(), "after a refusal");
}

#[test]
fn the_variables_of_dpkg_do_not_lead_elsewhere() {
    let root = debian_with_shell_agents();
    let mut install = root.command("install", &["--replace-heartbeat"]);
    install.env("DPKG_ROOT", "/nowhere").env("DPKG_ADMINDIR", "/nowhere");
    run(install).success();
    assert_eq!(diversions(&root).lines().count(), 2);
}
