//! Heartbeat's haresources: positional arguments instead of variables, and the action last.
//!
//! Words such as `watch=false` say how the resource is watched, and are no positional arguments.

#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use crate::environment::Environment;
use crate::runtime::nearest;
use crate::spec::{Described, Haresources};

/// Sets the parameters and the instance that `arguments` stand for. `strictly`: a word that says how to watch, and that
/// nobody knows, is refused; else it is passed over, as no stop may fail because of one.
///
/// # Errors
/// Too few or too many arguments, with the form that is wanted; or that word.
pub fn apply(
    described: &Described,
    pattern: &Haresources,
    arguments: &[OsString],
    environment: &mut Environment,
    strictly: bool,
) -> Result<(), String> {
    let agent = described.agent.name;
    let (settings, arguments): (Vec<_>, Vec<_>) =
        arguments.iter().cloned().partition(|word| described.watched && setting(word).is_some());
    let settings = settings.iter().filter_map(setting);
    if let Some((name, _)) = settings.clone().find(|(name, _)| described.param(name).is_none())
        && strictly
    {
        let hint =
            nearest(described, name).map_or(String::new(), |near| format!("; is it {near}?"));
        return Err(format!("{agent} has no parameter {name:?}{hint}"));
    }
    let arguments = rejoined(pattern, &arguments);
    if arguments.len() < pattern.required || arguments.len() > pattern.arguments.len() {
        return Err(format!("{agent} takes other arguments: {}", form(described, pattern)));
    }
    environment.forget_ocf();
    for (name, value) in settings {
        environment.set(format!("OCF_RESKEY_{name}"), value);
    }
    // Only the positional ones: a line that is edited while the resource runs has to mean the same resource.
    let mut instance = OsString::from(agent);
    for (names, argument) in pattern.arguments.iter().zip(&arguments) {
        let mut values = argument.as_bytes().split(|byte| *byte == b'/');
        let mut names = names.split('/').peekable();
        while let Some(alternatives) = names.next() {
            let alternatives = plain(alternatives);
            // The last name takes the rest, so that a value which is a path stays whole.
            let value = match names.peek() {
                None => values.by_ref().collect::<Vec<_>>().join(&b'/'),
                Some(_) => values.next().unwrap_or_default().to_vec(),
            };
            if !value.is_empty() {
                environment.set(variable(alternatives, &value), OsString::from_vec(value));
            }
        }
        instance.push("_");
        instance.push(argument);
    }
    for (name, value) in pattern.fixed {
        environment.set(format!("OCF_RESKEY_{name}"), *value);
    }
    environment.set("OCF_RESOURCE_INSTANCE", instance);
    Ok(())
}

/// The name and the value of a word that says how to watch: `watch=false`, `watch_restarts=5`. No positional argument of an
/// agent that can be watched looks like that, so that `uid=5` and `LABEL=data` stay what they are.
fn setting(word: &OsString) -> Option<(&str, &OsStr)> {
    let at = word.as_bytes().iter().position(|byte| *byte == b'=')?;
    let (name, value) = word.as_bytes().split_at(at);
    let name = std::str::from_utf8(name).ok()?;
    let is_setting = name == "watch" || name.starts_with("watch_");
    is_setting.then(|| (name, OsStr::from_bytes(&value[1..])))
}

/// `nic|broadcast`: an interface, or a broadcast address if it starts with a digit. `script|unit.service`: a script, or
/// a unit if it ends in `.service`.
fn variable(alternatives: &str, value: &[u8]) -> String {
    let (word, other) = alternatives.split_once('|').unwrap_or((alternatives, ""));
    let (other, is_meant) = match other.find('.') {
        Some(at) => (&other[..at], value.ends_with(&other.as_bytes()[at..])),
        None => (other, value.first().is_some_and(u8::is_ascii_digit)),
    };
    let name = if is_meant && !other.is_empty() { other } else { word };
    format!("OCF_RESKEY_{name}")
}

/// A parameter's name without its marks.
fn plain(name: &str) -> &str {
    name.trim_end_matches(['!', '*'])
}

