//! Any server: what it says on its own, or to what it is sent.

#![forbid(unsafe_code)]

use super::{Carrier, Protocol, Talked};
use crate::probe::outcome::{Phase, Trouble};
use crate::probe::url::Url;
use crate::probe::wire::{MOST, Wire, quoted};

/// A connection; with `send` or `match`, an answer too.
///
/// Alone, it tells that the kernel accepts connections for the server, which it also does for one that hangs: so it is
/// for servers that speak none of the other protocols.
pub const TCP: Protocol = Protocol {
    scheme: "tcp",
    port: None,
    carrier: Carrier::Tcp,
    options: &["send", "match"],
    takes_user: false,
    asks: "nothing, or what send= says",
    alive: "the connection is made; with send= or match=, there is an answer, and match= is found in it",
    failed: "match= is not found",
    check: super::no_path,
    talk,
};

/// The same over a UNIX socket.
pub const UNIX: Protocol = Protocol {
    check: |url| match url.query {
        Some(_) => Err("unix takes no query; options stand behind a #".to_owned()),
        None => Ok(()),
    },
    ..TCP.called("unix", None, Carrier::Local)
};

impl Protocol {
    /// `tls`: the handshake is an answer by itself.
    pub(super) const fn under_tls_without_port(self) -> Self {
        let alive = "TLS is agreed upon; with send= or match=, there is an answer, and match= is found in it";
        Self { alive, ..self.called("tls", None, Carrier::Tls) }
    }
}

fn talk(url: &Url, wire: &mut Wire) -> Talked {
    let options = &url.options;
    if options.send.is_none() && options.matches.is_none() {
        return Ok("the connection is made".to_owned());
    }
    wire.say(options.send.as_deref().unwrap_or_default().as_bytes())?;
    loop {
        let goes_on = wire.listen();
        let heard = wire.pending();
        match &options.matches {
            None if !heard.is_empty() => return Ok(quoted(heard)),
            Some(pattern) if pattern.is_in(heard) => return Ok(quoted(heard)),
            _ => {}
        }
        let missing =
            |pattern| format!("{pattern:?} is not in its answer, which is {}", quoted(heard));
        match (goes_on, &options.matches) {
            (Ok(true), _) => {}
            (Ok(false), Some(pattern)) if !heard.is_empty() => {
                return Err(Trouble::unexpected(missing(pattern.to_string())));
            }
            (Ok(false), _) => return Err(wire.hung_up()),
            // Servers that wait for the next question do not end their answer.
            (Err(trouble), Some(pattern)) if trouble.phase == Phase::Answer => {
                let size = if heard.len() >= MOST { " so far" } else { "" };
                return Err(Trouble::unexpected(missing(pattern.to_string()) + size));
            }
            (Err(trouble), _) => return Err(trouble),
        }
    }
}
