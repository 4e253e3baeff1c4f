//! The types of parameter values. Each parses strictly and says what it accepts.

#![forbid(unsafe_code)]

mod cluster;
mod ethernet;
pub(crate) mod mail;
mod mount;
mod mq;
mod network;
mod ports;
mod process;
mod routing;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Kind, Value, quoted};

pub use cluster::{AttributeName, DeviceName, Interval};
pub use ethernet::{AddressList, ListedAddress, NewInterfaceName, UnicastMac};
pub use mail::{Mailbox, Mailboxes, Relay};
pub use mount::{
    FilesystemType, ForceUnmount, Holders, MountOptions, MountPoint, MountSource, Signals,
    StatusPrefix,
};
pub use mq::ObjectName;
pub use process::{
    AccountName, Directory, Limits, Program, Script, SignalName, Umask, UnitName, Variables, Words,
};

pub use network::{
    Broadcast, InterfaceName, InterfaceWithLabel, Ipv6WithPrefix, LONGEST_NAME, Label, Lifetime,
    MulticastMac, NamespaceName, Netmask,
};
pub use ports::{AddressBlock, Port, Ports};
pub use routing::{Destination, Network, TableName};

/// The value as text, or why it cannot be.
fn text(raw: &OsStr) -> Result<&str, String> {
    raw.to_str().ok_or_else(|| format!("{} is not UTF-8 text; give plain characters", quoted(raw)))
}

/// A parser's outcome with the sentence that every value type uses.
fn accepted<T>(raw: &OsStr, parsed: Option<T>, what: &str, accepts: &str) -> Result<T, String> {
    parsed.ok_or_else(|| format!("{} is not {what}; give {accepts}", quoted(raw)))
}

/// Digits only: no sign, no blanks.
fn decimal<T: std::str::FromStr>(text: &str) -> Option<T> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

impl Value for u32 {
    const KIND: Kind = Kind::Integer;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        accepted(raw, decimal(text(raw)?), "a whole number", "0 or more, digits only")
    }
}

/// A whole number that is not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count(u32);

impl Count {
    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl Value for Count {
    const KIND: Kind = Kind::Integer;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        let parsed = decimal(text(raw)?).filter(|number| *number > 0).map(Self);
        accepted(raw, parsed, "a whole number above 0", "1 or more, digits only")
    }
}

/// Seconds, perhaps with a fraction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seconds(Duration);

impl Seconds {
    /// The time.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl Value for Seconds {
    const KIND: Kind = Kind::Integer;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        let word = text(raw)?;
        let shaped = word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
            && word.bytes().any(|byte| byte.is_ascii_digit());
        let parsed = shaped.then(|| word.parse::<f64>().ok()).flatten();
        let parsed = parsed.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).map(Self);
        accepted(raw, parsed, "a number of seconds", "0 or more, such as 20 or 0.5")
    }
}

/// A truth value, in the words of `ocf_is_true` and their opposites.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flag(bool);

/// What the shell agents take for true, and nothing else.
const TRUE: [&str; 8] = ["yes", "true", "1", "YES", "TRUE", "True", "ja", "on"];
const FALSE: [&str; 11] =
    ["no", "false", "0", "NO", "FALSE", "False", "nein", "off", "OFF", "", "none"];

/// Whether the shell agents' helper `ocf_is_true` says yes.
#[must_use]
pub fn is_true(word: &OsStr) -> bool {
    word.to_str().is_some_and(|word| TRUE.contains(&word) || word == "ON")
}

impl Flag {
    /// The truth.
    #[must_use]
    pub const fn is_set(self) -> bool {
        self.0
    }
}

impl Value for Flag {
    const KIND: Kind = Kind::Boolean;

    /// An empty value is false, as for the shell agents. A word which they silently take for false although it
    /// looks true (`Yes`, `On`, `enabled`) is refused.
    fn parse(raw: &OsStr) -> Result<Self, String> {
        let word = text(raw)?;
        let parsed = if is_true(raw) { Some(true) } else { FALSE.contains(&word).then_some(false) };
        accepted(
            raw,
            parsed.map(Self),
            "a truth value",
            "true, yes, on or 1, or false, no, off or 0",
        )
    }
}

