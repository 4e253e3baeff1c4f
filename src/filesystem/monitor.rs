//! Whether the file system is mounted, is the right one, and is well: without any look into it before its storage is asked.

#![forbid(unsafe_code)]

use super::Filesystem;
use crate::agent::{Cx, Status};
use crate::error::{Error, Result};
use crate::host::mount::{Mount, health};

impl Filesystem<'_> {
    /// What is there.
    ///
    /// # Errors
    /// It is there and not well, or something else is.
    pub fn monitor(&self, cx: &Cx<'_>) -> Result<Status> {
        let look = self.look(cx)?;
        let Some(mount) = look.top() else {
            if look.record.is_some() {
                // Its stop has not ended, and what hangs in the kernel may write to it yet.
                drop(self.gate(&look.point, cx)?);
                self.is_nowhere_else(cx)?;
            }
            return match look.stranger {
                Some(stranger) if !cx.is_probe() => Err(stranger_at(&stranger)),
                _ => Ok(Status::NotRunning),
            };
        };
        if mount.point != look.point {
            return Err(Error::Failed(format!(
                "{} was moved to {} by a stop that did not end; stop it again",
                look.point.display(),
                mount.point.display()
            )));
        }
        if let Some(over) = look.table.hidden_by(mount) {
            return Err(Error::Failed(format!(
                "{} at {} is hidden: {} is mounted over it at {}; unmount that",
                mount.source.display(),
                mount.point.display(),
                over.source.display(),
                over.point.display()
            )));
        }
        match health::fault(mount, self.expected(mount, &look)) {
            Some(fault) => Err(Error::Failed(format!(
                "{} at {} is not well: {fault}",
                mount.source.display(),
                mount.point.display()
            ))),
            None => self.touched(mount, &look.point, cx),
        }
    }
}

/// The error of a mount point at which something else is mounted.
pub(super) fn stranger_at(stranger: &Mount) -> Error {
    Error::Failed(format!(
        "{} ({}, device {}) is mounted at {} instead; unmount it, or correct the parameter device",
        stranger.source.display(),
        stranger.kind.display(),
        stranger.device,
        stranger.point.display()
    ))
}
