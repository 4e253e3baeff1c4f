//! Our own table of the packet filter, over nfnetlink.
//!
//! The table is there only while it has rules. A change is one batch, which the kernel performs as a whole or not at all,
//! and only if nobody changed the packet filter since it was looked at. Tables of others are never touched.

#![forbid(unsafe_code)]

mod rule;

use std::io;
use std::ops::RangeInclusive;
use std::time::Duration;

use nix::errno::Errno;
use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REQUEST};
use rtnetlink::sys::protocols::NETLINK_NETFILTER;

use super::raw::{Attributes, Channel, attribute, message};
use super::refusal::Refusal;
use super::sockets::Transport;
use crate::deadline::Deadline;
use crate::error::{Doing, Error, Result};
use crate::param::values::{AddressBlock, Ports};
use crate::{trace_answer, trace_ask};

/// The name of the table; it holds for IPv4 and IPv6.
pub const TABLE: &str = "ocfbox_portblock";

/// `struct nfgenmsg` of the family `NFPROTO_INET`.
const FAMILY: [u8; 4] = [1, 0, 0, 0];
/// `NFNL_SUBSYS_NFTABLES`, and its messages.
const SUBSYSTEM: u16 = 10;
const NEW_TABLE: u16 = SUBSYSTEM << 8;
const DELETE_TABLE: u16 = (SUBSYSTEM << 8) | 2;
const NEW_CHAIN: u16 = (SUBSYSTEM << 8) | 3;
const DELETE_CHAIN: u16 = (SUBSYSTEM << 8) | 5;
const NEW_RULE: u16 = (SUBSYSTEM << 8) | 6;
const GET_RULE: u16 = (SUBSYSTEM << 8) | 7;
const DELETE_RULE: u16 = (SUBSYSTEM << 8) | 8;
const GET_GENERATION: u16 = (SUBSYSTEM << 8) | 16;
/// The messages around a batch (linux/netfilter/nfnetlink.h).
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
/// `NFNL_BATCH_GENID` and `NFTA_GEN_ID`.
const GENERATION: u16 = 1;
/// Attributes of rules.
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_HANDLE: u16 = 3;
const RULE_EXPRESSIONS: u16 = 4;
const RULE_USERDATA: u16 = 7;
/// Do not delete what is in it, but refuse (`NLM_F_NONREC`).
const ONLY_EMPTY: u16 = 0x100;
/// Behind the other rules (`NLM_F_APPEND`).
const APPEND: u16 = 0x800;

/// Longest pause before another try, when somebody changed the packet filter during the last one.
const PAUSE: Duration = Duration::from_millis(10);

/// Longest comment that `nft` would make, in bytes; ours are as long at most.
pub const LONGEST_COMMENT: usize = 127;

/// Whether packets come in or go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// To this host.
    In,
    /// From this host.
    Out,
}

impl Side {
    fn chain(self) -> &'static str {
        match self {
            Self::In => "input",
            Self::Out => "output",
        }
    }

    /// `NF_INET_LOCAL_IN` and `NF_INET_LOCAL_OUT`.
    fn hook(self) -> u32 {
        match self {
            Self::In => 1,
            Self::Out => 3,
        }
    }
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nobody hears of it.
    Drop,
    /// Its sender gets a reset or "port unreachable".
    Reject,
}

/// Packets that do not get through.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    /// What its rules say of themselves, and are known by; at most [`LONGEST_COMMENT`] bytes.
    pub comment: &'a str,
    /// TCP or UDP.
    pub transport: Transport,
    /// Our ports.
    pub ports: &'a Ports,
    /// Our addresses.
    pub network: AddressBlock,
    /// In, out, or both.
    pub sides: &'a [Side],
    /// What becomes of the packets.
    pub answer: Answer,
}

/// How much of a block is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// No rule of it.
    Absent,
    /// Some rules, or one twice.
    Partial,
    /// Each rule once.
    Whole,
}

/// A rule that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    chain: String,
    handle: [u8; 8],
    comment: String,
}

/// The packet filter of the network namespace.
pub struct Filter {
    channel: Channel,
    deadline: Deadline,
}

impl Filter {
    /// Opens it; none where the kernel has no `nf_tables`.
    ///
    /// # Errors
    /// A privilege is missing, or the kernel did not answer.
    pub fn open(deadline: Deadline) -> Result<Option<Self>> {
        let channel = match Channel::open(NETLINK_NETFILTER, deadline) {
            Err(error) if is_missing(&error) => return Ok(None),
            other => other.doing(|| "reach the packet filter")?,
        };
        let filter = Self { channel, deadline };
        match filter.generation() {
            Ok(_) => Ok(Some(filter)),
            // The module is not there, and cannot be loaded.
            Err(refusal) if matches!(refusal.errno(), Some(Errno::EINVAL | Errno::EOPNOTSUPP)) => {
                Ok(None)
            }
            Err(refusal) => Err(refusal.doing("look at the packet filter")),
        }
    }

