//! The packages that are really installed, on an overlay over this host that ends with the test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::support::{
    HEARTBEAT, Picture, WRAPPERS, add_to, assert_same, ocfbox, output, run, tool,
};

/// The lock of an install is on the root itself, which overlays of its directories share.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A mount namespace of this thread's own in which /usr, /etc and /var can be written without a trace.
#[must_use = "the next one may enter when this is dropped"]
#[track_caller]
fn enter_overlay(scratch: &Path) -> MutexGuard<'static, ()> {
    let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace; run this as root: tests/run tools");
    let none = None::<&str>;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(none, "/", none, private, none).expect("private mounts");
    mount(Some("tmpfs"), scratch, Some("tmpfs"), MsFlags::empty(), none).expect("a tmpfs");
    for name in ["usr", "etc", "var"] {
        let (upper, work) = (scratch.join(name), scratch.join(format!("{name}.work")));
        fs::create_dir(&upper).expect("a directory");
        fs::create_dir(&work).expect("a directory");
        let target = format!("/{name}");
        let options =
            format!("lowerdir={target},upperdir={},workdir={}", upper.display(), work.display());
        let (kind, flags) = (Some("overlay"), MsFlags::empty());
        mount(kind, target.as_str(), kind, flags, Some(options.as_str())).expect("an overlay");
    }
    alone
}

fn picture() -> Picture {
    let mut picture = Picture::new();
    for directory in ["/usr/lib/ocf", "/etc/ha.d", "/usr/share/man/man7"] {
        add_to(&mut picture, Path::new(directory), directory);
    }
    picture.insert("diversions".to_owned(), diversions());
    picture
}

fn diversions() -> String {
    let mut list = tool("dpkg-divert", "dpkg");
    list.env("LC_ALL", "C").arg("--list");
    let list = output(&run(list).success());
    let mut lines: Vec<&str> = list.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

fn done_by_us(words: &[&str]) -> String {
    let mut command = Command::new(ocfbox());
    command.args(words);
    output(&run(command).success())
}

fn assert_ours() {
    for path in [format!("{HEARTBEAT}/IPaddr2"), format!("{WRAPPERS}/IPaddr2")] {
        let real = fs::canonicalize(&path).expect("an agent");
        assert_eq!(real, Path::new("/usr/sbin/ocfbox"), "{path}");
    }
}

#[test]
#[ignore = "needs root and the cluster packages: tests/run tools"]
fn the_packaged_agents_are_replaced_and_come_back() {
    for (path, package) in [(HEARTBEAT, "resource-agents"), (WRAPPERS, "heartbeat")] {
        let agent = format!("{path}/IPaddr2");
        assert!(Path::new(&agent).is_file(), "there is no {agent}: apt-get install {package}");
    }
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let _alone = enter_overlay(scratch.path());
    let before = picture();
    done_by_us(&["install", "--replace-heartbeat", "--haresources"]);
    assert_ours();
    for path in [HEARTBEAT, WRAPPERS] {
        let line =
            format!("diversion of {path}/IPaddr2 to {path}/.IPaddr2.ocfbox-replaced by ocfbox");
        assert!(diversions().contains(&line), "{}", diversions());
    }
    let mut agent = Command::new(format!("{HEARTBEAT}/IPaddr2"));
    agent.arg("meta-data").env("OCF_ROOT", "/usr/lib/ocf");
    assert!(output(&run(agent).success()).contains("<resource-agent name=\"IPaddr2\""));
    let mut list = tool("crm_resource", "pacemaker-cli-utils");
    list.args(["--list-agents", "ocf:heartbeat"]);
    let listed = output(&run(list).success());
    assert!(listed.contains("IPaddr2") && !listed.contains("replaced"), "{listed}");
    assert!(done_by_us(&["install"]).contains("nothing is left to do"));
    done_by_us(&["uninstall"]);
    assert_same(&before, &picture(), "after uninstall");
    assert!(!Path::new("/usr/sbin/ocfbox").exists() && !Path::new("/var/lib/ocfbox").exists());
}

/// The package of the agents is unpacked again, as at an upgrade: ours stay, and what comes back at the end are those
/// of the package.
#[test]
#[ignore = "needs root and the cluster packages: tests/run tools"]
fn an_upgrade_of_the_packaged_agents_does_not_bring_them_back() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let _alone = enter_overlay(scratch.path());
    let agent = Path::new(HEARTBEAT).join("IPaddr2");
    let packaged = fs::read(&agent).expect("IPaddr2 of the package resource-agents");
    done_by_us(&["install", "--replace-heartbeat"]);
    let mut unpack = tool("dpkg", "dpkg");
    unpack.arg("--unpack").arg(package_file(scratch.path()));
    run(unpack).success();
    assert_ours();
    assert!(done_by_us(&["install"]).contains("nothing is left to do"));
    done_by_us(&["uninstall"]);
    assert_eq!(fs::read(&agent).expect("an agent"), packaged);
    assert!(!diversions().contains("ocfbox"), "{}", diversions());
}

/// The package of the agents as a file, from the distribution.
fn package_file(directory: &Path) -> PathBuf {
    for words in [&["update"][..], &["download", "resource-agents"]] {
        let mut get = tool("apt-get", "apt");
        get.arg("-q").args(words).current_dir(directory);
        run(get).success();
    }
    let mut files =
        fs::read_dir(directory).expect("the directory").flatten().map(|entry| entry.path());
    files
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .expect("apt-get downloads the package")
}
