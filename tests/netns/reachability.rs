//! ping: what a host at the far end of a cable does, and what the cluster is told of it.

use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, bind, recvfrom, sendto,
    setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;
use nix::unistd::Pid;

use crate::attrd::Attrd;
use crate::kills::kill_at;
use crate::support::{Call, Host};

const DEAD: &str = "192.0.2.99";

fn ping(attrd: &Attrd, host: &Host, hosts: &str) -> Call {
    attrd.agent(host, "ping").param("host_list", hosts).param("timeout", "1")
}

/// Does something in the far namespace, in a thread of its own.
fn at_the_far_end<T: Send>(action: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                enter_far();
                action()
            })
            .join()
            .unwrap()
    })
}

fn enter_far() {
    let far = fs::File::open("/run/netns/far").unwrap();
    setns(far, CloneFlags::CLONE_NEWNET).unwrap();
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn the_hosts_that_answer_are_counted() {
    let host = Host::new();
    let attrd = Attrd::new(&host);
    let hosts = format!("192.0.2.2 {DEAD} 2001:db8::2 2001:db8::99 127.0.0.1");
    let ping = ping(&attrd, &host, &hosts).param("multiplier", "100");
    ping.run("monitor").code(7).silent();
    assert!(attrd.told().is_empty(), "a probe tells nobody anything");
    let started = ping.run("start").code(0);
    assert!(started.took < Duration::from_secs(5), "all at once: {:?}", started.took);
    assert_eq!(attrd.told(), ["-n pingd -B 300 -d 5s"]);
    for dead in [DEAD, "2001:db8::99"] {
        assert!(host.log().contains(&format!("{dead} is not reachable: ")), "{}", host.log());
    }
    // Nothing new: nothing is said.
    let log = host.log();
    ping.clone().recurring().run("monitor").code(0).silent();
    assert_eq!(host.log(), log);
    assert_eq!(attrd.last(), "-n pingd -B 300 -d 5s");

    host.sh(&format!(
        "ip -n far addr add {DEAD}/24 dev eth0; ip -n far addr del 2001:db8::2/64 dev eth0"
    ));
    // The kernel looks for a neighbour that failed once a second.
    ping.clone().param("dampen", "1min").param("timeout", "5").run("monitor").code(0).silent();
    assert_eq!(attrd.last(), "-n pingd -B 300 -d 1min");
    let new = host.log()[log.len()..].to_owned();
    assert!(new.contains(&format!("{DEAD} is reachable again")), "{new}");
    assert!(new.contains("2001:db8::2 is not reachable"), "{new}");
    assert!(new.contains("3 of 5 hosts are reachable; pingd is 300"), "{new}");
    assert_eq!(new.lines().count(), 3, "{new}");

    ping.run("stop").code(0).silent();
    assert_eq!(attrd.last(), "-D -n pingd");
    ping.run("stop").code(0).silent();
    ping.clone().recurring().run("monitor").code(7).silent();
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_monitor_ends_as_soon_as_all_have_answered() {
    let host = Host::new();
    let attrd = Attrd::new(&host);
    let ping = ping(&attrd, &host, "192.0.2.2 2001:db8::2").param("timeout", "30");
    let started = ping.run("start").code(0);
    assert!(started.took < Duration::from_secs(10), "{:?}", started.took);
    assert_eq!(attrd.last(), "-n pingd -B 2 -d 5s");
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn too_few_hosts_fail_where_that_is_wanted() {
    let host = Host::new();
    let attrd = Attrd::new(&host);
    let ping = ping(&attrd, &host, "192.0.2.2 2001:db8::2")
        .param("multiplier", "10")
        .param("failure_score", "20");
    ping.run("start").code(0);
    host.sh("ip -n far addr del 192.0.2.2/24 dev eth0");
    let words = ["pingd is 10", "failure_score=20", "1 of 2 hosts", "192.0.2.2"];
    ping.run("monitor").code(1).because(&words);
    assert_eq!(attrd.last(), "-n pingd -B 10 -d 5s", "the value is told all the same");
    ping.run("stop").code(0);
    let told = attrd.told().len();
    ping.run("start").code(1).because(&words);
    assert_eq!(attrd.told().len(), told, "a start that fails tells nothing");
    ping.run("monitor").code(7);
}

/// What a forger makes of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Forgery {
    /// An honest reply.
    None,
    Identifier,
    Sequence,
    Payload,
    Shorter,
    Checksum,
    /// From an address that was not asked.
    Sender,
    /// A reply to requests with an even number only.
    EvenOnly,
}

fn sum(message: &[u8]) -> u16 {
    let mut sum: u32 = message
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap()
}

/// Answers requests in the far namespace until `over`; how many it saw.
fn forge(forgery: Forgery, over: &AtomicBool, ready: &AtomicBool) -> usize {
    enter_far();
    let flags = SockFlag::SOCK_CLOEXEC;
    let raw = socket(AddressFamily::Inet, SockType::Raw, flags, SockProtocol::Icmp).unwrap();
    setsockopt(&raw, sockopt::ReceiveTimeout, &TimeVal::new(0, 20_000)).unwrap();
    if forgery == Forgery::Sender {
        let other = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 3), 0);
        bind(raw.as_raw_fd(), &SockaddrIn::from(other)).unwrap();
    }
    // A socket that is bound hears only what is sent to that address.
    let ears = socket(AddressFamily::Inet, SockType::Raw, flags, SockProtocol::Icmp).unwrap();
    setsockopt(&ears, sockopt::ReceiveTimeout, &TimeVal::new(0, 20_000)).unwrap();
    ready.store(true, Ordering::Release);
    let mut seen = 0;
    let mut buffer = [0; 2048];
    while !over.load(Ordering::Acquire) {
        let Ok((length, from)) = recvfrom::<SockaddrIn>(ears.as_raw_fd(), &mut buffer) else {
            continue;
        };
        let header = usize::from(buffer[0] & 15) * 4;
        let mut message = buffer[header..length].to_vec();
        if message[0] != 8 {
            continue;
        }
        seen += 1;
        let number = u16::from_be_bytes([message[6], message[7]]);
        message[0] = 0;
        match forgery {
            Forgery::Identifier => message[4] ^= 1,
            Forgery::Sequence => message[6] ^= 0x40,
            Forgery::Payload => message[8] ^= 1,
            Forgery::Shorter => message.truncate(message.len() - 1),
            Forgery::EvenOnly if number % 2 == 1 => continue,
            _ => {}
        }
        message[2..4].fill(0);
        let mut right = sum(&message);
        if forgery == Forgery::Checksum {
            right ^= 1;
        }
        message[2..4].copy_from_slice(&right.to_be_bytes());
        sendto(raw.as_raw_fd(), &message, &from.unwrap(), MsgFlags::empty()).unwrap();
    }
    seen
}

