//! What clients and local applications see of their connections when an address moves.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns};

use crate::kills::{changing_calls, kill_at};
use crate::support::{Call, Host, Outcome};

const V4: &str = "192.0.2.10";
const V6: &str = "2001:db8::10";
/// Runs a program on the other node.
const ON_B: [&str; 2] = ["nsenter", "--net=/run/netns/b"];

/// Besides this node another one, `b`, on the switch that the client has.
fn two_nodes() -> Host {
    let host = Host::new();
    host.sh("ip netns add b
         ip link add eth0 netns b type veth peer name eth1 netns far
         ip -n b link set lo up; ip -n b link set eth0 addrgenmode none
         ip -n b addr add 192.0.2.3/24 dev eth0; ip -n b addr add 2001:db8::3/64 dev eth0 nodad
         ip -n b link set eth0 up
         ip -n far link add br0 type bridge; ip -n far link set br0 addrgenmode none
         ip -n far addr flush dev eth0; ip -n far link set eth0 master br0
         ip -n far link set eth1 addrgenmode none; ip -n far link set eth1 master br0
         ip -n far addr add 192.0.2.2/24 dev br0
         ip -n far addr add 2001:db8::2/64 dev br0 nodad
         ip -n far link set eth1 up; ip -n far link set br0 up");
    fs::create_dir(host.path("shared")).unwrap();
    for port in ["eth0", "eth1"] {
        host.await_that("the switch to forward", || {
            host.sh(&format!("ip -n far -d link show {port}")).contains(" state forwarding ")
        });
    }
    host.await_that("the cards to be up", || {
        ["", "-n b"]
            .iter()
            .all(|at| host.sh(&format!("ip {at} link show eth0")).contains(" state UP "))
    });
    host
}

/// The address, as this node and the other one have it configured, with the directory that they share.
fn vip(host: &Host, ip: &str) -> Call {
    let prefix = if ip.contains(':') { "64" } else { "24" };
    let vip = host.agent("IPaddr2").param("ip", ip).param("nic", "eth0");
    vip.param("cidr_netmask", prefix).param("nodad", "true").param("conflict_check", "false")
}

fn on_b(host: &Host, call: &Call, action: &str) -> Outcome {
    call.clone().env("HA_RSCTMP", host.path("state-b")).run_behind(&ON_B, action)
}

/// Does something in another network namespace.
fn elsewhere<T: Send + 'static>(
    name: &str,
    act: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    let namespace = fs::File::open(Path::new("/run/netns").join(name)).unwrap();
    std::thread::spawn(move || {
        setns(&namespace, CloneFlags::CLONE_NEWNET).unwrap();
        act()
    })
}

fn address(ip: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), port)
}

/// A client at the far end with a connection that is idle from now on; how its read ended, and when.
struct Client(JoinHandle<(Result<usize, ErrorKind>, Instant)>);

impl Client {
    /// Connects to a server here; the server's end.
    fn connect(listener: &TcpListener, ip: &str, patience: Duration) -> (Self, TcpStream) {
        let to = address(ip, listener.local_addr().unwrap().port());
        let client = elsewhere("far", move || {
            let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(10)).unwrap();
            stream.set_read_timeout(Some(patience)).unwrap();
            stream.write_all(b"x").unwrap();
            let read = stream.read(&mut [0; 8]).map_err(|error| error.kind());
            (read, Instant::now())
        });
        let (mut server, _) = listener.accept().unwrap();
        // So that nothing is on its way any more.
        server.read_exact(&mut [0]).unwrap();
        (Self(client), server)
    }

    fn end(self) -> (Result<usize, ErrorKind>, Instant) {
        self.0.join().unwrap()
    }
}

