//! A command line matched against a plugin's declared arguments.
//!
//! One parser for the client (early errors, which files to send), the gateway (the same check again)
//! and the plugin itself (its values), so that they never disagree.

mod mask;

use std::collections::BTreeSet;

use crate::manifest::{Argument, ArgumentKind, Manifest};

pub use mask::{all_masked, masked};

/// The values of one command line, by declared name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Arguments {
    /// In the order of the command line.
    given: Vec<Given>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Given {
    name: String,
    kind: ArgumentKind,
    /// Empty for a flag.
    value: String,
    place: Place,
}

/// Where a value stands in the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    /// Of the word, from 0.
    word: usize,
    /// Bytes of the word before the value: those of `--user=`.
    offset: usize,
}

/// What a command line is matched against: an [`Argument`] without its words for help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Declared<'a> {
    /// As in [`Argument::name`].
    pub name: &'a str,
    /// As in [`Argument::short`].
    pub short: Option<char>,
    /// What the value is.
    pub kind: ArgumentKind,
    /// True for an argument without dashes.
    pub positional: bool,
    /// May be given more than once.
    pub repeated: bool,
    /// Must be given.
    pub required: bool,
}

impl<'a> From<&'a Argument> for Declared<'a> {
    fn from(argument: &'a Argument) -> Self {
        let &Argument { short, kind, positional, repeated, required, .. } = argument;
        Self { name: &argument.name, short, kind, positional, repeated, required }
    }
}

/// A command line that the plugin does not take. The text reads after the plugin's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// An option that is not declared.
    #[error("option {option} is not supported")]
    Unknown {
        /// As typed, with its dashes.
        option: String,
    },
    /// An option without its value.
    #[error("option {option} requires a value")]
    MissingValue {
        /// As typed.
        option: String,
    },
    /// A flag that was given a value.
    #[error("option {option} takes no value")]
    UnexpectedValue {
        /// As typed.
        option: String,
    },
    /// A value that is not of the declared kind.
    #[error("option {option}: {value:?} is not {wanted}")]
    BadValue {
        /// As typed.
        option: String,
        /// As typed.
        value: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// More positional arguments than declared.
    #[error("unexpected argument {value:?}")]
    Extra {
        /// The first one too many.
        value: String,
    },
    /// A required argument is not there.
    #[error("{name} is missing")]
    Missing {
        /// Its declared name.
        name: String,
    },
}

impl Arguments {
    /// Matches `args` (without the plugin's name) against the manifest's declarations.
    ///
    /// Long options take `--name value` or `--name=value`; letters cluster (`-sS`, `-XPOST`); options and
    /// positional arguments mix; after `--` everything is positional; a lone `-` is a value.
    ///
    /// # Errors
    ///
    /// [`UsageError`] for the first argument that does not fit.
    pub fn parse<S: AsRef<str>>(manifest: &Manifest, args: &[S]) -> Result<Self, UsageError> {
        let declared: Vec<Declared<'_>> = manifest.arguments.iter().map(Into::into).collect();
        Self::parse_declared(&declared, args)
    }

