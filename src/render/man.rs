//! Manual pages, in the troff macros of man(7).

#![forbid(unsafe_code)]

use std::fmt::Write as _;

use super::describe::facts;
use crate::haresources;
use crate::spec::Described;

/// The page `ocf_ocfbox_<Agent>(7)`.
#[must_use]
pub fn page(described: &Described) -> String {
    let agent = &described.agent;
    let title = format!("OCF_OCFBOX_{}", agent.name.to_uppercase());
    let mut text = format!(
        ".TH {title} 7 \"\" \"ocfbox {}\" \"OCF resource agents\"\n",
        env!("CARGO_PKG_VERSION")
    );
    let _ =
        writeln!(text, ".SH NAME\nocf_ocfbox_{} \\- {}", escaped(agent.name), escaped(agent.short));
    let _ = writeln!(
        text,
        ".SH SYNOPSIS\n.B ocfbox {}\n.I action\n[\\fIparameter\\fR=\\fIvalue\\fR ...]",
        agent.name
    );
    if let Some(pattern) = &agent.haresources {
        let _ = writeln!(
            text,
            ".PP\nIn haresources: \\fB{}\\fR",
            escaped(&haresources::form(described, pattern))
        );
        if let Some(advice) = haresources::advice(described) {
            let _ = writeln!(text, "{}", escaped(advice));
        }
    }
    let _ = writeln!(text, ".SH DESCRIPTION\n{}", paragraphs(agent.long));
    text.push_str(".SH PARAMETERS\n");
    for param in described.params() {
        let _ = writeln!(text, ".TP\n\\fB{}\\fR {}", escaped(param.name), escaped(&facts(param)));
        let _ = writeln!(text, "{}", paragraphs(&param.long()).replace(".PP\n", ".IP\n"));
    }
    text.push_str(".SH ACTIONS\n");
    for row in agent.actions {
        let interval =
            row.interval.map_or(String::new(), |seconds| format!(", every {seconds} seconds"));
        let level = row.depth.map_or(String::new(), |depth| format!(", level {depth}"));
        let _ = writeln!(
            text,
            ".TP\n\\fB{}\\fR\ntimeout {} seconds{interval}{level}",
            escaped(row.action.name()),
            row.timeout
        );
    }
    text.push_str(EXIT_STATUS);
    let _ = writeln!(text, "{}", examples(described));
    text.push_str(
        ".SH SEE ALSO\n.BR ocfbox (8),\n.BR crm_resource (8),\n.BR crm (8),\n.BR pcs (8)\n",
    );
    text
}

const EXIT_STATUS: &str = ".SH EXIT STATUS
.TP
\\fB0\\fR
it worked; for monitor: the resource works
.TP
\\fB1\\fR
it failed; for monitor: something of the resource is there and does not work
.TP
\\fB2\\fR
wrong on this node (start, validate\\-all)
.TP
\\fB3\\fR
no such action
.TP
\\fB4\\fR
a privilege is missing (start, validate\\-all)
.TP
\\fB5\\fR
a program or driver is missing here (start, validate\\-all)
.TP
\\fB6\\fR
a parameter is wrong on every node (start, validate\\-all)
.TP
\\fB7\\fR
nothing of the resource is here (monitor)
.TP
\\fB8\\fR
it works and is promoted (monitor)
.TP
\\fB9\\fR
it is promoted and does not work (monitor)
.PP
Every failure prints one line on stderr that says what was being done, on what, why it failed and what mends it.
";

fn examples(described: &Described) -> String {
    let agent = described.agent.name;
    let given: Vec<String> = described
        .params()
        .filter(|param| param.required)
        .map(|param| format!("{}=...", param.name))
        .collect();
    let given = given.join(" ");
    let params = if given.is_empty() { String::new() } else { format!(" params {given}") };
    format!(
        ".SH EXAMPLES\n.TP\ncrm\n\\fBcrm configure primitive example ocf:ocfbox:{agent}{params} op monitor interval=10s\\fR\n\
         .TP\npcs\n\\fBpcs resource create example ocf:ocfbox:{agent} {given} op monitor interval=10s\\fR\n\
         .TP\nby hand\n\\fBocfbox {agent} monitor {given}\\fR"
    )
}

