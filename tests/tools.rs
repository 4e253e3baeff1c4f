//! What the cluster's own tools think of the agents: xmllint, `crm_resource`, crm, pcs, ocf-tester.

#![allow(clippy::unwrap_used, reason = "to panic is how a test fails")]

mod mq;
mod sandbox;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sandbox::{PROVIDERS, Run, Sandbox, names, run};

const PROVIDER: &str = "ocfbox";

/// The schemas are upstream's own. `ocf-1.0.rng` and `ocf-1.1.rng` are what pcs accepts an agent by.
const PCS_1_0: &str = "/usr/share/pcs/data/ocf-1.0.rng";
const PCS_1_1: &str = "/usr/share/pcs/data/ocf-1.1.rng";

/// The schema of the resource-agents package. It knows no `unique-group`, `reloadable` and `deprecated`, which are
/// what OCF 1.1 added, so that it can hold for the 1.0 form only.
const RESOURCE_AGENTS: &str = "metadata.rng";

fn agent(name: &str) -> String {
    Path::new(PROVIDERS).join(PROVIDER).join(name).display().to_string()
}

fn with_agents(programs: &[&str], test: impl FnOnce(&Sandbox) + Send) {
    Sandbox::with(programs, |sandbox| {
        sandbox.install(PROVIDER);
        test(sandbox);
    });
}

fn in_form(sandbox: &Sandbox, name: &str, minor: &str) -> String {
    let mut command = sandbox.command(&agent(name));
    command.env("OCF_RA_VERSION_MAJOR", "1").env("OCF_RA_VERSION_MINOR", minor);
    run(command.arg("meta-data")).ok()
}

/// Pipes meta-data through xmllint in the directory of the DTD, as ocf-tester does it.
#[track_caller]
fn lint(sandbox: &Sandbox, name: &str, minor: &str, arguments: &str) {
    let pipe = format!("{} meta-data | xmllint --noout {arguments} -", agent(name));
    let mut command = sandbox.command("sh");
    command.current_dir("/usr/share/resource-agents");
    command.env("OCF_RA_VERSION_MAJOR", "1").env("OCF_RA_VERSION_MINOR", minor);
    let Run { code, stdout, stderr } = run(command.args(["-c", &pipe]));
    assert_eq!(code, Some(0), "{pipe}\n{stdout}{stderr}");
}

#[test]
#[ignore = "needs root and the cluster packages: tests/run tools"]
fn form_1_0_is_valid() {
    with_agents(&["xmllint", "ocf-tester", "pcs"], |sandbox| {
        for name in names() {
            lint(sandbox, name, "0", "--valid");
            lint(sandbox, name, "0", &format!("--relaxng {PCS_1_0}"));
            lint(sandbox, name, "0", &format!("--relaxng {RESOURCE_AGENTS}"));
        }
    });
}

#[test]
#[ignore = "needs root and the cluster packages: tests/run tools"]
fn form_1_1_is_valid() {
    with_agents(&["xmllint", "pcs"], |sandbox| {
        for name in names() {
            lint(sandbox, name, "1", &format!("--relaxng {PCS_1_1}"));
        }
    });
}

/// Pacemaker says that it speaks 1.1 (it sets both variables to 1) also when it only asks for meta-data.
#[test]
#[ignore = "needs root and the cluster packages: tests/run tools"]
fn crm_resource_shows_the_1_1_form() {
    with_agents(&["crm_resource"], |sandbox| {
        for name in names() {
            let shown = sandbox
                .run("crm_resource", ["--show-metadata", &format!("ocf:{PROVIDER}:{name}")])
                .ok();
            assert_eq!(shown.trim(), in_form(sandbox, name, "1").trim(), "{name}");
        }
    });
}

#[test]
#[ignore = "needs root and the cluster packages: tests/run tools"]
fn crm_lists_the_agents() {
    with_agents(&["crm"], |sandbox| {
        let listed = sandbox.run("crm", ["ra", "list", "ocf", PROVIDER]).ok();
        // crm sorts capitals before small letters.
        let mut expected: Vec<_> = names().collect();
        expected.sort_unstable();
        assert_eq!(listed.split_whitespace().collect::<Vec<_>>(), expected);
    });
}

#[test]
#[ignore = "needs root and the cluster packages: tests/run tools"]
fn crm_explains_every_parameter() {
    with_agents(&["crm"], |sandbox| {
        for name in names() {
            let shown = sandbox.run("crm", ["ra", "info", &format!("ocf:{PROVIDER}:{name}")]).ok();
            let described = &ocfbox::agents::find(name).unwrap().described;
            assert!(shown.starts_with(described.agent.short), "{name}: {shown}");
            for param in described.params() {
                let mark = if param.required { "*" } else { "" };
                let line = format!("\n{}{mark} (", param.name);
                assert!(shown.contains(&line), "{name} without {line:?}: {shown}");
            }
        }
    });
}

