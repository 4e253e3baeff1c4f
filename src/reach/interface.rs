//! Whether the network behind an interface can be reached through it.
//!
//! The rule, in this order: the interface has a link; and if more than the link is wanted, a packet arrives within a while,
//! or a neighbour that the kernel knows answers when it is asked. What fails is looked at again, some times.

#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use super::to_tell;
use crate::agent::Cx;
use crate::deadline::Deadline;
use crate::error::Result;
use crate::host::infiniband;
use crate::host::link::Link;
use crate::host::neighbour::{self, Asking, Family};
use crate::host::net::Net;
use crate::param::values::InterfaceName;
use crate::trace_note;

/// Pause between two looks at the counter of received packets.
const PAUSE: Duration = Duration::from_millis(100);

/// What is looked at, and how often.
#[derive(Clone, Debug)]
pub struct Watch {
    /// The interface.
    pub interface: InterfaceName,
    /// Looks at most, until one is good.
    pub rounds: u32,
    /// From the beginning of one to that of the next.
    pub interval: Duration,
    /// What more than the link is wanted; none if the link is enough.
    pub traffic: Option<Traffic>,
    /// Device and port whose state counts as well.
    pub infiniband: Option<(String, u32)>,
}

/// What shows that packets come through.
#[derive(Clone, Copy, Debug)]
pub struct Traffic {
    /// How long one may take to arrive by itself.
    pub patience: Duration,
    /// Questions to each neighbour.
    pub questions: u32,
    /// How long a question may take.
    pub answer: Duration,
    /// So many neighbours are asked.
    pub neighbours: u32,
}

impl Traffic {
    /// How long all questions to the neighbours may take.
    fn asking(&self) -> Duration {
        self.answer.saturating_mul(self.questions)
    }
}

impl Watch {
    /// How long a look lasts that finds nothing.
    #[must_use]
    pub fn longest(&self) -> Duration {
        let traffic = self
            .traffic
            .map_or(Duration::ZERO, |traffic| traffic.patience.saturating_add(traffic.asking()));
        let others = self.interval.max(traffic).saturating_mul(self.rounds - 1);
        others.saturating_add(traffic)
    }
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Look {
    /// The interface, if it is here.
    pub link: Option<Link>,
    /// Why nothing can be reached through it; none if something can.
    pub fault: Option<String>,
}

/// Looks until it is good, or the rounds or the action's time are over.
///
/// # Errors
/// The kernel could not tell.
pub fn look(watch: &Watch, net: &Net, cx: &Cx<'_>) -> Result<Look> {
    let deadline = cx.deadline.at_most(cx.deadline.left().saturating_sub(to_tell(&cx.deadline)));
    for round in 1.. {
        let begin = Instant::now();
        let look = once(watch, net, &deadline)?;
        if let Some(fault) = &look.fault {
            trace_note!("look {round} of {}: {fault}", watch.rounds);
        }
        if look.fault.is_none() || round >= watch.rounds || deadline.left().is_zero() {
            return Ok(look);
        }
        let rest = watch.interval.saturating_sub(begin.elapsed());
        let had_link = look.link.as_ref().is_some_and(|link| link.fault().is_none());
        if had_link {
            std::thread::sleep(rest.min(deadline.left()));
        } else {
            // Nothing but the kernel's news of a link can better this.
            net.wait_until(rest.min(deadline.left()), |net| {
                Ok(net
                    .link_named(watch.interface.as_str())?
                    .is_some_and(|link| link.fault().is_none()))
            })?;
        }
    }
    once(watch, net, &deadline)
}

fn once(watch: &Watch, net: &Net, deadline: &Deadline) -> Result<Look> {
    let name = watch.interface.as_str();
    let Some(link) = net.link_named(name)? else {
        return Ok(Look {
            link: None,
            fault: Some(format!("there is no interface {name} on this host")),
        });
    };
    let infiniband = || {
        let (device, port) = watch.infiniband.as_ref()?;
        infiniband::fault(device, *port)
    };
    let mut fault = link.fault().or_else(infiniband);
    if let (None, Some(traffic)) = (&fault, &watch.traffic) {
        fault = match silence(&link, traffic, net, deadline) {
            Ok(None) => None,
            // What cannot be asked through a link that went meanwhile is the link's fault, and no failure of the look.
            silent => match lost(&link, net)? {
                Some(fault) => Some(fault),
                None => silent?,
            },
        };
    }
    Ok(Look { link: Some(link), fault })
}

/// Why a link that was there is not there any more.
fn lost(link: &Link, net: &Net) -> Result<Option<String>> {
    Ok(match net.link(link.index)? {
        Some(now) => now.fault(),
        None => Some(format!("{} vanished", link.name)),
    })
}

/// Why nothing seems to arrive through a link that there is.
fn silence(
    link: &Link,
    traffic: &Traffic,
    net: &Net,
    deadline: &Deadline,
) -> Result<Option<String>> {
    let name = &link.name;
    let end = deadline.at_most(traffic.patience);
    let before = net.received_packets(link.index)?;
    loop {
        let now = net.received_packets(link.index)?;
        if now.is_none() {
            return Ok(Some(format!("{name} vanished")));
        }
        if now != before {
            trace_note!("packets arrive");
            return Ok(None);
        }
        if end.left().is_zero() {
            break;
        }
        std::thread::sleep(PAUSE.min(end.left()));
    }
    let mut known = net.neighbours(link.index, Family::V4)?;
    if known.is_empty() {
        known = net.neighbours(link.index, Family::V6)?;
    }
    known.truncate(usize::try_from(traffic.neighbours).unwrap_or(usize::MAX));
    let asking = Asking { times: traffic.questions, within: traffic.asking().min(deadline.left()) };
    if !known.is_empty() && neighbour::any_answers(link, &known, asking)? {
        return Ok(None);
    }
    Ok(Some(format!(
        "{name} has a link, but received no packet for {} s, and {}",
        traffic.patience.as_secs_f64(),
        if known.is_empty() {
            "no neighbour is known to ask".to_owned()
        } else {
            format!("none of {} neighbour(s) answers", known.len())
        }
    )))
}

/// What makes up the value of a good look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Good is good.
    None,
    /// Ports of a bond, team or bridge that have a link.
    Ports,
    /// Megabits a second.
    Speed,
}

/// The measure of a link that works; 1 where it has none.
///
/// # Errors
/// The kernel could not tell.
pub fn size(link: &Link, scale: Scale, net: &Net) -> Result<u64> {
    Ok(match scale {
        Scale::None => 1,
        Scale::Ports => {
            let ports: Vec<Link> = net
                .links()?
                .into_iter()
                .filter(|port| port.controller == Some(link.index))
                .collect();
            if ports.is_empty() {
                return Ok(1);
            }
            ports.iter().filter(|port| port.fault().is_none() && !port.rejected).count() as u64
        }
        Scale::Speed => link.speed().unwrap_or(1),
    })
}
