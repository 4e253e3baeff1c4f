//! Web servers: what their configuration says, and which pages tell whether they work.
//!
//! The server's own idea of its configuration is asked for when it is started, and kept ([`learned`]); our own reading of
//! the files ([`httpd`], [`nginx`]) finds in them what the server does not tell, and takes the place of its answer where
//! there is none. Nothing of a configuration is ever executed.

#![forbid(unsafe_code)]

pub mod ask;
mod glob;
pub mod httpd;
pub mod learned;
pub mod listen;
pub mod nginx;
pub mod page;
pub mod pages;
pub mod server;
pub mod trouble;
pub mod variables;

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::probe::Url;
use listen::Listen;
use page::{Asking, Expected};

/// What a configuration says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Site {
    /// Where the server writes its number.
    pub pidfile: Option<PathBuf>,
    /// Its main log of errors.
    pub error_log: Option<PathBuf>,
    /// The path of its status page.
    pub status: Option<String>,
    /// Where it listens.
    pub listens: Vec<Listen>,
    /// The file that the program takes if none is named.
    pub default_file: Option<PathBuf>,
    /// The files and directories that this was read from, the main one first.
    pub files: Vec<PathBuf>,
    /// What could not be read or understood: file and reason.
    pub unread: Vec<String>,
}

impl Site {
    /// `http://host:port` of the server as it is asked from this host: the first place where it listens, the one with
    /// `port` if that is given. Plain HTTP also where it speaks TLS: what comes then is an answer too.
    #[must_use]
    pub fn base(&self, port: Option<u16>, use_ipv6: bool) -> String {
        let suits = |listen: &&Listen| port.is_none() || listen.port() == port;
        let plain = |listen: &&Listen| listen.port() != Some(443);
        let places = || self.listens.iter().filter(suits);
        let chosen = places().find(plain).or_else(|| places().next());
        let authority = chosen.and_then(|listen| listen.authority(use_ipv6));
        let fallback =
            || Listen::Port(None, port.unwrap_or(80)).authority(use_ipv6).unwrap_or_default();
        format!("http://{}", authority.unwrap_or_else(fallback))
    }
}

/// Where Apache's main file usually is.
pub const HTTPD_FILES: [&str; 3] =
    ["/etc/apache2/httpd.conf", "/etc/apache2/apache2.conf", "/etc/httpd/conf/httpd.conf"];

/// The tests of pages that a monitor makes, and where the server is.
#[derive(Clone, Copy, Debug)]
pub struct PageTest<'a> {
    /// The page.
    pub url: Option<&'a OsStr>,
    /// What has to be in it.
    pub pattern: Option<&'a OsStr>,
    /// A file that has both instead.
    pub file: Option<&'a Path>,
    /// Which test of that file.
    pub name: Option<&'a OsStr>,
    /// The parameters that these are of, for people.
    pub names: &'a str,
}

impl PageTest<'_> {
    /// The probe.
    ///
    /// # Errors
    /// There is no whole test: a file or a parameter is wrong.
    pub fn probe(&self, asking: &Asking<'_>) -> Result<Url> {
        if let Some(path) = self.file {
            if !path.is_file() {
                return Err(Error::NotInstalled(format!(
                    "there is no file {} with tests",
                    path.display()
                )));
            }
            let probe = std::fs::read_to_string(path)
                .map_err(|error| error.kind().to_string())
                .and_then(|text| pages::parse(&text))
                .and_then(|tests| {
                    pages::choose(tests, self.name.map(|name| name.to_string_lossy()).as_deref())
                })
                .and_then(|test| described(&test, asking));
            return probe.map_err(|why| {
                Error::Local(format!("cannot use the tests in {}: {why}", path.display()))
            });
        }
        let text = |value: Option<&OsStr>| {
            value
                .map(|value| value.to_string_lossy().trim().to_owned())
                .filter(|text| !text.is_empty())
        };
        let (Some(url), Some(pattern)) = (text(self.url), text(self.pattern)) else {
            return Err(Error::Failed(format!(
                "cannot test a page at this level: nothing says which; set {}",
                self.names
            )));
        };
        asking
            .page(&url, Expected::Text(&pattern))
            .map_err(|why| Error::Failed(format!("{}: {why}", self.names)))
    }
}

fn described(test: &pages::Test, asking: &Asking<'_>) -> Result<Url, String> {
    let whole = test.url.as_ref().zip(test.pattern.as_ref());
    let (url, pattern) = whole.ok_or_else(|| format!("test {:?} lacks url or match", test.name))?;
    let mut probe = asking.page(url, Expected::Text(pattern))?;
    probe.options.login = test.login()?;
    Ok(probe)
}

/// The first of the paths that is a program.
#[must_use]
pub fn program<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Option<&'a Path> {
    let runs = |path: &&Path| {
        std::fs::metadata(path)
            .is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
    };
    paths.into_iter().find(runs)
}

/// The first of the paths that is there.
#[must_use]
pub fn present<'a>(paths: impl IntoIterator<Item = &'a str>) -> Option<PathBuf> {
    paths.into_iter().map(PathBuf::from).find(|path| path.is_file())
}

/// Makes a directory below `/run` that the server wants and that does not outlast a boot, for `user`.
///
/// # Errors
/// It could not be made.
pub fn make_volatile(path: &Path, user: &str) -> std::io::Result<()> {
    let volatile = ["/run/", "/var/run/", "/var/lock/"].iter().any(|root| path.starts_with(root));
    if path.exists() || !volatile || path.components().any(|part| part.as_os_str() == "..") {
        return Ok(());
    }
    // Today a link, which nothing can be made behind before its target is there.
    let link = path.ancestors().find(|part| part.is_symlink());
    if let Some(link) = link {
        let target = std::fs::read_link(link)?;
        std::fs::create_dir_all(link.parent().unwrap_or(Path::new("/")).join(target))?;
    }
    std::fs::create_dir_all(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
    match crate::host::account::Account::named(user) {
        Ok(account) => std::os::unix::fs::chown(path, Some(account.user), None),
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(listens: &[&str]) -> Site {
        let listens = listens.iter().map(|text| Listen::parse(text, None).unwrap()).collect();
        Site { listens, ..Site::default() }
    }

    #[test]
    fn where_a_server_is_asked() {
        for (listens, port, expected) in [
            (&["80", "443"][..], None, "http://127.0.0.1:80"),
            (&["443", "192.0.2.1:8080"], None, "http://192.0.2.1:8080"),
            (&["443"], None, "http://127.0.0.1:443"),
            (&["80", "192.0.2.1:8080"], Some(8080), "http://192.0.2.1:8080"),
            (&["80"], Some(8080), "http://127.0.0.1:8080"),
            (&[], None, "http://127.0.0.1:80"),
        ] {
            assert_eq!(site(listens).base(port, false), expected);
        }
        assert_eq!(site(&[]).base(None, true), "http://[::1]:80");
    }
}