/// The node dies: nothing of it reaches anybody any more.
fn unplug(host: &Host) {
    host.sh("ip -n far link set eth0 down");
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_client_is_reset_within_a_second_of_a_takeover() {
    for ip in [V4, V6] {
        let host = two_nodes();
        let vip = vip(&host, ip).param("tickle_dir", host.path("shared"));
        vip.run("start").code(0);
        let listener = TcpListener::bind(address(ip, 0)).unwrap();
        let (client, server) = Client::connect(&listener, ip, Duration::from_secs(30));
        vip.clone().recurring().run("monitor").code(0).silent();
        let port = listener.local_addr().unwrap().port();
        let remote = server.peer_addr().unwrap();
        let list = fs::read_to_string(host.path("shared").join(ip)).unwrap();
        assert_eq!(list, format!("{ip}:{port}\t{}:{}\n", remote.ip(), remote.port()));
        unplug(&host);
        on_b(&host, &vip, "start").code(0);
        let taken = Instant::now();
        let (read, at) = client.end();
        assert_eq!(read, Err(ErrorKind::ConnectionReset), "{ip}");
        let after = at.saturating_duration_since(taken);
        assert!(after < Duration::from_secs(1), "{ip}: reset {after:?} after the takeover");
        host.await_that("the word in the log", || host.log().contains("tickled 1 of 1"));
        on_b(&host, &vip, "stop").code(0);
    }
}

/// What the parameter is good for: without it the same client waits.
#[test]
#[ignore = "needs root: tests/run netns"]
fn without_a_list_a_client_hangs() {
    let host = two_nodes();
    let vip = vip(&host, V4);
    vip.run("start").code(0);
    let listener = TcpListener::bind(address(V4, 0)).unwrap();
    let (client, _server) = Client::connect(&listener, V4, Duration::from_secs(3));
    vip.clone().recurring().run("monitor").code(0);
    unplug(&host);
    on_b(&host, &vip, "start").code(0);
    assert_eq!(client.end().0, Err(ErrorKind::WouldBlock));
    assert_eq!(fs::read_dir(host.path("shared")).unwrap().count(), 0);
    on_b(&host, &vip, "stop").code(0);
}

/// The list of a stop is the last one: a monitor need not have been, and a second stop does not empty it.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_planned_move_resets_clients_too() {
    let host = two_nodes();
    let vip = vip(&host, V4).param("tickle_dir", host.path("shared")).param("destroy_sockets", "1");
    vip.run("start").code(0);
    let listener = TcpListener::bind(address(V4, 0)).unwrap();
    let (client, mut server) = Client::connect(&listener, V4, Duration::from_secs(30));
    vip.run("stop").code(0);
    let list = fs::read_to_string(host.path("shared").join(V4)).unwrap();
    vip.run("stop").code(0);
    assert_eq!(fs::read_to_string(host.path("shared").join(V4)).unwrap(), list);
    let broken = server.read(&mut [0; 8]).unwrap_err().kind();
    assert_eq!(broken, ErrorKind::ConnectionAborted, "here it is known at once");
    on_b(&host, &vip, "start").code(0);
    let taken = Instant::now();
    let (read, at) = client.end();
    assert_eq!(read, Err(ErrorKind::ConnectionReset));
    assert!(at.saturating_duration_since(taken) < Duration::from_secs(1));
    // Back again, where the connection was before.
    on_b(&host, &vip, "stop").code(0);
    vip.run("start").code(0);
    let again = TcpListener::bind(address(V4, 0)).unwrap();
    let (client, server) = Client::connect(&again, V4, Duration::from_secs(30));
    drop(server);
    assert_eq!(client.end().0, Ok(0), "an ordinary end");
    vip.run("stop").code(0);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn stop_destroys_the_sockets_of_the_address_and_no_others() {
    for (ip, own, any) in [(V4, "192.0.2.1", "0.0.0.0"), (V6, "2001:db8::1", "::")] {
        let host = two_nodes();
        let vip = vip(&host, ip).param("destroy_sockets", "true");
        vip.run("start").code(0);
        let patience = Duration::from_secs(20);
        let listener = TcpListener::bind(address(ip, 0)).unwrap();
        let wildcard = TcpListener::bind(address(any, 0)).unwrap();
        let other = TcpListener::bind(address(own, 0)).unwrap();
        let (_client, server) = Client::connect(&listener, ip, patience);
        // An IPv4 client of a socket for both families.
        let both = TcpListener::bind(address("::", 0)).unwrap();
        let (_mapped_client, mapped) = Client::connect(&both, ip, patience);
        let (other_client, other_server) = Client::connect(&other, own, patience);
        let (_wild_client, wild) = Client::connect(&wildcard, ip, patience);
        let datagrams = UdpSocket::bind(address(ip, 0)).unwrap();
        let other_datagrams = UdpSocket::bind(address(own, 0)).unwrap();
        let waiting = [server, mapped, wild].map(|mut stream| {
            std::thread::spawn(move || {
                (stream.read(&mut [0; 8]).map_err(|error| error.kind()), Instant::now())
            })
        });
        let accepting = std::thread::spawn(move || (listener.accept().map(drop), Instant::now()));
        let receiving = std::thread::spawn(move || datagrams.recv(&mut [0; 8]));
        // They wait in the kernel now.
        std::thread::sleep(Duration::from_millis(200));
        let begin = Instant::now();
        vip.run("stop").code(0);
        let ended = Instant::now();
        for thread in waiting {
            let (read, at) = thread.join().unwrap();
            assert_eq!(read, Err(ErrorKind::ConnectionAborted), "{ip}");
            assert!((begin..=ended + Duration::from_millis(500)).contains(&at));
        }
        let (accepted, at) = accepting.join().unwrap();
        assert!(accepted.is_err() && at <= ended + Duration::from_millis(500), "{accepted:?}");
        let received = receiving.join().unwrap().unwrap_err().kind();
        assert_eq!(received, ErrorKind::ConnectionAborted);
        assert!(host.log().contains(&format!("destroyed 5 sockets of {ip}")), "{}", host.log());
        // All others are as before.
        for listener in [&wildcard, &both, &other] {
            let (_client, _server) = Client::connect(listener, own, patience);
        }
        other_datagrams.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let nothing = other_datagrams.recv(&mut [0; 8]).unwrap_err().kind();
        assert_eq!(nothing, ErrorKind::WouldBlock);
        drop(other_server);
        assert_eq!(other_client.end().0, Ok(0), "it ended as its server wished");
    }
}

/// Listeners that share a port are found one at a time by the kernel.
#[test]
#[ignore = "needs root: tests/run netns"]
fn many_listeners_on_one_port_are_all_destroyed() {
    let host = Host::new();
    let vip = vip(&host, V4).param("destroy_sockets", "true");
    vip.run("start").code(0);
    let shared: Vec<_> = (0..16).map(|_| listener_that_shares(address(V4, 8080))).collect();
    vip.run("stop").code(0);
    assert_eq!(host.sh("ss -Htln src 192.0.2.10"), "");
    assert!(host.log().contains("destroyed 16 sockets"), "{}", host.log());
    drop(shared);
}

fn listener_that_shares(at: SocketAddr) -> std::os::fd::OwnedFd {
    use nix::sys::socket::{
        AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, setsockopt,
        socket, sockopt,
    };
    let descriptor =
        socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    setsockopt(&descriptor, sockopt::ReusePort, &true).unwrap();
    bind(descriptor.as_raw_fd(), &SockaddrStorage::from(at)).unwrap();
    listen(&descriptor, Backlog::new(16).unwrap()).unwrap();
    descriptor
}

/// Nobody asked for it.
#[test]
#[ignore = "needs root: tests/run netns"]
fn without_the_parameter_sockets_stay() {
    let host = two_nodes();
    let vip = vip(&host, V4);
    vip.run("start").code(0);
    let listener = TcpListener::bind(address(V4, 0)).unwrap();
    let (_client, server) = Client::connect(&listener, V4, Duration::from_secs(1));
    vip.run("stop").code(0);
    server.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let still = (&server).read(&mut [0; 8]).unwrap_err().kind();
    assert_eq!(still, ErrorKind::WouldBlock);
}

/// A real server of LVS keeps the address on its loopback interface, and so its connections.
#[test]
#[ignore = "needs root: tests/run netns"]
fn sockets_stay_where_the_host_keeps_the_address() {
    let host = two_nodes();
    host.sh("ip addr add 192.0.2.10/32 dev lo");
    let vip = vip(&host, V4).param("destroy_sockets", "true").param("lvs_support", "true");
    vip.run("start").code(0);
    let listener = TcpListener::bind(address(V4, 0)).unwrap();
    vip.run("stop").code(0);
    assert!(host.log().contains("left the sockets of 192.0.2.10 alone"), "{}", host.log());
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

/// A kernel without `SOCK_DIAG` leaves sockets as they are, and stop succeeds.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_kernel_that_cannot_destroy_sockets_fails_no_stop() {
    let host = Host::new();
    let vip = vip(&host, V4).param("destroy_sockets", "true");
    vip.run("start").code(0);
    let trace = host.path("trace");
    let traced = ["strace", "-e", "trace=socket", "-o", trace.to_str().unwrap()];
    vip.run_behind(&traced, "stop").code(0);
    let text = fs::read_to_string(&trace).unwrap();
    let position =
        text.lines().position(|line| line.contains("SOCK_DIAG") || line.contains("INET_DIAG"));
    let ordinal = position.expect("a socket for it") + 1;
    vip.run("start").code(0);
    let inject = format!("inject=socket:error=EPROTONOSUPPORT:when={ordinal}");
    vip.run_behind(&["strace", "-o", "/dev/null", "-e", &inject], "stop").code(0);
    assert!(host.log().contains("cannot destroy the sockets of 192.0.2.10"), "{}", host.log());
    assert!(host.places(V4).is_empty());
}

/// A kernel that lists sockets and cannot destroy them: its answer to the first attempt is replaced.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_kernel_that_only_lists_sockets_is_named_in_the_log() {
    let host = Host::new();
    let vip = vip(&host, V4).param("destroy_sockets", "true");
    vip.run("start").code(0);
    let _sockets: Vec<_> = (0..3).map(|_| TcpListener::bind(address(V4, 0)).unwrap()).collect();
    let trace = host.path("trace");
    let traced = ["strace", "-e", "trace=sendto,recvfrom", "-o", trace.to_str().unwrap()];
    vip.run_behind(&traced, "stop").code(0);
    let text = fs::read_to_string(&trace).unwrap();
    let (before, _) = text.split_once("SOCK_DESTROY").expect("an attempt");
    let ordinal = before.lines().filter(|line| line.starts_with("recvfrom(")).count() + 1;
    vip.run("start").code(0);
    let _sockets: Vec<_> = (0..3).map(|_| TcpListener::bind(address(V4, 0)).unwrap()).collect();
    // Length, type and flags of an error message that is cut behind its header; EOPNOTSUPP.
    let answer = "2400000002000001".to_owned() + "0000000000000000" + "a1ffffff";
    let inject = format!("inject=recvfrom:poke_exit=@arg2={answer}:when={ordinal}");
    let behind = ["strace", "-e", "trace=recvfrom", "-e", &inject, "-o", "/dev/null"];
    vip.run_behind(&behind, "stop").code(0);
    assert_eq!(host.sh("ss -Htln src 192.0.2.10").lines().count(), 2, "it stopped trying");
    let log = host.log();
    assert!(log.contains("cannot destroy all sockets of 192.0.2.10: this kernel cannot"), "{log}");
    assert!(host.places(V4).is_empty());
}

