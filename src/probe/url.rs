//! A probe, written as a URL.
//!
//! `scheme://user@host:port/path?query#options`. What stands before the `#` is what any other program would be given, and
//! what stands behind it is for the probe alone: a fragment never leaves the client (RFC 3986, 3.5), so a query stays the
//! server's.

#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::location::{Authority, Host, decoded};
use super::option::{Options, Trust};
use super::protocol::{self, Carrier, Protocol};
use crate::error::one_line;
use crate::param::{Kind, Value};

/// Longer ones are a mistake.
const LONGEST: usize = 4096;

/// A probe.
#[derive(Clone, Debug)]
pub struct Url {
    /// How it speaks.
    pub protocol: &'static Protocol,
    /// Before the `@`.
    pub user: Option<String>,
    /// The server.
    pub host: Host,
    /// Its port; the protocol's own if none is given.
    pub port: u16,
    /// From the first slash on, as it stands.
    pub path: String,
    /// Behind the `?`, as it stands.
    pub query: Option<String>,
    /// Behind the `#`.
    pub options: Options,
    /// Up to the `#`, for people.
    shown: String,
}

impl Url {
    /// The UNIX socket that is connected to, if it is one.
    #[must_use]
    pub fn socket(&self) -> Option<PathBuf> {
        match self.protocol.carrier {
            Carrier::Local => decoded(&self.path).ok().map(PathBuf::from),
            _ => self.options.socket.clone(),
        }
    }

    /// Whether anybody could answer in the server's place: an administrator is to be told.
    #[must_use]
    pub fn is_insecure(&self) -> bool {
        self.protocol.carrier == Carrier::Tls && self.options.trust == Trust::Anybody
    }

    /// Whether it is made within some milliseconds by this process alone, unless something is wrong.
    #[must_use]
    pub fn is_quick(&self) -> bool {
        self.protocol.carrier != Carrier::Program
    }

    /// The name that the server is addressed by.
    #[must_use]
    pub fn addressed(&self) -> &Host {
        self.options.host.as_ref().unwrap_or(&self.host)
    }

    /// Where a redirection leads (RFC 3986, 5.2). As long as it is to the name that the server is addressed by, it is the
    /// same machine, whatever that name means elsewhere.
    ///
    /// # Errors
    /// It is no URL of a page.
    pub fn redirected(&self, location: &str) -> Result<Self, String> {
        let location = location.split('#').next().unwrap_or_default();
        let scheme = self.protocol.scheme;
        let here = format!("{scheme}://{}:{}", self.addressed(), self.port);
        let text = if location.contains("://") {
            location.to_owned()
        } else if location.starts_with("//") {
            format!("{scheme}:{location}")
        } else if location.starts_with('/') {
            format!("{here}{location}")
        } else {
            let directory = self.path.rfind('/').map_or("/", |at| &self.path[..=at]);
            format!("{here}{directory}{location}")
        };
        let mut next = Self::read(&text)?;
        if !["http", "https"].contains(&next.protocol.scheme) {
            return Err(format!("{:?} is no page", one_line(location, 60)));
        }
        next.options = self.options.clone();
        if next.host == *self.addressed() {
            next.host = self.host.clone();
            // The server does not know by which port it was come to.
            if self.options.host.is_some() && next.protocol.scheme == scheme {
                next.port = self.port;
            }
        } else {
            let options = &mut next.options;
            (options.host, options.sni, options.socket) = (None, None, None);
            options.login = None;
        }
        next.check(true)?;
        Ok(next)
    }

