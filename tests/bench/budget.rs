//! What was promised, and whether it is kept.

use crate::cases::{self, Family};
use crate::launch::Sample;
use crate::measure::{Results, Row};
use crate::report::{short, thousands};
use crate::statistics::{median, ratio};

/// One promise about the monitor of `IPaddr2` where the interface is known.
pub struct Line {
    pub what: String,
    pub limit: String,
    pub measured: String,
    pub met: bool,
}

/// All of them.
pub fn lines(results: &Results) -> Vec<Line> {
    let monitors: Vec<&Row> = results
        .rows
        .iter()
        .filter(|row| row.case.label == cases::ALL[0].label && row.action == "monitor")
        .collect();
    let (Some(few), Some(most)) = (monitors.first(), monitors.last()) else { return Vec::new() };
    let mut lines = vec![time(few)];
    lines.extend(few.calls.map(|(ours, _)| Line {
        what: "processes started, programs executed besides itself".to_owned(),
        limit: "0".to_owned(),
        measured: format!("{}, {}", ours.forks, ours.execs.saturating_sub(1)),
        met: ours.forks == 0 && ours.execs <= 1,
    }));
    lines.extend(few.calls.map(|(ours, _)| Line {
        what: "system calls".to_owned(),
        limit: "fewer than 120".to_owned(),
        measured: ours.system.to_string(),
        met: ours.system < 120,
    }));
    lines.extend(growth(few, most, results));
    lines.push(crowd(results));
    lines
}

/// On a busy machine both wait for a processor longer than they run, which makes their wall times alike: so the CPU
/// counts as well.
fn time(row: &Row) -> Line {
    let wall = ratio(&row.ours, &row.noop, |sample| sample.wall);
    let cpu = ratio(&row.ours, &row.noop, |sample| sample.cpu);
    Line {
        what: "wall time and CPU, in those of a static C program that does nothing".to_owned(),
        limit: "2.5".to_owned(),
        measured: format!("{}, {}", short(wall), short(cpu)),
        met: wall <= 2.5 && cpu <= 2.5,
    }
}

/// More addresses may cost what the kernel needs to tell of them, and half as much again to read it.
fn growth(few: &Row, most: &Row, results: &Results) -> Option<Line> {
    if few.addresses == most.addresses {
        return None;
    }
    let dump = |addresses| {
        let mut dumps = results.dumps.iter();
        dumps.find(|dump| dump.family == Family::V4 && dump.addresses == addresses)
    };
    let wall = |samples: &[Sample]| median(samples, |sample| sample.wall);
    let floor = wall(&dump(most.addresses)?.runs) - wall(&dump(few.addresses)?.runs);
    let own = wall(&most.ours) - wall(&few.ours);
    let count = thousands(most.addresses as usize);
    Some(Line {
        what: format!("what {count} addresses add to it, in kernel dumps of as many"),
        limit: "1.5".to_owned(),
        measured: format!("{} ({} ms to {} ms)", short(own / floor), short(own), short(floor)),
        met: own <= floor * 1.5,
    })
}

fn crowd(results: &Results) -> Line {
    let crowd = &results.crowd;
    let wall = median(&crowd.ours, |sample| sample.wall);
    Line {
        what: format!("{} of them at once", crowd.at_once),
        limit: "1,000 ms".to_owned(),
        measured: format!("{} ms", short(wall)),
        met: wall < 1_000.0,
    }
}
