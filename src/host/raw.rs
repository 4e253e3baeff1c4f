//! Netlink without rtnetlink: messages as bytes, for the parts of the kernel that it does not speak to.

#![forbid(unsafe_code)]

use std::io;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::MsgFlags;
use rtnetlink::packet_core::{
    ErrorBuffer, ErrorMessage, NLM_F_DUMP_INTR, NetlinkBuffer, Parseable,
};
use rtnetlink::sys::{Socket, SocketAddr};

use super::refusal::{Refusal, make_strict};
use crate::deadline::Deadline;

/// More than the kernel puts into one datagram of a dump.
const DATAGRAM: usize = 65536;
/// Types of netlink's own messages (linux/netlink.h).
const ERROR: u16 = 2;
const DONE: u16 = 3;
const OVERRUN: u16 = 4;
/// Message types below this one are netlink's own (`NLMSG_MIN_TYPE`).
const FIRST_OBJECT: u16 = 16;
/// The bits of an attribute's type that are flags (`NLA_TYPE_MASK`).
const NESTED: u16 = 0x8000;
const TYPE_MASK: u16 = 0x3fff;

/// A whole message: a header, a structure of the subsystem, attributes.
pub(super) fn message(kind: u16, flags: u16, fixed: &[u8], attributes: &Attributes) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    // Neither a number nor a sender: each question has a socket of its own, or the answer before it was read.
    bytes.extend([0; 8]);
    bytes.extend(fixed);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.extend(&attributes.0);
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    bytes[..4].copy_from_slice(&length.to_ne_bytes());
    bytes
}

/// A list of attributes that grows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes(Vec<u8>);

impl Attributes {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more.
    #[must_use]
    pub fn with(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// With one more, which is a text that ends in a NUL.
    #[must_use]
    pub fn with_text(self, kind: u16, text: &str) -> Self {
        self.with(kind, &[text.as_bytes(), &[0]].concat())
    }

    /// With one more, which is a number in network order.
    #[must_use]
    pub fn with_number(self, kind: u16, number: u32) -> Self {
        self.with(kind, &number.to_be_bytes())
    }

    /// With one more, which is a list of attributes.
    #[must_use]
    pub fn nested(self, kind: u16, inner: &Self) -> Self {
        self.with(kind | NESTED, &inner.0)
    }
}

/// The attributes in `bytes`; ends where they make no sense any more.
pub(super) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(rest.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(rest.get(2..4)?.try_into().ok()?) & TYPE_MASK;
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The value of the first attribute of that kind.
pub(super) fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

/// A socket to one part of the kernel.
pub(super) struct Channel {
    socket: Socket,
    deadline: Deadline,
}

impl Channel {
    /// Opens one in the network namespace of the calling thread.
    ///
    /// # Errors
    /// The kernel has no such part, or no socket to give.
    pub fn open(protocol: isize, deadline: Deadline) -> io::Result<Self> {
        let socket = Socket::new(protocol)?;
        make_strict(&socket);
        Ok(Self { socket, deadline })
    }

    /// Asks, and hands each object of the answer to `take`, until the answer ends or is acknowledged.
    ///
    /// # Errors
    /// The kernel's refusal, or half an answer.
    pub fn ask(
        &self,
        what: &str,
        question: &[u8],
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Refusal> {
        let sent = self.socket.send_to(question, &SocketAddr::new(0, 0), 0);
        sent.map_err(|error| broken(&error))?;
        let answered = self.read(what, take);
        if answered.is_err() {
            // Each command of a batch can be refused, and what is left unread would be taken for the next answer.
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
            while self.socket.recv(&mut Vec::new(), flags.bits()).is_ok() {}
        }
        answered
    }

    fn read(&self, what: &str, take: &mut dyn FnMut(&[u8])) -> Result<(), Refusal> {
        let mut datagram = Vec::with_capacity(DATAGRAM);
        let mut answer = Answer::default();
        while !answer.ended {
            datagram.clear();
            if !receive(&self.socket, &mut datagram, &self.deadline)? {
                return Err(Refusal::Late(self.deadline.missed(&format!("the kernel to {what}"))));
            }
            answer.read(&datagram, take)?;
        }
        if answer.torn { Err(Refusal::Inconsistent) } else { Ok(()) }
    }
}

/// Fills `datagram` with the next one; false if the deadline passed before it came.
///
/// # Errors
/// The socket is of no use any more, or lost something.
pub(super) fn receive(
    socket: &Socket,
    datagram: &mut Vec<u8>,
    deadline: &Deadline,
) -> Result<bool, Refusal> {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
    loop {
        match socket.recv(datagram, flags.bits()) {
            Ok(length) if length > datagram.len() => {
                return Err(Refusal::Broken("an answer of the kernel is too long".to_owned()));
            }
            Ok(_) => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if !answers(socket, deadline) {
                    return Ok(false);
                }
            }
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                return Err(Refusal::Inconsistent);
            }
            Err(error) => return Err(broken(&error)),
        }
    }
}

/// Waits for the kernel; whether it has something before the deadline.
fn answers(socket: &Socket, deadline: &Deadline) -> bool {
    let left = deadline.left_with_reserve().as_millis();
    let left = u16::try_from(left).unwrap_or(u16::MAX);
    let mut waited = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    left > 0 && !matches!(poll(&mut waited, PollTimeout::from(left)), Ok(0))
}

fn broken(error: &io::Error) -> Refusal {
    Refusal::Broken(crate::error::cause(error))
}

/// How far an answer is.
#[derive(Debug, Default)]
struct Answer {
    ended: bool,
    torn: bool,
}

impl Answer {
    fn read(&mut self, datagram: &[u8], take: &mut dyn FnMut(&[u8])) -> Result<(), Refusal> {
        let mut rest = datagram;
        while let Ok(message) = NetlinkBuffer::new_checked(rest) {
            let flags = message.flags();
            self.torn |= flags & NLM_F_DUMP_INTR != 0;
            match message.message_type() {
                ERROR => self.acknowledge(message.payload(), flags)?,
                DONE => self.finish(message.payload())?,
                OVERRUN => return Err(Refusal::Inconsistent),
                kind if kind >= FIRST_OBJECT => take(message.payload()),
                _ => {}
            }
            rest = rest.get((message.length() as usize).next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(())
    }

    fn acknowledge(&mut self, payload: &[u8], flags: u16) -> Result<(), Refusal> {
        let parsed = ErrorBuffer::new_checked(&payload)
            .and_then(|buffer| ErrorMessage::parse(&buffer))
            .map_err(|error| Refusal::Broken(error.to_string()))?;
        self.ended = true;
        if parsed.code.is_none() { Ok(()) } else { Err(Refusal::of(&parsed, flags)) }
    }

    /// A dump that breaks off says so at its end.
    fn finish(&mut self, payload: &[u8]) -> Result<(), Refusal> {
        self.ended = true;
        let code = payload.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code));
        if code >= 0 {
            return Ok(());
        }
        let errno = Errno::from_raw(code.checked_neg().unwrap_or(0));
        Err(Refusal::Kernel { errno, explanation: None })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_REQUEST};
    use rtnetlink::sys::protocols::NETLINK_ROUTE;

