//! The measurement: who runs when, and how often.

use std::io::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::cases::{self, Case, Family, Side};
use crate::host::Host;
use crate::launch::{Calls, Sample, Tools};
use crate::mounts;

/// How much is measured.
pub struct Effort {
    /// Numbers of addresses on the interface.
    pub addresses: &'static [u32],
    /// Runs of what changes nothing, by place in `addresses`.
    looks: &'static [usize],
    /// Runs of start and stop, likewise.
    changes: &'static [usize],
    /// No further run of one kind begins after this time.
    patience: Duration,
    /// How many monitors run at once.
    pub at_once: u32,
    /// How often that is repeated: ours, and the shell agent.
    crowds: (usize, usize),
    /// Whether the calls of start are counted, which waits for what it leaves in the background.
    background: bool,
    /// Of `Filesystem` where there is much.
    mounts: mounts::Effort,
}

impl Effort {
    pub fn full() -> Self {
        Self {
            addresses: &[1, 100, 2_000, 20_000],
            looks: &[100, 25, 25, 15],
            changes: &[20, 8, 8, 5],
            patience: Duration::from_secs(5),
            at_once: 200,
            crowds: (10, 1),
            background: true,
            mounts: mounts::Effort {
                mounts: &[1, 100, 1_000],
                processes: (10_000, 100),
                looks: (40, 8),
                stops: (7, 1),
            },
        }
    }

    pub fn quick() -> Self {
        Self {
            addresses: &[1],
            looks: &[5],
            changes: &[1],
            patience: Duration::from_secs(1),
            at_once: 20,
            crowds: (2, 1),
            background: false,
            mounts: mounts::Effort {
                mounts: &[1, 20],
                processes: (200, 10),
                looks: (3, 1),
                stops: (1, 1),
            },
        }
    }
}

/// The action of an agent at a number of addresses.
pub struct Row {
    pub case: Case,
    pub action: &'static str,
    pub addresses: u32,
    pub ours: Vec<Sample>,
    pub shell: Vec<Sample>,
    pub noop: Vec<Sample>,
    /// What ours and the shell agent ask of the kernel, where it was counted.
    pub calls: Option<(Calls, Option<Calls>)>,
}

/// Many monitors at once: ours, the shell agent's, and as many programs that do nothing.
pub struct Crowd {
    pub at_once: u32,
    pub ours: Vec<Sample>,
    pub shell: Vec<Sample>,
    pub noop: Vec<Sample>,
}

/// One kernel dump of all addresses by a C program.
pub struct Dump {
    pub family: Family,
    pub addresses: u32,
    pub runs: Vec<Sample>,
}

/// All that was measured.
pub struct Results {
    pub rows: Vec<Row>,
    pub dumps: Vec<Dump>,
    pub crowd: Crowd,
    pub mounts: mounts::Results,
}

/// Start as it is, and as it is when it does not look for another host with the address.
pub const START: &str = "start";
pub const START_UNASKED: &str = "start, conflict_check=false";

pub fn all(host: &Host, tools: &Tools, effort: &Effort) -> Result<Results, String> {
    let mut bench = Bench { host, tools, effort, rows: Vec::new(), dumps: Vec::new() };
    let crowd = bench.crowd()?;
    for family in [Family::V4, Family::V6] {
        host.lay_cable()?;
        let mut present = 1;
        for (place, &addresses) in effort.addresses.iter().enumerate() {
            host.fill(family, present, addresses)?;
            present = addresses;
            bench.dumps(family, place)?;
            for case in cases::ALL {
                let concerned = case.address.map(|(family, _)| family) == Some(family);
                // What has no address is measured once.
                let once = case.address.is_none() && family == Family::V4 && place == 0;
                if concerned || once {
                    bench.case(case, place)?;
                }
            }
        }
    }
    host.lay_cable()?;
    let mounts = mounts::all(host, tools, &effort.mounts)?;
    Ok(Results { rows: bench.rows, dumps: bench.dumps, crowd, mounts })
}

struct Bench<'a> {
    host: &'a Host,
    tools: &'a Tools,
    effort: &'a Effort,
    rows: Vec<Row>,
    dumps: Vec<Dump>,
}

