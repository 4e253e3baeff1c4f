//! Runs the scenarios one after the other, and speaks as libtest does.

use std::any::Any;
use std::fs;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};
use std::{env, thread};

use crate::options::{Options, Task};
use crate::report::{Finding, Report};
use crate::scenarios::{self, Scenario};
use crate::stage::Stage;
use crate::{Outcome, laboratory, requirements, says};

/// Names a file to which the table goes, as Markdown.
const REPORT: &str = "OCFBOX_CLUSTER_REPORT";

/// Why the scenarios do not run by themselves.
const REASON: &str = "needs root and the cluster packages: tests/run cluster";

/// Outside the laboratory: everything that needs no cluster, then the laboratory.
pub fn run(arguments: &[String]) -> Outcome<ExitCode> {
    let options = Options::parse(arguments);
    let chosen = chosen(&options);
    match options.task() {
        Task::List { terse } => Ok(list(&chosen, terse)),
        Task::Ignore => Ok(ignore(&chosen)),
        Task::Run if chosen.is_empty() => Ok(Sum::default().print(Duration::ZERO)),
        Task::Run => {
            let ended = requirements::check().and_then(|()| laboratory::supervise(arguments));
            ended.or_else(|error| Ok(refuse(&chosen, &error)))
        }
    }
}

fn chosen(options: &Options) -> Vec<&'static Scenario> {
    let is_meant = |scenario: &&Scenario| {
        options.selects(scenario.name)
            && scenario.agents.iter().any(|agents| agents.are_under_test())
    };
    scenarios::ALL.iter().filter(is_meant).collect()
}

fn list(chosen: &[&Scenario], terse: bool) -> ExitCode {
    for scenario in chosen {
        println!("{}: test", scenario.name);
    }
    if !terse {
        println!("\n{} tests, 0 benchmarks", chosen.len());
    }
    ExitCode::SUCCESS
}

fn ignore(chosen: &[&Scenario]) -> ExitCode {
    println!("\nrunning {} tests", chosen.len());
    for scenario in chosen {
        println!("test {} ... ignored, {REASON}", scenario.name);
    }
    Sum { ignored: chosen.len(), ..Sum::default() }.print(Duration::ZERO)
}

fn refuse(chosen: &[&Scenario], error: &str) -> ExitCode {
    println!("\nrunning {} tests", chosen.len());
    for scenario in chosen {
        println!("test {} ... FAILED", scenario.name);
    }
    println!("\ncluster scenarios: {error}");
    Sum { failed: chosen.len(), ..Sum::default() }.print(Duration::ZERO)
}

/// Inside the laboratory: the scenarios.
pub fn run_in_laboratory(arguments: &[String]) -> Outcome<ExitCode> {
    let chosen = chosen(&Options::parse(arguments));
    match laboratory::furnish().and_then(|()| Stage::open()) {
        Ok(stage) => perform_all(&chosen, stage),
        Err(error) => Ok(refuse(&chosen, &error)),
    }
}

fn perform_all(chosen: &[&Scenario], mut stage: Stage) -> Outcome<ExitCode> {
    let begun = Instant::now();
    let (mut report, mut sum) = (Report::default(), Sum::default());
    let logs = log_directory();
    println!("\nrunning {} tests", chosen.len());
    for scenario in chosen {
        let (findings, failure) = perform(scenario, &mut stage, &logs);
        sum.count(failure);
        report.add(scenario.name, &findings);
    }
    println!("\n{}", report.table());
    if let Some(file) = env::var_os(REPORT) {
        fs::write(&file, report.table())
            .map_err(says(format!("cannot write {}", Path::new(&file).display())))?;
    }
    Ok(sum.print(begun.elapsed()))
}

/// Runs one scenario with each kind of agents it is for, and says how it went.
fn perform(scenario: &Scenario, stage: &mut Stage, logs: &Path) -> (Vec<Finding>, bool) {
    print!("test {} ... ", scenario.name);
    // Without it the name of a scenario that hangs would not be seen.
    let _unseen = io::stdout().flush();
    let begun = Instant::now();
    let (mut words, mut findings, mut failures) = (Vec::new(), Vec::new(), Vec::new());
    for agents in scenario.agents.iter().copied().filter(|agents| agents.are_under_test()) {
        let result =
            attempt(|| (scenario.run)(stage, agents).and_then(|text| stage.tidy().map(|()| text)));
        let text = result.unwrap_or_else(|error| {
            let directory = logs.join(scenario.name.replace("::", "-")).join(agents.provider());
            let tails = attempt(|| stage.give_up(&directory)).unwrap_or_else(|error| error);
            failures
                .push(format!("\nwith {agents}: {error}\n{tails}logs: {}\n", directory.display()));
            "FAILED".to_owned()
        });
        words.push(format!("{agents}: {text}"));
        findings.push(Finding { agents, text });
    }
    let verdict = if failures.is_empty() { "ok" } else { "FAILED" };
    println!("{verdict}   {} ({:.0} s)", words.join("; "), begun.elapsed().as_secs_f32());
    print!("{}", failures.concat());
    (findings, !failures.is_empty())
}

/// A scenario that panics is a failed one; the next gets its turn.
fn attempt<T>(action: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    catch_unwind(AssertUnwindSafe(action)).unwrap_or_else(|panic| Err(words_of(panic.as_ref())))
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!(
        "panicked in {}: {}",
        thread::current().name().unwrap_or("a thread"),
        text.unwrap_or("no message")
    )
}

/// Of this run alone, for two may run at once. It is made when there is something to keep.
fn log_directory() -> PathBuf {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cluster-{}", since.as_millis()))
}

/// The sum of a run.
#[derive(Default)]
struct Sum {
    passed: usize,
    failed: usize,
    ignored: usize,
}

impl Sum {
    fn count(&mut self, failure: bool) {
        if failure {
            self.failed += 1;
        } else {
            self.passed += 1;
        }
    }

    /// The last line, in libtest's words, and the exit code that goes with it.
    fn print(&self, time: Duration) -> ExitCode {
        let Self { passed, failed, ignored } = self;
        let verdict = if *failed == 0 { "ok" } else { "FAILED" };
        let filtered = scenarios::ALL.len() - passed - failed - ignored;
        let seconds = time.as_secs_f32();
        println!(
            "\ntest result: {verdict}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; \
             {filtered} filtered out; finished in {seconds:.2}s\n"
        );
        if *failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(101) }
    }
}
