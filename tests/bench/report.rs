//! The page `docs/speed.md`.

use std::fmt::Write as _;

use crate::budget;
use crate::cases::Family;
use crate::host::Machine;
use crate::launch::{Calls, Sample};
use crate::measure::{Results, Row};
use crate::mounts;
use crate::statistics::{median, quantile, ratio};

/// The whole page in Markdown.
pub fn page(results: &Results, machine: &Machine) -> String {
    let (one, many): (Vec<&Row>, Vec<&Row>) =
        results.rows.iter().partition(|row| row.addresses == 1);
    let mut parts = vec![introduction(), budgets(results), conditions(results, machine)];
    parts.push(format!("## One address on the interface\n\n{}", table(&one)));
    if !many.is_empty() {
        parts.push(format!("## Many addresses on the interface\n\n{}", table(&many)));
    }
    parts.push(dumps(results));
    parts.push(crowd(results));
    parts.push(file_systems(&results.mounts));
    parts.join("\n")
}

fn introduction() -> String {
    "# Speed\n\n\
     What the agents cost, beside the shell agents of the same names and a C program that does nothing. \
     `tests/bench/run` measures it and writes this page; nothing here is typed by hand.\n\n\
     ![Time of one call, ocfbox and the shell agents](speed.svg)\n"
        .to_owned()
}

fn budgets(results: &Results) -> String {
    let mut text =
        "## Budget\n\n| IPaddr2, monitor | at most | measured | |\n|---|---|---|---|\n".to_owned();
    for line in budget::lines(results) {
        text += &verdict(&line);
    }
    text
}

fn conditions(results: &Results, machine: &Machine) -> String {
    let runs = |action: &str, addresses: u32| {
        let rows = results.rows.iter().filter(|row| row.action == action);
        let runs = rows.filter(|row| row.addresses == addresses).map(|row| row.ours.len());
        let (least, most) = (runs.clone().min().unwrap_or(0), runs.max().unwrap_or(0));
        if least == most { least.to_string() } else { format!("{least} to {most}") }
    };
    let mut text = format!(
        "## What was measured, on what\n\n\
         - ocfbox {version}, static release build, {date}, in {took:.0} s.\n\
         - {cpu}, {cores} cores; {system}; load average {load} (1.0 is one busy core; the measurement itself makes one).\n\
         - {packages}.\n\
         - Runs of each kind: ",
        version = machine.version,
        date = machine.date,
        took = machine.took.as_secs_f64(),
        cpu = machine.cpu,
        cores = machine.cores,
        system = machine.system,
        load = machine.load,
        packages = machine.packages,
    );
    let mut counts: Vec<u32> = results.rows.iter().map(|row| row.addresses).collect();
    counts.sort_unstable();
    counts.dedup();
    let kinds = counts.iter().map(|&count| {
        let (looks, changes) = (runs("monitor", count), runs("start", count));
        format!("with {} on the interface, monitor {looks}, start {changes}", addresses(count))
    });
    text += &kinds.collect::<Vec<_>>().join("; ");
    text += ".\n";
    text += HOW;
    text
}

const HOW: &str = "\
- The shell agent, ocfbox and the program that does nothing run in turn, again and again; the latter two change places \
each time, because whoever comes after a shell finds the caches full of other things. Times are medians, with the \
10th and the 90th percentile behind them; ratios are medians of ratios within one turn, so that a busy moment of the \
machine falls on both sides. The clock runs from before posix_spawn until after wait4.
- CPU and peak memory are what wait4 reports: the sum of, and the largest of, all processes that were waited for. Peak \
memory below about 600 KiB is that of whoever started the program, and cannot be told apart.
- Executed programs (its own included), started processes and system calls were counted by strace in runs that were \
not timed, to the end of what start leaves in the background.
- Calls are made as Pacemaker makes them, with a log file and without syslog: with syslog a shell agent executes \
logger for each line. All run in network, mount and process namespaces of their own, on a veth pair.
- Start includes waiting. ocfbox listens 20 ms for another host that has the IPv4 address (conflict_check, which the \
shell agents do not do unless they are told to); the line `conflict_check=false` is the like for like. IPv6 addresses \
wait for the kernel's duplicate address detection, and the compiled IPv6addr sleeps 5 s between its announcements.
- Stateful calls crm_attribute at start and stop, as the shell agent does; here there is no cluster to answer. In the place of \
attrd_updater, which ping and ethmonitor execute, of mail and of sendmail, both sides execute /bin/true.
- A monitor of MACaddr sends a frame, by which switches keep its port; to close the socket takes the kernel ten milliseconds and no \
CPU. `arp_count_refresh=0` sends none.
";

const HEAD: &str = "\
| agent | action | addresses | ocfbox, ms | shell, ms | shell : ocfbox | ocfbox : no-op | CPU, ms | executed | started \
| system calls | peak KiB |
|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|
";

