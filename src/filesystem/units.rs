//! systemd's units that would mount something.

#![forbid(unsafe_code)]

use std::fmt::Write;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where systemd looks for units, in its order (`systemd.unit(5)`, "System Unit Search Path").
const PLACES: &[&str] = &[
    "etc/systemd/system.control",
    "run/systemd/system.control",
    "run/systemd/transient",
    "run/systemd/generator.early",
    "etc/systemd/system",
    "etc/systemd/system.attached",
    "run/systemd/system",
    "run/systemd/system.attached",
    "run/systemd/generator",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
    "run/systemd/generator.late",
];

/// A unit that something wants, so that systemd starts it by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Its name.
    pub name: String,
    /// The directory with the link that says so.
    place: &'static str,
    /// Whether systemd made it of /etc/fstab.
    of_fstab: bool,
}

impl Wanted {
    /// What to do about it.
    pub(super) fn remedy(&self) -> String {
        let name = &self.name;
        match self.place {
            _ if self.of_fstab => {
                "run `systemctl daemon-reload`, it is of an older fstab".to_owned()
            }
            place if place.starts_with("etc/") => format!("run `systemctl disable '{name}'`"),
            "run/systemd/system" => format!("run `systemctl disable --runtime '{name}'`"),
            _ => format!("run `systemctl mask '{name}'`"),
        }
    }
}

/// The unit that mounts something at that point, if anything wants it.
pub(super) fn wanted(root: &Path, point: &Path) -> Option<Wanted> {
    let stem = escaped(point);
    ["mount", "automount"].iter().find_map(|kind| {
        let name = format!("{stem}.{kind}");
        let file = file(root, &name)?;
        let place = PLACES.iter().find(|place| is_wanted(&root.join(place), &name))?;
        Some(Wanted { name, place, of_fstab: is_of_fstab(&file) })
    })
}

/// The file that counts of a unit; none if there is none, or if it is masked.
fn file(root: &Path, name: &str) -> Option<PathBuf> {
    let mut files = PLACES.iter().map(|place| root.join(place).join(name));
    let file = files.find(|path| path.symlink_metadata().is_ok())?;
    let masked = fs::read_link(&file).is_ok_and(|to| to == Path::new("/dev/null"))
        || file.metadata().is_ok_and(|about| about.len() == 0);
    (!masked).then_some(file)
}

fn is_wanted(place: &Path, name: &str) -> bool {
    let directories = fs::read_dir(place).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut wanting = directories.filter(|path| {
        let kind = path.extension().unwrap_or_default();
        ["wants", "requires", "upholds"].iter().any(|word| kind == *word)
    });
    wanting.any(|directory| directory.join(name).symlink_metadata().is_ok())
}

fn is_of_fstab(file: &Path) -> bool {
    let generated =
        file.components().any(|part| part.as_os_str().as_bytes().starts_with(b"generator"));
    generated
        && fs::read_to_string(file)
            .is_ok_and(|text| text.lines().any(|line| line.trim() == "SourcePath=/etc/fstab"))
}

/// A path as the name of a unit (`systemd-escape(1)`).
fn escaped(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes();
    let mut name = String::new();
    for byte in bytes.strip_prefix(b"/").unwrap_or(bytes) {
        match byte {
            b'/' => name.push('-'),
            b'.' if name.is_empty() => name.push_str("\\x2e"),
            byte if byte.is_ascii_alphanumeric() || b":_.".contains(byte) => {
                name.push(char::from(*byte));
            }
            byte => {
                let _ = write!(name, "\\x{byte:02x}");
            }
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_path_is_a_name() {
        assert_eq!(escaped(Path::new("/srv/my-data x")), "srv-my\\x2ddata\\x20x");
        assert_eq!(escaped(Path::new("/.a/.b")), "\\x2ea-.b");
    }

    #[test]
    fn a_unit_counts_if_it_is_there_and_somebody_wants_it() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let remedy = || wanted(root.path(), Path::new("/srv")).map(|unit| unit.remedy());
        put("usr/lib/systemd/system/srv.mount", "[Mount]");
        assert_eq!(remedy(), None, "nobody wants it");
        put("usr/lib/systemd/system/local-fs.target.wants/srv.mount", "");
        assert_eq!(remedy().as_deref(), Some("run `systemctl mask 'srv.mount'`"));
        put("etc/systemd/system/x.service.requires/srv.mount", "");
        assert_eq!(remedy().as_deref(), Some("run `systemctl disable 'srv.mount'`"));
        symlink("/dev/null", root.path().join("etc/systemd/system/srv.mount")).unwrap();
        assert_eq!(remedy(), None, "it is masked");
        put("run/systemd/generator/srv.automount", "[Unit]\nSourcePath=/etc/fstab\n");
        put("run/systemd/generator/local-fs.target.requires/srv.automount", "");
        assert!(remedy().unwrap().contains("daemon-reload"));
        put("run/systemd/generator/srv.automount", "[Unit]\nSourcePath=/other\n");
        assert_eq!(remedy().as_deref(), Some("run `systemctl mask 'srv.automount'`"));
    }
}
