//! What `dspmq` says of a queue manager.

#![forbid(unsafe_code)]

use std::fmt;

/// The state of a queue manager, by the words of `dspmq`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It runs here.
    Running,
    /// It is on its way, perhaps reading its log for minutes.
    Starting,
    /// It was told to end and has not.
    Ending(String),
    /// It has ended, as it was told to.
    Ended(String),
    /// It has ended, and nobody told it to.
    Crashed,
    /// A standby of a multi-instance queue manager runs here.
    Standby,
    /// It runs on another host.
    Elsewhere,
    /// `dspmq` answers, and does not know it.
    Unknown(String),
    /// A word that has no meaning here.
    Other(String),
}

impl State {
    /// From what `dspmq -m` wrote; `how` is how it ended.
    pub(super) fn of(output: &str, name: &str, how: &str) -> Self {
        let Some(words) = words(output, name) else { return Self::Unknown(how.to_owned()) };
        // Older releases write the words in small letters, and some of them without the hyphen.
        let plain = words.to_ascii_uppercase().replace('-', "");
        match plain.as_str() {
            "RUNNING" => Self::Running,
            "STARTING" => Self::Starting,
            "RUNNING AS STANDBY" => Self::Standby,
            "RUNNING ELSEWHERE" => Self::Elsewhere,
            "QUIESCING" => Self::Ending(words),
            "ENDED UNEXPECTEDLY" => Self::Crashed,
            _ if plain.starts_with("ENDING") => Self::Ending(words),
            _ if plain.starts_with("ENDED") => Self::Ended(words),
            _ => Self::Other(words),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running => f.write_str("RUNNING"),
            Self::Starting => f.write_str("STARTING"),
            Self::Crashed => f.write_str("ENDED UNEXPECTEDLY"),
            Self::Standby => f.write_str("RUNNING AS STANDBY"),
            Self::Elsewhere => f.write_str("RUNNING ELSEWHERE"),
            Self::Ending(words) | Self::Ended(words) | Self::Other(words) => f.write_str(words),
            Self::Unknown(_) => f.write_str("not known"),
        }
    }
}

/// The words in `STATUS(...)` on the line of exactly that queue manager.
fn words(output: &str, name: &str) -> Option<String> {
    let named = format!("QMNAME({name})");
    output.lines().find_map(|line| {
        let (_, rest) = line.split_once(&named)?;
        let (between, rest) = rest.split_once("STATUS(")?;
        let (words, _) = rest.split_once(')')?;
        (!between.contains('(')).then(|| crate::error::one_line(words.trim(), 40))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_word_has_its_state() {
        let cases = [
            ("RUNNING", State::Running),
            ("Running", State::Running),
            ("STARTING", State::Starting),
            ("QUIESCING", State::Ending("QUIESCING".into())),
            ("ENDING IMMEDIATELY", State::Ending("ENDING IMMEDIATELY".into())),
            ("ENDING PRE-EMPTIVELY", State::Ending("ENDING PRE-EMPTIVELY".into())),
            ("ENDING PREEMPTIVELY", State::Ending("ENDING PREEMPTIVELY".into())),
            ("ENDED NORMALLY", State::Ended("ENDED NORMALLY".into())),
            ("ENDED IMMEDIATELY", State::Ended("ENDED IMMEDIATELY".into())),
            ("ENDED PRE-EMPTIVELY", State::Ended("ENDED PRE-EMPTIVELY".into())),
            ("ENDED UNEXPECTEDLY", State::Crashed),
            ("RUNNING AS STANDBY", State::Standby),
            ("RUNNING ELSEWHERE", State::Elsewhere),
            ("NOT AVAILABLE", State::Other("NOT AVAILABLE".into())),
        ];
        for (words, expected) in cases {
            let line = format!("QMNAME(QM1)                    STATUS({words})\n");
            assert_eq!(State::of(&line, "QM1", ""), expected, "{words}");
        }
    }

    #[test]
    fn only_the_line_of_exactly_that_name_counts() {
        let others = "QMNAME(QM10) STATUS(RUNNING)\nQMNAME(QMX1) STATUS(RUNNING)\n";
        for name in ["QM1", "QM.1", "M10", "QM"] {
            assert_eq!(State::of(others, name, "why"), State::Unknown("why".into()), "{name}");
        }
        let both = format!("{others}QMNAME(QM.1) STATUS(ENDED NORMALLY)\n");
        assert_eq!(State::of(&both, "QM.1", ""), State::Ended("ENDED NORMALLY".into()));
        let wider = "QMNAME(QM1) INSTNAME(Installation1) STATUS(RUNNING)";
        assert_eq!(State::of(wider, "QM1", "why"), State::Unknown("why".into()));
    }

    proptest! {
        #[test]
        fn no_output_makes_it_panic(output in "\\PC{0,200}", name in "[A-Z.]{1,8}") {
            let _ = State::of(&output, &name, "");
        }
    }
}
