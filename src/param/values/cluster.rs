//! Values that are passed on to the cluster's own programs.

#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::time::Duration;

use super::{accepted, decimal, text};
use crate::param::{Kind, Value};

/// The name of a node attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeName(String);

impl AttributeName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for AttributeName {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        let name = text(raw)?;
        let valid = (1..=200).contains(&name.len())
            && !name.starts_with(['-', '.'])
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:+@#".contains(&byte));
        accepted(
            raw,
            valid.then(|| Self(name.to_owned())),
            "the name of a node attribute",
            "letters, digits, and - _ . : + @ #",
        )
    }
}

/// The name of a device below /sys, such as `mlx4_0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceName(String);

impl DeviceName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for DeviceName {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        let name = text(raw)?;
        let valid = (1..=63).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
            && !name.starts_with('.');
        accepted(
            raw,
            valid.then(|| Self(name.to_owned())),
            "the name of a device",
            "letters, digits, - and _",
        )
    }
}

/// A time in the words of Pacemaker: a whole number, perhaps with a unit; seconds without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interval {
    words: String,
    time: Duration,
}

impl Interval {
    /// As it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.words
    }

    /// How long that is.
    #[must_use]
    pub fn get(&self) -> Duration {
        self.time
    }
}

impl Value for Interval {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        let words = text(raw)?.trim();
        let digits = words.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = words.split_at(digits);
        let microseconds: Option<u64> = match unit.trim_start() {
            "us" | "usec" => Some(1),
            "ms" | "msec" => Some(1000),
            "" | "s" | "sec" => Some(1_000_000),
            "m" | "min" => Some(60_000_000),
            "h" | "hr" => Some(3_600_000_000),
            _ => None,
        };
        let time = decimal::<u64>(number)
            .zip(microseconds)
            .and_then(|(number, unit)| number.checked_mul(unit))
            .map(Duration::from_micros);
        let parsed = time.map(|time| Self { words: words.replace(' ', ""), time });
        accepted(
            raw,
            parsed,
            "a time",
            "a whole number with or without a unit, such as 5s, 500ms or 2min",
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn time(raw: &str) -> Option<Duration> {
        Interval::parse(OsStr::new(raw)).ok().map(|interval| interval.get())
    }

    #[test]
    fn times_with_and_without_a_unit() {
        let cases = [
            ("5", Some(5000)),
            ("5s", Some(5000)),
            ("5 sec", Some(5000)),
            ("500ms", Some(500)),
            ("2m", Some(120_000)),
            ("2min", Some(120_000)),
            ("1h", Some(3_600_000)),
            ("0", Some(0)),
            ("", None),
            ("s", None),
            ("-5s", None),
            ("5 days", None),
            ("1.5s", None),
            ("99999999999999999999s", None),
        ];
        for (raw, expected) in cases {
            assert_eq!(time(raw), expected.map(Duration::from_millis), "{raw:?}");
        }
    }

    #[test]
    fn attribute_names() {
        for (raw, good) in [
            ("pingd", true),
            ("ethmonitor-eth0.100", true),
            ("", false),
            ("a b", false),
            ("-n", false),
            ("../a", false),
            ("#health-net", true),
        ] {
            assert_eq!(AttributeName::parse(OsStr::new(raw)).is_ok(), good, "{raw:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_a_parser_panic(raw in ".{0,40}") {
            let _ = time(&raw);
            let _ = AttributeName::parse(OsStr::new(&raw));
        }
    }
}
