//! The client: asks the address again and again who answers, and listens to what the network says of it.

#![forbid(unsafe_code)]

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;
use std::time::Duration;

use super::event::{Event, Moment, Totals, tell};
use super::{ADDRESS, CLIENT, NODE1, PORT, namespace, network};
use crate::error::{Doing, Result};
use crate::host::arp::{self, Mac};
use crate::host::packet::PacketSocket;

/// Pause between two requests.
const PAUSE: Duration = Duration::from_millis(2);
/// An answer that takes longer does not count, and a new connection is tried.
const LATEST: Duration = Duration::from_millis(5);

/// Lives until the manager has the totals.
///
/// # Errors
/// The client cannot be set up.
pub(super) fn run() -> Result<()> {
    namespace::leave_host()?;
    tell(&Event::Ready);
    let (sender, orders) = channel();
    thread::spawn(move || {
        for order in io::stdin().lock().lines().map_while(io::Result::ok) {
            if sender.send(order).is_err() {
                return;
            }
        }
    });
    let mut tally = Tally::default();
    let mut asking = false;
    while let Some(order) = next(&orders, asking) {
        match order.as_str() {
            "plugged" => {
                let card = network::set_up_card(CLIENT)?;
                let socket = PacketSocket::bind(card, arp::ETHERTYPE)
                    .doing(|| "listen to the network's ARP packets")?;
                thread::spawn(move || listen(&socket));
                tell(&Event::Ready);
            }
            "ask" => asking = true,
            "neighbour" => tell(&Event::Neighbour(neighbour()?)),
            "end" => break,
            _ => tally.count(ask().ok()),
        }
    }
    tell(&Event::Totals(tally.totals));
    Ok(())
}

/// The manager's next order; an empty one when it is time for a request; none if there is no manager any more.
fn next(orders: &Receiver<String>, asking: bool) -> Option<String> {
    if !asking {
        return orders.recv().ok();
    }
    thread::sleep(PAUSE);
    match orders.try_recv() {
        Ok(order) => Some(order),
        Err(TryRecvError::Empty) => Some(String::new()),
        Err(TryRecvError::Disconnected) => None,
    }
}

/// One connection, one request, one answer: the name of the node.
fn ask() -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((ADDRESS, PORT)), LATEST)?;
    stream.set_read_timeout(Some(LATEST))?;
    stream.write_all(b"?")?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    match answer.strip_suffix('\n') {
        Some(name) => Ok(name.to_owned()),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[derive(Debug, Default)]
struct Tally {
    totals: Totals,
    last: Option<(String, Moment)>,
}

impl Tally {
    /// Tells when another node answers than the last time.
    fn count(&mut self, answer: Option<String>) {
        let Some(node) = answer else {
            self.totals.unanswered += 1;
            return;
        };
        *(if node == NODE1.name { &mut self.totals.node1 } else { &mut self.totals.node2 }) += 1;
        let before = self.last.take();
        if before.as_ref().is_none_or(|(last, _)| *last != node) {
            tell(&Event::Answered(node.clone(), before.map(|(_, moment)| moment)));
        }
        self.last = Some((node, Moment::now()));
    }
}

/// Tells whenever the address is announced at another hardware address than before.
fn listen(socket: &PacketSocket) {
    let mut last: Option<Mac> = None;
    let mut buffer = [0; 128];
    while let Ok(received) = socket.receive(&mut buffer, Duration::from_secs(1)) {
        let frame = received.and_then(|length| buffer.get(..length)).unwrap_or_default();
        let Some(mac) = arp::announced(frame, ADDRESS) else { continue };
        if last.replace(mac) != Some(mac) {
            tell(&Event::Heard(arp::text(&mac)));
        }
    }
}

/// The hardware address that the kernel sends to, from the table that every `arp` command reads.
fn neighbour() -> Result<String> {
    let table = std::fs::read_to_string("/proc/net/arp").doing(|| "read the neighbour cache")?;
    let ip = ADDRESS.to_string();
    let row = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mac = row.filter(|row| row.first() == Some(&&*ip)).find_map(|row| row.get(3).copied());
    Ok(mac.unwrap_or("none").to_owned())
}
