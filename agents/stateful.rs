//! `Stateful`: a promotable resource that is nothing but a state file, to try a cluster out.

#![forbid(unsafe_code)]

use crate::action::Action;
use crate::agent::{Agent, Cx, Status};
use crate::error::{Error, Result};
use crate::param::values::AbsolutePath;
use crate::params;
use crate::promotion::{Score, set_score};
use crate::spec::{ActionSpec, AgentSpec, Role};
use crate::state::StateFile;

params! {
    pub struct Params {
        /// State file
        ///
        /// The file that exists while the resource runs and says in which role. Without it, one named after the
        /// instance below `/run/resource-agents`.
        state: Option<AbsolutePath> { unique_group: Some("state") },
    }
}

pub struct Stateful(Params);

impl From<Params> for Stateful {
    fn from(params: Params) -> Self {
        Self(params)
    }
}

const PROMOTED: &str = "promoted";
const UNPROMOTED: &str = "unpromoted";

impl Stateful {
    fn state(&self, cx: &Cx<'_>) -> StateFile {
        match &self.0.state {
            Some(path) => StateFile::at(path.as_path()),
            None => cx.state.file(&format!("Stateful-{}.state", cx.instance)),
        }
    }

    fn role(&self, cx: &Cx<'_>) -> Result<Option<String>> {
        Ok(self.state(cx).read()?.map(|content| content.trim().to_owned()))
    }

    fn take_role(&self, cx: &Cx<'_>, role: &str, score: Score) -> Result<()> {
        if self.role(cx)?.is_none() {
            return Err(Error::Failed(format!(
                "cannot become {role}: it is not running; start it first"
            )));
        }
        self.state(cx).write(role)?;
        set_score(cx, score);
        Ok(())
    }
}

impl Agent for Stateful {
    type Params = Params;

    const SPEC: AgentSpec = AgentSpec {
        name: "Stateful",
        short: "A promotable resource that does nothing, for trying a cluster out",
        long: "Does nothing but remember in a file that it was started, and whether it was promoted. With it one can \
               try how a cluster promotes and demotes, without any service that could come to harm.\n\n\
               It tells Pacemaker a promotion score of 10 where it is promoted and 5 where it is not.",
        actions: &[
            ActionSpec::new(Action::Start, 20),
            ActionSpec::new(Action::Stop, 20),
            ActionSpec::new(Action::Promote, 20),
            ActionSpec::new(Action::Demote, 20),
            ActionSpec::new(Action::Monitor, 20).every(10).depth(0).role(Role::Promoted),
            ActionSpec::new(Action::Monitor, 20).every(11).depth(0).role(Role::Unpromoted),
            ActionSpec::new(Action::ValidateAll, 20),
            ActionSpec::new(Action::MetaData, 5),
        ],
        haresources: None,
    };

    fn start(&self, cx: &Cx<'_>) -> Result<()> {
        if matches!(self.role(cx)?.as_deref(), Some(PROMOTED | "master")) {
            return Err(Error::Failed(
                "cannot start: it is running and promoted; demote it first".to_owned(),
            ));
        }
        self.state(cx).write(UNPROMOTED)?;
        set_score(cx, Score::Unpromoted);
        Ok(())
    }

    /// Stop means stop, promoted or not.
    fn stop(&self, cx: &Cx<'_>) -> Result<()> {
        set_score(cx, Score::None);
        self.state(cx).remove()
    }

    fn monitor(&self, cx: &Cx<'_>) -> Result<Status> {
        match self.role(cx)?.as_deref() {
            None => Ok(Status::NotRunning),
            // The second words are those of the shell agent, whose place this one may have taken meanwhile.
            Some(PROMOTED | "master") => Ok(Status::RunningPromoted),
            Some(UNPROMOTED | "slave") => Ok(Status::Running),
            Some(other) => Err(Error::Failed(format!(
                "the state file {} has neither {PROMOTED} nor {UNPROMOTED} but {:?}",
                self.state(cx).path().display(),
                crate::error::one_line(other, 20)
            ))),
        }
    }

    fn promote(&self, cx: &Cx<'_>) -> Result<()> {
        self.take_role(cx, PROMOTED, Score::Promoted)
    }

    fn demote(&self, cx: &Cx<'_>) -> Result<()> {
        self.take_role(cx, UNPROMOTED, Score::Unpromoted)
    }
}
