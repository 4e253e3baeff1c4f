//! What a server is for its clients: an address, the hardware address under which switches and routers know it, and a
//! service. The other server takes all of it over on a spare card.

use std::env;

use crate::fleet::node_name;
use crate::machine::Machine;
use crate::network::SPARES;
use crate::{Outcome, says, server};

/// A server's identity.
pub struct Identity {
    /// Of the server and of its service, which answers with it and the name of the node where it runs.
    pub name: &'static str,
    /// The node where it belongs.
    pub home: u8,
    /// Its address.
    pub ip: &'static str,
    /// Its hardware address.
    pub mac: &'static str,
    /// The card on which any node has it: one for each identity, as a node may have both.
    pub nic: &'static str,
}

/// Two servers that stand in for each other.
pub const IDENTITIES: [Identity; 2] = [
    Identity {
        name: "serv1",
        home: 1,
        ip: "10.77.0.81",
        mac: "02:00:00:00:00:01",
        nic: SPARES[0].nic,
    },
    Identity {
        name: "serv2",
        home: 2,
        ip: "10.77.0.82",
        mac: "02:00:00:00:00:02",
        nic: SPARES[1].nic,
    },
];

impl Identity {
    /// What its service answers on that node.
    pub fn answer_on(&self, number: u8) -> String {
        format!("{}@{}", self.name, node_name(number))
    }

    /// Gives a node the service's init script.
    pub fn install(&self, node: &Machine) -> Outcome<()> {
        let Self { name, ip, .. } = self;
        let program = env::current_exe().map_err(says("cannot find this program"))?;
        let (program, role, port) = (program.display(), server::ROLE, server::OWN_PORT);
        let words = format!("{program} {role} {name}@$(uname -n) {ip}:{port}");
        node.write(&format!("/etc/init.d/{name}"), 0o755, &script(name, &words))
    }
}

/// As they are written by hand: `status` says "running" or "stopped", and ends with 0 or 3.
pub fn script(name: &str, words: &str) -> String {
    format!(
        r#"#!/bin/sh
### BEGIN INIT INFO
# Provides: {name}
### END INIT INFO
file=/run/{name}.pid
is_running() {{ test -s $file && kill -0 "$(cat $file)" 2>/dev/null; }}
case $1 in
  start)
    is_running && exit 0
    setsid {words} </dev/null >>/var/log/{name}.out 2>&1 &
    echo $! >$file ;;
  stop)
    is_running || exit 0
    kill "$(cat $file)"
    while is_running; do sleep 0.01; done
    rm $file ;;
  status)
    is_running && {{ echo "{name} is running"; exit 0; }}
    echo "{name} is stopped"; exit 3 ;;
  *) exit 2 ;;
esac
"#
    )
}
