//! Another source without a change of any route: a table with copies of the routes, and rules that lead to it.
//!
//! For each network there are two rules. The first asks the table of the original, and lets only an answer count that is
//! more specific than the network, so that such routes go on to be used; the second asks the copies. Both are for what
//! this host sends itself (`iif lo`; ip-rule(8)): what it forwards goes its way as before. Longer prefixes come first,
//! and all come before the main table (32766), but behind rules that are made without a priority.

#![forbid(unsafe_code)]

use super::memory::Memory;
use super::{ByRules, Wanted};
use crate::agent::{Cx, Status};
use crate::error::{Error, Result};
use crate::host::net::Net;
use crate::host::routing::{ExactRoute, Identity};
use crate::host::rule::{Rule, Rules};
use crate::param::values::Network;

/// The table of a resource, and the rules that lead to it.
pub(super) struct Own<'a> {
    wanted: &'a Wanted,
    /// Of the copies.
    table: u32,
    /// Nobody else uses the table, since its number was derived.
    derived: bool,
    /// Of the originals.
    originals_in: u32,
    priority: u32,
}

/// What of it is there.
struct Found {
    copies: Vec<ExactRoute>,
    rules: Rules,
}

impl<'a> Own<'a> {
    pub fn of(wanted: &'a Wanted, by_rules: ByRules, originals_in: u32) -> Self {
        let table = by_rules.table.unwrap_or_else(|| derived(wanted));
        let derived = by_rules.table.is_none();
        Self { wanted, table, derived, originals_in, priority: by_rules.priority }
    }

    fn look(&self, net: &Net) -> Result<Found> {
        let copies = net.exact_routes(self.wanted.ip, self.table, &[], |_| true)?;
        Ok(Found { copies, rules: net.rules(self.wanted.ip)? })
    }

    fn copy(&self, original: &ExactRoute) -> ExactRoute {
        original.in_table(self.table).with_source(Some(self.wanted.ip))
    }

    /// The rules for a network: what is more specific elsewhere, and ours.
    fn rules(&self, to: Network) -> [Rule; 2] {
        let priority = self.priority.saturating_sub(to.prefix.into());
        let elsewhere =
            Rule { to, table: self.originals_in, longer_than: Some(to.prefix), priority };
        [elsewhere, Rule { to, table: self.table, longer_than: None, priority }]
    }

    /// # Errors
    /// A part of it is there, or the originals are no longer what was copied.
    pub fn status(&self, memory: Option<&Memory>, net: &Net) -> Result<Status> {
        let found = self.look(net)?;
        if found.copies.is_empty() && found.rules.asking(self.table) == 0 {
            return Ok(Status::NotRunning);
        }
        let ip = self.wanted.ip;
        let networks: Vec<Network> = match memory {
            Some(memory) => memory.originals.iter().map(|(_, route)| route.network()).collect(),
            None => vec![self.wanted.destination],
        };
        for network in networks {
            let [elsewhere, ours] = self.rules(network).map(|rule| found.rules.position(&rule));
            if ours.is_none() || elsewhere.is_none() || elsewhere > ours {
                return Err(Error::Failed(format!(
                    "the rules that lead connections to {network} to table {} with the source {ip} are not there, or in another order",
                    self.table
                )));
            }
            let copied =
                |route: &ExactRoute| route.network() == network && route.source() == Some(ip);
            self.refuse_earlier_rule(&found, network)?;
            if !found.copies.iter().any(copied) {
                return Err(Error::Failed(format!(
                    "table {} has no route to {network} with the source {ip}; somebody deleted it, or it went with the address or its link",
                    self.table
                )));
            }
        }
        memory.map_or(Ok(()), |memory| self.refuse_stale(memory, net))?;
        Ok(Status::Running)
    }

