//! `MailTo`: who gets which mail, and that nobody waits for it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};

use crate::kills::{kill_at, system_calls};
use crate::support::{Call, Host};

/// What an action may take on a busy machine; those that hang here would take far longer.
const AT_ONCE: Duration = Duration::from_secs(2);

/// A sendmail that keeps what it gets, by number.
const KEEPS: &str = "n=$(ls \"$DIR\"/mail.* 2>/dev/null | wc -l); echo \"$@\" >\"$DIR/words\"
cat >\"$DIR/new.$$\"; mv \"$DIR/new.$$\" \"$DIR/mail.$n.$$\"";

/// Puts a sendmail in place.
fn sendmail(host: &Host, script: &str) {
    let directory = host.path("tools");
    fs::create_dir_all(&directory).unwrap();
    let program = directory.join("sendmail");
    let script = format!("#!/bin/sh\nDIR={}\n{script}\n", host.path("").display());
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
}

fn mailto(host: &Host) -> Call {
    let path = format!("{}:/usr/bin:/bin", host.path("tools").display());
    host.agent("MailTo").param("email", "admin@example.org").env("PATH", path)
}

fn mails(host: &Host) -> Vec<String> {
    let files = fs::read_dir(host.path("")).unwrap().flatten();
    let named = files.filter(|file| file.file_name().to_string_lossy().starts_with("mail."));
    named.map(|file| fs::read_to_string(file.path()).unwrap()).collect()
}

#[track_caller]
fn await_mails(host: &Host, count: usize) -> Vec<String> {
    host.await_that("the mail", || mails(host).len() >= count);
    mails(host)
}

