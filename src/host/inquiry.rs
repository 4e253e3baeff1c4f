//! Questions on a cable, and what comes back within a few milliseconds.

#![forbid(unsafe_code)]

use std::io;
use std::time::Instant;

use super::arp::Patience;
use super::packet::PacketSocket;

/// Sends all `questions` at each of the times, and gives each frame that comes to `judge`, until it comes to something or
/// time is over.
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
    let mut buffer = [0; 128];
    loop {
        let elapsed = begin.elapsed();
        if elapsed >= patience.end {
            return Ok(None);
        }
        if times.next_if(|at| **at <= elapsed).is_some() {
            questions.iter().try_for_each(|frame| socket.send(frame))?;
        }
        let wake = times.peek().map_or(patience.end, |at| **at);
        let received = socket.receive(&mut buffer, wake.saturating_sub(elapsed))?;
        let frame = received.map(|length| &buffer[..length.min(buffer.len())]);
        if let Some(found) = frame.and_then(&mut *judge) {
            return Ok(Some(found));
        }
    }
}
