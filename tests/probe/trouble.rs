//! Servers that accept and then behave badly: each protocol ends by its deadline and says what it saw.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use ocfbox::probe::Phase;
use ocfbox::probe::protocol::{ALL, Carrier, Protocol};

use crate::fake::{fails, probe, serve, serve_datagrams};

/// Each protocol over a stream, as a URL for that address and port.
fn streams(address: std::net::SocketAddr) -> Vec<(&'static Protocol, String)> {
    let over = |protocol: &&Protocol| matches!(protocol.carrier, Carrier::Tcp | Carrier::Tls);
    let url = |protocol: &'static Protocol| {
        let rest = match protocol.scheme {
            // A connection alone is all that it asks for.
            "tcp" => "#match=q",
            _ if protocol.carrier == Carrier::Tls => "#insecure=1",
            _ => "",
        };
        (protocol, format!("{}://{address}{rest}", protocol.scheme))
    };
    ALL.iter().filter(over).map(url).collect()
}

/// All of them at once against a server; each failure with its protocol.
fn all_fail(
    talk: impl Fn(TcpStream) + Send + Sync + 'static,
    judge: impl Fn(&Protocol, ocfbox::probe::Failure) + Sync,
) {
    let address = serve(talk);
    std::thread::scope(|scope| {
        for (protocol, url) in streams(address) {
            let judge = &judge;
            scope.spawn(move || judge(protocol, fails(&url)));
        }
    });
}

fn first_phase(protocol: &Protocol) -> Phase {
    if protocol.carrier == Carrier::Tls { Phase::Handshake } else { Phase::FirstByte }
}

#[test]
fn one_that_says_nothing_has_failed_at_the_first_byte() {
    all_fail(
        |mut stream| drop(stream.read_to_end(&mut Vec::new())),
        |protocol, failure| {
            assert_eq!(failure.phase, first_phase(protocol), "{failure}");
            assert!(failure.took >= Duration::from_millis(290), "{failure}");
            let words = if protocol.carrier == Carrier::Tls {
                "did not end the handshake"
            } else {
                "said nothing within 300 ms"
            };
            assert!(failure.why.contains(words), "{failure}");
            assert_eq!(failure.marks.last().map(|(phase, _)| *phase), Some(Phase::Connect));
        },
    );
}

#[test]
fn one_that_closes_at_once_has_failed_at_once() {
    all_fail(drop, |protocol, failure| {
        assert_eq!(failure.phase, first_phase(protocol), "{failure}");
        assert!(failure.why.contains("closed") || failure.why.contains("reset"), "{failure}");
        assert!(failure.took < Duration::from_millis(290), "{failure}");
    });
}

#[test]
fn one_that_talks_garbage_is_quoted_harmlessly() {
    all_fail(
        |mut stream| {
            let _ = stream.write_all(b"\x1b[2J\xff\xfe\0garbage\r\n\r\n");
            let _ = stream.write_all(&[0x07; 200]);
            let _ = stream.read_to_end(&mut Vec::new());
        },
        |_, failure| {
            assert!(failure.phase >= Phase::Handshake, "{failure}");
            let text = failure.to_string();
            assert!(!text.contains(char::is_control), "{text:?}");
        },
    );
}

/// Bytes without an end, lines without an end, and both: judged by the beginning, and nothing is hoarded.
#[test]
fn one_that_sends_for_ever_is_judged_by_its_beginning() {
    for chunk in
        [&b"a"[..], b"a\n", b"220-x\r\n", b"HTTP/1.1 100 x\r\n\r\n", b"SSH\n", b"\0", b"\xff"]
    {
        let chunk = chunk.repeat(4096 / chunk.len());
        all_fail(
            move |mut stream| while stream.write_all(&chunk).is_ok() {},
            |_, failure| assert!(failure.phase >= Phase::Handshake, "{failure}"),
        );
    }
    // 8 of them sent as fast as they could to some thirty probes each.
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 200 * 1024, "the peak of memory was {peak} KiB");
}

