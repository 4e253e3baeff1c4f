//! What an agent is: a declaration, and what it does with one invocation.

#![forbid(unsafe_code)]

use crate::action::Action;
use crate::deadline::Deadline;
use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::log::Log;
use crate::param::{Params, Source};
use crate::spec::{AgentSpec, Described};
use crate::state::StateDirectory;
use crate::watch::{self, Settings, Signs};

/// A resource agent, configured for one invocation.
///
/// Only `monitor` can say "not running", and nothing here returns a number: the exit code follows from the
/// [`Status`] or from the kind of [`Error`] (see [`crate::contract`]).
pub trait Agent: From<Self::Params> {
    /// Its parameters.
    type Params: Params;

    /// The rest of its declaration.
    const SPEC: AgentSpec;

    /// Whether the kernel announces it when the resource fails, so that it can be watched (see [`crate::watch`]).
    const WATCHED: bool = false;

    /// What the kernel announces then.
    ///
    /// # Errors
    /// Nobody can tell.
    fn signs(&self, _: &Cx<'_>) -> Result<Signs> {
        Ok(Signs::default())
    }

    /// What tells the resource from all others here: by default its name in the cluster.
    fn key(&self, cx: &Cx<'_>) -> String {
        format!("{}-{}", Self::SPEC.name, cx.instance)
    }

    /// Whether the resource works.
    ///
    /// # Errors
    /// It does not, although something of it is there; or nobody can tell.
    fn monitor(&self, cx: &Cx<'_>) -> Result<Status>;

    /// Makes the resource work, or leaves nothing of it behind.
    ///
    /// # Errors
    /// It does not work; what was done is undone.
    fn start(&self, cx: &Cx<'_>) -> Result<()>;

    /// Removes the resource in every form.
    ///
    /// # Errors
    /// Something of it is left.
    fn stop(&self, cx: &Cx<'_>) -> Result<()>;

    /// Judges the parameters together, without a look at the host.
    ///
    /// # Errors
    /// They contradict each other.
    fn check(&self, _: &Cx<'_>) -> Result<()> {
        Ok(())
    }

    /// Looks whether the resource could be started here; changes nothing.
    ///
    /// # Errors
    /// It could not.
    fn validate(&self, _: &Cx<'_>) -> Result<()> {
        Ok(())
    }

    /// Makes this the promoted instance.
    ///
    /// # Errors
    /// It is not.
    fn promote(&self, cx: &Cx<'_>) -> Result<()> {
        Err(undeclared(cx.action))
    }

    /// Undoes promote.
    ///
    /// # Errors
    /// It is still promoted.
    fn demote(&self, cx: &Cx<'_>) -> Result<()> {
        Err(undeclared(cx.action))
    }

    /// Hears what happens to other instances.
    ///
    /// # Errors
    /// The agent could not do what it does then.
    fn notify(&self, cx: &Cx<'_>) -> Result<()> {
        Err(undeclared(cx.action))
    }

    /// Takes changed parameters without a restart.
    ///
    /// # Errors
    /// It could not.
    fn reload(&self, cx: &Cx<'_>) -> Result<()> {
        Err(undeclared(cx.action))
    }

    /// Gives the running resource to another node.
    ///
    /// # Errors
    /// It could not.
    fn migrate_to(&self, cx: &Cx<'_>) -> Result<()> {
        Err(undeclared(cx.action))
    }

    /// Takes the running resource from another node.
    ///
    /// # Errors
    /// It could not.
    fn migrate_from(&self, cx: &Cx<'_>) -> Result<()> {
        Err(undeclared(cx.action))
    }
}

/// The error of an action that the agent does not have.
#[must_use]
pub fn undeclared(action: Action) -> Error {
    Error::Unimplemented(format!("this agent has no action {action}"))
}

/// What monitor found when nothing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It works.
    Running,
    /// Nothing of it is here.
    NotRunning,
    /// It works, but is likely to fail soon.
    Degraded,
    /// It works and is promoted.
    RunningPromoted,
    /// It works, is promoted and likely to fail soon.
    DegradedPromoted,
    /// It is promoted and does not work.
    FailedPromoted,
}

/// One invocation: what the caller asked for, and with what.
#[derive(Clone, Debug)]
pub struct Cx<'a> {
    /// What to do.
    pub action: Action,
    /// The resource's name in the cluster.
    pub instance: String,
    /// Monitor or validation level that the agent has and that is not above the one asked for.
    pub level: u32,
    /// Milliseconds between recurring monitors; zero for a probe and for everything else.
    pub interval_ms: u64,
    /// Which of the two looks of a recurring monitor this is: the second one takes nothing from the first.
    pub second_look: bool,
    /// What the caller set.
    pub environment: &'a Environment,
    /// When it has to be over.
    pub deadline: Deadline,
    /// Where messages go.
    pub log: &'a Log<'a>,
    /// Where state files are.
    pub state: StateDirectory,
}

impl Cx<'_> {
    /// A probe asks about a resource that may never have been started here.
    ///
    /// As for the shell agents, a monitor that a person runs is one, and `status` never is.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.action == Action::Monitor && self.interval_ms == 0
    }

    /// A meta attribute that is a whole number.
    #[must_use]
    pub fn meta_number(&self, name: &str) -> Option<u32> {
        self.environment.meta(name)?.parse().ok()
    }
}