/// An absolute path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbsolutePath(PathBuf);

impl AbsolutePath {
    /// The path.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        &self.0
    }
}

impl Value for AbsolutePath {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        let path = PathBuf::from(raw);
        let valid = path.is_absolute() && path.file_name().is_some();
        accepted(
            raw,
            valid.then_some(Self(path)),
            "an absolute path of a file",
            "one that begins with /",
        )
    }
}

/// What is appended to a file's name to make another one beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suffix(OsString);

impl Suffix {
    /// That path with it.
    #[must_use]
    pub fn after(&self, path: &Path) -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(&self.0);
        name.into()
    }
}

impl Value for Suffix {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        let bytes = raw.as_encoded_bytes();
        // A slash would lead into another directory; the kernel takes no longer name.
        let valid = !bytes.contains(&b'/') && (1..=250).contains(&bytes.len());
        let accepts = "up to 250 characters without a slash, such as .orig";
        accepted(raw, valid.then(|| Self(raw.to_owned())), "the end of a name", accepts)
    }
}

/// Any text at all, kept as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(OsString);

impl Text {
    /// The bytes.
    #[must_use]
    pub fn as_os_str(&self) -> &OsStr {
        &self.0
    }
}

impl Value for Text {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        Ok(Self(raw.to_owned()))
    }
}