#[test]
#[ignore = "needs root and the cluster packages: tests/run tools"]
fn pcs_explains_every_parameter() {
    with_agents(&["pcs"], |sandbox| {
        for name in names() {
            let arguments = ["resource", "describe", &format!("ocf:{PROVIDER}:{name}"), "--full"];
            let shown = sandbox.run("pcs", arguments).ok();
            let described = &ocfbox::agents::find(name).unwrap().described;
            assert!(shown.contains(described.agent.short), "{name}: {shown}");
            for param in described.params() {
                let line = format!("\n  {}", param.name);
                assert!(shown.contains(&line), "{name} without {line:?}: {shown}");
            }
        }
    });
}

/// Words of `pcs resource create` after the resource's name, and what pcs says if it refuses.
const CONFIGURATIONS: [(&str, Result<(), &str>); 10] = [
    ("IPaddr2 ip=192.0.2.10 cidr_netmask=24 nic=eth0 --agent-validation", Ok(())),
    ("IPaddr2 ip=2001:db8::10 cidr_netmask=64 nic=eth0 nodad=true --agent-validation", Ok(())),
    ("IPaddr2 ip=192.0.2.300 --agent-validation", Err("ocf-exit-reason:parameter ip")),
    (
        "IPaddr2 ip=192.0.2.10 cidr_netmask=33 --agent-validation",
        Err("ocf-exit-reason:parameter cidr_netmask"),
    ),
    ("IPaddr2 cidr_netmask=24", Err("required resource option 'ip' is missing")),
    ("IPaddr2 ip=192.0.2.10 mask=24", Err("invalid resource option 'mask'")),
    ("IPv6addr ipv6addr=192.0.2.10 --agent-validation", Err("ocf-exit-reason:parameter ipv6addr")),
    ("MACaddr nic=eth1 mac=02:00:00:00:00:01 mode=macvlan --agent-validation", Ok(())),
    (
        "MACaddr nic=eth1 mac=01:00:5e:00:00:01 --agent-validation",
        Err("ocf-exit-reason:parameter mac"),
    ),
    ("Stateful promotable --agent-validation", Ok(())),
];

#[test]
#[ignore = "needs root and the cluster packages: tests/run tools"]
fn pcs_creates_what_is_right_and_refuses_what_is_wrong() {
    with_agents(&["pcs", "cibadmin"], |sandbox| {
        let empty = sandbox.run("cibadmin", ["--empty"]).ok();
        for (words, expected) in CONFIGURATIONS {
            std::fs::write("/tmp/cib.xml", &empty).unwrap();
            let words_of_pcs = format!("-f /tmp/cib.xml resource create it ocf:{PROVIDER}:{words}");
            let Run { code, stderr, .. } = sandbox.run("pcs", words_of_pcs.split(' '));
            match expected {
                Ok(()) => {
                    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{words}");
                    assert!(std::fs::read_to_string("/tmp/cib.xml").unwrap().contains("id=\"it\""));
                }
                Err(why) => {
                    assert_eq!(code, Some(1), "{words}: {stderr}");
                    assert!(stderr.contains(why), "{words}: {stderr}");
                }
            }
        }
    });
}

/// OCF API 1.1, "Parameters": a unique group tells resources apart.
#[test]
#[ignore = "needs root and the cluster packages: tests/run tools"]
fn pcs_refuses_the_same_address_twice() {
    with_agents(&["pcs", "cibadmin"], |sandbox| {
        std::fs::write("/tmp/cib.xml", sandbox.run("cibadmin", ["--empty"]).ok()).unwrap();
        let create = |id: &str| {
            let words = format!(
                "-f /tmp/cib.xml resource create {id} ocf:{PROVIDER}:IPaddr2 ip=192.0.2.10"
            );
            sandbox.run("pcs", words.split(' '))
        };
        create("first").ok();
        let Run { code, stderr, .. } = create("second");
        assert_eq!(code, Some(1));
        assert!(stderr.contains("is not unique"), "{stderr}");
    });
}

