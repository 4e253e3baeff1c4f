//! Where messages go: what users of `ocf_log` know, in one place.

#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::{IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use nix::fcntl::OFlag;

use crate::deadline::Deadline;
use crate::environment::Environment;
use crate::error::one_line;
use crate::host::program;

/// How much a message matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Something failed.
    Error,
    /// Something is likely to surprise the administrator.
    Warning,
    /// A state changed.
    Info,
    /// For whoever looks for a fault; only with `HA_debug`.
    Debug,
}

impl Severity {
    const fn word(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Warning => "WARNING",
            Self::Info => "INFO",
            Self::Debug => "DEBUG",
        }
    }

    /// The severity in a syslog priority (RFC 5424, section 6.2.1).
    const fn syslog(self) -> u8 {
        match self {
            Self::Error => 3,
            Self::Warning => 4,
            Self::Info => 6,
            Self::Debug => 7,
        }
    }
}

/// Facilities by name and number (RFC 5424, section 6.2.1; names as in syslog(3)).
const FACILITIES: [(&str, u8); 20] = [
    ("kern", 0),
    ("user", 1),
    ("mail", 2),
    ("daemon", 3),
    ("auth", 4),
    ("syslog", 5),
    ("lpr", 6),
    ("news", 7),
    ("uucp", 8),
    ("cron", 9),
    ("authpriv", 10),
    ("ftp", 11),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];

/// The facility of who names none, or one that nobody knows.
const DAEMON: u8 = 3;

/// The log of one invocation.
#[derive(Debug)]
pub struct Log<'a> {
    environment: &'a Environment,
    tag: String,
    /// A person called: messages belong on the terminal.
    terminal: bool,
    logd_failed: AtomicBool,
}

impl<'a> Log<'a> {
    /// The log of `agent`, called for `instance`.
    #[must_use]
    pub fn new(environment: &'a Environment, agent: &str, instance: &str) -> Self {
        let tag = environment.text("HA_LOGTAG").map_or_else(
            || format!("{agent}({})[{}]", one_line(instance, 64), std::process::id()),
            |tag| one_line(tag, 128),
        );
        Self {
            environment,
            tag,
            terminal: std::io::stdin().is_terminal(),
            logd_failed: AtomicBool::new(false),
        }
    }

    /// Who writes, as each line says.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// Something is likely to surprise the administrator.
    pub fn warn(&self, message: &str) {
        self.write(Severity::Warning, message, true);
    }

    /// A state changed.
    pub fn info(&self, message: &str) {
        self.write(Severity::Info, message, true);
    }

    /// Something failed, and nobody waits for an exit code.
    pub fn failure(&self, message: &str) {
        self.write(Severity::Error, message, true);
    }

    /// A detail for whoever looks for a fault.
    pub fn debug(&self, message: &str) {
        if self.environment.get("HA_debug").is_some_and(|value| value != "0") {
            self.write(Severity::Debug, message, true);
        }
    }

    /// Why the action failed: for Pacemaker on stderr, behind the prefix that it gave, and for the log.
    pub fn exit_reason(&self, reason: &str) {
        let prefix = self.environment.text("OCF_EXIT_REASON_PREFIX").unwrap_or("ocf-exit-reason:");
        stderr(&format!("{prefix}{reason}"));
        self.write(Severity::Error, reason, false);
    }

    /// Writes to the first place that the environment names. `or_stderr`: stderr may be one.
    fn write(&self, severity: Severity, message: &str, or_stderr: bool) {
        let message = format!("{}: {}", severity.word(), one_line(message, 1000));
        if self.terminal {
            if or_stderr {
                stderr(&message);
            }
            return;
        }
        if self.to_logd(&message) {
            return;
        }
        let facility = self.environment.text("HA_LOGFACILITY").filter(|name| *name != "none");
        let file = self.environment.get("HA_LOGFILE");
        let debug_log = self.environment.get("HA_DEBUGLOG");
        let debugs = severity == Severity::Debug;
        let elsewhere = if debugs { debug_log.is_some() } else { file.is_some() };
        if facility.is_some() || !elsewhere {
            let known = FACILITIES.iter().find(|(name, _)| facility == Some(name));
            syslog(known.map_or(DAEMON, |(_, number)| *number), severity, &self.tag, &message);
        }
        let file = file.filter(|_| !debugs);
        if let Some(file) = file {
            append(file, &format!("{}{}:    {message}\n", self.date(), self.tag));
        }
        if let Some(debug_log) = debug_log.filter(|debug| Some(*debug) != file) {
            append(debug_log, &format!("{}:\t{}{message}\n", self.tag, self.date()));
        }
    }

    /// Heartbeat's logging daemon, where the administrator chose it. One that hangs is not asked again.
    fn to_logd(&self, message: &str) -> bool {
        let wanted = self.environment.get("HA_LOGD").is_some_and(|value| value == "yes")
            || self.environment.is_true("HA_use_logd");
        if !wanted || self.logd_failed.load(Ordering::Relaxed) {
            return false;
        }
        let soon = Deadline::after(Duration::from_millis(500));
        let told = program::run(self.environment, "ha_logger", &["-t", &self.tag, message], &soon);
        self.logd_failed.store(told.is_err(), Ordering::Relaxed);
        told.is_ok()
    }

    fn date(&self) -> String {
        let format = self.environment.text("HA_DATEFMT").unwrap_or("%b %d %T ");
        let now = local_time();
        jiff::fmt::strtime::format(format, &now)
            .unwrap_or_else(|_| now.strftime("%b %d %T ").to_string())
    }
}

/// What a clock on the wall shows.
///
/// `Zoned::now` also finds out what the zone is called, for which it lists all of /usr/share/zoneinfo.
pub(crate) fn local_time() -> Zoned {
    let zone = if std::env::var_os("TZ").is_some() {
        TimeZone::system()
    } else {
        let rules = std::fs::read("/etc/localtime").ok();
        rules.and_then(|rules| TimeZone::tzif("", &rules).ok()).unwrap_or(TimeZone::UTC)
    };
    Timestamp::now().to_zoned(zone)
}

/// Writes a line to stderr; nobody can be told if that fails.
fn stderr(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// One datagram to the system log, which adds the time itself. A log that is full or absent delays nobody.
fn syslog(facility: u8, severity: Severity, tag: &str, message: &str) {
    let send = || {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.connect("/dev/log")?;
        let priority = facility * 8 + severity.syslog();
        socket.send(format!("<{priority}>{tag}: {message}").as_bytes())
    };
    let _ = send();
}

/// Appends to a log file. It may be a named pipe without a reader, which must not stop us; and /dev/null.
fn append(file: &OsStr, line: &str) {
    let opened = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits())
        .open(Path::new(file));
    if let Ok(mut opened) = opened {
        let _ = opened.write_all(line.as_bytes());
    }
}