    /// As [`Self::parse`], for who has the declarations without a manifest.
    ///
    /// # Errors
    ///
    /// [`UsageError`] for the first argument that does not fit.
    pub fn parse_declared<S: AsRef<str>>(
        declared: &[Declared<'_>],
        args: &[S],
    ) -> Result<Self, UsageError> {
        let mut parsed = Self::default();
        let mut positional = Vec::new();
        let mut rest = args.iter().map(AsRef::as_ref).enumerate();
        while let Some((at, arg)) = rest.next() {
            if arg == "--" {
                positional.extend(rest.by_ref());
            } else if let Some(long) = arg.strip_prefix("--") {
                parsed.take_long(declared, (at, long), &mut rest)?;
            } else if let Some(letters) = arg.strip_prefix('-').filter(|l| !l.is_empty()) {
                parsed.take_letters(declared, (at, letters), &mut rest)?;
            } else {
                positional.push((at, arg));
            }
        }
        parsed.take_positional(declared, positional)?;
        match declared.iter().find(|a| a.required && !parsed.has(a.name)) {
            Some(missing) => Err(UsageError::Missing { name: missing.name.to_owned() }),
            None => Ok(parsed),
        }
    }

    fn take_long<'a>(
        &mut self,
        declared: &[Declared<'_>],
        (word, long): (usize, &str),
        rest: &mut impl Iterator<Item = (usize, &'a str)>,
    ) -> Result<(), UsageError> {
        let (name, inline) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (long, None),
        };
        let option = format!("--{name}");
        let Some(declared) = declared.iter().find(|a| !a.positional && a.name == name) else {
            return Err(UsageError::Unknown { option });
        };
        let (place, value) = match (declared.kind, inline) {
            (ArgumentKind::Flag, None) => (Place { word, offset: option.len() }, ""),
            (ArgumentKind::Flag, Some(_)) => return Err(UsageError::UnexpectedValue { option }),
            (_, Some(value)) => (Place { word, offset: option.len() + 1 }, value),
            (_, None) => next_word(rest, &option)?,
        };
        self.give(declared, &option, value, place)
    }

    fn take_letters<'a>(
        &mut self,
        declared: &[Declared<'_>],
        (word, letters): (usize, &str),
        rest: &mut impl Iterator<Item = (usize, &'a str)>,
    ) -> Result<(), UsageError> {
        for (at, letter) in letters.char_indices() {
            let option = format!("-{letter}");
            let Some(declared) = declared.iter().find(|a| a.short == Some(letter)) else {
                return Err(UsageError::Unknown { option });
            };
            let end = at + letter.len_utf8();
            // Behind the dash and this letter.
            let behind = Place { word, offset: 1 + end };
            if declared.kind == ArgumentKind::Flag {
                self.give(declared, &option, "", behind)?;
                continue;
            }
            let (place, value) = match &letters[end..] {
                "" => next_word(rest, &option)?,
                attached => (behind, attached),
            };
            return self.give(declared, &option, value, place);
        }
        Ok(())
    }

    fn take_positional(
        &mut self,
        declared: &[Declared<'_>],
        values: Vec<(usize, &str)>,
    ) -> Result<(), UsageError> {
        let mut declared = declared.iter().filter(|a| a.positional).peekable();
        for (word, value) in values {
            let Some(argument) = declared.peek().copied() else {
                return Err(UsageError::Extra { value: value.to_owned() });
            };
            self.give(argument, argument.name, value, Place { word, offset: 0 })?;
            if !argument.repeated {
                declared.next();
            }
        }
        Ok(())
    }

    fn give(
        &mut self,
        declared: &Declared<'_>,
        option: &str,
        value: &str,
        place: Place,
    ) -> Result<(), UsageError> {
        if let Some(wanted) = declared.kind.refuses(value) {
            return Err(UsageError::BadValue {
                option: option.to_owned(),
                value: value.to_owned(),
                wanted,
            });
        }
        self.given.push(Given {
            name: declared.name.to_owned(),
            kind: declared.kind,
            value: value.to_owned(),
            place,
        });
        Ok(())
    }

    /// Whether the argument was given at all.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }

    /// The last value given: later ones override earlier ones, as in most Unix commands.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values(name).last()
    }

    /// Every value given, in order. A flag gives an empty text each time.
    pub fn values<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.given.iter().filter(move |g| g.name == name).map(|g| g.value.as_str())
    }

    /// Every argument in the order of the command line, as (declared name, value).
    pub fn in_order(&self) -> impl Iterator<Item = (&str, &str)> {
        self.given.iter().map(|g| (g.name.as_str(), g.value.as_str()))
    }

    /// The files of the user's machine that must be sent along; `-` is stdin.
    #[must_use]
    pub fn inputs(&self) -> BTreeSet<&str> {
        self.given.iter().filter_map(|g| g.kind.input(&g.value)).collect()
    }

    /// The files that the plugin may write on the user's machine; `-` (stdout) is not one.
    #[must_use]
    pub fn outputs(&self) -> BTreeSet<&str> {
        self.given
            .iter()
            .filter(|g| g.kind == ArgumentKind::OutputFile && g.value != "-")
            .map(|g| g.value.as_str())
            .collect()
    }
}

/// The value of `option` that stands in the next word.
fn next_word<'a>(
    rest: &mut impl Iterator<Item = (usize, &'a str)>,
    option: &str,
) -> Result<(Place, &'a str), UsageError> {
    match rest.next() {
        Some((word, value)) => Ok((Place { word, offset: 0 }, value)),
        None => Err(UsageError::MissingValue { option: option.to_owned() }),
    }
}

impl ArgumentKind {
    /// What a value should be, when this one is not it.
    fn refuses(self, value: &str) -> Option<&'static str> {
        let (fits, wanted) = match self {
            Self::Number => (value.parse::<f64>().is_ok_and(f64::is_finite), "a number"),
            Self::Duration => (duration(value).is_some(), "a duration (2, 0.5, 500ms, 2s, 1m, 1h)"),
            Self::Host => (!value.is_empty() && !value.contains(['/', ' ']), "a host"),
            Self::InputFile | Self::OutputFile => (!value.is_empty(), "a file name"),
            Self::Form => (value.contains('='), "NAME=VALUE"),
            _ => (true, ""),
        };
        (!fits).then_some(wanted)
    }