/// What an action came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An action that either works or fails.
    Done,
    /// Monitor and status.
    Is(Status),
}

/// A row of the table of agents: one with its type erased.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Everything that is printed follows from this.
    pub described: Described,
    /// Performs the action of `Cx`.
    pub perform: fn(&Cx<'_>) -> Result<Outcome>,
    /// What announces that the resource may have failed.
    pub signs: fn(&Cx<'_>) -> Result<Signs>,
    /// What tells the resource from all others here.
    pub key: fn(&Cx<'_>) -> Result<String>,
}

impl Entry {
    /// The row of `A`.
    #[must_use]
    pub const fn of<A: Agent>() -> Self {
        Self {
            described: Described { agent: A::SPEC, own: A::Params::SPEC, watched: A::WATCHED },
            perform: perform::<A>,
            signs: |cx| leniently::<A>(cx)?.signs(cx),
            key: |cx| Ok(leniently::<A>(cx)?.key(cx)),
        }
    }
}

fn leniently<A: Agent>(cx: &Cx<'_>) -> Result<A> {
    A::Params::parse(Source::lenient(cx.environment.variables())).map(A::from)
}

/// Parses the parameters as severely as the action deserves, and acts.
fn perform<A: Agent>(cx: &Cx<'_>) -> Result<Outcome> {
    match cx.action {
        Action::Stop | Action::Demote | Action::Monitor | Action::Status => {
            match leniently::<A>(cx) {
                Ok(agent) => match act_leniently(&agent, cx) {
                    Err(error @ Error::Configured { .. }) => Ok(nothing_can_run(cx, &error)),
                    other => other,
                },
                Err(error) => Ok(nothing_can_run(cx, &error)),
            }
        }
        _ => {
            let agent = A::from(A::Params::parse(Source::strict(cx.environment.variables()))?);
            let settings = A::WATCHED.then(|| Settings::strictly(cx)).transpose()?;
            agent.check(cx)?;
            act(&agent, cx)?;
            match (settings, cx.action) {
                (Some(settings), Action::Start) => watch::started(&agent, &settings, cx),
                (Some(settings), Action::Reload | Action::ReloadAgent) => {
                    watch::reloaded(&agent, &settings, cx);
                }
                _ => {}
            }
            Ok(Outcome::Done)
        }
    }
}

/// With parameters that are wrong on every node no resource can have been started, so nothing of it can be here.
fn nothing_can_run(cx: &Cx<'_>, error: &Error) -> Outcome {
    cx.log.warn(&format!("{error}; so nothing can have been started"));
    if cx.action == Action::Stop || cx.action == Action::Demote {
        Outcome::Done
    } else {
        Outcome::Is(Status::NotRunning)
    }
}

fn act_leniently<A: Agent>(agent: &A, cx: &Cx<'_>) -> Result<Outcome> {
    match cx.action {
        Action::Stop => {
            let _unwatched = if A::WATCHED { watch::stopping(agent, cx) } else { None };
            agent.stop(cx).map(|()| Outcome::Done)
        }
        Action::Demote => agent.demote(cx).map(|()| Outcome::Done),
        _ => {
            let looked = looked_at_twice(agent, cx);
            match &looked {
                _ if !A::WATCHED || cx.is_probe() => {}
                Err(_) | Ok(Status::NotRunning) => watch::failed(agent, cx),
                Ok(_) => watch::seen(agent, cx),
            }
            looked.map(Outcome::Is)
        }
    }
}

/// A recurring monitor that would say "not running" looks again, so that one bad look moves no resource.
fn looked_at_twice<A: Agent>(agent: &A, cx: &Cx<'_>) -> Result<Status> {
    let status = agent.monitor(cx)?;
    if status != Status::NotRunning || cx.is_probe() {
        return Ok(status);
    }
    crate::trace_note!("not running; looking again");
    agent.monitor(&Cx { second_look: true, ..cx.clone() })
}

fn act<A: Agent>(agent: &A, cx: &Cx<'_>) -> Result<()> {
    match cx.action {
        Action::Start => agent.start(cx),
        Action::ValidateAll if cx.level >= 10 => agent.validate(cx),
        Action::ValidateAll => Ok(()),
        Action::Promote => agent.promote(cx),
        Action::Notify => agent.notify(cx),
        Action::Reload | Action::ReloadAgent => agent.reload(cx),
        Action::MigrateTo => agent.migrate_to(cx),
        Action::MigrateFrom => agent.migrate_from(cx),
        action => Err(undeclared(action)),
    }
}
