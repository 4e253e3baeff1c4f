//! More than one probe, and a second look.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ocfbox::deadline::Deadline;
use ocfbox::probe::{self, Looks, Phase};

use crate::fake::{Script, serve, url};

const LONG: Duration = Duration::from_secs(30);

#[test]
fn one_dead_host_does_not_eat_the_time_of_the_others() {
    let dead = Script::new(b"", &[]).serve();
    let alive = Script::new(b"", &[(b"PING\r\n", b"+PONG\r\n")]).serve();
    let mut urls = vec![url(&format!("redis://{dead}#timeout=400ms")); 20];
    urls.push(url(&format!("redis://{alive}#timeout=5s")));
    let begin = Instant::now();
    let found = probe::run(&urls, Looks::Once, &Deadline::after(LONG));
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    assert_eq!(found.iter().filter(|outcome| outcome.is_err()).count(), 20);
    assert!(found[20].is_ok());
}

#[test]
fn a_failed_probe_is_made_a_second_time_before_it_counts() {
    let count = std::sync::Arc::new(AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&count);
    let fails_once = serve(move |mut stream| {
        if counted.fetch_add(1, Ordering::Relaxed) > 0 {
            let _ = stream.write_all(b"hello");
        }
    });
    let recovers = url(&format!("tcp://{fails_once}#match=hello"));
    assert!(
        probe::run(std::slice::from_ref(&recovers), Looks::Twice, &Deadline::after(LONG))[0]
            .is_ok()
    );
    assert_eq!(count.load(Ordering::Relaxed), 2);
    // One that is well is left alone.
    assert!(probe::run(&[recovers], Looks::Twice, &Deadline::after(LONG))[0].is_ok());
    assert_eq!(count.load(Ordering::Relaxed), 3);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = probe::run(&[url(&format!("tcp://{closed}"))], Looks::Twice, &Deadline::after(LONG));
    assert_eq!(gone[0].as_ref().unwrap_err().phase, Phase::Connect);
}

/// Both looks fit into what the action has.
#[test]
fn no_look_goes_beyond_the_actions_deadline() {
    let silent = Script::new(b"", &[]).serve();
    let urls = vec![url(&format!("smtp://{silent}#timeout=60s")); 3];
    for looks in [Looks::Once, Looks::Twice] {
        let begin = Instant::now();
        let deadline = Deadline::after(Duration::from_millis(800));
        assert!(probe::run(&urls, looks, &deadline).iter().all(Result::is_err));
        let took = begin.elapsed();
        assert!(
            (Duration::from_millis(600)..Duration::from_secs(3)).contains(&took),
            "{looks:?}: {took:?}"
        );
    }
    // With nothing left, nothing is waited for.
    let begin = Instant::now();
    assert!(
        probe::run(&urls, Looks::Twice, &Deadline::after(Duration::ZERO))
            .iter()
            .all(Result::is_err)
    );
    assert!(begin.elapsed() < Duration::from_secs(1));
}

#[test]
fn an_action_is_told_all_that_failed() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let alive = Script::new(b"", &[(b"PING\r\n", b"+PONG\r\n")]).serve();
    let well = url(&format!("redis://{alive}"));
    let dead = url(&format!("redis://{closed}"));
    let deadline = Deadline::after(LONG);
    probe::all_alive(&[well.clone(), well.clone()], Looks::Once, &deadline).unwrap();
    let error = probe::all_alive(&[dead.clone(), well, dead], Looks::Once, &deadline).unwrap_err();
    assert_eq!(error.code().number(), 1);
    let each = format!("probe redis://{closed} failed at connect after ");
    assert_eq!(error.to_string().matches(&each).count(), 2, "{error}");
}

#[test]
fn nothing_to_probe_is_nothing_found() {
    assert!(probe::run(&[], Looks::Twice, &Deadline::after(LONG)).is_empty());
}