    /// Whether the rules of `block` are there.
    ///
    /// # Errors
    /// The kernel could not tell.
    pub fn presence(&self, block: &Block<'_>) -> Result<Presence> {
        let what = "list the rules of the packet filter";
        let rules = self.undisturbed(|| self.rules()).map_err(|refusal| refusal.doing(what))?;
        let presence = presence(block, &rules);
        trace_answer!("{}: {presence:?}", block.comment);
        Ok(presence)
    }

    /// Removes the rules that are known by one of the comments `remove`, and adds those of `add`, in one step.
    ///
    /// # Errors
    /// The kernel refused, or others change the packet filter all the time.
    pub fn change(&self, remove: &[&str], add: &[&Block<'_>]) -> Result<()> {
        let what = "change the rules of the packet filter";
        trace_ask!("{what}: remove {remove:?}, add {}", add.len());
        let answered = self.undisturbed(|| self.try_change(remove, add));
        trace_answer!("{what}: {answered:?}");
        answered.map_err(|refusal| match refusal.errno() {
            Some(Errno::EOPNOTSUPP | Errno::EAFNOSUPPORT | Errno::ENOENT) if !add.is_empty() => {
                missing(&format!("only a part of nf_tables ({refusal})"))
            }
            _ => refusal.doing(what),
        })
    }

    /// Tries until nobody changes the packet filter meanwhile, or the action's time is over.
    fn undisturbed<T>(&self, act: impl Fn() -> Result<T, Refusal>) -> Result<T, Refusal> {
        let mut pause = Duration::ZERO;
        loop {
            match act() {
                Err(Refusal::Inconsistent) if self.deadline.left_with_reserve() > pause => {
                    std::thread::sleep(pause);
                    pause = (pause + PAUSE / 10).min(PAUSE);
                }
                other => return other,
            }
        }
    }

    fn try_change(&self, remove: &[&str], add: &[&Block<'_>]) -> Result<(), Refusal> {
        let generation = self.generation()?;
        let rules = self.rules()?;
        let lacks = |block: &&&Block<'_>| presence(block, &rules) != Presence::Whole;
        let add: Vec<&Block<'_>> = add.iter().filter(lacks).copied().collect();
        // What is there of a block that is added is a part of it.
        let goes = |rule: &&Rule| {
            remove.contains(&rule.comment.as_str())
                || add.iter().any(|block| block.comment == rule.comment)
        };
        let old: Vec<&Rule> = rules.iter().filter(goes).collect();
        if old.is_empty() && add.is_empty() {
            return Ok(());
        }
        let ends = add.is_empty() && old.len() == rules.len();
        match self.send(generation, &batch(&old, &add, ends)) {
            // Something in the table is not ours; so is the table, then. The rules have to go all the same.
            Err(Refusal::Kernel { .. }) if ends => self.send(generation, &batch(&old, &add, false)),
            other => other,
        }
    }

    /// Sends a batch that is performed only if the packet filter is still that of `generation`.
    fn send(&self, generation: [u8; 4], commands: &[Command]) -> Result<(), Refusal> {
        let subsystem = SUBSYSTEM.to_be_bytes();
        let around = [0, 0, subsystem[0], subsystem[1]];
        let now = Attributes::new().with(GENERATION, &generation);
        let mut bytes = message(BATCH_BEGIN, NLM_F_REQUEST, &around, &now);
        for (index, command) in commands.iter().enumerate() {
            // One acknowledgement tells of all, since the kernel tells of errors in order.
            let last = if index + 1 == commands.len() { NLM_F_ACK } else { 0 };
            let flags = NLM_F_REQUEST | command.flags | last;
            bytes.extend(message(command.kind, flags, &FAMILY, &command.attributes));
        }
        bytes.extend(message(BATCH_END, NLM_F_REQUEST, &around, &Attributes::new()));
        match self.channel.ask("change the packet filter", &bytes, &mut |_| {}) {
            // It is another generation by now.
            Err(refusal) if refusal.errno() == Some(Errno::ERESTART) => Err(Refusal::Inconsistent),
            other => other,
        }
    }

    /// A number that changes with every change of the packet filter.
    fn generation(&self) -> Result<[u8; 4], Refusal> {
        let flags = NLM_F_REQUEST | NLM_F_ACK;
        let question = message(GET_GENERATION, flags, &FAMILY, &Attributes::new());
        let mut found = None;
        self.channel.ask("look at the packet filter", &question, &mut |payload| {
            let value = payload.get(4..).and_then(|rest| attribute(rest, GENERATION));
            found = value.and_then(|value| value.first_chunk().copied());
        })?;
        found.ok_or_else(|| Refusal::Broken("the packet filter has no generation".to_owned()))
    }

    fn rules(&self) -> Result<Vec<Rule>, Refusal> {
        let flags = NLM_F_REQUEST | NLM_F_DUMP;
        let of_table = Attributes::new().with_text(RULE_TABLE, TABLE);
        let question = message(GET_RULE, flags, &FAMILY, &of_table);
        let mut found = Vec::new();
        let asked = self.channel.ask("list the rules", &question, &mut |payload| {
            found.extend(payload.get(4..).and_then(read_rule));
        });
        match asked {
            Err(refusal) if refusal.errno() == Some(Errno::ENOENT) => Ok(Vec::new()),
            other => other.map(|()| found),
        }
    }
}

/// The error of an action that needs what this kernel does not have.
#[must_use]
pub fn missing(what: &str) -> Error {
    Error::NotInstalled(format!(
        "cannot block ports: this kernel has {what}; `modprobe nf_tables` and `modprobe nft_reject_inet` load it"
    ))
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT))
}

