//! The switches and cables. They live in the network namespace of the laboratory, so the host has no part in them.

use std::process::Command;

use crate::Outcome;
use crate::machine::Machine;
use crate::namespaces::run;

/// One network of the laboratory.
pub struct Lan {
    /// Name of the bridge, and the first half of the name of every cable's far end; 15 characters are allowed.
    bridge: &'static str,
    /// Name of the interface in the machines.
    pub nic: &'static str,
    /// Both address prefixes and the byte of the hardware addresses that tells the networks apart.
    ipv4: &'static str,
    ipv6: &'static str,
    byte: u8,
}

/// Where the clients are and the virtual addresses belong.
pub const SERVICE: Lan =
    Lan { bridge: "lan", nic: "eth0", ipv4: "10.77.0.", ipv6: "fd00:77::", byte: 0x77 };

/// Where the nodes talk among themselves, so that a cut service cable is not a lost node.
pub const RING: Lan =
    Lan { bridge: "ring", nic: "eth1", ipv4: "10.76.0.", ipv6: "fd00:76::", byte: 0x76 };

/// `ip` with these words, in the laboratory itself.
fn ip(words: &str) -> Outcome<String> {
    run(Command::new("ip").args(words.split_whitespace()))
}

/// Both switches, with nothing plugged in.
pub fn install_switches() -> Outcome<()> {
    ip("link set lo up")?;
    for lan in [SERVICE, RING] {
        // A switch that snoops multicast without a querier may hold back neighbour discovery.
        ip(&format!("link add {} type bridge mcast_snooping 0", lan.bridge))?;
        ip(&format!("link set {} up", lan.bridge))?;
    }
    Ok(())
}

impl Lan {
    /// The address of the machine with that number.
    pub fn address(&self, number: u8) -> String {
        format!("{}{number}", self.ipv4)
    }

    /// Whether the address belongs to the machine with that number itself.
    pub fn is_own(&self, number: u8, address: &str) -> bool {
        address == self.address(number) || address == format!("{}{number:x}", self.ipv6)
    }

    /// The hardware address of the machine with that number: the same again after it was off.
    pub fn mac(&self, number: u8) -> String {
        format!("02:00:00:00:{:02x}:{number:02x}", self.byte)
    }

    fn port(&self, machine: &Machine) -> String {
        format!("{}-{}", self.bridge, machine.name())
    }

    /// Gives the machine an interface with an address, and a cable to the switch.
    pub fn plug_in(&self, machine: &Machine, number: u8) -> Outcome<()> {
        let (nic, port, mac) = (self.nic, self.port(machine), self.mac(number));
        let process = machine.first_process();
        ip(&format!("link add {port} type veth peer name {nic} address {mac} netns {process}"))?;
        ip(&format!("link set {port} master {} up", self.bridge))?;
        machine.ip(&format!("addr add {}/24 brd + dev {nic}", self.address(number)))?;
        // Nobody else has it: waiting for duplicate address detection would only cost a second.
        machine.ip(&format!("addr add {}{number:x}/64 dev {nic} nodad", self.ipv6))?;
        machine.ip(&format!("link set {nic} up"))?;
        Ok(())
    }

    /// Takes the cable out; both ends lose their carrier.
    pub fn cut(&self, machine: &Machine) -> Outcome<()> {
        ip(&format!("link set {} down", self.port(machine))).map(drop)
    }

    /// Puts the cable back.
    pub fn heal(&self, machine: &Machine) -> Outcome<()> {
        ip(&format!("link set {} up", self.port(machine))).map(drop)
    }

    /// Throws the cable away, as its machine is gone. The kernel may have done so already.
    pub fn unplug(&self, machine: &Machine) {
        let _already_gone = ip(&format!("link del {}", self.port(machine)));
    }
}
