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

/// Pauses before the second and each further try. At a takeover the network, too, may be on its way.
const PAUSES: [Duration; 4] = [
    Duration::from_secs(2),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_mins(1),
];

/// Steps of a conversation with a relay that each may take their time, roughly.
const STEPS: u32 = 10;

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
    let to: Vec<String> = envelope.to.iter().map(ToString::to_string).collect();
    let to = to.join(", ");
    let mut pauses = PAUSES.iter();
    loop {
        let tried = match route {
            Route::Sendmail => by_sendmail(text, timeout, environment),
            Route::Relay(relay) => smtp::send(relay, envelope, text, timeout),
        };
        match (tried, pauses.next()) {
            (Ok(refused), _) => {
                for why in refused {
                    log.warn(&format!("the mail was taken, but not for everybody: {why}"));
                }
                log.debug(&format!("the mail to {to} was taken"));
                return Ok(());
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

/// sendmail keeps the mail until somebody takes it, so that what it refuses once it refuses again; only where it does
/// not answer, it may do so later.
fn by_sendmail(
    text: &str,
    timeout: Duration,
    environment: &Environment,
) -> Result<Vec<String>, Refusal> {
    // A dot by itself is text (-i); the recipients are those in the text (-t).
    let deadline = Deadline::after(timeout);
    let handed = program::feed(environment, SENDMAIL, &["-t", "-i"], text.as_bytes(), &deadline);
    let later = deadline.left().is_zero();
    handed.map(|()| Vec::new()).map_err(|error| Refusal { why: error.to_string(), later })
}
