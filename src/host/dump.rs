//! Tables of the kernel, looked at while they are read.
//!
//! A host may have 20,000 addresses, of which one is asked for. Through a connection of rtnetlink each of them would
//! be decoded and kept until the last has come, which takes longer than the kernel needs to tell of them. Here a
//! message that cannot be wanted is passed over where it lies in the buffer.

#![forbid(unsafe_code)]

use std::io;

use nix::errno::Errno;
use rtnetlink::packet_core::{
    NLM_F_DUMP_INTR, NetlinkBuffer, NetlinkDeserializable, NetlinkHeader, NetlinkMessage,
    NetlinkPayload, NetlinkSerializable,
};
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::raw::receive;
use super::refusal::{Refusal, make_strict};
use crate::deadline::Deadline;

/// More than the kernel puts into one datagram of a dump.
const DATAGRAM: usize = 65536;

/// Message types below this one are netlink's own (`NLMSG_MIN_TYPE`).
const FIRST_OBJECT: u16 = 16;

/// Asks once for all objects that match `question`, or for a change that the kernel acknowledges. An object without
/// what `wanted` looks for in its bytes is left out.
///
/// # Errors
/// The kernel's refusal, or a table that changed meanwhile; none if the deadline passes.
pub(super) fn read<M: NetlinkSerializable + NetlinkDeserializable>(
    question: &NetlinkMessage<M>,
    wanted: &dyn Fn(&[u8]) -> bool,
    deadline: &Deadline,
) -> Result<Option<Vec<M>>, Refusal> {
    // A socket of its own: nothing of a dump that was given up can be taken for a part of the next one.
    let socket = ask(question).map_err(|error| Refusal::Broken(error.to_string()))?;
    let mut gathered = Gathered::default();
    let mut datagram = Vec::with_capacity(DATAGRAM);
    while !gathered.ended {
        datagram.clear();
        if !receive(&socket, &mut datagram, deadline)? {
            return Ok(None);
        }
        gathered.take_all(&datagram, wanted)?;
    }
    gathered.finish().map(Some)
}

fn ask<M: NetlinkSerializable>(question: &NetlinkMessage<M>) -> io::Result<Socket> {
    let socket = Socket::new(NETLINK_ROUTE)?;
    make_strict(&socket);
    let mut bytes = vec![0; question.buffer_len()];
    question.serialize(&mut bytes);
    socket.send_to(&bytes, &SocketAddr::new(0, 0), 0)?;
    Ok(socket)
}

/// What came of an answer so far.
#[derive(Debug)]
pub(super) struct Gathered<M> {
    objects: Vec<M>,
    inconsistent: bool,
    ended: bool,
}

impl<M> Default for Gathered<M> {
    fn default() -> Self {
        Self { objects: Vec::new(), inconsistent: false, ended: false }
    }
}

impl<M: NetlinkDeserializable> Gathered<M> {
    fn take_all(&mut self, datagram: &[u8], wanted: &dyn Fn(&[u8]) -> bool) -> Result<(), Refusal> {
        let mut rest = datagram;
        while let Ok(message) = NetlinkBuffer::new_checked(rest) {
            let length = message.length() as usize;
            if message.message_type() < FIRST_OBJECT || wanted(message.payload()) {
                // As in a connection, an object that cannot be understood is passed over.
                if let Ok(message) = NetlinkMessage::deserialize(&rest[..length]) {
                    self.take(message)?;
                }
            } else {
                self.inconsistent |= message.flags() & NLM_F_DUMP_INTR != 0;
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(())
    }

    /// Takes one message.
    ///
    /// # Errors
    /// It is a refusal.
    pub fn take(&mut self, answer: NetlinkMessage<M>) -> Result<(), Refusal> {
        let NetlinkHeader { flags, .. } = answer.header;
        self.inconsistent |= flags & NLM_F_DUMP_INTR != 0;
        match answer.payload {
            NetlinkPayload::InnerMessage(object) => self.objects.push(object),
            NetlinkPayload::Error(error) => match error.code {
                None => self.ended = true,
                Some(_) => return Err(Refusal::of(&error, flags)),
            },
            // A dump that breaks off says so at its end.
            NetlinkPayload::Done(done) if done.code < 0 => {
                let errno = Errno::from_raw(-done.code);
                return Err(Refusal::Kernel { errno, explanation: None });
            }
            NetlinkPayload::Done(_) => self.ended = true,
            NetlinkPayload::Overrun(_) => return Err(Refusal::Inconsistent),
            _ => {}
        }
        Ok(())
    }

    /// All objects, if there is nothing more to come.
    ///
    /// # Errors
    /// The answer is not whole.
    pub fn finish(self) -> Result<Vec<M>, Refusal> {
        match (self.ended, self.inconsistent) {
            (true, false) => Ok(self.objects),
            (true, true) => Err(Refusal::Inconsistent),
            (false, _) => {
                Err(Refusal::Broken("the netlink socket ended before the answer did".to_owned()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rtnetlink::packet_route::RouteNetlinkMessage;

    use super::*;

    /// A message of netlink's own, or of the routing subsystem, as it stands in a datagram.
    fn message(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(16 + payload.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    const ERROR: u16 = 2;
    const DONE: u16 = 3;
    const NEW_ADDRESS: u16 = 20;
    /// An IPv4 address without attributes.
    const ADDRESS: [u8; 8] = [2, 24, 0, 0, 1, 0, 0, 0];

    fn read_all(datagram: &[u8]) -> Result<usize, Refusal> {
        let mut gathered = Gathered::<RouteNetlinkMessage>::default();
        gathered.take_all(datagram, &|_| true)?;
        gathered.finish().map(|objects| objects.len())
    }

    #[test]
    fn only_a_whole_and_consistent_dump_is_an_answer() {
        let address = message(NEW_ADDRESS, 0, &ADDRESS);
        let torn = message(NEW_ADDRESS, NLM_F_DUMP_INTR, &ADDRESS);
        let done = message(DONE, 0, &0_i32.to_ne_bytes());
        assert_eq!(read_all(&[&address[..], &address, &done].concat()), Ok(2));
        assert_eq!(read_all(&[&address[..], &torn, &done].concat()), Err(Refusal::Inconsistent));
        assert!(matches!(read_all(&address), Err(Refusal::Broken(_))), "it does not end");
    }

    /// A dump that the kernel breaks off carries the error in its last message (`NLMSG_DONE`).
    #[test]
    fn a_dump_that_breaks_off_is_a_refusal() {
        let address = message(NEW_ADDRESS, 0, &ADDRESS);
        for kind in [DONE, ERROR] {
            let mut payload = (-libc::EMSGSIZE).to_ne_bytes().to_vec();
            payload.extend([0; 16]);
            let broken = [&address[..], &message(kind, 0, &payload)].concat();
            let refused = read_all(&broken).unwrap_err();
            assert_eq!(refused.errno(), Some(Errno::EMSGSIZE), "{kind}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_all(&bytes);
        }
    }
}
