//! The servers, set up as strangers to us: most refuse whoever asks.

use crate::laboratory::Server;

macro_rules! servers {
    ($($name:ident $server:expr,)*) => { $(
        #[test]
        #[ignore = "needs root and the servers: tests/run servers"]
        fn $name() {
            $server.is_told_alive_from_dead();
        }
    )* };
}

servers! {
    apache Server {
        program: "/usr/sbin/apache2",
        setup: r#"cd "$DIR"; mkdir www; echo '<html>it works</html>' >www/index.html
            cat >conf <<END
ServerRoot $DIR
ServerName localhost
PidFile $DIR/pid
ErrorLog $DIR/error.log
DocumentRoot $DIR/www
User www-data
Group www-data
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule status_module /usr/lib/apache2/modules/mod_status.so
LoadModule dir_module /usr/lib/apache2/modules/mod_dir.so
LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so
Listen 127.0.0.1:80
Listen 127.0.0.1:443
<Location /server-status>
SetHandler server-status
</Location>
<Location /secret>
Require all denied
</Location>
<VirtualHost 127.0.0.1:443>
SSLEngine on
SSLCertificateFile $DIR/cert
SSLCertificateKeyFile $DIR/key
</VirtualHost>
END"#,
        run: r#"exec apache2 -f "$DIR/conf" -DFOREGROUND"#,
        probes: &[
            ("http://127.0.0.1/#match=it%20works", "200 OK"),
            ("http://127.0.0.1/server-status?auto#match=^Total%20Accesses|%0aServerUptime", "200 OK"),
            ("http://127.0.0.1/secret", "403 Forbidden"),
            ("https://127.0.0.1/#insecure=1", "200 OK"),
        ],
        log: "error.log",
    },
    nginx Server {
        program: "/usr/sbin/nginx",
        setup: r#"cd "$DIR"; mkdir www; echo '<html>it works</html>' >www/index.html
            cat >conf <<END
daemon off;
pid $DIR/pid;
error_log $DIR/error.log;
events {}
http {
    access_log off;
    server { listen 127.0.0.1:80; root $DIR/www; location /secret { deny all; } location /away { return 302 /; } }
}
END"#,
        run: r#"exec nginx -e "$DIR/error.log" -p "$DIR" -c "$DIR/conf""#,
        probes: &[
            ("http://127.0.0.1/#match=it%20works", "200 OK"),
            ("http://127.0.0.1/secret", "403 Forbidden"),
            ("http://127.0.0.1/away", "302 Moved"),
        ],
        log: "error.log",
    },
    redis Server {
        program: "/usr/bin/redis-server",
        setup: "",
        run: r#"exec redis-server --port 6379 --bind 127.0.0.1 --requirepass secret --save '' --dir "$DIR" --unixsocket "$DIR/socket" \
            --tls-port 6380 --tls-cert-file "$DIR/cert" --tls-key-file "$DIR/key" --tls-auth-clients no"#,
        probes: &[
            ("redis://127.0.0.1", "-NOAUTH"),
            ("redis://#socket=DIR/socket", "-NOAUTH"),
            ("rediss://127.0.0.1:6380#insecure=1", "-NOAUTH"),
        ],
        log: "log",
    },
    memcached Server {
        program: "/usr/bin/memcached",
        setup: "",
        run: "exec memcached -u memcache -l 127.0.0.1",
        probes: &[("memcached://127.0.0.1", "VERSION 1."), ("memcached://127.0.0.1#binary=1", "Version")],
        log: "log",
    },
    postgresql Server {
        program: "/usr/lib/postgresql",
        setup: r#"chown postgres "$DIR"; cd "$DIR"
            setpriv --reuid postgres --regid postgres --clear-groups /usr/lib/postgresql/*/bin/initdb -D "$DIR/data" -A trust -N >"$DIR/initdb.log"
            echo 'host all all 127.0.0.1/32 reject
local all all trust' >"$DIR/data/pg_hba.conf""#,
        run: r#"exec setpriv --reuid postgres --regid postgres --clear-groups /usr/lib/postgresql/*/bin/postgres -D "$DIR/data" -k "$DIR" -h 127.0.0.1"#,
        probes: &[
            ("postgresql://127.0.0.1", "refused with 28000: pg_hba.conf rejects"),
            ("postgresql://nobody@127.0.0.1/nothing", "refused with 28000"),
            ("postgresql://#socket=DIR/.s.PGSQL.5432", "accepting connections"),
        ],
        log: "log",
    },
    mariadb Server {
        program: "/usr/sbin/mariadbd",
        setup: r#"mkdir "$DIR/data"; chown -R mysql "$DIR"
            mariadb-install-db --no-defaults --datadir="$DIR/data" --user=mysql --skip-test-db --auth-root-authentication-method=normal >"$DIR/install.log" 2>&1"#,
        run: r#"exec mariadbd --no-defaults --datadir="$DIR/data" --user=mysql --bind-address=127.0.0.1 --socket="$DIR/socket" --pid-file="$DIR/pid""#,
        probes: &[
            ("mysql://127.0.0.1", "MariaDB"),
            ("mysql://nobody@127.0.0.1", "error 1045: \"#28000Access denied"),
            ("mysql://root@127.0.0.1", "ping answered"),
            ("mysql://#socket=DIR/socket", "MariaDB"),
        ],
        log: "log",
    },
    mosquitto Server {
        program: "/usr/sbin/mosquitto",
        setup: r#"printf 'listener 1883 127.0.0.1\nlistener 8883 127.0.0.1\ncertfile %s/cert\nkeyfile %s/key\nallow_anonymous false\n' "$DIR" "$DIR" >"$DIR/conf"
            chown -R mosquitto "$DIR""#,
        run: r#"exec mosquitto -c "$DIR/conf""#,
        probes: &[
            ("mqtt://127.0.0.1", "refused: not authorised"),
            ("mqtts://127.0.0.1#insecure=1", "refused: not authorised"),
        ],
        log: "log",
    },
    openssh Server {
        program: "/usr/sbin/sshd",
        setup: r#"mkdir -p /run/sshd; ssh-keygen -q -t ed25519 -N '' -f "$DIR/host-key"
            printf 'ListenAddress 127.0.0.1\nHostKey %s/host-key\nPidFile none\nAuthenticationMethods none\nDenyUsers *\n' "$DIR" >"$DIR/conf""#,
        run: r#"exec /usr/sbin/sshd -D -e -f "$DIR/conf""#,
        probes: &[("ssh://127.0.0.1", "SSH-2.0-OpenSSH")],
        log: "log",
    },
    slapd Server {
        program: "/usr/sbin/slapd",
        setup: r#"mkdir "$DIR/db"; cat >"$DIR/conf" <<END
include /etc/ldap/schema/core.schema
modulepath /usr/lib/ldap
moduleload back_mdb
disallow bind_anon
TLSCertificateFile $DIR/cert
TLSCertificateKeyFile $DIR/key
database mdb
directory $DIR/db
suffix dc=example,dc=org
END"#,
        run: r#"exec slapd -d 0 -h "ldap://127.0.0.1 ldaps://127.0.0.1" -f "$DIR/conf""#,
        probes: &[
            ("ldap://127.0.0.1", "refused with result 48"),
            ("ldaps://127.0.0.1#insecure=1", "refused with result 48"),
        ],
        log: "log",
    },
    bind Server {
        program: "/usr/sbin/named",
        setup: r#"chown bind "$DIR"; cat >"$DIR/zone" <<END
\$TTL 60
@ SOA localhost. root.localhost. 1 60 60 60 60
@ NS localhost.
END
            cat >"$DIR/conf" <<END
options { directory "$DIR"; pid-file none; session-keyfile none; listen-on { 127.0.0.1; }; listen-on-v6 { none; };
    recursion no; allow-query { none; }; dnssec-validation no; };
controls { };
zone "example.org" { type primary; file "$DIR/zone"; allow-query { any; }; };
END"#,
        run: r#"exec named -f -u bind -c "$DIR/conf""#,
        probes: &[
            ("dns://127.0.0.1", "refused"),
            ("dns+tcp://127.0.0.1", "refused"),
            ("dns://127.0.0.1/example.org?type=SOA", "1 record(s)"),
            ("dns+tcp://127.0.0.1/example.org?type=NS", "1 record(s)"),
        ],
        log: "log",
    },
    postfix Server {
        program: "/usr/sbin/postfix",
        setup: r#"cd "$DIR"; mkdir etc queue data; chown postfix data
            cp /usr/share/postfix/master.cf.dist etc/master.cf
            cat >etc/main.cf <<END
compatibility_level = 3.6
queue_directory = $DIR/queue
data_directory = $DIR/data
myhostname = mail.example.org
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
maillog_file = /var/log/postfix.log
smtpd_client_restrictions = reject
smtpd_delay_reject = no
END
            postfix -c "$DIR/etc" check 2>check.log"#,
        run: r#"exec postfix -c "$DIR/etc" start-fg"#,
        probes: &[("smtp://127.0.0.1", "554 5.7.1")],
        log: "../../var/log/postfix.log",
    },
    dovecot Server {
        program: "/usr/sbin/dovecot",
        setup: r#"cat >"$DIR/conf" <<END
base_dir = $DIR/run
state_dir = $DIR/state
log_path = $DIR/log
protocols = imap pop3
listen = 127.0.0.1
ssl = yes
ssl_cert = <$DIR/cert
ssl_key = <$DIR/key
disable_plaintext_auth = no
passdb {
  driver = passwd-file
  args = $DIR/nobody
}
userdb {
  driver = passwd-file
  args = $DIR/nobody
}
END
            : >"$DIR/nobody""#,
        run: r#"exec dovecot -F -c "$DIR/conf""#,
        probes: &[
            ("imap://127.0.0.1", "* OK"),
            ("pop3://127.0.0.1", "+OK"),
            ("imaps://127.0.0.1#insecure=1", "* OK"),
            ("pop3s://127.0.0.1#insecure=1", "+OK"),
        ],
        log: "log",
    },
    vsftpd Server {
        program: "/usr/sbin/vsftpd",
        setup: r#"mkdir "$DIR/empty"; printf 'listen=YES\nlisten_address=127.0.0.1\nbackground=NO\nanonymous_enable=NO\nlocal_enable=YES\nsecure_chroot_dir=%s/empty\n' "$DIR" >"$DIR/conf""#,
        run: r#"exec vsftpd "$DIR/conf""#,
        probes: &[("ftp://127.0.0.1", "220 (vsFTPd")],
        log: "log",
    },
    rabbitmq Server {
        program: "/usr/sbin/rabbitmq-server",
        setup: r#"chown rabbitmq "$DIR"; printf 'listeners.tcp.local = 127.0.0.1:5672\n' >"$DIR/rabbitmq.conf""#,
        run: r#"export HOME="$DIR" RABBITMQ_NODENAME=probe@localhost RABBITMQ_MNESIA_BASE="$DIR/mnesia" RABBITMQ_LOG_BASE="$DIR/logs"
            export RABBITMQ_CONFIG_FILE="$DIR/rabbitmq.conf" RABBITMQ_ENABLED_PLUGINS_FILE="$DIR/plugins" RABBITMQ_PID_FILE="$DIR/pid"
            exec setpriv --reuid rabbitmq --regid rabbitmq --clear-groups /usr/lib/rabbitmq/bin/rabbitmq-server"#,
        probes: &[("amqp://127.0.0.1", "Connection.Start")],
        log: "log",
    },
    freeradius Server {
        program: "/usr/sbin/freeradius",
        setup: r#"cp -a /etc/freeradius/3.0 "$DIR/etc"; printf 'testing123\n' >"$DIR/secret"; chown -R freerad "$DIR"
            mkdir -p /run/freeradius /var/log/freeradius; chown freerad /run/freeradius /var/log/freeradius"#,
        run: r#"exec freeradius -f -l stdout -d "$DIR/etc""#,
        probes: &[
            ("radius://127.0.0.1#secretfile=DIR/secret", "an answer"),
            ("radius://127.0.0.1:1813#secretfile=DIR/secret", "an answer"),
        ],
        log: "log",
    },
    samba Server {
        program: "/usr/sbin/smbd",
        setup: r#"cd "$DIR"; mkdir private lock state cache pid; mkdir -p /var/log/samba /run/samba; cat >conf <<END
[global]
private dir = $DIR/private
lock directory = $DIR/lock
state directory = $DIR/state
cache directory = $DIR/cache
pid directory = $DIR/pid
log file = $DIR/log
interfaces = lo
bind interfaces only = yes
map to guest = never
END"#,
        run: r#"exec smbd --foreground --no-process-group -s "$DIR/conf""#,
        probes: &[("smb://127.0.0.1", "a response")],
        log: "log",
    },
    kamailio Server {
        program: "/usr/sbin/kamailio",
        setup: r#"cat >"$DIR/conf" <<END
log_stderror=yes
children=1
listen=udp:127.0.0.1:5060
listen=tcp:127.0.0.1:5060
loadmodule "sl.so"
request_route { sl_send_reply("403", "Not you"); }
END"#,
        run: r#"exec kamailio -DD -f "$DIR/conf" -Y "$DIR""#,
        probes: &[("sip://127.0.0.1", "SIP/2.0 403 Not you"), ("sip+tcp://127.0.0.1", "SIP/2.0 403 Not you")],
        log: "log",
    },
}
