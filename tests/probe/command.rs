//! `ocfbox probe`, as a person runs it.

use assert_cmd::Command;
use predicates::prelude::*;

use crate::fake::Script;

fn ocfbox() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ocfbox"));
    command.env_clear().arg("probe");
    command
}

#[test]
fn it_says_what_it_found_and_how_long_that_took() {
    let alive = Script::new(b"", &[(b"PING\r\n", b"-NOAUTH no\r\n")]).serve();
    let shaped = predicate::str::is_match(format!(
        "^redis://{alive}: alive: -NOAUTH no\n  connect [0-9.]+ m?s, first byte [0-9.]+ m?s, answer [0-9.]+ m?s, end [0-9.]+ m?s\n$"
    ));
    ocfbox().arg(format!("redis://{alive}")).assert().code(0).stdout(shaped.unwrap()).stderr("");
}

#[test]
fn it_fails_if_one_of_them_failed() {
    let alive = Script::new(b"hello", &[]).serve();
    let silent = Script::new(b"", &[]).serve();
    ocfbox()
        .args([format!("tcp://{alive}"), format!("smtp://{silent}#timeout=100ms")])
        .assert()
        .code(1)
        .stdout(predicate::str::contains(format!("tcp://{alive}: alive: ")))
        .stdout(predicate::str::contains(format!(
            "smtp://{silent}: failed at first byte: it took the connection"
        )))
        .stderr("ocfbox: 1 of 2 probes failed\n");
}

#[test]
fn wrong_words_are_told_apart_from_failures() {
    for words in [&["nonsense"][..], &["http://x#color=red"], &[]] {
        ocfbox().args(words).assert().code(2).stderr(predicate::str::contains("error: "));
    }
    ocfbox()
        .arg("nonsense")
        .assert()
        .stderr(predicate::str::contains("\"nonsense\" is no probe: a probe is a URL such as"));
}

#[test]
fn it_lists_all_protocols_and_options() {
    let output = ocfbox().arg("--list").assert().code(0).get_output().stdout.clone();
    let text = String::from_utf8(output).unwrap();
    for protocol in ocfbox::probe::protocol::ALL {
        assert!(text.contains(&format!("\n{}", protocol.scheme)), "{}", protocol.scheme);
    }
    for (name, meaning) in ocfbox::probe::option::ALL {
        assert!(text.contains(&format!("  {name:12} {meaning}\n")), "{name}");
    }
}
