//! Pages that are asked for, as probes.

#![forbid(unsafe_code)]

use std::fmt::Write as _;

use crate::probe::Url;

/// What has to come of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected<'a> {
    /// A page in which this extended regular expression is found, in capitals or small letters; whatever the status is, as
    /// long as the server does not call it its own fault (5xx).
    Text(&'a str),
    /// Any answer of HTTP.
    Answer,
    /// Any sign of life, be it that the connection is closed.
    Life,
}

/// Where pages without a server are, and how they are asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// `http://host:port` of this server.
    pub base: &'a str,
    /// Whether `localhost` is asked by IPv6.
    pub use_ipv6: bool,
}

impl Asking<'_> {
    /// The probe of a page: a URL, perhaps without `http://`, perhaps with options of probes behind a `#`; or a path on this
    /// server.
    ///
    /// # Errors
    /// It is no URL of a page, or what is expected is no regular expression.
    pub fn page(&self, text: &str, expected: Expected<'_>) -> Result<Url, String> {
        let (place, given) = text.trim().split_once('#').unwrap_or((text.trim(), ""));
        let place = if place.starts_with('/') || place.is_empty() {
            format!("{}{place}", self.base)
        } else if place.contains("://") {
            place.to_owned()
        } else {
            format!("http://{place}")
        };
        let place: String = place.chars().flat_map(plain).collect();
        let mut options: Vec<String> =
            given.split('&').filter(|word| !word.is_empty()).map(str::to_owned).collect();
        let mut add = |name: &str, value: &str, unless: &[&str]| {
            let has = |name: &str| options.iter().any(|word| word.split('=').next() == Some(name));
            if !has(name) && !unless.iter().any(|name| has(name)) {
                options.push(format!("{name}={value}"));
            }
        };
        let place = match on_this_host(&place) {
            Some((scheme, host, rest)) => {
                if scheme == "https" {
                    add("insecure", "1", &["ca", "fingerprint"]);
                }
                // The name may mean the other family.
                if self.use_ipv6 && host.eq_ignore_ascii_case("localhost") {
                    add("host", "localhost", &[]);
                    format!("{scheme}://[::1]{rest}")
                } else {
                    place
                }
            }
            None => place,
        };
        match expected {
            Expected::Text(pattern) => {
                add("match", &encoded(&format!("(?im){pattern}")), &[]);
                add("status", "100-499", &[]);
                add("follow", "10", &[]);
            }
            Expected::Answer => {
                add("method", "HEAD", &["match"]);
                add("status", "100-599", &[]);
            }
            Expected::Life => add("close", "1", &[]),
        }
        let url: Url = format!("{place}#{}", options.join("&")).parse()?;
        if ["http", "https"].contains(&url.protocol.scheme) {
            return Ok(url);
        }
        Err(format!("{place:?} is no page; give a URL such as http://localhost/server-status"))
    }
}

/// Scheme, host, and what stands behind the host, of a URL whose host is `localhost` or an address of the loopback interface.
fn on_this_host(place: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = place.split_once("://")?;
    let end = rest.find([':', '/', '?']).filter(|_| !rest.starts_with('['));
    let (host, behind) =
        rest.split_at(end.unwrap_or_else(|| rest.find(']').map_or(rest.len(), |at| at + 1)));
    let local = host.eq_ignore_ascii_case("localhost")
        || host == "[::1]"
        || host.parse().is_ok_and(|ip: std::net::Ipv4Addr| ip.is_loopback());
    local.then_some((scheme, host, behind))
}

/// A character as it may stand in a URL.
fn plain(c: char) -> Vec<char> {
    if c.is_ascii_graphic() {
        vec![c]
    } else {
        encoded(c.encode_utf8(&mut [0; 4])).chars().collect()
    }
}

/// Percent-encoded, so that it is one value behind a `#`.
#[must_use]
pub fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/:?=<>()[]*+|^$,;!'{}\\\"".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02x}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn asking(use_ipv6: bool) -> Asking<'static> {
        Asking { base: "http://192.0.2.1:8080", use_ipv6 }
    }

    #[test]
    fn urls_as_people_write_them() {
        for (text, shown) in [
            ("http://localhost/server-status", "http://localhost/server-status"),
            ("/server-status?auto", "http://192.0.2.1:8080/server-status?auto"),
            ("", "http://192.0.2.1:8080"),
            ("localhost:81/x", "http://localhost:81/x"),
            ("yoyoyoyo", "http://yoyoyoyo"),
            ("https://www.example.org/a b", "https://www.example.org/a%20b"),
            (" http://x/#status=200 ", "http://x/"),
        ] {
            let url = asking(false)
                .page(text, Expected::Text("</ *html *>"))
                .unwrap_or_else(|why| panic!("{text}: {why}"));
            assert_eq!(url.to_string(), shown);
            assert!(
                url.options.matches.unwrap().is_in(b"\n< / HTML >") || url.options.status.is_some()
            );
        }
        for text in ["smtp://x/", "http://", "http://a:b:c/", "exec:///bin/true"] {
            let page = asking(false).page(text, Expected::Answer);
            assert!(page.is_err() || text == "http://", "{text}");
        }
    }

    #[test]
    fn what_is_expected() {
        let url = asking(false).page("/x", Expected::Text("^a b&c#d%$")).unwrap();
        assert!(url.options.matches.as_ref().unwrap().is_in(b"x\nA B&C#D%\ny"));
        assert!(
            url.options.status.as_ref().unwrap().contain(403)
                && !url.options.status.unwrap().contain(500)
        );
        let url = asking(false).page("/x#status=200&follow=0", Expected::Text("a")).unwrap();
        assert!(!url.options.status.unwrap().contain(403));
        assert!(asking(false).page("/", Expected::Answer).unwrap().options.head_only);
        assert!(asking(false).page("/", Expected::Life).unwrap().options.closes);
        assert!(
            asking(false)
                .page("/x", Expected::Text("(a"))
                .unwrap_err()
                .contains("no regular expression")
        );
    }

    #[test]
    fn certificates_of_this_host_are_not_judged() {
        for (text, insecure) in [
            ("https://localhost/", true),
            ("https://127.0.0.1:8443/", true),
            ("https://[::1]/", true),
            ("https://localhost/#ca=/x", false),
            ("https://www.example.org/", false),
            ("https://localhost.example.org/", false),
        ] {
            assert_eq!(
                asking(false).page(text, Expected::Answer).unwrap().is_insecure(),
                insecure,
                "{text}"
            );
        }
    }

    #[test]
    fn localhost_by_ipv6() {
        let url = asking(true).page("http://localhost:81/x", Expected::Answer).unwrap();
        assert_eq!(url.to_string(), "http://[::1]:81/x");
        assert_eq!(url.addressed().to_string(), "localhost");
        let url = asking(true).page("http://192.0.2.1/x", Expected::Answer).unwrap();
        assert_eq!(url.to_string(), "http://192.0.2.1/x");
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "(http://|https://|localhost|\\[::1\\]|[#?&=/: ä%a-z0-9]){0,12}", pattern in ".{0,12}") {
            let _ = asking(true).page(&text, Expected::Text(&pattern));
        }

        #[test]
        fn a_plain_text_is_found(text in "[ -~]{1,20}") {
            let url = asking(false).page("/", Expected::Text(&regex::escape(&text))).unwrap();
            prop_assert!(url.options.matches.unwrap().is_in(text.as_bytes()));
        }
    }
}
