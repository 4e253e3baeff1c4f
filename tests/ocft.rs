//! The ocft suites: those of the resource-agents package, unchanged, and our own in `ocft/`.
//!
//! The packaged `ocft` turns each into shell scripts and runs them; it marks a case that failed with a file.

#![allow(clippy::unwrap_used, reason = "to panic is how a test fails")]

mod sandbox;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use sandbox::{Run, Sandbox, names};

/// Where ocft keeps its scripts and marks.
const CASES: &str = "/var/lib/resource-agents/ocft/cases";

/// ocft asks once a second whether the agent has ended. This lets the second end with the agent, so that a suite
/// takes as long as its agent does; nothing else of it changes.
const SLEEP: &str = "\
#!/bin/sh
[ \"$1\" = 1 ] || exec /bin/sleep \"$@\"
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    /bin/sleep 0.05
    read -r own others </proc/$PPID/task/$PPID/children
    [ -n \"$others\" ] || exit 0
done
";

/// A suite may start a server once by the host's own means, which are init scripts here.
const SYSTEMCTL: &str = "#!/bin/sh\n";

/// A suite may name packages, which ocft installs. Those that these need are there already.
const APT_GET: &str = "#!/bin/sh\n";

/// Cases that are answered differently on purpose, by number, and why.
type Differences = BTreeMap<u32, &'static str>;

/// Runs a suite that is written for the shell agents with our agents in their place.
#[track_caller]
fn packaged(suite: &str, differences: &[(u32, &'static str)]) {
    let differences = differences.iter().copied().collect();
    Sandbox::with(&["ocft"], |sandbox| {
        sandbox.install("heartbeat");
        sandbox.run("ocft", ["make", suite]).ok();
        check(sandbox, suite, &differences);
    });
}

/// Runs a suite of ours.
#[track_caller]
fn own(suite: &str) {
    let cases = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("ocft").join(suite)).unwrap();
    Sandbox::with(&["ocft"], |sandbox| {
        sandbox.install("ocfbox");
        // Out of sight in the sandbox, if the sources are below /tmp.
        fs::create_dir("/tmp/ocft").unwrap();
        fs::write(Path::new("/tmp/ocft").join(suite), &cases).unwrap();
        sandbox.run("ocft", ["make", "-d", "/tmp/ocft", suite]).ok();
        check(sandbox, suite, &Differences::new());
        for left in ["-o address show scope global", "netns list"] {
            assert_eq!(sandbox.run("ip", left.split(' ')).ok(), "", "{suite} leaves: ip {left}");
        }
    });
}

fn check(sandbox: &Sandbox, suite: &str, differences: &Differences) {
    // ocft shows what the agent said from another place than where it is written.
    symlink("/run/resource-agents/.ocft_runlog", "/tmp/.ocft_runlog").unwrap();
    for (name, script) in [("sleep", SLEEP), ("apt-get", APT_GET), ("systemctl", SYSTEMCTL)] {
        let program = sandbox.programs.join(name);
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let Run { code, stdout, stderr } = sandbox.run("ocft", ["test", "-v", suite]);
    let said = without_colours(&stdout);
    let failed = numbers(suite, "retest");
    // A case that ends in a way which ocft does not know leaves no file, but shows in the exit code.
    let complete = code == Some(i32::from(!failed.is_empty()))
        && said.matches("' case ").count() == numbers(suite, "sh").len()
        && !said.contains("WARNING: ")
        && stderr.is_empty();
    assert!(complete, "{suite} did not run as a whole ({code:?}):\n{said}{stderr}");
    let expected: BTreeSet<u32> = differences.keys().copied().collect();
    let stale = differences.iter().find(|(case, _)| !failed.contains(case));
    assert_eq!(stale, None, "a case of {suite} passes, but is in the table of differences");
    let unexpected: Vec<&str> =
        failed.difference(&expected).map(|case| part(&said, *case)).collect();
    assert!(unexpected.is_empty(), "{suite}:\n{}", unexpected.join("\n"));
}

/// Numbers of the cases for which ocft has a file with that extension: `<number>_<suite>.<extension>`.
fn numbers(suite: &str, extension: &str) -> BTreeSet<u32> {
    let tail = format!("_{suite}.{extension}");
    let files = fs::read_dir(CASES).unwrap().map(|entry| entry.unwrap().file_name());
    files.filter_map(|name| name.to_str()?.strip_suffix(&tail)?.parse().ok()).collect()
}

/// What ocft said of one case.
fn part(said: &str, case: u32) -> &str {
    let start = said.find(&format!("' case {case} '")).unwrap_or(0);
    let rest = &said[start..];
    rest[1..].find("Starting '").map_or(rest, |end| &rest[..end])
}

fn without_colours(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    first
        + &parts.map(|part| part.split_once('m').map_or(part, |(_, rest)| rest)).collect::<String>()
}

#[test]
fn every_agent_has_a_suite_and_every_suite_an_agent() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("ocft");
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    let suites: BTreeSet<String> = files.map(|name| name.into_string().unwrap()).collect();
    assert_eq!(suites, names().map(str::to_owned).collect());
}

#[test]
#[ignore = "needs root and the cluster packages: tests/run ocft"]
fn packaged_ipaddr2() {
    let local = "an interface that is not here is wrong on this node only, so that start answers 2 and another node \
                 may be tried; 6 would give the resource up everywhere";
    let vanished =
        "with the interface the address is gone, which is not running (7) and no failure (1)";
    packaged("IPaddr2", &[(8, local), (19, vanished)]);
}

#[test]
#[ignore = "needs root and the cluster packages: tests/run ocft"]
fn packaged_ipaddr2_with_ipv4() {
    packaged("IPaddr2v4", &[]);
}

#[test]
#[ignore = "needs root and the cluster packages: tests/run ocft"]
fn packaged_ipaddr2_with_ipv6() {
    let longer = "a prefix longer than the route's is good, for IPv6 as for IPv4 (case 14 of IPaddr2v4); \
                  the shell agent answers so too, and the suite is behind it";
    packaged("IPaddr2v6", &[(13, longer)]);
}

#[test]
#[ignore = "needs root and the cluster packages: tests/run ocft"]
fn packaged_ipv6addr() {
    let longer = "a prefix longer than the route's is good, as it is for IPaddr2; only the old compiled agent \
                  wants another address with the same prefix length";
    packaged("IPv6addr", &[(11, longer)]);
}

#[test]
#[ignore = "needs root and the cluster packages: tests/run ocft"]
fn packaged_mailto() {
    packaged("MailTo", &[]);
}

#[test]
#[ignore = "needs root and the cluster packages: tests/run ocft"]
fn packaged_sendarp() {
    let everywhere = "what is no IP address is none on any node (6); 1 would have the cluster try it again and again";
    let local = "an interface that is not here is wrong on this node only (2), and another node may be tried";
    packaged("SendArp", &[(2, everywhere), (4, local)]);
}

#[test]
#[ignore = "needs root and the cluster packages: tests/run ocft"]
fn packaged_apache() {
    packaged("apache", &[]);
}

#[test]
#[ignore = "needs root and the cluster packages: tests/run ocft"]
fn packaged_portblock() {
    packaged("portblock", &[]);
}

/// The suite wants its user to write an address and a netmask into it, and takes it for granted that the host has that
/// address and a default route.
#[test]
#[ignore = "needs root and the cluster packages: tests/run ocft"]
fn packaged_ipsrcaddr() {
    let packaged = "/usr/share/resource-agents/ocft/configs/IPsrcaddr";
    let cases = fs::read_to_string(packaged).expect("the package resource-agents");
    let filled = cases
        .replace("ipaddress= # put here your IP", "ipaddress=192.0.2.10")
        .replace("cidr_netmask= # and the netmask", "cidr_netmask=24");
    assert_eq!(
        filled
            .lines()
            .filter(|line| line.ends_with("=192.0.2.10") || line.ends_with("=24"))
            .count(),
        2
    );
    Sandbox::with(&["ocft"], |sandbox| {
        sandbox.install("heartbeat");
        for words in [
            "address add 192.0.2.1/24 dev eth0",
            "address add 192.0.2.10/24 dev eth0",
            "route add default via 192.0.2.2",
        ] {
            sandbox.run("ip", words.split(' ')).ok();
        }
        fs::create_dir("/tmp/ocft").unwrap();
        fs::write("/tmp/ocft/IPsrcaddr", &filled).unwrap();
        sandbox.run("ocft", ["make", "-d", "/tmp/ocft", "IPsrcaddr"]).ok();
        check(sandbox, "IPsrcaddr", &Differences::new());
    });
}

macro_rules! own {
    ($($test:ident $suite:literal)*) => { $(
        #[test]
        #[ignore = "needs root and the cluster packages: tests/run ocft"]
        fn $test() {
            own($suite);
        }
    )* };
}

#[test]
#[ignore = "needs root and the cluster packages: tests/run ocft"]
fn packaged_filesystem() {
    packaged("Filesystem", &[]);
}

own! {
    own_anything "anything"
    own_apache "apache"
    own_delay "Delay"
    own_dummy "Dummy"
    own_ethmonitor "ethmonitor"
    own_filesystem "Filesystem"
    own_ibmmq "ibmmq"
    own_iface_macvlan "iface-macvlan"
    own_ipaddr "IPaddr"
    own_ipaddr2 "IPaddr2"
    own_ipsrcaddr "IPsrcaddr"
    own_ipv6addr "IPv6addr"
    own_macaddr "MACaddr"
    own_mailto "MailTo"
    own_nginx "nginx"
    own_ping "ping"
    own_portblock "portblock"
    own_route "Route"
    own_sendarp "SendArp"
    own_service "service"
    own_stateful "Stateful"
    own_symlink "symlink"
}
