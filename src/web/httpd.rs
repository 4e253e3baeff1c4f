//! The configuration of Apache, as far as an agent has to know it.
//!
//! The server itself says the most important of it (`-t -D DUMP_RUN_CFG`); where it listens and where its status page is
//! stands in the files alone. They are read as "Configuration Files" and "Configuration Sections" of its manual have it.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;

use super::listen::Listen;
use super::variables::Variables;
use super::{Site, glob};

/// How deep files may include files; the server's own limit is 128.
const DEEPEST: usize = 32;

/// Most files that are read, and the largest that one may be.
const MOST: usize = 4096;
const LARGEST: u64 = 4 << 20;

/// What asks the server to end when all requests are answered ("Stopping and Restarting" of its manual).
pub const GRACEFUL_STOP: Signal = Signal::SIGWINCH;

/// What is built into every server, so that no `LoadModule` names it.
const BUILT_IN: [&str; 4] = ["core.c", "http_core.c", "mod_so.c", "so_module"];

/// How the server is called, besides the name of the file.
#[derive(Clone, Debug, Default)]
pub struct Call {
    /// Its compiled-in `ServerRoot`.
    pub root: Option<PathBuf>,
    /// What `-D` defines.
    pub defines: Vec<String>,
    /// Directives that are read before the file (`-C`).
    pub before: Vec<String>,
    /// Directives that are read after it (`-c`).
    pub after: Vec<String>,
    /// The files that the server says that it reads; empty where it was not asked.
    pub files: Vec<PathBuf>,
}

impl Call {
    /// From the words behind the program's name.
    #[must_use]
    pub fn of(words: &[String]) -> Self {
        let mut call = Self::default();
        let mut words = words.iter().map(String::as_str);
        while let Some(word) = words.next() {
            let Some((letter, joined)) =
                word.strip_prefix('-').and_then(|rest| rest.split_at_checked(1))
            else {
                continue;
            };
            if !["D", "C", "c", "d", "f", "e", "E", "k"].contains(&letter) {
                continue;
            }
            let value = if joined.is_empty() { words.next().unwrap_or_default() } else { joined };
            match letter {
                "D" => call.defines.push(value.to_owned()),
                "C" => call.before.push(value.to_owned()),
                "c" => call.after.push(value.to_owned()),
                "d" => call.root = Some(PathBuf::from(value)),
                _ => {}
            }
        }
        call
    }
}

/// Reads the configuration that begins in `file`.
#[must_use]
pub fn read(file: &Path, call: &Call, variables: &Variables) -> Site {
    let defined = call.defines.iter().map(|name| (name.clone(), String::new())).collect();
    let mut reader = Reader {
        site: Site::default(),
        root: call.root.clone().unwrap_or_default(),
        named: &call.files,
        variables,
        defined,
        modules: BUILT_IN.map(str::to_owned).into(),
        sections: Vec::new(),
        error_log: None,
    };
    call.before.iter().for_each(|line| reader.line(line, Path::new("-C"), 0));
    reader.file(file, 0);
    // Whatever is why they are included.
    for path in &call.files {
        if !reader.site.files.contains(path) {
            reader.file(path, 0);
        }
    }
    call.after.iter().for_each(|line| reader.line(line, Path::new("-c"), 0));
    let Reader { mut site, root, error_log, .. } = reader;
    let absolute =
        |path: PathBuf| (root.is_absolute() || path.is_absolute()).then(|| root.join(path));
    site.pidfile = site.pidfile.and_then(absolute);
    site.error_log = error_log.map(PathBuf::from).and_then(absolute);
    site
}

/// A section that is open.
struct Section {
    name: String,
    argument: String,
    /// Whether what is in it counts.
    holds: bool,
}

struct Reader<'a> {
    site: Site,
    root: PathBuf,
    /// What the server reads, where it was asked.
    named: &'a [PathBuf],
    variables: &'a Variables,
    defined: BTreeMap<String, String>,
    modules: Vec<String>,
    sections: Vec<Section>,
    error_log: Option<String>,
}

