//! `ibmmq` with a stand-in for the product (tests/mq/), which cannot be had here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::mq;
use crate::support::{COPY_ETC, Call, Host, set_mode, tree};

/// A host with the stand-in, the user mqm, and queue managers.
struct Site(Host);

impl std::ops::Deref for Site {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.0
    }
}

impl Site {
    /// A command of the stand-in is a shell, whose `sleep` may outlast it.
    #[track_caller]
    fn await_no_sleep(&self) {
        self.await_that("the end of a sleep", || {
            self.living().iter().all(|(_, words)| !words.starts_with("sleep"))
        });
    }

    fn new(managers: &[&str]) -> Self {
        let site = Self(Host::new());
        mq::install(&site.path("mq"));
        // Not mounts over the single files: they go when somebody adds a user to this machine.
        site.sh(COPY_ETC);
        site.sh(r"sed -i /^mqm:/d /etc/passwd /etc/group
            echo mqm:x:2017:2017::/nonexistent:/usr/sbin/nologin >>/etc/passwd
            echo mqm:x:2017: >>/etc/group");
        for name in managers {
            site.define(name);
        }
        site
    }

    fn define(&self, name: &str) {
        mq::define(&self.path("mq"), name);
        self.sh(&format!("chown -R mqm:mqm {}", self.text("mq/var")));
    }

    fn manager(&self, name: &str) -> Call {
        self.agent("ibmmq")
            .env("OCF_RESOURCE_INSTANCE", format!("mq-{name}"))
            .param("qmgr", name)
            .param("mq_installation_path", self.path("mq"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path("mq/var/QM1").join(name)
    }

    /// Writes a file that tells the stand-in how to behave.
    fn put(&self, name: &str, text: &str) {
        fs::write(self.file(name), text).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.file(name)).unwrap();
    }

    /// With which options a command of the stand-in was called, since it was asked last.
    fn calls(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.file(name)).unwrap_or_default();
        let _ = fs::remove_file(self.file(name));
        text.lines().map(str::to_owned).collect()
    }

    fn controller(&self) -> i32 {
        self.only_named("amqzxma0 -m QM1 ")
    }
}

#[test]
#[ignore = "needs root: tests/run services"]
fn a_queue_manager_starts_works_and_ends() {
    let site = Site::new(&["QM1"]);
    let manager =
        site.manager("QM1").param("test_queue", "PROBE").param("strmqm_opts", "-ns '-d x'");
    manager.run("validate-all").code(0);
    manager.clone().level(10).run("validate-all").code(0);
    manager.run("monitor").code(7);
    manager.run("start").code(0);
    for level in [0, 10, 20] {
        manager.clone().level(level).recurring().run("monitor").code(0);
        manager.clone().level(level).run("monitor").code(0);
    }
    manager.run("start").code(0);
    assert_eq!(site.calls("started"), ["-ns -d x QM1"], "once, with its options");
    assert_eq!(fs::read_to_string(site.file("user")).unwrap(), "mqm\n");
    let files: u64 = fs::read_to_string(site.file("nofile")).unwrap().trim().parse().unwrap();
    assert!(files >= 10_240, "{files}");
    let environment = fs::read_to_string(site.file("environment")).unwrap();
    let path = format!("PATH={}/bin:/usr/local/bin:/usr/bin:/bin:/opt/mqm/bin\n", site.text("mq"));
    assert!(environment.contains(&path) && environment.contains("USER=mqm\n"), "{environment}");
    assert_eq!(site.living().len(), 6, "{:?}", site.living());
    manager.run("stop").code(0);
    assert_eq!(site.calls("ended"), ["-i"]);
    assert_eq!(site.living(), []);
    manager.run("stop").code(0);
    manager.run("monitor").code(7);
    assert_eq!(site.calls("ended"), [""; 0]);
    let left = tree("/run/resource-agents");
    assert!(left.iter().all(|path| path.extension().is_some_and(|e| e == "lock")), "{left:?}");
}

/// Stop asks in one way after the other, and ends what does not listen.
#[test]
#[ignore = "needs root: tests/run services"]
fn stop_goes_from_one_way_to_the_next_and_leaves_nothing() {
    let site = Site::new(&["QM1"]);
    let cases: [(&str, &[&str], &[&str], &str); 7] = [
        ("20", &[], &["-c"], "controlled end"),
        ("0.5", &["ignore-c"], &["-c", "-i"], "did not end within"),
        ("0", &["ignore-i"], &["-i", "-p"], "preemptive end"),
        ("0", &["ignore-i", "ignore-p"], &["-i", "-p"], "killing what is left"),
        ("0.5", &["ignore-c", "ignore-i", "ignore-p"], &["-c", "-i", "-p"], "killing what is left"),
        ("0", &["stay-behind"], &["-i"], "killing what is left"),
        ("0", &["stay-ending"], &["-i", "-p"], "killing what is left"),
    ];
    for (controlled, files, expected, logged) in cases {
        let manager = site.manager("QM1").param("controlled_stop_timeout", controlled);
        let manager = match files {
            [] | ["stay-behind"] => manager,
            _ => manager
                .param("immediate_stop_timeout", "0.7")
                .param("preemptive_stop_timeout", "0.7"),
        };
        // A preemptive end that works gets the time that it needs on a machine that is busy.
        let manager = if files == ["ignore-i"] {
            manager.param("preemptive_stop_timeout", "20")
        } else {
            manager
        };
        let manager = if files == ["ignore-c"] {
            manager.param("immediate_stop_timeout", "20")
        } else {
            manager
        };
        manager.run("start").code(0);
        for file in files {
            site.put(file, "");
        }
        manager.run("stop").code(0);
        assert_eq!(site.calls("ended"), expected, "{files:?}: {}", site.log());
        site.await_no_sleep();
        assert_eq!(site.living(), [], "{files:?}");
        assert!(site.log().contains(logged), "{files:?}: {}", site.log());
        manager.run("monitor").code(7);
        for file in files {
            site.remove(file);
        }
        let _ = fs::remove_file(site.path("log"));
    }
}

#[test]
#[ignore = "needs root: tests/run services"]
fn a_refused_end_is_not_waited_for_and_long_waits_fit_into_the_timeout() {
    let site = Site::new(&["QM1"]);
    let manager = site.manager("QM1").param("immediate_stop_timeout", "600").within(30);
    manager.run("start").code(0);
    site.put("endmqm-code", "119");
    let outcome = manager.run("stop").code(0);
    assert!(outcome.took < Duration::from_secs(15), "{outcome:?}");
    assert!(
        site.log().contains("endmqm -i QM1 ended with exit code 119: AMQ0000E: refused"),
        "{}",
        site.log()
    );
    assert_eq!(site.living(), []);
    site.remove("endmqm-code");
    manager.run("start").code(0);
    site.put("ignore-i", "");
    site.put("ignore-p", "");
    let outcome = manager.within(8).run("stop").code(0);
    assert!(outcome.took < Duration::from_secs(8), "{outcome:?}");
    assert!(site.log().contains("does not fit into the action's timeout of 8 s"), "{}", site.log());
    assert_eq!(site.living(), []);
}

/// Each word of dspmq, without and with processes.
#[test]
#[ignore = "needs root: tests/run services"]
fn a_status_is_believed_as_far_as_the_processes_agree() {
    let site = Site::new(&["QM1"]);
    let manager = site.manager("QM1").recurring();
    let cases = [
        ("RUNNING", 1, 0, "RUNNING, but no amqzxma0"),
        ("Running", 1, 0, "RUNNING, but no amqzxma0"),
        ("STARTING", 7, 0, ""),
        ("QUIESCING", 7, 1, "QUIESCING"),
        ("ENDING IMMEDIATELY", 7, 1, "ENDING IMMEDIATELY"),
        ("ENDING PRE-EMPTIVELY", 7, 1, "ENDING PRE-EMPTIVELY"),
        ("ENDED NORMALLY", 7, 1, "says that QM1 is ENDED NORMALLY, but there is process"),
        ("ENDED UNEXPECTEDLY", 7, 1, "ENDED UNEXPECTEDLY"),
        ("RUNNING AS STANDBY", 7, 1, "endmqm -x"),
        ("RUNNING ELSEWHERE", 7, 1, "RUNNING ELSEWHERE"),
        ("NOT AVAILABLE", 7, 1, "NOT AVAILABLE"),
    ];
    for (words, gone, _, reason) in cases {
        site.put("says", words);
        let outcome = manager.run("monitor").code(gone);
        if gone == 1 {
            outcome.because(&[reason]);
        }
    }
    site.remove("says");
    manager.run("start").code(0);
    for (words, _, here, reason) in cases {
        site.put("says", words);
        let outcome = manager.run("monitor").code(here);
        if here == 1 {
            outcome.because(&[reason]);
        }
    }
    site.remove("says");
    manager.run("monitor").code(0);
    manager.run("stop").code(0);
}

/// A refusal of strmqm leaves nothing, and says what mends it.
#[test]
#[ignore = "needs root: tests/run services"]
fn each_code_of_strmqm_is_a_failed_start_with_its_reason() {
    let site = Site::new(&["QM1"]);
    let manager = site.manager("QM1").within(40);
    let cases = [
        ("16", 5, "crtmqm"),
        ("23", 1, "its log is not available"),
        ("24", 1, "previous instance"),
        ("30", 1, "only a standby started"),
        ("31", 1, "active instance"),
        ("49", 1, "stopping"),
        ("58", 2, "another installation"),
        ("71", 1, "AMQERR01.LOG"),
        ("119", 4, "group mqm"),
    ];
    for (code, expected, words) in cases {
        site.put("strmqm-code", code);
        let said = format!("exit code {code}: AMQ0000E");
        manager.run("start").code(expected).because(&["queue manager QM1", words, &said]);
        assert_eq!(site.living(), [], "{code}");
        let _ = fs::remove_file(site.file("standby"));
        site.put("status", "ENDED NORMALLY");
    }
    assert_eq!(site.calls("ended"), ["-x"], "the standby that code 30 left is ended as one");
}

/// Code 5 is no failure if it is true.
#[test]
#[ignore = "needs root: tests/run services"]
fn a_queue_manager_that_somebody_else_starts_meanwhile_is_started() {
    let site = Site::new(&["QM1"]);
    // It comes up between the question and strmqm.
    let bin = site.text("mq/bin");
    fs::rename(site.path("mq/bin/strmqm"), site.path("mq/bin/real")).unwrap();
    site.program(
        "mq/bin/strmqm",
        &format!("#!/bin/sh\n[ -e {bin}/../late ] || {{ touch {bin}/../late; {bin}/real QM1; exit 5; }}\nexec {bin}/real \"$@\"\n"),
    );
    set_mode(&site.path("mq"), 0o777);
    let manager = site.manager("QM1");
    manager.run("start").code(0);
    assert_eq!(site.calls("started"), ["QM1"]);
    manager.run("monitor").code(0);
    manager.run("stop").code(0);
    assert_eq!(site.living(), []);
}

#[test]
#[ignore = "needs root: tests/run services"]
fn start_waits_for_one_that_is_starting_or_ending() {
    let site = Site::new(&["QM1"]);
    let manager = site.manager("QM1").within(60);
    site.put("stay-starting", "");
    let mut start = manager.command("start").spawn().unwrap();
    site.await_that("STARTING", || {
        fs::read_to_string(site.file("status")).is_ok_and(|s| s == "STARTING")
    });
    manager.run("monitor").code(0);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(start.try_wait().unwrap(), None, "it waits");
    site.remove("stay-starting");
    assert_eq!(start.wait().unwrap().code(), Some(0), "{}", site.log());
    manager.run("monitor").code(0);
    assert_eq!(site.calls("started").len(), 1);
    site.put("stay-ending", "");
    site.put("request", "i");
    site.await_that("the end", || {
        fs::read_to_string(site.file("status")).is_ok_and(|s| s.starts_with("ENDING"))
    });
    manager.run("monitor").code(1).because(&["QM1 is ENDING IMMEDIATELY"]);
    let mut start = manager.command("start").spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(start.try_wait().unwrap(), None, "it waits");
    site.remove("stay-ending");
    assert_eq!(start.wait().unwrap().code(), Some(0), "{}", site.log());
    assert_eq!(site.calls("started").len(), 1, "started anew");
    manager.run("monitor").code(0);
    // Somebody else's strmqm is waited for too.
    manager.run("stop").code(0);
    site.calls("started");
    site.put("hang-strmqm", "");
    let bin = site.text("mq/bin");
    site.sh(&format!(
        "setsid setpriv --reuid mqm --regid mqm --clear-groups {bin}/strmqm QM1 >/dev/null 2>&1 </dev/null &"
    ));
    site.await_that("strmqm", || site.file("started").exists());
    manager.clone().within(5).run("start").code(1).because(&["ENDED", "strmqm"]);
    let mut start = manager.command("start").spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    site.remove("hang-strmqm");
    assert_eq!(start.wait().unwrap().code(), Some(0), "{}", site.log());
    assert_eq!(site.calls("started").len(), 1, "not a second time");
    // One that never gets there is a failed start that takes back what it did.
    manager.run("stop").code(0);
    site.put("stay-starting", "");
    manager.clone().within(8).run("start").code(1).because(&["is still STARTING"]);
    assert_eq!(site.living(), []);
    site.remove("stay-starting");
    site.put("hang-strmqm", "");
    manager.clone().within(6).run("start").code(1).because(&["strmqm", "did not end in time"]);
    assert_eq!(site.living(), []);
}

#[test]
#[ignore = "needs root: tests/run services"]
fn one_that_dies_at_once_is_a_failed_start_at_once() {
    let site = Site::new(&["QM1"]);
    let manager = site.manager("QM1").within(120);
    site.put("dies-at-once", "");
    let outcome = manager.run("start").code(1).because(&["did not stay", "ENDED UNEXPECTEDLY"]);
    assert!(outcome.took < Duration::from_secs(30), "{outcome:?}");
    assert_eq!(site.living(), []);
    manager.run("start").code(0);
    manager.run("stop").code(0);
}

#[test]
#[ignore = "needs root: tests/run services"]
fn level_10_asks_and_has_its_own_deadline() {
    let site = Site::new(&["QM1"]);
    let manager = site.manager("QM1").recurring().within(6);
    manager.clone().within(60).run("start").code(0);
    let deep = manager.clone().level(10);
    deep.clone().within(60).run("monitor").code(0);
    site.put("no-answer", "");
    deep.clone()
        .within(60)
        .run("monitor")
        .code(1)
        .because(&["ping qmgr", "exit code 20: AMQ8416E"]);
    site.remove("no-answer");
    site.put("hang-runmqsc", "");
    let outcome = deep.run("monitor").code(1).because(&["ping qmgr", "QM1", "did not answer for"]);
    assert!(outcome.took < Duration::from_secs(6), "{outcome:?}");
    manager.clone().within(60).run("monitor").code(0);
    assert!(
        !site.living().iter().any(|(_, words)| words.contains("runmqsc")),
        "{:?}",
        site.living()
    );
    manager.within(60).run("stop").code(0);
}

#[test]
#[ignore = "needs root: tests/run services"]
fn level_20_wants_its_own_message_back() {
    let site = Site::new(&["QM1"]);
    let manager = site.manager("QM1").within(60).param("test_queue", "PROBE").level(20);
    manager.run("start").code(0);
    let queue = site.file("queue-PROBE");
    manager.run("monitor").code(0);
    assert_eq!(tree(&queue), [""; 0].map(PathBuf::from), "the queue is drained");
    // A message of a killed monitor is before it.
    let put = |name: &str| {
        fs::write(queue.join(name), "414243\n").unwrap();
        site.sh(&format!("chown -R mqm {}", queue.display()));
    };
    put("1");
    manager.run("monitor").code(0);
    site.put("swallow", "");
    manager.run("monitor").code(1).because(&["queue PROBE of QM1", "nothing came back"]);
    put("1");
    manager.run("monitor").code(1).because(&["another one came back", "test_queue"]);
    site.remove("swallow");
    for name in ["1", "2", "3"] {
        put(name);
    }
    manager.run("monitor").code(1).because(&["cannot put a message on queue PROBE", "2053"]);
    manager.clone().param("test_queue", "NONE").run("monitor").code(1).because(&["NONE", "2085"]);
    manager
        .clone()
        .param("test_queue", "")
        .run("monitor")
        .code(1)
        .because(&["level 20", "test_queue"]);
    site.put("hang-dmpmqmsg", "");
    let outcome =
        manager.clone().within(6).run("monitor").code(1).because(&["dmpmqmsg", "did not answer"]);
    assert!(outcome.took < Duration::from_secs(6), "{outcome:?}");
    site.remove("hang-dmpmqmsg");
    let left = tree("/run/resource-agents");
    assert!(!left.iter().any(|path| path.to_string_lossy().contains("exchange")), "{left:?}");
    fs::remove_file(site.path("mq/bin/dmpmqmsg")).unwrap();
    manager.run("monitor").code(1).because(&["dmpmqmsg", "mq_installation_path"]);
    manager.run("stop").code(0);
}

/// The room of an exchange is nobody's to play with: the user cannot have root read or write another file.
#[test]
#[ignore = "needs root: tests/run services"]
fn a_link_in_the_place_of_the_answer_is_not_followed() {
    let site = Site::new(&["QM1"]);
    let manager = site.manager("QM1").param("test_queue", "PROBE").level(20);
    manager.run("start").code(0);
    let dump = site.program(
        "mq/bin/dmpmqmsg",
        "#!/bin/sh\n[ \"$3\" = -I ] || { stat -c '%a %U' $(dirname \"$6\") \"$6\" >$(dirname $0)/../var/QM1/modes; exit 0; }\nln -s /etc/shadow \"$6\"\nstat -c '%a %U' $(dirname \"$6\") >>$(dirname $0)/../var/QM1/modes\n",
    );
    assert!(Path::new(&dump).exists());
    manager.run("monitor").code(1).because(&["which dmpmqmsg wrote", "symbolic links"]);
    assert_eq!(site.calls("modes"), ["755 root", "644 root", "700 mqm"]);
    assert!(fs::metadata("/etc/shadow").unwrap().is_file());
    manager.run("stop").code(0);
}

#[test]
#[ignore = "needs root: tests/run services"]
fn command_server_listener_and_program_have_to_be_well() {
    let site = Site::new(&["QM1"]);
    let manager = site
        .manager("QM1")
        .within(60)
        .param("monitor_command_server", "true")
        .param("monitor_listener", "yes")
        .recurring();
    manager.run("start").code(0);
    manager.run("monitor").code(0);
    site.kill("KILL", site.only_named("amqpcsea QM1"));
    manager.run("monitor").code(1).because(&["command server of QM1", "strmqcsv QM1"]);
    manager.clone().param("monitor_command_server", "false").run("monitor").code(0);
    site.kill("KILL", site.only_named("runmqlsr -r -m QM1"));
    manager
        .clone()
        .param("monitor_command_server", "false")
        .run("monitor")
        .code(1)
        .because(&["listener"]);
    let plain = site.manager("QM1").within(60);
    plain.run("monitor").code(0);
    // A start that finds it so has not started it, and does not end it.
    manager.clone().within(5).run("start").code(1).because(&["command server"]);
    plain.run("monitor").code(0);
    plain.run("stop").code(0);
    // Whoever wants a listener that is not started with it has no working queue manager, and nothing stays.
    site.put("no-listener", "");
    manager.clone().within(8).run("start").code(1).because(&["no listener of QM1"]);
    assert_eq!(site.living(), []);
    plain.run("start").code(0);
    let program = site.program("looks", "#!/bin/sh\necho \"$(id -un) $1\"\nexit $2\n");
    let with = |words: &str| plain.clone().param("monitor_program", format!("{program} {words}"));
    with("'a b' 0").run("monitor").code(0);
    with("'a b' 3")
        .run("monitor")
        .code(1)
        .because(&["monitor_program of QM1", "exit code 3: mqm a b"]);
    let hangs = plain.clone().param("monitor_program", "/bin/sleep 600").within(5);
    hangs.run("monitor").code(1).because(&["monitor_program", "did not answer"]);
    assert!(
        !site.living().iter().any(|(_, words)| words.contains("sleep 600")),
        "{:?}",
        site.living()
    );
    plain.run("stop").code(0);
}

/// QM1 is neither QM10 nor QM.1, and QM.1 is not QMX1.
#[test]
#[ignore = "needs root: tests/run services"]
fn queue_managers_of_similar_names_are_left_alone() {
    let names = ["QM1", "QM10", "QM.1", "QMX1", "mqm"];
    let site = Site::new(&names);
    for name in names {
        site.manager(name).run("start").code(0);
    }
    assert_eq!(site.living().len(), 30, "{:?}", site.living());
    for (number, name) in names.into_iter().enumerate() {
        // Killed, without the product's help, which would not mistake them.
        let without = site.manager(name).param("mq_installation_path", "/nowhere");
        without.run("stop").code(0);
        site.manager(name).run("monitor").code(7);
        assert_eq!(site.living().len(), 24 - 6 * number, "{name}: {:?}", site.living());
        for other in &names[number + 1..] {
            site.manager(other).recurring().run("monitor").code(0);
        }
    }
    // One of a container is not ours.
    site.put("status", "RUNNING");
    let _ = fs::remove_file(site.file("gone"));
    site.sh(&format!(
        "setsid unshare --pid --fork {}/amqzlaa0 -mQM1 </dev/null >/dev/null 2>&1 &",
        site.text("mq/bin")
    ));
    site.await_that("a container", || {
        site.living().iter().any(|(_, words)| words.ends_with("amqzlaa0 -mQM1"))
    });
    site.put("status", "ENDED NORMALLY");
    site.manager("QM1").run("monitor").code(7);
    site.manager("QM1").run("stop").code(0);
    assert!(
        site.living().iter().any(|(_, words)| words.contains("amqzlaa0 -mQM1")),
        "{:?}",
        site.living()
    );
}

#[test]
#[ignore = "needs root: tests/run services"]
fn a_crash_is_told_and_what_it_left_is_ended() {
    let site = Site::new(&["QM1"]);
    let manager = site.manager("QM1").within(60).recurring();
    manager.run("start").code(0);
    site.kill("KILL", site.controller());
    manager.run("monitor").code(1).because(&["ENDED UNEXPECTEDLY", "amqzmuc0"]);
    assert_eq!(site.living().len(), 5, "{:?}", site.living());
    // Its leftovers are in the way of the next one, as code 24 says.
    manager.run("start").code(0);
    manager.run("monitor").code(0);
    assert!(site.log().contains("ending what an earlier life of QM1 left"), "{}", site.log());
    assert_eq!(site.living().len(), 6);
    site.kill("KILL", site.controller());
    manager.run("stop").code(0);
    assert_eq!(site.living(), []);
    manager.run("monitor").code(7);
    assert!(site.log().contains("QM1 ended unexpectedly: it crashed"), "{}", site.log());
    // Ended by hand.
    manager.run("start").code(0);
    site.sh(&format!("{}/endmqm -i QM1", site.text("mq/bin")));
    manager.run("monitor").code(7);
    assert!(site.log().contains("somebody ended it outside of the cluster"), "{}", site.log());
}

#[test]
#[ignore = "needs root: tests/run services"]
fn a_stopped_process_is_a_failed_queue_manager_and_can_be_ended() {
    let site = Site::new(&["QM1"]);
    let manager = site.manager("QM1").within(60).recurring();
    for named in ["amqzxma0", "amqzlaa0"] {
        manager.run("start").code(0);
        site.kill("STOP", site.only_named(named));
        manager.run("monitor").code(1).because(&[named, "kill -CONT"]);
        manager.run("stop").code(0);
        assert_eq!(site.calls("ended"), ["-i"]);
        assert_eq!(site.living(), []);
    }
}

/// Its file system is not mounted, its user is not known: stop and monitor look at the processes.
#[test]
#[ignore = "needs root: tests/run services"]
fn without_the_product_the_processes_alone_tell() {
    let site = Site::new(&["QM1"]);
    let manager = site.manager("QM1").within(60);
    for hidden in ["mv BIN BIN.away", "mount -t tmpfs tmpfs BIN"] {
        manager.run("start").code(0);
        let bin = site.text("mq/bin");
        site.sh(&hidden.replace("BIN", &bin));
        manager.run("monitor").code(1).because(&["QM1", "amqz", "dspmq"]);
        manager.run("start").code(5).because(&["dspmq", "mount its file system"]);
        manager.run("stop").code(0);
        assert_eq!(site.living(), []);
        manager.run("monitor").code(7);
        manager.run("stop").code(0);
        manager.clone().level(10).run("validate-all").code(5);
        site.sh(&format!("if [ -d {bin}.away ]; then mv {bin}.away {bin}; else umount {bin}; fi"));
    }
    manager.run("start").code(0);
    let nobody = manager.clone().param("mquser", "no-such-user");
    nobody.run("monitor").code(1).because(&["no-such-user"]);
    nobody.clone().level(10).run("validate-all").code(5).because(&["no-such-user"]);
    nobody.run("stop").code(0);
    assert_eq!(site.living(), []);
    nobody.run("monitor").code(7);
    nobody.run("start").code(5).because(&["no-such-user"]);
    let undefined = site.manager("QM2");
    undefined.run("monitor").code(7);
    undefined.run("start").code(5).because(&["QM2 is not defined here", "AMQ7048E"]);
    undefined.run("stop").code(0);
}

#[test]
#[ignore = "needs root: tests/run services"]
fn a_dspmq_that_hangs_ends_no_cluster() {
    let site = Site::new(&["QM1"]);
    let manager = site.manager("QM1").within(60);
    fs::write(site.path("mq/var/hang-dspmq"), "").unwrap();
    let brief = manager.clone().within(6);
    let outcome = brief.run("monitor").code(7);
    assert!(outcome.took < Duration::from_secs(6), "{outcome:?}");
    brief.run("start").code(1).because(&["dspmq of queue manager QM1 did not answer"]);
    fs::remove_file(site.path("mq/var/hang-dspmq")).unwrap();
    manager.run("start").code(0);
    fs::write(site.path("mq/var/hang-dspmq"), "").unwrap();
    let outcome = brief.run("monitor").code(1).because(&["dspmq", "did not answer"]);
    assert!(outcome.took < Duration::from_secs(6), "{outcome:?}");
    manager.run("stop").code(0);
    assert_eq!(site.calls("ended"), ["-i"]);
    assert_eq!(site.living(), []);
}

#[test]
#[ignore = "needs root: tests/run services"]
fn a_file_of_variables_is_read_without_a_shell() {
    let site = Site::new(&["QM1"]);
    let file = site.path("env");
    let touched = site.text("touched");
    let manager = site.manager("QM1").within(60).param("env_file", &file);
    fs::write(&file, "# ours\nexport MQS='a b'; LIBS=/x:$PATH\nexport LIBS\nPATH=/first:$PATH\n")
        .unwrap();
    manager.run("start").code(0);
    let environment = fs::read_to_string(site.file("environment")).unwrap();
    let mq = site.text("mq");
    for line in [
        "MQS=a b".to_owned(),
        "LIBS=/x:/usr/local/bin:/usr/bin:/bin".to_owned(),
        format!("PATH={mq}/bin:/first:/usr/local/bin:/usr/bin:/bin:/opt/mqm/bin"),
    ] {
        assert!(environment.lines().any(|found| found == line), "no {line:?} in {environment}");
    }
    manager.run("monitor").code(0);
    let log = site.log();
    fs::write(&file, format!("A=b\ntouch {touched}\nB=$(touch {touched})\n")).unwrap();
    // What runs is watched and ended all the same.
    manager.run("monitor").code(0);
    assert!(site.log()[log.len()..].contains("env_file: line 2 needs a shell"), "{}", site.log());
    manager.run("stop").code(0);
    manager.run("start").code(6).because(&[
        "env_file",
        "line 2 needs a shell",
        "mq_installation_path",
    ]);
    manager.clone().level(10).run("validate-all").code(6);
    assert!(!Path::new(&touched).exists());
    for wrong in ["/no/such/file", "/dev/zero", "/etc"] {
        let manager = manager.clone().param("env_file", wrong);
        manager.clone().level(10).run("validate-all").code(5).because(&["env_file", wrong]);
        manager.run("start").code(5);
        manager.run("monitor").code(7);
        manager.run("stop").code(0);
    }
    assert_eq!(site.living(), []);
}

/// Whoever is mquser may use the agent without root, and nobody else.
#[test]
#[ignore = "needs root: tests/run services"]
fn mquser_may_be_the_caller() {
    let site = Site::new(&["QM1"]);
    let state = site.text("state");
    let binary = site.text("copy");
    fs::copy(crate::support::BINARY, &binary).unwrap();
    set_mode(Path::new(&binary), 0o755);
    site.sh(&format!("mkdir {state}; chown mqm {state}"));
    let run = |user: &str, action: &str| -> (Option<i32>, String) {
        let output = Command::new("setpriv")
            .args(["--reuid", user, "--regid", "2017", "--clear-groups", &binary, "ibmmq", action])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HA_RSCTMP", &state)
            .env("HA_LOGFILE", "/dev/null")
            .args([
                "qmgr=QM1",
                "test_queue=PROBE",
                &format!("mq_installation_path={}", site.text("mq")),
            ])
            .env("OCF_CHECK_LEVEL", "20")
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for (action, code) in
        [("monitor", 7), ("start", 0), ("monitor", 0), ("stop", 0), ("monitor", 7)]
    {
        let (found, said) = run("2017", action);
        assert_eq!(found, Some(code), "{action}: {said}");
    }
    assert_eq!(site.living(), []);
    let (found, said) = run("65534", "start");
    assert!(found == Some(4) && said.contains("cannot become user mqm"), "{found:?} {said}");
}

#[test]
#[ignore = "needs root: tests/run services"]
fn a_wrong_value_of_each_parameter_is_refused_and_ends_nothing() {
    let site = Site::new(&["QM1"]);
    let manager = site.manager("QM1").within(60);
    let wrong = [
        ("qmgr", "QM 1"),
        ("qmgr", "QM1'; touch x"),
        ("qmgr", ""),
        ("mquser", "-x"),
        ("mquser", "mqm; id"),
        ("mq_installation_path", "opt/mqm"),
        ("env_file", "env"),
        ("strmqm_opts", "'-ns"),
        ("strmqm_opts", "-ns -x"),
        ("strmqm_opts", "-c"),
        ("limits", "files=1"),
        ("controlled_stop_timeout", "soon"),
        ("immediate_stop_timeout", "-1"),
        ("preemptive_stop_timeout", "10s"),
        ("monitor_command_server", "perhaps"),
        ("monitor_listener", "Yes"),
        ("test_queue", "A B"),
        ("monitor_program", "\"x"),
    ];
    for (name, value) in wrong {
        let manager = manager.clone().param(name, value);
        for action in ["validate-all", "start"] {
            manager.run(action).code(6).because(&[&format!("parameter {name}")]);
        }
        manager.run("monitor").code(7);
        manager.run("stop").code(0);
    }
    assert_eq!(site.calls("started"), [""; 0]);
    manager.run("start").code(0);
    // What stop needs it takes from what is right.
    for (name, value) in wrong.into_iter().filter(|(name, _)| *name != "qmgr") {
        manager.run("start").code(0);
        manager.clone().param(name, value).run("stop").code(0);
        assert_eq!(site.living(), [], "{name}={value}");
    }
}

/// A standby has nothing to do here.
#[test]
#[ignore = "needs root: tests/run services"]
fn a_standby_is_failed_and_ended_as_one() {
    let site = Site::new(&["QM1"]);
    let manager = site.manager("QM1").within(60);
    site.put("standby", "");
    site.sh(&format!(
        "setpriv --reuid mqm --regid mqm --clear-groups {}/amqzxma0 -m QM1 -u mqm",
        site.text("mq/bin")
    ));
    site.await_that("a standby", || {
        fs::read_to_string(site.file("status")).is_ok_and(|status| status.contains("STANDBY"))
    });
    manager.run("monitor").code(1).because(&["RUNNING AS STANDBY"]);
    manager.run("start").code(1).because(&["a standby of QM1 runs here", "endmqm -x QM1"]);
    assert!(site.living().len() == 1, "start leaves what others started");
    manager.run("stop").code(0);
    assert_eq!(site.calls("ended"), ["-x"], "never the active instance of another host");
    assert_eq!(site.living(), []);
}

/// Two callers at once.
#[test]
#[ignore = "needs root: tests/run services"]
fn two_callers_at_once_make_one_queue_manager_and_leave_none() {
    let site = Site::new(&["QM1"]);
    let manager = site.manager("QM1").within(120);
    for (action, left) in [("start", 6), ("stop", 0), ("start", 6), ("stop", 0)] {
        let mut callers: Vec<_> =
            (0..2).map(|_| manager.command(action).spawn().unwrap()).collect();
        for caller in &mut callers {
            assert_eq!(caller.wait().unwrap().code(), Some(0), "{action}: {}", site.log());
        }
        assert_eq!(site.living().len(), left, "{action}: {:?}", site.living());
    }
    assert_eq!(site.calls("started").len(), 2);
}

/// Invariant 10: the agent is killed at each system call that changes something, and the next stop leaves nothing.
#[test]
#[ignore = "needs root: tests/run services"]
fn whatever_a_killed_agent_leaves_the_next_stop_ends() {
    // What changes something, and what waits while commands are under way.
    const INTERESTING: [&str; 20] = [
        "clone",
        "clone3",
        "vfork",
        "fork",
        "execve",
        "openat",
        "write",
        "rename",
        "renameat2",
        "unlink",
        "unlinkat",
        "mkdir",
        "flock",
        "sendto",
        "recvfrom",
        "pidfd_open",
        "pidfd_send_signal",
        "wait4",
        "clock_nanosleep",
        "poll",
    ];
    let site = Site::new(&["QM1"]);
    let manager = site.manager("QM1").within(60);
    for action in ["start", "stop"] {
        let prepare = || {
            if action == "stop" {
                manager.run("start").code(0);
            }
        };
        prepare();
        let calls = manager.system_calls(&site.path("calls"), action, 0);
        manager.run("stop").code(0);
        // Files of /proc are opened by the hundred; a few of each kind stand for all.
        let calls: Vec<_> = calls
            .into_iter()
            .filter(|(name, ordinal)| {
                INTERESTING.contains(&name.as_str())
                    && (*ordinal < 5 || (name != "openat" && *ordinal < 12))
            })
            .collect();
        assert!(calls.len() > 10, "{calls:?}");
        for (name, ordinal) in calls {
            prepare();
            let inject = format!("inject={name}:signal=KILL:when={ordinal}");
            let _ = manager.run_behind(&["strace", "-o", "/dev/null", "-e", &inject], action).code;
            manager.run("stop").code(0);
            // No queue manager comes after: a command that was under way when the agent was killed is ended too.
            site.await_no_sleep();
            std::thread::sleep(Duration::from_millis(50));
            assert_eq!(site.living(), [], "killed at {name} number {ordinal} of {action}");
            manager.run("monitor").code(7);
        }
    }
}

/// A monitor of one that runs looks at its own processes, however many others there are; and notices when they change.
#[test]
#[ignore = "needs root: tests/run services"]
fn a_monitor_looks_at_its_own_processes_only() {
    let site = Site::new(&["QM1"]);
    let manager = site.manager("QM1").within(60).recurring().param("monitor_listener", "true");
    manager.run("start").code(0);
    let opened = |file: &str| {
        let calls = manager.system_calls(&site.path(file), "monitor", 0);
        calls.into_iter().filter(|(name, _)| name == "openat" || name == "getdents64").count()
    };
    let few = opened("few");
    site.sh("i=0; while [ $i -lt 200 ]; do sleep 1000 >/dev/null 2>&1 & i=$((i+1)); done");
    assert_eq!(opened("many"), few);
    // One more of it, and one that is gone and back.
    let bin = site.text("mq/bin");
    site.sh(&format!("setsid {bin}/amqzlaa0 -mQM1 -fip1 >/dev/null 2>&1 </dev/null &"));
    site.kill("KILL", site.only_named("runmqlsr"));
    manager.run("monitor").code(1).because(&["listener"]);
    site.sh(&format!("setsid {bin}/runmqlsr -r -m QM1 >/dev/null 2>&1 </dev/null &"));
    site.await_that("a listener", || {
        site.living().iter().any(|(_, words)| words.contains("runmqlsr -r -m QM1"))
    });
    manager.run("monitor").code(0);
    // What cannot be remembered or is remembered wrongly is looked for.
    let memory = Path::new("/run/resource-agents/ibmmq-mq-QM1.processes");
    for damage in ["", "garbage\n", "1 1\n"] {
        fs::write(memory, damage).unwrap();
        manager.run("monitor").code(0);
    }
    site.kill("KILL", site.controller());
    manager.run("monitor").code(1).because(&["ENDED UNEXPECTEDLY"]);
    manager.run("stop").code(0);
    assert!(!memory.exists());
    assert_eq!(site.living().len(), 200);
}
