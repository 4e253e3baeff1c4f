//! A stand-in for IBM MQ, which cannot be had here: it plays the documented behaviour of the commands that the agent
//! uses, with processes of the product's names and words. Files in `var/<queue manager>/` tell it how to behave.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

const COMMANDS: [(&str, &str); 5] = [
    ("dspmq", include_str!("dspmq")),
    ("strmqm", include_str!("strmqm")),
    ("endmqm", include_str!("endmqm")),
    ("runmqsc", include_str!("runmqsc")),
    ("dmpmqmsg", include_str!("dmpmqmsg")),
];

/// The controller, from which the others are copied.
const CONTROLLER: &str = "amqzxma0";
const OTHERS: [&str; 5] = ["amqzmuc0", "amqzlaa0", "amqfqpub", "amqpcsea", "runmqlsr"];

/// Installs it at `place`. The sources are in the test, since a sandbox may not show them.
pub fn install(place: &Path) {
    let bin = place.join("bin");
    fs::create_dir_all(&bin).unwrap();
    fs::create_dir(place.join("var")).unwrap();
    for (name, text) in COMMANDS {
        fs::write(bin.join(name), text).unwrap();
        fs::set_permissions(bin.join(name), PermissionsExt::from_mode(0o755)).unwrap();
    }
    let mut built = Command::new("gcc")
        .args(["-O1", "-Wall", "-x", "c", "-", "-o"])
        .arg(bin.join(CONTROLLER))
        .stdin(Stdio::piped())
        .spawn()
        .expect("gcc: apt-get install gcc libc6-dev");
    built.stdin.take().unwrap().write_all(include_bytes!("amq.c")).unwrap();
    assert!(built.wait().unwrap().success(), "the stand-in is built");
    for name in OTHERS {
        fs::copy(bin.join(CONTROLLER), bin.join(name)).unwrap();
    }
}

/// Makes a queue manager, as `crtmqm` does, with the queue `PROBE`.
pub fn define(place: &Path, name: &str) {
    let directory = place.join("var").join(name);
    fs::create_dir_all(directory.join("queue-PROBE")).unwrap();
    fs::write(directory.join("status"), "ENDED NORMALLY\n").unwrap();
}