/// How much of `block` is in `rules`.
fn presence(block: &Block<'_>, rules: &[Rule]) -> Presence {
    let count = |side: Side| {
        let own = |rule: &&Rule| rule.comment == block.comment && rule.chain == side.chain();
        rules.iter().filter(own).count()
    };
    let all = rules.iter().filter(|rule| rule.comment == block.comment).count();
    let each = block.ports.ranges().len();
    let whole = block.sides.iter().all(|side| count(*side) == each);
    match all {
        0 => Presence::Absent,
        _ if whole && all == each * block.sides.len() => Presence::Whole,
        _ => Presence::Partial,
    }
}

/// A rule of our table, if it is one.
fn read_rule(attributes: &[u8]) -> Option<Rule> {
    let text = |kind| {
        let value = attribute(attributes, kind)?;
        std::str::from_utf8(value.strip_suffix(&[0])?).ok()
    };
    if text(RULE_TABLE)? != TABLE {
        return None;
    }
    let comment = attribute(attributes, RULE_USERDATA).and_then(read_comment);
    Some(Rule {
        chain: text(RULE_CHAIN)?.to_owned(),
        handle: attribute(attributes, RULE_HANDLE)?.first_chunk().copied()?,
        comment: comment.unwrap_or_default(),
    })
}

/// A comment as `nft` writes and shows it (`NFTNL_UDATA_RULE_COMMENT`): type, length, text, NUL.
fn write_comment(comment: &str) -> Vec<u8> {
    let length = u8::try_from(comment.len() + 1).unwrap_or(u8::MAX);
    [&[0, length], comment.as_bytes(), &[0]].concat()
}

fn read_comment(userdata: &[u8]) -> Option<String> {
    let mut rest = userdata;
    while let [kind, length, following @ ..] = rest {
        let value = following.get(..usize::from(*length))?;
        if *kind == 0 {
            return Some(std::str::from_utf8(value.strip_suffix(&[0])?).ok()?.to_owned());
        }
        rest = &following[usize::from(*length)..];
    }
    None
}

/// One command of a batch.
struct Command {
    kind: u16,
    flags: u16,
    attributes: Attributes,
}

