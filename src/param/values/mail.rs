//! Values that name who gets a mail and who carries it.

#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use super::{accepted, decimal, text};
use crate::param::{Kind, Value};

/// Port of SMTP (RFC 5321, 4.5.4.2).
const SMTP: u16 = 25;

/// More recipients than this are a list that belongs to a mail server.
const MOST: usize = 100;

/// A mail address: `name@domain`, or the name of a user where the mail is handed over.
///
/// Only what RFC 5321 calls a dot-string is accepted, and no quoted one, so that nothing in it can end a header or a
/// command, or look like an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    local: String,
    domain: Option<String>,
}

impl Mailbox {
    /// An address of this host's own, from the name of the host.
    #[must_use]
    pub fn root_at(host: &str) -> Self {
        let domain = is_domain(host).then(|| host.to_owned());
        Self { local: "root".to_owned(), domain }
    }

    /// The part after the `@`.
    #[must_use]
    pub fn domain(&self) -> Option<&str> {
        self.domain.as_deref()
    }

    /// The same with a domain, where it has none of its own.
    #[must_use]
    pub fn in_domain(mut self, domain: Option<&str>) -> Self {
        self.domain = self.domain.or_else(|| domain.map(str::to_owned));
        self
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.local)?;
        self.domain.as_ref().map_or(Ok(()), |domain| write!(f, "@{domain}"))
    }
}

impl FromStr for Mailbox {
    type Err = String;

    fn from_str(all: &str) -> Result<Self, String> {
        Self::parse(OsStr::new(all))
    }
}

impl Value for Mailbox {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        let all = text(raw)?;
        let (local, domain) = match all.split_once('@') {
            Some((local, domain)) => (local, Some(domain)),
            None => (all, None),
        };
        let valid =
            is_local(local) && domain.is_none_or(|name| is_domain(name) || is_literal(name));
        let parsed =
            valid.then(|| Self { local: local.to_owned(), domain: domain.map(str::to_owned) });
        accepted(raw, parsed, "a mail address", "one such as admin@example.org, or a local user")
    }
}

/// RFC 5321, 4.1.2: a dot-string; a leading hyphen could be taken for an option.
fn is_local(local: &str) -> bool {
    let atom = |part: &str| {
        let allowed =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
        !part.is_empty() && part.bytes().all(allowed)
    };
    local.len() <= 64 && !local.starts_with('-') && local.split('.').all(atom)
}