impl Reader<'_> {
    fn file(&mut self, path: &Path, depth: usize) {
        let about = std::fs::metadata(path);
        if depth > DEEPEST || self.site.files.len() >= MOST {
            return self.unread(path, "too many files include each other");
        }
        self.site.files.push(path.to_owned());
        match about {
            Ok(about) if about.is_dir() => return self.directory(path, depth),
            Ok(about) if !about.is_file() || about.len() > LARGEST => {
                return self.unread(path, "it is no file of a sensible size");
            }
            _ => {}
        }
        // A section that holds here need not hold for the server, which knows its modules.
        if depth > 0 && !self.named.is_empty() && !self.named.contains(&path.to_owned()) {
            return;
        }
        match std::fs::read(path) {
            Ok(text) => {
                for line in logical_lines(&String::from_utf8_lossy(&text)) {
                    self.line(&line, path, depth);
                }
            }
            Err(error) => self.unread(path, &error.kind().to_string()),
        }
    }

    /// All files in it and below, as `Include` of a directory has it.
    fn directory(&mut self, path: &Path, depth: usize) {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            self.file(&path, depth + 1);
        }
    }

    fn unread(&mut self, path: &Path, why: &str) {
        self.site.unread.push(format!("{}: {why}", path.display()));
    }

    fn line(&mut self, line: &str, path: &Path, depth: usize) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return;
        }
        if let Some(inner) = line.strip_prefix('<') {
            return self.section(inner);
        }
        let holds = self.sections.iter().all(|section| section.holds);
        let mut words = words(line).into_iter().map(|word| self.expanded(&word));
        let Some(name) = words.next().filter(|_| holds) else { return };
        let words: Vec<String> = words.collect();
        let first = words.first().map_or("", String::as_str);
        let within = |name: &str| self.sections.iter().any(|section| section.name == name);
        let in_server = !within("virtualhost");
        match name.to_ascii_lowercase().as_str() {
            "serverroot" => self.root = PathBuf::from(first),
            // The last one counts, as for the server.
            "pidfile" if in_server => self.site.pidfile = Some(PathBuf::from(first)),
            "errorlog" if in_server => {
                self.error_log = Some(first.to_owned()).filter(|text| is_file(text));
            }
            "port" if in_server => self.site.listens.extend(Listen::parse(first, None)),
            "listen" => match Listen::parse(first, Some(80)) {
                Some(listen) => self.site.listens.push(listen),
                None => self.unread(path, &format!("Listen {first:?} is not understood")),
            },
            "define" => {
                let value = words.get(1).cloned().unwrap_or_default();
                self.defined.insert(first.to_owned(), value);
            }
            "undefine" => drop(self.defined.remove(first)),
            "loadmodule" => {
                self.modules.push(first.to_owned());
                let file = words.get(1).map(Path::new).and_then(Path::file_stem);
                self.modules.extend(file.map(|stem| format!("{}.c", stem.to_string_lossy())));
            }
            "sethandler" if first.eq_ignore_ascii_case("server-status") => self.status(),
            "include" | "includeoptional" => self.include(first, path, depth),
            "use" => self.unread(path, "macros (Use) are not followed"),
            _ => {}
        }
    }

    fn include(&mut self, pattern: &str, from: &Path, depth: usize) {
        let pattern = self.root.join(pattern);
        if pattern.to_string_lossy().contains("${") {
            return self
                .unread(from, &format!("{} has a variable that is not set", pattern.display()));
        }
        if !glob::is_pattern(&pattern) {
            // One that is not there yet is worth to be watched too.
            return self.file(&pattern, depth + 1);
        }
        for path in glob::expand(&pattern, &mut self.site.files) {
            self.file(&path, depth + 1);
        }
    }

    /// The status page is where the innermost section with a place is.
    fn status(&mut self) {
        let places = self.sections.iter().rev().find(|section| section.name == "location");
        let Some(place) = places.map(|section| section.argument.clone()) else { return };
        let ssl = self.sections.iter().any(|section| section.name == "virtualhost");
        // In a virtual host it is there for that host's name alone.
        if place.starts_with('/') && !ssl {
            self.site.status = Some(place);
        }
    }

    fn section(&mut self, inner: &str) {
        let inner = inner.trim_end().strip_suffix('>').unwrap_or(inner);
        if let Some(name) = inner.strip_prefix('/') {
            let name = name.trim().to_ascii_lowercase();
            if let Some(at) = self.sections.iter().rposition(|section| section.name == name) {
                self.sections.truncate(at);
            }
            return;
        }
        let mut given = words(inner).into_iter();
        let name = given.next().unwrap_or_default().to_ascii_lowercase();
        let argument = self.expanded(&given.next().unwrap_or_default());
        let (negated, what) = match argument.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, argument.as_str()),
        };
        let holds = match name.as_str() {
            "ifdefine" => self.defined.contains_key(what) != negated,
            "ifmodule" => self.modules.iter().any(|module| module == what) != negated,
            "iffile" => self.root.join(what).exists() != negated,
            "macro" => false,
            _ => true,
        };
        self.sections.push(Section { name, argument, holds });
    }

    /// `${NAME}` is what `Define` or the environment says, and stays where neither does.
    fn expanded(&self, word: &str) -> String {
        let mut text = String::new();
        let mut rest = word;
        while let Some((before, after)) = rest.split_once("${") {
            text.push_str(before);
            let Some((name, behind)) = after.split_once('}') else {
                text.push_str("${");
                rest = after;
                continue;
            };
            let defined = self.defined.get(name).map(String::as_str);
            match defined.or_else(|| self.variables.get(name)) {
                Some(value) => text.push_str(value),
                None => {
                    let _ = write!(text, "${{{name}}}");
                }
            }
            rest = behind;
        }
        text + rest
    }
}

