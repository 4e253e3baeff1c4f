//! Questions to the kernel over rtnetlink: the only file that knows an async runtime.
//!
//! Every question has the action's deadline, is traced, and brings the kernel's own explanation of a refusal
//! (extended acknowledgement, Documentation/userspace-api/netlink/intro.rst) when it gives one. A dump that the
//! kernel marks as inconsistent is asked for again: half a dump must not look like an absence.

#![forbid(unsafe_code)]

use std::fmt;
use std::io;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{BoxStream, Stream};
use nix::errno::Errno;
use rtnetlink::packet_core::{
    ErrorMessage, NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader,
    NetlinkMessage, NetlinkPayload,
};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::sys::{AsyncSocket, Socket};
use rtnetlink::{Handle, MulticastGroup};
use tokio::runtime::Runtime;

use super::dump::{self, Gathered};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::{trace_answer, trace_ask};

/// Pause before an inconsistent dump is asked for again.
const DUMP_PAUSE: Duration = Duration::from_millis(2);

/// Why the kernel did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It said no.
    Kernel {
        /// The error number.
        errno: Errno,
        /// The kernel's own words, if it had any.
        explanation: Option<String>,
    },
    /// It did not answer until the deadline.
    Late(Error),
    /// The table changed faster than it could be read.
    Inconsistent,
    /// There is no netlink socket, or its answer is none.
    Broken(String),
}

impl Refusal {
    /// The kernel's error number.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Kernel { errno, .. } => Some(*errno),
            _ => None,
        }
    }

    /// The error of an action that was doing `what`.
    #[must_use]
    pub fn doing(self, what: &str) -> Error {
        match self {
            Self::Late(error) => error,
            Self::Kernel { errno: Errno::EPERM, .. } => Error::NotPermitted(format!(
                "cannot {what}: {self}; run it as root, with CAP_NET_ADMIN"
            )),
            // Not a missing privilege, but a setting of this host, such as IPv6 being off.
            Self::Kernel { errno: Errno::EACCES, .. } => {
                Error::Local(format!("cannot {what}: {self}"))
            }
            _ => Error::Failed(format!("cannot {what}: {self}")),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel { errno, explanation: None } => f.write_str(errno.desc()),
            Self::Kernel { errno, explanation: Some(words) } => {
                write!(f, "{} ({words})", errno.desc())
            }
            Self::Late(error) => error.fmt(f),
            Self::Inconsistent => {
                f.write_str("the kernel's table changed while it was read, again and again")
            }
            Self::Broken(why) => f.write_str(why),
        }
    }
}

/// A socket to the kernel's routing subsystem.
pub struct Netlink {
    runtime: Runtime,
    handle: Handle,
}

impl fmt::Debug for Netlink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Netlink")
    }
}

fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()
}

/// Makes the kernel filter what it is asked to filter, and explain what it refuses.
pub(super) fn make_strict(socket: &Socket) {
    // Kernels before 4.12, 4.3 and 4.20 do not know these; they then filter less, or explain less.
    let _ = socket.set_ext_ack(true);
    let _ = socket.set_cap_ack(true);
    let _ = socket.set_netlink_get_strict_chk(true);
}

impl Netlink {
    /// Opens a socket in the network namespace of the calling thread.
    ///
    /// # Errors
    /// The kernel has none to give.
    pub fn open() -> io::Result<Self> {
        let runtime = runtime()?;
        let handle = {
            let _entered = runtime.enter();
            let (mut connection, handle, _) = rtnetlink::new_connection()?;
            let socket = connection.socket_mut().socket_mut();
            make_strict(socket);
            // An answer has ended only when the kernel says so; a closed socket ends it too.
            connection.set_forward_done(true);
            connection.set_forward_ack(true);
            runtime.spawn(connection);
            handle
        };
        Ok(Self { runtime, handle })
    }

    /// Asks for one object; `None` if the kernel acknowledged and sent nothing.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn get(
        &self,
        what: &str,
        question: RouteNetlinkMessage,
        deadline: &Deadline,
    ) -> Result<Option<RouteNetlinkMessage>, Refusal> {
        self.exchange(what, question, NLM_F_REQUEST | NLM_F_ACK, deadline)
            .map(|mut found| found.pop())
    }

    /// Asks for all objects that match and in whose bytes `wanted` finds what it looks for.
    ///
    /// # Errors
    /// The kernel's refusal, or a table that does not hold still.
    pub fn dump(
        &self,
        what: &str,
        question: RouteNetlinkMessage,
        wanted: &dyn Fn(&[u8]) -> bool,
        deadline: &Deadline,
    ) -> Result<Vec<RouteNetlinkMessage>, Refusal> {
        trace_ask!("{what}");
        let question = finished(question, NLM_F_REQUEST | NLM_F_DUMP);
        let answered = loop {
            match dump::read(&question, wanted, deadline) {
                Err(Refusal::Inconsistent) if deadline.left() > DUMP_PAUSE => {
                    std::thread::sleep(DUMP_PAUSE);
                }
                Ok(objects) => break objects.ok_or_else(|| late(what, deadline)),
                Err(refusal) => break Err(refusal),
            }
        };
        traced(what, answered)
    }

    /// Asks for a change.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn change(
        &self,
        what: &str,
        question: RouteNetlinkMessage,
        flags: u16,
        deadline: &Deadline,
    ) -> Result<(), Refusal> {
        self.exchange(what, question, NLM_F_REQUEST | NLM_F_ACK | flags, deadline).map(drop)
    }

    fn exchange(
        &self,
        what: &str,
        question: RouteNetlinkMessage,
        flags: u16,
        deadline: &Deadline,
    ) -> Result<Vec<RouteNetlinkMessage>, Refusal> {
        trace_ask!("{what}");
        let left = deadline.left_with_reserve();
        if left.is_zero() {
            return Err(late(what, deadline));
        }
        let answers =
            self.handle.clone().request(finished(question, flags)).map_err(|error| {
                Refusal::Broken(format!("the netlink socket is closed: {error}"))
            })?;
        let answered = self.runtime.block_on(async {
            match tokio::time::timeout(left, collect(answers)).await {
                Ok(result) => result,
                Err(_) => Err(late(what, deadline)),
            }
        });
        traced(what, answered)
    }
}

