//! Handing a mail to a relay: the few commands of RFC 5321 that this takes, each with its deadline.

#![forbid(unsafe_code)]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::error::{cause, one_line};
use crate::host::names::Lookup;
use crate::param::values::{Mailbox, Relay};
use crate::{trace_answer, trace_ask};

/// A reply of more than this is none of a mail server.
const LONGEST_REPLY: usize = 16 * 1024;

/// Why a mail was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What was being done, and what came of it.
    pub why: String,
    /// The same mail may be taken later (RFC 5321, 4.2.1).
    pub later: bool,
}

type Result<T, E = Refusal> = std::result::Result<T, E>;

/// Who a mail is from, and for whom.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// The name of this host.
    pub host: &'a str,
    /// Where it goes if it cannot be delivered.
    pub from: &'a Mailbox,
    /// Who gets it.
    pub to: &'a [Mailbox],
}

/// Hands `text` to `relay`, with `each` as the deadline of each step; the recipients that it refused, and why.
///
/// # Errors
/// The relay cannot be reached, took too long, or took the mail for nobody.
pub fn send(
    relay: &Relay,
    envelope: &Envelope<'_>,
    text: &str,
    each: Duration,
) -> Result<Vec<(Mailbox, Refusal)>> {
    let stream = connect(relay, each)?;
    let mut server = Server { stream, each, relay };
    server.greet(envelope.host)?;
    server.ask(&format!("MAIL FROM:<{}>", envelope.from))?.expect("2", "refused the sender")?;
    let refused = server.recipients(envelope)?;
    server.ask("DATA")?.expect("3", "refused the text")?;
    server.say(&stuffed(text), "the text")?;
    server.reply("its answer to the text")?.expect("2", "refused the text")?;
    // It has the mail; how it takes its leave matters to nobody.
    let _ = server.say("QUIT\r\n", "QUIT").and_then(|()| server.reply("its farewell"));
    Ok(refused)
}

/// A connection to the relay.
///
/// # Errors
/// Its name is unknown, or none of its addresses answers.
pub fn connect(relay: &Relay, within: Duration) -> Result<TcpStream> {
    let later = |why: String| Refusal { why, later: true };
    let end = Instant::now() + within;
    trace_ask!("connect to {relay}");
    let addresses = resolve(relay, within).map_err(later)?;
    let mut failed = format!("cannot reach {relay}: its name has no address");
    for (at, address) in addresses.iter().enumerate() {
        // Each of several addresses gets its share of what is left.
        let others = u32::try_from(addresses.len() - at).unwrap_or(1);
        let left = end.saturating_duration_since(Instant::now()) / others;
        match TcpStream::connect_timeout(address, left.max(Duration::from_millis(1))) {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = format!("cannot reach {relay}: {}", cause(&error)),
        }
    }
    Err(later(failed))
}

/// The addresses of the relay.
fn resolve(relay: &Relay, within: Duration) -> Result<Vec<SocketAddr>, String> {
    if let Ok(ip) = relay.host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, relay.port)]);
    }
    let looked_up = Lookup::begin(&relay.host, relay.port).map_err(|error| error.to_string());
    looked_up
        .and_then(|lookup| lookup.finish(within))
        .map_err(|why| format!("cannot reach {relay}: {why}"))
}

/// What stands behind EHLO: the name of this host or, where it has no domain, its address (RFC 5321, 4.1.4).
fn greeting_name(host: &str, local: Option<IpAddr>) -> String {
    match local {
        Some(IpAddr::V4(ip)) if !host.contains('.') => format!("[{ip}]"),
        Some(IpAddr::V6(ip)) if !host.contains('.') => format!("[IPv6:{ip}]"),
        _ => host.to_owned(),
    }
}

/// The text as it goes over the wire: lines that end in CRLF, a dot before each dot that begins a line, and a dot by
/// itself at the end (RFC 5321, 4.5.2).
fn stuffed(text: &str) -> String {
    let mut wire = String::with_capacity(text.len() + text.len() / 16);
    for line in text.lines() {
        if line.starts_with('.') {
            wire.push('.');
        }
        wire.push_str(line);
        wire.push_str("\r\n");
    }
    wire + ".\r\n"
}

/// What the server said: a code of three digits, and words.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Reply {
    code: String,
    words: String,
    relay: String,
}