/// Invariant 10 for the two parameters: killed at each system call of start and stop in turn, after the next stop there
/// is no address, no socket of it, and nothing in the shared directory but the list.
#[test]
#[ignore = "needs root: tests/run netns"]
fn whatever_a_killed_agent_leaves_the_next_stop_ends() {
    let host = Host::new();
    let shared = host.path("shared");
    fs::create_dir(&shared).unwrap();
    let vip = vip(&host, V4).param("tickle_dir", &shared).param("destroy_sockets", "true");
    let vip = vip.param("arp_count", "1");
    for action in ["start", "stop"] {
        let prepare = || {
            (action == "stop").then(|| {
                vip.run("start").code(0);
                TcpListener::bind(address(V4, 8080)).unwrap()
            })
        };
        let first = prepare();
        let calls = changing_calls(&host, &vip, action);
        drop(first);
        vip.run("stop").code(0);
        assert!(calls.len() > 30, "{calls:?}");
        for (name, ordinal) in calls {
            let _listener = prepare();
            kill_at(&vip, action, &name, ordinal);
            vip.run("stop").code(0);
            let at = format!("killed at {name} number {ordinal} of {action}");
            assert!(host.places(V4).is_empty(), "{at}");
            assert_eq!(host.sh("ss -Htuln src 192.0.2.10"), "", "{at}");
        }
    }
    host.await_that("the processes to end", || workers().is_empty());
    for entry in fs::read_dir(&shared).unwrap() {
        assert_eq!(entry.unwrap().file_name(), V4);
    }
}

