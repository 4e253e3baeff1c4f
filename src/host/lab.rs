//! Networks that are made for a demonstration: a switch, and cables from it to other namespaces.

#![forbid(unsafe_code)]

use nix::errno::Errno;
use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkInfo, LinkMessage,
};

use super::arp::Mac;
use super::link::Link;
use super::net::Net;
use crate::error::{Error, Result};

/// A pair of veth devices: one end is a port of a switch here, the other a network card elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Cable<'a> {
    /// Name of the end here.
    pub port: &'a str,
    /// Name of the other end.
    pub card: &'a str,
    /// Hardware address of the other end.
    pub mac: Mac,
    /// A process in the network namespace of the other end.
    pub process: u32,
}

impl Net {
    /// Makes a bridge.
    ///
    /// # Errors
    /// The kernel has none, or refused.
    pub fn make_switch(&self, name: &str) -> Result<Link> {
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]),
        ];
        self.make_link(name, "bridge", message)
    }

    /// Makes both ends of a cable and plugs this one into `switch`.
    ///
    /// # Errors
    /// The kernel has no such devices, or refused.
    pub fn make_cable(&self, cable: &Cable<'_>, switch: &Link) -> Result<Link> {
        let mut far = LinkMessage::default();
        far.attributes = vec![
            LinkAttribute::IfName(cable.card.to_owned()),
            LinkAttribute::Address(cable.mac.to_vec()),
            LinkAttribute::NetNsPid(cable.process),
        ];
        let mut near = LinkMessage::default();
        near.attributes = vec![
            LinkAttribute::IfName(cable.port.to_owned()),
            LinkAttribute::Controller(switch.index),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Veth),
                LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(far))),
            ]),
        ];
        self.make_link(cable.port, "veth", near)
    }

    fn make_link(&self, name: &str, kind: &str, message: LinkMessage) -> Result<Link> {
        let what = format!("make the {kind} device {name}");
        self.change(&what, RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
            .map_err(|refusal| match refusal.errno() {
                Some(Errno::EOPNOTSUPP) => Error::NotInstalled(format!(
                    "cannot {what}: this kernel has no {kind} devices; as root, `modprobe {kind}` loads them"
                )),
                _ => refusal.doing(&what),
            })?;
        let made = self.link_named(name)?;
        made.ok_or_else(|| Error::Failed(format!("cannot {what}: it is gone again")))
    }
}
