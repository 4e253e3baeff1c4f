//! Hardware addresses of interfaces, and drivers that change them only while the interface is down.

#![forbid(unsafe_code)]

use std::net::IpAddr;

use nix::errno::Errno;
use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::AddressFlags;
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage};
use rtnetlink::packet_route::route::{RouteAttribute, RouteMessage, RouteProtocol};

use super::address::{Address, family, is_link_local};
use super::arp::{self, Mac};
use super::link::Link;
use super::net::Net;
use super::refusal::Refusal;
use crate::error::{Error, Result};
use crate::trace_note;

/// What to do where the interface has to go down for a moment, and carries what would go with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// Refuse, and say what it is.
    Refused,
    /// Put it back afterwards.
    Mended,
}

const FAMILIES: [IpAddr; 2] =
    [IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED)];

impl Net {
    /// Gives an interface another hardware address, and looks that it has it.
    ///
    /// # Errors
    /// The driver cannot, or not now.
    pub fn set_hardware_address(&self, link: &Link, mac: Mac, outage: Outage) -> Result<()> {
        match self.try_hardware_address(link, mac) {
            // What drivers without IFF_LIVE_ADDR_CHANGE answer (eth_prepare_mac_addr_change in the kernel).
            Err(refusal) if refusal.errno() == Some(Errno::EBUSY) && link.up => {
                trace_note!("{} changes its hardware address only while it is down", link.name);
                self.set_hardware_address_while_down(link, mac, outage)
            }
            Err(refusal) => Err(unwilling(refusal, &change(link, mac))),
            Ok(()) => self.confirm_hardware_address(link, mac),
        }
    }

    /// The same for a driver that wants the interface down meanwhile, which takes addresses and routes along.
    ///
    /// # Errors
    /// The driver cannot; or there is something that would go, and this is refused.
    pub fn set_hardware_address_while_down(
        &self,
        link: &Link,
        mac: Mac,
        outage: Outage,
    ) -> Result<()> {
        let carried = self.carried_by(link)?;
        if outage == Outage::Refused && !carried.is_empty() {
            return Err(Error::Failed(format!(
                "cannot {}: its driver wants it down first, which would cut off {}; \
                 take a card without addresses, or mode=macvlan",
                change(link, mac),
                carried.first_words()
            )));
        }
        self.set_down(link)?;
        let changed = self.try_hardware_address(link, mac);
        self.set_up(link)?;
        self.put_back(link, carried)?;
        changed.map_err(|refusal| unwilling(refusal, &change(link, mac)))?;
        self.confirm_hardware_address(link, mac)
    }

    fn try_hardware_address(&self, link: &Link, mac: Mac) -> Result<(), Refusal> {
        let mut message = LinkMessage::default();
        message.header.index = link.index;
        message.attributes.push(LinkAttribute::Address(mac.to_vec()));
        self.change(&change(link, mac), RouteNetlinkMessage::SetLink(message), 0)
    }

    fn confirm_hardware_address(&self, link: &Link, mac: Mac) -> Result<()> {
        let what = change(link, mac);
        match self.link(link.index)? {
            Some(now) if now.hardware != mac => Err(Error::Failed(format!(
                "cannot {what}: the driver said yes and kept {}; use mode=macvlan",
                arp::text(&now.hardware)
            ))),
            Some(_) => Ok(()),
            None => Err(Error::Failed(format!("cannot {what}: the interface is gone"))),
        }
    }

    /// Addresses other than link-local ones, and routes that the kernel did not make by itself.
    fn carried_by(&self, link: &Link) -> Result<Carried> {
        let mut carried = Carried { addresses: self.global_addresses(link)?, routes: Vec::new() };
        for any in FAMILIES {
            let mut message = RouteMessage::default();
            message.header.address_family = family(any);
            for object in self.dump("list routes", RouteNetlinkMessage::GetRoute(message))? {
                if let RouteNetlinkMessage::NewRoute(route) = object
                    && leads_through(&route, link.index)
                    && ![RouteProtocol::Kernel, RouteProtocol::Ra].contains(&route.header.protocol)
                {
                    carried.routes.push(route);
                }
            }
        }
        Ok(carried)
    }

