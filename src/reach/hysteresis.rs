//! When a change is believed.
//!
//! The rule: *down* is believed when `down_after` of the last `down_window` looks were bad, and *up* when every look of the
//! last `recover_after` was good. The first look is believed as it is.

#![forbid(unsafe_code)]

use std::time::Duration;

/// How much it takes to believe a change.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// So many bad looks make it down …
    pub down_after: u32,
    /// … among the last so many.
    pub down_window: u32,
    /// For so long all looks have to be good before it is up again.
    pub recover_after: Duration,
}

/// What is remembered from look to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// What is believed.
    pub up: bool,
    /// The last looks, the newest last: whether they were good.
    looks: Vec<bool>,
    /// Since when all looks were good, counted from the start of the host.
    good_since: Option<Duration>,
}

impl Memory {
    /// What follows from the first look.
    #[must_use]
    pub fn first(good: bool, now: Duration) -> Self {
        Self { up: good, looks: vec![good], good_since: good.then_some(now) }
    }

    /// What follows from one look more.
    #[must_use]
    pub fn after(&self, good: bool, now: Duration, rule: &Rule) -> Self {
        let mut looks = self.looks.clone();
        looks.push(good);
        let window = usize::try_from(rule.down_window).unwrap_or(usize::MAX);
        looks.drain(..looks.len().saturating_sub(window));
        // What is later than now was written before this host was started anew.
        let good_since = good.then(|| self.good_since.map_or(now, |since| since.min(now)));
        let bad = looks.iter().filter(|good| !**good).count();
        let up = if self.up {
            bad < usize::try_from(rule.down_after).unwrap_or(usize::MAX)
        } else {
            good_since.is_some_and(|since| now.saturating_sub(since) >= rule.recover_after)
        };
        if up && !self.up {
            // The bad looks before have had their effect.
            looks.retain(|good| *good);
        }
        Self { up, looks, good_since }
    }

    /// How many of the looks that count were bad.
    #[must_use]
    pub fn bad(&self) -> usize {
        self.looks.iter().filter(|good| !**good).count()
    }

    /// Whether the last look was good.
    #[must_use]
    pub fn last(&self) -> bool {
        self.looks.last().copied().unwrap_or(self.up)
    }

    /// As a line of a state file.
    #[must_use]
    pub fn line(&self) -> String {
        let looks: String = self.looks.iter().map(|good| if *good { '+' } else { '-' }).collect();
        let since = self.good_since.map_or("-".to_owned(), |since| since.as_millis().to_string());
        format!("{} {looks} {since}\n", if self.up { "up" } else { "down" })
    }

    /// From a line of a state file; none if it is no such line.
    #[must_use]
    pub fn read(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let up = match words.next()? {
            "up" => true,
            "down" => false,
            _ => return None,
        };
        let looks = words.next()?;
        if !looks.bytes().all(|look| b"+-".contains(&look)) {
            return None;
        }
        let good_since = match words.next()? {
            "-" => None,
            since => Some(Duration::from_millis(since.parse().ok()?)),
        };
        Some(Self { up, looks: looks.bytes().map(|look| look == b'+').collect(), good_since })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is believed after each look, one every 10 s.
    fn believed(rule: Rule, looks: &str) -> String {
        let mut memory: Option<Memory> = None;
        let mut words = String::new();
        for (number, look) in (0u64..).zip(looks.chars()) {
            let (good, now) = (look == '+', Duration::from_secs(number * 10));
            let next = match &memory {
                None => Memory::first(good, now),
                Some(memory) => memory.after(good, now, &rule),
            };
            words.push(if next.up { '+' } else { '-' });
            memory = Memory::read(&next.line());
            assert_eq!(memory.as_ref(), Some(&next), "what is written is read");
        }
        words
    }

    fn rule(down_after: u32, down_window: u32, recover_after: u64) -> Rule {
        Rule { down_after, down_window, recover_after: Duration::from_secs(recover_after) }
    }

    #[test]
    fn by_default_every_look_is_believed() {
        assert_eq!(believed(rule(1, 1, 0), "+-+--+"), "+-+--+");
    }

    #[test]
    fn n_bad_of_m_make_it_down() {
        assert_eq!(believed(rule(3, 3, 0), "+--+---+"), "++++++-+");
        assert_eq!(believed(rule(3, 5, 0), "+-+-+-++"), "+++++-++");
        assert_eq!(believed(rule(2, 3, 0), "+-++-++-++"), "++++++++++");
    }

    #[test]
    fn up_again_after_some_time_without_a_bad_look() {
        assert_eq!(believed(rule(1, 1, 30), "+-++++"), "+----+");
        assert_eq!(believed(rule(1, 1, 30), "+-++-++++"), "+-------+");
    }

    #[test]
    fn a_memory_of_before_a_reboot_delays_nothing_for_ever() {
        let old = Memory::read("down -+ 8640000000").unwrap();
        let young = old.after(true, Duration::from_secs(50), &rule(1, 1, 30));
        assert!(!young.up, "since when is not known, so it counts from now");
        assert!(young.after(true, Duration::from_secs(80), &rule(1, 1, 30)).up);
    }

    #[test]
    fn the_first_look_is_believed() {
        assert_eq!(believed(rule(3, 3, 60), "-"), "-");
        assert_eq!(believed(rule(3, 3, 60), "+"), "+");
    }

    #[test]
    fn what_is_no_memory_is_none() {
        for line in ["", "running", "up", "up +", "up +x 1", "up + x", "\0"] {
            assert_eq!(Memory::read(line), None, "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn no_flapping_below_the_threshold(after in 2u32..6, looks in proptest::collection::vec(any::<bool>(), 1..60)) {
            // With at least `after` good looks between bad ones, a window of `after` never has two of them.
            let looks: String = std::iter::once('+').chain(looks.iter().flat_map(|bad| {
                let mut part = vec![if *bad { '-' } else { '+' }];
                part.extend(std::iter::repeat_n('+', after as usize));
                part
            })).collect();
            prop_assert!(!believed(rule(2, after, 0), &looks).contains('-'));
        }
    }
}