impl Reply {
    /// Whether the code begins with `digit`.
    fn expect(self, digit: &str, what: &str) -> Result<()> {
        if self.code.starts_with(digit) {
            return Ok(());
        }
        let Self { code, words, relay } = self;
        let later = code.starts_with('4');
        Err(Refusal { why: format!("{relay} {what}: {code} {}", one_line(&words, 300)), later })
    }
}

/// The whole reply in `received`, if it is complete: lines of `250-…` and a last one of `250 …` or `250`.
fn complete(received: &str) -> Option<Result<(String, String), String>> {
    let mut words = Vec::new();
    for line in received.split_inclusive('\n') {
        let line = line.strip_suffix('\n')?.trim_end_matches('\r');
        let code = line.get(..3).filter(|code| code.bytes().all(|byte| byte.is_ascii_digit()));
        let rest = line.get(3..).unwrap_or_default();
        let (Some(code), true) = (code, rest.is_empty() || rest.starts_with(['-', ' '])) else {
            return Some(Err(line.to_owned()));
        };
        words.push(rest.get(1..).unwrap_or_default().to_owned());
        if !rest.starts_with('-') {
            return Some(Ok((code.to_owned(), words.join(" "))));
        }
    }
    None
}

struct Server<'a> {
    stream: TcpStream,
    each: Duration,
    relay: &'a Relay,
}

impl Server<'_> {
    /// Hears its greeting, and says who we are.
    fn greet(&mut self, host: &str) -> Result<()> {
        self.reply("its greeting")?.expect("2", "greeted with")?;
        let local = self.stream.local_addr().ok().map(|address| address.ip());
        let name = greeting_name(host, local);
        let hello = self.ask(&format!("EHLO {name}"))?;
        if hello.code.starts_with('5') {
            // A server from before 1995 (RFC 5321, 3.2).
            return self.ask(&format!("HELO {name}"))?.expect("2", "refused the greeting");
        }
        hello.expect("2", "refused the greeting")
    }

    /// Names the recipients; those that it refused, and why. All of them are too many.
    fn recipients(&mut self, envelope: &Envelope<'_>) -> Result<Vec<(Mailbox, Refusal)>> {
        let mut refused = Vec::new();
        for mailbox in envelope.to {
            let reply = self.ask(&format!("RCPT TO:<{mailbox}>"))?;
            if let Err(refusal) = reply.expect("2", &format!("refused {mailbox}")) {
                refused.push((mailbox.clone(), refusal));
            }
        }
        if refused.len() < envelope.to.len() {
            return Ok(refused);
        }
        let later = refused.iter().any(|(_, refusal)| refusal.later);
        let why: Vec<String> = refused.into_iter().map(|(_, refusal)| refusal.why).collect();
        Err(Refusal { why: why.join("; "), later })
    }

    fn ask(&mut self, command: &str) -> Result<Reply> {
        trace_ask!("{}: {command}", self.relay);
        self.say(&format!("{command}\r\n"), command)?;
        self.reply(&format!("its answer to {command}"))
    }

    fn lost(&self, what: &str, error: &io::Error) -> Refusal {
        let why = match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                format!("nothing within {:?}", self.each)
            }
            ErrorKind::UnexpectedEof => "it closed the connection".to_owned(),
            _ => cause(error),
        };
        Refusal { why: format!("{}: waited for {what}: {why}", self.relay), later: true }
    }

    fn say(&mut self, text: &str, what: &str) -> Result<()> {
        let end = Instant::now() + self.each;
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let sent = left(end)
                .and_then(|left| self.stream.set_write_timeout(Some(left)))
                .and_then(|()| self.stream.write(rest));
            match sent {
                Ok(length) => rest = &rest[length..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.lost(&format!("it to take {what}"), &error)),
            }
        }
        Ok(())
    }

    fn reply(&mut self, what: &str) -> Result<Reply> {
        let end = Instant::now() + self.each;
        let mut received = Vec::new();
        let mut buffer = [0; 1024];
        loop {
            let read = left(end)
                .and_then(|left| self.stream.set_read_timeout(Some(left)))
                .and_then(|()| self.stream.read(&mut buffer));
            match read {
                Ok(0) => return Err(self.lost(what, &ErrorKind::UnexpectedEof.into())),
                Ok(length) => received.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.lost(what, &error)),
            }
            let text = String::from_utf8_lossy(&received);
            let relay = self.relay.to_string();
            match complete(&text) {
                Some(Ok((code, words))) => {
                    trace_answer!("{relay}: {code} {words}");
                    return Ok(Reply { code, words, relay });
                }
                Some(Err(line)) => return Err(no_mail_server(&relay, &line)),
                None if received.len() > LONGEST_REPLY => {
                    return Err(no_mail_server(&relay, &text));
                }
                None => {}
            }
        }
    }
}

