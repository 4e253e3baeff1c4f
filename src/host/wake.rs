//! Sleep until the kernel announces one of many things: processes that end, control groups that empty, addresses that go.
//!
//! One `poll(2)` waits for all of them, so that a process which waits costs nothing while nothing happens. There is no
//! runtime and no thread in it.

#![forbid(unsafe_code)]

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::claims::Claims;
use super::mount::news::MountNews;
use super::pidfd::Handle;
use super::process::Identity;
use super::rtnews::RouteNews;
use super::systemd::UnitNews;
use crate::error::{Doing, Result};

/// How long systemd is waited for, which answers within milliseconds.
const ANSWER: Duration = Duration::from_secs(2);

/// What ended a sleep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Woken {
    /// Somebody asks this process to end.
    Told(Signal),
    /// Something happened to what is waited for, in words.
    News(String),
    /// Nothing happened for so long.
    Time,
}

impl fmt::Display for Woken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Told(signal) => write!(f, "told to end by {signal}"),
            Self::News(words) => f.write_str(words),
            Self::Time => f.write_str("time for a look"),
        }
    }
}

/// Everything that is waited for.
#[derive(Debug)]
pub struct Wake {
    signals: SignalFd,
    network: Option<RouteNews>,
    claims: Vec<Claims>,
    mount: Option<MountNews>,
    unit: Option<UnitNews>,
    processes: Vec<Handle>,
    group: Option<Group>,
}

/// The events of a control group.
#[derive(Debug)]
struct Group {
    events: File,
}

/// A source by its place in the list of what is polled.
#[derive(Clone, Copy)]
enum Source {
    Signals,
    Network,
    Claims(usize),
    Mount(usize),
    Unit,
    Process(usize),
    Group,
}

