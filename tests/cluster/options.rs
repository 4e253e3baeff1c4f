//! The part of libtest's command line that cargo, nextest and people use.

/// What to do and with which scenarios.
#[derive(Debug, Default)]
pub struct Options {
    /// Show the names and do nothing.
    pub list: bool,
    /// With `list`: names only, no sum.
    pub terse: bool,
    /// Run what needs root and the cluster packages, which is everything.
    pub ignored: bool,
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
                "--format" => options.terse = glued.or_else(|| words.next()) == Some("terse"),
                "--test-threads" | "--color" | "--logfile" | "--shuffle-seed" | "-Z" if glued.is_none() => {
                    words.next();
                }
                _ if word.starts_with('-') => {}
                _ => options.filters.push(word.to_owned()),
            }
        }
        options
    }

    /// Whether a scenario of this name is meant.
    pub fn selects(&self, name: &str) -> bool {
        let fits = |filter: &String| if self.exact { name == filter } else { name.contains(filter.as_str()) };
        (self.filters.is_empty() || self.filters.iter().any(fits)) && !self.skip.iter().any(fits)
    }
}
