//! Telling the network where an address is now: an IP address to its neighbours, a hardware address to the switches.
//!
//! The first announcement goes out before start returns. The rest is sent by a process of its own that holds nothing of
//! the caller's open, is known by no file, and before each packet looks whether the address is still there.

#![forbid(unsafe_code)]

use std::fmt;
use std::net::IpAddr;
use std::process::Stdio;
use std::str::FromStr;
use std::time::Duration;

use super::arp::{self, Mac};
use super::detached;
use super::link::Link;
use super::ndisc;
use super::net::Net;
use super::packet::PacketSocket;
use super::{rarp, sysctl};
use crate::deadline::Deadline;
use crate::error::{Doing, Error, Result};
use crate::param::Value;
use crate::param::values::UnicastMac;
use crate::trace_ask;

/// What can be announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// An IP address, at the hardware address that its interface has.
    Ip(IpAddr),
    /// A hardware address, at the switch port that its interface is plugged into.
    Hardware(UnicastMac),
}

impl Subject {
    /// Whether it is still there.
    fn is_on(self, index: u32, net: &Net) -> Result<bool> {
        Ok(match self {
            Self::Ip(ip) => !net.places_of(ip, Some(index))?.is_empty(),
            Self::Hardware(mac) => {
                net.link(index)?.is_some_and(|link| link.hardware == mac.octets())
            }
        })
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Hardware(mac) => mac.fmt(f),
        }
    }
}

impl FromStr for Subject {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        word.parse().map(Self::Ip).or_else(|_| UnicastMac::parse(word.as_ref()).map(Self::Hardware))
    }
}

/// An address to announce, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The address.
    pub subject: Subject,
    /// Number of its interface.
    pub index: u32,
    /// How many times.
    pub count: u32,
    /// Pause between two times.
    pub interval: Duration,
}

impl Announcement {
    /// Announces once, with the hardware address that the interface has now.
    ///
    /// # Errors
    /// The packets could not be sent.
    pub fn once(&self, net: &Net, socket: &PacketSocket) -> Result<()> {
        let Some(link) = net.link(self.index)? else {
            return Err(Error::Failed(format!(
                "cannot announce {}: its interface is gone",
                self.subject
            )));
        };
        let mac = ethernet(&link)?;
        trace_ask!("announce {} at {} on {}", self.subject, arp::text(&mac), link.name);
        let sent = match self.subject {
            Subject::Hardware(mac) => socket.send(&rarp::here_is(mac.octets())),
            Subject::Ip(IpAddr::V4(ip)) => {
                arp::announcement(mac, ip).iter().try_for_each(|frame| socket.send(frame))
            }
            Subject::Ip(IpAddr::V6(ip)) => {
                let forwards = sysctl::read(&["ipv6", "conf", &link.name, "forwarding"]);
                let router = forwards.is_some_and(|value| value != "0");
                socket.send(&ndisc::announcement(mac, ip, router))
            }
        };
        sent.doing(|| format!("announce {} on {}", self.subject, link.name))
    }

    /// The announcements after the first, each after a pause and a look; ends when the address is gone.
    ///
    /// # Errors
    /// A packet could not be sent, or the kernel could not be asked.
    pub fn rest(&self) -> Result<()> {
        let socket = socket(self.index, self.subject)?;
        for _ in 1..self.count {
            if !self.pause()? {
                return Ok(());
            }
            self.once(&network()?, &socket)?;
        }
        Ok(())
    }

    /// The same, but what does not fit before `deadline` is left to a process of its own.
    ///
    /// # Errors
    /// As for [`Self::rest`] and [`Self::rest_detached`].
    pub fn rest_until(&self, deadline: &Deadline, socket: PacketSocket) -> Result<()> {
        for sent in 1..self.count {
            if deadline.left() <= self.interval {
                let left = Self { count: self.count - sent + 1, ..*self };
                return left.rest_detached(socket);
            }
            if !self.pause()? {
                return Ok(());
            }
            self.once(&network()?, &socket)?;
        }
        Ok(())
    }

