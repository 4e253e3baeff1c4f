//! What scenarios share: one client, and one cluster at a time, kept as long as the scenarios ask for the same one.

use std::path::Path;
use std::rc::Rc;

use crate::Outcome;
use crate::fleet::boot_client;
use crate::install::Installation;
use crate::machine::Machine;
use crate::pacemaker::Pacemaker;

/// A cluster and what it was made for.
enum Running {
    Pacemaker { size: u8, installation: Installation, cluster: Pacemaker },
}

/// Holds the client and the running cluster.
pub struct Stage {
    running: Option<Running>,
    client: Rc<Machine>,
}

impl Stage {
    /// Only the client, so far.
    pub fn open() -> Outcome<Self> {
        Ok(Self { running: None, client: Rc::new(boot_client()?) })
    }

    /// A Pacemaker cluster of that size, with nothing configured.
    pub fn pacemaker(&mut self, size: u8, installation: Installation) -> Outcome<&mut Pacemaker> {
        let fits = matches!(&self.running, Some(Running::Pacemaker { size: other, installation: agents, .. })
            if (*other, *agents) == (size, installation));
        if !fits {
            self.running = None;
            let cluster = Pacemaker::boot(size, installation, Rc::clone(&self.client))?;
            self.running = Some(Running::Pacemaker { size, installation, cluster });
        }
        match &mut self.running {
            Some(Running::Pacemaker { cluster, .. }) => Ok(cluster),
            None => Err("the cluster that was just started is gone".to_owned()),
        }
    }

    /// Makes the cluster fit for the next scenario.
    pub fn tidy(&mut self) -> Outcome<()> {
        match &mut self.running {
            Some(Running::Pacemaker { cluster, .. }) => cluster.clear(),
            None => Ok(()),
        }
    }

    /// Ends the cluster, as a failed scenario leaves it in no known state; its logs are kept in `directory`.
    pub fn give_up(&mut self, directory: &Path) -> Outcome<String> {
        let tails = match &self.running {
            Some(Running::Pacemaker { cluster, .. }) => cluster.fleet.keep_logs(directory)?,
            None => String::new(),
        };
        self.running = None;
        Ok(tails)
    }
}