/// Neither a program nor the system log.
fn is_file(text: &str) -> bool {
    !text.starts_with(['|', '$']) && !text.starts_with("syslog") && !text.is_empty()
}

/// Lines with those joined that end in a backslash.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut goes_on = false;
    for line in text.lines() {
        let (line, continues) = match line.strip_suffix('\\') {
            Some(line) => (line, true),
            None => (line, false),
        };
        match lines.last_mut() {
            Some(last) if goes_on => last.push_str(line),
            _ => lines.push(line.to_owned()),
        }
        goes_on = continues;
    }
    lines
}

/// Words, with quotes around what has blanks in it.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim();
    while let Some(first) = rest.chars().next() {
        if first == '"' || first == '\'' {
            let mut word = String::new();
            let mut chars = rest[1..].char_indices();
            let mut end = rest.len();
            while let Some((at, c)) = chars.next() {
                match c {
                    '\\' => word.extend(chars.next().map(|(_, next)| next)),
                    _ if c == first => {
                        end = at + 2;
                        break;
                    }
                    _ => word.push(c),
                }
            }
            words.push(word);
            rest = rest[end..].trim_start();
        } else {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            words.push(rest[..end].to_owned());
            rest = rest[end..].trim_start();
        }
    }
    words
}

/// What the server says of itself: the lines of `-t -D DUMP_RUN_CFG -D DUMP_INCLUDES`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Its PID file.
    pub pidfile: Option<PathBuf>,
    /// Its main error log.
    pub error_log: Option<PathBuf>,
    /// Its `ServerRoot`.
    pub root: Option<PathBuf>,
    /// The files that it reads.
    pub files: Vec<PathBuf>,
}

