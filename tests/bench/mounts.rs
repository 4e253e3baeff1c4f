//! `Filesystem` where there are many mounts, many processes, and users who have to go.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::budget::Line;
use crate::cases::{self, Case, Side};
use crate::host::{Host, sh};
use crate::launch::{Sample, Tools};
use crate::report::{short, thousands};
use crate::statistics::median;

/// Descriptors of each process: few, as the most processes of a host have, and many.
const FILES: [u32; 2] = [4, 20];

/// How much is measured.
pub struct Effort {
    /// Numbers of mounts besides those that every host has.
    pub mounts: &'static [u32],
    /// How many processes there are, and how many of them use the mount.
    pub processes: (u32, u32),
    /// Runs of a monitor: ours, and the shell agent's.
    pub looks: (usize, usize),
    /// Runs of a stop with users, likewise.
    pub stops: (usize, usize),
}

/// What was done, how often, and what it cost.
pub struct Row {
    pub what: String,
    pub ours: Vec<Sample>,
    pub shell: Vec<Sample>,
    /// A C program that does the one thing for which there is no way around the kernel.
    pub floor: Vec<Sample>,
}

/// All of it.
pub struct Results {
    /// By number of mounts, and the last with many processes.
    pub monitors: Vec<Row>,
    pub idle: Row,
    pub idle_in_a_crowd: Row,
    /// By the number of descriptors.
    pub held: Vec<Row>,
}

pub fn all(host: &Host, tools: &Tools, effort: &Effort) -> Result<Results, String> {
    let case = cases::ALL.iter().find(|case| case.label == LABEL).ok_or("no such case")?;
    let bench = Bench { host, tools, effort, case };
    let mut monitors = Vec::new();
    for side in [Side::Shell, Side::Ours] {
        bench.once(side, "start")?;
    }
    let mut present = 0;
    sh("mkdir -p /run/bench/many")?;
    for &count in effort.mounts {
        sh(&format!(
            "cd /run/bench/many; n={present}; while [ $n -lt {} ]; do mkdir $n; mount -n -t tmpfs t $n; n=$((n + 1)); done",
            count - 1
        ))?;
        present = count - 1;
        monitors.push(bench.monitor(format!("monitor, {} mounts", thousands(count as usize)))?);
    }
    sh("cd /run/bench/many; n=0; while [ -d $n ]; do umount $n; rmdir $n; n=$((n + 1)); done")?;
    let (processes, users) = effort.processes;
    let mut held = Vec::new();
    let mut idle_in_a_crowd = None;
    for files in FILES {
        let crowd = Crowd::gather(tools, (processes - users, files, 0), "/")?;
        let among = format!("{} processes with {files} descriptors", thousands(processes as usize));
        if idle_in_a_crowd.is_none() {
            monitors.push(bench.monitor(format!("monitor, {among}"))?);
            for side in [Side::Shell, Side::Ours] {
                bench.once(side, "stop")?;
            }
            idle_in_a_crowd = Some(bench.idle(format!("stop, idle, {among}"))?);
        }
        held.push(bench.held(format!("stop, {users} users among {among}"), files)?);
        drop(crowd);
    }
    let idle_in_a_crowd = idle_in_a_crowd.ok_or("nobody was measured")?;
    let idle = bench.idle("stop, idle".to_owned())?;
    Ok(Results { monitors, idle, idle_in_a_crowd, held })
}

const LABEL: &str = "Filesystem (tmpfs)";

struct Bench<'a> {
    host: &'a Host,
    tools: &'a Tools,
    effort: &'a Effort,
    case: &'a Case,
}

