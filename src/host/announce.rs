//! Telling the network where an address is now: an IP address to its neighbours, a hardware address to the switches.
//!
//! The first announcement goes out before start returns. The rest is sent by a process of its own that holds nothing of
//! the caller's open, is known by no file, and before each packet looks whether the address is still there. While it lasts it
//! listens for a host that answers too late for the question that start asked, or takes the address after it.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;
use std::process::Stdio;
use std::str::FromStr;
use std::time::{Duration, Instant};

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
use crate::state::StateFile;
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
#[derive(Clone, Debug)]
pub struct Announcement {
    /// The address.
    pub subject: Subject,
    /// Number of its interface.
    pub index: u32,
    /// How many times.
    pub count: u32,
    /// Pause between two times.
    pub interval: Duration,
    /// Announced as long as this file is there and stays as it is, whether or not this host has the address; without
    /// one, as long as the interface has the address.
    pub marker: Option<StateFile>,
    /// Gets the hardware address of another host that claims the address meanwhile.
    pub record: Option<StateFile>,
}

impl Announcement {
    /// Announces `subject` on the interface number `index`, `count` times, as long as it is there.
    #[must_use]
    pub fn new(subject: Subject, index: u32, count: u32, interval: Duration) -> Self {
        Self { subject, index, count, interval, marker: None, record: None }
    }

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
    /// Meanwhile it listens: a host that claims the IPv4 address too is told to `rival`, once.
    ///
    /// # Errors
    /// A packet could not be sent, or the kernel could not be asked.
    pub fn rest(&self, socket: &PacketSocket, rival: &mut dyn FnMut(Mac)) -> Result<()> {
        let marked = self.marked()?;
        let mut told = false;
        let mut heard = |mac| {
            if !std::mem::replace(&mut told, true) && self.note(mac) {
                rival(mac);
            }
        };
        for _ in 1..self.count {
            if !self.pause(socket, marked.as_deref(), &mut heard)? {
                return Ok(());
            }
            self.once(&network()?, socket)?;
        }
        Ok(())
    }

    /// The same, but what does not fit before `deadline` is left to a process of its own.
    ///
    /// # Errors
    /// As for [`Self::rest`] and [`Self::rest_detached`].
    pub fn rest_until(
        &self,
        deadline: &Deadline,
        socket: PacketSocket,
        rival: &mut dyn FnMut(Mac),
    ) -> Result<()> {
        let pauses = deadline.left().as_nanos() / self.interval.as_nanos().max(1);
        let fitting = u32::try_from(pauses).unwrap_or(u32::MAX).saturating_add(1);
        let here = Self { count: self.count.min(fitting), ..self.clone() };
        here.rest(&socket, rival)?;
        Self { count: self.count - here.count + 1, ..self.clone() }.rest_detached(socket)
    }

    /// What the marker says now.
    fn marked(&self) -> Result<Option<String>> {
        self.marker.as_ref().map_or(Ok(None), StateFile::read)
    }

    /// Whether there is still something to announce: the address, or the marker as it was when announcing began.
    fn holds(&self, marked: Option<&str>) -> Result<bool> {
        match self.marker {
            Some(_) => Ok(marked.is_some() && self.marked()?.as_deref() == marked),
            None => self.subject.is_on(self.index, &network()?),
        }
    }

    /// Leaves word of a host that claims the address too, if anybody wants to know.
    fn note(&self, other: Mac) -> bool {
        if let Some(Err(error)) =
            self.record.as_ref().map(|record| record.write(&arp::text(&other)))
        {
            trace_ask!("{error}");
        }
        self.record.is_some()
    }

    /// Waits for the interval, and listens; whether to go on then. Looks each second, so that nobody has to wonder what
    /// still announces an address that has gone.
    fn pause(
        &self,
        socket: &PacketSocket,
        marked: Option<&str>,
        heard: &mut dyn FnMut(Mac),
    ) -> Result<bool> {
        let mut left = self.interval;
        loop {
            let slice = left.min(Duration::from_secs(1));
            self.listen(slice, socket, heard);
            left = left.saturating_sub(slice);
            if !self.holds(marked)? {
                return Ok(false);
            }
            if left.is_zero() {
                return Ok(true);
            }
        }
    }

    /// Listens for `slice` to hosts that claim the address. What comes from this host's own interfaces is no claim.
    fn listen(&self, slice: Duration, socket: &PacketSocket, heard: &mut dyn FnMut(Mac)) {
        let end = Instant::now() + slice;
        let mut buffer = [0; 128];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let received = socket.receive(&mut buffer, left).unwrap_or_else(|_| {
                // The interface is down, so that there is nobody to listen to.
                std::thread::sleep(left);
                None
            });
            if let (Subject::Ip(IpAddr::V4(ip)), Some(length)) = (self.subject, received)
                && let Some(mac) = buffer.get(..length).and_then(|frame| arp::claimed(frame, ip))
                && network()
                    .and_then(|net| net.links())
                    .is_ok_and(|links| links.iter().all(|link| link.hardware != mac))
            {
                heard(mac);
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
        let mut words: Vec<OsString> = vec![
            "announce".into(),
            self.subject.to_string().into(),
            self.index.to_string().into(),
            self.count.to_string().into(),
            self.interval.as_millis().to_string().into(),
        ];
        let mut file = |option: &str, file: &Option<StateFile>| {
            if let Some(file) = file {
                words.extend([option.into(), file.path().into()]);
            }
        };
        file("--marker", &self.marker);
        file("--record", &self.record);
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
