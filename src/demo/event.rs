//! What the parts tell the manager: one line each, with the time at which it happened.

#![forbid(unsafe_code)]

use std::fmt;
use std::io::Write;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::error::one_line;

/// A moment on the clock that all processes of a machine share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(Duration);

impl Moment {
    /// Now.
    pub(super) fn now() -> Self {
        Self(clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from))
    }

    /// How long after `earlier` it is.
    pub(super) fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    fn parse(word: &str) -> Option<Self> {
        word.parse().ok().map(|nanos| Self(Duration::from_nanos(nanos)))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.as_nanos())
    }
}

/// Something that happened in a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// It has done what it was told.
    Ready,
    /// It cannot go on.
    Failed(String),
    /// It is no more. Never sent: its end of the pipe closed.
    Gone,
    /// The agent's action ended.
    Ended(Ended),
    /// The other node's heartbeat is missed.
    Lost,
    /// The other node's heartbeat is heard, or heard again.
    Alive,
    /// The service answered, for the first time from this node; the answer before that was at that moment.
    Answered(String, Option<Moment>),
    /// A gratuitous ARP named this hardware address.
    Heard(String),
    /// The neighbour cache has this.
    Neighbour(String),
    /// So many requests were answered by the nodes, and so many were not.
    Totals(Totals),
}

/// How an action of the agent ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ended {
    /// The exit code.
    pub code: i32,
    /// From before the exec to the exit.
    pub took: Duration,
    /// The exit reason, if it gave one.
    pub reason: String,
}

/// What became of the client's requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    /// Answered by node1.
    pub node1: u32,
    /// Answered by node2.
    pub node2: u32,
    /// Not answered in time.
    pub unanswered: u32,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str("ready"),
            Self::Gone => f.write_str("gone"),
            Self::Failed(why) => write!(f, "failed {}", one_line(why, 500)),
            Self::Ended(Ended { code, took, reason }) => {
                write!(f, "ended {code} {} {}", took.as_nanos(), one_line(reason, 500))
            }
            Self::Lost => f.write_str("lost"),
            Self::Alive => f.write_str("alive"),
            Self::Answered(node, None) => write!(f, "answered {node}"),
            Self::Answered(node, Some(before)) => write!(f, "answered {node} {before}"),
            Self::Heard(mac) => write!(f, "heard {mac}"),
            Self::Neighbour(mac) => write!(f, "neighbour {mac}"),
            Self::Totals(Totals { node1, node2, unanswered }) => {
                write!(f, "totals {node1} {node2} {unanswered}")
            }
        }
    }
}

impl Event {
    fn parse(text: &str) -> Option<Self> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let mut words = rest.splitn(3, ' ');
        Some(match word {
            "ready" => Self::Ready,
            "gone" => Self::Gone,
            "failed" => Self::Failed(rest.to_owned()),
            "lost" => Self::Lost,
            "alive" => Self::Alive,
            "heard" => Self::Heard(rest.to_owned()),
            "neighbour" => Self::Neighbour(rest.to_owned()),
            "answered" => {
                Self::Answered(words.next()?.to_owned(), words.next().and_then(Moment::parse))
            }
            "ended" => Self::Ended(Ended {
                code: words.next()?.parse().ok()?,
                took: Duration::from_nanos(words.next()?.parse().ok()?),
                reason: words.next().unwrap_or_default().to_owned(),
            }),
            "totals" => Self::Totals(Totals {
                node1: words.next()?.parse().ok()?,
                node2: words.next()?.parse().ok()?,
                unanswered: words.next()?.parse().ok()?,
            }),
            _ => return None,
        })
    }
}

/// Tells the manager of `event`, which happened just now.
pub(super) fn tell(event: &Event) {
    // A manager that is gone takes this process along.
    let _ = std::io::stdout().lock().write_all(format!("{} {event}\n", Moment::now()).as_bytes());
}

/// What a line of a part says.
pub(super) fn heard(line: &str) -> Option<(Moment, Event)> {
    let (moment, event) = line.split_once(' ')?;
    Some((Moment::parse(moment)?, Event::parse(event)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_part_tells_the_manager_hears() {
        let ended =
            Ended { code: 1, took: Duration::from_nanos(5), reason: "no link, alas".into() };
        let events = [
            Event::Ready,
            Event::Failed("why not".into()),
            Event::Ended(ended),
            Event::Ended(Ended::default()),
            Event::Lost,
            Event::Alive,
            Event::Answered("node1".into(), None),
            Event::Answered("node2".into(), Some(Moment(Duration::from_nanos(7)))),
            Event::Heard("02:00".into()),
            Event::Neighbour("none".into()),
            Event::Totals(Totals { node1: 1, node2: 2, unanswered: 3 }),
        ];
        for event in events {
            assert_eq!(
                heard(&format!("42 {event}")),
                Some((Moment(Duration::from_nanos(42)), event))
            );
        }
        for nonsense in ["", "x", "1", "1 ", "1 what", "1 ended x", "x ready"] {
            assert_eq!(heard(nonsense), None, "{nonsense:?}");
        }
    }
}
