//! What a conversation goes over: a stream, a stream under TLS, or datagrams.

#![forbid(unsafe_code)]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use super::tls::Session;
use crate::host::stream::{self, Ready};

/// A connected socket of either kind of stream.
#[derive(Debug)]
pub enum Socket {
    /// Over a network.
    Tcp(TcpStream),
    /// In the file system.
    Local(UnixStream),
}

impl Read for Socket {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(bytes),
            Self::Local(stream) => stream.read(bytes),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Local(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Local(stream) => stream.as_fd(),
        }
    }
}

/// What a conversation goes over.
#[derive(Debug)]
pub(super) enum Line {
    /// Nothing yet.
    Unopened,
    Plain(Socket),
    Secure(Box<Session>),
    Datagrams(UdpSocket),
}

impl Line {
    pub(super) fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(bytes),
            Self::Secure(session) => session.read(bytes),
            Self::Datagrams(socket) => socket.recv(bytes),
            Self::Unopened => Err(ErrorKind::NotConnected.into()),
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Secure(session) => session.write(bytes),
            Self::Datagrams(socket) => socket.send(bytes),
            Self::Unopened => Err(ErrorKind::NotConnected.into()),
        }
    }

    pub(super) fn wait(&self, ready: Ready, end: Instant) -> io::Result<bool> {
        match self {
            Self::Plain(socket) => stream::wait(socket, ready, end),
            Self::Secure(session) => session.wait(ready, end),
            Self::Datagrams(socket) => stream::wait(socket, ready, end),
            Self::Unopened => Err(ErrorKind::NotConnected.into()),
        }
    }
}
