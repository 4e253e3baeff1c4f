//! What a web server's program itself says of its configuration.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::path::Path;

use crate::deadline::Deadline;
use crate::error::{Error, Result, one_line};
use crate::service::capture;

/// Most that is kept of what it says.
const MOST: usize = 8 << 20;

/// Runs the program with options that make it check, print, and end; what it printed.
///
/// # Errors
/// It says that the configuration is wrong, which is so on this node, and may be right on another.
pub fn ask(
    program: &Path,
    words: &[String],
    environment: &[(OsString, OsString)],
    deadline: &Deadline,
) -> Result<String> {
    let all = std::iter::once(program.into()).chain(words.iter().map(OsString::from)).collect();
    let said = capture(all, environment, MOST, deadline)?;
    let text = String::from_utf8_lossy(&said.output).into_owned();
    match said.succeeded {
        Some(true) => Ok(text),
        Some(false) => Err(Error::Local(format!(
            "cannot use the configuration: {}",
            complaint(&text).unwrap_or_else(|| "the server refuses it without a word".to_owned())
        ))),
        None => Err(deadline.missed(&format!("{} to check its configuration", program.display()))),
    }
}

/// The line that says what is wrong: one that is marked so, or else the last one.
#[must_use]
pub fn complaint(output: &str) -> Option<String> {
    let noise = ["AH00558", "Action '", "The Apache error log", "AH00015", "test failed"];
    let tells = |line: &&str| !line.is_empty() && !noise.iter().any(|word| line.contains(word));
    grave(output).or_else(|| output.lines().map(str::trim).rfind(tells).map(short))
}

/// The first line that is marked as grave.
#[must_use]
pub fn grave(output: &str) -> Option<String> {
    let marks = ["rror on line", "emerg]", "crit]", "alert]"];
    let mut lines = output.lines().map(str::trim);
    let found = lines.find(|line| marks.iter().any(|mark| line.contains(mark)))?;
    // A directive's own words come on the line after the one that names its place.
    let next = lines.next().filter(|_| found.ends_with(':')).map(|line| format!(" {line}"));
    Some(short(&format!("{found}{}", next.unwrap_or_default())))
}

/// Without time and process, which tell nothing here.
fn short(line: &str) -> String {
    let told = match line.strip_prefix('[') {
        Some(_) => line.rsplit_once("] ").map_or(line, |(_, rest)| rest),
        None => line,
    };
    one_line(told, 160)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_matters() {
        for (output, expected) in [
            (
                "AH00558: apache2: Could not\napache2: Syntax error on line 3 of /c: Invalid command 'x'\nAction '-t' failed.\n",
                "apache2: Syntax error on line 3 of /c: Invalid command 'x'",
            ),
            (
                "AH00526: Syntax error on line 4 of /c:\nInvalid command 'Foo', perhaps misspelled\nAction '-t' failed.\nThe Apache error log may have more information.\n",
                "AH00526: Syntax error on line 4 of /c: Invalid command 'Foo', perhaps misspelled",
            ),
            (
                "nginx: [warn] x\nnginx: [emerg] unknown directive \"x\" in /c:3\nnginx: configuration file /c test failed\n",
                "nginx: [emerg] unknown directive \"x\" in /c:3",
            ),
            ("one\ntwo\n", "two"),
        ] {
            assert_eq!(complaint(output).unwrap(), expected);
        }
        assert_eq!(complaint("\n"), None);
    }
}
