//! Heartbeat's haresources: positional arguments instead of variables, and the action last.

#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use crate::environment::Environment;
use crate::spec::Haresources;

/// Sets the parameters and the instance that positional `arguments` stand for.
///
/// # Errors
/// Too few or too many arguments, with the form that is wanted.
pub fn apply(
    agent: &str,
    pattern: &Haresources,
    arguments: &[OsString],
    environment: &mut Environment,
) -> Result<(), String> {
    let arguments = rejoined(pattern, arguments);
    if arguments.len() < pattern.required || arguments.len() > pattern.arguments.len() {
        return Err(format!("{agent} takes other arguments: {}", line(agent, pattern)));
    }
    environment.forget_ocf();
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

    const ADDRESS: Haresources = Haresources {
        arguments: &["ip/cidr_netmask/nic|broadcast/broadcast"],
        required: 1,
        fixed: &[("lvs_support", "1")],
    };

    const IDENTITY: Haresources =
        Haresources { arguments: &["nic/mac!", "ip*"], required: 1, fixed: &[] };

    fn applied(arguments: &[&str]) -> Result<Vec<(String, String)>, String> {
        applied_to(&ADDRESS, arguments)
    }

    fn applied_to(
        pattern: &Haresources,
        arguments: &[&str],
    ) -> Result<Vec<(String, String)>, String> {
        let mut environment = Environment::default();
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        apply("IPaddr2", pattern, &arguments, &mut environment)?;
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
            "IPaddr2 takes other arguments: IPaddr2::ip[/cidr_netmask[/nic[/broadcast]]]"
        );
    }
}
