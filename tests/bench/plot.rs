//! The picture `docs/speed.svg`: bars on a logarithmic scale, in text and rectangles that any viewer can draw.

use std::fmt::Write as _;

use crate::cases::{self, Case};
use crate::host::Machine;
use crate::launch::Sample;
use crate::measure::{Results, START, START_UNASKED};
use crate::report::{short, thousands};
use crate::statistics::{median, ratio};

const WIDTH: f64 = 860.0;
/// Where the bars begin and end; the figures stand behind the end.
const LEFT: f64 = 250.0;
const RIGHT: f64 = 690.0;
/// Above the first bar: the title, the legend and the scale.
const TOP: f64 = 84.0;
const BAR: f64 = 12.0;
const ROW: f64 = 33.0;
const HEADING: f64 = 28.0;

const STYLE: &str = "\
text{font:12px system-ui,-apple-system,'Segoe UI',sans-serif;fill:#1f2328}\
.title{font-size:16px;font-weight:600}.heading{font-weight:600}.faint{fill:#59636e}\
.paper{fill:#fff;stroke:#d1d9e0}.grid{stroke:#d1d9e0}.floor{stroke:#59636e;stroke-dasharray:4 3}\
.ours{fill:#1a7f37}.shell{fill:#bc6c25}\
@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.faint{fill:#9198a1}\
.paper{fill:#0d1117;stroke:#3d444d}.grid{stroke:#3d444d}.floor{stroke:#9198a1}\
.ours{fill:#3fb950}.shell{fill:#e09b5a}}";

/// One comparison.
struct Bars {
    label: String,
    ours: f64,
    shell: f64,
    times: f64,
}

/// Comparisons under one heading.
struct Section {
    heading: String,
    bars: Vec<Bars>,
}

/// The scale: powers of ten of a millisecond.
struct Scale {
    first: i32,
    last: i32,
}

impl Scale {
    fn of(sections: &[Section], floor: f64) -> Self {
        let bars = || sections.iter().flat_map(|section| &section.bars);
        let longest = bars().fold(floor, |most, bars| most.max(bars.ours).max(bars.shell));
        let shortest = bars().fold(floor, |least, bars| least.min(bars.ours));
        #[allow(clippy::cast_possible_truncation, reason = "powers of ten of times below a day")]
        let (first, last) = (shortest.log10().floor() as i32, longest.log10().ceil() as i32);
        Self { first, last }
    }

    fn place(&self, milliseconds: f64) -> f64 {
        let (first, last) = (f64::from(self.first), f64::from(self.last));
        LEFT + (milliseconds.log10() - first) / (last - first) * (RIGHT - LEFT)
    }
}

/// The whole picture.
pub fn picture(results: &Results, machine: &Machine) -> String {
    let noop: Vec<Sample> = results.rows.iter().flat_map(|row| row.noop.clone()).collect();
    let floor = median(&noop, |sample| sample.wall);
    let sections = sections(results);
    let scale = Scale::of(&sections, floor);
    let mut bars = String::new();
    let mut top = TOP;
    for section in &sections {
        top += HEADING;
        let _ = writeln!(bars, "{}", text(16.0, top - 8.0, "heading", &section.heading));
        for comparison in &section.bars {
            bars += &comparison.drawn(top, &scale);
            top += ROW;
        }
    }
    let height = top + 62.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" role=\"img\">\n<title>Time of one call: ocfbox and the shell agents</title>\n\
         <style>{STYLE}</style>\n\
         <rect class=\"paper\" x=\".5\" y=\".5\" width=\"{}\" height=\"{}\" rx=\"6\"/>\n{}{}{bars}{}</svg>\n",
        WIDTH - 1.0,
        height - 1.0,
        legend(),
        grid(&scale, floor, top),
        below(machine, height),
    )
}

fn below(machine: &Machine, height: f64) -> String {
    let first = format!("{}, {} cores; {}", machine.cpu, machine.cores, machine.system);
    let second =
        format!("ocfbox {}, {}. Medians; all figures: speed.md", machine.version, machine.date);
    text(16.0, height - 28.0, "faint", &first) + &text(16.0, height - 12.0, "faint", &second)
}

