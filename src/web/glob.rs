//! Patterns of file names, as web servers understand them in `Include` (`glob(7)`).

#![forbid(unsafe_code)]

use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// Most paths that one pattern may stand for: more are a mistake, such as `/**`.
const MOST: usize = 4096;

/// Whether it is a pattern at all.
#[must_use]
pub fn is_pattern(path: &Path) -> bool {
    path.as_os_str().as_bytes().iter().any(|byte| b"*?[".contains(byte))
}

/// The paths that `pattern` stands for, in order. Directories that were listed for it are added to `listed`: what is put
/// into them later would be found too.
#[must_use]
pub fn expand(pattern: &Path, listed: &mut Vec<PathBuf>) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        let Component::Normal(name) = component else {
            for path in &mut found {
                path.push(component);
            }
            continue;
        };
        if !is_pattern(Path::new(name)) {
            for path in &mut found {
                path.push(name);
            }
            continue;
        }
        let mut next = Vec::new();
        for directory in found {
            let entries = std::fs::read_dir(&directory).into_iter().flatten().flatten();
            let names = entries.map(|entry| entry.file_name());
            let fitting = names.filter(|entry| matches(name.as_bytes(), entry.as_bytes()));
            next.extend(fitting.map(|entry| directory.join(entry)).take(MOST));
            listed.push(directory);
        }
        next.sort();
        next.truncate(MOST);
        found = next;
    }
    found.retain(|path| path.exists());
    found
}

/// Whether a name fits a pattern of `*`, `?` and `[...]`. A dot at its beginning has to be in the pattern.
#[must_use]
pub fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let hidden = name.first() == Some(&b'.') && pattern.first() != Some(&b'.');
    !hidden && fits(pattern, name)
}

fn fits(mut pattern: &[u8], mut name: &[u8]) -> bool {
    // Where the last star was, and from which byte of the name on it is tried next.
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        let step = match pattern.split_first() {
            Some((b'*', rest)) => {
                star = Some((rest, name));
                pattern = rest;
                continue;
            }
            Some(_) => {
                name.split_first().and_then(|(byte, left)| Some((one(pattern, *byte)?, left)))
            }
            None if name.is_empty() => return true,
            None => None,
        };
        match (step, star) {
            (Some((rest, left)), _) => (pattern, name) = (rest, left),
            (None, Some((after, from))) if !from.is_empty() => {
                star = Some((after, &from[1..]));
                (pattern, name) = (after, &from[1..]);
            }
            _ => return false,
        }
    }
}

/// What is left of a pattern whose first element takes `byte`.
fn one(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    match pattern {
        [b'?', rest @ ..] => Some(rest),
        [b'[', rest @ ..] => {
            let (negated, set) = match rest {
                [b'!' | b'^', set @ ..] => (true, set),
                set => (false, set),
            };
            // A bracket that closes at once is an element.
            let end = 1 + set.get(1..)?.iter().position(|byte| *byte == b']')?;
            let mut found = false;
            let mut at = 0;
            while at < end {
                let last =
                    if set[at + 1..end].starts_with(b"-") && at + 2 < end { at + 2 } else { at };
                found |= (set[at]..=set[last]).contains(&byte);
                at = last + 1;
            }
            (found != negated).then(|| &set[end + 1..])
        }
        [b'\\', escaped, rest @ ..] => (*escaped == byte).then_some(rest),
        [plain, rest @ ..] => (*plain == byte).then_some(rest),
        [] => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("*.conf", "a.conf", true),
            ("*.conf", ".conf", false),
            ("*.conf", "a.conf.dpkg-old", false),
            (".*", ".x", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b", false),
            ("[0-9]?-x", "05-x", true),
            ("[!0-9]x", "0x", false),
            ("[]a]", "]", true),
            ("[", "[", false),
            ("\\*", "*", true),
            ("", "", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn files_come_in_order_and_directories_are_named() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["b/2.conf", "b/1.conf", "a/3.conf", "a/x"] {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let mut listed = Vec::new();
        let found = expand(&directory.path().join("*/*.conf"), &mut listed);
        let names = ["a/3.conf", "b/1.conf", "b/2.conf"].map(|name| directory.path().join(name));
        assert_eq!(found, names);
        assert_eq!(listed.len(), 3);
        assert_eq!(expand(&directory.path().join("none"), &mut listed), Vec::<PathBuf>::new());
    }

    proptest! {
        #[test]
        fn nothing_panics(pattern in "[ab*?\\[\\]!^\\\\-]{0,12}", name in "[ab\\]-]{0,12}") {
            let _ = matches(pattern.as_bytes(), name.as_bytes());
        }

        #[test]
        fn what_is_no_pattern_fits_itself_only(name in "[a-z.]{1,8}", other in "[a-z.]{1,8}") {
            prop_assert_eq!(matches(name.as_bytes(), other.as_bytes()), name == other);
        }
    }
}