impl Wake {
    /// Waits for the signals that end a process, which from now on end nothing by themselves.
    ///
    /// # Errors
    /// There are no more descriptors.
    pub fn new() -> Result<Self> {
        let mut ending = SigSet::empty();
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
            ending.add(signal);
        }
        ending.thread_block().doing(|| "block signals")?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(&ending, flags).doing(|| "wait for signals")?;
        Ok(Self {
            signals,
            network: None,
            claims: Vec::new(),
            mount: None,
            unit: None,
            processes: Vec::new(),
            group: None,
        })
    }

    /// Also for news of the network.
    pub fn on_network(&mut self, news: RouteNews) {
        self.network = Some(news);
    }

    /// Also for who claims addresses, in the place of those that were given before.
    pub fn on_claims(&mut self, claims: Vec<Claims>) {
        self.claims = claims;
    }

    /// Forgets what came of the questions that a look asked, and whatever else claims an address: the look has heard of it, and
    /// would be made for ever by its own answers.
    pub fn ignore_answers(&mut self) {
        for claims in &self.claims {
            let _ = claims.take();
        }
    }

    /// Also for news of a mount.
    pub fn on_mount(&mut self, news: MountNews) {
        self.mount = Some(news);
    }

    /// Also for another state of a unit of systemd, in the place of the one before; whether it can be heard of. Where the bus
    /// was away it is asked again.
    pub fn on_changes_of(&mut self, unit: Option<&str>) -> bool {
        let same = |news: &UnitNews| unit == Some(news.unit()) && !news.is_closed();
        if self.unit.as_ref().is_none_or(|news| !same(news)) {
            self.unit = unit.and_then(|unit| UnitNews::of(unit, ANSWER).ok());
        }
        self.unit.is_some() || unit.is_none()
    }

    /// Also for these processes to end, in the place of those that were given before. Those that have ended are left out:
    /// they would wake for ever.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn on_end_of(&mut self, processes: &[Identity]) -> Result<()> {
        self.processes.clear();
        for identity in processes {
            let handle = Handle::open(*identity)?.filter(|handle| !handle.has_ended());
            self.processes.extend(handle);
        }
        Ok(())
    }

    /// Also for this control group to get empty or not (`cgroup.events`), in the place of the one before.
    pub fn on_events_of(&mut self, group: Option<&Path>) {
        let events = group.and_then(|path| File::open(path.join("cgroup.events")).ok());
        self.group = events.map(|events| Group { events });
        if let Some(group) = &mut self.group {
            group.take();
        }
    }

    /// Sleeps until something happens, or for `at_most`; without it, for ever.
    ///
    /// # Errors
    /// The kernel cannot wait.
    pub fn wait(&mut self, at_most: Option<Duration>) -> Result<Woken> {
        let end = at_most.map(|time| Instant::now() + time);
        loop {
            let Some(source) = self.poll(end)? else { return Ok(Woken::Time) };
            if let Some(woken) = self.taken(source)? {
                return Ok(woken);
            }
        }
    }

    /// Whether somebody asked this process to end. All other news stay, since a look that was made before they came does not know of
    /// them.
    ///
    /// # Errors
    /// The kernel cannot read.
    pub fn is_told(&mut self) -> Result<Option<Woken>> {
        let mut polled = [PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        let is_ready = poll(&mut polled, PollTimeout::ZERO).is_ok_and(|ready| ready > 0);
        if is_ready { self.taken(Source::Signals) } else { Ok(None) }
    }

    /// Takes all that is there, so that one look, which has to come afterwards, serves for all of it: what asks this process to
    /// end, or the last of the news.
    ///
    /// # Errors
    /// The kernel cannot wait.
    pub fn drain(&mut self) -> Result<Option<Woken>> {
        let (now, mut news) = (Instant::now(), None);
        while let Some(source) = self.poll(Some(now))? {
            match self.taken(source)? {
                told @ Some(Woken::Told(_)) => return Ok(told),
                Some(woken) => news = Some(woken),
                None => {}
            }
        }
        Ok(news)
    }

    fn poll(&self, end: Option<Instant>) -> Result<Option<Source>> {
        let mut sources = vec![(Source::Signals, self.signals.as_fd(), PollFlags::POLLIN)];
        let processes = self.processes.iter().enumerate();
        sources.extend(
            processes.map(|(at, one)| (Source::Process(at), one.as_fd(), PollFlags::POLLIN)),
        );
        let group = self.group.as_ref();
        sources.extend(group.map(|one| (Source::Group, one.events.as_fd(), PollFlags::POLLPRI)));
        let network = self.network.as_ref();
        sources.extend(network.map(|one| (Source::Network, one.as_fd(), PollFlags::POLLIN)));
        let claims = self.claims.iter().enumerate();
        sources
            .extend(claims.map(|(at, one)| (Source::Claims(at), one.as_fd(), PollFlags::POLLIN)));
        let unit = self.unit.as_ref().filter(|one| !one.is_closed());
        sources.extend(unit.map(|one| (Source::Unit, one.as_fd(), PollFlags::POLLIN)));
        let mounts = self.mount.iter().flat_map(MountNews::sources).enumerate();
        sources.extend(mounts.map(|(at, fd)| (Source::Mount(at), fd, PollFlags::POLLPRI)));
        let mut polled: Vec<PollFd<'_>> =
            sources.iter().map(|(_, fd, flags)| PollFd::new(*fd, *flags)).collect();
        loop {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            match poll(&mut polled, timeout(left)) {
                Err(Errno::EINTR) => {}
                Ok(0) if left.is_none_or(|left| !left.is_zero()) => {}
                other => {
                    other.doing(|| "wait for the kernel")?;
                    break;
                }
            }
        }
        let ready = polled.iter().position(|fd| fd.any().unwrap_or(true));
        Ok(ready.map(|at| sources[at].0))
    }

    /// What a source that is ready says; none if it does not matter. It is ready no longer.
    fn taken(&mut self, source: Source) -> Result<Option<Woken>> {
        Ok(match source {
            Source::Signals => {
                let told = self.signals.read_signal().doing(|| "read a signal")?;
                let number = told.and_then(|told| i32::try_from(told.ssi_signo).ok());
                number.and_then(|number| Signal::try_from(number).ok()).map(Woken::Told)
            }
            Source::Process(at) => {
                let ended = self.processes.swap_remove(at);
                Some(Woken::News(format!("process {} ended", ended.identity.pid)))
            }
            Source::Group => {
                let words = self.group.as_mut().and_then(Group::take);
                if words.is_none() {
                    self.group = None;
                }
                Some(Woken::News(words.unwrap_or("its control group is gone").to_owned()))
            }
            Source::Mount(at) => {
                self.mount.as_mut().and_then(|news| news.take(at)).map(Woken::News)
            }
            Source::Unit => self.unit.as_mut().and_then(UnitNews::take).map(Woken::News),
            Source::Claims(at) => self.claims.get(at).and_then(Claims::take).map(Woken::News),
            Source::Network => self.network.as_mut().and_then(RouteNews::take).map(Woken::News),
        })
    }
}

/// Rounded up, so that a sleep does not end before its time and is begun again for nothing.
fn timeout(left: Option<Duration>) -> PollTimeout {
    let Some(left) = left else { return PollTimeout::NONE };
    let milliseconds = i32::try_from(left.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
    PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX)
}

impl Group {
    /// Reads what happened, which ends its being ready (`kernfs_notify`); none if the group is gone.
    fn take(&mut self) -> Option<&'static str> {
        use std::io::{Seek, SeekFrom};
        let mut text = String::new();
        let mut read = || -> io::Result<()> {
            self.events.seek(SeekFrom::Start(0))?;
            self.events.read_to_string(&mut text).map(drop)
        };
        read().ok()?;
        let empty = text.lines().any(|line| line == "populated 0");
        Some(if empty { "its control group is empty" } else { "its control group changed" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::process::Process;
    use std::process::Command;

    #[test]
    fn the_end_of_a_process_wakes_once() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id();
        let identity = Process::look(pid.cast_signed()).unwrap().unwrap().identity;
        // The signals are blocked in this thread alone.
        std::thread::spawn(move || {
            let mut wake = Wake::new().unwrap();
            wake.on_end_of(&[identity]).unwrap();
            let short = Some(Duration::from_millis(1));
            assert_eq!(wake.wait(short).unwrap(), Woken::Time);
            child.kill().unwrap();
            let words = format!("process {pid} ended");
            assert_eq!(wake.wait(None).unwrap(), Woken::News(words));
            assert_eq!(wake.wait(short).unwrap(), Woken::Time);
            wake.on_end_of(&[identity]).unwrap();
            assert!(wake.processes.is_empty());
            child.wait().unwrap();
        })
        .join()
        .unwrap();
    }
}
