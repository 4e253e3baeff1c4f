//! A node of the cluster: a service on every address it has, a heartbeat, and the agent when the manager orders it.

#![forbid(unsafe_code)]

use std::io::{self, BufRead, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use super::event::{Event, tell};
use super::{Host, PORT, executor, heartbeat, namespace, network};
use crate::error::{Doing, Error, Result};

/// Lives as `own` until the manager is gone.
///
/// # Errors
/// The node cannot be set up, or the agent not be started.
pub(super) fn run(own: Host, peer: Host) -> Result<()> {
    namespace::leave_host()?;
    nix::unistd::sethostname(own.name).doing(|| "set the host name")?;
    tell(&Event::Ready);
    for order in io::stdin().lock().lines() {
        match order.doing(|| "read the manager's orders")?.as_str() {
            "plugged" => {
                network::set_up_card(own)?;
                serve()?;
                tell(&Event::Ready);
            }
            "linked" => heartbeat::begin(own, peer).doing(|| "send heartbeats")?,
            action => tell(&Event::Ended(executor::call(own, action)?)),
        }
    }
    Ok(())
}

/// Answers everybody with this node's name.
fn serve() -> Result<()> {
    let name = nix::unistd::gethostname().doing(|| "read the host name")?;
    let name =
        name.into_string().map_err(|_| Error::Failed("the host name is no text".to_owned()))?;
    let listener =
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).doing(|| "listen for the client")?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that gives up asks again.
            let _ = answer(stream, &name);
        }
    });
    Ok(())
}

fn answer(mut stream: TcpStream, name: &str) -> io::Result<()> {
    let patience = Some(Duration::from_millis(50));
    stream.set_read_timeout(patience)?;
    stream.set_write_timeout(patience)?;
    let mut question = [0; 1];
    stream.read_exact(&mut question)?;
    stream.write_all(format!("{name}\n").as_bytes())
}
