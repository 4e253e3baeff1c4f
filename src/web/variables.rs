//! Files of variables such as Debian's `/etc/apache2/envvars`, read without a shell.
//!
//! They are shell scripts, of which this understands what such files consist of: assignments, `export`, `unset`, `if`
//! with `[ … ]`, `.` of another file, and `$NAME` with the forms of POSIX `sh`, "Parameter Expansion". Nothing is ever
//! executed. What is not understood is passed over and told.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::glob;

/// Larger files are none of these.
const LARGEST: u64 = 256 * 1024;

/// How deep files may name files.
const DEEPEST: usize = 8;

/// Variables, as the files leave them.
#[derive(Clone, Debug, Default)]
pub struct Variables {
    values: BTreeMap<String, String>,
    exported: Vec<String>,
    /// The files that were read.
    pub files: Vec<PathBuf>,
    /// What was not understood: file, line, text.
    pub passed_over: Vec<String>,
}

impl Variables {
    /// With variables that the files find.
    #[must_use]
    pub fn with(values: impl IntoIterator<Item = (String, String)>) -> Self {
        let values: BTreeMap<String, String> = values.into_iter().collect();
        let exported = values.keys().cloned().collect();
        Self { values, exported, ..Self::default() }
    }

    /// The value of one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Those that a program would get.
    #[must_use]
    pub fn exported(&self) -> Vec<(String, String)> {
        let given = self.values.iter().filter(|(name, _)| self.exported.contains(name));
        given.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// Reads a file, if it is there.
    pub fn read(&mut self, path: &Path) {
        self.read_at(path, 0);
    }

    fn read_at(&mut self, path: &Path, depth: usize) {
        let about = std::fs::metadata(path);
        let Some(about) = about.ok().filter(std::fs::Metadata::is_file) else { return };
        self.files.push(path.to_owned());
        if about.len() > LARGEST || depth > DEEPEST {
            self.passed_over.push(format!("{}: it is too large, or names itself", path.display()));
            return;
        }
        match std::fs::read(path) {
            Ok(text) => self.evaluate(&String::from_utf8_lossy(&text), path, depth),
            Err(error) => self.passed_over.push(format!("{}: {}", path.display(), error.kind())),
        }
    }

    fn evaluate(&mut self, text: &str, path: &Path, depth: usize) {
        // For each `if` that is open: whether this branch is taken, and whether one was.
        let mut branches: Vec<(bool, bool)> = Vec::new();
        for (number, line) in logical_lines(text) {
            for command in commands(&line) {
                let taken = branches.iter().all(|(taken, _)| *taken);
                if !self.command(&command, &mut branches, taken, depth) {
                    let shown = crate::error::one_line(line.trim(), 60);
                    self.passed_over.push(format!("{} line {number}: {shown}", path.display()));
                }
            }
        }
    }

    /// One command; whether it was understood.
    fn command(
        &mut self,
        command: &str,
        branches: &mut Vec<(bool, bool)>,
        taken: bool,
        depth: usize,
    ) -> bool {
        let (first, rest) = command.split_once([' ', '\t']).unwrap_or((command, ""));
        match first {
            "" | ":" | "true" => return true,
            "then" | "do" => return self.command(rest.trim(), branches, taken, depth),
            "if" => {
                let held = taken && self.holds(rest).unwrap_or(false);
                branches.push((held, held));
                return !taken || self.holds(rest).is_some();
            }
            "elif" | "else" => {
                let Some((_, was)) = branches.pop() else { return false };
                let outer = branches.iter().all(|(taken, _)| *taken);
                let held = !was && outer && (first == "else" || self.holds(rest).unwrap_or(false));
                branches.push((held, was || held));
                return if first == "else" {
                    self.command(rest.trim(), branches, held && outer, depth)
                } else {
                    true
                };
            }
            "fi" => return branches.pop().is_some(),
            _ if !taken => return true,
            _ => {}
        }
        let Some(words) = self.words(command) else { return false };
        match words.first().map(String::as_str) {
            Some("export" | "readonly" | "typeset" | "declare") => {
                words[1..]
                    .iter()
                    .filter(|word| !word.starts_with('-'))
                    .for_each(|word| self.export(word));
                true
            }
            Some("unset") => {
                for name in &words[1..] {
                    self.values.remove(name);
                }
                true
            }
            Some("." | "source") if words.len() == 2 => {
                self.read_at(Path::new(&words[1]), depth + 1);
                true
            }
            Some(_) => words.iter().all(|word| self.assign(word).is_some()),
            None => true,
        }
    }

    fn export(&mut self, word: &str) {
        let name = self.assign(word).unwrap_or_else(|| word.to_owned());
        if !self.exported.contains(&name) {
            self.exported.push(name);
        }
    }

    /// `NAME=value`; the name.
    fn assign(&mut self, word: &str) -> Option<String> {
        let (name, value) = word.split_once('=').filter(|(name, _)| is_name(name))?;
        self.values.insert(name.to_owned(), value.to_owned());
        Some(name.to_owned())
    }

    /// Whether the condition of an `if` holds, where it can be told.
    fn holds(&self, condition: &str) -> Option<bool> {
        let words = self.words(condition)?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let inner = match words[..] {
            ["[", ref inner @ .., "]"]
            | ["[[", ref inner @ .., "]]"]
            | ["test", ref inner @ ..] => inner,
            ["true" | ":"] => return Some(true),
            ["false"] => return Some(false),
            _ => return None,
        };
        let (negated, inner) = match inner {
            ["!", rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let held = match *inner {
            [left, "=" | "==", right] => left == right,
            [left, "!=", right] => left != right,
            ["-z", word] => word.is_empty(),
            ["-n", word] | [word] => !word.is_empty(),
            [] => false,
            ["-e", path] => Path::new(path).exists(),
            ["-f" | "-r" | "-s", path] => Path::new(path).is_file(),
            ["-d", path] => Path::new(path).is_dir(),
            _ => return None,
        };
        Some(held != negated)
    }

    /// The words of a command with quotes removed and variables in their place; none if there is more to it.
    fn words(&self, command: &str) -> Option<Vec<String>> {
        let mut words = Vec::new();
        let mut word: Option<String> = None;
        let mut rest = command;
        while let Some(c) = rest.chars().next() {
            let after = &rest[c.len_utf8()..];
            rest = after;
            match c {
                ' ' | '\t' => words.extend(word.take()),
                '\'' => {
                    let (text, after) = after.split_once('\'')?;
                    word.get_or_insert_default().push_str(text);
                    rest = after;
                }
                '"' => rest = self.quoted(after, word.get_or_insert_default())?,
                '$' => rest = self.expand(after, word.get_or_insert_default())?,
                '\\' => {
                    let next = after.chars().next()?;
                    word.get_or_insert_default().push(next);
                    rest = &after[next.len_utf8()..];
                }
                '`' | '|' | '&' | '<' | '>' | '(' | ')' | '*' => return None,
                other => word.get_or_insert_default().push(other),
            }
        }
        words.extend(word);
        Some(words)
    }

    /// What stands up to the next double quote; what comes after it.
    fn quoted<'a>(&self, text: &'a str, word: &mut String) -> Option<&'a str> {
        let mut rest = text;
        loop {
            let c = rest.chars().next()?;
            rest = &rest[c.len_utf8()..];
            match c {
                '"' => return Some(rest),
                '`' => return None,
                '$' => rest = self.expand(rest, word)?,
                '\\' => {
                    let next = rest.chars().next()?;
                    if !"\"\\$`".contains(next) {
                        word.push('\\');
                    }
                    word.push(next);
                    rest = &rest[next.len_utf8()..];
                }
                other => word.push(other),
            }
        }
    }

    /// What stands behind a `$`; what comes after it.
    fn expand<'a>(&self, text: &'a str, word: &mut String) -> Option<&'a str> {
        if let Some(inner) = text.strip_prefix('{') {
            let end = closing(inner)?;
            word.push_str(&self.parameter(&inner[..end])?);
            return Some(&inner[end + 1..]);
        }
        let end =
            text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
        let name = &text[..end];
        if !is_name(name) {
            return None;
        }
        word.push_str(self.get(name).unwrap_or_default());
        Some(&text[end..])
    }

    /// What stands in `${…}`.
    fn parameter(&self, inner: &str) -> Option<String> {
        let end =
            inner.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(inner.len());
        let (name, form) = inner.split_at(end);
        if !is_name(name) {
            return None;
        }
        let value = self.get(name).unwrap_or_default();
        let with = |operator: &str| {
            let rest = form.strip_prefix(operator)?;
            let mut text = String::new();
            self.quoted(&format!("{rest}\""), &mut text).filter(|left| left.is_empty())?;
            Some(text)
        };
        if form.is_empty() {
            Some(value.to_owned())
        } else if let Some(default) = with(":-").or_else(|| with(":=")) {
            Some(if value.is_empty() { default } else { value.to_owned() })
        } else if let Some(instead) = with(":+") {
            Some(if value.is_empty() { String::new() } else { instead })
        } else if let Some(default) = with("-") {
            Some(self.get(name).map_or(default, str::to_owned))
        } else if let Some(pattern) = with("##") {
            Some(cut(value, |at| (&value[at..], &value[..at]), &pattern, true))
        } else if let Some(pattern) = with("#") {
            Some(cut(value, |at| (&value[at..], &value[..at]), &pattern, false))
        } else if let Some(pattern) = with("%%") {
            Some(cut(value, |at| (&value[..at], &value[at..]), &pattern, true))
        } else {
            let pattern = with("%")?;
            Some(cut(value, |at| (&value[..at], &value[at..]), &pattern, false))
        }
    }
}