fn sections(results: &Results) -> Vec<Section> {
    let first = &cases::ALL[0];
    let one = |case: &Case, action| bars(results, case, action, 1, case.label);
    let actions = [START, START_UNASKED, "stop", "validate-all", "meta-data"];
    let mut counts: Vec<u32> = results.rows.iter().map(|row| row.addresses).collect();
    counts.sort_unstable();
    counts.dedup();
    let grown = counts.into_iter().filter(|count| *count > 1).filter_map(|count| {
        let label = format!("{} addresses", thousands(count as usize));
        bars(results, first, "monitor", count, &label)
    });
    let crowd = &results.crowd;
    let wall = |samples: &[Sample]| median(samples, |sample| sample.wall);
    let together = Bars {
        label: "until the last has ended".to_owned(),
        ours: wall(&crowd.ours),
        shell: wall(&crowd.shell),
        times: wall(&crowd.shell) / wall(&crowd.ours),
    };
    let section = |heading: &str, bars| Section { heading: heading.to_owned(), bars };
    vec![
        section("monitor", cases::ALL.iter().filter_map(|case| one(case, "monitor")).collect()),
        section("start", cases::ALL[2..].iter().filter_map(|case| one(case, START)).collect()),
        section(
            "IPaddr2 (nic, cidr_netmask)",
            actions.iter().filter_map(|action| bars(results, first, action, 1, action)).collect(),
        ),
        section("IPaddr2 (nic, cidr_netmask), monitor, on the interface", grown.collect()),
        section(&format!("IPaddr2, {} monitors at once", crowd.at_once), vec![together]),
    ]
}

fn bars(results: &Results, case: &Case, action: &str, addresses: u32, label: &str) -> Option<Bars> {
    let row = results.rows.iter().find(|row| {
        row.case.label == case.label && row.action == action && row.addresses == addresses
    })?;
    Some(Bars {
        label: label.to_owned(),
        ours: median(&row.ours, |sample| sample.wall),
        shell: median(&row.shell, |sample| sample.wall),
        times: ratio(&row.shell, &row.ours, |sample| sample.wall),
    })
}

impl Bars {
    fn drawn(&self, top: f64, scale: &Scale) -> String {
        let ours = format!("{} ms", short(self.ours));
        let shell = format!("{} ms, {}×", short(self.shell), short(self.times));
        let mut drawn = text(28.0, top + BAR + 4.0, "", &self.label);
        drawn += &bar(top, "ours", self.ours, &ours, scale);
        if !self.shell.is_nan() {
            drawn += &bar(top + BAR + 1.0, "shell", self.shell, &shell, scale);
        }
        drawn
    }
}

fn bar(top: f64, class: &str, milliseconds: f64, label: &str, scale: &Scale) -> String {
    let end = scale.place(milliseconds);
    let length = end - LEFT;
    format!(
        "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{top:.1}\" width=\"{length:.1}\" height=\"{BAR}\"/>\n{}",
        text(end + 6.0, top + BAR - 1.0, "", label)
    )
}

fn legend() -> String {
    let colour = |x: f64, class: &str, words: &str| {
        format!(
            "<rect class=\"{class}\" x=\"{x}\" y=\"42\" width=\"11\" height=\"11\"/>\n{}",
            text(x + 17.0, 52.0, "", words)
        )
    };
    [
        text(16.0, 28.0, "title", "Time of one call, in milliseconds (shorter is better; each line is ten times the last)"),
        colour(16.0, "ours", "ocfbox"),
        colour(90.0, "shell", "shell agent (IPv6addr: compiled)"),
    ]
    .concat()
}

/// The scale with its lines, and the floor.
fn grid(scale: &Scale, floor: f64, bottom: f64) -> String {
    let line = |class: &str, x: f64, from: f64| {
        format!(
            "<line class=\"{class}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{from}\" y2=\"{bottom}\"/>\n"
        )
    };
    let mut drawn = String::new();
    for power in scale.first..=scale.last {
        let value = 10_f64.powi(power);
        let x = scale.place(value);
        drawn += &line("grid", x, TOP);
        drawn += &text(x - 8.0, TOP - 6.0, "faint", &format!("{value}"));
    }
    let x = scale.place(floor);
    drawn += &line("floor", x, TOP);
    let words = format!("no-op in C: {} ms", short(floor));
    drawn + &text(x + 5.0, bottom + 14.0, "faint", &words)
}

fn text(x: f64, y: f64, class: &str, words: &str) -> String {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    format!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{words}</text>\n")
}
