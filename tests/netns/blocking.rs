//! Ports that are shut and opened, as a client sees it; and a packet filter that is otherwise as it was.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use serde_json::Value;

use crate::kills::{self, kill_at, system_calls};
use crate::support::{Call, Host};

const OWN: &str = "192.0.2.1";
const OWN6: &str = "2001:db8::1";

fn block(host: &Host) -> Call {
    let call = host.agent("portblock").param("protocol", "tcp").param("portno", "8080");
    call.param("action", "block")
}

fn unblock(host: &Host) -> Call {
    block(host).param("action", "unblock")
}

fn ruleset(host: &Host) -> String {
    host.sh("nft list ruleset")
}

/// How an attempt from the far end ends.
#[derive(Debug, PartialEq, Eq)]
enum Attempt {
    Connected,
    Refused,
    Silence,
}

fn from_far<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    let namespace = fs::File::open(Path::new("/run/netns/far")).unwrap();
    let act = || {
        setns(&namespace, CloneFlags::CLONE_NEWNET).unwrap();
        act()
    };
    std::thread::scope(|scope| scope.spawn(act).join().unwrap())
}

fn connect(ip: &str, port: u16) -> Attempt {
    let to = SocketAddr::new(ip.parse().unwrap(), port);
    let outcome = from_far(|| TcpStream::connect_timeout(&to, Duration::from_millis(400)));
    match outcome.map_err(|error| error.kind()) {
        Ok(_) => Attempt::Connected,
        Err(ErrorKind::ConnectionRefused) => Attempt::Refused,
        Err(ErrorKind::TimedOut) => Attempt::Silence,
        Err(other) => panic!("{other}"),
    }
}

/// Sends a datagram to a socket here.
fn send(ip: &str, server: &UdpSocket) -> Attempt {
    let port = server.local_addr().unwrap().port();
    let any = if ip.contains(':') { "[::]:0" } else { "0.0.0.0:0" };
    server.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let refused = from_far(|| {
        let client = UdpSocket::bind(any).unwrap();
        client.connect(SocketAddr::new(ip.parse().unwrap(), port)).unwrap();
        client.send(b"x").unwrap();
        client.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let read = client.recv(&mut [0; 8]).map_err(|error| error.kind());
        read == Err(ErrorKind::ConnectionRefused)
    });
    match (server.recv(&mut [0; 8]), refused) {
        (Ok(_), _) => Attempt::Connected,
        (Err(_), true) => Attempt::Refused,
        (Err(_), false) => Attempt::Silence,
    }
}

