//! Invariants over the table of agents.

use std::collections::HashSet;

use ocfbox::action::Action;
use ocfbox::agents;
use ocfbox::param::Kind;

#[test]
fn names_are_unique_and_sorted_without_regard_to_case() {
    let names: Vec<String> =
        agents::ALL.iter().map(|entry| entry.described.agent.name.to_lowercase()).collect();
    let unique: HashSet<&String> = names.iter().collect();
    assert_eq!(unique.len(), names.len());
    assert!(names.is_sorted(), "{names:?}");
}

/// OCF API 1.1, "Resource Agent Actions": start, stop, monitor and meta-data are mandatory.
#[test]
fn every_agent_has_the_mandatory_actions_with_times() {
    for entry in agents::ALL {
        let agent = &entry.described.agent;
        let mandatory =
            [Action::Start, Action::Stop, Action::Monitor, Action::MetaData, Action::ValidateAll];
        for action in mandatory {
            assert!(agent.action(action).is_some(), "{} {action}", agent.name);
        }
        for row in agent.actions {
            assert!(row.timeout > 0, "{} {}", agent.name, row.action);
            if row.action == Action::Monitor {
                assert!(row.interval.is_some(), "a monitor that never recurs sees nothing");
            }
        }
    }
}

#[test]
fn everything_is_described() {
    for entry in agents::ALL {
        let agent = &entry.described.agent;
        assert!(agent.long.len() > 2 * agent.short.len(), "{}", agent.name);
        assert!(!agent.short.ends_with('.'), "{}", agent.short);
        for param in entry.described.params {
            let name = param.name;
            assert!(!param.short().is_empty() && !param.short().ends_with('.'), "{name}");
            assert!(param.long() != format!("{}.", param.short()), "{} {name}", agent.name);
            assert!(param.long().ends_with('.'), "{name}: {}", param.long());
        }
    }
}

#[test]
fn parameters_have_one_meaning() {
    for entry in agents::ALL {
        let mut names = HashSet::new();
        for param in entry.described.params {
            assert!(names.insert(param.name), "{} twice", param.name);
            for alias in param.aliases {
                assert!(names.insert(alias), "{alias} twice");
            }
            if let (Kind::Select(words), Some(default)) = (param.kind, param.default) {
                assert!(words.contains(&default), "{}: {default}", param.name);
            }
            if let Some(better) = param.replaced_by {
                assert!(entry.described.param(better).is_some(), "{} -> {better}", param.name);
            }
        }
    }
}

#[test]
fn haresources_patterns_name_real_parameters() {
    for entry in agents::ALL {
        let Some(pattern) = &entry.described.agent.haresources else { continue };
        let named = pattern.arguments.iter().flat_map(|names| names.split(['/', '|']));
        let named = named.map(|name| name.trim_end_matches(['!', '*']));
        // An ending that tells one from the other.
        let named = named.map(|name| name.split('.').next().unwrap_or(name));
        for name in named.chain(pattern.fixed.iter().map(|(name, _)| *name)) {
            assert!(
                entry.described.param(name).is_some(),
                "{}: {name}",
                entry.described.agent.name
            );
        }
        assert!(pattern.required <= pattern.arguments.len());
    }
}
