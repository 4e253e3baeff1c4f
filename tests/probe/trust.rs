//! TLS: whom a probe believes, and what it says of the others. The certificates are made by openssl(1).

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use ocfbox::probe::Phase;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::fake::{fails, probe, serve};

/// A directory with a CA of its own.
struct Authority {
    directory: tempfile::TempDir,
}

const CONFIGURATION: &str = "[ca]\ndefault_ca=own\n[own]\ndatabase=index\nserial=serial\nnew_certs_dir=.\n\
    default_md=sha256\npolicy=any\nunique_subject=no\n[any]\ncommonName=supplied\n";

impl Authority {
    fn new() -> Self {
        let authority = Self { directory: tempfile::tempdir().unwrap() };
        for (name, text) in [("ca.cnf", CONFIGURATION), ("index", ""), ("serial", "01\n")] {
            fs::write(authority.path(name), text).unwrap();
        }
        authority.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -subj /CN=ours -days 10");
        authority
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    #[track_caller]
    fn openssl(&self, words: &str) -> String {
        let mut command = Command::new("openssl");
        command.args(words.split(' ')).current_dir(self.directory.path()).stdin(Stdio::null());
        let output = command.output().expect("openssl is installed: apt-get install openssl");
        assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A certificate for these names, valid in these years.
    fn sign(&self, name: &str, names: &str, years: std::ops::Range<u16>) {
        fs::write(self.path("extensions"), format!("subjectAltName={names}\n")).unwrap();
        self.openssl(&format!("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}"));
        self.openssl(&format!(
            "ca -batch -config ca.cnf -in {name}.csr -cert ca.pem -keyfile ca.key -extfile extensions -notext -out {name}.pem \
             -startdate {}0101000000Z -enddate {}0101000000Z",
            years.start, years.end
        ));
    }

    fn fingerprint(&self, name: &str) -> String {
        let text = self.openssl(&format!("x509 -in {name}.pem -noout -fingerprint -sha256"));
        format!("sha256:{}", text.trim().split_once('=').unwrap().1)
    }

    /// A server with that certificate that greets like one of POP3; the names that it is asked for.
    fn serve(&self, name: &str) -> (SocketAddr, Receiver<Option<String>>) {
        let certificates =
            CertificateDer::pem_file_iter(self.path(&format!("{name}.pem"))).unwrap();
        let key = PrivateKeyDer::from_pem_file(self.path(&format!("{name}.key"))).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(certificates.map(Result::unwrap).collect(), key)
            .unwrap();
        let config = Arc::new(config);
        let (tell, told) = channel();
        let tell = Mutex::new(tell);
        let address = serve(move |stream| {
            use std::io::{Read, Write};
            let mut tls =
                StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream);
            let _ = tls.write_all(b"+OK ready\r\n");
            let _ = tell.lock().unwrap().send(tls.conn.server_name().map(str::to_owned));
            let mut heard = [0; 6];
            if tls.read_exact(&mut heard).is_ok() {
                let _ = tls.write_all(b"+OK bye\r\n");
            }
            let _ = tls.read_to_end(&mut Vec::new());
        });
        (address, told)
    }
}

fn ca(path: &Path) -> String {
    format!("ca={}", path.display())
}

#[test]
fn a_certificate_is_believed_for_its_name_by_its_ca() {
    let ours = Authority::new();
    ours.sign("good", "DNS:www.example.org,IP:127.0.0.1", 2020..2099);
    let (server, asked) = ours.serve("good");
    let ca = ca(&ours.path("ca.pem"));
    let report = probe(&format!("pop3s://{server}#{ca}")).unwrap();
    assert_eq!(report.said, "+OK ready");
    assert!(report.marks.iter().any(|(phase, _)| *phase == Phase::Handshake), "{report:?}");
    // An address is no name to ask for (RFC 6066, 3).
    assert_eq!(asked.recv().unwrap(), None);
    probe(&format!("pop3s://{server}#{ca}&sni=www.example.org")).unwrap();
    assert_eq!(asked.recv().unwrap().as_deref(), Some("www.example.org"));
    // The handshake is an answer by itself; and a name of the server's is one for TLS too.
    probe(&format!("tls://{server}#{ca}")).unwrap();
    let https = fails(&format!("https://{server}#{ca}&host=www.example.org"));
    assert!(https.why.starts_with("it is no HTTP server: it said \"+OK ready"), "{https}");
}

#[test]
fn a_certificate_that_is_not_to_be_believed_is_explained() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    ours.sign("good", "IP:127.0.0.1", 2020..2099);
    ours.sign("old", "IP:127.0.0.1", 2020..2021);
    ours.sign("early", "IP:127.0.0.1", 2090..2099);
    ours.sign("other", "DNS:www.example.org", 2020..2099);
    let ca_file = ca(&ours.path("ca.pem"));
    let their_ca = ca(&theirs.path("ca.pem"));
    let shown =
        ours.fingerprint("good").replace(':', "").to_lowercase().replace("sha256", "sha256:");
    for (name, trust, words) in [
        ("good", &their_ca, &["its CA is not in /", "; give ca=FILE or fingerprint=", &shown][..]),
        ("old", &ca_file, &["its certificate has expired"]),
        ("early", &ca_file, &["not valid yet"]),
        ("other", &ca_file, &["its certificate is not for 127.0.0.1; give sni=NAME"]),
        ("good", &format!("{ca_file}&sni=db.example.org"), &["not for db.example.org"]),
    ] {
        let (server, _told) = ours.serve(name);
        let failure = fails(&format!("pop3s://{server}#{trust}"));
        assert_eq!(failure.phase, Phase::Handshake, "{failure}");
        for word in words {
            assert!(failure.why.contains(word), "{word}: {failure}");
        }
        // Whatever is wrong with it: anybody is anybody, and the one that is pinned is that one.
        probe(&format!("pop3s://{server}#insecure=1")).unwrap();
        probe(&format!("pop3s://{server}#fingerprint={}", ours.fingerprint(name))).unwrap();
        let pinned = fails(&format!("pop3s://{server}#fingerprint=sha256:{}", "ab".repeat(32)));
        assert!(pinned.why.contains("its certificate is another one: sha256:"), "{pinned}");
    }
}