impl Bench<'_> {
    fn once(&self, side: Side, action: &str) -> Result<Sample, String> {
        self.tools.run(&self.case.call(side, action, self.host.directory()), 1)
    }

    fn point(&self, side: Side) -> &'static str {
        let apart = self.case.apart[usize::from(side == Side::Shell)];
        apart.iter().find(|(name, _)| *name == "directory").map_or("/nowhere", |(_, value)| value)
    }

    fn told(&self, what: String) -> Row {
        let _ = writeln!(std::io::stderr(), "{LABEL}, {what}");
        Row { what, ours: vec![], shell: vec![], floor: vec![] }
    }

    fn monitor(&self, what: String) -> Result<Row, String> {
        let mut row = self.told(what);
        for round in 0..self.effort.looks.0 {
            if round < self.effort.looks.1 {
                row.shell.push(self.once(Side::Shell, "monitor")?);
            }
            row.ours.push(self.once(Side::Ours, "monitor")?);
            row.floor.push(self.tools.run(&self.tools.mounts(None), 1)?);
        }
        Ok(row)
    }

    /// Beside a program that only unmounts the same.
    fn idle(&self, what: String) -> Result<Row, String> {
        let mut row = self.told(what);
        let point = self.point(Side::Ours);
        for round in 0..self.effort.looks.0 {
            if round < self.effort.looks.1 {
                self.once(Side::Shell, "start")?;
                row.shell.push(self.once(Side::Shell, "stop")?);
            }
            self.once(Side::Ours, "start")?;
            row.ours.push(self.once(Side::Ours, "stop")?);
            sh(&format!("mount -n -t tmpfs t {point}"))?;
            row.floor.push(self.tools.run(&self.tools.mounts(Some(Path::new(point))), 1)?);
        }
        Ok(row)
    }

    fn held(&self, what: String, files: u32) -> Result<Row, String> {
        let mut row = self.told(what);
        let runs = [(Side::Ours, self.effort.stops.0), (Side::Shell, self.effort.stops.1)];
        for (side, times) in runs {
            for _ in 0..times {
                self.once(side, "start")?;
                let users = self.effort.processes.1;
                let users = Crowd::gather(self.tools, (users, files, users), self.point(side))?;
                let sample = self.once(side, "stop")?;
                drop(users);
                let samples = if side == Side::Ours { &mut row.ours } else { &mut row.shell };
                samples.push(sample);
            }
        }
        Ok(row)
    }
}

/// Processes that do nothing, until this is dropped.
struct Crowd(Child);

impl Crowd {
    /// So many processes with so many descriptors each, of whom so many use the directory.
    fn gather(
        tools: &Tools,
        (count, files, users): (u32, u32, u32),
        directory: &str,
    ) -> Result<Self, String> {
        let mut command: Command = tools.crowd();
        command.args([count, files, users].map(|number| number.to_string())).arg(directory);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("crowd: {error}"))?;
        let output = child.stdout.take().ok_or("crowd: no output")?;
        let mut line = String::new();
        let read = BufReader::new(output).read_line(&mut line);
        let crowd = Self(child);
        if read.is_ok() && line == "ready\n" { Ok(crowd) } else { Err(format!("crowd: {line}")) }
    }
}

impl Drop for Crowd {
    /// The others end with the first.
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What was promised of it.
pub fn lines(results: &Results) -> Vec<Line> {
    let wall = |samples: &[Sample]| median(samples, |sample| sample.wall);
    let mut lines = Vec::new();
    let mounts: Vec<&Row> =
        results.monitors.iter().filter(|row| row.what.ends_with("mounts")).collect();
    if let [few, .., most] = mounts[..] {
        let own = wall(&most.ours) - wall(&few.ours);
        let floor = wall(&most.floor) - wall(&few.floor);
        lines.push(Line {
            what: format!("what more mounts add to the monitor ({})", most.what),
            limit: "1.5 times what they add to a dump".to_owned(),
            measured: format!("{} ({} ms to {} ms)", short(own / floor), short(own), short(floor)),
            met: own <= floor * 1.5,
        });
    }
    let added = wall(&results.idle.ours) - wall(&results.idle.floor);
    lines.push(Line {
        what: "what stop of an idle mount adds to a program that unmounts it".to_owned(),
        limit: "5 ms".to_owned(),
        measured: format!("{} ms", short(added)),
        met: added < 5.0,
    });
    lines.extend(results.held.iter().map(|row| {
        let held = wall(&row.ours) - wall(&results.idle.ours);
        Line {
            what: format!("to find and end the users ({})", row.what),
            limit: "500 ms".to_owned(),
            measured: format!("{} ms", short(held)),
            met: held < 500.0,
        }
    }));
    lines
}
