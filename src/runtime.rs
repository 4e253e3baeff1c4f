//! From the caller's words to an exit code: what every way in has in common.

#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use crate::action::Action;
use crate::agent::{Cx, Entry, Outcome, Status};
use crate::contract;
use crate::deadline::Deadline;
use crate::environment::Environment;
use crate::error::{Error, OcfCode};
use crate::log::Log;
use crate::render;
use crate::spec::Described;
use crate::state::StateDirectory;
use crate::trace;

/// Who calls, which decides what is printed besides the exit reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Pacemaker, drbd-reactor, ocf-tester: nothing but what the OCF API asks for.
    Ocf,
    /// Heartbeat's ResourceManager, which reads words on stdout and no exit codes.
    Haresources,
    /// Somebody at a terminal.
    Person,
}

/// Timeout of an action that is not advertised, in seconds.
const DEFAULT_TIMEOUT: u32 = 20;

/// Performs the action that `word` names, and says what its exit code is.
#[must_use]
pub fn run(
    entry: &Entry,
    word: Option<&str>,
    environment: &Environment,
    caller: Caller,
) -> OcfCode {
    let described = &entry.described;
    let Some(action) =
        word.and_then(Action::from_name).filter(|action| described.agent.has(*action))
    else {
        return unknown_action(described, word, environment);
    };
    if action.only_prints() {
        print(described, action, environment);
        return OcfCode::Success;
    }
    let deadline = Deadline::of(environment, advertised(described, action));
    backstop(&deadline);
    let instance = match instance(environment) {
        Ok(instance) => instance,
        Err(error) => {
            Log::new(environment, described.agent.name, "unnamed").exit_reason(&error.reason());
            return contract::UNNAMED;
        }
    };
    let log = Log::new(environment, described.agent.name, &instance);
    if let Err(why) = trace::open(environment, described.agent.name, &instance, action.name()) {
        log.warn(&why);
    }
    let cx = context(described, action, instance, environment, &log, deadline);
    if matches!(action, Action::Start | Action::ValidateAll) {
        advise(described, &cx);
    }
    let outcome = (entry.perform)(&cx);
    let code = contract::code(action, &outcome);
    report(&cx, &outcome, code, caller);
    code
}

/// The last line of defence against a call that never returns: the kernel ends us when even the reserve is over.
fn backstop(deadline: &Deadline) {
    let seconds = deadline.timeout().saturating_add(Duration::from_secs(2)).as_secs();
    nix::unistd::alarm::set(u32::try_from(seconds).unwrap_or(u32::MAX).max(1));
}

fn unknown_action(described: &Described, word: Option<&str>, environment: &Environment) -> OcfCode {
    let name = described.agent.name;
    let known = render::usage::actions(described).join(", ");
    let reason = match word {
        Some(word) => {
            format!("{name} has no action {}; it has {known}", crate::param::quoted(word.as_ref()))
        }
        None => format!("{name} was called without an action; it has {known}"),
    };
    let error = Error::Unimplemented(reason);
    let instance = environment.text("OCF_RESOURCE_INSTANCE").unwrap_or("default");
    Log::new(environment, name, instance).exit_reason(&error.reason());
    error.code()
}

