//! What can be asked and done about exact routes.

#![forbid(unsafe_code)]

use std::fmt::Write;
use std::net::IpAddr;

use nix::errno::Errno;
use rtnetlink::packet_core::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};

use super::address::family;
use super::exact::{Exact, HEADER};
use super::net::Net;
use super::refusal::Refusal;
use super::route::{MAIN_TABLE, protocol_name};
use super::routing::{ExactRoute, NO_INTERFACE};
use crate::error::Result;

const DELETE_ROUTE: u16 = 25;
const GET_ROUTE: u16 = 26;
/// `RTA_TABLE`.
const TABLE: u16 = 15;

impl Net {
    /// The routes of a table, of the family of `like`, that `wanted` wants, in the kernel's order. `lengths` are the
    /// prefix lengths that can be wanted; all if there are none.
    ///
    /// # Errors
    /// The kernel could not tell.
    pub fn exact_routes(
        &self,
        like: IpAddr,
        table: u32,
        lengths: &[u8],
        wanted: impl Fn(&ExactRoute) -> bool,
    ) -> Result<Vec<ExactRoute>> {
        let what = format!(
            "list {} routes of table {table}",
            if like.is_ipv4() { "IPv4" } else { "IPv6" }
        );
        let mut header = [0; HEADER];
        header[0] = u8::from(family(like));
        let mut question = Exact::new(GET_ROUTE, header);
        question.set(TABLE, Some(table.to_ne_bytes().to_vec()));
        let of_length = |bytes: &[u8]| {
            lengths.is_empty() || bytes.get(1).is_some_and(|length| lengths.contains(length))
        };
        let found = match self.dump_exactly(&what, question, &of_length) {
            // A table is made by its first route.
            Err(refusal) if refusal.errno() == Some(Errno::ENOENT) => Vec::new(),
            other => other.map_err(|refusal| refusal.doing(&what))?,
        };
        let routes = found.into_iter().filter_map(ExactRoute::of);
        // A kernel without strict checking sends all tables.
        Ok(routes.filter(|route| route.table() == table && wanted(route)).collect())
    }

    /// Puts `route` in the place of the first one of its identity, in one step: no packet finds no route.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn replace_route(&self, route: &ExactRoute) -> Result<(), Refusal> {
        let what = format!("replace the route {}", self.describe(route));
        self.change_exactly(&what, route.message.clone(), NLM_F_REPLACE)
    }

    /// Adds a route where none of its identity is.
    ///
    /// # Errors
    /// The kernel's refusal; `EEXIST` if there is one.
    pub fn add_route(&self, route: &ExactRoute) -> Result<(), Refusal> {
        let what = format!("add the route {}", self.describe(route));
        self.change_exactly(&what, route.message.clone(), NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Adds a route behind others of its identity.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn append_route(&self, route: &ExactRoute) -> Result<(), Refusal> {
        let what = format!("append the route {}", self.describe(route));
        self.change_exactly(&what, route.message.clone(), NLM_F_CREATE | NLM_F_APPEND)
    }

    /// Deletes that route; one that is gone already is no error.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn delete_route(&self, route: &ExactRoute) -> Result<(), Refusal> {
        let what = format!("delete the route {}", self.describe(route));
        let mut message = route.message.clone();
        message.kind = DELETE_ROUTE;
        match self.change_exactly(&what, message, 0) {
            Err(refusal)
                if matches!(
                    refusal.errno(),
                    Some(Errno::ESRCH | Errno::ENODEV | Errno::ENOENT)
                ) =>
            {
                Ok(())
            }
            other => other,
        }
    }

    /// A route in the words of `ip route`, as far as a person needs them to find it.
    #[must_use]
    pub fn describe(&self, route: &ExactRoute) -> String {
        let identity = route.identity();
        let mut words = identity.network.to_string();
        for (index, gateway) in route.nexthops() {
            if let Some(gateway) = gateway {
                let _ = write!(words, " via {gateway}");
            }
            if *index != NO_INTERFACE {
                let link = self.link(*index).ok().flatten();
                let name = link.map_or(format!("number {index}"), |link| link.name);
                let _ = write!(words, " dev {name}");
            }
        }
        if identity.table != MAIN_TABLE {
            let _ = write!(words, " table {}", identity.table);
        }
        let _ = write!(words, " proto {}", protocol_name(route.protocol()));
        if identity.metric != 0 {
            let _ = write!(words, " metric {}", identity.metric);
        }
        if let Some(source) = route.source() {
            let _ = write!(words, " src {source}");
        }
        words
    }

    /// When the kernel got the address `ip`, in hundredths of a second since boot (`struct ifa_cacheinfo`): an address that
    /// went and came back has another birth. None if no interface has it.
    ///
    /// # Errors
    /// The kernel could not tell.
    pub fn birth_of(&self, ip: IpAddr) -> Result<Option<u32>> {
        let mut message = AddressMessage::default();
        message.header.family = family(ip);
        let found = self.dump("list addresses", RouteNetlinkMessage::GetAddress(message))?;
        Ok(found.iter().find_map(|object| match object {
            RouteNetlinkMessage::NewAddress(address) => birth(address, ip),
            _ => None,
        }))
    }
}

fn birth(address: &AddressMessage, ip: IpAddr) -> Option<u32> {
    let all = &address.attributes;
    let local = all.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(local) => Some(*local),
        _ => None,
    });
    let plain = || {
        all.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(plain) => Some(*plain),
            _ => None,
        })
    };
    let created = all.iter().find_map(|attribute| match attribute {
        AddressAttribute::CacheInfo(info) => Some(info.cstamp),
        _ => None,
    });
    (local.or_else(plain)? == ip).then(|| created.unwrap_or(0))
}
