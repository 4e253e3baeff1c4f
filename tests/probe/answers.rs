//! Each protocol: who is alive, who refuses and is alive, who says that it serves nobody.

use ocfbox::probe::Phase;
use ocfbox::probe::protocol::{ALL, Carrier};

use crate::fake::{Script, fails, probe, serve_datagrams};

type Answers = &'static [(&'static [u8], &'static [u8])];

/// What a case comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Alive(&'static str),
    Failed(&'static str),
}
use Outcome::{Alive, Failed};

/// Scheme, what stands behind host and port, greeting, answers to what is heard, outcome.
type Case = (&'static str, &'static str, &'static [u8], Answers, Outcome);

const AMQP_START: &[u8] = b"\x01\0\0\0\0\0\x0c\0\x0a\0\x0a\0\x09\0\0\0\0\0\0\xce";
const MARIADB: &[u8] = b"\x20\0\0\0\x0a5.5.5-10.11.6-MariaDB\0\x01\0\0\0\0\0\0\0\0";
const SMB_HEAD: &[u8] = b"\0\0\0\x50\xfeSMB\x40\0\0\0\0\0\0\0\0\0\x01\0\x01\0\0\0";
const SMB_NO_DIALECT: &[u8] = b"\0\0\0\x50\xfeSMB\x40\0\0\0\xbb\0\0\xc0\0\0\x01\0\x01\0\0\0";
const ZEROS: &[u8] = &[0; 44];

/// The cases of the protocols over streams.
pub const CASES: &[Case] = &[
    ("tcp", "", b"", &[], Alive("the connection is made")),
    ("tcp", "#match=^ready", b"ready", &[], Alive("ready")),
    ("tcp", "#send=ping%0d%0a&match=po%2Bng", b"", &[(b"ping\r\n", b"poong\r\n")], Alive("poong")),
    ("tcp", "#send=ping%0a", b"", &[(b"ping\n", b"what?")], Alive("what?")),
    (
        "tcp",
        "#match=^ready",
        b"busy",
        &[],
        Failed("\"^ready\" is not in its answer, which is \"busy\""),
    ),
    (
        "http",
        "",
        b"",
        &[(b"\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")],
        Alive("HTTP/1.1 200 OK"),
    ),
    (
        "http",
        "",
        b"",
        &[(b"\r\n\r\n", b"HTTP/1.1 503 Service Unavailable\r\n\r\n")],
        Failed("answered \"HTTP/1.1 503"),
    ),
    (
        "http",
        "",
        b"",
        &[(b"\r\n\r\n", b"SSH-2.0-x\r\n\r\n")],
        Failed("it is no HTTP server: it said \"SSH-2.0-x\""),
    ),
    (
        "smtp",
        "",
        b"220-hello\r\n220 mail\r\n",
        &[(b"EHLO localhost\r\n", b"250-mail\r\n250 8BITMIME\r\n")],
        Alive("220 mail"),
    ),
    (
        "submission",
        "",
        b"220 mail\r\n",
        &[(b"EHLO localhost\r\n", b"502 no\r\n")],
        Alive("220 mail"),
    ),
    ("smtp", "", b"554 not from you\r\n", &[], Alive("554 not from you")),
    ("smtp", "", b"421 too busy\r\n", &[], Failed("serves nobody now: \"421 too busy\"")),
    (
        "smtp",
        "",
        b"220 mail\r\n",
        &[(b"EHLO localhost\r\n", b"421 shutting down\r\n")],
        Failed("421"),
    ),
    ("smtp", "#match=postfix", b"220 exim\r\n", &[], Failed("\"postfix\" is not in \"220 exim\"")),
    ("smtp", "", b"* OK imap\r\n", &[], Failed("no mail server: it said \"* OK imap\"")),
    (
        "imap",
        "",
        b"* OK ready\r\n",
        &[(b"NOOP\r\n", b"* 1 EXISTS\r\na1 OK\r\n")],
        Alive("* OK ready"),
    ),
    ("imap", "", b"* PREAUTH hello\r\n", &[(b"NOOP\r\n", b"a1 BAD no\r\n")], Alive("PREAUTH")),
    ("imap", "", b"* BYE not you\r\n", &[], Alive("BYE not you")),
    ("imap", "", b"* BYE [UNAVAILABLE] disk\r\n", &[], Failed("serves nobody now")),
    ("imap", "", b"+OK pop\r\n", &[], Failed("no IMAP server")),
    ("pop3", "", b"+OK ready\r\n", &[(b"QUIT\r\n", b"+OK bye\r\n")], Alive("+OK ready")),
    ("pop3", "", b"-ERR not you\r\n", &[], Alive("-ERR not you")),
    ("pop3", "", b"-ERR [SYS/TEMP] disk\r\n", &[], Failed("serves nobody now")),
    ("pop3", "", b"220 ftp\r\n", &[], Failed("no POP3 server")),
    (
        "ftp",
        "",
        b"120 soon\r\n220-a\r\n b\r\n220 c\r\n",
        &[(b"QUIT\r\n", b"221 bye\r\n")],
        Alive("220 c"),
    ),
    ("ftp", "", b"530 not you\r\n", &[], Alive("530")),
    ("ftp", "", b"421 too many\r\n", &[], Failed("serves nobody now")),
    ("ssh", "", b"SSH-2.0-OpenSSH_9.2\r\n", &[], Alive("SSH-2.0-OpenSSH_9.2")),
    ("ssh", "", b"a banner\r\nSSH-1.99-x\n", &[], Alive("SSH-1.99-x")),
    ("ssh", "", b"Exceeded MaxStartups\r\n", &[], Alive("MaxStartups")),
    ("ssh", "", b"SSH-1.5-x\r\n", &[], Failed("no SSH server")),
    (
        "ldap",
        "",
        b"",
        &[(b"\x80\x00", b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\0\x04\0")],
        Alive("bound anonymously"),
    ),
    (
        "ldap",
        "",
        b"",
        &[(b"\x80\x00", b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x30\x04\0\x04\0")],
        Alive("result 48"),
    ),
    (
        "ldap",
        "",
        b"",
        &[(b"\x80\x00", b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x34\x04\0\x04\0")],
        Failed("result 52"),
    ),
    ("mysql", "", MARIADB, &[], Alive("10.11.6-MariaDB")),
    ("mysql", "", b"\x0a\0\0\0\xff\x6a\x04Not you", &[], Alive("error 1130: \"Not you\"")),
    ("mysql", "", b"\x0b\0\0\0\xff\x10\x04Too many", &[], Failed("error 1040: \"Too many\"")),
    ("mysql", "#match=^8", MARIADB, &[], Failed("\"^8\" is not in \"10.11.6-MariaDB\"")),
    (
        "postgresql",
        "",
        b"",
        &[(b"probe\0\0", b"R\0\0\0\x08\0\0\0\x03")],
        Alive("accepting connections"),
    ),
    (
        "postgresql",
        "",
        b"",
        &[(b"probe\0\0", b"E\0\0\0\x10C28000\0Mno\0\0")],
        Alive("refused with 28000: no"),
    ),
    (
        "postgresql",
        "",
        b"",
        &[(b"probe\0\0", b"E\0\0\0\x14C57P03\0Mstarts\0\0")],
        Failed("serves nobody now: starts"),
    ),
    (
        "postgresql",
        "",
        b"",
        &[(b"probe\0\0", b"HTTP/1.1 400 no\r\n")],
        Failed("no PostgreSQL server: it said \"HTTP/1.1"),
    ),
    ("redis", "", b"", &[(b"PING\r\n", b"+PONG\r\n")], Alive("+PONG")),
    ("redis", "", b"", &[(b"PING\r\n", b"-NOAUTH Authentication required.\r\n")], Alive("NOAUTH")),
    (
        "redis",
        "",
        b"",
        &[(b"PING\r\n", b"-LOADING Redis is loading\r\n")],
        Failed("serves nobody now: \"-LOADING"),
    ),
    ("redis", "", b"-ERR max number of clients reached\r\n", &[], Failed("max number of clients")),
    ("memcached", "", b"", &[(b"version\r\n", b"VERSION 1.6.18\r\n")], Alive("VERSION 1.6.18")),
    (
        "memcached",
        "",
        b"",
        &[(b"version\r\n", b"CLIENT_ERROR unauthenticated\r\n")],
        Alive("unauthenticated"),
    ),
    ("memcached", "", b"ERROR Too many open connections\r\n", &[], Failed("serves nobody now")),
    (
        "memcached",
        "#binary=1",
        b"",
        &[(&[0; 22], b"\x81\x0b\0\0\0\0\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")],
        Alive("Version"),
    ),
    ("amqp", "", b"", &[(b"AMQP\0\0\x09\x01", AMQP_START)], Alive("Connection.Start")),
    ("amqp", "", b"", &[(b"\x09\x01", b"AMQP\0\0\x08\0")], Alive("version 0.8.0")),
    (
        "amqp",
        "",
        b"",
        &[(b"\x09\x01", b"\x01\0\0\0\0\0\x05\0\x0a\0\x32\0\xce")],
        Failed("lets one in"),
    ),
    ("mqtt", "", b"", &[(&[0x0a, 0, 0], b"\x20\x02\0\0")], Alive("accepted")),
    ("mqtt", "", b"", &[(&[0x0a, 0, 0], b"\x20\x02\0\x05")], Alive("not authorised")),
    ("mqtt", "", b"", &[(&[0x0a, 0, 0], b"\x20\x02\0\x03")], Failed("server unavailable")),
    ("smb", "", b"", &[(b"\x02\x03", &[])], Failed("said nothing within")),
    ("nntp", "", b"201 hello\r\n", &[(b"DATE\r\n", b"111 20260101000000\r\n")], Alive("201 hello")),
    ("nntp", "", b"502 not you\r\n", &[], Alive("502")),
    ("nntp", "", b"400 overloaded\r\n", &[], Failed("serves nobody now")),
    ("sip+tcp", "", b"", &[], Failed("said nothing within")),
];

#[test]
fn each_protocol_tells_the_living_from_the_dead() {
    for case @ (scheme, rest, greeting, answers, outcome) in CASES {
        let address = Script::new(greeting, answers).serve();
        let text = format!("{scheme}://{address}{rest}");
        match outcome {
            Alive(words) => {
                let report = probe(&text).unwrap_or_else(|failure| panic!("{case:?}: {failure}"));
                assert!(report.said.contains(words), "{case:?}: {report:?}");
                assert!(report.marks.iter().any(|(phase, _)| *phase == Phase::Answer));
            }
            Failed(words) => {
                let failure = fails(&text).to_string();
                assert!(failure.contains(words), "{case:?}: {failure}");
                assert!(failure.contains(&format!("probe {scheme}://{address}")), "{failure}");
            }
        }
    }
}

#[test]
fn no_protocol_is_left_out() {
    let elsewhere = ["dns", "radius", "sip", "sip+tcp", "smb", "dns+tcp", "unix", "exec"];
    for protocol in ALL.iter().filter(|protocol| protocol.carrier != Carrier::Tls) {
        let scheme = protocol.scheme;
        let alive =
            |(name, _, _, _, outcome): &Case| *name == scheme && matches!(outcome, Alive(_));
        assert!(elsewhere.contains(&scheme) || CASES.iter().any(alive), "{scheme} is not tested");
    }
}

/// Whatever is cut off an answer, what is left is no sign of life; and no byte of it in the place of another makes a probe
/// hang or panic.
#[test]
fn half_an_answer_is_none() {
    for (scheme, rest, greeting, answers, outcome) in CASES {
        let is_plain = greeting.is_empty() && rest.is_empty();
        let (Alive(_), [(word, answer)], true) = (outcome, answers, is_plain) else {
            continue;
        };
        for length in 0..answer.len() {
            let cut = Script::new(b"", &[(word, &answer[..length])]);
            let address = crate::fake::serve(move |mut stream| {
                cut.play(&mut stream);
            });
            let failure = fails(&format!("{scheme}://{address}{rest}"));
            assert!(failure.phase >= Phase::FirstByte, "{scheme}, {length} bytes: {failure}");
        }
        for at in 0..answer.len() {
            for byte in [0x00, 0xff, b' ', b'9'] {
                let mut changed = answer.to_vec();
                changed[at] = byte;
                let script = Script::new(b"", &[(word, &changed)]);
                let address = crate::fake::serve(move |mut stream| {
                    script.play(&mut stream);
                });
                let _ = probe(&format!("{scheme}://{address}#timeout=2s"));
            }
        }
    }
}

#[test]
fn smb() {
    for (head, said) in [(SMB_HEAD, "a response"), (SMB_NO_DIALECT, "no dialect")] {
        let answer = [head, ZEROS].concat();
        let address = Script::new(b"", &[(b"\x00\x03\x02\x03", &answer)]).serve();
        assert!(probe(&format!("smb://{address}")).unwrap().said.contains(said));
    }
    let address =
        Script::new(b"", &[(b"\x02\x03", &[&b"\0\0\0\x40\xfeSMB"[..], &[9; 60]].concat())]).serve();
    assert_eq!(fails(&format!("smb://{address}")).phase, Phase::Expectation);
}

/// A login of a user without a password.
#[test]
fn mysql_with_a_user() {
    let ok = b"\x07\0\0\x02\0\0\0\x02\0\0\0";
    let login: (&[u8], &[u8]) = (b"monitor\0\0", ok);
    let ping: (&[u8], &[u8]) = (b"\x01\0\0\0\x0e", b"\x07\0\0\x01\0\0\0\x02\0\0\0");
    let quit: (&[u8], &[u8]) = (b"\x01\0\0\0\x01", b"");
    let address = Script::new(MARIADB, &[login, ping, quit]).serve();
    assert!(probe(&format!("mysql://monitor@{address}")).unwrap().said.ends_with("ping answered"));

    let refused: (&[u8], &[u8]) = (b"x\0\0", b"\x09\0\0\x02\xff\x15\x04Denied");
    let address = Script::new(MARIADB, &[refused]).serve();
    assert!(probe(&format!("mysql://x@{address}")).unwrap().said.contains("1045: \"Denied\""));

    // Another kind of password is asked for.
    let switch: (&[u8], &[u8]) = (b"x\0\0", b"\x06\0\0\x02\xfekind\0");
    let empty: (&[u8], &[u8]) = (b"\0\0\0\x03", b"\x09\0\0\x04\xff\x15\x04Denied");
    let address = Script::new(MARIADB, &[switch, empty]).serve();
    assert!(probe(&format!("mysql://x@{address}")).unwrap().said.contains("1045"));

    // It greets and then hangs: found by a login alone.
    let address = Script::new(MARIADB, &[]).serve();
    assert_eq!(fails(&format!("mysql://x@{address}")).phase, Phase::Answer);
}

/// An answer with the question's number, perhaps from somebody else, perhaps late.
#[test]
fn dns() {
    let answer = |question: &[u8], flags: u16, records: u8| {
        let mut answer = question.to_vec();
        answer[2..4].copy_from_slice(&flags.to_be_bytes());
        answer[7] = records;
        answer
    };
    let refusing = serve_datagrams(move |question| {
        let mut foreign = answer(question, 0x8000, 1);
        foreign[0] ^= 1;
        vec![b"x".to_vec(), foreign, answer(question, 0x8005, 0)]
    });
    assert_eq!(probe(&format!("dns://{refusing}")).unwrap().said, "refused");
    let failure = fails(&format!("dns://{refusing}/example.org?type=SOA"));
    assert!(failure.why.contains("it answered: refused"), "{failure}");

    let first = std::sync::atomic::AtomicBool::new(true);
    let loses_the_first = serve_datagrams(move |question| {
        if first.swap(false, std::sync::atomic::Ordering::Relaxed) {
            return Vec::new();
        }
        vec![answer(question, 0x8400, 1)]
    });
    assert_eq!(probe(&format!("dns://{loses_the_first}/a.example")).unwrap().said, "1 record(s)");

    let over_tcp = crate::fake::serve(move |mut stream| {
        use std::io::{Read, Write};
        let mut question = [0; 19];
        stream.read_exact(&mut question).unwrap();
        let reply = answer(&question[2..], 0x8000, 1);
        stream.write_all(&[&[0, 17], &reply[..]].concat()).unwrap();
    });
    assert_eq!(probe(&format!("dns+tcp://{over_tcp}")).unwrap().said, "1 record(s)");
}

#[test]
fn sip() {
    fn respond(question: &str, line: &str) -> Vec<u8> {
        let copied =
            question.lines().filter(|line| line.starts_with("Via") || line.starts_with("Call-ID"));
        let headers: String = copied.flat_map(|header| [header, "\r\n"]).collect();
        format!("SIP/2.0 {line}\r\n{headers}Content-Length: 2\r\n\r\nok").into_bytes()
    }
    let server = serve_datagrams(|question| {
        let question = String::from_utf8_lossy(question);
        assert!(question.starts_with("OPTIONS sip:127.0.0.1:") && question.contains("SIP/2.0/UDP"));
        vec![
            b"SIP/2.0 200 somebody else's".to_vec(),
            respond(&question, "100 Trying"),
            respond(&question, "403 No"),
        ]
    });
    assert_eq!(probe(&format!("sip://{server}")).unwrap().said, "SIP/2.0 403 No");
    let server = serve_datagrams(|question| {
        vec![respond(&String::from_utf8_lossy(question), "503 Service Unavailable")]
    });
    assert!(fails(&format!("sip://{server}")).why.contains("serves nobody now"));
    let server = crate::fake::serve(|mut stream| {
        use std::io::{Read, Write};
        let mut question = [0; 2048];
        let length = stream.read(&mut question).unwrap();
        let question = String::from_utf8_lossy(&question[..length]).into_owned();
        assert!(question.contains("SIP/2.0/TCP"));
        let responses = [respond(&question, "100 Trying"), respond(&question, "200 OK")].concat();
        stream.write_all(&responses).unwrap();
    });
    assert_eq!(probe(&format!("sip+tcp://{server}")).unwrap().said, "SIP/2.0 200 OK");
}

#[test]
fn radius_with_a_wrong_secret() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret");
    let server = serve_datagrams(|question| {
        assert_eq!((question[0], question.len()), (12, 38));
        vec![[&[2, question[1], 0, 20], &[7; 16][..]].concat()]
    });
    let text = format!("radius://{server}#secretfile={}", file.display());
    assert!(fails(&text).why.contains("No such file"));
    std::fs::write(&file, "\n").unwrap();
    assert!(fails(&text).why.contains("no secret in it"));
    std::fs::write(&file, "xyzzy\n").unwrap();
    assert!(fails(&text).why.contains("another secret"));
}

#[test]
fn a_socket_in_the_file_system() {
    use std::io::Write;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a socket");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            (&stream).write_all(b"+OK ready\r\n+OK bye\r\n").unwrap();
            std::mem::forget(stream);
        }
    });
    let encoded = path.to_str().unwrap().replace(' ', "%20");
    assert!(probe(&format!("unix://{encoded}#match=ready")).is_ok());
    assert!(probe(&format!("pop3://#socket={encoded}")).is_ok());
    assert!(
        fails(&format!("unix://{encoded}#match=busy"))
            .why
            .contains("\"busy\" is not in its answer")
    );
    std::fs::remove_file(path).unwrap();
    assert_eq!(fails(&format!("unix://{encoded}")).phase, Phase::Connect);
}

#[test]
fn programs() {
    assert_eq!(probe("exec:///bin/echo?alive%20and&well").unwrap().said, "\"alive and well\"");
    assert!(probe("exec:///bin/echo?alive#match=^alive").is_ok());
    assert_eq!(fails("exec:///bin/echo?alive#match=dead").phase, Phase::Expectation);
    let failure = fails("exec:///bin/sh?-c&echo%20sorry%20%3e%262;exit%203");
    assert!(failure.why.contains("exit status: 3: \"sorry\""), "{failure}");
    assert!(fails("exec:///no/such/program").why.contains("No such file"));
    // It is killed with all that it started.
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("alive");
    let script = format!("(sleep%202;touch%20{})%26%20wait", file.display());
    assert!(
        fails(&format!("exec:///bin/sh?-c&{script}")).why.contains("did not end within 300 ms")
    );
    std::thread::sleep(std::time::Duration::from_millis(2500));
    assert!(!file.exists(), "a child of it lives on");
    // What it leaves behind holds its output, and nobody waits for that; nor for one that prints for ever.
    assert!(probe("exec:///bin/sh?-c&sleep%205%26").unwrap().took.as_secs() < 4);
    assert!(fails("exec:///bin/sh?-c&yes").why.contains("did not end"));
}