    /// A copy does not follow its original: with another gateway it leads nowhere.
    fn refuse_stale(&self, memory: &Memory, net: &Net) -> Result<()> {
        let like = super::standing::like(memory, net)?;
        for ((_, original), like) in memory.originals.iter().zip(like) {
            if like.iter().any(|route| route.is_alike(original)) {
                continue;
            }
            let now = like
                .first()
                .map_or("gone".to_owned(), |route| format!("now {}", net.describe(route)));
            return Err(Error::Failed(format!(
                "{}, of which table {} has a copy, is {now}; a restart copies it anew",
                net.describe(original),
                self.table
            )));
        }
        Ok(())
    }

    /// A rule leads all connections by the copy, and so another way than they would go if another route is used.
    fn refuse_detour(&self, original: &ExactRoute, net: &Net) -> Result<()> {
        let Identity { network, service, .. } = original.identity();
        let there =
            net.exact_routes(self.wanted.ip, self.originals_in, &[network.prefix], |route| {
                route.network() == network && route.identity().service == service
            })?;
        match there.iter().min_by_key(|route| route.identity().metric) {
            Some(used) if used != original => Err(Error::Failed(format!(
                "set mode=route, or give another metric: {} comes before {}, and by a copy of this one connections would go another way",
                net.describe(used),
                net.describe(original)
            ))),
            _ => Ok(()),
        }
    }

    /// # Errors
    /// Somebody else uses the table, or has rules that come before ours; or connections take other routes than those
    /// of `memory`.
    pub fn refuse_others(&self, memory: &Memory, net: &Net) -> Result<()> {
        let found = self.look(net)?;
        if !found.copies.is_empty() || found.rules.asking(self.table) > 0 {
            return Err(Error::Failed(format!(
                "table {} has {} route(s) and {} rule(s) of somebody else; give rule_table the number of a free table",
                self.table,
                found.copies.len(),
                found.rules.asking(self.table)
            )));
        }
        for (_, original) in &memory.originals {
            self.refuse_earlier_rule(&found, original.network())?;
            self.refuse_detour(original, net)?;
        }
        Ok(())
    }

    /// Of two rules for the same connections only the first is of any effect.
    fn refuse_earlier_rule(&self, found: &Found, network: Network) -> Result<()> {
        let [_, ours] = self.rules(network);
        let place = found.rules.position(&ours);
        let earlier = found.rules.plain().find(|rule| {
            rule.to == network
                && rule.longer_than.is_none()
                && ![self.table, self.originals_in].contains(&rule.table)
                && rule.priority <= ours.priority
                && place.is_none_or(|place| found.rules.position(rule) < Some(place))
        });
        earlier.map_or(Ok(()), |rule| Err(led_away(network, &rule)))
    }

