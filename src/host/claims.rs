//! Who else claims an address of this host: whoever sends ARP in the name of an IPv4 address (RFC 5227, 2.4), advertises an
//! IPv6 one (RFC 4861, 4.4), or sends ARP from a hardware address.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use nix::net::if_::if_indextoname;
use nix::sys::socket::{MsgFlags, SockProtocol, SockType, recv, setsockopt, sockopt};

use super::announce::Subject;
use super::arp::{self, Mac};
use super::bpf::{Instruction, Size, accept, compare, load, refuse};
use super::ndisc;
use super::packet::{PacketSocket, attach_filter};
use super::source::socket_towards;
use crate::state::StateFile;

/// Where a frame has the hardware address that it came from; where ARP over Ethernet has that of its sender, and its length.
const SOURCE: std::ops::Range<usize> = 6..12;
const SENDER: std::ops::Range<usize> = 22..28;
const FRAME: usize = 42;

/// A socket that hears of claims, and nothing else.
#[derive(Debug)]
pub struct Claims {
    ear: Ear,
    subject: Subject,
    own: Mac,
    record: StateFile,
}

#[derive(Debug)]
enum Ear {
    Frames(PacketSocket),
    /// Not of frames: a packet socket would look at each one of IPv6, and slow all of them down.
    Advertisements(OwnedFd),
}

impl Claims {
    /// Hears from now on who claims `subject` on that interface, whose hardware address is `own`, and writes it into
    /// `record`, where the agent's monitor reads it. A network that gives our own frames back claims nothing, but for the
    /// hardware address, where nobody can tell yet.
    ///
    /// # Errors
    /// `CAP_NET_RAW` is missing, or the interface is gone.
    pub fn of(subject: Subject, index: u32, own: Mac, record: StateFile) -> io::Result<Self> {
        let ear = match subject {
            Subject::Ip(IpAddr::V4(ip)) => Ear::Frames(PacketSocket::hear_claims(index, ip, own)?),
            Subject::Ip(IpAddr::V6(ip)) => Ear::Advertisements(advertisements(index, ip)?),
            Subject::Hardware(mac) => {
                Ear::Frames(PacketSocket::hear_arp_from(index, mac.octets())?)
            }
        };
        Ok(Self { ear, subject, own, record })
    }

    /// Reads what was heard, in words.
    #[must_use]
    pub fn take(&self) -> Option<String> {
        let claimant = match &self.ear {
            Ear::Frames(socket) => self.last_frame(socket),
            Ear::Advertisements(socket) => self.last_advertisement(socket),
        }?;
        let claimant = arp::text(&claimant);
        // What the monitor found out of a hardware address stays.
        if !(matches!(self.subject, Subject::Hardware(_)) && self.record.path().exists()) {
            // Without it the monitor does not ask, and the next claim may tell.
            let _ = self.record.write(&claimant);
        }
        Some(format!("{claimant} claims {}", self.subject))
    }

    fn last_frame(&self, socket: &PacketSocket) -> Option<Mac> {
        let place = if matches!(self.subject, Subject::Hardware(_)) { SOURCE } else { SENDER };
        let mut frame = [0; FRAME];
        let mut claimant = None;
        while let Ok(Some(length)) = socket.receive(&mut frame, Duration::ZERO) {
            let there = frame.get(..length).and_then(|frame| frame.get(place.clone()));
            claimant = there.and_then(|mac| mac.try_into().ok());
        }
        claimant
    }

    fn last_advertisement(&self, socket: &OwnedFd) -> Option<Mac> {
        let Subject::Ip(IpAddr::V6(ip)) = self.subject else { return None };
        let mut message = [0; 128];
        let mut claimant = None;
        // The kernel's own advertisements come back to this host.
        while let Ok(length) = recv(socket.as_raw_fd(), &mut message, MsgFlags::MSG_DONTWAIT) {
            let heard = message.get(..length).and_then(|message| ndisc::advertised(message, ip));
            claimant = heard.filter(|mac| *mac != self.own).or(claimant);
        }
        claimant
    }
}

/// A socket that receives the neighbour advertisements of `ip` on an interface, from their header of `ICMPv6` on.
fn advertisements(index: u32, ip: Ipv6Addr) -> io::Result<OwnedFd> {
    let like = IpAddr::V6(ip);
    let socket = socket_towards(like, SockType::Raw, Some(SockProtocol::IcmpV6))?;
    attach_filter(socket.as_fd(), &mut of_target(ip))?;
    let name = OsString::from_vec(if_indextoname(index)?.into_bytes());
    setsockopt(&socket, sockopt::BindToDevice, &name)?;
    Ok(socket)
}

/// A program that lets pass neighbour advertisements whose target is `ip`.
fn of_target(ip: Ipv6Addr) -> Vec<Instruction> {
    let mut program =
        vec![load(Size::Byte, 0), compare(0, 9, u32::from(ndisc::NEIGHBOUR_ADVERTISEMENT))];
    for (at, left) in [(0, 7), (1, 5), (2, 3), (3, 1)] {
        let word = u32::try_from(ip.to_bits() >> (96 - 32 * at) & 0xffff_ffff).unwrap_or_default();
        program.extend([load(Size::Word, 8 + 4 * at), compare(0, left, word)]);
    }
    program.extend([accept(), refuse()]);
    program
}

impl AsFd for Claims {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.ear {
            Ear::Frames(socket) => socket.as_fd(),
            Ear::Advertisements(socket) => socket.as_fd(),
        }
    }
}
