//! Labels for the choice of IPv6 source addresses (RFC 6724, 2.1; `ip addrlabel`).

#![forbid(unsafe_code)]

use std::net::IpAddr;

use nix::errno::Errno;
use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::addrlabel::{AddrLabelAttribute, AddrLabelMessage};

use super::address::{bits, family};
use super::net::Net;
use crate::error::{Error, Result};

impl Net {
    /// Gives `ip` a label.
    ///
    /// # Errors
    /// The kernel refused, or `ip` has another label, which is somebody else's.
    pub fn add_source_label(&self, ip: IpAddr, label: u32) -> Result<()> {
        match self.source_label(ip)? {
            Some(same) if same == label => Ok(()),
            Some(other) => Err(Error::Failed(format!(
                "{ip} has the address label {other} already (`ip addrlabel`), so it does not get {label}"
            ))),
            None => {
                let message = RouteNetlinkMessage::NewAddrLabel(rule(ip, label));
                let what = format!("give {ip} the address label {label}");
                self.change(&what, message, NLM_F_CREATE | NLM_F_EXCL)
                    .map_err(|refusal| refusal.doing(&what))
            }
        }
    }

    /// Takes the label away from `ip` if it is `label`: any other is somebody else's.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn remove_source_label(&self, ip: IpAddr, label: u32) -> Result<()> {
        if self.source_label(ip)? != Some(label) {
            return Ok(());
        }
        let what = format!("take the address label {label} from {ip}");
        match self.change(&what, RouteNetlinkMessage::DelAddrLabel(rule(ip, label)), 0) {
            Err(refusal) if refusal.errno() != Some(Errno::ESRCH) => Err(refusal.doing(&what)),
            _ => Ok(()),
        }
    }

    /// The label of a rule that is for `ip` alone.
    fn source_label(&self, ip: IpAddr) -> Result<Option<u32>> {
        let mut message = AddrLabelMessage::default();
        message.header.family = family(ip);
        let found = self.dump("list address labels", RouteNetlinkMessage::GetAddrLabel(message))?;
        Ok(found.iter().find_map(|object| match object {
            RouteNetlinkMessage::NewAddrLabel(rule) => label_for(rule, ip),
            _ => None,
        }))
    }
}

fn rule(ip: IpAddr, label: u32) -> AddrLabelMessage {
    let mut message = AddrLabelMessage::default();
    message.header.family = family(ip);
    message.header.prefix_len = bits(ip);
    message.attributes = vec![AddrLabelAttribute::Address(ip), AddrLabelAttribute::Label(label)];
    message
}

fn label_for(rule: &AddrLabelMessage, ip: IpAddr) -> Option<u32> {
    let alone = rule.header.prefix_len == bits(ip)
        && rule.attributes.contains(&AddrLabelAttribute::Address(ip));
    let label = rule.attributes.iter().find_map(|attribute| match attribute {
        AddrLabelAttribute::Label(label) => Some(*label),
        _ => None,
    });
    label.filter(|_| alone)
}
