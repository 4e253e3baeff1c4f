//! Lines of /etc/fstab that mount something at boot.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::path::PathBuf;

use crate::host::mount::table::decoded;

/// One line that mounts something by itself: at boot, or when somebody looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Its number, from 1.
    pub number: usize,
    /// What it mounts.
    pub source: OsString,
    /// Where.
    pub point: PathBuf,
    /// The type.
    pub kind: OsString,
    options: OsString,
}

impl Line {
    fn parse(number: usize, text: &[u8]) -> Option<Self> {
        let mut fields = text.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
        let source = fields.next().filter(|first| !first.starts_with(b"#"))?;
        let line = Self {
            number,
            source: decoded(source),
            point: decoded(fields.next()?).into(),
            kind: decoded(fields.next().unwrap_or_default()),
            options: decoded(fields.next().unwrap_or_default()),
        };
        // For a look that mounts it, systemd passes `noauto` over (`systemd.mount(5)`).
        let by_itself = line.has("x-systemd.automount") || !line.has("noauto");
        by_itself.then_some(line)
    }

    /// Whether a word is among its options.
    pub(super) fn has(&self, word: &str) -> bool {
        let options = self.options.as_encoded_bytes();
        options.split(|byte| *byte == b',').any(|option| option == word.as_bytes())
    }

    /// What to change in it.
    pub(super) fn remedy(&self) -> &'static str {
        if self.has("x-systemd.automount") {
            "remove `x-systemd.automount` and add `noauto`, or remove the line"
        } else {
            "add `noauto` to its options, or remove it"
        }
    }
}

/// All such lines.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = Line> + '_ {
    let numbered = text.split(|byte| *byte == b'\n').enumerate();
    numbered.filter_map(|(at, line)| Line::parse(at + 1, line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_counts_unless_it_waits_to_be_called() {
        let text = b"# comment\n/dev/a /srv ext4 defaults 0 0\n/dev/b /my\\040disk/ xfs noauto,ro 0 0\n/dev/c /my\\040data xfs\n#/dev/d /old ext4\n\n  /dev/e\t/auto  ext4 noauto,x-systemd.automount";
        let found: Vec<_> = lines(text).map(|line| (line.number, line.point)).collect();
        assert_eq!(found, [(2, "/srv".into()), (4, "/my data".into()), (7, "/auto".into())]);
    }
}
