//! Calling the agent, as Pacemaker does: the action as the only word, everything else in the environment.

#![forbid(unsafe_code)]

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::event::Ended;
use super::{ADDRESS, CARD, Host, PATIENCE, PREFIX, PRIVATE};
use crate::error::{Doing, Result};

/// The agent that is shown.
pub(super) const AGENT: &str = "IPaddr2";
const REASON: &str = "ocf-exit-reason:";

/// Runs one action to its end, on this node.
///
/// # Errors
/// The agent could not be started.
pub(super) fn call(node: Host, action: &str) -> Result<Ended> {
    let begin = Instant::now();
    let output = Command::new("/proc/self/exe")
        .arg0(AGENT)
        .arg(action)
        .env_clear()
        .envs(environment(node, action))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .doing(|| format!("run {AGENT} {action}"))?;
    let took = begin.elapsed();
    let said = String::from_utf8_lossy(&output.stderr);
    let reason = said.lines().rev().find_map(|line| line.strip_prefix(REASON));
    // Killed by a signal: no exit code at all.
    let code = output.status.code().unwrap_or(-1);
    Ok(Ended { code, took, reason: reason.unwrap_or_default().to_owned() })
}

/// What Pacemaker sets, and where this node's state and log belong.
fn environment(node: Host, action: &str) -> Vec<(&'static str, String)> {
    let name = node.name;
    vec![
        ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
        ("OCF_ROOT", "/usr/lib/ocf".to_owned()),
        ("OCF_RA_VERSION_MAJOR", "1".to_owned()),
        ("OCF_RA_VERSION_MINOR", "1".to_owned()),
        ("OCF_RESOURCE_PROVIDER", "ocfbox".to_owned()),
        ("OCF_RESOURCE_TYPE", AGENT.to_owned()),
        ("OCF_RESOURCE_INSTANCE", "address".to_owned()),
        ("OCF_EXIT_REASON_PREFIX", REASON.to_owned()),
        ("OCF_RESKEY_ip", ADDRESS.to_string()),
        ("OCF_RESKEY_cidr_netmask", PREFIX.to_string()),
        ("OCF_RESKEY_nic", CARD.to_owned()),
        ("OCF_RESKEY_CRM_meta_name", action.to_owned()),
        ("OCF_RESKEY_CRM_meta_on_node", name.to_owned()),
        ("OCF_RESKEY_CRM_meta_timeout", PATIENCE.as_millis().to_string()),
        ("OCF_RESKEY_crm_feature_set", "3.16.2".to_owned()),
        ("HA_RSCTMP", format!("{PRIVATE}/{name}")),
        ("HA_LOGFILE", format!("{PRIVATE}/{name}.log")),
    ]
}
