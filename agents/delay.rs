//! `Delay`: a resource that takes its time, to try a cluster out or to hold a group up.

#![forbid(unsafe_code)]

use std::time::Duration;

use crate::action::Action;
use crate::agent::{Agent, Cx, Status};
use crate::error::{Error, Result};
use crate::param::values::Seconds;
use crate::params;
use crate::spec::{ActionSpec, AgentSpec, Haresources};
use crate::state::StateFile;

params! {
    pub struct Params {
        /// Seconds that a start lasts
        ///
        /// Give the start operation a longer timeout than this; a start that would outlast it fails.
        startdelay: Seconds = "20",

        /// Seconds that a stop lasts
        ///
        /// Give the stop operation a longer timeout than this; a stop that would outlast it ends early, and well.
        stopdelay: Seconds = "30",

        /// Seconds that a monitor lasts
        ///
        /// Give the monitor operation a longer timeout than this. A probe does not wait.
        mondelay: Seconds = "30",
    }
}

pub struct Delay(Params);

impl From<Params> for Delay {
    fn from(params: Params) -> Self {
        Self(params)
    }
}

fn state(cx: &Cx<'_>) -> StateFile {
    cx.state.file(&format!("Delay_{}", cx.instance))
}

/// Sleeps, but not beyond the action's deadline; whether all of the time has passed.
fn pause(wanted: Duration, cx: &Cx<'_>) -> bool {
    let left = cx.deadline.left();
    std::thread::sleep(wanted.min(left));
    wanted <= left
}

impl Agent for Delay {
    type Params = Params;

    const SPEC: AgentSpec = AgentSpec {
        name: "Delay",
        short: "A resource that waits",
        long: "Waits for a while at start, stop and monitor, and remembers in a file that it was started. Put it into \
               a group to hold up what comes after, or try with it what a cluster does with slow resources.",
        actions: &[
            ActionSpec::new(Action::Start, 30),
            ActionSpec::new(Action::Stop, 40),
            ActionSpec::new(Action::Status, 40).every(10).depth(0),
            ActionSpec::new(Action::Monitor, 40).every(10).depth(0),
            ActionSpec::new(Action::ValidateAll, 5),
            ActionSpec::new(Action::MetaData, 5),
        ],
        haresources: Some(Haresources {
            arguments: &["startdelay", "stopdelay"],
            required: 0,
            fixed: &[],
        }),
    };

    fn start(&self, cx: &Cx<'_>) -> Result<()> {
        if state(cx).read()?.is_some() {
            return Ok(());
        }
        state(cx).write("started\n")?;
        if pause(self.0.startdelay.get(), cx) {
            return Ok(());
        }
        state(cx).remove()?;
        Err(Error::Failed(format!(
            "startdelay={} s does not fit into the action's timeout of {} s; raise the timeout of start",
            self.0.startdelay.get().as_secs_f64(),
            cx.deadline.timeout().as_secs_f64()
        )))
    }

    fn stop(&self, cx: &Cx<'_>) -> Result<()> {
        let runs = state(cx).read().map_or(true, |content| content.is_some());
        state(cx).remove()?;
        if runs {
            pause(self.0.stopdelay.get(), cx);
        }
        Ok(())
    }

    fn monitor(&self, cx: &Cx<'_>) -> Result<Status> {
        let runs = state(cx).read()?.is_some();
        if runs
            && cx.action == Action::Monitor
            && !cx.is_probe()
            && !pause(self.0.mondelay.get(), cx)
        {
            return Err(Error::Failed(format!(
                "mondelay={} s does not fit into the action's timeout of {} s; raise the timeout of monitor",
                self.0.mondelay.get().as_secs_f64(),
                cx.deadline.timeout().as_secs_f64()
            )));
        }
        Ok(if runs { Status::Running } else { Status::NotRunning })
    }
}
