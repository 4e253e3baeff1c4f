//! `Dummy`: a resource that is nothing but a state file, to try a cluster out.

#![forbid(unsafe_code)]

use crate::action::Action;
use crate::agent::{Agent, Cx, Status};
use crate::error::Result;
use crate::param::values::{AbsolutePath, Text};
use crate::params;
use crate::spec::{ActionSpec, AgentSpec};
use crate::state::StateFile;

params! {
    pub struct Params {
        /// State file
        ///
        /// The file that exists while the resource runs. Without it, one named after the instance below
        /// `/run/resource-agents`.
        state: Option<AbsolutePath> { unique_group: Some("state") },

        /// A parameter that does nothing
        ///
        /// Change it to see what the cluster does when a parameter changes.
        fake: Text = "dummy" { reloadable: true },
    }
}

pub struct Dummy(Params);

impl From<Params> for Dummy {
    fn from(params: Params) -> Self {
        Self(params)
    }
}

impl Dummy {
    fn state(&self, cx: &Cx<'_>) -> StateFile {
        match &self.0.state {
            Some(path) => StateFile::at(path.as_path()),
            None => cx.state.file(&format!("Dummy-{}.state", cx.instance)),
        }
    }
}

impl Agent for Dummy {
    type Params = Params;

    const SPEC: AgentSpec = AgentSpec {
        name: "Dummy",
        short: "A resource that does nothing, for trying a cluster out",
        long: "Does nothing but remember in a file that it was started. With it one can try how a cluster starts, \
               stops, moves and migrates resources, without any service that could come to harm.",
        actions: &[
            ActionSpec::new(Action::Start, 20),
            ActionSpec::new(Action::Stop, 20),
            ActionSpec::new(Action::Monitor, 20).every(10).depth(0),
            ActionSpec::new(Action::Reload, 20),
            ActionSpec::new(Action::ReloadAgent, 20),
            ActionSpec::new(Action::MigrateTo, 20),
            ActionSpec::new(Action::MigrateFrom, 20),
            ActionSpec::new(Action::ValidateAll, 20),
            ActionSpec::new(Action::MetaData, 5),
        ],
        haresources: None,
    };

    fn start(&self, cx: &Cx<'_>) -> Result<()> {
        self.state(cx).write("running\n")
    }

    fn stop(&self, cx: &Cx<'_>) -> Result<()> {
        self.state(cx).remove()
    }

    fn monitor(&self, cx: &Cx<'_>) -> Result<Status> {
        Ok(if self.state(cx).read()?.is_some() { Status::Running } else { Status::NotRunning })
    }

    fn reload(&self, cx: &Cx<'_>) -> Result<()> {
        let fake = crate::error::one_line(&self.0.fake.as_os_str().to_string_lossy(), 40);
        cx.log.info(&format!("reloaded, fake is {fake:?}"));
        Ok(())
    }

    fn migrate_to(&self, cx: &Cx<'_>) -> Result<()> {
        cx.log.info(&format!(
            "leaving for {}",
            cx.environment.meta("migrate_target").unwrap_or("another node")
        ));
        self.stop(cx)
    }

    fn migrate_from(&self, cx: &Cx<'_>) -> Result<()> {
        cx.log.info(&format!(
            "arriving from {}",
            cx.environment.meta("migrate_source").unwrap_or("another node")
        ));
        self.start(cx)
    }
}
