//! Debian's kernel: fetched once by apt, unpacked below the target directory, never installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Depends on the newest kernel. The one for virtual machines is smaller, and has no driver that wants its card down.
const NEWEST: &str = "linux-image-amd64";

/// An unpacked kernel.
pub struct Kernel {
    /// The kernel itself.
    pub image: PathBuf,
    modules: PathBuf,
}

impl Kernel {
    /// The one that was fetched before, or a new one.
    pub fn get() -> Result<Self, String> {
        if std::env::consts::ARCH != "x86_64" {
            return Err("the guest has programs of this machine, which has to be an x86_64".into());
        }
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("vm-{NEWEST}"));
        if !home.exists() {
            fetch(&home)?;
        }
        Self::below(&home)
            .ok_or_else(|| format!("there is no kernel in {}; remove it", home.display()))
    }

    fn below(home: &Path) -> Option<Self> {
        let images = fs::read_dir(home.join("boot")).ok()?.flatten().map(|entry| entry.path());
        let image = images.into_iter().find(|path| path.to_string_lossy().contains("vmlinuz-"))?;
        let modules = ["lib/modules", "usr/lib/modules"].map(|path| home.join(path));
        let modules = modules.into_iter().find(|path| path.exists())?;
        Some(Self { image, modules })
    }

    /// Each of `wanted` as a file that `insmod` takes, behind those that it depends on.
    pub fn modules(&self, wanted: &[&str]) -> Result<Vec<(String, Vec<u8>)>, String> {
        let mut files = Vec::new();
        find(&self.modules, &mut files);
        let mut loaded = Vec::new();
        for name in wanted {
            load(name, &files, &mut loaded)?;
        }
        Ok(loaded)
    }
}

fn find(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            find(&path, files);
        } else if path.to_string_lossy().contains(".ko") {
            files.push(path);
        }
    }
}

/// The name of a module, which the kernel writes with `_` where its file may have `-`.
fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.split(".ko").next().unwrap_or_default().replace('-', "_")
}

fn load(name: &str, files: &[PathBuf], loaded: &mut Vec<(String, Vec<u8>)>) -> Result<(), String> {
    let name = name.replace('-', "_");
    if loaded.iter().any(|(other, _)| *other == name) {
        return Ok(());
    }
    let path = files.iter().find(|path| name_of(path) == name);
    let path = path.ok_or_else(|| format!("Debian's kernel has no module {name}"))?;
    let content = plain(path)?;
    for needed in dependencies(&content) {
        load(&needed, files, loaded)?;
    }
    loaded.push((name, content));
    Ok(())
}

/// The module, whether its file is compressed or not.
fn plain(path: &Path) -> Result<Vec<u8>, String> {
    if path.extension().is_some_and(|extension| extension == "xz") {
        return done(Command::new("xz").arg("-dc").arg(path)).map(|output| output.stdout);
    }
    fs::read(path).map_err(at(path))
}

/// What stands behind `depends=` in the module's own description.
fn dependencies(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = module.windows(KEY.len()).position(|bytes| bytes == KEY) else {
        return Vec::new();
    };
    let value = module[at + KEY.len()..].split(|byte| *byte == 0).next().unwrap_or_default();
    let value = String::from_utf8_lossy(value);
    value.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn fetch(home: &Path) -> Result<(), String> {
    let place = home.with_extension("new");
    let _ = fs::remove_dir_all(&place);
    fs::create_dir_all(&place).map_err(at(&place))?;
    download(&place).or_else(|_| {
        // The lists may be older than the archive, or missing. Only root can renew them.
        let _ = done(Command::new("apt-get").args(["update", "-q"]));
        download(&place)
    })?;
    let files = fs::read_dir(&place).map_err(at(&place))?;
    let package = files.flatten().map(|entry| entry.path()).next();
    let package = package.ok_or("apt-get downloaded nothing")?;
    done(Command::new("dpkg").arg("-x").arg(&package).arg(&place))?;
    let _ = fs::remove_file(package);
    fs::rename(&place, home).map_err(at(home))
}

fn download(place: &Path) -> Result<(), String> {
    let said = done(Command::new("apt-cache").args(["depends", NEWEST]))?.stdout;
    let said = String::from_utf8_lossy(&said);
    let package = said.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
    let package = package.ok_or_else(|| instruction(&format!("apt knows no {NEWEST}")))?;
    done(Command::new("apt-get").args(["download", "-q", package]).current_dir(place))
        .map(drop)
        .map_err(|error| instruction(&error))
}

fn instruction(why: &str) -> String {
    format!(
        "{why}\nThese tests boot the kernel of Debian's package {NEWEST} (amd64), which apt fetches once: \
         they need a machine with Debian's package lists (as root: apt-get update) and a network that reaches the archive"
    )
}

fn done(command: &mut Command) -> Result<Output, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(output);
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// An error with the path where it happened.
pub fn at(path: &Path) -> impl Fn(std::io::Error) -> String {
    move |error| format!("{}: {error}", path.display())
}