/// Understands what the server printed.
#[must_use]
pub fn told(output: &str) -> Told {
    let value = |name: &str| {
        let rest = output.lines().find_map(|line| line.strip_prefix(name))?.trim();
        let path = PathBuf::from(rest.trim_matches('"'));
        path.is_absolute().then_some(path)
    };
    let included = output.lines().filter_map(|line| {
        let (number, path) = line.trim_start().strip_prefix('(')?.split_once(") /")?;
        let numbered = number == "*" || number.bytes().all(|byte| byte.is_ascii_digit());
        numbered.then(|| Path::new("/").join(path))
    });
    Told {
        pidfile: value("PidFile:"),
        error_log: value("Main ErrorLog:"),
        root: value("ServerRoot:"),
        files: included.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn site(text: &str, files: &[(&str, &str)], call: &Call) -> Site {
        let directory = tempfile::tempdir().unwrap();
        let main = directory.path().join("main.conf");
        for (name, content) in files {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        std::fs::write(&main, text).unwrap();
        let call =
            Call { root: call.root.clone().or(Some(directory.path().to_owned())), ..call.clone() };
        let given = [("RUN", "/run/web"), ("NAME", "x")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        let mut site = read(&main, &call, &Variables::with(given));
        let inside =
            |path: &PathBuf| path.strip_prefix(directory.path()).unwrap_or(path).to_owned();
        site.files = site.files.iter().map(inside).collect();
        site.unread
            .iter_mut()
            .for_each(|text| *text = text.replace(directory.path().to_str().unwrap(), "."));
        site
    }

    #[test]
    fn what_debian_has() {
        let text = "# comment\nPidFile ${RUN}/x.pid\nErrorLog /var/log/error.log\nIncludeOptional mods/*.load\n\
            IncludeOptional mods/*.conf\nInclude ports.conf\nIncludeOptional none/*.conf\nIncludeOptional sites/*.conf\n";
        let files = [
            ("mods/status.load", "LoadModule status_module /usr/lib/mod_status.so\n"),
            (
                "mods/status.conf",
                "<IfModule mod_status.c>\n<Location /server-status>\nSetHandler server-status\nRequire local\n</Location>\n</IfModule>\n",
            ),
            ("ports.conf", "Listen 80\n<IfModule ssl_module>\n\tListen 443\n</IfModule>\n"),
            ("sites/a.conf", "<VirtualHost *:80>\nErrorLog /elsewhere\n</VirtualHost>\n"),
        ];
        let site = site(text, &files, &Call::default());
        assert_eq!(site.pidfile, Some("/run/web/x.pid".into()));
        assert_eq!(site.error_log, Some("/var/log/error.log".into()));
        assert_eq!(site.status.as_deref(), Some("/server-status"));
        assert_eq!(site.listens, [Listen::Port(None, 80)]);
        assert_eq!(site.unread, Vec::<String>::new());
        let files: Vec<String> = site.files.iter().map(|path| path.display().to_string()).collect();
        assert_eq!(
            files,
            [
                "main.conf",
                "mods",
                "mods/status.load",
                "mods",
                "mods/status.conf",
                "ports.conf",
                "none",
                "sites",
                "sites/a.conf"
            ]
        );
    }

    #[test]
    fn sections_defines_and_quotes() {
        let text = "ServerRoot \"/srv/a b\"\nDefine port 8080\nListen \\\n 127.0.0.1:${port}\n<IfDefine STATUS>\nListen 81\n\
            </IfDefine>\n<IfDefine !STATUS>\nListen 82\n</IfDefine>\n<IfModule !core.c>\nListen 83\n</IfModule>\npidfile logs/pid\n\
            <Location \"/my status\">\nSetHandler Server-Status\n</Location>\nErrorLog |/bin/logger\nUnDefine port\nListen ${port}\n";
        let call = Call::of(&["-DSTATUS", "-c", "Listen 84", "-d", "/srv/a b"].map(str::to_owned));
        let site = site(text, &[], &call);
        let listens: Vec<String> = site.listens.iter().map(ToString::to_string).collect();
        assert_eq!(listens, ["127.0.0.1:8080", "*:81", "*:84"]);
        assert_eq!(site.pidfile, Some("/srv/a b/logs/pid".into()));
        assert_eq!((site.status.as_deref(), site.error_log), (Some("/my status"), None));
        assert_eq!(site.unread.len(), 1, "{:?}", site.unread);
    }

    #[test]
    fn files_that_include_each_other_end() {
        let site = site("Include main.conf\nListen 80\n", &[], &Call::default());
        assert!(site.unread.iter().any(|text| text.contains("include each other")));
        let site = super::tests::site(
            "Include nothing\nInclude all\n",
            &[("all/b/c", "Listen 1"), ("all/a", "Listen 2")],
            &Call::default(),
        );
        assert_eq!(site.listens, [Listen::Port(None, 2), Listen::Port(None, 1)]);
        assert_eq!(site.unread, ["./nothing: entity not found"]);
    }

    #[test]
    fn what_the_server_says() {
        let text = "AH00558: apache2: Could not reliably determine\nServerRoot: \"/etc/apache2\"\nMain ErrorLog: \"/var/log/e.log\"\n\
            PidFile: \"/run/x.pid\"\n  (*) /etc/a.conf\n    (146) /etc/b c.load\nDefine: STATUS\nUser: name=\"www-data\" id=33\n";
        let expected = Told {
            pidfile: Some("/run/x.pid".into()),
            error_log: Some("/var/log/e.log".into()),
            root: Some("/etc/apache2".into()),
            files: vec!["/etc/a.conf".into(), "/etc/b c.load".into()],
        };
        assert_eq!(told(text), expected);
        assert_eq!(told("Syntax error"), Told::default());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_text_panics(text in "(</?IfModule |</?Location |>|Include |PidFile |Define |SetHandler server-status|\\$\\{[A-Z]*\\}?|[\"'\\\\ ä/*]|[a-z0-9:.]|\n){0,40}") {
            let _ = site(&text, &[], &Call::default());
            let _ = words(&text);
            let _ = told(&text);
        }
    }
}
