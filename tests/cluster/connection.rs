//! A client that holds one connection for as long as it lasts, and tells when it ended and how.

use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use crate::machine::Machine;
use crate::{Outcome, clock, says, server};

/// The private first argument for this role.
pub const ROLE: &str = "role:connection";

/// The role: prints its own end of the connection when the server has spoken, and then when it ended and how. It never
/// sends anything, so only the other side can end it.
pub fn keep(server: &str) -> Outcome<()> {
    let mut connection = TcpStream::connect(server).map_err(says("cannot connect"))?;
    let mut buffer = [0_u8; 32];
    connection.read_exact(&mut buffer[..1]).map_err(says("the server is silent"))?;
    println!("{}", connection.local_addr().map_err(says("getsockname"))?);
    let end = loop {
        match connection.read(&mut buffer) {
            Ok(0) => break "closed".to_owned(),
            Ok(_) => {}
            Err(error) => break error.kind().to_string(),
        }
    };
    println!("{} {end}", clock::now().as_micros());
    Ok(())
}

/// The connection of a client; it ends with this value.
pub struct Connection {
    /// The client's end, as a list of connections has it.
    pub from: String,
    process: Child,
    lines: Receiver<String>,
}

impl Connection {
    /// Returns when the server has spoken.
    pub fn open(client: &Machine, address: &str, patience: Duration) -> Outcome<Self> {
        let ip: IpAddr = address.parse().map_err(says(format!("{address} is not an address")))?;
        let program = std::env::current_exe().map_err(says("cannot find this program"))?;
        let mut process = client
            .network_command(&program.to_string_lossy())
            .args([ROLE, &SocketAddr::new(ip, server::LASTING_PORT).to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(says("cannot start the client"))?;
        let output = process.stdout.take().ok_or("the client has no output")?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            let said = BufReader::new(output).lines().map_while(Result::ok);
            // Nobody listens any more when the scenario is over.
            said.map(|line| sender.send(line)).take_while(Result::is_ok).for_each(drop);
        });
        let mut connection = Self { from: String::new(), process, lines };
        connection.from = connection
            .lines
            .recv_timeout(patience)
            .map_err(says(format!("no connection to {address}")))?;
        Ok(connection)
    }

    /// When it ended and how; nothing if it does not in that time.
    pub fn await_end(&self, patience: Duration) -> Option<(Duration, String)> {
        let line = self.lines.recv_timeout(patience).ok()?;
        let (microseconds, end) = line.split_once(' ')?;
        Some((Duration::from_micros(microseconds.parse().ok()?), end.to_owned()))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _gone = self.process.kill();
        let _status = self.process.wait();
    }
}
