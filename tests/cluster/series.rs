//! Many measurements of the same thing.

use std::fmt;
use std::time::Duration;

/// At least one measurement.
pub struct Series(Vec<Duration>);

impl Series {
    /// In whatever order they were made.
    pub fn new(mut lengths: Vec<Duration>) -> Self {
        assert!(!lengths.is_empty(), "nothing was measured");
        lengths.sort_unstable();
        Self(lengths)
    }

    /// Half of them are no longer.
    pub fn median(&self) -> Duration {
        self.0[(self.0.len() - 1) / 2]
    }
}

impl fmt::Display for Series {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (median, worst) = (self.median().as_millis(), self.0[self.0.len() - 1].as_millis());
        match self.0.len() {
            1 => write!(formatter, "{median} ms"),
            number => write!(formatter, "{median} ms, worst of {number} {worst} ms"),
        }
    }
}
