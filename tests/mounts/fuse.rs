//! A file system in a thread of the test, which hangs, fails and vanishes on command: storage that is broken for real.
//!
//! It speaks the kernel's own protocol (`linux/fuse.h`) on /dev/fuse: what the tests need of it is less than a library
//! would have to be told, and requests that are never answered are what a library prevents.

use std::collections::BTreeMap;
use std::ffi::{CStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::support::{Host, await_that};

/// What the server does with requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mood {
    /// It answers them.
    Serve,
    /// It takes them and does not answer.
    Hang,
    /// It answers all of them with EIO.
    Fail,
    /// It ends.
    Vanish,
}

/// A mounted one.
pub struct Fuse {
    state: Arc<State>,
    pub point: PathBuf,
}

#[derive(Default)]
struct State {
    mood: AtomicU8,
    /// How many requests wait for an answer.
    waiting: AtomicUsize,
    ended: AtomicU8,
    /// After so many more requests it hangs, if it is not zero.
    patience: AtomicUsize,
}

impl Fuse {
    /// Mounts one with these files at a directory of the test's.
    #[track_caller]
    pub fn new(host: &Host, name: &str, files: Vec<(&str, File)>) -> Self {
        let point = host.path(name);
        std::fs::create_dir_all(&point).unwrap();
        let device = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/fuse")
            .expect("/dev/fuse");
        let data =
            format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other", device.as_raw_fd());
        let state = Arc::new(State::default());
        let server = Server::new(device, files, state.clone());
        // The kernel asks while it mounts, and this thread cannot have another one in its namespaces.
        mount(Some("server"), &point, Some("fuse.test"), MsFlags::empty(), Some(data.as_str()))
            .expect("a FUSE mount");
        host.outside(Box::new(move || server.serve()));
        Self { state, point }
    }

    /// Makes the server change its mood, from the next request on.
    pub fn turn(&self, mood: Mood) {
        self.state.mood.store(mood as u8, Ordering::SeqCst);
        if mood == Mood::Vanish {
            await_that("the server's end", || self.state.ended.load(Ordering::SeqCst) == 1);
        }
    }

    /// Makes the server hang after so many more requests.
    pub fn hang_after(&self, requests: usize) {
        self.state.patience.store(requests, Ordering::SeqCst);
    }

    /// How many requests have no answer yet.
    pub fn waiting(&self) -> usize {
        self.state.waiting.load(Ordering::SeqCst)
    }
}

impl Drop for Fuse {
    /// Everybody who hangs goes on with an error.
    fn drop(&mut self) {
        self.state.mood.store(Mood::Vanish as u8, Ordering::SeqCst);
    }
}

const ROOT: u64 = 1;
const MOST_WRITTEN: u32 = 128 * 1024;

#[derive(Default)]
struct Node {
    parent: u64,
    name: OsString,
    /// None of a directory.
    data: Option<File>,
}

struct Server {
    device: File,
    nodes: BTreeMap<u64, Node>,
    state: Arc<State>,
    held: Vec<Vec<u8>>,
}

impl Server {
    fn new(device: File, files: Vec<(&str, File)>, state: Arc<State>) -> Self {
        let mut nodes = BTreeMap::from([(ROOT, Node::default())]);
        for (number, (name, data)) in (2..).zip(files) {
            nodes.insert(number, Node { parent: ROOT, name: name.into(), data: Some(data) });
        }
        Self { device, nodes, state, held: Vec::new() }
    }

    fn mood(&self) -> Mood {
        let moods = [Mood::Serve, Mood::Hang, Mood::Fail, Mood::Vanish];
        moods[usize::from(self.state.mood.load(Ordering::SeqCst))]
    }