fn listen(port: u16) -> TcpListener {
    TcpListener::bind(SocketAddr::new("::".parse().unwrap(), port)).unwrap()
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn blocked_ports_are_silent_and_the_others_answer() {
    let host = Host::new();
    host.sh("nft 'table inet site { chain c { type filter hook input priority 10; tcp dport 1 drop; }; }'");
    let before = ruleset(&host);
    let _servers: Vec<_> = [8080, 8081, 8090, 8100, 8101].map(listen).into_iter().collect();
    let call = block(&host).param("portno", "8080,8090:8100");
    call.run("monitor").code(7).silent();
    call.run("start").code(0).silent();
    call.clone().recurring().run("monitor").code(0).silent();
    for (port, expected) in [
        (8080, Attempt::Silence),
        (8081, Attempt::Connected),
        (8090, Attempt::Silence),
        (8100, Attempt::Silence),
        (8101, Attempt::Connected),
    ] {
        assert_eq!(connect(OWN, port), expected, "{port}");
    }
    assert_eq!(connect(OWN6, 8080), Attempt::Connected, "the default is every IPv4 address");
    let during = ruleset(&host);
    assert!(during.starts_with(before.trim_end()), "{during}");
    call.run("start").code(0);
    assert_eq!(ruleset(&host).matches(" drop ").count(), during.matches(" drop ").count());
    call.run("stop").code(0).silent();
    assert_eq!(ruleset(&host), before);
    assert_eq!(connect(OWN, 8080), Attempt::Connected);
    call.run("monitor").code(7);
    call.run("stop").code(0);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn directions_methods_families_and_networks() {
    let host = Host::new();
    host.sh("ip addr add 192.0.2.10/24 dev eth0; ip addr add 2001:db8::10/64 dev eth0 nodad");
    let _server = listen(8080);
    let (v4, v6) = ("192.0.2.10", "2001:db8::10");
    for (words, to, elsewhere) in [
        (vec![("ip", v4)], (v4, Attempt::Silence), OWN),
        (vec![("ip", v6)], (v6, Attempt::Silence), OWN6),
        (vec![("ip", v4), ("method", "reject")], (v4, Attempt::Refused), OWN),
        (vec![("ip", v6), ("method", "reject")], (v6, Attempt::Refused), OWN6),
        (vec![("ip", v4), ("direction", "out")], (v4, Attempt::Silence), OWN),
        (
            vec![("ip", v4), ("direction", "both"), ("method", "reject")],
            (v4, Attempt::Refused),
            OWN,
        ),
        (vec![("ip", "192.0.2.8/29"), ("firewall", "iptables")], (v4, Attempt::Silence), OWN),
        (vec![("ip", "::/0"), ("firewall", "nft")], (v6, Attempt::Silence), v4),
    ] {
        let call = words.iter().fold(block(&host), |call, (name, value)| call.param(name, value));
        call.run("start").code(0);
        call.run("monitor").code(0);
        assert_eq!(connect(to.0, 8080), to.1, "{words:?}");
        assert_eq!(connect(elsewhere, 8080), Attempt::Connected, "{words:?}");
        call.run("stop").code(0);
        assert_eq!(connect(to.0, 8080), Attempt::Connected, "{words:?}");
        assert_eq!(ruleset(&host), "", "{words:?}");
    }
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn udp_is_dropped_or_refused() {
    let host = Host::new();
    for ip in [OWN, OWN6] {
        let server = UdpSocket::bind(SocketAddr::new(ip.parse().unwrap(), 0)).unwrap();
        let port = server.local_addr().unwrap().port().to_string();
        let call = block(&host).param("protocol", "udp").param("portno", port).param("ip", ip);
        for (method, expected) in [("drop", Attempt::Silence), ("reject", Attempt::Refused)] {
            let call = call.clone().param("method", method);
            assert_eq!(send(ip, &server), Attempt::Connected);
            call.run("start").code(0);
            assert_eq!(send(ip, &server), expected, "{ip} {method}");
            call.run("stop").code(0);
        }
    }
    assert_eq!(ruleset(&host), "");
}

/// `nft` reads from our rules what it reads from its own.
#[test]
#[ignore = "needs root: tests/run netns"]
fn rules_are_those_that_nft_makes() {
    let host = Host::new();
    let cases = [
        (vec![("ip", OWN)], "input", "ip daddr 192.0.2.1 tcp dport 8080 counter drop"),
        (vec![("ip", OWN6)], "input", "ip6 daddr 2001:db8::1 tcp dport 8080 counter drop"),
        (vec![("portno", "80:90")], "input", "meta nfproto ipv4 tcp dport 80-90 counter drop"),
        (vec![("ip", "::/0")], "input", "meta nfproto ipv6 tcp dport 8080 counter drop"),
        (
            vec![("ip", "192.0.2.64/27")],
            "input",
            "ip daddr 192.0.2.64/27 tcp dport 8080 counter drop",
        ),
        (
            vec![("ip", "2001:db8::/61")],
            "input",
            "ip6 daddr 2001:db8::/61 tcp dport 8080 counter drop",
        ),
        (
            vec![("ip", OWN), ("direction", "out")],
            "output",
            "ip saddr 192.0.2.1 tcp sport 8080 counter drop",
        ),
        (
            vec![("ip", OWN), ("method", "reject")],
            "input",
            "ip daddr 192.0.2.1 tcp dport 8080 counter reject with tcp reset",
        ),
        (
            vec![("ip", OWN), ("method", "reject"), ("direction", "out")],
            "output",
            "ip saddr 192.0.2.1 tcp sport 8080 tcp flags & rst == 0 counter reject with tcp reset",
        ),
        (
            vec![("ip", OWN), ("method", "reject"), ("protocol", "udp")],
            "input",
            "ip daddr 192.0.2.1 udp dport 8080 counter reject with icmpx type port-unreachable",
        ),
    ];
    for (words, chain, reference) in cases {
        let call = words.iter().fold(block(&host), |call, (name, value)| call.param(name, value));
        call.run("start").code(0);
        host.sh(&format!(
            "nft add table inet reference; nft add chain inet reference {chain}
             nft 'add rule inet reference {chain} {reference}'"
        ));
        let expressions = |table: &str| {
            let json: Value =
                serde_json::from_str(&host.sh(&format!("nft -j list table inet {table}"))).unwrap();
            let rules =
                json["nftables"].as_array().unwrap().iter().filter_map(|item| item.get("rule"));
            rules.map(|rule| (rule["chain"].clone(), rule["expr"].clone())).collect::<Vec<_>>()
        };
        assert_eq!(expressions("ocfbox_portblock"), expressions("reference"), "{reference}");
        host.sh("nft delete table inet reference");
        call.run("stop").code(0);
    }
}

/// The documented use: both resources run once both are started, whichever has its way.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_block_and_an_unblock_resource_are_a_pair() {
    let host = Host::new();
    let _server = listen(8080);
    let (block, unblock) = (block(&host).recurring(), unblock(&host).recurring());
    let monitors = |expected: (i32, i32)| {
        let codes = (block.run("monitor").code.unwrap(), unblock.run("monitor").code.unwrap());
        assert_eq!(codes, expected);
    };
    monitors((7, 7));
    block.run("start").code(0);
    monitors((0, 7));
    assert_eq!(connect(OWN, 8080), Attempt::Silence);
    unblock.run("start").code(0);
    monitors((0, 0));
    assert_eq!(connect(OWN, 8080), Attempt::Connected);
    unblock.run("stop").code(0);
    monitors((0, 7));
    assert_eq!(connect(OWN, 8080), Attempt::Silence);
    block.run("stop").code(0);
    monitors((7, 7));
    // To stop what is stopped changes nothing, least of all does it shut a port for good.
    unblock.run("stop").code(0);
    assert_eq!(ruleset(&host), "");
    monitors((7, 7));
    // The rule alone counts.
    let by_rule = unblock.clone().param("status_check", "rule");
    by_rule.run("monitor").code(0);
    by_rule.run("stop").code(0);
    by_rule.run("monitor").code(7);
    block.run("stop").code(0);
    assert_eq!(ruleset(&host), "");
}

/// Somebody flushes or changes the packet filter: monitor says so, start mends it, stop leaves what is not ours.
#[test]
#[ignore = "needs root: tests/run netns"]
fn what_others_do_to_the_rules_is_noticed() {
    let host = Host::new();
    let call = block(&host).param("direction", "both").recurring();
    let other = block(&host).param("portno", "9090").recurring();
    call.run("start").code(0);
    other.run("start").code(0);
    host.sh("nft flush chain inet ocfbox_portblock output");
    // Not 7: half of it is there, and a node where nothing runs gets no stop.
    call.run("monitor").code(1).because(&["tcp 8080", "blocked in part"]);
    other.run("monitor").code(0);
    call.run("start").code(0);
    call.run("monitor").code(0);
    call.run("stop").code(0);
    other.run("monitor").code(0);
    assert!(ruleset(&host).contains("9090") && !ruleset(&host).contains("8080"));
    host.sh("nft flush ruleset");
    other.run("monitor").code(7);
    other.run("stop").code(0);
    // A chain of ours is missing.
    let single = block(&host);
    single.run("start").code(0);
    host.sh("nft delete chain inet ocfbox_portblock output");
    single.run("stop").code(0);
    assert_eq!(ruleset(&host), "");
    // Somebody made another one in its place: more than one command of the batch that would end the table is refused.
    single.run("start").code(0);
    host.sh(
        "nft delete chain inet ocfbox_portblock output; nft add chain inet ocfbox_portblock output",
    );
    single.run("stop").code(0);
    assert!(!ruleset(&host).contains("8080"), "{}", ruleset(&host));
    host.sh("nft flush ruleset");
    // A table of that name which is not as ours is: it stays, and so does what a stop answers.
    host.sh("echo 'table inet ocfbox_portblock {
         chain input { type filter hook input priority 0\n }
         chain output {\n }
         }' | nft -f -");
    let foreign = ruleset(&host);
    single.run("start").code(5).because(&["only a part of nf_tables"]);
    single.run("stop").code(0);
    assert_eq!(ruleset(&host), foreign);
    host.sh("nft flush ruleset");
    // A chain of somebody's in our table, and a rule in our chain.
    call.run("start").code(0);
    host.sh("nft add chain inet ocfbox_portblock theirs; nft add rule inet ocfbox_portblock input tcp dport 7 drop");
    call.run("stop").code(0);
    assert!(ruleset(&host).contains("theirs") && ruleset(&host).contains("dport 7"));
    host.sh("nft delete rule inet ocfbox_portblock input handle $(nft -a list ruleset | sed -n 's/.*dport 7 .*handle //p')");
    call.run("start").code(0);
    call.run("stop").code(0);
    assert!(
        ruleset(&host).contains("theirs") && !ruleset(&host).contains("dport"),
        "{}",
        ruleset(&host)
    );
}

/// Others, such as container runtimes, change the packet filter all the time: an action that is disturbed tries again.
#[test]
#[ignore = "needs root: tests/run netns"]
fn changes_of_others_disturb_no_action() {
    let host = Host::new();
    let call = block(&host).recurring();
    let mut others = Command::new("nft").arg("-i").stdin(Stdio::piped()).spawn().unwrap();
    let mut changes = others.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // Ends when nobody reads any more.
        scope.spawn(move || {
            while changes.write_all(b"add table inet site; delete table inet site\n").is_ok() {}
        });
        let rounds = std::panic::catch_unwind(|| {
            for _ in 0..40 {
                call.run("start").code(0);
                for _ in 0..3 {
                    call.run("monitor").code(0).silent();
                }
                call.run("stop").code(0);
            }
        });
        let lasted = others.try_wait().unwrap().is_none();
        others.kill().unwrap();
        others.wait().unwrap();
        assert!(lasted, "nft ended before the agent did");
        rounds.unwrap();
    });
}

