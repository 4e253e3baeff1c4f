//! An agent's call, in each of the three ways.

#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use super::{is_haresources_link, known};
use crate::action::Action;
use crate::agent::Entry;
use crate::environment::Environment;
use crate::haresources;
use crate::log::Log;
use crate::runtime::{self, Caller, nearest};
use crate::watch::manager;

/// Exit code of a wrong command line, as clap has it.
const WRONG_WORDS: u8 = 2;

/// A symlink named as the agent was called: by OCF, with the action first; or by haresources, with it last.
pub(super) fn called_by_cluster(entry: &Entry, called: &Path, words: &[OsString]) -> ExitCode {
    let mut environment = Environment::of_process();
    let first = words.first().map(|word| word.to_string_lossy());
    let positional = words.len() > 1 && first.as_deref().and_then(Action::from_name).is_none();
    if let (Some(pattern), true) =
        (&entry.described.agent.haresources, is_haresources_link(called) || positional)
    {
        let (action, arguments) =
            words.split_last().map_or((None, words), |(last, rest)| (Some(last), rest));
        let action = action.map(|word| word.to_string_lossy());
        let known = action.as_deref().and_then(Action::from_name);
        let strictly = !matches!(known, Some(Action::Stop | Action::Monitor | Action::Status));
        let described = &entry.described;
        if !known.is_some_and(Action::only_prints)
            && let Err(why) =
                haresources::apply(described, pattern, arguments, &mut environment, strictly)
        {
            Log::new(&environment, entry.described.agent.name, "haresources").exit_reason(&why);
            return ExitCode::FAILURE;
        }
        environment.set(manager::CALLER, manager::HARESOURCES);
        return code(entry, action.as_deref(), &environment, Caller::Haresources);
    }
    code(entry, first.as_deref(), &environment, Caller::Ocf)
}

/// `ocfbox AGENT ACTION parameter=value …`
pub(super) fn called_by_person(words: &[OsString]) -> ExitCode {
    let (Some(name), action) = (words.first(), words.get(1)) else {
        return ExitCode::from(WRONG_WORDS);
    };
    let entry = match known(&name.to_string_lossy()) {
        Ok(entry) => entry,
        Err(error) => {
            complain(&format!("{error}; `ocfbox --help` lists the other verbs"));
            return ExitCode::from(WRONG_WORDS);
        }
    };
    let mut environment = Environment::of_process();
    for word in words.get(2..).unwrap_or_default() {
        if let Err(why) = set(entry, word, &mut environment) {
            complain(&why);
            return ExitCode::from(WRONG_WORDS);
        }
    }
    // A person wants to hear of the host as well, not only of the syntax.
    if environment.get("OCF_CHECK_LEVEL").is_none()
        && action.is_some_and(|word| word == Action::ValidateAll.name())
    {
        environment.set("OCF_CHECK_LEVEL", "10");
    }
    let action = action.map(|word| word.to_string_lossy());
    code(entry, action.as_deref(), &environment, Caller::Person)
}

/// Sets the parameter that `word`, of the form `name=value`, gives.
pub(super) fn set(
    entry: &Entry,
    word: &OsStr,
    environment: &mut Environment,
) -> Result<(), String> {
    use std::os::unix::ffi::OsStrExt;
    let bytes = word.as_bytes();
    let agent = entry.described.agent.name;
    let Some(at) = bytes.iter().position(|byte| *byte == b'=') else {
        return Err(format!(
            "{} is not of the form parameter=value; `ocfbox describe {agent}` lists them",
            crate::param::quoted(word)
        ));
    };
    let name = String::from_utf8_lossy(&bytes[..at]).into_owned();
    let declared =
        entry.described.params().any(|param| param.name == name || param.aliases.contains(&&*name));
    if !declared {
        let hint = nearest(&entry.described, &name)
            .map_or(String::new(), |near| format!("; is it {near}?"));
        return Err(format!("{agent} has no parameter {name:?}{hint}"));
    }
    environment.set(format!("OCF_RESKEY_{name}"), OsStr::from_bytes(&bytes[at + 1..]));
    Ok(())
}

fn code(
    entry: &Entry,
    action: Option<&str>,
    environment: &Environment,
    caller: Caller,
) -> ExitCode {
    ExitCode::from(runtime::run(entry, action, environment, caller).number())
}

fn complain(why: &str) {
    // Nobody can be told if stderr is gone.
    let _ = writeln!(std::io::stderr(), "ocfbox: {why}");
}
