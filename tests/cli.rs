//! The command line and wrong input, as any user.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use assert_cmd::Command;
use ocfbox::agents;
use ocfbox::param::{Kind, ParamSpec};
use predicates::prelude::*;

fn ocfbox() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ocfbox"));
    command.env_clear().env("HA_LOGFILE", "/dev/null");
    command
}

/// An agent by its symlink, as a cluster calls it.
fn agent(directory: &Path, name: &str) -> Command {
    let link = directory.join(name);
    if !link.exists() {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_ocfbox"), &link).unwrap();
    }
    let mut command = Command::new(link);
    command.env_clear().env("HA_LOGFILE", "/dev/null").env("HA_RSCTMP", directory.join("state"));
    command.env("OCF_RESOURCE_INSTANCE", "test").current_dir(directory);
    command
}

fn one_reason() -> impl Predicate<str> {
    predicate::function(|text: &str| {
        let reasons: Vec<&str> =
            text.lines().filter(|line| line.starts_with("ocf-exit-reason:")).collect();
        reasons.len() == 1 && reasons[0].chars().count() < "ocf-exit-reason:".len() + 200
    })
}

#[test]
fn the_verbs_for_people() {
    ocfbox().arg("list").assert().success().stdout(predicate::str::contains("IPaddr2"));
    ocfbox()
        .arg("--version")
        .assert()
        .success()
        .stdout(predicate::str::contains(env!("CARGO_PKG_VERSION")));
    ocfbox().assert().code(2).stderr(predicate::str::contains("Usage"));
    ocfbox()
        .args(["describe", "IPaddr2"])
        .assert()
        .success()
        .stdout(predicate::str::contains("\x1b").not());
    ocfbox()
        .args(["describe", "IPadd"])
        .assert()
        .failure()
        .stderr(predicate::str::contains("IPaddr2"));
    ocfbox()
        .args(["nonsense", "start"])
        .assert()
        .code(2)
        .stderr(predicate::str::contains("nonsense"));
    ocfbox().args(["IPaddr2"]).assert().code(3).stderr(one_reason());
    ocfbox()
        .args(["IPaddr2", "start", "nic"])
        .assert()
        .code(2)
        .stderr(predicate::str::contains("parameter=value"));
}

#[test]
fn every_agent_has_a_page_and_completions() {
    for entry in agents::ALL {
        let name = entry.described.agent.name;
        let page =
            ocfbox().args(["generate", "man", name]).assert().success().get_output().stdout.clone();
        let page = String::from_utf8(page).unwrap();
        for param in entry.described.params() {
            assert!(page.contains(&param.name.replace('-', "\\-")), "{name} {}", param.name);
        }
        for shell in ["bash", "zsh", "fish"] {
            let script = ocfbox().args(["generate", "completion", shell]).assert().success();
            let hidden = predicate::str::is_match("announce|deliver|demo-part").unwrap();
            script.stdout(predicate::str::contains(name).and(hidden.not()));
        }
    }
    ocfbox()
        .args(["generate", "man"])
        .assert()
        .success()
        .stdout(predicate::str::contains("OCF_TRACE_RA"));
}

