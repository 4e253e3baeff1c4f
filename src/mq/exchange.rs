//! Level 20: a message that is put on a queue has to come back from it.
//!
//! `dmpmqmsg` wants files. They are in a room that is made for each exchange: the file to read is root's, and only the
//! place for the other one is the user's, who thereby cannot lead root astray. What comes back is opened without
//! following links.

#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use nix::fcntl::OFlag;

use super::product::{Product, how, silent};
use super::{QueueManager, message};
use crate::agent::Cx;
use crate::error::{Doing, Error, Result};
use crate::host::process::Process;
use crate::state::make_directory;

/// How much of what comes back is looked at, in bytes.
const LARGEST: u64 = 1 << 20;

const COMMAND: &str = "dmpmqmsg";

/// Puts a message on the queue and gets it back. All else that is on the queue is gone then too.
///
/// # Errors
/// It did not come back.
pub(super) fn exchange(
    manager: &QueueManager,
    product: &Product,
    queue: &str,
    cx: &Cx<'_>,
) -> Result<()> {
    let room = Room::make(manager, product, cx)?;
    let body = marker();
    let (question, answer) = (room.0.join("in"), room.0.join("out").join("messages"));
    put(&question, &message::file(&body))?;
    ask(product, manager, queue, "put a message on", "-o", &question, cx)?;
    ask(product, manager, queue, "get a message from", "-I", &answer, cx)?;
    let found = message::bodies(&fetched(&answer)?);
    if found.contains(&body) {
        return Ok(());
    }
    let others = match found.len() {
        0 => "nothing came back".to_owned(),
        1 => "another one came back".to_owned(),
        number => format!("{number} others came back"),
    };
    Err(Error::Failed(format!(
        "a message put on queue {queue} of {} did not come back: {others}; test_queue has to be for this test alone",
        manager.name
    )))
}

/// A body that no other exchange has.
fn marker() -> Vec<u8> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("ocfbox {} {}", std::process::id(), now.as_nanos()).into_bytes()
}

fn ask(
    product: &Product,
    manager: &QueueManager,
    queue: &str,
    what: &str,
    direction: &str,
    file: &Path,
    cx: &Cx<'_>,
) -> Result<()> {
    let words: [&OsStr; 6] = [
        "-m".as_ref(),
        manager.name.as_ref(),
        direction.as_ref(),
        queue.as_ref(),
        "-f".as_ref(),
        file.as_os_str(),
    ];
    let begin = Instant::now();
    let ran = product.run(COMMAND, &words, b"", &cx.deadline.at_most(cx.deadline.left() / 2))?;
    if ran.end.is_none() {
        return Err(silent(COMMAND, &manager.name, begin.elapsed()));
    }
    if ran.ended_with(0) {
        return Ok(());
    }
    Err(Error::Failed(format!(
        "cannot {what} queue {queue} of {}: {COMMAND} ended with {}",
        manager.name,
        how(&ran)
    )))
}

fn fetched(path: &Path) -> Result<Vec<u8>> {
    let read = || -> std::io::Result<Vec<u8>> {
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let mut options = OpenOptions::new();
        let file = match options.read(true).custom_flags(flags.bits()).open(path) {
            // It writes none if there is no message.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        if !file.metadata()?.is_file() {
            return Err(std::io::Error::other("it is not a file"));
        }
        let mut content = Vec::new();
        file.take(LARGEST).read_to_end(&mut content)?;
        Ok(content)
    };
    read().doing(|| format!("read {}, which {COMMAND} wrote", path.display()))
}

/// A directory for one exchange.
struct Room(PathBuf);

impl Room {
    fn make(manager: &QueueManager, product: &Product, cx: &Cx<'_>) -> Result<Self> {
        sweep(manager, cx);
        let path = path(manager, std::process::id().cast_signed(), cx);
        let make = || -> std::io::Result<Self> {
            make_directory(cx.state.path())?;
            DirBuilder::new().mode(0o700).create(&path)?;
            // From here on it is removed, whatever happens.
            let room = Self(path.clone());
            std::fs::set_permissions(&room.0, PermissionsExt::from_mode(0o755))?;
            let out = room.0.join("out");
            DirBuilder::new().mode(0o700).create(&out)?;
            if let Some((user, group, _)) = &product.numbers {
                chown(&out, Some(*user), Some(*group))?;
            }
            Ok(room)
        };
        make().doing(|| format!("make the directory {}", path.display()))
    }
}

/// A file that only root can change, and that the user can read whatever the umask of the caller is.
fn put(path: &Path, text: &str) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())?;
        file.set_permissions(PermissionsExt::from_mode(0o644))
    };
    write().doing(|| format!("write {}", path.display()))
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn path(manager: &QueueManager, pid: i32, cx: &Cx<'_>) -> PathBuf {
    cx.state.file(&format!("{}.exchange.{pid}", manager.label(cx))).path().to_owned()
}

/// Removes the rooms of actions that were killed.
pub(super) fn sweep(manager: &QueueManager, cx: &Cx<'_>) {
    let own = std::process::id().cast_signed();
    for entry in std::fs::read_dir(cx.state.path()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.rsplit('.').next()?.parse::<i32>().ok());
        let Some(number) = number.filter(|number| entry.path() == path(manager, *number, cx))
        else {
            continue;
        };
        let abandoned = number == own || Process::look(number).is_ok_and(|found| found.is_none());
        if abandoned && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
