//! Everything that an install puts in place.

#![forbid(unsafe_code)]

use clap_complete::Shell;

use super::super::generate;
use super::record::{Entry, Record};
use super::root::{Root, There, relative};
use crate::agents;
use crate::error::Result;
use crate::render::man;

/// The binary.
pub(super) const BINARY: &str = "/usr/sbin/ocfbox";
const PROVIDER: &str = "/usr/lib/ocf/resource.d/ocfbox";
const HEARTBEAT: &str = "/usr/lib/ocf/resource.d/heartbeat";
const HARESOURCES: &str = "/etc/ha.d/resource.d";
const PAGES: &str = "/usr/share/man";
const COMPLETIONS: [(Shell, &str); 3] = [
    (Shell::Bash, "/usr/share/bash-completion/completions/ocfbox"),
    (Shell::Zsh, "/usr/share/zsh/vendor-completions/_ocfbox"),
    (Shell::Fish, "/usr/share/fish/vendor_completions.d/ocfbox.fish"),
];

/// What is put besides the provider's own things. An upgrade goes on with what the record has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Extras {
    pub(super) haresources: bool,
    pub(super) replace_heartbeat: bool,
}

impl Extras {
    /// The names of those that are wanted.
    pub(super) fn names(self) -> impl Iterator<Item = &'static str> {
        let all =
            [("haresources", self.haresources), ("replace-heartbeat", self.replace_heartbeat)];
        all.into_iter().filter_map(|(name, wanted)| wanted.then_some(name))
    }

    /// Wants the one of that name; none if there is no such.
    pub(super) fn set(&mut self, name: &str) -> Option<()> {
        match name {
            "haresources" => self.haresources = true,
            "replace-heartbeat" => self.replace_heartbeat = true,
            _ => return None,
        }
        Some(())
    }
}

/// One thing to put in place.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) path: String,
    pub(super) put: Put,
}

/// What is put.
#[derive(Debug)]
pub(super) enum Put {
    File {
        bytes: Vec<u8>,
        mode: u32,
    },
    Link {
        target: String,
    },
    /// A link where a package has or may have a file of its own.
    Instead {
        target: String,
        claim: Claim,
    },
}

/// How strong the claim on another package's path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// Takes the place of what is there; a package's file is diverted.
    Replace,
    /// The same, and the path is diverted even while no package owns it: dpkg follows a symbolic link at the path
    /// of a configuration file, and would write the wrapper over our binary.
    ReplaceAndReserve,
    /// Only where nothing is; reserved all the same.
    Reserve,
}

impl Item {
    /// The path, if another package may own it.
    pub(super) fn may_be_owned(&self) -> Option<&str> {
        matches!(self.put, Put::Instead { .. }).then_some(self.path.as_str())
    }
}

/// All of it, in the order in which it is put: whatever a link leads to comes first.
pub(super) fn everything(root: &Root, extras: Extras, record: &Record) -> Result<Vec<Item>> {
    let mut items = vec![Item {
        path: BINARY.to_owned(),
        put: Put::File {
            bytes: super::attempt(
                std::fs::read("/proc/self/exe"),
                || "read this program from /proc/self/exe; is /proc mounted?",
            )?,
            mode: 0o755,
        },
    }];
    let binary = root.place(BINARY)?.inside;
    let target = |path: &str| Ok(relative(&root.place(path)?.inside, &binary));
    for name in names() {
        let path = format!("{PROVIDER}/{name}");
        let target = target(&path)?;
        items.push(Item { path, put: Put::Link { target } });
    }
    items.extend(texts());
    for (path, claim) in taken_over(root, extras, record)? {
        let target = target(&path)?;
        items.push(Item { path, put: Put::Instead { target, claim } });
    }
    Ok(items)
}

fn names() -> impl Iterator<Item = &'static str> {
    agents::ALL.iter().map(|entry| entry.described.agent.name)
}

fn texts() -> impl Iterator<Item = Item> {
    let program = (format!("{PAGES}/man8/ocfbox.8"), generate::program_page());
    let pages = agents::ALL.iter().map(|entry| {
        let path = format!("{PAGES}/man7/ocf_ocfbox_{}.7", entry.described.agent.name);
        (path, man::page(&entry.described))
    });
    let completions = COMPLETIONS
        .into_iter()
        .map(|(shell, path)| (path.to_owned(), generate::completion_of(shell)));
    std::iter::once(program)
        .chain(pages)
        .chain(completions)
        .map(|(path, text)| Item { path, put: Put::File { bytes: text.into_bytes(), mode: 0o644 } })
}

/// The paths of other packages that are claimed.
fn taken_over(root: &Root, extras: Extras, record: &Record) -> Result<Vec<(String, Claim)>> {
    let mut paths = Vec::new();
    let recorded = |path: &str| matches!(record.entries.get(path), Some(Entry::Instead(_)));
    for name in names().filter(|_| extras.replace_heartbeat) {
        let path = format!("{HEARTBEAT}/{name}");
        if recorded(&path) || root.look(&path)? != There::Nothing {
            paths.push((path, Claim::Replace));
        }
    }
    let spoken = agents::ALL.iter().filter(|entry| entry.described.agent.haresources.is_some());
    for name in spoken.map(|entry| entry.described.agent.name) {
        let path = format!("{HARESOURCES}/{name}");
        let wrapper = extras.replace_heartbeat && is_wrapper(root, &path)?;
        if wrapper {
            paths.push((path, Claim::ReplaceAndReserve));
        } else if extras.haresources || recorded(&path) {
            paths.push((path, Claim::Reserve));
        }
    }
    Ok(paths)
}

/// Whether a haresources wrapper of a shell agent is there: they all run the agent by heartbeat's `hto-mapfuncs`.
pub(super) fn is_wrapper(root: &Root, path: &str) -> Result<bool> {
    let text = match root.look(path)? {
        There::File => root.read(path)?,
        _ => return Ok(false),
    };
    let mentions = |word: &[u8]| text.windows(word.len()).any(|window| window == word);
    Ok(text.starts_with(b"#!") && mentions(b"hto-mapfuncs"))
}
