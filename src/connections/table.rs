//! The list of an address's connections as a text that the shell agents read and write too.

#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use crate::host::sockets::Connection;

/// One line a connection: `local:port`, a tab, `remote:port`; IPv6 addresses without brackets.
#[must_use]
pub fn written(connections: &[Connection]) -> String {
    let mut text = String::new();
    for Connection { local, remote } in connections {
        // Writing to a string cannot fail.
        let _ =
            writeln!(text, "{}:{}\t{}:{}", local.ip(), local.port(), remote.ip(), remote.port());
    }
    text
}

/// The connections of `ip` in `text`. What is no line of ours, or of another address, is passed over: the file lies
/// where others write too, and nothing in it decides from which address this host sends.
#[must_use]
pub fn read(text: &[u8], ip: IpAddr) -> Vec<Connection> {
    let lines = text.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    let mut found: Vec<Connection> = lines.filter_map(connection).collect();
    found.retain(|it| it.local.ip() == ip && is_remote(it.remote, ip));
    found
}

fn connection(line: &str) -> Option<Connection> {
    let mut words = line.split_ascii_whitespace();
    let both = Connection { local: end(words.next()?)?, remote: end(words.next()?)? };
    words.next().is_none().then_some(both)
}

/// The port stands behind the last colon.
fn end(word: &str) -> Option<SocketAddr> {
    let (ip, port) = word.rsplit_once(':')?;
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let port: u16 = port.parse().ok().filter(|port| digits && *port > 0)?;
    Some(SocketAddr::new(ip.parse().ok()?, port))
}

/// Whether a TCP connection of `ip` can have this other end.
fn is_remote(remote: SocketAddr, ip: IpAddr) -> bool {
    let other = remote.ip();
    let broadcast = matches!(other, IpAddr::V4(v4) if v4.is_broadcast());
    other.is_ipv4() == ip.is_ipv4()
        && other != ip
        && !other.is_multicast()
        && !other.is_unspecified()
        && !broadcast
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_those_of_the_shell_agents() {
        let connections = [
            Connection {
                local: "192.0.2.10:80".parse().unwrap(),
                remote: "192.0.2.2:4711".parse().unwrap(),
            },
            Connection {
                local: "[2001:db8::10]:80".parse().unwrap(),
                remote: "[2001:db8::2]:4711".parse().unwrap(),
            },
        ];
        let text = "192.0.2.10:80\t192.0.2.2:4711\n2001:db8::10:80\t2001:db8::2:4711\n";
        assert_eq!(written(&connections), text);
        for connection in connections {
            assert_eq!(read(text.as_bytes(), connection.local.ip()), [connection]);
        }
    }

    #[test]
    fn other_lines_are_passed_over() {
        let ip = "192.0.2.10".parse().unwrap();
        for line in [
            "192.0.2.11:80\t192.0.2.2:4711",
            "192.0.2.10:80\t192.0.2.10:4711",
            "192.0.2.10:80\t255.255.255.255:4711",
            "192.0.2.10:80\t224.0.0.1:4711",
            "192.0.2.10:80\t0.0.0.0:4711",
            "192.0.2.10:80\t2001:db8::2:4711",
            "192.0.2.10:80\t192.0.2.2:0",
            "192.0.2.10:80\t192.0.2.2:+1",
            "192.0.2.10:80\t192.0.2.2:65536",
            "192.0.2.10:80\t192.0.2.2",
            "192.0.2.10:80",
            "192.0.2.10:80\t192.0.2.2:1 more",
            "192.0.2.10:80\t192.0.2.2:1\u{7f}",
            "",
        ] {
            assert_eq!(read(line.as_bytes(), ip), [], "{line:?}");
        }
        let torn =
            b"192.0.2.10:80\t192.0.2.2:1\n\xff\xfe\n192.0.2.10:80\t192.0.2.3:2\n192.0.2.10:8";
        assert_eq!(read(torn, ip).len(), 2);
    }

    prop_compose! {
        fn any_address(v6: bool)(bits in any::<u128>()) -> IpAddr {
            if v6 { IpAddr::V6(bits.into()) } else { IpAddr::V4(u32::try_from(bits >> 96).unwrap().into()) }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(read(&bytes, "192.0.2.10".parse().unwrap()).len() < 200);
        }

        #[test]
        fn what_is_written_is_read(
            (local, remote) in any::<bool>().prop_flat_map(|v6| (any_address(v6), any_address(v6))),
            a in 1u16.., b in 1u16..,
        ) {
            let remote = SocketAddr::new(remote, b);
            prop_assume!(is_remote(remote, local));
            let connection = Connection { local: SocketAddr::new(local, a), remote };
            prop_assert_eq!(read(written(&[connection]).as_bytes(), local), [connection]);
        }
    }
}
