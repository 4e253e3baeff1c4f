//! Servers of the tests' own, each in a thread that ends with the process.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ocfbox::deadline::Deadline;
use ocfbox::probe::{self, Failure, Looks, Report, Url};

/// A server that does `talk` with each connection.
pub fn serve(talk: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let talk = Arc::new(talk);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let talk = Arc::clone(&talk);
            std::thread::spawn(move || talk(stream));
        }
    });
    address
}

/// What a server says: first on its own, then after each of the words that it waits for. In the end it waits until
/// the other side hangs up.
#[derive(Clone, Debug)]
pub struct Script {
    pub greeting: Vec<u8>,
    pub answers: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Script {
    pub fn new(greeting: &[u8], answers: &[(&[u8], &[u8])]) -> Self {
        let owned = answers.iter().map(|(word, answer)| (word.to_vec(), answer.to_vec()));
        Self { greeting: greeting.to_vec(), answers: owned.collect() }
    }

    /// Plays it; whether each word came.
    pub fn play(&self, stream: &mut TcpStream) -> bool {
        let _ = stream.write_all(&self.greeting);
        self.answers
            .iter()
            .all(|(word, answer)| hear(stream, word) && stream.write_all(answer).is_ok())
    }

    pub fn serve(self) -> SocketAddr {
        serve(move |mut stream| {
            self.play(&mut stream);
            let _ = stream.read_to_end(&mut Vec::new());
        })
    }
}

/// Reads until `word` came.
pub fn hear(stream: &mut TcpStream, word: &[u8]) -> bool {
    let mut heard = Vec::new();
    let mut byte = [0];
    while !heard.ends_with(word) {
        match stream.read(&mut byte) {
            Ok(1) => heard.push(byte[0]),
            _ => return false,
        }
    }
    true
}

/// A server of datagrams that answers each with what `answer` makes of it.
pub fn serve_datagrams(answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut bytes) {
            for datagram in answer(&bytes[..length]) {
                let _ = socket.send_to(&datagram, from);
            }
        }
    });
    address
}

#[track_caller]
pub fn url(text: &str) -> Url {
    text.parse().unwrap_or_else(|why| panic!("{why}"))
}

/// One look.
#[track_caller]
pub fn probe(text: &str) -> Result<Report, Failure> {
    probe::run(&[url(text)], Looks::Once, &Deadline::after(Duration::from_mins(1))).remove(0)
}

/// The failure of a probe with a timeout of 300 ms, which it keeps on a machine with other work to do.
#[track_caller]
pub fn fails(text: &str) -> Failure {
    let mark = if text.contains('#') { '&' } else { '#' };
    let begin = Instant::now();
    let outcome = probe(&format!("{text}{mark}timeout=300ms"));
    let took = begin.elapsed();
    let failure = outcome.map(|report| panic!("{text} is alive: {report:?}")).unwrap_err();
    assert!(took < Duration::from_millis(1500), "{text} took {took:?}: {failure}");
    failure
}