/// The list lies where others write: nothing in it makes this host send from an address that is not the resource's, and
/// what is no plain file is left alone.
#[test]
#[ignore = "needs root: tests/run netns"]
fn what_others_wrote_is_judged() {
    let host = Host::new();
    let list = host.path(V4);
    let vip = vip(&host, V4).param("tickle_dir", host.path("")).param("arp_count", "1");
    let lines = "192.0.2.1:80\t192.0.2.2:1001\n192.0.2.10:80\t192.0.2.2:1002\nnonsense\n\
                 192.0.2.10:80\t255.255.255.255:1003\n192.0.2.10:80\t192.0.2.2:99999\n";
    fs::write(&list, lines).unwrap();
    let capture = host.capture("tcp");
    vip.run("start").code(0);
    host.await_that("the word in the log", || host.log().contains("tickled 1 of 1 connections"));
    std::thread::sleep(Duration::from_millis(1200));
    let packets = capture.stop();
    let segments: Vec<_> = packets.iter().filter(|line| line.contains(": Flags [")).collect();
    assert_eq!(segments.len(), 3, "{packets:?}");
    for segment in segments {
        assert!(
            segment.contains("192.0.2.10.80 > 192.0.2.2.1002: Flags [.], cksum 0x"),
            "{segment}"
        );
        assert!(
            segment.contains("(correct)") && segment.contains("win 1234, length 0"),
            "{segment}"
        );
    }
    let victim = host.path("victim");
    fs::write(&victim, "precious").unwrap();
    for odd in ["ln -s victim", "mkfifo", "mkdir"] {
        fs::remove_file(&list).or_else(|_| fs::remove_dir(&list)).unwrap();
        host.sh(&format!("cd {}; {odd} {V4}", host.path("").display()));
        vip.clone().recurring().run("monitor").code(0).silent();
        vip.run("start").code(0);
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        assert!(!list.symlink_metadata().unwrap().is_file(), "{odd}: it stays");
    }
    let log = host.log();
    assert_eq!(log.matches("cannot save the connections of 192.0.2.10").count(), 3, "{log}");
    vip.run("stop").code(0);
}

