//! Web servers.

#![forbid(unsafe_code)]

use super::{Carrier, Protocol, Talked};
use crate::probe::location::Host;
use crate::probe::outcome::Trouble;
use crate::probe::url::Url;
use crate::probe::wire::{MOST, Wire, no, quoted};

/// Lines of one head; servers allow 100 by default.
const MOST_LINES: usize = 256;

/// `GET`, or `HEAD`, of the page in the URL (RFC 9110, RFC 9112). Redirections are an answer, and
/// followed only if `follow=` says so.
///
/// Without `status=`, a page is well that is there (2xx), elsewhere (3xx), or not for us (401, 403, 407); one that is not
/// there (404) is a mistake in the URL or in the application. With `match=`, the page is read, up to 256 KiB.
pub const HTTP: Protocol = Protocol {
    scheme: "http",
    port: Some(80),
    carrier: Carrier::Tcp,
    options: &["status", "match", "method", "follow", "close", "host"],
    takes_user: false,
    asks: "GET path?query of HTTP/1.1; with method=HEAD, HEAD",
    alive: "a status that status= lists, by default 2xx, 3xx, 401, 403 and 407 (\"not you\"), and match= is in the page",
    failed: "any other status",
    check,
    talk,
};

fn check(url: &Url) -> Result<(), String> {
    if url.options.head_only && url.options.matches.is_some() {
        return Err("HEAD brings no page to find match= in; leave one of them out".to_owned());
    }
    Ok(())
}

fn talk(url: &Url, wire: &mut Wire) -> Talked {
    if url.options.closes {
        wire.say(question(url).as_bytes())?;
        let answered = wire.listen()?;
        return Ok(if answered { "it answers" } else { "it closed the connection" }.to_owned());
    }
    let mut head = ask(url, wire)?;
    let mut here = url.clone();
    for _ in 0..url.options.follow {
        let Some(location) =
            head.location.as_ref().filter(|_| matches!(head.status, 301..=303 | 307 | 308))
        else {
            break;
        };
        let next = here.redirected(location);
        here = next.map_err(|why| Trouble::unexpected(format!("it redirects to what {why}")))?;
        wire.open(&here)?;
        head = ask(&here, wire)?;
    }
    judged(url, wire, head)
}

/// Asks for the page, and reads what comes before it.
fn ask(url: &Url, wire: &mut Wire) -> Result<Head, Trouble> {
    wire.say(question(url).as_bytes())?;
    loop {
        let head = Head::read(wire)?;
        // RFC 9110, 15.2: interim responses come before the one that counts.
        if head.status >= 200 || head.status == 101 {
            return Ok(head);
        }
    }
}

fn judged(url: &Url, wire: &mut Wire, head: Head) -> Talked {
    let expected = match &url.options.status {
        Some(statuses) => statuses.contain(head.status),
        None => matches!(head.status, 200..=399 | 401 | 403 | 407),
    };
    if !expected {
        let wanted = url.options.status.as_ref().map(|statuses| format!(" and not {statuses}"));
        return Err(Trouble::unexpected(format!(
            "it answered {:?}{}",
            head.line,
            wanted.unwrap_or_default()
        )));
    }
    if let Some(pattern) = &url.options.matches {
        let body = body(wire, &head)?;
        if !pattern.is_in(&body) {
            let why = format!("\"{pattern}\" is not in the page, which is {}", quoted(&body));
            return Err(Trouble::unexpected(why));
        }
    }
    Ok(head.line)
}

fn question(url: &Url) -> String {
    let method = if url.options.head_only { "HEAD" } else { "GET" };
    let path = if url.path.is_empty() { "/" } else { &url.path };
    let query = url.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
    // RFC 9110, 7.2: as in the URL; without the port where it is the scheme's own, and without an IPv6 address's interface.
    let host = match url.addressed() {
        Host::Name(name) if name.contains('%') => {
            format!("[{}]", name.split('%').next().unwrap_or_default())
        }
        host => host.to_string(),
    };
    // RFC 7617.
    let login = url
        .options
        .login
        .as_ref()
        .map(|login| format!("Authorization: Basic {}\r\n", base64(login.as_bytes())));
    let login = login.unwrap_or_default();
    let is_own = url.options.host.is_some() || Some(url.port) == url.protocol.port || url.port == 0;
    let port = if is_own { String::new() } else { format!(":{}", url.port) };
    format!(
        "{method} {path}{query} HTTP/1.1\r\nHost: {host}{port}\r\nUser-Agent: ocfbox/{}\r\n{login}Accept: */*\r\nConnection: close\r\n\r\n",
        env!("CARGO_PKG_VERSION")
    )
}

/// RFC 4648, 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let number = (0..3).fold(0, |sum, at| sum << 8 | usize::from(*three.get(at).unwrap_or(&0)));
        for at in 0..4 {
            let digit = char::from(DIGITS[number >> (18 - 6 * at) & 63]);
            text.push(if at <= three.len() { digit } else { '=' });
        }
    }
    text
}

