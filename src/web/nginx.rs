//! The configuration of nginx, as far as an agent has to know it.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;

use super::listen::Listen;
use super::{Site, glob};

/// How deep files may include files, most files, and the largest that one may be.
const DEEPEST: usize = 32;
const MOST: usize = 4096;
const LARGEST: u64 = 4 << 20;

/// What asks the server to end when all requests are answered ("Controlling nginx" of its manual).
pub const GRACEFUL_STOP: Signal = Signal::SIGQUIT;

/// What was decided when the program was compiled (`nginx -V`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Built {
    /// `--prefix`.
    pub prefix: Option<PathBuf>,
    /// `--conf-path`.
    pub conf: Option<PathBuf>,
    /// `--pid-path`.
    pub pid: Option<PathBuf>,
    /// `--error-log-path`.
    pub error_log: Option<PathBuf>,
}

impl Built {
    /// From what `-V` prints.
    #[must_use]
    pub fn of(output: &str) -> Self {
        let value = |name: &str| {
            let (_, rest) = output.split_once(name)?;
            let word = rest.split_ascii_whitespace().next()?.trim_matches('\'');
            (!word.is_empty() && !["stderr", "off"].contains(&word)).then(|| PathBuf::from(word))
        };
        let prefix = value("--prefix=");
        let below =
            |path: PathBuf| prefix.as_ref().map_or(path.clone(), |prefix| prefix.join(&path));
        Self {
            conf: value("--conf-path=").map(below),
            pid: value("--pid-path=").map(below),
            error_log: value("--error-log-path=").map(below),
            prefix,
        }
    }
}

/// The files of a configuration, as `nginx -T` prints them; none if that is not what `output` is.
#[must_use]
pub fn dumped(output: &str) -> Option<BTreeMap<PathBuf, String>> {
    const HEAD: &str = "# configuration file ";
    let mut files: BTreeMap<PathBuf, String> = BTreeMap::new();
    let mut current = None;
    for line in output.lines() {
        let named = line.strip_prefix(HEAD).and_then(|rest| rest.strip_suffix(':'));
        if let Some(path) = named.map(PathBuf::from).filter(|path| path.is_absolute()) {
            files.entry(path.clone()).or_default();
            current = Some(path);
        } else if let Some(text) = current.as_ref().and_then(|path| files.get_mut(path)) {
            text.push_str(line);
            text.push('\n');
        }
    }
    (!files.is_empty()).then_some(files)
}

/// Reads the configuration that begins in `file`, from what the server printed where it did.
#[must_use]
pub fn read(file: &Path, built: &Built, dumped: Option<&BTreeMap<PathBuf, String>>) -> Site {
    let mut reader = Reader {
        site: Site::default(),
        blocks: Vec::new(),
        server: Server::default(),
        main: file,
        dumped,
    };
    reader.file(file, 0);
    let mut site = reader.site;
    let prefix = built.prefix.clone().unwrap_or_default();
    site.pidfile = site.pidfile.map(|path| prefix.join(path)).or_else(|| built.pid.clone());
    site.error_log =
        site.error_log.map(|path| prefix.join(path)).or_else(|| built.error_log.clone());
    site
}

/// A server block that is open.
#[derive(Default)]
struct Server {
    listens: Vec<Listen>,
    /// Whether it listens where nobody is asked.
    elsewhere: bool,
}

struct Reader<'a> {
    site: Site,
    /// Names of the blocks that are open, and their first argument.
    blocks: Vec<(String, String)>,
    server: Server,
    main: &'a Path,
    dumped: Option<&'a BTreeMap<PathBuf, String>>,
}