fn print(described: &Described, action: Action, environment: &Environment) {
    let text = match action {
        Action::MetaData => {
            render::xml::metadata(described, render::xml::Form::of_caller(environment))
        }
        Action::Methods => render::usage::actions(described).join("\n") + "\n",
        _ => render::usage::usage(described),
    };
    // A reader that went away wants nothing more.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// The resource's name. A caller that speaks OCF must give one (OCF API 1.1, "Parameter Passing").
///
/// # Errors
/// It must and did not.
pub fn instance(environment: &Environment) -> Result<String, Error> {
    if let Some(instance) = environment.get("OCF_RESOURCE_INSTANCE") {
        return Ok(instance.to_string_lossy().into_owned());
    }
    if environment.get("OCF_RA_VERSION_MAJOR").is_some() {
        let why = "OCF_RESOURCE_INSTANCE is not set, although OCF_RA_VERSION_MAJOR is; the caller must name the resource";
        return Err(Error::Local(why.to_owned()));
    }
    Ok("default".to_owned())
}

/// The action's advertised timeout in seconds.
fn advertised(described: &Described, action: Action) -> u32 {
    described.agent.action(action).map_or(DEFAULT_TIMEOUT, |spec| spec.timeout)
}

/// The context of an action as the cluster repeats it, for a process that repeats it by itself.
#[must_use]
pub fn recurring<'a>(
    described: &Described,
    instance: String,
    environment: &'a Environment,
    log: &'a Log<'a>,
    action: Action,
) -> Cx<'a> {
    let timeout = Duration::from_secs(u64::from(advertised(described, action)));
    let deadline = Deadline::after(timeout);
    let cx = context(described, action, instance, environment, log, deadline);
    Cx { interval_ms: cx.interval_ms.max(1), level: 0, ..cx }
}

fn context<'a>(
    described: &Described,
    action: Action,
    instance: String,
    environment: &'a Environment,
    log: &'a Log<'a>,
    deadline: Deadline,
) -> Cx<'a> {
    let interval_ms = match action {
        Action::Monitor => {
            environment.meta("interval").and_then(|text| text.parse().ok()).unwrap_or(0)
        }
        _ => 0,
    };
    Cx {
        action,
        instance,
        level: level(described, action, environment),
        interval_ms,
        second_look: false,
        environment,
        deadline,
        log,
        state: StateDirectory::new(environment.state_directory()),
    }
}

/// The highest level that the agent has and that is not above `OCF_CHECK_LEVEL` (OCF API 1.1, "Check Levels").
fn level(described: &Described, action: Action, environment: &Environment) -> u32 {
    let wanted = ["OCF_CHECK_LEVEL", "OCF_RESKEY_OCF_CHECK_LEVEL"]
        .into_iter()
        .find_map(|name| environment.text(name))
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    // Every agent may look at the host when it validates at level 10.
    let validation: &[u32] = if action == Action::ValidateAll { &[10] } else { &[] };
    // stop takes back what a monitor of that level left.
    let looking = if action == Action::Stop { Action::Monitor } else { action };
    let declared = described
        .agent
        .actions
        .iter()
        .filter(|spec| spec.action == looking)
        .filter_map(|spec| spec.depth);
    declared.chain(validation.iter().copied()).filter(|depth| *depth <= wanted).max().unwrap_or(0)
}

/// Tells of parameters that have no effect or have a better name.
fn advise(described: &Described, cx: &Cx<'_>) {
    let silent = cx.environment.is_true("OCF_RESKEY_ignore_deprecation");
    for name in cx.environment.parameters() {
        match described.param(&name) {
            Some(param) => {
                if let (Some(better), false) = (param.replaced_by, silent) {
                    cx.log.warn(&format!("parameter {name} is deprecated; use {better}"));
                }
            }
            None if described.params().any(|param| param.aliases.contains(&name.as_str())) => {}
            None => {
                let hint = nearest(described, &name)
                    .map_or(String::new(), |near| format!(" (is it {near}?)"));
                cx.log.warn(&format!(
                    "{} has no parameter {name}, which has no effect{hint}",
                    described.agent.name
                ));
            }
        }
    }
}

/// The parameter whose name is most like `name`, if one is like it at all.
#[must_use]
pub fn nearest(described: &Described, name: &str) -> Option<&'static str> {
    let distance = |other: &str| {
        let mut row: Vec<usize> = (0..=other.len()).collect();
        for (i, a) in name.bytes().enumerate() {
            let mut diagonal = std::mem::replace(&mut row[0], i + 1);
            for (j, b) in other.bytes().enumerate() {
                let substituted = diagonal + usize::from(a != b);
                diagonal = row[j + 1];
                row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
            }
        }
        row[other.len()]
    };
    let near = described.params().map(|param| (distance(param.name), param.name)).min()?;
    (near.0 <= 1 + name.len() / 4).then_some(near.1)
}