    fn read(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("it is too long, or has characters that are written as %XX".to_owned());
        }
        let (shown, fragment) = text.split_once('#').unwrap_or((text, ""));
        let Some((scheme, rest)) = shown.split_once("://") else {
            return Err("a probe is a URL such as http://127.0.0.1:8080/".to_owned());
        };
        let protocol = protocol::find(&scheme.to_ascii_lowercase()).ok_or_else(|| {
            format!("there is no probe {scheme:?}; there are {}", protocol::names().join(" "))
        })?;
        let (place, query) =
            rest.split_once('?').map_or((rest, None), |(place, query)| (place, Some(query)));
        let (authority, path) = place.split_at(place.find('/').unwrap_or(place.len()));
        let authority_given = !authority.is_empty();
        let authority = Authority::parse(authority)?;
        let options = Options::parse(fragment, scheme, &protocol.allowed())?;
        let url = Self {
            protocol,
            port: authority.port.or(protocol.port).unwrap_or(0),
            user: authority.user,
            host: authority.host,
            path: path.to_owned(),
            query: query.map(str::to_owned),
            options,
            shown: shown.to_owned(),
        };
        url.check(authority_given)?;
        Ok(url)
    }

    /// What the carrier and the protocol demand.
    fn check(&self, authority_given: bool) -> Result<(), String> {
        let scheme = self.protocol.scheme;
        match self.protocol.carrier {
            Carrier::Local | Carrier::Program => {
                let path = decoded(&self.path)?;
                if authority_given
                    || !path.starts_with('/')
                    || path.len() < 2
                    || path.contains('\0')
                {
                    return Err(format!(
                        "{scheme} takes an absolute path, such as {scheme}:///run/x"
                    ));
                }
            }
            _ if self.port == 0 && self.options.socket.is_none() => {
                return Err(format!("{scheme} has no port of its own; write {scheme}://host:port"));
            }
            _ => {}
        }
        let source = self.options.bind.as_ref();
        if let (Some(source), Host::Address(ip)) = (source, &self.host)
            && !source.suits(*ip)
        {
            return Err(
                "option bind: that address and the server's are of different families".to_owned()
            );
        }
        if self.user.is_some() && !self.protocol.takes_user {
            return Err(format!(
                "{scheme} asks without a user; leave out what stands before the @"
            ));
        }
        (self.protocol.check)(self)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::read(text).map_err(|why| format!("{:?} is no probe: {why}", one_line(text, 100)))
    }
}

impl Value for Url {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        raw.to_string_lossy().parse()
    }
}

/// Probes, separated by blanks.
#[derive(Clone, Debug)]
pub struct Urls(Vec<Url>);

impl Urls {
    /// Each of them.
    #[must_use]
    pub fn as_slice(&self) -> &[Url] {
        &self.0
    }
}