#[test]
fn bash_completes_actions_and_parameters() {
    let directory = tempfile::tempdir().unwrap();
    let script = ocfbox()
        .args(["generate", "completion", "bash"])
        .assert()
        .success()
        .get_output()
        .stdout
        .clone();
    let file = directory.path().join("completion");
    std::fs::write(&file, script).unwrap();
    let complete = |words: &[&str]| {
        let all = words.join(" ");
        let last = words.last().unwrap();
        let before = words.len().checked_sub(2).map_or("", |at| words[at]);
        let code = format!(
            "source {}; COMP_WORDS=({all}); COMP_CWORD={}; _ocfbox ocfbox '{last}' '{before}'; echo \"${{COMPREPLY[@]}}\"",
            file.display(),
            words.len() - 1
        );
        let output = Command::new("bash").args(["-c", &code]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(complete(&["ocfbox", "IPad"]).contains("IPaddr2"));
    assert!(complete(&["ocfbox", "IPaddr2", "mon"]).contains("monitor"));
    assert!(complete(&["ocfbox", "IPaddr2", "start", "arp_c"]).contains("arp_count="));
    assert!(complete(&["ocfbox", "describe", "Sta"]).contains("Stateful"));
}

#[test]
fn what_only_prints_needs_nothing() {
    let directory = tempfile::tempdir().unwrap();
    for entry in agents::ALL {
        let name = entry.described.agent.name;
        for action in ["meta-data", "usage", "help", "methods"] {
            let mut call = agent(directory.path(), name);
            call.env_clear().arg(action).assert().success().stderr("");
        }
    }
    // A reader that closes early is no failure.
    let pipe = "\"$0\" meta-data | head -c 10";
    let link = directory.path().join("IPaddr2");
    Command::new("bash").args(["-o", "pipefail", "-c", pipe]).arg(link).assert().success();
}

#[test]
fn further_arguments_are_ignored() {
    let directory = tempfile::tempdir().unwrap();
    let mut call = agent(directory.path(), "Dummy");
    call.args(["monitor", "and", "more"]).assert().code(7);
}

#[test]
fn unknown_or_no_action_is_3_and_says_what_there_is() {
    let directory = tempfile::tempdir().unwrap();
    for entry in agents::ALL {
        for words in [&["frobnicate"][..], &[], &["START"], &["promote-all"]] {
            let mut call = agent(directory.path(), entry.described.agent.name);
            call.args(words)
                .assert()
                .code(3)
                .stderr(one_reason())
                .stderr(predicate::str::contains("monitor"));
        }
    }
    for action in ["promote", "demote", "notify", "reload", "migrate_to"] {
        agent(directory.path(), "IPaddr2").arg(action).assert().code(3);
    }
}

/// A person who watches is told what is wrong in the words, and not that the resource has failed.
#[test]
fn wrong_words_of_who_watches_by_hand_are_refused() {
    for (word, reason) in [
        ("watch_interval=0", "parameter watch_interval: "),
        ("watch_interval=x; reboot", "parameter watch_interval: "),
        ("watch_intervall=1", "is it watch_interval?"),
    ] {
        let mut command = ocfbox();
        let refused = command.args(["watch", "IPaddr2", "ip=192.0.2.10", word]).assert().failure();
        refused.stdout("").stderr(predicate::str::contains(reason));
    }
}

/// haresources has positional arguments; how a resource is watched stands in words of its own.
#[test]
fn a_haresources_line_sets_how_a_resource_is_watched() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("ha.d/resource.d");
    std::fs::create_dir_all(&place).unwrap();
    let call = |words: &[&str]| {
        let mut call = agent(&place, "IPaddr2");
        call.env_remove("OCF_RESOURCE_INSTANCE").args(words).assert()
    };
    let line = ["192.0.2.10/24/lo", "watch_restarts=5", "watch=no"];
    call(&[&line[..], &["status"]].concat()).code(7).stdout("INFO: stopped\n");
    call(&[&line[..], &["stop"]].concat()).code(0).stdout("INFO: OK\n");
    // An address of version 6 comes in pieces, and the words are none of them.
    call(&["2001:db8", "10/64/lo", "watch=no", "status"]).code(7).stdout("INFO: stopped\n");
    for (word, why) in [
        ("watch=perhaps", "parameter watch: "),
        ("watch_interval=0", "parameter watch_interval: "),
        ("watch_restarts=-1", "parameter watch_restarts: "),
        ("watch_restart=5", "no parameter \"watch_restart\"; is it watch_restarts?"),
    ] {
        let refused = call(&["192.0.2.10/24/lo", word, "start"]).failure();
        refused.stderr(one_reason()).stderr(predicate::str::contains(why));
        // Whoever has slipped must get rid of the resource all the same.
        call(&["192.0.2.10/24/lo", word, "stop"]).code(0);
        call(&["192.0.2.10/24/lo", word, "status"]).code(7).stdout("INFO: stopped\n");
    }
    // An agent that cannot be watched has no such words.
    let mut mail = agent(&place, "MailTo");
    mail.args(["root@localhost", "watch=no", "more", "start"]).assert().failure();
    for entry in agents::ALL.iter().filter(|entry| entry.described.agent.haresources.is_some()) {
        let (name, watched) = (entry.described.agent.name, entry.described.watched);
        for words in [&["describe", name][..], &[name, "usage"], &["generate", "man", name]] {
            let said = ocfbox().args(words).assert().success();
            let told = predicate::str::contains("[::watch=false]");
            if watched {
                said.stdout(told)
            } else {
                said.stdout(told.not())
            };
        }
    }
}

/// Who speaks OCF must name the resource; who does not, need not.
#[test]
fn the_instance_is_mandatory_for_who_speaks_ocf() {
    let directory = tempfile::tempdir().unwrap();
    let unnamed = || {
        let mut call = agent(directory.path(), "Dummy");
        call.env_remove("OCF_RESOURCE_INSTANCE");
        call
    };
    unnamed().arg("monitor").assert().code(7);
    let mut speaks = unnamed();
    speaks.env("OCF_RA_VERSION_MAJOR", "1").arg("monitor").assert().code(2).stderr(one_reason());
}

/// Values that are wrong for a kind of parameter.
fn wrong_values(param: &ParamSpec) -> Vec<OsString> {
    let mut values: Vec<OsString> = vec![
        "x".repeat(5000).into(),
        OsString::from_vec(vec![0xff, 0xfe, b'1']),
        "; touch pwned; $(touch pwned) `touch pwned` | & \n '\"".into(),
        "../../../../etc/passwd".into(),
        "\u{1b}[31mred".into(),
        "not/what it should be".into(),
    ];
    if param.kind == Kind::Integer {
        values.extend(
            ["-1", "1e9", "0x10", "99999999999999999999", " 1", "1 ", "+1"].map(OsString::from),
        );
    }
    values
}

/// Any text is right for these.
fn takes_any_text(agent: &str, name: &str) -> bool {
    let free = [
        "send_arp_opts",
        "clusterip_hash_seed",
        "clusterip_table",
        "clusterip_chain",
        "clusterip_hash",
    ];
    let scripts = ["local_stop_script", "local_start_script"];
    // Pages, texts in them, and words for the server; what is wrong with them has tests beside the servers.
    let web = [
        "statusurl",
        "testregex",
        "client",
        "testurl",
        "testregex10",
        "testname",
        "options",
        "envfiles",
        "status10url",
        "status10regex",
        "testclient",
        "test20url",
        "test20regex",
        "test20name",
        "external_monitor30_cmd",
    ];
    (["apache", "nginx"].contains(&agent) && web.contains(&name))
        || free.contains(&name)
        || scripts.contains(&name)
        || name == "ARP_NETMASK"
        || (agent == "MailTo" && ["subject", "reason"].contains(&name))
        || [("Dummy", "fake"), ("ping", "options"), ("portblock", "sync_script")]
            .contains(&(agent, name))
        || ["command", "cmdline_options", "monitor_hook", "check_command"].contains(&name)
        || ["strmqm_opts", "monitor_program"].contains(&name)
        || (agent, name) == ("Dummy", "fake")
        // What a file system takes for its device and its options, it alone knows; the names of files are any bytes.
        || (agent == "Filesystem" && ["device", "options", "statusfile_prefix"].contains(&name))
        // A link may lead anywhere, and a name may be any bytes.
        || (agent == "symlink" && ["target", "backup_suffix"].contains(&name))
}

fn given(call: &mut Command, required: &[&ParamSpec], except: &str) {
    for param in required.iter().filter(|param| param.name != except) {
        let value = match param.name {
            "ipv6addr" => "2001:db8::10",
            "email" => "root@localhost",
            "nic" => "eth0",
            "protocol" => "tcp",
            "portno" => "80",
            "action" => "block",
            "mac" => "02:00:00:00:00:01",
            "binfile" => "/no/such/program",
            "directory" => "/no/such/directory",
            "link" => "/no/such/directory/link",
            _ => "192.0.2.10",
        };
        call.env(format!("OCF_RESKEY_{}", param.name), value);
    }
}

/// Each wrong value of each parameter: 6 from validate-all and start, with the parameter's name and the value; never
/// from monitor or stop; and nothing is executed or left behind.
#[test]
fn every_wrong_value_of_every_parameter_has_its_code_and_reason() {
    let directory = tempfile::tempdir().unwrap();
    let mut judged = 0;
    for entry in agents::ALL {
        let name = entry.described.agent.name;
        let required: Vec<&ParamSpec> =
            entry.described.params().filter(|param| param.required).collect();
        for param in entry.described.params() {
            for value in wrong_values(param) {
                let too_long = value.len() > 4096;
                if takes_any_text(name, param.name) && !too_long {
                    continue;
                }
                let variable = format!("OCF_RESKEY_{}", param.name);
                for action in ["validate-all", "start"] {
                    let mut call = agent(directory.path(), name);
                    given(&mut call, &required, param.name);
                    let wrong = call.env(&variable, &value).arg(action).assert();
                    let wrong = wrong.code(6).stdout("").stderr(one_reason());
                    wrong.stderr(predicate::str::contains(format!("parameter {}: ", param.name)));
                }
                for action in ["monitor", "stop"] {
                    let mut call = agent(directory.path(), name);
                    given(&mut call, &required, param.name);
                    call.env("OCF_RESKEY_CRM_meta_interval", "0").env("OCF_RESKEY_stopdelay", "0");
                    call.env(&variable, &value).arg(action);
                    let code = call.output().unwrap().status.code();
                    let right = if action == "stop" { 0 } else { 7 };
                    // Only root can look at the packet filter, and who cannot look must not say "stopped".
                    let blind = name == "portblock" && !nix::unistd::geteuid().is_root();
                    let codes = if blind { vec![right, 1] } else { vec![right] };
                    let found = codes.contains(&code.unwrap());
                    assert!(found, "{name} {action} {}={value:?}: {code:?}", param.name);
                }
                judged += 1;
            }
        }
    }
    assert!(judged > 100, "{judged}");
    let left: Vec<_> = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    let expected =
        |file: &OsString| agents::find(&file.to_string_lossy()).is_some() || file == "state";
    assert!(left.iter().all(expected), "{left:?}");
}

#[test]
fn missing_and_empty_required_parameters_are_named() {
    let directory = tempfile::tempdir().unwrap();
    for entry in agents::ALL {
        let name = entry.described.agent.name;
        let required: Vec<&ParamSpec> =
            entry.described.params().filter(|param| param.required).collect();
        for param in &required {
            for empty in [false, true] {
                for (action, code) in
                    [("start", 6), ("validate-all", 6), ("monitor", 7), ("stop", 0)]
                {
                    let mut call = agent(directory.path(), name);
                    given(&mut call, &required, param.name);
                    if empty {
                        call.env(format!("OCF_RESKEY_{}", param.name), "");
                    }
                    let done = call.arg(action).assert().code(code);
                    if code == 6 {
                        done.stderr(predicate::str::contains(format!(
                            "parameter {}: is required",
                            param.name
                        )));
                    }
                }
            }
        }
    }
}

#[test]
fn parameters_that_nobody_knows_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let mut call = agent(directory.path(), "IPaddr2");
    call.env("HA_LOGFILE", &log)
        .env("OCF_RESKEY_ip", "192.0.2.10")
        .env("OCF_RESKEY_cidr_netmaks", "24");
    call.env("OCF_RESKEY_run_arping", "false").env("OCF_RESKEY_CRM_meta_timeout", "20000");
    call.env("OCF_RESKEY_crm_feature_set", "3.16.2").env("OCF_RESKEY_netmask", "24");
    call.arg("validate-all").assert().success();
    let log = std::fs::read_to_string(log).unwrap();
    assert!(
        log.contains("no parameter cidr_netmaks") && log.contains("is it cidr_netmask?"),
        "{log}"
    );
    assert!(log.contains("run_arping is deprecated; use conflict_check"), "{log}");
    assert_eq!(log.lines().count(), 2, "{log}");
}

