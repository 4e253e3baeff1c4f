//! Completion of the command line: verbs, agents, actions, and parameters with their choices.

#![forbid(unsafe_code)]

use clap::builder::PossibleValuesParser;
use clap::{Arg, Command};
use clap_complete::Shell;

use super::usage::actions;
use crate::param::{Kind, ParamSpec};
use crate::spec::Described;

/// The script that teaches a shell to complete `program`, with every agent as a verb.
#[must_use]
pub fn script<'a>(
    shell: Shell,
    program: &Command,
    agents: impl IntoIterator<Item = &'a Described>,
) -> String {
    let agents: Vec<&Described> = agents.into_iter().collect();
    let names: Vec<&str> = agents.iter().map(|described| described.agent.name).collect();
    let described = |verb: Command| match verb.get_name() {
        "describe" => {
            verb.mut_arg("agent", |arg| arg.value_parser(PossibleValuesParser::new(&names)))
        }
        _ => verb,
    };
    let shown = program.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned();
    let mut program = Command::new("ocfbox")
        .subcommands(shown.map(described))
        .subcommands(agents.iter().map(|described| verb(described)));
    let mut bytes = Vec::new();
    clap_complete::generate(shell, &mut program, "ocfbox", &mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// An agent as a verb: an action, then parameters.
fn verb(described: &Described) -> Command {
    let parameters: Vec<String> = described.params().flat_map(words).collect();
    Command::new(described.agent.name)
        .about(described.agent.short)
        .disable_help_flag(true)
        .arg(Arg::new("action").value_parser(PossibleValuesParser::new(actions(described))))
        .arg(
            Arg::new("parameter").num_args(0..).value_parser(PossibleValuesParser::new(parameters)),
        )
}

/// `name=` and, where the values are known, `name=value`.
fn words(param: &ParamSpec) -> Vec<String> {
    let values: &[&str] = match param.kind {
        Kind::Boolean => &["true", "false"],
        Kind::Select(values) => values,
        Kind::String | Kind::Integer => &[],
    };
    let known = values.iter().map(|value| format!("{}={value}", param.name));
    std::iter::once(format!("{}=", param.name)).chain(known).collect()
}