/// The commands that remove `old` rules, add those of `add`, and remove the table if it `ends`.
fn batch(old: &[&Rule], add: &[&Block<'_>], ends: bool) -> Vec<Command> {
    let both = [Side::In, Side::Out];
    let table = || Attributes::new().with_text(1, TABLE);
    let mut commands = Vec::new();
    if !add.is_empty() {
        commands.push(Command { kind: NEW_TABLE, flags: NLM_F_CREATE, attributes: table() });
        commands.extend(both.map(new_chain));
    }
    commands.extend(old.iter().map(|rule| {
        let of = Attributes::new()
            .with_text(RULE_TABLE, TABLE)
            .with_text(RULE_CHAIN, &rule.chain)
            .with(RULE_HANDLE, &rule.handle);
        Command { kind: DELETE_RULE, flags: 0, attributes: of }
    }));
    for block in add {
        for side in block.sides {
            commands.extend(block.ports.ranges().iter().map(|ports| new_rule(block, *side, ports)));
        }
    }
    if ends {
        // One that is missing could not be deleted, and nothing of the batch would be performed.
        commands.extend(both.map(new_chain));
        commands.extend(both.map(|side| {
            let attributes = table().with_text(3, side.chain());
            Command { kind: DELETE_CHAIN, flags: 0, attributes }
        }));
        commands.push(Command { kind: DELETE_TABLE, flags: ONLY_EMPTY, attributes: table() });
    }
    commands
}

/// A base chain at the usual priority, which lets pass what no rule stops.
fn new_chain(side: Side) -> Command {
    let hook = Attributes::new().with_number(1, side.hook()).with_number(2, 0);
    let attributes = Attributes::new()
        .with_text(1, TABLE)
        .with_text(3, side.chain())
        .nested(4, &hook)
        .with_number(5, 1)
        .with_text(7, "filter");
    Command { kind: NEW_CHAIN, flags: NLM_F_CREATE, attributes }
}

fn new_rule(block: &Block<'_>, side: Side, ports: &RangeInclusive<u16>) -> Command {
    let attributes = Attributes::new()
        .with_text(RULE_TABLE, TABLE)
        .with_text(RULE_CHAIN, side.chain())
        .nested(RULE_EXPRESSIONS, &rule::expressions(block, side, ports))
        .with(RULE_USERDATA, &write_comment(block.comment));
    Command { kind: NEW_RULE, flags: NLM_F_CREATE | APPEND, attributes }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use proptest::prelude::*;

    use super::*;
    use crate::param::Value;

    fn rule(chain: &str, comment: &str) -> Rule {
        Rule { chain: chain.to_owned(), handle: [0; 8], comment: comment.to_owned() }
    }

    #[test]
    fn a_block_is_whole_when_each_rule_is_there_once() {
        let ports = Ports::parse(OsStr::new("80,443")).unwrap();
        let block = Block {
            comment: "own",
            transport: Transport::Tcp,
            ports: &ports,
            network: AddressBlock::parse(OsStr::new("192.0.2.10")).unwrap(),
            sides: &[Side::In, Side::Out],
            answer: Answer::Drop,
        };
        let mut rules: Vec<Rule> =
            ["input", "input", "output"].map(|chain| rule(chain, "own")).to_vec();
        rules.push(rule("output", "other"));
        assert_eq!(presence(&block, &rules), Presence::Partial);
        rules.push(rule("output", "own"));
        assert_eq!(presence(&block, &rules), Presence::Whole);
        assert_eq!(presence(&Block { comment: "none", ..block }, &rules), Presence::Absent);
        let half = Block { sides: &[Side::In], ..block };
        assert_eq!(presence(&half, &rules), Presence::Partial, "it blocks too much");
        rules.push(rule("input", "own"));
        assert_eq!(presence(&block, &rules), Presence::Partial);
    }

    #[test]
    fn a_comment_is_found_behind_what_others_wrote() {
        let own = write_comment("tcp 80");
        assert_eq!(own, b"\0\x07tcp 80\0");
        let all = [&[1, 2, 9, 9][..], &own].concat();
        assert_eq!(read_comment(&all).as_deref(), Some("tcp 80"));
        for length in 0..all.len() {
            let _ = read_comment(&all[..length]);
        }
    }

    /// A rule that `nft add rule inet ocfbox_portblock input ip daddr 192.0.2.10 tcp dport 80 counter drop comment "c"`
    /// makes too; `nft --debug=netlink` and strace show it so.
    #[test]
    #[cfg(target_endian = "little")]
    fn a_rule_has_the_bytes_that_nft_sends() {
        let ports = Ports::parse(OsStr::new("80")).unwrap();
        let block = Block {
            comment: "c",
            transport: Transport::Tcp,
            ports: &ports,
            network: AddressBlock::parse(OsStr::new("192.0.2.10")).unwrap(),
            sides: &[Side::In],
            answer: Answer::Drop,
        };
        let command = new_rule(&block, Side::In, &(80..=80));
        let bytes = message(command.kind, command.flags, &FAMILY, &command.attributes);
        let octets: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let hex = octets.concat();
        assert!(hex.ends_with(&format!("a8010480{NFT_RULE}")), "{hex}");
    }

    /// The list of expressions and the comment, as strace shows them.
    #[cfg(target_endian = "little")]
    const NFT_RULE: &str = "\
        24000180090001006d6574610000000014000280080002000000000f08000100000000012c00018008000100636d7000\
        20000280080001000000000108000200000000000c0003800500010002000000340001800c0001007061796c6f616400\
        2400028008000100000000010800020000000001080003000000001008000400000000042c00018008000100636d7000\
        20000280080001000000000108000200000000000c00038008000100c000020a24000180090001006d65746100000000\
        14000280080002000000001008000100000000012c00018008000100636d700020000280080001000000000108000200\
        000000000c0003800500010006000000340001800c0001007061796c6f61640024000280080001000000000108000200\
        00000002080003000000000208000400000000022c00018008000100636d700020000280080001000000000108000200\
        000000000c0003800600010000500000140001800c000100636f756e7465720004000280300001800e000100696d6d65\
        64696174650000001c0002800800010000000000100002800c00028008000100000000000800070000026300\
        ";

    proptest! {
        #[test]
        fn no_bytes_make_the_readers_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_rule(&bytes);
            let _ = read_comment(&bytes);
        }
    }
}
