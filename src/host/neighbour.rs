//! What the kernel knows of other hosts' hardware addresses.

#![forbid(unsafe_code)]

use std::net::IpAddr;

use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage};

use super::arp::Mac;
use super::net::Net;
use crate::error::Result;

impl Net {
    /// The IP addresses that the neighbour tables have at `mac`, on whichever interface.
    ///
    /// # Errors
    /// The kernel could not tell.
    pub fn known_at(&self, mac: Mac) -> Result<Vec<IpAddr>> {
        let question = RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default());
        let mut found = Vec::new();
        for object in self.dump("list neighbours", question)? {
            if let RouteNetlinkMessage::NewNeighbour(message) = object {
                found.extend(address_at(&message, mac));
            }
        }
        Ok(found)
    }
}

fn address_at(message: &NeighbourMessage, mac: Mac) -> Option<IpAddr> {
    let attributes = &message.attributes;
    let there = attributes.iter().any(
        |attribute| matches!(attribute, NeighbourAttribute::LinkLayerAddress(at) if *at == mac),
    );
    let ip = attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => Some(IpAddr::V4(*ip)),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(ip)) => Some(IpAddr::V6(*ip)),
        _ => None,
    });
    ip.filter(|_| there)
}
