//! Parameters: declared once by [`params!`](crate::params), from which parsing and everything printed follow.

#![forbid(unsafe_code)]

pub mod values;

use std::ffi::{OsStr, OsString};

use crate::error::{Error, Result, one_line};

/// How a parameter's value is typed in meta-data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text that the type's own parser accepts.
    String,
    /// A whole number.
    Integer,
    /// A truth value.
    Boolean,
    /// One of some words.
    Select(&'static [&'static str]),
}

/// A type that the value of an `OCF_RESKEY_*` variable can be parsed into.
///
/// ```
/// use ocfbox::param::{Value, values::Netmask};
/// use std::ffi::OsStr;
///
/// assert_eq!(Netmask::parse(OsStr::new("255.255.255.0")).unwrap().length(), 24);
/// assert!(Netmask::parse(OsStr::new("24x")).unwrap_err().contains("24x"));
/// ```
pub trait Value: Sized {
    /// The type in meta-data.
    const KIND: Kind;

    /// Whether the parameter may be absent: true for `Option`.
    const OPTIONAL: bool = false;

    /// The value, or why `raw` is none: a text that quotes the value and says what is accepted.
    ///
    /// # Errors
    /// Completes the sentence "parameter x: …".
    fn parse(raw: &OsStr) -> Result<Self, String>;

    /// The value of a parameter that is not given and has no default.
    #[must_use]
    fn absent() -> Option<Self> {
        None
    }
}

impl<T: Value> Value for Option<T> {
    const KIND: Kind = T::KIND;
    const OPTIONAL: bool = true;

    /// An explicitly empty value is the same as none, as the shell agents treat optional parameters.
    fn parse(raw: &OsStr) -> Result<Self, String> {
        if raw.is_empty() { Ok(None) } else { T::parse(raw).map(Some) }
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

/// The declaration of one parameter.
#[derive(Clone, Copy, Debug)]
pub struct ParamSpec {
    /// Name as the cluster spells it.
    pub name: &'static str,
    /// The doc comment: first line short, the rest long.
    pub doc: &'static [&'static str],
    /// Type in meta-data.
    pub kind: Kind,
    /// Not optional and without a default.
    pub required: bool,
    /// Value when none is given.
    pub default: Option<&'static str>,
    /// Parameters of one group must differ between resources (OCF 1.1).
    pub unique_group: Option<&'static str>,
    /// Whether a change needs no restart (OCF 1.1).
    pub reloadable: bool,
    /// For a deprecated parameter, the one to use instead.
    pub replaced_by: Option<&'static str>,
    /// Older names that are still read from the environment and are not advertised.
    pub aliases: &'static [&'static str],
}

impl ParamSpec {
    /// What the type and the default say of a parameter.
    #[must_use]
    pub const fn of<T: Value>(
        name: &'static str,
        doc: &'static [&'static str],
        default: Option<&'static str>,
    ) -> Self {
        Self {
            name,
            doc,
            kind: T::KIND,
            required: !T::OPTIONAL && default.is_none(),
            default,
            unique_group: None,
            reloadable: false,
            replaced_by: None,
            aliases: &[],
        }
    }

    /// The first line of the doc comment.
    #[must_use]
    pub fn short(&self) -> &'static str {
        self.doc.first().map_or("", |line| line.trim())
    }

    /// The rest of the doc comment as paragraphs; the first line if there is no rest.
    #[must_use]
    pub fn long(&self) -> String {
        let rest = paragraphs(self.doc.get(1..).unwrap_or_default());
        if rest.is_empty() { format!("{}.", self.short()) } else { rest }
    }
}

/// Doc comment lines joined to paragraphs that are separated by an empty line.
fn paragraphs(lines: &[&str]) -> String {
    let mut text = String::new();
    for line in lines.iter().map(|line| line.trim()) {
        match (line.is_empty(), text.is_empty() || text.ends_with('\n')) {
            (true, false) => text.push_str("\n\n"),
            (true, true) => {}
            (false, true) => text.push_str(line),
            (false, false) => {
                text.push(' ');
                text.push_str(line);
            }
        }
    }
    text.trim_end().to_owned()
}

