//! The switches, cards and cables. They live in the network namespace of the laboratory, so the host has no part in them.

use std::process::Command;

use crate::Outcome;
use crate::machine::Machine;
use crate::namespaces::run;

/// One kind of network card of the machines, and the switch that it is plugged into.
pub struct Card {
    /// Name of the interface in the machines.
    pub nic: &'static str,
    /// Name of the bridge.
    bridge: &'static str,
    /// The first half of the name of the cable's far end; 15 characters are allowed in all.
    port: &'static str,
    /// The byte of the hardware addresses that tells the kinds apart.
    byte: u8,
    /// Both address prefixes; a spare card has no address of its own, and is down until somebody needs it.
    prefixes: Option<(&'static str, &'static str)>,
}

/// Where the clients are and the virtual addresses belong.
pub const SERVICE: Card = Card {
    nic: "eth0",
    bridge: "lan",
    port: "lan",
    byte: 0x77,
    prefixes: Some(("10.77.0.", "fd00:77::")),
};

/// Spare cards in the same network, one for each identity that a node may take over.
pub const SPARES: [Card; 2] = [
    Card { nic: "eth1", bridge: "lan", port: "lan1", byte: 0x78, prefixes: None },
    Card { nic: "eth2", bridge: "lan", port: "lan2", byte: 0x79, prefixes: None },
];

/// Where the nodes talk among themselves, so that a cut service cable is not a lost node.
pub const RING: Card = Card {
    nic: "ring0",
    bridge: "ring",
    port: "ring",
    byte: 0x76,
    prefixes: Some(("10.76.0.", "fd00:76::")),
};

/// Every card of a node.
pub const CARDS: [&Card; 4] = [&SERVICE, &RING, &SPARES[0], &SPARES[1]];

/// `ip` with these words, in the laboratory itself.
fn ip(words: &str) -> Outcome<String> {
    run(Command::new("ip").args(words.split_whitespace()))
}

/// Both switches, with nothing plugged in.
pub fn install_switches() -> Outcome<()> {
    ip("link set lo up")?;
    for Card { bridge, .. } in [SERVICE, RING] {
        // A switch that snoops multicast without a querier may hold back neighbour discovery.
        ip(&format!("link add {bridge} type bridge mcast_snooping 0"))?;
        ip(&format!("link set {bridge} up"))?;
    }
    Ok(())
}

impl Card {
    /// The address of the machine with that number; nothing on a spare card.
    pub fn address(&self, number: u8) -> String {
        self.prefixes.map_or_else(String::new, |(ipv4, _)| format!("{ipv4}{number}"))
    }

    fn address_v6(&self, number: u8) -> String {
        self.prefixes.map_or_else(String::new, |(_, ipv6)| format!("{ipv6}{number:x}"))
    }

    /// Whether the address belongs to the machine with that number itself.
    pub fn is_own(&self, number: u8, address: &str) -> bool {
        address == self.address(number) || address == self.address_v6(number)
    }

    /// Whether nobody uses it until a node takes something over.
    pub fn is_spare(&self) -> bool {
        self.prefixes.is_none()
    }

    /// The hardware address of the machine with that number: the same again after it was off.
    pub fn mac(&self, number: u8) -> String {
        format!("02:00:00:00:{:02x}:{number:02x}", self.byte)
    }

    fn port(&self, machine: &Machine) -> String {
        format!("{}-{}", self.port, machine.name())
    }

    /// Gives the machine the card, with an address unless it is a spare one, and a cable to the switch.
    pub fn plug_in(&self, machine: &Machine, number: u8) -> Outcome<()> {
        let (nic, port, mac) = (self.nic, self.port(machine), self.mac(number));
        let process = machine.first_process();
        ip(&format!("link add {port} type veth peer name {nic} address {mac} netns {process}"))?;
        ip(&format!("link set {port} master {} up", self.bridge))?;
        if !self.is_spare() {
            machine.ip(&format!("addr add {}/24 brd + dev {nic}", self.address(number)))?;
            // Nobody else has it: waiting for duplicate address detection would only cost a second.
            machine.ip(&format!("addr add {}/64 dev {nic} nodad", self.address_v6(number)))?;
            machine.ip(&format!("link set {nic} up"))?;
        }
        Ok(())
    }

    /// Takes the cable out; both ends lose their carrier.
    pub fn cut(&self, machine: &Machine) -> Outcome<()> {
        ip(&self.words_to_cut(machine)).map(drop)
    }

    /// What `ip` is told in the laboratory to take the cable out.
    pub fn words_to_cut(&self, machine: &Machine) -> String {
        format!("link set {} down", self.port(machine))
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