/// Where messages go.
#[test]
fn the_log_goes_where_the_environment_says() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let debug = directory.path().join("debug");
    let fail = |call: &mut Command| {
        call.env("OCF_RESKEY_ip", "nonsense").arg("start").assert().code(6).stderr(one_reason());
    };
    let mut call = agent(directory.path(), "IPaddr2");
    fail(call.env("HA_LOGFILE", &log).env("HA_DEBUGLOG", &debug));
    let line = std::fs::read_to_string(&log).unwrap();
    let form =
        r"^[A-Z][a-z]{2} [0-9]{2} [0-9:]{8} IPaddr2\(test\)\[[0-9]+\]:    ERROR: parameter ip: ";
    assert!(predicate::str::is_match(form).unwrap().eval(&line), "{line}");
    assert!(std::fs::read_to_string(&debug).unwrap().starts_with("IPaddr2(test)["));
    let mut call = agent(directory.path(), "IPaddr2");
    let tag = directory.path().join("tag");
    fail(call.env("HA_LOGFILE", &tag).env("HA_LOGTAG", "mine").env("HA_DATEFMT", "%Y "));
    assert!(std::fs::read_to_string(&tag).unwrap().starts_with("20"));
    assert!(std::fs::read_to_string(&tag).unwrap().contains(" mine:    ERROR: "));
    let mut call = agent(directory.path(), "IPaddr2");
    call.env("OCF_EXIT_REASON_PREFIX", "because ").env("OCF_RESKEY_ip", "x").arg("start");
    call.assert().code(6).stderr(predicate::str::starts_with("because parameter ip: "));
}

