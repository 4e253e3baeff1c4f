//! Names of routing tables.

#![forbid(unsafe_code)]

use std::fs;
use std::path::PathBuf;

use super::route::MAIN_TABLE;

/// Number of the table of the host's own addresses (`RT_TABLE_LOCAL`).
pub const LOCAL_TABLE: u32 = 255;

/// Number of the table that is empty unless somebody fills it (`RT_TABLE_DEFAULT`).
const DEFAULT_TABLE: u32 = 253;

/// What the one byte says that older messages have for the number (`RT_TABLE_COMPAT` where it is larger).
pub(super) fn short(number: u32) -> u8 {
    const COMPATIBLE: u8 = 252;
    u8::try_from(number).unwrap_or(COMPATIBLE)
}

/// The number of the table that is called so on this host; none if nobody calls one so.
#[must_use]
pub fn number(name: &str) -> Option<u32> {
    match name {
        "main" => Some(MAIN_TABLE),
        "local" => Some(LOCAL_TABLE),
        "default" => Some(DEFAULT_TABLE),
        _ => parsed(name).filter(|number| *number != 0).or_else(|| named(name)),
    }
}

fn parsed(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        None => None,
    }
}

/// The number that iproute2's files give to the name.
fn named(name: &str) -> Option<u32> {
    files().into_iter().find_map(|file| {
        let text = fs::read_to_string(file).ok()?;
        text.lines()
            .find_map(|line| entry(line).filter(|(_, known)| *known == name))
            .map(|(number, _)| number)
    })
}

/// Number and name on a line of `rt_tables`.
fn entry(line: &str) -> Option<(u32, &str)> {
    let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
    Some((parsed(words.next()?)?, words.next()?))
}

fn files() -> Vec<PathBuf> {
    let mut files = vec![
        PathBuf::from("/etc/iproute2/rt_tables"),
        PathBuf::from("/usr/share/iproute2/rt_tables"),
    ];
    for directory in ["/etc/iproute2/rt_tables.d", "/usr/share/iproute2/rt_tables.d"] {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        files.extend(
            entries
                .map(|entry| entry.path())
                .filter(|path| path.extension().is_some_and(|end| end == "conf")),
        );
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_by_number_and_by_name() {
        let cases = [
            ("main", Some(254)),
            ("local", Some(255)),
            ("100", Some(100)),
            ("0x10", Some(16)),
            ("0", None),
            ("no such table", None),
            ("", None),
        ];
        for (name, expected) in cases {
            assert_eq!(number(name), expected, "{name:?}");
        }
    }

    #[test]
    fn lines_of_the_file() {
        assert_eq!(entry("100\tuplink # the second one"), Some((100, "uplink")));
        assert_eq!(entry("0x64 uplink"), Some((100, "uplink")));
        for line in ["# 1 comment", "", "x uplink", "100"] {
            assert_eq!(entry(line), None, "{line:?}");
        }
    }
}
