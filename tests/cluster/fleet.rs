//! The nodes of a cluster, whichever software makes them one, and the client that uses it.

use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use crate::connection::Connection;
use crate::identity::IDENTITIES;
use crate::laboratory::disk;
use crate::ledger::Ledger;
use crate::machine::Machine;
use crate::network::{CARDS, RING, SERVICE};
use crate::watch::Watch;
use crate::{Outcome, broker, client, logs, says, server, store, web};

/// Number of the client in the service network.
const CLIENT: u8 = 100;

/// A place for a node; the machine in it comes and goes.
struct Berth {
    number: u8,
    machine: Option<Machine>,
}

/// The machines of one cluster.
pub struct Fleet {
    berths: Vec<Berth>,
    client: Rc<Machine>,
}

/// The name of the node with that number.
pub fn node_name(number: u8) -> String {
    format!("node{number}")
}

/// Switches the client on.
pub fn boot_client() -> Outcome<Machine> {
    boot("client", CLIENT)
}

/// A stranger in the service network, with one more address.
pub fn boot_stranger(number: u8, address: &str) -> Outcome<Machine> {
    let stranger = boot("stranger", number)?;
    stranger.ip(&format!("addr add {address}/24 dev {}", SERVICE.nic))?;
    Ok(stranger)
}

fn boot(name: &str, number: u8) -> Outcome<Machine> {
    let machine = Machine::boot(name, &disk(name))?;
    SERVICE.plug_in(&machine, number)?;
    Ok(machine)
}

impl Fleet {
    /// `size` machines with empty disks, switched on and in the network.
    pub fn boot(size: u8, client: Rc<Machine>) -> Outcome<Self> {
        let berths = (1..=size).map(|number| Berth { number, machine: None }).collect();
        let mut fleet = Self { berths, client };
        for number in fleet.numbers() {
            let disk = disk(&node_name(number));
            if disk.exists() {
                fs::remove_dir_all(&disk).map_err(says("cannot empty a disk"))?;
            }
            fleet.switch_on(number)?;
        }
        Ok(fleet)
    }

    /// The numbers of all nodes, running or not.
    pub fn numbers(&self) -> Vec<u8> {
        self.berths.iter().map(|berth| berth.number).collect()
    }

    /// The machine of a running node.
    pub fn node(&self, number: u8) -> Outcome<&Machine> {
        self.running()
            .find(|(candidate, _)| *candidate == number)
            .map(|(_, node)| node)
            .ok_or_else(|| off(number))
    }

    /// The same, to start daemons in it.
    pub fn node_mut(&mut self, number: u8) -> Outcome<&mut Machine> {
        let berth = self.berths.iter_mut().find(|berth| berth.number == number);
        berth.and_then(|berth| berth.machine.as_mut()).ok_or_else(|| off(number))
    }

    /// Every running node with its number.
    pub fn running(&self) -> impl Iterator<Item = (u8, &Machine)> {
        self.berths.iter().filter_map(|berth| Some((berth.number, berth.machine.as_ref()?)))
    }

    /// Switches a node on again.
    pub fn switch_on(&mut self, number: u8) -> Outcome<()> {
        let name = node_name(number);
        let machine = Machine::boot(&name, &disk(&name))?;
        for card in CARDS {
            card.plug_in(&machine, number)?;
        }
        for identity in &IDENTITIES {
            identity.install(&machine)?;
        }
        web::install(&machine)?;
        store::install(&machine)?;
        let berth = self
            .berths
            .iter_mut()
            .find(|berth| berth.number == number)
            .ok_or_else(|| off(number))?;
        berth.machine = Some(machine);
        Ok(())
    }

    /// Power loss: the links go and every process of the node with them.
    pub fn crash(&mut self, number: u8) -> Outcome<()> {
        let berth = self
            .berths
            .iter_mut()
            .find(|berth| berth.number == number)
            .ok_or_else(|| off(number))?;
        let machine = berth.machine.take().ok_or_else(|| off(number))?;
        for card in CARDS {
            card.cut(&machine)?;
        }
        for card in CARDS {
            card.unplug(&machine);
        }
        drop(machine);
        Ok(())
    }