impl Bench<'_> {
    fn call(&self, case: &Case, side: Side, action: &str) -> Command {
        case.call(side, action, self.host.directory())
    }

    fn run(&self, command: &Command) -> Result<Sample, String> {
        self.tools.run(command, 1)
    }

    fn dumps(&mut self, family: Family, place: usize) -> Result<(), String> {
        let digit = if family == Family::V4 { "4" } else { "6" };
        let command = self.tools.dump(&self.host.index()?, digit);
        let runs = (0..self.effort.looks[place]).map(|_| self.run(&command));
        let runs = runs.collect::<Result<_, _>>()?;
        self.dumps.push(Dump { family, addresses: self.effort.addresses[place], runs });
        Ok(())
    }

    /// Starts and stops the resource several times; in between, all that changes nothing.
    fn case(&mut self, case: &Case, place: usize) -> Result<(), String> {
        let addresses = self.effort.addresses[place];
        let _ = writeln!(std::io::stderr(), "{}, addresses: {addresses}", case.label);
        let mut start = self.row(case, START, place);
        let mut stop = self.row(case, "stop", place);
        let mut unasked = self.row(case, START_UNASKED, place);
        let mut begin = Instant::now();
        for round in 0..self.effort.changes[place] {
            if round > 1 && begin.elapsed() > self.effort.patience {
                break;
            }
            self.once(&mut start)?;
            if round == 0 {
                self.looks(case, place)?;
                begin = Instant::now();
            }
            self.once(&mut stop)?;
            if case.conflict_check {
                self.started_unasked(case, &start, &mut unasked)?;
            }
        }
        if place == 0 && self.effort.background {
            start.calls = Some(self.counts(case, START)?);
            stop.calls = Some(self.counts(case, "stop")?);
        }
        self.rows.push(start);
        if case.conflict_check {
            self.rows.push(unasked);
        }
        self.rows.push(stop);
        Ok(())
    }

    fn row(&self, case: &Case, action: &'static str, place: usize) -> Row {
        Row {
            case: *case,
            action,
            addresses: self.effort.addresses[place],
            ours: Vec::new(),
            shell: Vec::new(),
            noop: Vec::new(),
            calls: None,
        }
    }

    /// The shell agent, ours, the program that does nothing. The shell agent comes first, because the shell `IPaddr`
    /// takes the alias `eth0:0` from whoever has it, and ours the next that is free. The other two change places, because
    /// whoever comes after a shell finds the caches full of other things.
    fn once(&self, row: &mut Row) -> Result<(), String> {
        if row.case.peer.is_some() {
            row.shell.push(self.run(&self.call(&row.case, Side::Shell, row.action))?);
        }
        let ours_first = row.ours.len().is_multiple_of(2);
        if !ours_first {
            row.noop.push(self.run(&self.tools.noop())?);
        }
        row.ours.push(self.run(&self.call(&row.case, Side::Ours, row.action))?);
        if ours_first {
            row.noop.push(self.run(&self.tools.noop())?);
        }
        Ok(())
    }

    /// The shell agent's start is the one of the same round: it never looks for a conflict.
    fn started_unasked(&self, case: &Case, start: &Row, unasked: &mut Row) -> Result<(), String> {
        let mut command = self.call(case, Side::Ours, START);
        command.env("OCF_RESKEY_conflict_check", "false");
        unasked.ours.push(self.run(&command)?);
        unasked.noop.push(self.run(&self.tools.noop())?);
        unasked.shell.extend(start.shell.last());
        self.run(&self.call(case, Side::Ours, "stop")).map(drop)
    }

    fn looks(&mut self, case: &Case, place: usize) -> Result<(), String> {
        for action in ["monitor", "validate-all", "meta-data"] {
            let mut row = self.row(case, action, place);
            let begin = Instant::now();
            for _ in 0..self.effort.looks[place] {
                if row.ours.len() >= 3 && begin.elapsed() > self.effort.patience {
                    break;
                }
                self.once(&mut row)?;
            }
            if place == 0 || action == "monitor" {
                row.calls = Some(self.counts(case, action)?);
            }
            self.rows.push(row);
        }
        Ok(())
    }

    fn counts(&self, case: &Case, action: &str) -> Result<(Calls, Option<Calls>), String> {
        let shell = case.peer.map(|_| self.tools.count(&self.call(case, Side::Shell, action)));
        let ours = self.tools.count(&self.call(case, Side::Ours, action))?;
        Ok((ours, shell.transpose()?))
    }

    fn crowd(&self) -> Result<Crowd, String> {
        let (case, times) = (&cases::ALL[0], self.effort.at_once);
        let mut crowd = Crowd { at_once: times, ours: vec![], shell: vec![], noop: vec![] };
        let _ = writeln!(std::io::stderr(), "{}, {times} monitors at once", case.label);
        for side in [Side::Shell, Side::Ours] {
            self.run(&self.call(case, side, START))?;
        }
        for round in 0..self.effort.crowds.0 {
            let monitor = |side| self.call(case, side, "monitor");
            crowd.ours.push(self.tools.run(&monitor(Side::Ours), times)?);
            if round < self.effort.crowds.1 {
                crowd.shell.push(self.tools.run(&monitor(Side::Shell), times)?);
            }
            crowd.noop.push(self.tools.run(&self.tools.noop(), times)?);
        }
        for side in [Side::Ours, Side::Shell] {
            self.run(&self.call(case, side, "stop"))?;
        }
        Ok(crowd)
    }
}