fn paragraphs(text: &str) -> String {
    text.split("\n\n")
        .map(|paragraph| escaped(paragraph.trim()))
        .collect::<Vec<_>>()
        .join("\n.PP\n")
}

/// Text that troff prints as it stands.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('`', "");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

/// The page ocfbox(8), from the command line's own declaration.
#[must_use]
pub fn program<'a>(
    program: &clap::Command,
    agents: impl IntoIterator<Item = &'a Described>,
) -> String {
    let mut text = format!(
        ".TH OCFBOX 8 \"\" \"ocfbox {}\" \"OCF resource agents\"\n",
        env!("CARGO_PKG_VERSION")
    );
    text.push_str(".SH NAME\nocfbox \\- the OCF resource agents in one binary\n.SH SYNOPSIS\n");
    text.push_str(
        ".B ocfbox\n.I agent action\n[\\fIparameter\\fR=\\fIvalue\\fR ...]\n.br\n.B ocfbox\n.I verb\n[...]\n",
    );
    text.push_str(".SH DESCRIPTION\n");
    text.push_str("Pacemaker and drbd\\-reactor call an agent through a symbolic link below\n");
    text.push_str(
        ".IR /usr/lib/ocf/resource.d/ocfbox ,\nHeartbeat through one below\n.IR /etc/ha.d/resource.d ;\n",
    );
    text.push_str("a person calls it by its name and an action. The agents have manual pages of their own.\n.SH VERBS\n");
    verbs(program, "", &mut text);
    text.push_str(".SH AGENTS\n");
    for described in agents {
        let agent = &described.agent;
        let _ = writeln!(
            text,
            ".TP\n.BR ocf_ocfbox_{} (7)\n{}",
            escaped(agent.name),
            escaped(agent.short)
        );
    }
    text.push_str(ENVIRONMENT);
    text
}

fn verbs(command: &clap::Command, before: &str, text: &mut String) {
    for verb in
        command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help")
    {
        let name = format!("{before}{}", verb.get_name());
        let mut line = format!("\\fB{}\\fR", escaped(&name));
        for argument in verb.get_arguments() {
            match argument.get_long() {
                Some("help") => {}
                Some(long) => {
                    let _ = write!(line, " [\\fB{}\\fR]", escaped(&format!("--{long}")));
                }
                None => {
                    let _ = write!(line, " \\fI{}\\fR", escaped(argument.get_id().as_str()));
                }
            }
        }
        let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
        if verb.get_subcommands().next().is_none() {
            let _ = writeln!(text, ".TP\n{line}\n{}", escaped(&about));
            options(verb, text);
        }
        verbs(verb, &format!("{name} "), text);
    }
}

fn options(verb: &clap::Command, text: &mut String) {
    for argument in verb.get_arguments() {
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        if let Some(long) = argument.get_long().filter(|long| *long != "help") {
            let _ = writeln!(
                text,
                ".RS\n.TP\n\\fB{}\\fR\n{}\n.RE",
                escaped(&format!("--{long}")),
                escaped(&help)
            );
        }
    }
}

const ENVIRONMENT: &str = ".SH ENVIRONMENT
.TP
.B OCF_RESKEY_\\fIparameter\\fR
a parameter
.TP
.B OCF_RESKEY_CRM_meta_timeout
milliseconds after which the caller gives up; the action ends before
.TP
.B OCF_CHECK_LEVEL
monitor level; with validate\\-all, 10 looks at the host too
.TP
.B OCF_TRACE_RA
if true, a trace of what the agent asked of the kernel and got
.TP
.B OCF_TRACE_FILE
where the trace goes: an absolute path, or the number of an open descriptor
.TP
.B HA_LOGFACILITY\\fR, \\fBHA_LOGFILE\\fR, \\fBHA_DEBUGLOG\\fR, \\fBHA_debug
where messages go
.TP
.B HA_RSCTMP
directory of state files, by default /run/resource\\-agents
.SH SEE ALSO
.BR pacemaker (7),
.BR crm_resource (8)
";
