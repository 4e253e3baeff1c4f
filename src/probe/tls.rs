//! TLS: whom a probe trusts, and how it says that it does not.

#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring as crypto};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme, StreamOwned,
};

use super::line::Socket;
use super::location::Host;
use super::option::Trust;
use super::url::Url;
use crate::error::{cause, one_line};
use crate::host::stream::{self, Ready};

/// Where distributions keep the CA certificates that they trust: Debian and Arch, Fedora, SUSE, Alpine.
const SYSTEM: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// A connection under TLS.
#[derive(Debug)]
pub struct Session(StreamOwned<ClientConnection, Socket>);

impl Session {
    /// Agrees upon TLS with the server at the other end of `socket`.
    ///
    /// # Errors
    /// Why not, and what mends it.
    pub fn agree(url: &Url, socket: Socket, end: Instant) -> Result<Self, String> {
        let verifier = Arc::new(Verifier::new(&url.options.trust)?);
        let config = config(Arc::clone(&verifier))?;
        let name = server_name(url.options.sni.as_ref().unwrap_or(url.addressed()))?;
        let connection =
            ClientConnection::new(Arc::new(config), name).map_err(|error| error.to_string())?;
        let mut session = Self(StreamOwned::new(connection, socket));
        session.shake_hands(end).map_err(|error| verifier.explain(&error, url))?;
        Ok(session)
    }

    fn shake_hands(&mut self, end: Instant) -> io::Result<()> {
        while self.0.conn.is_handshaking() {
            match self.0.conn.complete_io(&mut self.0.sock) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let ready =
                        if self.0.conn.wants_write() { Ready::ToWrite } else { Ready::ToRead };
                    if !stream::wait(&self.0.sock, ready, end)? {
                        return Err(ErrorKind::TimedOut.into());
                    }
                }
                Err(error) => return Err(error),
            }
            if Instant::now() >= end {
                return Err(ErrorKind::TimedOut.into());
            }
        }
        Ok(())
    }

    pub(super) fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes)
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.0.write(bytes)?;
        match self.0.flush() {
            // What did not go out yet goes with the next reading.
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(written),
        }
    }

    pub(super) fn wait(&self, ready: Ready, end: Instant) -> io::Result<bool> {
        stream::wait(&self.0.sock, ready, end)
    }
}

fn config(verifier: Arc<Verifier>) -> Result<ClientConfig, String> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(&verifier.provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

fn server_name(host: &Host) -> Result<ServerName<'static>, String> {
    match host {
        Host::Address(ip) => Ok(ServerName::from(*ip)),
        Host::Name(name) => {
            ServerName::try_from(name.trim_end_matches('.').to_owned()).map_err(|_| {
                format!("{name:?} is no name that stands in a certificate; give sni=NAME")
            })
        }
    }
}

/// The certificates of CAs in a file.
fn roots(path: &Path) -> Result<RootCertStore, String> {
    let read = CertificateDer::pem_file_iter(path);
    let read =
        read.map_err(|error| format!("cannot read {}: {}", path.display(), pem_cause(error)))?;
    let mut store = RootCertStore::empty();
    // One that cannot be read leaves the others as good as they are.
    store.add_parsable_certificates(read.filter_map(Result::ok));
    if store.is_empty() {
        return Err(format!("there is no certificate in {}", path.display()));
    }
    Ok(store)
}

fn pem_cause(error: rustls::pki_types::pem::Error) -> String {
    match error {
        rustls::pki_types::pem::Error::Io(error) => cause(&error),
        other => other.to_string(),
    }
}

fn system_roots() -> Result<(PathBuf, RootCertStore), String> {
    let path = SYSTEM.iter().map(Path::new).find(|path| path.is_file());
    let path =
        path.ok_or("this host has no CA certificates; give ca=FILE or fingerprint=sha256:…")?;
    roots(path).map(|roots| (path.to_owned(), roots))
}

/// Believes what [`Trust`] says, and remembers what it saw.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    trust: Believed,
    seen: OnceLock<[u8; 32]>,
}

#[derive(Debug)]
enum Believed {
    Signed { by: PathBuf, verifier: Arc<WebPkiServerVerifier> },
    Pinned([u8; 32]),
    Anybody,
}

