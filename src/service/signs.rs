//! What is announced when a service may have failed: by the kernel, the end of its processes and a control group without any; by
//! systemd, another state of the unit.

#![forbid(unsafe_code)]

use super::Service;
use super::unit::Unit;
use crate::agent::Cx;
use crate::host::process::Identity;
use crate::watch::Signs;

impl Service {
    /// What announces that it may have failed. What a unit is made of is as start found it, or as a monitor has found it
    /// since; where nothing is known, nothing is announced, and looks have to do.
    ///
    /// # Errors
    /// The record cannot be read in this boot.
    pub fn signs(&self, cx: &Cx<'_>) -> crate::error::Result<Signs> {
        let silent = self.probes.iter().any(crate::probe::Url::is_quick);
        if let Some((unit, service)) = self.as_unit() {
            let (main, group) = Unit::remembered(&service, cx);
            // The end of a main process says more, and sooner, than systemd's word; and of connections the bus has few for
            // each user (`max_connections_per_user` in dbus-daemon(1)), so that they are for those that need them.
            let name = main.is_none().then(|| unit.name.clone());
            let processes = main.into_iter().collect();
            return Ok(Signs { processes, group, unit: name, silent, ..Signs::default() });
        }
        let Some(record) = self.record(cx)? else {
            return Ok(Signs { silent: true, ..Signs::default() });
        };
        let processes: Vec<Identity> = match record.main {
            Some(main) => vec![main],
            None => record.parts,
        };
        let blind = processes.is_empty() && record.group.is_none();
        let silent = silent || blind;
        Ok(Signs { processes, group: record.group, silent, ..Signs::default() })
    }
}