fn table(rows: &[&Row]) -> String {
    let mut text =
        "Two figures with a stroke between them are those of ocfbox / the shell agent. MACaddr has no counterpart.\n\n"
            .to_owned();
    text += HEAD;
    for row in rows {
        let calls = |column: fn(&Calls) -> usize| {
            row.calls.as_ref().map_or(NONE.to_owned(), |(ours, shell)| {
                let shell =
                    shell.as_ref().map_or(NONE.to_owned(), |shell| thousands(column(shell)));
                format!("{} / {shell}", thousands(column(ours)))
            })
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} / {} | {} | {} | {} | {:.0} / {} |",
            row.case.label,
            row.action,
            if row.case.address.is_some() {
                thousands(row.addresses as usize)
            } else {
                NONE.to_owned()
            },
            spread(&row.ours),
            spread(&row.shell),
            short(ratio(&row.shell, &row.ours, |sample| sample.wall)),
            short(ratio(&row.ours, &row.noop, |sample| sample.wall)),
            short(median(&row.ours, |sample| sample.cpu)),
            short(median(&row.shell, |sample| sample.cpu)),
            calls(|calls| calls.execs),
            calls(|calls| calls.forks),
            calls(|calls| calls.system),
            median(&row.ours, |sample| sample.memory),
            if row.shell.is_empty() {
                NONE.to_owned()
            } else {
                format!("{:.0}", median(&row.shell, |sample| sample.memory))
            },
        );
    }
    text
}

fn dumps(results: &Results) -> String {
    let mut text = "## One kernel dump\n\nThe floor of any monitor that asks the kernel for addresses: a C program that reads all addresses of the \
                    interface once, and looks at none of them.\n\n\
                    | family | addresses | ms | CPU, ms |\n|---|--:|--:|--:|\n"
        .to_owned();
    for dump in &results.dumps {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |",
            if dump.family == Family::V4 { "IPv4" } else { "IPv6" },
            thousands(dump.addresses as usize),
            spread(&dump.runs),
            short(median(&dump.runs, |sample| sample.cpu)),
        );
    }
    text
}

fn crowd(results: &Results) -> String {
    let crowd = &results.crowd;
    let mut text = format!(
        "## {} monitors at once\n\nIPaddr2 with nic and cidr_netmask, until the last has ended.\n\n\
         | | runs | ms | CPU of all, ms |\n|---|--:|--:|--:|\n",
        crowd.at_once
    );
    for (name, samples) in
        [("ocfbox", &crowd.ours), ("shell", &crowd.shell), ("no-op", &crowd.noop)]
    {
        let cpu = short(median(samples, |sample| sample.cpu));
        let _ = writeln!(text, "| {name} | {} | {} | {cpu} |", samples.len(), spread(samples));
    }
    text
}

fn file_systems(results: &mounts::Results) -> String {
    let mut text = "## Filesystem where there is much\n\n\
                    A tmpfs. Each process of a crowd has 4 or 20 files open, as the row says; users have one more in the mount, and end when they are told to. The floor is a C \
                    program that only reads the table of mounts, or only unmounts.\n\n\
                    | | ocfbox, ms | shell, ms | floor, ms | CPU, ms | peak KiB |\n|---|--:|--:|--:|--:|--:|\n"
        .to_owned();
    let monitors = results.monitors.iter();
    for row in monitors.chain([&results.idle, &results.idle_in_a_crowd]).chain(&results.held) {
        let both = |column: fn(&Sample) -> f64, digits: fn(f64) -> String| {
            format!(
                "{} / {}",
                digits(median(&row.ours, column)),
                digits(median(&row.shell, column))
            )
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            row.what,
            spread(&row.ours),
            spread(&row.shell),
            spread(&row.floor),
            both(|sample| sample.cpu, short),
            both(|sample| sample.memory, |size| format!("{size:.0}")),
        );
    }
    text += "\n| Filesystem | at most | measured | |\n|---|---|---|---|\n";
    for line in mounts::lines(results) {
        text += &verdict(&line);
    }
    text
}

fn verdict(line: &budget::Line) -> String {
    let verdict = if line.met { "met" } else { "**missed**" };
    format!("| {} | {} | {} | {verdict} |\n", line.what, line.limit, line.measured)
}

/// The number, and what is counted.
fn addresses(count: u32) -> String {
    format!("{} address{}", thousands(count as usize), if count == 1 { "" } else { "es" })
}

/// Median wall time, and the percentiles where there are enough runs for any.
fn spread(samples: &[Sample]) -> String {
    let walls: Vec<f64> = samples.iter().map(|sample| sample.wall).collect();
    let middle = short(quantile(walls.clone(), 0.5));
    if walls.len() < 5 {
        return middle;
    }
    format!("{middle} ({}–{})", short(quantile(walls.clone(), 0.1)), short(quantile(walls, 0.9)))
}

/// Where there is nothing to measure.
const NONE: &str = "–";

/// Three digits that mean something.
pub fn short(value: f64) -> String {
    match value.abs() {
        size if size.is_nan() => NONE.to_owned(),
        size if size < 9.995 => format!("{value:.2}"),
        size if size < 99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// With a comma where one is read.
pub fn thousands(number: usize) -> String {
    if number < 1_000 {
        return number.to_string();
    }
    format!("{},{:03}", thousands(number / 1_000), number % 1_000)
}
