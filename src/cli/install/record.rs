//! The record of what was put where: plain text, written before the first change and removed last.

#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;

use super::root::{Root, There};
use super::wanted::Extras;
use super::{attempt, temporary};
use crate::error::{Error, Result};

/// The directory of the record, which is ours whether or not the record says so.
pub(super) const DIRECTORY: &str = "/var/lib/ocfbox";
/// The record.
pub(super) const RECORD: &str = "/var/lib/ocfbox/installed";

const HEADING: &str = "# Written by `ocfbox install`, needed by `ocfbox uninstall`.";
const FORMAT: &str = "format\t1";

/// What was put where, or is about to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) extras: Extras,
    /// Directories that were made.
    pub(super) directories: BTreeSet<String>,
    pub(super) entries: BTreeMap<String, Entry>,
}

/// A file or link of ours.
///
/// Each has more than one form while an older one is being replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    /// The fingerprints of a file.
    File(BTreeSet<String>),
    /// The targets of a symbolic link.
    Link(BTreeSet<String>),
    /// The same, in the place of what is kept beside it, if there was or will be anything.
    Instead(BTreeSet<String>),
}

impl Entry {
    /// The word for it in the record.
    fn word(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Link(_) => "link",
            Self::Instead(_) => "instead",
        }
    }

    /// Its fingerprints or targets.
    pub(super) fn forms(&self) -> &BTreeSet<String> {
        match self {
            Self::File(forms) | Self::Link(forms) | Self::Instead(forms) => forms,
        }
    }

    fn forms_mut(&mut self) -> &mut BTreeSet<String> {
        match self {
            Self::File(forms) | Self::Link(forms) | Self::Instead(forms) => forms,
        }
    }

    /// Whether what is `there` at `path` is this, unchanged.
    pub(super) fn is_unchanged(&self, root: &Root, path: &str, there: &There) -> Result<bool> {
        Ok(match (self, there) {
            (Self::File(forms), There::File) => forms.contains(&fingerprint(&root.read(path)?)),
            (Self::Link(forms) | Self::Instead(forms), There::Link(target)) => {
                target.to_str().is_some_and(|target| forms.contains(target))
            }
            _ => false,
        })
    }
}

impl Record {
    /// What is recorded below `root`; none if nothing is.
    pub(super) fn load(root: &Root) -> Result<Option<Self>> {
        match root.look(RECORD)? {
            There::Nothing => Ok(None),
            There::File => {
                let text = String::from_utf8_lossy(&root.read(RECORD)?).into_owned();
                Self::parse(&text).map(Some).map_err(|why| {
                    Error::Failed(format!("cannot understand {}: {why}", root.shown(RECORD)))
                })
            }
            other => Err(Error::Failed(format!(
                "{} is {}, not the record of an install; move it away",
                root.shown(RECORD),
                other.name()
            ))),
        }
    }

    /// Writes it; whoever reads sees the old or the new one, also after a power cut.
    pub(super) fn save(&self, root: &Root) -> Result<()> {
        let real = root.place(RECORD)?.real;
        let new = root.place(&temporary(RECORD))?.real;
        let write = || -> io::Result<()> {
            remove_if_there(&new)?;
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(0o644).open(&new)?;
            file.write_all(self.text().as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &real)?;
            real.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
        };
        attempt(write(), || format!("write {}", root.shown(RECORD)))
    }

    /// Adds what `other` has, keeping every form of both.
    pub(super) fn merge(&mut self, other: &Self) {
        self.extras = other.extras;
        self.directories.extend(other.directories.iter().cloned());
        for (path, entry) in &other.entries {
            let mut entry = entry.clone();
            if let Some(old) = self.entries.get(path) {
                entry.forms_mut().extend(old.forms().iter().cloned());
            }
            self.entries.insert(path.clone(), entry);
        }
    }

    fn text(&self) -> String {
        let mut text = format!("{HEADING}\n{FORMAT}\n");
        for name in self.extras.names() {
            let _ = writeln!(text, "option\t{name}");
        }
        for path in &self.directories {
            let _ = writeln!(text, "directory\t{path}");
        }
        for (path, entry) in &self.entries {
            let forms: Vec<&str> = entry.forms().iter().map(String::as_str).collect();
            let _ = writeln!(text, "{}\t{path}\t{}", entry.word(), forms.join("\t"));
        }
        text
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut record = Self::default();
        let mut lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        match lines.next() {
            Some(FORMAT) => {}
            Some(other) if other.starts_with("format\t") => {
                return Err("a newer ocfbox wrote it; use that one".to_owned());
            }
            _ => return Err("its first line does not name a format".to_owned()),
        }
        for line in lines {
            record.add(line).ok_or_else(|| {
                format!("the line {line:?} is damaged; restore the file, or take the line out")
            })?;
        }
        Ok(record)
    }

    fn add(&mut self, line: &str) -> Option<()> {
        let (word, rest) = line.split_once('\t')?;
        let mut fields = rest.split('\t');
        let first = fields.next()?.to_owned();
        let forms: BTreeSet<String> = fields.map(str::to_owned).collect();
        if word == "option" {
            return self.extras.set(&first);
        }
        let plain = |part: &str| !matches!(part, "" | "." | "..");
        if !first.strip_prefix('/')?.split('/').all(plain) {
            return None;
        }
        let entry = match word {
            "directory" => {
                self.directories.insert(first);
                return Some(());
            }
            "file" => Entry::File(forms),
            "link" => Entry::Link(forms),
            "instead" => Entry::Instead(forms),
            _ => return None,
        };
        self.entries.insert(first, entry);
        Some(())
    }
}

/// Length and FNV-1a hash, eight bytes at a time: enough to notice that somebody changed a file.
pub(super) fn fingerprint(bytes: &[u8]) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x0100_0000_01b3);
        // The product's low bits never see the word's high ones.
        hash ^= hash >> 29;
    }
    format!("{}:{hash:016x}", bytes.len())
}

/// Removes a file or link, which need not be there.
pub(super) fn remove_if_there(path: &std::path::Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let text = format!(
            "{HEADING}\n{FORMAT}\noption\tharesources\ndirectory\t/a\nfile\t/a/b\t1:2\t3:4\n\
             instead\t/a/d\t../x y\nlink\t/a/c\t../x\n"
        );
        let record = Record::parse(&text).unwrap();
        assert_eq!(record.entries["/a/b"].forms().len(), 2);
        let again = Record::parse(&record.text()).unwrap();
        assert_eq!(again, record);
    }

    #[test]
    fn damage_is_refused_and_not_guessed_at() {
        for line in ["file", "file\ta\t1", "link\t/a/../b\tx", "what\t/a\tx", "option\tother"] {
            assert!(Record::parse(&format!("{FORMAT}\n{line}\n")).is_err(), "{line}");
        }
        assert!(Record::parse("format\t2\n").unwrap_err().contains("newer"));
        assert!(Record::parse("").is_err());
    }

    #[test]
    fn a_fingerprint_sees_every_byte_and_the_length() {
        let base = vec![0_u8; 20];
        for index in 0..base.len() {
            let mut other = base.clone();
            other[index] = 0x80;
            assert_ne!(fingerprint(&base), fingerprint(&other), "{index}");
        }
        assert_ne!(fingerprint(&base), fingerprint(&base[..19]));
    }
}
