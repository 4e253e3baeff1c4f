//! Questions on a cable, and what comes back within a few milliseconds.

#![forbid(unsafe_code)]

use std::io;
use std::time::{Duration, Instant};

use super::packet::PacketSocket;

/// How to ask: when the questions go out, and when asking ends.
#[derive(Clone, Copy, Debug)]
pub struct Patience<'a> {
    /// Times of the questions, from the beginning.
    pub questions: &'a [Duration],
    /// Time of the end.
    pub end: Duration,
}

/// A host that has the address answers within a millisecond or two. RFC 5227 waits for seconds, which is more than a
/// takeover may cost; the second question is for the one frame that a busy switch drops. A later answer is heard by
/// the process that goes on announcing.
pub const PATIENCE: Patience = Patience {
    questions: &[Duration::ZERO, Duration::from_millis(8)],
    end: Duration::from_millis(20),
};

/// Frames that are read after the end: what came while this process had no CPU came in time.
const MOST_UNREAD: u32 = 10_000;

/// Sends all `questions` at each of the times, and gives each frame that comes to `judge`, until it comes to something or
/// time is over. Where this process is late with a question, whoever is asked has his time all the same.
///
/// # Errors
/// The questions could not be asked, which says nothing about who is there.
pub fn ask<T>(
    socket: &PacketSocket,
    questions: &[Vec<u8>],
    patience: &Patience<'_>,
    judge: &mut dyn FnMut(&[u8]) -> Option<T>,
) -> io::Result<Option<T>> {
    let begin = Instant::now();
    let mut times = patience.questions.iter().peekable();
    let (mut end, mut unread, mut buffer) = (patience.end, MOST_UNREAD, [0; 128]);
    loop {
        let elapsed = begin.elapsed();
        if let Some(at) = times.next_if(|at| **at <= elapsed) {
            questions.iter().try_for_each(|frame| socket.send(frame))?;
            end = patience.end + elapsed.saturating_sub(*at);
        }
        let wake = times.peek().map_or(end, |at| **at);
        let received = socket.receive(&mut buffer, wake.saturating_sub(elapsed))?;
        let frame = received.map(|length| &buffer[..length.min(buffer.len())]);
        if let Some(found) = frame.and_then(&mut *judge) {
            return Ok(Some(found));
        }
        if times.peek().is_none() && elapsed >= end {
            if received.is_none() || unread == 0 {
                return Ok(None);
            }
            unread -= 1;
        }
    }
}
