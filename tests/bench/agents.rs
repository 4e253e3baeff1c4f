//! What the agents cost, beside the shell agents and a program that does nothing.
//!
//! `tests/bench/run` calls it. Everything is measured inside namespaces that end with it.

#![allow(clippy::unused_self, reason = "what a host does, it does in its namespaces")]

mod budget;
mod cases;
mod host;
mod launch;
mod measure;
mod mounts;
mod plot;
mod report;
mod statistics;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use measure::Effort;

/// Told to the second run of this program, the one inside the namespaces.
const INSIDE: &str = "--inside";

struct Options {
    quick: bool,
    inside: bool,
    output: PathBuf,
}

impl Options {
    fn of_words(words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self { quick: false, inside: false, output: PathBuf::new() };
        let mut words = words;
        while let Some(word) = words.next() {
            match word.as_str() {
                // Cargo's own.
                "--bench" => {}
                "--quick" => options.quick = true,
                INSIDE => options.inside = true,
                "--output" => {
                    options.output = words.next().ok_or("--output needs a directory")?.into();
                }
                _ => return Err(format!("{word:?} is none of --quick, --output")),
            }
        }
        if options.output.as_os_str().is_empty() {
            // A smoke run is no measurement to be kept.
            let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
            options.output = if options.quick { env!("CARGO_TARGET_TMPDIR").into() } else { kept };
        }
        Ok(options)
    }
}

fn main() -> ExitCode {
    let done = Options::of_words(std::env::args().skip(1))
        .and_then(|options| if options.inside { measured(&options) } else { contained(&options) });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "tests/bench/run: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Runs this program again in namespaces of its own, and looks that nothing is left of it.
fn contained(options: &Options) -> Result<(), String> {
    if !nix::unistd::geteuid().is_root() {
        return Err("needs root, for namespaces of its own".to_owned());
    }
    let before = host::traces()?;
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    // A shell as PID 1 reaps orphans; the shell agents wait for ever for the end of a zombie.
    command.args(["sh", "-c", "\"$@\"; exit $?", "sh"]);
    command.arg(program).arg(INSIDE).arg("--output").arg(&options.output);
    if options.quick {
        command.arg("--quick");
    }
    let status = command.status().map_err(|error| format!("unshare: {error}"))?;
    let after = host::traces()?;
    if before != after {
        return Err(format!("left something behind: {before:?} became {after:?}"));
    }
    if status.success() { Ok(()) } else { Err(format!("the measurement ended with {status}")) }
}

fn measured(options: &Options) -> Result<(), String> {
    let begin = std::time::Instant::now();
    let mut machine = host::Machine::here();
    let host = host::Host::build()?;
    let tools = launch::Tools::build(host.directory())?;
    let effort = if options.quick { Effort::quick() } else { Effort::full() };
    let results = measure::all(&host, &tools, &effort)?;
    machine.ended(begin.elapsed());
    let page = report::page(&results, &machine);
    let picture = plot::picture(&results, &machine);
    fs::create_dir_all(&options.output)
        .and_then(|()| fs::write(options.output.join("speed.md"), &page))
        .and_then(|()| fs::write(options.output.join("speed.svg"), picture))
        .map_err(|error| format!("{}: {error}", options.output.display()))?;
    std::io::stdout().write_all(page.as_bytes()).map_err(|error| error.to_string())
}
