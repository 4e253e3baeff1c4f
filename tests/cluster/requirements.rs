//! What a run needs of the machine. Nothing is skipped: what is missing is named, with the package that has it.

use std::env;
use std::path::Path;

use nix::unistd::geteuid;

use crate::{Outcome, broker, web};

/// A program or file, and the Debian package that brings it.
const NEEDED: [(&str, &str); 28] = [
    ("corosync", "corosync"),
    ("corosync-cmapctl", "corosync"),
    ("pacemakerd", "pacemaker"),
    ("cibadmin", "pacemaker-cli-utils"),
    ("crm_mon", "pacemaker-cli-utils"),
    ("crm_resource", "pacemaker-cli-utils"),
    ("crm_standby", "pacemaker-cli-utils"),
    ("crmadmin", "pacemaker-cli-utils"),
    ("attrd_updater", "pacemaker-cli-utils"),
    ("ping", "iputils-ping"),
    ("/usr/libexec/heartbeat/heartbeat", "heartbeat"),
    ("/usr/share/heartbeat/hb_standby", "heartbeat"),
    ("/usr/share/heartbeat/ResourceManager", "heartbeat"),
    ("/usr/lib/ocf/resource.d/heartbeat/IPaddr2", "resource-agents"),
    (web::PROGRAM, "apache2"),
    (broker::PROGRAM, "rabbitmq-server"),
    ("mkfs.ext4", "e2fsprogs"),
    ("e2fsck", "e2fsprogs"),
    ("dumpe2fs", "e2fsprogs"),
    ("xfs_io", "xfsprogs"),
    ("fuser", "psmisc"),
    ("curl", "curl"),
    ("pkill", "procps"),
    ("cl_status", "heartbeat"),
    ("ifconfig", "net-tools"),
    ("pgrep", "procps"),
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
];

/// An instruction, when something is missing.
pub fn check() -> Outcome<()> {
    if !geteuid().is_root() {
        return Err("needs root, to make network namespaces: sudo tests/run cluster".to_owned());
    }
    let missing: Vec<(&str, &str)> =
        NEEDED.into_iter().filter(|(program, _)| !is_there(program)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let programs: Vec<&str> = missing.iter().map(|(program, _)| *program).collect();
    let mut packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    packages.dedup();
    let (programs, packages) = (programs.join(", "), packages.join(" "));
    Err(format!("needs {programs}: apt-get install --no-install-recommends {packages}"))
}

fn is_there(program: &str) -> bool {
    let path = env::var("PATH").unwrap_or_default();
    let mut directories = path.split(':').chain(["/usr/sbin", "/sbin"]);
    directories.any(|directory| Path::new(directory).join(program).exists())
}
