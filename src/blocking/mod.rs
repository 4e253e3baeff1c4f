//! Ports of this host that can be shut and opened, and the two resources that do so.

#![forbid(unsafe_code)]

mod pair;
pub mod words;

use std::fmt;

pub use pair::Pair;

use crate::agent::Cx;
use crate::error::Result;
use crate::host::namespace;
use crate::host::nft::{self, Answer, Block, Filter, LONGEST_COMMENT, Presence, Side};
use crate::host::sockets::{self, Selection, Transport};
use crate::param::values::{AddressBlock, Ports};
use crate::state::Lock;

/// The way of the packets that are stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To this host.
    In,
    /// From this host.
    Out,
    /// Both.
    Both,
}

impl Direction {
    /// The direction that `word` names.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::In, Self::Out, Self::Both].into_iter().find(|direction| direction.word() == word)
    }

    const fn word(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
            Self::Both => "both",
        }
    }

    const fn sides(self) -> &'static [Side] {
        match self {
            Self::In => &[Side::In],
            Self::Out => &[Side::Out],
            Self::Both => &[Side::In, Side::Out],
        }
    }
}

/// Ports of this host that can be shut.
#[derive(Clone, Debug)]
pub struct Gate {
    /// TCP or UDP.
    pub transport: Transport,
    /// The ports.
    pub ports: Ports,
    /// The addresses.
    pub network: AddressBlock,
    /// The way of the packets.
    pub direction: Direction,
    /// What becomes of them.
    pub answer: Answer,
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = match self.transport {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
        };
        write!(f, "{transport} {} {} {}", self.ports, self.network, self.direction.word())
    }
}

impl Gate {
    /// Whether it is shut; none where the kernel could not shut it.
    ///
    /// # Errors
    /// The kernel could not tell.
    pub fn presence(&self, cx: &Cx<'_>) -> Result<Option<Presence>> {
        let comment = self.comment("");
        let filter = Filter::open(cx.deadline)?;
        filter.map(|filter| filter.presence(&self.block(&comment))).transpose()
    }

    /// Shuts it.
    ///
    /// # Errors
    /// The kernel cannot, or refused.
    pub fn shut(&self, cx: &Cx<'_>) -> Result<()> {
        let comment = self.comment("");
        filter(cx)?.change(&[&self.comment(RESET)], &[&self.block(&comment)])
    }

    /// Opens it.
    ///
    /// # Errors
    /// The kernel could not shut it either, or refused.
    pub fn open(&self, cx: &Cx<'_>) -> Result<()> {
        filter(cx)?.change(&[&self.comment(""), &self.comment(RESET)], &[])
    }

    /// Shuts it, and destroys the connections behind it. Their other ends hear nothing: they are to find out when the next
    /// node tells them, and not before it is there.
    ///
    /// # Errors
    /// It could not be shut.
    pub fn shut_and_reset(&self, cx: &Cx<'_>) -> Result<()> {
        let filter = filter(cx)?;
        let (comment, silent) = (self.comment(""), self.comment(RESET));
        let silence = Block { sides: &[Side::Out], answer: Answer::Drop, ..self.block(&silent) };
        filter.change(&[], &[&self.block(&comment), &silence])?;
        let selection = Selection {
            network: self.network.address,
            prefix: self.network.prefix,
            interface: None,
            port: &|port| self.ports.contain(port),
            all_kinds: false,
        };
        match sockets::destroy(&selection, &cx.deadline) {
            Ok(destroyed) => {
                cx.log.info(&format!("destroyed {} connections of {self}", destroyed.count));
                if let Some(refusal) = destroyed.refusal {
                    cx.log.warn(&format!("cannot destroy all connections of {self}: {refusal}"));
                }
            }
            Err(error) => cx.log.warn(&error.to_string()),
        }
        filter.change(&[&silent], &[])
    }

    /// Lets one action at a time change this gate, and what is remembered of it.
    ///
    /// # Errors
    /// Another one did not end in time.
    pub fn lock(&self, cx: &Cx<'_>) -> Result<Option<Lock>> {
        cx.state.lock(&format!("gate-{}-{self}", namespace::identity()), &cx.deadline)
    }

    fn block<'a>(&'a self, comment: &'a str) -> Block<'a> {
        Block {
            comment,
            transport: self.transport,
            ports: &self.ports,
            network: self.network,
            sides: self.direction.sides(),
            answer: self.answer,
        }
    }

    /// What the rules are known by. It names what they stop and not who made them, since one resource makes them and another
    /// removes them.
    fn comment(&self, suffix: &str) -> String {
        let whole = format!("{self}{suffix}");
        if whole.len() <= LONGEST_COMMENT {
            return whole;
        }
        let mark = format!("... {:016x}{suffix}", fnv(whole.as_bytes()));
        format!("{}{mark}", &whole[..whole.floor_char_boundary(LONGEST_COMMENT - mark.len())])
    }
}

fn filter(cx: &Cx<'_>) -> Result<Filter> {
    Filter::open(cx.deadline)?.ok_or_else(|| nft::missing("no nf_tables"))
}

/// Behind the comment of the rules that are there while connections are destroyed.
const RESET: &str = " (reset)";

/// A hash that is the same in each version of this program (Fowler, Noll and Vo, FNV-1a of 64 bits).
fn fnv(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;
    use crate::param::Value;

    fn gate(ports: &str, ip: &str) -> Gate {
        Gate {
            transport: Transport::Tcp,
            ports: Ports::parse(OsStr::new(ports)).unwrap(),
            network: AddressBlock::parse(OsStr::new(ip)).unwrap(),
            direction: Direction::In,
            answer: Answer::Drop,
        }
    }

    #[test]
    fn a_comment_says_what_is_stopped_in_one_spelling() {
        let one = gate("443,0080", "2001:DB8:0::10");
        assert_eq!(one.comment(""), "tcp 80,443 2001:db8::10 in");
        assert_eq!(one.comment(RESET), "tcp 80,443 2001:db8::10 in (reset)");
        assert_eq!(Gate { answer: Answer::Reject, ..one.clone() }.comment(""), one.comment(""));
    }

    #[test]
    fn long_comments_stay_different_and_the_same_in_each_version() {
        let list = |last: u16| {
            let ports: Vec<String> = (1000..1030).map(|port| (2 * port).to_string()).collect();
            gate(&format!("{},{last}", ports.join(",")), "0.0.0.0/0")
        };
        let comments = [list(9000).comment(""), list(9001).comment(""), list(9000).comment(RESET)];
        for (index, comment) in comments.iter().enumerate() {
            assert!(comment.len() <= LONGEST_COMMENT, "{comment}");
            assert!(comments.iter().skip(index + 1).all(|other| other != comment));
        }
        assert_eq!(fnv(b"a"), 0xaf63_dc4c_8601_ec8c);
    }
}
