//! What was learned of a configuration, kept so that a monitor need not learn it again.
//!
//! It holds as long as the files are the ones that it was read from: a changed one is noticed by its time, its length or
//! its number.

#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Site;
use super::listen::Listen;
use crate::service::{escaped, unescaped};
use crate::state::StateFile;

/// Longer ones are not kept; the configuration is read anew then.
const LONGEST: usize = 60_000;

/// The site that the file has for this `question`, if no file changed since.
#[must_use]
pub fn load(file: &StateFile, question: &str) -> Option<Site> {
    let (site, stamps) = read(file, question)?;
    let changed = stamps.iter().find(|(path, stamp)| stamp_of(path) != *stamp);
    if let Some((path, _)) = changed {
        crate::trace_note!("{} changed", path.display());
    }
    changed.is_none().then_some(site)
}

/// The same, although files may have changed since: the server may not have read them.
#[must_use]
pub fn load_outdated(file: &StateFile, question: &str) -> Option<Site> {
    read(file, question).map(|(site, _)| site)
}

fn read(file: &StateFile, question: &str) -> Option<(Site, Stamps)> {
    let text = file.read().ok()??;
    let (mut site, stamps) = parse(&text, question)?;
    site.files.extend(stamps.iter().map(|(path, _)| path.clone()));
    Some((site, stamps))
}

/// Keeps it. A monitor works without, if more slowly.
pub fn save(file: &StateFile, question: &str, site: &Site) {
    let text = text(question, site);
    if text.len() <= LONGEST {
        let _ = file.write(&text);
    } else {
        let _ = file.remove();
    }
}

fn text(question: &str, site: &Site) -> String {
    let mut text = format!("question {}\n", escaped(Path::new(question)));
    let mut path = |name: &str, path: &Option<PathBuf>| {
        if let Some(path) = path {
            let _ = writeln!(text, "{name} {}", escaped(path));
        }
    };
    path("pidfile", &site.pidfile);
    path("errorlog", &site.error_log);
    path("default", &site.default_file);
    path("status", &site.status.as_ref().map(PathBuf::from));
    for listen in &site.listens {
        let _ = writeln!(text, "listen {listen}");
    }
    for file in &site.files {
        let _ = writeln!(text, "file {} {}", stamp_of(file), escaped(file));
    }
    text
}

type Stamps = Vec<(PathBuf, String)>;

fn parse(text: &str, question: &str) -> Option<(Site, Stamps)> {
    let mut lines = text.lines();
    if unescaped(lines.next()?.strip_prefix("question ")?)? != Path::new(question) {
        return None;
    }
    let (mut site, mut stamps) = (Site::default(), Stamps::new());
    for line in lines {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["pidfile", path] => site.pidfile = unescaped(path),
            ["errorlog", path] => site.error_log = unescaped(path),
            ["default", path] => site.default_file = unescaped(path),
            ["status", path] => site.status = unescaped(path)?.into_os_string().into_string().ok(),
            ["listen", place] => site.listens.extend(Listen::parse(place, None)),
            ["file", stamp, path] => stamps.push((unescaped(path)?, stamp.to_owned())),
            _ => return None,
        }
    }
    Some((site, stamps))
}

/// Time, length and number; a dash for a file that is not there.
fn stamp_of(path: &Path) -> String {
    match std::fs::metadata(path) {
        Ok(about) => {
            format!("{}.{:09}/{}/{}", about.mtime(), about.mtime_nsec(), about.len(), about.ino())
        }
        Err(_) => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::StateDirectory;
    use proptest::prelude::*;

    #[test]
    fn what_is_kept_holds_until_a_file_changes() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(directory.path().join("state")).file("learned");
        let files = ["a b", "c"].map(|name| directory.path().join(name));
        std::fs::write(&files[0], "x").unwrap();
        let site = Site {
            pidfile: Some("/run/a b.pid".into()),
            error_log: None,
            default_file: Some("/etc/x".into()),
            status: Some("/my status".to_owned()),
            listens: vec![
                Listen::parse("[::1]:80", None).unwrap(),
                Listen::Socket("/run/s".into()),
            ],
            files: files.to_vec(),
            unread: Vec::new(),
        };
        save(&state, "q 1", &site);
        assert_eq!(load(&state, "q 1"), Some(site.clone()));
        assert_eq!(load(&state, "q 2"), None);
        std::fs::write(&files[1], "").unwrap();
        assert_eq!(load(&state, "q 1"), None, "a file came");
        assert_eq!(load_outdated(&state, "q 1"), Some(site.clone()));
        assert_eq!(load_outdated(&state, "q 2"), None);
        save(&state, "q 1", &site);
        std::fs::write(&files[0], "xy").unwrap();
        assert_eq!(load(&state, "q 1"), None, "a file changed");
        let many = Site { files: vec![PathBuf::from("/x".repeat(40_000))], ..site };
        save(&state, "q 1", &many);
        assert_eq!(load(&state, "q 1"), None);
        assert!(!state.path().exists());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(question x\n)?([a-z]{0,8} [ -~]{0,20}\n){0,5}") {
            let _ = parse(&text, "x");
        }
    }
}