impl Value for Urls {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        let text = raw.to_string_lossy();
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        match words.len() {
            0 => {
                Err("there is no probe in it; give a URL such as http://127.0.0.1:8080/".to_owned())
            }
            1..=super::MOST_PROBES => {
                words.into_iter().map(str::parse).collect::<Result<_, _>>().map(Self)
            }
            many => Err(format!("{many} probes are too many; give at most {}", super::MOST_PROBES)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::probe::option::ALL;

    fn wrong(text: &str) -> String {
        let why = text.parse::<Url>().expect_err(text);
        assert!(why.chars().count() < 300 && !why.contains('\n') && !why.ends_with('.'), "{why}");
        why
    }

    #[test]
    fn the_parts_of_a_url() {
        let url: Url =
            "postgresql://mon%40x@[2001:db8::1]:5433/db#timeout=500ms&bind=eth0".parse().unwrap();
        assert_eq!(url.user.as_deref(), Some("mon@x"));
        assert_eq!(
            (url.host.to_string().as_str(), url.port, url.path.as_str()),
            ("[2001:db8::1]", 5433, "/db")
        );
        assert_eq!(url.options.timeout.unwrap().as_millis(), 500);
        assert!(url.options.bind.is_some());
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        for (text, host, port) in [
            ("http://", "127.0.0.1", 80),
            ("HTTP://Web", "Web", 80),
            ("https://www.example.org", "www.example.org", 443),
            ("redis://[::1]", "[::1]", 6379),
            ("tcp://web_1:8080", "web_1", 8080),
            ("dns+tcp://192.0.2.1/", "192.0.2.1", 53),
            ("ldaps://[fe80::1%25eth0]", "[fe80::1%25eth0]", 636),
            ("tcp://#socket=/run/x", "127.0.0.1", 0),
        ] {
            let url: Url = text.parse().unwrap_or_else(|why| panic!("{why}"));
            assert_eq!((url.host.to_string().as_str(), url.port), (host, port), "{text}");
        }
    }

    #[test]
    fn each_wrong_url_gets_one_clear_sentence() {
        for (text, word) in [
            ("", "a probe is a URL"),
            ("127.0.0.1:80", "a probe is a URL"),
            ("gopher://x", "no probe \"gopher\"; there are tcp tls unix http"),
            ("http://a b", "%XX"),
            ("http://ä", "%XX"),
            ("http://x/\u{7f}", "%XX"),
            ("http://x:0", "no port"),
            ("http://x:65536", "no port"),
            ("http://x:+80", "no port"),
            ("http://x:", "no port"),
            ("http://-x-", "no host"),
            ("http://256.0.0.1", "no host"),
            ("http://2001:db8::1", "[2001:db8::1]"),
            ("http://[2001:db8::1", "no host"),
            ("http://[192.0.2.1]", "no host"),
            ("http://x@y", "without a user"),
            ("mysql://x:secret@y", "password"),
            ("tcp://x", "tcp://host:port"),
            ("redis://x/path", "takes no path"),
            ("unix://x/run/x", "absolute path"),
            ("unix://", "absolute path"),
            ("unix:///run/%00", "absolute path"),
            ("exec://test", "absolute path"),
            ("exec:///usr/bin/test?%zz", "%25"),
            ("postgresql://x/a/b", "postgresql://user@host/database"),
            ("dns://x/a?type=ANY", "?type="),
            ("dns://x/a..b", "no name of the DNS"),
            ("radius://x", "secretfile=FILE"),
            ("http://x#timeout", "name=value"),
            ("http://x#color=red", "no option \"color\"; it has timeout, bind"),
            ("redis://x#match=a", "no option \"match\""),
            ("http://x#ca=/x", "no option \"ca\""),
            ("http://x#timeout=1s&timeout=2s", "twice"),
            ("http://x#timeout=0", "option timeout"),
            ("http://x#timeout=inf", "option timeout"),
            ("http://x#timeout=-1s", "option timeout"),
            ("http://x#timeout=9999999s", "option timeout"),
            ("http://x#bind=a/b", "option bind"),
            ("http://192.0.2.1#bind=::1", "different families"),
            ("http://x#bind=eth0&socket=/run/x", "socket or bind"),
            ("http://x#socket=run/x", "option socket"),
            ("http://x#match=(", "no regular expression"),
            ("http://x#match=%ff", "UTF-8"),
            ("http://x#match=%4", "%25"),
            ("http://x#match=a%7b100000%7d%7b100000%7d", "no regular expression"),
            ("http://x#status=20", "option status"),
            ("http://x#status=300-200", "option status"),
            ("http://x#status=", "option status"),
            ("http://x#follow=11", "option follow"),
            ("http://x#method=POST", "neither GET nor HEAD"),
            ("http://x#method=HEAD&match=x", "HEAD brings no page"),
            ("http://x#host=", "option host"),
            ("https://x#sni=a%20b", "option sni"),
            ("https://x#fingerprint=md5:00", "option fingerprint"),
            ("https://x#fingerprint=sha256:00", "option fingerprint"),
            ("https://x#insecure=maybe", "option insecure"),
            ("https://x#insecure=1&ca=/x", "only one"),
        ] {
            let why = wrong(text);
            assert!(why.contains(word), "{text:?}: {why}");
        }
        wrong(&format!("http://x/{}", "a".repeat(5000)));
    }

    #[test]
    fn redirections() {
        let to = |url: &str, location: &str| {
            let next = url.parse::<Url>().unwrap().redirected(location);
            next.map(|url| {
                format!("{} {} {} {}", url.protocol.scheme, url.host, url.port, url.path)
            })
        };
        for (url, location, expected) in [
            ("http://a:81/b/c", "/d?e#f", "http a 81 /d"),
            ("http://a/b/c", "d", "http a 80 /b/d"),
            ("http://a", "d", "http a 80 /d"),
            ("http://a", "//b/c", "http b 80 /c"),
            ("http://a", "https://a/", "https a 443 /"),
            ("http://a", "HTTPS://b:1/", "https b 1 /"),
            // The same server under its name.
            (
                "http://127.0.0.1:81/#host=www.example.org",
                "http://www.example.org/x",
                "http 127.0.0.1 81 /x",
            ),
            (
                "http://127.0.0.1:81/#host=www.example.org",
                "https://www.example.org/x",
                "https 127.0.0.1 443 /x",
            ),
            ("http://127.0.0.1:81/#host=www.example.org", "/x", "http 127.0.0.1 81 /x"),
            (
                "http://127.0.0.1:81/#host=www.example.org",
                "http://example.org/x",
                "http example.org 80 /x",
            ),
        ] {
            assert_eq!(to(url, location).as_deref(), Ok(expected), "{url} {location}");
        }
        for location in
            ["ftp://a", "javascript://x", "a b", "exec:///bin/true", "http://a:0", "\u{1b}"]
        {
            assert!(to("http://a", location).is_err(), "{location}");
        }
    }

    #[test]
    fn lists_of_probes() {
        let list = |text: &str| Urls::parse(OsStr::new(text)).map(|urls| urls.as_slice().len());
        assert_eq!(list(" http://x\n\tredis://y "), Ok(2));
        assert!(list(" ").unwrap_err().contains("no probe in it"));
        assert!(list(&"http://x ".repeat(33)).unwrap_err().contains("33 probes are too many"));
        assert!(list("http://x, http://y").is_err());
    }

    #[test]
    fn each_option_is_explained_and_each_that_is_explained_is_taken_by_some_protocol() {
        let taken: Vec<&str> = protocol::ALL.iter().flat_map(Protocol::allowed).collect();
        assert!(ALL.iter().all(|(name, _)| taken.contains(name)));
        assert!(taken.iter().all(|taken| ALL.iter().any(|(name, _)| name == taken)));
    }

    #[test]
    fn each_scheme_is_there_once() {
        let mut names = protocol::names();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        // Those that were promised.
        for name in "tcp unix http https smtp submission imap imaps pop3 pop3s ftp ssh ldap ldaps mysql postgresql redis \
                     memcached amqp mqtt dns radius smb nntp sip exec"
            .split_ascii_whitespace()
        {
            assert!(names.contains(&name), "{name}");
        }
    }

    #[test]
    fn who_is_insecure_and_who_is_slow() {
        let is = |text: &str| {
            let url: Url = text.parse().unwrap();
            (url.is_insecure(), url.is_quick())
        };
        assert_eq!(is("https://x#insecure=1"), (true, true));
        assert_eq!(is("https://x#insecure=0"), (false, true));
        assert_eq!(is("exec:///bin/true"), (false, false));
    }

    proptest! {
        #[test]
        fn no_text_is_a_surprise(text in "\\PC*", scheme in 0..protocol::ALL.len(), rest in "[a-z0-9:/?#@%&=.\\[\\]-]{0,60}") {
            let _ = text.parse::<Url>();
            let scheme = protocol::ALL[scheme].scheme;
            if let Err(why) = format!("{scheme}://{rest}").parse::<Url>() {
                prop_assert!(why.chars().count() < 400 && !why.contains('\n'), "{}", why);
            }
        }

        /// What is encoded comes out as it was.
        #[test]
        fn percent_encoding_is_undone(text in "\\PC{0,20}") {
            let encoded: String = text.bytes().fold(String::new(), |all, byte| all + &format!("%{byte:02x}"));
            prop_assert_eq!(decoded(&encoded), Ok(text));
        }
    }
}
