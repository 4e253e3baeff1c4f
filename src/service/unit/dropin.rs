//! The piece of configuration that a unit has while the cluster runs it (`systemd.unit(5)`, "drop-in").
//!
//! - systemd does not start it again by itself: the cluster has to hear of a crash.
//! - When the host goes down, systemd leaves it to the cluster manager. The order does that, and it would also keep a
//!   stop that the cluster manager asks for waiting for the end of that manager; so stop takes the file away first.
//! - systemd gives up a start before the cluster does, so that its own reason is heard.
//!
//! It is below /run, so that a node that crashed begins without it.

#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::manager::Manager;
use crate::error::{Doing, Result};
use crate::host::systemd::{Look, Properties, Trouble};
use crate::state::StateFile;

/// Not the name that Pacemaker gives its own: both may be there.
const NAME: &str = "50-ocfbox.conf";

/// Who calls agents, as units.
const CALLERS: &str =
    "pacemaker.service pacemaker_remote.service heartbeat.service drbd-reactor.service";

/// What a failed start needs to be taken back.
pub(super) fn spare(timeout: Duration) -> Duration {
    (timeout / 10).min(Duration::from_secs(3))
}

/// Where it is.
pub(super) fn path(look: &Look) -> PathBuf {
    Path::new("/run/systemd/system").join(format!("{}.d", look.id)).join(NAME)
}

fn text(look: &Look, start: Option<Duration>) -> String {
    let mut text = format!(
        "# The cluster starts and stops this unit. Written by start, removed by stop.\n\
         [Unit]\nBefore={CALLERS}\n"
    );
    if look.id.ends_with(".service") {
        text += "[Service]\nRestart=no\n";
        if let Some(start) = start {
            let _ = writeln!(text, "TimeoutStartSec={}ms", start.as_millis());
        }
    }
    text
}

/// Makes sure that it is there and that systemd knows it.
///
/// # Errors
/// It cannot be written, or systemd does not read it.
pub(super) fn put(manager: &mut Manager<'_>, look: &Look, known: &Properties) -> Result<()> {
    let path = path(look);
    // A start that systemd would end in time by itself needs no other end.
    let timeout = manager.deadline.timeout();
    let limit = timeout.saturating_sub(spare(timeout) * 2);
    let configured = known.number("TimeoutStartUSec");
    let millis = i64::try_from(limit.as_millis()).unwrap_or(i64::MAX);
    let is_longer = configured.is_none_or(|micros| micros / 1000 >= millis);
    let wanted = text(look, is_longer.then_some(limit));
    let is_known = known.texts("DropInPaths").iter().any(|known| Path::new(known) == path);
    if is_known
        && !known.flag("NeedDaemonReload")
        && fs::read_to_string(&path).is_ok_and(|text| text == wanted)
    {
        return Ok(());
    }
    if let Some(directory) = path.parent() {
        let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(directory);
        made.doing(|| format!("make {}", directory.display()))?;
    }
    StateFile::at(&path).write(&wanted)?;
    // It is no secret: `systemctl cat` shows it to everybody.
    let _ = fs::set_permissions(&path, fs::Permissions::from_mode(0o644));
    reload(manager)
}

/// Takes it away, if it is there. A file that systemd has read and that is gone is read no more: without a `Reload`
/// that came to its end, systemd says that it needs one.
///
/// # Errors
/// It cannot be removed, or systemd does not answer.
pub(super) fn remove(manager: &mut Manager<'_>, look: &Look) -> Result<()> {
    let path = path(look);
    let is_there = path.exists();
    StateFile::at(&path).remove()?;
    if let Some(directory) = path.parent() {
        // Refused as long as somebody else has a file there.
        let _ = fs::remove_dir(directory);
    }
    if !is_there {
        let known = manager.describe(look)?;
        if !known.texts("DropInPaths").iter().any(|known| Path::new(known) == path) {
            return Ok(());
        }
    }
    reload(manager)
}

/// systemd may close the connection instead of answering; then whether it has read its files is asked.
fn reload(manager: &mut Manager<'_>) -> Result<()> {
    let mut asked = false;
    loop {
        match manager.once(|systemd, within| systemd.reload(within)) {
            Ok(()) => return Ok(()),
            Err(Trouble::Refused(name, text)) => {
                return Err(Trouble::Refused(name, text).error("have systemd read its files again"));
            }
            Err(_) => {
                let look = manager.look()?;
                if asked && !manager.describe(&look)?.flag("NeedDaemonReload") {
                    return Ok(());
                }
                asked = true;
            }
        }
    }
}
