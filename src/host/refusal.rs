//! The kernel's refusals, in its own words where it has any: extended acknowledgements
//! (Documentation/userspace-api/netlink/intro.rst).

#![forbid(unsafe_code)]

use std::fmt;

use nix::errno::Errno;
use rtnetlink::packet_core::{ErrorMessage, NLM_F_ACK_TLVS};
use rtnetlink::sys::Socket;

use super::raw::attribute;
use crate::error::Error;

/// Why the kernel did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It said no.
    Kernel {
        /// The error number.
        errno: Errno,
        /// The kernel's own words, if it had any.
        explanation: Option<String>,
    },
    /// It did not answer until the deadline.
    Late(Error),
    /// The table changed faster than it could be read.
    Inconsistent,
    /// There is no netlink socket, or its answer is none.
    Broken(String),
}

impl Refusal {
    /// From the kernel's message and the flags of its header.
    pub(super) fn of(error: &ErrorMessage, flags: u16) -> Self {
        let explanation =
            if flags & NLM_F_ACK_TLVS == 0 { None } else { explanation(&error.header) };
        Self::Kernel { errno: Errno::from_raw(error.raw_code().abs()), explanation }
    }

    /// The kernel's error number.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Kernel { errno, .. } => Some(*errno),
            _ => None,
        }
    }

    /// The error of an action that was doing `what`.
    #[must_use]
    pub fn doing(self, what: &str) -> Error {
        match self {
            Self::Late(error) => error,
            Self::Kernel { errno: Errno::EPERM, .. } => Error::NotPermitted(format!(
                "cannot {what}: {self}; run it as root, with CAP_NET_ADMIN"
            )),
            // Not a missing privilege, but a setting of this host, such as IPv6 being off.
            Self::Kernel { errno: Errno::EACCES, .. } => {
                Error::Local(format!("cannot {what}: {self}"))
            }
            _ => Error::Failed(format!("cannot {what}: {self}")),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel { errno, explanation: None } => f.write_str(errno.desc()),
            Self::Kernel { errno, explanation: Some(words) } => {
                write!(f, "{} ({words})", errno.desc())
            }
            Self::Late(error) => error.fmt(f),
            Self::Inconsistent => {
                f.write_str("others changed the kernel's table in the meantime, again and again")
            }
            Self::Broken(why) => f.write_str(why),
        }
    }
}

/// `NLMSGERR_ATTR_MSG` behind the header of the question, which `NETLINK_CAP_ACK` cut to 16 bytes.
fn explanation(after_code: &[u8]) -> Option<String> {
    const HEADER: usize = 16;
    const TEXT: u16 = 1;
    let value = attribute(after_code.get(HEADER..)?, TEXT)?;
    let words: Vec<u8> = value.iter().copied().take_while(|byte| *byte != 0).collect();
    Some(String::from_utf8_lossy(&words).trim_end_matches('.').to_owned())
}

/// Makes the kernel filter what it is asked to filter, and explain what it refuses.
pub(super) fn make_strict(socket: &Socket) {
    // Kernels before 4.12, 4.3 and 4.20 do not know these; they then filter less, or explain less.
    let _ = socket.set_ext_ack(true);
    let _ = socket.set_cap_ack(true);
    let _ = socket.set_netlink_get_strict_chk(true);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_found_behind_the_header() {
        let mut bytes = vec![0; 16];
        bytes.extend([8, 0, 2, 0, 9, 9, 9, 9]);
        bytes.extend([10, 0, 1, 0]);
        bytes.extend(b"No.\0\0\0\0\0");
        assert_eq!(explanation(&bytes).as_deref(), Some("No"));
        for length in 0..bytes.len() {
            let _ = explanation(&bytes[..length]);
        }
    }
}
