//! Addresses of host names, from /etc/hosts and DNS.

#![forbid(unsafe_code)]

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::nss;
use crate::{trace_answer, trace_ask};

/// A name that is being looked up.
///
/// The C library waits as long as /etc/resolv.conf tells it to, and cannot be interrupted. So a thread waits for it, and is
/// left alone when its answer is too late; it ends with the process.
#[derive(Debug)]
pub struct Lookup {
    name: String,
    answer: Receiver<io::Result<Vec<SocketAddr>>>,
}

impl Lookup {
    /// Begins to look up `name`, for connections to `port`.
    ///
    /// # Errors
    /// There can be no new thread.
    pub fn begin(name: &str, port: u16) -> io::Result<Self> {
        nss::only_what_is_built_in();
        trace_ask!("look up {name}");
        let (tell, answer) = channel();
        let wanted = name.to_owned();
        std::thread::Builder::new().name("lookup".to_owned()).spawn(move || {
            let found = (wanted.as_str(), port).to_socket_addrs().map(Iterator::collect);
            // Nobody waits any more: then nobody needs it.
            let _ = tell.send(found);
        })?;
        Ok(Self { name: name.to_owned(), answer })
    }

    /// The addresses, each once, in the order in which the host prefers them.
    ///
    /// # Errors
    /// There are none, or not within `patience`: the text says why.
    pub fn finish(self, patience: Duration) -> Result<Vec<SocketAddr>, String> {
        let found = match self.answer.recv_timeout(patience) {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                return Err(format!("its name cannot be looked up: {}", cause(&error)));
            }
            Err(_) => {
                return Err("its name could not be looked up in time; give its address".to_owned());
            }
        };
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for address in found {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        trace_answer!("{} has the addresses {addresses:?}", self.name);
        Ok(addresses)
    }
}

/// The C library's words, without what the standard library puts before them.
fn cause(error: &io::Error) -> String {
    let text = crate::error::cause(error);
    text.trim_start_matches("failed to lookup address information: ").to_owned()
}
