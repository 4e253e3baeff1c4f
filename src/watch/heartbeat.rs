//! What Heartbeat with haresources can be asked and told.

#![forbid(unsafe_code)]

use std::path::Path;
use std::time::Duration;

use super::manager::LONGEST_REPORT;
use crate::deadline::Deadline;
use crate::environment::Environment;
use crate::error::Result;
use crate::host::program;

/// How long its own answers may take, which it has at once.
const LONGEST_ANSWER: Duration = Duration::from_secs(2);

/// Whether Heartbeat could give this node's resources to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Situation {
    /// As far as it can be asked.
    Ready,
    /// There is no other active node.
    Alone,
    /// It moves resources at this moment.
    Moving,
}

/// How it is now. Where `cl_status` is missing or says nothing, nothing speaks against a move.
#[must_use]
pub fn situation(environment: &Environment) -> Situation {
    let deadline = Deadline::after(LONGEST_ANSWER);
    let ask = |words: &[&str]| program::answer(environment, "cl_status", words, &deadline).ok();
    if ask(&["rscstatus"]).is_some_and(|said| said.trim() == "transition") {
        return Situation::Moving;
    }
    let own = environment.text("HA_CURHOST").map(str::to_lowercase);
    let (Some(own), Some(nodes)) = (own, ask(&["listnodes", "-n"])) else {
        return Situation::Ready;
    };
    let is_active =
        |node: &str| ask(&["nodestatus", node]).is_some_and(|said| said.trim() == "active");
    let mut others = nodes.lines().map(str::trim).filter(|node| !node.is_empty() && *node != own);
    if others.any(is_active) { Situation::Ready } else { Situation::Alone }
}

/// Has Heartbeat give everything that this node has to the other one. It says nothing of whether it will.
///
/// # Errors
/// It is not there, or did not take it.
pub fn stand_by(environment: &Environment) -> Result<()> {
    let deadline = Deadline::after(LONGEST_REPORT);
    let places = ["/usr/share/heartbeat/hb_standby", "/usr/lib/heartbeat/hb_standby"];
    let place = places.into_iter().find(|place| Path::new(place).exists());
    program::run_with_stdin(environment, place.unwrap_or("hb_standby"), &["all"], &deadline)
}
