//! `OCF_TRACE_RA`: what the agent asked of the kernel and what it got, with microseconds.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{IsTerminal, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};
use std::time::Instant;

use nix::fcntl::OFlag;

use crate::environment::Environment;

struct Trace {
    file: Mutex<File>,
    begin: Instant,
}

static TRACE: OnceLock<Trace> = OnceLock::new();

/// Opens the trace if the environment asks for one.
///
/// The destination is `OCF_TRACE_FILE` (an absolute path, or the number of an open descriptor, 3 to 9), else
/// `<agent>/<instance>.<action>.<date>` below `trace_dir`, by default `/var/lib/heartbeat/trace_ra`.
///
/// # Errors
/// Why there is no trace. The action goes on without one.
pub fn open(
    environment: &Environment,
    agent: &str,
    instance: &str,
    action: &str,
) -> Result<(), String> {
    if !(environment.is_true("OCF_TRACE_RA") || environment.is_true("OCF_RESKEY_trace_ra")) {
        return Ok(());
    }
    let path = destination(environment, agent, instance, action);
    let why = |error: std::io::Error| format!("no trace in {}: {error}", path.display());
    if let Some(directory) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o750).create(directory).map_err(why)?;
    }
    let mut options = OpenOptions::new();
    // A named pipe without a reader must not stop us.
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = options
        .append(true)
        .create(true)
        .mode(0o640)
        .custom_flags(flags.bits())
        .open(&path)
        .map_err(why)?;
    let trace = TRACE.get_or_init(|| Trace { file: Mutex::new(file), begin: Instant::now() });
    if let Ok(mut file) = trace.file.lock() {
        let _ = writeln!(file, "# {agent} {action} of {instance}, process {}", std::process::id());
        let mut variables: Vec<&(OsString, OsString)> = environment.variables().iter().collect();
        variables.sort();
        for (name, value) in variables {
            let _ = writeln!(file, "# {}={:?}", name.to_string_lossy(), value.to_string_lossy());
        }
    }
    Ok(())
}

fn destination(environment: &Environment, agent: &str, instance: &str, action: &str) -> PathBuf {
    if let Some(file) = environment.get("OCF_TRACE_FILE") {
        let path = PathBuf::from(file);
        if path.is_absolute() {
            return path;
        }
        if file.len() == 1 && file.to_str().is_some_and(|digit| ("3"..="9").contains(&digit)) {
            return PathBuf::from("/proc/self/fd").join(file);
        }
    } else if std::io::stdin().is_terminal() && environment.get("OCF_RESKEY_trace_dir").is_none() {
        return PathBuf::from("/proc/self/fd/2");
    }
    let directory = environment.get("OCF_RESKEY_trace_dir").map_or_else(
        || {
            environment
                .get("HA_VARLIB")
                .map_or("/var/lib/heartbeat".into(), PathBuf::from)
                .join("trace_ra")
        },
        PathBuf::from,
    );
    let date = crate::log::local_time().strftime("%Y-%m-%d.%H:%M:%S");
    let instance = instance.replace('/', "_");
    directory.join(agent).join(format!("{instance}.{action}.{date}"))
}

/// Writes one line, if there is a trace. `>` is a question to the kernel, `<` its answer, `-` a decision.
pub fn line(mark: char, text: fmt::Arguments<'_>) {
    if let Some(trace) = TRACE.get()
        && let Ok(mut file) = trace.file.lock()
    {
        let micros = trace.begin.elapsed().as_micros();
        let _ = writeln!(file, "{:>4}.{:06} {mark} {text}", micros / 1_000_000, micros % 1_000_000);
    }
}

/// What the agent asks of the kernel.
#[macro_export]
macro_rules! trace_ask {
    ($($argument:tt)*) => { $crate::trace::line('>', format_args!($($argument)*)) };
}

/// What the kernel answered.
#[macro_export]
macro_rules! trace_answer {
    ($($argument:tt)*) => { $crate::trace::line('<', format_args!($($argument)*)) };
}

/// What the agent decided.
#[macro_export]
macro_rules! trace_note {
    ($($argument:tt)*) => { $crate::trace::line('-', format_args!($($argument)*)) };
}