    /// The addresses of an interface that mean something beyond its link, and that somebody gave to it: those that the
    /// kernel made of a router's advertisement come by themselves, and come back.
    ///
    /// # Errors
    /// The kernel could not tell.
    pub fn global_addresses(&self, link: &Link) -> Result<Vec<Address>> {
        let mut found = Vec::new();
        for any in FAMILIES {
            let addresses = self.addresses(any, Some(link.index))?;
            found.extend(
                addresses
                    .into_iter()
                    .filter(|address| !is_link_local(address.ip) && !is_advertised(address)),
            );
        }
        Ok(found)
    }

    /// What went with the interface: IPv6 addresses, of which the kernel lists the newest first, and routes.
    fn put_back(&self, link: &Link, carried: Carried) -> Result<()> {
        for mut address in carried.addresses.into_iter().rev() {
            if self.places_of(address.ip, Some(link.index))?.is_empty() {
                address.flags.remove(AddressFlags::Secondary | AddressFlags::Permanent);
                address.flags.remove(AddressFlags::Tentative);
                if address.ip.is_ipv6() {
                    // Nobody had the chance to take it.
                    address.flags |= AddressFlags::Nodad;
                }
                self.add(&address, &link.name)?;
            }
        }
        for route in carried.routes {
            let what = format!("put a route through {} back", link.name);
            let message = RouteNetlinkMessage::NewRoute(route);
            match self.change(&what, message, NLM_F_CREATE | NLM_F_EXCL) {
                Err(refusal) if refusal.errno() != Some(Errno::EEXIST) => {
                    return Err(refusal.doing(&what));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// What is being done, for the text of an error.
fn change(link: &Link, mac: Mac) -> String {
    format!("set the hardware address of {} to {}", link.name, arp::text(&mac))
}

/// What an interface takes along when it is set down.
struct Carried {
    addresses: Vec<Address>,
    routes: Vec<RouteMessage>,
}

impl Carried {
    fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.routes.is_empty()
    }

    fn first_words(&self) -> String {
        match self.addresses.first() {
            Some(address) => format!("its address {address}"),
            None => format!("{} route(s) through it", self.routes.len()),
        }
    }
}

/// Whether the kernel made it of a router's advertisement: for as long as that says, or a random one beside such a one
/// (RFC 4862, RFC 8981).
fn is_advertised(address: &Address) -> bool {
    let kinds = AddressFlags::Managetempaddr | AddressFlags::Secondary;
    address.ip.is_ipv6()
        && address.flags.intersects(kinds)
        && !address.flags.contains(AddressFlags::Permanent)
}

fn leads_through(route: &RouteMessage, index: u32) -> bool {
    route.attributes.contains(&RouteAttribute::Oif(index))
}

/// What the driver's refusal means to somebody who wants the address.
fn unwilling(refusal: Refusal, what: &str) -> Error {
    match refusal.errno() {
        Some(Errno::EOPNOTSUPP) => Error::NotInstalled(format!(
            "cannot {what}: its driver cannot change addresses; use mode=macvlan"
        )),
        Some(Errno::EADDRNOTAVAIL) => Error::Failed(format!(
            "cannot {what}: its driver does not accept this address; use another one, or mode=macvlan"
        )),
        Some(Errno::EBUSY) => Error::Failed(format!(
            "cannot {what}: its driver says that it is busy, even while it is down; use mode=macvlan"
        )),
        // A virtual function whose address belongs to the hypervisor answers as if a privilege were missing.
        Some(Errno::EPERM | Errno::EACCES) => Error::NotPermitted(format!(
            "cannot {what}: {refusal}; run it as root with CAP_NET_ADMIN, let the hypervisor allow it, \
             or use mode=macvlan"
        )),
        _ => refusal.doing(what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_way_out() {
        let said = |errno, code| {
            let refusal = Refusal::Kernel { errno, explanation: None };
            let error = unwilling(refusal, "set the hardware address of eth1 to 02:00:00:00:00:01");
            assert!(error.reason().contains("mode=macvlan"), "{error}");
            assert!(error.reason().chars().count() < 199, "{error}");
            assert_eq!(error.code().number(), code, "{error}");
        };
        said(Errno::EOPNOTSUPP, 5);
        said(Errno::EADDRNOTAVAIL, 1);
        said(Errno::EBUSY, 1);
        said(Errno::EPERM, 4);
    }
}
