//! What became of routes that were changed.

#![forbid(unsafe_code)]

use std::net::IpAddr;

use crate::error::Result;
use crate::host::net::Net;
use crate::host::routing::{ExactRoute, Identity};

use super::memory::Memory;

/// What the kernel has now in the place of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// A route with our source, and it is the one that is used.
    Ours(ExactRoute),
    /// One with our source, but another route of its identity comes first.
    Behind {
        /// The one with our source.
        ours: ExactRoute,
        /// The one that is used.
        first: ExactRoute,
    },
    /// The route as it was before.
    Original,
    /// Another route of its identity.
    Other(ExactRoute),
    /// None.
    Vanished,
}

impl Standing {
    /// `like` are the routes of the identity of `original`, in the kernel's order.
    fn of(original: &ExactRoute, ip: IpAddr, like: &[ExactRoute]) -> Self {
        let has_source = |route: &&ExactRoute| route.source() == Some(ip);
        match (like.first(), like.iter().find(has_source)) {
            (None, _) => Self::Vanished,
            (Some(first), Some(ours)) if first == ours => Self::Ours(ours.clone()),
            (Some(first), Some(ours)) => Self::Behind { ours: ours.clone(), first: first.clone() },
            (Some(_), None) if like.contains(original) => Self::Original,
            (Some(first), None) => Self::Other(first.clone()),
        }
    }

    pub fn is_ours(&self) -> bool {
        matches!(self, Self::Ours(_))
    }

    /// Whether this is what the kernel leaves of a route when it removes our address: of an IPv4 one nothing, of an IPv6
    /// one all but the source.
    pub fn went_with_source(&self, original: &ExactRoute) -> bool {
        match self {
            Self::Vanished => true,
            Self::Other(route) => {
                original.network().ip.is_ipv6()
                    && route.source().is_none()
                    && route.is_alike(original)
            }
            _ => false,
        }
    }

    /// Whether a route with our source is there, used or not.
    pub fn has_ours(&self) -> bool {
        matches!(self, Self::Ours(_) | Self::Behind { .. })
    }
}

/// The routes that are now in the places of those in `memory`, one list each.
///
/// # Errors
/// The kernel could not tell.
pub(super) fn like(memory: &Memory, net: &Net) -> Result<Vec<Vec<ExactRoute>>> {
    let identities: Vec<_> = memory.originals.iter().map(|(_, route)| route.identity()).collect();
    let lengths: Vec<u8> = identities.iter().map(|identity| identity.network.prefix).collect();
    let mut tables: Vec<u32> = identities.iter().map(|identity| identity.table).collect();
    tables.sort_unstable();
    tables.dedup();
    let mut found = Vec::new();
    for table in tables {
        found.extend(net.exact_routes(memory.ip, table, &lengths, |route| {
            identities.contains(&route.identity())
        })?);
    }
    let of_identity = |identity: &Identity| {
        found.iter().filter(|route| route.identity() == *identity).cloned().collect()
    };
    Ok(identities.iter().map(of_identity).collect())
}

/// What became of each route in `memory`.
///
/// # Errors
/// The kernel could not tell.
pub(super) fn all(memory: &Memory, net: &Net) -> Result<Vec<Standing>> {
    let like = like(memory, net)?;
    let pairs = memory.originals.iter().zip(&like);
    Ok(pairs.map(|((_, original), like)| Standing::of(original, memory.ip, like)).collect())
}
