//! Who else claims an IPv4 address: whoever sends ARP in its name (RFC 5227, section 2.4).

#![forbid(unsafe_code)]

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use super::arp;
use super::packet::PacketSocket;
use crate::state::StateFile;

/// Where a frame of ARP over Ethernet has the hardware address of its sender, and its length.
const SENDER: std::ops::Range<usize> = 22..28;
const FRAME: usize = 42;

/// A socket that hears of claims, and nothing else.
#[derive(Debug)]
pub struct Claims {
    socket: PacketSocket,
    ip: Ipv4Addr,
    record: StateFile,
}

impl Claims {
    /// Hears from now on who claims `ip` on that interface, and writes it into `record`, where the agent's monitor reads it.
    ///
    /// # Errors
    /// `CAP_NET_RAW` is missing, or the interface is gone.
    pub fn of(ip: Ipv4Addr, index: u32, record: StateFile) -> io::Result<Self> {
        Ok(Self { socket: PacketSocket::hear_claims(index, ip)?, ip, record })
    }

    /// Reads what was heard, in words.
    pub fn take(&self) -> Option<String> {
        let mut frame = [0; FRAME];
        let mut claimant = None;
        while let Ok(Some(length)) = self.socket.receive(&mut frame, Duration::ZERO) {
            claimant = frame.get(..length).and_then(|frame| frame.get(SENDER)).map(arp::text);
        }
        let claimant = claimant?;
        // Without it the monitor does not ask, and the next announcement may tell.
        let _ = self.record.write(&claimant);
        Some(format!("{claimant} claims {}", self.ip))
    }
}

impl AsFd for Claims {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