/// The parameters that ocf-tester gives to each agent.
const TESTED_WITH: &[(&str, &[&str])] = &[
    ("anything", &["binfile=/bin/sleep", "cmdline_options=4714"]),
    ("apache", &["graceful_timeout=1"]),
    ("Delay", &["startdelay=0.1", "stopdelay=0.1", "mondelay=0.1"]),
    ("Dummy", &["fake=something"]),
    ("ethmonitor", &["interface=eth0", "link_status_only=true"]),
    ("Filesystem", &["device=/tmp/ext4.img", "directory=/tmp/mnt", "fstype=ext4", "options=loop"]),
    (
        "ibmmq",
        &["qmgr=OCFTESTER", "mquser=root", "mq_installation_path=/tmp/mq", "test_queue=PROBE"],
    ),
    ("iface-macvlan", &["device=eth0", "name=mv0"]),
    ("IPaddr", &["ip=192.0.2.10", "nic=eth0", "cidr_netmask=24"]),
    ("IPaddr2", &["ip=192.0.2.10", "nic=eth0", "cidr_netmask=24"]),
    ("IPsrcaddr", &["ipaddress=198.51.100.10"]),
    ("IPv6addr", &["ipv6addr=2001:db8::10", "nic=eth0", "cidr_netmask=64"]),
    ("MACaddr", &["nic=eth1", "mac=02:00:00:00:00:01", "ip=192.0.2.10/24"]),
    ("MailTo", &["email=root@localhost", "subject=Web group"]),
    ("nginx", &["graceful_timeout=1"]),
    ("ping", &["host_list=127.0.0.1", "attempts=2"]),
    ("portblock", &["protocol=tcp", "portno=8080", "action=block", "ip=192.0.2.10"]),
    ("Route", &["destination=203.0.113.0/24", "device=eth0"]),
    ("SendArp", &["ip=192.0.2.10", "nic=eth0"]),
    ("service", &["command=/bin/sleep 4715", "settle=0.2"]),
    ("Stateful", &[]),
    ("symlink", &["link=/run/ocf-tester-link", "target=/etc/hostname"]),
];

/// In the place of a cluster, which these tests have none of, for the agents that set node attributes.
const ATTRD_UPDATER: &str = "#!/bin/sh\n";

/// What has to be there for some of them, in words for `ip`.
const PREPARED_WITH: [&str; 2] =
    ["address add 198.51.100.10/24 dev eth1", "route add default via 198.51.100.1"];

#[test]
#[ignore = "needs root and the cluster packages: tests/run tools"]
fn ocf_tester_passes() {
    let tested: BTreeSet<&str> = TESTED_WITH.iter().map(|(name, _)| *name).collect();
    assert_eq!(tested, names().collect());
    with_agents(&["ocf-tester", "xmllint"], |sandbox| {
        let stand_in = sandbox.programs.join("attrd_updater");
        std::fs::write(&stand_in, ATTRD_UPDATER).unwrap();
        std::fs::set_permissions(&stand_in, PermissionsExt::from_mode(0o755)).unwrap();
        for words in PREPARED_WITH {
            sandbox.run("ip", words.split(' ')).ok();
        }
        sandbox.run("truncate", ["-s", "16M", "/tmp/ext4.img"]).ok();
        sandbox.run("mkfs.ext4", ["-q", "-F", "/tmp/ext4.img"]).ok();
        mq::install(Path::new("/tmp/mq"));
        mq::define(Path::new("/tmp/mq"), "OCFTESTER");
        for (name, parameters) in TESTED_WITH.iter().copied() {
            pass(sandbox, name, parameters);
            let described = sandbox.run(&agent(name), ["meta-data"]).ok();
            if described.contains("<parameter name=\"watch\"") {
                pass(sandbox, name, &[parameters, &["watch=true"]].concat());
            }
        }
    });
}

#[track_caller]
fn pass(sandbox: &Sandbox, name: &str, parameters: &[&str]) {
    let mut words = vec!["-n", "test"];
    words.extend(parameters.iter().flat_map(|parameter| ["-o", parameter]));
    let path = agent(name);
    words.push(&path);
    let Run { code, stdout, stderr } = sandbox.run("ocf-tester", words);
    let said = format!("{stdout}{stderr}");
    assert_eq!(code, Some(0), "{name}: {said}");
    assert!(stdout.contains("passed all tests") && !said.contains("* rc="), "{name}: {said}");
    // The last that ocf-tester does is a reload, which starts some that are stopped; and processes are the host's.
    let mut stop = sandbox.command(&path);
    stop.arg("stop").env("OCF_ROOT", "/usr/lib/ocf").env("OCF_RESOURCE_INSTANCE", "test");
    stop.env("OCF_RA_VERSION_MAJOR", "1").env("OCF_RA_VERSION_MINOR", "1");
    for (parameter, value) in parameters.iter().filter_map(|word| word.split_once('=')) {
        stop.env(format!("OCF_RESKEY_{parameter}"), value);
    }
    sandbox::run(&mut stop).ok();
}