/// `value` without the longest or the shortest part that fits; `parts` splits it into what stays and what goes.
fn cut<'a>(
    value: &'a str,
    parts: impl Fn(usize) -> (&'a str, &'a str),
    pattern: &str,
    longest: bool,
) -> String {
    let splits = (0..=value.len()).filter(|at| value.is_char_boundary(*at)).map(parts);
    let fitting = splits.filter(|(_, gone)| glob::matches(pattern.as_bytes(), gone.as_bytes()));
    let key = |(_, gone): &(&str, &str)| gone.len();
    let found = if longest { fitting.max_by_key(key) } else { fitting.min_by_key(key) };
    found.map_or(value, |(kept, _)| kept).to_owned()
}

/// Where the bracket ends that was opened before `text`.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn is_name(text: &str) -> bool {
    !text.starts_with(|c: char| c.is_ascii_digit())
        && !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Lines with those joined that end in a backslash, and their numbers.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut goes_on = false;
    for (at, line) in text.lines().enumerate() {
        let (line, continues) = match line.strip_suffix('\\') {
            Some(line) => (line, true),
            None => (line, false),
        };
        match lines.last_mut() {
            Some((_, last)) if goes_on => last.push_str(line),
            _ => lines.push((at + 1, line.to_owned())),
        }
        goes_on = continues;
    }
    lines
}

