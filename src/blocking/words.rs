//! The words of the parameters.

#![forbid(unsafe_code)]

use crate::host::nft::Answer;
use crate::host::sockets::Transport;

crate::choice! {
    /// `firewall`, which changes nothing.
    pub enum Firewall {
        /// Whichever is there.
        Auto = "auto",
        /// nftables.
        Nft = "nft",
        /// iptables.
        Iptables = "iptables",
    }
}

crate::choice! {
    /// `protocol`.
    pub enum Protocol {
        /// RFC 9293.
        Tcp = "tcp",
        /// RFC 768.
        Udp = "udp",
    }
}

crate::choice! {
    /// `action`.
    pub enum Way {
        /// Shut the ports.
        Block = "block",
        /// Open the ports.
        Unblock = "unblock",
    }
}

crate::choice! {
    /// `method`.
    pub enum Method {
        /// Silently.
        Drop = "drop",
        /// With an answer.
        Reject = "reject",
    }
}

crate::choice! {
    /// `status_check`.
    pub enum StatusCheck {
        /// The packet filter counts.
        Rule = "rule",
        /// Who was started counts too.
        Pseudo = "pseudo",
    }
}

impl Way {
    /// Its own word, and that of the other one.
    #[must_use]
    pub const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Block => ("block", "unblock"),
            Self::Unblock => ("unblock", "block"),
        }
    }

    /// The other one.
    #[must_use]
    pub const fn inverse(self) -> Self {
        match self {
            Self::Block => Self::Unblock,
            Self::Unblock => Self::Block,
        }
    }
}

impl Protocol {
    /// What the kernel calls it.
    #[must_use]
    pub const fn transport(self) -> Transport {
        match self {
            Self::Tcp => Transport::Tcp,
            Self::Udp => Transport::Udp,
        }
    }
}

impl Method {
    /// What the packet filter does.
    #[must_use]
    pub const fn answer(self) -> Answer {
        match self {
            Self::Drop => Answer::Drop,
            Self::Reject => Answer::Reject,
        }
    }
}
