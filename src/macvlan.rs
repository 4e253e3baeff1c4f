//! A macvlan device that an action makes, and knows again.
//!
//! Its alias (`ip link set alias`) says whose it is. The kernel takes no alias in the moment of making, so that a file
//! tells beforehand what is about to be made: a device that a killed start left without an alias is known by it.
//! Afterwards the file has the device's number, by which it is known if somebody gives it another alias. What has
//! neither is somebody else's, whatever its name.

#![forbid(unsafe_code)]

use crate::agent::Cx;
use crate::error::{Error, Result};
use crate::host::arp::{self, Mac};
use crate::host::link::{Link, PortOf};
use crate::host::macvlan::Mode;
use crate::host::namespace;
use crate::host::net::Net;
use crate::state::StateFile;

/// A macvlan device and how it is to be.
#[derive(Clone, Debug)]
pub struct Macvlan {
    /// Its name.
    pub name: String,
    /// The interface on whose cable it is, by name or alternative name.
    pub parent: String,
    /// Its hardware address; without one, any is right.
    pub mac: Option<Mac>,
    /// Which others of the same parent it can talk to.
    pub mode: Mode,
    /// The alias by which it is ours.
    pub marker: String,
    /// A file of the shell agent, which says that a device of that name is not somebody else's.
    pub predecessor: Option<StateFile>,
}

/// What there is of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing, and nothing else of its name.
    Absent,
    /// Something else of its name, and what it is.
    Foreign(String),
    /// It is there; with each difference in words.
    Ours(Link, Vec<String>),
}

impl Macvlan {
    /// Looks for it by its name, and unless it is just right there, for everything that is ours.
    ///
    /// # Errors
    /// The kernel could not tell.
    pub fn find(&self, net: &Net, cx: &Cx<'_>) -> Result<Found> {
        let named = net.link_named(&self.name)?;
        let parent = net.link_named(&self.parent)?;
        let ours = match named.as_ref().filter(|link| self.is_ours(link, cx)) {
            Some(link) => Some(link.clone()),
            None => self.all(net, cx)?.into_iter().next(),
        };
        if let Some(mut link) = ours {
            let differences = self.differences(&link, parent.as_ref());
            // Its own carrier follows that of its parent with up to a second's delay.
            link.carrier &= parent.is_none_or(|parent| parent.carrier);
            return Ok(Found::Ours(link, differences));
        }
        Ok(named.map_or(Found::Absent, |link| {
            let kind = if link.macvlan.is_some() { "a macvlan device" } else { "an interface" };
            Found::Foreign(format!("{kind} of that name is there, which is somebody else's"))
        }))
    }

    /// Something else has the name.
    ///
    /// # Errors
    /// It does.
    pub fn refuse_foreign(&self, net: &Net, cx: &Cx<'_>) -> Result<()> {
        match self.find(net, cx)? {
            Found::Foreign(what) => Err(Error::Failed(format!(
                "cannot make {}: {what}; remove it, or give another name",
                self.name
            ))),
            _ => Ok(()),
        }
    }

    /// The marker as one word, for locks and for who needs a setting.
    #[must_use]
    pub fn marker_word(&self) -> String {
        self.marker.replace([' ', ','], "-")
    }

    /// Whether this very device was made for this very purpose.
    #[must_use]
    pub fn is_ours(&self, link: &Link, cx: &Cx<'_>) -> bool {
        if link.macvlan.is_none() {
            return false;
        }
        if link.alias.as_ref() == Some(&self.marker) {
            return true;
        }
        let written = self.record(cx).read().ok().flatten().unwrap_or_default();
        written == self.made(link)
            || link.alias.is_none()
                && (self.is_announced(link, &written) || self.is_predecessors(link))
    }

    /// A start was killed before it could set the alias.
    fn is_announced(&self, link: &Link, written: &str) -> bool {
        link.name == self.name
            && link.parent.is_some_and(|parent| written == self.intent(parent))
            && self.mac.is_none_or(|mac| link.hardware == mac)
    }