    fn serve(mut self) {
        let state = self.state.clone();
        let mut buffer = vec![0; MOST_WRITTEN as usize + 8192];
        loop {
            let mood = self.mood();
            if mood == Mood::Vanish {
                break;
            }
            if mood != Mood::Hang {
                for request in std::mem::take(&mut self.held) {
                    self.perform(&request, mood);
                }
                self.state.waiting.store(0, Ordering::SeqCst);
            }
            let mut waited = [PollFd::new(self.device.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut waited, PollTimeout::from(5_u8));
            match self.device.read(&mut buffer) {
                Ok(length) => {
                    self.count();
                    self.perform(&buffer[..length], self.mood());
                }
                // A request that was taken back, or none.
                Err(error)
                    if matches!(
                        error.raw_os_error(),
                        Some(libc::ENOENT | libc::EAGAIN | libc::EINTR)
                    ) => {}
                // It was unmounted.
                Err(_) => break,
            }
        }
        drop(self);
        state.ended.store(1, Ordering::SeqCst);
    }

    fn count(&self) {
        let patience = &self.state.patience;
        let left = patience.load(Ordering::SeqCst);
        if left > 0 {
            patience.store(left - 1, Ordering::SeqCst);
            if left == 1 {
                self.state.mood.store(Mood::Hang as u8, Ordering::SeqCst);
            }
        }
    }

    fn perform(&mut self, request: &[u8], mood: Mood) {
        let (opcode, unique) = (u32_at(request, 4), u64_at(request, 8));
        // Nobody waits for these; INTERRUPT asks for an early answer, which a hung server does not give.
        if [2, 36, 42].contains(&opcode) {
            return;
        }
        let answer = match mood {
            Mood::Hang if opcode != 26 => {
                self.held.push(request.to_vec());
                self.state.waiting.store(self.held.len(), Ordering::SeqCst);
                return;
            }
            Mood::Fail if opcode != 26 => Err(libc::EIO),
            _ => self.answer(opcode, u64_at(request, 16), &request[40..]),
        };
        let (error, bytes) = match answer {
            Ok(bytes) => (0, bytes),
            Err(error) => (-error, Vec::new()),
        };
        let length = u32::try_from(16 + bytes.len()).unwrap();
        let mut reply = length.to_ne_bytes().to_vec();
        reply.extend(error.to_ne_bytes());
        reply.extend(unique.to_ne_bytes());
        reply.extend(bytes);
        // Whoever asked may have been killed.
        let _ = self.device.write_all(&reply);
    }

    fn answer(&mut self, opcode: u32, node: u64, body: &[u8]) -> Result<Vec<u8>, i32> {
        match opcode {
            1 => self.find(node, &name(body)?).ok_or(libc::ENOENT).map(|found| self.entry(found)),
            3 => Ok(self.attributes(node)),
            4 => {
                if u32_at(body, 0) & 8 != 0 {
                    self.data(node)?.set_len(u64_at(body, 16)).map_err(|_| libc::EIO)?;
                }
                Ok(self.attributes(node))
            }
            9 => Ok(self.make(node, name(&body[8..])?, None)),
            10 | 11 => {
                let found = self.find(node, &name(body)?).ok_or(libc::ENOENT)?;
                self.nodes.remove(&found);
                Ok(Vec::new())
            }
            14 | 27 => Ok(opened()),
            15 => {
                let mut bytes = vec![0; size_at(body, 16)];
                let read = self.data(node)?.read_at(&mut bytes, u64_at(body, 8));
                bytes.truncate(read.map_err(|_| libc::EIO)?);
                Ok(bytes)
            }
            16 => {
                let size = u32_at(body, 16);
                let bytes = &body[40..40 + size_at(body, 16)];
                let written = self.data(node)?.write_all_at(bytes, u64_at(body, 8));
                written.map_err(|_| libc::EIO)?;
                Ok([size.to_ne_bytes(), [0; 4]].concat())
            }
            17 => {
                let words = [1000_u64, 500, 500, 1000, 500].map(u64::to_ne_bytes).concat();
                let rest =
                    [4096_u32, 255, 4096, 0, 0, 0, 0, 0, 0, 0].map(u32::to_ne_bytes).concat();
                Ok([words, rest].concat())
            }
            26 => Ok(agreed()),
            28 => Ok(self.listed(node, u64_at(body, 8), size_at(body, 16))),
            35 => {
                let file = tempfile::tempfile().map_err(|_| libc::EIO)?;
                let mut entry = self.make(node, name(&body[16..])?, Some(file));
                entry.extend(opened());
                Ok(entry)
            }
            // Release, fsync, flush, releasedir, fsyncdir, access, destroy.
            18 | 20 | 25 | 29 | 30 | 34 | 38 => Ok(Vec::new()),
            _ => Err(libc::ENOSYS),
        }
    }

    fn find(&self, parent: u64, name: &OsString) -> Option<u64> {
        let is_it = |node: &Node| node.parent == parent && node.name == *name;
        self.nodes.iter().find(|(_, node)| is_it(node)).map(|(number, _)| *number)
    }

    fn make(&mut self, parent: u64, name: OsString, data: Option<File>) -> Vec<u8> {
        let number = self.nodes.last_key_value().map_or(2, |(last, _)| last + 1);
        self.nodes.insert(number, Node { parent, name, data });
        self.entry(number)
    }

    fn data(&self, node: u64) -> Result<&File, i32> {
        self.nodes.get(&node).and_then(|node| node.data.as_ref()).ok_or(libc::EIO)
    }

    fn attribute(&self, number: u64) -> Vec<u8> {
        let data = self.nodes.get(&number).and_then(|node| node.data.as_ref());
        let size = data.and_then(|data| data.metadata().ok()).map_or(0, |about| about.len());
        let mode = if data.is_some() { 0o100_644 } else { 0o040_755_u32 };
        let first = [number, size, size.div_ceil(512), 0, 0, 0].map(u64::to_ne_bytes).concat();
        let rest = [0, 0, 0, mode, 1, 0, 0, 0, 4096, 0].map(u32::to_ne_bytes).concat();
        [first, rest].concat()
    }

    fn attributes(&self, number: u64) -> Vec<u8> {
        [vec![0; 16], self.attribute(number)].concat()
    }

    /// The kernel may keep neither the name nor the attributes, so that it asks each time.
    fn entry(&self, number: u64) -> Vec<u8> {
        [number.to_ne_bytes().to_vec(), vec![0; 32], self.attribute(number)].concat()
    }

    fn listed(&self, directory: u64, from: u64, room: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let inside = self.nodes.iter().filter(|(_, node)| node.parent == directory);
        for (at, (number, node)) in (1_u64..).zip(inside).skip(usize::try_from(from).unwrap()) {
            let name = node.name.clone().into_vec();
            let kind = if node.data.is_some() { 8_u32 } else { 4 };
            let mut entry = [number.to_ne_bytes(), at.to_ne_bytes()].concat();
            entry.extend(u32::try_from(name.len()).unwrap().to_ne_bytes());
            entry.extend(kind.to_ne_bytes());
            entry.extend(name);
            entry.resize(entry.len().next_multiple_of(8), 0);
            if bytes.len() + entry.len() > room {
                break;
            }
            bytes.extend(entry);
        }
        bytes
    }
}

/// Version 7.31, and no more at once than fits the buffer.
fn agreed() -> Vec<u8> {
    let mut words = [7_u32, 31, 0, 0, 0, MOST_WRITTEN, 1].map(u32::to_ne_bytes).concat();
    words.resize(64, 0);
    words
}

/// Nothing is kept in the cache (`FOPEN_DIRECT_IO`): what is read comes from here each time.
fn opened() -> Vec<u8> {
    [0_u32, 0, 1, 0].map(u32::to_ne_bytes).concat()
}

fn name(body: &[u8]) -> Result<OsString, i32> {
    let name = CStr::from_bytes_until_nul(body).map_err(|_| libc::EINVAL)?;
    Ok(OsString::from_vec(name.to_bytes().to_vec()))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn size_at(bytes: &[u8], at: usize) -> usize {
    usize::try_from(u32_at(bytes, at)).unwrap()
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap())
}