/// Processes of this network namespace that hand a mail over.
fn couriers() -> Vec<String> {
    let own = fs::read_link("/proc/thread-self/ns/net").unwrap();
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let found = processes.filter(|path| {
        fs::read(path.join("cmdline")).is_ok_and(|words| words.starts_with(b"ocfbox\0deliver\0"))
            && fs::read_link(path.join("ns/net")).is_ok_and(|namespace| namespace == own)
    });
    found.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

/// Ends those processes, which would wait for minutes.
fn dismiss() {
    for process in couriers() {
        let pid = nix::unistd::Pid::from_raw(process.parse().unwrap());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
    }
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn sendmail_gets_who_what_where_why_and_when() {
    let host = Host::new();
    sendmail(&host, KEEPS);
    let mailto = mailto(&host)
        .param("email", "admin@example.org, root")
        .param("subject", "Web group")
        .param("from", "cluster@example.org")
        .param("crm_feature_set", "3.16.2")
        .param("CRM_meta_on_node", "node-two");
    mailto.run("monitor").code(7);
    assert!(mailto.run("start").code(0).took < AT_ONCE);
    mailto.run("monitor").code(0).silent();
    let mail = await_mails(&host, 1).remove(0);
    let name = host.sh("uname -n");
    let name = name.trim();
    for line in [
        "From: cluster@example.org\n".to_owned(),
        "To: admin@example.org,\n root\n".to_owned(),
        "Subject: Web group Takeover in progress at ".to_owned(),
        format!(" on {name}\n"),
        "Auto-Submitted: auto-generated\n".to_owned(),
        "\n\nWeb group is being started on ".to_owned(),
        "Who:   Pacemaker\n".to_owned(),
        "What:  start of test\n".to_owned(),
        "From:  not told by the caller\n".to_owned(),
        format!("To:    node-two (host {name})\n"),
        "Why:   Pacemaker does not tell".to_owned(),
        "When:  ".to_owned(),
    ] {
        assert!(mail.contains(&line), "no {line:?} in {mail}");
    }
    // The date is that of another clock: the one of date(1).
    let year = host.sh("date +%Y").trim().to_owned();
    let header = |name: &str| mail.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(header("Date: ").contains(&format!(" {year} ")), "{mail}");
    let parsed =
        host.sh(&format!("date -d '{}' +%s", header("Date: ").trim_start_matches("Date: ")));
    let now: i64 = host.sh("date +%s").trim().parse().unwrap();
    assert!((now - parsed.trim().parse::<i64>().unwrap()).abs() < 60, "{mail}");
    assert_eq!(fs::read_to_string(host.path("words")).unwrap(), "-t -i\n");
    assert_eq!(host.log(), "", "what works is not told");

    mailto.run("stop").code(0);
    let all = await_mails(&host, 2);
    let stopped = all.iter().find(|mail| mail.contains("What:  stop of test\n")).unwrap();
    assert!(stopped.contains("Subject: Web group Migrating resource away at "), "{stopped}");
    assert!(stopped.contains(&format!("From:  node-two (host {name})\n")), "{stopped}");
    mailto.run("monitor").code(7);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn one_state_is_told_once() {
    let host = Host::new();
    sendmail(&host, KEEPS);
    let mailto = mailto(&host);
    mailto.run("stop").code(0);
    let mut callers: Vec<_> = (0..8).map(|_| mailto.command("start").spawn().unwrap()).collect();
    for caller in &mut callers {
        assert!(caller.wait().unwrap().success());
    }
    mailto.run("start").code(0);
    host.await_that("the couriers' end", || couriers().is_empty());
    assert_eq!(mails(&host).len(), 1);
    mailto.run("stop").code(0);
    mailto.run("stop").code(0);
    host.await_that("the couriers' end", || couriers().is_empty());
    assert_eq!(mails(&host).len(), 2);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn without_sendmail_everything_works_and_the_log_says_so() {
    let host = Host::new();
    fs::create_dir(host.path("empty")).unwrap();
    // One that the machine may have is out of sight.
    host.sh("for directory in /usr/sbin /usr/bin; do [ ! -e $directory/sendmail ] || mount --bind /dev/null $directory/sendmail; done");
    let mailto = mailto(&host);
    for (action, code) in
        [("start", 0), ("monitor", 0), ("stop", 0), ("monitor", 7), ("validate-all", 0)]
    {
        mailto.run(action).code(code);
    }
    assert_eq!(
        host.log()
            .matches("WARNING: no mail is sent: the program sendmail is not installed")
            .count(),
        2
    );
    let looks = mailto.env("OCF_CHECK_LEVEL", "10");
    looks.run("validate-all").code(5).because(&["sendmail is not installed", "give relay"]);
    sendmail(&host, KEEPS);
    looks.run("validate-all").code(0);
    // What ocf-tester plays.
    let hidden = looks.env("OCF_TESTER_FAIL_HAVE_BINARY", "1");
    hidden.run("validate-all").code(5);
    hidden.run("start").code(0);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_sendmail_that_fails_is_quoted_in_the_log() {
    let host = Host::new();
    sendmail(&host, "cat >/dev/null; echo 'fatal: queue is full' >&2; exit 69");
    assert!(mailto(&host).run("start").code(0).took < AT_ONCE);
    host.await_that("the log", || host.log().contains("fatal: queue is full"));
    let log = host.log();
    assert!(
        log.contains("MailTo(test)[")
            && log.contains("WARNING: nobody took the mail to admin@example.org"),
        "{log}"
    );
    mailto(&host).run("monitor").code(0);
}

/// As those do that have no queue, while the network is still on its way.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_sendmail_that_says_later_is_asked_again() {
    let host = Host::new();
    sendmail(
        &host,
        &format!("[ -e \"$DIR/asked\" ] || {{ touch \"$DIR/asked\"; exit 75; }}\n{KEEPS}"),
    );
    assert!(mailto(&host).run("start").code(0).took < AT_ONCE);
    await_mails(&host, 1);
    host.await_that("the courier's end", || couriers().is_empty());
    assert_eq!((mails(&host).len(), host.log()), (1, String::new()));
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_sendmail_that_hangs_delays_nothing_and_is_ended() {
    let host = Host::new();
    sendmail(&host, "echo $$ >\"$DIR/hangs\"; exec sleep 1000");
    let debug = host.path("debug");
    let mailto =
        mailto(&host).param("timeout", "0.5").env("HA_debug", "1").env("HA_DEBUGLOG", &debug);
    for action in ["start", "stop"] {
        assert!(mailto.run(action).code(0).took < AT_ONCE);
    }
    host.await_that("the second try to be announced", || {
        fs::read_to_string(&debug).unwrap_or_default().contains("again in 2s")
    });
    let pid = fs::read_to_string(host.path("hangs")).unwrap();
    let gone = || {
        fs::read(format!("/proc/{}/cmdline", pid.trim()))
            .map_or(true, |words| !words.starts_with(b"sleep\0"))
    };
    host.await_that("the hanging one's end", gone);
    dismiss();
}

/// Whoever reads the agent's output until its end must not wait for the mail.
#[test]
#[ignore = "needs root: tests/run netns"]
fn the_process_left_behind_holds_nothing_of_the_callers() {
    let host = Host::new();
    sendmail(&host, "exec sleep 1000");
    let mut command = mailto(&host).command("start");
    command.env("SECRET_OF_THE_CALLER", "1").current_dir(host.path(""));
    let done = Call::finish(command).code(0);
    assert!(done.took < AT_ONCE, "the pipes are closed: {:?}", done.took);
    // The first is the process that was left behind; before sendmail runs, its fork may look like a second one.
    let couriers = couriers();
    let pid = couriers.iter().min_by_key(|pid| pid.parse::<u32>().unwrap()).unwrap();
    assert_eq!(host.sh(&format!("readlink /proc/{pid}/cwd")).trim(), "/");
    host.await_that("its own session", || {
        let session = host.sh(&format!("cut -d ' ' -f 6 /proc/{pid}/stat"));
        session.trim() == pid
    });
    let variables = fs::read(format!("/proc/{pid}/environ")).unwrap();
    assert!(!String::from_utf8_lossy(&variables).contains("SECRET"));
    for line in host.sh(&format!("ls -l /proc/{pid}/fd")).lines().filter(|line| line.contains("->"))
    {
        let harmless = ["/dev/null", "pipe:", "pidfd", "anon_inode:"];
        assert!(harmless.iter().any(|kind| line.contains(kind)), "{line}");
    }
    dismiss();
}

/// A mail server at the far end; what its client said, conversation by conversation.
struct Sink(Receiver<String>);

impl Sink {
    fn start(address: &'static str, talk: fn(&mut TcpStream, usize) -> String) -> Self {
        let (tell, told) = mpsc::channel();
        let (ready, is_ready) = mpsc::channel();
        std::thread::spawn(move || {
            let far = fs::File::open("/run/netns/far").unwrap();
            setns(&far, CloneFlags::CLONE_NEWNET).unwrap();
            let listener = TcpListener::bind(address).unwrap();
            ready.send(()).unwrap();
            for (number, stream) in listener.incoming().enumerate() {
                let mut stream = stream.unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                if tell.send(talk(&mut stream, number)).is_err() {
                    return;
                }
            }
        });
        is_ready.recv().unwrap();
        Self(told)
    }

    #[track_caller]
    fn heard(&self) -> String {
        self.0.recv_timeout(Duration::from_secs(30)).expect("a conversation")
    }
}

/// Takes every mail, and says more than it has to.
fn takes(stream: &mut TcpStream, _: usize) -> String {
    let mut heard = String::new();
    let mut lines = BufReader::new(stream.try_clone().unwrap());
    let _ = stream.write_all(b"220-welcome\r\n220 mail.example.org\r\n");
    let mut in_text = false;
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).unwrap_or(0) == 0 {
            return heard;
        }
        heard.push_str(&line);
        let reply = match line.as_str() {
            ".\r\n" if in_text => {
                in_text = false;
                "250 2.0.0 queued\r\n"
            }
            _ if in_text => continue,
            "DATA\r\n" => {
                in_text = true;
                "354 go on\r\n"
            }
            "QUIT\r\n" => "221 bye\r\n",
            _ if line.starts_with("EHLO") => {
                "250-mail.example.org\r\n250-SIZE 10000000\r\n250 8BITMIME\r\n"
            }
            _ => "250 ok\r\n",
        };
        let _ = stream.write_all(reply.as_bytes());
        if line == "QUIT\r\n" {
            return heard;
        }
    }
}

fn later_then_takes(stream: &mut TcpStream, number: usize) -> String {
    if number > 0 {
        return takes(stream, number);
    }
    let _ = stream.write_all(b"421 come back later\r\n");
    "refused".to_owned()
}

/// Greylists one of the recipients.
fn takes_some_later(stream: &mut TcpStream, number: usize) -> String {
    if number > 0 {
        return takes(stream, number);
    }
    let mut lines = BufReader::new(stream.try_clone().unwrap());
    let mut heard = String::new();
    let replies = [
        "220 a",
        "250 b",
        "250 c",
        "450 greylisted",
        "550 nobody",
        "250 d",
        "354 e",
        "250 f",
        "221 g",
    ];
    for reply in replies {
        let _ = stream.write_all(format!("{reply}\r\n").as_bytes());
        loop {
            let mut line = String::new();
            if lines.read_line(&mut line).unwrap_or(0) == 0 {
                return heard;
            }
            heard.push_str(&line);
            if !reply.starts_with("354") || line == ".\r\n" {
                break;
            }
        }
    }
    heard
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn who_is_refused_for_now_gets_the_mail_later_and_nobody_gets_it_twice() {
    let host = Host::new();
    let sink = Sink::start("192.0.2.2:2525", takes_some_later);
    let mailto = mailto(&host).param("relay", "192.0.2.2:2525");
    mailto.param("email", "a@example.org,b@example.org,c@example.org").run("start").code(0);
    let first = sink.heard();
    assert!(first.contains("\r\n.\r\n"), "{first}");
    let second = sink.heard();
    let recipients: Vec<&str> =
        second.lines().filter(|line| line.starts_with("RCPT TO:")).collect();
    assert_eq!(recipients, ["RCPT TO:<a@example.org>"]);
    host.await_that("the courier's end", || couriers().is_empty());
    let log = host.log();
    assert!(
        log.contains("not for everybody: 192.0.2.2:2525 refused b@example.org: 550 nobody"),
        "{log}"
    );
    assert_eq!(log.lines().count(), 1, "{log}");
}

fn refuses(stream: &mut TcpStream, _: usize) -> String {
    let _ = stream.write_all(b"554-no mail\r\n554 from you\r\n");
    String::new()
}

fn talks_garbage(stream: &mut TcpStream, _: usize) -> String {
    let _ = stream.write_all(&[0xff, 0x00, 0x1b, b'[', b'2', b'J', b'\n', 0xfe]);
    String::new()
}

fn is_silent(stream: &mut TcpStream, _: usize) -> String {
    let mut line = String::new();
    let _ = BufReader::new(stream).read_line(&mut line);
    line
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_relay_gets_the_mail_over_ipv4_ipv6_and_by_name() {
    let host = Host::new();
    host.sh(&format!(
        "echo '192.0.2.2 relay.example.org' >{hosts}; mount --bind {hosts} /etc/hosts",
        hosts = host.path("hosts").display()
    ));
    let sink = Sink::start("[::]:2525", takes);
    for relay in ["192.0.2.2:2525", "[2001:db8::2]:2525", "relay.example.org:2525"] {
        let mailto = mailto(&host)
            .param("email", "admin@example.org,root")
            .param("from", "cluster@example.org")
            .param("relay", relay)
            .param("subject", "Überwachung")
            .param("reason", ".\nRCPT TO:<victim@example.org>");
        assert!(mailto.run("start").code(0).took < AT_ONCE);
        let heard = sink.heard();
        let commands: Vec<&str> = heard.lines().take(5).collect();
        assert_eq!(commands[1], "MAIL FROM:<cluster@example.org>", "{relay}: {heard}");
        assert_eq!(
            commands[2..],
            ["RCPT TO:<admin@example.org>", "RCPT TO:<root@example.org>", "DATA"],
            "{relay}"
        );
        assert!(heard.contains("\r\nTo: admin@example.org,\r\n root@example.org\r\n"), "{heard}");
        assert!(heard.contains("\r\nSubject: =?UTF-8?Q?=C3=9Cberwachung_"), "{heard}");
        assert!(heard.contains("\r\nContent-Transfer-Encoding: quoted-printable\r\n"), "{heard}");
        assert!(heard.contains("\r\nWhy:   . RCPT TO:<victim@example.org>\r\n"), "{heard}");
        assert!(
            heard.ends_with("\r\n.\r\nQUIT\r\n") && heard.matches("\r\n.\r\n").count() == 1,
            "{heard}"
        );
        assert_eq!(heard.lines().filter(|line| line.starts_with("RCPT")).count(), 2);
        // The far end has neither a sendmail nor a reason to be told of.
        assert_eq!(host.log(), "");
        fs::remove_file("/run/resource-agents/MailTo_test").unwrap();
    }
    let looks = mailto(&host).param("relay", "192.0.2.2:2525").env("OCF_CHECK_LEVEL", "10");
    looks.run("validate-all").code(0);
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_relay_that_says_later_is_asked_again() {
    let host = Host::new();
    let sink = Sink::start("192.0.2.2:2525", later_then_takes);
    mailto(&host).param("relay", "192.0.2.2:2525").run("start").code(0);
    assert_eq!(sink.heard(), "refused");
    assert!(sink.heard().contains("\r\nSubject: Resource Group Takeover in progress at "));
    host.await_that("the courier's end", || couriers().is_empty());
    assert_eq!(host.log(), "");
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn a_relay_that_refuses_is_quoted_in_the_log() {
    let host = Host::new();
    let _refuses = Sink::start("192.0.2.2:2501", refuses);
    let _garbage = Sink::start("192.0.2.2:2502", talks_garbage);
    for (port, words) in [
        (2501, "192.0.2.2:2501 greeted with: 554 no mail from you"),
        (2502, "192.0.2.2:2502 is no mail server: it said"),
    ] {
        let mailto = mailto(&host).param("relay", format!("192.0.2.2:{port}"));
        for action in ["start", "stop"] {
            assert!(mailto.run(action).code(0).took < AT_ONCE);
        }
        host.await_that("the log", || host.log().matches(words).count() == 2);
    }
    assert!(!host.log().contains('\x1b'), "{:?}", host.log());
}

/// Dead, deaf, silent, without a name: nothing of it is the resource's trouble.
#[test]
#[ignore = "needs root: tests/run netns"]
fn no_relay_delays_or_fails_an_action() {
    let host = Host::new();
    let _silent = Sink::start("192.0.2.2:2503", is_silent);
    host.sh(&format!(
        "echo 'nameserver 192.0.2.77' >{file}; mount --bind {file} /etc/resolv.conf",
        file = host.path("resolv.conf").display()
    ));
    let relays = [
        "192.0.2.2:2503",
        "192.0.2.2:9",
        "192.0.2.77:25",
        "198.51.100.1:25",
        "nowhere.example.org",
    ];
    let debug = host.path("debug");
    for relay in relays {
        let mailto = mailto(&host).param("relay", relay).param("timeout", "2");
        let mailto = mailto.env("HA_debug", "1").env("HA_DEBUGLOG", &debug);
        for (action, code) in [("start", 0), ("monitor", 0), ("stop", 0), ("monitor", 7)] {
            let took = mailto.run(action).code(code).took;
            assert!(took < AT_ONCE, "{relay} {action}: {took:?}");
        }
        let begin = Instant::now();
        let code = i32::from(relay != relays[0]);
        mailto.env("OCF_CHECK_LEVEL", "10").run("validate-all").code(code);
        assert!(begin.elapsed() < Duration::from_secs(10), "{relay}: {:?}", begin.elapsed());
    }
    let told = || fs::read_to_string(&debug).unwrap_or_default();
    for words in [
        "192.0.2.2:2503: waited for its greeting: nothing within 2s",
        "cannot reach 192.0.2.2:9: Connection refused",
        "cannot reach 198.51.100.1:25: Network is unreachable",
        "cannot reach nowhere.example.org",
    ] {
        host.await_that(words, || told().contains(words));
    }
    dismiss();
}

/// A marker that is somebody else's is no start of ours.
#[test]
#[ignore = "needs root: tests/run netns"]
fn a_marker_that_is_somebody_elses_stays_and_nobody_is_told() {
    let host = Host::new();
    sendmail(&host, KEEPS);
    host.sh("mkdir -p /run/resource-agents; ln -s /etc/passwd /run/resource-agents/MailTo_test");
    mailto(&host).run("start").code(1).because(&["state file"]);
    mailto(&host).run("monitor").code(1);
    mailto(&host).run("stop").code(0);
    assert!(couriers().is_empty() && mails(&host).is_empty());
    assert_eq!(host.sh("readlink /run/resource-agents/MailTo_test").trim(), "/etc/passwd");
}

#[test]
#[ignore = "needs root: tests/run netns"]
fn no_header_comes_in_by_a_parameter() {
    let host = Host::new();
    sendmail(&host, KEEPS);
    for email in [
        "a@example.org\nBcc: victim@example.org",
        "a@example.org,-fvictim@example.org",
        "a b",
        "a@example.org,,b",
    ] {
        mailto(&host).param("email", email).run("start").code(6).because(&["parameter email: "]);
    }
    let mailto = mailto(&host)
        .param("subject", "x\nBcc: victim@example.org\n\nbody")
        .param("reason", "y\r\nBcc: z@example.org");
    mailto.run("start").code(0);
    let mail = await_mails(&host, 1).remove(0);
    let (head, _) = mail.split_once("\n\n").unwrap();
    assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{mail}");
    assert!(
        head.contains("Subject: x Bcc: victim@example.org  body y  Bcc: z@example.org at "),
        "{mail}"
    );
}

/// Killed at each of its system calls in turn: the state is the one before or the one after, and never one that stop
/// could not end; and no mail is half a mail.
#[test]
#[ignore = "needs root: tests/run netns"]
fn whatever_a_killed_agent_leaves_the_next_stop_cleans() {
    let host = Host::new();
    sendmail(&host, KEEPS);
    let mailto = mailto(&host);
    for action in ["start", "stop"] {
        let prepare = || mailto.run(if action == "start" { "stop" } else { "start" }).code(0).took;
        prepare();
        let calls = system_calls(&host, &mailto, action);
        for (name, ordinal) in calls {
            prepare();
            kill_at(&mailto, action, &name, ordinal);
            let said = mailto.run("monitor").code;
            assert!(
                [Some(0), Some(7)].contains(&said),
                "{name} number {ordinal} of {action}: {said:?}"
            );
            mailto.run("stop").code(0);
            mailto.run("monitor").code(7);
        }
    }
    host.await_that("the couriers' end", || couriers().is_empty());
    for mail in mails(&host) {
        assert!(mail.starts_with("Date: ") && mail.contains("\nWhen:  "), "{mail:?}");
    }
}
