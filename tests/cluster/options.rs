//! The part of libtest's command line that cargo, nextest and people use.

/// What to do with the chosen scenarios.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Show their names, and with `terse` nothing else.
    List { terse: bool },
    /// Say that they do not run by themselves.
    Ignore,
    /// Run them; they are all of the kind that libtest calls ignored.
    Run,
}

/// What to do and with which scenarios.
#[derive(Debug, Default)]
pub struct Options {
    list: bool,
    ignored: bool,
    format: String,
    exact: bool,
    filters: Vec<String>,
    skip: Vec<String>,
}

impl Options {
    /// Reads libtest's options; those that make no sense here are accepted and do nothing.
    pub fn parse(arguments: &[String]) -> Self {
        let mut options = Self::default();
        let mut words = arguments.iter().map(String::as_str);
        while let Some(word) = words.next() {
            let (name, glued) =
                word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
            match name {
                "--list" => options.list = true,
                "--exact" => options.exact = true,
                "--ignored" | "--include-ignored" => options.ignored = true,
                "--skip" => options.skip.extend(glued.or_else(|| words.next()).map(str::to_owned)),
                "--format" => {
                    glued
                        .or_else(|| words.next())
                        .unwrap_or_default()
                        .clone_into(&mut options.format);
                }
                "--test-threads" | "--color" | "--logfile" | "--shuffle-seed" | "-Z"
                    if glued.is_none() =>
                {
                    words.next();
                }
                _ if word.starts_with('-') => {}
                _ => options.filters.push(word.to_owned()),
            }
        }
        options
    }

    /// What is asked for.
    pub fn task(&self) -> Task {
        match (self.list, self.ignored) {
            (true, _) => Task::List { terse: self.format == "terse" },
            (false, true) => Task::Run,
            (false, false) => Task::Ignore,
        }
    }

    /// Whether a scenario of this name is meant.
    pub fn selects(&self, name: &str) -> bool {
        let fits = |filter: &String| {
            if self.exact { name == filter } else { name.contains(filter.as_str()) }
        };
        (self.filters.is_empty() || self.filters.iter().any(fits)) && !self.skip.iter().any(fits)
    }
}
