//! The protocols: what is asked, and which answers are a sign of life. One file each.
//!
//! A server is alive if it goes through its own code to an answer, be it "no, not you". It has failed if there is no
//! answer, one of another protocol, or one by which it says that it can serve nobody now.

#![forbid(unsafe_code)]

mod amqp;
mod dns;
mod exec;
mod ftp;
mod http;
mod imap;
mod ldap;
mod memcached;
mod mqtt;
mod mysql;
mod nntp;
mod pop3;
mod postgresql;
mod radius;
mod redis;
mod reply;
mod sip;
mod smb;
mod smtp;
mod ssh;
mod stream;

use ring::rand::{SecureRandom, SystemRandom};

use super::outcome::Trouble;
use super::url::Url;
use super::wire::Wire;

/// What came of talking: what the server said, in short.
pub type Talked = Result<String, Trouble>;

/// What a protocol goes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// TCP, or a UNIX socket that an option names.
    Tcp,
    /// The same, under TLS from the first byte on.
    Tls,
    /// UDP.
    Udp,
    /// A UNIX socket.
    Local,
    /// No connection: a program.
    Program,
}

/// A protocol that can be probed.
#[derive(Debug)]
pub struct Protocol {
    /// The URL's scheme.
    pub scheme: &'static str,
    /// The port of a URL without one.
    pub port: Option<u16>,
    /// What it goes over.
    pub carrier: Carrier,
    /// Options besides those of the carrier.
    pub options: &'static [&'static str],
    /// Whether a user may stand in the URL.
    pub takes_user: bool,
    /// What is sent, for the manual.
    pub asks: &'static str,
    /// What is a sign of life, for the manual.
    pub alive: &'static str,
    /// What is failed although it is an answer, for the manual.
    pub failed: &'static str,
    /// What is wrong with a URL, for this protocol alone.
    pub check: fn(&Url) -> Result<(), String>,
    /// Asks, and judges the answer.
    pub talk: fn(&Url, &mut Wire) -> Talked,
}

impl Protocol {
    /// The same under TLS.
    const fn under_tls(self, scheme: &'static str, port: u16) -> Self {
        Self { scheme, port: Some(port), carrier: Carrier::Tls, ..self }
    }

    /// The same over another carrier, with the words that go with it.
    const fn called(self, scheme: &'static str, port: Option<u16>, carrier: Carrier) -> Self {
        Self { scheme, port, carrier, ..self }
    }

    /// The names of the options that it takes.
    #[must_use]
    pub fn allowed(&self) -> Vec<&'static str> {
        let common: &[&str] = match self.carrier {
            Carrier::Tcp => &["timeout", "bind", "socket"],
            Carrier::Tls => &["timeout", "bind", "socket", "sni", "ca", "fingerprint", "insecure"],
            Carrier::Udp => &["timeout", "bind"],
            Carrier::Local | Carrier::Program => &["timeout"],
        };
        [common, self.options].concat()
    }
}

/// All of them.
pub const ALL: &[Protocol] = &[
    stream::TCP,
    stream::TCP.under_tls_without_port(),
    stream::UNIX,
    http::HTTP,
    http::HTTP.under_tls("https", 443),
    smtp::SMTP,
    smtp::SMTP.under_tls("smtps", 465),
    smtp::SMTP.called("submission", Some(587), Carrier::Tcp),
    imap::IMAP,
    imap::IMAP.under_tls("imaps", 993),
    pop3::POP3,
    pop3::POP3.under_tls("pop3s", 995),
    ftp::FTP,
    ssh::SSH,
    ldap::LDAP,
    ldap::LDAP.under_tls("ldaps", 636),
    mysql::MYSQL,
    postgresql::POSTGRESQL,
    redis::REDIS,
    redis::REDIS.under_tls("rediss", 6379),
    memcached::MEMCACHED,
    amqp::AMQP,
    amqp::AMQP.under_tls("amqps", 5671),
    mqtt::MQTT,
    mqtt::MQTT.under_tls("mqtts", 8883),
    dns::DNS,
    dns::DNS.called("dns+tcp", Some(53), Carrier::Tcp),
    radius::RADIUS,
    smb::SMB,
    nntp::NNTP,
    nntp::NNTP.under_tls("nntps", 563),
    sip::SIP,
    sip::SIP.called("sip+tcp", Some(5060), Carrier::Tcp),
    sip::SIP.under_tls("sips", 5061),
    exec::EXEC,
];

/// The protocol with that scheme.
#[must_use]
pub fn find(scheme: &str) -> Option<&'static Protocol> {
    ALL.iter().find(|protocol| protocol.scheme == scheme)
}

/// Their schemes.
#[must_use]
pub fn names() -> Vec<&'static str> {
    ALL.iter().map(|protocol| protocol.scheme).collect()
}

/// A URL of which nothing stands behind the server's name.
fn no_path(url: &Url) -> Result<(), String> {
    if url.path.len() > 1 || url.query.is_some() {
        return Err(format!("{} takes no path; options stand behind a #", url.protocol.scheme));
    }
    Ok(())
}

/// Numbers that nobody can foresee, so that an answer to an older question is none to this one.
fn random<const LENGTH: usize>() -> Result<[u8; LENGTH], Trouble> {
    let mut bytes = [0; LENGTH];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| Trouble::unexpected("the kernel has no random numbers"))?;
    Ok(bytes)
}
