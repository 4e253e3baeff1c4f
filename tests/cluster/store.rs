//! A web server that keeps numbers in a file on the shared disk, and a client that brings and fetches them.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use nix::unistd::gethostname;

use crate::machine::Machine;
use crate::{Outcome, clock, identity, says};

/// The private first argument of the server.
pub const ROLE: &str = "role:store";

/// The private first argument of its client.
pub const CUSTOMER: &str = "role:customer";

/// Where the server listens, on all addresses.
pub const PORT: u16 = 8003;

/// Where the shared disk is mounted: below what is a machine's own.
pub const PLACE: &str = "/var/lib/store";

/// The file with the numbers, one a line.
pub const FILE: &str = "numbers";

/// What a server does with the file between two requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It has it open as long as it runs, as a daemon has its data.
    KeepsOpen,
    /// It opens it for each request, so that the disk can be unmounted behind its back.
    OpensAnew,
}

impl Manner {
    const ALL: [Self; 2] = [Self::KeepsOpen, Self::OpensAnew];

    /// The server's init script, and its word on the command line.
    pub fn script(self) -> &'static str {
        match self {
            Self::KeepsOpen => "store",
            Self::OpensAnew => "light-store",
        }
    }
}

/// Bytes of a line: all have the same length, so that the last one is easily found.
const LINE: u64 = 12;

/// A connection is made within this time, or the address is nowhere at the moment.
const CONNECTS: Duration = Duration::from_millis(50);

/// An answer comes within this time, or the node is dead.
const ANSWERS: Duration = Duration::from_millis(500);

/// Between two requests of the client.
const PAUSE: Duration = Duration::from_millis(2);

/// The command that runs the server.
pub fn command(manner: Manner) -> Outcome<String> {
    let program = std::env::current_exe().map_err(says("cannot find this program"))?;
    Ok(format!("{} {ROLE} {}", program.display(), manner.script()))
}

/// Gives a node the servers' init scripts.
pub fn install(node: &Machine) -> Outcome<()> {
    for manner in Manner::ALL {
        let name = manner.script();
        let script = identity::script(name, &command(manner)?);
        node.write(&format!("/etc/init.d/{name}"), 0o755, &script)?;
    }
    Ok(())
}

/// The file with the numbers, open or not.
enum Book {
    Open(File),
    Shut,
}

impl Book {
    /// As it is found on the disk; one that is not there is new. What a loss of power left of a line was never acknowledged.
    fn begin(manner: Manner) -> Outcome<Self> {
        let file = open(true).map_err(says(format!("cannot open {FILE} in {PLACE}")))?;
        let length = file.metadata().map_err(says("fstat"))?.len();
        file.set_len(length - length % LINE).map_err(says("ftruncate"))?;
        Ok(if manner == Manner::KeepsOpen { Self::Open(file) } else { Self::Shut })
    }

    /// For one request. Where the disk is not mounted there is none, and there will be none.
    fn file(&self) -> io::Result<File> {
        match self {
            Self::Open(file) => file.try_clone(),
            Self::Shut => open(false),
        }
    }
}

fn open(create: bool) -> io::Result<File> {
    let path = Path::new(PLACE).join(FILE);
    OpenOptions::new().read(true).append(true).create(create).open(path)
}

/// The server's role: `PUT /7` keeps a number and is answered when it is on the disk, `GET /` is answered with the last
/// one. Neither is kept in memory.
pub fn serve(manner: &str) -> Outcome<()> {
    let manner = Manner::ALL.into_iter().find(|known| known.script() == manner);
    let name = gethostname().map_err(says("gethostname"))?.to_string_lossy().into_owned();
    let book = Book::begin(manner.ok_or("the store does not know what to do with its file")?)?;
    let listener = TcpListener::bind(("::", PORT)).map_err(says("cannot listen"))?;
    for connection in listener.incoming().flatten() {
        // A client that went away in the middle is its own problem.
        let _gone = answer(connection, &book, &name);
    }
    Ok(())
}

fn answer(mut connection: TcpStream, book: &Book, name: &str) -> io::Result<()> {
    connection.set_read_timeout(Some(Duration::from_millis(100)))?;
    let mut buffer = [0_u8; 512];
    let length = connection.read(&mut buffer)?;
    let request = String::from_utf8_lossy(&buffer[..length]);
    let mut words = request.split(' ');
    let number = |path: Option<&str>| path?.strip_prefix('/')?.parse::<u64>().ok();
    let result = match (words.next(), number(words.next())) {
        (Some("PUT"), Some(number)) => book.file().and_then(|file| keep(&file, number)),
        (Some("GET"), None) => book.file().and_then(|file| last(&file)),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    };
    match result {
        Ok(number) => write!(connection, "HTTP/1.0 200 OK\r\n\r\n{name} {number}"),
        Err(error) => write!(connection, "HTTP/1.0 500 Failed\r\n\r\n{error}"),
    }
}

/// Returns when the number is on the disk.
fn keep(mut file: &File, number: u64) -> io::Result<u64> {
    // A request that was under way for long, and whose client has given it up.
    if number <= last(file)? {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    file.write_all(format!("{number:011}\n").as_bytes())?;
    file.sync_all()?;
    Ok(number)
}

/// The last number that was kept; 0 before the first.
fn last(file: &File) -> io::Result<u64> {
    let Some(from) = file.metadata()?.len().checked_sub(LINE) else { return Ok(0) };
    let mut line = [0_u8; 11];
    file.read_exact_at(&mut line, from)?;
    let number = std::str::from_utf8(&line).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The client's role: brings a number and fetches one, again and again, until it is killed. A line on standard output is
/// what was answered: when, `put` or `got`, the number and the server's name.
pub fn trade(server: &str) -> Outcome<()> {
    let server: SocketAddr =
        server.parse().map_err(says(format!("{server} is not an address with a port")))?;
    let mut number = 0_u64;
    loop {
        number += 1;
        for (word, request) in [("put", format!("PUT /{number}")), ("got", "GET /".to_owned())] {
            // No answer is no news.
            if let Some((node, number)) = ask(server, &request).ok().flatten() {
                println!("{} {word} {number} {node}", clock::now().as_micros());
            }
            thread::sleep(PAUSE);
        }
    }
}

/// The server's name and its number, if it could do as it was told.
fn ask(server: SocketAddr, request: &str) -> io::Result<Option<(String, u64)>> {
    let mut connection = TcpStream::connect_timeout(&server, CONNECTS)?;
    connection.set_read_timeout(Some(ANSWERS))?;
    connection.write_all(format!("{request} HTTP/1.0\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    let told = answer.strip_prefix("HTTP/1.0 200 OK\r\n\r\n");
    let parsed = told.and_then(|text| text.split_once(' '));
    Ok(parsed.and_then(|(node, number)| Some((node.to_owned(), number.parse().ok()?))))
}
