//! The socket on which a service says that it is up (`sd_notify(3)`).

#![forbid(unsafe_code)]

use std::fs;
use std::io::IoSliceMut;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use nix::sys::socket::sockopt::PassCred;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixAddr, recvmsg, setsockopt};

use super::Service;
use crate::agent::Cx;
use crate::error::{Doing, Result};

/// A socket that listens.
#[derive(Debug)]
pub(super) struct Socket {
    socket: UnixDatagram,
    pub(super) path: PathBuf,
}

/// One message and the process that sent it, which the kernel vouches for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) sender: i32,
    pub(super) ready: bool,
    pub(super) main: Option<i32>,
    pub(super) status: Option<String>,
}

impl Socket {
    pub(super) fn listen(service: &Service, cx: &Cx<'_>) -> Result<Self> {
        let path = path(service, cx);
        let listen = || {
            if let Some(directory) = path.parent() {
                fs::create_dir_all(directory)?;
            }
            let _ = fs::remove_file(&path);
            let socket = UnixDatagram::bind(&path)?;
            // The service may be any user; who may be heard is decided by number.
            fs::set_permissions(&path, fs::Permissions::from_mode(0o666))?;
            socket.set_nonblocking(true)?;
            setsockopt(&socket, PassCred, &true)?;
            Ok::<_, std::io::Error>(socket)
        };
        let socket = listen().doing(|| format!("listen on {}", path.display()))?;
        Ok(Self { socket, path })
    }

    /// A message, if there is one.
    pub(super) fn hear(&self) -> Option<Message> {
        let mut text = [0; 4096];
        let mut buffers = [IoSliceMut::new(&mut text)];
        let mut control = nix::cmsg_space!(libc::ucred);
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        let received =
            recvmsg::<UnixAddr>(self.socket.as_raw_fd(), &mut buffers, Some(&mut control), flags)
                .ok()?;
        let sender = received.cmsgs().ok()?.find_map(|message| match message {
            ControlMessageOwned::ScmCredentials(credentials) => Some(credentials.pid()),
            _ => None,
        })?;
        let length = received.bytes;
        Some(Message::parse(sender, &text[..length]))
    }
}

impl Message {
    fn parse(sender: i32, text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let value = |name: &str| text.lines().rev().find_map(|line| line.strip_prefix(name));
        Self {
            sender,
            ready: value("READY=") == Some("1"),
            main: value("MAINPID=").and_then(|number| number.parse().ok()),
            status: value("STATUS=").map(str::to_owned),
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn path(service: &Service, cx: &Cx<'_>) -> PathBuf {
    cx.state.file(&format!("{}.notify", service.name(cx))).path().to_owned()
}

/// Removes the socket of a start that was killed.
pub(super) fn remove(service: &Service, cx: &Cx<'_>) {
    use std::os::unix::fs::FileTypeExt;
    let path = path(service, cx);
    if path.symlink_metadata().is_ok_and(|about| about.file_type().is_socket()) {
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_lines_of_assignments() {
        let message = Message::parse(7, b"STATUS=half\nMAINPID=12\nREADY=1\n");
        assert_eq!(
            message,
            Message { sender: 7, ready: true, main: Some(12), status: Some("half".into()) }
        );
        for text in [&b"READY=0"[..], b"READY=", b"XREADY=1", b"\xff\xfe", b""] {
            assert!(!Message::parse(7, text).ready);
        }
    }
}
