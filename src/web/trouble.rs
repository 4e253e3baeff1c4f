//! Why a web server did not start.

#![forbid(unsafe_code)]

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::Site;
use super::ask::{complaint, grave};
use crate::error::{Error, one_line};
use crate::host::{disk, listener};

/// How much of the end of a log is read.
const MOST: u64 = 16 * 1024;

/// How long the error log is now.
#[must_use]
pub fn length(site: &Site) -> u64 {
    site.error_log.as_deref().and_then(|path| path.metadata().ok()).map_or(0, |about| about.len())
}

/// The error of a failed start, with what can be found out about its cause: who has the address that the server wants, what
/// it wrote into `output` before it had a log, or what into its log since that was `logged` long; or that it has no room.
#[must_use]
pub fn explained(error: Error, site: &Site, logged: u64, output: &Path) -> Error {
    // What says it already is not to be said worse.
    if !matches!(error, Error::Failed(_)) {
        return error;
    }
    for listen in &site.listens {
        if let Some(port) = listen.port()
            && let Some(who) = listener::of(listen.ip(), port)
        {
            return Error::Failed(format!(
                "cannot start: address {listen} is in use by {who}; stop that, or have one of them listen elsewhere"
            ));
        }
    }
    if let Some(line) = since(output, 0).as_deref().and_then(complaint) {
        return Error::Failed(format!("cannot start: {line}"));
    }
    let said = site.error_log.as_deref().and_then(|path| since(path, logged));
    match said.as_deref().and_then(grave) {
        Some(line) => {
            Error::Failed(format!("{}; its log says: {line}", one_line(&error.to_string(), 110)))
        }
        None => match full(site) {
            // That is also why its log says nothing.
            Some(place) => Error::Failed(format!(
                "{}; the file system of {} is full",
                one_line(&error.to_string(), 110),
                place.display()
            )),
            None => error,
        },
    }
}

/// A directory that the server has to write to and cannot.
fn full(site: &Site) -> Option<&Path> {
    let files = [&site.pidfile, &site.error_log].into_iter().flatten();
    files.filter_map(|path| path.parent()).find(|place| disk::is_full(place))
}

/// What was written to a file since it was `length` long; a shorter one is another file.
fn since(path: &Path, length: u64) -> Option<String> {
    let mut file = std::fs::File::open(path).ok()?;
    let now = file.metadata().ok().filter(std::fs::Metadata::is_file)?.len();
    let begin = if now < length { 0 } else { length }.max(now.saturating_sub(MOST));
    file.seek(SeekFrom::Start(begin)).ok()?;
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_log_says_and_who_has_the_port() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        std::fs::write(&path, "old [emerg] x\n").unwrap();
        let mut site = Site { error_log: Some(path.clone()), ..Site::default() };
        let logged = length(&site);
        let output = directory.path().join("output");
        let plain = explained(Error::Failed("it died".into()), &site, logged, &output);
        assert_eq!(plain.reason(), "it died");
        std::fs::write(
            &path,
            "old [emerg] x\n[Sat] [core:emerg] [pid 1:tid 1] (28)No space left on device\n",
        )
        .unwrap();
        let told = explained(Error::Failed("it died".into()), &site, logged, &output);
        assert_eq!(told.reason(), "it died; its log says: (28)No space left on device");
        std::fs::write(
            &output,
            "AH00558: x\n(28)No space: could not open error log\nAH00015: Unable to open logs\n",
        )
        .unwrap();
        let told = explained(Error::Failed("it died".into()), &site, logged, &output);
        assert_eq!(told.reason(), "cannot start: (28)No space: could not open error log");
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        site.listens = vec![super::super::listen::Listen::Port(None, port)];
        let told = explained(Error::Failed("it died".into()), &site, logged, &output).reason();
        assert!(
            told.contains(&format!("*:{port} is in use by process {} (", std::process::id())),
            "{told}"
        );
        assert_eq!(explained(Error::Local("x".into()), &site, 0, &output).reason(), "x");
    }
}