/// Where parameters come from, and how severely they are judged.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    variables: &'a [(OsString, OsString)],
    /// Whether a wrong value of a parameter that has a default, or may be absent, is passed over.
    lenient: bool,
}

impl<'a> Source<'a> {
    /// Parameters from variables of the form `OCF_RESKEY_name`, each judged.
    #[must_use]
    pub fn strict(variables: &'a [(OsString, OsString)]) -> Self {
        Self { variables, lenient: false }
    }

    /// The same for an action that must not fail because of a parameter which it may not even need: a value that
    /// cannot be used counts as not given.
    #[must_use]
    pub fn lenient(variables: &'a [(OsString, OsString)]) -> Self {
        Self { variables, lenient: true }
    }

    fn raw(&self, name: &str) -> Option<&'a OsStr> {
        let matches = |key: &OsStr| {
            key.as_encoded_bytes()
                .strip_prefix(b"OCF_RESKEY_")
                .is_some_and(|rest| rest == name.as_bytes())
        };
        self.variables.iter().find(|(key, _)| matches(key)).map(|(_, value)| value.as_os_str())
    }

    /// The value of the parameter `spec`.
    ///
    /// # Errors
    /// [`Error::Configured`] if it is missing or wrong.
    pub fn value<T: Value>(&self, spec: &ParamSpec) -> Result<T> {
        let wrong = |why: String| Error::Configured { name: spec.name, why };
        let given = self
            .raw(spec.name)
            .filter(|raw| !raw.is_empty() || (spec.aliases.is_empty() && !spec.required))
            .or_else(|| spec.aliases.iter().find_map(|alias| self.raw(alias)));
        if let Some(raw) = given {
            match checked(raw).and_then(T::parse) {
                Ok(value) => return Ok(value),
                Err(why) if !self.lenient || spec.required => return Err(wrong(why)),
                Err(_) => {}
            }
        }
        if let Some(default) = spec.default {
            return T::parse(OsStr::new(default)).map_err(wrong);
        }
        T::absent().ok_or_else(|| wrong(format!("is required and not given: {}", spec.short())))
    }
}

/// Longest value that is looked at, in bytes; what is longer is a mistake or an attack.
const LONGEST: usize = 4096;

fn checked(raw: &OsStr) -> Result<&OsStr, String> {
    if raw.len() > LONGEST {
        return Err(format!("{} is {} bytes long, {LONGEST} are the most", quoted(raw), raw.len()));
    }
    Ok(raw)
}

/// A value as a reason quotes it: escaped, and cut when long.
#[must_use]
pub fn quoted(raw: &OsStr) -> String {
    let text = raw.to_string_lossy();
    format!("{:?}", one_line(&text, 40))
}

/// A struct of typed parameters, parsed by [`params!`](crate::params).
pub trait Params: Sized {
    /// The declarations, in order.
    const SPEC: &'static [ParamSpec];

