//! How the nodes know of each other: a datagram now and then, over the same network as everything else.

#![forbid(unsafe_code)]

use std::io;
use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use super::Host;
use super::event::{Event, tell};

/// Pause between two heartbeats.
const INTERVAL: Duration = Duration::from_millis(20);
/// A node that was not heard for so long is dead. Corosync takes one second or more; the demonstration is in a hurry.
pub(super) const DEAD: Duration = Duration::from_millis(100);
/// That of Corosync.
const PORT: u16 = 5405;

/// Starts to send heartbeats to `peer` and to listen to its own.
///
/// # Errors
/// There is no socket to be had.
pub(super) fn begin(own: Host, peer: Host) -> io::Result<()> {
    let socket = UdpSocket::bind((own.ip, PORT))?;
    let sender = socket.try_clone()?;
    thread::spawn(move || {
        loop {
            // What the network does not take now, the peer misses, which is what heartbeats are for.
            let _ = sender.send_to(own.name.as_bytes(), (peer.ip, PORT));
            thread::sleep(INTERVAL);
        }
    });
    thread::spawn(move || listen(&socket));
    Ok(())
}

/// Tells when the peer is heard, when it falls silent, and when it is heard again.
fn listen(socket: &UdpSocket) {
    let mut heard = Instant::now();
    let mut silent = true;
    let mut buffer = [0; 16];
    loop {
        // While it is silent there is nothing to miss.
        let wait =
            (!silent).then(|| DEAD.saturating_sub(heard.elapsed()).max(Duration::from_millis(1)));
        if socket.set_read_timeout(wait).is_err() {
            return;
        }
        if socket.recv(&mut buffer).is_ok() {
            heard = Instant::now();
            if std::mem::take(&mut silent) {
                tell(&Event::Alive);
            }
        } else if !silent && heard.elapsed() >= DEAD {
            silent = true;
            tell(&Event::Lost);
        }
    }
}
