//! The services: every node has one that answers each request with the node's name, on all of its addresses; an
//! identity that the cluster moves has one of its own.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use crate::{Outcome, says};

/// The private first argument for this role.
pub const ROLE: &str = "role:server";

/// The private first argument for the role that holds connections.
pub const HOLDING: &str = "role:holding-server";

/// The port of the service, on every address the node ever holds.
pub const PORT: u16 = 8000;

/// The port of a service that moves with its address.
pub const OWN_PORT: u16 = 8001;

/// The port of a service that never ends a connection.
pub const LASTING_PORT: u16 = 8002;

/// Answers until the node ends, or the service is stopped.
pub fn serve(name: &str, address: &str) -> Outcome<()> {
    let listener =
        TcpListener::bind(address).map_err(says(format!("cannot listen on {address}")))?;
    for connection in listener.incoming().flatten() {
        // A client that went away in the middle is its own problem.
        let _gone = answer(connection, name);
    }
    Ok(())
}

/// Takes every connection, says the node's name once and is silent ever after.
pub fn hold(name: &str) -> Outcome<()> {
    let listener = TcpListener::bind(("::", LASTING_PORT)).map_err(says("cannot listen"))?;
    let mut held = Vec::new();
    for mut connection in listener.incoming().flatten() {
        // A client that went away in the middle is its own problem.
        let _gone = connection.write_all(name.as_bytes());
        held.push(connection);
    }
    Ok(())
}

fn answer(mut connection: TcpStream, name: &str) -> std::io::Result<()> {
    // The request of a node that has just lost its address never comes; the next client must not wait for it.
    connection.set_read_timeout(Some(Duration::from_millis(20)))?;
    let mut request = [0_u8; 8];
    let _length = connection.read(&mut request)?;
    connection.write_all(name.as_bytes())
}