/// The commands of a line: what stands between semicolons outside of quotes, up to a comment.
fn commands(line: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut quote = None;
    let mut last = ' ';
    for c in line.chars() {
        match (quote, c) {
            (None, '#') if last.is_whitespace() || last == ';' => break,
            (None, ';') => found.push(String::new()),
            _ => {
                match (quote, c) {
                    _ if last == '\\' => {}
                    (None, '"' | '\'') => quote = Some(c),
                    (Some(open), _) if open == c => quote = None,
                    _ => {}
                }
                if let Some(command) = found.last_mut() {
                    command.push(c);
                }
            }
        }
        last = c;
    }
    found.iter().map(|command| command.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str, given: &[(&str, &str)]) -> Variables {
        let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut variables = Variables::with(given);
        variables.evaluate(text, Path::new("/x"), 0);
        variables
    }

    const DEBIAN: &str = r#"
# for supporting multiple instances
unset HOME
if [ "${APACHE_CONFDIR##/etc/apache2-}" != "${APACHE_CONFDIR}" ] ; then
	SUFFIX="-${APACHE_CONFDIR##/etc/apache2-}"
else
	SUFFIX=
fi
export APACHE_RUN_USER=www-data
export APACHE_PID_FILE=/var/run/apache2$SUFFIX/apache2.pid
export APACHE_RUN_DIR=/var/run/apache2${SUFFIX} # behind it
export LANG=C
## . /etc/default/locale
export LANG
"#;

    #[test]
    fn what_debian_has() {
        let plain = read(DEBIAN, &[("APACHE_CONFDIR", "/etc/apache2"), ("HOME", "/x")]);
        assert_eq!(plain.get("APACHE_PID_FILE"), Some("/var/run/apache2/apache2.pid"));
        assert_eq!(plain.get("HOME"), None);
        assert_eq!(plain.passed_over, Vec::<String>::new());
        let exported = plain.exported();
        assert!(exported.contains(&("LANG".to_owned(), "C".to_owned())));
        assert!(!exported.iter().any(|(name, _)| name == "SUFFIX"), "{exported:?}");
        let second = read(DEBIAN, &[("APACHE_CONFDIR", "/etc/apache2-two")]);
        assert_eq!(second.get("APACHE_PID_FILE"), Some("/var/run/apache2-two/apache2.pid"));
        assert_eq!(second.get("APACHE_RUN_DIR"), Some("/var/run/apache2-two"));
    }

    #[test]
    fn forms_of_expansion() {
        for (word, expected) in [
            ("$A", "one/two"),
            ("\"$A\"", "one/two"),
            ("'$A'", "$A"),
            ("${A%/*}", "one"),
            ("${A#*/}", "two"),
            ("${A##*o}", ""),
            ("${A%%n*}", "o"),
            ("${B:-x$A}", "xone/two"),
            ("${B-y}", "y"),
            ("${B:+y}", ""),
            ("${A:+y}", "y"),
            ("a\\ b", "a b"),
            ("\"a \\\" \\x\"", "a \" \\x"),
        ] {
            let read = read(&format!("X={word}"), &[("A", "one/two")]);
            assert_eq!(read.get("X"), Some(expected), "{word}: {:?}", read.passed_over);
        }
    }

    #[test]
    fn what_a_shell_would_execute_is_passed_over_and_told() {
        let text = "A=$(touch /tmp/x)\nB=`id`\nulimit -n 5\nC=1; D=2\nif grep -q x /y; then E=1; else F=1; fi\nG=a|b\n";
        let read = read(text, &[]);
        assert_eq!(["A", "B", "E", "G"].map(|name| read.get(name)), [None; 4]);
        assert_eq!(
            (read.get("C"), read.get("D"), read.get("F")),
            (Some("1"), Some("2"), Some("1"))
        );
        assert_eq!(read.passed_over.len(), 5, "{:?}", read.passed_over);
        assert_eq!(read.passed_over[0], "/x line 1: A=$(touch /tmp/x)");
    }

    #[test]
    fn branches() {
        for (text, expected) in [
            ("if [ -z \"$N\" ]; then X=1; elif true; then X=2; else X=3; fi", "1"),
            ("if [ -n \"$N\" ]; then X=1; elif true; then X=2; else X=3; fi", "2"),
            ("if [ ! -d / ]; then X=1\nelif false\nthen X=2\nelse X=3; fi", "3"),
            ("if false; then if true; then X=1; fi; else X=2; fi", "2"),
            ("X=0; if [ a = b ]; then X=1; fi", "0"),
        ] {
            assert_eq!(read(text, &[]).get("X"), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_file_that_names_itself_ends() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("loop");
        std::fs::write(&path, format!("A=1\n. {}\n", path.display())).unwrap();
        let mut variables = Variables::default();
        variables.read(&path);
        assert_eq!(variables.get("A"), Some("1"));
        assert_eq!(variables.passed_over.len(), 1);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "([A-Z]=|export |if |then |fi|else |\\$\\{?|\\}|[\"'`\\\\;#%:-]|\\[ | \\]|[a-zä]|\n| ){0,40}") {
            let _ = read(&text, &[("A", "ä/b")]);
        }
    }
}
