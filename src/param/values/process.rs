//! Types of values that say what is run, and how.

#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;

use super::{accepted, text};
use crate::host::launcher::RESOURCES;
use crate::param::{Kind, Value};

/// Words, split as a shell splits them: at blanks, with quotes and backslashes understood, and nothing expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    words: Vec<OsString>,
    shell: Option<char>,
}

impl Words {
    /// The words.
    #[must_use]
    pub fn as_slice(&self) -> &[OsString] {
        &self.words
    }

    /// The first character outside of quotes that a shell would act upon, and that is a plain character here.
    #[must_use]
    pub const fn shell_character(&self) -> Option<char> {
        self.shell
    }
}

impl Value for Words {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        accepted(raw, split(raw.as_bytes()), "a list of words", "words with every quote closed")
    }
}

/// As POSIX `sh`, "Quoting", has it; none if a quote is left open or a backslash is last.
fn split(text: &[u8]) -> Option<Words> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut shell = None;
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b' ' | b'\t' | b'\n' => words.extend(word.take().map(OsString::from_vec)),
            b'\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match bytes.next()? {
                        b'\'' => break,
                        other => word.push(other),
                    }
                }
            }
            b'"' => {
                let word = word.get_or_insert_default();
                loop {
                    match bytes.next()? {
                        b'"' => break,
                        b'\\' => match bytes.next()? {
                            escaped @ (b'"' | b'\\' | b'$' | b'`') => word.push(escaped),
                            other => word.extend([b'\\', other]),
                        },
                        other => {
                            if matches!(other, b'$' | b'`') {
                                shell = shell.or(Some(char::from(other)));
                            }
                            word.push(other);
                        }
                    }
                }
            }
            b'\\' => word.get_or_insert_default().push(bytes.next()?),
            other => {
                let begins = word.is_none();
                let expands = b"$`;&|<>*?[(".contains(&other) || (other == b'~' && begins);
                if expands {
                    shell = shell.or(Some(char::from(other)));
                }
                word.get_or_insert_default().push(other);
            }
        }
    }
    words.extend(word.map(OsString::from_vec));
    Some(Words { words, shell })
}

/// A program: an absolute path, or a name to be found on the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program(OsString);

impl Program {
    /// The path or the name.
    #[must_use]
    pub fn as_os_str(&self) -> &OsStr {
        &self.0
    }
}

/// Whether it is an absolute path without control characters, or a bare name.
fn names_a_program(raw: &OsStr) -> bool {
    let bytes = raw.as_bytes();
    let bare = |byte: &u8| byte.is_ascii_alphanumeric() || b"._+@:-".contains(byte);
    if Path::new(raw).is_absolute() {
        Path::new(raw).file_name().is_some() && !bytes.iter().any(u8::is_ascii_control)
    } else {
        !bytes.is_empty()
            && !bytes.starts_with(b"-")
            && !bytes.starts_with(b".")
            && bytes.iter().all(bare)
    }
}

impl Value for Program {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        let parsed = names_a_program(raw).then(|| Self(raw.to_owned()));
        accepted(raw, parsed, "a program", "an absolute path, without arguments")
    }
}

/// An init script: its name, or an absolute path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script(PathBuf);

impl Script {
    /// Where it is.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        &self.0
    }
}

impl Value for Script {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        // An absolute path takes the place of what it is joined to.
        let parsed = names_a_program(raw).then(|| Self(Path::new("/etc/init.d").join(raw)));
        accepted(raw, parsed, "an init script", "its name in /etc/init.d, or an absolute path")
    }
}

/// The name of a systemd unit, with its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitName(String);

impl UnitName {
    /// Types of units that can be started and stopped as a resource is.
    const TYPES: [&str; 5] = [".service", ".socket", ".mount", ".timer", ".path"];

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for UnitName {
    const KIND: Kind = Kind::String;

    /// By `systemd.unit(5)`; as `systemctl` does, a name without a type is a service's. A template stands for nothing
    /// by itself.
    fn parse(raw: &OsStr) -> Result<Self, String> {
        let name = text(raw)?;
        let typed = Self::TYPES.iter().any(|kind| name.ends_with(kind));
        let whole = if typed { name.to_owned() } else { format!("{name}.service") };
        let stem = whole.rsplit_once('.').map_or("", |(stem, _)| stem);
        let known = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
        let others = [".target", ".slice", ".scope", ".device", ".swap", ".automount"];
        let valid = !stem.is_empty()
            && !stem.starts_with(['@', '-', '.'])
            && !stem.ends_with('@')
            && stem.chars().all(known)
            && whole.len() <= 255
            && !others.iter().any(|kind| name.ends_with(kind));
        accepted(
            raw,
            valid.then_some(Self(whole)),
            "a systemd unit",
            "its name, such as x.service or x@1.service, of a service, socket, mount, timer or path",
        )
    }
}

/// An absolute path of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory(PathBuf);

impl Directory {
    /// The path.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        &self.0
    }
}

