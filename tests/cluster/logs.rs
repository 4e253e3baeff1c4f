//! The logs of a failed scenario, kept and shown.

use std::fs;
use std::path::Path;

use crate::{Outcome, says};

/// So many lines of every log are printed; the copies have all of them.
const LINES: usize = 40;

/// Copies every log below `from` to `to`, and returns the ends of them.
pub fn keep(from: &Path, to: &Path) -> Outcome<String> {
    fs::create_dir_all(to).map_err(says(format!("cannot make {}", to.display())))?;
    let mut tails = String::new();
    let entries = fs::read_dir(from).map_err(says(format!("cannot read {}", from.display())))?;
    for entry in entries.flatten() {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            tails.push_str(&keep(&source, &target)?);
        } else if let Ok(bytes) = fs::read(&source) {
            fs::write(&target, &bytes)
                .map_err(says(format!("cannot write {}", target.display())))?;
            tails.push_str(&tail(&target, &String::from_utf8_lossy(&bytes)));
        }
    }
    Ok(tails)
}

/// The end of a log.
fn tail(path: &Path, text: &str) -> String {
    if text.trim().is_empty() {
        return String::new();
    }
    let lines: Vec<&str> = text.lines().filter(|line| is_telling(line)).collect();
    let end = lines[lines.len().saturating_sub(LINES)..].join("\n");
    format!("--- {}\n{end}\n", path.display())
}

/// Neither a routine matter nor the daily bread of the daemon that keeps the configuration.
fn is_telling(line: &str) -> bool {
    !["pacemaker-based", "info:", " info ", "notice  ["].iter().any(|word| line.contains(word))
}
