//! PostgreSQL.

#![forbid(unsafe_code)]

use super::{Carrier, Protocol, Talked};
use crate::probe::location::decoded;
use crate::probe::outcome::Trouble;
use crate::probe::url::Url;
use crate::probe::wire::{Wire, no};

/// Largest answer to a start.
const LARGEST: u32 = 32 * 1024;

/// Who asks, and for which database, if the URL does not say.
const POSTGRES: &str = "postgres";

/// The beginning of a session (<https://www.postgresql.org/docs/current/protocol-flow.html>), judged as `pg_isready`
/// does: a server is there when it asks for a password or refuses to let in, and is not when it starts, recovers or shuts
/// down.
///
/// Only the process of a session answers, so that a server that hangs is found. A user or a database that does not
/// exist leaves a line in the server's log each time.
pub const POSTGRESQL: Protocol = Protocol {
    scheme: "postgresql",
    port: Some(5432),
    carrier: Carrier::Tcp,
    options: &[],
    takes_user: true,
    asks: "the start of a session of the user and the database in the URL, by default postgres",
    alive: "a question for the password, or a refusal such as \"no entry in pg_hba.conf\"",
    failed: "the server is starting up, in recovery or shutting down (57P03)",
    check: |url| {
        let one = !url.path.get(1..).unwrap_or_default().contains('/') && url.query.is_none();
        let whole = |text: &str| decoded(text).is_ok_and(|text| !text.contains('\0'));
        if one && whole(&url.path) && url.user.as_ref().is_none_or(|user| !user.contains('\0')) {
            return Ok(());
        }
        Err("give postgresql://user@host/database".to_owned())
    },
    talk,
};

fn talk(url: &Url, wire: &mut Wire) -> Talked {
    let database = decoded(url.path.trim_start_matches('/')).unwrap_or_default();
    let database = if database.is_empty() { POSTGRES } else { &database };
    wire.say(&start(url.user.as_deref().unwrap_or(POSTGRES), database))?;
    let head = wire.take(5)?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    if !matches!(head[0], b'R' | b'E' | b'v') || !(8..=LARGEST).contains(&length) {
        return Err(no("PostgreSQL server", &[head, wire.pending().to_vec()].concat()));
    }
    let body = wire.take(usize::try_from(length).unwrap_or_default() - 4)?;
    match head[0] {
        b'R' => {
            if body[..4] == [0; 4] {
                // Let in without a password: then it wants to be told goodbye.
                wire.part(b"X\x00\x00\x00\x04");
            }
            Ok("accepting connections".to_owned())
        }
        b'v' => Ok("accepting connections, of another version".to_owned()),
        _ => refused(&body),
    }
}

/// Version 3.0, with parameters that each end with a zero, as does all of it.
fn start(user: &str, database: &str) -> Vec<u8> {
    let parameters =
        format!("user\0{user}\0database\0{database}\0application_name\0ocfbox probe\0\0");
    let length = u32::try_from(8 + parameters.len()).unwrap_or_default();
    [&length.to_be_bytes()[..], &[0, 3, 0, 0], parameters.as_bytes()].concat()
}

fn refused(body: &[u8]) -> Talked {
    let field = |kind: u8| {
        let fields = body.split(|byte| *byte == 0);
        fields
            .filter_map(|field| field.split_first())
            .find(|(found, _)| **found == kind)
            .map(|(_, text)| text)
    };
    let said = String::from_utf8_lossy(field(b'M').unwrap_or_default()).into_owned();
    match field(b'C') {
        Some(b"57P03") => Err(Trouble::unexpected(format!("it serves nobody now: {said}"))),
        Some(code) => Ok(format!(
            "accepting connections, refused with {}: {said}",
            String::from_utf8_lossy(code)
        )),
        None => Err(no("PostgreSQL server", body)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refusals() {
        refused(b"SFATAL\0C28000\0Mno pg_hba.conf entry\0\0").unwrap();
        refused(b"SFATAL\0C53300\0Mtoo many connections\0\0").unwrap();
        let starting =
            refused(b"SFATAL\0C57P03\0Mthe database system is starting up\0\0").unwrap_err();
        assert!(starting.why.contains("starting up"));
        refused(b"SFATAL\0Msomething\0\0").unwrap_err();
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_surprise(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = refused(&bytes);
        }
    }
}
