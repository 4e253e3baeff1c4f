//! stop: nothing of the file system is left, in no namespace.

#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::end::end;
use super::record::Record;
use super::target::Meant;
use super::{Filesystem, Look, record};
use crate::agent::Cx;
use crate::error::{Error, Result};
use crate::host::mount::device::{self, Source};
use crate::host::mount::holders::of_kernel;
use crate::host::mount::{Device, Mount, Table, health, loopdev, path};

/// How long the kernel may take to forget a file system after its last mount.
const SETTLE: Duration = Duration::from_secs(1);

impl Filesystem<'_> {
    /// Unmounts it.
    ///
    /// # Errors
    /// Something of it is left; the error says who holds it.
    pub fn stop(&self, cx: &Cx<'_>) -> Result<()> {
        let point = self.point()?;
        let _one_at_a_time = self.lock(&point, cx)?;
        self.end_probe(&point, cx);
        // A start that was killed may still be mounting.
        let gate = self.gate(&point, cx)?;
        let look = self.look(cx)?;
        if let Some(mount) = look.top() {
            self.remove_status_file(mount, gate.as_ref(), cx);
            self.remember(mount, &look, cx);
        }
        if let Some(meant) = self.meant(&look) {
            end(self, &meant, gate, cx)?;
            // What others have of it is their matter where that was allowed.
            if self.is_on_device() && !self.shared_device {
                self.settle(&meant, &look, cx)?;
            }
            cx.log.info(&format!("unmounted {}", point.display()));
        }
        // While a stranger is there the record may be the stranger's: another resource with the same mount point.
        if look.top().is_none() && look.stranger.is_some() && look.record.is_none() {
            return Ok(());
        }
        // Nothing of it is left; and a record that stays is seen to be of nothing.
        if let Err(error) = self.forget(&point, cx) {
            cx.log.warn(&error.to_string());
        }
        Ok(())
    }

    fn forget(&self, point: &Path, cx: &Cx<'_>) -> Result<()> {
        self.names(point).try_for_each(|path| record::remove(self.agent, path, cx))
    }

    /// Of a mount that another agent made there is no record, without which a stop that is killed half way would be over for
    /// the next one.
    fn remember(&self, mount: &Mount, look: &Look, cx: &Cx<'_>) {
        if look.record.is_some() {
            return;
        }
        let record = Record::of(mount, None, self.asked());
        if let Err(error) = record::write(self.agent, &look.point, &record, cx) {
            cx.log.debug(&error.to_string());
        }
    }

    /// Unmounts what this start has just mounted.
    pub(super) fn undo(&self, cx: &Cx<'_>) -> Result<()> {
        let look = self.look(cx)?;
        // Where else it may be, of an earlier start, is not this one's matter.
        let Some(mount) = look.top() else { return Ok(()) };
        let meant = self.meant_by(mount, &look);
        let gate = self.gate(&look.point, cx)?;
        end(self, &meant, gate, cx)?;
        self.forget(&look.point, cx)
    }

    fn meant(&self, look: &Look) -> Option<Meant> {
        if let Some(mount) = look.top() {
            return Some(self.meant_by(mount, look));
        }
        // A stop that was killed half way may have left it in other namespaces, and whoever moved it, or unmounted one of two
        // places by hand, at another place in this one.
        let record = look.record.as_ref()?;
        if !self.is_on_device() {
            return None;
        }
        let disk = self.configured_device(&look.table)?;
        let everywhere = !self.shared_device && disk == record.device;
        let is_it = |mount: &&Mount| record.is_like(mount) && health::disk_of(mount) == Some(disk);
        let is_btrfs = record.kind == "btrfs" && !self.shared_device;
        if let Some(mount) = look.table.mounts().iter().find(is_it).filter(|_| is_btrfs) {
            return Some(self.meant_by(mount, look));
        }
        (is_btrfs || disk == record.device).then(|| Meant {
            kind: record.kind.clone(),
            device: record.device,
            disk: Some(disk),
            root: PathBuf::from("/"),
            subvolume: None,
            point: look.point.clone(),
            everywhere,
            everywhere_abroad: everywhere,
            in_all_namespaces: true,
        })
    }

    /// The same file system as that of a mount. Who allows others to mount the device does not want them unmounted.
    fn meant_by(&self, mount: &Mount, look: &Look) -> Meant {
        let everywhere = self.is_on_device() && !self.shared_device;
        Meant {
            kind: mount.kind.to_string_lossy().into_owned(),
            device: mount.device,
            disk: health::disk_of(mount),
            root: mount.root.clone(),
            subvolume: mount.super_option("subvolid").map(ToOwned::to_owned),
            point: look.point.clone(),
            everywhere,
            everywhere_abroad: everywhere,
            in_all_namespaces: self.bind().is_none(),
        }
    }

    /// Whether what start mounted is gone, and not only from its place.
    ///
    /// # Errors
    /// It is not; the error says where it is.
    pub(super) fn is_nowhere_else(&self, cx: &Cx<'_>) -> Result<()> {
        let look = self.look_once(cx)?;
        let meant = if look.top().is_none() { self.meant(&look) } else { None };
        let Some(meant) = meant.filter(|_| !self.shared_device) else { return Ok(()) };
        match look.table.mounts().iter().find(|mount| meant.includes(mount)) {
            Some(mount) => Err(Error::Failed(format!(
                "{} is mounted at {}, and not at {} any more; stop it, which unmounts it there too",
                self.source.described(),
                mount.point.display(),
                meant.point.display()
            ))),
            None => self.settle(&meant, &look, cx),
        }
    }

    /// The number of the device that is configured.
    pub(super) fn configured_device(&self, table: &Table) -> Option<Device> {
        if !self.options.loop_device {
            return self.source.linked().as_deref().and_then(device::number);
        }
        let Source::Named(name) = self.source else { return None };
        let file = path::resolve(Path::new(name), table).ok()?;
        let same = |used: &loopdev::Used| used.file == file && used.offset == self.options.offset;
        loopdev::used().into_iter().find(same).map(|used| used.device)
    }

    /// A file system that was unmounted with `umount -l` lives on out of sight, and keeps its device.
    fn settle(&self, meant: &Meant, look: &Look, cx: &Cx<'_>) -> Result<()> {
        let begin = Instant::now();
        let others =
            |table: &Table| table.mounts().iter().any(|other| other.device == meant.device);
        while meant.is_alive() == Some(true) && !others(&Table::own()?) {
            if begin.elapsed() >= SETTLE.min(cx.deadline.left_with_reserve()) {
                return Err(Error::Failed(format!(
                    "{} is unmounted from {}, but the kernel still has it: {}",
                    self.source.described(),
                    meant.point.display(),
                    what_has_it(look)
                )));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

fn what_has_it(look: &Look) -> String {
    let known = look.top().map(|mount| of_kernel(&look.table, mount)).unwrap_or_default();
    known.into_iter().next().unwrap_or_else(|| {
        "it was unmounted lazily, an overlay is made of it, or a namespace without a process shows it".to_owned()
    })
}