impl Verifier {
    fn new(trust: &Trust) -> Result<Self, String> {
        let provider = Arc::new(crypto::default_provider());
        let trust = match trust {
            Trust::Pinned(fingerprint) => Believed::Pinned(*fingerprint),
            Trust::Anybody => Believed::Anybody,
            Trust::System | Trust::File(_) => {
                let (by, roots) = match trust {
                    Trust::File(path) => (path.clone(), roots(path)?),
                    _ => system_roots()?,
                };
                let built = WebPkiServerVerifier::builder_with_provider(
                    Arc::new(roots),
                    Arc::clone(&provider),
                )
                .build();
                Believed::Signed { by, verifier: built.map_err(|error| error.to_string())? }
            }
        };
        Ok(Self { provider, trust, seen: OnceLock::new() })
    }

    fn explain(&self, error: &io::Error, url: &Url) -> String {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        let why = match (tls, error.kind()) {
            (Some(Error::InvalidCertificate(wrong)), _) => return self.disbelief(wrong, url),
            (Some(Error::InvalidMessage(_)), _) => "it does not speak TLS on this port".to_owned(),
            (Some(Error::AlertReceived(alert)), _) => {
                format!("it refused TLS: {alert:?}; it may want another name: sni=NAME")
            }
            (Some(other), _) => other.to_string(),
            (None, ErrorKind::TimedOut) => {
                "it took the connection and did not end the handshake in time".to_owned()
            }
            (None, ErrorKind::UnexpectedEof) => "it took the connection and closed it".to_owned(),
            (None, _) => cause(error),
        };
        format!("no TLS: {why}")
    }

    /// Why the certificate is not believed, with what has to be told to believe it.
    fn disbelief(&self, wrong: &CertificateError, url: &Url) -> String {
        let shown = self.seen.get().map(hexadecimal).unwrap_or_default();
        let name = url.options.sni.as_ref().unwrap_or(url.addressed());
        match (wrong, &self.trust) {
            (_, Believed::Pinned(_)) => format!("its certificate is another one: sha256:{shown}"),
            (CertificateError::Expired | CertificateError::ExpiredContext { .. }, _) => {
                "its certificate has expired; renew it".to_owned()
            }
            (CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }, _) => {
                "its certificate is not valid yet; look at the clocks".to_owned()
            }
            (
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
                _,
            ) => {
                format!("its certificate is not for {name}; give sni=NAME")
            }
            // The latter is that of another CA of the same name.
            (
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
                Believed::Signed { by, .. },
            ) => {
                // Reasons are short, and the fingerprint is what is hard to come by.
                let unknown = match url.options.trust {
                    Trust::File(_) => format!("its CA is not in {}", by.display()),
                    _ => "its CA is unknown here".to_owned(),
                };
                format!("{unknown}; give ca=FILE or fingerprint=sha256:{shown}")
            }
            // Such as one that signed itself: it is pinned rather than believed.
            (other, _) => {
                let what = one_line(&format!("{other:?}"), 60);
                format!("its certificate is no good ({what}); give fingerprint=sha256:{shown}")
            }
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let digest = ring::digest::digest(&ring::digest::SHA256, leaf);
        let seen: [u8; 32] = digest.as_ref().try_into().unwrap_or_default();
        let _ = self.seen.set(seen);
        match &self.trust {
            Believed::Signed { verifier, .. } => {
                verifier.verify_server_cert(leaf, between, name, ocsp, now)
            }
            Believed::Pinned(wanted) if *wanted != seen => {
                Err(CertificateError::ApplicationVerificationFailure.into())
            }
            Believed::Pinned(_) | Believed::Anybody => Ok(ServerCertVerified::assertion()),
        }
    }

    // Also for a pinned certificate the server has to prove that it has the key to it.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match self.trust {
            Believed::Anybody => Ok(HandshakeSignatureValid::assertion()),
            _ => rustls::crypto::verify_tls12_signature(
                message,
                leaf,
                signed,
                &self.provider.signature_verification_algorithms,
            ),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match self.trust {
            Believed::Anybody => Ok(HandshakeSignatureValid::assertion()),
            _ => rustls::crypto::verify_tls13_signature(
                message,
                leaf,
                signed,
                &self.provider.signature_verification_algorithms,
            ),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn hexadecimal(bytes: &[u8; 32]) -> String {
    let mut text = String::with_capacity(64);
    for byte in bytes {
        // A String takes everything.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
