//! What an agent declares of itself besides its parameters.

#![forbid(unsafe_code)]

use crate::action::Action;
use crate::param::{ParamSpec, Params};
use crate::watch;

/// Role of a promotable clone that an action is for (OCF API 1.1, "Resource Agent Actions").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The promoted instance; `Master` in OCF 1.0.
    Promoted,
    /// Any other instance; `Slave` in OCF 1.0.
    Unpromoted,
}

/// One advertised action with its suggested times.
#[derive(Clone, Copy, Debug)]
pub struct ActionSpec {
    /// What it is.
    pub action: Action,
    /// Suggested timeout in seconds; also the action's own deadline when the caller gives none.
    pub timeout: u32,
    /// Suggested interval of a recurring monitor, in seconds.
    pub interval: Option<u32>,
    /// Monitor level (`OCF_CHECK_LEVEL`).
    pub depth: Option<u32>,
    /// Role of the instance it is for.
    pub role: Option<Role>,
    /// Whether the meta-data has it.
    pub advertised: bool,
}

impl ActionSpec {
    /// An action with its timeout in seconds.
    #[must_use]
    pub const fn new(action: Action, timeout: u32) -> Self {
        Self { action, timeout, interval: None, depth: None, role: None, advertised: true }
    }

    /// The same, repeated every `seconds`.
    #[must_use]
    pub const fn every(mut self, seconds: u32) -> Self {
        self.interval = Some(seconds);
        self
    }

    /// The same, at a monitor level.
    #[must_use]
    pub const fn depth(mut self, level: u32) -> Self {
        self.depth = Some(level);
        self
    }

    /// The same, without a row in the meta-data: tools that make an operation of each row (`pcs`) would make one of it that
    /// nobody asked for.
    #[must_use]
    pub const fn unadvertised(mut self) -> Self {
        self.advertised = false;
        self
    }

    /// The same, for one role.
    #[must_use]
    pub const fn role(mut self, role: Role) -> Self {
        self.role = Some(role);
        self
    }
}

/// Everything that an agent declares, parameters apart.
#[derive(Clone, Copy, Debug)]
pub struct AgentSpec {
    /// Name as the cluster spells it; also the name of the symlink.
    pub name: &'static str,
    /// One line.
    pub short: &'static str,
    /// Paragraphs, separated by an empty line.
    pub long: &'static str,
    /// Advertised actions; a word that is not here is answered with exit code 3.
    pub actions: &'static [ActionSpec],
    /// How positional arguments of a haresources line become parameters.
    pub haresources: Option<Haresources>,
}

impl AgentSpec {
    /// The declaration of `action`, if the agent has it.
    #[must_use]
    pub fn action(&self, action: Action) -> Option<&'static ActionSpec> {
        self.actions.iter().find(|spec| spec.action == action)
    }

    /// Whether the agent answers to `action`. `status`, `usage` and `methods` need no declaration.
    #[must_use]
    pub fn has(&self, action: Action) -> bool {
        matches!(action, Action::Status | Action::Usage | Action::Methods)
            || self.action(action).is_some()
    }
}

/// Positional arguments in `/etc/ha.d/haresources` and the instance name made of them.
#[derive(Clone, Copy, Debug)]
pub struct Haresources {
    /// One pattern per argument: parameter names, separated by `/` as the values are, in order. A last part of
    /// the form `nic|broadcast` takes the first name unless the value starts with a digit. A part after the first that
    /// has to be there is marked `!`, a last argument whose value may contain `::` is marked `*`.
    pub arguments: &'static [&'static str],
    /// How many of the arguments have to be there.
    pub required: usize,
    /// Parameters that the wrapper of the shell agent sets besides.
    pub fixed: &'static [(&'static str, &'static str)],
}

/// An agent's declaration with its type erased: all that is printed is a function of this.
#[derive(Clone, Copy, Debug)]
pub struct Described {
    /// The agent.
    pub agent: AgentSpec,
    /// The parameters that it declares itself.
    pub own: &'static [ParamSpec],
    /// Whether it can be watched, and so has the parameters that say how.
    pub watched: bool,
}

impl Described {
    /// All its parameters: its own, and those that the framework adds.
    pub fn params(&self) -> impl Iterator<Item = &'static ParamSpec> + use<> {
        let added = if self.watched { watch::Settings::SPEC } else { &[] };
        self.own.iter().chain(added)
    }

    /// The declaration of the parameter `name`.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&'static ParamSpec> {
        self.params().find(|param| param.name == name)
    }
}
