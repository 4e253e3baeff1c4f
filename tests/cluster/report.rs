//! The table at the end: what a client saw with our agents and with the shell agents.

use std::fmt::Write as _;

use crate::scenarios::Agents;

/// What one scenario showed with one set of agents.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Whose agents.
    pub agents: Agents,
    /// A few words, such as `outage 28 ms`.
    pub text: String,
}

/// What was found, scenario by scenario.
#[derive(Default)]
pub struct Report {
    rows: Vec<(String, Vec<Finding>)>,
}

impl Report {
    /// Adds a scenario's findings.
    pub fn add(&mut self, scenario: &str, findings: &[Finding]) {
        self.rows.push((scenario.to_owned(), findings.to_vec()));
    }

    /// The table as Markdown; the columns are aligned, so that it reads well on a terminal too.
    pub fn table(&self) -> String {
        let mut lines =
            vec![["scenario".to_owned(), "ocfbox".to_owned(), "shell agents".to_owned()]];
        for (scenario, findings) in &self.rows {
            lines.push([
                scenario.clone(),
                text_of(findings, Agents::Ocfbox),
                text_of(findings, Agents::Shell),
            ]);
        }
        let width = |column: usize| {
            lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0)
        };
        let widths = [width(0), width(1), width(2)];
        let mut table = String::new();
        for (number, [scenario, ours, theirs]) in lines.iter().enumerate() {
            let [first, second, third] = widths;
            writeln!(table, "| {scenario:first$} | {ours:second$} | {theirs:third$} |")
                .expect("a string can be written to");
            if number == 0 {
                let line = |width: usize| "-".repeat(width + 2);
                writeln!(table, "|{}|{}|{}|", line(first), line(second), line(third))
                    .expect("a string can be written to");
            }
        }
        table
    }
}

fn text_of(findings: &[Finding], agents: Agents) -> String {
    let found = findings.iter().find(|finding| finding.agents == agents);
    found.map_or_else(|| "-".to_owned(), |finding| finding.text.clone())
}
