//! The parts of the demonstration: processes of this program, and how the manager has hold of them.

#![forbid(unsafe_code)]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Sender;
use std::thread;

use super::event::{Event, Moment, heard, tell};
use super::{CLIENT, Host, NODE1, NODE2, client, manager, namespace, node};
use crate::error::{Doing, Error, Result};

/// A part of the demonstration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// PID 1 of it all; whether it prints in colour.
    Manager(bool),
    /// The node that is killed.
    Node1,
    /// The node that takes over.
    Node2,
    /// The client.
    Client,
}

impl Part {
    /// The part that these words of a command line name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        let all =
            [Self::Manager(false), Self::Manager(true), Self::Node1, Self::Node2, Self::Client];
        all.into_iter().find(|part| part.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Manager(false) => "manager",
            Self::Manager(true) => "manager-in-colour",
            Self::Node1 => NODE1.name,
            Self::Node2 => NODE2.name,
            Self::Client => CLIENT.name,
        }
    }

    /// This program as that part, with nothing of the user's environment.
    pub(super) fn command(self) -> Command {
        let mut command = Command::new("/proc/self/exe");
        command.arg0("ocfbox").args(["demo-part", self.name()]).env_clear().current_dir("/");
        command
    }
}

/// Is that part, until its end.
///
/// # Errors
/// What it could not do, if it is the manager; the others tell the manager.
pub fn run_part(part: Part) -> Result<()> {
    let done = match part {
        Part::Manager(colour) => return manager::run(colour),
        Part::Node1 => node::run(NODE1, NODE2),
        Part::Node2 => node::run(NODE2, NODE1),
        Part::Client => client::run(),
    };
    if let Err(error) = done {
        tell(&Event::Failed(error.to_string()));
    }
    Ok(())
}

/// What the manager hears: from whom, when it happened, and what.
pub(super) type News = (Host, Moment, Event);

/// A part that the manager started.
#[derive(Debug)]
pub(super) struct Running {
    host: Host,
    child: Child,
}

impl Running {
    /// Starts `part` as PID 1 of its own namespace; what it tells goes to `news`.
    ///
    /// # Errors
    /// There can be no such process.
    pub(super) fn start(part: Part, host: Host, news: Sender<News>) -> Result<Self> {
        // A group of its own: Ctrl-C is the session's to handle.
        let mut command = part.command();
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = namespace::spawn_init(&mut command)?;
        let output = child.stdout.take();
        thread::spawn(move || {
            let lines = output.into_iter().flat_map(|output| BufReader::new(output).lines());
            for line in lines.map_while(std::io::Result::ok) {
                let (moment, event) = heard(&line)
                    .unwrap_or_else(|| (Moment::now(), Event::Failed(format!("it said {line:?}"))));
                let _ = news.send((host, moment, event));
            }
            let _ = news.send((host, Moment::now(), Event::Gone));
        });
        Ok(Self { host, child })
    }

    /// Which host it is.
    pub(super) fn host(&self) -> Host {
        self.host
    }

    /// Its number, in the manager's PID namespace.
    pub(super) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Gives it an order.
    ///
    /// # Errors
    /// It is dead.
    pub(super) fn order(&mut self, words: &str) -> Result<()> {
        let name = self.host.name;
        let input = self.child.stdin.as_mut();
        let input = input.ok_or_else(|| Error::Failed(format!("{name} takes no orders")))?;
        input.write_all(format!("{words}\n").as_bytes()).doing(|| format!("tell {name} to {words}"))
    }

    /// Kills it with all its processes, and waits until they are gone.
    ///
    /// # Errors
    /// The kernel refused.
    pub(super) fn kill(&mut self) -> Result<()> {
        let ended = self.child.kill().and_then(|()| self.child.wait());
        ended.map(drop).doing(|| format!("kill {}", self.host.name))
    }
}