#[test]
fn dummy_lives_in_its_state_file() {
    let directory = tempfile::tempdir().unwrap();
    let run = |action: &str| agent(directory.path(), "Dummy").arg(action).assert();
    run("monitor").code(7);
    run("start").code(0);
    run("start").code(0);
    run("monitor").code(0);
    for action in ["reload", "reload-agent", "migrate_from"] {
        run(action).code(0);
    }
    run("migrate_to").code(0);
    run("monitor").code(7);
    run("stop").code(0);
    run("stop").code(0);
}

/// A state file that is a link, a directory, garbage or a pipe harms nobody.
#[test]
fn state_files_that_are_something_else() {
    let directory = tempfile::tempdir().unwrap();
    let victim = directory.path().join("victim");
    std::fs::write(&victim, "precious").unwrap();
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(&victim, &link).unwrap();
    let folder = directory.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    let garbage = directory.path().join("garbage");
    std::fs::write(&garbage, [0xff; 100]).unwrap();
    for (name, stays) in [(&link, true), (&folder, true), (&garbage, false)] {
        let run = |action: &str| {
            agent(directory.path(), "Dummy").env("OCF_RESKEY_state", name).arg(action).assert()
        };
        let told = predicate::str::contains("state file");
        run("monitor").code(1).stderr(one_reason()).stderr(told.clone());
        run("start").code(1).stderr(one_reason()).stderr(told);
        run("stop").code(0);
        assert_eq!(name.symlink_metadata().is_ok(), stays, "{}", name.display());
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
    }
}