/// RFC 5321, 4.1.2: letters, digits and hyphens, in parts that neither begin nor end with a hyphen.
pub(crate) fn is_domain(name: &str) -> bool {
    let label = |part: &str| {
        (1..=63).contains(&part.len())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

/// `[192.0.2.1]` or `[IPv6:2001:db8::1]`.
fn is_literal(name: &str) -> bool {
    let inner = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inner.is_some_and(|inner| match inner.strip_prefix("IPv6:") {
        Some(ip) => ip.parse::<Ipv6Addr>().is_ok(),
        None => inner.parse::<std::net::Ipv4Addr>().is_ok(),
    })
}

/// Mail addresses, separated by commas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailboxes(Vec<Mailbox>);

impl Mailboxes {
    /// Each of them.
    #[must_use]
    pub fn as_slice(&self) -> &[Mailbox] {
        &self.0
    }
}

impl Value for Mailboxes {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        let parts: Vec<&str> = text(raw)?.split(',').map(|part| part.trim_matches(' ')).collect();
        if parts.len() > MOST {
            return Err(format!(
                "{} addresses are too many; give a list of your mail server's",
                parts.len()
            ));
        }
        parts.into_iter().map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

/// A mail server that takes mail for others: a name or an address, perhaps with a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relay {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl fmt::Display for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl Value for Relay {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        let all = text(raw)?;
        let (host, port) = match all.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':').unwrap_or("none"))),
            // An address of IPv6 without brackets has no port.
            None if all.parse::<Ipv6Addr>().is_ok() => (all, None),
            None => all.split_once(':').map_or((all, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map_or(Some(SMTP), decimal).filter(|port| *port > 0);
        let named = host.parse::<IpAddr>().is_ok() || is_domain(host);
        let parsed = port.filter(|_| named).map(|port| Self { host: host.to_owned(), port });
        let accepts = "host:port, such as mail.example.org:25 or [2001:db8::25]:25";
        accepted(raw, parsed, "a mail server", accepts)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use proptest::prelude::*;

    use super::*;

    fn shown<T: Value + fmt::Display>(raw: &str) -> Option<String> {
        T::parse(OsStr::new(raw)).ok().map(|value| value.to_string())
    }

    #[test]
    fn mail_addresses() {
        for good in [
            "root",
            "root@localhost",
            "a.b+c@example.org",
            "o'neil@mail.example.org",
            "root@[192.0.2.1]",
            "root@[IPv6:2001:db8::1]",
        ] {
            assert_eq!(shown::<Mailbox>(good).as_deref(), Some(good));
        }
        for bad in [
            "",
            "@",
            "root@",
            "@example.org",
            "a b@example.org",
            "-t@example.org",
            "a..b@example.org",
            ".a@example.org",
            "a@b@c",
            "a@-b.org",
            "a@b..org",
            "\"a\"@example.org",
            "a@example.org\r\nBcc: x",
            "a@example.org>",
            "<a@example.org>",
            "Admin <a@example.org>",
            "ä@example.org",
            "a@[nowhere]",
            "a;b",
            "a,b",
        ] {
            assert_eq!(shown::<Mailbox>(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn lists_of_mail_addresses() {
        let list = |raw: &str| {
            Mailboxes::parse(OsStr::new(raw)).ok().map(|list| {
                list.as_slice().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
            })
        };
        assert_eq!(
            list("a@example.org, b@example.org,root").as_deref(),
            Some("a@example.org b@example.org root")
        );
        assert_eq!(list("a@example.org,").as_deref(), None);
        assert_eq!(list(&"root,".repeat(200)), None);
    }

    #[test]
    fn relays() {
        for (raw, expected) in [
            ("mail.example.org:587", Some("mail.example.org:587")),
            ("localhost", Some("localhost:25")),
            ("192.0.2.1:25", Some("192.0.2.1:25")),
            ("[2001:db8::25]:2525", Some("[2001:db8::25]:2525")),
            ("[2001:db8::25]", Some("[2001:db8::25]:25")),
            ("2001:db8::25", Some("[2001:db8::25]:25")),
            ("mail.example.org:", None),
            ("mail.example.org:0", None),
            ("mail.example.org:70000", None),
            ("mail.example.org:25x", None),
            ("[2001:db8::25]25", None),
            (":25", None),
            ("a b:25", None),
            ("", None),
        ] {
            assert_eq!(shown::<Relay>(raw).as_deref(), expected, "{raw:?}");
        }
    }

    proptest! {
        /// Whatever is accepted can stand in a header and in a command of SMTP.
        #[test]
        fn nothing_that_is_accepted_ends_a_line_or_an_address(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(list) = Mailboxes::parse(OsStr::from_bytes(&bytes)) {
                for mailbox in list.as_slice() {
                    let text = mailbox.to_string();
                    prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{:?}", text);
                    prop_assert!(!text.contains(['<', '>', ',', ';', '"', '\\', '(', ')']), "{:?}", text);
                    prop_assert!(!text.starts_with('-'));
                }
            }
            if let Ok(relay) = Relay::parse(OsStr::from_bytes(&bytes)) {
                prop_assert_eq!(Relay::parse(OsStr::new(&relay.to_string())), Ok(relay));
            }
        }

        #[test]
        fn an_address_with_anything_in_it_is_refused(at in 0usize..16, byte in prop_oneof![0u8..0x20, 0x7fu8..=0xff, Just(b' '), Just(b'<')]) {
            let mut bytes = b"root@example.org".to_vec();
            bytes.insert(at, byte);
            prop_assert!(Mailbox::parse(OsStr::from_bytes(&bytes)).is_err());
        }
    }
}
