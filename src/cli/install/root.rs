//! The directory that is taken for `/`, and paths inside it.

#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use crate::error::{Error, Result, cause};

/// Symbolic links on the way to one file before it counts as a circle, as in the kernel (`MAXSYMLINKS`).
const MOST_LINKS: usize = 40;

/// The directory that is taken for `/`.
#[derive(Debug)]
pub(super) struct Root {
    real: PathBuf,
}

/// Where a path inside the root really is.
#[derive(Debug)]
pub(super) struct Place {
    /// The path on this host.
    pub(super) real: PathBuf,
    /// The path as seen from inside the root, without symbolic links on the way.
    pub(super) inside: PathBuf,
    /// Directories on the way that are not there yet, the outermost first.
    pub(super) missing: Vec<String>,
}

/// What is at a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum There {
    Nothing,
    File,
    Link(PathBuf),
    Directory,
    Special,
}

impl There {
    /// As a person would call it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Nothing => "nothing".to_owned(),
            Self::File => "a file".to_owned(),
            Self::Link(target) => format!("a symbolic link to {}", target.display()),
            Self::Directory => "a directory".to_owned(),
            Self::Special => "a device, pipe or socket".to_owned(),
        }
    }
}

impl Root {
    /// `directory`, which has to exist.
    pub(super) fn new(directory: &Path) -> Result<Self> {
        let real = fs::canonicalize(directory).map_err(|error| {
            Error::Failed(format!(
                "cannot take {} for the root: {}; make that directory first",
                directory.display(),
                cause(&error)
            ))
        })?;
        if real.is_dir() {
            Ok(Self { real })
        } else {
            Err(Error::Failed(format!("--root {}: it is not a directory", directory.display())))
        }
    }

    /// The directory on this host.
    pub(super) fn real(&self) -> &Path {
        &self.real
    }

    /// `path` as a person outside the root would write it.
    pub(super) fn shown(&self, path: &str) -> String {
        self.on_host(Path::new(path)).display().to_string()
    }

    fn on_host(&self, inside: &Path) -> PathBuf {
        self.real.join(inside.strip_prefix("/").unwrap_or(inside))
    }

    /// Finds where `path` is, as a process with this root would: an absolute symbolic link starts at the root, and
    /// `..` does not lead out of it. The last component is not followed.
    pub(super) fn place(&self, path: &str) -> Result<Place> {
        let mut walk = Walk { root: self, inside: PathBuf::from("/"), links: 0 };
        let mut components: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let name = components.pop().unwrap_or_default();
        let mut missing = Vec::new();
        for (index, component) in components.iter().enumerate() {
            let logical = format!("/{}", components[..=index].join("/"));
            if !missing.is_empty() || !walk.enter(component, &logical)? {
                walk.inside.push(component);
                missing.push(logical);
            }
        }
        let inside = walk.inside.join(name);
        if inside.to_str().is_none_or(|text| text.chars().any(char::is_control)) {
            return Err(in_the_way(self, path, "a link on the way has an unprintable target"));
        }
        Ok(Place { real: self.on_host(&inside), inside, missing })
    }

    /// What is at `path`.
    pub(super) fn look(&self, path: &str) -> Result<There> {
        let real = self.place(path)?.real;
        let look = || match fs::symlink_metadata(&real) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(There::Nothing),
            Err(error) => Err(error),
            Ok(about) if about.is_symlink() => Ok(There::Link(fs::read_link(&real)?)),
            Ok(about) if about.is_file() => Ok(There::File),
            Ok(about) if about.is_dir() => Ok(There::Directory),
            Ok(_) => Ok(There::Special),
        };
        super::attempt(look(), || format!("look at {}", self.shown(path)))
    }

    /// Whether both paths name the same inode.
    pub(super) fn same(&self, one: &str, other: &str) -> Result<bool> {
        let inode = |path: &str| -> Result<Option<(u64, u64)>> {
            let about = fs::symlink_metadata(self.place(path)?.real).ok();
            Ok(about.map(|about| (about.dev(), about.ino())))
        };
        let one = inode(one)?;
        Ok(one.is_some() && one == inode(other)?)
    }

    /// The content of the file at `path`.
    pub(super) fn read(&self, path: &str) -> Result<Vec<u8>> {
        super::attempt(fs::read(self.place(path)?.real), || format!("read {}", self.shown(path)))
    }
}

/// A walk along directories that never leaves the root.
struct Walk<'a> {
    root: &'a Root,
    inside: PathBuf,
    links: usize,
}

