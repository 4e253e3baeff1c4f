//! What a cluster manager may ask of an agent.

#![forbid(unsafe_code)]

use std::fmt;

macro_rules! actions {
    ($( $(#[$doc:meta])* $variant:ident = $name:literal, )*) => {
        /// An action of the OCF resource agent API 1.1, or one that the shell agents have besides.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Action { $( $(#[$doc])* $variant, )* }

        impl Action {
            /// Every action there is, in the order in which usage lists them.
            pub const ALL: &'static [Self] = &[$( Self::$variant, )*];

            /// The word on the command line.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $( Self::$variant => $name, )* }
            }
        }
    };
}

actions! {
    /// Bring the resource up.
    Start = "start",
    /// Bring the resource down.
    Stop = "stop",
    /// Say whether the resource works.
    Monitor = "monitor",
    /// As monitor, for people and for Heartbeat: prints a word as well.
    Status = "status",
    /// Make a promotable resource the promoted one.
    Promote = "promote",
    /// Undo promote.
    Demote = "demote",
    /// Hear what happens to the other instances of a clone.
    Notify = "notify",
    /// Take new parameters without a restart (OCF 1.0).
    Reload = "reload",
    /// Take new parameters without a restart (OCF 1.1).
    ReloadAgent = "reload-agent",
    /// Give a running resource to another node.
    MigrateTo = "migrate_to",
    /// Take a running resource from another node.
    MigrateFrom = "migrate_from",
    /// Judge the parameters.
    ValidateAll = "validate-all",
    /// Print the description of the agent.
    MetaData = "meta-data",
    /// Print how the agent is called.
    Usage = "usage",
    /// Print the actions, one a line.
    Methods = "methods",
}

impl Action {
    /// The action that `word` names; `help` is `usage`.
    #[must_use]
    pub fn from_name(word: &str) -> Option<Self> {
        if word == "help" {
            return Some(Self::Usage);
        }
        Self::ALL.iter().copied().find(|action| action.name() == word)
    }

    /// Whether the action only prints, so that it needs neither parameters nor a host.
    #[must_use]
    pub const fn only_prints(self) -> bool {
        matches!(self, Self::MetaData | Self::Usage | Self::Methods)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
