//! The servers, set up as strangers to us: most refuse whoever asks.

use crate::laboratory::Server;

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
        service: &[("command", "/usr/sbin/apache2 -f DIR/conf -DFOREGROUND")],
        probes: &[
            ("http://127.0.0.1/#match=it%20works", "200 OK"),
            ("http://127.0.0.1/server-status?auto#match=^Total%20Accesses|%0aServerUptime", "200 OK"),
            ("http://127.0.0.1/secret", "403 Forbidden"),
            ("https://127.0.0.1/#insecure=1", "200 OK"),
        ],
        log: "error.log",
        ..Server::PLAIN
    },
    nginx Server {
        program: "/usr/sbin/nginx",
        setup: r#"cd "$DIR"; mkdir www; echo '<html>it works</html>' >www/index.html
            cat >conf <<END
pid $DIR/pid;
error_log $DIR/error.log;
events {}
http {
    access_log off;
    server { listen 127.0.0.1:80; root $DIR/www; location /secret { deny all; } location /away { return 302 /; } }
}
END"#,
        service: &[("command", "/usr/sbin/nginx -e DIR/error.log -p DIR -c DIR/conf"), ("pidfile", "DIR/pid")],
        probes: &[
            ("http://127.0.0.1/#match=it%20works", "200 OK"),
            ("http://127.0.0.1/secret", "403 Forbidden"),
            ("http://127.0.0.1/away", "302 Moved"),
        ],
        log: "error.log",
        ..Server::PLAIN
    },
    redis Server {
        program: "/usr/bin/redis-server",
        setup: r#"chown redis "$DIR""#,
        service: &[("command", "/usr/bin/redis-server --port 6379 --bind 127.0.0.1 --requirepass secret --save '' --dir DIR --unixsocket DIR/socket \
             --tls-port 6380 --tls-cert-file DIR/cert --tls-key-file DIR/key --tls-auth-clients no"), ("user", "redis")],
        probes: &[
            ("redis://127.0.0.1", "-NOAUTH"),
            ("redis://#socket=DIR/socket", "-NOAUTH"),
            ("rediss://127.0.0.1:6380#insecure=1", "-NOAUTH"),
        ],
        ..Server::PLAIN
    },
    memcached Server {
        program: "/usr/bin/memcached",
        setup: r#"chown memcache "$DIR""#,
        service: &[("command", "/usr/bin/memcached -l 127.0.0.1"), ("user", "memcache")],
        probes: &[("memcached://127.0.0.1", "VERSION 1."), ("memcached://127.0.0.1#binary=1", "Version")],
        ..Server::PLAIN
    },
    postgresql Server {
        program: "/usr/lib/postgresql",
        setup: r#"chown postgres "$DIR"; cd "$DIR"
            setpriv --reuid postgres --regid postgres --clear-groups /usr/lib/postgresql/*/bin/initdb -D "$DIR/data" -A trust -N >"$DIR/initdb.log"
            ln -s /usr/lib/postgresql/*/bin/postgres "$DIR/postgres"
            echo 'host all all 127.0.0.1/32 reject
local all all trust' >"$DIR/data/pg_hba.conf""#,
        service: &[("command", "DIR/postgres -D DIR/data -k DIR -h 127.0.0.1"), ("user", "postgres"), ("stop_signal", "INT")],
        probes: &[
            ("postgresql://127.0.0.1", "refused with 28000: pg_hba.conf rejects"),
            ("postgresql://nobody@127.0.0.1/nothing", "refused with 28000"),
            ("postgresql://#socket=DIR/.s.PGSQL.5432", "accepting connections"),
        ],
        ..Server::PLAIN
    },
    mariadb Server {
        program: "/usr/sbin/mariadbd",
        setup: r#"mkdir "$DIR/data"; chown -R mysql "$DIR"
            mariadb-install-db --no-defaults --datadir="$DIR/data" --user=mysql --skip-test-db --auth-root-authentication-method=normal >"$DIR/install.log" 2>&1"#,
        service: &[("command", "/usr/sbin/mariadbd --no-defaults --datadir=DIR/data --bind-address=127.0.0.1 --socket=DIR/socket --pid-file=DIR/pid"), ("user", "mysql"), ("pidfile", "DIR/pid")],
        probes: &[
            ("mysql://127.0.0.1", "MariaDB"),
            ("mysql://nobody@127.0.0.1", "error 1045: \"#28000Access denied"),
            ("mysql://root@127.0.0.1", "ping answered"),
            ("mysql://#socket=DIR/socket", "MariaDB"),
        ],
        ..Server::PLAIN
    },
    mosquitto Server {
        program: "/usr/sbin/mosquitto",
        setup: r#"printf 'listener 1883 127.0.0.1\nlistener 8883 127.0.0.1\ncertfile %s/cert\nkeyfile %s/key\nallow_anonymous false\n' "$DIR" "$DIR" >"$DIR/conf"
            chown -R mosquitto "$DIR""#,
        service: &[("command", "/usr/sbin/mosquitto -c DIR/conf"), ("user", "mosquitto")],
        probes: &[
            ("mqtt://127.0.0.1", "refused: not authorised"),
            ("mqtts://127.0.0.1#insecure=1", "refused: not authorised"),
        ],
        ..Server::PLAIN
    },
    openssh Server {
        program: "/usr/sbin/sshd",
        setup: r#"mkdir -p /run/sshd; ssh-keygen -q -t ed25519 -N '' -f "$DIR/host-key"
            printf 'ListenAddress 127.0.0.1\nHostKey %s/host-key\nPidFile none\nAuthenticationMethods none\nDenyUsers *\n' "$DIR" >"$DIR/conf""#,
        service: &[("command", "/usr/sbin/sshd -D -e -f DIR/conf")],
        probes: &[("ssh://127.0.0.1", "SSH-2.0-OpenSSH")],
        ..Server::PLAIN
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
        service: &[("command", "/usr/sbin/slapd -d 0 -h 'ldap://127.0.0.1 ldaps://127.0.0.1' -f DIR/conf")],
        probes: &[
            ("ldap://127.0.0.1", "refused with result 48"),
            ("ldaps://127.0.0.1#insecure=1", "refused with result 48"),
        ],
        ..Server::PLAIN
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
        service: &[("command", "/usr/sbin/named -f -u bind -c DIR/conf")],
        probes: &[
            ("dns://127.0.0.1", "refused"),
            ("dns+tcp://127.0.0.1", "refused"),
            ("dns://127.0.0.1/example.org?type=SOA", "1 record(s)"),
            ("dns+tcp://127.0.0.1/example.org?type=NS", "1 record(s)"),
        ],
        ..Server::PLAIN
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
        service: &[("command", "/usr/sbin/postfix -c DIR/etc start-fg")],
        probes: &[("smtp://127.0.0.1", "554 5.7.1")],
        log: "../../var/log/postfix.log",
        ..Server::PLAIN
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
        service: &[("command", "/usr/sbin/dovecot -F -c DIR/conf")],
        probes: &[
            ("imap://127.0.0.1", "* OK"),
            ("pop3://127.0.0.1", "+OK"),
            ("imaps://127.0.0.1#insecure=1", "* OK"),
            ("pop3s://127.0.0.1#insecure=1", "+OK"),
        ],
        ..Server::PLAIN
    },
    vsftpd Server {
        program: "/usr/sbin/vsftpd",
        setup: r#"mkdir "$DIR/empty"; printf 'listen=YES\nlisten_address=127.0.0.1\nbackground=NO\nanonymous_enable=NO\nlocal_enable=YES\nsecure_chroot_dir=%s/empty\n' "$DIR" >"$DIR/conf""#,
        service: &[("command", "/usr/sbin/vsftpd DIR/conf")],
        probes: &[("ftp://127.0.0.1", "220 (vsFTPd")],
        ..Server::PLAIN
    },
    rabbitmq Server {
        program: "/usr/sbin/rabbitmq-server",
        setup: r#"chown rabbitmq "$DIR"; printf 'listeners.tcp.local = 127.0.0.1:5672\n' >"$DIR/rabbitmq.conf""#,
        service: &[("command", "/usr/lib/rabbitmq/bin/rabbitmq-server"), ("user", "rabbitmq"), ("environment", "HOME=DIR RABBITMQ_NODENAME=probe@localhost RABBITMQ_MNESIA_BASE=DIR/mnesia RABBITMQ_LOG_BASE=DIR/logs RABBITMQ_CONFIG_FILE=DIR/rabbitmq.conf \
            RABBITMQ_ENABLED_PLUGINS_FILE=DIR/plugins RABBITMQ_PID_FILE=DIR/pid")],
        probes: &[("amqp://127.0.0.1", "Connection.Start")],
        ..Server::PLAIN
    },
    freeradius Server {
        program: "/usr/sbin/freeradius",
        setup: r#"cp -a /etc/freeradius/3.0 "$DIR/etc"; printf 'testing123\n' >"$DIR/secret"; chown -R freerad "$DIR"
            mkdir -p /run/freeradius /var/log/freeradius; chown freerad /run/freeradius /var/log/freeradius"#,
        service: &[("command", "/usr/sbin/freeradius -f -l stdout -d DIR/etc"), ("user", "freerad")],
        probes: &[
            ("radius://127.0.0.1#secretfile=DIR/secret", "an answer"),
            ("radius://127.0.0.1:1813#secretfile=DIR/secret", "an answer"),
        ],
        ..Server::PLAIN
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
        service: &[("command", "/usr/sbin/smbd --foreground --no-process-group -s DIR/conf")],
        probes: &[("smb://127.0.0.1", "a response")],
        ..Server::PLAIN
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
        service: &[("command", "/usr/sbin/kamailio -DD -f DIR/conf -Y DIR")],
        probes: &[("sip://127.0.0.1", "SIP/2.0 403 Not you"), ("sip+tcp://127.0.0.1", "SIP/2.0 403 Not you")],
        ..Server::PLAIN
    },
    isc_dhcp Server {
        program: "/usr/sbin/dhcpd",
        setup: r#"ip link add lan type veth peer name client; ip addr add 192.0.2.1/24 dev lan; ip link set lan up; ip link set client up
            : >"$DIR/leases"; printf 'subnet 192.0.2.0 netmask 255.255.255.0 { range 192.0.2.10 192.0.2.20; }\n' >"$DIR/conf"
            printf '#!/bin/sh\nss -Hlun sport = :67 | grep -q .\n' >"$DIR/listens"; chmod 755 "$DIR/listens""#,
        service: &[("command", "/usr/sbin/dhcpd -f -4 -cf DIR/conf -lf DIR/leases -pf DIR/pid lan")],
        // No probe asks for an address: each question would take one.
        probes: &[("exec://DIR/listens", "exit")],
        ..Server::PLAIN
    },
}
