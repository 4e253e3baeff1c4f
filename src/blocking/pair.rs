//! The two resources of one gate: one that blocks and one that unblocks.
//!
//! Both run at once in the usual order of a group (block, address, service, unblock), although only one of them can have
//! its way with the gate. So each leaves a file, and one whose way it is not runs all the same if the other one was
//! started after it. The names are those of the shell agents, whose files are empty and told apart by their times.

#![forbid(unsafe_code)]

use std::fs::Metadata;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Gate;
use crate::agent::Cx;
use crate::error::Result;
use crate::state::StateFile;

/// The files of a resource and of its counterpart.
#[derive(Clone, Debug)]
pub struct Pair {
    own: StateFile,
    counterpart: StateFile,
}

impl Pair {
    /// Those of the resource that does `action` to the gate; `counterpart` is the other action.
    #[must_use]
    pub fn of(gate: &Gate, agent: &str, action: &str, counterpart: &str, cx: &Cx<'_>) -> Self {
        let file = |action: &str| cx.state.file(&name(gate, agent, action));
        Self { own: file(action), counterpart: file(counterpart) }
    }

    /// Whether the resource was started, and not stopped since.
    #[must_use]
    pub fn is_started(&self) -> bool {
        stamp(&self.own).is_some()
    }

    /// The same for the counterpart.
    #[must_use]
    pub fn is_counterpart_started(&self) -> bool {
        stamp(&self.counterpart).is_some()
    }

    /// Whether the resource was started, and the counterpart after it.
    #[must_use]
    pub fn is_overruled(&self) -> bool {
        let (own, counterpart) = (stamp(&self.own), stamp(&self.counterpart));
        own.is_some() && counterpart > own
    }

    /// Remembers that the resource was started, after all that is remembered.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn remember(&self) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let last = stamp(&self.counterpart).unwrap_or(0);
        if self.own.read().is_err() {
            self.own.remove()?;
        }
        self.own.write(&format!("{}\n", now.max(last.saturating_add(1))))
    }

    /// Forgets it.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn forget(&self) -> Result<()> {
        self.own.remove()
    }
}

/// The file of the shell agents: what is no letter, digit, dot or underscore is an underscore, as is the end of the line
/// that they pipe the name through.
fn name(gate: &Gate, agent: &str, action: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' };
    let tuple: String = gate.to_string().chars().map(plain).collect();
    format!("{agent}_{tuple}__{action}")
}

/// When a resource was started, in nanoseconds: as its file says, or by the time of a file that says nothing or makes
/// no sense. What is no plain file was not made by a start.
fn stamp(file: &StateFile) -> Option<u128> {
    let about = file.path().symlink_metadata().ok().filter(Metadata::is_file)?;
    if let Ok(Some(content)) = file.read()
        && let Ok(stamp) = content.trim().parse()
    {
        return Some(stamp);
    }
    let since = about.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    Some(since.unwrap_or_default().as_nanos())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::super::Direction;
    use super::*;
    use crate::host::nft::Answer;
    use crate::host::sockets::Transport;
    use crate::param::Value;
    use crate::param::values::{AddressBlock, Ports};

    #[test]
    fn files_have_the_names_that_the_shell_agents_give() {
        let gate = Gate {
            transport: Transport::Tcp,
            ports: Ports::parse(OsStr::new("80")).unwrap(),
            network: AddressBlock::parse(OsStr::new("0.0.0.0/0")).unwrap(),
            direction: Direction::In,
            answer: Answer::Drop,
        };
        assert_eq!(name(&gate, "x", "block"), "x_tcp_80_0.0.0.0_0_in__block");
        let network = AddressBlock::parse(OsStr::new("2001:db8::10")).unwrap();
        let gate = Gate { network, ..gate };
        assert_eq!(name(&gate, "x", "unblock"), "x_tcp_80_2001_db8__10_in__unblock");
    }

    #[test]
    fn the_last_one_that_was_started_overrules_the_other() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| StateFile::at(&directory.path().join(name));
        let block = Pair { own: file("block"), counterpart: file("unblock") };
        let unblock = Pair { own: file("unblock"), counterpart: file("block") };
        assert!(!block.is_started() && !block.is_overruled());
        for _ in 0..50 {
            block.remember().unwrap();
            assert!(unblock.is_counterpart_started());
            assert!(!block.is_overruled());
            unblock.remember().unwrap();
            assert!(block.is_overruled() && !unblock.is_overruled());
        }
        unblock.forget().unwrap();
        assert!(!block.is_overruled() && block.is_started());
        // A file of the shell agents.
        std::fs::write(directory.path().join("unblock"), "").unwrap();
        std::fs::write(directory.path().join("block"), "1\n").unwrap();
        assert!(block.is_overruled());
        // One that makes no sense, and what no start can have made.
        std::fs::write(directory.path().join("unblock"), [0xff, 0xfe]).unwrap();
        assert!(block.is_overruled());
        unblock.remember().unwrap();
        assert!(block.is_overruled() && unblock.own.read().unwrap().is_some());
        unblock.forget().unwrap();
        std::fs::create_dir(directory.path().join("unblock")).unwrap();
        assert!(!unblock.is_started() && !block.is_overruled());
    }
}