/// ResourceManager separates arguments by `::`, which also stands in IPv6 addresses: where only one argument is
/// possible, or where the last one is marked, the pieces belong together.
fn rejoined(pattern: &Haresources, arguments: &[OsString]) -> Vec<OsString> {
    let most = pattern.arguments.len();
    let joins = most == 1 || pattern.arguments.last().is_some_and(|last| last.ends_with('*'));
    if !joins || arguments.len() <= most {
        return arguments.to_vec();
    }
    let (single, pieces) = arguments.split_at(most - 1);
    [single, &[pieces.join(OsStr::new("::"))]].concat()
}

/// How a haresources line of the agent looks, with the words that say how to watch.
#[must_use]
pub fn form(described: &Described, pattern: &Haresources) -> String {
    let watched = if described.watched { "[::watch=false]" } else { "" };
    format!("{}{watched}", line(described.agent.name, pattern))
}

/// What is to be known of those words; nothing, if the agent has none.
#[must_use]
pub fn advice(described: &Described) -> Option<&'static str> {
    const ADVICE: &str = "The parameters watch, watch_interval, watch_restarts and watch_window are words of their own there: \
                          ::watch=false or ::watch_restarts=5, after all else.";
    described.watched.then_some(ADVICE)
}

/// How a haresources line of the agent looks.
#[must_use]
pub fn line(agent: &str, pattern: &Haresources) -> String {
    let argument = |(index, names): (usize, &&str)| {
        let (mut whole, mut open) = (String::new(), 0);
        for (part, marked) in names.split('/').enumerate() {
            let name = plain(marked.split('|').next().unwrap_or(marked));
            let optional = part > 0 && !marked.ends_with('!');
            open += usize::from(optional);
            whole += if optional { "[" } else { "" };
            whole += if part > 0 { "/" } else { "" };
            whole += name;
        }
        whole += &"]".repeat(open);
        if index < pattern.required { format!("::{whole}") } else { format!("[::{whole}]") }
    };
    format!("{agent}{}", pattern.arguments.iter().enumerate().map(argument).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::AgentSpec;

    const ADDRESS: Haresources = Haresources {
        arguments: &["ip/cidr_netmask/nic|broadcast/broadcast"],
        required: 1,
        fixed: &[("lvs_support", "1")],
    };

    const IDENTITY: Haresources =
        Haresources { arguments: &["nic/mac!", "ip*"], required: 1, fixed: &[] };

    const FILES: Haresources = Haresources {
        arguments: &["device", "directory", "fstype", "options*"],
        required: 2,
        fixed: &[],
    };

    fn described(watched: bool) -> Described {
        let agent = AgentSpec {
            name: "IPaddr2",
            short: "",
            long: "",
            actions: &[],
            haresources: Some(ADDRESS),
        };
        Described { agent, own: &[], watched }
    }

    fn applied(arguments: &[&str]) -> Result<Vec<(String, String)>, String> {
        applied_to(&ADDRESS, arguments)
    }

    fn applied_to(
        pattern: &Haresources,
        arguments: &[&str],
    ) -> Result<Vec<(String, String)>, String> {
        let mut environment = Environment::default();
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        apply(&described(true), pattern, &arguments, &mut environment, true)?;
        let pair = |(k, v): &(OsString, OsString)| {
            (k.to_str().unwrap().to_owned(), v.to_str().unwrap().to_owned())
        };
        Ok(environment.variables().iter().map(pair).collect())
    }

    #[test]
    fn slashes_separate_parameters() {
        let cases: [(&[&str], &str); 4] = [
            (&["192.0.2.1"], "ip=192.0.2.1"),
            (
                &["192.0.2.1/24/eth0/192.0.2.255"],
                "ip=192.0.2.1 cidr_netmask=24 nic=eth0 broadcast=192.0.2.255",
            ),
            (&["192.0.2.1/24/192.0.2.255"], "ip=192.0.2.1 cidr_netmask=24 broadcast=192.0.2.255"),
            (&["2001:db8", "1/64/eth0"], "ip=2001:db8::1 cidr_netmask=64 nic=eth0"),
        ];
        for (arguments, expected) in cases {
            let set = applied(arguments).unwrap();
            let shown: Vec<String> = set
                .iter()
                .filter_map(|(k, v)| Some(format!("{}={v}", k.strip_prefix("OCF_RESKEY_")?)))
                .filter(|pair| pair != "lvs_support=1")
                .collect();
            assert_eq!(shown.join(" "), expected, "{arguments:?}");
        }
    }

    #[test]
    fn a_marked_last_argument_takes_all_pieces() {
        let ip = |arguments: &[&str]| {
            let set = applied_to(&IDENTITY, arguments).unwrap();
            set.into_iter().find(|(name, _)| name == "OCF_RESKEY_ip").map(|(_, value)| value)
        };
        let card = "eth1/02:00:00:00:00:01";
        assert_eq!(ip(&[card]), None);
        assert_eq!(ip(&[card, "192.0.2.10/24"]).as_deref(), Some("192.0.2.10/24"));
        let both = ip(&[card, "192.0.2.10/24,2001:db8", "10/64"]);
        assert_eq!(both.as_deref(), Some("192.0.2.10/24,2001:db8::10/64"));
        assert_eq!(line("X", &IDENTITY), "X::nic/mac[::ip]");
    }

    #[test]
    fn an_ending_can_tell_what_an_argument_is() {
        const DAEMON: Haresources =
            Haresources { arguments: &["script|unit.service"], required: 1, fixed: &[] };
        for (argument, name) in [("x", "script"), ("x.service", "unit"), ("1x", "script")] {
            let set = applied_to(&DAEMON, &[argument]).unwrap();
            let found = set.iter().find(|(_, value)| value == argument).unwrap();
            assert_eq!(found.0, format!("OCF_RESKEY_{name}"), "{argument}");
        }
        assert_eq!(line("service", &DAEMON), "service::script");
    }

    #[test]
    fn too_few_arguments_are_answered_with_the_form() {
        assert_eq!(
            applied(&[]).unwrap_err(),
            "IPaddr2 takes other arguments: IPaddr2::ip[/cidr_netmask[/nic[/broadcast]]][::watch=false]"
        );
    }

    #[track_caller]
    fn value_of(set: &[(String, String)], name: &str) -> Option<String> {
        set.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone())
    }

    #[test]
    fn words_that_say_how_to_watch_are_no_arguments() {
        let words = ["192.0.2.1/24", "watch=false", "watch_restarts=5"];
        let set = applied(&words).unwrap();
        for (name, value) in [
            ("OCF_RESKEY_ip", "192.0.2.1"),
            ("OCF_RESKEY_cidr_netmask", "24"),
            ("OCF_RESKEY_watch", "false"),
            ("OCF_RESKEY_watch_restarts", "5"),
            ("OCF_RESOURCE_INSTANCE", "IPaddr2_192.0.2.1/24"),
        ] {
            assert_eq!(value_of(&set, name).as_deref(), Some(value), "{name}");
        }
        // An address of version 6 comes in pieces.
        let set = applied(&["2001:db8", "1/64", "watch_interval=0.5"]).unwrap();
        assert_eq!(value_of(&set, "OCF_RESKEY_ip").as_deref(), Some("2001:db8::1"));
        assert_eq!(value_of(&set, "OCF_RESKEY_watch_interval").as_deref(), Some("0.5"));
    }

    #[test]
    fn other_words_with_an_equals_sign_stay_arguments() {
        let words = ["LABEL=watch", "/srv", "ext4", "uid=5,watchdog=1", "watch=no"];
        let set = applied_to(&FILES, &words).unwrap();
        for (name, value) in
            [("device", "LABEL=watch"), ("options", "uid=5,watchdog=1"), ("watch", "no")]
        {
            let found = value_of(&set, &format!("OCF_RESKEY_{name}"));
            assert_eq!(found.as_deref(), Some(value), "{name}");
        }
        let mut environment = Environment::default();
        let words = ["192.0.2.1", "watch=no"].map(OsString::from);
        let unwatched = described(false);
        apply(&unwatched, &FILES, &words, &mut environment, true).unwrap();
        assert_eq!(environment.text("OCF_RESKEY_directory"), Some("watch=no"));
    }

    #[test]
    fn a_slip_is_refused_unless_the_resource_has_to_stop() {
        let words = ["192.0.2.1", "watch_restart=5"].map(OsString::from);
        let mut environment = Environment::default();
        let mut apply =
            |strictly| apply(&described(true), &ADDRESS, &words, &mut environment, strictly);
        let why = apply(true).unwrap_err();
        let wanted = "IPaddr2 has no parameter \"watch_restart\"; is it watch_restarts?";
        assert_eq!(why, wanted);
        apply(false).unwrap();
        assert_eq!(environment.text("OCF_RESKEY_ip"), Some("192.0.2.1"));
    }
}