#[test]
fn one_that_drips_is_given_up_at_the_deadline() {
    all_fail(
        |mut stream| {
            for byte in b"HTTP/1.1 200 OK and so on and so on".iter().cycle() {
                if stream.write_all(&[*byte]).is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        },
        |protocol, failure| {
            // Others see in the first bytes that it is another protocol.
            if protocol.scheme == "http" {
                assert_eq!(failure.phase, Phase::Answer, "{failure}");
                assert!(failure.why.contains("did not end within 300 ms"), "{failure}");
            }
        },
    );
}

/// Bytes by chance, a thousand times: no panic, and no hang.
#[test]
fn one_that_throws_dice() {
    let seed = std::sync::atomic::AtomicU64::new(20_261_121);
    let address = serve(move |mut stream| {
        // A generator of Knuth's (MMIX), so that a failure comes again.
        let step = |number: u64| {
            number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
        };
        let mut number = step(seed.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        let mut bytes = Vec::new();
        for _ in 0..number % 100 {
            number = step(number);
            bytes.push(number.to_be_bytes()[0]);
        }
        let _ = stream.write_all(&bytes);
    });
    std::thread::scope(|scope| {
        for (_, url) in streams(address) {
            scope.spawn(move || {
                for _ in 0..30 {
                    let begin = Instant::now();
                    let mark = if url.contains('#') { '&' } else { '#' };
                    let _ = probe(&format!("{url}{mark}timeout=1s"));
                    assert!(begin.elapsed() < Duration::from_secs(4), "{url}");
                }
            });
        }
    });
}

#[test]
fn over_datagrams() {
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("secret");
    std::fs::write(&secret, "x").unwrap();
    let radius = format!("&secretfile={}", secret.display());
    let flood = || vec![vec![b'x'; 900]; 50];
    for (answer, words) in [
        (
            Box::new(|_: &[u8]| Vec::new()) as Box<dyn Fn(&[u8]) -> Vec<Vec<u8>> + Send>,
            "did not answer within 300 ms",
        ),
        (Box::new(move |_| flood()), "within 300 ms"),
        (Box::new(|_| vec![Vec::new()]), "within 300 ms"),
    ] {
        let server = serve_datagrams(answer);
        for scheme in ["dns", "sip", "radius"] {
            let rest = if scheme == "radius" { &radius } else { "" };
            let failure = fails(&format!("{scheme}://{server}#bind=127.0.0.1{rest}"));
            assert!(failure.why.contains(words), "{failure}");
        }
    }
    // Nobody is there, and the kernel says so.
    let closed = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let failure = fails(&format!("dns://{closed}"));
    assert!(
        failure.why.contains("Connection refused") && failure.took < Duration::from_millis(290),
        "{failure}"
    );
}

#[test]
fn one_that_cannot_be_connected_to() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (url, phase, words) in [
        (format!("http://{closed}"), Phase::Connect, "Connection refused: nobody listens there"),
        (
            format!("http://{closed}#bind=192.0.2.77"),
            Phase::Connect,
            "the address in bind is not on this host",
        ),
        ("http://name.invalid:80".to_owned(), Phase::Name, "look"),
        (
            "https://127.0.0.1#ca=/no/such/file&socket=/no/such/socket".to_owned(),
            Phase::Connect,
            "No such file",
        ),
    ] {
        let failure = fails(&url);
        assert_eq!(failure.phase, phase, "{failure}");
        assert!(failure.why.contains(words), "{failure}");
    }
}

/// As a stopped process does it: the kernel accepts until the queue is full, then it drops.
#[test]
fn one_whose_queue_is_full_has_failed_at_connect_or_first_byte() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut held = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(50)) {
        held.push(stream);
        assert!(held.len() < 10_000);
    }
    let failure = fails(&format!("tcp://{address}"));
    assert_eq!(failure.phase, Phase::Connect);
    assert!(failure.why.contains("nobody answered within 300 ms"), "{failure}");
}

/// A name has two addresses, and a server is at one of them.
#[test]
fn the_next_address_of_a_name_is_tried() {
    let server = serve(|mut stream| drop(stream.write_all(b"hello")));
    let begin = Instant::now();
    probe(&format!("tcp://localhost:{}#match=hello", server.port())).unwrap();
    assert!(begin.elapsed() < Duration::from_secs(4));
}
