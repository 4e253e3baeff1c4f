//! Debian's own init scripts and configurations. What the packages' maintainers ask at installation is answered here,
//! and directories below /run that a boot makes are made.

use crate::laboratory::Server;

servers! {
    apache2 Server {
        program: "/usr/sbin/apache2",
        service: &[("script", "apache2")],
        probes: &[("http://127.0.0.1/", "200 OK")],
        log: "../../var/log/apache2/error.log",
        ..Server::PLAIN
    },
    nginx Server {
        program: "/usr/sbin/nginx",
        service: &[("script", "nginx")],
        probes: &[("http://127.0.0.1/", "200 OK")],
        log: "../../var/log/nginx/error.log",
        ..Server::PLAIN
    },
    redis Server {
        program: "/usr/bin/redis-server",
        empty: &["/var/lib/redis"],
        service: &[("script", "redis-server")],
        probes: &[("redis://127.0.0.1", "PONG")],
        log: "../../var/log/redis/redis-server.log",
        ..Server::PLAIN
    },
    memcached Server {
        program: "/usr/bin/memcached",
        service: &[("script", "memcached")],
        probes: &[("memcached://127.0.0.1", "VERSION 1.")],
        ..Server::PLAIN
    },
    mosquitto Server {
        program: "/usr/sbin/mosquitto",
        empty: &["/var/lib/mosquitto"],
        // The number that the script writes is root's, and the server ends if it cannot write its own there.
        setup: "mkdir /run/mosquitto; chown mosquitto /run/mosquitto; sed -i '/^pid_file/d' /etc/mosquitto/mosquitto.conf",
        service: &[("script", "mosquitto")],
        probes: &[("mqtt://127.0.0.1", "accepted")],
        log: "../../var/log/mosquitto/mosquitto.log",
        ..Server::PLAIN
    },
    mariadb Server {
        program: "/usr/sbin/mariadbd",
        empty: &["/var/lib/mysql"],
        setup: r#"rm -rf /var/lib/mysql/*; mariadb-install-db --user=mysql --skip-test-db >"$DIR/install.log" 2>&1"#,
        service: &[("script", "mariadb"), ("pidfile", "/run/mysqld/mysqld.pid")],
        probes: &[("mysql://nobody@127.0.0.1", "error 1045"), ("mysql://#socket=/run/mysqld/mysqld.sock", "MariaDB")],
        log: "../../var/log/mysql/error.log",
        main: "/usr/sbin/mariadbd",
        ..Server::PLAIN
    },
    postgresql Server {
        program: "/usr/lib/postgresql",
        empty: &["/var/lib/postgresql"],
        setup: r#"rm -rf /etc/postgresql/* /var/lib/postgresql/*
            pg_createcluster "$(ls /usr/lib/postgresql | tail -1)" main -- -N >"$DIR/install.log" 2>&1"#,
        service: &[("script", "postgresql")],
        probes: &[("postgresql://nobody@127.0.0.1/nothing", "accepting connections")],
        ..Server::PLAIN
    },
    vsftpd Server {
        program: "/usr/sbin/vsftpd",
        setup: "mkdir -p /run/vsftpd/empty",
        service: &[("script", "vsftpd")],
        probes: &[("ftp://127.0.0.1", "220 (vsFTPd")],
        ..Server::PLAIN
    },
    postfix Server {
        program: "/usr/sbin/postfix",
        empty: &["/var/spool/postfix", "/var/lib/postfix"],
        setup: "sed '/^myhostname/d' /usr/share/postfix/main.cf.debian >/etc/postfix/main.cf
            echo 'myhostname = mail.example.org
maillog_file = /var/log/postfix.log' >>/etc/postfix/main.cf",
        service: &[("script", "postfix")],
        probes: &[("smtp://127.0.0.1", "220 mail.example.org")],
        log: "../../var/log/postfix.log",
        ..Server::PLAIN
    },
    dovecot Server {
        program: "/usr/sbin/dovecot",
        empty: &["/var/lib/dovecot"],
        service: &[("script", "dovecot")],
        probes: &[("imap://127.0.0.1", "* OK"), ("pop3://127.0.0.1", "+OK"), ("imaps://127.0.0.1#insecure=1", "* OK")],
        ..Server::PLAIN
    },
    openssh Server {
        program: "/usr/sbin/sshd",
        setup: "ssh-keygen -A >/dev/null",
        service: &[("script", "ssh")],
        probes: &[("ssh://127.0.0.1", "SSH-2.0-OpenSSH")],
        ..Server::PLAIN
    },
    slapd Server {
        program: "/usr/sbin/slapd",
        empty: &["/var/lib/ldap"],
        setup: "rm -rf /etc/ldap/slapd.d; chown -R openldap /var/lib/ldap; cat >/etc/ldap/slapd.conf <<END
include /etc/ldap/schema/core.schema
pidfile /run/slapd/slapd.pid
modulepath /usr/lib/ldap
moduleload back_mdb
disallow bind_anon
database mdb
directory /var/lib/ldap
suffix dc=example,dc=org
END",
        service: &[("script", "slapd")],
        probes: &[("ldap://127.0.0.1", "refused with result 48")],
        ..Server::PLAIN
    },
    named Server {
        program: "/usr/sbin/named",
        empty: &["/var/cache/bind", "/var/lib/bind"],
        service: &[("script", "named")],
        probes: &[("dns://127.0.0.1/localhost?type=SOA", "1 record(s)")],
        ..Server::PLAIN
    },
    freeradius Server {
        program: "/usr/sbin/freeradius",
        setup: r#"printf 'testing123\n' >"$DIR/secret""#,
        service: &[("script", "freeradius")],
        probes: &[("radius://127.0.0.1#secretfile=DIR/secret", "an answer")],
        log: "../../var/log/freeradius/radius.log",
        ..Server::PLAIN
    },
    smbd Server {
        program: "/usr/sbin/smbd",
        empty: &["/var/lib/samba", "/var/cache/samba"],
        setup: "mkdir -p /run/samba",
        service: &[("script", "smbd")],
        probes: &[("smb://127.0.0.1", "a response")],
        log: "../../var/log/samba/log.smbd",
        ..Server::PLAIN
    },
    nmbd Server {
        program: "/usr/sbin/nmbd",
        empty: &["/var/lib/samba", "/var/cache/samba"],
        setup: r#"mkdir -p /run/samba
            ip link add lan type veth peer name client; ip addr add 192.0.2.1/24 brd + dev lan; ip link set lan up; ip link set client up
            printf '#!/bin/sh\nss -Hlun sport = :137 | grep -q .\n' >"$DIR/listens"; chmod 755 "$DIR/listens""#,
        service: &[("script", "nmbd")],
        probes: &[("exec://DIR/listens", "exit")],
        log: "../../var/log/samba/log.nmbd",
        ..Server::PLAIN
    },
    isc_dhcp_server Server {
        program: "/usr/sbin/dhcpd",
        empty: &["/var/lib/dhcp"],
        setup: r#"ip link add lan type veth peer name client; ip addr add 192.0.2.1/24 dev lan; ip link set lan up; ip link set client up
            echo 'INTERFACESv4="lan"' >/etc/default/isc-dhcp-server
            echo 'subnet 192.0.2.0 netmask 255.255.255.0 { range 192.0.2.10 192.0.2.20; }' >/etc/dhcp/dhcpd.conf
            printf '#!/bin/sh\nss -Hlun sport = :67 | grep -q .\n' >"$DIR/listens"; chmod 755 "$DIR/listens""#,
        service: &[("script", "isc-dhcp-server")],
        probes: &[("exec://DIR/listens", "exit")],
        ..Server::PLAIN
    },
    rabbitmq Server {
        program: "/usr/sbin/rabbitmq-server",
        empty: &["/var/lib/rabbitmq"],
        setup: r#"echo "127.0.0.1 $(hostname)" >>/etc/hosts"#,
        service: &[("script", "rabbitmq-server")],
        main: "/bin/sh /usr/sbin/rabbitmq-server",
        // Erlang's name server, which the script's status starts, also where the service never ran.
        bystander: Some("epmd -daemon"),
        probes: &[("amqp://127.0.0.1", "Connection.Start")],
        ..Server::PLAIN
    },
}
