//! Questions to the kernel over rtnetlink.
//!
//! Every question has the action's deadline, is traced, and brings the kernel's own words when it refuses. A dump that the
//! kernel marks as inconsistent is asked for again: half a dump must not look like an absence.

#![forbid(unsafe_code)]

use std::fmt;
use std::io;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{BoxStream, Stream};
use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage,
    NetlinkPayload, NetlinkSerializable,
};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::sys::AsyncSocket;
use rtnetlink::{Handle, MulticastGroup};

use super::dump::{self, Gathered};
use super::exact::Exact;
use super::executor::Executor;
use super::refusal::{Refusal, make_strict};
use crate::deadline::Deadline;
use crate::{trace_answer, trace_ask};

/// Pause before an inconsistent dump is asked for again.
const DUMP_PAUSE: Duration = Duration::from_millis(2);

/// A socket to the kernel's routing subsystem.
pub struct Netlink {
    executor: Executor,
    handle: Handle,
}

impl fmt::Debug for Netlink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Netlink")
    }
}

impl Netlink {
    /// Opens a socket in the network namespace of the calling thread.
    ///
    /// # Errors
    /// The kernel has none to give.
    pub fn open() -> io::Result<Self> {
        let executor = Executor::new()?;
        let (mut connection, handle, _) = executor.make(rtnetlink::new_connection)?;
        let socket = connection.socket_mut().socket_mut();
        make_strict(socket);
        // An answer has ended only when the kernel says so; a closed socket ends it too.
        connection.set_forward_done(true);
        connection.set_forward_ack(true);
        executor.spawn(connection);
        Ok(Self { executor, handle })
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
    pub fn dump<M: NetlinkSerializable + NetlinkDeserializable>(
        &self,
        what: &str,
        question: M,
        wanted: &dyn Fn(&[u8]) -> bool,
        deadline: &Deadline,
    ) -> Result<Vec<M>, Refusal> {
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

    /// Asks for a change with a message that is no type of rtnetlink.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn change_exactly(
        &self,
        what: &str,
        question: Exact,
        flags: u16,
        deadline: &Deadline,
    ) -> Result<(), Refusal> {
        trace_ask!("{what}");
        let question = finished(question, NLM_F_REQUEST | NLM_F_ACK | flags);
        let answered = dump::read(&question, &|_| true, deadline);
        traced(what, answered.and_then(|answer| answer.ok_or_else(|| late(what, deadline))))
            .map(drop)
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
        let answered = self.executor.wait(left, collect(answers));
        let answered = answered.unwrap_or_else(|| Err(late(what, deadline)));
        traced(what, answered)
    }
}

fn finished<M: NetlinkSerializable>(question: M, flags: u16) -> NetlinkMessage<M> {
    let mut header = NetlinkHeader::default();
    header.flags = flags;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(question));
    message.finalize();
    message
}

fn late(what: &str, deadline: &Deadline) -> Refusal {
    Refusal::Late(deadline.missed(&format!("the kernel to {what}")))
}

fn traced<M>(what: &str, answered: Result<Vec<M>, Refusal>) -> Result<Vec<M>, Refusal> {
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

/// The kernel's news, for whoever waits for a state instead of asking for it again and again.
pub struct News {
    executor: Executor,
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
        let executor = Executor::new()?;
        let groups = [MulticastGroup::Link, MulticastGroup::Ipv6Ifaddr, MulticastGroup::Ipv4Ifaddr];
        let (connection, _, messages) =
            executor.make(|| rtnetlink::new_multicast_connection(&groups))?;
        executor.spawn(connection);
        Ok(Self { executor, messages: messages.map(|_| ()).boxed() })
    }

    /// Sleeps until something changed, or for `at_most`.
    pub fn wait(&mut self, at_most: Duration) {
        let _ = self.executor.wait(at_most, self.messages.next());
    }
}