/// Calls the agent while the far end forges; the exit code, and how many requests were seen.
fn under(forgery: Forgery, call: &Call, action: &str) -> usize {
    let (over, ready) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let forger = scope.spawn(|| forge(forgery, &over, &ready));
        while !ready.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(1));
        }
        call.run(action).code(0);
        over.store(true, Ordering::Release);
        forger.join().unwrap()
    })
}

/// The kernel at the far end is silent, and a program answers in its place.
fn forged(host: &Host) {
    host.sh("ip netns exec far sysctl -qw net.ipv4.icmp_echo_ignore_all=1
         ip -n far addr add 192.0.2.3/24 dev eth0");
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn only_a_reply_to_our_own_request_counts() {
    let host = Host::new();
    forged(&host);
    let attrd = Attrd::new(&host);
    let ping = ping(&attrd, &host, "192.0.2.2");
    ping.run("start").code(0);
    assert_eq!(attrd.last(), "-n pingd -B 0 -d 5s", "nobody answers");
    let forgeries = [
        (Forgery::None, 1),
        (Forgery::Identifier, 0),
        (Forgery::Sequence, 0),
        (Forgery::Payload, 0),
        (Forgery::Shorter, 0),
        (Forgery::Checksum, 0),
        (Forgery::Sender, 0),
    ];
    for (forgery, value) in forgeries {
        let seen = under(forgery, &ping, "monitor");
        assert!(seen > 0, "{forgery:?}: the forger was asked");
        assert_eq!(attrd.last(), format!("-n pingd -B {value} -d 5s"), "{forgery:?}");
    }
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn so_many_of_the_attempts_have_to_be_answered() {
    let host = Host::new();
    forged(&host);
    let attrd = Attrd::new(&host);
    let ping = ping(&attrd, &host, "192.0.2.2").param("attempts", "4");
    ping.run("start").code(0);
    for (replies, value) in [("1", 1), ("2", 1), ("3", 0)] {
        under(Forgery::EvenOnly, &ping.clone().param("replies", replies), "monitor");
        assert_eq!(attrd.last(), format!("-n pingd -B {value} -d 5s"), "{replies} of 4");
    }
    assert!(host.log().contains("2 of 4 attempts answered, 3 needed"), "{}", host.log());
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn one_lost_packet_is_no_dead_host() {
    let host = Host::new();
    forged(&host);
    let attrd = Attrd::new(&host);
    // Number 0 is answered late in this sense: nobody listens yet when it is sent.
    let ping = ping(&attrd, &host, "192.0.2.2").param("timeout", "6");
    let mut child = ping.command("start").spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let (over, ready) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| forge(Forgery::None, &over, &ready));
        assert_eq!(child.wait().unwrap().code(), Some(0));
        over.store(true, Ordering::Release);
    });
    assert_eq!(attrd.last(), "-n pingd -B 1 -d 5s");
}

/// A file in the place of one in /etc, in this test's mount namespace.
fn instead(host: &Host, path: &str, content: &str) {
    let file = host.path(&path.replace('/', "-"));
    fs::write(&file, content).unwrap();
    host.sh(&format!("mount --bind {} {path}", file.display()));
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn names_and_each_of_their_addresses() {
    let host = Host::new();
    let attrd = Attrd::new(&host);
    // `gw4` has a dead IPv6 address and a living IPv4 one, `gw6` the reverse.
    instead(
        &host,
        "/etc/hosts",
        "192.0.2.2 gw4\n2001:db8::99 gw4\n192.0.2.99 gw6\n2001:db8::2 gw6\n192.0.2.99 dead\n",
    );
    // glibc would load these, from a library that is not its own.
    instead(
        &host,
        "/etc/nsswitch.conf",
        "hosts: mymachines mdns4_minimal [NOTFOUND=return] resolve files dns\n",
    );
    let trace = host.path("opened");
    let ping = ping(&attrd, &host, "gw4 gw6 dead").param("timeout", "2");
    let strace = ["strace", "-f", "-e", "trace=openat", "-o", trace.to_str().unwrap()];
    ping.run_behind(&strace, "start").code(0);
    assert_eq!(attrd.last(), "-n pingd -B 2 -d 5s");
    let opened = fs::read_to_string(trace).unwrap();
    assert!(opened.contains("/etc/hosts") && !opened.contains("libnss"), "{opened}");
    assert!(host.log().contains("dead is not reachable"), "{}", host.log());
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn link_local_addresses_with_their_interface() {
    let host = Host::new();
    let attrd = Attrd::new(&host);
    host.sh("ip addr add fe80::1/64 dev eth0 nodad; ip -n far addr add fe80::2/64 dev eth0 nodad");
    ping(&attrd, &host, "fe80::2%eth0").run("start").code(0);
    assert_eq!(attrd.last(), "-n pingd -B 1 -d 5s");
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_name_server_that_never_answers_costs_only_its_names() {
    let host = Host::new();
    let attrd = Attrd::new(&host);
    instead(&host, "/etc/resolv.conf", "nameserver 192.0.2.2\noptions timeout:30\n");
    let silent = at_the_far_end(|| UdpSocket::bind("192.0.2.2:53").unwrap());
    let ping = ping(&attrd, &host, "gw.example.org 192.0.2.2")
        .param("CRM_meta_timeout", "20000")
        .param("debug", "true");
    let started = ping.run("start").code(0);
    assert!(started.took < Duration::from_secs(18), "{:?}", started.took);
    assert_eq!(attrd.last(), "-n pingd -B 1 -d 5s");
    assert!(
        host.log()
            .contains("gw.example.org is not reachable: its name could not be looked up in time"),
        "{}",
        host.log()
    );
    let mut question = [0; 512];
    silent.set_nonblocking(true).unwrap();
    assert!(silent.recv(&mut question).is_ok(), "the name server was asked");
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn connections_that_are_accepted_count() {
    let host = Host::new();
    let attrd = Attrd::new(&host);
    host.sh("ip netns exec far sysctl -qw net.ipv4.icmp_echo_ignore_all=1");
    let [v4, v6] = ["192.0.2.2:0", "[2001:db8::2]:0"]
        .map(|at| at_the_far_end(|| TcpListener::bind(at).unwrap()));
    let [port4, port6] = [&v4, &v6].map(|listener| listener.local_addr().unwrap().port());
    instead(&host, "/etc/hosts", "192.0.2.2 gw\n");
    let ping = |hosts: String| ping(&attrd, &host, &hosts);
    let all = format!("tcp:192.0.2.2:{port4} tcp:[2001:db8::2]:{port6} tcp:gw:{port4} 192.0.2.2");
    ping(all).run("start").code(0);
    assert_eq!(attrd.last(), "-n pingd -B 3 -d 5s", "it does not answer to ping");
    // Nothing is sent over a connection.
    let (mut connection, _) = v4.accept().unwrap();
    let mut bytes = Vec::new();
    let _ = connection.read_to_end(&mut bytes);
    assert!(bytes.is_empty());

    drop(v4);
    let begin = Instant::now();
    ping(format!("tcp:192.0.2.2:{port4} tcp:{DEAD}:22")).run("monitor").code(0);
    assert_eq!(attrd.last(), "-n pingd -B 0 -d 5s");
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert!(
        host.log().contains(&format!("tcp:192.0.2.2:{port4} is not reachable: Connection refused")),
        "{}",
        host.log()
    );
    assert!(host.log().contains(&format!("tcp:{DEAD}:22 is not reachable")), "{}", host.log());
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn packets_leave_from_where_they_are_told_to() {
    let host = Host::new();
    let attrd = Attrd::new(&host);
    host.sh("ip addr add 192.0.2.7/24 dev eth0
         ip link add eth1 type veth peer name other
         ip link set other up; ip link set eth1 up");
    let ping = ping(&attrd, &host, "192.0.2.2");
    let capture = host.capture("icmp");
    ping.clone().param("source", "192.0.2.7").run("start").code(0);
    assert_eq!(attrd.last(), "-n pingd -B 1 -d 5s");
    ping.clone().param("options", "-I 192.0.2.7 -s 1000").run("monitor").code(0);
    assert_eq!(attrd.last(), "-n pingd -B 1 -d 5s");
    let packets = capture.stop().join(" ");
    assert!(packets.contains("192.0.2.7 > 192.0.2.2"), "{packets}");
    assert!(packets.contains("length 1008") && !packets.contains("192.0.2.1 >"), "{packets}");

    ping.clone().param("source", "eth0").run("monitor").code(0);
    assert_eq!(attrd.last(), "-n pingd -B 1 -d 5s");
    for nowhere in ["eth1", "eth9", "198.51.100.1"] {
        ping.clone().param("source", nowhere).run("monitor").code(0);
        assert_eq!(attrd.last(), "-n pingd -B 0 -d 5s", "{nowhere}");
    }
    let missing = ping.clone().param("source", "eth9").env("OCF_CHECK_LEVEL", "10");
    missing.run("validate-all").code(2).because(&["no interface eth9"]);
    let families = ping.clone().param("source", "2001:db8::1");
    families.run("start").code(6).because(&["parameter source", "family"]);
}

/// Waits until a process waits for packets.
fn await_waiting(host: &Host, pid: Pid) {
    let place = format!("/proc/{pid}/wchan");
    host.await_that("the agent to wait", || {
        fs::read_to_string(&place).is_ok_and(|place| place.contains("poll"))
    });
    // It also waits for moments elsewhere.
    std::thread::sleep(Duration::from_millis(300));
}

/// The agent is stopped after its only question was lost. When it goes on, its time is over, but it has not listened.
#[test]
#[ignore = "needs root: tests/run netns"]
fn who_was_starved_asks_again_instead_of_calling_hosts_dead() {
    let host = Host::new();
    let attrd = Attrd::new(&host);
    let ping = ping(&attrd, &host, "192.0.2.2").param("timeout", "3").param("attempts", "1");
    ping.run("start").code(0);
    assert_eq!(attrd.last(), "-n pingd -B 1 -d 5s");

    host.sh("ip netns exec far sysctl -qw net.ipv4.icmp_echo_ignore_all=1");
    let capture = host.capture("icmp");
    let mut child = ping.command("monitor").spawn().unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    await_waiting(&host, pid);
    kill(pid, Signal::SIGSTOP).unwrap();
    let before = attrd.told().len();
    host.sh("ip netns exec far sysctl -qw net.ipv4.icmp_echo_ignore_all=0");
    std::thread::sleep(Duration::from_secs(4));
    kill(pid, Signal::SIGCONT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let asked = capture.stop();
    assert_eq!(before, 1, "it was stopped while it waited");
    assert_eq!(attrd.last(), "-n pingd -B 1 -d 5s", "{}", host.log());
    assert!(
        host.log().contains("did not get the CPU") && host.log().contains("asking again"),
        "{}",
        host.log()
    );
    assert!(asked.len() >= 2, "{asked:?}");
    assert!(!host.log().contains("not reachable"), "{}", host.log());
}

/// Starved until the action's time is over: the value stays as it was.
#[test]
#[ignore = "needs root: tests/run netns"]
fn who_was_starved_to_the_end_says_nothing() {
    let host = Host::new();
    let attrd = Attrd::new(&host);
    let ping = ping(&attrd, &host, "192.0.2.2").param("timeout", "3").param("attempts", "1");
    ping.run("start").code(0);
    host.sh("ip netns exec far sysctl -qw net.ipv4.icmp_echo_ignore_all=1");
    let mut child =
        ping.clone().param("CRM_meta_timeout", "8000").command("monitor").spawn().unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    await_waiting(&host, pid);
    kill(pid, Signal::SIGSTOP).unwrap();
    std::thread::sleep(Duration::from_secs(5));
    kill(pid, Signal::SIGCONT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(attrd.told(), ["-n pingd -B 1 -d 5s"], "{}", host.log());
    assert!(host.log().contains("silence says nothing"), "{}", host.log());
    // And with time to spare it is told that the host is dead.
    ping.run("monitor").code(0);
    assert_eq!(attrd.last(), "-n pingd -B 0 -d 5s");
}

/// Starved before it asked anybody, while it waited for a name.
#[test]
#[ignore = "needs root: tests/run netns"]
fn who_was_starved_before_it_asked_says_nothing() {
    let host = Host::new();
    let attrd = Attrd::new(&host);
    instead(&host, "/etc/resolv.conf", "nameserver 192.0.2.2\noptions timeout:30\n");
    let silent = at_the_far_end(|| UdpSocket::bind("192.0.2.2:53").unwrap());
    let ping = ping(&attrd, &host, "192.0.2.2 gw.example.org");
    ping.clone().param("CRM_meta_timeout", "4000").run("start").code(0);
    assert_eq!(attrd.last(), "-n pingd -B 1 -d 5s");
    while silent.set_nonblocking(true).is_ok() && silent.recv(&mut [0; 512]).is_ok() {}
    let mut child =
        ping.clone().param("CRM_meta_timeout", "8000").command("monitor").spawn().unwrap();
    host.await_that("the question", || silent.recv(&mut [0; 512]).is_ok());
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    kill(pid, Signal::SIGSTOP).unwrap();
    std::thread::sleep(Duration::from_secs(6));
    kill(pid, Signal::SIGCONT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(attrd.told(), ["-n pingd -B 1 -d 5s"], "{}", host.log());
    assert!(host.log().contains("silence says nothing"), "{}", host.log());
    assert!(!host.log().contains("192.0.2.2 is not reachable"), "{}", host.log());
}

/// `ipv6.disable=1`: the kernel has no sockets of that family, as it seems to whom a filter refuses them.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_kernel_without_ipv6_reaches_hosts_that_have_it() {
    let host = Host::new();
    let attrd = Attrd::new(&host);
    instead(&host, "/etc/hosts", "2001:db8::2 gw\n192.0.2.2 gw\n");
    let ping = ping(&attrd, &host, "gw");
    let trace = host.path("sockets");
    let watch = ["strace", "-e", "trace=socket", "-o", trace.to_str().unwrap()];
    ping.run_behind(&watch, "start").code(0);
    ping.run("stop").code(0);
    let sockets = fs::read_to_string(trace).unwrap();
    let raw = sockets.lines().position(|line| line.contains("AF_INET6, SOCK_RAW")).unwrap() + 1;
    // That one, and the one that is tried without privileges.
    let inject = format!("inject=socket:error=EAFNOSUPPORT:when={raw}..{}", raw + 1);
    ping.run_behind(&["strace", "-o", "/dev/null", "-e", &inject], "start").code(0);
    assert_eq!(attrd.last(), "-n pingd -B 1 -d 5s", "{}", host.log());
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_monitor_that_ends_after_stop_brings_nothing_back() {
    let host = Host::new();
    let attrd = Attrd::new(&host);
    let ping = ping(&attrd, &host, DEAD).param("timeout", "2");
    ping.run("start").code(0);
    let mut monitor = ping.command("monitor").spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    ping.run("stop").code(0);
    assert_eq!(monitor.wait().unwrap().code(), Some(7));
    assert_eq!(attrd.last(), "-D -n pingd");
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_cluster_that_does_not_listen() {
    let host = Host::new();
    let attrd = Attrd::new(&host);
    let ping = ping(&attrd, &host, "192.0.2.2");
    attrd.does("exit 102");
    ping.run("start").code(1).because(&["node attribute pingd", "is Pacemaker running"]);
    ping.run("monitor").code(7);
    attrd.does("exit 0");
    ping.run("start").code(0);
    attrd.does("sleep 600");
    let hung = ping
        .clone()
        .param("CRM_meta_timeout", "3000")
        .run("monitor")
        .code(1)
        .because(&["attrd_updater"]);
    assert!(hung.took < Duration::from_secs(8), "{:?}", hung.took);
    let stopped = ping.clone().param("CRM_meta_timeout", "3000").run("stop").code(0);
    assert!(stopped.took < Duration::from_secs(8), "{:?}", stopped.took);
    assert!(
        host.log().contains("cannot remove the node attribute pingd")
            || host.log().contains("attrd_updater -D -n pingd"),
        "{}",
        host.log()
    );
    ping.run("monitor").code(7);

    let nowhere =
        host.agent("ping").param("host_list", "192.0.2.2").env("OCF_TESTER_FAIL_HAVE_BINARY", "1");
    nowhere.run("start").code(5).because(&["attrd_updater", "Pacemaker"]);
    nowhere.clone().env("OCF_CHECK_LEVEL", "10").run("validate-all").code(5);
    nowhere.run("stop").code(0);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn without_privileges() {
    let host = Host::new();
    let attrd = Attrd::new(&host);
    let nobody: &[&str] =
        &["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"];
    host.sh(&format!(
        "chmod 755 {0} {0}/cluster; mkdir {0}/state; chown 65534 {0}/state {0}/cluster
         cp --remove-destination {1} {0}/ping",
        host.path("").display(),
        crate::support::BINARY
    ));
    let ping = ping(&attrd, &host, "192.0.2.2 2001:db8::2").env("HA_RSCTMP", host.path("state"));
    ping.run_behind(nobody, "start").code(4).because(&["run it as root"]);
    // icmp(7): who may ask all the same.
    host.sh("sysctl -qw net.ipv4.ping_group_range='0 2147483647'");
    ping.run_behind(nobody, "start").code(0);
    assert_eq!(attrd.last(), "-n pingd -B 2 -d 5s");
    ping.run_behind(nobody, "monitor").code(0);
    ping.run_behind(nobody, "stop").code(0);
}

/// Kills at any instant leave nothing that the next stop does not clean.
#[test]
#[ignore = "needs root: tests/run netns"]
fn whatever_a_killed_agent_leaves_the_next_stop_cleans() {
    let host = Host::new();
    let attrd = Attrd::new(&host);
    let ping = ping(&attrd, &host, "192.0.2.2");
    let names = [
        "openat", "rename", "flock", "socket", "sendto", "recvfrom", "poll", "execve", "clone",
        "clone3", "unlink", "wait4", "waitid",
    ];
    for action in ["start", "monitor", "stop"] {
        for name in names {
            for when in 1..=3 {
                if action != "start" {
                    ping.run("start").code(0);
                }
                kill_at(&ping, action, name, when);
                ping.run("stop").code(0);
                assert_eq!(attrd.last(), "-D -n pingd");
                ping.run("monitor").code(7);
                // Locks may stay.
                let left: Vec<_> = crate::support::tree("/run/resource-agents".as_ref())
                    .into_iter()
                    .filter(|path| !path.to_string_lossy().ends_with(".lock"))
                    .collect();
                assert!(left.is_empty(), "killed at {name} number {when} of {action}: {left:?}");
            }
        }
    }
}

/// What a killed agent told the cluster comes before what the next stop tells it, however slow it is.
#[test]
#[ignore = "needs root: tests/run netns"]
fn the_last_word_of_a_killed_agent_comes_before_that_of_stop() {
    let host = Host::new();
    let attrd = Attrd::new(&host);
    let ping = ping(&attrd, &host, "192.0.2.2");
    ping.run("start").code(0);
    attrd.does_first("case $1 in -n) touch /run/begun; sleep 2;; esac");
    let mut monitor = ping.command("monitor").spawn().unwrap();
    host.await_that("the cluster to be told", || fs::exists("/run/begun").unwrap());
    monitor.kill().unwrap();
    monitor.wait().unwrap();
    ping.run("stop").code(0);
    assert_eq!(attrd.last(), "-D -n pingd", "{:?}", attrd.told());
    assert_eq!(attrd.told().len(), 3, "{:?}", attrd.told());

    // But one that never ends fails no stop.
    attrd.does("exit 0");
    ping.run("start").code(0);
    attrd.does_first("case $1 in -n) touch /run/hung; exec sleep 10;; esac");
    let mut monitor = ping.command("monitor").spawn().unwrap();
    host.await_that("the cluster to be told", || fs::exists("/run/hung").unwrap());
    monitor.kill().unwrap();
    monitor.wait().unwrap();
    ping.clone().param("CRM_meta_timeout", "4000").run("stop").code(0);
    assert_eq!(attrd.last(), "-D -n pingd");
    assert!(host.log().contains("stopping all the same"), "{}", host.log());
}

/// It would fail for want of descriptors just when the network is cut.
#[test]
#[ignore = "needs root: tests/run netns"]
fn many_connections_that_nobody_answers_use_up_no_descriptors() {
    let host = Host::new();
    let attrd = Attrd::new(&host);
    let dead: Vec<String> = (100..200).map(|last| format!("tcp:192.0.2.{last}:9")).collect();
    let ping = ping(&attrd, &host, &dead.join(" ")).param("attempts", "10");
    ping.run_behind(&["prlimit", "--nofile=512"], "start").code(0);
    assert_eq!(attrd.last(), "-n pingd -B 0 -d 5s");
}

/// A hundred hosts, half of them dead, are asked in the time of one.
#[test]
#[ignore = "needs root: tests/run netns"]
fn many_hosts_take_no_longer_than_one() {
    let host = Host::new();
    let attrd = Attrd::new(&host);
    let mut hosts: Vec<SocketAddr> = Vec::new();
    let mut commands = String::new();
    for last in 10..60u8 {
        writeln!(commands, "addr add 192.0.2.{last}/24 dev eth0").unwrap();
        hosts.push((Ipv4Addr::new(192, 0, 2, last), 0).into());
        hosts.push((Ipv4Addr::new(192, 0, 2, last + 100), 0).into());
    }
    let batch = host.path("batch");
    fs::write(&batch, commands).unwrap();
    host.sh(&format!("ip -n far -batch {}", batch.display()));
    let list: Vec<String> = hosts.iter().map(|host| host.ip().to_string()).collect();
    let started = ping(&attrd, &host, &list.join(" ")).param("timeout", "2").run("start").code(0);
    assert_eq!(attrd.last(), "-n pingd -B 50 -d 5s");
    assert!(started.took < Duration::from_secs(15), "{:?}", started.took);
}
