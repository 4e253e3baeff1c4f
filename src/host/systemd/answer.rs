//! What systemd answers, in the words of its interface (`org.freedesktop.systemd1(5)`).

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::fmt::{self, Write as _};

use zbus::{DBusError, OwnedVariant};

use super::BUS;
use crate::error::{Error, one_line};

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// There is no bus.
    Absent,
    /// The question or its answer got lost: nobody knows anything.
    Lost(String),
    /// systemd's own answer: the last word of the error's name, and its text.
    Refused(String, String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => {
                write!(f, "there is no message bus at {BUS}; install and start dbus")
            }
            Self::Lost(why) => write!(f, "the message bus does not answer ({why})"),
            Self::Refused(name, text) => write!(f, "{text} ({name})"),
        }
    }
}

/// Errors that say nothing of what was asked: the other end has gone, or comes just now.
const LOST: [&str; 5] = ["NoReply", "Disconnected", "NameHasNoOwner", "ServiceUnknown", "TimedOut"];

impl From<zbus::Error> for Trouble {
    fn from(error: zbus::Error) -> Self {
        let (name, text) = match &error {
            zbus::Error::MethodError(name, text, _) => {
                (name.as_str().to_owned(), text.clone().unwrap_or_default())
            }
            zbus::Error::FDO(known) => (
                known.name().as_str().to_owned(),
                known.description().unwrap_or_default().to_owned(),
            ),
            other => return Self::Lost(one_line(&other.to_string(), 80)),
        };
        let name = name.rsplit('.').next().unwrap_or_default().to_owned();
        if LOST.contains(&name.as_str()) {
            return Self::Lost(name);
        }
        Self::Refused(name, one_line(&text, 100))
    }
}

impl Trouble {
    /// As the error of what was tried.
    #[must_use]
    pub fn error(&self, what: &str) -> Error {
        match self {
            Self::Absent => Error::NotInstalled(format!("cannot {what}: {self}")),
            Self::Refused(name, _)
                if ["AccessDenied", "InteractiveAuthorizationRequired"]
                    .contains(&name.as_str()) =>
            {
                Error::NotPermitted(format!("cannot {what}: {self}; run it as root"))
            }
            _ => Error::Failed(format!("cannot {what}: {self}")),
        }
    }
}

/// One look at a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// Its own name, which an alias is not.
    pub id: String,
    /// Whether its file could be read.
    pub load: String,
    /// Its state.
    pub active: String,
    /// Its state in the words of its type.
    pub sub: String,
    /// What is being done to it.
    pub job: Option<Job>,
    /// Where it is on the bus.
    pub(super) path: String,
}

/// Something that systemd was asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// `start`, `stop` and so on.
    pub kind: String,
    /// Which one it is.
    pub path: String,
}

/// What is known of a unit that runs or ran.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The number of its main process; 0 for none.
    pub main: i32,
    /// Its control group, from the root of the hierarchy; empty for none.
    pub group: String,
    /// Other after each start.
    pub invocation: String,
    /// How it ended, in systemd's word.
    pub result: String,
}

/// The unit that was started under a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoked {
    /// Its own name.
    pub id: String,
    /// The number of its main process; 0 for none.
    pub main: i32,
    /// What is written in it as `Environment=`, each `NAME=value`.
    pub environment: Vec<String>,
}

/// All properties of a unit.
#[derive(Debug, Default)]
pub struct Properties(pub(super) HashMap<String, OwnedVariant>);

impl Properties {
    fn get<T: TryFrom<OwnedVariant>>(&self, name: &str) -> Option<T> {
        self.0.get(name)?.try_clone().ok()?.try_into().ok()
    }

    /// A text; empty if there is none of that name.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        self.get(name).unwrap_or_default()
    }

    /// A list of texts.
    #[must_use]
    pub fn texts(&self, name: &str) -> Vec<String> {
        self.get(name).unwrap_or_default()
    }

    /// A yes or no.
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        self.get(name).unwrap_or_default()
    }

    /// A whole number.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<i64> {
        let signed = || self.get::<i32>(name).map(i64::from);
        let long = || self.get::<u64>(name).map(|number| i64::try_from(number).unwrap_or(i64::MAX));
        signed().or_else(|| self.get::<u32>(name).map(i64::from)).or_else(long)
    }

    /// The conditions that were not met at the last start, as they are written.
    #[must_use]
    pub fn unmet(&self, name: &str) -> Vec<String> {
        let all: Vec<(String, bool, bool, String, i32)> = self.get(name).unwrap_or_default();
        let unmet = all.into_iter().filter(|(.., state)| *state < 0);
        unmet
            .map(|(kind, _, negated, value, _)| {
                format!("{kind}={}{value}", if negated { "!" } else { "" })
            })
            .collect()
    }
}

/// The bytes of such a number.
pub(super) fn bytes(hexadecimal: &str) -> Vec<u8> {
    let pairs = (0..hexadecimal.len() / 2).map(|at| hexadecimal.get(2 * at..2 * at + 2));
    pairs.map_while(|pair| u8::from_str_radix(pair?, 16).ok()).collect()
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_no_refusal() {
        let lost = zbus::Error::FDO(Box::new(zbus::fdo::Error::NoReply("x".to_owned())));
        assert_eq!(Trouble::from(lost), Trouble::Lost("NoReply".to_owned()));
        let refused = zbus::Error::FDO(Box::new(zbus::fdo::Error::AccessDenied("x".to_owned())));
        let refused = Trouble::from(refused);
        assert_eq!(refused, Trouble::Refused("AccessDenied".to_owned(), "x".to_owned()));
        assert_eq!(refused.error("y").code(), crate::error::OcfCode::NotPermitted);
        assert_eq!(Trouble::Absent.error("y").code(), crate::error::OcfCode::NotInstalled);
    }

    #[test]
    fn a_property_that_is_not_there_is_empty() {
        let mut all = HashMap::new();
        all.insert("MainPID".to_owned(), OwnedVariant::from(7_u32));
        let properties = Properties(all);
        assert_eq!(properties.number("MainPID"), Some(7));
        assert_eq!(properties.number("ExecMainStatus"), None);
        assert_eq!((properties.text("x"), properties.flag("x")), (String::new(), false));
        assert_eq!((properties.texts("x"), properties.unmet("x")), (vec![], vec![]));
    }
}