    /// The input file that a value names.
    fn input(self, value: &str) -> Option<&str> {
        match self {
            Self::InputFile => Some(value),
            Self::TextOrInputFile => value.strip_prefix('@'),
            Self::Form => {
                let (_, content) = value.split_once('=')?;
                let file = content.strip_prefix(['@', '<'])?;
                Some(file.split(';').next().unwrap_or(file))
            }
            _ => None,
        }
    }
}

/// Reads a duration: bare seconds (`2`, `0.5`) or a number with `ms`, `s`, `m` or `h`.
///
/// `None` when it is not one, is negative, or passes 1,000,000 hours.
#[must_use]
pub fn duration(text: &str) -> Option<std::time::Duration> {
    const SECONDS_MAX: f64 = 3.6e9;
    let (number, unit) = match text.find(|c: char| c.is_ascii_alphabetic()) {
        Some(at) => text.split_at(at),
        None => (text, "s"),
    };
    let factor = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    let seconds = number.parse::<f64>().ok()? * factor;
    (seconds.is_finite() && (0.0..=SECONDS_MAX).contains(&seconds))
        .then(|| std::time::Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest::from_toml(
            r#"
            name = "demo"
            version = "0.1.0"
            summary = "for tests"
            contract = "0.1.0"
            [[arguments]]
            name = "silent"
            short = "s"
            kind = "flag"
            [[arguments]]
            name = "data"
            short = "d"
            kind = "text-or-input-file"
            repeated = true
            [[arguments]]
            name = "form"
            short = "F"
            kind = "form"
            repeated = true
            [[arguments]]
            name = "output"
            short = "o"
            kind = "output-file"
            [[arguments]]
            name = "max-time"
            kind = "duration"
            [[arguments]]
            name = "URL"
            kind = "url"
            positional = true
            required = true
            "#,
        )
        .unwrap()
    }

    fn parse(line: &str) -> Result<Arguments, String> {
        let args: Vec<&str> = line.split_whitespace().collect();
        Arguments::parse(&manifest(), &args).map_err(|e| e.to_string())
    }

    #[test]
    fn options_and_positional_arguments_mix() {
        for line in
            ["-sd a x --max-time=2s", "x --data a -s --max-time 2s", "-s -da --max-time 2s -- x"]
        {
            let parsed = parse(line).unwrap();
            assert!(parsed.has("silent"), "{line}");
            assert_eq!(parsed.value("data"), Some("a"), "{line}");
            assert_eq!(parsed.value("URL"), Some("x"), "{line}");
        }
    }

    #[test]
    fn files_are_found_where_values_name_them() {
        let parsed = parse("-d @body -d plain -d @- -F f=@pic.png;type=image/png -F t=<t -o out x");
        let parsed = parsed.unwrap();
        assert_eq!(Vec::from_iter(parsed.inputs()), ["-", "body", "pic.png", "t"]);
        assert_eq!(Vec::from_iter(parsed.outputs()), ["out"]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (line, text) in [
            ("--nope x", "option --nope is not supported"),
            ("-sz x", "option -z is not supported"),
            ("x -d", "option -d requires a value"),
            ("--silent=1 x", "option --silent takes no value"),
            ("-s", "URL is missing"),
            ("x y", "unexpected argument \"y\""),
            (
                "--max-time soon x",
                "option --max-time: \"soon\" is not a duration (2, 0.5, 500ms, 2s, 1m, 1h)",
            ),
            ("-F plain x", "option -F: \"plain\" is not NAME=VALUE"),
        ] {
            assert_eq!(parse(line).unwrap_err(), text, "{line}");
        }
    }

    #[test]
    fn durations_have_units() {
        for (text, ms) in [("2", 2000), ("0.5", 500), ("500ms", 500), ("2s", 2000), ("1m", 60_000)]
        {
            assert_eq!(duration(text).map(|d| d.as_millis()), Some(ms), "{text}");
        }
        for text in ["", "-1", "1d", "nan", "1e300", "ms", "s5"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