fn finished(question: RouteNetlinkMessage, flags: u16) -> NetlinkMessage<RouteNetlinkMessage> {
    let mut header = NetlinkHeader::default();
    header.flags = flags;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(question));
    message.finalize();
    message
}

fn late(what: &str, deadline: &Deadline) -> Refusal {
    Refusal::Late(deadline.missed(&format!("the kernel to {what}")))
}

fn traced(
    what: &str,
    answered: Result<Vec<RouteNetlinkMessage>, Refusal>,
) -> Result<Vec<RouteNetlinkMessage>, Refusal> {
    match &answered {
        Ok(objects) => trace_answer!("{what}: {} object(s)", objects.len()),
        Err(refusal) => trace_answer!("{what}: {refusal}"),
    }
    answered
}

async fn collect(
    answers: impl Stream<Item = NetlinkMessage<RouteNetlinkMessage>>,
) -> Result<Vec<RouteNetlinkMessage>, Refusal> {
    let mut gathered = Gathered::default();
    futures_util::pin_mut!(answers);
    while let Some(answer) = answers.next().await {
        gathered.take(answer)?;
    }
    gathered.finish()
}

pub(super) fn refusal(error: &ErrorMessage, flags: u16) -> Refusal {
    let explanation = if flags & NLM_F_ACK_TLVS == 0 { None } else { explanation(&error.header) };
    Refusal::Kernel { errno: Errno::from_raw(error.raw_code().abs()), explanation }
}

/// `NLMSGERR_ATTR_MSG` behind the header of the question, which `NETLINK_CAP_ACK` cut to 16 bytes.
fn explanation(after_code: &[u8]) -> Option<String> {
    const HEADER: usize = 16;
    const TEXT: u16 = 1;
    let mut rest = after_code.get(HEADER..)?;
    while rest.len() >= 4 {
        let length = usize::from(u16::from_ne_bytes([rest[0], rest[1]]));
        let kind = u16::from_ne_bytes([rest[2], rest[3]]) & 0x3fff;
        let value = rest.get(4..length)?;
        if kind == TEXT {
            let words: Vec<u8> = value.iter().copied().take_while(|byte| *byte != 0).collect();
            return Some(String::from_utf8_lossy(&words).trim_end_matches('.').to_owned());
        }
        rest = rest.get(length.next_multiple_of(4)..)?;
    }
    None
}

/// The kernel's news, for whoever waits for a state instead of asking for it again and again.
pub struct News {
    runtime: Runtime,
    messages: BoxStream<'static, ()>,
}

impl fmt::Debug for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("News")
    }
}

impl News {
    /// Listens to changes of links and IPv6 addresses, from now on.
    ///
    /// # Errors
    /// The kernel has no socket to give.
    pub fn of_links_and_addresses() -> io::Result<Self> {
        let runtime = runtime()?;
        let messages = {
            let _entered = runtime.enter();
            let groups =
                [MulticastGroup::Link, MulticastGroup::Ipv6Ifaddr, MulticastGroup::Ipv4Ifaddr];
            let (connection, _, messages) = rtnetlink::new_multicast_connection(&groups)?;
            runtime.spawn(connection);
            messages.map(|_| ()).boxed()
        };
        Ok(Self { runtime, messages })
    }

    /// Sleeps until something changed, or for `at_most`.
    pub fn wait(&mut self, at_most: Duration) {
        let messages = &mut self.messages;
        self.runtime.block_on(async {
            let _ = tokio::time::timeout(at_most, messages.next()).await;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_found_behind_the_header() {
        let mut bytes = vec![0; 16];
        bytes.extend([8, 0, 2, 0, 9, 9, 9, 9]);
        bytes.extend([10, 0, 1, 0]);
        bytes.extend(b"No.\0\0\0\0\0");
        assert_eq!(explanation(&bytes).as_deref(), Some("No"));
        for length in 0..bytes.len() {
            let _ = explanation(&bytes[..length]);
        }
    }
}
