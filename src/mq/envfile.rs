//! A file of variables, in the part of the shell's language that only sets variables.
//!
//! No shell reads it (POSIX, "Shell Command Language", 2.2 and 2.6.2 are what is understood here): words, quotes,
//! `NAME=value`, `export`, `$NAME` and `${NAME}`, comments, `;` between assignments. A line with anything else is told
//! of by its number and sets nothing.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::iter::Peekable;
use std::path::Path;
use std::str::Chars;

use crate::error::{Doing, Error, Result};

/// Largest file that is read, in bytes.
const LARGEST: u64 = 64 * 1024;

/// What a file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Variables {
    /// Name and value, in the order in which they were set.
    pub(super) set: Vec<(String, String)>,
    /// The numbers of lines that need a shell.
    pub(super) beyond: Vec<usize>,
}

/// Reads a file.
///
/// # Errors
/// It cannot be read here.
pub(super) fn read(path: &Path, base: &HashMap<String, String>) -> Result<Variables> {
    let shown = path.display();
    let text = || -> std::io::Result<String> {
        // Not opened before it is known for a file: a pipe would never answer.
        let about = std::fs::metadata(path)?;
        if !about.is_file() || about.len() > LARGEST {
            return Err(std::io::Error::other("it is no small file"));
        }
        std::fs::read_to_string(path)
    };
    let text = text().doing(|| format!("read env_file {shown}"));
    Ok(parse(&text.map_err(|error| Error::NotInstalled(error.to_string()))?, base))
}

/// Understands a text; `base` has the values that it begins with.
pub(super) fn parse(text: &str, base: &HashMap<String, String>) -> Variables {
    let mut known = base.clone();
    let mut found = Variables::default();
    for (number, line) in text.lines().enumerate() {
        match assignments(line, &known) {
            Some(pairs) => {
                for (name, value) in pairs {
                    known.insert(name.clone(), value.clone());
                    found.set.retain(|(earlier, _)| *earlier != name);
                    found.set.push((name, value));
                }
            }
            None => found.beyond.push(number + 1),
        }
    }
    found
}

/// What a line sets; none if it does anything else.
fn assignments(line: &str, known: &HashMap<String, String>) -> Option<Vec<(String, String)>> {
    let mut known = known.clone();
    let mut pairs = Vec::new();
    let mut rest = line.chars().peekable();
    loop {
        let (command, more) = command(&mut rest, &known)?;
        let (exports, words) = match command.split_first() {
            Some((first, words)) if first == "export" => (true, words),
            _ => (false, command.as_slice()),
        };
        for word in words {
            match word.split_once('=') {
                Some((name, value)) if is_name(name) => {
                    known.insert(name.to_owned(), value.to_owned());
                    pairs.push((name.to_owned(), value.to_owned()));
                }
                // All that is set is exported.
                None if exports && is_name(word) => {}
                _ => return None,
            }
        }
        if !more {
            return Some(pairs);
        }
    }
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The words up to a `;` or to the end, and whether there is more.
fn command(
    rest: &mut Peekable<Chars<'_>>,
    known: &HashMap<String, String>,
) -> Option<(Vec<String>, bool)> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    while let Some(c) = rest.next() {
        match c {
            ' ' | '\t' | '\r' => words.extend(word.take()),
            '#' if word.is_none() => {
                rest.by_ref().for_each(drop);
            }
            ';' => {
                words.extend(word.take());
                return Some((words, true));
            }
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match rest.next()? {
                        '\'' => break,
                        other => word.push(other),
                    }
                }
            }
            '"' => quoted(rest, known, word.get_or_insert_default())?,
            '\\' => word.get_or_insert_default().push(rest.next()?),
            '$' => expand(rest, known, word.get_or_insert_default())?,
            // Another command's output, a pipe, a redirection, a group; and a home directory.
            '`' | '|' | '&' | '<' | '>' | '(' | ')' | '~' => return None,
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Some((words, false))
}

fn quoted(
    rest: &mut Peekable<Chars<'_>>,
    known: &HashMap<String, String>,
    word: &mut String,
) -> Option<()> {
    loop {
        match rest.next()? {
            '"' => return Some(()),
            '`' => return None,
            '$' => expand(rest, known, word)?,
            '\\' => match rest.next()? {
                escaped @ ('"' | '\\' | '$' | '`') => word.push(escaped),
                other => word.extend(['\\', other]),
            },
            other => word.push(other),
        }
    }
}

/// `NAME` or `{NAME}` after a dollar sign.
fn expand(
    rest: &mut Peekable<Chars<'_>>,
    known: &HashMap<String, String>,
    word: &mut String,
) -> Option<()> {
    let braced = rest.next_if_eq(&'{').is_some();
    let mut name = String::new();
    while let Some(c) = rest.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
        name.push(c);
    }
    if !is_name(&name) || (braced && rest.next() != Some('}')) {
        return None;
    }
    word.push_str(known.get(&name).map_or("", String::as_str));
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn base() -> HashMap<String, String> {
        HashMap::from([("PATH".to_owned(), "/bin".to_owned())])
    }

    #[test]
    fn assignments_are_understood_as_a_shell_does() {
        let cases: [(&str, &[(&str, &str)]); 14] = [
            ("A=b", &[("A", "b")]),
            ("export A=b C='d e'  # why", &[("A", "b"), ("C", "d e")]),
            ("A=b; export A", &[("A", "b")]),
            ("A=b; export A;", &[("A", "b")]),
            ("export A", &[]),
            ("  # nothing", &[]),
            ("", &[]),
            ("PATH=/opt/mqm/bin:$PATH", &[("PATH", "/opt/mqm/bin:/bin")]),
            ("A=\"${PATH}:x y\"", &[("A", "/bin:x y")]),
            ("A='$PATH'", &[("A", "$PATH")]),
            ("A=$NONE", &[("A", "")]),
            ("A=1; B=$A$A", &[("A", "1"), ("B", "11")]),
            ("A=a\\ b#c\r", &[("A", "a b#c")]),
            ("A=\"\\$x\"", &[("A", "$x")]),
        ];
        for (text, expected) in cases {
            let found = parse(text, &base());
            let expected: Vec<(String, String)> =
                expected.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            assert_eq!(found, Variables { set: expected, beyond: vec![] }, "{text}");
        }
    }

    #[test]
    fn what_needs_a_shell_sets_nothing_and_is_told() {
        let cases = [
            ". /opt/mqm/bin/setmqenv -s",
            "A=$(id)",
            "A=`id`",
            "A=\"`id`\"",
            "A=b touch x",
            "touch x; A=b",
            "A=b && B=c",
            "A=b > /etc/passwd",
            "A=${B:-c}",
            "A='open",
            "A=b\\",
            "if true",
            "A=~/x",
            "1A=b",
            "export A-B=c",
            "A=$1",
        ];
        for text in cases {
            assert_eq!(parse(text, &base()), Variables { set: vec![], beyond: vec![1] }, "{text}");
        }
        let mixed = parse("A=1\nid\nB=$A\nA=2\n", &base());
        assert_eq!(mixed.set, [("B".into(), "1".into()), ("A".into(), "2".into())]);
        assert_eq!(mixed.beyond, [2]);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,100}") {
            let _ = parse(&text, &base());
        }
    }
}