    /// All parameters, typed.
    ///
    /// # Errors
    /// The first parameter that is missing or wrong.
    fn parse(source: Source<'_>) -> Result<Self>;
}

/// Declares an agent's parameters: a doc comment, a name, a type, perhaps a default, perhaps more facts.
///
/// The name of the field is the parameter's name; the first line of the comment is its short description and the
/// rest its long one. A type that is not `Option` and has no default makes the parameter required.
///
/// ```
/// use ocfbox::param::{Params, Source, values::{Count, Flag}};
///
/// ocfbox::params! {
///     pub struct Example {
///         /// Packets to send
///         ///
///         /// More are more certain to arrive.
///         count: Count = "5" { reloadable: true },
///         /// Whether to wait
///         wait: Option<Flag>,
///     }
/// }
///
/// let parsed = Example::parse(Source::strict(&[("OCF_RESKEY_wait".into(), "yes".into())])).unwrap();
/// assert_eq!(parsed.count.get(), 5);
/// assert!(parsed.wait.is_some_and(|wait| wait.is_set()));
/// assert!(Example::SPEC[0].reloadable);
/// ```
///
/// In this crate, a parameter that is declared and never read is a warning of the compiler, so that no agent
/// advertises what it does not do.
#[macro_export]
macro_rules! params {
    ($(#[$outer:meta])* $visibility:vis struct $name:ident {
        $( $(#[doc = $doc:literal])* $field:ident : $kind:ty $(= $default:literal)? $({ $($fact:ident : $value:expr),* $(,)? })? , )*
    }) => {
        $(#[$outer])*
        #[allow(non_snake_case)]
        $visibility struct $name { $( $field: $kind, )* }

        impl $crate::param::Params for $name {
            const SPEC: &'static [$crate::param::ParamSpec] = &[$(
                #[allow(clippy::needless_update)]
                $crate::param::ParamSpec {
                    $($($fact: $value,)*)?
                    ..$crate::param::ParamSpec::of::<$kind>(
                        stringify!($field), &[$($doc),*], $crate::params!(@default $($default)?))
                },
            )*];

            #[allow(non_snake_case)]
            fn parse(source: $crate::param::Source<'_>) -> $crate::error::Result<Self> {
                let mut specs = Self::SPEC.iter();
                $( let $field = source.value(specs.next().expect("one declaration a field"))?; )*
                Ok(Self { $($field),* })
            }
        }
    };
    (@default) => { None };
    (@default $default:literal) => { Some($default) };
}

#[cfg(test)]
mod tests {
    use super::values::{Count, Flag};
    use super::*;

    params! {
        struct Sample {
            /// Needed
            needed: Count,
            /// Told
            told: Count = "5" { aliases: &["old"] },
            /// Perhaps
            perhaps: Option<Flag>,
        }
    }

    params! {
        // If the compiler stops to warn of a parameter that nobody reads, it warns of this line.
        #[expect(dead_code, reason = "`unread` is not read")]
        struct Advertised {
            /// Read
            read: Option<Flag>,
            /// Not read
            unread: Option<Flag>,
        }
    }

    #[test]
    fn a_parameter_that_nobody_reads_is_a_warning() {
        assert!(Advertised::parse(Source::strict(&[])).unwrap().read.is_none());
    }

    fn parse(lenient: bool, variables: &[(&str, &str)]) -> Result<(u32, u32, Option<bool>)> {
        let variables: Vec<(OsString, OsString)> =
            variables.iter().map(|(k, v)| (format!("OCF_RESKEY_{k}").into(), v.into())).collect();
        let source = if lenient { Source::lenient(&variables) } else { Source::strict(&variables) };
        let sample = Sample::parse(source)?;
        Ok((sample.needed.get(), sample.told.get(), sample.perhaps.map(Flag::is_set)))
    }

    #[test]
    fn defaults_aliases_and_absence() {
        assert_eq!(parse(false, &[("needed", "1")]).unwrap(), (1, 5, None));
        assert_eq!(parse(false, &[("needed", "1"), ("old", "7")]).unwrap(), (1, 7, None));
        assert_eq!(
            parse(false, &[("needed", "1"), ("told", "8"), ("old", "7")]).unwrap(),
            (1, 8, None)
        );
        assert_eq!(
            parse(false, &[("needed", "1"), ("told", ""), ("old", "7")]).unwrap(),
            (1, 7, None)
        );
        assert_eq!(parse(false, &[("needed", "1"), ("perhaps", "")]).unwrap(), (1, 5, None));
        assert_eq!(
            parse(false, &[("needed", "1"), ("perhaps", "no")]).unwrap(),
            (1, 5, Some(false))
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_its_value() {
        let missing = parse(false, &[]).unwrap_err().reason();
        assert_eq!(missing, "parameter needed: is required and not given: Needed");
        assert_eq!(parse(false, &[("needed", "")]).unwrap_err().code().number(), 6);
        let wrong = parse(false, &[("needed", "1"), ("told", "x;y")]).unwrap_err().reason();
        assert!(wrong.starts_with("parameter told: \"x;y\" is not"), "{wrong}");
    }

    #[test]
    fn leniency_forgives_all_but_what_is_required() {
        assert_eq!(
            parse(true, &[("needed", "1"), ("told", "x"), ("perhaps", "x")]).unwrap(),
            (1, 5, None)
        );
        parse(true, &[("needed", "x")]).unwrap_err();
    }

    #[test]
    fn doc_lines_become_paragraphs() {
        assert_eq!(paragraphs(&["", " one", " two", "", "", " three"]), "one two\n\nthree");
    }
}