/// What is in a state file decides about no more than which of a pair came later.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_state_file_that_makes_no_sense_is_survived() {
    let host = Host::new();
    let (block, unblock) = (block(&host).recurring(), unblock(&host).recurring());
    for garbage in [&b""[..], b"\xff\xfe", b"-1", b"tomorrow"] {
        block.run("start").code(0);
        unblock.run("start").code(0);
        for action in ["block", "unblock"] {
            let name = format!("portblock_tcp_8080_0.0.0.0_0_in__{action}");
            fs::write(Path::new("/run/resource-agents").join(name), garbage).unwrap();
        }
        unblock.run("monitor").code(0).silent();
        for call in [&block, &unblock] {
            call.run("start").code(0);
        }
        for call in [&block, &unblock] {
            call.run("monitor").code(0).silent();
        }
        unblock.run("stop").code(0);
        block.run("monitor").code(0);
        block.run("stop").code(0);
        assert_eq!(ruleset(&host), "");
        block.run("monitor").code(7);
        unblock.run("monitor").code(7);
    }
}

/// Connections end here without a word to the client, and only those of the ports.
#[test]
#[ignore = "needs root: tests/run netns"]
fn stop_of_unblock_resets_local_connections() {
    let host = Host::new();
    let (server, other) = (listen(8080), listen(8081));
    let unblock = unblock(&host).param("reset_local_on_unblock_stop", "true");
    unblock.run("start").code(0);
    let mut clients =
        from_far(|| [8080, 8081].map(|port| TcpStream::connect((OWN, port)).unwrap()));
    let (mut ended, mut stays) = (server.accept().unwrap().0, other.accept().unwrap().0);
    unblock.run("stop").code(0);
    assert_eq!(ended.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::ConnectionAborted);
    stays.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert_eq!(stays.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    for client in &mut clients {
        client.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        assert_eq!(client.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    }
    let rules = ruleset(&host);
    assert!(!rules.contains("reset") && rules.matches(" drop ").count() == 1, "{rules}");
    block(&host).run("stop").code(0);
    assert_eq!(ruleset(&host), "");
}

/// The list of connections, and the program that copies it.
#[test]
#[ignore = "needs root: tests/run netns"]
fn an_unblock_resource_keeps_the_list_and_has_it_copied() {
    let host = Host::new();
    let server = listen(8080);
    let script = host.path("copy");
    fs::write(&script, "#!/bin/sh\necho \"$@\" >>\"$0.said\"\n").unwrap();
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let list = host.path("lists").join(OWN);
    fs::create_dir(list.parent().unwrap()).unwrap();
    let unblock = unblock(&host)
        .param("ip", OWN)
        .param("tickle_dir", list.parent().unwrap())
        .param("sync_script", format!("{} -xv ;touch $(x)", script.display()));
    unblock.run("start").code(0);
    let client = from_far(|| TcpStream::connect((OWN, 8080)).unwrap());
    let _connection = server.accept().unwrap();
    unblock.clone().recurring().run("monitor").code(0).silent();
    let port = client.local_addr().unwrap().port();
    assert_eq!(fs::read_to_string(&list).unwrap(), format!("{OWN}:8080\t192.0.2.2:{port}\n"));
    let said = host.path("copy.said");
    let expected = format!("-xv ;touch $(x) {}\n", list.display());
    host.await_that("the copy", || fs::read_to_string(&said).unwrap_or_default() == expected);
    unblock.run("stop").code(0);
    unblock.run("start").code(0);
    host.await_that("the tickle", || host.log().contains("tickled 1 of 1"));
}

/// The last list is the one that counts, even if the program still copies an earlier one.
#[test]
#[ignore = "needs root: tests/run netns"]
fn the_list_of_a_stop_is_copied_after_the_one_before_it() {
    let host = Host::new();
    let server = listen(8080);
    let script = host.path("copy");
    fs::write(&script, "#!/bin/sh\nsleep 1\nwc -l <\"$1\" >>\"$0.said\"\n").unwrap();
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let unblock = unblock(&host).param("ip", OWN).param("tickle_dir", host.path(""));
    let unblock = unblock.param("sync_script", &script).recurring();
    unblock.run("start").code(0);
    for _ in 0..3 {
        unblock.run("monitor").code(0).silent();
    }
    let _client = from_far(|| TcpStream::connect((OWN, 8080)).unwrap());
    let _connection = server.accept().unwrap();
    unblock.run("stop").code(0);
    let said = || fs::read_to_string(host.path("copy.said")).unwrap_or_default();
    host.await_that("the last copy", || said().ends_with("1\n"));
    assert!(said().lines().count() <= 3, "those that wait are one: {}", said());
    assert!(!host.log().contains("cannot"), "{}", host.log());
}

/// A promotable clone: the unpromoted instance blocks, the promoted one does not, and stop leaves nothing.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_promotable_clone_opens_the_port_where_it_is_promoted() {
    let host = Host::new();
    let _server = listen(8080);
    let clone = unblock(&host).param("CRM_meta_promotable", "true").recurring();
    clone.run("monitor").code(7);
    clone.run("promote").code(1).because(&["not running", "start it first"]);
    clone.run("start").code(0);
    clone.run("monitor").code(0);
    assert_eq!(connect(OWN, 8080), Attempt::Silence);
    for _ in 0..2 {
        clone.run("promote").code(0);
        clone.run("monitor").code(8);
        assert_eq!(connect(OWN, 8080), Attempt::Connected);
    }
    for _ in 0..2 {
        clone.run("demote").code(0);
        clone.run("monitor").code(0);
        assert_eq!(connect(OWN, 8080), Attempt::Silence);
    }
    host.sh("nft flush ruleset");
    clone.run("monitor").code(1).because(&["tcp 8080", "changed the packet filter"]);
    clone.run("promote").code(0);
    clone.run("stop").code(0);
    clone.run("monitor").code(7);
    assert_eq!(ruleset(&host), "");
}

/// Invariant 10: the agent is killed at each of its system calls in turn, and the next stop cleans all.
#[test]
#[ignore = "needs root: tests/run netns"]
fn whatever_a_killed_agent_leaves_the_next_stop_cleans() {
    let host = Host::new();
    let call = block(&host).param("direction", "both").param("portno", "80,443");
    kills::at_each(&host, &call, &system_calls, 40, |moment| {
        assert_eq!(ruleset(&host), "", "{moment}");
        call.run("monitor").code(7);
    });
}

/// The same for the stop that shuts the ports and destroys connections: after it the ports are shut, and only that; and
/// stop of the counterpart opens them.
#[test]
#[ignore = "needs root: tests/run netns"]
fn an_unblock_that_was_killed_while_it_stopped_is_stopped_again() {
    let host = Host::new();
    let (block, unblock) = (block(&host), unblock(&host));
    let unblock = unblock.param("reset_local_on_unblock_stop", "true");
    unblock.run("start").code(0);
    let calls = system_calls(&host, &unblock, "stop");
    let stopped = host.sh("nft list ruleset");
    assert_eq!(stopped.matches(" drop ").count(), 1, "{stopped}");
    for (name, ordinal) in calls {
        block.run("stop").code(0);
        unblock.run("start").code(0);
        kill_at(&unblock, "stop", &name, ordinal);
        let forgotten = unblock.run("monitor").code == Some(7);
        unblock.run("stop").code(0);
        assert_eq!(ruleset(&host), stopped, "{name} number {ordinal}, {forgotten}");
    }
    block.run("stop").code(0);
    assert_eq!(ruleset(&host), "");
}

/// Invariant 3: two callers at once, of one resource and of two, with and without a common lock.
#[test]
#[ignore = "needs root: tests/run netns"]
fn callers_at_once_agree_with_the_kernel() {
    let host = Host::new();
    let one = block(&host);
    let two = block(&host).param("portno", "9090").env("HA_RSCTMP", host.path("other"));
    for round in 0..30 {
        let action = ["start", "stop"][round % 2];
        let children: Vec<_> = [&one, &one, &two, &two]
            .iter()
            .map(|call| call.command(action).spawn().unwrap())
            .collect();
        for mut child in children {
            assert_eq!(child.wait().unwrap().code(), Some(0), "{action}");
        }
        let rules = ruleset(&host).matches(" drop ").count();
        assert_eq!(rules, if action == "start" { 2 } else { 0 }, "{}", ruleset(&host));
    }
    assert_eq!(ruleset(&host), "");
}

/// One that starts and one that stops at once: whichever was last, the port is open if and only if the resource runs.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_start_and_a_stop_at_once_leave_one_of_two_states() {
    let host = Host::new();
    let (block, unblock) = (block(&host), unblock(&host));
    for _ in 0..60 {
        block.run("start").code(0);
        let both = ["start", "stop"].map(|action| unblock.command(action).spawn().unwrap());
        for mut child in both {
            assert_eq!(child.wait().unwrap().code(), Some(0));
        }
        let open = ruleset(&host).is_empty();
        unblock.run("monitor").code(if open { 0 } else { 7 });
        unblock.run("stop").code(0);
        block.run("stop").code(0);
    }
}

