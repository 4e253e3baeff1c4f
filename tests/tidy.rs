//! Rules of the repository that no compiler checks.

use std::fs;
use std::path::{Path, PathBuf};

use ocfbox::agents;
use ocfbox::render::table;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(directory: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut waiting = vec![root().join(directory)];
    while let Some(path) = waiting.pop() {
        for entry in fs::read_dir(path).expect("a directory").flatten() {
            let path = entry.path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push((path.clone(), fs::read_to_string(path).expect("text")));
            }
        }
    }
    assert!(!found.is_empty(), "{directory} has sources");
    found
}

/// The part before the unit tests.
fn product(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}

#[test]
fn agents_speak_to_the_kernel_through_host_only() {
    for (path, text) in sources("agents") {
        for word in ["nix::", "rtnetlink", "libc::", "tokio", "std::process", "std::fs"] {
            assert!(!text.contains(word), "{} names {word}", path.display());
        }
    }
}

#[test]
fn the_framework_names_no_agent() {
    for (path, text) in sources("src") {
        // The demonstration plays a cluster, and a cluster names its resources.
        if path.components().any(|part| part.as_os_str() == "demo") {
            continue;
        }
        for line in product(&text).lines().filter(|line| !line.trim_start().starts_with("//")) {
            for entry in agents::ALL {
                let name = entry.described.agent.name;
                let quoted = line.contains(&format!("\"{name}\""));
                assert!(!quoted, "{} names {name}: {line}", path.display());
            }
        }
    }
}

#[test]
fn one_file_knows_the_async_runtime_and_three_are_unsafe() {
    for (path, text) in sources("src").into_iter().chain(sources("agents")) {
        let name =
            path.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned();
        assert!(!text.contains("tokio::") || name == "src/host/executor.rs", "{name} names tokio");
        // An address for a packet socket that nix cannot make, a call of glibc and requests to the driver of loop
        // devices that nobody wraps.
        let unsafe_homes = ["src/host/packet.rs", "src/host/nss.rs", "src/host/mount/ioctl.rs"];
        let unsafe_home = unsafe_homes.contains(&name.as_str());
        let declarations_only = name.ends_with("/mod.rs") || name == "src/lib.rs";
        assert!(
            text.contains("#![forbid(unsafe_code)]") || unsafe_home || declarations_only,
            "{name} does not forbid unsafe code"
        );
        assert!(!text.contains("unsafe {") || unsafe_home, "{name} has unsafe code");
    }
}

#[test]
fn nothing_is_left_to_be_done() {
    for directory in ["src", "agents", "tests"] {
        for (path, text) in sources(directory) {
            if path.ends_with("tidy.rs") {
                continue;
            }
            for word in ["todo!", "unimplemented!", "dbg!(", "TODO", "FIXME", "XXX"] {
                assert!(!text.contains(word), "{} has {word}", path.display());
            }
        }
    }
}

#[test]
fn files_are_short_enough_to_read() {
    for (path, text) in sources("src").into_iter().chain(sources("agents")) {
        let lines = product(&text).lines().count();
        assert!(lines <= 450, "{} has {lines} lines: look for the second noun", path.display());
    }
}

#[test]
fn the_readme_lists_the_agents_that_there_are() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md");
    let table = table::agents(agents::ALL.iter().map(|entry| &entry.described));
    assert!(
        readme.contains(&table),
        "README.md lacks the output of `ocfbox generate table`:\n{table}"
    );
}

#[test]
fn the_changelog_has_the_version() {
    let changelog = fs::read_to_string(root().join("CHANGELOG.md")).expect("CHANGELOG.md");
    assert!(changelog.contains(&format!("## [{}]", env!("CARGO_PKG_VERSION"))));
}
