//! `ocfbox probe` over a network: where it leaves from, and hosts and names that do not answer.

use std::fs::File;
use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};

use crate::support::{BINARY, Host};

fn probe(urls: &[&str]) -> (Output, Duration) {
    let begin = Instant::now();
    let output = Command::new(BINARY).arg("probe").args(urls).env_clear().output().unwrap();
    (output, begin.elapsed())
}

#[track_caller]
fn said(urls: &[&str], code: i32) -> String {
    let (output, _) = probe(urls);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(code), "{urls:?}: {text}");
    text
}

/// A server at the far end that greets; who comes.
fn greets(address: &'static str) -> Receiver<String> {
    let (tell, told) = channel();
    let (ready, is_ready) = channel();
    std::thread::spawn(move || {
        setns(File::open("/run/netns/far").unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
        let listener = TcpListener::bind(address).unwrap();
        ready.send(()).unwrap();
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"SSH-2.0-test\r\n");
            let _ = tell.send(stream.peer_addr().unwrap().ip().to_string());
        }
    });
    is_ready.recv().unwrap();
    told
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_probe_leaves_from_where_it_is_told() {
    let host = Host::new();
    host.sh("ip addr add 192.0.2.3/24 dev eth0");
    let (four, six) = (greets("192.0.2.2:22"), greets("[2001:db8::2]:22"));
    for (url, from) in [
        ("ssh://192.0.2.2", "192.0.2.1"),
        ("ssh://192.0.2.2#bind=192.0.2.3", "192.0.2.3"),
        ("ssh://192.0.2.2#bind=eth0", "192.0.2.1"),
    ] {
        said(&[url], 0);
        assert_eq!(four.recv().unwrap(), from, "{url}");
    }
    said(&["ssh://[2001:db8::2]#bind=2001:db8::1"], 0);
    assert_eq!(six.recv().unwrap(), "2001:db8::1");
    let elsewhere = said(&["ssh://192.0.2.2#bind=lo&timeout=300ms"], 1);
    assert!(elsewhere.contains(": failed at connect: "), "{elsewhere}");
    let nowhere = said(&["ssh://192.0.2.2#bind=eth7"], 1);
    assert!(nowhere.contains("the interface in bind is not on this host"), "{nowhere}");
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_name_server_that_does_not_answer_delays_nothing() {
    let host = Host::new();
    host.sh(&format!(
        "echo 'nameserver 192.0.2.77' >{names}; echo '192.0.2.2 known.example.org' >{hosts}
         mount --bind {names} /etc/resolv.conf; mount --bind {hosts} /etc/hosts",
        names = host.path("resolv.conf").display(),
        hosts = host.path("hosts").display()
    ));
    let told = greets("192.0.2.2:22");
    let (output, took) = probe(&["ssh://nowhere.example.org#timeout=500ms"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains(": failed at name: its name could not be looked up in time"), "{text}");
    assert!(took < Duration::from_secs(3), "{took:?}");
    let known = said(&["ssh://known.example.org"], 0);
    assert!(known.contains("\n  name "), "{known}");
    assert_eq!(told.recv().unwrap(), "192.0.2.1");
}

/// A host that is gone, one that refuses, one that lets every packet fall.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_dead_host_is_given_up_at_the_deadline() {
    let host = Host::new();
    host.sh("ip route add blackhole 198.51.100.1; ip route add prohibit 198.51.100.2");
    for (url, words) in [
        ("tcp://192.0.2.77:80#timeout=500ms", "nobody answered within 500 ms"),
        ("tcp://192.0.2.2:80#timeout=5s", "Connection refused: nobody listens there"),
        ("tcp://198.51.100.2:80#timeout=5s", "failed at connect: "),
        ("tcp://203.0.113.1:80#timeout=5s", "failed at connect: Network is unreachable"),
        ("dns://192.0.2.77#timeout=500ms", "it did not answer within 500 ms"),
        ("dns://192.0.2.2#timeout=5s", "Connection refused: nobody listens there"),
    ] {
        let (output, took) = probe(&[url]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(words), "{url}: {text}");
        assert!(took < Duration::from_secs(2), "{url}: {took:?}");
    }
}

/// On a host without time to spare, the probe's own process is late; the answer was not.
#[test]
#[ignore = "needs root: tests/run netns"]
fn an_answer_in_time_counts_although_the_probe_is_late_to_look() {
    let _host = Host::new();
    let listener = TcpListener::bind("127.0.0.1:22").unwrap();
    let url = "ssh://127.0.0.1#timeout=500ms";
    let mut command = Command::new(BINARY);
    let child = command.args(["probe", url]).env_clear().stdout(Stdio::piped()).spawn().unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).unwrap();
    stream.write_all(b"SSH-2.0-test\r\n").unwrap();
    std::thread::sleep(Duration::from_secs(1));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGCONT).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("alive: SSH-2.0-test"), "{text}");
}

/// 500 probes of a dead host, in as many processes, all end by their deadlines, and each is small.
#[test]
#[ignore = "needs root: tests/run netns"]
fn five_hundred_probes_of_one_dead_host() {
    let _host = Host::new();
    let words = ["probe", "http://192.0.2.77/#timeout=2s"];
    let begin = Instant::now();
    let started: Vec<_> = (0..500)
        .map(|_| {
            let mut command = Command::new(BINARY);
            command.args(words).env_clear().stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().unwrap()
        })
        .collect();
    let resident = |pid: u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:").map(str::to_owned));
        line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0)
    };
    let largest = started.iter().map(|child| resident(child.id())).max().unwrap();
    assert!(largest < 4096, "one of them has {largest} KiB of its own");
    for mut child in started {
        assert_eq!(child.wait().unwrap().code(), Some(1));
    }
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(30), "{took:?}");
}