impl Walk<'_> {
    /// Enters one directory of the path, `logical`; whether it is there.
    fn enter(&mut self, component: &str, logical: &str) -> Result<bool> {
        let mut pending = VecDeque::from([PathBuf::from(component)]);
        let mut linked = false;
        while let Some(next) = pending.pop_front() {
            let candidate = self.inside.join(&next);
            let real = self.root.on_host(&candidate);
            match fs::symlink_metadata(&real) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && !linked => {
                    return Ok(false);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(in_the_way(
                        self.root,
                        logical,
                        "a symbolic link to nowhere inside",
                    ));
                }
                Err(error) => {
                    return super::attempt(Err(error), || format!("look at {}", real.display()));
                }
                Ok(about) if about.is_symlink() => {
                    self.links += 1;
                    linked = true;
                    self.follow(&real, logical, &mut pending)?;
                }
                Ok(about) if about.is_dir() => self.inside = candidate,
                Ok(_) => return Err(in_the_way(self.root, logical, "not a directory")),
            }
            while pending.front().is_some_and(|part| part.as_os_str() == "..") {
                pending.pop_front();
                self.inside.pop();
            }
        }
        Ok(true)
    }

    fn follow(&mut self, real: &Path, logical: &str, to: &mut VecDeque<PathBuf>) -> Result<()> {
        if self.links > MOST_LINKS {
            let why = "its symbolic links lead in a circle when they are followed inside the root";
            return Err(in_the_way(self.root, logical, why));
        }
        let target =
            super::attempt(fs::read_link(real), || format!("read link {}", real.display()))?;
        if target.is_absolute() {
            self.inside = PathBuf::from("/");
        }
        let parts = target.components().filter_map(|part| match part {
            Component::Normal(_) | Component::ParentDir => Some(PathBuf::from(part.as_os_str())),
            _ => None,
        });
        for part in parts.collect::<Vec<_>>().into_iter().rev() {
            to.push_front(part);
        }
        Ok(())
    }
}

fn in_the_way(root: &Root, path: &str, why: &str) -> Error {
    Error::Failed(format!("{}: {why}; mend it first", root.shown(path)))
}

/// The relative link that, in the directory of `from`, leads to `to`. Both are free of symbolic links.
pub(super) fn relative(from: &Path, to: &Path) -> String {
    let directory = from.parent().unwrap_or(Path::new("/"));
    let common = directory.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = directory.components().count() - common;
    let down: PathBuf = to.components().skip(common).collect();
    format!("{}{}", "../".repeat(up), down.display())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn inside(root: &Root, path: &str) -> String {
        root.place(path).unwrap().inside.display().to_string()
    }

    #[test]
    fn links_lead_to_places_inside_the_root() {
        let directory = tempfile::tempdir().unwrap();
        let at = |path: &str| directory.path().join(path);
        fs::create_dir_all(at("usr/lib/ocf")).unwrap();
        symlink("/usr/lib", at("lib")).unwrap();
        symlink("../../../../../../usr/lib", at("usr/up")).unwrap();
        symlink("/usr/loop", at("usr/loop")).unwrap();
        symlink("/nowhere", at("usr/nowhere")).unwrap();
        let root = Root::new(directory.path()).unwrap();
        let cases = [
            ("/lib/ocf/x", "/usr/lib/ocf/x"),
            ("/usr/up/ocf/x", "/usr/lib/ocf/x"),
            ("/lib/new/x", "/usr/lib/new/x"),
            ("/x", "/x"),
        ];
        for (path, expected) in cases {
            assert_eq!(inside(&root, path), expected, "{path}");
        }
        assert_eq!(root.place("/lib/a/b/x").unwrap().missing, ["/lib/a", "/lib/a/b"]);
        for path in ["/usr/loop/x", "/usr/nowhere/x"] {
            assert!(root.place(path).is_err(), "{path}");
        }
    }

    #[test]
    fn relative_links_climb_as_far_as_needed() {
        let cases = [
            ("/usr/lib/ocf/resource.d/ocfbox/X", "/usr/sbin/ocfbox", "../../../../sbin/ocfbox"),
            ("/etc/ha.d/resource.d/X", "/usr/sbin/ocfbox", "../../../usr/sbin/ocfbox"),
            ("/opt/X", "/opt/ocfbox", "ocfbox"),
        ];
        for (from, to, expected) in cases {
            assert_eq!(relative(Path::new(from), Path::new(to)), expected, "{from}");
        }
    }
}