    use super::*;

    #[test]
    fn attributes_are_written_as_netlink_lays_them_out() {
        let inner = Attributes::new().with_number(1, 2).with(2, &[9]);
        let attributes = Attributes::new().with_text(1, "ab").nested(4, &inner);
        let message = message(0x0a00, 5, &[1, 0, 0, 0], &attributes);
        let mut expected = 48_u32.to_ne_bytes().to_vec();
        expected.extend([0x0a00_u16.to_ne_bytes(), 5_u16.to_ne_bytes()].concat());
        expected.extend([0; 8]);
        expected.extend([1, 0, 0, 0]);
        expected.extend([7_u16.to_ne_bytes(), 1_u16.to_ne_bytes()].concat());
        expected.extend(b"ab\0\0");
        expected.extend([20_u16.to_ne_bytes(), 0x8004_u16.to_ne_bytes()].concat());
        expected.extend([8_u16.to_ne_bytes(), 1_u16.to_ne_bytes()].concat());
        expected.extend([0, 0, 0, 2]);
        expected.extend([5_u16.to_ne_bytes(), 2_u16.to_ne_bytes()].concat());
        expected.extend([9, 0, 0, 0]);
        assert_eq!(message, expected);
    }

    fn plain(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
        message(kind, flags, payload, &Attributes::new())
    }

    fn read(datagram: &[u8]) -> (Result<(), Refusal>, Answer, usize) {
        let (mut answer, mut objects) = (Answer::default(), 0);
        let outcome = answer.read(datagram, &mut |_| objects += 1);
        (outcome, answer, objects)
    }

    #[test]
    fn an_answer_ends_with_done_an_acknowledgement_or_a_refusal() {
        let object = plain(20, 0, &[0; 8]);
        let (outcome, answer, objects) = read(&[&object[..], &object].concat());
        assert_eq!((outcome, answer.ended, objects), (Ok(()), false, 2));
        let (outcome, answer, _) = read(&plain(DONE, NLM_F_DUMP_INTR, &[0; 4]));
        assert_eq!((outcome, answer.ended, answer.torn), (Ok(()), true, true));
        let (outcome, answer, _) = read(&plain(ERROR, 0, &[0; 20]));
        assert_eq!((outcome, answer.ended), (Ok(()), true));
        for kind in [DONE, ERROR] {
            let mut payload = (-libc::EPERM).to_ne_bytes().to_vec();
            payload.extend([0; 16]);
            let refused = read(&plain(kind, 0, &payload)).0.unwrap_err();
            assert_eq!(refused.errno(), Some(Errno::EPERM));
        }
    }

    /// Two questions at once of which each is refused: what was not read of that answer is no part of the next one.
    #[test]
    fn what_is_left_of_a_refused_batch_is_not_the_next_answer() {
        const GET_LINK: u16 = 18;
        // `struct ifinfomsg` of one interface.
        let question = |index: i32| {
            let fixed = [&[0; 4][..], &index.to_ne_bytes(), &[0; 8]].concat();
            message(GET_LINK, NLM_F_REQUEST | NLM_F_ACK, &fixed, &Attributes::new())
        };
        let deadline = Deadline::after(std::time::Duration::from_secs(10));
        let channel = Channel::open(NETLINK_ROUTE, deadline).unwrap();
        let nowhere = question(i32::MAX);
        for _ in 0..3 {
            let batch = [&nowhere[..], &nowhere, &nowhere].concat();
            let refused = channel.ask("test", &batch, &mut |_| {}).unwrap_err();
            assert_eq!(refused.errno(), Some(Errno::ENODEV));
            let mut found = 0;
            channel.ask("test", &question(1), &mut |_| found += 1).unwrap();
            assert_eq!(found, 1);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
            let _ = attributes(&bytes).count();
        }

        #[test]
        fn attributes_that_are_written_are_read(values in proptest::collection::vec(
            (1u16..0x3fff, proptest::collection::vec(any::<u8>(), 0..40)), 0..8,
        )) {
            let all = values.iter().fold(Attributes::new(), |all, (k, v)| all.with(*k, v));
            let read: Vec<_> = attributes(&all.0).map(|(k, v)| (k, v.to_vec())).collect();
            prop_assert_eq!(read, values);
        }
    }
}
