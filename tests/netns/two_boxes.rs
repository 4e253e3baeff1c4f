//! The cluster of cron and ping in `docs/two-boxes.md`: its script, on two boxes with a switch and a client.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::{BINARY, Host};

/// What the client calls.
const FIRST: &str = "192.0.2.11";
const SECOND: &str = "192.0.2.12";

/// Boxes 1 and 2, with 192.0.2.101 and .102, and a client at 192.0.2.254, on the switch `br0`.
struct Boxes {
    host: Host,
}

impl Boxes {
    fn new() -> Self {
        let boxes = Self { host: Host::new() };
        let host = &boxes.host;
        host.sh("ip link del eth0; ip link add br0 type bridge; ip link set br0 up
                 ip link add br1 type bridge; ip link set br1 up");
        for (name, address) in [("box1", "101"), ("box2", "102"), ("client", "254")] {
            host.sh(&format!(
                "ip netns add {name}
                 ip link add {name} type veth peer name eth0 netns {name}
                 ip link set {name} master br0 up
                 ip -n {name} link set lo up
                 ip -n {name} addr add 192.0.2.{address}/24 dev eth0
                 ip -n {name} link set eth0 up"
            ));
        }
        boxes.configure(1, FIRST, SECOND);
        boxes.configure(2, SECOND, FIRST);
        for name in ["box1", "box2"] {
            host.await_that("the switch", || boxes.reaches(name, "192.0.2.254"));
        }
        boxes
    }

    fn directory(&self, number: u32) -> PathBuf {
        self.host.path(&format!("box{number}"))
    }

    /// The boxes of the test share a file system, those of an administrator do not.
    fn configure(&self, number: u32, own: &str, theirs: &str) {
        let directory = self.directory(number);
        fs::create_dir(&directory).unwrap();
        std::os::unix::fs::symlink(BINARY, directory.join("ocfbox")).unwrap();
        // A sendmail that keeps what it gets.
        let sendmail = directory.join("sendmail");
        let script = "#!/bin/sh\ncd ${0%/*}; cat >new.$$; mv new.$$ mail.$$\n";
        fs::write(&sendmail, script).unwrap();
        fs::set_permissions(&sendmail, fs::Permissions::from_mode(0o755)).unwrap();
        let mut lines = format!(
            "own={own}\nother=192.0.2.10{}\ntheirs={theirs}\nnic=eth0\nprefix=24\nwitness=192.0.2.254\n\
             mail=admin@example.org\nmail_parameters='from=box{number}@example.org timeout=5'\n",
            3 - number
        );
        for (name, value) in [("HA_RSCTMP", "rsctmp"), ("HA_LOGFILE", "log")] {
            writeln!(lines, "export {name}={}", directory.join(value).display()).unwrap();
        }
        writeln!(lines, "state={}", directory.join("state").display()).unwrap();
        fs::write(directory.join("conf"), lines).unwrap();
    }

    /// One round on a box, as cron runs it.
    fn begin_round(&self, number: u32) -> Child {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/examples/two-boxes.sh");
        let path = format!("{}:/usr/bin:/bin", self.directory(number).display());
        let mut command = Command::new("/usr/bin/env");
        command.args(["-i", &format!("PATH={path}"), "/sbin/ip", "netns", "exec"]);
        command.args([&format!("box{number}"), script]).arg(self.directory(number).join("conf"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    #[track_caller]
    fn round(&self, number: u32) {
        finish(self.begin_round(number));
    }

    /// Boxes that have the address.
    fn owners(&self, ip: &str) -> Vec<u32> {
        let has = |number: &u32| {
            let shown = self.host.sh(&format!("ip -n box{number} -o addr show to {ip}"));
            !shown.is_empty()
        };
        [1, 2].into_iter().filter(has).collect()
    }

    fn reaches(&self, from: &str, ip: &str) -> bool {
        let ping =
            format!("ip netns exec {from} ping -c 1 -W 1 {ip} >/dev/null && echo yes || true");
        !self.host.sh(&ping).is_empty()
    }

    /// Which box the client reaches at an address.
    #[track_caller]
    fn client_reaches(&self, ip: &str) -> u32 {
        self.host.await_that("an answer for the client", || self.reaches("client", ip));
        let known = self.host.sh(&format!("ip -n client neigh show {ip}"));
        let is_box = |number: &u32| known.contains(&self.host.mac(&format!("box{number}"), "eth0"));
        [1, 2].into_iter().find(is_box).unwrap_or_else(|| panic!("nobody's: {known}"))
    }

    /// Subjects of the mails that a box sent, in no order.
    fn subjects(&self, number: u32) -> Vec<String> {
        let files = fs::read_dir(self.directory(number)).unwrap().flatten();
        let mails = files.filter(|file| file.file_name().to_string_lossy().starts_with("mail."));
        let subject = |mail: String| {
            mail.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap().to_owned()
        };
        mails.map(|file| subject(fs::read_to_string(file.path()).unwrap())).collect()
    }

    #[track_caller]
    fn await_mail(&self, number: u32, words: &str) {
        self.host.await_that(words, || {
            self.subjects(number).iter().any(|subject| subject.contains(words))
        });
    }

    /// Whether the cable between a box and the switch is in.
    fn cable(&self, number: u32, state: &str) {
        self.host.sh(&format!("ip link set box{number} {state}"));
    }
}

#[track_caller]
fn finish(child: Child) {
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.is_empty(), "{:?} {said}", output.status);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_dead_box_is_replaced_within_two_rounds_and_gets_its_address_back() {
    let boxes = Boxes::new();
    for number in [1, 2] {
        boxes.round(number);
    }
    assert_eq!((boxes.owners(FIRST), boxes.owners(SECOND)), (vec![1], vec![2]));
    assert_eq!(boxes.client_reaches(FIRST), 1);
    assert!(boxes.subjects(1).is_empty() && boxes.subjects(2).is_empty());

    // It loses its power, and with it what it had configured.
    boxes.cable(1, "down");
    boxes.host.sh(&format!(
        "ip -n box1 addr del {FIRST}/24 dev eth0; rm -r {}/rsctmp",
        boxes.directory(1).display()
    ));
    boxes.round(2);
    assert_eq!(boxes.owners(FIRST), Vec::<u32>::new(), "one silence moves nothing");
    boxes.round(2);
    assert_eq!(boxes.owners(FIRST), [2]);
    assert_eq!((boxes.client_reaches(FIRST), boxes.client_reaches(SECOND)), (2, 2));
    boxes.await_mail(2, "192.0.2.101 was silent twice, 192.0.2.11 is here now");
    boxes.round(2);
    assert_eq!(boxes.subjects(2).len(), 1, "told once");

    // It is back, and cron begins both rounds in the same second.
    boxes.cable(1, "up");
    boxes.host.await_that("the switch", || boxes.reaches("box2", "192.0.2.101"));
    let rounds = [1, 2].map(|number| boxes.begin_round(number));
    rounds.into_iter().for_each(finish);
    assert_eq!((boxes.owners(FIRST), boxes.owners(SECOND)), (vec![1], vec![2]));
    assert_eq!(boxes.client_reaches(FIRST), 1);
    boxes.await_mail(2, "192.0.2.101 answers again, 192.0.2.11 was given back");
    assert_eq!(boxes.subjects(2).len(), 2);
    assert!(boxes.subjects(1).is_empty());
}

/// The reason why the example uses an agent that asks before it takes.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_box_that_only_does_not_answer_pings_keeps_its_address() {
    let boxes = Boxes::new();
    boxes.round(1);
    boxes.host.sh("ip netns exec box1 sysctl -qw net.ipv4.icmp_echo_ignore_all=1");
    for _ in 0..3 {
        boxes.round(2);
        assert_eq!(boxes.owners(FIRST), [1]);
    }
    let mac = boxes.host.mac("box1", "eth0");
    boxes.await_mail(2, &format!("192.0.2.11 was NOT taken: another host has {FIRST}: {mac}"));
    assert_eq!(boxes.subjects(2).len(), 1, "{:?}", boxes.subjects(2));
    boxes.host.sh("ip netns exec box1 sysctl -qw net.ipv4.icmp_echo_ignore_all=0");
    boxes.round(2);
    boxes.await_mail(2, "192.0.2.101 answers again");
    assert_eq!((boxes.owners(FIRST), boxes.client_reaches(FIRST)), (vec![1], 1));
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_box_that_is_cut_off_takes_nothing() {
    let boxes = Boxes::new();
    boxes.round(1);
    // With the cable in, and behind a switch that forwards nothing.
    boxes.host.sh("ip link set box2 master br1");
    for _ in 0..3 {
        boxes.round(2);
    }
    // With the cable out, and nobody to ask about it.
    let conf = boxes.directory(2).join("conf");
    let lines = fs::read_to_string(&conf).unwrap();
    fs::write(&conf, lines.replace("witness=192.0.2.254", "witness=")).unwrap();
    boxes.cable(2, "down");
    for _ in 0..3 {
        boxes.round(2);
    }
    assert_eq!(boxes.owners(FIRST), [1]);
    boxes.await_mail(2, "192.0.2.11 was NOT taken: cannot bring 192.0.2.11 up: eth0 has no link");
}

/// Two silences count when nothing is between them. A box that was cut off itself meanwhile begins to count anew.
#[test]
#[ignore = "needs root: tests/run netns"]
fn silences_of_before_and_after_a_cut_are_not_two_in_a_row() {
    let boxes = Boxes::new();
    boxes.cable(1, "down");
    boxes.host.sh(&format!("ip -n box1 addr flush to {FIRST}"));
    boxes.round(2);
    boxes.host.sh("ip link set box2 master br1");
    boxes.round(2);
    boxes.host.sh("ip link set box2 master br0");
    boxes.host.await_that("the switch", || boxes.reaches("box2", "192.0.2.254"));
    boxes.round(2);
    assert_eq!(boxes.owners(FIRST), Vec::<u32>::new());
    boxes.round(2);
    assert_eq!(boxes.owners(FIRST), [2]);
}

/// What this cluster cannot do, and why the page says that it replaces no fencing.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_cut_between_the_boxes_makes_two_owners_until_it_is_mended() {
    let boxes = Boxes::new();
    boxes.round(1);
    boxes.round(2);
    // Box 1 and box 2 hear each other no longer, and each has its part of the network: the client is on that of box 2.
    boxes.host.sh("ip link set box1 master br1");
    boxes.round(2);
    boxes.round(2);
    assert_eq!(boxes.owners(FIRST), [1, 2]);
    assert_eq!(boxes.client_reaches(FIRST), 2);
    boxes.host.sh("ip link set box1 master br0");
    boxes.host.await_that("the switch", || boxes.reaches("box2", "192.0.2.101"));
    boxes.round(2);
    assert_eq!(boxes.owners(FIRST), [1], "one round after the cut is mended");
    boxes.round(1);
    boxes.host.await_that("the client to hear box 1", || boxes.client_reaches(FIRST) == 1);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_box_may_have_nothing_of_its_own_and_only_stand_by() {
    let boxes = Boxes::new();
    for (number, name) in [(1, "theirs"), (2, "own")] {
        let conf = boxes.directory(number).join("conf");
        let lines = fs::read_to_string(&conf).unwrap();
        fs::write(&conf, format!("{lines}{name}=\n")).unwrap();
        boxes.round(number);
    }
    assert_eq!((boxes.owners(FIRST), boxes.owners(SECOND)), (vec![1], vec![]));
    boxes.cable(2, "down");
    boxes.round(1);
    boxes.round(1);
    assert!(boxes.subjects(1).is_empty(), "nobody misses a box that has nothing");
    boxes.cable(2, "up");
    boxes.cable(1, "down");
    boxes.host.await_that("the switch", || boxes.reaches("box2", "192.0.2.254"));
    boxes.round(2);
    boxes.round(2);
    assert_eq!(boxes.client_reaches(FIRST), 2);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_round_that_finds_another_one_at_work_ends_at_once() {
    let boxes = Boxes::new();
    boxes.cable(1, "down");
    let first = boxes.begin_round(2);
    let silent = boxes.directory(2).join("state/silent");
    boxes.host.await_that("the lock", || boxes.directory(2).join("state/lock").exists());
    std::thread::sleep(Duration::from_millis(200));
    for _ in 0..3 {
        boxes.round(2);
    }
    finish(first);
    assert_eq!(fs::read_to_string(silent).unwrap(), "1\n", "one round was counted");
}