/// The promotion score goes through `crm_attribute`, the one program that an agent here may run.
#[test]
fn stateful_is_promoted_and_tells_its_score() {
    let directory = tempfile::tempdir().unwrap();
    let tools = directory.path().join("tools");
    std::fs::create_dir(&tools).unwrap();
    let program = tools.join("crm_attribute");
    let said = directory.path().join("said");
    std::fs::write(&program, format!("#!/bin/sh\necho \"$@\" >> {}\n", said.display())).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    let run = |action: &str, code: i32| {
        let mut call = agent(directory.path(), "Stateful");
        call.env("PATH", &tools).arg(action).assert().code(code);
    };
    run("promote", 1);
    for (action, code) in [
        ("start", 0),
        ("monitor", 0),
        ("promote", 0),
        ("promote", 0),
        ("monitor", 8),
        ("start", 1),
        ("demote", 0),
        ("demote", 0),
        ("monitor", 0),
        ("promote", 0),
        ("stop", 0),
        ("monitor", 7),
        ("stop", 0),
    ] {
        run(action, code);
    }
    let said = std::fs::read_to_string(said).unwrap();
    assert!(said.starts_with("--promotion=test -v 5\n--promotion=test -v 10\n"), "{said}");
    assert!(said.ends_with("--promotion=test -D\n"), "{said}");
}

/// `portblock::tcp::80::block` in haresources.
#[test]
fn portblock_takes_three_arguments_and_no_fewer() {
    let directory = tempfile::tempdir().unwrap();
    let called = |words: &[&str]| {
        let mut call = agent(directory.path(), "portblock");
        call.env_remove("OCF_RESOURCE_INSTANCE").env_remove("OCF_RA_VERSION_MAJOR");
        call.args(words).output().unwrap()
    };
    // The parameters arrive: a wrong one is named, and judged before the kernel is asked.
    for (words, expected) in [
        (["tcp", "80", "shut", "start"], "parameter action: \"shut\""),
        (["tcp", "http", "block", "start"], "parameter portno: \"http\""),
        (["ip", "80", "block", "start"], "parameter protocol: \"ip\""),
    ] {
        let said = String::from_utf8(called(&words).stderr).unwrap();
        assert!(said.contains(expected), "{said}");
    }
    let said = String::from_utf8(called(&["tcp", "80", "start"]).stderr).unwrap();
    assert!(said.contains("portblock::protocol::portno::action"), "{said}");
}