impl Value for Directory {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        let parsed = Path::new(raw).is_absolute().then(|| Self(PathBuf::from(raw)));
        accepted(raw, parsed, "an absolute path of a directory", "one that begins with /")
    }
}

/// The name of a user or a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountName(String);

impl AccountName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for AccountName {
    const KIND: Kind = Kind::String;

    /// What `useradd(8)` allows, and names of directories such as `DOMAIN\user` and `user@domain`.
    fn parse(raw: &OsStr) -> Result<Self, String> {
        let name = text(raw)?;
        let known = |c: char| c.is_alphanumeric() || "._-$@+\\".contains(c);
        let valid = !name.is_empty()
            && !name.starts_with(['-', '.'])
            && name.chars().all(known)
            && name.len() <= 256;
        accepted(
            raw,
            valid.then(|| Self(name.to_owned())),
            "a name of an account",
            "letters, digits and ._-@",
        )
    }
}

/// A file mode creation mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Umask(u32);

impl Umask {
    /// The bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }
}

impl Value for Umask {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        let digits = text(raw)?;
        let shaped =
            (1..=4).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        let parsed = shaped.then(|| u32::from_str_radix(digits, 8).ok()).flatten();
        accepted(
            raw,
            parsed.filter(|bits| *bits <= 0o777).map(Self),
            "a umask",
            "octal digits such as 0022",
        )
    }
}

/// A signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalName(Signal);

impl SignalName {
    /// The signal.
    #[must_use]
    pub const fn get(self) -> Signal {
        self.0
    }
}

impl Value for SignalName {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        let word = text(raw)?;
        let bare = word.strip_prefix("SIG").unwrap_or(word);
        let parsed = format!("SIG{bare}").parse().ok().map(Self);
        accepted(raw, parsed, "a signal", "a name such as TERM, INT or QUIT")
    }
}

/// Limits of a process: soft and hard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits(Vec<(String, u64, u64)>);

impl Limits {
    /// Name, soft and hard limit of each.
    #[must_use]
    pub fn as_slice(&self) -> &[(String, u64, u64)] {
        &self.0
    }
}

impl Value for Limits {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        let limits = text(raw)?.split_ascii_whitespace().map(limit).collect::<Option<Vec<_>>>();
        let parsed = limits.filter(|limits| !limits.is_empty()).map(Self);
        accepted(raw, parsed, "a list of limits", "such as nofile=65536 or core=0:unlimited")
    }
}

fn limit(word: &str) -> Option<(String, u64, u64)> {
    let (name, value) = word.split_once('=')?;
    let known = RESOURCES.iter().any(|(known, _)| *known == name);
    let (soft, hard) = value.split_once(':').unwrap_or((value, value));
    let number =
        |text: &str| if text == "unlimited" { Some(u64::MAX) } else { super::decimal(text) };
    let (soft, hard) = (number(soft)?, number(hard)?);
    (known && soft <= hard).then(|| (name.to_owned(), soft, hard))
}

/// Variables of an environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variables(Vec<(OsString, OsString)>);

impl Variables {
    /// Name and value of each.
    #[must_use]
    pub fn as_slice(&self) -> &[(OsString, OsString)] {
        &self.0
    }
}

impl Value for Variables {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        let words = split(raw.as_bytes());
        let variables =
            words.and_then(|words| words.words.iter().map(|word| variable(word)).collect());
        accepted(
            raw,
            variables.map(Self),
            "a list of variables",
            "words such as LANG=C \"OPTIONS=-a -b\"",
        )
    }
}

