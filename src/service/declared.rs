//! What an init script says of itself, read and not run.

#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};

/// The comment `# pidfile: /run/x.pid`, as `chkconfig(8)` has it, or the assignment `PIDFILE=/run/$NAME.pid` of Debian's
/// skeleton, if plain assignments before it say all of it.
pub(super) fn pidfile(text: &[u8]) -> Option<PathBuf> {
    let text = String::from_utf8_lossy(text);
    let mut known: Vec<(&str, String)> = Vec::new();
    for line in text.lines() {
        let comment =
            line.strip_prefix('#').and_then(|rest| rest.trim_start().strip_prefix("pidfile:"));
        let assigned = line.split_once('=').filter(|(name, _)| is_name(name));
        let value = comment.or(assigned.map(|(_, value)| value));
        let Some(value) = value.and_then(|value| expanded(unquoted(value), &known)) else {
            continue;
        };
        let means_it = comment.is_some() || assigned.is_some_and(|(name, _)| name == "PIDFILE");
        if means_it && Path::new(&value).is_absolute() && !value.contains(' ') {
            return Some(PathBuf::from(value));
        }
        known.extend(assigned.map(|(name, _)| (name, value)));
    }
    None
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn unquoted(value: &str) -> &str {
    value.trim().trim_matches(['"', '\''])
}

/// The text with its variables replaced, if it has nothing else in it that a shell acts upon, and all are known.
fn expanded(text: &str, known: &[(&str, String)]) -> Option<String> {
    let mut pieces = text.split('$');
    let mut whole = pieces.next()?.to_owned();
    for piece in pieces {
        let bare = || piece.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let (name, rest) = match piece.strip_prefix('{') {
            Some(braced) => braced.split_once('}')?,
            None => piece.split_at(bare().unwrap_or(piece.len())),
        };
        whole.push_str(&known.iter().rfind(|(variable, _)| *variable == name)?.1);
        whole.push_str(rest);
    }
    (!whole.contains(['`', '\\', ';', '&', '|', '(', '"', '\''])).then_some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_says_where_its_pid_file_is() {
        let cases = [
            ("#!/bin/sh\n# pidfile: /run/a.pid\n", Some("/run/a.pid")),
            ("PIDFILE=/run/b.pid\n", Some("/run/b.pid")),
            ("PIDFILE=\"/run/c.pid\"", Some("/run/c.pid")),
            ("PIDFILE=/run/$NAME.pid\n", None),
            ("NAME=d\nPIDFILE=/run/$NAME.pid\n", Some("/run/d.pid")),
            ("NAME=d\nR=\"/run/${NAME}\"\nPIDFILE=$R/x.pid\n", Some("/run/d/x.pid")),
            ("NAME=$(hostname)\nPIDFILE=/run/$NAME.pid\n", None),
            ("NAME=a`b`\nPIDFILE=/run/$NAME.pid\n", None),
            ("PIDFILE=/run/${NAME:-x}.pid\n", None),
            ("PIDFILE=$(. $APACHE_ENVVARS && echo $APACHE_PID_FILE)\n", None),
            ("PIDFILE=x.pid\n", None),
        ];
        for (text, expected) in cases {
            assert_eq!(pidfile(text.as_bytes()), expected.map(PathBuf::from), "{text}");
        }
    }
}
