//! What scenarios share: one client, and one cluster at a time, kept as long as the scenarios ask for the same one.

use std::path::Path;
use std::rc::Rc;

use crate::Outcome;
use crate::fleet::boot_client;
use crate::heartbeat::{Duty, Heartbeat};
use crate::install::Installation;
use crate::machine::Machine;
use crate::pacemaker::Pacemaker;

/// A cluster and what it was made for.
enum Running {
    Nothing,
    Pacemaker { size: u8, installation: Installation, cluster: Pacemaker },
    Heartbeat { installation: Installation, duty: Duty, cluster: Heartbeat },
}

/// Holds the client and the running cluster.
pub struct Stage {
    running: Running,
    client: Rc<Machine>,
}

impl Stage {
    /// Only the client, so far.
    pub fn open() -> Outcome<Self> {
        Ok(Self { running: Running::Nothing, client: Rc::new(boot_client()?) })
    }

    /// A Pacemaker cluster of that size, with nothing configured.
    pub fn pacemaker(&mut self, size: u8, installation: Installation) -> Outcome<&mut Pacemaker> {
        let fits = matches!(&self.running, Running::Pacemaker { size: other, installation: agents, .. }
            if (*other, *agents) == (size, installation));
        if !fits {
            self.clear();
            let cluster = Pacemaker::boot(size, installation, Rc::clone(&self.client))?;
            self.running = Running::Pacemaker { size, installation, cluster };
        }
        let Running::Pacemaker { cluster, .. } = &mut self.running else {
            return Err("the cluster that was just started is gone".to_owned());
        };
        Ok(cluster)
    }

    /// A Heartbeat cluster with that duty, and its resources where they belong.
    pub fn heartbeat(&mut self, installation: Installation, duty: Duty) -> Outcome<&mut Heartbeat> {
        let fits = matches!(&self.running, Running::Heartbeat { installation: agents, duty: other, .. }
            if (*agents, *other) == (installation, duty));
        if !fits {
            self.clear();
            let cluster = Heartbeat::boot(installation, duty, Rc::clone(&self.client))?;
            self.running = Running::Heartbeat { installation, duty, cluster };
        }
        let Running::Heartbeat { cluster, .. } = &mut self.running else {
            return Err("the cluster that was just started is gone".to_owned());
        };
        Ok(cluster)
    }

    /// Makes the cluster fit for the next scenario.
    pub fn tidy(&mut self) -> Outcome<()> {
        match &mut self.running {
            Running::Pacemaker { cluster, .. } => cluster.clear(),
            // The scenarios bring the resources home themselves.
            Running::Heartbeat { cluster, .. } => cluster.await_home(),
            Running::Nothing => Ok(()),
        }
    }

    /// Ends the cluster, as a failed scenario leaves it in no known state; its logs are kept in `directory`.
    pub fn give_up(&mut self, directory: &Path) -> Outcome<String> {
        let tails = match &self.running {
            Running::Pacemaker { cluster, .. } => cluster.fleet.keep_logs(directory),
            Running::Heartbeat { cluster, .. } => cluster.fleet.keep_logs(directory),
            Running::Nothing => Ok(String::new()),
        };
        self.clear();
        tails
    }

    fn clear(&mut self) {
        self.running = Running::Nothing;
    }
}