fn variable(word: &OsStr) -> Option<(OsString, OsString)> {
    let bytes = word.as_bytes();
    let at = bytes.iter().position(|byte| *byte == b'=')?;
    let (name, value) = (bytes.get(..at)?, bytes.get(at + 1..)?);
    let sound = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let valid = name.first().is_some_and(|byte| !byte.is_ascii_digit()) && name.iter().all(sound);
    valid.then(|| (OsStr::from_bytes(name).to_owned(), OsStr::from_bytes(value).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(raw: &str) -> Option<Vec<String>> {
        let parsed = Words::parse(OsStr::new(raw)).ok()?;
        Some(parsed.words.into_iter().map(|word| word.into_string().unwrap()).collect())
    }

    #[test]
    fn words_are_split_as_a_shell_does_and_never_expanded() {
        let cases: [(&str, Option<&[&str]>); 12] = [
            ("", Some(&[])),
            ("  a  b\t", Some(&["a", "b"])),
            ("-c 'a b' \"c d\"", Some(&["-c", "a b", "c d"])),
            ("a'b c'd", Some(&["ab cd"])),
            ("''", Some(&[""])),
            (r#""a\"b\\c\d""#, Some(&[r#"a"b\c\d"#])),
            (r"a\ b \\", Some(&["a b", r"\"])),
            ("500; touch X", Some(&["500;", "touch", "X"])),
            (
                "$(touch X) `touch X` $HOME ~ *",
                Some(&["$(touch", "X)", "`touch", "X`", "$HOME", "~", "*"]),
            ),
            ("'a", None),
            ("\"a", None),
            ("a\\", None),
        ];
        for (raw, expected) in cases {
            let expected =
                expected.map(|words| words.iter().map(|word| (*word).to_owned()).collect());
            assert_eq!(words(raw), expected, "{raw:?}");
        }
    }

    #[test]
    fn what_a_shell_would_act_upon_is_told() {
        let cases = [
            ("a; b", Some(';')),
            ("'a; b'", None),
            ("\"$a\"", Some('$')),
            ("a~", None),
            ("~/a", Some('~')),
        ];
        for (raw, expected) in cases {
            assert_eq!(Words::parse(OsStr::new(raw)).unwrap().shell_character(), expected, "{raw}");
        }
    }

    #[test]
    fn limits_have_known_names_and_a_soft_one_below_the_hard_one() {
        let parsed = Limits::parse(OsStr::new("nofile=10:20 core=unlimited")).unwrap();
        assert_eq!(
            parsed.as_slice(),
            [("nofile".to_owned(), 10, 20), ("core".to_owned(), u64::MAX, u64::MAX)]
        );
        for raw in ["nofile", "nofile=", "files=1", "nofile=20:10", "nofile=-1", ""] {
            Limits::parse(OsStr::new(raw)).unwrap_err();
        }
    }

    #[test]
    fn a_unit_without_a_type_is_a_service() {
        let cases = [
            ("nginx", Some("nginx.service")),
            ("nginx.service", Some("nginx.service")),
            ("postgresql@15-main", Some("postgresql@15-main.service")),
            ("org.example.App", Some("org.example.App.service")),
            ("srv-a\\x2db.mount", Some("srv-a\\x2db.mount")),
            ("x.timer", Some("x.timer")),
            ("x@", None),
            ("x@.service", None),
            ("multi-user.target", None),
            ("user.slice", None),
            (".service", None),
            ("-x", None),
            ("a/b", None),
            ("../x", None),
            ("a b", None),
            ("x;touch", None),
            ("", None),
        ];
        for (raw, expected) in cases {
            let parsed = UnitName::parse(OsStr::new(raw)).ok();
            assert_eq!(parsed.as_ref().map(UnitName::as_str), expected, "{raw}");
        }
        UnitName::parse(OsStr::new(&"x".repeat(300))).unwrap_err();
    }

    #[test]
    fn masks_signals_names_and_variables() {
        assert_eq!(Umask::parse(OsStr::new("0027")).unwrap().bits(), 0o27);
        for raw in ["8", "1000", "00022", "", "rwx"] {
            Umask::parse(OsStr::new(raw)).unwrap_err();
        }
        for raw in ["TERM", "SIGTERM"] {
            assert_eq!(SignalName::parse(OsStr::new(raw)).unwrap().get(), Signal::SIGTERM);
        }
        SignalName::parse(OsStr::new("15")).unwrap_err();
        let variables = Variables::parse(OsStr::new("A=b \"C=d e\" F=")).unwrap();
        assert_eq!(variables.as_slice()[1], ("C".into(), "d e".into()));
        for raw in ["A", "=b", "1=b", "a b=c"] {
            Variables::parse(OsStr::new(raw)).unwrap_err();
        }
        for raw in ["root", "www-data", "DOMAIN\\user", "user@domain"] {
            AccountName::parse(OsStr::new(raw)).unwrap();
        }
        for raw in ["", "-x", "a:b", "a b", "../x"] {
            AccountName::parse(OsStr::new(raw)).unwrap_err();
        }
        assert_eq!(
            Script::parse(OsStr::new("cron")).unwrap().as_path(),
            Path::new("/etc/init.d/cron")
        );
        assert_eq!(Script::parse(OsStr::new("/a/b")).unwrap().as_path(), Path::new("/a/b"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let raw = OsStr::from_bytes(&bytes);
            let _ = (Words::parse(raw), Program::parse(raw), Script::parse(raw), Directory::parse(raw));
            let _ = UnitName::parse(raw);
            let _ = (AccountName::parse(raw), Umask::parse(raw), SignalName::parse(raw));
            let _ = (Limits::parse(raw), Variables::parse(raw));
        }

        #[test]
        fn quoted_words_come_back_whole(given in proptest::collection::vec("[^']{0,12}", 0..5)) {
            let raw = given.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
            prop_assert_eq!(words(&raw), Some(given));
        }
    }
}
