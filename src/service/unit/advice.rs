//! What starts a unit behind the cluster's back, and the command that ends that.

#![forbid(unsafe_code)]

use super::manager::Manager;
use crate::agent::Cx;
use crate::error::Result;
use crate::host::systemd::{Look, Properties};

/// Warns of whatever would start it besides the cluster.
///
/// # Errors
/// systemd does not answer.
pub(super) fn give(manager: &mut Manager<'_>, look: &Look, cx: &Cx<'_>) -> Result<()> {
    let known = manager.describe(look)?;
    if let Some(warning) = of_boot(&look.id, &known) {
        cx.log.warn(&warning);
    }
    for trigger in known.texts("TriggeredBy") {
        let other = manager.look_at(&trigger)?;
        let file = manager.describe(&other)?.text("UnitFileState");
        if other.active == "active" || file.starts_with("enabled") {
            cx.log.warn(&format!(
                "{trigger} starts {} besides the cluster; `systemctl disable --now {trigger}` mends it",
                look.id
            ));
        }
    }
    Ok(())
}

fn of_boot(id: &str, known: &Properties) -> Option<String> {
    let file = known.text("UnitFileState");
    let wanted: Vec<String> =
        ["WantedBy", "RequiredBy"].iter().flat_map(|name| known.texts(name)).collect();
    if file.starts_with("enabled") {
        let runtime = if file.ends_with("-runtime") { "--runtime " } else { "" };
        return Some(format!(
            "{id} is enabled: the node starts it at boot, besides the cluster; \
             `systemctl disable {runtime}{id}` mends it"
        ));
    }
    let target = wanted.first()?;
    if file == "generated" {
        let name = id.trim_end_matches(".service");
        return Some(format!(
            "{id} is wanted by {target}: the node starts it at boot, besides the cluster; \
             `update-rc.d {name} disable` or `chkconfig {name} off` mends it"
        ));
    }
    Some(format!(
        "{id} is wanted by {target}, which starts it besides the cluster; `systemctl cat {target}` \
         and its .wants directories show how"
    ))
}

/// Warns if systemd would start it again by itself all the same.
pub(super) fn of_restart(look: &Look, known: &Properties, cx: &Cx<'_>) {
    let restart = known.text("Restart");
    if restart.is_empty() || restart == "no" {
        return;
    }
    let ours = super::dropin::path(look);
    let theirs =
        known.texts("DropInPaths").into_iter().rfind(|path| ours.as_os_str() != path.as_str());
    cx.log.warn(&format!(
        "{} has Restart={restart} in {}, so that the cluster does not hear of a crash; \
         `systemctl edit {0}` to Restart=no mends it",
        look.id,
        theirs.unwrap_or_else(|| "another drop-in".to_owned())
    ));
}