/// Declares an enum whose variants are the words that a parameter accepts.
#[macro_export]
macro_rules! choice {
    ($(#[$outer:meta])* $visibility:vis enum $name:ident { $( $(#[$doc:meta])* $variant:ident = $word:literal, )* }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $visibility enum $name { $( $(#[$doc])* $variant, )* }

        impl $crate::param::Value for $name {
            const KIND: $crate::param::Kind = $crate::param::Kind::Select(&[$($word),*]);

            fn parse(raw: &std::ffi::OsStr) -> Result<Self, String> {
                match raw.to_str() {
                    $( Some($word) => Ok(Self::$variant), )*
                    _ => Err(format!("{} is not one of {}", $crate::param::quoted(raw), [$($word),*].join(", "))),
                }
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    use std::os::unix::ffi::OsStrExt;

    use proptest::prelude::*;

    use super::*;

    fn parse<T: Value>(raw: &str) -> Option<T> {
        T::parse(OsStr::new(raw)).ok()
    }

    #[test]
    fn netmasks_in_both_forms() {
        let cases = [
            ("24", Some(24)),
            ("255.255.255.0", Some(24)),
            ("0.0.0.0", Some(0)),
            ("255.255.255.255", Some(32)),
            ("128", Some(128)),
            ("129", None),
            ("255.0.255.0", None),
            ("24x", None),
            ("+24", None),
            (" 24", None),
            ("", None),
        ];
        for (raw, expected) in cases {
            assert_eq!(parse::<Netmask>(raw).map(Netmask::length), expected, "{raw:?}");
        }
    }

    #[test]
    fn truth_is_what_the_shell_agents_take_for_it() {
        for word in ["yes", "true", "1", "YES", "TRUE", "True", "ja", "on", "ON"] {
            assert_eq!(parse::<Flag>(word).map(Flag::is_set), Some(true), "{word}");
        }
        for word in ["", "no", "false", "0", "off"] {
            assert_eq!(parse::<Flag>(word).map(Flag::is_set), Some(false), "{word}");
        }
        for word in ["Yes", "On", "enabled", "2", "true "] {
            assert_eq!(parse::<Flag>(word), None, "{word}");
        }
    }

    #[test]
    fn interface_names_and_labels() {
        let cases = [
            ("eth0", Some(("eth0", None))),
            ("eth0:web", Some(("eth0", Some("web")))),
            ("eth0:", Some(("eth0", None))),
            ("eth0.100", Some(("eth0.100", None))),
            ("a-very-long-alternative-name", Some(("a-very-long-alternative-name", None))),
            ("eth 0", None),
            ("eth/0", None),
            ("..", None),
            (":web", None),
            ("", None),
        ];
        for (raw, expected) in cases {
            let parsed = parse::<InterfaceWithLabel>(raw);
            let shape = parsed
                .as_ref()
                .map(|nic| (nic.name.as_str(), nic.label.as_ref().map(Label::as_str)));
            assert_eq!(shape, expected, "{raw:?}");
        }
    }

    #[test]
    fn seconds_have_at_most_one_point() {
        assert_eq!(parse::<Seconds>("0.5").map(Seconds::get), Some(Duration::from_millis(500)));
        assert_eq!(parse::<Seconds>("30").map(Seconds::get), Some(Duration::from_secs(30)));
        for raw in ["", ".", "1.2.3", "-1", "1e3", "inf", "nan", "99999999999999999999999"] {
            assert_eq!(parse::<Seconds>(raw), None, "{raw:?}");
        }
    }

    #[test]
    fn a_suffix_stays_in_the_directory() {
        let suffix: Suffix = parse(".orig").unwrap();
        assert_eq!(suffix.after(Path::new("/etc/my file")), Path::new("/etc/my file.orig"));
        for raw in ["", "/x", "a/../b", &"x".repeat(251)] {
            assert_eq!(parse::<Suffix>(raw), None, "{raw}");
        }
    }

    #[test]
    fn an_ipv6_address_may_carry_its_prefix() {
        let parsed = parse::<Ipv6WithPrefix>("2001:DB8:0:0::0010/64").unwrap();
        assert_eq!(
            (parsed.address.to_string().as_str(), parsed.prefix),
            ("2001:db8::10", Some(64))
        );
        for raw in ["2001:db8::10/", "2001:db8::10/129", "192.0.2.1", "fe80::1%eth0"] {
            assert_eq!(parse::<Ipv6WithPrefix>(raw), None, "{raw}");
        }
    }

    /// What every value type must do with any bytes: say yes, or say no with the value in the text.
    fn judge<T: Value>(raw: &OsStr) {
        if let Err(why) = T::parse(raw) {
            assert!(why.contains('"') && why.chars().count() < 190, "{why}");
            assert!(!why.contains(['\n', '\x1b']), "{why}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let raw = OsStr::from_bytes(&bytes);
            judge::<IpAddr>(raw);
            judge::<Ipv4Addr>(raw);
            judge::<Ipv6WithPrefix>(raw);
            judge::<u32>(raw);
            judge::<Count>(raw);
            judge::<Seconds>(raw);
            judge::<Flag>(raw);
            judge::<InterfaceName>(raw);
            judge::<InterfaceWithLabel>(raw);
            judge::<Label>(raw);
            judge::<Netmask>(raw);
            judge::<Broadcast>(raw);
            judge::<Lifetime>(raw);
            judge::<NamespaceName>(raw);
            judge::<MulticastMac>(raw);
            judge::<Destination>(raw);
            judge::<TableName>(raw);
            judge::<Port>(raw);
            judge::<AbsolutePath>(raw);
            judge::<Text>(raw);
            judge::<Suffix>(raw);
            judge::<MountSource>(raw);
            judge::<MountPoint>(raw);
            judge::<FilesystemType>(raw);
            judge::<ForceUnmount>(raw);
            judge::<Signals>(raw);
            judge::<MountOptions>(raw);
            judge::<Mailbox>(raw);
            judge::<Mailboxes>(raw);
            judge::<Relay>(raw);
        }

        #[test]
        fn addresses_are_bits_whatever_their_spelling(bits in any::<u128>()) {
            let address = Ipv6Addr::from(bits);
            let upper = address.to_string().to_uppercase();
            let long = address.segments().map(|segment| format!("{segment:04x}")).join(":");
            prop_assert_eq!(parse::<IpAddr>(&upper), Some(IpAddr::V6(address)));
            prop_assert_eq!(parse::<IpAddr>(&long), Some(IpAddr::V6(address)));
        }

        #[test]
        fn a_mask_and_its_length_are_the_same(length in 0u8..=32) {
            let mask = Ipv4Addr::from(u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0));
            prop_assert_eq!(parse::<Netmask>(&mask.to_string()).map(Netmask::length), Some(length));
            prop_assert_eq!(parse::<Netmask>(&length.to_string()).map(Netmask::length), Some(length));
        }
    }
}