/// What comes before the page.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    line: String,
    length: Length,
    location: Option<String>,
}

/// How the page's end is told (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Known(usize),
    Chunked,
    UntilTheEnd,
}

impl Head {
    fn read(wire: &mut Wire) -> Result<Self, Trouble> {
        let line = wire.line("HTTP server")?;
        let status = status(&line).ok_or_else(|| no("HTTP server", line.as_bytes()))?;
        let mut length =
            if matches!(status, 204 | 304) { Length::Known(0) } else { Length::UntilTheEnd };
        let mut location = None;
        for _ in 0..MOST_LINES {
            let header = wire.line("HTTP server")?;
            if header.is_empty() {
                return Ok(Self { status, line, length, location });
            }
            let (name, value) = header.split_once(':').unwrap_or((&header, ""));
            let value = value.trim();
            if name.eq_ignore_ascii_case("location") {
                location = Some(value.to_owned());
            } else if name.eq_ignore_ascii_case("transfer-encoding")
                && value.to_ascii_lowercase().ends_with("chunked")
            {
                length = Length::Chunked;
            } else if name.eq_ignore_ascii_case("content-length") && length == Length::UntilTheEnd {
                length = value.parse().map_or(Length::UntilTheEnd, Length::Known);
            }
        }
        Err(no("HTTP server", b"a head without an end"))
    }
}

/// The code of `HTTP/1.1 200 OK`.
fn status(line: &str) -> Option<u16> {
    let rest = line.strip_prefix("HTTP/1.")?.strip_prefix(['0', '1'])?.strip_prefix(' ')?;
    let (digits, after) = rest.split_at_checked(3)?;
    let code = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())??;
    ((100..600).contains(&code) && (after.is_empty() || after.starts_with(' '))).then_some(code)
}

/// The page, or as much of it as anybody looks at.
fn body(wire: &mut Wire, head: &Head) -> Result<Vec<u8>, Trouble> {
    match head.length {
        Length::Known(length) => wire.take(length.min(MOST)),
        Length::UntilTheEnd => {
            while wire.pending().len() < MOST && wire.listen()? {}
            let length = wire.pending().len().min(MOST);
            wire.take(length)
        }
        Length::Chunked => {
            let mut page = Vec::new();
            while page.len() < MOST {
                let line = wire.line("HTTP server")?;
                let digits = line.split(';').next().unwrap_or_default().trim();
                let size = usize::from_str_radix(digits, 16)
                    .map_err(|_| no("HTTP server", line.as_bytes()))?;
                if size == 0 {
                    break;
                }
                page.extend(wire.take(size.min(MOST - page.len()))?);
                if page.len() < MOST {
                    // The end of the chunk's line.
                    wire.line("HTTP server")?;
                }
            }
            Ok(page)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asked(url: &str) -> String {
        question(&url.parse().unwrap())
    }

    #[test]
    fn statuses() {
        for (line, expected) in [
            ("HTTP/1.1 200 OK", Some(200)),
            ("HTTP/1.0 404", Some(404)),
            ("HTTP/1.1 2000", None),
            ("HTTP/1.1 99 x", None),
            ("HTTP/1.1 +20", None),
            ("HTTP/1.1", None),
            ("220 mail", None),
            ("", None),
        ] {
            assert_eq!(status(line), expected, "{line:?}");
        }
    }

    #[test]
    fn a_login_is_sent_and_not_shown() {
        // The vectors of RFC 4648, 10, and the example of RFC 7617, 2.
        for (text, expected) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(base64(text.as_bytes()), expected);
        }
        let mut url: Url = "http://www.example.org/".parse().unwrap();
        url.options.login = Some("Aladdin:open sesame".to_owned());
        assert!(
            question(&url).contains("\r\nAuthorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n")
        );
        assert!(!url.to_string().contains("sesame"));
        let here = url.redirected("/a").unwrap();
        assert!(here.options.login.is_some());
        let elsewhere = url.redirected("http://www.example.net/").unwrap();
        assert!(elsewhere.options.login.is_none());
    }

    #[test]
    fn what_is_asked() {
        let words = asked("http://www.example.org/a/b?auto&x=%20#timeout=2s");
        assert!(
            words.starts_with("GET /a/b?auto&x=%20 HTTP/1.1\r\nHost: www.example.org\r\n"),
            "{words}"
        );
        assert!(words.ends_with("\r\nConnection: close\r\n\r\n"), "{words}");
        assert!(
            asked("http://127.0.0.1:8080")
                .starts_with("GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n")
        );
        assert!(asked("http://[fe80::1%25eth0]").contains("Host: [fe80::1]\r\n"));
        let words = asked("https://127.0.0.1:8443/#host=www.example.org&method=HEAD");
        assert!(words.starts_with("HEAD / HTTP/1.1\r\nHost: www.example.org\r\n"), "{words}");
    }

    proptest! {
        #[test]
        fn no_line_is_a_surprise(line in "HTTP/1.*") {
            let _ = status(&line);
        }
    }
}
