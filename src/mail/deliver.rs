//! Handing a mail over, for which nobody waits.

#![forbid(unsafe_code)]

use std::time::Duration;

use super::post::{Route, SENDMAIL};
use super::smtp::{self, Envelope, Refusal};
use crate::deadline::Deadline;
use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::host::program;
use crate::log::Log;
use crate::param::values::Mailbox;

/// Pauses before the second and each further try. At a takeover the network, too, may be on its way.
const PAUSES: [Duration; 4] = [
    Duration::from_secs(2),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_mins(1),
];

/// Steps of a conversation with a relay that each may take their time, roughly.
const STEPS: u32 = 10;

/// The exit code of a program that may succeed when it is called again (`EX_TEMPFAIL`, sysexits.h).
const TEMPORARY: i32 = 75;

/// How long all of it may take at most.
#[must_use]
pub fn longest(timeout: Duration) -> Duration {
    let tries = u32::try_from(PAUSES.len()).unwrap_or_default() + 1;
    timeout * STEPS * tries + PAUSES.iter().sum::<Duration>()
}

/// Hands `text` over by `route`, again and again while that may help; tells the log how it ended.
///
/// # Errors
/// Nobody took it.
pub fn deliver(
    route: &Route,
    envelope: &Envelope<'_>,
    text: &str,
    timeout: Duration,
    environment: &Environment,
    log: &Log<'_>,
) -> Result<()> {
    let mut waiting = envelope.to.to_vec();
    let mut pauses = PAUSES.iter();
    loop {
        let tried = match route {
            Route::Sendmail => by_sendmail(text, timeout, environment),
            Route::Relay(relay) => {
                smtp::send(relay, &Envelope { to: &waiting, ..*envelope }, text, timeout)
            }
        };
        let to: Vec<String> = waiting.iter().map(ToString::to_string).collect();
        let to = to.join(", ");
        match (tried, pauses.next()) {
            (Ok(refused), pause) => {
                let (later, never): (Vec<_>, Vec<_>) =
                    refused.into_iter().partition(|(_, refusal)| refusal.later && pause.is_some());
                for (_, refusal) in never {
                    let why = refusal.why;
                    log.warn(&format!("the mail was taken, but not for everybody: {why}"));
                }
                let Some(pause) = pause.filter(|_| !later.is_empty()) else {
                    log.debug(&format!("the mail to {to} was taken"));
                    return Ok(());
                };
                let (mailboxes, refusals): (_, Vec<_>) = later.into_iter().unzip();
                waiting = mailboxes;
                let why: Vec<String> = refusals.into_iter().map(|refusal| refusal.why).collect();
                log.debug(&format!("trying the mail again in {pause:?}: {}", why.join("; ")));
                std::thread::sleep(*pause);
            }
            (Err(Refusal { why, later: true }), Some(pause)) => {
                log.debug(&format!("trying the mail to {to} again in {pause:?}: {why}"));
                std::thread::sleep(*pause);
            }
            (Err(Refusal { why, .. }), _) => {
                log.warn(&format!("nobody took the mail to {to}: {why}"));
                return Err(Error::Failed(why));
            }
        }
    }
}

/// sendmail keeps the mail until somebody takes it, so that what it refuses once it refuses again. It may take it later
/// where it does not answer; and where it says so, as those do that keep nothing when they cannot reach their relay.
fn by_sendmail(
    text: &str,
    timeout: Duration,
    environment: &Environment,
) -> Result<Vec<(Mailbox, Refusal)>, Refusal> {
    // A dot by itself is text (-i); the recipients are those in the text (-t).
    let deadline = Deadline::after(timeout);
    let handed = program::feed(environment, SENDMAIL, &["-t", "-i"], text.as_bytes(), &deadline);
    handed.map(|()| Vec::new()).map_err(|failed| {
        let later = deadline.left().is_zero() || failed.code == Some(TEMPORARY);
        Refusal { why: failed.error.to_string(), later }
    })
}