fn no_mail_server(relay: &str, line: &str) -> Refusal {
    let why = format!("{relay} is no mail server: it said {:?}", one_line(line, 60));
    Refusal { why, later: false }
}

fn left(end: Instant) -> io::Result<Duration> {
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

#[cfg(test)]
mod tests {
    use std::io::BufRead;
    use std::net::TcpListener;
    use std::thread::JoinHandle;

    use proptest::prelude::*;

    use super::*;

    /// A server that answers the nth line with the nth reply, and what it heard.
    fn server(replies: &'static [&'static str]) -> (Relay, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = std::thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            let mut heard = String::new();
            let mut reader = io::BufReader::new(stream.try_clone().unwrap());
            let mut in_text = false;
            for reply in replies {
                // In two pieces, since nobody promises that a reply comes in one.
                let (one, two) = reply.split_at(reply.len() / 2);
                let _ = stream.write_all(one.as_bytes());
                std::thread::sleep(Duration::from_millis(2));
                let _ = stream.write_all(two.as_bytes());
                if in_text {
                    in_text = false;
                } else if reply.starts_with("354") {
                    in_text = true;
                }
                loop {
                    let mut line = String::new();
                    if reader.read_line(&mut line).unwrap_or(0) == 0 {
                        return heard;
                    }
                    heard.push_str(&line);
                    if !in_text || line == ".\r\n" {
                        break;
                    }
                }
            }
            heard
        });
        (Relay { host: "127.0.0.1".to_owned(), port }, heard)
    }

    fn sent(relay: &Relay, each: Duration) -> Result<Vec<(Mailbox, Refusal)>> {
        let to: Vec<Mailbox> =
            ["a@example.org", "b@example.org"].map(|raw| raw.parse().unwrap()).into();
        let from: Mailbox = "root@node1.example.org".parse().unwrap();
        let envelope = Envelope { host: "node1", from: &from, to: &to };
        send(relay, &envelope, "Subject: x\n\n.dot\ntext\n", each)
    }

    const SOON: Duration = Duration::from_secs(5);

    #[test]
    fn a_mail_is_handed_over() {
        let (relay, heard) = server(&[
            "220-hello\r\n220 mail\r\n",
            "250-mail\r\n250-SIZE 1000\r\n250 HELP\r\n",
            "250 ok\r\n",
            "250 ok\r\n",
            "251 elsewhere\r\n",
            "354 go\r\n",
            "250 queued\r\n",
            "221 bye\r\n",
        ]);
        assert_eq!(sent(&relay, SOON), Ok(vec![]));
        let expected = "EHLO [127.0.0.1]\r\nMAIL FROM:<root@node1.example.org>\r\nRCPT TO:<a@example.org>\r\n\
                        RCPT TO:<b@example.org>\r\nDATA\r\nSubject: x\r\n\r\n..dot\r\ntext\r\n.\r\nQUIT\r\n";
        assert_eq!(heard.join().unwrap(), expected);
    }

    #[test]
    fn an_old_server_is_greeted_with_helo() {
        let (relay, heard) = server(&[
            "220 old\n",
            "502 what\n",
            "250\n",
            "250\n",
            "250\n",
            "250\n",
            "354\n",
            "250\n",
            "221\n",
        ]);
        assert_eq!(sent(&relay, SOON), Ok(vec![]));
        assert!(heard.join().unwrap().contains("HELO [127.0.0.1]\r\n"));
    }

    #[test]
    fn refusals_are_told_in_the_servers_words() {
        let cases: [(&'static [&'static str], bool, &str); 6] = [
            (&["554 no service for you\r\n"], false, "greeted with: 554 no service for you"),
            (
                &["220 a\r\n", "250 b\r\n", "550 5.7.1 bad sender\r\n"],
                false,
                "refused the sender: 550 5.7.1 bad sender",
            ),
            (
                &[
                    "220 a\r\n",
                    "250 b\r\n",
                    "250 c\r\n",
                    "450-grey\r\n450 listed\r\n",
                    "550 no\r\n",
                ],
                true,
                "450 grey listed; ",
            ),
            (
                &["220 a\r\n", "250 b\r\n", "250 c\r\n", "250 d\r\n", "250 d\r\n", "452 full\r\n"],
                true,
                "refused the text: 452 full",
            ),
            (&["HTTP/1.0 400 Bad\r\n"], false, "is no mail server: it said \"HTTP/1.0 400 Bad\""),
            (&["220 a\r\n", "421 going down\r\n"], true, "refused the greeting: 421 going down"),
        ];
        for (replies, later, words) in cases {
            let (relay, _) = server(replies);
            let refusal = sent(&relay, SOON).unwrap_err();
            assert!(refusal.why.contains(words), "{refusal:?}");
            assert_eq!(refusal.later, later, "{refusal:?}");
        }
    }

    #[test]
    fn one_refused_recipient_keeps_the_mail_from_nobody_else() {
        let (relay, _) = server(&[
            "220 a\r\n",
            "250 b\r\n",
            "250 c\r\n",
            "550 unknown\r\n",
            "250 d\r\n",
            "354 e\r\n",
            "250 f\r\n",
            "221 g\r\n",
        ]);
        let refused = sent(&relay, SOON).unwrap();
        assert_eq!(refused.len(), 1);
        let (mailbox, refusal) = &refused[0];
        assert_eq!(mailbox.to_string(), "a@example.org");
        assert!(refusal.why.contains("refused a@example.org: 550 unknown"), "{refused:?}");
    }

    #[test]
    fn a_server_that_is_silent_or_gone_is_not_waited_for() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let relay =
            Relay { host: "127.0.0.1".to_owned(), port: silent.local_addr().unwrap().port() };
        let begin = Instant::now();
        let refusal = sent(&relay, Duration::from_millis(100)).unwrap_err();
        assert!(
            refusal.later && refusal.why.contains("its greeting: nothing within"),
            "{refusal:?}"
        );
        drop(silent);
        let refusal = sent(&relay, SOON).unwrap_err();
        assert!(refusal.later && refusal.why.contains("Connection refused"), "{refusal:?}");
        assert!(begin.elapsed() < Duration::from_secs(4));
        let (relay, _) = server(&[]);
        let refusal = sent(&relay, SOON).unwrap_err();
        assert!(
            refusal.why.contains("closed the connection") || refusal.why.contains("reset"),
            "{refusal:?}"
        );
    }

    /// One byte now and then is no progress.
    #[test]
    fn a_server_that_drips_ends_with_the_deadline() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let relay =
            Relay { host: "127.0.0.1".to_owned(), port: listener.local_addr().unwrap().port() };
        std::thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            while stream.write_all(b"2").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let begin = Instant::now();
        sent(&relay, Duration::from_millis(200)).unwrap_err();
        assert!(begin.elapsed() < Duration::from_secs(4));
    }

    #[test]
    fn replies_end_with_a_line_without_a_hyphen() {
        let read = |text: &str| complete(text).map(Result::ok);
        assert_eq!(read("250 ok\r\n"), Some(Some(("250".into(), "ok".into()))));
        assert_eq!(read("250-a\r\n250 b\r\n"), Some(Some(("250".into(), "a b".into()))));
        assert_eq!(read("250\n"), Some(Some(("250".into(), String::new()))));
        for unfinished in ["", "2", "250 ok", "250-a\r\n", "250-a\r\n25"] {
            assert_eq!(read(unfinished), None, "{unfinished:?}");
        }
        for garbage in ["\r\n", "25\r\n", "hello\r\n", "250x\r\n", "250-a\r\nb\r\n", "2é0 x\r\n"] {
            assert_eq!(read(garbage), Some(None), "{garbage:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_reply_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = complete(&String::from_utf8_lossy(&bytes));
        }

        /// A receiver that undoes the stuffing has the lines again, and no line before the end is the end.
        #[test]
        fn no_text_ends_itself(text in "[.a\n]{0,40}") {
            let wire = stuffed(&text);
            let lines: Vec<&str> = wire.split_terminator("\r\n").collect();
            let (end, lines) = lines.split_last().unwrap();
            prop_assert_eq!(*end, ".");
            prop_assert!(!lines.contains(&"."));
            let read: Vec<&str> = lines.iter().map(|line| line.strip_prefix('.').unwrap_or(line)).collect();
            prop_assert_eq!(read, text.lines().collect::<Vec<_>>());
        }
    }
}
