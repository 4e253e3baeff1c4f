//! Watchers: a process for each resource that sleeps until the kernel has news of it, looks, and tells the manager.
//!
//! What wakes it are [`Signs`], which the agent names; what it believes is the agent's own monitor ([`judge`]), which it
//! runs itself. It only reports ([`manager`]): what becomes of the resource is decided where it always is. A successful
//! start leaves it behind, stop ends it before anything else, and a monitor puts back one that was killed ([`keeper`]).

#![forbid(unsafe_code)]

mod attendant;
mod heartbeat;
pub mod judge;
pub mod keeper;
pub mod manager;
mod pacemaker;
mod restart;
mod settings;
mod turn;
mod unit;
pub mod watcher;

use std::net::IpAddr;
use std::path::PathBuf;

pub use settings::{Interval, Settings};

use crate::action::Action;
use crate::agent::{Agent, Cx, Status};
use crate::error::{Error, Result};
use crate::host::announce::Subject;
use crate::host::arp::Mac;
use crate::host::process::Identity;
use crate::param::values::NamespaceName;
use crate::state::Lock;
use keeper::{Begun, Keeper};
use manager::Manager;
use turn::Teller;

/// The variable by which an action knows that the resource's watcher calls it.
pub const WATCHER: &str = "OCFBOX_WATCHER";

/// What the kernel announces when a resource may have failed. None of it is believed: it is a reason to look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signs {
    /// Processes whose end matters.
    pub processes: Vec<Identity>,
    /// A control group of version 2 that gets empty.
    pub group: Option<PathBuf>,
    /// A unit of systemd whose state matters, where no process stands for it.
    pub unit: Option<String>,
    /// What happens to addresses, links and routes.
    pub network: Option<NetworkSigns>,
    /// What happens to a mount.
    pub mount: Option<MountSigns>,
    /// What no event tells, and only a look now and then does: a server that does not answer.
    pub silent: bool,
}

/// News of the network that matter to a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkSigns {
    /// Addresses that come and go.
    pub addresses: Vec<IpAddr>,
    /// Interfaces, by number, with those on whose cables they are; all of them where nobody knows which.
    pub links: Option<Vec<u32>>,
    /// Somebody else's claims to them.
    pub claims: Vec<ClaimSigns>,
    /// Whether routes matter.
    pub routes: bool,
    /// The network namespace, if it is not the caller's.
    pub namespace: Option<NamespaceName>,
}

/// Where somebody else may claim an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimSigns {
    /// The address.
    pub subject: Subject,
    /// The number of the interface that has it.
    pub index: u32,
    /// That interface's hardware address.
    pub own: Mac,
    /// Where monitor looks whether it was claimed.
    pub record: PathBuf,
}

/// News of a mount that matter to a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountSigns {
    /// Where it is mounted.
    pub point: PathBuf,
    /// Counters of errors that notify.
    pub counters: Vec<PathBuf>,
}

/// After a start that succeeded: leaves a watcher behind, if one is wanted. Without it the resource works as well, so that
/// a failure here is told and no more.
pub fn started<A: Agent>(agent: &A, settings: &Settings, cx: &Cx<'_>) {
    let keeper = Keeper::of(A::SPEC.name, &agent.key(cx), cx);
    if is_wanted(settings, cx) && !keeper.is_called_by_watcher() {
        let begun = keeper.begin(&|| works(agent, cx));
        tell(cx, &begun);
    }
}

/// After a recurring monitor that found the resource running: puts back a watcher that was killed.
pub fn seen<A: Agent>(agent: &A, cx: &Cx<'_>) {
    if !is_wanted_leniently(cx) {
        return;
    }
    let keeper = Keeper::of(A::SPEC.name, &agent.key(cx), cx);
    if keeper.is_called_by_watcher() {
        return;
    }
    let begun = keeper.begin(&|| works(agent, cx));
    match &begun {
        Ok(Begun::Now) => cx.log.warn(
            "nothing watched the resource any more; something ended that process, and there is a new one",
        ),
        Ok(Begun::Renewed) => {
            cx.log.info("another version of this program watched the resource; this one does now");
        }
        _ => {}
    }
    tell(cx, &begun);
}

/// After a recurring monitor that found the resource failed, of which it is about to tell: sees to it that the watcher does not tell
/// of the same failure. If it already did, what it told is given a moment to be acted upon (see `turn`).
pub fn failed<A: Agent>(agent: &A, cx: &Cx<'_>) {
    let by_pacemaker =
        || matches!(Manager::of(cx.environment, &cx.instance), Manager::Pacemaker { .. });
    if cx.action != Action::Monitor || cx.is_probe() || !by_pacemaker() {
        return;
    }
    let keeper = Keeper::of(A::SPEC.name, &agent.key(cx), cx);
    if !is_wanted_leniently(cx) || keeper.is_called_by_watcher() {
        return;
    }
    if let Some(left) = keeper.turn().take(Teller::Monitor) {
        crate::trace_note!("the watcher has told of it");
        std::thread::sleep(left.min(cx.deadline.left() / 4));
    }
}

/// After a reload: the watcher has the parameters of its start, so that there is a new one, or none any more.
pub fn reloaded<A: Agent>(agent: &A, settings: &Settings, cx: &Cx<'_>) {
    let ended = stopping(agent, cx);
    drop(ended);
    started(agent, settings, cx);
}

/// Before a stop: ends the watcher. There is no new one as long as the answer is kept.
pub fn stopping<A: Agent>(agent: &A, cx: &Cx<'_>) -> Option<Lock> {
    let keeper = Keeper::of(A::SPEC.name, &agent.key(cx), cx);
    if !is_wanted_leniently(cx) && !keeper.may_exist() {
        return None;
    }
    // A stop that gives up here would leave the resource running, which is worse than a report too many.
    keeper.end().unwrap_or_else(|error| {
        cx.log.warn(&error.to_string());
        None
    })
}

fn is_wanted(settings: &Settings, cx: &Cx<'_>) -> bool {
    settings.is_wanted(manager::is_haresources(cx.environment))
}

/// For actions that do not refuse wrong parameters: how to watch was judged by start.
fn is_wanted_leniently(cx: &Cx<'_>) -> bool {
    Settings::leniently(cx.environment).is_ok_and(|settings| is_wanted(&settings, cx))
}

fn works<A: Agent>(agent: &A, cx: &Cx<'_>) -> bool {
    agent.monitor(cx).is_ok_and(|status| status != Status::NotRunning)
}

fn tell(cx: &Cx<'_>, begun: &Result<Begun, Error>) {
    match begun {
        Err(error) => cx.log.warn(&format!("{error}; nothing watches the resource")),
        Ok(Begun::Impossible) => cx.log.warn(&format!(
            "cannot write to {}; nothing watches the resource",
            cx.state.path().display()
        )),
        Ok(Begun::Now | Begun::Renewed | Begun::Already | Begun::NotNeeded) => {}
    }
}
