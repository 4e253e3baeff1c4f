//! Debian's init scripts where they say what is not so. What they say is asked first, so that a script that was mended
//! is seen to be mended.

use std::time::Duration;

use crate::laboratory::{Running, Server};

impl Running<'_> {
    /// The script itself ends with that code.
    #[track_caller]
    fn script_says(&self, words: &str, code: i32) {
        let said =
            self.sh(&format!("code=0; /etc/init.d/{words} >/dev/null 2>&1 || code=$?; echo $code"));
        assert_eq!(said.trim(), code.to_string(), "{words}");
    }
}

const MOSQUITTO: Server = Server {
    program: "/usr/sbin/mosquitto",
    empty: &["/var/lib/mosquitto"],
    setup: "mkdir /run/mosquitto; chown mosquitto /run/mosquitto",
    service: &[("script", "mosquitto")],
    ..Server::PLAIN
};

/// The script writes the server's number into a file that the server then may not write, whereupon it ends.
#[test]
#[ignore = "needs root and the servers: tests/run servers"]
fn mosquitto_says_that_it_started_and_ends() {
    let running = MOSQUITTO.prepare();
    running.script_says("mosquitto start", 0);
    running.host.await_that("an end", || running.host.living().is_empty());
    let failed = running.call.clone().within(10).run("start").code(1);
    assert!(failed.took < Duration::from_secs(10), "{:?}", failed.took);
    running.call.run("monitor").code(7);
    running.call.run("stop").code(0);
    assert_eq!(running.host.living(), []);
}

/// Scripts that end with 0, asked whatever, where the server is not configured or switched off.
#[test]
#[ignore = "needs root and the servers: tests/run servers"]
fn a_yes_to_everything_means_nothing() {
    let cases = [
        ("samba-ad-dc", "/usr/sbin/smbd", "true"),
        ("postfix", "/usr/sbin/postfix", "rm -f /etc/postfix/main.cf"),
        ("dovecot", "/usr/sbin/dovecot", "echo ENABLED=0 >>/etc/default/dovecot"),
        ("named", "/usr/sbin/named", "mount --bind /dev/null /usr/sbin/rndc"),
    ];
    for (script, program, setup) in cases {
        // Each has namespaces of its own, and those are the thread's.
        let case = move || {
            let server = Server { program, ..Server::PLAIN };
            let running = server.prepare();
            running.sh(setup);
            running.script_says(&format!("{script} status"), 0);
            running.script_says(&format!("{script} start"), 0);
            let call = running.call.clone().param("script", script).within(10);
            call.run("monitor").code(7);
            call.run("start").code(1).because(&["/etc/init.d", "yes to everything", "no process"]);
            call.run("stop").code(0);
        };
        std::thread::spawn(case).join().unwrap();
    }
}

/// Its port is taken: the script starts it in the background, looks at once, and says 0.
#[test]
#[ignore = "needs root and the servers: tests/run servers"]
fn a_server_that_could_not_bind_was_not_started() {
    let cases = [
        ("redis-server", "/usr/bin/redis-server", "redis://127.0.0.1", 6379),
        ("memcached", "/usr/bin/memcached", "memcached://127.0.0.1", 11211),
    ];
    for (script, program, probe, port) in cases {
        let case = move || {
            let server = Server { program, empty: &["/var/lib/redis"], ..Server::PLAIN };
            let running = server.prepare();
            let stranger = running.host.program(
                "stranger",
                &format!(
                    "#!/usr/bin/perl\nuse Socket;\nsocket(S, PF_INET, SOCK_STREAM, 6);\n\
                     bind(S, sockaddr_in({port}, INADDR_ANY)) or die;\nlisten(S, 9);\nsleep;\n"
                ),
            );
            running.sh(&format!("{stranger} >/dev/null 2>&1 &"));
            let is_taken = || !running.sh(&format!("ss -Hltn sport = :{port}")).is_empty();
            running.host.await_that("a taken port", is_taken);
            running.script_says(&format!("{script} start"), 0);
            let only = running.host.only_named("stranger");
            running.host.await_that("an end", || running.host.living().len() == 1);
            let call =
                running.call.clone().param("script", script).param("check", probe).within(10);
            call.run("start").code(1);
            assert_eq!(running.host.only(), only, "{script}");
            call.run("monitor").code(7);
            call.run("stop").code(0);
            assert_eq!(running.host.only(), only, "{script}");
        };
        std::thread::spawn(case).join().unwrap();
    }
}

/// The script's stop comes back while the server still works.
#[test]
#[ignore = "needs root and the servers: tests/run servers"]
fn a_stop_that_does_not_wait_is_waited_for() {
    let server = Server {
        setup: "mkdir /run/mosquitto; chown mosquitto /run/mosquitto; sed -i '/^pid_file/d' /etc/mosquitto/mosquitto.conf",
        probes: &[("mqtt://127.0.0.1", "")],
        ..MOSQUITTO
    };
    let running = server.prepare();
    running.call.run("start").code(0);
    // So that it cannot end before it is looked.
    running.host.kill("STOP", running.main());
    running.script_says("mosquitto stop", 0);
    running.script_says("mosquitto status", 3);
    assert_eq!(running.host.living().len(), 1);
    running.call.clone().recurring().run("monitor").code(1).because(&["stopped by a signal"]);
    running.call.run("stop").code(0);
    assert_eq!(running.host.living(), []);
}

/// Its `status` asks the server, and waits for one that hangs for ever; the probe does not.
#[test]
#[ignore = "needs root and the servers: tests/run servers"]
fn a_status_that_hangs_is_not_waited_for() {
    let server = Server {
        program: "/usr/sbin/mariadbd",
        empty: &["/var/lib/mysql"],
        setup: r#"rm -rf /var/lib/mysql/*; mariadb-install-db --user=mysql --skip-test-db >"$DIR/install.log" 2>&1"#,
        // Without its PID file nobody says which of its processes is the main one.
        service: &[("script", "mariadb")],
        main: "/usr/sbin/mariadbd",
        probes: &[("mysql://nobody@127.0.0.1#timeout=1s", "")],
        ..Server::PLAIN
    };
    let running = server.prepare();
    running.call.run("start").code(0);
    running.host.kill("STOP", running.main());
    let failed = running.call.clone().recurring().run("monitor").code(1);
    assert!(failed.took < Duration::from_secs(10), "{:?}", failed.took);
    failed.because(&["mysql://nobody@127.0.0.1", "first byte after 1.0 s"]);
    running.call.clone().param("stop_timeout", "1").run("stop").code(0);
    assert_eq!(running.host.living(), []);
}
