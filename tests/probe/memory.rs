//! How much memory a probe takes from a server that never stops talking: no more than from one that says nothing, but for
//! a bound.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::fake::serve;

const TIMEOUT: Duration = Duration::from_secs(2);

/// What a probe may keep (256 KiB), a page made of it, what a vector that grows has in reserve, and a regular expression,
/// in KiB. As much comes within milliseconds.
const BOUND: u64 = 4096;

/// The peak of the memory of `ocfbox probe URL` in KiB: at half of its time, and as late as it could be seen.
fn peaks(url: &str) -> (u64, u64) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ocfbox"))
        .args(["probe", &format!("{url}&timeout={}s", TIMEOUT.as_secs())])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begin = Instant::now();
    let (mut early, mut late) = (0, 0);
    while child.try_wait().unwrap().is_none() {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        // One that has ended has no memory.
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        if let Some(peak) = peak {
            late = peak.trim().trim_end_matches(" kB").parse().unwrap();
        }
        if begin.elapsed() < TIMEOUT / 2 {
            early = late;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let took = begin.elapsed();
    assert!(took < TIMEOUT + Duration::from_secs(3), "{url} took {took:?}");
    (early, late)
}

fn endless(words: &'static [u8]) -> SocketAddr {
    let chunk = words.repeat(64 * 1024 / words.len());
    serve(move |mut stream| while stream.write_all(&chunk).is_ok() {})
}

/// Each talks so that it is listened to as long as there is time, or until there is too much of it.
#[test]
fn an_endless_answer_takes_no_more_memory_than_its_bound() {
    let silent = serve(|mut stream| drop(stream.read_to_end(&mut Vec::new())));
    let (_, nothing) = peaks(&format!("http://{silent}#bind=127.0.0.1"));
    assert!(nothing > 0);
    std::thread::scope(|scope| {
        for (url, words) in [
            ("http://ADDRESS#bind=127.0.0.1", &b"HTTP/1.1 100 Continue\r\n\r\n"[..]),
            ("http://ADDRESS#bind=127.0.0.1", b"HTTP/1.1 200 OK\r\nX: y\r\n"),
            ("http://ADDRESS#match=q{9}", b"HTTP/1.1 200 OK\r\n\r\n"),
            ("tcp://ADDRESS#match=q{9}", b"x"),
            ("tcp://ADDRESS#match=q{9}", b"line\n"),
            ("ftp://ADDRESS#bind=127.0.0.1", b"120 ready in a minute\r\n"),
            ("smtp://ADDRESS#bind=127.0.0.1", b"220-and so on\r\n"),
            ("imap://ADDRESS#bind=127.0.0.1", b"* OK and so on\r\n"),
            (
                "sip+tcp://ADDRESS#bind=127.0.0.1",
                b"SIP/2.0 100 Trying\r\nContent-Length: 0\r\n\r\n",
            ),
            ("sip+tcp://ADDRESS#bind=127.0.0.1", b"\r\n"),
        ] {
            scope.spawn(move || {
                let address = endless(words);
                let url = url.replace("ADDRESS", &address.to_string());
                let (early, late) = peaks(&url);
                let shown = String::from_utf8_lossy(words);
                assert!(late < nothing + BOUND, "{url} and {shown:?}: {nothing} KiB became {late}");
                // One that listens on does not keep what it heard.
                assert!(
                    late < early + BOUND / 4,
                    "{url} and {shown:?}: {early} KiB grew to {late}"
                );
            });
        }
    });
}