/// `Filesystem::/dev/sdb1::/srv::ext4::noatime` in haresources.
#[test]
fn filesystem_takes_its_device_its_directory_and_what_else_there_is() {
    let directory = tempfile::tempdir().unwrap();
    let called = |words: &[&str]| {
        let mut call = agent(directory.path(), "Filesystem");
        call.env_remove("OCF_RESOURCE_INSTANCE").env_remove("OCF_RA_VERSION_MAJOR");
        let output = call.args(words).output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code().unwrap(), said)
    };
    // The parameters arrive: a wrong one is named.
    for (words, code, expected) in [
        (&["/dev/none", "srv", "start"][..], 6, "parameter directory: \"srv\""),
        (&["/dev/none", "/no/such", "a b", "start"], 6, "parameter fstype: \"a b\""),
        (&["/dev/none", "/no/such", "ext4", "noatime,remount", "start"], 6, "parameter options"),
        (&["/dev/none", "/no/such", "ext4", "noatime", "status"], 7, "stopped"),
        (&["/dev/none", "/no/such", "stop"], 0, "OK"),
        (&["/dev/none", "start"], 1, "Filesystem::device::directory[::fstype][::options]"),
        (&["a", "b", "c", "d", "e", "start"], 1, "Filesystem::device::directory"),
    ] {
        let (found, said) = called(words);
        assert!(found == code && said.contains(expected), "{words:?}: {found} {said}");
    }
}

/// `apache::/etc/httpd/conf/httpd.conf` in haresources.
#[test]
fn apache_takes_its_configuration_file() {
    let directory = tempfile::tempdir().unwrap();
    let said = |words: &[&str]| {
        let mut call = agent(directory.path(), "apache");
        call.env_remove("OCF_RESOURCE_INSTANCE").env_remove("OCF_RA_VERSION_MAJOR");
        let output = call.args(words).output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    let relative = said(&["httpd.conf", "start"]);
    assert!(relative.contains("parameter configfile: \"httpd.conf\""), "{relative}");
}

#[test]
fn delay_takes_its_time_and_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let delay = |words: &[(&str, &str)], action: &str| {
        let mut call = agent(directory.path(), "Delay");
        for (name, value) in words {
            call.env(format!("OCF_RESKEY_{name}"), value);
        }
        call.arg(action);
        let begin = std::time::Instant::now();
        let code = call.output().unwrap().status.code();
        (code, begin.elapsed().as_secs_f64())
    };
    let short = [("startdelay", "0.3"), ("stopdelay", "0.2"), ("mondelay", "0")];
    let (code, seconds) = delay(&short, "start");
    assert!(code == Some(0) && (0.3..2.0).contains(&seconds), "{code:?} {seconds}");
    assert_eq!(delay(&short, "monitor").0, Some(0));
    let (code, seconds) = delay(&short, "stop");
    assert!(code == Some(0) && (0.2..2.0).contains(&seconds), "{code:?} {seconds}");
    assert_eq!(delay(&short, "monitor").0, Some(7));
    let hasty = [("startdelay", "60"), ("CRM_meta_timeout", "500")];
    let (code, seconds) = delay(&hasty, "start");
    assert!(code == Some(1) && seconds < 2.0, "{code:?} {seconds}");
    assert_eq!(delay(&short, "monitor").0, Some(7), "a failed start leaves nothing");
}

/// ocf-tester plays a host on which no program is installed.
#[test]
fn without_any_program_meta_data_and_monitor_work() {
    let directory = tempfile::tempdir().unwrap();
    for entry in agents::ALL {
        let mut call = agent(directory.path(), entry.described.agent.name);
        call.env("OCF_TESTER_FAIL_HAVE_BINARY", "1").env("OCF_RESKEY_ip", "192.0.2.10");
        call.env("OCF_RESKEY_ipv6addr", "2001:db8::10").arg("monitor").assert().code(7);
        let mut call = agent(directory.path(), entry.described.agent.name);
        call.env("OCF_TESTER_FAIL_HAVE_BINARY", "1").arg("meta-data").assert().success();
    }
}