    /// Copies the routes of `memory` and makes the rules.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn make(&self, memory: &Memory, net: &Net) -> Result<()> {
        for (at, (_, original)) in memory.originals.iter().enumerate() {
            let mut copy = self.copy(original);
            if let (Some(preference), true) =
                (self.wanted.preference, at + 1 == memory.originals.len())
            {
                copy = copy.with_preference(preference);
            }
            net.add_route(&copy)
                .map_err(|refusal| refusal.doing(&format!("add {}", net.describe(&copy))))?;
        }
        for (_, original) in &memory.originals {
            for rule in self.rules(original.network()) {
                net.add_rule(&rule)?;
            }
        }
        Ok(())
    }

    /// Removes rules and copies.
    ///
    /// # Errors
    /// The kernel refused, or something of it is left.
    pub fn remove(&self, memory: Option<&Memory>, cx: &Cx<'_>, net: &Net) -> Result<()> {
        let found = self.look(net)?;
        let copies: Vec<ExactRoute> =
            found.copies.iter().filter(|route| self.is_ours(route, memory)).cloned().collect();
        for network in self.networks(&found, &copies, memory) {
            let [elsewhere, ours] = self.rules(network);
            let plain: Vec<Rule> = found.rules.plain().collect();
            if plain.contains(&ours) {
                net.delete_rule(&ours)?;
            }
            // Another resource may have the same network, and needs this rule as well.
            let shared = plain.iter().any(|rule| {
                (rule.to, rule.priority, rule.longer_than) == (network, ours.priority, None)
                    && rule.table != self.table
            });
            if !shared && plain.contains(&elsewhere) {
                net.delete_rule(&elsewhere)?;
            }
        }
        for copy in &copies {
            net.delete_route(copy)
                .map_err(|refusal| refusal.doing(&format!("delete {}", net.describe(copy))))?;
        }
        if !copies.is_empty() {
            cx.log.info(&format!(
                "{} is no longer the source of {}",
                self.wanted.ip,
                net.describe(&copies[copies.len() - 1])
            ));
        }
        let left = self.look(net)?;
        if left.copies.iter().any(|route| self.is_ours(route, memory)) {
            return Err(Error::Failed(format!(
                "table {} has its routes again; find out what re-adds them",
                self.table
            )));
        }
        Ok(())
    }

    /// Networks for which there may be rules of ours, whatever became of the memory.
    fn networks(
        &self,
        found: &Found,
        copies: &[ExactRoute],
        memory: Option<&Memory>,
    ) -> Vec<Network> {
        let mut networks: Vec<Network> = copies.iter().map(ExactRoute::network).collect();
        networks.extend(
            found
                .rules
                .plain()
                .filter(|rule| rule.table == self.table && rule.longer_than.is_none())
                .map(|rule| rule.to),
        );
        networks.extend(
            memory
                .into_iter()
                .flat_map(|memory| &memory.originals)
                .map(|(_, route)| route.network()),
        );
        networks.sort_unstable_by_key(|network| (network.prefix, network.ip));
        networks.dedup();
        networks
    }

    /// IPv6 routes lose their source with the address, and stay.
    fn is_ours(&self, route: &ExactRoute, memory: Option<&Memory>) -> bool {
        let copied =
            |(_, original): &(String, ExactRoute)| original.in_table(self.table).is_alike(route);
        self.derived
            || route.source() == Some(self.wanted.ip)
            || memory.is_some_and(|memory| memory.originals.iter().any(copied))
    }
}

/// Rules that lead connections away from the route whose source is to be changed.
///
/// # Errors
/// There is one, and a change of the route would be of no effect.
pub(super) fn refuse_rules_of_others(wanted: &Wanted, table: u32, net: &Net) -> Result<()> {
    let network = wanted.destination;
    let rules = net.rules(wanted.ip)?;
    let leads_away =
        |rule: &Rule| rule.to == network && rule.longer_than.is_none() && rule.table != table;
    rules.plain().find(leads_away).map_or(Ok(()), |rule| Err(led_away(network, &rule)))
}

fn led_away(network: Network, rule: &Rule) -> Error {
    Error::Failed(format!(
        "another resource leads connections to {network} elsewhere ({rule}); stop that one, or give another destination"
    ))
}

/// A number that follows from what tells the resource from others, beyond those that people use. By FNV-1a, which stays
/// the same from release to release.
fn derived(wanted: &Wanted) -> u32 {
    let hash = wanted
        .key()
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash | 0x1000_0000
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn wanted(ip: &str) -> Wanted {
        let ip: IpAddr = ip.parse().unwrap();
        Wanted {
            ip,
            prefix: None,
            destination: Network::everything(ip),
            table: None,
            protocol: None,
            metric: None,
            preference: None,
            nic: None,
            local_route: false,
            by_rules: None,
        }
    }

    /// Another release must find the table of this one.
    #[test]
    fn the_number_of_a_table_stays_and_differs() {
        let numbers = ["192.0.2.10", "192.0.2.11", "2001:db8::10"].map(|ip| derived(&wanted(ip)));
        assert_eq!(numbers[0], derived(&wanted("192.0.2.10")));
        assert!(numbers[0] != numbers[1] && numbers.iter().all(|number| *number >= 0x1000_0000));
    }
}