    /// The shell agent made it, and left its file.
    fn is_predecessors(&self, link: &Link) -> bool {
        link.name == self.name
            && self.predecessor.as_ref().is_some_and(|file| matches!(file.read(), Ok(Some(_))))
    }

    fn differences(&self, link: &Link, parent: Option<&Link>) -> Vec<String> {
        let mut found = Vec::new();
        if link.name != self.name {
            found.push(format!("its name is {} instead of {}", link.name, self.name));
        }
        if parent.is_none_or(|parent| link.parent != Some(parent.index)) {
            found.push(format!("it is not on {}", self.parent));
        }
        if let Some(mac) = self.mac
            && link.hardware != mac
        {
            let (actual, wanted) = (arp::text(&link.hardware), arp::text(&mac));
            found.push(format!("its hardware address is {actual} instead of {wanted}"));
        }
        if let Some(mode) = link.macvlan
            && mode != self.mode
        {
            found.push(format!("its mode is {} instead of {}", mode.word(), self.mode.word()));
        }
        found
    }

    /// All that is ours.
    fn all(&self, net: &Net, cx: &Cx<'_>) -> Result<Vec<Link>> {
        let mut links = net.links()?;
        links.retain(|link| self.is_ours(link, cx));
        Ok(links)
    }

    /// Makes it; it is down.
    ///
    /// # Errors
    /// The kernel refused; nothing is left then.
    pub fn make(&self, parent: &Link, net: &Net, cx: &Cx<'_>) -> Result<Link> {
        let record = self.record(cx);
        record.write(&self.intent(parent.index))?;
        let made = net.make_macvlan(&self.name, parent, self.mac, self.mode)?;
        let marked = net.set_alias(&made, &self.marker);
        match marked.and_then(|()| record.write(&self.made(&made))) {
            Ok(()) => Ok(made),
            Err(error) => Err(error.and(net.delete(&made).err().into_iter().collect())),
        }
    }

    /// Removes all that is ours, and looks that it is gone.
    ///
    /// # Errors
    /// The kernel refused, or something makes it again.
    pub fn remove(&self, net: &Net, cx: &Cx<'_>) -> Result<()> {
        for link in self.all(net, cx)? {
            net.delete(&link)?;
            cx.log.info(&format!("removed {}", link.name));
        }
        if let Some(link) = self.all(net, cx)?.first() {
            return Err(Error::Failed(format!(
                "{} was removed and is there again; something on this host makes it",
                link.name
            )));
        }
        if let Some(file) = &self.predecessor {
            file.remove()?;
        }
        self.record(cx).remove()
    }

    fn record(&self, cx: &Cx<'_>) -> StateFile {
        cx.state.file(&format!("macvlan-{}-{}", namespace::identity(), self.name))
    }

    /// What the file says while it is being made.
    fn intent(&self, parent: u32) -> String {
        format!("on {parent}: {}\n", self.marker)
    }

    /// What the file says once it is there.
    fn made(&self, link: &Link) -> String {
        format!("number {}: {}\n", link.index, self.marker)
    }
}

/// Why no macvlan device can be made on `link`, nor its address be changed without harm to others.
///
/// # Errors
/// It is a loopback device, or a port of a bridge or a bond.
pub fn refuse_ports(link: &Link, parameter: &str, net: &Net) -> Result<()> {
    if link.loopback {
        return Err(Error::Local(format!(
            "{} is a loopback device ({parameter}); give a network card",
            link.name
        )));
    }
    let Some(controller) = link.controller.filter(|_| link.port_of != PortOf::Vrf) else {
        return Ok(());
    };
    let controller = net.link(controller)?.map_or_else(|| "another interface".into(), |c| c.name);
    Err(Error::Local(format!(
        "{} is a port of {controller}, which sends and receives for it; give {controller}, or a card of its own",
        link.name
    )))
}
