//! Policy rules (`ip rule`): which table is asked for which packet.

#![forbid(unsafe_code)]

use std::net::IpAddr;

use nix::errno::Errno;
use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL};

use super::address::family;
use super::exact::{Exact, HEADER};
use super::net::Net;
use super::table;
use crate::error::Result;
use crate::param::values::Network;

const NEW_RULE: u16 = 32;
const DELETE_RULE: u16 = 33;
const GET_RULE: u16 = 34;

/// Attributes (`linux/fib_rules.h`, `FRA_*`).
mod fra {
    pub const DESTINATION: u16 = 1;
    pub const INPUT: u16 = 3;
    pub const PRIORITY: u16 = 6;
    pub const SUPPRESS_PREFIX: u16 = 14;
    pub const TABLE: u16 = 15;
    pub const PROTOCOL: u16 = 21;
}

/// What `FRA_SUPPRESS_PREFIXLEN` is when nothing is suppressed.
const NOTHING: u32 = u32::MAX;
/// Asks a table (`FR_ACT_TO_TBL`).
const TO_TABLE: u8 = 1;
/// What this host sends comes in, for the rules, by this interface (`LOOPBACK_IFINDEX`).
const OWN: &[u8] = b"lo\0";
/// A person or a program of this host made it (`RTPROT_STATIC`).
const STATIC: u8 = 4;

/// A rule for what this host itself sends to a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Where the packets go.
    pub to: Network,
    /// The table that is asked.
    pub table: u32,
    /// Its answer counts only if it has a longer prefix than this.
    pub longer_than: Option<u8>,
    /// Rules are asked from the lowest number upwards, those of one number in the order in which they were made.
    pub priority: u32,
}

impl Rule {
    /// What of `message` fits into a rule of ours.
    fn of(message: &Exact) -> Option<Self> {
        let suppressed = message.number(fra::SUPPRESS_PREFIX)?;
        Some(Self {
            to: Network { ip: ip_of(message)?, prefix: message.header[1] },
            table: message.number(fra::TABLE)?,
            longer_than: u8::try_from(suppressed).ok(),
            priority: message.number(fra::PRIORITY)?,
        })
    }

    fn message(&self, kind: u16) -> Exact {
        let table = table::short(self.table);
        let family = u8::from(family(self.to.ip));
        let header = [family, self.to.prefix, 0, 0, table, 0, 0, TO_TABLE, 0, 0, 0, 0];
        let mut message = Exact::new(kind, header);
        let number = |number: u32| Some(number.to_ne_bytes().to_vec());
        let to = match self.to.ip {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        message.set(fra::DESTINATION, (self.to.prefix > 0).then_some(to));
        message.set(fra::INPUT, Some(OWN.to_vec()));
        message.set(fra::PRIORITY, number(self.priority));
        message.set(fra::SUPPRESS_PREFIX, number(self.longer_than.map_or(NOTHING, u32::from)));
        message.set(fra::TABLE, number(self.table));
        message.set(fra::PROTOCOL, Some(vec![STATIC]));
        message
    }
}

/// Where the packets of a rule go.
fn ip_of(rule: &Exact) -> Option<IpAddr> {
    let zeros = [IpAddr::from([0; 4]), IpAddr::from([0; 16])];
    let any = zeros.into_iter().find(|ip| u8::from(family(*ip)) == rule.header[0])?;
    let Some(octets) = rule.get(fra::DESTINATION) else { return Some(any) };
    match any {
        IpAddr::V4(_) => <[u8; 4]>::try_from(octets).map(IpAddr::from).ok(),
        IpAddr::V6(_) => <[u8; 16]>::try_from(octets).map(IpAddr::from).ok(),
    }
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: to {} iif lo lookup {}", self.priority, self.to, self.table)?;
        match self.longer_than {
            Some(length) => write!(f, " suppress_prefixlength {length}"),
            None => Ok(()),
        }
    }
}

/// The rules of a family as they are now, in the order in which they are asked.
#[derive(Clone, Debug)]
pub struct Rules(Vec<Exact>);

impl Rules {
    /// Where `rule` stands among the others, if it is there.
    #[must_use]
    pub fn position(&self, rule: &Rule) -> Option<usize> {
        let wanted = rule.message(NEW_RULE);
        self.0.iter().position(|there| is_same(there, &wanted))
    }

    /// How many rules, of whatever form, ask `table`.
    #[must_use]
    pub fn asking(&self, table: u32) -> usize {
        self.0.iter().filter(|rule| rule.number(fra::TABLE) == Some(table)).count()
    }

    /// Those that have the form of a [`Rule`].
    pub fn plain(&self) -> impl Iterator<Item = Rule> {
        self.0.iter().filter_map(|there| {
            Rule::of(there).filter(|rule| is_same(there, &rule.message(NEW_RULE)))
        })
    }
}

/// Whether two messages are of one rule. Who made it does not tell rules apart.
fn is_same(one: &Exact, other: &Exact) -> bool {
    let core = |rule: &Exact| {
        let mut rule = rule.clone();
        rule.set(fra::PROTOCOL, None);
        rule
    };
    core(one) == core(other)
}

impl Net {
    /// The rules of the family of `like`.
    ///
    /// # Errors
    /// The kernel could not tell.
    pub fn rules(&self, like: IpAddr) -> Result<Rules> {
        let mut header = [0; HEADER];
        header[0] = u8::from(family(like));
        let what = "list rules";
        let mut found = match self.dump_exactly(what, Exact::new(GET_RULE, header), &|_| true) {
            // A kernel without policy routing has none.
            Err(refusal) if refusal.errno() == Some(Errno::EOPNOTSUPP) => Vec::new(),
            other => other.map_err(|refusal| refusal.doing(what))?,
        };
        found.retain(|rule| rule.kind == NEW_RULE && rule.header[0] == header[0]);
        Ok(Rules(found))
    }

    /// Makes a rule; one that is there already is no error.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn add_rule(&self, rule: &Rule) -> Result<()> {
        let what = format!("add the rule {rule}");
        match self.change_exactly(&what, rule.message(NEW_RULE), NLM_F_CREATE | NLM_F_EXCL) {
            Err(refusal) if refusal.errno() != Some(Errno::EEXIST) => Err(refusal.doing(&what)),
            _ => Ok(()),
        }
    }

    /// Deletes that rule; one that is gone already is no error.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn delete_rule(&self, rule: &Rule) -> Result<()> {
        let what = format!("delete the rule {rule}");
        match self.change_exactly(&what, rule.message(DELETE_RULE), 0) {
            Err(refusal) if refusal.errno() != Some(Errno::ENOENT) => Err(refusal.doing(&what)),
            _ => Ok(()),
        }
    }
}
