//! What `meta-data` prints, against the golden files in `metadata/`.
//!
//! `metadata/<Agent>.xml` is the 1.0 form and `metadata/1.1/<Agent>.xml` the 1.1 form. After a change that is meant,
//! `BLESS=1 cargo test --test metadata` writes them anew.

#![allow(clippy::unwrap_used, reason = "to panic is how a test fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use ocfbox::agents;

/// File name and content.
type Files = BTreeMap<String, String>;

#[test]
fn form_1_0_is_golden() {
    compare("metadata", &printed(&[]));
}

#[test]
fn form_1_1_is_golden() {
    let version = [("OCF_RA_VERSION_MAJOR", "1"), ("OCF_RA_VERSION_MINOR", "1")];
    compare("metadata/1.1", &printed(&version));
}

/// What each agent prints when it is called as a cluster calls it: by the name of a symlink.
fn printed(variables: &[(&str, &str)]) -> Files {
    let directory = tempfile::tempdir().unwrap();
    agents::ALL
        .iter()
        .map(|entry| of_agent(entry.described.agent.name, directory.path(), variables))
        .collect()
}

fn of_agent(name: &str, directory: &Path, variables: &[(&str, &str)]) -> (String, String) {
    let link = directory.join(name);
    symlink(env!("CARGO_BIN_EXE_ocfbox"), &link).unwrap();
    let mut agent = Command::new(&link);
    let done = agent
        .arg("meta-data")
        .env_clear()
        .envs(variables.iter().copied())
        .assert()
        .success()
        .stderr("");
    (format!("{name}.xml"), String::from_utf8(done.get_output().stdout.clone()).unwrap())
}

#[track_caller]
fn compare(directory: &str, printed: &Files) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    if std::env::var_os("BLESS").is_some() {
        bless(&directory, printed);
    }
    let golden = golden(&directory);
    let names: BTreeSet<&String> = printed.keys().chain(golden.keys()).collect();
    let differences: Vec<String> = names
        .into_iter()
        .filter_map(|name| difference(name, golden.get(name), printed.get(name)))
        .collect();
    assert!(
        differences.is_empty(),
        "{}: {}\nIf that is meant: BLESS=1 cargo test --test metadata",
        directory.display(),
        differences.join("; ")
    );
}

fn golden(directory: &Path) -> Files {
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    files(directory).iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect()
}

fn bless(directory: &Path, printed: &Files) {
    fs::create_dir_all(directory).unwrap();
    for path in files(directory) {
        fs::remove_file(path).unwrap();
    }
    for (name, content) in printed {
        fs::write(directory.join(name), content).unwrap();
    }
}

fn difference(name: &str, golden: Option<&String>, printed: Option<&String>) -> Option<String> {
    match (golden, printed) {
        (Some(golden), Some(printed)) if golden == printed => None,
        (Some(golden), Some(printed)) => {
            let same =
                golden.lines().zip(printed.lines()).take_while(|(one, other)| one == other).count();
            let line = |text: &str| text.lines().nth(same).unwrap_or("(end)").trim().to_owned();
            Some(format!(
                "{name}, line {}: golden {:?}, printed {:?}",
                same + 1,
                line(golden),
                line(printed)
            ))
        }
        (None, _) => Some(format!("{name} is missing")),
        (Some(_), None) => Some(format!("{name} belongs to no agent")),
    }
}