/// Without a privilege nobody is told that a port is open or shut; and without `nf_tables` there is nothing to stop.
#[test]
#[ignore = "needs root: tests/run netns"]
fn without_privileges_or_nf_tables() {
    let host = Host::new();
    let call = block(&host);
    let bound: &[&str] = &["setpriv", "--bounding-set=-net_admin"];
    call.run_behind(bound, "start").code(4).because(&["packet filter", "CAP_NET_ADMIN"]);
    assert_eq!(
        fs::read_dir("/run/resource-agents")
            .unwrap()
            .filter(|entry| {
                !entry.as_ref().unwrap().file_name().to_string_lossy().starts_with('.')
            })
            .count(),
        0,
        "a failed start leaves nothing"
    );
    call.run("start").code(0);
    call.run_behind(bound, "monitor").code(1);
    call.run_behind(bound, "stop").code(1);
    call.run("stop").code(0);
    let old = ["strace", "-o", "/dev/null", "-e", "inject=socket:error=EPROTONOSUPPORT"];
    for call in [&call, &unblock(&host), &unblock(&host).param("status_check", "rule")] {
        call.run_behind(&old, "start").code(5).because(&["no nf_tables", "modprobe nf_tables"]);
        call.run_behind(&old, "monitor").code(7);
        call.run_behind(&old, "stop").code(0);
    }
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn wrong_values_are_refused_and_stop_nothing_else() {
    let host = Host::new();
    for (name, value) in [
        ("protocol", "sctp"),
        ("protocol", ""),
        ("portno", "0"),
        ("portno", "80;x"),
        ("portno", ""),
        ("action", "open"),
        ("action", ""),
        ("method", "deny"),
        ("status_check", "file"),
        ("firewall", "pf"),
        ("ip", "nowhere"),
        ("ip", "::ffff:192.0.2.1"),
        ("ip", ""),
        ("direction", "up"),
        ("reset_local_on_unblock_stop", "perhaps"),
        ("reset_local_on_unblock_stop", "true"),
        ("tickle_dir", "relative"),
        ("tickle_dir", "/run"),
    ] {
        let call = block(&host).param(name, value);
        for action in ["start", "validate-all"] {
            call.run(action).code(6).because(&["parameter", name]);
        }
        call.run("monitor").code(7);
        call.run("stop").code(0);
        assert_eq!(ruleset(&host), "", "{name}={value}");
    }
    // A stop that took the default for what it cannot read would shut or open the port of every address.
    let every = block(&host);
    every.run("start").code(0);
    block(&host).param("ip", "nowhere").run("stop").code(0);
    block(&host).param("direction", "up").run("stop").code(0);
    every.run("monitor").code(0);
    every.run("stop").code(0);
    unblock(&host).param("ip", "nowhere").run("stop").code(0);
    assert_eq!(ruleset(&host), "");
}
