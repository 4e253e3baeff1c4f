//! An agent explained on a terminal.

#![forbid(unsafe_code)]

use std::fmt::Write as _;

use crate::haresources;
use crate::param::{Kind, ParamSpec};
use crate::spec::Described;

/// How headings and names are set off from the text.
#[derive(Clone, Copy, Debug)]
pub struct Paint {
    on: bool,
}

impl Paint {
    /// Colour, or none.
    #[must_use]
    pub const fn new(on: bool) -> Self {
        Self { on }
    }

    fn bold(self, text: &str) -> String {
        if self.on { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn faint(self, text: &str) -> String {
        if self.on { format!("\x1b[2m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Everything about an agent, wrapped at `width` columns.
#[must_use]
pub fn describe(described: &Described, paint: Paint, width: usize) -> String {
    let agent = &described.agent;
    let mut text = format!(
        "{}: {}\n\n{}\n",
        paint.bold(agent.name),
        agent.short,
        wrapped(agent.long, "", width)
    );
    let _ = writeln!(text, "\n{}", paint.bold("Parameters"));
    for param in described.params() {
        let _ = writeln!(text, "\n  {} {}", paint.bold(param.name), paint.faint(&facts(param)));
        let _ = writeln!(text, "{}", wrapped(&param.long(), "      ", width));
    }
    let _ = writeln!(text, "\n{}", paint.bold("Actions"));
    for row in agent.actions {
        let interval = row.interval.map_or(String::new(), |seconds| format!(", every {seconds} s"));
        let level = row.depth.map_or(String::new(), |depth| format!(", level {depth}"));
        let _ =
            writeln!(text, "  {:13} timeout {} s{interval}{level}", row.action.name(), row.timeout);
    }
    if let Some(pattern) = &agent.haresources {
        let _ = writeln!(
            text,
            "\n{}\n  {}",
            paint.bold("In haresources"),
            haresources::form(described, pattern)
        );
        if let Some(advice) = haresources::advice(described) {
            let _ = writeln!(text, "{}", wrapped(advice, "  ", width));
        }
    }
    text
}

/// Type, default and the like of a parameter, in brackets.
#[must_use]
pub fn facts(param: &ParamSpec) -> String {
    let mut facts = vec![match param.kind {
        Kind::String => "text".to_owned(),
        Kind::Integer => "number".to_owned(),
        Kind::Boolean => "true or false".to_owned(),
        Kind::Select(words) => words.join(" | "),
    }];
    if param.required {
        facts.push("required".to_owned());
    }
    facts.extend(param.default.map(|default| format!("default {default}")));
    if param.reloadable {
        facts.push("can be changed while it runs".to_owned());
    }
    facts.extend(param.replaced_by.map(|better| format!("deprecated: use {better}")));
    format!("({})", facts.join(", "))
}

/// `text` with its paragraphs broken into lines.
#[must_use]
pub fn wrapped(text: &str, indent: &str, width: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for (number, paragraph) in text.split("\n\n").enumerate() {
        if number > 0 {
            lines.push(String::new());
        }
        let mut line = String::from(indent);
        for word in paragraph.split_whitespace() {
            if line.chars().count() + word.chars().count() + 1 > width && line.len() > indent.len()
            {
                lines.push(std::mem::replace(&mut line, String::from(indent)));
            }
            if line.len() > indent.len() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines.join("\n")
}