    /// The nodes that have the address on an interface, by `ip -j`.
    pub fn holders(&self, address: &str) -> Outcome<Vec<u8>> {
        let mut holders = Vec::new();
        for (number, node) in self.running() {
            if node.holds(address)? {
                holders.push(number);
            }
        }
        Ok(holders)
    }

    /// Waits until exactly these nodes have the address.
    pub fn await_holders(&self, address: &str, expected: &[u8], patience: Duration) -> Outcome<()> {
        let what = format!("{address} is on the nodes {expected:?} and on no other");
        crate::wait::until(&what, patience, || Ok(self.holders(address)? == expected)).map_err(
            |error| format!("{error}; it is on {:?}", self.holders(address).unwrap_or_default()),
        )
    }

    /// Shows that no running node has an address that is not its own.
    pub fn expect_no_guests(&self) -> Outcome<()> {
        for (number, node) in self.running() {
            let is_guest = |address: &String| {
                let is_local =
                    address == "127.0.0.1" || address == "::1" || address.starts_with("fe80:");
                !is_local && !SERVICE.is_own(number, address) && !RING.is_own(number, address)
            };
            let guests: Vec<String> = node.addresses()?.into_iter().filter(is_guest).collect();
            if !guests.is_empty() {
                return Err(format!("{} still has {}", node.name(), guests.join(", ")));
            }
        }
        Ok(())
    }

    /// Keeps the logs of all nodes, also of those that are off; the ends of them.
    pub fn keep_logs(&self, directory: &Path) -> Outcome<String> {
        let mut tails = String::new();
        for number in self.numbers() {
            let name = node_name(number);
            tails.push_str(&logs::keep(&disk(&name).join("var/log"), &directory.join(name))?);
        }
        Ok(tails)
    }

    /// Lets the client ask the address from now on, for the name of the node.
    pub fn watch(&self, address: &str) -> Outcome<Watch> {
        Watch::begin(&self.client, address, server::PORT, client::NAME)
    }

    /// Lets the client ask the service that moves with the address.
    pub fn watch_service(&self, address: &str) -> Outcome<Watch> {
        Watch::begin(&self.client, address, server::OWN_PORT, client::NAME)
    }

    /// Lets the client ask the web server that moves with the address for its page.
    pub fn watch_page(&self, address: &str) -> Outcome<Watch> {
        Watch::begin(&self.client, address, web::PORT, client::PAGE)
    }

    /// Lets the client greet the message queue that moves with the address.
    pub fn watch_broker(&self, address: &str) -> Outcome<Watch> {
        Watch::begin(&self.client, address, broker::PORT, client::BROKER)
    }

    /// Lets the client bring numbers to the store, and fetch them.
    pub fn trade(&self, address: &str) -> Outcome<Ledger> {
        Ledger::begin(&self.client, address)
    }

    /// Lets the client open a connection and hold it.
    pub fn connect(&self, address: &str, patience: Duration) -> Outcome<Connection> {
        Connection::open(&self.client, address, patience)
    }

    /// Tells the client for good which hardware address the address has: no announcement can teach it another.
    pub fn pin(&self, address: &str, mac: &str) -> Outcome<()> {
        let nic = SERVICE.nic;
        let words = format!("neigh replace {address} lladdr {mac} dev {nic} nud permanent");
        self.client.ip(&words).map(drop)
    }

    /// Shows that the client still knows just that.
    pub fn expect_pinned(&self, address: &str, mac: &str) -> Outcome<()> {
        let said = self.client.ip(&format!("neigh show {address} dev {}", SERVICE.nic))?;
        let is_pinned = said.contains(&format!("lladdr {mac} ")) && said.contains("PERMANENT");
        is_pinned.then_some(()).ok_or_else(|| format!("the client's neighbour entry is {said:?}"))
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for number in self.numbers() {
            // Whatever could not be unplugged goes with its machine.
            let _gone = self.crash(number);
        }
    }
}

fn off(number: u8) -> String {
    format!("{} is not running", node_name(number))
}
