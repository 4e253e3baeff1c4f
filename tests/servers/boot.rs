//! Servers that the boot or a person started by their init scripts, before the cluster did.

use crate::laboratory::Server;

/// Found by what names them, taken over as they are, and ended. The PID files of some are their own users'.
#[test]
#[ignore = "needs root and the servers: tests/run servers"]
fn a_server_that_was_started_at_boot_is_taken_over() {
    let cases = [
        ("nginx", "/usr/sbin/nginx", "http://127.0.0.1/", "/run/nginx.pid"),
        ("apache2", "/usr/sbin/apache2", "http://127.0.0.1/", "/run/apache2/apache2.pid"),
        ("redis-server", "/usr/bin/redis-server", "redis://127.0.0.1", ""),
        ("memcached", "/usr/bin/memcached", "memcached://127.0.0.1", "/run/memcached.pid"),
        ("named", "/usr/sbin/named", "dns://127.0.0.1", ""),
        ("smbd", "/usr/sbin/smbd", "smb://127.0.0.1", ""),
        ("freeradius", "/usr/sbin/freeradius", "tcp://127.0.0.1:80", ""),
    ];
    for (script, program, check, pidfile) in cases {
        // Each has namespaces of its own, and those are the thread's.
        let case = move || {
            let empty =
                &["/var/lib/redis", "/var/lib/samba", "/var/cache/samba", "/var/cache/bind"];
            let server = Server { program, empty, ..Server::PLAIN };
            let running = server.prepare();
            running.sh(&format!(
                "mkdir /run/samba; setsid /etc/init.d/{script} start </dev/null >/dev/null 2>&1"
            ));
            let mut call = running.call.clone().param("script", script);
            if script != "freeradius" {
                call = call.param("check", check);
                let answers = || call.run("monitor").code == Some(0);
                running.host.await_that("answers", answers);
            }
            if !pidfile.is_empty() {
                call = call.param("pidfile", pidfile);
            }
            let main = running.main();
            call.run("start").code(0);
            assert_eq!(running.main(), main, "{script} is not started again");
            assert!(running.host.log().contains("taking it over"), "{script}: {}", running.log());
            call.clone().recurring().run("monitor").code(0);
            running.host.kill("STOP", main);
            call.clone().recurring().run("monitor").code(1).because(&["stopped by a signal"]);
            running.host.kill("CONT", main);
            call.run("stop").code(0);
            assert_eq!(running.host.living(), [], "{script}");
        };
        std::thread::spawn(case).join().unwrap();
    }
}