/// Prints what the caller reads. A monitor that found nothing wrong says nothing.
fn report(cx: &Cx<'_>, outcome: &Result<Outcome, Error>, code: OcfCode, caller: Caller) {
    if let Err(error) = outcome {
        cx.log.exit_reason(&error.reason());
    }
    let mut words = String::new();
    if cx.action == Action::Status && caller == Caller::Ocf {
        let _ = writeln!(words, "{}", state_word(outcome));
    }
    match caller {
        Caller::Ocf => {}
        Caller::Haresources => {
            let _ = writeln!(words, "{}", haresources_words(cx, outcome, code));
        }
        Caller::Person => {
            let _ = writeln!(words, "{}", person_words(cx.action, outcome));
        }
    }
    let _ = std::io::stdout().write_all(words.as_bytes());
}

fn state_word(outcome: &Result<Outcome, Error>) -> &'static str {
    match outcome {
        Ok(Outcome::Is(Status::NotRunning)) => "stopped",
        Ok(Outcome::Is(Status::FailedPromoted)) | Err(_) => "failed",
        Ok(_) => "running",
    }
}

/// ResourceManager takes any output with `running` or `OK` for "this node has the resource", so that a failed one
/// must have neither.
fn haresources_words(cx: &Cx<'_>, outcome: &Result<Outcome, Error>, code: OcfCode) -> String {
    match (cx.action, outcome) {
        (action, Err(_)) => format!(
            "ERROR: {action} of {} failed with exit code {}; the reason is in the log",
            cx.instance,
            code.number()
        ),
        (Action::Monitor | Action::Status, Ok(_)) => match state_word(outcome) {
            "running" => "INFO: running, OK".to_owned(),
            word => format!("INFO: {word}"),
        },
        (_, Ok(_)) => "INFO: OK".to_owned(),
    }
}

fn person_words(action: Action, outcome: &Result<Outcome, Error>) -> String {
    match (action, outcome) {
        (_, Err(_)) => format!("{action}: failed"),
        (Action::Monitor | Action::Status, Ok(_)) => state_word(outcome).to_owned(),
        (Action::Start, Ok(_)) => "started".to_owned(),
        (Action::Stop, Ok(_)) => "stopped".to_owned(),
        (_, Ok(_)) => format!("{action}: done"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{ActionSpec, AgentSpec};

    const LEVELS: Described = Described {
        agent: AgentSpec {
            name: "Example",
            short: "",
            long: "",
            actions: &[
                ActionSpec::new(Action::Monitor, 20).depth(0),
                ActionSpec::new(Action::Monitor, 20).depth(10),
                ActionSpec::new(Action::Monitor, 20).depth(20),
            ],
            haresources: None,
        },
        own: &[],
        watched: false,
    };

    /// OCF API 1.1, "Check Levels": a level that the agent does not have falls back to the next lower one.
    #[test]
    fn a_check_level_falls_back_to_one_that_there_is() {
        let cases = [
            (Action::Monitor, None, 0),
            (Action::Monitor, Some("9"), 0),
            (Action::Monitor, Some("10"), 10),
            (Action::Monitor, Some("19"), 10),
            (Action::Monitor, Some("999"), 20),
            (Action::Monitor, Some("deep"), 0),
            (Action::ValidateAll, Some("9"), 0),
            (Action::ValidateAll, Some("20"), 10),
            (Action::Start, Some("20"), 0),
            (Action::Stop, Some("20"), 20),
        ];
        for (action, wanted, expected) in cases {
            for name in ["OCF_CHECK_LEVEL", "OCF_RESKEY_OCF_CHECK_LEVEL"] {
                let mut environment = Environment::default();
                if let Some(wanted) = wanted {
                    environment.set(name, wanted);
                }
                assert_eq!(level(&LEVELS, action, &environment), expected, "{action} {wanted:?}");
            }
        }
    }
}