    /// Waits for the interval; whether the address is still there then. Looks each second, so that nobody has to
    /// wonder what still announces an address that has gone.
    fn pause(&self) -> Result<bool> {
        let mut left = self.interval;
        loop {
            let slice = left.min(Duration::from_secs(1));
            std::thread::sleep(slice);
            left = left.saturating_sub(slice);
            if !self.subject.is_on(self.index, &network()?)? {
                return Ok(false);
            }
            if left.is_zero() {
                return Ok(true);
            }
        }
    }

    /// Leaves the announcements after the first to a process of their own.
    ///
    /// That process inherits `socket` as its standard input, for one reason: to close a packet socket takes the
    /// kernel ten milliseconds or more (it waits until no processor can see it any longer), and whoever closes it last waits.
    ///
    /// # Errors
    /// There can be no new process.
    pub fn rest_detached(&self, socket: PacketSocket) -> Result<()> {
        if self.count <= 1 {
            return Ok(());
        }
        let words = [
            "announce".to_owned(),
            self.subject.to_string(),
            self.index.to_string(),
            self.count.to_string(),
            self.interval.as_millis().to_string(),
        ];
        detached::leave_behind(&words, Stdio::from(socket))
            .doing(|| format!("start the process that goes on announcing {}", self.subject))
    }
}

/// The kernel, for one look.
fn network() -> Result<Net> {
    Net::open(Deadline::after(Duration::from_secs(5)))
}

/// A socket for the announcements of `subject`, and for ARP also for questions and their answers.
///
/// # Errors
/// A privilege is missing, or the interface is gone.
pub fn socket(index: u32, subject: Subject) -> Result<PacketSocket> {
    // Nothing else is listened to: with no type the socket receives nothing, and a frame names its own.
    let ethertype = if matches!(subject, Subject::Ip(IpAddr::V4(_))) { arp::ETHERTYPE } else { 0 };
    PacketSocket::bind(index, ethertype)
        .doing(|| format!("open a packet socket on interface number {index} to announce {subject}"))
}

/// The six octets of the interface's hardware address.
///
/// # Errors
/// It has another number of octets.
pub fn ethernet(link: &Link) -> Result<Mac> {
    if link.infiniband {
        return Err(Error::NotInstalled(format!(
            "{} is InfiniBand: ocfbox cannot announce its 20-octet hardware addresses; use another interface",
            link.name
        )));
    }
    Mac::try_from(link.hardware.as_slice()).map_err(|_| {
        Error::NotInstalled(format!(
            "{} has hardware addresses of {} octets: ocfbox announces on Ethernet only; use another interface",
            link.name,
            link.hardware.len()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_what_it_is_written_as() {
        for word in ["192.0.2.10", "2001:db8::10", "02:00:00:00:00:01"] {
            assert_eq!(word.parse::<Subject>().unwrap().to_string(), word);
        }
        "eth0".parse::<Subject>().unwrap_err();
    }

    #[test]
    fn hardware_addresses_that_cannot_be_announced_are_refused_with_a_reason() {
        let ethernet_link = Link { hardware: vec![2, 0, 0, 0, 0, 1], ..Link::default() };
        assert_eq!(ethernet(&ethernet_link).unwrap(), [2, 0, 0, 0, 0, 1]);
        let name = "ib0".to_owned();
        let infiniband = Link { name, infiniband: true, hardware: vec![0; 20], ..Link::default() };
        let refused = ethernet(&infiniband).unwrap_err();
        assert_eq!(refused.code().number(), 5);
        assert!(refused.reason().contains("ib0 is InfiniBand"), "{refused}");
        let odd = Link { hardware: vec![0; 8], ..Link::default() };
        assert!(ethernet(&odd).unwrap_err().reason().contains("8 octets"));
    }
}
