//! What the kernel announces when a service may have failed: the end of its processes, and a control group without any.

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
        if let Some((_, service)) = self.as_unit() {
            let (main, group) = Unit::remembered(&service, cx);
            // systemd restarts what it is told to restart, and only a look tells of another main process.
            let blind = main.is_none() && group.is_none();
            return Ok(Signs {
                processes: main.into_iter().collect(),
                group,
                silent: silent || blind,
                ..Signs::default()
            });
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