impl Reader<'_> {
    fn file(&mut self, path: &Path, depth: usize) {
        if depth > DEEPEST || self.site.files.len() >= MOST {
            return self.unread(path, "too many files include each other");
        }
        self.site.files.push(path.to_owned());
        if let Some(text) = self.dumped.and_then(|files| files.get(path)) {
            return self.text(text, path, depth);
        }
        let about = std::fs::metadata(path);
        if about.is_ok_and(|about| !about.is_file() || about.len() > LARGEST) {
            return self.unread(path, "it is no file of a sensible size");
        }
        match std::fs::read(path) {
            Ok(text) => self.text(&String::from_utf8_lossy(&text), path, depth),
            Err(error) => self.unread(path, &error.kind().to_string()),
        }
    }

    fn unread(&mut self, path: &Path, why: &str) {
        self.site.unread.push(format!("{}: {why}", path.display()));
    }

    fn text(&mut self, text: &str, path: &Path, depth: usize) {
        let mut words: Vec<String> = Vec::new();
        let opened = self.blocks.len();
        for token in tokens(text) {
            match token {
                Token::Word(word) => words.push(word),
                Token::End => self.directive(&std::mem::take(&mut words), path, depth),
                Token::Open => {
                    let mut words = std::mem::take(&mut words).into_iter();
                    let block =
                        (words.next().unwrap_or_default(), words.last().unwrap_or_default());
                    self.blocks.push(block);
                }
                Token::Close if self.blocks.len() > opened => self.close(),
                Token::Close => self.unread(path, "a bracket closes that was not opened"),
            }
        }
        while self.blocks.len() > opened {
            self.close();
        }
    }

    fn close(&mut self) {
        if self.blocks.pop().is_some_and(|(name, _)| name == "server") {
            let mut listens = std::mem::take(&mut self.server.listens);
            // "listen" of the HTTP core module: without it, port 80 of all addresses.
            if listens.is_empty() && !self.server.elsewhere && self.is_within(&["http"]) {
                listens.push(Listen::Port(None, 80));
            }
            self.site.listens.extend(listens);
            self.server.elsewhere = false;
        }
    }

    fn is_within(&self, names: &[&str]) -> bool {
        self.blocks.iter().map(|(name, _)| name.as_str()).eq(names.iter().copied())
    }

    fn directive(&mut self, words: &[String], path: &Path, depth: usize) {
        let Some((name, arguments)) = words.split_first() else { return };
        let first = arguments.first().map_or("", String::as_str);
        match name.as_str() {
            "pid" if self.blocks.is_empty() => self.site.pidfile = Some(PathBuf::from(first)),
            "error_log" if self.blocks.is_empty() && !first.contains(':') && first != "stderr" => {
                self.site.error_log = Some(PathBuf::from(first));
            }
            "listen" if self.is_within(&["http", "server"]) => {
                // What speaks another protocol first answers no question of HTTP.
                let is_tcp =
                    !arguments.iter().any(|word| word == "quic" || word == "proxy_protocol");
                match Listen::parse(first, Some(80)) {
                    Some(listen) if is_tcp => self.server.listens.push(listen),
                    Some(_) => self.server.elsewhere = true,
                    None => self.unread(path, &format!("listen {first:?} is not understood")),
                }
            }
            "include" => self.include(first, depth),
            _ => {}
        }
    }

    /// Relative to the directory of the main file.
    fn include(&mut self, pattern: &str, depth: usize) {
        let directory = self.main.parent().unwrap_or(Path::new("/"));
        let pattern = directory.join(pattern);
        if !glob::is_pattern(&pattern) {
            return self.file(&pattern, depth + 1);
        }
        for path in glob::expand(&pattern, &mut self.site.files) {
            self.file(&path, depth + 1);
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    End,
    Open,
    Close,
}

/// The parts of a file: words, perhaps in quotes, `;`, `{` and `}`. `${name}` does not open a block.
fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '#' if word.is_none() => while chars.next_if(|c| *c != '\n').is_some() {},
            '"' | '\'' if word.is_none() => {
                let mut quoted = String::new();
                while let Some(inner) = chars.next_if(|inner| *inner != c) {
                    match inner {
                        '\\' => quoted.extend(chars.next()),
                        _ => quoted.push(inner),
                    }
                }
                chars.next();
                found.push(Token::Word(quoted));
            }
            '$' if chars.peek() == Some(&'{') => {
                let name = word.get_or_insert_default();
                name.push(c);
                while let Some(inner) = chars.next_if(|inner| *inner != '}') {
                    name.push(inner);
                }
                name.extend(chars.next());
            }
            '\\' => word.get_or_insert_default().extend([c].into_iter().chain(chars.next())),
            ';' | '{' | '}' => {
                found.extend(word.take().map(Token::Word));
                found.push(match c {
                    ';' => Token::End,
                    '{' => Token::Open,
                    _ => Token::Close,
                });
            }
            c if c.is_whitespace() => found.extend(word.take().map(Token::Word)),
            other => word.get_or_insert_default().push(other),
        }
    }
    found.extend(word.map(Token::Word));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn built() -> Built {
        Built::of(
            "nginx version: nginx/1.22.1\nconfigure arguments: --with-cc-opt='-g -O2' --prefix=/usr/share/nginx \
            --conf-path=/etc/nginx/nginx.conf --error-log-path=stderr --pid-path=/run/nginx.pid --with-x",
        )
    }

    #[test]
    fn what_the_program_was_built_with() {
        let expected = Built {
            prefix: Some("/usr/share/nginx".into()),
            conf: Some("/etc/nginx/nginx.conf".into()),
            pid: Some("/run/nginx.pid".into()),
            error_log: None,
        };
        assert_eq!(built(), expected);
        assert_eq!(Built::of("nginx version: x"), Built::default());
        let relative = Built::of("--prefix=/usr/local/nginx --pid-path=logs/nginx.pid");
        assert_eq!(relative.pid, Some("/usr/local/nginx/logs/nginx.pid".into()));
    }

    #[test]
    fn what_a_dump_says() {
        let dump = "nginx: the configuration file /c/nginx.conf syntax is ok\n# configuration file /c/nginx.conf:\n\
            user x; # a; comment {\npid logs/p;\nerror_log /e;\nevents { }\nhttp {\n include sites/*; log_format x '{\"a\": \"$b\"}';\n\
            server { listen 192.0.2.1:8080 default_server; location ~ \"^/a{1,2}$\" { return 444; } }\n\
            server { server_name a.${b}.c; listen [::]:81; listen unix:/run/s; listen 443 quic; }\n server { } }\n\
            stream { server { listen 25; } }\n# configuration file /c/sites/a:\nserver { listen 82; }\n";
        let files = dumped(dump).unwrap();
        assert_eq!(files.len(), 2);
        let site = read(Path::new("/c/nginx.conf"), &built(), Some(&files));
        let listens: Vec<String> = site.listens.iter().map(ToString::to_string).collect();
        assert_eq!(listens, ["192.0.2.1:8080", "[::]:81", "unix:/run/s", "*:80"]);
        assert_eq!(site.pidfile, Some("/usr/share/nginx/logs/p".into()));
        assert_eq!(site.error_log, Some("/e".into()));
        assert_eq!(dumped("nginx: [emerg] x"), None);
    }

    #[test]
    fn files_are_read_where_there_is_no_dump() {
        let directory = tempfile::tempdir().unwrap();
        let main = directory.path().join("nginx.conf");
        std::fs::create_dir(directory.path().join("sites")).unwrap();
        std::fs::write(directory.path().join("sites/a"), "server { listen 8081; }\n").unwrap();
        std::fs::write(&main, "http { include sites/*; include none; }\n").unwrap();
        let site = read(&main, &built(), None);
        assert_eq!(site.listens, [Listen::Port(None, 8081)]);
        assert_eq!(site.pidfile, Some("/run/nginx.pid".into()));
        assert_eq!(site.files.len(), 4);
        assert_eq!(site.unread.len(), 1);
        std::fs::write(&main, "include nginx.conf;\n").unwrap();
        assert!(!read(&main, &built(), None).unread.is_empty());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(server|http|listen|include| |;|\\{|\\}|\\$\\{|\"|'|\\\\|#|[a-z0-9:.*ä]|\n){0,60}") {
            let files = BTreeMap::from([(PathBuf::from("/x"), text.clone())]);
            let _ = read(Path::new("/x"), &Built::default(), Some(&files));
            let _ = Built::of(&text);
            let _ = dumped(&text);
        }
    }
}
