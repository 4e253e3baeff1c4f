//! The message queue of the nodes: Debian's RabbitMQ, by the init script that its package brings.

use crate::Outcome;
use crate::machine::Machine;

/// Its program, which the init script starts.
pub const PROGRAM: &str = "/usr/sbin/rabbitmq-server";

/// The name of its init script.
pub const SCRIPT: &str = "rabbitmq-server";

/// Where it listens, on all addresses.
pub const PORT: u16 = 5672;

/// What a client of AMQP 0-9-1 begins with.
pub const GREETING: &[u8] = b"AMQP\0\0\x09\x01";

/// What stands before the node's name in the answer.
const PREFIX: &str = "rabbit@";

/// Gives a node what the server needs besides its package: a log directory, and a name that leads to an address.
pub fn install(node: &Machine) -> Outcome<()> {
    node.run(&["install", "-d", "-o", "rabbitmq", "-g", "rabbitmq", "/var/log/rabbitmq"])?;
    let hosts = format!("127.0.0.1 localhost\n127.0.1.1 {}\n", node.name());
    node.write("/etc/hosts", 0o644, &hosts)
}

/// Kills the server itself; the shell that runs it ends by that.
pub fn kill(node: &Machine) -> Outcome<()> {
    node.run(&["pkill", "-KILL", "-x", "beam.smp"]).map(drop)
}

/// Whether the server is there.
pub fn is_there(node: &Machine) -> bool {
    // pgrep answers 1 when it finds nothing.
    node.run(&["pgrep", "-x", "beam.smp"]).is_ok()
}

/// The node that answers: its name stands in the properties of the server, in `Connection.Start`.
pub fn name_in(received: &[u8]) -> Option<String> {
    let answer = String::from_utf8_lossy(received);
    let (_, rest) = answer.split_once(PREFIX)?;
    // Whether the name is complete, what follows tells.
    let end = rest.find(|character: char| !character.is_ascii_alphanumeric())?;
    Some(rest[..end].to_owned())
}
