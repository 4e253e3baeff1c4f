//! Who listens on a port, for people: a server that cannot have it should say whose it is.

#![forbid(unsafe_code)]

use std::net::IpAddr;
use std::path::Path;

use super::process::{self, Process};

/// The process that listens on a TCP port of an address, or of any if none is given, in this network namespace; or that nobody
/// can tell which. None if there is none.
#[must_use]
pub fn of(ip: Option<IpAddr>, port: u16) -> Option<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let mut texts = tables.iter().filter_map(|path| std::fs::read_to_string(path).ok());
    let inode = texts.find_map(|text| listening(&text, ip, port))?;
    let link = format!("socket:[{inode}]");
    // Oldest first: a worker has it from its parent.
    let numbers = process::numbers().unwrap_or_default().into_keys();
    let mut processes: Vec<Process> =
        numbers.filter_map(|pid| Process::look(pid).ok().flatten()).collect();
    processes.sort_by_key(|process| (process.identity.start, process.identity.pid));
    let holder = processes.iter().find(|process| holds(process.identity.pid, &link));
    let unseen = || "a process that cannot be seen from here".to_owned();
    Some(holder.map_or_else(unseen, ToString::to_string))
}

/// The inode of the socket that listens there (`proc_net(5)`; state 0A is LISTEN). All zeros are every address.
fn listening(table: &str, ip: Option<IpAddr>, port: u16) -> Option<u64> {
    let wanted = ip.filter(|ip| !ip.is_unspecified());
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (address, number) = fields.get(1)?.split_once(':')?;
        let same_port = u16::from_str_radix(number, 16).ok()? == port;
        let local = address_of(address)?;
        let meets = local.is_unspecified() || wanted.is_none_or(|wanted| wanted == local);
        (same_port && meets && *fields.get(3)? == "0A").then_some(())?;
        fields.get(9)?.parse().ok()
    })
}

/// Words of four bytes, each in the order of this machine.
fn address_of(digits: &str) -> Option<IpAddr> {
    let words: Option<Vec<[u8; 4]>> = (0..digits.len() / 8)
        .map(|at| {
            let word = digits.get(8 * at..8 * at + 8)?;
            Some(u32::from_str_radix(word, 16).ok()?.to_ne_bytes())
        })
        .collect();
    let bytes = words?.concat();
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
    }
}

fn holds(pid: i32, link: &str) -> bool {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| std::fs::read_link(entry.path()).ok())
        .any(|target| target == Path::new(link))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_who_listens_is_named() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let own = format!("process {} (", std::process::id());
        for ip in [None, Some("127.0.0.1"), Some("0.0.0.0")] {
            let ip = ip.map(|ip| ip.parse().unwrap());
            assert!(of(ip, port).unwrap().starts_with(&own));
        }
        assert_eq!(of(Some("127.0.0.2".parse().unwrap()), port), None);
        let six = std::net::TcpListener::bind("[::]:0").unwrap();
        let other = six.local_addr().unwrap().port();
        assert!(of(Some("2001:db8::1".parse().unwrap()), other).is_some());
        drop(listener);
        assert_eq!(of(None, port), None);
    }
}