/// Storage that never answers: a FUSE mount that nobody serves.
#[test]
#[ignore = "needs root: tests/run netns"]
fn storage_that_hangs_delays_nothing_for_long_and_fails_nothing() {
    let host = Host::new();
    let shared = host.path("shared");
    fs::create_dir(&shared).unwrap();
    let fuse = fs::File::options().read(true).write(true).open("/dev/fuse").unwrap();
    let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", fuse.as_raw_fd());
    mount(Some("nobody"), &shared, Some("fuse"), MsFlags::empty(), Some(options.as_str())).unwrap();
    let vip = vip(&host, V4).param("tickle_dir", &shared).param("arp_count", "1");
    // Each takes two seconds at most, once; what comes later does not even begin to wait.
    let slow = Duration::from_secs(6);
    assert!(vip.run("start").code(0).took < Duration::from_secs(2), "start does not wait");
    assert!(vip.clone().recurring().run("monitor").code(0).silent().took < slow);
    let second = vip.clone().recurring().run("monitor").code(0).silent();
    assert!(second.took < Duration::from_secs(2), "{:?}", second.took);
    assert!(vip.run("stop").code(0).took < slow);
    host.await_that("the words in the log", || {
        let log = host.log();
        log.contains("has not answered for 2 s") && log.contains("an earlier process still waits")
    });
    // What waits is let go, with an error, when the storage is given up.
    drop(fuse);
    host.await_that("the processes to end", || workers().is_empty());
}

/// Processes that work on lists in this network namespace.
fn workers() -> Vec<String> {
    let own = fs::read_link("/proc/thread-self/ns/net").unwrap();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&words).replace('\0', " ");
        let here = fs::read_link(entry.path().join("ns/net")).is_ok_and(|ns| ns == own);
        if line.starts_with("ocfbox connections") && here {
            found.push(line);
        }
    }
    found
}

/// A probe and a person's monitor write nothing, and a directory that is missing fails nothing.
#[test]
#[ignore = "needs root: tests/run netns"]
fn only_a_recurring_monitor_keeps_the_list() {
    let host = Host::new();
    let shared = host.path("shared");
    let vip = vip(&host, V4).param("tickle_dir", &shared).param("arp_count", "1");
    vip.run("start").code(0);
    vip.clone().recurring().run("monitor").code(0).silent();
    assert!(host.log().contains("cannot save the connections"), "{}", host.log());
    fs::create_dir(&shared).unwrap();
    vip.run("monitor").code(0).silent();
    vip.run("status").code(0);
    assert_eq!(fs::read_dir(&shared).unwrap().count(), 0);
    vip.clone().recurring().run("monitor").code(0).silent();
    assert_eq!(fs::read(shared.join(V4)).unwrap(), b"");
    vip.run("stop").code(0);
    vip.param("tickle_dir", "shared").run("start").code(6).because(&["tickle_dir", "\"shared\""]);
}
