//! Names of IBM MQ.

#![forbid(unsafe_code)]

use std::ffi::OsStr;

use super::{accepted, text};
use crate::param::{Kind, Value};

/// The name of a queue manager or a queue ("Rules for naming IBM MQ objects").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectName(String);

impl ObjectName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for ObjectName {
    const KIND: Kind = Kind::String;

    fn parse(raw: &OsStr) -> Result<Self, String> {
        let name = text(raw)?;
        // A point or a slash may be anywhere, but nobody begins a name with one unless it is a path.
        let valid = (1..=48).contains(&name.len())
            && !name.starts_with(['.', '/'])
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._/%".contains(&byte));
        accepted(
            raw,
            valid.then(|| Self(name.to_owned())),
            "a name of an object of IBM MQ",
            "at most 48 letters, digits, and . _ / %, the first one no point and no slash",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_the_product_allows() {
        for raw in ["QM1", "q.m_1/x%", "0", &"Q".repeat(48)] {
            assert_eq!(ObjectName::parse(OsStr::new(raw)).unwrap().as_str(), raw);
        }
        for raw in ["", "QM 1", "QM-1", "-x", "QM'1", "QM;1", "QÄ", "../x", "/x", &"Q".repeat(49)]
        {
            assert!(ObjectName::parse(OsStr::new(raw)).unwrap_err().contains("a name of"), "{raw}");
        }
    }
}