#[test]
fn an_empty_value_is_not_the_default() {
    let directory = tempfile::tempdir().unwrap();
    for (name, value, code) in [
        ("arp_count", "", 6),
        ("preferred_lft", "", 6),
        ("cidr_netmask", "", 0),
        ("nic", "", 0),
        ("lvs_support", "", 0),
        ("check_link_status", "Yes", 6),
    ] {
        let mut call = agent(directory.path(), "IPaddr2");
        call.env("OCF_RESKEY_ip", "192.0.2.10")
            .env(format!("OCF_RESKEY_{name}"), OsStr::new(value));
        let output = call.arg("validate-all").output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{name}={value:?}");
    }
}

/// Who reads a mail hears what the line in haresources said.
#[test]
fn haresources_arguments_of_mailto_and_sendarp() {
    let directory = tempfile::tempdir().unwrap();
    let tools = directory.path().join("tools");
    std::fs::create_dir(&tools).unwrap();
    let program = tools.join("sendmail");
    let mail = directory.path().join("mail");
    let script = format!("#!/bin/sh\nexec /bin/cat >{}\n", mail.display());
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    let run = |words: &[&str]| {
        let mut call = agent(directory.path(), "MailTo");
        call.env("PATH", &tools).env("HA_CURHOST", "node2").args(words).assert()
    };
    let arguments = ["admin@example.org,root", "Web group"];
    let status = run(&[&arguments[..], &["status"]].concat());
    status.code(7).stdout("INFO: stopped\n");
    run(&[&arguments[..], &["start"]].concat()).code(0).stdout("INFO: OK\n");
    let status = run(&[&arguments[..], &["status"]].concat());
    status.code(0).stdout("INFO: running, OK\n");
    let begin = std::time::Instant::now();
    let written = loop {
        let written = std::fs::read_to_string(&mail).unwrap_or_default();
        if written.contains("When:") {
            break written;
        }
        assert!(begin.elapsed().as_secs() < 20, "{written:?}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    };
    assert!(written.contains("\nTo: admin@example.org,\n root\n"), "{written}");
    assert!(written.contains("\nSubject: Web group Takeover in progress at "), "{written}");
    assert!(
        written.contains("What:  start of MailTo_admin@example.org,root_Web group\n"),
        "{written}"
    );
    assert!(written.contains("Who:   Heartbeat on node2\n"), "{written}");
    for words in [&["start"][..], &["a@example.org", "b", "c", "start"]] {
        run(words).code(if words.len() == 1 { 6 } else { 1 });
    }
    let mut call = agent(directory.path(), "SendArp");
    call.args(["192.0.2.10/nowhere", "start"]).assert().code(2).stderr(one_reason());
}

/// `service::x` is an init script, `service::x.service` a unit; and only one of them can be run.
#[test]
fn a_service_is_a_script_or_a_unit() {
    let directory = tempfile::tempdir().unwrap();
    let start = |argument: &str, word: &str| {
        let mut call = agent(directory.path(), "service");
        let call = call.env("HA_RSCTMP", directory.path()).args([argument, "start"]);
        call.assert().code(5).stderr(predicate::str::contains(word));
    };
    start("ocfbox-none", "no init script /etc/init.d/ocfbox-none");
    start("ocfbox-none.service", "unit");
    let cases: [(&[(&str, &str)], &str); 7] = [
        (&[], "parameter unit: is not given"),
        (&[("unit", "x"), ("script", "x")], "parameter unit: is given together with script"),
        (&[("unit", "x"), ("command", "x")], "parameter unit: is given together with command"),
        (&[("command", "x"), ("script", "x")], "parameter command: is given together with script"),
        (&[("command", "  ")], "parameter command: has no words"),
        (&[("unit", "x@.service")], "parameter unit: \"x@.service\" is not a systemd unit"),
        (&[("unit", "default.target")], "parameter unit: \"default.target\" is not a systemd unit"),
    ];
    for (parameters, why) in cases {
        for (action, code) in [("validate-all", 6), ("start", 6), ("monitor", 7), ("stop", 0)] {
            let mut call = agent(directory.path(), "service");
            call.env("HA_RSCTMP", directory.path()).env("OCF_RESOURCE_INSTANCE", "x").arg(action);
            for (name, value) in parameters {
                call.env(format!("OCF_RESKEY_{name}"), value);
            }
            let outcome = call.assert().code(code);
            if code == 6 {
                outcome.stderr(predicate::str::contains(why));
            }
        }
    }
}
