//! macvlan devices: cards with hardware addresses of their own on the cable of another one.

#![forbid(unsafe_code)]

use nix::errno::Errno;
use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{
    InfoData, InfoKind, InfoMacVlan, LinkAttribute, LinkInfo, LinkMessage, MacVlanMode,
};

use super::arp::Mac;
use super::link::Link;
use super::net::Net;
use crate::error::{Error, Result};

/// Which other macvlan devices of the same parent one can talk to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// None of them.
    Private,
    /// Those in this mode.
    Bridge,
    /// Something that nobody here makes.
    Other,
}

impl Mode {
    /// From the kernel's message.
    #[must_use]
    pub fn of(mode: MacVlanMode) -> Self {
        match mode {
            MacVlanMode::Private => Self::Private,
            MacVlanMode::Bridge => Self::Bridge,
            _ => Self::Other,
        }
    }

    /// In the words of `ip link`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Bridge => "bridge",
            Self::Other => "another",
        }
    }

    const fn number(self) -> MacVlanMode {
        match self {
            Self::Bridge => MacVlanMode::Bridge,
            Self::Private | Self::Other => MacVlanMode::Private,
        }
    }
}

impl Net {
    /// Makes a macvlan device, which is down; with a hardware address of the kernel's choice if none is given.
    ///
    /// A given address counts as set by somebody, so that the persistent ones of udev leave it alone.
    ///
    /// # Errors
    /// The kernel has no such devices, the name is taken, or the parent can have none.
    pub fn make_macvlan(
        &self,
        name: &str,
        parent: &Link,
        mac: Option<Mac>,
        mode: Mode,
    ) -> Result<Link> {
        let what = format!("make the macvlan device {name} on {}", parent.name);
        let mut message = LinkMessage::default();
        let attributes = &mut message.attributes;
        attributes.push(LinkAttribute::IfName(name.to_owned()));
        attributes.push(LinkAttribute::Link(parent.index));
        attributes.extend(mac.map(|mac| LinkAttribute::Address(mac.to_vec())));
        attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::MacVlan),
            LinkInfo::Data(InfoData::MacVlan(vec![InfoMacVlan::Mode(mode.number())])),
        ]));
        self.change(&what, RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
            .map_err(|refusal| match refusal.errno() {
                // Also the answer for a parent that cannot have any, which callers exclude first.
                Some(Errno::EOPNOTSUPP) => Error::NotInstalled(format!(
                    "cannot {what}: {refusal}; as root, `modprobe macvlan` loads the driver"
                )),
                _ => refusal.doing(&what),
            })?;
        let link = self.link_named(name)?;
        link.ok_or_else(|| Error::Failed(format!("cannot {what}: it is gone again")))
    }

    /// Removes an interface; one that is gone already is no error.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn delete(&self, link: &Link) -> Result<()> {
        let what = format!("delete the interface {}", link.name);
        let mut message = LinkMessage::default();
        message.header.index = link.index;
        match self.change(&what, RouteNetlinkMessage::DelLink(message), 0) {
            Err(refusal) if refusal.errno() != Some(Errno::ENODEV) => Err(refusal.doing(&what)),
            _ => Ok(()),
        }
    }

    /// Says of an interface what it is for, where `ip link` shows it.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn set_alias(&self, link: &Link, alias: &str) -> Result<()> {
        let what = format!("set the alias of {}", link.name);
        let mut message = LinkMessage::default();
        message.header.index = link.index;
        message.attributes.push(LinkAttribute::IfAlias(alias.to_owned()));
        self.change(&what, RouteNetlinkMessage::SetLink(message), 0)
            .map_err(|refusal| refusal.doing(&what))
    }
}