/// As administrators make them in a hurry: a CA that is its own server.
#[test]
fn a_certificate_that_signed_itself_can_be_pinned() {
    let ours = Authority::new();
    let (server, _told) = ours.serve("ca");
    let failure = fails(&format!("pop3s://{server}#{}&sni=ours", ca(&ours.path("ca.pem"))));
    let fingerprint =
        ours.fingerprint("ca").replace(':', "").to_lowercase().replace("sha256", "sha256:");
    assert!(failure.why.ends_with(&format!("give fingerprint={fingerprint}")), "{failure}");
    probe(&format!("pop3s://{server}#fingerprint={fingerprint}")).unwrap();
}

/// Without an option, the system is believed, and it does not know our CA.
#[test]
fn the_system_decides_if_nothing_else_is_said() {
    let ours = Authority::new();
    ours.sign("good", "IP:127.0.0.1", 2020..2099);
    let (server, _told) = ours.serve("good");
    let failure = fails(&format!("pop3s://{server}"));
    assert!(
        failure.why.starts_with("its CA is unknown here; give ca=FILE or fingerprint=sha256:")
            || failure.why.contains("this host has no CA certificates"),
        "{failure}"
    );
}

#[test]
fn what_is_no_tls_and_what_is_no_ca() {
    let ours = Authority::new();
    let plain = crate::fake::Script::new(b"220 mail\r\n", &[]).serve();
    let failure = fails(&format!("smtps://{plain}#insecure=1"));
    assert_eq!(failure.phase, Phase::Handshake);
    assert!(failure.why.contains("does not speak TLS"), "{failure}");
    for (file, words) in [("nothing", "No such file"), ("ca.key", "no certificate in")] {
        let failure = fails(&format!("smtps://{plain}#{}", ca(&ours.path(file))));
        assert!(failure.why.contains(words), "{failure}");
    }
}

#[test]
fn insecure_is_said_loudly() {
    let ours = Authority::new();
    ours.sign("good", "IP:127.0.0.1", 2020..2099);
    let (server, _told) = ours.serve("good");
    let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_ocfbox"));
    let words = ["probe".to_owned(), format!("pop3s://{server}#insecure=1")];
    let output = command.args(words).assert().code(0).get_output().stdout.clone();
    assert!(
        String::from_utf8(output)
            .unwrap()
            .contains("  insecure: its certificate was not looked at")
    );
}
