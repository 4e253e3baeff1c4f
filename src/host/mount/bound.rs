//! Sockets that are bound to a name in a file system (`unix(7)`): the name keeps it busy, and no descriptor tells of it.

#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rtnetlink::packet_core::{NLM_F_DUMP, NLM_F_REQUEST};
use rtnetlink::sys::protocols::NETLINK_SOCK_DIAG;

use super::Device;
use crate::deadline::Deadline;
use crate::host::raw::{Attributes, Channel, attribute, message};
use crate::{trace_answer, trace_ask};

const SOCK_DIAG_BY_FAMILY: u16 = 20;

/// Of `linux/unix_diag.h`.
const SHOW_NAME_AND_INODE: u32 = 1 | 2;
const UNIX_DIAG_NAME: u16 = 0;
const UNIX_DIAG_VFS: u16 = 1;

/// Length of `struct unix_diag_msg`, whose second word is the number of the socket.
const FIXED: usize = 16;

/// The sockets of this network namespace whose names are in file systems of those numbers, each with its name as it was given.
/// None where the kernel does not tell (`CONFIG_UNIX_DIAG`).
pub(super) fn sockets(devices: &[Device], deadline: &Deadline) -> Vec<(u64, PathBuf)> {
    trace_ask!("list the sockets with names in {devices:?}");
    let mut found = Vec::new();
    if let Ok(channel) = Channel::open(NETLINK_SOCK_DIAG, *deadline) {
        let question = message(
            SOCK_DIAG_BY_FAMILY,
            NLM_F_REQUEST | NLM_F_DUMP,
            &request(),
            &Attributes::new(),
        );
        let taken = channel.ask("list sockets", &question, &mut |payload| {
            found.extend(named(payload, devices));
        });
        trace_answer!("{}, {:?}", found.len(), taken.err().map(|refusal| refusal.to_string()));
    }
    found
}

/// `struct unix_diag_req`: all states, all sockets.
fn request() -> Vec<u8> {
    let family = u16::try_from(libc::AF_UNIX).unwrap_or(1).to_le_bytes();
    let mut bytes = vec![family[0], 0, 0, 0];
    for word in [u32::MAX, 0, SHOW_NAME_AND_INODE, u32::MAX, u32::MAX] {
        bytes.extend(word.to_ne_bytes());
    }
    bytes
}

fn named(payload: &[u8], devices: &[Device]) -> Option<(u64, PathBuf)> {
    let (fixed, rest) = payload.split_at_checked(FIXED)?;
    let word = |bytes: &[u8], at: usize| Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
    let number = word(fixed, 4)?;
    // The number of the inode, and of its file system as the kernel packs it.
    let packed = word(attribute(rest, UNIX_DIAG_VFS)?, 4)?;
    let device = Device { major: u64::from(packed >> 20), minor: u64::from(packed & 0xf_ffff) };
    let name = attribute(rest, UNIX_DIAG_NAME).unwrap_or_default();
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    devices.contains(&device).then(|| (number.into(), OsStr::from_bytes(name).into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::net::UnixListener;
    use std::time::Duration;

    #[test]
    fn a_name_tells_its_file_system() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let _listener = UnixListener::bind(&path).unwrap();
        let device = Device::of(directory.path().metadata().unwrap().dev());
        let deadline = Deadline::after(Duration::from_secs(20));
        let ours = |devices: &[Device]| {
            sockets(devices, &deadline).into_iter().filter(|(_, name)| *name == path).count()
        };
        assert_eq!(ours(&[device]), 1);
        assert_eq!(ours(&[Device { major: 4095, minor: 1 }]), 0);
    }

    #[test]
    fn half_an_answer_is_none() {
        for length in 0..FIXED + 12 {
            assert_eq!(named(&vec![1; length], &[]), None);
        }
    }
}
