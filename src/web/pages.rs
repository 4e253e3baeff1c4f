//! A file that describes tests of pages (`testconffile`).
//!
//! ```text
//! test home
//!     url http://localhost/
//!     match </html>
//!     user monitor
//!     password secret
//! end
//! ```

#![forbid(unsafe_code)]

/// One test.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Test {
    /// Its name.
    pub name: String,
    /// The page; one that begins with a slash is of this server.
    pub url: Option<String>,
    /// The regular expression.
    pub pattern: Option<String>,
    /// Who asks.
    pub user: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// A program that asks instead of the agent.
    pub client: Option<String>,
    /// Its arguments before the URL.
    pub client_options: Option<String>,
}

impl Test {
    /// Who asks, as HTTP has it.
    ///
    /// # Errors
    /// Only one of name and password is given.
    pub fn login(&self) -> Result<Option<String>, String> {
        match (&self.user, &self.password) {
            (Some(user), Some(password)) => Ok(Some(format!("{user}:{password}"))),
            (None, None) => Ok(None),
            _ => {
                Err(format!("test {:?} has one of user and password; give both or none", self.name))
            }
        }
    }
}

/// The tests in a file.
///
/// # Errors
/// The line that is wrong.
pub fn parse(text: &str) -> Result<Vec<Test>, String> {
    let mut tests = Vec::new();
    let mut open: Option<Test> = None;
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (word, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let value = value.trim();
        let number = at + 1;
        match (word, &mut open) {
            ("test", None) => open = Some(Test { name: value.to_owned(), ..Test::default() }),
            ("end", Some(_)) => tests.extend(open.take()),
            ("test", Some(_)) => return Err(format!("line {number}: the test before has no end")),
            ("end", None) => return Err(format!("line {number}: an end without a test")),
            (_, None) => return Err(format!("line {number}: {word:?} stands outside of a test")),
            (_, Some(current)) => {
                let field = match word {
                    "url" => &mut current.url,
                    "match" => &mut current.pattern,
                    "user" => &mut current.user,
                    "password" => &mut current.password,
                    "client" => &mut current.client,
                    "client_opts" => &mut current.client_options,
                    _ => return Err(format!("line {number}: there is no keyword {word:?}")),
                };
                *field = Some(value.to_owned());
            }
        }
    }
    match open {
        Some(current) => Err(format!("the test {:?} has no end", current.name)),
        None => Ok(tests),
    }
}

/// The test of that name, or the first one.
///
/// # Errors
/// There is none.
pub fn choose(tests: Vec<Test>, name: Option<&str>) -> Result<Test, String> {
    let found = tests.into_iter().find(|test| name.is_none_or(|name| test.name == name));
    found.ok_or_else(|| {
        name.map_or("no test".to_owned(), |name| format!("no test {name:?}")) + " is in it"
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FILE: &str = "# pages\ntest one\n  url http://localhost/\n match <title>a b</title>\nend\n\ntest two\n\turl /x\n\
        user u\npassword p:q\nclient /bin/x\nclient_opts -a 'b c'\nend\n";

    #[test]
    fn tests_are_read_and_chosen() {
        let tests = parse(FILE).unwrap();
        assert_eq!(tests.len(), 2);
        assert_eq!(tests[0].pattern.as_deref(), Some("<title>a b</title>"));
        assert_eq!(tests[1].login().unwrap().as_deref(), Some("u:p:q"));
        assert_eq!(choose(tests.clone(), None).unwrap().name, "one");
        assert_eq!(choose(tests.clone(), Some("two")).unwrap().url.as_deref(), Some("/x"));
        assert_eq!(choose(tests, Some("three")).unwrap_err(), "no test \"three\" is in it");
    }

    #[test]
    fn each_mistake_has_its_words() {
        for (text, word) in [
            ("url x", "outside of a test"),
            ("end", "end without"),
            ("test a\ntest b", "has no end"),
            ("test a\nurl x", "has no end"),
            ("test a\nurll x\nend", "no keyword \"urll\""),
        ] {
            assert!(parse(text).unwrap_err().contains(word), "{text}");
        }
        let half = parse("test a\nuser u\nend").unwrap();
        assert!(half[0].login().unwrap_err().contains("user and password"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(test|end|url|match|user| |\n|#|[a-zä]){0,40}") {
            let _ = parse(&text);
        }
    }
}
