//! Clusters of real Pacemaker and real Heartbeat that run the agents, seen from a client of theirs.
//!
//! `tests/run cluster` runs all of it. The nodes, the network and the client are namespaces of this
//! machine; the same program plays the parts that are no Debian package (see the roles in `main`).

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test program speaks in libtest's place"
)]

mod alarm;
mod broker;
mod client;
mod clock;
mod connection;
mod fleet;
mod heartbeat;
mod identity;
mod image;
mod install;
mod laboratory;
mod ledger;
mod logs;
mod machine;
mod mounted;
mod namespaces;
mod network;
mod options;
mod pacemaker;
mod presence;
mod report;
mod requirements;
mod runner;
mod scenarios;
mod series;
mod server;
mod stage;
mod store;
mod trigger;
mod wait;
mod watch;
mod web;

use std::env;
use std::fmt::Display;
use std::process::ExitCode;

/// What failed, in words: a test has no use for more than that.
type Outcome<T> = Result<T, String>;

/// Puts words in front of an error: `open(..).map_err(says("cannot open the log"))`.
fn says<E: Display>(doing: impl Display) -> impl FnOnce(E) -> String {
    move |error| format!("{doing}: {error}")
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (role, rest) =
        arguments.split_first().map_or(("", &[][..]), |(role, rest)| (role.as_str(), rest));
    let word = |index: usize| rest.get(index).map_or("", String::as_str);
    let outcome = match role {
        laboratory::ROLE => runner::run_in_laboratory(rest),
        machine::LAUNCHER => machine::launch(rest),
        machine::INIT => machine::init(rest),
        server::ROLE => server::serve(word(0), word(1)).map(|()| ExitCode::SUCCESS),
        server::HOLDING => server::hold(word(0)).map(|()| ExitCode::SUCCESS),
        store::ROLE => store::serve(word(0)).map(|()| ExitCode::SUCCESS),
        store::CUSTOMER => store::trade(word(0)).map(|()| ExitCode::SUCCESS),
        web::SQUATTER => web::squat().map(|()| ExitCode::SUCCESS),
        connection::ROLE => connection::keep(word(0)).map(|()| ExitCode::SUCCESS),
        client::ROLE => client::ask(word(0), word(1)).map(|()| ExitCode::SUCCESS),
        _ => runner::run(&arguments),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("cluster: {error}");
        ExitCode::from(101)
    })
}
